"""What counts as answered, seen through a fallback that tells what it is given."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.errors import FlowError
from vivace.flow import replay as replay_module
from vivace.flow.clock import now
from vivace.flow.drive import drive
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor, processor
from vivace.flow.replay import KEPT_BYTES, Replay, is_partwise
from vivace.flow.run import current_run
from vivace.flow.scope import AbandonedTask
from vivace.machines.machine import Item, Machine, Output
from vivace.part import Part, SpeechStarted, TurnEnded
from vivace.testing.script import timeline

pytestmark = pytest.mark.virtual

STARTED, ENDED = Part(SpeechStarted(0.5), at=0.5), Part(TurnEnded(1.0), at=1.0)


def name(part: Part) -> str:
    return part.text or type(part.body).__name__


def fail(error: Exception) -> None:
    raise error


async def told(stage: Processor, source: Any) -> tuple[list[str], list[str] | Exception]:
    """What came out of `stage`, and what its fallback was given, or the error if it was not."""
    given: list[str] | None = None

    @processor
    async def rest(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        nonlocal given
        given = []
        async for part in stream:
            given.append(name(part))
            yield Part("")

    seen: list[str] = []
    try:
        async for part in stage.fallback(rest)(source):
            if not part.substream and given is None:
                seen.append(name(part))
    except Exception as error:
        return seen, error
    assert given is not None, "the stage did not fail"
    return seen, given


def fails_at(text: str, error: Exception | None = None) -> Callable[[Part], Any]:
    def function(part: Part) -> str:
        if part.text == text:
            raise error or ValueError("broken")
        return part.text.upper()

    return function


# -- part functions


async def test_a_part_function_has_answered_all_before_the_part_that_failed() -> None:
    """The failed part and all that comes after it is given again, and nothing else."""
    assert await told(part_processor(fails_at("c")), list("abcde")) == (["A", "B"], ["c", "d", "e"])
    assert await told(part_processor(fails_at("a")), list("abc")) == ([], ["a", "b", "c"])
    assert await told(part_processor(fails_at("c")), list("abc")) == (["A", "B"], ["c"])


async def test_a_part_that_was_dropped_is_answered() -> None:
    """A function that gives nothing for a part has answered it."""

    @part_processor
    async def keeps_few(part: Part) -> Part | None:
        await asyncio.sleep(0.1)
        if part.text == "d":
            raise ValueError("broken")
        return part if part.text == "b" else None

    assert await told(keeps_few, list("abcde")) == (["b"], ["d", "e"])


async def test_a_part_whose_answer_was_begun_is_not_given_again() -> None:
    """Half an answer cannot be taken back: the next part is the first one to be given."""

    @part_processor
    def letters(part: Part) -> Iterator[str]:
        yield part.text + "1"
        if part.text == "b":
            raise ValueError("broken")
        yield part.text + "2"

    assert await told(letters, list("abc")) == (["a1", "a2", "b1"], ["c"])


async def test_signals_keep_their_place_among_what_is_given_again() -> None:
    """A signal that had passed is not given again; one that had not is, where it was."""
    source = ["a", STARTED, "b", ENDED, "c"]
    seen = (["A", "SpeechStarted"], ["b", "TurnEnded", "c"])
    assert await told(part_processor(fails_at("b")), source) == seen


async def test_a_chain_of_part_functions_is_one_of_them() -> None:
    """Whichever function of a chain fails, it is known exactly what was answered."""
    even = part_processor(lambda part: part if part.text in "bdf" else None)
    upper = part_processor(fails_at("d"))
    again = part_processor(lambda part: part)
    for agent in (
        even + upper,
        even + upper + again,
        even.fallback(again) + upper.timeout(total_s=9),
    ):
        assert is_partwise(agent)
        assert await told(agent, list("abcdef")) == (["B"], ["d", "e", "f"])


def test_which_stages_work_part_by_part() -> None:
    """Part functions, chains of nothing else, and those with a policy on them."""
    parts = part_processor(lambda part: part)

    @processor
    async def stream_stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part

    assert all(
        map(is_partwise, (parts, parts + parts, parts.fallback(parts), parts.timeout(first_s=1)))
    )
    others = (
        stream_stage,
        parts + stream_stage,
        parts.fallback(stream_stage),
        stream_stage.fallback(parts),
    )
    assert not any(map(is_partwise, others))


@given(
    counts=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    fails=st.integers(0, 7),
    after=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
async def test_nothing_is_sent_twice_and_nothing_is_lost(
    counts: list[int], fails: int, after: int
) -> None:
    """However many outputs each part has and wherever it fails: what came, then the rest, once."""
    fails = min(fails, len(counts) - 1)
    after = min(after, counts[fails])

    @part_processor
    def outputs(part: Part) -> Iterator[str]:
        n = int(part.text)
        for m in range(counts[n] + 1):
            if n == fails and m == after:
                raise ValueError("broken")
            if m < counts[n]:
                yield f"{n}.{m}"

    seen, rest = await told(outputs, [str(n) for n in range(len(counts))])
    expected = [f"{n}.{m}" for n in range(fails) for m in range(counts[n])]
    assert seen == expected + [f"{fails}.{m}" for m in range(after)]
    left = [str(n) for n in range(fails + bool(after), len(counts))]
    if left:
        assert rest == left
    else:
        assert isinstance(rest, ValueError)
        assert rest.__notes__[-1].endswith("it had answered all of its input")


# -- other stages


async def test_what_was_read_since_the_last_output_is_given_again() -> None:
    """A stage over the stream has answered all that it had read when it last put something out."""

    @processor
    async def pairs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        held = ""
        async for part in stream:
            if part.text == "f":
                raise ValueError("broken")
            held += part.text
            if len(held) == 2:
                yield Part(held)
                held = ""

    assert await told(pairs, list("abcdefgh")) == (["ab", "cd"], ["e", "f", "g", "h"])


async def test_a_turn_processor_that_fails_before_its_first_word_is_replaced() -> None:
    """A model that has read its whole prompt and said nothing: the whole prompt is given again."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompt = [part async for part in stream]
        if prompt:
            fail(ConnectionError("no answer"))
        yield Part("never")

    assert await told(model, list("abc")) == ([], ["a", "b", "c"])


