import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pytest

from vivace.errors import FlowError
from vivace.flow.clock import now
from vivace.flow.combine import merge
from vivace.flow.drive import drive
from vivace.flow.processor import Processor, processor
from vivace.flow.run import Run, current_run
from vivace.flow.scope import AbandonedTask
from vivace.flow.split import Branch, split
from vivace.machines.machine import Machine
from vivace.part import Held, Interrupted, Part, Playing, Reset, Resumed, TurnComplete
from vivace.testing import VirtualLoop

pytestmark = pytest.mark.virtual


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may make asyncio complain: no "Task was destroyed", no exception never retrieved."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.records]
    complaints = [it.getMessage() for it in records if it.levelno >= logging.WARNING]
    assert complaints == []


async def numbers(
    log: list[str], count: int = 1000, every_s: float = 0.0
) -> AsyncGenerator[Part, None]:
    """A source that tells what was pulled, and that it was closed."""
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(str(n))
            yield Part(str(n))
    finally:
        log.append("closed")


async def texts(parts: AsyncIterator[Part], pace: float = 0.0) -> list[str]:
    seen = []
    async for part in parts:
        seen.append(part.text)
        await asyncio.sleep(pace)
    return seen


async def both(*branches: Branch, paces: tuple[float, ...] = (0.0, 0.0)) -> list[list[str]]:
    readers = zip(branches, paces, strict=True)
    return await asyncio.gather(*(texts(branch, pace) for branch, pace in readers))


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Machine(), capacity=2)


class Socket(AsyncIterator[Part]):
    """A source that is no generator: it can be closed before anybody has read it."""

    def __init__(self, *texts: str) -> None:
        self.left = list(texts)
        self.closed = 0

    async def __anext__(self) -> Part:
        if not self.left:
            raise StopAsyncIteration
        return Part(self.left.pop(0))

    async def aclose(self) -> None:
        self.closed += 1


# -- what comes out


@pytest.mark.parametrize("paces", [(0.0, 0.0), (0.0, 0.3), (0.2, 0.0), (0.3, 0.3)])
@pytest.mark.virtual(seeds=50)
async def test_every_branch_gets_every_part(paces: tuple[float, ...]) -> None:
    """All parts, in order, the very same objects, whoever is slow; the source is closed once."""
    log: list[str] = []
    expected = [str(n) for n in range(40)]
    assert await both(*split(numbers(log, 40), 2), paces=paces) == [expected, expected]
    assert log == [*expected, "closed"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_parts_are_not_copied() -> None:
    """A branch gets the part itself."""
    part = Part("a")
    a, b = split(part, 2)
    assert await anext(a) is part
    assert await anext(b) is part
    assert (await texts(a), await texts(b)) == ([], [])


@pytest.mark.virtual(seeds=200)
async def test_parts_come_as_they_are_made() -> None:
    """Each branch has a part at the moment at which the source makes it."""

    async def timeline(branch: Branch) -> list[float]:
        return [now() async for _ in branch]

    branches = split(numbers([], 3, every_s=0.5), 3)
    assert await asyncio.gather(*map(timeline, branches)) == [[0.5, 1.0, 1.5]] * 3


async def test_any_source_can_be_split() -> None:
    """Text, a list, nothing: whatever a processor takes; and into one branch, or a hundred."""
    for source, expected in (("hello", ["hello"]), (["a", "b"], ["a", "b"]), (None, [])):
        assert await both(*split(source, 2)) == [expected, expected]
    [alone] = split("a", 1)
    assert await texts(alone) == ["a"]
    branches = split(["a", "b"], 100)
    assert await both(*branches, paces=(0.0,) * 100) == [["a", "b"]] * 100


def test_what_cannot_be_split_is_refused() -> None:
    """Into none, or with room for nothing: the message says what to ask for."""
    with pytest.raises(FlowError, match="cannot be split into 0; ask for 1 branch or more"):
        split("a", 0)
    with pytest.raises(FlowError, match="a channel for 0 items can pass nothing"):
        split("a", 2, capacity=0)


# -- how far ahead


@pytest.mark.parametrize("capacity", [1, 2, 16])
@pytest.mark.virtual(seeds=50)
async def test_a_slow_branch_holds_the_others_back_as_far_as_its_bound(capacity: int) -> None:
    """With `capacity` parts waiting for one branch, nothing more is pulled, until it takes one."""
    log: list[str] = []
    fast, slow = split(numbers(log), 2, capacity=capacity)
    async with fast, slow:
        eager = asyncio.create_task(texts(fast))
        await asyncio.sleep(1.0)
        assert len(log) == capacity
        for taken in range(1, 5):
            await anext(slow)
            await asyncio.sleep(1.0)
            assert len(log) == capacity + taken
        eager.cancel()
        await asyncio.wait([eager])


async def test_the_default_bound_is_16_parts() -> None:
    """A branch that nobody reads lets the other have 16 parts, and no more."""
    log: list[str] = []
    fast, slow = split(numbers(log), 2)
    async with fast, slow:
        for _ in range(16):
            await anext(fast)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100.0):
                await anext(fast)
    assert log == [*map(str, range(16)), "closed"]


