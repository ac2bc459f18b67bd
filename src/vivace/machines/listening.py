"""What is being said: which audio to transcribe, when, and which texts still count.

This file owns the audio of the turn under way. A text replaces the ones before it: it always covers
the whole turn so far, so that the transcriber hears words in their context, until the turn is so
long that its beginning is settled.
"""

from __future__ import annotations

import msgspec

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.machines.machine import Item, Job, JobDone, JobFailed, Machine, Output
from vivace.part import Audio, Data, Part, SpeechEnded, SpeechStarted, TurnEnded

__all__ = ["ListeningMachine", "ListeningRules", "TranscribeAudio"]


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


class ListeningMachine(Machine):
    """Passes everything on, and adds the user's texts: `metadata["interim"]` is set on each.

    A text covers the turn so far. For each end of speech comes exactly one with the same `at`,
    however short, silent or failed it was. The turn ends when `TurnEnded` is announced.
    """

    def __init__(self, fmt: AudioFormat | None = None, rules: ListeningRules | None = None) -> None:
        self._format = fmt or AudioFormat()
        self._rules = rules or ListeningRules()
        self._recent = bytearray()  # the turn so far while one is under way, else the last moment
        self._recent_at = 0.0  # media time of its end
        self._speaking = False
        self._in_turn = False
        self._settled = ""
        self._text = ""  # of _recent, as far as it was transcribed
        self._new_bytes = 0  # of speech since the last job
        self._working: TranscribeAudio | None = None
        self._next: list[TranscribeAudio] = []
        self._turn_ended_at = -1.0

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part(body=Audio() as audio, role="user"):
                return [item, *self._hear(audio, item.at)]
            case Part(body=SpeechStarted(at=at)):
                return [*self._start(at), item]
            case Part(body=SpeechEnded(at=at)):
                ended = item.derive(body=SpeechEnded(at, transcript_follows=True))
                return [ended, *self._end(at)]
            case Part():
                return [item]
            case TurnEnded(at=at):
                self._forget(at)
            case JobDone(job=TranscribeAudio() as job, result=text):
                return self._transcribed(job, str(text).strip())
            case JobFailed(job=TranscribeAudio() as job, error=error):
                news = {"event": "failed", "what": "transcription", "error": str(error)}
                return [Part(Data(news), substream="status"), *self._transcribed(job, "")]
        return []

    def done(self) -> bool:
        return self._working is None

    # -- inside -------------------------------------------------------------------------------

    def _hear(self, audio: Audio, at: float | None) -> list[Output]:
        if audio.format != self._format:
            raise AudioError(
                f"{audio.format.mimetype} came where {self._format.mimetype} is needed; "
                "resample it first"
            )
        self._recent += audio.pcm
        self._recent_at = self._recent_at + audio.seconds if at is None else at + audio.seconds
        if not self._in_turn:
            self._keep(self._rules.before_s + 0.5)  # 0.5: how late a start may be told
            return []
        if self._seconds() > self._rules.longest_s:
            return self._cut()
        if not self._speaking or not self._rules.interim_s:
            return []
        self._new_bytes += len(audio.pcm)
        if self._working or self._new_bytes < self._format.size(self._rules.interim_s):
            return []
        return self._transcribe(TranscribeAudio(bytes(self._recent), self._recent_at))

    def _start(self, at: float) -> list[Output]:
        if not self._in_turn:
            self._keep(self._recent_at - at + self._rules.before_s)
        elif self._seconds() > self._rules.settle_s and self._text and not self._working:
            self._settle()  # no job is under way, so the text covers all but this new speech
            self._keep(self._recent_at - at + self._rules.before_s)
        self._speaking = self._in_turn = True
        self._new_bytes = 0
        return []

    def _end(self, at: float) -> list[Output]:
        self._speaking = False
        return self._transcribe(TranscribeAudio(bytes(self._recent), at, final=True))

    def _transcribe(self, job: TranscribeAudio) -> list[Output]:
        self._new_bytes = 0
        if self._working is not None:
            self._next.append(job)
            return []
        self._working = job
        return [job]

    def _transcribed(self, job: TranscribeAudio, text: str) -> list[Output]:
        self._working = self._next.pop(0) if self._next else None
        out: list[Output] = [self._working] if self._working else []
        if job.at <= self._turn_ended_at:
            text = ""  # the turn was ended without it
        self._text = text
        if job.settles:
            self._settle()
            text = ""
        whole = f"{self._settled} {text}".strip()
        if job.final or whole:
            out.append(Part(whole, at=job.at, metadata={"interim": True}))
        return out

    def _cut(self) -> list[Output]:
        """The audio is as long as one job may be: settle what its text says, and go on after it."""
        job = TranscribeAudio(bytes(self._recent), self._recent_at, settles=True)
        self._recent.clear()
        return self._transcribe(job)

    def _settle(self) -> None:
        self._settled = f"{self._settled} {self._text}".strip()
        self._text = ""

    def _forget(self, at: float) -> None:
        """The turn is over; only what was said after `at` goes on."""
        self._turn_ended_at = at
        self._settled = self._text = ""
        self._in_turn = self._speaking
        if self._speaking:
            self._keep(self._recent_at - at)
        else:
            self._keep(self._rules.before_s)

    def _keep(self, seconds: float) -> None:
        excess = len(self._recent) - self._format.size(max(0.0, seconds))
        if excess > 0:
            del self._recent[: excess - excess % self._format.frame_bytes]

    def _seconds(self) -> float:
        return self._format.seconds(len(self._recent))
