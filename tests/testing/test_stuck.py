import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import math
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from vivace.flow.channel import Channel
from vivace.flow.clock import now
from vivace.flow.processor import processor
from vivace.part import Part
from vivace.testing import Deadlock, Livelock, VirtualLoop, run_virtual, virtual

HERE = str(Path(__file__))


@contextlib.contextmanager
def virtual_loop(seed: int | None = None) -> Iterator[VirtualLoop]:
    with contextlib.closing(VirtualLoop(seed)) as loop:
        yield loop


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def line_of(function: Callable[..., object], text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(index for index, line in enumerate(lines) if text in line)


def place(function: Callable[..., object], text: str) -> str:
    """How a stack tells the line of `function` that holds `text`."""
    return f"    {HERE}:{line_of(function, text)} in {function.__qualname__}"


def deadlock(main: Callable[[], Coroutine[Any, Any, object]]) -> list[str]:
    """The lines in which the deadlock of `main` is told, without those of asyncio's own frames."""
    with pytest.raises(Deadlock) as caught:
        run_virtual(main)
    head, *lines = str(caught.value).splitlines()
    assert head.startswith("at 0.0 s nothing can happen any more: no timer is set, and these tasks")
    return [line for line in lines if "/asyncio/" not in line]


def waits(main: Callable[[], Coroutine[Any, Any, object]]) -> list[str]:
    """The same, without the stacks."""
    return [line.strip() for line in deadlock(main) if not line.startswith("    ")]


async def words() -> AsyncIterator[str]:
    yield "one"
    await forever()


async def listen() -> None:
    async for _ in words():
        pass


# -- what a message says


def test_deadlock_names_every_task_with_its_stack() -> None:
    """A paragraph for each task: its name, what it waits for, and every frame, outermost first."""

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        ears = asyncio.create_task(listen(), name="ears")
        await queue.get()
        await ears

    assert deadlock(main) == [
        "  Task-1 waits for Queue.get of <Queue maxsize=0 _getters[1]>, held by no other task here",
        place(main, "queue.get()"),
        "  ears waits for a future, held by no other task here",
        place(listen, "async for"),
        place(words, "forever()"),
        place(forever, "await"),
    ]


def test_the_loops_own_frames_are_left_out() -> None:
    """The traceback of a deadlock ends where the loop was run."""
    with pytest.raises(Deadlock) as caught:
        run_virtual(forever)
    assert [entry.path for entry in caught.traceback] == [Path(HERE)]


def test_stacks_go_through_nested_generators() -> None:
    """Each frame is found through generators, `anext` and hand-written awaitables."""

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

    _, *stack = deadlock(main)
    assert stack == [
        place(main, "anext"),
        place(outer, "async for"),
        place(inner, "await"),
        place(Awaitable.__await__, "yield from"),
        place(forever, "await"),
    ]


def test_a_generator_that_cannot_close_is_named() -> None:
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

    assert place(half, "await") in deadlock(main)


def test_a_task_without_python_code() -> None:
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
        with pytest.raises(Deadlock, match=r"bare waits for a future, in no Python code, held by"):
            loop.run_until_complete(task)


def test_tasks_that_wait_in_the_same_way_share_a_paragraph() -> None:
    """A hundred readers of one queue are told in three lines, and counted."""

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        readers = [asyncio.create_task(queue.get()) for _ in range(100)]
        await asyncio.wait(readers)

    first, *others = waits(main)
    names = ", ".join(sorted(f"Task-{number}" for number in range(2, 102))[:5])
    assert first == f"Task-1 waits for tasks {names}, 95 more"
    [line] = others
    assert line.startswith("Task-2, Task-3, Task-4 and 97 more: each waits for Queue.get of")


def test_a_deep_stack_is_shortened() -> None:
    """Of a hundred frames the outermost and the innermost are told, and how many are not."""

    async def dive(depth: int) -> None:
        await (dive(depth - 1) if depth else forever())

    _, *stack = deadlock(functools.partial(dive, 99))
    assert len(stack) == 13
    assert stack[3] == "    ... 89 more"
    assert stack[-1] == place(forever, "await")


def test_many_ways_to_wait_are_cut_short() -> None:
    """Twenty paragraphs are enough; the rest is a number."""

    async def many() -> None:
        loop = asyncio.get_running_loop()
        names = [f"it{index}" for index in range(30)]
        for name in names:
            scope: dict[str, Any] = {}
            exec(f"async def wait({name}): await {name}", scope)
            kept.append(asyncio.create_task(scope["wait"](loop.create_future())))
        await forever()

    kept: list[asyncio.Task[None]] = []
    lines = waits(many)
    assert len(lines) == 21
    assert lines[-1] == "... and 11 more tasks"


def test_deadlock_without_a_task() -> None:
    """A loop that has nothing at all to do says so."""
    with virtual_loop() as loop, pytest.raises(Deadlock, match=r"there is no task$"):
        loop.run_forever()


def test_a_timer_at_infinity_is_none() -> None:
    """`sleep(inf)` waits for ever, which is a deadlock if all do."""
    with virtual_loop() as loop, pytest.raises(Deadlock, match=r"a sleep until inf s"):
        loop.run_until_complete(asyncio.sleep(math.inf))


# -- what a task waits for, and who knows it


THINGS: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
    "Event.wait": lambda: asyncio.Event().wait(),
    "Queue.get": lambda: asyncio.Queue().get(),
    "Queue.join": lambda: unfinished().join(),
    "Semaphore.acquire": lambda: asyncio.Semaphore(0).acquire(),
    "Barrier.wait": lambda: asyncio.Barrier(2).wait(),
    "Channel.receive": lambda: Channel[int](1).receive(),
}


