"""What is being said: which audio to transcribe, when, and which texts still count.

This file owns the audio of the turn under way. A text replaces the ones before it: it always covers
the whole turn so far, so that the transcriber hears words in their context, until the turn is so
long that its beginning is settled.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.machines.machine import Item, Job, JobDone, JobFailed, Machine, Output
from vivace.machines.pressure import Shedding
from vivace.machines.transcripts import TAIL_S, TypedLines
from vivace.part import Audio, Data, Part, Reset, SpeechEnded, SpeechStarted, TurnEnded

__all__ = ["ListeningMachine", "ListeningRules", "TranscribeAudio"]

_TOLD_LATE_S = 0.5  # how long after it began a start of speech may be told
_ON_ITS_WAY_S = 0.25  # sound may come so much later than the key that was let go after it
_NO_TIME_S = 1.0  # so far ahead of the sound, a key's time is none
_JUMP_S = 0.02  # media time that is further off than this has jumped


class ListeningRules(msgspec.Struct, frozen=True):
    """What to transcribe.

    before_s: audio before the start of speech that belongs to it (detectors are late by a frame or
        two, and soft first sounds are missed).
    interim_s: so much new speech makes a text before its end; 0 for none.
    settle_s: a pause in a turn longer than this settles the text so far. A short window keeps
        transcribers fast, and some forget the beginning of a long one.
    longest_s: the audio of one job is never longer.
    """

    before_s: float = 0.3
    interim_s: float = 1.0
    settle_s: float = 7.0
    longest_s: float = 28.0


class TranscribeAudio(Job, frozen=True, eq=False):
    """What do these samples say? Answer with the text, "" if nothing.

    at: media time of their end. final: the speech has ended; its text is promised to who comes
    after. settles: nothing that follows will cover these samples again.
    """

    pcm: bytes
    at: float
    final: bool = False
    settles: bool = False


class _Span(msgspec.Struct):
    """Audio to be transcribed, in frames from the first one ever heard."""

    start: int
    end: int
    at: float
    final: bool = False
    settles: bool = False
    void: bool = False  # its turn has ended: only a promise is kept


class _Key(msgspec.Struct):
    """A key was let go, and the turn ends when all that was said by then has its text.

    item: says so. end: the frame at which it was let go. due: when no more sound of before that is
    waited for; infinity once that is so.
    """

    item: Part
    end: int
    due: float


class ListeningMachine(Machine):
    """Passes everything on, and adds the user's texts: `metadata["interim"]` is set on each.

    A text covers the turn so far. For each end of speech comes exactly one with the same `at`,
    however short, silent or failed it was. The turn ends when `TurnEnded` is announced; or when the
    program sends it, which passes once the text is there, after that text without `interim`.

    shedding: texts before the end of speech are left out while it sheds them.
    """

    def __init__(
        self,
        fmt: AudioFormat | None = None,
        rules: ListeningRules | None = None,
        shedding: Shedding | None = None,
    ) -> None:
        self._shedding = shedding or Shedding()
        self._format = fmt or AudioFormat()
        self._rules = rules or ListeningRules()
        self._pcm = bytearray()
        self._most = 2 * self._format.size(self._rules.longest_s)  # bytes of it
        self._base = 0  # frame at which _pcm begins
        self._zero = 0.0  # media time of frame 0
        self._from = 0  # frame from which on nothing is settled
        self._speech_from = 0  # the same for the newest speech alone
        self._speech_at = 0  # frame at which that began
        self._quiet_from = 0  # frame at which the speech before it ended
        self._over_to = -1  # frame at which the turn before this one ended
        self._in_turn = self._speaking = False
        self._settled = self._text = ""
        self._text_at = 0.0  # media time up to which they go
        self._complete = True  # _text covers all that has been said since _from
        self._asked_to = 0  # frame up to which a text has been asked for
        self._working: tuple[TranscribeAudio, _Span] | None = None
        self._next: deque[_Span] = deque()
        self._key: _Key | None = None
        self._lines = TypedLines(lambda: self._time(self._heard()))

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part(body=Audio() as audio, role="user"):
                return [item, *self._hear(audio, item.at)]
            case Part(body=SpeechStarted(at=at)):
                self._lines.take(item)
                self._start(self._frame(at))
                return [item]
            case Part(body=SpeechEnded(at=at)):
                self._lines.take(item)
                ended = item.derive(body=SpeechEnded(at, transcript_follows=True))
                return [ended, *self._end(at)]
            case Part(body=str()):
                self._lines.take(item)
                return [item]
            case Part(body=TurnEnded(at=at)):
                return [item] if self._lines.take(item) else self._let_go(item, at, now)
            case Part(body=Reset()):
                self._reset()
                return [item]
            case Part():
                return [item]
            case TurnEnded(at=at):
                self._turn_ended(self._frame(at))
                return self._key_turn()
            case Reset():
                self._reset()
            case JobDone(job=TranscribeAudio(), result=text):
                return self._answered(str(text).strip())
            case JobFailed(job=TranscribeAudio(), error=error):
                self._complete = False
                news = {"event": "failed", "what": "transcription", "error": str(error)}
                return [Part(Data(news), substream="status"), *self._answered("")]
        return []

    def full(self) -> bool:
        return len(self._pcm) > self._most

    def tick(self, now: float) -> list[Output]:
        return self._key_turn(now)

    def deadline(self) -> float | None:
        return self._key.due if self._key and self._key.due < math.inf else None

    def finish(self, now: float) -> list[Output]:
        return self._key_turn(math.inf)

    def done(self) -> bool:
        return self._working is None

    # -- hearing ------------------------------------------------------------------------------

    def _hear(self, audio: Audio, at: float | None) -> list[Output]:
        if audio.format != self._format:
            raise AudioError(
                f"{audio.format.mimetype} came where {self._format.mimetype} is needed; "
                "resample it first"
            )
        if at is not None and abs(at - self._time(self._heard())) > _JUMP_S:
            self._zero = at - self._heard() / self._format.rate
        self._trim()
        self._pcm += audio.pcm
        if not self._in_turn:
            return self._key_turn()
        longest = self._format.frames(self._rules.longest_s)
        while self._heard() - self._from > longest:
            cut = self._from + longest
            self._next.append(_Span(self._from, cut, self._time(cut), settles=True))
            self._from = self._asked_to = cut
        if self._interim_due():
            self._next.append(_Span(self._from, self._heard(), self._time(self._heard())))
            self._asked_to = self._heard()
        return [*self._work(), *self._key_turn()]

    def _interim_due(self) -> bool:
        if not self._speaking or not self._rules.interim_s or self._working or self._next:
            return False
        if self._heard() - self._asked_to < self._format.frames(self._rules.interim_s):
            return False
        if self._shedding.sheds("interim"):
            self._asked_to = self._heard()  # the next one is due as much later
            return False
        return True

    def _start(self, at: int) -> None:
        before = self._format.frames(self._rules.before_s)
        self._speech_at = at
        self._speech_from = max(self._base, self._quiet_from, at - before)
        if not self._in_turn:
            self._from = self._speech_from
        elif self._may_settle():
            self._settled = self._whole()
            self._text = ""
            self._from = self._speech_from
        self._speaking = self._in_turn = True
        self._asked_to = self._heard()

    def _may_settle(self) -> bool:
        long = self._heard() - self._from > self._format.frames(self._rules.settle_s)
        return long and self._complete and self._working is None

    def _end(self, at: float) -> list[Output]:
        self._speaking = False
        self._quiet_from = self._frame(at)
        self._asked_to = heard = self._heard()
        over = self._with_tail(self._over_to)  # nothing is new up to here
        span = _Span(min(self._from, heard), heard, at, final=True, void=self._quiet_from <= over)
        if span.void:
            self._turn_ended(over)
        if (key := self._key) is not None:
            if (end := self._with_tail(key.end)) > key.end:
                key.end, key.item = end, key.item.derive(body=TurnEnded(at), at=at)
            span.void |= self._quiet_from <= key.end and key.due == math.inf
            key.due = math.inf
        self._next.append(span)
        return self._work()

    def _with_tail(self, over: int) -> int:
        """Where a turn that ended at `over` ends: with speech that was over a moment later."""
        most = over + self._format.frames(TAIL_S)
        return self._quiet_from if self._speech_at < over < self._quiet_from <= most else over

    def _let_go(self, item: Part, at: float, now: float) -> list[Output]:
        """The program ends the turn at `at`: it ends once there is the text of all that was said.

        Nobody else has to know which text is final, so that one follows from here.
        """
        heard = self._heard()
        latest = heard + self._format.rate * _NO_TIME_S
        if not (0 < at < math.inf and self._base <= self._frame(at) <= latest):
            at = self._time(heard)  # of another clock, or of none
            item = item.derive(body=TurnEnded(at), at=at)
        elif not self._speaking and self._speech_at < self._frame(at) < self._quiet_from:
            at = self._time(self._quiet_from)  # told after the end of speech, that was one piece
            item = item.derive(body=TurnEnded(at), at=at)
        # Nothing that was said belongs to a line.
        waits = self._key is not None or not self._lines.ended_line
        self._key = _Key(item, self._frame(at), now + _ON_ITS_WAY_S if waits else now)
        return self._key_turn(now)

    def _key_turn(self, now: float = -math.inf) -> list[Output]:
        """The turn that a key has ended, if all of its text is there."""
        if (key := self._key) is None:
            return []
        out: list[Output] = []
        if key.due < math.inf:
            if self._heard() < key.end and now < key.due:  # its start may not be told yet
                return []
            key.due, end = math.inf, min(key.end, self._heard())
            if self._speaking and end > self._speech_from:  # the end of speech was not told yet
                self._next.append(_Span(min(self._from, end), end, self._time(key.end)))
                out = self._work()
        spans = [*self._next, *([self._working[1]] if self._working else [])]
        if any(self._frame(span.at) <= key.end and not span.void for span in spans):
            return out
        self._key = None
        text, at = self._whole(), self._text_at
        self._turn_ended(key.end)
        return [*out, *([Part(text, at=at)] if text else []), key.item]

    def _reset(self) -> None:
        self._key = None
        self._turn_ended(self._heard())

    def _turn_ended(self, at: int) -> None:
        """The turn is over. What was said after `at` is the beginning of the next one."""
        self._over_to = at = max(self._over_to, at)
        self._asked_to = max(self._asked_to, at)
        self._quiet_from = max(self._quiet_from, at)
        self._settled = self._text = ""
        self._complete = True
        self._in_turn = self._speaking
        self._from = max(at, self._speech_from) if self._speaking else self._heard()
        for span in [*self._next, *([self._working[1]] if self._working else [])]:
            span.void = True
        for span in list(self._next):
            if self._frame(span.at) <= at and not span.final:
                self._next.remove(span)
            elif self._frame(span.at) > at:
                self._renew(span, at)
        if self._working and self._working[1].final and self._frame(self._working[1].at) > at:
            # Its text has words of both turns in it, so it is asked for again.
            again = msgspec.structs.replace(self._working[1])
            self._working[1].final = False
            self._renew(again, at)
            self._next.appendleft(again)
        self._trim()

    def _renew(self, span: _Span, at: int) -> None:
        span.start = min(max(span.start, at), span.end)
        span.void = False
        self._from = min(self._from, span.start)
        self._in_turn = True

    # -- texts --------------------------------------------------------------------------------

    def _work(self) -> list[Output]:
        out: list[Output] = []
        while self._working is None and self._next and self._next[0].void:
            span = self._next.popleft()  # the turn could not wait for it: nobody wants to know
            out += [self._heard_text("", span)] if span.final else []
        if self._working is not None or not self._next:
            return out
        span = self._next.popleft()
        size, base = self._format.frame_bytes, self._base
        start = max(span.start, base)
        pcm = bytes(self._pcm[(start - base) * size : (span.end - base) * size])
        job = TranscribeAudio(pcm, span.at, span.final, span.settles)
        self._working = (job, span)
        return [*out, job]

    def _answered(self, text: str) -> list[Output]:
        assert self._working is not None
        _, span = self._working
        self._working = None
        self._trim()
        out: list[Output] = []
        if span.void:
            if span.final:
                out.append(self._heard_text("", span))  # the turn could not wait for it
            return [*out, *self._key_turn(), *self._work()]
        self._text, self._text_at = text, span.at
        if span.final:
            self._complete = self._complete or bool(text)
        if span.settles:
            self._settled, self._text = f"{self._settled} {text}".strip(), ""
        whole = self._whole()
        if span.final or whole:
            out.append(self._heard_text(whole, span))
        return [*out, *self._key_turn(), *self._work()]

    def _whole(self) -> str:
        return f"{self._settled} {self._text}".strip()

    def _heard_text(self, text: str, span: _Span) -> Part:
        return Part(text, at=span.at, metadata={"interim": True})

    # -- places -------------------------------------------------------------------------------

    def _heard(self) -> int:
        return self._base + len(self._pcm) // self._format.frame_bytes

    def _frame(self, at: float) -> int:
        return max(0, round((at - self._zero) * self._format.rate))

    def _time(self, frame: int) -> float:
        return round(self._zero + frame / self._format.rate, 6)

    def _trim(self) -> None:
        """Let go of what no text will cover any more."""
        before = self._format.frames(self._rules.before_s + _TOLD_LATE_S)
        needed = self._from if self._in_turn else self._heard() - before
        for span in self._next:
            needed = min(needed, span.start)
        if needed > self._base:
            del self._pcm[: (needed - self._base) * self._format.frame_bytes]
            self._base = needed
