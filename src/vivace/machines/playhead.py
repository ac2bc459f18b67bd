"""Until when what has left is played.

This file owns the arithmetic of the schedule, and what lateness is.
"""

from __future__ import annotations

import math

from vivace.audio import AudioFormat

__all__ = ["Playhead"]

# A chunk that is late by less is a hiccup of the machine, and the schedule stands: so there is no
# drift. Later than that, the listener has heard a gap, and the schedule starts anew.
_HICCUP_S = 0.1
_TINY_S = 1e-6  # what floats lose is no gap


class Playhead:
    """The end of all that has left, on the clock; -inf before anything has.

    Frames are counted and seconds never added, so that it is exact for ever.
    """

    __slots__ = ("_frames", "_from", "_rate", "lag_s")

    def __init__(self) -> None:
        self.lag_s = 0.0  # how late chunks left of late
        self.restart(-math.inf)

    @property
    def at(self) -> float:
        """The moment at which the next chunk is to be played."""
        return self._from + self._frames / self._rate

    def restart(self, at: float = -math.inf) -> None:
        """The next chunk is played at `at`; -inf: when it leaves."""
        self._from, self._frames, self._rate = at, 0, 1

    def starved_s(self, now: float) -> float:
        """For how long all has been played; inf if nothing ever was, 0 if something still is."""
        gap_s = now - self.at
        return gap_s if gap_s > _TINY_S else 0.0

    def late(self, by_s: float) -> None:
        """A chunk left so late. It is forgotten within some twenty chunks."""
        self.lag_s = max(by_s, self.lag_s * 0.9)

    def play(self, pcm: bytes, fmt: AudioFormat, now: float) -> tuple[float, float]:
        """Put `pcm` at the end: when it is to be played, and the gap before it in seconds."""
        gap_s = now - self.at
        if gap_s > _HICCUP_S:
            self.restart(now)
        starts_at = self.at
        if fmt.rate != self._rate:
            self._from, self._frames, self._rate = starts_at, 0, fmt.rate
        self._frames += len(pcm) // fmt.frame_bytes
        return starts_at, gap_s if _HICCUP_S < gap_s < math.inf else 0.0
