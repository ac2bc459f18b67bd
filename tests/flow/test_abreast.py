import asyncio
import gc
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from vivace.errors import FlowError
from vivace.flow.clock import now
from vivace.flow.part_processor import PASSTHROUGH_FALLBACK, PartProcessor, part_processor
from vivace.flow.processor import Processor, processor
from vivace.flow.scope import AbandonedTask
from vivace.part import Part, TurnComplete

pytestmark = pytest.mark.virtual

NAME: ContextVar[str] = ContextVar("name", default="nobody")


async def numbers(log: list[Any], count: int = 1000, every_s: float = 0.0) -> AsyncGenerator[Part]:
    """A source that tells what was pulled, and that it was closed."""
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(n)
            yield Part(str(n))
    finally:
        log.append("closed")


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


def waits(seconds: float | Callable[[int], float], **options: Any) -> PartProcessor:
    """Gives each part back after so many seconds."""

    @part_processor(**options)
    async def wait(part: Part) -> Part:
        await asyncio.sleep(seconds(int(part.text)) if callable(seconds) else seconds)
        return part

    return wait


@part_processor
async def hangs(part: Part) -> Part:
    await asyncio.sleep(1000.0)
    return part


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


async def outcome(parts: AsyncIterator[Part]) -> tuple[BaseException | None, list[str]]:
    seen: list[str] = []
    try:
        async for part in parts:
            seen.append(part.text)
    except BaseException as error:
        return error, seen
    return None, seen


def alone() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


# -- in order


@pytest.mark.virtual(seeds=200)
async def test_the_order_is_that_of_the_stream() -> None:
    """However long each call takes, what comes of it leaves in the place of its part."""
    delays = random.Random(3)
    agent = waits(lambda _: delays.choice((0.0, 0.0, 0.125, 0.25, 0.5)))
    seen = [part.text async for part in agent(numbers([], 40, every_s=0.0625))]
    assert seen == [str(n) for n in range(40)]


async def test_what_does_not_wait_is_not_held_back_by_time() -> None:
    """Only order holds a part back: what comes before a slow one is not late."""
    agent = waits(lambda n: 1.0 if n == 2 else 0.0)
    seen = [(now(), part.text) async for part in agent(numbers([], 4))]
    assert seen == [(0.0, "0"), (0.0, "1"), (1.0, "2"), (1.0, "3")]


async def test_parts_of_one_call_leave_as_they_come() -> None:
    """A call whose turn it is does not have to be finished."""

    @part_processor
    async def letters(part: Part) -> AsyncIterator[str]:
        for letter in "ab":
            await asyncio.sleep(0.25)
            yield part.text + letter

    seen = [(now(), part.text) async for part in letters(["1", "2"])]
    assert seen == [(0.25, "1a"), (0.5, "1b"), (0.5, "2a"), (0.5, "2b")]


async def test_signals_keep_their_place() -> None:
    """The end of a turn does not overtake a call that was begun before it."""
    complete = Part(TurnComplete(0), role="model")
    parts = [part async for part in waits(0.5)(["1", complete, "2"])]
    assert [part.text for part in parts] == ["1", "", "2"]
    assert parts[1] is complete


@pytest.mark.virtual(seeds=20)
async def test_branches_work_side_by_side_and_speak_in_turn() -> None:
    """What the branches make of one part comes in their order, also if the later one is first."""

    def says(name: str, *pauses: float) -> PartProcessor:
        @part_processor
        async def say(part: Part) -> AsyncIterator[str]:
            for seconds in pauses:
                await asyncio.sleep(seconds)
                yield f"{part.text}{name}"

        return say

    agent = says("a", 0.5, 0.5) // says("b", 0.25) // says("c")
    seen = [(now(), part.text) async for part in agent(["1", "2"])]
    assert seen == [
        (0.5, "1a"),
        (1.0, "1a"),
        (1.0, "1b"),
        (1.0, "2a"),
        (1.0, "2a"),
        (1.0, "2b"),
    ]


# -- how far ahead


