import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import math
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vivace.flow.clock import now, sleep_until
from vivace.testing import Deadlock, Leaked, NotVirtual, VirtualLoop, run_virtual

HERE = str(Path(__file__))


@contextlib.contextmanager
def virtual_loop(seed: int | None = None, **options: float) -> Iterator[VirtualLoop]:
    with contextlib.closing(VirtualLoop(seed, **options)) as loop:
        yield loop


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


# -- time


def test_time_starts_at_zero() -> None:
    """A new loop's clock reads 0.0, before it runs and when it starts."""

    async def main() -> float:
        return now()

    with virtual_loop() as loop:
        assert loop.time() == 0.0
        assert loop.run_until_complete(main()) == 0.0


async def test_sleep_ends_at_its_exact_time() -> None:
    """A sleep of 0.3 s ends at 0.3, not near it."""
    await asyncio.sleep(0.3)
    assert now() == 0.3


async def test_sleeps_add_up_exactly() -> None:
    """Rounding errors of 0.02 + 0.02 + ... do not gather."""
    for index in range(1, 1001):
        await asyncio.sleep(0.02)
        assert now() == index / 50


async def test_sleep_until_arrives_at_its_exact_time() -> None:
    """A time reached by a difference of floats is the time that was asked for."""
    for at in (0.1, 0.3, 0.45, 0.7, 1.1, 3.3, 1000.1):
        await sleep_until(at)
        assert now() == at


async def test_a_time_between_nanoseconds_is_kept() -> None:
    """A duration that is no whole number of nanoseconds is not rounded to one."""
    await asyncio.sleep(1024 / 44100)
    assert now() == 1024 / 44100


async def test_waiting_for_the_last_rounding_error_makes_progress() -> None:
    """A loop that waits until a noisy sum is reached comes to an end, at that sum."""
    deadline = 0.1 + 0.2
    rounds = 0
    while now() < deadline:
        await asyncio.sleep(deadline - now())
        rounds += 1
    assert now() == deadline
    assert rounds == 2


async def test_timers_a_nanosecond_apart_fire_apart() -> None:
    """A timer 1 ns later does not fire with its neighbour."""
    seen: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()
    for name, at in (("late", 1.000000001), ("early", 1.0)):
        loop.call_at(at, lambda it: seen.append((it, loop.time())), name)
    await asyncio.sleep(2)
    assert seen == [("early", 1.0), ("late", 1.000000001)]


async def test_timers_of_one_instant_fire_in_the_order_they_were_set() -> None:
    """A thousand sleeps of the same length end in order, at once."""
    woken: list[tuple[int, float]] = []

    async def sleeper(index: int) -> None:
        await asyncio.sleep(0.3)
        woken.append((index, now()))

    async with asyncio.TaskGroup() as group:
        for index in range(1000):
            group.create_task(sleeper(index))
    assert woken == [(index, 0.3) for index in range(1000)]


async def test_a_timer_in_the_past_fires_at_once() -> None:
    """`call_at` with a past time fires now, and time does not go back."""
    await asyncio.sleep(5)
    fired = asyncio.Event()
    asyncio.get_running_loop().call_at(1.0, fired.set)
    await fired.wait()
    assert now() == 5.0


async def test_a_cancelled_timer_does_not_move_time() -> None:
    """A timer that was cancelled is as if it had never been."""
    asyncio.get_running_loop().call_later(1, pytest.fail).cancel()
    await asyncio.sleep(2)
    assert now() == 2.0


