"""What a pacer has done, in numbers."""

from __future__ import annotations

from collections.abc import Callable

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
    tell: gets how late each chunk left, as `late_s`, and whatever else is counted, by its name.
    """

    __slots__ = ("_above", "_chunks", "_latest_s", "_numbers", "_played_s", "_taken_s", "_tell")

    def __init__(
        self,
        above: PacingCounts | None = None,
        tell: Callable[[str, float], object] | None = None,
    ) -> None:
        self._above = above
        self._tell = tell
        self._chunks = 0
        self._taken_s = self._played_s = self._latest_s = 0.0
        self._numbers: dict[str, float] = {}  # what is rare

    def came(self, seconds: float) -> None:
        """So much sound came."""
        self._taken_s += seconds
        if self._above is not None:
            self._above.came(seconds)

    def played(self, seconds: float, late_s: float) -> None:
        """A chunk of so much left, and so late."""
        self._chunks += 1
        self._played_s += seconds
        self._latest_s = max(self._latest_s, late_s)
        if self._above is not None:
            self._above.played(seconds, late_s)
        if self._tell is not None:
            self._tell("late_s", late_s)

    def add(self, name: str, by: float = 1) -> None:
        """Add to any other number of PacingReport."""
        self._numbers[name] = self._numbers.get(name, 0) + by
        if self._above is not None:
            self._above.add(name, by)
        if self._tell is not None:
            self._tell(name, by)

    def report(self) -> PacingReport:
        """The numbers as they are now, to a microsecond."""
        often = {"taken_s": self._taken_s, "played_s": self._played_s, "latest_s": self._latest_s}
        numbers = {name: round(number, 6) for name, number in {**self._numbers, **often}.items()}
        return msgspec.convert({"chunks_played": self._chunks, **numbers}, PacingReport)