@pytest.mark.parametrize("concurrency", [2, 3, 8])
@pytest.mark.parametrize("every_s", [0.0, 0.125])
@pytest.mark.virtual(seeds=20)
async def test_no_more_is_read_than_is_worked_on(concurrency: int, every_s: float) -> None:
    """While the first call hangs, so many parts are pulled and no more, whatever others gave."""
    log: list[Any] = []
    agent = waits(lambda n: 0.0 if n else 100.0, concurrency=concurrency)
    async with (copy + agent).run(numbers(log, every_s=every_s)) as parts:
        first = asyncio.create_task(anext(parts))
        await asyncio.sleep(50.0)
        assert log == list(range(concurrency))
        assert (await first).text == "0"
        for n in range(1, 4):
            assert (await anext(parts)).text == str(n)
        await asyncio.sleep(50.0)
        assert len(log) <= concurrency + 3
    assert log[-1] == "closed"


@pytest.mark.virtual(seeds=20)
async def test_a_consumer_that_rests_has_nothing_read() -> None:
    """Parts are read as somebody asks: in between, calls go on, and none is begun."""
    log: list[Any] = []
    async with waits(0.25, concurrency=4).run(numbers(log)) as parts:
        assert log == []
        await anext(parts)
        assert log == [0, 1, 2, 3]
        await asyncio.sleep(10.0)
        assert log == [0, 1, 2, 3]
        await anext(parts)
        assert log == [0, 1, 2, 3]  # it was there already
    assert now() == 10.25


async def test_functions_that_wait_each_have_parts_of_their_own() -> None:
    """Two of them one after the other hold as many parts as both may work on, and no more."""
    log: list[Any] = []
    parts = (waits(0.25, concurrency=3) + copy + hangs)(numbers(log))
    task = asyncio.create_task(anext(parts))
    await asyncio.sleep(100.0)
    assert log == list(range(8 + 1))  # eight in hand, and one that was read with the last of them
    await parts.aclose()
    await asyncio.wait([task])
    assert task.cancelled() or task.exception() is not None


@pytest.mark.virtual(seeds=20)
async def test_a_call_may_be_so_far_ahead_of_its_turn() -> None:
    """A call that gives parts without end has 16 waiting, and then waits for its turn."""
    given = [0, 0]

    @part_processor
    async def counts(part: Part) -> AsyncIterator[str]:
        me = int(part.text)
        await asyncio.sleep(0.0 if me else 1.0)
        while given[me] < 40:
            given[me] += 1
            yield f"{me}"

    async with counts.run(["0", "1"]) as parts:
        first = asyncio.create_task(anext(parts))
        await asyncio.sleep(0.5)
        assert given == [0, 16]
        await first
        await asyncio.sleep(1.0)
        assert given == [1 + 16, 16]
        for _ in range(3):
            await anext(parts)
        await asyncio.sleep(1.0)
        assert given == [4 + 16, 16]
        assert len([part async for part in parts]) == 76
    assert given == [40, 40]


async def test_work_that_does_not_wait_costs_no_task() -> None:
    """An async function that has nothing to wait for is done as its part is read."""
    most = 0

    @part_processor
    async def counts(part: Part) -> Part:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        return part

    async for _ in counts(numbers([], 100)):
        pass
    assert most == 4  # this one, the run's, the one that reads and the one that works


async def test_a_task_serves_one_call_after_the_other() -> None:
    """There are as many tasks as calls that were out at once, however many there were in all."""
    names: set[str] = set()

    @part_processor(concurrency=3)
    async def looks(part: Part) -> Part:
        await asyncio.sleep(0.25)
        names.add(asyncio.current_task().get_name())  # type: ignore[union-attr]
        return part

    assert len([part async for part in looks(numbers([], 30))]) == 30
    assert names == {f"looks works ({n})" for n in (1, 2, 3)}
    assert now() == 2.5


# -- each call in a task of its own


@pytest.mark.virtual(seeds=50)
async def test_a_time_limit_holds_for_one_call() -> None:
    """A call may limit what it waits for; the calls beside it do not feel that."""

    @part_processor
    async def limited(part: Part) -> str:
        try:
            async with asyncio.timeout(float(part.text)):
                await asyncio.sleep(0.5)
        except TimeoutError:
            return f"{now()}"
        return "in time"

    seen = [part.text async for part in limited(["0.25", "1", "0.125", "0", "0.75"])]
    assert seen == ["0.25", "in time", "0.125", "0.0", "in time"]


