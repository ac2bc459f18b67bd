"""When what the user said was said: media time of the sound, on the clock."""

from __future__ import annotations

import math

__all__ = ["HeardClock"]

_DRIFT = 1e-3  # seconds a second: far more than two clocks of quartz ever do


class HeardClock:
    """heard_at: media time up to which the user's sound has come."""

    def __init__(self) -> None:
        self.heard_at: float = 0.0
        self._behind = math.inf  # the clock minus media time

    def hear(self, seconds: float, at: float | None, now: float) -> None:
        """Sound of this length has come, from media time `at` on; None where it has none.

        It comes late by what the stages before needed, and by varying amounts: the least of them
        tells best when it was spoken. Clocks drift apart, so the least is let go slowly.
        """
        self.heard_at = (self.heard_at if at is None else at) + seconds
        self._behind = min(self._behind + _DRIFT * seconds, now - self.heard_at)

    def when(self, at: float) -> float:
        """Media time `at` on the clock; infinite where no sound has come."""
        return at + self._behind
