"""The jobs for prompts, for everyone whose prompt takes parts and hands out what it has.

Only the standard library, as in serve.py.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.workers.jobs import peak
from bench.workers.serve import Job

__all__ = ["prompt_jobs"]

Add = Callable[[int], None]
"""Adds the user's part, or the model's if the number is odd."""
First = Callable[[], Awaitable[object]]
"""Begins a turn; returns once the first part of its prompt is there."""


def prompt_jobs(begin: Callable[[], tuple[Add, First]]) -> dict[str, Job]:
    """The jobs, for a library whose empty prompts `begin` makes."""

    async def prompt_add(parts: int, times: int) -> dict[str, Any]:
        add, _ = begin()
        for number in range(parts):
            add(number)
        gc.collect()
        took = []
        clock = time.perf_counter
        for number in range(times):
            since = clock()
            add(number)
            took.append(clock() - since)
        nothing = statistics.median([-(clock() - clock()) for _ in range(1000)])
        took.sort()
        return {
            "value": took[len(took) // 2] - nothing,
            "p99": took[len(took) * 99 // 100] - nothing,
            "most": took[-1] - nothing,
        }

    async def prompt_turn(parts: int, times: int) -> dict[str, Any]:
        add, first = begin()
        for number in range(parts):
            add(number)
        took = []
        for _ in range(times):
            since = time.perf_counter()
            await first()
            took.append(time.perf_counter() - since)
        return {"value": statistics.median(took)}

    async def prompt_memory(parts: int) -> dict[str, Any]:
        add, _ = begin()
        for number in range(10_000):
            add(number)
        before = peak()
        for number in range(parts):
            add(number)
        return {"value": peak() - before}

    return {"prompt_add": prompt_add, "prompt_turn": prompt_turn, "prompt_memory": prompt_memory}