@pytest.mark.virtual(seeds=50)
async def test_calls_may_wait_for_one_and_the_same_thing() -> None:
    """All of them get what they wait for: a model that is being loaded, say."""
    loading: list[asyncio.Task[str]] = []

    async def load() -> str:
        await asyncio.sleep(0.5)
        return "model"

    @part_processor
    async def asks(part: Part) -> str:
        if not loading:
            loading.append(asyncio.create_task(load()))
        return part.text + await loading[0]

    both = asks // asks
    assert [part.text async for part in both(["a", "b"])] == ["amodel"] * 2 + ["bmodel"] * 2
    assert now() == 0.5


@pytest.mark.virtual(seeds=20)
async def test_calls_are_not_in_the_consumers_task_or_context() -> None:
    """What a call sees is its own before and after a wait; what it sets nobody outside sees."""
    seen: list[Any] = []

    @part_processor
    async def looks(part: Part) -> Part:
        for _ in range(2):
            seen.append((asyncio.current_task(), NAME.get()))
            await asyncio.sleep(0.25)
        NAME.set("call")
        return part

    NAME.set("consumer")
    async for _ in looks(["a", "b"]):
        assert NAME.get() == "consumer"
        NAME.set("consumer")
    tasks = [task for task, _ in seen]
    assert len(set(tasks)) == 2
    assert asyncio.current_task() not in tasks
    assert {name for _, name in seen} == {"consumer"}


# -- errors


def fails(at: dict[str, tuple[float, BaseException]], otherwise_s: float = 0.0) -> PartProcessor:
    """Fails on some parts, each after a while."""

    @part_processor
    async def fail(part: Part) -> Part:
        seconds, error = at.get(part.text, (otherwise_s, None))
        if seconds:
            await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return part

    return fail


@pytest.mark.virtual(seeds=50)
@pytest.mark.parametrize("early_s", [0.0, 0.125])
async def test_an_error_comes_in_its_turn(early_s: float) -> None:
    """What comes before it is received; calls that failed besides are noted on it."""
    first, second = ValueError("first"), KeyError("second")
    at: dict[str, Any] = {"0": (0.5, None), "2": (0.25, first), "4": (early_s, second)}
    log: list[Any] = []
    error, seen = await outcome((fails(at) + copy)(numbers(log)))
    assert error is first
    assert seen == ["0", "1"]
    assert notes(first) == ["also failed: KeyError: 'second'", "in agent[0].fail"]
    assert first.__context__ is second
    assert log[-1] == "closed"
    assert alone()


async def test_an_error_of_the_stream_comes_after_what_was_read_before_it() -> None:
    """What is still worked on is waited for; then the stream's error is raised as itself."""

    async def breaks() -> AsyncIterator[str]:
        yield "0"
        yield "1"
        raise OSError("unplugged")

    error, seen = await outcome(waits(0.5)(breaks()))
    assert isinstance(error, OSError)
    assert seen == ["0", "1"]
    assert notes(error) == ["in source"]
    assert now() == 0.5


@pytest.mark.virtual(seeds=20)
async def test_an_error_of_the_stream_is_noted_if_a_call_fails_first() -> None:
    """Neither of the two is lost."""

    async def breaks() -> AsyncIterator[str]:
        yield "0"
        raise OSError("unplugged")

    first = ValueError("first")
    error, _ = await outcome(fails({"0": (0.5, first)})(breaks()))
    assert error is first
    assert notes(first) == ["also failed: OSError: unplugged (in source)", "in fail"]
    assert isinstance(first.__context__, OSError)


def cleans_up_with(error: BaseException, seconds: float = 0.0) -> PartProcessor:
    """Raises when a call is cancelled; the first call of all fails instead."""

    @part_processor
    async def clean(part: Part) -> Part:
        if part.text == "0":
            await asyncio.sleep(0.5)
            raise ValueError("first")
        try:
            await asyncio.sleep(100.0)
        finally:
            if seconds:
                await asyncio.sleep(seconds)
            if part.text == "3":
                raise error
        return part

    return clean


@pytest.mark.virtual(seeds=20)
@pytest.mark.parametrize("seconds", [0.0, 0.25])
async def test_what_fails_as_it_is_cancelled_is_noted(seconds: float) -> None:
    """An error of a call's cleanup is told with the error that ended the run."""
    late = KeyError("late")
    error, _ = await outcome(cleans_up_with(late, seconds)(numbers([])))
    assert isinstance(error, ValueError)
    assert sorted(notes(error)) == ["also failed: KeyError: 'late'", "in clean"]
    assert isinstance(error.__context__, KeyError)
    assert alone()