async def test_cancelled_timers_are_forgotten() -> None:
    """Timeouts that never strike do not pile up in memory."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    for _ in range(10_000):
        loop.call_later(3600, pytest.fail).cancel()
    assert len(loop._timers) <= 256


async def test_a_timer_at_nan_is_refused() -> None:
    """NaN has no place in time."""
    with pytest.raises(ValueError, match="NaN"):
        asyncio.get_running_loop().call_at(math.nan, pytest.fail)


async def test_timeout_strikes_at_its_exact_time() -> None:
    """`asyncio.timeout` and `wait_for` strike at the time that was given, also after others."""
    await asyncio.sleep(0.2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await asyncio.sleep(1)
    assert now() == 0.3
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(forever(), 0.4)
    assert now() == 0.7


async def test_timeout_that_is_not_needed_costs_no_time() -> None:
    """A block that ends in time ends at its own time."""
    async with asyncio.timeout(10):
        await asyncio.sleep(0.3)
    await asyncio.sleep(0.1)
    assert now() == 0.4


async def test_an_hour_of_twenty_millisecond_steps_ends_exactly() -> None:
    """180,000 steps of 20 ms are 3,600 s, to the last bit."""
    for _ in range(180_000):
        await asyncio.sleep(0.02)
    assert now() == 3600.0


async def test_cancelling_a_sleep_takes_no_time() -> None:
    """A cancelled task ends at the time of its cancellation."""
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert now() == 1.0


# -- deadlock


def line_of(function: Callable[..., object], text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(index for index, line in enumerate(lines) if text in line)


async def words() -> AsyncIterator[str]:
    yield "one"
    await forever()


async def listen() -> None:
    async for _ in words():
        pass


def test_deadlock_names_every_task_and_where_it_waits() -> None:
    """The message has a line for each task: its name, the file, the line and the function."""

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        ears = asyncio.create_task(listen(), name="ears")
        await queue.get()
        await ears

    with virtual_loop() as loop, pytest.raises(Deadlock) as caught:
        loop.run_until_complete(main())
    head, first, second = str(caught.value).splitlines()
    assert head.startswith("at 0.0 s nothing can happen any more: no timer is set, and")
    place = f"  Task-1: {HERE}:{line_of(main, 'queue.get()')} in {main.__qualname__} -> "
    assert first.startswith(place)
    assert first.endswith(" in Queue.get")
    assert second == f"  ears: {HERE}:{line_of(forever, 'await')} in forever"


def test_deadlock_sees_through_nested_generators() -> None:
    """The innermost frame is found through generators, `asend` and hand-written awaitables."""

    class Awaitable:
        def __await__(self) -> Any:
            yield from forever().__await__()

    async def inner() -> AsyncIterator[None]:
        await Awaitable()
        yield

    async def outer() -> AsyncIterator[None]:
        async for item in inner():
            yield item

    async def main() -> None:
        await anext(outer(), None)

    with virtual_loop() as loop, pytest.raises(Deadlock, match=r"in forever$"):
        loop.run_until_complete(main())


def test_deadlock_names_a_generator_that_cannot_close() -> None:
    """A task that asyncio made to close a dropped generator is named too."""

    async def half() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await forever()

    async def main() -> None:
        async for _ in half():
            break
        await forever()

    with virtual_loop() as loop, pytest.raises(Deadlock) as caught:
        loop.run_until_complete(main())
    assert len(str(caught.value).splitlines()) == 3


def test_deadlock_without_python_code() -> None:
    """A task around an awaitable that has no Python frame is named all the same."""

    class Bare:
        """A coroutine as an extension module would make one."""

        def __init__(self, future: asyncio.Future[None]) -> None:
            self._steps = iter(future)

        def send(self, value: object) -> object:
            return next(self._steps)

        def throw(self, *error: Any) -> None:
            raise error[0]

        def close(self) -> None: ...

        def __await__(self) -> Any: ...

    with virtual_loop() as loop:
        task = loop.create_task(Bare(loop.create_future()), name="bare")
        with pytest.raises(Deadlock, match=r"bare: in no Python code$"):
            loop.run_until_complete(task)


def test_deadlock_without_a_task() -> None:
    """A loop that has nothing at all to do says so."""
    with virtual_loop() as loop, pytest.raises(Deadlock, match=r"there is no task$"):
        loop.run_forever()


def test_a_timer_at_infinity_is_none() -> None:
    """`sleep(inf)` waits for ever, which is a deadlock if all do."""
    with virtual_loop() as loop, pytest.raises(Deadlock, match=r"at 0\.0 s"):
        loop.run_until_complete(asyncio.sleep(math.inf))


def test_a_deadlocked_loop_closes_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """After Deadlock the loop can be closed, and asyncio logs nothing about its tasks."""

    def run() -> None:
        with virtual_loop() as loop:
            tasks = [loop.create_task(forever()) for _ in range(3)]
            with pytest.raises(Deadlock):
                loop.run_until_complete(asyncio.wait(tasks))

    with caplog.at_level(logging.DEBUG):
        run()
        gc.collect()
    assert [it for it in caplog.records if it.levelno > logging.DEBUG] == []


def test_a_deadlocked_loop_can_run_on() -> None:
    """Deadlock is no end: who knows what was missing may supply it."""
    with virtual_loop() as loop:
        missing = loop.create_future()
        with pytest.raises(Deadlock):
            loop.run_until_complete(missing)
        loop.call_later(1.5, missing.set_result, "found")
        assert loop.run_until_complete(missing) == "found"
        assert loop.time() == 1.5


# -- seeds


def race(seed: int | None) -> list[int]:
    async def main() -> list[int]:
        seen: list[int] = []

        async def runner(index: int) -> None:
            for _ in range(3):
                await asyncio.sleep(0.1)
                seen.append(index)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for index in range(5):
                group.create_task(runner(index))
        return seen

    return run_virtual(main, seed=seed)


def test_without_a_seed_the_order_is_asyncios() -> None:
    """No seed: first in, first out."""
    assert race(None) == [0, 1, 2, 3, 4] * 3


def test_a_seed_gives_the_same_order_each_time() -> None:
    """The same seed is the same run."""
    assert [race(seed) for seed in range(20)] == [race(seed) for seed in range(20)]


def test_seeds_give_different_orders() -> None:
    """Twenty seeds bring out several orders, of which each holds all steps."""
    orders = {tuple(race(seed)) for seed in range(20)}
    assert len(orders) > 10
    assert all(sorted(order) == sorted([0, 1, 2, 3, 4] * 3) for order in orders)


def test_seeds_shuffle_timers_of_one_instant_only() -> None:
    """Timers of the same instant change places; an earlier one stays before a later one."""

    async def main() -> list[str]:
        seen: list[str] = []
        loop = asyncio.get_running_loop()
        for name, at in (("b", 1.0), ("c", 1.0), ("a", 0.5)):
            loop.call_at(at, seen.append, name)
        await asyncio.sleep(2)
        return seen

    orders = {"".join(run_virtual(main, seed=seed)) for seed in range(20)}
    assert orders == {"abc", "acb"}


@pytest.mark.virtual(seeds=50)
async def test_plain_callbacks_keep_their_order_under_any_seed() -> None:
    """`call_soon` runs first what was scheduled first, whichever task scheduled it."""
    seen: list[int] = []
    loop = asyncio.get_running_loop()

    async def post(first: int) -> None:
        loop.call_soon(seen.append, first)
        loop.call_soon(seen.append, first + 1)

    for index in range(3):
        loop.call_soon(seen.append, index)
    await asyncio.gather(post(3))
    loop.call_soon(seen.append, 5)
    await asyncio.sleep(0)
    assert seen == [0, 1, 2, 3, 4, 5]


@pytest.mark.virtual(seeds=50)
async def test_a_yield_lets_what_was_started_run_under_any_seed() -> None:
    """After `sleep(0)`, each task started before has made its first step."""
    started: list[int] = []

    async def child(index: int) -> None:
        started.append(index)

    tasks = [asyncio.create_task(child(index)) for index in range(3)]
    await asyncio.sleep(0)
    assert sorted(started) == [0, 1, 2]
    await asyncio.wait(tasks)


@pytest.mark.virtual(seeds=50)
async def test_done_callbacks_come_before_who_awaits_later_under_any_seed() -> None:
    """A callback that was added before the `await` has run when the `await` returns."""
    seen: list[str] = []
    task = asyncio.create_task(asyncio.sleep(1))
    task.add_done_callback(lambda _: seen.append("callback"))
    await task
    assert seen == ["callback"]


async def test_sets_of_tasks_have_the_same_order_in_every_run() -> None:
    """Tasks are named and hashed by number, so that sets do not depend on addresses."""
    tasks = [asyncio.create_task(asyncio.sleep(1)) for _ in range(3)]
    named = asyncio.create_task(asyncio.sleep(1), name="named")
    assert [task.get_name() for task in tasks] == ["Task-2", "Task-3", "Task-4"]
    assert named.get_name() == "named"
    assert [hash(task) for task in (*tasks, named)] == [2, 3, 4, 5]
    await asyncio.wait([*tasks, named])


async def test_a_task_factory_is_respected() -> None:
    """Who sets a task factory gets its tasks."""
    made: list[object] = []
    loop = asyncio.get_running_loop()

    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **{"name": "made", **options})

    loop.set_task_factory(factory)
    await asyncio.create_task(asyncio.sleep(1))
    assert len(made) == 1


# -- threads and the real world


@pytest.mark.real
async def test_time_stands_still_while_a_thread_works() -> None:
    """A timer does not fire before the thread that is out has returned."""
    release = threading.Event()
    seen: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()
    loop.call_later(0.1, lambda: seen.append(("timer", now())))
    work = loop.run_in_executor(None, release.wait)
    work.add_done_callback(lambda _: seen.append(("thread", now())))
    loop.call_soon(release.set)
    assert await work
    await asyncio.sleep(1)
    assert seen == [("thread", 0.0), ("timer", 0.1)]


@pytest.mark.real
async def test_what_a_thread_sends_arrives_at_once() -> None:
    """`call_soon_threadsafe` from an executor's thread wakes the loop at the same instant."""
    heard = threading.Event()
    news = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> bool:
        loop.call_soon_threadsafe(news.set)
        return heard.wait()

    with ThreadPoolExecutor(1) as threads:
        result = loop.run_in_executor(threads, work)
        await news.wait()
        assert now() == 0.0
        heard.set()
        assert await result