@pytest.mark.parametrize(("seconds", "pulled"), [(0.1, 16), (0.2, 10), (0.75, 3), (5.0, 1)])
async def test_audio_is_bounded_in_seconds_too(seconds: float, pulled: int) -> None:
    """No more is pulled once two seconds wait, or 16 parts."""
    count = 0

    async def audio() -> AsyncIterator[Part]:
        nonlocal count
        while True:
            count += 1
            yield Part.audio(bytes(int(seconds * 16_000) * 2))

    fast, slow = split(audio(), 2)
    async with fast, slow:
        eager = asyncio.create_task(texts(fast))
        await asyncio.sleep(1.0)
        eager.cancel()
        await asyncio.wait([eager])
        assert count == pulled


@pytest.mark.virtual(seeds=50)
async def test_nothing_is_pulled_that_nobody_asked_for() -> None:
    """As many parts are pulled as the fastest branch has asked for, not one more."""
    log: list[str] = []
    a, b = split(numbers(log), 2)
    async with a, b:
        await asyncio.sleep(1.0)
        assert log == []
        for branch, pulled in [(a, 1), (a, 2), (b, 2), (b, 2), (b, 3), (a, 3), (a, 4)]:
            await anext(branch)
            await asyncio.sleep(1.0)
            assert len(log) == pulled


@pytest.mark.virtual(seeds=50)
async def test_a_branch_may_start_late() -> None:
    """What waited for it comes first; then both go on together."""
    log: list[str] = []
    early, late = split(numbers(log, 30, every_s=0.1), 2)

    async def begin_late() -> list[str]:
        await asyncio.sleep(10.0)
        assert len(log) == 16
        return await texts(late)

    expected = [str(n) for n in range(30)]
    seen = list(await asyncio.gather(texts(early), begin_late()))
    assert seen == [expected, expected]
    assert now() == 11.4


# -- leaving


@pytest.mark.virtual(seeds=50)
async def test_a_closed_branch_holds_nobody_back() -> None:
    """Once closed, read or unread, the other one has all the rest."""
    for read in (0, 1, 5):
        log: list[str] = []
        kept, left = split(numbers(log, 100), 2, capacity=5)
        reader = asyncio.create_task(texts(kept))
        for _ in range(read):
            await anext(left)
        await asyncio.sleep(1.0)
        assert len(log) == 5 + read
        await left.aclose()
        await left.aclose()
        assert len(await reader) == 100
        assert log.count("closed") == 1
        with pytest.raises(StopAsyncIteration):
            await anext(left)


@pytest.mark.virtual(seeds=50)
async def test_a_dropped_branch_holds_nobody_back() -> None:
    """A branch that nobody holds any more, read or unread, is as good as closed."""
    log: list[str] = []
    kept, *dropped = split(numbers(log, 100), 3, capacity=5)
    reader = asyncio.create_task(texts(kept))
    await anext(dropped[0])
    await asyncio.sleep(1.0)
    assert len(log) == 5
    dropped.clear()
    assert len(await reader) == 100