@pytest.mark.virtual(seeds=20)
async def test_what_failed_out_of_turn_is_told_when_the_consumer_leaves() -> None:
    """A call that failed while the one before it was still out is not lost, nor is its cleanup."""
    early, late = OSError("early"), KeyError("late")
    log: list[Any] = []
    agent = fails({"0": (100.0, None), "2": (0.125, early), "3": (100.0, None)})  # type: ignore[dict-item]
    parts = (copy + agent)(numbers(log))
    waiting = asyncio.create_task(anext(parts))
    await asyncio.sleep(1.0)
    with pytest.raises(OSError, match="early") as caught:
        await parts.aclose()
    assert caught.value is early
    assert log[-1] == "closed"
    await asyncio.wait([waiting])
    assert isinstance(waiting.exception(), StopAsyncIteration)

    parts = cleans_up_with(late)(numbers(log, every_s=0.0625))
    waiting = asyncio.create_task(anext(parts))
    await asyncio.sleep(0.375)
    with pytest.raises(KeyError, match="late"):
        await parts.aclose()
    assert isinstance(waiting.exception(), StopAsyncIteration)
    assert alone()


@pytest.mark.virtual(seeds=20)
async def test_the_stream_may_fail_as_it_is_left() -> None:
    """What the stage before raises when its reader is cancelled is told as well."""

    @processor
    async def untidy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
            try:
                await asyncio.sleep(100.0)
            except asyncio.CancelledError:
                raise OSError("late") from None

    error, _ = await outcome((untidy + fails({"0": (0.5, ValueError("first"))}))(numbers([])))
    assert isinstance(error, ValueError)
    assert "also failed: OSError: late (in agent[0].untidy)" in notes(error)

    parts = (untidy + hangs)(numbers([]))
    waiting = asyncio.create_task(anext(parts))
    await asyncio.sleep(1.0)
    with pytest.raises(OSError, match="late"):
        await parts.aclose()
    await asyncio.wait([waiting])
    assert isinstance(waiting.exception(), StopAsyncIteration)