@pytest.mark.real
@pytest.mark.parametrize("factory", [VirtualLoop, lambda: VirtualLoop(7)])
def test_asyncios_own_runner_works(factory: Callable[[], VirtualLoop]) -> None:
    """`asyncio.Runner` can drive the loop, and join its threads."""

    async def main() -> tuple[int, float]:
        await asyncio.sleep(0.1)
        return await asyncio.to_thread(pow, 2, 5), now()

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main()) == (32, 0.1)


@pytest.mark.real
def test_the_callers_own_executor_is_used() -> None:
    """`set_default_executor` works as on any loop."""
    with virtual_loop() as loop, ThreadPoolExecutor(1, "mine") as threads:
        loop.set_default_executor(threads)
        name = loop.run_until_complete(asyncio.to_thread(lambda: threading.current_thread().name))
        assert name.startswith("mine")


@pytest.mark.real
def test_a_thread_that_does_not_return_is_named() -> None:
    """After the real-time limit, NotVirtual names the call that is still out."""
    release = threading.Event()
    with virtual_loop(thread_limit_s=0.01) as loop:
        with pytest.raises(NotVirtual, match=r"for 0\.01 s of real time; still out: Event\.wait"):
            loop.run_until_complete(asyncio.to_thread(release.wait))
        loop.run_until_complete(loop.shutdown_default_executor())  # which does not wait for it
    release.set()


