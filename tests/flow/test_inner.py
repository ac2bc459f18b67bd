import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from vivace.flow.clock import now
from vivace.flow.inner import Inner
from vivace.flow.processor import Processor, processor
from vivace.flow.run import Run, current_run
from vivace.flow.scope import AbandonedTask
from vivace.part import Interrupted, Part
from vivace.testing.script import play

pytestmark = pytest.mark.virtual


def within(stage: Processor, *, hidden: str = "") -> Processor:
    """A stage that is nothing but `stage` in a run of its own."""

    @processor
    async def wraps(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def give() -> Part:
            return await anext(stream)

        async with Inner(stage, give, lambda part: part.text != hidden) as parts:
            async for part in parts:
                yield part

    return wraps


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


async def numbers(log: list[str], count: int = 1000, every_s: float = 0.0) -> AsyncGenerator[Part]:
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(f"pull {n}")
            yield Part(str(n))
    finally:
        log.append("closed")


@pytest.mark.virtual(seeds=20)
async def test_what_passes_is_what_the_stage_puts_out() -> None:
    """A run of its own changes nothing; what is to stay hidden does not come out."""
    source = list("abc")
    assert [part.text async for part in within(copy)(source)] == source
    assert [part.text async for part in within(within(copy) + copy)(source)] == source
    assert [part.text async for part in within(copy, hidden="b")(source)] == ["a", "c"]
    assert [part.text async for part in within(copy)([])] == []


@pytest.mark.parametrize("agent", [copy, within(copy), within(within(copy)), copy + within(copy)])
@pytest.mark.virtual(seeds=20)
async def test_it_is_no_further_ahead_than_any_other_stage(agent: Processor) -> None:
    """One part is pulled for each that the consumer takes, with an inner run or without."""
    log: list[str] = []
    async with agent.run(numbers(log)) as parts:
        for pulled in (1, 2, 3):
            await anext(parts)
            await asyncio.sleep(10.0)
            assert len(log) == pulled


async def test_input_is_given_only_while_somebody_waits_for_output() -> None:
    """A stage that reads in a task of its own is given nothing while its output waits."""
    log: list[str] = []

    @processor
    async def greedy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        heard = asyncio.Event()

        async def read() -> None:
            async for _ in stream:
                heard.set()

        current_run().start(read(), "read")
        while True:
            await heard.wait()
            heard.clear()
            yield Part("heard")

    async with within(greedy).run(numbers(log, every_s=1.0)) as parts:
        await anext(parts)
        assert len(log) == 1
        await asyncio.sleep(10.5)
        assert len(log) == 2  # the second had been asked for before


@pytest.mark.virtual(seeds=50)
async def test_an_interruption_of_what_it_just_put_out_stops_nothing() -> None:
    """A part that is void before anybody took it does not keep the stage from its next input."""

    async def interrupt(run: Run) -> None:
        run.bus.announce(Interrupted(1))

    @processor
    async def speaks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "old":
                # It runs when the stage has asked for more, and nobody has taken what it put out.
                current_run().start(interrupt(current_run()), "interrupt")
                yield Part("void", role="model", turn=1)
            else:
                yield part

    seen = [part.text async for part in (within(speaks) + copy)(["old", "new"]) if part.text]
    assert seen[-1] == "new"


async def test_what_is_said_aside_passes_at_once() -> None:
    """Side lanes of the inner run are side lanes of the outer one."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield Part("thinking", substream="status")
            await asyncio.sleep(5.0)
            yield part

    seen = await play(within(talks) + copy, [(0.0, "a"), (1.0, "b")])
    assert [(at, part.text) for at, part in seen] == [
        (0.0, "thinking"),
        (5.0, "a"),
        (5.0, "thinking"),
        (10.0, "b"),
    ]


async def test_ending_it_from_outside_is_an_error_after_what_came() -> None:
    """`fail` ends it with the error, unless a part came in the very same moment."""
    inner: list[Inner] = []

    @processor
    async def slowly(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for name in "ab":
            await asyncio.sleep(2.0)
            yield Part(name)

    async def give() -> Part:
        raise StopAsyncIteration

    @processor
    async def ends_it(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        inner.append(Inner(slowly, give))
        inner[0].fail(ValueError("before it began"))
        async with inner[0] as parts:
            async for part in parts:
                yield part

    seen = []
    loop = asyncio.get_running_loop()
    loop.call_at(3.0, lambda: inner[0].fail(ValueError("over")))
    with contextlib.suppress(ValueError):
        async for part in ends_it(None):
            seen.append((now(), part.text))
    assert (now(), seen) == (3.0, [(2.0, "a")])


async def test_a_part_of_the_same_moment_comes_before_the_error() -> None:
    """What was put out when the error was about to end it is taken, and nothing is lost."""

    @processor
    async def puts_out(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        await asyncio.sleep(1.0)
        yield Part("b")

    async def give() -> Part:
        raise StopAsyncIteration

    def put_out(part: Part) -> bool:
        if part.text == "b":  # it waits for its reader when the error comes
            asyncio.get_running_loop().call_soon(inner[0].fail, ValueError("too late"))
        return True

    inner: list[Inner] = []

    @processor
    async def wraps(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        inner.append(Inner(puts_out, give, put_out))
        async with inner[0] as parts:
            async for part in parts:
                yield part

    assert [part.text async for part in wraps(None)] == ["a", "b"]


@pytest.mark.virtual(seeds=20)
async def test_leaving_the_block_stops_the_stage_and_not_what_it_read_from() -> None:
    """After the block the stage is closed, and the input goes on for whoever reads it next."""
    log: list[str] = []

    @processor
    async def one_each(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def give() -> Part:
            return await anext(stream)

        for _ in range(3):
            async with Inner(tells, give) as parts:
                yield await anext(parts)

    @processor
    async def tells(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            log.append("stopped")

    assert [part.text async for part in one_each(list("abcde"))] == ["a", "b", "c"]
    assert log == ["stopped"] * 3


async def test_a_stage_that_will_not_stop_is_left_behind() -> None:
    """The block ends within the bound of a run, and a warning names the stage."""
    release = asyncio.Event()
    runs: list[Run] = []

    @processor
    async def stubborn(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    @processor
    async def leaves(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())

        async def give() -> Part:
            return await anext(stream)

        async with Inner(stubborn, give) as parts:
            yield await anext(parts)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await anext(parts)
        yield Part("left")

    with pytest.warns(AbandonedTask, match="stubborn"):
        seen = [(now(), part.text) async for part in leaves("x")]
    release.set()
    await asyncio.sleep(1.0)
    assert seen in ([(0.0, "a"), (2.0, "left")], [(0.0, "a"), (3.0, "left")])
