"""However a run of mixed stages ends: nothing of either side is left, and errors are themselves."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from vivace.errors import AudioError, FlowError, PartError
from vivace.flow.clock import now
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor, processor
from vivace.flow.scope import AbandonedTask
from vivace.part import Data, Part
from vivace.processors.genai import to_genai_processor

from .stages import (
    Driven,
    content,
    context,
    copy,
    gathered,
    late,
    numbers,
    ours_of,
    outcome,
    package,
    pass_on,
    same,
    settled,
    texts,
    their_numbers,
    their_part_processor,
    their_processor,
    theirs,
    upper,
)

switch = package("genai_processors.switch")

BOUND_S = 2.0
pytestmark = [pytest.mark.virtual, pytest.mark.usefixtures("silence")]
seeds = pytest.mark.virtual(seeds=8)
# In a chain of theirs, what stands before a stage that ends early is left to the garbage collector.
left_over = pytest.mark.virtual(seeds=8, allow_unclosed=True)

# -- ways to end


async def exhausted(agent: Processor, log: list[str]) -> None:
    assert texts(await gathered(agent, numbers(log, 5))) == list("01234")


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
    @part_processor
    def fails(part: Part) -> Part:
        if part.text == "3":
            raise ValueError("broken")
        return part

    error, _ = await outcome((agent + fails + agent)(numbers(log)))
    assert type(error) is ValueError


async def failed_before(agent: Processor, log: list[str]) -> None:
    async def source() -> AsyncIterator[Part]:
        async for part in numbers(log, 3):
            yield part
        raise ValueError("broken")

    error, _ = await outcome(agent(source()))
    assert type(error) is ValueError


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
    failed_before,
    collected,
]
AGENTS = {
    "processor": ours_of(pass_on),
    "part processor": copy + ours_of(same) + copy,
    "slow part processor": ours_of(late),
    "chain": ours_of(pass_on + same + pass_on),
    "their way": ours_of(late.to_processor()) + Driven(),
    "parallel": ours_of(theirs.create_filter(lambda _: False) // same),
    "switch": ours_of(switch.Switch().default(same)),
    "nested": copy + ours_of(pass_on + to_genai_processor(copy + Driven()) + same) + copy,
}


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS.keys())
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.virtual(seeds=4)
async def test_however_a_run_ends_nothing_is_left(
    agent: Processor, end: Callable[[Processor, list[str]], Awaitable[None]]
) -> None:
    """Whatever ends it and whatever it is made of: all tasks are gone, and the source is closed."""
    log: list[str] = []
    await end(agent, log)
    await settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log.count("closed") == 1


# -- ways to end over there


async def their_end(agent: Any, log: list[str]) -> None:
    async with context.context():
        assert await agent(their_numbers(log, 5)).text() == "01234"


async def their_end_without_context(agent: Any, log: list[str]) -> None:
    assert await agent(their_numbers(log, 5)).text() == "01234"


async def their_error(agent: Any, log: list[str]) -> None:
    async def consume() -> None:
        async with context.context():
            async for part in agent(their_numbers(log, every_s=0.5)):
                if part.text == "3":
                    raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await consume()


async def their_error_inside(agent: Any, log: list[str]) -> None:
    @their_part_processor
    async def fails(part: Any) -> Any:
        if part.text == "3":
            raise ValueError("broken")
        yield part

    with pytest.raises(ValueError, match="broken"):
        await theirs.apply_async(agent + fails, [str(n) for n in range(9)])
    with pytest.raises(ValueError, match="broken"):
        async with context.context():
            await (agent + fails)(their_numbers(log, every_s=0.1)).gather()


async def their_cancellation(agent: Any, log: list[str]) -> None:
    async def consume() -> None:
        async with context.context():
            await agent(their_numbers(log, every_s=0.4)).gather()

    task = asyncio.create_task(consume())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def their_group_cancelled(agent: Any, log: list[str]) -> None:
    async with context.context() as group:
        async for part in agent(their_numbers(log, every_s=0.4)):
            if part.text == "2":
                group.cancel()
                break


async def their_close(agent: Any, log: list[str]) -> None:
    async with context.context() as group:
        stream = aiter(agent(their_numbers(log, every_s=0.4)))
        await anext(stream)
        await stream.aclose()
        group.cancel()


THEIR_ENDS = [
    their_end,
    their_end_without_context,
    their_error,
    their_error_inside,
    their_cancellation,
    their_group_cancelled,
    their_close,
]
THEIR_AGENTS = {
    "ours": to_genai_processor(copy),
    "driven": to_genai_processor(copy + Driven() + copy),
    "among theirs": pass_on + to_genai_processor(copy + Driven()) + same,
    "after parts": same + to_genai_processor(copy),
    "nested": to_genai_processor(copy + ours_of(pass_on + to_genai_processor(Driven()))),
}


@pytest.mark.parametrize("agent", THEIR_AGENTS.values(), ids=THEIR_AGENTS.keys())
@pytest.mark.parametrize("end", THEIR_ENDS, ids=lambda end: end.__name__)
@pytest.mark.virtual(seeds=4, allow_unclosed=True)  # they leave that to the garbage collector
async def test_however_their_run_ends_nothing_of_ours_is_left(
    agent: Any, end: Callable[[Any, list[str]], Awaitable[None]]
) -> None:
    """However theirs ends: the tasks of ours in it are gone, and their source is closed."""
    log: list[str] = []
    await end(agent, log)
    await settled()
    await settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log.count("closed") == 1


@pytest.mark.parametrize("agent", [upper, same, upper + same, switch.Switch().default(same)])
async def test_leaving_closes_theirs_from_the_inside_out(agent: Any) -> None:
    """Theirs is closed by us, not by the garbage collector: with its cleanup, before the source."""
    log: list[str] = []

    @their_processor
    async def tidies(stream: Any) -> Any:
        try:
            async for part in stream:
                yield part
        finally:
            await asyncio.sleep(0.1)
            log.append("tidied")

    async with ours_of(tidies + agent).run(numbers(log, every_s=0.5)) as parts:
        await anext(parts)
        log.clear()
    assert [line for line in log if "pull" not in line] == ["tidied", "closed"]


@seeds
async def test_ours_closes_what_it_reads_from_theirs() -> None:
    """A stage of ours that ends early closes the generators of theirs before it."""
    log: list[str] = []

    @their_processor
    async def tidies(stream: Any) -> Any:
        try:
            async for part in stream:
                yield part
        finally:
            log.append("tidied")

    @processor
    async def first(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield await anext(stream)

    async with context.context():
        parts = to_genai_processor(first)(tidies(their_numbers(log)))
        assert await parts.text() == "0"
        assert log[-2:] == ["closed", "tidied"]


@their_part_processor
async def bursts(part: Any) -> Any:
    for _ in range(9):
        yield part
    await asyncio.sleep(100.0)


@seeds
async def test_leaving_while_a_task_of_theirs_reads_what_we_close() -> None:
    """A generator that one of their tasks is reading is left to that task, which is cancelled."""
    log: list[str] = []
    async with ours_of(same + bursts + same).run(numbers(log)) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
        at = now()
    assert now() == at
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log[-1] == "closed"


@their_processor
async def dawdles(stream: Any) -> Any:
    async for part in stream:
        yield part
        await asyncio.sleep(100.0)


@pytest.mark.parametrize("stage", [pass_on, dawdles], ids=["waits for input", "works"])
@pytest.mark.parametrize("every_s", [0.0, 10.0])
@seeds
async def test_a_stage_of_theirs_may_end_before_the_run(stage: Any, every_s: float) -> None:
    """A stage of ours that used theirs for a while leaves nothing of it behind."""
    log: list[str] = []
    left: list[set[Any]] = []

    @processor
    async def for_a_while(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def own() -> AsyncIterator[Part]:
            try:
                async for part in stream:
                    yield part
            finally:
                log.append("own closed")

        before = asyncio.all_tasks()
        async with contextlib.aclosing(ours_of(stage).call(own())) as inner:  # type: ignore[type-var]
            yield await anext(inner)
        await asyncio.sleep(0.1)
        left.append(asyncio.all_tasks() - before)
        yield Part("and on")

    assert texts(await gathered(for_a_while, numbers(log, 1000, every_s))) == ["0", "and on"]
    assert left == [set()]
    assert sorted(line for line in log if "pull" not in line) == ["closed", "own closed"]


@seeds
async def test_theirs_that_answers_being_stopped_is_not_heard_any_more() -> None:
    """A stage that swallows its cancellation and yields once more disturbs nobody."""

    @their_processor
    async def replies(stream: Any) -> Any:
        try:
            async for part in stream:
                yield part
        except asyncio.CancelledError:
            yield content.ProcessorPart("why?")
            yield content.ProcessorPart("well then")

    @processor
    async def for_a_while(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async with contextlib.aclosing(ours_of(replies).call(stream)) as inner:  # type: ignore[type-var]
            yield await anext(inner)
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        yield Part("and on")

    source = numbers([], every_s=0.1)
    assert texts(await gathered(for_a_while, source)) == ["0", "and on"]
    at = now()
    async with ours_of(replies).run(numbers([], every_s=10.0)) as parts:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await anext(parts)
    assert now() - at == 1.0


async def test_theirs_that_only_ends_with_its_input_is_given_that_end() -> None:
    """A stage that goes on reading when it is cancelled finds that its input is over."""

    @their_processor
    async def reads_on(stream: Any) -> Any:
        parts = aiter(stream)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                try:
                    yield await anext(parts)
                except StopAsyncIteration:
                    return

    async with ours_of(reads_on).run(numbers([], every_s=10.0)) as parts:
        await anext(parts)
        at = now()
    assert now() - at <= BOUND_S
    assert asyncio.all_tasks() == {asyncio.current_task()}


# -- theirs that will not stop


class Hang:
    """Stages of theirs that do as they are told when they should stop."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun = asyncio.Event()

    @property
    def waits(self) -> Any:
        @their_processor
        async def hangs_in_await(stream: Any) -> Any:
            async for part in stream:
                self.begun.set()
                await self.release.wait()
                yield part

        return hangs_in_await

    @property
    def waits_for_a_part(self) -> Any:
        @their_part_processor
        async def hangs_with_a_part(part: Any) -> Any:
            self.begun.set()
            await self.release.wait()
            yield part

        return hangs_with_a_part

    @property
    def cleans_for_ever(self) -> Any:
        @their_processor
        async def hangs_in_finally(stream: Any) -> Any:
            try:
                async for part in stream:
                    self.begun.set()
                    yield part
            finally:
                await self.swallow()

        return hangs_in_finally

    @property
    def a_task_cleans_for_ever(self) -> Any:
        @their_processor
        async def hangs_in_a_task(stream: Any) -> Any:
            async def work() -> None:
                try:
                    await self.release.wait()
                finally:
                    await self.swallow()

            context.create_task(work())
            async for part in stream:
                self.begun.set()
                yield part

        return hangs_in_a_task

    async def swallow(self) -> None:
        while not self.release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.release.wait()


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


