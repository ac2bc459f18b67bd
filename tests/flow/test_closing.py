import asyncio
import contextlib
import gc
import threading
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from vivace.errors import FlowError, StageError
from vivace.flow.clock import now
from vivace.flow.closing import attach
from vivace.flow.processor import Processor, chain, processor
from vivace.flow.run import Run, current_run
from vivace.flow.scope import AbandonedTask
from vivace.flow.stream import Stream
from vivace.part import Part
from vivace.testing import VirtualLoop

pytestmark = pytest.mark.virtual

NAME: ContextVar[str] = ContextVar("name", default="nobody")


async def numbers(log: list[Any], every_s: float = 0.0) -> AsyncGenerator[Part]:
    try:
        for n in range(1000):
            if every_s:
                await asyncio.sleep(every_s)
            yield Part(str(n))
    finally:
        log.append("source")


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


def tidies(name: str, log: list[Any], seconds: float = 0.0) -> Processor:
    """A stage that takes `seconds` to clean up."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            if seconds:
                await asyncio.sleep(seconds)
            log.append(name)

    return stage


def fails_to_close(error: BaseException, seconds: float = 0.0) -> Processor:
    """A stage that raises `error` when it is closed."""

    @processor
    async def untidy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            if seconds:
                await asyncio.sleep(seconds)
            raise error

    return untidy


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


@pytest.fixture
def reported() -> Iterator[Callable[[], list[Any]]]:
    """What was told to the loop's exception handler, once `reported()` was called to watch it."""
    told: list[Any] = []

    def watch() -> list[Any]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        told.clear()
        return told

    yield watch
    gc.collect()


async def left(
    agent: Processor, log: list[Any], *, after: int = 1, every_s: float = 0.0
) -> BaseException | None:
    """Take some parts in a block, leave it, and return what leaving raised."""
    try:
        async with agent.run(numbers(log, every_s)) as parts:
            for _ in range(after):
                await anext(parts)
    except BaseException as error:
        return error
    return None


def alone() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


# -- in order, and at once


async def test_what_rests_is_closed_the_last_first() -> None:
    """Each stage is closed before the one that it reads from, and the source last."""
    log: list[Any] = []
    agent = chain([tidies(name, log) for name in "abc"])
    assert await left(agent, log) is None
    assert log == ["c", "b", "a", "source"]
    assert alone()


async def test_cleanup_that_waits_keeps_the_order() -> None:
    """While there is time, a stage is closed when those behind it are done."""
    log: list[Any] = []
    agent = chain([tidies("a", log, 0.125), tidies("b", log), tidies("c", log, 0.25)])
    assert await left(agent, log) is None
    assert log == ["c", "b", "a", "source"]
    assert now() == 0.375