def unfinished() -> asyncio.Queue[int]:
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(1)
    return queue


@pytest.mark.parametrize("name", THINGS)
def test_a_thing_to_wait_for_is_named_with_its_state(name: str) -> None:
    """The method that waits, of what, and how that stands; without addresses."""

    async def main() -> None:
        await THINGS[name]()

    [line] = waits(main)
    assert re.fullmatch(
        rf"Task-1 waits for {name} of <[\w.]*{name.split('.')[0]}\b.*>, held by no other task here",
        line,
    )
    assert "0x" not in line


def test_a_channel_tells_how_full_it_is() -> None:
    """Waiting items, senders and receivers are counted, and whoever else holds it is named."""

    async def main() -> None:
        hop = Channel[int](1)
        fill = asyncio.create_task(send(hop), name="fill")
        await asyncio.Event().wait()
        await fill

    async def send(hop: Channel[int]) -> None:
        for item in range(3):
            await hop.send(item)

    assert waits(main)[1] == (
        "fill waits for Channel.send of <Channel waiting=1 senders=1 receivers=0>, "
        "held by Task-1 as `hop`"
    )


def test_a_stage_that_hangs_is_seen_through_the_run() -> None:
    """A consumer waits for the run, and the run for the stage: both are said, with the stage."""

    @processor
    async def hangs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await forever()
            yield part

    async def main() -> None:
        async with hangs.run("a") as parts:
            await anext(parts)

    lines = deadlock(main)
    assert lines[0].startswith("  Task-1 waits for Run.news of <Run of hangs>, held by hangs.run ")
    assert any(line.endswith(f"in {main.__qualname__.replace('main', 'hangs')}") for line in lines)


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (lambda a, b: a, "task a"),
        (lambda a, b: asyncio.gather(a, b), "tasks a, b"),
        (lambda a, b: asyncio.wait([b, a]), "tasks a, b"),
        (lambda a, b: asyncio.wait_for(a, None), "task a"),
        (lambda a, b: asyncio.shield(b), "a future, held by b when it ends"),
    ],
    ids=["task", "gather", "wait", "wait_for", "shield"],
)
def test_other_tasks_are_named(wait: Callable[..., Any], said: str) -> None:
    """Whoever waits for tasks, by whatever asyncio has for it, waits for them by name."""

    async def main() -> None:
        a = asyncio.create_task(forever(), name="a")
        b = asyncio.create_task(forever(), name="b")
        await asyncio.sleep(0)
        await wait(a, b)

    assert waits(main)[0] == f"Task-1 waits for {said}"


def test_the_tasks_of_a_group_are_named() -> None:
    """A TaskGroup waits for those of its tasks that have not ended."""

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0), name="ends")
            group.create_task(forever(), name="stays")

    assert waits(main)[0] == "Task-1 waits for task stays"


class Mind:
    """Somebody whose answer is awaited."""

    __slots__ = ("answers", "never")
    never: int

    def __init__(self) -> None:
        self.answers: dict[Any, Any] = {"first": [asyncio.get_running_loop().create_future()]}

    async def ask(self) -> None:
        await self.answers["first"][0]


def test_who_holds_a_future_is_named_with_its_name_for_it() -> None:
    """Whoever could set the future is found through attributes, slots and containers."""

    async def main() -> None:
        mind = Mind()
        asks = asyncio.create_task(mind.ask(), name="asks")
        await forever()
        await asks

    first, asks = waits(main)
    assert first == "Task-1 waits for a future, held by no other task here"
    assert asks == (
        "asks waits for a future, its `self.answers['first'][...]`, "
        "held by Task-1 as `mind.answers['first'][...]`"
    )