@pytest.mark.real
def test_a_lost_call_without_a_name_is_named_by_its_function() -> None:
    """A `partial` without arguments is named after what it calls."""
    release = threading.Event()
    with virtual_loop(thread_limit_s=0.01) as loop, ThreadPoolExecutor(1) as threads:
        lost = loop.run_in_executor(threads, functools.partial(release.wait))
        with pytest.raises(NotVirtual, match=r"still out: Event\.wait"):
            loop.run_until_complete(lost)
        release.set()


@pytest.mark.real
def test_the_end_of_a_run_waits_for_its_threads() -> None:
    """A thread that nobody awaits any more has returned when `run_virtual` has."""
    release = threading.Event()
    returned: list[bool] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, lambda: returned.append(release.wait()))
        loop.call_soon(release.set)

    run_virtual(main)
    assert returned == [True]


@pytest.mark.real
def test_a_thread_that_returns_to_a_closed_loop_is_ignored() -> None:
    """A call that outlives the loop ends without an error anywhere."""
    release = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        with virtual_loop() as loop:
            loop.run_in_executor(threads, release.wait)
        release.set()


def test_a_closed_loop_takes_no_work() -> None:
    """A closed loop refuses timers, tasks and threads as any asyncio loop does."""
    loop = VirtualLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_later(1, pytest.fail)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_in_executor(None, pytest.fail)
    coro = forever()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.create_task(coro)
    coro.close()


