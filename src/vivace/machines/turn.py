"""Has the user finished: from the end of speech to the end of the turn.

This file owns the rule. Three things speak: a model that has heard how it was said, the text, and
silence. The model and the text must agree that it is over; a silence of `longest_s` ends any turn.
"""

from __future__ import annotations

import math
import re

import msgspec

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.machines.machine import Announce, Item, Job, JobDone, JobFailed, Machine, Output
from vivace.machines.transcripts import TAIL_S, TypedLines, is_spoken
from vivace.machines.words import same_words
from vivace.part import Audio, Data, Part, Reset, SpeechEnded, SpeechStarted, TurnEnded

__all__ = ["JudgeTurn", "TurnMachine", "TurnRules", "is_unfinished"]

_LATE_S = 1.0  # a text may say that it ends so much later than a detector: after some silence

# Words that nobody ends a sentence with: whoever stops here is looking for the next one.
_UNFINISHED = frozenset(
    "a an and because but er erm if my or our the their uh uhm um when which while your".split()
)
# Words that end a sentence every day ("turn it on"), and sound open without a full stop.
_OPEN = frozenset("as at by for from in into is of on so that then to with".split())


class TurnRules(msgspec.Struct, frozen=True):
    """When a turn is over.

    sure: the model's probability at or above which it sounds finished.
    shortest_s: silence without which no turn ends, however sure the model is.
    longest_s: silence that ends the turn whatever model and text say.
    text_s: how much longer a promised text is waited for; without it the words would be lost.
    window_s: how much audio the model is given (Smart Turn hears the last 8 s).
    """

    sure: float = 0.5
    shortest_s: float = 0.2
    longest_s: float = 1.5
    text_s: float = 8.0
    window_s: float = 8.0


class JudgeTurn(Job, frozen=True, eq=False):
    """How likely is it that this speech is finished? Answer with a probability."""

    pcm: bytes
    at: float


