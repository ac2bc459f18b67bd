import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from vivace.flow.clock import now
from vivace.flow.scope import STOP_WITHIN_S, AbandonedTask, Scope, stop

pytestmark = pytest.mark.virtual


def scope_with_log() -> tuple[Scope, list[BaseException]]:
    errors: list[BaseException] = []
    return Scope(errors.append), errors


class Stubborn:
    """Swallows each cancellation until it is released."""

    def __init__(self, gives_up_after: int = 10**9) -> None:
        self.cancellations = 0
        self._gives_up_after = gives_up_after
        self._released = asyncio.Event()

    async def run(self) -> None:
        while not self._released.is_set():
            try:
                await self._hang_here()
            except asyncio.CancelledError:
                self.cancellations += 1
                if self.cancellations >= self._gives_up_after:
                    raise

    async def _hang_here(self) -> None:
        await self._released.wait()

    def release(self) -> None:
        self._released.set()


async def hang(on_leaving: Callable[[], Any] = lambda: None) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        on_leaving()


async def test_a_task_runs_under_its_name() -> None:
    """A started task runs at once, is named, and gives its result."""
    scope, errors = scope_with_log()

    async def answer() -> int:
        return 42

    task = scope.start(answer(), "answer")
    assert task.get_name() == "answer"
    assert await task == 42
    assert errors == []


async def test_stopping_waits_for_cleanup() -> None:
    """Stop returns when the last task's cleanup is over, and not before."""
    scope, errors = scope_with_log()
    log: list[tuple[float, str]] = []

    async def tidy(seconds: float) -> None:
        try:
            await hang()
        finally:
            await asyncio.sleep(seconds)
            log.append((now(), f"tidied for {seconds}"))

    tasks = [scope.start(tidy(0.25), "a"), scope.start(tidy(0.5), "b")]
    await asyncio.sleep(0)
    await scope.stop()
    assert now() == 0.5
    assert log == [(0.25, "tidied for 0.25"), (0.5, "tidied for 0.5")]
    assert all(task.cancelled() for task in tasks)
    assert errors == []


async def test_stopping_an_empty_scope_takes_no_time() -> None:
    """With nothing to stop, stop returns at once, as often as one likes."""
    scope, _ = scope_with_log()
    await scope.stop()
    await scope.stop()
    await stop(set())
    assert now() == 0.0


async def test_a_scope_can_be_stopped_from_within() -> None:
    """A task that stops its own scope is not cancelled by it, and does not wait for itself."""
    scope, _ = scope_with_log()
    left: list[str] = []

    async def stopper() -> str:
        await asyncio.sleep(1.0)
        await scope.stop()
        return "stopped"

    scope.start(hang(lambda: left.append("hang")), "hang")
    assert await scope.start(stopper(), "stopper") == "stopped"
    assert (now(), left) == (1.0, ["hang"])


async def test_an_error_is_told_once_and_the_others_go_on() -> None:
    """A task's error goes to `on_error`, as itself; cancellation is no error."""
    scope, errors = scope_with_log()
    error = ValueError("broken")

    async def fail() -> None:
        raise error

    other = scope.start(hang(), "other")
    scope.start(fail(), "fail")
    gone = scope.start(hang(), "gone")
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(1)
    assert errors == [error]
    assert not other.done()
    await scope.stop()
    assert errors == [error]


async def test_errors_while_stopping_are_told_as_well() -> None:
    """What a task raises in its cleanup is not lost, and asyncio stays silent."""
    scope, errors = scope_with_log()
    error = ValueError("in cleanup")

    def fail() -> None:
        raise error

    scope.start(hang(fail), "fails late")
    await asyncio.sleep(0)
    await scope.stop()
    assert errors == [error]


async def test_a_swallowed_cancellation_is_repeated_half_way() -> None:
    """A task that swallows one cancellation is cancelled again after half the time, and ends."""
    scope, _ = scope_with_log()
    stubborn = Stubborn(gives_up_after=2)
    task = scope.start(stubborn.run(), "stubborn once")
    await asyncio.sleep(0)
    await scope.stop(within_s=1.0)
    assert (now(), stubborn.cancellations, task.cancelled()) == (0.5, 2, True)


async def test_a_stuck_task_is_named_and_abandoned() -> None:
    """What will not stop is left behind after the bound, with its name; the others are stopped."""
    scope, _ = scope_with_log()
    stubborn = Stubborn()
    stuck = scope.start(stubborn.run(), "agent[2].transcribe")
    other = scope.start(hang(), "other")
    await asyncio.sleep(0)
    with pytest.warns(AbandonedTask) as warned:
        await scope.stop()
    assert now() == STOP_WITHIN_S
    assert len(warned) == 1
    assert "agent[2].transcribe was cancelled and did not stop within 2 s" in str(warned[0].message)
    assert other.cancelled()
    assert not stuck.done()
    stubborn.release()
    await stuck


async def test_the_place_of_a_stuck_task_is_the_innermost() -> None:
    """The warning says where the task waits, not only where it began."""
    stubborn = Stubborn()
    stuck = asyncio.create_task(stubborn.run(), name="stuck")
    await asyncio.sleep(0)
    with pytest.warns(AbandonedTask, match="_hang_here"):
        await stop({stuck})
    stubborn.release()
    await stuck


async def test_a_task_without_a_place_is_named_all_the_same() -> None:
    """A task of no Python code has no frames to show; it is named, and its place is unknown."""

    class Endless:
        """An awaitable of no coroutine, as an extension module may have it."""

        def __init__(self) -> None:
            self.released = False

        def send(self, _: None) -> None:
            if self.released:
                raise StopIteration

        def throw(self, *_: object) -> None:
            return self.send(None)

        def close(self) -> None:
            pass

        def __await__(self) -> Any:
            return self

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> None:
            return self.send(None)

    import collections.abc

    collections.abc.Coroutine.register(Endless)
    coro: Any = Endless()
    task = asyncio.create_task(coro, name="endless")
    with pytest.warns(AbandonedTask, match="endless .* at an unknown place"):
        await stop({task}, 0.0)
    coro.released = True
    await task


async def test_a_task_started_while_stopping_is_stopped_too() -> None:
    """No task outlives its scope, not even one that another task's cleanup has started."""
    scope, _ = scope_with_log()
    left: list[str] = []
    late: list[asyncio.Task[Any]] = []

    def start_another() -> None:
        late.append(scope.start(hang(lambda: left.append("late")), "late"))

    scope.start(hang(start_another), "first")
    await asyncio.sleep(0)
    await scope.stop()
    done = all(task.done() for task in late)
    for task in late:
        task.cancel()
    await asyncio.sleep(0)
    assert done


async def test_a_stop_that_is_cancelled_ends_as_cancelled() -> None:
    """Who waits for the cleanup may be cancelled; the cancellation is not eaten."""
    scope, _ = scope_with_log()
    stubborn = Stubborn()
    task = scope.start(stubborn.run(), "stubborn")
    await asyncio.sleep(0)
    stopping = asyncio.create_task(scope.stop())
    await asyncio.sleep(0.25)
    stopping.cancel()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    assert now() == 0.25
    stubborn.release()
    await task
