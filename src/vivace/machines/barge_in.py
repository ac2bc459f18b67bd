"""Does the user interrupt, where no floor decides?

This file owns what counts as a barge-in for an agent that has a pacer and nothing else: speech, as
told by signals or by the sound itself, and never that sound arrives. It knows nothing of replies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Set

from vivace.machines.loud_speech import LoudSpeech
from vivace.machines.machine import FLOOR, SPEECH
from vivace.part import Audio

__all__ = ["BargeIn"]

_LIKELY_S = 1.0  # so long after a sound of the user's, or a hold, another one is likely
_DEAF_S = 5.0  # the longest that a reply without a number is refused after it was cut


class BargeIn:
    """Is told what the user does; says when that cuts the agent's voice.

    interruptible: if not, nothing does. decided: what others in the run decide, now and later.
    detector: as in `LoudSpeech`.
    """

    def __init__(
        self,
        interruptible: bool = True,
        decided: Set[str] = frozenset(),
        detector: Callable[[Audio], bool] | None = None,
    ) -> None:
        self._interruptible = interruptible
        self._decided = decided
        self._level = LoudSpeech(detector=detector)
        self._is_told = False  # somebody tells when the user speaks
        self._speaks = False
        self._likely_until = self._deaf_until = -math.inf

    def told(self, started: bool, now: float) -> bool:
        """The user began to speak or stopped, says a signal: does that cut?"""
        self._is_told = True
        return self._speech(started, now)

    def hear(self, audio: Audio, now: float) -> bool:
        """The user's sound: does what is in it cut?

        Somebody in the run who can tell speech from noise knows better than a level does.
        """
        known = self._is_told or FLOOR in self._decided or SPEECH in self._decided
        if known or not self._interruptible:
            return False
        cuts = False
        for news in self._level.hear(audio):
            cuts |= self._speech(news == "started", now)
        return cuts

    def sounded(self, now: float) -> None:
        """The agent was held, resumed or interrupted."""
        self._likely_until = now + _LIKELY_S

    def cut(self, now: float) -> None:
        """The agent's voice was cut: what still comes of it has no number to tell it by."""
        self._deaf_until = now + _DEAF_S

    def is_likely(self, now: float) -> bool:
        """True while somebody may be about to interrupt."""
        return self._speaks or now < self._likely_until

    def is_deaf(self, now: float) -> bool:
        """True while sound without a number is taken for the rest of what was cut: until the user
        has stopped to speak, and not for long."""
        return now < self._deaf_until

    def _speech(self, started: bool, now: float) -> bool:
        self._speaks = started
        self.sounded(now)
        if not started:
            self._deaf_until = -math.inf
        return started and self._interruptible and FLOOR not in self._decided
