import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from vivace.errors import FlowError, StageError
from vivace.flow.clock import now
from vivace.flow.drive import drive
from vivace.flow.part_processor import PartProcessor, part_processor
from vivace.flow.processor import Processor, chain, processor
from vivace.flow.run import Run, current_run
from vivace.flow.switch import pass_through, switch
from vivace.machines.machine import Item, Machine, Output
from vivace.part import Interrupted, Part, Played, Reset, Signal, SpeechStarted, TurnComplete

pytestmark = pytest.mark.virtual


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may make asyncio complain: no "Task was destroyed", no exception never retrieved."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.records]
    complaints = [it.getMessage() for it in records if it.levelno >= logging.WARNING]
    assert complaints == []


# -- predicates, and processors of all kinds


def starts(letter: str) -> Callable[[Part], bool]:
    return lambda part: part.text.startswith(letter)


def anything(part: Part) -> bool:
    return True


def is_signal(part: Part) -> bool:
    return isinstance(part.body, Signal)


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


def slow(seconds: float) -> Processor:
    """A stream processor that takes its time."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await asyncio.sleep(seconds)
            yield part

    return stage


def slow_function(seconds: float) -> PartProcessor:
    """A part function that takes its time."""

    @part_processor
    async def function(part: Part) -> Part:
        await asyncio.sleep(seconds)
        return part

    return function


def mark(sign: str) -> PartProcessor:
    """A part function that marks what it has seen."""

    @part_processor
    def marks(part: Part) -> Part:
        return part.derive(body=part.text + sign)

    return marks


class Repeat(Machine):
    """A machine: yields each part as it comes, and says at the end how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self.over = False

    def feed(self, item: Item, now: float) -> list[Output]:
        self.count += 1
        return [item] if isinstance(item, Part) else []

    def finish(self, now: float) -> list[Output]:
        self.over = True
        return [Part(f"{self.count} parts")]

    def done(self) -> bool:
        return self.over


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Repeat(), capacity=2)