async def test_a_turn_processor_that_fails_in_its_answer_is_not_replaced() -> None:
    """With half of an answer sent and nothing more to answer, the error is told as it is."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        yield Part("half")
        raise ConnectionError("broke off")

    seen, error = await told(model, list("abc"))
    assert seen == ["half"]
    assert isinstance(error, ConnectionError)
    assert error.__notes__ == [
        "in model",
        "rest did not take over from model: it had answered all of its input",
    ]


async def test_a_stage_that_fails_before_it_reads_has_answered_nothing() -> None:
    """A model that cannot even connect: everything is given to the other one, also nothing."""

    @processor
    async def deaf(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        fail(ConnectionError("no address"))
        yield Part("never")

    assert await told(deaf, list("abc")) == ([], ["a", "b", "c"])
    assert await told(deaf, []) == ([], [])


async def test_a_signal_that_passes_answers_only_itself() -> None:
    """Passing a signal on says nothing about the parts that were read before it."""

    @processor
    async def passes_signals(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "d":
                raise ValueError("broken")
            if part in (STARTED, ENDED):
                yield part
            if part.text == "b":
                yield Part("b!")

    source = ["a", STARTED, "b", "c", ENDED, "d"]
    seen = ["SpeechStarted", "b!", "TurnEnded"]
    assert await told(passes_signals, source) == (seen, ["c", "d"])


async def test_a_signal_of_its_own_is_an_answer() -> None:
    """A signal that the stage made answers what was read, like any other output."""

    @processor
    async def detects(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "c":
                raise ValueError("broken")
            if part.text == "b":
                yield Part(SpeechStarted(0.5), at=0.5)

    assert await told(detects, ["a", STARTED, "b", "c"]) == (["SpeechStarted"], ["c"])


async def test_what_is_said_aside_is_no_answer() -> None:
    """Side lanes tell of the work, and are not its result."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield Part("thinking", substream="debug")
            if part.text == "b":
                raise ValueError("broken")

    assert await told(talks, list("abc")) == ([], ["a", "b", "c"])


# -- how much is kept


def big(mebibytes: int) -> Part:
    return Part.audio(bytes(mebibytes * 2**20))