@pytest.mark.parametrize("way", ["waits", "waits_for_a_part"])
@pytest.mark.parametrize("more", [False, True], ids=["alone", "chain"])
@left_over
async def test_theirs_that_hangs_is_cancelled(way: str, more: bool) -> None:
    """Leaving while a stage of theirs waits for ever takes no time, and closes the source."""
    hang, log = Hang(), list[str]()
    stage = getattr(hang, way)
    agent = ours_of(pass_on + stage + same if more else stage)
    assert await leave(copy + agent + copy, numbers(log, 3), hang.begun) == 0.0
    assert log[-1] == "closed"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("way", ["cleans_for_ever", "a_task_cleans_for_ever"])
@pytest.mark.parametrize("more", [False, True], ids=["alone", "chain"])
@seeds
async def test_theirs_that_will_not_stop_is_bounded_and_named(way: str, more: bool) -> None:
    """A stage of theirs that will not stop costs 2 s and is named; the source is closed."""
    hang, log = Hang(), list[str]()
    stage = getattr(hang, way)
    agent = ours_of(pass_on + stage if more else stage)
    with pytest.warns(AbandonedTask) as warned:
        took = await leave(copy + agent + copy, numbers(log, 10**6, 0.1), hang.begun)
    names, log_then = " ".join(str(it.message) for it in warned), list(log)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    hang.release.set()
    await asyncio.wait(left)
    assert took <= BOUND_S
    assert log_then[-1] == "closed"
    assert agent.name in names