class TurnMachine(Machine):
    """Passes everything on, and after the user's last words: the turn's text, then `TurnEnded`.

    The text is a user's part without `interim`; there is none if nothing was said. `TurnEnded` is
    announced as well, since whoever listens upstream begins the next turn then.
    """

    def __init__(self, fmt: AudioFormat | None = None, rules: TurnRules | None = None) -> None:
        self._format = fmt or AudioFormat()
        self._rules = rules or TurnRules()
        self._recent = bytearray()
        self._heard_at = 0.0  # media time up to which audio has come
        self._ended: SpeechEnded | None = None  # the pause that may be the end
        self._silent_since = 0.0  # on the clock
        self._probability: float | None = None
        self._text = ""
        self._text_at: float | None = None
        self._given = ""  # the text of the newest turn
        self._begun = False  # the user spoke since the end of that
        self._before_to = -math.inf  # what ends by then, in media time, is of the turn before
        self._let_go: float | None = None  # a key was, and the turn ends there
        self._lines = TypedLines(lambda: self._heard_at)

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part(body=Audio() as audio, role="user"):
                self._hear(audio, item.at)
                return [item]
            case Part(body=SpeechStarted(at=at)):
                self._lines.take(item)
                self._begun, self._before_to = True, min(self._before_to, at)
                self._ended = None if self._let_go is None else self._ended
                return [item]
            case Part(body=SpeechEnded() as ended):
                self._lines.take(item)
                told = msgspec.structs.replace(ended, turn_follows=True)
                return [item.derive(body=told), *self._pause(ended, now)]
            case Part(body=str(text), role="user") if item.metadata.get("interim"):
                self._text, self._text_at = text, item.at
                return [item, *self._decide(now)]
            case Part(body=str(text), role="user") if is_spoken(item):  # final already
                return self._final(item, text)
            case Part(body=str()):
                self._lines.take(item)
                return [item]
            case Part(body=TurnEnded(at=at)):  # somebody else has ended it: a key was let go
                ended_at = -math.inf if self._ended is None else self._ended.at
                if self._lines.take(item) or at < ended_at - TAIL_S:
                    return [item]  # of a line, or an older one: what is said since is another
                self._let_go = max(at, ended_at)
                return self._decide(now)
            case Part(body=Reset()) | Reset():
                self._forget()
                return [item] if isinstance(item, Part) else []
            case Part():
                return [item]
            case JobDone(job=JudgeTurn(at=at), result=probability):
                return self._judged(at, float(probability), now)  # type: ignore[arg-type]
            case JobFailed(job=JudgeTurn(at=at), error=error):
                # Not sure, so the text waits for the longest silence: late, but never wrong.
                news = {"event": "failed", "what": "turn detection", "error": str(error)}
                return [Part(Data(news), substream="status"), *self._judged(at, 0.0, now)]
            case _:
                return []

    def tick(self, now: float) -> list[Output]:
        return self._decide(now)

    def deadline(self) -> float | None:
        if self._let_go is not None:
            return self._silent_since + self._rules.text_s if self._text_missing() else -math.inf
        if self._ended is None:
            return None
        if self._sure():
            return self._silent_since + self._rules.shortest_s
        due = self._silent_since + self._rules.longest_s
        return due + self._rules.text_s if self._text_missing() else due

    def finish(self, now: float) -> list[Output]:
        """The input is over, and so is the turn."""
        return self._over()

    # -- inside -------------------------------------------------------------------------------

    def _hear(self, audio: Audio, at: float | None) -> None:
        if audio.format != self._format:
            raise AudioError(
                f"{audio.format.mimetype} came where {self._format.mimetype} is needed; "
                "resample it first"
            )
        self._heard_at = self._heard_at + audio.seconds if at is None else at + audio.seconds
        self._recent += audio.pcm
        excess = len(self._recent) - self._format.size(self._rules.window_s)
        if excess > 0:
            del self._recent[:excess]

    def _final(self, item: Part, text: str) -> list[Output]:
        """Somebody else tells what was said: in this turn or, late, in the one before.

        This machine may have given it already, which could not know that it would come.
        """
        known = bool(self._given) and same_words(text, self._given)
        again = self._begun and same_words(text, self._text)  # as this turn's own so far
        late = known and not again if item.at is None else item.at <= self._before_to
        if not late or (self._text_at or 0.0) <= self._before_to:
            self._text = ""
        if item.at is None:  # that was it: the next one that has no time is said once more
            self._given = ""
        return [] if known and late else [item]

    def _pause(self, ended: SpeechEnded, now: float) -> list[Output]:
        self._ended = ended
        self._silent_since = now - max(0.0, self._heard_at - ended.at)
        self._probability = None
        return [JudgeTurn(bytes(self._recent), ended.at)]

    def _judged(self, at: float, probability: float, now: float) -> list[Output]:
        if self._ended is None or self._ended.at != at:
            return []  # the user has gone on since
        self._probability = probability
        return self._decide(now)

    def _decide(self, now: float) -> list[Output]:
        """End the turn if it is time: soon if all that was asked has answered and agrees."""
        due = self.deadline()
        return [] if due is None or now < due else self._over()

    def _over(self) -> list[Output]:
        """End the turn where the key was let go, or else where the pause began; if there is one."""
        if self._let_go is not None:
            return self._end(self._let_go)
        return self._end(self._ended.at) if self._ended is not None else []

    def _sure(self) -> bool:
        assert self._ended is not None
        if self._text_missing():
            return False
        if self._ended.transcript_follows and not self._text:
            return True  # a noise: there is nothing to wait for
        likely = self._probability is not None and self._probability >= self._rules.sure
        return likely and not is_unfinished(self._text)

    def _text_missing(self) -> bool:
        ended = self._ended
        return ended is not None and ended.transcript_follows and self._text_at != ended.at

    def _forget(self) -> None:
        self._ended = self._let_go = None
        self._text, self._text_at = "", None
        self._recent.clear()

    def _end(self, at: float) -> list[Output]:
        text = self._text
        if text or self._begun:
            self._given = text
        self._begun, self._before_to = False, at + _LATE_S
        self._forget()
        out: list[Output] = [Part(text, at=at)] if text else []
        return [*out, Part(TurnEnded(at), at=at), Announce(TurnEnded(at))]


def is_unfinished(text: str) -> bool:
    """True if `text` stops where nobody ends: after "and", "the", "um", or with a comma or dash."""
    text = text.strip()
    if re.search(r"(,|-|–|—|\.\.\.|…)$", text):
        return True
    words = re.findall(r"[^\W\d_]+", text.lower())
    if not words:
        return False
    return words[-1] in _UNFINISHED or (words[-1] in _OPEN and text[-1] not in ".!?")