@pytest.mark.virtual(seeds=50)
async def test_a_cancelled_branch_holds_nobody_back() -> None:
    """Cancelled while it waits for a part, or in a block of its own, a branch is closed."""
    log: list[str] = []
    kept, waits, works = split(numbers(log, 100, every_s=1.0), 3, capacity=5)

    async def work() -> None:
        async with works:
            async for _ in works:
                await asyncio.sleep(1000.0)

    tasks = [asyncio.create_task(texts(waits)), asyncio.create_task(work())]
    reader = asyncio.create_task(texts(kept))
    await asyncio.sleep(3.5)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert len(await reader) == 100
    assert now() == 100.0


@pytest.mark.virtual(seeds=50)
async def test_the_source_is_closed_with_the_last_branch() -> None:
    """Not before, and once; when the last `aclose` has returned, it is closed."""
    log: list[str] = []
    a, b, c = split(numbers(log, every_s=1.0), 3)
    await anext(a)
    await b.aclose()
    await a.aclose()
    await asyncio.sleep(10.0)
    assert log == ["0"]
    await c.aclose()
    assert log == ["0", "closed"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("leave", ["aclose", "drop"])
async def test_a_source_that_nobody_read_is_closed_with_the_last_branch(leave: str) -> None:
    """Closed or dropped without a part taken, the branches close the source, once."""
    socket = Socket("a")
    branches = list(split(socket, 3))
    for _ in range(3):
        assert socket.closed == 0
        branch = branches.pop()
        if leave == "aclose":
            await branch.aclose()
        del branch
        await asyncio.sleep(1.0)
    assert socket.closed == 1


@pytest.mark.virtual(seeds=50)
async def test_branches_that_end_close_the_source_once() -> None:
    """Exhausted, and then closed by hand as well: the source was closed once, at its end."""
    socket = Socket("a", "b")
    branches = split(socket, 2)
    assert await both(*branches) == [["a", "b"]] * 2
    for branch in branches:
        await branch.aclose()
        assert await texts(branch) == []
    assert socket.closed == 1


@pytest.mark.virtual(seeds=20)
async def test_closing_a_branch_ends_who_waits_for_it() -> None:
    """A task that waits for a part of a branch that another task closes finds its end."""
    a, b = split(numbers([], every_s=10.0), 2)
    waiting = asyncio.create_task(texts(a))
    await asyncio.sleep(1.0)
    await a.aclose()
    assert await waiting == []
    await b.aclose()


@pytest.mark.virtual(seeds=20)
async def test_branches_in_a_circle_are_closed_when_collected() -> None:
    """Garbage that holds itself closes the source too."""
    log: list[str] = []
    branches: list[Any] = list(split(numbers(log), 2))
    await anext(branches[0])
    branches.append(branches)
    del branches
    gc.collect()
    await asyncio.sleep(2.0)
    assert log == ["0", "closed"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_branches_may_outlive_their_loop() -> None:
    """Dropped after the loop was closed, they do no harm."""
    kept: list[Branch] = []

    async def main() -> None:
        kept.extend(split(["a"] * 5, 2))
        await anext(kept[0])

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    kept.clear()
    gc.collect()


def test_a_stream_may_be_split_before_there_is_a_loop() -> None:
    """Split at the start of a program; a branch dropped before the loop runs holds nobody back."""
    kept, dropped = split([str(n) for n in range(40)], 2)
    del dropped
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert len(runner.run(texts(kept))) == 40


def test_what_was_split_before_there_is_a_loop_is_closed_all_the_same() -> None:
    """The first to read brings the loop in which the source is closed when all are dropped."""
    log: list[str] = []
    branches = list(split(numbers(log), 2))

    async def main() -> None:
        await anext(branches[0])
        branches.clear()
        await asyncio.sleep(1.0)
        assert log == ["0", "closed"]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


async def test_branches_may_be_dropped_in_another_thread() -> None:
    """Wherever the garbage collector runs, the source is closed in its own loop."""
    log: list[str] = []
    branches = list(split(numbers(log), 2))
    await anext(branches[0])
    await asyncio.to_thread(branches.clear)
    await asyncio.sleep(1.0)
    assert log == ["0", "closed"]


# -- a source that hangs


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.virtual(seeds=20)
async def test_a_source_that_hangs_while_closing_is_bounded_and_named(swallows: bool) -> None:
    """A `finally` that never ends costs 2 s at most, and is named."""
    release = asyncio.Event()

    async def hangs() -> AsyncIterator[Part]:
        try:
            yield Part("a")
            await asyncio.sleep(1000.0)
        finally:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    if not swallows:
                        raise

    [branch] = split(hangs(), 1)
    await anext(branch)
    reader = asyncio.create_task(texts(branch))
    await asyncio.sleep(1.0)
    reader.cancel()
    warned = pytest.warns(AbandonedTask, match="the reader of split") if swallows else None
    with contextlib.nullcontext() if warned is None else warned:
        await asyncio.wait([reader])
    took = now() - 1.0
    release.set()
    await asyncio.sleep(1.0)
    assert took == (2.0 if swallows else 1.0)


@pytest.mark.parametrize("swallows", [False, True])
async def test_an_unread_source_that_hangs_while_closing_is_bounded(swallows: bool) -> None:
    """An `aclose` that never returns is cancelled after 1 s, and left behind after 2 s."""
    release = asyncio.Event()

    class Hangs(Socket):
        async def aclose(self) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    if not swallows:
                        raise

    [branch] = split(Hangs(), 1)
    warned = pytest.warns(AbandonedTask, match="closing the source") if swallows else None
    with contextlib.nullcontext() if warned is None else warned:
        await branch.aclose()
    took = now()
    release.set()
    await asyncio.sleep(1.0)
    assert took == (2.0 if swallows else 1.0)


# -- errors


async def fails(after: int, error: Exception) -> AsyncIterator[Part]:
    for n in range(after):
        yield Part(str(n))
    raise error


async def outcome(branch: Branch) -> tuple[BaseException | None, list[str]]:
    seen: list[str] = []
    try:
        async for part in branch:
            seen.append(part.text)
    except Exception as error:
        return error, seen
    return None, seen


@pytest.mark.virtual(seeds=200)
async def test_an_error_of_the_source_reaches_each_branch() -> None:
    """As itself, once, after all that came before it; also a branch that begins late."""
    broken = ValueError("broken")
    early, late, left = split(fails(3, broken), 3)
    await left.aclose()
    assert await outcome(early) == (broken, ["0", "1", "2"])
    await asyncio.sleep(1.0)
    assert await outcome(late) == (broken, ["0", "1", "2"])
    assert await outcome(early) == (None, [])


@pytest.mark.virtual(seeds=20)
async def test_a_source_that_cancels_itself_is_an_error() -> None:
    """A cancellation that nobody asked for reaches each branch as a FlowError."""

    async def source() -> AsyncIterator[Part]:
        yield Part("a")
        raise asyncio.CancelledError

    for error, seen in await asyncio.gather(*map(outcome, split(source(), 2))):
        assert isinstance(error, FlowError)
        assert str(error) == "what split reads was cancelled before it had ended"
        assert seen == ["a"]


class Untidy(Socket):
    """A source that raises as it is closed; and as it is read, if it is told to."""

    def __init__(self, *texts: str, broken: bool = False) -> None:
        super().__init__(*texts)
        self.broken = broken

    async def __anext__(self) -> Part:
        if self.broken:
            raise ValueError("broken")
        return await super().__anext__()

    async def aclose(self) -> None:
        raise OSError("would not close")


async def test_an_error_in_cleanup_reaches_each_branch_at_the_end() -> None:
    """A source that cannot be closed at its end is an error for all."""
    a, b = split(Untidy("a"), 2)
    for error, seen in (await outcome(a), await outcome(b)):
        assert isinstance(error, OSError)
        assert seen == ["a"]


async def test_an_error_in_cleanup_does_not_hide_the_first() -> None:
    """The first error is raised, the other one noted on it."""
    [branch] = split(Untidy(broken=True), 1)
    error, _ = await outcome(branch)
    assert isinstance(error, ValueError)
    assert error.__notes__ == ["also failed: OSError: would not close"]


@pytest.mark.parametrize("read", [0, 1])
@pytest.mark.virtual(seeds=20)
async def test_an_error_in_cleanup_is_raised_by_the_last_to_leave(read: int) -> None:
    """Who closes the source is told, once; read or unread."""
    a, b = split(Untidy("a", "b", "c"), 2)
    for _ in range(read):
        await anext(a)
    await a.aclose()
    with pytest.raises(OSError, match="would not close"):
        await b.aclose()
    await b.aclose()


@pytest.mark.virtual(seeds=20)
async def test_an_error_in_cleanup_does_not_eat_a_cancellation() -> None:
    """A task that is cancelled as it reads ends cancelled; the loop hears of the error."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    class Slow(Untidy):
        async def __anext__(self) -> Part:
            await asyncio.sleep(100.0)
            return await super().__anext__()

    [branch] = split(Slow("a"), 1)
    reader = asyncio.create_task(texts(branch))
    await asyncio.sleep(1.0)
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()
    assert [str(it["exception"]) for it in told] == ["would not close"]


@pytest.mark.virtual(seeds=20)
async def test_two_tasks_may_read_one_branch() -> None:
    """Each part goes to one of them; none is lost."""
    a, b = split(numbers([], 30), 2)
    one, two, other = await asyncio.gather(texts(a), texts(a), texts(b))
    assert sorted(one + two, key=int) == other == [str(n) for n in range(30)]


async def test_an_error_that_nobody_can_be_told_of_goes_to_the_loop() -> None:
    """When dropped branches close a source that raises, the loop's handler hears of it."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    branches = list(split(Untidy("a"), 2))
    branches.clear()
    await asyncio.sleep(1.0)
    assert [str(it["exception"]) for it in told] == ["would not close"]
    assert told[0]["message"] == "the source of a split failed as it was closed"


# -- what overtakes


@pytest.mark.parametrize("signal", [Interrupted(1), Reset(1)])
async def test_an_interruption_overtakes_and_takes_out_what_is_void(signal: Any) -> None:
    """A slow branch finds the interruption next, and nothing void behind it."""
    source = [
        *(Part(f"old{n}", role="model", turn=1) for n in range(3)),
        Part.call("order", id="1", turn=1),
        Part(signal, role="model"),
        Part("new", role="model", turn=2),
    ]
    fast, slow = split(source, 2)
    first = await anext(slow)
    assert [part async for part in fast] == source
    assert [first, *[part async for part in slow]] == [source[0], source[4], source[3], source[5]]


@pytest.mark.parametrize(
    "part", [Part(Held(1)), Part(Resumed(1)), Part("aside", substream="status/x")]
)
async def test_what_overtakes_in_a_run_overtakes_here(part: Part) -> None:
    """A hold, its end, and what is said aside come before what waits."""
    source = [Part("a"), Part("b"), part, Part("c")]
    fast, slow = split(source, 2)
    assert [it async for it in fast] == source
    assert [it async for it in slow] == [part, source[0], source[1], source[3]]


async def test_what_overtakes_is_bounded_like_the_rest() -> None:
    """Endless asides wait, too, once a branch is `capacity` parts behind."""
    count = 0

    async def talks() -> AsyncIterator[Part]:
        nonlocal count
        while True:
            count += 1
            yield Part("aside", substream="status")

    fast, slow = split(talks(), 2, capacity=4)
    async with fast, slow:
        eager = asyncio.create_task(texts(fast))
        await asyncio.sleep(1.0)
        eager.cancel()
        await asyncio.wait([eager])
        assert count == 4


async def test_the_end_of_a_turn_keeps_its_place() -> None:
    """Other signals come where the source put them."""
    source = [Part("a", turn=1), Part(TurnComplete(1), turn=1), Part("b", turn=2)]
    a, b = split(source, 2)
    assert [part async for part in a] == source
    assert [part async for part in b] == source


# -- runs


async def test_what_is_split_is_heard_when_it_is_taken() -> None:
    """A run that is split in a script books what a branch takes, as for any consumer."""
    runs: list[Run] = []

    @processor
    async def speaks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        for word in ("one ", "two ", "three "):
            yield Part(word, role="model", turn=1)

    a, b = split(speaks(None), 2)
    assert (await anext(a)).text == "one "
    assert (await anext(b)).text == "one "
    assert (await anext(a)).body == Playing(1)
    assert runs[0].bus.ledger.heard(1).text == "one"
    for branch in (a, b):
        await branch.aclose()


async def test_what_is_split_belongs_to_whoever_split_it() -> None:
    """A run that is split in a script is no part of the runs that read the branches."""
    runs: list[Run] = []

    @processor
    async def asks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        async for part in stream:
            yield part

    a, b = split(asks("x"), 2)
    seen = await asyncio.gather(texts(asks(a)), texts(asks(b)))
    assert list(seen) == [["x"], ["x"]]
    assert len({id(run.bus) for run in runs}) == 3
    assert all(run.is_root for run in runs)


@pytest.mark.virtual(seeds=50)
async def test_it_works_inside_of_a_stage() -> None:
    """A stage may let two nested agents work on its stream, and merge what they make."""
    runs: dict[str, Run] = {}

    def remember(name: str) -> Processor:
        @processor
        async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            runs[name] = current_run()
            async for part in stream:
                yield part.derive(body=f"{name}{part.text}")

        return stage

    @processor
    async def twice(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs["stage"] = current_run()
        a, b = split(stream, 2)
        async with merge(remember("a")(a), (copy + remember("b"))(b)) as parts:
            async for part in parts:
                yield part

    agent = remember("x") + Driven() + twice + copy
    seen = await texts(agent([str(n) for n in range(30)]))
    for name in "ab":
        assert [it for it in seen if it[0] == name] == [f"{name}x{n}" for n in range(30)]
    assert runs["x"] is runs["stage"]
    assert runs["a"] is not runs["stage"]
    assert runs["a"].bus is runs["b"].bus is runs["stage"].bus


@pytest.mark.virtual(seeds=20)
async def test_it_ends_with_the_run_that_it_belongs_to() -> None:
    """When the run is over, the reader is gone and the source closed, though a branch is held."""
    log: list[str] = []
    held: list[Branch] = []

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        a, b = split(numbers(log, every_s=1.0), 2)
        held.append(b)
        async for part in a:
            yield part

    async with stage.run(None) as parts:
        await anext(parts)
    assert log[-1] == "closed"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (await anext(held[0])).text == "0"
    with pytest.raises(FlowError, match="what split reads was cancelled before it had ended"):
        await texts(held[0])


async def test_a_branch_that_is_first_read_after_the_run_reads_a_closed_source() -> None:
    """Nobody hangs: a branch that was kept beyond the run of its stage finds the end."""
    held: list[Branch] = []

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        held.extend(split(stream, 1))
        yield Part("a")

    assert await texts(stage(["x"])) == ["a"]
    assert await texts(held[0]) in ([], ["x"])


@pytest.mark.parametrize("signal", [Interrupted(1), Reset(1)])
@pytest.mark.virtual(seeds=20)
async def test_an_interruption_of_the_run_purges_what_waits(signal: Any) -> None:
    """Inside of a stage, what is void is gone at once, and makes room."""
    seen: dict[str, list[str]] = {"fast": [], "slow": []}

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        fast, slow = split(stream, 2, capacity=2)

        async def read(name: str, branch: Branch) -> None:
            async for part in branch:
                seen[name].append(part.text)

        run = current_run()
        reading = [run.start(read("fast", fast), "fast")]
        await asyncio.sleep(1.0)
        assert seen["fast"] == ["old0", "old1"]
        run.bus.announce(signal)
        await asyncio.sleep(1.0)
        assert seen["fast"] == ["old0", "old1", "new2", "new3"]
        reading.append(run.start(read("slow", slow), "slow"))
        await asyncio.wait(reading)
        yield Part("end")

    old = [Part(f"old{n}", role="model", turn=1) for n in range(2)]
    new = [Part(f"new{n}", role="model", turn=2) for n in range(2, 6)]
    out = [part.text async for part in stage(old + new) if part.text]
    assert out == ["end"]
    assert seen["slow"] == ["new2", "new3", "new4", "new5"]
