"""What a pacer has done, in numbers."""

from __future__ import annotations

import msgspec

__all__ = ["PacingCounts", "PacingReport"]


class PacingReport(msgspec.Struct, frozen=True):
    """What one run of a pacer has done, or several together. What ends in `_s` is in seconds.

    taken_s: of sound that came; it was played, cut by an interruption, refused since its reply was
        void, or still waits. chunks_played: what the played sound left in.
    interruptions: replies that were cut short. refused: parts of void replies that came late.
    holds: how often replies were held; held_s: for how long in all.
    buffer_underruns: gaps within a reply since its sound came too late; underrun_s: their length.
    stalls: gaps since the consumer or the loop was too late; stalled_s: their length.
    latest_s: how late the latest chunk left, which only a stall lets anyone hear.
    """

    chunks_played: int = 0
    interruptions: int = 0
    buffer_underruns: int = 0
    refused: int = 0
    holds: int = 0
    stalls: int = 0
    taken_s: float = 0.0
    played_s: float = 0.0
    cut_s: float = 0.0
    refused_s: float = 0.0
    underrun_s: float = 0.0
    held_s: float = 0.0
    stalled_s: float = 0.0
    latest_s: float = 0.0


class PacingCounts:
    """The numbers while they grow.

    above: counts that grow along: those of all runs, mostly.
    """

    def __init__(self, above: PacingCounts | None = None) -> None:
        self._above = above
        self._numbers: dict[str, float] = {}

    def add(self, name: str, by: float = 1) -> None:
        """Add to one of the numbers of PacingReport."""
        self._numbers[name] = self._numbers.get(name, 0) + by
        if self._above is not None:
            self._above.add(name, by)

    def late(self, by_s: float) -> None:
        """A chunk left late by so much."""
        if by_s > self._numbers.get("latest_s", 0.0):
            self._numbers["latest_s"] = by_s
            if self._above is not None:
                self._above.late(by_s)

    def report(self) -> PacingReport:
        """The numbers as they are now, to a microsecond."""
        numbers = {name: round(number, 6) for name, number in self._numbers.items()}
        return msgspec.convert(numbers, PacingReport)
