"""Which callback runs first, of those that asyncio may run in any order.

This file owns the seeded shuffle of a virtual loop.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Any

__all__ = ["Order", "stepped"]


class Order:
    """The order in which callbacks run that are ready in the same round, drawn from a seed.

    What asyncio promises, or its users rightly lean on, stays:
    - plain callbacks (`call_soon`, `add_done_callback`) run in the order they were scheduled;
    - a step of a task keeps its place relative to plain callbacks scheduled by the same task, or
      by the same outside (no task);
    - a task that yields (`sleep(0)`) goes on after all that it scheduled before.
    All else may change places: steps of different tasks, also of those that one task started or
    woke together, and timers for the same instant. Not every order is equally likely.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        # By id, since handles take no attributes; valid until the next shuffle, as all of them
        # stand in the queue until then.
        self._scheduled_by: dict[int, asyncio.Task[Any] | None] = {}

    def note(self, handle: asyncio.Handle, by: asyncio.Task[Any] | None) -> None:
        """Remember which task put `handle` into the queue; None for anything else."""
        self._scheduled_by[id(handle)] = by

    def shuffle_timers(self, due: list[asyncio.TimerHandle]) -> None:
        """Shuffle those of the same instant, in place."""
        if len(due) > 1:
            self._random.shuffle(due)
            due.sort(key=asyncio.TimerHandle.when)

    def shuffle(self, ready: deque[asyncio.Handle]) -> None:
        """Shuffle the queue of callbacks, in place."""
        if len(ready) < 2:
            self._scheduled_by.clear()
            return
        # Threads may append meanwhile: take a counted number from the left and put it back there.
        handles = [ready.popleft() for _ in range(len(ready))]
        keys = self._keys(handles)
        order = sorted(range(len(handles)), key=keys.__getitem__)
        ready.extendleft(handles[index] for index in reversed(order))
        self._scheduled_by.clear()

    def _keys(self, handles: list[asyncio.Handle]) -> list[float]:
        """A random number for each handle, above those of the handles it must come after."""
        keys: list[float] = []
        fence: dict[object, float] = {}  # per scheduler: what all of its later handles come after
        top: dict[object, float] = {}  # per scheduler: its last handle so far
        last_plain = 0.0
        for handle in handles:
            by = self._scheduled_by.get(id(handle))
            task = stepped(handle)
            if task is not None and task is not by:
                key = fence.get(by, 0.0) + self._random.random()
                top[by] = max(key, top.get(by, 0.0))
            else:
                floor = max(top.get(by, 0.0), last_plain if task is None else 0.0)
                key = fence[by] = top[by] = floor + self._random.random()
                last_plain = key if task is None else last_plain
            keys.append(key)
        return keys


def stepped(handle: asyncio.Handle) -> asyncio.Task[Any] | None:
    """The task of which `handle` is a step, or None if it is a plain callback."""
    # As asyncio's own debug output tells them apart: a step is a method bound to its task.
    owner = getattr(getattr(handle, "_callback", None), "__self__", None)
    return owner if isinstance(owner, asyncio.Task) else None
