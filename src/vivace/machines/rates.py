"""How often things happen: per second of the last minute, and among the newest so many steps.

This file owns forgetting: what has left the window counts no more, so a rate that was bad
recovers, and one that was good proves nothing of now.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from vivace.errors import MetricsError

__all__ = ["PerSecond", "Shares"]

_SLICES = 10


class PerSecond:
    """The rate of a number that only grows, over the last `window_s` seconds.

    window_s: above 0. It is looked at in sixty steps, so the window is up to a sixtieth longer.
    """

    __slots__ = ("_notes", "_step_s", "_window_s")

    def __init__(self, window_s: float = 60.0) -> None:
        if not window_s > 0:
            raise MetricsError(f"{window_s!r} seconds are no window; use more than 0")
        self._window_s = window_s
        self._step_s = window_s / 60
        self._notes: deque[tuple[float, float]] = deque()

    def note(self, total: float, now: float) -> None:
        """The number is `total` now. Noted once a step; a clock that goes back begins anew."""
        if self._notes and now < self._notes[-1][0]:
            self._notes.clear()
        if self._notes and now - self._notes[-1][0] < self._step_s:
            return
        self._notes.append((now, total))
        # The one that is at the window's edge stays: from there it is counted.
        while len(self._notes) > 1 and self._notes[1][0] <= now - self._window_s:
            self._notes.popleft()

    def rate(self, total: float, now: float) -> float | None:
        """How much it grew a second; None before there is a second look at it."""
        self.note(total, now)
        at, then = self._notes[0]
        edge = now - self._window_s
        if (
            at < edge and len(self._notes) > 1
        ):  # nobody has looked for a while: as if it grew evenly
            after, more = self._notes[1]
            at, then = edge, then + (more - then) * (edge - at) / (after - at)
        return (total - then) / (now - at) if now > at else None


class Shares:
    """How many of the newest `size` steps something happened in, or up to a tenth fewer steps.

    A step is a part, or a turn. What happens before the first step counts with it.
    """

    __slots__ = ("_counts", "_happened", "_most", "_size", "_steps")

    def __init__(self, size: int) -> None:
        if size < 1:
            raise MetricsError(f"a window of {size} steps holds none; use 1 or more")
        self._size = -(-size // _SLICES)
        self._most = size // self._size
        # New lists at each move, so that another thread may go on to read the old ones.
        self._steps: list[int] = [0]
        self._counts: list[Counter[str]] = [Counter()]
        self._happened: Counter[str] = Counter()

    def step(self) -> None:
        """One more step."""
        if self._steps[-1] >= self._size:
            gone = len(self._steps) == self._most
            self._steps = [*self._steps[gone:], 0]
            self._counts = [*self._counts[gone:], Counter()]
        self._steps[-1] += 1

    def happened(self, what: str, times: float = 1) -> None:
        """It happened in the newest step. times: a count, or an amount."""
        self._counts[-1][what] += times  # type: ignore[assignment]  # amounts add up as well
        self._happened[what] += times  # type: ignore[assignment]

    @property
    def steps(self) -> int:
        """Steps in the window."""
        return sum(self._steps)

    @property
    def ever(self) -> Mapping[str, float]:
        """How often each thing has happened, since the beginning."""
        return self._happened

    def recent(self, what: str) -> float:
        """How often it has happened in the window."""
        return sum(counts[what] for counts in self._counts)

    def share(self, what: str) -> float | None:
        """How often it happened a step; None as long as nothing has happened, and no step came."""
        times, steps = self.recent(what), self.steps
        return times / max(1, steps) if times or steps else None
