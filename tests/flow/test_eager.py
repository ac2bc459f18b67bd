import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from vivace.flow.clock import now
from vivace.flow.eager import WAITS, Eager, begin, go_on, noticing
from vivace.flow.scope import Scope
from vivace.testing import run_virtual

pytestmark = pytest.mark.virtual

NAME: ContextVar[str] = ContextVar("name", default="nobody")


class Worker:
    """An `Eager`, and what came of the work that had to wait."""

    def __init__(self, stays: bool = True) -> None:
        self.scope = Scope(lambda error: self.came.append(error))
        self.came: list[Any] = []
        self._stays = stays
        self.context = copy_context()
        self.eager = Eager(self.scope.start, "worker", self.context, self._done)

    def _done(self, result: Any, error: BaseException | None) -> bool:
        self.came.append((now(), result if error is None else error))
        return self._stays

    def begin(self, steps: Any) -> Any:
        return self.eager.begin(steps)

    async def stop(self) -> None:
        await self.scope.stop()


async def answer(seconds: float | None = None, result: Any = 42) -> Any:
    if seconds is not None:
        await asyncio.sleep(seconds)
    return result


class Endless:
    """Waits for ever, and keeps what was done to it."""

    def __init__(self) -> None:
        self.cancelled_at: list[float] = []
        self.by: list[Any] = []

    async def run(self) -> None:
        self.by.append(asyncio.current_task())
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled_at.append(now())
            self.by.append(asyncio.current_task())
            raise


# -- what does not wait


async def test_work_that_does_not_wait_is_done_at_once() -> None:
    """The result is there when `begin` returns; the task did nothing, and `done` was not called."""
    it = Worker()
    assert it.begin(answer()) == 42
    assert not it.eager.waits
    assert it.begin(answer(result=None)) is None
    await it.stop()
    assert it.came == []


async def test_its_error_is_raised_at_once() -> None:
    """What work raises before it waits, `begin` raises; another piece may be begun after it."""

    async def fail() -> None:
        raise ValueError("broken")

    it = Worker()
    with pytest.raises(ValueError, match="broken"):
        it.begin(fail())
    assert it.begin(answer()) == 42
    await it.stop()


async def test_it_is_done_in_the_name_of_the_task() -> None:
    """Work sees the worker's task and context; the caller has its own again afterwards."""

    async def look(fails: bool) -> Any:
        seen = asyncio.current_task(), NAME.get()
        NAME.set("worker")
        if fails:
            raise ValueError(*seen)
        return seen

    NAME.set("before")
    it = Worker()
    me = asyncio.current_task()
    NAME.set("caller")
    assert it.begin(look(False)) == (it.eager.task, "before")
    with pytest.raises(ValueError, match="worker") as caught:
        it.begin(look(True))
    assert caught.value.args == (it.eager.task, "worker")
    assert (asyncio.current_task(), NAME.get()) == (me, "caller")
    await it.stop()


async def test_it_may_be_begun_where_there_is_no_task() -> None:
    """A callback of the loop has no task; after `begin` it has none again."""
    it = Worker()
    seen: list[Any] = []

    async def look() -> None:
        seen.append(asyncio.current_task())

    def call_back() -> None:
        it.begin(look())
        seen.append(asyncio.current_task())

    asyncio.get_running_loop().call_soon(call_back)
    await asyncio.sleep(0)
    assert seen == [it.eager.task, None]
    await it.stop()


async def test_the_steps_of_an_async_iterator_will_do() -> None:
    """What `anext` gives is begun like a coroutine, whether it waits or not."""

    async def numbers() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0.25)
        yield 2

    it, stream = Worker(), numbers()
    assert it.begin(anext(stream)) == 1
    assert it.begin(anext(stream)) is WAITS
    await asyncio.sleep(1.0)
    assert it.came == [(0.25, 2)]
    with pytest.raises(StopAsyncIteration):
        it.begin(anext(stream))
    await it.stop()


# -- what waits


