import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from vivace.errors import Closed, FlowError, StageError
from vivace.flow.clock import now
from vivace.flow.drive import drive
from vivace.flow.processor import Processor, chain, processor
from vivace.flow.run import Run, current_run
from vivace.flow.scope import AbandonedTask
from vivace.flow.stream import Stream
from vivace.machines.machine import Machine
from vivace.part import (
    Audio,
    Held,
    Interrupted,
    Part,
    Played,
    Playing,
    Reset,
    Resumed,
    Signal,
    TurnComplete,
)
from vivace.testing import Leaked, VirtualLoop, run_virtual

pytestmark = pytest.mark.virtual

BOUND_S = 2.0  # what DESIGN.md promises for leaving early


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may make asyncio complain: no "Task was destroyed", no exception never retrieved."""
    yield
    gc.collect()
    complaints = [it.getMessage() for it in caplog.records if it.levelno >= logging.WARNING]
    assert complaints == []


# -- things to run


def fail(*notes: str) -> None:
    error = ValueError("broken")
    for note in notes:
        error.add_note(note)
    raise error


async def outcome(parts: AsyncIterator[Part]) -> tuple[Exception | None, list[str]]:
    """The error that a stream ended with, if any, and the texts that came before it."""
    seen: list[str] = []
    try:
        async for part in parts:
            seen.append(part.text)
    except Exception as error:
        return error, seen
    return None, seen


async def numbers(log: list[str], count: int = 1000, every_s: float = 0.0) -> AsyncGenerator[Part]:
    """A source that tells what was pulled, and that it was closed."""
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(f"pull {n}")
            yield Part(str(n))
    finally:
        log.append("closed")


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


@processor
async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        await asyncio.sleep(0.25)
        yield part


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Machine(), capacity=2)


@processor
async def nested(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async with (copy + Driven()).run(stream) as inner:
        async for part in inner:
            yield part


AGENTS = {
    "one stage": copy,
    "generators": copy + copy + copy,
    "slow": copy + slow + copy,
    "driven": copy + Driven() + copy + Driven(),
    "nested": copy + nested + copy,
}
each_agent = pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS.keys())


# -- ways to end


async def exhausted(agent: Processor, log: list[str]) -> None:
    assert [part.text async for part in agent(numbers(log, 5))] == list("01234")


async def left_by_break(agent: Processor, log: list[str]) -> None:
    async for _ in agent(numbers(log)):
        break
    await asyncio.sleep(BOUND_S)


async def left_by_break_in_a_block(agent: Processor, log: list[str]) -> None:
    async with agent.run(numbers(log)) as parts:
        async for part in parts:
            if part.text == "3":
                break


async def closed(agent: Processor, log: list[str]) -> None:
    parts = agent(numbers(log))
    await anext(parts)
    await parts.aclose()
    await parts.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(parts)


async def cancelled_while_it_waits(agent: Processor, log: list[str]) -> None:
    async def consume() -> None:
        async for _ in agent(numbers(log, every_s=10.0)):
            raise AssertionError

    task = asyncio.create_task(consume())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def cancelled_while_it_works(agent: Processor, log: list[str]) -> None:
    async def consume() -> None:
        async with agent.run(numbers(log)) as parts:
            async for _ in parts:
                await asyncio.sleep(0.75)

    task = asyncio.create_task(consume())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def timed_out(agent: Processor, log: list[str]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0), agent.run(numbers(log, every_s=10.0)) as parts:
            await anext(parts)


async def failed_inside(agent: Processor, log: list[str]) -> None:
    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "3":
                raise ValueError("broken")
            yield part

    error, seen = await outcome((agent + fails + agent)(numbers(log)))
    assert (str(error), seen) == ("broken", ["0", "1", "2"])


async def failed_outside(agent: Processor, log: list[str]) -> None:
    async def consume() -> None:
        async for part in agent(numbers(log)):
            assert part.text == "not this"

    with pytest.raises(AssertionError):
        await consume()
    await asyncio.sleep(BOUND_S)


async def collected(agent: Processor, log: list[str]) -> None:
    parts = agent(numbers(log))
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
    timed_out,
    failed_inside,
    failed_outside,
    collected,
]


@each_agent
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.virtual(seeds=6)
async def test_however_a_run_ends_nothing_is_left(
    agent: Processor, end: Callable[[Processor, list[str]], Awaitable[None]]
) -> None:
    """Whatever ends it and whatever it is made of: all tasks are gone, and the source is closed."""
    log: list[str] = []
    await end(agent, log)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log.count("closed") == 1


async def test_a_run_begins_with_the_first_part() -> None:
    """A stream that nobody reads starts nothing, and may be closed or dropped."""
    log: list[str] = []
    parts = copy(numbers(log))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await parts.aclose()
    del parts
    copy(numbers(log))
    assert log == []


async def test_a_stream_that_ended_stays_ended() -> None:
    """After the end there is nothing, however often one asks."""
    parts = copy(["a"])
    assert [part.text async for part in parts] == ["a"]
    assert [part.text async for part in parts] == []
    await parts.aclose()


async def test_after_an_error_the_stream_is_over() -> None:
    """An error is raised once; then the stream has ended."""

    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        fail()
        yield Part("never")

    parts = fails("a")
    with pytest.raises(ValueError, match="broken"):
        await anext(parts)
    with pytest.raises(StopAsyncIteration):
        await anext(parts)


async def test_one_processor_serves_many_runs_at_once() -> None:
    """A hundred runs of one processor object do not disturb each other."""

    async def one(name: str) -> list[str]:
        return [part.text async for part in AGENTS["driven"]([name] * 3)]

    tasks = [asyncio.create_task(one(str(n))) for n in range(100)]
    await asyncio.wait(tasks)
    assert [task.result() for task in tasks] == [[str(n)] * 3 for n in range(100)]


def test_a_stream_may_outlive_its_loop() -> None:
    """A stream dropped after its loop was closed does no harm."""
    kept: list[Stream] = []

    async def main() -> None:
        kept.append(copy(["a"] * 5))
        await anext(kept[0])

    with pytest.raises(Leaked):
        run_virtual(main())
    kept.clear()


# -- how far ahead


@pytest.mark.parametrize(
    ("agent", "ahead"),
    [(copy, 1), (copy + copy + copy, 1), (copy + nested, 3), (Driven(), 3)],
    ids=["one", "three", "nested", "driven"],
)
@pytest.mark.virtual(seeds=20)
async def test_nothing_runs_far_ahead_of_the_consumer(agent: Processor, ahead: int) -> None:
    """A consumer that takes one part makes one be pulled, and as many as an outbox may hold (2)."""
    log: list[str] = []
    async with agent.run(numbers(log)) as parts:
        await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) == ahead
        await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) == ahead + 1


async def test_nothing_is_pulled_before_someone_asks() -> None:
    """Opening a block pulls nothing."""
    log: list[str] = []
    async with copy.run(numbers(log)):
        await asyncio.sleep(10.0)
    assert log == []


# -- bounds


class Hang:
    """A stage that does as it is told when it should stop, and a log."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.log: list[str] = []
        self.begun = asyncio.Event()

    @property
    def waits(self) -> Processor:
        @processor
        async def hangs_in_await(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            async for part in stream:
                self.begun.set()
                await self.release.wait()
                yield part

        return hangs_in_await

    @property
    def cleans_for_ever(self) -> Processor:
        @processor
        async def hangs_in_finally(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            try:
                async for part in stream:
                    self.begun.set()
                    yield part
            finally:
                await self.release.wait()

        return hangs_in_finally

    @property
    def swallows(self) -> Processor:
        @processor
        async def swallows_cancellation(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            async for part in stream:
                self.begun.set()
                while not self.release.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await self.release.wait()
                yield part

        return swallows_cancellation

    @property
    def swallows_while_closing(self) -> Processor:
        @processor
        async def swallows_in_finally(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            try:
                async for part in stream:
                    self.begun.set()
                    yield part
            finally:
                while not self.release.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await self.release.wait()

        return swallows_in_finally


async def end_of(tasks: set[asyncio.Task[Any]]) -> None:
    others = tasks - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=60.0)


async def leave(agent: Processor, source: Any, begun: asyncio.Event) -> float:
    """Begin a run, leave it once the stage has begun, and return how long leaving took."""
    parts = agent(source)
    first = asyncio.create_task(anext(parts))
    await begun.wait()
    await asyncio.sleep(1.0)
    at = now()
    first.cancel()
    await asyncio.wait([first])
    await parts.aclose()
    return now() - at


@pytest.mark.virtual(seeds=20)
async def test_a_stage_that_hangs_in_await_is_cancelled() -> None:
    """Leaving while a stage waits for ever takes no time, and closes the source."""
    hang, log = Hang(), list[str]()
    assert await leave(copy + hang.waits + copy, numbers(log), hang.begun) == 0.0
    assert log == ["pull 0", "closed"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("swallow", [False, True], ids=["hangs", "swallows"])
@pytest.mark.virtual(seeds=20)
async def test_a_stage_that_hangs_while_closing_is_bounded_and_named(swallow: bool) -> None:
    """A `finally` that never ends costs 2 s, is named, and keeps the source open no longer."""
    hang, log = Hang(), list[str]()
    stage = hang.swallows_while_closing if swallow else hang.cleans_for_ever
    with pytest.warns(AbandonedTask) as warned:
        took = await leave(copy + stage + copy, numbers(log), hang.begun)
    left, names = asyncio.all_tasks(), " ".join(str(it.message) for it in warned)
    log_then = list(log)
    hang.release.set()
    await end_of(left)
    assert took <= BOUND_S
    assert log_then[-1] == "closed"
    assert stage.name in names


@pytest.mark.virtual(seeds=20)
async def test_a_stage_that_swallows_cancellation_is_bounded_and_named() -> None:
    """A stage that will not stop costs 2 s and is named; the caller goes on."""
    hang, log = Hang(), list[str]()
    with pytest.warns(AbandonedTask) as warned:
        took = await leave(copy + hang.swallows + copy, numbers(log), hang.begun)
    left, names = asyncio.all_tasks(), " ".join(str(it.message) for it in warned)
    hang.release.set()
    await end_of(left)
    assert took <= BOUND_S
    assert "swallows_cancellation" in names


@pytest.mark.virtual(seeds=20)
async def test_being_cancelled_twice_leaves_nothing() -> None:
    """A second cancellation while the run is being closed still closes all of it."""
    hang, log = Hang(), list[str]()
    agent = copy + hang.cleans_for_ever + copy

    async def consume() -> None:
        async with agent.run(numbers(log)) as parts:
            async for _ in parts:
                await asyncio.sleep(100.0)

    task = asyncio.create_task(consume())
    await hang.begun.wait()
    await asyncio.sleep(1.0)
    with contextlib.suppress(AbandonedTask):
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.1)
        await asyncio.sleep(3 * BOUND_S)
    left, log_then = asyncio.all_tasks() - {asyncio.current_task()}, list(log)
    hang.release.set()
    await end_of(left)
    assert not left
    assert log_then[-1] == "closed"


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
async def test_an_error_in_cleanup_closes_the_others_all_the_same(kind: type[Exception]) -> None:
    """A stage that raises while it is closed hides its error from nobody, and the source closes."""
    log: list[str] = []

    @processor
    async def untidy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            raise kind("in cleanup")

    parts = (copy + untidy + copy)(numbers(log))
    await anext(parts)
    await asyncio.sleep(1.0)
    error: Exception | None = None
    try:
        await parts.aclose()
    except Exception as raised:
        error = raised
    await asyncio.sleep(1.0)
    assert log[-1] == "closed"
    assert type(error) is kind


async def test_a_stage_that_drains_its_stream_while_closing_is_no_error() -> None:
    """A `finally` that waits for the stage before it is bounded; its error is a warning at most."""
    log: list[str] = []

    @processor
    async def drains(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            async for _ in stream:
                pass

    parts = (copy + drains + copy)(numbers(log, every_s=0.5))
    await anext(parts)
    await asyncio.sleep(1.75)
    at = now()
    with pytest.warns(AbandonedTask, match="drains"):
        await parts.aclose()
    assert now() - at <= BOUND_S
    await asyncio.sleep(1.0)
    assert log[-1] == "closed"


def test_a_program_that_ends_right_after_leaving_is_calm() -> None:
    """When the loop ends while a run is being closed, nothing is said to be never awaited."""
    log: list[str] = []

    @processor
    async def tidies(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            await asyncio.sleep(0.5)
            log.append("tidied")

    async def main(wait_s: float) -> None:
        async for _ in (copy + tidies + copy)(numbers(log)):
            await asyncio.sleep(1.0)
            break
        await asyncio.sleep(wait_s)

    for wait_s in (0.0, 0.1, 1.0):
        log.clear()
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main(wait_s))
        gc.collect()
        assert "closed" in log


async def test_a_source_that_nobody_read_is_closed() -> None:
    """A stage that never reads its stream does not keep the source open."""
    closed = []

    class Socket(AsyncIterator[Part]):
        async def __anext__(self) -> Part:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            closed.append(True)

    @processor
    async def deaf(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("hello")

    assert [part.text async for part in deaf(Socket())] == ["hello"]
    assert closed == [True]


async def test_a_stage_may_stop_reading() -> None:
    """When a stage ends before its source, the run ends and the source is closed."""
    log: list[str] = []

    @processor
    async def first_two(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield await anext(stream)
        yield await anext(stream)

    parts = (Driven() + first_two + copy)(numbers(log))
    assert [part.text async for part in parts] == ["0", "1"]
    assert log[-1] == "closed"


async def test_a_stage_may_be_any_async_iterator() -> None:
    """A `call` that gives an iterator of its own instead of a generator is a stage too."""

    class Letters(AsyncIterator[Part]):
        def __init__(self) -> None:
            self.left = list("cba")

        async def __anext__(self) -> Part:
            if not self.left:
                raise StopAsyncIteration
            return Part(self.left.pop())

    class Stage(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            return Letters()

    assert [part.text async for part in (Stage() + copy)(None)] == ["a", "b", "c"]


async def test_a_stream_that_a_foreign_task_reads_does_not_keep_the_run() -> None:
    """A task of the user's own that still reads a stream is not waited for."""
    log: list[str] = []
    tasks: list[asyncio.Task[Part]] = []

    @processor
    async def delegates(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        tasks.append(asyncio.create_task(anext(stream)))  # type: ignore[arg-type]
        yield Part("a")
        await asyncio.sleep(1000.0)

    parts = delegates(numbers(log, every_s=100.0))
    await anext(parts)
    await asyncio.sleep(1.0)
    await parts.aclose()
    assert now() <= 1.0 + BOUND_S
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert log == ["closed"]


# -- side lanes


@pytest.mark.parametrize("lane", ["debug", "status", "ui", "debug/audio"])
async def test_side_lanes_go_past_all_stages(lane: str) -> None:
    """What an early stage says aside is not seen by the later ones."""
    seen_by_later = []

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part.derive(body="aside", substream=lane)
            yield part

    @processor
    async def later(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            seen_by_later.append(part.text)
            yield part

    seen = [(part.text, part.substream) async for part in (talks + later + copy)(["a", "b"])]
    assert seen_by_later == ["a", "b"]
    assert sorted(seen) == [("a", ""), ("aside", lane), ("aside", lane), ("b", "")]


@pytest.mark.parametrize("lane", ["statusbar", "debugging", "captions", "my/debug"])
async def test_a_substream_that_only_looks_like_a_side_lane_stays(lane: str) -> None:
    """`statusbar` is no side lane: its parts go from stage to stage like all others."""
    seen_by_later = []

    @processor
    async def later(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            seen_by_later.append(part.substream)
            yield part

    out = [part async for part in (copy + later)([Part("a", substream=lane)])]
    assert seen_by_later == [lane]
    assert [part.substream for part in out] == [lane]


@pytest.mark.virtual(seeds=50)
async def test_a_side_lane_does_not_wait_for_later_stages() -> None:
    """While a later stage waits for its input, what was said aside is already with the caller."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("begun", substream="status")
        await asyncio.sleep(5.0)
        yield Part("done")

    @processor
    async def collects(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for part in [part async for part in stream]:
            yield part

    seen = [(now(), part.text) async for part in (talks + collects)(None)]
    assert seen == [(0.0, "begun"), (5.0, "done")]


@pytest.mark.virtual(seeds=50)
async def test_a_side_lane_overtakes_what_waits() -> None:
    """With a part waiting for the consumer, what is said aside comes before it, in order."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        yield Part("b")
        yield Part("1", substream="status")
        yield Part("2", substream="ui")
        yield Part("c")

    async with (talks + Driven()).run(None) as parts:
        seen = [(await anext(parts)).text]
        await asyncio.sleep(1.0)
        seen += [part.text async for part in parts]
    assert [text for text in seen if text in "abc"] == ["a", "b", "c"]
    assert [text for text in seen if text not in "ac"] == ["1", "2", "b"]


async def test_a_talkative_stage_has_to_wait() -> None:
    """A stage can be 64 asides ahead of the caller and no more."""
    said: list[int] = []

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for n in range(1000):
            said.append(n)
            yield Part(str(n), substream="debug")

    async with talks.run(None) as parts:
        assert (await anext(parts)).text == "0"
        await asyncio.sleep(1.0)
        assert len(said) == 1 + 64 + 1
        assert [(await anext(parts)).text for _ in range(999)] == [str(n) for n in range(1, 1000)]


async def test_what_is_said_aside_after_the_end_is_dropped() -> None:
    """A part of a side lane that comes when the caller has left reaches nobody."""
    run: list[Run] = []

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run.append(current_run())
        yield Part("a")

    assert [part.text async for part in stage(None)] == ["a"]
    run[0].say(Part("late", substream="status"))
    assert run[0].side.empty()


async def test_nobody_talks_to_a_caller_who_has_left() -> None:
    """An announcement after the end reaches nobody and does no harm."""
    run: list[Run] = []

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run.append(current_run())
        yield Part("a")

    assert [part.text async for part in stage(None)] == ["a"]
    run[0].bus.announce(Interrupted(1))
    assert run[0].bus.fence.turn == 1


# -- errors


@processor
async def broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        if part.text == "bad":
            raise ValueError("broken")
        yield part


class Transcribe(Processor):
    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in broken(stream):
            yield part


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


async def error_of(agent: Processor, source: Any = "bad") -> Exception:
    error, _ = await outcome(agent(source))
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("agent", "path"),
    [
        (broken, "in broken"),
        (copy + copy + broken, "in agent[2].broken"),
        (broken + copy + copy, "in agent[0].broken"),
        (chain([copy, copy + broken]) + copy, "in agent[2].broken"),
        (Driven() + broken + Driven(), "in agent[1].broken"),
    ],
)
async def test_an_error_carries_the_path_of_its_stage_once(agent: Processor, path: str) -> None:
    """One note says where an error came from, however many stages it passes."""
    assert notes(await error_of(agent)) == [path]


async def test_an_error_of_the_source_says_so() -> None:
    """What the source raises is told from what a stage raises."""

    async def source() -> AsyncIterator[Part]:
        yield Part("a")
        raise OSError("unplugged")

    assert notes(await error_of(copy + copy, source())) == ["in source"]
    assert notes(await error_of(copy, [3])) == ["in source"]


async def test_an_error_of_a_nested_run_is_told_once() -> None:
    """The path of the innermost stage wins; nothing is added on the way out."""

    @processor
    async def outer(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async with (copy + broken).run(stream) as inner:
            async for part in inner:
                yield part

    assert notes(await error_of(copy + outer)) == ["in agent[1].broken"]


async def test_a_note_of_the_users_own_does_not_hide_the_path() -> None:
    """An error that has a note already gets the path as well."""

    @processor
    async def reads(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        fail("in line 3 of config.toml")
        yield Part("never")

    assert notes(await error_of(copy + reads)) == ["in line 3 of config.toml", "in agent[1].reads"]


async def test_an_error_while_a_stage_is_opened_carries_its_path() -> None:
    """A stage whose `call` raises before there is any stream is named like all others."""

    class NeedsModel(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            raise OSError("no weights")

    error = await error_of(copy + NeedsModel() + copy)
    assert str(error) == "no weights"
    assert notes(error) == ["in agent[1].needs_model"]


@pytest.mark.virtual(seeds=20)
async def test_a_stage_that_raises_closed_is_an_error_like_any_other() -> None:
    """A stage that reads a closed channel of its own fails; nobody waits for ever."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        raise Closed("a channel of the stage's own")

    error, seen = await outcome((stage + copy)(None))
    assert isinstance(error, Closed)
    assert seen == ["a"]


@pytest.mark.virtual(seeds=20)
async def test_a_stage_that_raises_closed_before_a_driven_one_is_an_error_too() -> None:
    """A driven stage behind it passes the error on, and does not take it for the end."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        raise Closed("a channel of the stage's own")

    error, seen = await outcome((stage + Driven())(None))
    assert isinstance(error, Closed)
    assert seen == ["a"]


async def test_a_stage_that_cancels_itself_is_an_error() -> None:
    """A cancellation that nobody from outside asked for ends the run with a FlowError."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        raise asyncio.CancelledError

    error, seen = await outcome((stage + copy)(None))
    assert isinstance(error, FlowError)
    assert str(error) == "a stage of agent was cancelled from inside"
    assert seen == ["a"]


async def test_an_error_comes_after_what_was_made_before_it() -> None:
    """All that came out before the error is received; then the error."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        yield Part("b")
        raise ValueError("broken")

    async with stage.run(None) as parts:
        seen = [(await anext(parts)).text]
        await asyncio.sleep(1.0)
        seen.append((await anext(parts)).text)
        with pytest.raises(ValueError, match="broken"):
            await anext(parts)
    assert seen == ["a", "b"]


async def test_an_error_of_a_forgotten_task_ends_the_run() -> None:
    """Whatever a run has started ends it when it fails."""

    async def fail_later() -> None:
        await asyncio.sleep(1.0)
        fail()

    @processor
    async def starts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        current_run().scope.start(fail_later(), "fail")
        await asyncio.sleep(10.0)
        yield Part("never")

    with pytest.raises(ValueError, match="broken"):
        await anext(starts(None))
    assert now() == 1.0


# -- which run


def test_outside_there_is_no_run() -> None:
    """Asking for the run where there is none says how to begin one."""
    with pytest.raises(StageError, match=r"call the processor as `processor\(source\)`"):
        current_run()


def remember(name: str, runs: dict[str, Run]) -> Processor:
    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs[name] = current_run()
        async for part in stream:
            yield part

    return stage


async def test_nested_runs_share_the_bus() -> None:
    """A run begun by a stage has the bus of its parent; a run beside it has not."""
    runs: dict[str, Run] = {}

    @processor
    async def nests(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs["outer"] = current_run()
        async for part in remember("inner", runs)(["a"]):
            yield part

    async for _ in nests(None):
        assert [part.text async for part in remember("beside", runs)(["a"])] == ["a"]
    assert runs["inner"] is not runs["outer"]
    assert runs["inner"].bus is runs["outer"].bus is not runs["beside"].bus
    assert runs["outer"].is_root
    assert runs["beside"].is_root
    assert not runs["inner"].is_root


async def test_a_stage_belongs_to_its_own_run_whoever_pulls() -> None:
    """A stage that a nested run reads from is still a stage of the outer run."""
    runs: dict[str, Run] = {}

    @processor
    async def nests(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in remember("inner", runs)(stream):
            yield part

    await outcome((remember("before", runs) + nests + remember("after", runs))(["a"]))
    assert runs["before"] is runs["after"]
    assert runs["inner"] is not runs["before"]


async def test_a_driven_stage_outlives_the_nested_runs_that_read_from_it() -> None:
    """A stage may hand its stream to one nested run after the other, as for turn after turn."""

    @processor
    async def in_pairs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def pair() -> AsyncIterator[Part]:
            async for part in stream:
                yield part
                if part.text in "bd":
                    return

        for _ in range(2):
            async with copy.run(pair()) as parts:
                async for part in parts:
                    yield part

    async def letters() -> AsyncIterator[str]:
        for letter in "abcd":
            await asyncio.sleep(1.0)
            yield letter

    seen = [part.text async for part in (Driven() + in_pairs)(letters())]
    assert seen == list("abcd")


async def test_cleanup_belongs_to_the_run_too() -> None:
    """A stage may ask for its run in its `finally`."""
    runs: list[Run] = []

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        try:
            yield Part("a")
            yield Part("b")
            yield Part("c")
        finally:
            runs.append(current_run())

    async with stage.run(None) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
    assert len(runs) == 2
    assert runs[0] is runs[1]


# -- what was heard, and what must not be


def say(text: str, turn: int = 1) -> Part:
    return Part(text, role="model", turn=turn)


async def test_what_the_consumer_takes_is_booked() -> None:
    """The ledger knows what was handed out and no more; `Playing` follows the first sound."""
    runs: list[Run] = []

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        for word in ("one ", "two ", "three "):
            yield say(word)
        yield Part(TurnComplete(1), role="model", turn=1)

    async with stage.run(None) as parts:
        seen: list[object] = [(await anext(parts)).body]
        await asyncio.sleep(1.0)
        assert runs[0].bus.ledger.heard(1).text == "one"
        seen += [part.body async for part in parts]
    assert seen[:2] == ["one ", Playing(1)]
    assert runs[0].bus.ledger.heard(1).text == "one two three"


@pytest.mark.parametrize("pause", [0.0, 1.0])
@pytest.mark.virtual(seeds=20)
async def test_what_the_last_part_means_is_told_as_well(pause: float) -> None:
    """A reply that ends with the stream is announced as played, however late it is taken."""
    kinds = []
    async for part in copy([say("one"), Part(TurnComplete(1), role="model", turn=1)]):
        kinds.append(type(part.body).__name__)
        await asyncio.sleep(pause)
    assert sorted(kinds) == ["Played", "Playing", "TurnComplete", "str"]


async def test_what_a_nested_run_hands_out_is_not_heard_yet() -> None:
    """Only the caller's own hand counts as heard."""
    runs: list[Run] = []

    @processor
    async def keeps(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        async with copy.run([say("one")]) as inner:
            async for _ in inner:
                pass
        yield Part("end")

    assert [part.text async for part in keeps(None)] == ["end"]
    assert runs[0].bus.ledger.heard(1).text == ""


@pytest.mark.parametrize("signal", [Interrupted(1), Reset(1)])
@pytest.mark.virtual(seeds=50)
async def test_nothing_stale_is_handed_out_after_an_interruption(
    signal: Interrupted | Reset,
) -> None:
    """What waits at the output goes, and what a slow stage has in hand is refused there."""

    @processor
    async def speaks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for n in range(8):
            yield say(f"old {n}", turn=1)

    @processor
    async def interrupts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run = current_run()

        async def later() -> None:
            await asyncio.sleep(1.1)
            run.bus.announce(signal)

        run.scope.start(later(), "later")
        async for part in stream:
            yield part

    seen = []
    async with (speaks + interrupts + slow).run(None) as parts:
        async for part in parts:
            seen.append(part)
            await asyncio.sleep(0.1)
    bodies = [part.body for part in seen]
    after = bodies[bodies.index(signal) + 1 :]
    assert [body for body in after if str(body).startswith("old")] == []


@pytest.mark.virtual(seeds=50)
async def test_an_interruption_overtakes_what_waits_at_the_output() -> None:
    """A consumer who is slow finds the interruption next, and nothing stale behind it."""
    announce: list[Callable[[], None]] = []

    @processor
    async def speaks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        bus = current_run().bus
        announce.append(lambda: bus.announce(Interrupted(1)))
        for n in range(3):
            yield say(f"old {n}", turn=1)
        yield Part.call("order", id="1", turn=1)
        yield say("new", turn=2)

    async with speaks.run(None) as parts:
        assert (await anext(parts)).text == "old 0"
        assert (await anext(parts)).body == Playing(1)
        await asyncio.sleep(1.0)
        announce[0]()
        rest = [part async for part in parts]
    assert rest[0].body == Interrupted(1)
    assert [part.text or type(part.body).__name__ for part in rest[1:]] == [
        "Call",
        "new",
        "Playing",
    ]


# -- what is held -----------------------------------------------------------------------------


def reply_of(count: int) -> list[Part]:
    """A reply of so many chunks, all there at once, and what says that it is complete."""
    chunks = [Part.audio(bytes(640), words=f"{n} ", role="model", turn=1) for n in range(count)]
    return [*chunks, Part(TurnComplete(1), role="model", turn=1)]


def held_by(count: int, *later: tuple[float, Signal]) -> Processor:
    """Yields a reply; meanwhile, at their times, the signals are announced."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        loop, bus = asyncio.get_running_loop(), current_run().bus
        for at, signal in later:
            loop.call_later(at, bus.announce, signal)
        for part in reply_of(count):
            yield part
        await asyncio.sleep(10.0)
        yield Part("the end")

    return stage


async def taken(agent: Processor, every_s: float = 0.0) -> list[tuple[float, object]]:
    """What a consumer gets who takes one part every so many seconds, and when."""
    seen: list[tuple[float, object]] = []
    async with agent.run([]) as parts:
        async for part in parts:
            if isinstance(part.body, Playing | Played):
                continue
            what = part.body.words if isinstance(part.body, Audio) else part.body
            seen.append((asyncio.get_running_loop().time(), what))
            await asyncio.sleep(every_s)
    return seen


async def test_what_is_held_is_kept_back_from_a_slow_consumer() -> None:
    """Sound that had left the pacer already comes when the reply goes on, in its order."""
    seen = await taken(held_by(4, (0.75, Held(1)), (5.25, Resumed(1))), every_s=0.5)
    assert seen[:4] == [(0.0, "0 "), (0.5, "1 "), (1.0, Held(1)), (5.25, Resumed(1))]
    assert [what for _, what in seen[4:7]] == ["2 ", "3 ", TurnComplete(1)]
    assert seen[-1][1] == "the end"


async def test_sound_without_a_number_is_held_too() -> None:
    """By `Held(0)`, and by any other number; the user's sound is not, and only as high a number
    lets it go on."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        bus = current_run().bus
        for at, signal in ((0.1, Held(0)), (0.2, Held(2)), (0.3, Held(1)), (0.4, Resumed(0))):
            asyncio.get_running_loop().call_later(at, bus.announce, signal)
        asyncio.get_running_loop().call_later(5.0, bus.announce, Resumed(2))
        yield Part.audio(bytes(640), words="0", role="model")
        yield Part.audio(bytes(640), words="1", role="model")
        yield Part.audio(bytes(640), words="the user's", role="user")
        await asyncio.sleep(10.0)

    seen = await taken(stage, every_s=0.5)
    words = [(at, what) for at, what in seen if isinstance(what, str)]
    assert words == [(0.0, "0"), (2.5, "the user's"), (5.5, "1")]  # after the signals


async def test_what_was_held_and_is_void_never_comes() -> None:
    """An interruption takes it out of where it is kept."""
    seen = await taken(held_by(4, (0.75, Held(1)), (5.25, Interrupted(1))), every_s=0.5)
    heard = [what for _, what in seen]
    assert heard[:4] == ["0 ", "1 ", Held(1), Interrupted(1)]
    assert "2 " not in heard


async def test_of_a_held_reply_only_so_much_is_kept() -> None:
    """Nothing more is taken from the stages until it goes on."""
    made = 0

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        nonlocal made
        bus = current_run().bus
        bus.announce(Held(1))
        asyncio.get_running_loop().call_later(1.0, bus.announce, Resumed(1))
        for part in reply_of(1000):
            made += 1
            yield part

    async with stage.run([]) as parts:
        assert (await anext(parts)).body == Held(1)
        assert (await anext(parts)).body == Resumed(1)
        assert made == 65
        assert len([part async for part in parts if isinstance(part.body, Audio)]) == 1000


async def test_a_run_that_ends_keeps_nothing() -> None:
    """If the stages end while a reply is held, what was kept of it comes all the same."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        current_run().bus.announce(Held(1))
        for part in reply_of(2):
            yield part

    seen = [what for _, what in await taken(stage)]
    assert seen[:4] == [Held(1), "0 ", "1 ", TurnComplete(1)]


async def test_what_waits_behind_something_urgent_may_become_void() -> None:
    """A part that the consumer was about to take is taken out if it is stale by then."""
    buses = []

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        buses.append(current_run().bus)
        buses[0].announce(Played(9))
        yield Part("stale", role="model", turn=1)
        yield Part("fresh", role="model", turn=2)

    async with stage.run([]) as parts:
        assert (await anext(parts)).body == Played(9)
        buses[0].announce(Interrupted(1))
        assert (await anext(parts)).body == Interrupted(1)
        assert (await anext(parts)).body == "fresh"


async def test_one_error_that_is_told_twice_is_one() -> None:
    """Whoever tells it, and however often, the consumer gets it once, without others."""
    error = ValueError("once")

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        current_run().fail(error)
        current_run().fail(error)
        yield Part("what came before it")

    parts = stage([])
    assert (await anext(parts)).text == "what came before it"
    with pytest.raises(ValueError, match="once") as caught:
        await anext(parts)
    assert caught.value is error
    assert caught.value.__context__ is None


async def test_what_a_stage_says_before_it_cannot_be_opened() -> None:
    """It is heard, and then comes the error."""

    class Talks(Processor):
        def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
            run.say(Part("about to fail", substream="status"))
            raise ValueError("cannot be opened")

    parts = Talks()([])
    assert (await anext(parts)).text == "about to fail"
    with pytest.raises(ValueError, match="cannot be opened"):
        await anext(parts)


async def test_a_cleanup_that_fails_after_its_run_was_cancelled_is_told() -> None:
    """A stage has cancelled the task they run in; what fails in another's cleanup is noted."""

    @processor
    async def tidies(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            await asyncio.sleep(0.1)
            raise KeyError("late")

    @processor
    async def cancels(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
            yield part

    with pytest.raises(FlowError, match="cancelled from inside") as caught:
        await anext((tidies + cancels)(["a"]))
    assert any("KeyError" in note for note in getattr(caught.value, "__notes__", ()))
