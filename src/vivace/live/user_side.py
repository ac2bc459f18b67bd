"""What is known of the user: whether they speak, since when, and what will end their turn."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vivace.machines.heard_clock import HeardClock
from vivace.machines.transcripts import TypedLines, is_interim, is_spoken
from vivace.part import Part, SpeechEnded

__all__ = ["UserSide"]

_LATE_S = 0.3  # a text may say that it ends so much later than a detector does


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
        self._texted = 0  # the newest turn of which a final text has come
        self._ended_at = self._over_to = -math.inf  # the newest speech and the newest turn ended

    @property
    def speaks(self) -> bool:
        """True if they speak, as far as anything tells."""
        return self.speaking or self.words_end < math.inf

    def began(self, at: float) -> None:
        """They have begun to speak."""
        self.speaking, self.nobody_ends_it, self._since = True, False, at
        self.words_end = math.inf

    def ended(self, ended: SpeechEnded) -> None:
        """They have fallen silent."""
        self.speaking, self.words_end = False, math.inf
        self._ended_at = max(ended.at, self._ended_at)
        self.nobody_ends_it = not ended.turn_follows or ended.at <= self._over_to

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
        return SpeechEnded(self.heard.no_later(at), transcript_follows=True, turn_follows=True)

    def was_heard(
        self, part: Part, asked: tuple[int, float, Sequence[Part]], spoken: bool, over_it: bool
    ) -> bool:
        """True for the transcript of what a model that hears was asked with as sound.

        asked: its reply, up to where the sound was given, and the end of the prompt. spoken: there
        was speech since. over_it: or a sound that came to nothing; a text without a time is of that
        only if the turn's own has come.
        """
        turn, asked_to, prompt = asked
        if any(is_spoken(it) for it in prompt if it.text):
            self._texted = turn
        since = (
            spoken or self.speaking or (over_it and (part.at is not None or self._texted == turn))
        )
        # Without speech since it can be of nothing newer.
        at = part.at if part.at is not None else math.inf if since else 0.0
        heard = is_spoken(part) and at <= asked_to + (0.0 if since else _LATE_S)
        self._texted = turn if heard else self._texted
        return heard

    def reset(self) -> bool:
        """What they have said is forgotten. True if they go on."""
        self.words_end = math.inf
        return self.speaking

    def over(self) -> None:
        """Nothing more will come of them."""
        self.speaking, self.nobody_ends_it, self.words_end = False, True, math.inf