@pytest.mark.real
async def test_a_socket_is_refused_where_it_is_used() -> None:
    """Waiting for a real socket raises NotVirtual in the code that waits."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with pytest.raises(NotVirtual, match=r"use a fake, or run this on asyncio\.run"):
            await asyncio.get_running_loop().sock_recv(ours, 1)


@pytest.mark.real
def test_a_socket_that_asyncio_opens_ends_the_run() -> None:
    """NotVirtual in a callback, where nobody could catch it, comes out of the loop."""
    ours, theirs = socket.socketpair()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: loop.add_reader(ours, pytest.fail))
        await asyncio.sleep(1)

    with ours, theirs, pytest.raises(NotVirtual, match="file descriptor"):
        run_virtual(main)


@pytest.mark.parametrize("start", [asyncio.create_subprocess_exec, asyncio.create_subprocess_shell])
async def test_a_process_is_refused(start: Callable[[str], Any]) -> None:
    """A process is not started at all."""
    with pytest.raises(NotVirtual, match="a process belongs to the real world"):
        await start("true")


def test_other_errors_in_callbacks_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An error in a callback goes where asyncio sends it."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(math.sqrt, -1)
        await asyncio.sleep(1)

    run_virtual(main)
    assert [it.message.split("(")[0] for it in caplog.records] == ["Exception in callback sqrt"]


# -- run_virtual


def test_run_virtual_takes_a_function_or_a_coroutine() -> None:
    """Both forms run to their result."""

    async def main() -> float:
        await asyncio.sleep(0.3)
        return now()

    assert run_virtual(main) == 0.3
    assert run_virtual(main()) == 0.3


def test_run_virtual_raises_what_main_raises() -> None:
    """The error of `main` comes out as it is, also if tasks leaked."""

    async def main() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0.3)
        raise LookupError(task.get_name())

    with pytest.raises(LookupError, match="Task-2"):
        run_virtual(main)


async def test_run_virtual_refuses_to_nest() -> None:
    """One thread runs one loop at a time."""
    with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
        run_virtual(forever)


def test_a_leaked_task_is_named_and_cancelled() -> None:
    """A task that still runs at the end is cancelled, and an error says where it was."""
    ended: list[float] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(2)
            ended.append(now())

    async def main() -> None:
        task = asyncio.create_task(linger(), name="lingerer")
        await asyncio.sleep(0.5)
        assert not task.done()

    with pytest.raises(Leaked, match=r"still running at the end.*\n  lingerer: .*linger -> "):
        run_virtual(main)
    assert ended == [2.5]


def test_a_task_that_refuses_to_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A task that ignores its cancellation is given up after a minute of virtual time."""

    async def stubborn() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    async def main() -> None:
        task = asyncio.create_task(stubborn(), name="mule")
        await asyncio.sleep(0)
        assert not task.done()

    with pytest.raises(Leaked, match=r"cancelled, but did not end:\n  mule: "):
        run_virtual(main)
    assert caplog.records == []


async def count() -> AsyncIterator[int]:
    yield 1
    yield 2


async def break_off() -> None:
    async for _ in count():
        break


def test_a_dropped_generator_is_named() -> None:
    """Leaving `async for` early without closing the generator is an error at the end."""
    _, line = inspect.getsourcelines(count)
    with pytest.raises(Leaked) as caught:
        run_virtual(break_off)
    text = f"async generator 'count' ({HERE}:{line}) was never closed; leave it by"
    assert str(caught.value).startswith(text)


def test_a_generator_that_still_stands_half_way_is_named() -> None:
    """A generator that somebody keeps, but nobody closed, is an error at the end."""
    kept = []

    async def main() -> None:
        kept.append(count())
        await anext(kept[0])

    with pytest.raises(Leaked, match="async generator 'count'"):
        run_virtual(main)
    assert kept[0].ag_frame is None  # type: ignore[attr-defined]


def test_an_unclosed_generator_can_be_allowed() -> None:
    """`allow_unclosed` is for tests of what happens on `break`."""

    async def main() -> str:
        await break_off()
        return "came to its end"

    assert run_virtual(main, allow_unclosed=True) == "came to its end"


def test_closed_generators_are_fine() -> None:
    """A generator that was run to its end, closed, or cancelled is no leak."""

    async def main() -> None:
        assert [item async for item in count()] == [1, 2]
        async with contextlib.aclosing(count()) as numbers:  # type: ignore[type-var]
            await anext(numbers)
        task = asyncio.create_task(listen())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    run_virtual(main)


def test_a_generator_that_cannot_close_is_given_up() -> None:
    """Closing generators at the end is bounded too."""
    kept = []

    async def half() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await forever()

    async def main() -> None:
        kept.append(half())
        await anext(kept[0])

    with pytest.raises(Leaked, match="half"):
        run_virtual(main)


def test_a_keyboard_interrupt_ends_the_run() -> None:
    """KeyboardInterrupt comes out at once, and tasks may clean up."""
    cleaned: list[str] = []

    async def tidy() -> None:
        try:
            await forever()
        finally:
            cleaned.append("tidy")

    async def main() -> None:
        task = asyncio.create_task(tidy())
        await asyncio.sleep(1)
        signal.raise_signal(signal.SIGINT)
        await task

    with pytest.raises(KeyboardInterrupt):
        run_virtual(main)
    assert cleaned == ["tidy"]


@pytest.mark.real
def test_importing_the_package_is_light() -> None:
    """`vivace.testing` loads asyncio's loop only when a name of it is asked for."""
    code = (
        "import sys, vivace.testing.plugin; print('asyncio' in sys.modules or 'msgspec' in "
        "sys.modules, any(name.startswith('vivace.testing.v') for name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split()[1] == "False"


def test_the_package_has_no_other_names() -> None:
    """A name that is not there is an AttributeError, as anywhere."""
    import vivace.testing

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = vivace.testing.nothing
