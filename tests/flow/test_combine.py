import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pytest

from vivace.errors import Closed, FlowError, PartError, StageError
from vivace.flow.clock import now
from vivace.flow.combine import concat, merge
from vivace.flow.drive import drive
from vivace.flow.processor import Processor, processor
from vivace.flow.run import Run, current_run
from vivace.machines.machine import Machine
from vivace.part import Data, Interrupted, Part, Reset, TurnComplete

pytestmark = pytest.mark.virtual


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may make asyncio complain: no "Task was destroyed", no exception never retrieved."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.records]
    complaints = [it.getMessage() for it in records if it.levelno >= logging.WARNING]
    assert complaints == []


async def every(seconds: float, name: str, count: int) -> AsyncIterator[Part]:
    for number in range(count):
        await asyncio.sleep(seconds)
        yield Part(f"{name}{number}")


async def numbers(log: list[str], name: str = "", count: int = 1000) -> AsyncGenerator[Part, None]:
    """A source that tells what was pulled, and that it was closed."""
    try:
        for n in range(count):
            log.append(f"{name}{n}")
            yield Part(f"{name}{n}")
    finally:
        log.append(f"{name}closed")


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Machine(), capacity=2)


async def texts(parts: AsyncIterator[Part]) -> list[str]:
    return [part.text async for part in parts]


async def timeline(parts: AsyncIterator[Part]) -> list[tuple[float, str]]:
    return [(now(), part.text) async for part in parts]


def fail(error: Exception) -> None:
    raise error


async def outcome(parts: AsyncIterator[Part], pace: float = 0.0) -> tuple[Exception, list[str]]:
    """The error that a stream ended with, and the texts that came before it."""
    seen: list[str] = []
    try:
        async for part in parts:
            seen.append(part.text)
            await asyncio.sleep(pace)
    except Exception as error:
        return error, seen
    raise AssertionError("it ended without an error")


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


class Socket(AsyncIterator[Part]):
    """A source that is no generator: it can be closed before anybody has read it."""

    def __init__(self, log: list[str], name: str, *texts: str) -> None:
        self._log = log
        self._name = name
        self._texts = list(texts)

    async def __anext__(self) -> Part:
        if not self._texts:
            raise StopAsyncIteration
        return Part(self._texts.pop(0))

    async def aclose(self) -> None:
        self._log.append(f"{self._name} closed")


# -- merge: what comes out


@pytest.mark.virtual(seeds=200)
async def test_parts_come_as_they_are_made() -> None:
    """Each part comes out at the very moment at which its source makes it."""
    seen = await timeline(merge(every(0.5, "a", 3), every(0.7, "b", 2), every(2.0, "c", 1)))
    assert seen == [(0.5, "a0"), (0.7, "b0"), (1.0, "a1"), (1.4, "b1"), (1.5, "a2"), (2.0, "c0")]


async def test_any_source_can_be_merged() -> None:
    """Text, lists, nothing, data, plain generators and streams: whatever a processor takes."""
    sources: list[Any] = ["hello", ["a", Part("b")], None, {"k": 1}, (c for c in "cd"), copy("e")]
    seen = [part.text or part.body async for part in merge(*sources)]
    assert Counter(map(str, seen)) == Counter(["hello", "a", "b", str(Data({"k": 1})), *"cde"])


@pytest.mark.parametrize("ends", ["all", "first"])
async def test_merging_nothing_ends_at_once(ends: Any) -> None:
    """No sources are an empty stream."""
    assert await texts(merge(ends=ends)) == []


@pytest.mark.virtual(seeds=200)
async def test_each_source_keeps_its_order_and_nothing_is_lost() -> None:
    """Whatever the order of tasks, each source's parts come in theirs, all of them, once."""
    seen = await texts(merge(*(numbers([], name, 7) for name in "abc"), Driven()(["d0", "d1"])))
    for name, count in {"a": 7, "b": 7, "c": 7, "d": 2}.items():
        assert [it for it in seen if it[0] == name] == [f"{name}{n}" for n in range(count)]
    assert len(seen) == 23


@pytest.mark.parametrize("pace", [0.0, 0.1])
@pytest.mark.virtual(seeds=200)
async def test_first_come_first_served(pace: float) -> None:
    """Parts of endless sources come out in the very order in which they were made."""
    made: list[str] = []
    seen: list[str] = []
    async with merge(*(numbers(made, name) for name in "abc")) as parts:
        for _ in range(60):
            seen.append((await anext(parts)).text)
            await asyncio.sleep(pace)
            assert seen == made[: len(seen)]
            assert len(made) <= len(seen) + 3


