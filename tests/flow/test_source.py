import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from vivace.errors import FlowError, PartError, StageError
from vivace.flow.clock import now
from vivace.flow.processor import Processor, processor
from vivace.flow.run import Run, current_run
from vivace.flow.source import source
from vivace.flow.switch import switch
from vivace.part import Data, Interrupted, Part, TurnComplete

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


@source
async def ticks(seconds: float, count: int = 1000, *, name: str = "t") -> AsyncIterator[Part]:
    """Something to hear at a steady pace."""
    async for part in every(seconds, name, count):
        yield part


def ticks_that_tell(log: list[str], ends: Any = "all") -> Processor:
    @source(ends=ends)
    async def tells() -> AsyncIterator[str]:
        log.append("begun")
        try:
            for number in range(1000):
                await asyncio.sleep(0.4)
                yield f"t{number}"
        finally:
            log.append(f"closed at {now()}")

    return tells()


def fail(error: Exception) -> None:
    raise error


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


async def texts(parts: AsyncIterator[Part]) -> list[str]:
    return [part.text async for part in parts]


async def timeline(parts: AsyncIterator[Part]) -> list[tuple[float, str]]:
    return [(now(), part.text) async for part in parts]


async def outcome(parts: AsyncIterator[Part]) -> tuple[Exception, list[str]]:
    """The error that a stream ended with, and the texts that came before it."""
    seen: list[str] = []
    try:
        async for part in parts:
            seen.append(part.text)
    except Exception as error:
        return error, seen
    raise AssertionError("it ended without an error")


# -- what comes out


@pytest.mark.virtual(seeds=200)
async def test_its_parts_merge_with_what_comes_in() -> None:
    """Each part comes at the moment at which it is made, and goes through the stages behind."""
    agent = ticks(0.5, 3) + copy
    assert await timeline(agent(every(0.7, "a", 2))) == [
        (0.5, "t0"),
        (0.7, "a0"),
        (1.0, "t1"),
        (1.4, "a1"),
        (1.5, "t2"),
    ]


async def test_it_goes_on_when_the_input_has_ended() -> None:
    """By default both have to end: with no input there is what the source makes."""
    assert await timeline(ticks(0.5, 2)(None)) == [(0.5, "t0"), (1.0, "t1")]
    assert await texts(ticks(0.5, 0)(["a", "b"])) == ["a", "b"]
    assert await texts(ticks(0.5, 0)(None)) == []


@pytest.mark.virtual(seeds=200)
async def test_it_ends_with_the_input_if_asked() -> None:
    """With `ends="first"` the end of the input is the end, and the generator is closed then."""
    log: list[str] = []
    seen = await timeline((ticks_that_tell(log, "first") + copy)(every(0.5, "a", 2)))
    assert seen == [(0.4, "t0"), (0.5, "a0"), (0.8, "t1"), (1.0, "a1")]
    assert log == ["begun", "closed at 1.0"]


@pytest.mark.virtual(seeds=50)
async def test_it_ends_with_the_source_if_asked() -> None:
    """With `ends="first"` the end of the generator is the end, though the input goes on."""

    @source(ends="first")
    async def once() -> AsyncIterator[str]:
        await asyncio.sleep(1.2)
        yield "now"

    assert await texts(once()(every(0.5, "a", 1000))) == ["a0", "a1", "now"]