@processor
async def collects(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Answers at each "?" and fails at "!"."""
    async for part in stream:
        if part.text == "?":
            yield Part("answer")
        if part.text == "!":
            raise ValueError("broken")


async def test_as_much_is_kept_as_is_promised() -> None:
    """Just below the bound everything is given again."""
    assert KEPT_BYTES == 64 * 2**20
    source = [big(32), big(31), "!"]
    assert await told(collects, source) == ([], ["Audio", "Audio", "!"])


async def test_beyond_the_bound_the_error_says_so() -> None:
    """More than that is not kept: the error is told as it is, with a note."""
    seen, error = await told(collects, [big(32), big(32), "!", "rest"])
    assert seen == []
    assert isinstance(error, ValueError)
    assert error.__notes__[-1] == (
        "rest did not take over from collects: more than 64 MiB of its input had no answer yet, "
        "too much to be kept"
    )


async def test_after_an_answer_there_is_room_again() -> None:
    """What is answered need not be kept."""
    source = [big(40), big(40), "?", big(40), "?", big(40), "!"]
    assert await told(collects, source) == (["answer", "answer"], ["Audio", "!"])
    assert await told(collects, [big(40), big(40), "?", "!"]) == (["answer"], ["!"])


async def test_after_too_much_an_answer_is_an_answer() -> None:
    """What was too much to be kept, and was answered after all, is not waited for."""

    @processor
    async def fails_at_the_end(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "?":
                yield Part("answer")
        fail(ValueError("broken"))

    seen, error = await told(fails_at_the_end, [big(40), big(40), "?"])
    assert seen == ["answer"]
    assert isinstance(error, ValueError)
    assert error.__notes__[-1].endswith("it had answered all of its input")


async def test_signals_that_pass_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many signals pass while something waits for an answer, there is room for it."""
    monkeypatch.setattr(replay_module, "KEPT_BYTES", 50_000)

    @processor
    async def passes_signals(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "!":
                raise ValueError("broken")
            if not part.text:
                yield part

    signals = [Part(SpeechStarted(float(n)), at=float(n)) for n in range(1000)]
    assert (await told(passes_signals, ["a", *signals, "!"]))[1] == ["a", "!"]


async def test_small_parts_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part without bytes is not free: there is a bound to their number as well."""
    monkeypatch.setattr(replay_module, "KEPT_BYTES", 50_000)
    endless = [Part("x")] * 1000
    _, error = await told(collects, [*endless, "!"])
    assert isinstance(error, ValueError)
    assert await told(collects, [*endless[:90], "!"]) == ([], [*"x" * 90, "!"])


async def test_part_functions_need_no_bound() -> None:
    """They hold a part or few at a time, however large it is."""
    stage = part_processor(fails_at("b"))
    assert await told(stage, [big(65), "a", "b"]) == (["str", "A"], ["b"])


# -- reading


class Stops(Machine):
    """Passes parts on, and fails at "!"."""

    def feed(self, item: Item, now: float) -> list[Output]:
        if isinstance(item, Part) and item.text == "!":
            raise ValueError("broken")
        return [item] if isinstance(item, Part) else []


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Stops())


@pytest.mark.virtual(seeds=20)
async def test_stopping_a_stage_does_not_stop_what_it_reads() -> None:
    """A driven stage that fails while it waits for input leaves the stages before it alone."""
    log = []

    @processor
    async def before(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            log.append(name(part))
            await asyncio.sleep(0.5)
            yield part

    agent = before + Driven().fallback(part_processor(lambda part: part.text * 2))
    script = [(float(n), text) for n, text in enumerate("ab!cde")]
    seen = [part.text async for part in agent(timeline(script)) if not part.substream]
    assert log == list("ab!cde")
    assert seen[:2] == ["a", "b"]
    assert seen[-3:] == ["cc", "dd", "ee"]


@pytest.mark.virtual(seeds=20)
async def test_a_stage_that_was_replaced_gets_nothing_and_answers_nothing() -> None:
    """One that would not stop, and goes on reading and speaking, takes nothing from the other."""
    stolen, release = [], asyncio.Event()

    @processor
    async def undead(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def read_on() -> None:
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()
                    break
            stolen.extend([part.text async for part in stream])

        current_run().start(read_on(), "read on")
        await asyncio.sleep(1.0)
        fail(ValueError("broken"))
        yield Part("never")

    async def source() -> AsyncIterator[str]:
        for text in "abc":
            yield text
            await asyncio.sleep(10.0)
            release.set()

    copy = part_processor(lambda part: part)
    with pytest.warns(AbandonedTask, match="read on"):
        seen = [part.text async for part in undead.fallback(copy)(source()) if part.text]
    assert seen == ["a", "b", "c"]
    assert stolen == []


@pytest.mark.virtual(seeds=20)
async def test_a_foreign_task_that_still_waits_for_input_gets_none() -> None:
    """A task of the user's own that was waiting for input when the stage failed finds its end."""
    tasks: list[asyncio.Task[Part | None]] = []

    @processor
    async def delegates(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def read() -> Part | None:
            return await anext(stream, None)

        tasks.append(asyncio.create_task(read()))
        await asyncio.sleep(1.0)
        fail(ValueError("broken"))
        yield Part("never")

    copy = part_processor(lambda part: part)
    script = [(5.0, "a"), (6.0, "b")]
    seen = [part.text async for part in delegates.fallback(copy)(timeline(script)) if part.text]
    assert seen == ["a", "b"]
    assert await tasks[0] is None


@pytest.mark.virtual(seeds=20)
async def test_one_part_is_read_for_one_that_was_asked_for() -> None:
    """A stage that fails while it waits, and one in its place, have one part read for them."""
    pulled = []

    async def source() -> AsyncIterator[str]:
        for text in "abcdef":
            await asyncio.sleep(10.0)
            pulled.append(text)
            yield text

    @processor
    async def fails_waiting(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def lose() -> None:
            await asyncio.sleep(5.0)
            fail(ConnectionError("lost"))

        current_run().start(lose(), "lose")
        async for part in stream:
            yield part

    @processor
    async def takes_its_time(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await asyncio.sleep(100.0)
            yield part

    agent = fails_waiting.fallback(takes_its_time)
    async with agent.run(source()) as parts:
        assert (await anext(parts)).substream == "status"
        assert (await anext(parts)).text == "a"
        assert now() == 110.0
        assert pulled == ["a"]


async def test_an_error_of_the_input_is_not_the_stages() -> None:
    """What the source raises reaches the consumer as it is: no other stage could help."""

    async def breaks() -> AsyncIterator[str]:
        yield "a"
        raise OSError("unplugged")

    seen, error = await told(part_processor(fails_at("z")), breaks())
    assert seen == ["A"]
    assert isinstance(error, OSError)
    assert error.__notes__ == ["in source"]


async def test_an_input_that_breaks_after_the_stage_did_is_told_too() -> None:
    """A stage that fails when all is answered, before an input that breaks: both are told."""

    async def breaks() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(5.0)
        raise OSError("unplugged")

    @processor
    async def fails_idle(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield await anext(stream)
        await asyncio.sleep(1.0)
        raise ValueError("connection lost")

    seen, error = await told(fails_idle, breaks())
    assert (seen, str(error), now()) == (["a"], "connection lost", 6.0)
    assert isinstance(error, ValueError)
    assert error.__notes__[-1].endswith("its input broke: OSError('unplugged')")


async def test_an_input_that_was_cancelled_from_inside_is_an_error() -> None:
    """A cancellation that nobody asked for ends the run; nobody waits for ever."""

    @processor
    async def cancels(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        raise asyncio.CancelledError

    stage = part_processor(fails_at("z"))
    seen = []
    with contextlib.suppress(FlowError):
        async for part in (cancels + stage.fallback(stage))(None):
            seen.append(part.text)
    assert seen == ["A"]


async def test_nothing_is_read_unless_the_stage_asks() -> None:
    """A stage that does not read has nothing read for it."""
    log = []

    async def source() -> AsyncIterator[str]:
        log.append("pulled")
        yield "a"

    @processor
    async def deaf(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        await asyncio.sleep(10.0)
        yield Part("hello")

    agent = deaf.fallback(deaf)
    assert [part.text async for part in agent(source())] == ["hello"]
    assert log == []


async def test_what_is_closed_leaves_no_task() -> None:
    """A stage that uses such stages of its own, one after the other, has no tasks left of them."""
    tasks = []

    @processor
    async def uses_many(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        copy = part_processor(lambda part: part)
        async for part in stream:
            parts = copy.fallback(copy).call(stream)
            assert isinstance(parts, AsyncGenerator)
            async with contextlib.aclosing(parts):
                await anext(parts)
            await asyncio.sleep(0.1)
            tasks.append(len(asyncio.all_tasks()))
            yield part

    assert len([part async for part in uses_many(["x"] * 20)]) == 10
    assert tasks == [2] * 10


async def test_it_tells_since_when_somebody_waits_for_an_answer() -> None:
    """The time is that of the first part that is not answered; it stays when it is given again."""
    times: list[float | None] = []

    @processor
    async def asks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        replay = Replay(current_run(), stream, partwise=False)
        times.append(replay.waiting_since())
        for _ in range(2):
            async with replay.through(reads_two) as parts:
                with contextlib.suppress(ValueError):
                    await anext(parts)
            times.append(replay.waiting_since())
        replay.close()
        yield Part("done")

    @processor
    async def reads_two(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        await anext(stream)
        await anext(stream)
        await asyncio.sleep(3.0)
        fail(ValueError("broken"))
        yield Part("never")

    script = [(1.0, "a"), (2.0, "b"), (50.0, "c")]
    assert [part.text async for part in asks(timeline(script))] == ["done"]
    assert times == [None, 1.0, 1.0]