# -- errors


class Broken(Exception):
    """Theirs, for all we know."""


async def fail() -> None:
    try:
        raise KeyError("the cause")
    except KeyError as cause:
        raise Broken("broken") from cause


@their_processor
async def fails(stream: Any) -> Any:
    async for part in stream:
        if part.text == "3":
            await fail()
        yield part


@their_part_processor
async def fails_for_a_part(part: Any) -> Any:
    if part.text == "3":
        await fail()
    yield part


@their_processor
async def fails_in_a_task(stream: Any) -> Any:
    async for part in stream:
        if part.text == "3":
            await context.create_task(fail())
        yield part


@their_processor
async def fails_behind_its_back(stream: Any) -> Any:
    async for part in stream:
        if part.text == "3":
            context.create_task(fail())
        yield part


FAILING = {
    "processor": fails,
    "part processor": fails_for_a_part,
    "their way": fails_for_a_part.to_processor(),
    "chain of parts": same + fails_for_a_part + same,
    "chain": pass_on + fails + same,
    "parallel": same // fails_for_a_part,
    "concat": theirs.parallel_concat([pass_on, fails]),
    "task": fails_in_a_task,
    "task nobody waits for": fails_behind_its_back,
    "ours": to_genai_processor(ours_of(fails)),
    "ours in a chain": pass_on + to_genai_processor(copy + ours_of(fails_in_a_task)) + same,
}