async def test_the_end_closes_what_was_not_read_to_its_end() -> None:
    """A stage that stops early ends the run; those before it are closed in order, too."""

    @processor
    async def first(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield await anext(stream)

    log: list[Any] = []
    agent = tidies("a", log, 0.25) + first + tidies("b", log)
    assert [part.text async for part in agent(numbers(log))] == ["0"]
    assert log == ["b", "a", "source"]


@pytest.mark.virtual(seeds=20)
async def test_cleanup_is_in_the_task_and_the_context_of_the_run() -> None:
    """What a stage cleans up with, it cleans up in: its own task, before and after a wait."""
    seen: list[Any] = []

    def look() -> None:
        seen.append((asyncio.current_task(), NAME.get(), current_run().name))

    @processor
    async def looks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        NAME.set("stage")
        look()
        try:
            async for part in stream:
                yield part
        finally:
            look()
            await asyncio.sleep(0.25)
            look()
            NAME.set("closed")

    NAME.set("consumer")
    assert await left(copy + looks, []) is None
    assert len(set(seen)) == 1
    assert seen[0][0] is not asyncio.current_task()
    assert seen[0][1:] == ("stage", "agent")
    assert NAME.get() == "consumer"


@pytest.mark.virtual(seeds=20)
async def test_a_time_limit_in_cleanup_holds() -> None:
    """A `finally` may limit what it waits for, and a group of tasks in it may fail."""
    log: list[Any] = []

    async def fail() -> None:
        await asyncio.sleep(0.125)
        raise ValueError("child")

    @processor
    async def limited(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            try:
                async with asyncio.timeout(0.25):
                    await asyncio.sleep(100.0)
            except TimeoutError:
                log.append(("limit", now()))
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())
                    await asyncio.sleep(100.0)
            except ExceptionGroup:
                log.append(("group", now()))

    assert await left(copy + limited + copy, log) is None
    assert log == [("limit", 0.25), ("group", 0.375), "source"]
    assert alone()


@pytest.mark.virtual(seeds=20)
async def test_cleanup_does_not_feel_a_limit_that_ended_before() -> None:
    """A limit that ran out while the consumer was busy does not cut short what must be tidied."""
    log: list[Any] = []

    @processor
    async def limited(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async with asyncio.timeout(1.0):
                async for part in stream:
                    yield part
        finally:
            await asyncio.sleep(0.25)
            log.append("tidied")

    async with limited.run(numbers(log)) as parts:
        await anext(parts)
        await asyncio.sleep(2.0)
    assert log == ["tidied", "source"]
    assert now() == 2.25
    assert alone()


def test_cleanup_is_done_when_all_tasks_are_cancelled() -> None:
    """As a program ends, its stages still clean up, though each task of theirs was cancelled."""
    for seed in range(20):
        log: list[Any] = []

        async def consume(log: list[Any]) -> None:
            async with (copy + tidies("a", log, 0.5) + copy).run(numbers(log)) as parts:
                await anext(parts)
                await asyncio.sleep(100.0)

        async def main(log: list[Any]) -> None:
            loop = asyncio.get_running_loop()
            task = loop.create_task(consume(log))
            await asyncio.sleep(1.0)
            log.append(task)  # asyncio.run cancels it, and the run's own beside it

        with asyncio.Runner(loop_factory=lambda seed=seed: VirtualLoop(seed)) as runner:  # type: ignore[misc]
            runner.run(main(log))
        assert log[1:] == ["a", "source"]


# -- errors


async def test_errors_of_cleanup_end_the_block() -> None:
    """Leaving raises the first of them as itself, with the others as notes and as context."""
    first, second, third = ValueError("first"), KeyError("second"), OSError("third")
    log: list[Any] = []
    agent = fails_to_close(third) + fails_to_close(second, 0.25) + copy + fails_to_close(first)
    error = await left(agent, log)
    assert error is first
    assert notes(first) == ["also failed: KeyError: 'second'", "also failed: OSError: third"]
    assert isinstance(first.__context__, GeneratorExit)  # by which it was closed
    assert isinstance(others := first.__context__.__context__, BaseExceptionGroup)
    assert others.exceptions == (second, third)
    assert log == ["source"]
    assert alone()


async def test_an_error_of_a_stage_comes_first() -> None:
    """What ended the run is raised; what fails while it is closed is noted, with its place."""

    @processor
    async def breaks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            raise ValueError("broken")
            yield Part("never")  # type: ignore[unreachable]

    @processor
    async def breaks_too(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        except ValueError:
            raise OSError("no more") from None

    late = KeyError("late")
    late._vivace_path = "agent[0].nested"  # type: ignore[attr-defined]
    log: list[Any] = []
    error = await left(fails_to_close(late) + breaks, log)
    assert isinstance(error, ValueError)
    assert notes(error) == [
        "in agent[1].breaks",
        "also failed: KeyError: 'late' (in agent[0].nested)",
    ]
    assert error.__context__ is late
    error = await left(breaks + breaks_too, log)
    assert isinstance(error, OSError)
    assert notes(error) == ["in agent[1].breaks_too"]


class Odd(BaseException): ...


# With a wait, asyncio lets KeyboardInterrupt and SystemExit out of the loop.
@pytest.mark.parametrize(
    ("kind", "seconds"), [(KeyboardInterrupt, 0.0), (SystemExit, 0.0), (Odd, 0.0), (Odd, 0.25)]
)
async def test_whatever_cleanup_raises_the_others_are_closed(
    kind: type[BaseException], seconds: float
) -> None:
    """Also what is no Exception reaches the consumer, and keeps nothing open."""
    error, log = kind("out"), list[Any]()
    assert await left(copy + fails_to_close(error, seconds) + copy, log) is error
    assert log == ["source"]
    assert alone()


@pytest.mark.parametrize("seconds", [0.0, 0.25])
async def test_a_cancellation_in_cleanup_is_nobodys_error(seconds: float) -> None:
    """A `finally` that waits for something cancelled ends there; the others are closed."""
    log: list[Any] = []

    @processor
    async def waits_for_a_cancelled_task(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        task = asyncio.create_task(asyncio.sleep(100.0))
        try:
            async for part in stream:
                yield part
        finally:
            task.cancel()
            if seconds:
                await task
            else:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await task

    agent = copy + waits_for_a_cancelled_task + copy
    assert await left(agent, log) is None
    assert log == ["source"]
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    assert alone()


async def test_cleanup_that_finds_its_future_cancelled() -> None:
    """The same where nothing has to be waited for any more."""
    log: list[Any] = []
    future = asyncio.get_running_loop().create_future()
    future.cancel()

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            await future

    assert await left(copy + stage + copy, log) is None
    assert log == ["source"]


@pytest.mark.virtual(allow_unclosed=True)
async def test_a_stage_that_yields_when_it_is_closed_is_an_error() -> None:
    """Python says so, and the others are closed."""

    @processor
    async def stubborn(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        except GeneratorExit:
            yield Part("one more")

    log: list[Any] = []
    parts = (copy + stubborn + copy)(numbers(log))
    await anext(parts)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit") as caught:
        await parts.aclose()
    assert log == ["source"]
    del parts, caught  # what Python could not close it collects
    await asyncio.sleep(1.0)  # once the loop has forgotten the task
    gc.collect()


async def test_a_callers_own_error_keeps_its_place() -> None:
    """An error in the consumer's block leaves it as itself, and carries what cleanup raised."""
    own, late = LookupError("the consumer's"), ValueError("late")
    caught: BaseException | None = None
    try:
        async with fails_to_close(late).run(numbers([])) as parts:
            await anext(parts)
            raise own
    except LookupError as error:
        caught = error
    assert caught is own
    assert notes(own) == ["also failed: ValueError: late"]
    assert own.__context__ is late


@pytest.mark.virtual(seeds=20)
@pytest.mark.parametrize("seconds", [0.0, 0.25])
async def test_a_cancelled_consumer_stays_cancelled(
    seconds: float, reported: Callable[[], list[Any]]
) -> None:
    """What cleanup raises then is reported to the loop, and not raised in its place."""
    error, told = ValueError("late"), reported()

    async def consume() -> None:
        async with fails_to_close(error, seconds).run(numbers([])) as parts:
            await anext(parts)
            await asyncio.sleep(100.0)

    task = asyncio.create_task(consume())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert told == [error]
    assert now() == 1.0 + seconds


@pytest.mark.virtual(seeds=200)
async def test_who_is_cancelled_while_closing_finishes_it_first(
    reported: Callable[[], list[Any]],
) -> None:
    """The stages are closed all the same, the consumer is cancelled, and errors are reported."""
    error, log, told = ValueError("late"), list[Any](), reported()

    async def consume() -> None:
        async with (copy + fails_to_close(error, 0.5)).run(numbers(log)) as parts:
            await anext(parts)

    task = asyncio.create_task(consume())
    for _ in range(3):
        await asyncio.sleep(0.125)
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (now(), log, told) == (0.5, ["source"], [error])
    assert alone()


@pytest.mark.virtual(seeds=20)
async def test_an_error_is_not_lost_if_its_consumer_is_cancelled_while_it_closes(
    reported: Callable[[], list[Any]],
) -> None:
    """What the consumer was about to be told, it is told no more: the loop is."""
    log, told = list[Any](), reported()

    @processor
    async def breaks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            raise ValueError("broken")
            yield Part("never")  # type: ignore[unreachable]

    async def consume() -> None:
        async for _ in (tidies("a", log, 0.5) + breaks)(numbers(log)):
            raise AssertionError

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.25)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert [str(error) for error in told] == ["broken"]
    assert log == ["a", "source"]


async def test_a_warning_made_an_error_loses_nothing() -> None:
    """If AbandonedTask is raised, it carries what else went wrong."""
    release = asyncio.Event()

    @processor
    async def hangs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()

    log: list[Any] = []
    error: BaseException | None = None
    parts = (fails_to_close(ValueError("late")) + copy + hangs)(numbers(log))
    await anext(parts)
    waits = asyncio.create_task(anext(parts))
    await asyncio.sleep(0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AbandonedTask)
        try:
            await parts.aclose()
        except AbandonedTask as raised:
            error = raised
    release.set()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert error is not None
    assert notes(error) == ["also failed: ValueError: late"]
    assert isinstance(waits.exception(), StopAsyncIteration)
    assert log == ["source"]


@pytest.mark.virtual(seeds=20)
async def test_what_fails_after_all_is_over_is_reported(
    reported: Callable[[], list[Any]],
) -> None:
    """A task that was left behind, and fails in the end, is not silent."""
    told, release = reported(), asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        raise OSError("late")

    @processor
    async def starts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        current_run().start(stubborn(), "stubborn")
        async for part in stream:
            yield part

    parts = starts(numbers([]))
    await anext(parts)
    await asyncio.sleep(1.0)
    with pytest.warns(AbandonedTask, match="stubborn"):
        await parts.aclose()
    assert now() == 2.0
    release.set()
    await asyncio.sleep(1.0)
    assert [str(error) for error in told] == ["late"]


# -- nested runs


def nests(inner: Processor) -> Processor:
    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async with inner.run(stream) as parts:
            async for part in parts:
                yield part

    return stage


@pytest.mark.virtual(seeds=20)
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("every_s", [0.0, 1.0])
async def test_errors_of_nested_runs_reach_the_outermost(
    depth: int, every_s: float, reported: Callable[[], list[Any]]
) -> None:
    """A nested run that fails to close tells its parent: as an error, or when that is told."""
    told, error, log = reported(), ValueError("late"), list[Any]()
    agent = fails_to_close(error)
    for _ in range(depth):
        agent = nests(copy + agent + copy) + copy
    parts = agent(numbers(log, every_s))
    await anext(parts)
    waits = asyncio.create_task(anext(parts)) if every_s else None
    await asyncio.sleep(0.5)
    with pytest.raises(ValueError, match="late") as caught:
        await parts.aclose()
    assert caught.value is error
    assert told == []
    assert log == ["source"]
    if waits is not None:
        assert isinstance(waits.exception(), StopAsyncIteration)
    assert alone()


@pytest.mark.virtual(seeds=20)
async def test_a_nested_run_that_was_cancelled_alone_is_reported(
    reported: Callable[[], list[Any]],
) -> None:
    """A stage that gives up reading a nested run goes on; what that raises is reported."""
    told, error = reported(), ValueError("late")

    @processor
    async def gives_up(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async with asyncio.timeout(1.5), fails_to_close(error).run(stream) as parts:
                async for part in parts:
                    yield part
        except TimeoutError:
            yield Part("gave up")

    parts = gives_up(numbers([], every_s=1.0))
    assert [part.text async for part in parts] == ["0", "gave up"]
    assert told == [error]


# -- who closes


async def test_a_stage_cannot_close_its_own_stream() -> None:
    """It is told so, and the run goes on; nor can a run that is nested in it."""
    streams: list[Stream] = []

    async def closes(_: object) -> None:
        with pytest.raises(StageError, match="closes the stream that it is part of; it reads"):
            await streams[0].aclose()

    @processor
    async def tries(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await closes(part)
            yield part

    for agent in (tries, nests(tries)):
        streams[:] = [agent(["a", "b"])]
        assert [part.text async for part in streams[0]] == ["a", "b"]
    assert alone()


@pytest.mark.virtual(seeds=20)
async def test_one_task_may_close_what_another_reads() -> None:
    """Who waits for a part then finds the end."""
    log: list[Any] = []
    parts = (copy + tidies("a", log, 0.25))(numbers(log, every_s=10.0))
    reader = asyncio.create_task(anext(parts))
    await asyncio.sleep(1.0)
    await parts.aclose()
    assert isinstance(reader.exception(), StopAsyncIteration)
    assert (now(), log) == (1.25, ["source", "a"])
    assert alone()


async def test_what_is_dropped_while_it_waits_is_closed() -> None:
    """A coroutine that waits for a part may be closed by hand: the run ends soon after."""
    log: list[Any] = []
    parts = (copy + copy)(numbers(log, every_s=1.0))
    taking: Any = parts.__anext__()
    taking.send(None)
    taking.close()
    with pytest.raises(StopAsyncIteration):
        await anext(parts)
    await asyncio.sleep(0)
    await asyncio.sleep(0.5)
    assert log == ["source"]
    assert alone()


async def test_a_stage_that_exits_is_told_at_once() -> None:
    """GeneratorExit out of a stage itself is raised like any other; the run is closed by then."""
    log: list[Any] = []

    @processor
    async def exits(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            raise GeneratorExit("by hand")
            yield Part("never")  # type: ignore[unreachable]

    parts = (tidies("a", log, 0.25) + exits)(numbers(log))
    with pytest.raises(GeneratorExit, match="by hand"):
        await anext(parts)
    assert log == ["a", "source"]
    assert alone()


# -- left to the garbage collector


class Holder:
    """Something that is part of a circle."""

    def __init__(self, **held: Any) -> None:
        self.me = self
        self.held = held


@pytest.mark.virtual(seeds=10)
@pytest.mark.parametrize("every_s", [0.0, 0.25])
async def test_a_resting_run_in_a_circle_is_closed(
    every_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Dropped together with all that knows it, it is not destroyed but closed, and calmly."""
    log: list[Any] = []
    parts = (copy + tidies("a", log, 0.25))(numbers(log, every_s))
    await anext(parts)
    await asyncio.sleep(1.0)
    Holder(parts=parts)
    del parts
    gc.collect()
    await asyncio.sleep(1.0)
    assert log == ["a", "source"]
    assert alone()
    assert caplog.records == []


async def test_what_fails_then_is_reported(reported: Callable[[], list[Any]]) -> None:
    """Nobody is left to raise it to: the loop gets it, at once."""
    told, error = reported(), ValueError("late")
    parts = fails_to_close(error).run(numbers([]))
    await anext(parts)
    del parts
    await asyncio.sleep(0.125)
    assert told == [error]


async def test_a_run_may_be_dropped_in_another_thread() -> None:
    """It is closed in its own loop, whatever thread the last reference goes in."""
    log: list[Any] = []
    held = [(copy + tidies("a", log, 0.25))(numbers(log))]
    await anext(held[0])
    await asyncio.to_thread(held.clear)
    await asyncio.sleep(1.0)
    held = [copy(numbers(log))]
    await anext(held[0])
    Holder(held=held)
    del held
    thread = threading.Thread(target=gc.collect)
    thread.start()
    thread.join()
    await asyncio.sleep(1.0)
    assert log == ["a", "source", "source"]
    assert alone()


def test_a_run_may_be_dropped_when_its_loop_is_gone() -> None:
    """Before it ends, while it ends, and after: no complaint, and nothing hangs."""
    for when in ("before", "after", "never read"):
        log: list[Any] = []
        kept: list[Stream] = []

        async def main(log: list[Any], kept: list[Stream], when: str) -> None:
            kept.append((copy + copy)(numbers(log)))
            if when != "never read":
                await anext(kept[0])
            if when == "before":
                kept.clear()

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main(log, kept, when))
        kept.clear()
        gc.collect()
        assert log == ([] if when == "never read" else ["source"])


def test_a_stream_that_could_not_be_made_is_dropped_quietly() -> None:
    """`Stream()` with the wrong arguments is Python's error and no other."""
    with pytest.raises(TypeError):
        Stream()  # type: ignore[call-arg]
    gc.collect()


# -- what errors carry


def test_one_that_fails_besides_is_noted_and_is_the_context() -> None:
    """The note says what and where; the context ends in the error itself."""
    error, cause, other = ValueError("a"), OSError("cause"), KeyError("b")
    error.__context__ = cause
    other._vivace_path = "agent[1].x"  # type: ignore[attr-defined]
    attach(error, [other])
    assert notes(error) == ["also failed: KeyError: 'b' (in agent[1].x)"]
    assert error.__context__ is cause
    assert cause.__context__ is other


def test_nothing_is_attached_where_nothing_failed() -> None:
    """Without others, the error stays as it is."""
    error = ValueError("a")
    attach(error, [])
    assert notes(error) == []
    assert error.__context__ is None


def test_what_is_in_the_context_already_is_only_noted() -> None:
    """An error that was raised while the other one was handled is there already."""
    error, other = ValueError("a"), KeyError("b")
    error.__context__ = other
    attach(error, [other])
    assert notes(error) == ["also failed: KeyError: 'b'"]
    assert error.__context__ is other
    assert other.__context__ is None


def test_a_circle_of_contexts_does_no_harm() -> None:
    """Contexts that lead back to themselves are walked once."""
    error, second, other = ValueError("a"), OSError("b"), KeyError("c")
    error.__context__ = second
    second.__context__ = error
    other.__context__ = other
    attach(error, [other])
    assert second.__context__ is other  # type: ignore[comparison-overlap]


def test_what_lets_nobody_set_anything_carries_it_too() -> None:
    """A frozen error gets notes and context like all others; one that cannot be told is noted."""

    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    frozen, mute = Frozen(), Mute()
    attach(frozen, [mute])
    assert notes(frozen) == ["also failed: Mute: (its message cannot be told: ValueError)"]
    assert frozen.__context__ is mute


async def test_a_cancellation_from_inside_says_where() -> None:
    """The FlowError has the CancelledError, with its traceback, as its context."""

    @processor
    async def cancels(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            raise asyncio.CancelledError("here")
            yield Part("never")  # type: ignore[unreachable]

    with pytest.raises(FlowError, match="cancelled from inside") as caught:
        await anext(cancels("a"))
    assert isinstance(caught.value.__context__, asyncio.CancelledError)
    assert caught.value.__context__.args == ("here",)


async def test_the_tasks_of_a_run_are_kept_alive() -> None:
    """A task that waits for something that only it knows is stopped, and not collected."""
    log: list[Any] = []
    runs: list[Run] = []

    async def waits() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("stopped")

    @processor
    async def starts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        current_run().start(waits(), "waits")
        async for part in stream:
            yield part

    parts = starts(numbers(log))
    await anext(parts)
    await asyncio.sleep(1.0)
    runs.clear()
    gc.collect()
    assert log == []
    await parts.aclose()
    assert log == ["source", "stopped"]