async def test_a_stage_behind_may_handle_an_error() -> None:
    """Whoever reads may catch it: then it is no error of the run."""

    @processor
    async def forgives(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        except ValueError as error:
            yield Part(f"{error}")

    at: dict[str, Any] = {"1": (0.25, ValueError("first")), "2": (0.0, KeyError("second"))}
    error, seen = await outcome((fails(at) + forgives)(numbers([])))
    assert (error, seen) == (None, ["0", "first"])


@pytest.mark.virtual(seeds=20)
@pytest.mark.parametrize("seconds", [0.0, 0.25])
async def test_a_call_that_is_cancelled_from_inside_ends_the_run(seconds: float) -> None:
    """A cancellation that nobody from outside asked for is an error, in its turn."""
    error, seen = await outcome(
        fails({"2": (seconds, asyncio.CancelledError())}, 0.125)(numbers([]))
    )
    assert isinstance(error, FlowError)
    assert seen == ["0", "1"]
    assert alone()


@pytest.mark.virtual(seeds=20)
async def test_a_call_that_cancels_its_task_does_not_disturb_the_next_one() -> None:
    """If it gets over that, the next part is worked on as ever."""

    @part_processor(concurrency=2)
    async def cancels(part: Part) -> Part:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(1.0)
        except asyncio.CancelledError:
            task.uncancel()
        await asyncio.sleep(0.25)
        return part

    error, seen = await outcome(cancels(numbers([], 8)))
    assert (error, seen) == (None, [str(n) for n in range(8)])
    assert now() == 1.0


class Picky(PartProcessor):
    """Wants some parts, and fails on others before it has begun."""

    waits = True

    def matches(self, part: Part) -> bool:
        if part.text == "2":
            raise LookupError("picky")
        return part.text != "1"

    def take(self, part: Part) -> Any:
        return part.text + "!"


async def test_a_branch_that_cannot_choose_fails_in_its_turn() -> None:
    """An error of `matches` is one of that part, and what was begun for it is cancelled."""
    error, seen = await outcome((waits(0.25) // Picky())(numbers([])))
    assert isinstance(error, LookupError)
    assert seen == ["0", "0!", "1", "2"]
    assert notes(error) == ["in parallel"]


async def test_a_fallback_waits_until_nothing_can_come() -> None:
    """A part falls back when its last branch has ended with nothing, and not before."""

    @part_processor
    async def nothing(part: Part) -> None:
        await asyncio.sleep(0.5)

    agent = nothing // PASSTHROUGH_FALLBACK // nothing
    assert [(now(), part.text) async for part in agent(["a", "b"])] == [(0.5, "a"), (0.5, "b")]


# -- ends


async def test_nothing_comes_of_nothing() -> None:
    """An empty stream ends at once."""
    assert await outcome(waits(1.0)([])) == (None, [])
    assert now() == 0.0
    assert alone()


async def left_by_aclose(parts: Any) -> None:
    await parts.aclose()


async def left_by_cancelling(parts: Any) -> None:
    task = asyncio.create_task(anext(parts))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or task.exception() is not None
    assert task.cancelled()


async def left_by_a_limit(parts: Any) -> None:
    async def read() -> None:
        async for _ in parts:
            pass

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read(), 0.5)


@pytest.mark.virtual(seeds=50)
@pytest.mark.parametrize("leave", [left_by_aclose, left_by_cancelling, left_by_a_limit])
@pytest.mark.parametrize("begun", [False, True])
async def test_however_it_is_left_no_call_stays(leave: Callable[[Any], Any], begun: bool) -> None:
    """All calls are cancelled, may clean up, and the source is closed."""
    log: list[Any] = []
    out: set[str] = set()

    @part_processor
    async def works(part: Part) -> Part:
        if part.text == "0" and begun:
            return part
        out.add(part.text)
        try:
            await asyncio.sleep(1.0 + float(part.text))
        finally:
            await asyncio.sleep(0.125)
            out.remove(part.text)
        return part

    parts = (copy + works + copy)(numbers(log))
    if begun:
        assert (await anext(parts)).text == "0"
    await leave(parts)
    assert out == set()
    assert log[-1:] == (["closed"] if begun or leave is not left_by_aclose else [])
    assert alone()


async def test_a_call_that_will_not_stop_is_left_behind() -> None:
    """It is named, and leaving takes no longer than two seconds."""
    release = asyncio.Event()
    log: list[Any] = []

    @part_processor
    async def stubborn(part: Part) -> Part:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return part

    parts = stubborn(numbers(log, 2))
    waiting = asyncio.create_task(anext(parts))
    await asyncio.sleep(1.0)
    with pytest.warns(AbandonedTask) as warned:
        await parts.aclose()
    assert len(warned) == 2
    for number, warning in enumerate(warned, 1):
        text = str(warning.message)
        assert text.startswith(f"stubborn works ({number}) was cancelled and did not stop within")
        assert "left behind at test_a_call_that_will_not_stop" in text
    assert now() <= 3.0
    assert isinstance(waiting.exception(), StopAsyncIteration)
    assert log[-1] == "closed"
    release.set()
    await asyncio.sleep(1.0)
    assert waiting.done()
    assert alone()


@pytest.mark.virtual(seeds=10)
async def test_what_is_dropped_is_closed() -> None:
    """A stream that nobody holds any more has its calls cancelled."""
    log: list[Any] = []
    parts = waits(lambda n: float(n))(numbers(log))
    assert (await anext(parts)).text == "0"
    circle: list[Any] = [parts]
    circle.append(circle)
    del parts, circle
    gc.collect()
    await asyncio.sleep(1.0)
    assert log[-1] == "closed"
    assert alone()


@pytest.mark.virtual(seeds=5)
async def test_a_hundred_at_once_do_not_disturb_each_other() -> None:
    """One processor object serves any number of runs, each with a bound of its own."""
    agent: Processor = waits(0.25, concurrency=2) + copy

    async def one(log: list[Any]) -> list[str]:
        return [part.text async for part in agent(numbers(log, 4))]

    tasks = [asyncio.create_task(one([])) for _ in range(100)]
    await asyncio.wait(tasks)
    assert [task.result() for task in tasks] == [list("0123")] * 100
    assert now() == 0.5


async def test_an_endless_stream_has_an_end_for_who_leaves() -> None:
    """Parts without end, from a source that never waits, are taken one by one."""

    async def endless() -> AsyncGenerator[str]:
        while True:
            yield "again"

    seen = 0
    async with waits(0.0).run(endless()) as parts:
        async for _ in parts:
            seen += 1
            if seen == 1000:
                break
    assert alone()
