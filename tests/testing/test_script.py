import asyncio
from collections.abc import AsyncIterator

import pytest

from vivace.errors import PartError
from vivace.flow.clock import now
from vivace.flow.processor import processor
from vivace.part import Data, Part
from vivace.testing.script import play, timeline

pytestmark = pytest.mark.virtual


@processor
async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        await asyncio.sleep(0.25)
        yield part


async def test_a_timeline_keeps_its_times() -> None:
    """Each part comes at its time, counted from the first step; plain values become parts."""
    await asyncio.sleep(1.0)
    part = Part("b")
    seen = [(now(), it) async for it in timeline([(0.0, "a"), (0.3, part), (0.3, {"c": 1})])]
    assert seen == [(1.0, Part("a")), (1.3, part), (1.3, Part(Data({"c": 1})))]


async def test_a_late_reader_does_not_shift_a_timeline() -> None:
    """Who is late gets what is due at once, and the rest in time."""
    seen = []
    async for part in timeline([(0.0, "a"), (0.1, "b"), (2.0, "c")]):
        seen.append((now(), part.text))
        await asyncio.sleep(0.5)
    assert seen == [(0.0, "a"), (0.5, "b"), (2.0, "c")]


async def test_what_is_no_part_fails() -> None:
    """A script with something else in it is refused."""
    with pytest.raises(PartError):
        await play(slow, [(0.0, object())])


@pytest.mark.virtual(seeds=20)
async def test_play_tells_what_came_out_and_when() -> None:
    """Times are from the start of the play, to a microsecond."""
    await asyncio.sleep(1.0)
    seen = await play(slow, [(0.0, "a"), (1.0, "b"), (1.0, "c")])
    assert [(at, part.text) for at, part in seen] == [(0.25, "a"), (1.25, "b"), (1.5, "c")]


async def test_play_leaves_nothing_behind() -> None:
    """An error in the middle of a play is raised, and the script is closed."""

    @processor
    async def breaks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "b":
                raise ValueError("broken")
            yield part

    with pytest.raises(ValueError, match="broken"):
        await play(breaks, [(0.0, "a"), (1.0, "b"), (2.0, "c")])
    assert now() == 1.0
    assert asyncio.all_tasks() == {asyncio.current_task()}
