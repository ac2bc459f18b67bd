"""A stream as a timeline: what goes in when, and what came out when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from vivace.flow.clock import now, sleep_until
from vivace.flow.processor import Processor
from vivace.part import Part

__all__ = ["play", "timeline"]


async def timeline(script: Sequence[tuple[float, Any]]) -> AsyncIterator[Part]:
    """Yield each part (or what `Part.of` takes) at its time, in seconds from now."""
    start = now()
    for at, value in script:
        await sleep_until(start + at)
        yield Part.of(value)


async def play(
    processor: Processor, script: Sequence[tuple[float, Any]]
) -> list[tuple[float, Part]]:
    """Run `script` through `processor`; return what came out, each with its time.

    Times are seconds from the start, rounded to a microsecond.
    """
    start = now()
    seen = []
    async with processor.run(timeline(script)) as parts:
        async for part in parts:
            seen.append((round(now() - start, 6), part))
    return seen