@pytest.mark.virtual(seeds=20)
async def test_work_that_waits_goes_on_in_the_task() -> None:
    """Before and after the wait it is in one and the same task, and in one context."""
    seen: list[Any] = []

    async def work() -> str:
        for _ in range(3):
            seen.append((asyncio.current_task(), NAME.get()))
            NAME.set("changed")
            await asyncio.sleep(0.25)
        return "done"

    it = Worker()
    assert it.begin(work()) is WAITS
    assert it.eager.waits
    await asyncio.sleep(1.0)
    assert not it.eager.waits
    assert it.came == [(0.75, "done")]  # type: ignore[unreachable]
    assert seen == [(it.eager.task, name) for name in ("nobody", "changed", "changed")]
    assert NAME.get() == "nobody"
    await it.stop()


@pytest.mark.virtual(seeds=20)
async def test_one_piece_after_the_other() -> None:
    """The task takes up any number of pieces, those begun at once after the last one included."""
    it = Worker()
    for n, pause_s in enumerate((0.375, 0.5, 2.0)):
        assert it.begin(answer(0.25, n)) is WAITS
        await asyncio.sleep(pause_s)
        assert not it.eager.waits
    assert it.came == [(0.25, 0), (0.625, 1), (1.125, 2)]
    assert not it.eager.task.done()
    await it.stop()
    assert it.eager.task.cancelled()


@pytest.mark.virtual(seeds=20)
async def test_more_is_begun_as_soon_as_one_piece_is_done() -> None:
    """`done` may have the next piece begun in the very next round of the loop."""
    came: list[Any] = []
    begun = asyncio.Event()

    def done(result: Any, error: BaseException | None) -> bool:
        came.append(result)
        begun.set()
        return True

    scope = Scope(came.append)
    eager = Eager(scope.start, "worker", copy_context(), done)
    for n in range(50):
        begun.clear()
        assert eager.begin(answer(0, n)) is WAITS
        await begun.wait()
    assert came == list(range(50))
    assert now() == 0.0
    await scope.stop()


async def test_the_task_ends_when_it_is_not_to_stay() -> None:
    """If `done` says so, the piece is the last one."""
    it = Worker(stays=False)
    it.begin(answer(0.25))
    await asyncio.sleep(1.0)
    assert it.came == [(0.25, 42)]
    assert it.eager.task.done()
    assert it.scope.tasks == set()


class Odd(BaseException): ...


@pytest.mark.parametrize("kind", [ValueError, Odd, GeneratorExit, StopAsyncIteration])
async def test_an_error_after_the_wait_is_told(kind: type[BaseException]) -> None:
    """Whatever is raised once it had to wait goes to `done`, as itself, and the task stays."""
    error = kind("late")

    async def fail() -> None:
        await asyncio.sleep(0.25)
        raise error

    it = Worker()
    assert it.begin(fail()) is WAITS
    await asyncio.sleep(1.0)
    assert it.came == [(0.25, error)]
    assert it.begin(answer(0.25)) is WAITS
    await asyncio.sleep(1.0)
    assert it.came[1:] == [(1.25, 42)]
    await it.stop()


async def test_what_cannot_be_waited_for_is_an_error_of_the_work() -> None:
    """Yielding something strange to the loop is told to the work, as asyncio tells any task."""

    class Strange:
        def __await__(self) -> Any:
            try:
                yield "strange"
            except RuntimeError as error:
                seen.append(str(error))

    async def work() -> str:
        await Strange()
        return "went on"

    seen: list[str] = []
    it = Worker()
    assert it.begin(work()) is WAITS
    await asyncio.sleep(1.0)
    assert [result for _, result in it.came] == ["went on"]
    assert "strange" in seen[0]
    await it.stop()


# -- many that wait for one thing


@pytest.mark.virtual(seeds=200)
async def test_several_may_wait_for_the_same_future() -> None:
    """Pieces begun in the same round, and a plain task, wait for one future; all get its result."""
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def wait() -> str:
        return await future

    them = [Worker() for _ in range(3)]
    others = [asyncio.create_task(wait())]
    for it in them:
        assert it.begin(wait()) is WAITS
        others.append(asyncio.create_task(wait()))
    asyncio.get_running_loop().call_later(1.0, future.set_result, "there")
    await asyncio.wait(others)
    await asyncio.sleep(1.0)
    assert [task.result() for task in others] == ["there"] * 4
    assert [it.came for it in them] == [[(1.0, "there")]] * 3
    for it in them:
        await it.stop()


