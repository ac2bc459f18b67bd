"""The clock: the running loop's time, read here and nowhere else.

Seconds as a float, from an arbitrary start. On a virtual loop it is virtual time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["clock", "now", "now_anywhere", "sleep_until"]


def now() -> float:
    """Seconds on the running loop's clock. Raises RuntimeError outside a running loop."""
    return asyncio.get_running_loop().time()


def now_anywhere() -> float:
    """The same; where no loop runs, what the clock of a loop of asyncio's would read."""
    try:
        return now()
    except RuntimeError:
        return time.monotonic()


def clock() -> Callable[[], float]:
    """What `now` reads, for who reads it for every part. Raises RuntimeError outside a loop."""
    return asyncio.get_running_loop().time


async def sleep_until(at: float) -> None:
    """Return once the loop's clock has reached `at`; at once if it already has."""
    await asyncio.sleep(max(0.0, at - now()))
