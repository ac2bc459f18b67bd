"""What fails before its consumer hears of it keeps nothing alive, and loses nothing."""

import asyncio
import gc
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest

from vivace import Interrupted, Part, part_processor, processor
from vivace.flow.bus import Bus
from vivace.flow.run import current_run
from vivace.flow.untold import Untold
from vivace.part import TurnComplete


@part_processor
def bad(part: Part) -> Part:
    if part.text == "2":
        raise LookupError("no such part")
    return part


@processor
async def interrupts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        if part.text == "2":
            current_run().bus.announce(Interrupted(1))
        yield part


@processor
async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        if part.text == "2":
            yield Part("two", substream="status")
        yield part


@processor
async def works(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """With a task that would never end by itself."""
    current_run().start(asyncio.sleep(1e6), "never ends")
    async for part in stream:
        yield part


@processor
async def within(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in (talks + bad)(stream):
        yield part


async def source(seen: list[str]) -> AsyncIterator[Part]:
    try:
        for n in range(5):
            yield Part(str(n))
    finally:
        seen.append("source closed")


def errors_told() -> list[Any]:
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(context.get("exception"))
    )
    return told


@pytest.mark.parametrize(
    "agent",
    [interrupts + bad, talks + bad, works + talks + bad, within, works + within],
    ids=["interrupted", "said aside", "with a task", "nested", "nested, with a task"],
)
async def test_dropped_before_it_is_told(agent: Any) -> None:
    """Whoever takes what came before an error, and goes, leaves nothing behind; it is reported."""
    seen: list[str] = []
    told = errors_told()

    async def consumer() -> None:
        parts = agent(source(seen))  # by name: a frame that lives on keeps it
        async for part in parts:
            if part.substream or isinstance(part.body, Interrupted | TurnComplete):
                break

    await asyncio.create_task(consumer())
    gc.collect()
    await asyncio.sleep(1)
    assert seen == ["source closed"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert [str(error) for error in told] == ["no such part"]
    assert "in bad" in "".join(traceback.format_exception(told[0]))


@pytest.mark.parametrize("agent", [talks + bad, works + within], ids=["outside", "nested"])
async def test_told_with_its_traceback(agent: Any) -> None:
    """An error that had to wait says where it was raised."""
    seen: list[str] = []
    with pytest.raises(LookupError, match="no such part") as raised:
        async for _ in agent(source(seen)):
            pass
    assert "bad" in [entry.name for entry in raised.traceback]


async def test_closed_before_it_is_told() -> None:
    """Closing raises what the consumer has not been told of, with its traceback."""
    parts = (talks + bad)(source([]))
    while not (await anext(parts)).substream:
        pass
    with pytest.raises(LookupError) as raised:
        await parts.aclose()
    assert "bad" in [entry.name for entry in raised.traceback]


def raised_from() -> BaseExceptionGroup[Exception]:
    try:
        try:
            raise ValueError("first")
        except ValueError as error:
            raise KeyError("second") from error
    except KeyError as error:
        group = ExceptionGroup("both", [error])
    group.__context__ = group.exceptions[0]  # a circle ends
    return group


def test_all_that_an_error_carries() -> None:
    """Causes, contexts and members of groups are taken apart as well."""
    group, untold, run = raised_from(), Untold(), object()
    second = group.exceptions[0]
    first = second.__cause__
    assert first is not None
    kept = first.__traceback__, second.__traceback__
    untold.part(run, group)
    assert (first.__traceback__, second.__traceback__) == (None, None)
    untold.join(object())
    assert first.__traceback__ is None
    untold.join(run)
    assert (first.__traceback__, second.__traceback__) == kept


def test_raised_again_meanwhile() -> None:
    """The traceback of an error that somebody has raised since is newer, and stays."""
    untold, run, error = Untold(), object(), ValueError()
    try:
        raise error
    except ValueError:
        untold.part(run, error)
    try:
        raise error
    except ValueError:
        newer = error.__traceback__
    untold.join(run)
    assert error.__traceback__ is newer


async def test_who_reads_on_is_told_though_nobody_has_the_stream() -> None:
    """Where the outermost stream is gone, nothing is kept: the error is raised as it is."""
    assert Bus(lambda part: None).untold() is None

    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
        current_run().bus.untold = lambda: None
        raise LookupError("no more")

    seen: list[str] = []

    async def read() -> None:
        async for part in fails(["a", "b"]):
            seen.append(part.text)

    with pytest.raises(LookupError, match="no more"):
        await read()
    assert seen == ["a", "b"]