@pytest.mark.virtual(seeds=20)
async def test_it_is_closed_when_its_stage_ends_and_not_when_the_run_does() -> None:
    """Though a later stage goes on for long, the microphone is off as soon as it has ended."""
    log: list[str] = []

    @processor
    async def lingers(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        await asyncio.sleep(100.0)
        yield Part("end")

    assert await texts((ticks_that_tell(log, "first") + lingers)(every(1.0, "a", 1))) == ["end"]
    assert log == ["begun", "closed at 1.0"]


async def test_whatever_can_be_a_part_may_be_yielded() -> None:
    """Text, data and parts; anything else is an error that names the stage."""

    @source
    async def makes(*values: Any) -> AsyncIterator[Any]:
        for value in values:
            yield value

    seen = [part.body async for part in makes("a", {"b": 1}, Part("c"))(None)]
    assert seen == ["a", Data({"b": 1}), "c"]
    error, _ = await outcome((copy + makes(object()))(None))
    assert isinstance(error, PartError)
    assert error.__notes__ == ["in agent[1].makes"]


@pytest.mark.virtual(seeds=200)
async def test_first_come_first_served() -> None:
    """Parts come out in the very order in which they are made: neither starves the other."""
    made: list[str] = []

    async def endless(name: str) -> AsyncIterator[str]:
        for number in range(1000):
            made.append(f"{name}{number}")
            yield made[-1]

    seen: list[str] = []
    async with (source(endless)("s") + copy).run(endless("i")) as parts:
        for _ in range(40):
            seen.append((await anext(parts)).text)
            assert seen == made[: len(seen)]
    assert 10 <= sum(text[0] == "s" for text in seen) <= 30


@pytest.mark.virtual(seeds=50)
async def test_neither_runs_ahead() -> None:
    """Each has one part in line when a stage behind takes nothing; nothing begins unasked."""
    pulled: Counter[str] = Counter()

    @source
    async def busy() -> AsyncIterator[str]:
        while True:
            pulled["source"] += 1
            yield "s"

    async def endless() -> AsyncIterator[str]:
        while True:
            pulled["input"] += 1
            yield "i"

    @processor
    async def takes_three(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        await asyncio.sleep(1.0)
        assert not pulled
        for taken in range(1, 4):
            await anext(stream)
            await asyncio.sleep(1.0)
            assert pulled.total() == taken + 2
        yield Part("end")

    assert await texts((busy() + takes_three)(endless())) == ["end"]


async def test_signals_keep_their_place() -> None:
    """What comes in goes through as it is, signals too."""
    came = [Part("a", turn=1), Part(TurnComplete(1), turn=1), Part("b", turn=2)]
    seen = [part async for part in ticks(1.0, 1)(came)]
    assert [part for part in seen if part in came] == came


# -- what it is


async def test_it_is_a_processor_with_the_name_of_its_function() -> None:
    """It keeps name and docstring, adds up with others, and may stand anywhere in a chain."""
    assert ticks.__doc__ == "Something to hear at a steady pace."
    assert ticks(1.0).name == "ticks"
    agent = copy + ticks(0.5, 1, name="x") + ticks(1.0, 1, name="y")
    assert await texts(agent("a")) == ["a", "x0", "y0"]


@pytest.mark.virtual(seeds=20)
async def test_each_run_begins_anew() -> None:
    """One object serves many runs, one after the other and at once."""
    agent = ticks(0.5, 3) + copy
    for _ in range(2):
        assert await texts(agent(None)) == ["t0", "t1", "t2"]
    seen = await asyncio.gather(*(texts(agent(None)) for _ in range(100)))
    assert seen == [["t0", "t1", "t2"]] * 100


async def test_it_may_be_a_branch() -> None:
    """Within a switch, it adds to what its branch gets."""
    agent = switch((lambda part: part.text == "a", ticks(1.0, 2)), default=copy)
    assert sorted(await texts(agent(["a", "b"]))) == ["a", "b", "t0", "t1"]


def test_what_is_no_source_is_refused() -> None:
    """A coroutine, a plain function, or nothing callable; another way to end."""

    async def coroutine() -> None: ...

    wrong: Any
    for wrong in (coroutine, len, "text"):
        with pytest.raises(StageError, match="is no async generator function; a source takes no"):
            source(wrong)
    with pytest.raises(StageError, match="ends='never' is no way to end; use 'all' or 'first'"):
        source(ends="never")  # type: ignore[call-overload]


def test_wrong_arguments_are_told_when_it_is_made() -> None:
    """As for any function, and not later in the run."""
    with pytest.raises(TypeError, match="missing a required argument: 'seconds'"):
        ticks()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'loud'"):
        ticks(1.0, loud=True)  # type: ignore[call-arg]


# -- how it ends


@pytest.mark.parametrize("read", [0, 1, 3])
@pytest.mark.virtual(seeds=20)
async def test_the_generator_is_closed_when_the_caller_leaves(read: int) -> None:
    """Whatever was read, what was begun is closed; without a reader nothing is begun."""
    log: list[str] = []
    async with (ticks_that_tell(log) + copy).run(None) as parts:
        for _ in range(read):
            await anext(parts)
    assert log == (["begun", f"closed at {now()}"] if read else [])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stage_that_reads_nothing_begins_nothing() -> None:
    """Before a deaf stage the generator does not begin."""
    log: list[str] = []

    @processor
    async def deaf(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("hello")

    assert await texts((ticks_that_tell(log) + deaf)(None)) == ["hello"]
    assert log == []


@pytest.mark.virtual(seeds=200)
async def test_an_error_of_the_generator_carries_the_path_of_its_stage() -> None:
    """What came before it comes first; the input is closed."""
    log: list[str] = []

    @source
    async def fails() -> AsyncIterator[str]:
        yield "s"
        await asyncio.sleep(1.0)
        raise ValueError("broken")

    async def endless() -> AsyncIterator[Part]:
        try:
            async for part in every(0.4, "a", 1000):
                yield part
        finally:
            log.append(f"closed at {now()}")

    error, seen = await outcome((copy + fails() + copy)(endless()))
    assert (str(error), seen) == ("broken", ["s", "a0", "a1"])
    assert error.__notes__ == ["in agent[1].fails"]
    assert log == ["closed at 1.0"]


@pytest.mark.virtual(seeds=50)
async def test_what_fails_meanwhile_does_not_overtake_the_first_error() -> None:
    """While a later stage tidies up, the input fails to close: the first error is still first."""

    async def untidy() -> AsyncIterator[Part]:
        try:
            await asyncio.sleep(100.0)
            yield Part("never")
        finally:
            fail(OSError("would not close"))

    @source
    async def fails() -> AsyncIterator[Part]:
        await asyncio.sleep(1.0)
        fail(ValueError("broken"))
        yield Part("never")

    @processor
    async def tidies(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            await asyncio.sleep(1.0)

    error, _ = await outcome((fails() + tidies)(untidy()))
    assert (type(error), now()) == (ValueError, 2.0)
    assert error.__notes__ == [
        "in agent[0].fails",
        "also failed: OSError: would not close (in source)",
    ]


@pytest.mark.virtual(seeds=50)
async def test_an_error_of_the_input_ends_the_generator() -> None:
    """The error is told as the input's own."""
    log: list[str] = []

    async def fails() -> AsyncIterator[Part]:
        await asyncio.sleep(1.0)
        fail(OSError("unplugged"))
        yield Part("never")

    error, seen = await outcome((ticks_that_tell(log) + copy)(fails()))
    assert (str(error), seen) == ("unplugged", ["t0", "t1"])
    assert error.__notes__ == ["in source"]
    assert log == ["begun", "closed at 1.0"]


@pytest.mark.virtual(seeds=20)
async def test_an_input_that_cancels_itself_is_an_error() -> None:
    """A cancellation that nobody asked for is told, and where it was."""

    @processor
    async def cancels(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        raise asyncio.CancelledError

    error, seen = await outcome((cancels + ticks(100.0))(None))
    assert isinstance(error, FlowError)
    assert str(error) == "the input of agent[1].ticks was cancelled from inside"
    assert seen == ["a"]


# -- runs and side lanes


async def test_it_belongs_to_its_run() -> None:
    """The generator may ask for the run that it is part of."""
    runs: list[Run] = []

    @source
    async def asks() -> AsyncIterator[str]:
        runs.append(current_run())
        yield "s"

    @processor
    async def asks_too(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            runs.append(current_run())
            yield part

    await texts((asks() + asks_too)(None))
    assert len(runs) == 2
    assert runs[0] is runs[1]


@pytest.mark.virtual(seeds=200)
async def test_an_aside_comes_at_once() -> None:
    """While the input and the stages behind wait, what the source says aside is with the caller."""

    @source
    async def talks() -> AsyncIterator[Part]:
        await asyncio.sleep(1.0)
        yield Part("aside", substream="status")
        await asyncio.sleep(1.0)
        yield Part("done")

    @processor
    async def collects(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for part in [part async for part in stream]:
            yield part

    seen = await timeline((talks() + collects)(every(5.0, "a", 1)))
    assert seen == [(1.0, "aside"), (5.0, "done"), (5.0, "a0")]


@pytest.mark.virtual(seeds=20)
async def test_an_interruption_overtakes_what_stands_in_line() -> None:
    """A void part of the source that a slow stage has not taken is left out."""
    taken: list[str] = []
    runs: list[Run] = []

    @source
    async def speaks() -> AsyncIterator[Part]:
        runs.append(current_run())
        for n in range(3):
            yield Part(f"old{n}", role="model", turn=1)
        yield Part("new", role="model", turn=2)

    @processor
    async def interrupts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            taken.append(part.text)
            if part.text == "old0":
                await asyncio.sleep(1.0)
                runs[0].bus.announce(Interrupted(1))
        yield Part("end")

    await texts((speaks() + interrupts)(None))
    assert taken == ["old0", "new"]
