"""When what the user said was said: media time of the sound, on the clock."""

from __future__ import annotations

import math

__all__ = ["HeardClock"]

_DRIFT = 1e-3  # seconds a second: far more than two clocks of quartz ever do
_BURST_WITHIN_S = 2.0  # so soon does it come, once it goes on
_BURST_S, _BURST = 0.3, 0.4  # so much at once, and of the time that it was stuck, is no jitter
_MUTED_S = 0.5  # so much later than usual: a closed microphone rather than a slow network


class HeardClock:
    """heard_at: media time up to which the user's sound has come.

    It comes late by what the stages before needed, and by varying amounts: the least of them is
    usual, and tells best when it was spoken. Clocks drift apart, so the least is let go slowly.

    Media time stands still while a microphone is closed, and then what is usual begins anew. Where
    the sound was only stuck on its way, much of it comes in a burst: what was usual still is.
    """

    __slots__ = ("_behind", "_came_at", "_gap", "_usual", "heard_at")

    def __init__(self) -> None:
        self.heard_at: float = 0.0
        self._behind = math.inf  # the clock minus media time
        self._came_at = math.inf  # the newest sound, on the clock
        self._gap = 0.0, 0.0, 0.0  # when media time had stood still, how long, how late that was
        self._usual = math.inf  # before it, as long as that may still be so

    def hear(self, seconds: float, at: float | None, now: float) -> float:
        """Sound of this length has come, from media time `at` on; None where it has none.

        Returns how late it is beyond what is usual: so long it has waited somewhere.
        """
        heard_at = (self.heard_at if at is None else at) + seconds
        stood_still_s = now - self._came_at - (heard_at - self.heard_at)
        # A stage that needs longer than a chunk lasts is slow, however long the chunks are.
        if stood_still_s > _MUTED_S + seconds:
            if math.isinf(self._usual):
                self._usual = self._behind
            self._gap = now, stood_still_s, now - heard_at
            self._behind = math.inf
        elif not math.isinf(self._usual):
            self._was_stuck(now, now - heard_at)
        self._behind += _DRIFT * max(0.0, heard_at - self.heard_at)
        self.heard_at, self._came_at = heard_at, now
        self._behind = min(self._behind, now - heard_at)
        return now - heard_at - self._behind

    def _was_stuck(self, now: float, behind: float) -> None:
        """Was it, or is the microphone open again? Sound comes as fast as it is made, then."""
        since, stood_still_s, late = self._gap
        if late - behind >= max(_BURST_S, _BURST * stood_still_s):
            self._behind, self._usual = min(self._behind, self._usual), math.inf
        elif now - since > min(stood_still_s, _BURST_WITHIN_S):
            self._usual = math.inf

    def no_later(self, at: float) -> float:
        """Media time `at`, or the newest that there is sound of, if that is earlier."""
        newest = math.inf if math.isinf(self._behind) else self.heard_at
        return at if at < newest else self.heard_at  # nor is it later if it is no number

    def when(self, at: float) -> float:
        """Media time `at` on the clock; infinite where no sound has come."""
        return at + self._behind