@pytest.mark.parametrize("stage", FAILING.values(), ids=FAILING.keys())
@left_over
async def test_an_error_of_theirs_is_itself(stage: Any) -> None:
    """What a stage of theirs raises reaches the consumer as it was raised, once, with its place."""
    log: list[str] = []
    agent = copy + ours_of(stage) + copy
    parts = agent(numbers(log, 9))
    with pytest.raises(Broken, match="broken") as raised:
        async for _ in parts:
            pass
    assert isinstance(raised.value.__cause__, KeyError)
    assert len(raised.value.__notes__) == 1
    assert "fails" in raised.value.__notes__[0] or "agent[1]." in raised.value.__notes__[0]
    assert [part async for part in parts] == []
    await settled()
    assert log[-1] == "closed"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@their_processor
async def nested_group(stream: Any) -> Any:
    async with context.context():
        async for part in stream:
            if part.text == "3":
                await context.create_task(fail())
            yield part


@pytest.mark.parametrize("stage", [switch.Switch().default(fails), nested_group])
@left_over
async def test_an_error_in_a_group_within_is_itself_all_the_same(stage: Any) -> None:
    """Where theirs wraps an error once more in a group of its own, it is unwrapped, too."""
    error, _ = await outcome(ours_of(stage)(numbers([], 9)))
    assert type(error) is Broken


async def test_parts_before_an_error_come_first() -> None:
    """What a pulled stage of theirs made before it failed is not lost."""
    for stage in (fails, fails_for_a_part):
        error, seen = await outcome(ours_of(stage)(numbers([], 9)))
        assert (type(error), seen) == (Broken, ["0", "1", "2"])


