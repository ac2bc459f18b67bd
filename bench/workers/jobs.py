"""The jobs, for everyone whose chain is called with a source and gives a stream.

Only the standard library, as in serve.py.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.workers.serve import Job

__all__ = ["each", "jobs_of", "peak", "per_part", "source"]

Answer = dict[str, Any]
Agent = Callable[[Any], AsyncIterable[Any]]
Begin = Callable[[], AsyncIterable[Any]]


async def source(part: Any, parts: int) -> AsyncIterator[Any]:
    """The same part again and again."""
    for _ in range(parts):
        yield part


def jobs_of(agent_of: Callable[..., Agent], part: Any, one: Callable[[], Any]) -> dict[str, Job]:
    """The jobs for a library.

    agent_of: makes a chain of so many stages, and of one `kind` if that is given.
    part: what flows.
    one: gives a source of one text, as plain as the library takes it.
    """

    async def chain(parts: int, **given: Any) -> Answer:
        agent = agent_of(**given)
        return await per_part(lambda: agent(source(part, parts)), parts)

    async def first(times: int, **given: Any) -> Answer:
        agent = agent_of(**given)
        return {"value": await each(lambda: _first(lambda: agent(source(part, 2))), times)}

    async def whole(times: int, **given: Any) -> Answer:
        agent = agent_of(**given)
        return {"value": await each(lambda: _whole(lambda: agent(one())), times)}

    async def ahead(**given: Any) -> Answer:
        return {"value": await _ahead(agent_of(**given), part)}

    async def memory(parts: int, **given: Any) -> Answer:
        agent = agent_of(**given)
        await per_part(lambda: agent(source(part, 100)), 100)  # loads what it loads late
        before = peak()
        await per_part(lambda: agent(source(part, parts)), parts)
        return {"value": peak() - before}

    return {"chain": chain, "first": first, "whole": whole, "ahead": ahead, "memory": memory}


async def per_part(begin: Begin, parts: int) -> dict[str, float]:
    """What a part of a whole stream costs, from `begin` to its end; it must have `parts` parts.

    value: seconds of processor time, which what else the machine does hardly changes.
    wall: seconds on the clock.
    """
    count = 0
    begun, since = time.perf_counter(), time.process_time()
    async for _ in begin():
        count += 1
    cost, wall = time.process_time() - since, time.perf_counter() - begun
    if count != parts:
        raise ValueError(f"{count} parts came out where {parts} went in")
    return {"value": cost / parts, "wall": wall / parts}


async def each(once: Callable[[], Awaitable[float]], times: int) -> float:
    """The median of so many tries, one after the other."""
    return statistics.median([await once() for _ in range(times)])


async def _first(begin: Begin) -> float:
    """Seconds from `begin` to the first part; the rest is read, and not counted."""
    begun = time.perf_counter()
    stream = aiter(begin())
    await anext(stream)
    took = time.perf_counter() - begun
    async for _ in stream:
        pass
    return took


async def _whole(begin: Begin) -> float:
    """Seconds from `begin` to the end."""
    begun = time.perf_counter()
    async for _ in begin():
        pass
    return time.perf_counter() - begun


async def _ahead(agent: Agent, part: Any) -> int:
    """How many of 1,000 parts are taken from the source before the consumer asks for a second."""
    taken = 0

    async def counted() -> AsyncIterator[Any]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield part

    stream = aiter(agent(counted()))
    await anext(stream)
    await asyncio.sleep(0.05)  # time enough for whoever wants to run ahead
    found = taken - 1
    async for _ in stream:
        pass
    return found


def peak() -> int:
    """The most memory that this program has had, in bytes.

    Not what `getrusage` tells, where the system tells more: on Linux that begins with the size of
    whoever started the process.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