# Which source has its next part ready first is for the loop to say; asyncio's own takes turns.
@pytest.mark.virtual(seed=None)
async def test_busy_sources_take_turns() -> None:
    """Of three endless sources that are always ready, each gives every third part."""
    async with merge(*(numbers([], name) for name in "abc")) as parts:
        seen = [(await anext(parts)).text for _ in range(60)]
    assert seen == [f"{name}{n}" for n in range(20) for name in "abc"]


@pytest.mark.virtual(seeds=200)
async def test_a_busy_source_cannot_starve_another() -> None:
    """A part that is ready waits for one part of each other source, and no more."""
    seen: list[str] = []
    async with merge(numbers([], "busy"), every(1.05, "rare", 1)) as parts:
        while not seen or "rare" not in seen[-1]:
            seen.append((await anext(parts)).text)
            await asyncio.sleep(0.1)
    taken_before = 11  # at 0.0, 0.1 … 1.0
    assert seen.index("rare0") == taken_before + 1


async def test_a_hundred_sources_at_once() -> None:
    """A hundred sources are merged like two."""
    seen = await timeline(merge(*(every(1.0, f"{n}-", 2) for n in range(100))))
    assert [at for at, _ in seen] == [1.0] * 100 + [2.0] * 100
    assert len({text for _, text in seen}) == 200


@pytest.mark.virtual(seeds=50)
async def test_a_source_is_one_part_ahead_and_no_more() -> None:
    """Each source has one part in line; nothing else is pulled that nobody has asked for."""
    logs: list[list[str]] = [[], [], []]
    async with merge(*map(numbers, logs)) as parts:
        for taken in range(1, 10):
            await anext(parts)
            await asyncio.sleep(1.0)
            assert sum(map(len, logs)) == taken + len(logs)
    async with merge(numbers(logs[0])):
        await asyncio.sleep(1.0)
        assert logs[0][-1] == "closed"


# -- merge: how it ends


@pytest.mark.virtual(seeds=200)
async def test_it_ends_with_the_first_source_if_asked() -> None:
    """With `ends="first"` the others are closed at that moment, and no part comes after."""
    log: list[str] = []

    async def slow() -> AsyncIterator[Part]:
        try:
            async for part in every(0.4, "b", 100):
                yield part
        finally:
            log.append(f"closed at {now()}")

    seen = await timeline(merge(every(0.5, "a", 2), slow(), ends="first"))
    assert seen == [(0.4, "b0"), (0.5, "a0"), (0.8, "b1"), (1.0, "a1")]
    assert log == ["closed at 1.0"]


@pytest.mark.virtual(seeds=200)
async def test_what_is_ready_when_the_first_ends_still_comes() -> None:
    """A part that stood in line before the first source ended is given to a slow consumer."""
    brief, steady = every(1.0, "a", 1), every(0.7, "b", 100)
    seen = []
    async with merge(["now"], brief, steady) as parts:
        async for part in parts:
            seen.append(part.text)
            if len(seen) == 1:
                await asyncio.sleep(5.0)
            if len(seen) == 3:
                break
    assert seen == ["now", "b0", "a0"]

    async def ends_at(seconds: float) -> AsyncIterator[Part]:
        yield Part("now")
        await asyncio.sleep(seconds)

    seen.clear()
    async with merge(ends_at(1.0), every(0.7, "b", 100), ends="first") as parts:
        async for part in parts:
            seen.append(part.text)
            await asyncio.sleep(5.0)
    assert seen == ["now", "b0"]


@pytest.mark.parametrize("ends", ["any", "", None])
def test_another_way_to_end_is_refused(ends: Any) -> None:
    """The message says what there is."""
    with pytest.raises(StageError, match=r"ends=.* is no way to end; use 'all' or 'first'"):
        merge("a", ends=ends)


async def test_sources_are_closed_when_they_end() -> None:
    """A socket is closed as soon as it has ended, though the other source goes on."""
    log: list[str] = []
    async with merge(Socket(log, "socket", "a"), every(1.0, "b", 3)) as parts:
        seen = [(await anext(parts)).text for _ in range(2)]
        assert log == ["socket closed"]
        seen += await texts(parts)
    assert seen == ["a", "b0", "b1", "b2"]
    assert log == ["socket closed"]


