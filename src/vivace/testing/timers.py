"""The timers of a virtual loop, by their time and then by the order in which they were set."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math

__all__ = ["Timers"]


class Timers:
    """A heap of timers. Those that were cancelled cost nothing for long.

    Of our own rather than asyncio's: that one has a tolerance (`_clock_resolution`) within which
    timers fire early, and no order among equals.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = itertools.count()
        self._sweep_at = 256

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, timer: asyncio.TimerHandle) -> None:
        """Keep `timer` until it is due or cancelled."""
        heapq.heappush(self._heap, (timer.when(), next(self._count), timer))
        if len(self._heap) > self._sweep_at:
            self._sweep()

    def next_at(self) -> float:
        """When the first is due; infinity if there is none."""
        while self._heap and self._heap[0][2].cancelled():
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def due(self, now: float) -> list[asyncio.TimerHandle]:
        """Take out those that are due, in order."""
        due = []
        while self.next_at() <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due

    def _sweep(self) -> None:
        """Forget cancelled timers; done when their number may have doubled, so it costs O(1)."""
        self._heap = [entry for entry in self._heap if not entry[2].cancelled()]
        heapq.heapify(self._heap)
        self._sweep_at = max(256, 2 * len(self._heap))
