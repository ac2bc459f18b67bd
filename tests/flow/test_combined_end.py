"""However a combined stream ends: nothing is left, whatever it is combined of."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from vivace.flow.clock import now
from vivace.flow.combine import concat, merge
from vivace.flow.drive import drive
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor, processor
from vivace.flow.scope import AbandonedTask
from vivace.flow.source import source
from vivace.flow.split import split
from vivace.flow.switch import pass_through, switch
from vivace.machines.machine import Machine
from vivace.part import Part

pytestmark = pytest.mark.virtual

BOUND_S = 2.0  # what DESIGN.md promises for leaving early
Made = AsyncIterator[Part]
Numbers = Callable[[], AsyncIterator[Part]]


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may make asyncio complain: no "Task was destroyed", no exception never retrieved."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.records]
    complaints = [it.getMessage() for it in records if it.levelno >= logging.WARNING]
    assert complaints == []


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


@processor
async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        await asyncio.sleep(0.25)
        yield part


@part_processor
async def slow_function(part: Part) -> Part:
    await asyncio.sleep(0.25)
    return part


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Machine(), capacity=2)


def odd(part: Part) -> bool:
    return part.text[-1] in "13579"


def beside(make: Callable[[Made], Made]) -> Processor:
    """A stage that reads what `make` makes of its stream."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        made: Any = make(stream)
        async with made:
            async for part in made:
                yield part

    return stage


def merged_branches(numbers: Numbers) -> Made:
    one, two = split(numbers(), 2)
    return merge(slow(one), Driven()(two))


def with_source(numbers: Numbers, ends: Any) -> Processor:
    return source(ends=ends)(numbers)()


STREAMS: dict[str, Callable[[Numbers], Made]] = {
    "merge": lambda numbers: merge(numbers(), numbers(), ends="all"),
    "merge, first": lambda numbers: merge(numbers(), numbers(), ends="first"),
    "merge of runs": lambda numbers: merge((copy + Driven())(numbers()), slow(numbers())),
    "merge in a stage": lambda numbers: (
        Driven() + beside(lambda stream: merge(stream, numbers())) + copy
    )(numbers()),
    "concat": lambda numbers: concat(numbers(), numbers()),
    "concat of runs": lambda numbers: concat((copy + Driven())(numbers()), Driven()(numbers())),
    "concat in a stage": lambda numbers: (copy + beside(lambda stream: concat(stream, numbers())))(
        numbers()
    ),
    "split": lambda numbers: split(numbers(), 1)[0],
    "split of a run": lambda numbers: split((copy + Driven())(numbers()), 1)[0],
    "split and merged": merged_branches,
    "split in a stage": lambda numbers: (copy + beside(lambda stream: split(stream, 1)[0]))(
        numbers()
    ),
    "switch": lambda numbers: switch((odd, copy + slow), default=copy)(numbers()),
    "switch of machines": lambda numbers: switch((odd, Driven()), default=Driven() + copy)(
        numbers()
    ),
    "switch of functions": lambda numbers: switch((odd, slow_function), default=pass_through)(
        numbers()
    ),
    "switch in a chain": lambda numbers: (
        Driven() + switch((odd, slow), default=copy) + Driven() + copy
    )(numbers()),
    "source": lambda numbers: (copy + with_source(numbers, "all") + Driven())(numbers()),
    "source, first": lambda numbers: (with_source(numbers, "first") + copy)(numbers()),
}
each_stream = pytest.mark.parametrize("make", STREAMS.values(), ids=STREAMS.keys())


# -- ways to end

Log = list[str]


def numbers_of(log: Log, count: int = 1000, every_s: float = 0.0) -> Numbers:
    async def numbers() -> AsyncGenerator[Part, None]:
        log.append("begun")
        try:
            for n in range(count):
                if every_s:
                    await asyncio.sleep(every_s)
                yield Part(str(n))
        finally:
            log.append("closed")

    return numbers


Make = Callable[[Numbers], Any]


async def exhausted(make: Make, log: Log) -> None:
    assert len([part async for part in make(numbers_of(log, 5))]) >= 5


async def left_by_break(make: Make, log: Log) -> None:
    async for _ in make(numbers_of(log)):
        break
    await asyncio.sleep(BOUND_S)


async def left_by_break_in_a_block(make: Make, log: Log) -> None:
    seen = 0
    async with make(numbers_of(log)) as parts:
        async for _ in parts:
            seen += 1
            if seen == 4:
                break


async def closed(make: Make, log: Log) -> None:
    parts = make(numbers_of(log))
    await anext(parts)
    await asyncio.sleep(1.0)
    await parts.aclose()
    await parts.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(parts)


async def cancelled_while_it_waits(make: Make, log: Log) -> None:
    async def consume() -> None:
        async for _ in make(numbers_of(log, every_s=10.0)):
            raise AssertionError

    task = asyncio.create_task(consume())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def cancelled_while_it_works(make: Make, log: Log) -> None:
    async def consume() -> None:
        async with make(numbers_of(log)) as parts:
            async for _ in parts:
                await asyncio.sleep(0.75)

    task = asyncio.create_task(consume())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def cancelled_twice(make: Make, log: Log) -> None:
    async def consume() -> None:
        async for _ in make(numbers_of(log, every_s=0.1)):
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await asyncio.sleep(BOUND_S)


