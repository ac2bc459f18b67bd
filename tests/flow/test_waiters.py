"""All who wait are woken at once, and nobody is woken twice."""

import asyncio

import pytest

from vivace.flow.clock import now
from vivace.flow.waiters import Waiters

pytestmark = pytest.mark.virtual


async def test_all_are_woken() -> None:
    """Three wait, one gives up: the others go on when they are woken, and the next waits anew."""
    waiters, woken = Waiters(), list[tuple[str, float]]()

    async def wait(name: str) -> None:
        await waiters.wait()
        woken.append((name, now()))

    assert not waiters
    tasks = {name: asyncio.create_task(wait(name)) for name in "abc"}
    await asyncio.sleep(1.0)
    assert waiters
    tasks["b"].cancel()
    await asyncio.sleep(1.0)
    waiters.wake()
    assert not waiters
    tasks["d"] = asyncio.create_task(wait("d"))
    await asyncio.sleep(1.0)
    assert sorted(woken) == [("a", 2.0), ("c", 2.0)]
    assert waiters
    waiters.wake()
    await asyncio.wait(tasks.values())
    assert sorted(woken) == [("a", 2.0), ("c", 2.0), ("d", 3.0)]


async def test_who_gives_up_just_then_is_not_woken() -> None:
    """Cancelled and woken in the same moment, it is cancelled, and wakes nobody else."""
    waiters = Waiters()
    waiting = asyncio.create_task(waiters.wait())
    await asyncio.sleep(1.0)
    waiting.cancel()
    waiters.wake()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert not waiters