def test_a_function_knows_its_variables_from_outside() -> None:
    """A callback that would set the future is one way to it."""

    async def main() -> None:
        await wait(asyncio.get_running_loop().create_future())

    async def wait(future: asyncio.Future[None]) -> None:
        keeps = asyncio.create_task(keep(lambda: future.set_result(None)), name="keeps")
        await future
        await keeps

    async def keep(callback: Callable[[], None]) -> None:
        await forever()

    assert waits(main)[0] == (
        "Task-1 waits for a future, its `future`, held by keeps as `callback -> future`"
    )


def test_a_method_knows_its_object() -> None:
    """A bound method that somebody keeps is one way to a future; numbers as keys are left out."""

    async def main() -> None:
        mind = Mind()
        mind.answers = {1: mind.answers["first"][0]}
        asks = asyncio.create_task(ask(mind), name="asks")
        kept = mind.ask
        del mind
        await asks
        del kept

    async def ask(mind: Mind) -> None:
        future = mind.answers[1]
        del mind
        await future

    assert waits(main)[1] == (
        "asks waits for a future, its `future`, held by Task-1 as `kept.__self__.answers[...]`"
    )


def test_many_holders_are_counted() -> None:
    """Three holders are named."""

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        keepers = [asyncio.create_task(keep(future)) for _ in range(9)]
        await asyncio.create_task(wait(future), name="waits")
        await asyncio.wait(keepers)

    async def wait(future: asyncio.Future[None]) -> None:
        await future

    async def keep(future: asyncio.Future[None]) -> None:
        await forever()

    line = next(line for line in waits(main) if line.startswith("waits"))
    names = "Task-1 as `future`, Task-2 as `future`, Task-3 as `future`, 7 more"
    assert line.endswith(f"held by {names}")


def test_who_waits_in_another_method_is_told_by_that_method() -> None:
    """A task that holds a thing as `self` is told, unless it waits for the very same."""

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        queue.put_nowait(1)
        queue.get_nowait()
        joins = asyncio.create_task(queue.join(), name="joins")
        gets = [asyncio.create_task(queue.get(), name=name) for name in "ab"]
        del queue
        await asyncio.wait([joins, *gets])

    _, joins, gets = waits(main)
    assert joins.endswith(", held by a in Queue.get, b in Queue.get")
    assert gets.startswith("a, b: each waits for Queue.get of <Queue ")
    assert gets.endswith(", held by joins in Queue.join")


def test_strange_objects_do_no_harm() -> None:
    """What raises when it is looked at, and cells that are empty, are passed over."""

    class Strange(asyncio.Event):
        def __repr__(self) -> str:
            raise LookupError

    class Empty:
        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise LookupError

    async def main() -> None:
        strange, empty = Strange(), Empty()

        def unready() -> object:
            return later

        task = asyncio.create_task(strange.wait(), name="waits")
        await forever()
        later = unready, empty
        await task

    assert waits(main)[1] == (
        "waits waits for Event.wait of <Strange, whose repr raises LookupError>, "
        "held by Task-1 as `strange`"
    )


def test_a_long_state_is_cut() -> None:
    """A queue of long things is told in eighty characters."""

    class Long(asyncio.Event):
        def __repr__(self) -> str:
            return "<" + "x" * 1000 + ">"

    async def main() -> None:
        await Long().wait()

    [line] = waits(main)
    assert line == f"Task-1 waits for Event.wait of <{'x' * 75} ..>, held by no other task here"


# -- after a deadlock


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