async def timed_out(make: Make, log: Log) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0), make(numbers_of(log, every_s=10.0)) as parts:
            await anext(parts)


async def failed_inside(make: Make, log: Log) -> None:
    numbers = numbers_of(log)

    async def fails() -> AsyncIterator[Part]:
        async with contextlib.aclosing(numbers()) as parts:  # type: ignore[type-var]
            async for part in parts:
                if part.text == "3":
                    raise ValueError("broken")
                yield part

    async def consume() -> None:
        async for _ in make(fails):
            await asyncio.sleep(0.1)

    with pytest.raises(ValueError, match="broken"):
        await consume()


async def failed_outside(make: Make, log: Log) -> None:
    async def consume() -> None:
        async for part in make(numbers_of(log)):
            assert part.text == "not this"

    with pytest.raises(AssertionError):
        await consume()
    await asyncio.sleep(BOUND_S)


async def collected(make: Make, log: Log) -> None:
    parts = make(numbers_of(log))
    await anext(parts)
    cycle: list[Any] = [parts]
    cycle.append(cycle)
    del parts, cycle
    gc.collect()
    await asyncio.sleep(BOUND_S)


ENDS = [
    exhausted,
    left_by_break,
    left_by_break_in_a_block,
    closed,
    cancelled_while_it_waits,
    cancelled_while_it_works,
    cancelled_twice,
    timed_out,
    failed_inside,
    failed_outside,
    collected,
]


@each_stream
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.virtual(seeds=3)
async def test_however_it_ends_nothing_is_left(
    make: Make, end: Callable[[Make, Log], Awaitable[None]]
) -> None:
    """Whatever ends it and whatever it is made of: tasks are gone, what was begun is closed."""
    log: Log = []
    await end(make, log)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log.count("begun") == log.count("closed") >= 1


@each_stream
async def test_nothing_begins_before_the_first_part(make: Make) -> None:
    """A stream that nobody reads starts nothing, and may be closed or dropped."""
    log: Log = []
    parts = make(numbers_of(log))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await parts.aclose()
    del parts
    make(numbers_of(log))
    gc.collect()
    await asyncio.sleep(BOUND_S)
    assert log == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


# -- sources that hang


class Hang:
    """A source of one part that hangs when it is asked for more, or when it is closed."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def waits(self) -> AsyncIterator[Part]:
        yield Part("1")
        await self.release.wait()

    async def cleans_for_ever(self) -> AsyncIterator[Part]:
        try:
            yield Part("1")
            yield Part("1")
            yield Part("1")
            await self.release.wait()
        finally:
            await self.release.wait()

    async def swallows(self) -> AsyncIterator[Part]:
        yield Part("1")
        while not self.release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.release.wait()
        yield Part("1")
        yield Part("1")


HANGING: dict[str, Callable[[Numbers, Numbers], Any]] = {
    "merge": lambda hangs, numbers: merge(hangs(), numbers()),
    "concat": lambda hangs, numbers: merge(concat(hangs()), numbers()),
    "split": lambda hangs, numbers: merge(split(hangs(), 1)[0], numbers()),
    "switch": lambda hangs, numbers: switch((odd, copy), default=copy)(merge(hangs(), numbers())),
    "source": lambda hangs, numbers: source(hangs)()(numbers()),
}


@pytest.mark.parametrize("make", HANGING.values(), ids=HANGING.keys())
@pytest.mark.parametrize("kind", ["waits", "cleans_for_ever", "swallows"])
@pytest.mark.virtual(seeds=10)
async def test_a_source_that_hangs_keeps_nobody_longer_than_2_s(make: Any, kind: str) -> None:
    """Leaving takes 2 s at most, whatever hangs; then the other source is closed."""
    hang, log = Hang(), Log()
    parts = make(getattr(hang, kind), numbers_of(log, every_s=0.3))
    for _ in range(4):
        await anext(parts)
    await asyncio.sleep(1.0)
    at = now()
    with contextlib.suppress(AbandonedTask):
        await parts.aclose()
    took, log_then = now() - at, list(log)
    hang.release.set()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=60.0)
    await asyncio.sleep(BOUND_S)
    assert took <= (0.0 if kind == "waits" else BOUND_S)
    assert log_then == ["begun", "closed"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.virtual(seeds=10)
async def test_a_branch_that_hangs_is_bounded_and_named(swallows: bool) -> None:
    """A stage inside of a branch that will not stop costs 2 s, and the warning says which."""
    release, log = asyncio.Event(), Log()

    @processor
    async def hangs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    if not swallows:
                        raise
            yield part

    agent = copy + switch((odd, copy + hangs), default=copy) + copy
    parts = agent(numbers_of(log)())
    await anext(parts)
    await asyncio.sleep(1.0)
    at = now()
    with pytest.warns(AbandonedTask, match="hangs") if swallows else contextlib.nullcontext():
        await parts.aclose()
    took, log_then = now() - at, list(log)
    release.set()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=60.0)
    await asyncio.sleep(BOUND_S)
    assert took <= (BOUND_S if swallows else 0.0)
    assert log_then == ["begun", "closed"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