@processor
async def first_two(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    yield await anext(stream)
    yield await anext(stream)


async def every(seconds: float, *texts: str) -> AsyncIterator[Part]:
    for text in texts:
        await asyncio.sleep(seconds)
        yield Part(text)


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


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


# -- who gets what


@pytest.mark.virtual(seeds=50)
async def test_each_part_goes_to_the_first_branch_that_takes_it() -> None:
    """The first match wins, whatever comes after it; the default gets the rest."""
    agent = switch((starts("a"), mark("1")), (anything, mark("2")), (starts("a"), mark("3")))
    assert await texts(agent(["a", "b", "ab"])) == ["a1", "b2", "ab1"]
    agent = switch((starts("a"), mark("1")), default=mark("?"))
    assert await texts(agent(["a", "b", "ab"])) == ["a1", "b?", "ab1"]


async def test_what_a_predicate_returns_is_taken_as_true_or_false() -> None:
    """A match object, or a text, will do."""
    agent = switch((lambda part: part.text, mark("1")), default=pass_through)
    seen = [part async for part in agent(["a", Part.audio(b"12")])]
    assert [part.text or part.seconds for part in seen] == ["a1", 1 / 16_000]


async def test_parts_pass_through() -> None:
    """`pass_through` yields what it gets, signals too, as a stage of its own or a branch."""
    source = [Part("a"), Part(SpeechStarted(0.0)), Part.audio(b"12"), Part("b", substream="x")]
    assert [part async for part in pass_through(source)] == source
    assert [part async for part in switch((anything, pass_through))(source)] == source
    assert pass_through.name == "pass_through"


@pytest.mark.parametrize("stage", [mark("!"), copy], ids=["functions", "generators"])
@pytest.mark.virtual(seeds=50)
async def test_a_part_that_nobody_takes_is_an_error_that_shows_it(stage: Processor) -> None:
    """It names the part and what to do, and comes after what was made of those before it."""
    error, seen = await outcome((copy + switch((starts("a"), stage)))(["a0", "a1", "b", "a2"]))
    assert isinstance(error, StageError)
    assert str(error).startswith("no branch of the switch takes Part(body='b', role='user'")
    assert str(error).endswith(
        "; add a (predicate, processor) pair for it, or default=pass_through"
    )
    assert notes(error) == ["in agent[1].switch"]
    assert [text[:2] for text in seen] == ["a0", "a1"]


async def test_a_long_part_is_shown_in_short() -> None:
    """A second of audio does not make a message of 100,000 characters."""
    error, _ = await outcome(switch((starts("a"), copy))([Part.audio(bytes(32_000))]))
    assert "takes Part(body=Audio(pcm=b'\\x00" in str(error)
    assert "…; add a" in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("default", [None, mark("?")])
@pytest.mark.virtual(seeds=50)
async def test_signals_that_nobody_takes_pass_by(default: Processor | None) -> None:
    """They come out as they are, also if there is a default."""
    signals = [Part(SpeechStarted(0.0)), Part(TurnComplete(1), role="model", turn=1)]
    source = [Part("a"), signals[0], Part("ab"), signals[1], Part("abc")]
    agent = switch((starts("a"), mark("!")), default=default)
    seen = [part async for part in agent(source) if not isinstance(part.body, Played)]
    assert [part.text or part for part in seen] == ["a!", signals[0], "ab!", signals[1], "abc!"]


async def test_a_default_does_not_get_signals() -> None:
    """A default that keeps all it gets to itself keeps no signal from passing by."""

    @processor
    async def keeps(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            assert part.text == "b"
        yield Part("end")

    started = Part(SpeechStarted(0.0))
    seen = [part async for part in switch((starts("a"), copy), default=keeps)(["b", started, "b"])]
    assert seen == [started, Part("end")]


async def test_a_branch_may_ask_for_signals() -> None:
    """A signal goes to the first branch that takes it, and passes by no more."""
    got: list[Any] = []

    @processor
    async def keeps(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            got.append(part.body)
        yield Part("end")

    agent = switch((is_signal, keeps), default=pass_through)
    assert sorted(await texts(agent(["a", Part(SpeechStarted(0.0))]))) == ["a", "end"]
    assert got == [SpeechStarted(0.0)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((), "a switch of no branches; give"),
        ((copy,), "is no branch; give a pair"),
        (((anything, copy, copy),), "is no branch; give a pair"),
        (((anything, "copy"),), "is no branch; give a pair"),
        ((("audio", copy),), "is no branch; give a pair"),
    ],
)
def test_what_is_no_branch_is_refused(wrong: Any, message: str) -> None:
    """No branches, no pairs, no processor, no predicate: each refusal says what to give."""
    with pytest.raises(StageError, match=message):
        switch(*wrong)


def test_wrong_options_are_refused() -> None:
    """An async predicate, a default that is no processor, a bound that lets nothing in."""

    async def answers_later(part: Part) -> bool:
        return True

    with pytest.raises(StageError, match="is async, and a predicate answers at once"):
        switch((answers_later, copy))
    with pytest.raises(StageError, match="default='x' is no processor"):
        switch((anything, copy), default="x")  # type: ignore[type-var]
    with pytest.raises(FlowError, match="a channel for 0 items can pass nothing"):
        switch((anything, copy), capacity=0)


# -- in which order


@pytest.mark.virtual(seeds=200)
async def test_part_functions_keep_the_order_of_the_input() -> None:
    """However slow some are and however many parts they make, the order is that of the input."""

    @part_processor
    async def twice(part: Part) -> AsyncIterator[str]:
        await asyncio.sleep(0.3)
        yield f"{part.text}1"
        await asyncio.sleep(0.3)
        yield f"{part.text}2"

    @part_processor
    def never(part: Part) -> None: ...

    agent = switch(
        (starts("a"), twice),
        (starts("b"), mark("!") + slow_function(0.1)),
        (starts("n"), never),
        default=pass_through,
    )
    source = ["a", "b", "c", "n", "c", "b", "n", "n", "n", Part(TurnComplete(1), turn=1), "a", "c"]
    seen = [part.text or "-" async for part in agent(source) if not isinstance(part.body, Played)]
    assert seen == ["a1", "a2", "b!", "c", "c", "b!", "-", "a1", "a2", "c"]


@pytest.mark.virtual(seeds=50)
async def test_part_functions_work_on_several_parts_at_once() -> None:
    """Though they keep the order: as many as the least `concurrency` among them says."""

    @part_processor(concurrency=3)
    async def three_at_once(part: Part) -> Part:
        await asyncio.sleep(1.0)
        return part

    source = ["a0", "b0", "b1", "a1"]
    agent = switch((starts("a"), slow_function(1.0)), (starts("b"), slow_function(1.0)))
    assert await timeline(agent(source)) == [(1.0, text) for text in source]
    agent = switch((starts("a"), slow_function(1.0)), default=three_at_once)
    assert await timeline(agent(source)) == [(2.0, "a0"), (2.0, "b0"), (2.0, "b1"), (3.0, "a1")]


async def test_a_switch_of_part_processors_is_one() -> None:
    """It adds up and stands beside others as part processors do; a chain of such is a branch."""
    inner: PartProcessor = switch((starts("a"), mark("1")), default=pass_through)
    agent: PartProcessor = inner // mark("!") + mark(".")
    assert await texts(agent(["a", "b"])) == ["a1.", "a!.", "b.", "b!."]
    outer = switch((starts("a"), chain([inner, mark("2")])), default=mark("?"))
    assert isinstance(outer, PartProcessor)
    assert await texts(outer(["a", "b"])) == ["a12", "b?"]
    assert not isinstance(switch((starts("a"), inner), default=copy), PartProcessor)
    assert not isinstance(switch((starts("a"), chain([inner, copy]))), PartProcessor)


async def test_a_branch_may_want_only_some_of_its_parts() -> None:
    """What a part processor lets pass by itself passes by as its branch, too."""

    @part_processor(match=starts("ab"))
    def picky(part: Part) -> str:
        return part.text + "!"

    assert await texts(switch((starts("a"), picky), default=mark("?"))(["a", "ab", "b"])) == [
        "a",
        "ab!",
        "b?",
    ]


async def test_an_aside_between_part_processors_is_nobodys_part() -> None:
    """What is said aside in front of a switch, in the same chain of functions, passes by it."""

    @part_processor
    def talks(part: Part) -> list[Part]:
        return [Part("aside", substream="status"), part]

    agent = talks // mark("") + switch((starts("a "), mark("?")), (starts("x"), mark("!")))
    assert sorted(await texts(agent("x"))) == ["aside", "x!", "x!"]


@pytest.mark.virtual(seeds=200)
async def test_other_branches_do_not_wait_for_each_other() -> None:
    """Once a branch is a stream processor, parts come out as they are made; each in its order."""
    agent = switch((starts("a"), slow(1.0)), default=pass_through)
    seen = await timeline(agent(["a0", "b0", "a1", "b1", "b2"]))
    assert [it for it in seen if it[1][0] == "a"] == [(1.0, "a0"), (2.0, "a1")]
    assert [it for it in seen if it[1][0] == "b"] == [(0.0, "b0"), (0.0, "b1"), (0.0, "b2")]


@pytest.mark.virtual(seeds=200)
async def test_a_signal_that_passes_by_waits_for_nobody() -> None:
    """It is out while a stream processor still works on what came before it."""
    source = [Part("a"), Part(SpeechStarted(0.0)), Part("b")]
    agent = switch((starts("a"), slow(1.0)), default=pass_through)
    seen = [(now(), part) async for part in agent(source)]
    assert sorted(at for at, _ in seen) == [0.0, 0.0, 1.0]
    assert seen[-1] == (1.0, source[0])


@pytest.mark.virtual(seeds=50)
async def test_a_signal_keeps_its_place_among_part_functions() -> None:
    """It waits for the slow function before it, and what comes after it waits, too."""
    source = [Part("a"), Part(SpeechStarted(0.0)), Part("b")]
    agent = switch((starts("a"), slow_function(1.0)), default=pass_through)
    assert [(now(), part) async for part in agent(source)] == [(1.0, part) for part in source]


# -- branches of all kinds


@pytest.mark.virtual(seeds=50)
async def test_branches_have_state_of_their_own_run() -> None:
    """A machine, a generator, a chain: each sees its own parts, anew in each run."""
    agent = switch((starts("a"), Driven()), (starts("b"), copy + Driven()), default=copy)
    for _ in range(2):
        seen = await texts(agent(["a0", "b0", "c0", "a1", "b1", "a2"]))
        assert [it for it in seen if it[0] in "a3"] == ["a0", "a1", "a2", "3 parts"]
        assert [it for it in seen if it[0] in "b2"] == ["b0", "b1", "2 parts"]
        assert "c0" in seen


@pytest.mark.virtual(seeds=20)
async def test_a_switch_may_be_a_branch() -> None:
    """Switches nest, in chains too."""
    inner = switch((starts("ab"), mark("2")), default=mark("1"))
    agent = switch((starts("a"), inner + mark(".")), default=pass_through)
    assert sorted(await texts(agent(["a", "ab", "b"]))) == ["a1.", "ab2.", "b"]


async def test_one_switch_serves_many_runs_at_once() -> None:
    """A hundred runs of one switch do not disturb each other."""
    agent = switch((starts("a"), Driven()), default=slow(1.0))

    async def one(number: int) -> list[str]:
        return await texts(agent([f"a{number}", f"b{number}"]))

    seen = await asyncio.gather(*map(one, range(100)))
    assert seen == [[f"a{n}", "1 parts", f"b{n}"] for n in range(100)]


async def test_no_input_is_no_output() -> None:
    """Without input a switch ends; a branch with something to say at the end says it."""
    assert await texts(switch((anything, copy))(None)) == []
    assert await texts(switch((anything, pass_through))(None)) == []
    assert await texts(switch((anything, Driven()))(None)) == ["0 parts"]


# -- bounds


async def counting(log: list[str], *texts: str) -> AsyncGenerator[Part, None]:
    try:
        for text in texts:
            log.append(text)
            yield Part(text)
    finally:
        log.append("closed")


@pytest.mark.parametrize("capacity", [1, 3, 16])
@pytest.mark.virtual(seeds=20)
async def test_a_slow_branch_holds_the_others_back_as_far_as_its_bound(capacity: int) -> None:
    """One part in work, `capacity` in the inbox, one before it: then nothing more is read."""
    log: list[str] = []
    source = counting(log, *["b"] * 2, *["a"] * (capacity + 2), "b", "b")
    seen: list[str] = []
    agent = switch((starts("a"), slow(1000.0)), default=copy, capacity=capacity)
    async with agent.run(source) as parts:
        for _ in range(2):
            seen.append((await anext(parts)).text)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await anext(parts)
    assert seen == ["b", "b"]
    assert log == ["b"] * 2 + ["a"] * (capacity + 2) + ["closed"]


@pytest.mark.virtual(seeds=20)
async def test_the_others_work_on_what_they_have() -> None:
    """Up to the bound of the slow one, all that comes for the others comes out at once."""
    agent = switch((starts("a"), slow(100.0)), default=copy, capacity=2)
    seen = await timeline(agent(["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"]))
    assert [it for it in seen if it[1][0] == "b"] == [
        (0.0, "b0"),
        (0.0, "b1"),
        (0.0, "b2"),
        (100.0, "b3"),
    ]


@pytest.mark.virtual(seeds=20)
async def test_an_inbox_is_bounded_in_seconds_too() -> None:
    """Two seconds of audio wait for a branch and no more, however few parts that are."""
    count = 0

    async def audio() -> AsyncIterator[Part]:
        nonlocal count
        while True:
            count += 1
            yield Part.audio(bytes(16_000))

    async with switch((anything, slow(1000.0))).run(audio()) as parts:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await anext(parts)
    assert count == 1 + 4 + 1


async def test_part_functions_read_no_more_than_they_work_on() -> None:
    """A function that drops all its parts is held back while a part before them is worked on."""
    log: list[str] = []

    @part_processor
    def never(part: Part) -> None: ...

    agent = switch((starts("a"), slow_function(1000.0)), default=never)
    async with agent.run(counting(log, "a", *["b"] * 100)) as parts:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await anext(parts)
    assert log == ["a", *["b"] * 7, "closed"]


async def test_a_consumer_that_takes_nothing_makes_little_be_read() -> None:
    """A slow consumer holds back all branches: inbox, hand and line are full, and that is it."""
    log: list[str] = []
    agent = switch((anything, copy), capacity=3)
    async with agent.run(counting(log, *["a"] * 100)) as parts:
        await anext(parts)
        await asyncio.sleep(10.0)
        first = len(log)
        assert first <= 10
        await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) == first + 1


# -- the end


@pytest.mark.virtual(seeds=50)
async def test_a_branch_that_has_ended_takes_no_more() -> None:
    """What would go to it is left unread, and holds nobody back; the others go on."""
    source = [f"{name}{n}" for n in range(40) for name in "ab"]
    seen = await texts(switch((starts("a"), first_two), default=copy, capacity=2)(source))
    assert [it for it in seen if it[0] == "a"] == ["a0", "a1"]
    assert [it for it in seen if it[0] == "b"] == [f"b{n}" for n in range(40)]


@pytest.mark.virtual(seeds=50)
async def test_a_branch_may_end_while_its_inbox_is_full() -> None:
    """The switch that waits for room in it reads on."""

    @processor
    async def gives_up(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield await anext(stream)
        await asyncio.sleep(1.0)

    agent = switch((starts("a"), gives_up), default=copy, capacity=2)
    seen = await timeline(agent([*["a"] * 10, "b"]))
    assert seen == [(0.0, "a"), (1.0, "b")]


@pytest.mark.virtual(seeds=20)
async def test_an_endless_input_for_a_branch_that_has_ended_lets_others_run() -> None:
    """Though the input never waits, the loop goes round."""
    pulled: list[int] = []
    rounds: list[int] = []

    async def endless() -> AsyncIterator[Part]:
        while len(rounds) < 100:
            pulled.append(len(rounds))
            assert len(pulled) < 10_000
            yield Part("a")

    async def others() -> None:
        for n in range(100):
            rounds.append(n)
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    agent = switch((starts("a"), first_two), default=copy)
    assert await texts(agent(endless())) == ["a", "a"]
    await running


@pytest.mark.virtual(seeds=50)
async def test_it_ends_when_all_branches_have() -> None:
    """As a chain ends with a stage that does, and the source is closed."""
    log: list[str] = []
    source = counting(log, *["a", "b"] * 100)
    agent = switch((starts("a"), first_two), (starts("b"), first_two), capacity=2)
    assert sorted(await texts((agent + copy)(source))) == ["a", "a", "b", "b"]
    assert log[-1] == "closed"
    assert len(log) < 15


@pytest.mark.virtual(seeds=20)
async def test_when_all_branches_have_ended_nothing_more_is_read() -> None:
    """Though the consumer has not come for the end yet, and though the input waits for long."""
    log: list[str] = []
    agent = switch((starts("a"), first_two), (starts("b"), first_two), capacity=2)
    async with agent.run(counting(log, *["a", "b"] * 100)) as parts:
        for _ in range(4):
            await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) < 15
        assert [part async for part in parts] == []

    async def waits() -> AsyncIterator[Part]:
        for text in "abab":
            yield Part(text)
        await asyncio.sleep(1000.0)

    at = now()
    assert sorted(await texts(agent(waits()))) == ["a", "a", "b", "b"]
    assert now() == at


# -- errors


@processor
async def broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        if "bad" in part.text:
            raise ValueError("broken")
        yield part


@part_processor
def broken_function(part: Part) -> Part:
    if "bad" in part.text:
        raise ValueError("broken")
    return part


@pytest.mark.virtual(seeds=200)
async def test_an_error_of_a_branch_ends_all() -> None:
    """As itself, with the path of its stage, while the others still work."""
    agent = copy + switch((starts("a"), slow(10.0)), (anything, copy + broken))
    error, seen = await outcome(agent(every(1.0, "a", "b", "bad", "c")))
    assert (type(error), str(error), seen, now()) == (ValueError, "broken", ["b"], 3.0)
    assert notes(error) == ["in agent[1].switch[1].agent[1].broken"]


@pytest.mark.virtual(seeds=200)
async def test_an_error_of_a_part_function_comes_in_its_place() -> None:
    """What came before the part that broke it comes out before the error."""
    agent = switch((starts("a"), slow_function(1.0)), default=broken_function)
    error, seen = await outcome(agent(["b", "a", "b", "bad", "c", "a"]))
    assert (str(error), seen, now()) == ("broken", ["b", "a", "b"], 1.0)
    assert notes(error) == ["in switch"]


@pytest.mark.virtual(seeds=200)
async def test_errors_of_two_branches_are_both_told() -> None:
    """The first is raised and the other one noted on it."""

    def fails(text: str) -> Processor:
        @processor
        async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            async for _ in stream:
                await asyncio.sleep(1.0)
                raise ValueError(text)
            yield Part("never")

        return stage

    error, _ = await outcome(switch((starts("a"), fails("one")), default=fails("two"))(["a", "b"]))
    told = " ".join([str(error), *notes(error)])
    assert "one" in told
    assert "two" in told


KINDS = {"stream": slow(1.0), "function": slow_function(1.0), "machine": Driven() + slow(1.0)}


@pytest.mark.parametrize("stage", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("other", [copy, pass_through], ids=["stream", "function"])
@pytest.mark.virtual(seeds=50)
async def test_an_error_of_the_input_comes_after_what_was_before_it(
    stage: Processor, other: Processor
) -> None:
    """The branches have worked on all that came before it, whatever they read ahead."""

    async def source() -> AsyncIterator[Part]:
        yield Part("a0")
        yield Part("a1")
        raise OSError("unplugged")

    error, seen = await outcome(switch((starts("a"), stage), default=other)(source()))
    assert (type(error), seen) == (OSError, ["a0", "a1"])
    assert now() == (1.0 if stage is KINDS["function"] else 2.0)
    assert notes(error) == ["in source"]


@pytest.mark.virtual(seeds=50)
async def test_a_branch_may_deal_with_an_error_of_the_input() -> None:
    """It meets the error where it reads, as in a chain; the error is raised all the same."""

    async def source() -> AsyncIterator[Part]:
        yield Part("a")
        raise OSError("unplugged")

    @processor
    async def comforts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        except OSError as error:
            yield Part(f"never mind that it is {error}")

    error, seen = await outcome(switch((starts("a"), comforts), default=slow(1.0))(source()))
    assert (str(error), seen) == ("unplugged", ["a", "never mind that it is unplugged"])


@pytest.mark.virtual(seeds=50)
async def test_a_later_stage_may_deal_with_an_error_of_the_input() -> None:
    """It meets the error as it would without a switch in between, after all else."""

    async def source() -> AsyncIterator[Part]:
        yield Part("a")
        raise OSError("unplugged")

    @processor
    async def comforts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        except OSError as error:
            yield Part(f"never mind that it is {error}")

    agent = switch((starts("a"), slow(1.0)), default=copy) + comforts
    assert await texts(agent(source())) == ["a", "never mind that it is unplugged"]


@pytest.mark.virtual(seeds=50)
async def test_an_error_of_a_branch_while_it_has_one_of_the_input_to_meet() -> None:
    """The first to come out is raised, and the other one attached to it."""

    async def source() -> AsyncIterator[Part]:
        yield Part("a")
        yield Part("b")
        raise OSError("unplugged")

    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            await asyncio.sleep(1.0)
            raise ValueError("broken")
        yield Part("never")

    error, _ = await outcome(switch((starts("a"), fails), default=slow(10.0))(source()))
    assert (type(error), now()) == (ValueError, 1.0)
    assert notes(error) == ["in switch[0].fails", "also failed: OSError: unplugged (in source)"]


@pytest.mark.virtual(seeds=20)
async def test_an_error_of_the_input_does_not_wait_for_a_branch_that_has_ended() -> None:
    """Parts that nobody will read any more hold no error back."""
    agent = switch((starts("a"), first_two), (starts("b"), copy), capacity=4)
    error, seen = await outcome(agent(["a0", "a1", "a2", "a3", "b", "c"]))
    assert isinstance(error, StageError)
    assert sorted(seen) == ["a0", "a1", "b"]


async def test_an_error_of_a_predicate_is_told() -> None:
    """A predicate that raises ends the run with its error."""
    agent = copy + switch((lambda part: part.metadata["kind"], copy))
    error, _ = await outcome(agent("a"))
    assert isinstance(error, KeyError)
    assert notes(error) == ["in agent[1].switch"]


async def test_an_error_while_a_branch_is_opened_carries_its_path() -> None:
    """A branch whose `call` raises before there is any stream is named like all others."""

    class NeedsModel(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            raise OSError("no weights")

    error, _ = await outcome((copy + switch((anything, NeedsModel())))("a"))
    assert notes(error) == ["in agent[1].switch[0].needs_model"]


# -- side lanes, and what is void


@pytest.mark.virtual(seeds=200)
async def test_an_aside_of_a_branch_comes_at_once() -> None:
    """While another branch and the stages after it wait, an aside is with the caller."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield Part(f"on {part.text}", substream="status")
            await asyncio.sleep(1.0)
            yield Part("half", substream="debug")
            await asyncio.sleep(1.0)
            yield part

    @processor
    async def collects(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for part in [part async for part in stream]:
            yield part

    agent = switch((starts("a"), slow(5.0)), default=talks) + collects
    seen = await timeline(agent(["a", "b"]))
    assert seen[:2] == [(0.0, "on b"), (1.0, "half")]
    assert sorted(seen[2:]) == [(5.0, "a"), (5.0, "b")]


@pytest.mark.parametrize("signal", [Interrupted(1), Reset(1)])
@pytest.mark.virtual(seeds=50)
async def test_what_is_void_is_not_worked_on(signal: Any) -> None:
    """Parts of a void reply that waited for a branch are not given to it; the others are."""
    worked: list[str] = []

    @processor
    async def works(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run = current_run()
        async for part in stream:
            worked.append(part.text or type(part.body).__name__)
            if part.text == "old0":
                await asyncio.sleep(1.0)
                run.bus.announce(signal)
            yield part

    source = [
        *(Part(f"old{n}", role="model", turn=1) for n in range(8)),
        Part.call("order", id="1", turn=1),
        Part("new", role="model", turn=2),
    ]
    agent = switch((anything, works), capacity=3)
    seen = [part.text async for part in agent(source) if part.text]
    assert worked == ["old0", "Call", "new"]
    assert seen == ["new"]


@pytest.mark.virtual(seeds=20)
async def test_an_interruption_frees_who_waits_for_a_full_inbox() -> None:
    """With void parts in the inbox of a stuck branch, the others are not held back any more."""
    runs: list[Run] = []

    @processor
    async def stuck(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        async for _ in stream:
            await asyncio.sleep(100.0)
        yield Part("never", role="model", turn=1)

    async def interrupt() -> None:
        await asyncio.sleep(1.0)
        runs[0].bus.announce(Interrupted(1))

    old = [Part("old", role="model", turn=1)] * 8
    agent = switch((lambda part: part.turn, stuck), default=copy, capacity=2)
    interrupting = asyncio.create_task(interrupt())
    async with agent.run([*old, "b"]) as parts:
        seen = [(now(), part.text) async for part in parts if part.text]
    assert seen == [(1.0, "b")]
    await interrupting
