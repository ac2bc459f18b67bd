"""A growing prompt as a stream."""

import asyncio

import pytest

from vivace.errors import PromptChanged
from vivace.flow.reading import read
from vivace.machines.window import Window
from vivace.part import Part

pytestmark = pytest.mark.virtual


async def test_a_reader_waits_for_what_comes() -> None:
    """It has what is there at once, each further part when it is added, then the end."""
    window = Window()
    window.add(Part("one"), 0.0)
    pending, _ = window.pending(0.0)
    seen: list[tuple[float, str]] = []

    async def reader() -> None:
        async for part in read(pending):
            seen.append((asyncio.get_running_loop().time(), part.text))

    task = asyncio.create_task(reader())
    await asyncio.sleep(1.0)
    window.add(Part("two"), 1.0)
    window.add(Part("three"), 1.0)
    await asyncio.sleep(1.0)
    window.finalize()
    await task
    assert seen == [(0.0, "one"), (1.0, "two"), (1.0, "three")]


async def test_a_prompt_that_is_complete_needs_no_waiting() -> None:
    """All of it is read at once."""
    window = Window()
    window.add(Part("one"), 0.0)
    pending, _ = window.pending(0.0)
    window.finalize()
    assert [part.text async for part in read(pending)] == ["one"]


async def test_a_reader_that_waits_is_told_of_a_change() -> None:
    """It raises at once, not with the next part."""
    window = Window()
    window.add(Part("one", role="model", turn=1), 0.0)
    pending, _ = window.pending(0.0)
    stream = read(pending)
    await anext(stream)
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.0)
    window.cut_reply(1, 0.0, heard="on")
    with pytest.raises(PromptChanged):
        await task


@pytest.mark.parametrize("later_s", [0.0, 1.0])
async def test_a_reader_that_leaves_is_forgotten(later_s: float) -> None:
    """Cancelled while it waits; what comes then disturbs nobody, and another one reads it."""
    window = Window()
    pending, _ = window.pending(0.0)
    stream = read(pending)
    tasks = [asyncio.ensure_future(anext(stream)) for _ in range(2)]
    await asyncio.sleep(1.0)
    tasks[0].cancel()
    if later_s:
        await asyncio.sleep(later_s)
    window.add(Part("one"), 1.0)
    part = await tasks[1]
    assert part.text == "one"
    assert tasks[0].cancelled()