@seeds
async def test_several_errors_are_a_group() -> None:
    """If more than one task of theirs fails, none of the errors is lost."""

    @their_part_processor
    async def fails_twice(part: Any) -> Any:
        try:
            await asyncio.sleep(1.0 if part.text == "0" else 5.0)
            raise Broken("first")
        except asyncio.CancelledError as cancelled:
            raise ValueError(f"cleanup of {part.text}") from cancelled
        finally:
            if part.text == "nobody":
                yield part

    with pytest.raises(ExceptionGroup, match="3 tasks of a genai processor failed") as raised:
        await gathered(ours_of(fails_twice.to_processor()), numbers([], 3))
    messages = sorted(str(error) for error in raised.value.exceptions)
    assert messages == ["cleanup of 1", "cleanup of 2", "first"]
    cleanup = next(it for it in raised.value.exceptions if isinstance(it, ValueError))
    assert isinstance(cleanup.__cause__, asyncio.CancelledError)


@pytest.mark.parametrize("stage", [pass_on, pass_on + same])
@left_over
async def test_a_group_that_is_the_error_stays_one(stage: Any) -> None:
    """A group that somebody raised on purpose is not taken apart."""
    thrown = ExceptionGroup("mine", [ValueError("only")])

    @their_processor
    async def raises(stream: Any) -> Any:
        async for _ in stream:
            raise thrown
        yield "never"

    error, _ = await outcome(ours_of(stage + raises)("a"))
    assert error is thrown


@pytest.mark.parametrize("stage", [pass_on, same, pass_on + same, switch.Switch().default(same)])
@seeds
async def test_an_error_before_theirs_goes_through(stage: Any) -> None:
    """The error of a stage of ours before theirs is itself behind it, and names its own place."""
    thrown = Broken("before")

    @part_processor
    def breaks(part: Part) -> Part:
        if part.text == "3":
            raise thrown
        return part

    error, _ = await outcome((copy + breaks + ours_of(stage) + copy)(numbers([], 9)))
    assert error is thrown
    assert error.__notes__ == ["in agent[1].breaks"]


@pytest.mark.parametrize("way", ["apply_async", "context", "alone"])
@seeds
async def test_an_error_of_ours_is_itself_over_there(way: str) -> None:
    """What a stage of ours raises reaches whoever runs theirs, as theirs tells of errors."""

    @part_processor
    def breaks(part: Part) -> Part:
        raise Broken("ours")

    agent = pass_on + to_genai_processor(copy + breaks) + same

    async def run() -> None:
        if way == "apply_async":
            await theirs.apply_async(agent, ["a"])
        elif way == "context":
            async with context.context():
                await agent(["a"]).gather()
        else:
            await agent(["a"]).gather()

    with pytest.raises(Broken, match="ours") as raised:
        await run()
    assert raised.value.__notes__ == ["in agent[1].breaks"]


async def test_theirs_may_catch_an_error_of_ours() -> None:
    """An exception of our stream is one for `yield_exceptions_as_parts`, too."""

    async def plain(stream: Any) -> Any:
        async for part in stream:
            yield part

    lenient = theirs.processor_function(theirs.yield_exceptions_as_parts(plain))

    async def source() -> AsyncIterator[Part]:
        yield Part("a")
        raise Broken("before")

    parts = await gathered(ours_of(lenient), source())
    news = next(part for part in parts if part.substream == "status")
    assert news.metadata["exception_type"] == "Broken"
    assert texts(parts) == ["a"]


async def give_up(how: str) -> None:
    if how == "raises":
        raise asyncio.CancelledError
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize("whole", [True, False], ids=["processor", "part processor"])
@pytest.mark.parametrize("how", ["raises", "cancels its task"])
@left_over
async def test_a_stage_of_theirs_that_cancels_itself(how: str, whole: bool) -> None:
    """A cancellation that nobody asked for is an error, and no end of the stream."""

    @their_part_processor
    async def gives_up(part: Any) -> Any:
        await give_up(how)
        yield part

    @their_processor
    async def all_give_up(stream: Any) -> Any:
        async for part in stream:
            await give_up(how)
            yield part

    with pytest.raises(FlowError, match=r"give.* was cancelled from inside"):
        await gathered(copy + ours_of(all_give_up if whole else gives_up), numbers([], 5))