@pytest.mark.virtual(seeds=20)
async def test_what_is_there_before_the_task_takes_over() -> None:
    """A future that is done in the same round is no trouble."""
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def wait() -> str:
        return await future

    it = Worker()
    it.begin(wait())
    future.set_result("there")
    await asyncio.sleep(1.0)
    assert it.came == [(0.0, "there")]
    await it.stop()


# -- cancelled while it works


@pytest.mark.virtual(seeds=200)
@pytest.mark.parametrize("rounds", range(5))
async def test_a_cancelled_task_cancels_its_work(rounds: int) -> None:
    """However early it comes, also before the task has taken over: once, where the work waits."""
    it, endless = Worker(), Endless()
    assert it.begin(endless.run()) is WAITS
    for _ in range(rounds):
        await asyncio.sleep(0)
    it.eager.task.cancel()
    await asyncio.wait([it.eager.task])
    assert it.eager.task.cancelled()
    assert endless.cancelled_at == [0.0]
    assert endless.by == [it.eager.task] * 2
    assert [type(error) for _, error in it.came] == [asyncio.CancelledError]


@pytest.mark.virtual(seeds=20)
@pytest.mark.parametrize("rounds", range(3))
async def test_work_that_only_lets_others_run_is_cancelled_too(rounds: int) -> None:
    """`sleep(0)` waits for nothing that could be cancelled: CancelledError is raised there."""

    async def work() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)

    it = Worker()
    it.begin(work())
    for _ in range(rounds):
        await asyncio.sleep(0)
    it.eager.task.cancel()
    await asyncio.wait([it.eager.task])
    assert [type(error) for _, error in it.came] == [asyncio.CancelledError]


@pytest.mark.virtual(seeds=20)
@pytest.mark.parametrize("rounds", range(4))
async def test_work_may_clean_up_when_cancelled(rounds: int) -> None:
    """What it still has to wait for is waited for, and what it returns in spite of it counts."""

    async def work() -> str:
        try:
            await asyncio.sleep(100.0)
        except asyncio.CancelledError:
            await asyncio.sleep(0.25)
        return "tidy"

    it = Worker()
    it.begin(work())
    for _ in range(rounds):
        await asyncio.sleep(0)
    it.eager.task.cancel()
    await asyncio.sleep(1.0)
    assert it.came == [(0.25, "tidy")]
    await it.stop()


async def test_what_ends_without_a_wait_when_cancelled() -> None:
    """Work that takes its cancellation for the end gives its result."""

    async def work() -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "over"
        raise AssertionError

    it = Worker()
    it.begin(work())
    it.eager.task.cancel()
    await asyncio.sleep(1.0)
    assert it.came == [(0.0, "over")]
    await it.stop()


@pytest.mark.virtual(seeds=20)
async def test_work_that_may_not_be_cancelled_goes_on() -> None:
    """`shield` protects what it wraps here as everywhere."""
    inner = asyncio.create_task(answer(0.5))

    async def work() -> Any:
        try:
            return await asyncio.shield(inner)
        except asyncio.CancelledError:
            return await inner

    it = Worker()
    it.begin(work())
    it.eager.task.cancel()
    await asyncio.sleep(1.0)
    assert it.came == [(0.5, 42)]
    await it.stop()


# -- time limits and task groups


@pytest.mark.virtual(seeds=200)
@pytest.mark.parametrize("seconds", [0.0, 0.25])
async def test_a_time_limit_holds_for_the_work_alone(seconds: float) -> None:
    """It is the worker's task that is cancelled by it, even if it is over before that has begun."""

    async def work() -> str:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(100.0)
        except TimeoutError:
            return f"{asyncio.current_task().cancelling()} left"  # type: ignore[union-attr]
        raise AssertionError

    it = Worker()
    assert it.begin(work()) is WAITS
    await asyncio.sleep(1.0)
    assert it.came == [(seconds, "0 left")]
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    await it.stop()


