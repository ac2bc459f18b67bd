import asyncio
import contextlib
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vivace.flow.clock import now, sleep_until
from vivace.testing import NotVirtual, VirtualLoop, run_virtual

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


def test_timers_of_one_instant_fire_in_the_order_they_were_set() -> None:
    """Without a seed, a thousand sleeps of the same length end in order, at once."""
    woken: list[tuple[int, float]] = []

    async def sleeper(index: int) -> None:
        await asyncio.sleep(0.3)
        woken.append((index, now()))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for index in range(1000):
                group.create_task(sleeper(index))

    run_virtual(main)
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


@pytest.mark.real
def test_a_seed_gives_the_same_order_in_every_process() -> None:
    """The order depends neither on addresses nor on how Python hashes text."""
    code = """if True:
        import asyncio
        from vivace.testing import run_virtual

        async def main():
            seen = []

            async def runner(name):
                for _ in range(3):
                    await asyncio.sleep(0.1)
                    seen.append(name)

            tasks = {asyncio.create_task(runner(name), name=name) for name in "abcdefgh"}
            while tasks:
                done, tasks = await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
                seen += [task.get_name() for task in done]
            return "".join(seen)

        print(run_virtual(main, seed=7))
    """

    def told(hash_seed: str) -> str:
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
        return run.stdout

    assert len(told("1")) == 4 * 8 + 1
    assert told("1") == told("2") == told("3")


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


# -- the real world


@pytest.mark.real
@pytest.mark.parametrize("factory", [VirtualLoop, lambda: VirtualLoop(7)])
def test_asyncios_own_runner_works(factory: Callable[[], VirtualLoop]) -> None:
    """`asyncio.Runner` can drive the loop, and join its threads."""

    async def main() -> tuple[int, float]:
        await asyncio.sleep(0.1)
        return await asyncio.to_thread(pow, 2, 5), now()

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main()) == (32, 0.1)


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
    """On the bare loop, an error in a callback goes where asyncio sends it."""
    with virtual_loop() as loop:
        loop.call_soon(math.sqrt, -1)
        loop.run_until_complete(asyncio.sleep(1))
    assert [it.message.split("(")[0] for it in caplog.records] == ["Exception in callback sqrt"]


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
        _ = vivace.testing.nothing  # type: ignore[attr-defined]