# -- livelock


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find a livelock a thousand times sooner."""
    monkeypatch.setattr(virtual, "SPIN_ROUNDS", 1000)


async def spin() -> None:
    while True:  # noqa: ASYNC110 - this is what must not be
        await asyncio.sleep(0)


def livelock(main: Callable[[], Coroutine[Any, Any, object]], seed: int | None = None) -> list[str]:
    with pytest.raises(Livelock) as caught:
        run_virtual(main, seed=seed)
    head, *lines = str(caught.value).splitlines()
    assert head.startswith("time has stood still at 0.5 s for 1,000 rounds of callbacks: these ")
    return [line for line in lines if "/asyncio/" not in line]


@pytest.mark.usefixtures("few_rounds")
@pytest.mark.parametrize("seed", [None, 3])
def test_a_task_that_spins_is_named_with_its_stack(seed: int | None) -> None:
    """`while True: await sleep(0)` ends in an error that tells who, and not who only waits."""

    async def main() -> None:
        await asyncio.sleep(0.5)
        spins = asyncio.create_task(spin(), name="spins")
        asyncio.get_running_loop().call_later(1, pytest.fail)
        await forever()
        await spins

    assert livelock(main, seed) == ["  spins is ready to run", place(spin, "sleep")]


def test_time_may_stand_still_for_a_million_rounds() -> None:
    """That is the number that is documented."""
    assert virtual.SPIN_ROUNDS == 1_000_000


@pytest.mark.usefixtures("few_rounds")
def test_tasks_that_wake_each_other_for_ever_are_named() -> None:
    """All who take part are found, also those that do not run in every round."""

    async def ping(mine: asyncio.Event, theirs: asyncio.Event) -> None:
        while True:
            await mine.wait()
            mine.clear()
            theirs.set()

    async def main() -> None:
        await asyncio.sleep(0.5)
        first, second = asyncio.Event(), asyncio.Event()
        first.set()
        await asyncio.gather(ping(first, second), ping(second, first))

    lines = livelock(main)
    assert [line.split(" waits for ")[0] for line in lines[::2]] == ["  Task-2", "  Task-3"]
    assert lines[1::2] == [place(ping, "wait()")] * 2


@pytest.mark.usefixtures("few_rounds")
def test_tasks_that_start_each_other_for_ever_are_named() -> None:
    """Tasks that have ended are told by their coroutine."""
    tasks: list[asyncio.Task[None]] = []

    async def again() -> None:
        tasks[:] = [asyncio.create_task(again())]

    async def main() -> None:
        await asyncio.sleep(0.5)
        await again()
        await forever()

    ended, running, _ = livelock(main)
    assert ended.endswith(f": each has ended: {again.__qualname__}")
    assert running.endswith(" is ready to run")


@pytest.mark.usefixtures("few_rounds")
def test_a_callback_that_calls_itself_is_named() -> None:
    """Plain callbacks can spin, too."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.5)

        def again() -> None:
            loop.call_soon(again)

        again()
        await forever()

    [line] = livelock(main)
    where = f"{HERE}:{line_of(main, 'def again')}"
    assert line == f"  callback {main.__qualname__}.<locals>.again ({where})"


@pytest.mark.usefixtures("few_rounds")
def test_a_callback_without_code_is_named() -> None:
    """What is not written in Python is told by its name."""
    with virtual_loop() as loop:
        for _ in range(1000):
            loop.call_soon(math.sqrt, 4.0)
        loop.call_soon(loop.call_soon, print)

        async def main() -> None:
            while True:
                await asyncio.sleep(0)
                loop.call_soon(math.sqrt, 4.0)

        with pytest.raises(Livelock, match=r"callback sqrt$"):
            loop.run_until_complete(main())


@pytest.mark.usefixtures("few_rounds")
def test_a_spinning_task_that_cannot_be_cancelled_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The run ends all the same, once cleaning up has spun as long; nothing is logged."""

    async def main() -> None:
        await asyncio.sleep(0.5)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await spin()

    livelock(main)
    gc.collect()
    assert caplog.records == []


@pytest.mark.usefixtures("few_rounds")
@pytest.mark.parametrize("rounds", range(990, 1010))
def test_a_run_that_ends_just_then_has_ended(rounds: int) -> None:
    """A livelock is no trap for who is done: the run ends, or is told as livelock, and cleanly."""

    async def main() -> None:
        spins = asyncio.create_task(spin())
        for _ in range(rounds):
            await asyncio.sleep(0)
        spins.cancel()

    with contextlib.suppress(Livelock):
        run_virtual(main)
        assert rounds < 1000
    with virtual_loop() as loop:
        with contextlib.suppress(Livelock):
            loop.run_until_complete(main())
        loop.run_until_complete(asyncio.sleep(3))
        assert loop.time() == 3.0


@pytest.mark.usefixtures("few_rounds")
async def test_rounds_are_counted_from_the_last_time_that_time_moved() -> None:
    """Work that takes no time may go on for ever, if time moves between."""
    for _ in range(20):
        for _ in range(900):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
    assert now() == 0.2


@pytest.mark.usefixtures("few_rounds")
def test_running_a_loop_again_and_again_is_no_livelock() -> None:
    """Who drives the loop by hand may do so as often as they like."""
    with virtual_loop() as loop:
        for _ in range(3000):
            loop.run_until_complete(asyncio.sleep(0))