@pytest.mark.virtual(seeds=20)
async def test_sources_that_were_never_read_are_closed() -> None:
    """Left with the first part, a merge of sockets closes all, whatever was begun."""
    log: list[str] = []
    async with merge("now", *(Socket(log, str(n)) for n in range(3))) as parts:
        await anext(parts)
    assert sorted(log) == ["0 closed", "1 closed", "2 closed"]


# -- merge: errors


async def fails(at: float, text: str = "broken") -> AsyncIterator[Part]:
    await asyncio.sleep(at)
    fail(ValueError(text))
    yield Part("never")


@pytest.mark.virtual(seeds=200)
async def test_an_error_ends_all_with_that_error() -> None:
    """The error comes as itself with the place it came from, after what was made before it."""
    log: list[str] = []

    async def slow() -> AsyncIterator[Part]:
        try:
            async for part in every(0.4, "b", 100):
                yield part
        finally:
            log.append(f"closed at {now()}")

    error, seen = await outcome(merge(slow(), fails(1.0)))
    assert (type(error), str(error), seen) == (ValueError, "broken", ["b0", "b1"])
    assert notes(error) == ["in merge[1]"]
    assert log == ["closed at 1.0"]


async def test_an_error_of_a_stage_keeps_its_path() -> None:
    """What was noted in the run that is merged stays; nothing is added."""

    @processor
    async def broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            raise ValueError("broken")
        yield Part("never")

    error, _ = await outcome(merge((copy + broken)("a"), None))
    assert notes(error) == ["in agent[1].broken"]


async def test_a_value_that_is_no_part_is_an_error() -> None:
    """A source of wrong values is named by its number."""
    error, _ = await outcome(merge("a", [object()]))
    assert isinstance(error, PartError)
    assert notes(error) == ["in merge[1]"]


@pytest.mark.virtual(seeds=200)
async def test_errors_at_the_same_moment_are_all_told() -> None:
    """One of them is raised, with the others noted on it."""
    error, _ = await outcome(merge(fails(1.0, "one"), fails(1.0, "two"), fails(1.0, "three")))
    texts = {0: "one", 1: "two", 2: "three"}
    first = next(number for number, text in texts.items() if text == str(error))
    assert sorted(notes(error)) == [
        *(
            f"also failed: ValueError: {texts[n]} (in merge[{n}])"
            for n in sorted(texts, key=texts.__getitem__)
            if n != first
        ),
        f"in merge[{first}]",
    ]


@pytest.mark.virtual(seeds=50)
async def test_one_error_in_two_sources_is_told_once() -> None:
    """Two sources that raise the very same object: it has nothing to note on itself."""
    same = ValueError("same")

    async def raises() -> AsyncIterator[Part]:
        await asyncio.sleep(1.0)
        fail(same)
        yield Part("never")

    error, _ = await outcome(merge(raises(), raises()))
    assert error is same
    assert len(notes(error)) == 1


async def untidy(text: str, waits: bool) -> AsyncIterator[Part]:
    try:
        yield Part(text)
        while not waits:
            yield Part(text)
        await asyncio.sleep(100.0)
    finally:
        raise OSError(f"{text} would not close")


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.virtual(seeds=50)
async def test_an_error_in_cleanup_does_not_hide_the_first(waits: bool) -> None:
    """What a sibling raises as it is closed, at rest or in the middle, is noted on the error."""
    error, _ = await outcome(merge(untidy("b", waits), fails(1.0)), pace=0.3)
    assert (type(error), str(error)) == (ValueError, "broken")
    assert [note.partition(" (")[0] for note in notes(error)] == [
        "in merge[1]",
        "also failed: OSError: b would not close",
    ]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.virtual(seeds=50)
async def test_an_error_in_cleanup_is_raised_when_there_is_no_other(waits: bool) -> None:
    """Closing a merge raises what closing its sources raised: the first, the other noted on it."""
    parts = merge(untidy("a", waits), untidy("b", waits))
    await anext(parts)
    await asyncio.sleep(1.0)
    with pytest.raises(OSError, match="would not close") as caught:
        await parts.aclose()
    told = " ".join([str(caught.value), *notes(caught.value)])
    assert "a would not close" in told
    assert "b would not close" in told


@pytest.mark.virtual(seeds=50)
async def test_an_error_of_one_that_is_closed_by_the_end_of_another() -> None:
    """With `ends="first"`, an error in the other's cleanup reaches the consumer at the end."""
    error, seen = await outcome(merge(every(1.0, "a", 1), untidy("b", True), ends="first"))
    assert (type(error), str(error), seen) == (OSError, "b would not close", ["b", "a0"])


