"""The clock: the running loop's time, read here and nowhere else.

Seconds as a float, from an arbitrary start. On a virtual loop it is virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["clock", "now", "sleep_until"]


def now() -> float:
    """Seconds on the running loop's clock. Raises RuntimeError outside a running loop."""
    return asyncio.get_running_loop().time()


def clock() -> Callable[[], float]:
    """What `now` reads, for who reads it for every part. Raises RuntimeError outside a loop."""
    return asyncio.get_running_loop().time


async def sleep_until(at: float) -> None:
    """Return once the loop's clock has reached `at`; at once if it already has."""
    await asyncio.sleep(max(0.0, at - now()))