@left_over
async def test_over_there_leaving_waits_for_the_end_of_the_input() -> None:
    """What docs/interop.md says of them: without `cancel`, leaving a loop stops nothing."""
    agent = pass_on + to_genai_processor(copy)

    async def leave(stream: Any) -> None:
        async for _ in stream:
            break
        await stream.aclose()

    at = now()
    await leave(aiter(agent(their_numbers([], 5, 0.1))))
    assert now() - at == 0.5
    async with context.context():
        await leave(aiter(agent(their_numbers([], 5, 0.1))))
    assert now() - at == 1.0
    async with context.context() as tasks:
        await leave(aiter(agent(their_numbers([], 5, 0.1))))
        tasks.cancel()
    assert now() - at == 1.1


async def test_a_stage_before_theirs_that_cancels_itself() -> None:
    """The same, of a stage of ours before theirs."""

    @part_processor
    def gives_up(part: Part) -> Part:
        raise asyncio.CancelledError

    with pytest.raises(FlowError, match="a stage before pass_on was cancelled from inside"):
        await gathered(gives_up + ours_of(pass_on), numbers([], 5))


@pytest.mark.parametrize("more", [False, True], ids=["alone", "chain"])
async def test_an_error_in_cleanup_of_theirs_is_told(more: bool) -> None:
    """A stage of theirs that fails while it is closed hides that from nobody."""
    log: list[str] = []

    @their_processor
    async def untidy(stream: Any) -> Any:
        try:
            async for part in stream:
                yield part
        finally:
            raise Broken("in cleanup")

    agent = copy + ours_of(pass_on + untidy if more else untidy) + copy
    parts = agent(numbers(log, every_s=0.1))
    await anext(parts)
    await asyncio.sleep(1.05)
    with pytest.raises(Broken, match="in cleanup"):
        await parts.aclose()
    await asyncio.sleep(1.0)
    assert log[-1] == "closed"


@seeds
async def test_an_error_in_cleanup_of_theirs_is_told_also_within_a_run() -> None:
    """A stage of theirs that fails while a stage of ours leaves it fails the run."""

    @their_processor
    async def untidy(stream: Any) -> Any:
        try:
            async for part in stream:
                yield part
        finally:
            raise Broken("in cleanup")

    @processor
    async def for_a_while(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async with contextlib.aclosing(ours_of(untidy).call(stream)) as inner:  # type: ignore[type-var]
            yield await anext(inner)
        await asyncio.sleep(1.0)
        yield Part("never")

    with pytest.raises(Broken, match="in cleanup"):
        await gathered(for_a_while, numbers([], every_s=0.1))


async def test_what_does_not_fit_over_there_is_an_error_here() -> None:
    """A part that cannot become one of theirs, or one of theirs that cannot be ours, is told."""
    with pytest.raises(PartError, match="JSON cannot"):
        await gathered(ours_of(pass_on + same), Part(Data({"a": object()})))
    with pytest.raises(PartError, match="JSON cannot"):
        await gathered(ours_of(same), Part(Data({"a": object()})))

    @their_processor
    async def half_a_frame(stream: Any) -> Any:
        async for _ in stream:
            yield content.ProcessorPart(b"\0", mimetype="audio/pcm")

    with pytest.raises(AudioError, match="keep the tail"):
        await gathered(ours_of(half_a_frame), "a")


@seeds
async def test_fifty_that_fail_and_fifty_that_are_left() -> None:
    """A hundred runs that end badly, at once, leave nothing behind."""
    log: list[str] = []

    async def failing() -> None:
        with pytest.raises(Broken):
            await gathered(ours_of(pass_on + fails_for_a_part), numbers(log, 9, 0.01))

    async def left() -> None:
        async with ours_of(same + pass_on).run(numbers(log, 9, 0.01)) as parts:
            await anext(parts)

    tasks = [asyncio.create_task(run()) for run in [failing, left] * 50]
    await asyncio.wait(tasks)
    assert all(task.exception() is None for task in tasks)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log.count("closed") == 100