@pytest.mark.virtual(seeds=50)
async def test_an_error_that_nobody_came_to_hear_is_raised_at_the_end() -> None:
    """An error that stood in line when the consumer left is raised by closing."""
    parts = merge(["a"] * 2, fails(1.0))
    await anext(parts)
    await asyncio.sleep(2.0)
    with pytest.raises(ValueError, match="broken"):
        await parts.aclose()


@pytest.mark.virtual(seeds=20)
async def test_a_source_whose_closing_fails_after_its_own_error() -> None:
    """The error of a source is the first, and what its `aclose` raises is noted on it."""

    class Broken(AsyncIterator[Part]):
        async def __anext__(self) -> Part:
            raise ValueError("broken")

        async def aclose(self) -> None:
            raise OSError("would not close")

    error, _ = await outcome(merge(Broken(), every(1.0, "a", 1)))
    assert (type(error), str(error)) == (ValueError, "broken")
    assert notes(error) == ["in merge[0]", "also failed: OSError: would not close"]


@pytest.mark.virtual(seeds=20)
async def test_a_source_that_cancels_itself_is_an_error() -> None:
    """A cancellation that nobody asked for ends the merge with a FlowError; nobody hangs."""

    async def source() -> AsyncIterator[Part]:
        yield Part("a")
        raise asyncio.CancelledError

    error, seen = await outcome(merge(source(), every(100.0, "b", 1)))
    assert isinstance(error, FlowError)
    assert str(error) == "merge[0] was cancelled from inside"
    assert seen == ["a"]


async def test_a_source_that_raises_closed_is_an_error() -> None:
    """A source that reads a closed channel of its own does not look like the end."""

    async def source() -> AsyncIterator[Part]:
        yield Part("a")
        raise Closed("a channel of its own")

    error, seen = await outcome(merge(source(), None))
    assert isinstance(error, Closed)
    assert seen == ["a"]


# -- merge: within a run


