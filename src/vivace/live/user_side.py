"""What is known of the user: whether they speak, since when, and what will end their turn."""

from __future__ import annotations

import math

from vivace.machines.heard_clock import HeardClock
from vivace.machines.transcripts import TypedLines, is_interim, is_spoken
from vivace.part import Part, SpeechEnded

__all__ = ["GOES_ON_S", "UserSide"]

_LATE_S = 0.3  # a text may say that it ends so much later than a detector does
GOES_ON_S = 1.5  # so long after a key was let go a detector has told of the end, if there was one,
_SLOWER = 2.0  # or so many times longer than it has ever needed


class UserSide:
    """Keeps it. All times are media time but `words_end`, which is on the clock.

    speaking: they are, also where that means nothing to the floor. nobody_ends_it: no detector will
    tell whether the turn is over. words_end: until then an interim text tells that they speak;
    infinite if none does.
    """

    def __init__(self) -> None:
        self.speaking: bool = False
        self.nobody_ends_it: bool = False
        self.words_end: float = math.inf
        self.heard: HeardClock = HeardClock()
        self.lines: TypedLines = TypedLines(lambda: self.heard.heard_at)
        self._since = 0.0  # they began to speak
        self._told_after_s = math.inf  # a detector tells of an end, at most; none has so far
        self._let_go: SpeechEnded | None = None  # a key was, and the detector has not told the end
        self._ended_at = self._over_to = -math.inf  # the newest speech and the newest turn ended

    @property
    def speaks(self) -> bool:
        """True if they speak, as far as anything tells."""
        return self.speaking or self.words_end < math.inf

    def began(self, at: float) -> None:
        """They have begun to speak."""
        self.speaking, self.nobody_ends_it, self._since = True, False, at
        self._let_go, self.words_end = None, math.inf

    def ended(self, ended: SpeechEnded) -> None:
        """They have fallen silent."""
        self.speaking, self.words_end = False, math.inf
        self._ended_at = max(ended.at, self._ended_at)
        self.nobody_ends_it = not ended.turn_follows or ended.at <= self._over_to
        if ended is not self._let_go:
            self._let_go = None
            after_s = self.heard.heard_at - ended.at
            known = not math.isinf(self._told_after_s)
            self._told_after_s = max(after_s, self._told_after_s) if known else after_s

    def turn_ended(self, at: float) -> None:
        """Their turn is over, and what is understood of it after this is all there is."""
        self.words_end = math.inf
        if not self.speaking:
            self.nobody_ends_it, self._over_to = True, self.heard.no_later(at)

    def understood(self, part: Part, until: float) -> bool:
        """A text of theirs: one that may change tells that they speak, though no detector does.

        until: so long at most; 0 where that says nothing new. False if they have fallen silent.
        """
        if not is_interim(part):
            self.words_end = math.inf if is_spoken(part) else self.words_end
        elif not part.text.strip() or self._is_over(part.at):
            return False
        else:
            self.words_end = until or math.inf
        return True

    def _is_over(self, at: float | None) -> bool:
        return at is not None and at <= max(self._ended_at, self._over_to)

    def let_go(self, at: float) -> SpeechEnded | None:
        """A key was: what ends with it, though nobody has told its end; None if nothing does."""
        if not self.speaking or at <= self._since:  # of the turn before, told late
            return None
        at = self.heard.no_later(at)
        self._let_go = SpeechEnded(at, transcript_follows=True, turn_follows=True)
        return self._let_go

    def hear(self, seconds: float, at: float | None, now: float) -> float | None:
        """Sound has come. Returns since when they speak, if they went on after a key was let go."""
        self.heard.hear(seconds, at, now)
        over = self._let_go
        if over is None:
            return None
        told_s = max(GOES_ON_S, _SLOWER * self._told_after_s)
        return over.at if self.heard.heard_at >= over.at + told_s else None

    @property
    def may_go_on(self) -> bool:
        """True if they may be speaking still, though a key was let go."""
        return self._let_go is not None

    def was_heard(self, part: Part, spoken: bool, asked_to: float) -> bool:
        """True for the transcript of what a model that hears was asked with as sound.

        spoken: there was speech since. asked_to: up to where the sound was given.
        """
        since = spoken or self.speaking  # else it can be of nothing newer
        at = part.at if part.at is not None else math.inf if since else 0.0
        return is_spoken(part) and at <= asked_to + (0.0 if since else _LATE_S)

    def reset(self) -> bool:
        """What they have said is forgotten. True if they go on."""
        self.words_end = math.inf
        return self.speaking

    def over(self) -> None:
        """Nothing more will come of them."""
        self.speaking, self.nobody_ends_it, self.words_end = False, True, math.inf