@pytest.mark.virtual(seeds=20)
async def test_a_task_group_belongs_to_the_work() -> None:
    """A child that fails cancels the work it belongs to, and nobody else."""

    async def fail() -> None:
        await asyncio.sleep(0.25)
        raise ValueError("child")

    async def work() -> Any:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.sleep(100.0)
        except ExceptionGroup as errors:
            return [str(error) for error in errors.exceptions]

    it = Worker()
    it.begin(work())
    await asyncio.sleep(1.0)
    assert it.came == [(0.25, ["child"])]
    await it.stop()


@pytest.mark.virtual(seeds=200)
@pytest.mark.parametrize("rest_s", [0.0, 0.5, 1.0, 2.0])
async def test_a_limit_that_ends_while_the_task_rests_is_felt_at_the_next_wait(
    rest_s: float,
) -> None:
    """A limit held from one piece to the next is neither lost nor does it end the task."""

    async def steps() -> AsyncGenerator[str]:
        async with asyncio.timeout(1.0):
            yield "begun"
            yield "no wait"
            await asyncio.sleep(10.0)

    it, stream = Worker(), steps()
    assert it.begin(anext(stream)) == "begun"
    await asyncio.sleep(rest_s)
    assert it.begin(anext(stream)) == "no wait"
    assert it.begin(anext(stream)) is WAITS
    await asyncio.sleep(3.0)
    [(at, error)] = it.came
    assert at == max(1.0, rest_s)
    assert isinstance(error, TimeoutError)
    assert it.begin(answer(0.5)) is WAITS
    await asyncio.sleep(1.0)
    assert it.came[1:] == [(rest_s + 3.5, 42)]
    await it.stop()


@pytest.mark.virtual(seeds=50)
async def test_a_limit_that_was_left_is_not_felt_any_more() -> None:
    """One that ended while the task rested, and was left without a wait, cancels nothing later."""

    async def steps() -> AsyncGenerator[str]:
        async with asyncio.timeout(1.0):
            yield "begun"
        await asyncio.sleep(0.5)
        yield "waited"

    it, stream = Worker(), steps()
    it.begin(anext(stream))
    await asyncio.sleep(2.0)
    assert it.begin(anext(stream)) is WAITS
    await asyncio.sleep(1.0)
    assert it.came == [(2.5, "waited")]
    await stream.aclose()
    await it.stop()


@pytest.mark.virtual(seeds=50)
async def test_work_that_cancels_its_own_task_feels_it_where_it_waits() -> None:
    """`current_task().cancel()` in one piece is felt at the first wait of a later one."""

    async def steps() -> AsyncGenerator[str]:
        await asyncio.sleep(0.1)
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        yield "cancelled"
        yield "no wait"
        try:
            await asyncio.sleep(10.0)
        except asyncio.CancelledError:
            yield "felt"

    it, stream = Worker(), steps()
    it.begin(anext(stream))
    await asyncio.sleep(1.0)
    assert it.begin(anext(stream)) == "no wait"
    assert it.begin(anext(stream)) is WAITS
    await asyncio.sleep(1.0)
    assert [result for _, result in it.came] == ["cancelled", "felt"]
    await stream.aclose()
    await it.stop()


async def test_a_task_cancelled_before_its_first_step_still_tells() -> None:
    """Work that cancels the task before that ever ran is not left in the middle."""

    async def work() -> None:
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        await asyncio.sleep(10.0)

    it = Worker()
    assert it.begin(work()) is WAITS
    await asyncio.sleep(1.0)
    assert [type(error) for _, error in it.came] == [asyncio.CancelledError]


# -- cancelled while it rests