@pytest.mark.virtual(seeds=50)
async def test_it_works_inside_of_a_stage() -> None:
    """A stage may merge its stream with another source; times are as outside."""

    @processor
    async def beside(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async with merge(stream, every(0.7, "b", 2)) as parts:
            async for part in parts:
                yield part

    seen = await timeline((copy + beside + copy)(every(0.5, "a", 2)))
    assert seen == [(0.5, "a0"), (0.7, "b0"), (1.0, "a1"), (1.4, "b1")]


@pytest.mark.parametrize("between", [copy, Driven()], ids=["generator", "driven"])
@pytest.mark.virtual(seeds=20)
async def test_a_stage_belongs_to_its_own_run_though_a_merge_reads_it(between: Processor) -> None:
    """Stages before a merge are of the outer run, and a driven one outlives the merge."""
    runs: dict[str, Run] = {}

    def remember(name: str) -> Processor:
        @processor
        async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            runs[name] = current_run()
            async for part in stream:
                yield part

        return stage

    @processor
    async def in_pairs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def pair() -> AsyncIterator[Part]:
            yield await anext(stream)
            yield await anext(stream)

        runs["stage"] = current_run()
        for _ in range(2):
            async with merge(pair(), remember("beside")("x")) as parts:
                async for part in parts:
                    yield part

    seen = await texts((remember("before") + between + in_pairs)(every(1.0, "", 4)))
    assert sorted(seen) == ["0", "1", "2", "3", "x", "x"]
    assert runs["before"] is runs["stage"]
    assert runs["beside"].bus is runs["stage"].bus
    assert runs["beside"] is not runs["stage"]


@pytest.mark.virtual(seeds=20)
async def test_what_is_merged_is_one_conversation() -> None:
    """Runs that are merged share a bus, in a script as well as inside of a stage."""
    buses = []

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        buses.append(current_run().bus)
        async for part in stream:
            yield part

    await texts(copy(merge(stage("a"), stage("b"))))
    assert len(buses) == 2
    assert buses[0] is buses[1]


@pytest.mark.parametrize("lane", ["status", "debug/audio"])
@pytest.mark.virtual(seeds=200)
async def test_an_aside_of_a_source_comes_at_once(lane: str) -> None:
    """While the other source waits, and later stages too, an aside is with the caller."""

    async def talks() -> AsyncIterator[Part]:
        await asyncio.sleep(1.0)
        yield Part("aside", substream=lane)
        await asyncio.sleep(1.0)
        yield Part("done")

    @processor
    async def collects(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for part in [part async for part in merge(stream, every(5.0, "b", 1))]:
            yield part

    assert await timeline(merge(talks(), every(5.0, "b", 1))) == [
        (1.0, "aside"),
        (2.0, "done"),
        (5.0, "b0"),
    ]
    seen = await timeline((copy + collects)(talks()))
    assert [(at - 5.0, text) for at, text in seen] == [(1.0, "aside"), (5.0, "done"), (5.0, "b0")]


@pytest.mark.parametrize("signal", [Interrupted(1), Reset(1)])
@pytest.mark.virtual(seeds=50)
async def test_what_an_interruption_made_void_does_not_leave_the_line(signal: Any) -> None:
    """A part of a void reply that stood in line is left out; the others come."""
    runs: list[Run] = []
    seen: list[str] = []

    @processor
    async def merges(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        old = [Part(f"old{n}", role="model", turn=1) for n in range(3)]
        new = [Part.call("order", id="1", turn=1), Part("new", role="model", turn=2)]
        async for part in merge(old + new):
            yield part

    @processor
    async def listens(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            seen.append(part.text or type(part.body).__name__)
            if part.text == "old0":
                await asyncio.sleep(1.0)
                runs[0].bus.announce(signal)
            yield part

    await texts((merges + listens)(None))
    assert seen == ["old0", "Call", "new"]


async def test_the_end_of_a_turn_keeps_its_place() -> None:
    """A signal comes where its source put it."""
    complete = Part(TurnComplete(1), role="model", turn=1)
    source = [Part("a", turn=1), complete, Part("b", turn=2)]
    seen = [part async for part in merge(source) if part in source]
    assert seen == source


# -- concat


async def test_sources_come_one_after_the_other() -> None:
    """All of the first, then all of the second, whatever they are."""
    seen = await timeline(concat(every(1.0, "a", 2), "text", None, ["x"], every(0.5, "b", 1)))
    assert seen == [(1.0, "a0"), (2.0, "a1"), (2.0, "text"), (2.0, "x"), (2.5, "b0")]
    assert await texts(concat()) == []


async def test_a_source_is_begun_when_the_one_before_it_is_closed() -> None:
    """Nothing of the second is pulled before the first has ended and was closed."""
    log: list[str] = []
    assert await texts(concat(numbers(log, "a", 2), numbers(log, "b", 1))) == ["a0", "a1", "b0"]
    assert log == ["a0", "a1", "aclosed", "b0", "bclosed"]
    log.clear()
    assert await texts(concat(Socket(log, "a", "a0"), numbers(log, "b", 1))) == ["a0", "b0"]
    assert log == ["a closed", "b0", "bclosed"]


async def test_nothing_is_pulled_ahead() -> None:
    """A consumer that takes one part makes one part be pulled."""
    log: list[str] = []
    async with concat(numbers(log), numbers(log)) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
        assert log == ["0"]


@pytest.mark.parametrize("read", [1, 3])
@pytest.mark.virtual(seeds=20)
async def test_left_early_all_sources_are_closed(read: int) -> None:
    """Also those that were never begun, each once."""
    log: list[str] = []
    sources = [Socket(log, name, name, name) for name in "abc"]
    async with concat(*sources) as parts:
        for _ in range(read):
            await anext(parts)
    assert sorted(log) == ["a closed", "b closed", "c closed"]


@pytest.mark.virtual(seeds=20)
async def test_an_error_ends_a_row_of_sources() -> None:
    """What came before it comes; what was never begun is closed."""
    log: list[str] = []
    error, seen = await outcome(concat("a", fails(1.0), Socket(log, "c", "c")))
    assert (str(error), seen) == ("broken", ["a"])
    assert notes(error) == ["in source"]
    assert log == ["c closed"]


async def test_a_row_of_sources_inside_of_a_stage() -> None:
    """A stage may say something before its stream; what is said aside comes at once."""

    async def talks() -> AsyncIterator[Part]:
        yield Part("aside", substream="status")
        await asyncio.sleep(1.0)
        yield Part("b")

    @processor
    async def greets(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in concat("hello", stream):
            yield part

    seen = await timeline((copy + greets)(talks()))
    assert sorted(seen) == [(0.0, "aside"), (0.0, "hello"), (1.0, "b")]