@pytest.mark.virtual(seeds=20)
@pytest.mark.parametrize("used", [False, True])
async def test_whoever_cancels_all_tasks_ends_it(used: bool) -> None:
    """Another task may end the worker while it rests; work begun after that feels it, too."""
    it, endless = Worker(), Endless()
    if used:
        it.begin(answer(0.25))
    await asyncio.sleep(0.5)
    it.eager.task.cancel()
    await asyncio.wait([it.eager.task], timeout=0.5)
    first = it.eager.task
    assert first.cancelled()
    assert it.begin(answer()) == 42
    assert it.begin(endless.run()) is WAITS
    await asyncio.sleep(1.0)
    assert endless.cancelled_at == [0.5]
    assert it.eager.task is not first
    assert not it.eager.waits
    await it.stop()


async def test_work_that_raised_a_cancellation_leaves_a_worker_that_can_work() -> None:
    """CancelledError out of the work itself ends the task; the next piece gets a new one."""

    async def raises() -> None:
        await asyncio.sleep(0.25)
        raise asyncio.CancelledError

    it = Worker()
    it.begin(raises())
    await asyncio.sleep(1.0)
    assert it.eager.task.cancelled()
    assert it.begin(answer(0.25)) is WAITS
    await asyncio.sleep(1.0)
    assert it.came[1:] == [(1.25, 42)]
    await it.stop()


def test_a_program_ends_while_one_rests() -> None:
    """`asyncio.run` cancels what is left, and a resting worker does not keep it."""
    kept: list[Any] = []

    async def main() -> None:
        it = Worker()
        it.begin(answer(0.01))
        await asyncio.sleep(0.02)
        kept.append(it)

    asyncio.run(main())
    assert kept[0].eager.task.cancelled()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin at once since Python 3.12")
def test_a_loop_whose_tasks_begin_at_once_will_do() -> None:
    """A task factory that runs tasks as they are made changes nothing."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        it = Worker()
        assert it.begin(answer()) == 42
        assert it.begin(answer(0.25)) is WAITS
        await asyncio.sleep(1.0)
        assert it.came == [(0.25, 42)]
        await it.stop()

    run_virtual(main())


# -- the functions alone


async def test_what_was_begun_can_be_awaited_by_its_task() -> None:
    """`begin` and `go_on` are the two halves of a task's work."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None

    async def halves(work: Coroutine[Any, Any, Any], **options: Any) -> Any:
        wait = begin(work, me, copy_context(), loop)
        return await go_on(work, wait.on, **options)

    assert await halves(answer(0)) == 42
    with pytest.raises(asyncio.CancelledError):
        await halves(answer(0), cancelled=True)
    assert begin(answer(), me, copy_context(), loop) == 42


async def test_a_wait_that_refuses_to_be_cancelled_is_interrupted() -> None:
    """If what is waited for is done already, cancelling raises CancelledError in the work."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    future: asyncio.Future[None] = loop.create_future()
    seen: list[str] = []

    async def work() -> str:
        try:
            await future
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0.25)
        return "went on"

    steps = work()
    wait = begin(steps, me, copy_context(), loop)
    future.set_result(None)
    going: Awaitable[str] = go_on(steps, wait.on, cancelled=True)
    assert await going == "went on"
    assert (seen, now()) == (["cancelled"], 0.25)


async def test_whether_it_was_waited_for_is_told() -> None:
    """Work that ends at once, work that waits, work that fails either way, and no coroutine."""
    assert await noticing(answer()) == (42, False)
    assert await noticing(answer(0.25)) == (42, True)
    assert await noticing(answer(0.0)) == (42, True)
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    done.set_result(7)
    assert await noticing(done) == (7, False)

    async def fails(seconds: float | None) -> None:
        await answer(seconds)
        raise LookupError("nothing")

    for seconds in (None, 0.25):
        with pytest.raises(LookupError, match="nothing"):
            await noticing(fails(seconds))


async def test_noticing_is_cancelled_where_it_waits() -> None:
    """Whoever cancels the task reaches the work."""
    seen: list[str] = []

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            seen.append("cleaned up")

    async def waits() -> None:
        await noticing(cleans_up())

    task = asyncio.create_task(waits())
    await asyncio.sleep(0.25)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cleaned up"]
