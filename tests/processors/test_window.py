import asyncio
import contextlib
import gc
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.errors import FlowError, PartError, StageError
from vivace.flow.clock import now
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor, processor
from vivace.flow.run import current_run
from vivace.flow.scope import AbandonedTask
from vivace.part import Interrupted, Part, SpeechStarted, TurnEnded
from vivace.processors.window import window
from vivace.testing.script import play

pytestmark = pytest.mark.virtual


@processor
async def joined(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Answers with its prompt."""
    yield Part("".join([part.text async for part in stream]))


@processor
async def times(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Answers with the times of its prompt."""
    yield Part(" ".join([f"{part.at:g}" async for part in stream]))


class Model:
    """Answers each prompt after its own time, and tells how many calls were out."""

    def __init__(self, takes_s: dict[str, float], default_s: float = 0.0) -> None:
        self.takes_s, self.default_s = takes_s, default_s
        self.out = self.most = 0
        self.log: list[tuple[float, str]] = []

    @property
    def stage(self) -> Processor:
        @processor
        async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            text = "".join([part.text async for part in stream])
            self.log.append((now(), text))
            self.out += 1
            self.most = max(self.most, self.out)
            try:
                await asyncio.sleep(self.takes_s.get(text, self.default_s))
                yield Part(f"<{text}")
                yield Part(f"{text}>")
            finally:
                self.out -= 1

        return model


async def texts(agent: Processor, source: Any) -> list[str]:
    return [part.text async for part in agent(source)]


async def outcome(parts: AsyncIterator[Part]) -> tuple[Exception, list[str]]:
    """The error that a stream ended with, and the texts that came before it."""
    seen: list[str] = []
    try:
        async for part in parts:
            seen.append(part.text or type(part.body).__name__)
    except Exception as error:
        return error, seen
    raise AssertionError("no error came")


# -- what is in a prompt


async def test_each_prompt_has_the_newest_parts() -> None:
    """For each part a call is made with it and as many as fit before it, in order."""
    assert await texts(window(joined, max_parts=3), list("abcde")) == [
        "a",
        "ab",
        "abc",
        "bcd",
        "cde",
    ]


@pytest.mark.parametrize(
    ("stride", "prompts"),
    [(2, ["ab", "bcd", "def"]), (3, ["abc", "def"]), (7, ["efg"]), (8, [])],
)
async def test_a_stride_makes_fewer_calls(stride: int, prompts: list[str]) -> None:
    """Every so many parts a call is made; what comes after the last one is in no prompt."""
    assert await texts(window(joined, max_parts=3, stride=stride), list("abcdefg")) == prompts


async def test_no_parts_no_calls() -> None:
    """An empty stream asks nothing."""
    assert await texts(window(joined), []) == []


async def test_a_second_of_audio_is_fifty_chunks() -> None:
    """The seconds of a prompt are exact, whatever floats make of the times."""
    lengths = []

    @processor
    async def counts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        parts = [part async for part in stream]
        lengths.append(len(parts))
        yield parts[-1]

    source = [Part.audio(bytes(640), at=0.02 * n) for n in range(200)]
    assert [part async for part in window(counts, seconds=1.0)(source)] == source
    assert lengths == [min(n + 1, 50) for n in range(200)]


async def test_three_seconds_of_a_camera_are_three_pictures() -> None:
    """What has a time and no length counts by its time; the border is out."""
    source = [Part.image(b"jpeg", at=float(n)) for n in range(5)]
    assert await texts(window(times, seconds=3.0), source) == [
        "0",
        "0 1",
        "0 1 2",
        "1 2 3",
        "2 3 4",
    ]


async def test_a_long_part_is_as_old_as_its_end() -> None:
    """Two seconds of sound are still there half a second after their end."""
    lengths = []

    @processor
    async def counts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        lengths.append(len([part async for part in stream]))
        yield Part("")

    source = [Part.audio(bytes(64_000), at=0.0), Part("a", at=2.5), Part("b", at=3.0)]
    await texts(window(counts, seconds=1.0), source)
    assert lengths == [1, 2, 2]


async def test_both_bounds_hold() -> None:
    """The tighter one counts."""
    source = [Part("x", at=at) for at in (0.0, 0.25, 0.5, 5.0, 5.25)]
    assert await texts(window(times, max_parts=2, seconds=1.0), source) == [
        "0",
        "0 0.25",
        "0.25 0.5",
        "5",
        "5 5.25",
    ]


async def test_a_part_without_time_is_as_old_as_the_one_before_it() -> None:
    """A text among pictures leaves with the picture that it followed; a first one is at zero."""
    source = [
        Part("?"),
        Part("a", at=0.5),
        Part("b"),
        Part("c", at=2.5),
        Part("d", at=3.5),
        Part("e", at=0.25),
    ]
    assert await texts(window(joined, seconds=3.0), source) == [
        "?",
        "?a",
        "?ab",
        "?abc",
        "cd",
        "ce",
    ]


async def test_a_stream_that_begins_again_begins_again() -> None:
    """When the time jumps back further than the window reaches, what was before is gone."""
    source = [Part("a", at=100.0), Part("b", at=101.0), Part("c", at=0.0), Part("d", at=1.0)]
    assert await texts(window(joined, seconds=5.0), source) == ["a", "ab", "c", "cd"]


async def test_the_systems_parts_lead_every_prompt() -> None:
    """From then on, however many parts come; they make no call."""
    source = [Part("a"), Part("S", role="system"), *"bc", Part("T", role="system"), *"de"]
    prompts = ["a", "Sab", "Sbc", "STcd", "STde"]
    assert await texts(window(joined, max_parts=2), source) == prompts


async def test_more_than_64_parts_of_the_systems() -> None:
    """They would never leave: an error, after the answers before it."""
    source = [Part("S", role="system") for _ in range(65)]
    error, seen = await outcome(aiter(window(joined)([Part("a"), *source])))
    assert str(error).startswith("64 parts of the system's lead the prompt already")
    assert (type(error), seen) == (PartError, ["a"])


async def test_a_call_and_its_response_are_in_a_prompt_together() -> None:
    """Either alone is left out; of what would be nothing, no call is made."""

    @processor
    async def kinds(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part(" ".join([part.text or type(part.body).__name__ async for part in stream]))

    call, response = Part.call("look", id="1"), Part.response("look", "a cat", id="1")
    prompts = await texts(window(kinds, max_parts=3), [call, "a", response, "b", "c"])
    assert prompts == ["a", "Call a Response", "a b", "b c"]


@given(
    ends=st.lists(st.one_of(st.none(), st.integers(0, 40)), max_size=30),
    max_parts=st.integers(1, 6),
    reach=st.one_of(st.just(math.inf), st.integers(1, 20)),
    stride=st.integers(1, 4),
    concurrency=st.integers(1, 3),
)
@settings(max_examples=100, deadline=None)
async def test_a_prompt_is_what_its_definition_says(
    ends: list[int | None], max_parts: int, reach: float, stride: int, concurrency: int
) -> None:
    """Each prompt is in order, has its newest part, and what is near it, unless it was let go."""
    source = [Part(str(n), at=None if end is None else end / 10) for n, end in enumerate(ends)]
    bounds = {"max_parts": max_parts, "stride": stride, "concurrency": concurrency}

    @processor
    async def numbers(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part(" ".join([part.text async for part in stream]))

    prompts = await texts(window(numbers, seconds=reach / 10, **bounds), source)
    assert prompts == expected(ends, max_parts, reach, stride)


def expected(ends: list[int | None], max_parts: int, reach: float, stride: int) -> list[str]:
    kept: list[tuple[int, int]] = []
    prompts, last = [], 0
    for n, end in enumerate(ends):
        last = last if end is None else end
        kept = [*kept, (n, last)][-max_parts:]
        while abs(kept[0][1] - last) >= reach:
            kept.pop(0)
        if (n + 1) % stride == 0:
            prompts.append(" ".join(str(n) for n, end in kept if abs(end - last) < reach))
    return prompts


# -- calls


async def test_unless_told_otherwise_calls_come_one_after_the_other() -> None:
    """With the default, the next part is read when the last answer was taken."""
    model = Model({}, default_s=1.0)
    assert await texts(window(model.stage, max_parts=1), list("ab")) == ["<a", "a>", "<b", "b>"]
    assert model.log == [(0.0, "a"), (1.0, "b")]


@pytest.mark.virtual(seeds=20)
async def test_answers_come_in_the_order_of_the_prompts() -> None:
    """A call that is ready early waits for those before it; at most so many are out."""
    model = Model({"a": 3.0, "b": 1.0, "c": 2.0, "d": 0.5})
    agent = window(model.stage, max_parts=1, concurrency=2)
    assert await texts(agent, list("abcd")) == ["<a", "a>", "<b", "b>", "<c", "c>", "<d", "d>"]
    assert model.most == 2
    # "b" has answered at 1.0, but is out until its answer can be taken.
    assert sorted(model.log) == [(0.0, "a"), (0.0, "b"), (3.0, "c"), (3.0, "d")]
    assert now() == 5.0


@pytest.mark.parametrize("concurrency", [1, 2, 3, 8])
@pytest.mark.virtual(seeds=10)
async def test_nothing_is_read_while_enough_calls_are_out(concurrency: int) -> None:
    """As many parts are pulled as calls may be out, and no more, however long they take."""
    log: list[str] = []
    model = Model({}, default_s=100.0)
    async with window(model.stage, concurrency=concurrency).run(source(log)) as parts:
        first = asyncio.create_task(anext(parts))
        await asyncio.sleep(50.0)
        assert len(log) == concurrency
        await first
    assert model.most == concurrency
    assert model.out == 0


async def test_an_answer_is_passed_on_as_it_comes() -> None:
    """The parts of an answer do not wait for its end."""

    @processor
    async def slowly(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for word in "abc":
            await asyncio.sleep(1.0)
            yield Part(word)

    seen = await play(window(slowly), [(0.0, "x")])
    assert [(at, part.text) for at, part in seen] == [(1.0, "a"), (2.0, "b"), (3.0, "c")]


async def test_an_answer_that_waits_is_bounded() -> None:
    """A call whose turn has not come can make sixteen parts and one more, and then waits."""
    made = []

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        who = [part.text async for part in stream][-1]
        if who == "first":
            await asyncio.sleep(100.0)
            return
        for n in range(1000):
            made.append(n)
            yield Part(str(n))

    async with window(talks, concurrency=2).run(["first", "second"]) as parts:
        begun = asyncio.create_task(anext(parts))
        await asyncio.sleep(50.0)
        assert len(made) <= 16 + 5
        await begun
        assert len([part async for part in parts]) == 999


async def test_signals_pass_in_their_place() -> None:
    """A signal comes after the answers to what was before it; it is in no prompt."""
    started, ended = Part(SpeechStarted(0.0), at=0.0), Part(TurnEnded(1.0), at=1.0)
    model = Model({"a": 2.0, "ab": 1.0, "abc": 0.5})
    agent = window(model.stage, concurrency=3, stride=1)
    seen = [part async for part in agent(["a", started, "b", "c", ended])]
    assert [part.text or part for part in seen] == [
        "<a", "a>", started, "<ab", "ab>", "<abc", "abc>", ended
    ]  # fmt: skip
    seen = [part async for part in window(joined, stride=2)(["a", started, ended, "b"])]
    assert [part.text or part for part in seen] == [started, ended, "ab"]


async def test_signals_behind_a_call_are_bounded() -> None:
    """A slow call lets sixty-four signals and one more be read, if another call may begin."""
    log: list[int] = []

    async def signals() -> AsyncIterator[Part]:
        yield Part("x")
        for n in range(500):
            log.append(n)
            yield Part(SpeechStarted(float(n)), at=float(n))

    model = Model({}, default_s=100.0)
    async with window(model.stage, concurrency=2).run(signals()) as parts:
        first = asyncio.create_task(anext(parts))
        await asyncio.sleep(50.0)
        assert 64 <= len(log) <= 64 + 3
        await first
        assert len([part async for part in parts]) == 501


async def test_what_a_call_says_aside_goes_out_at_once() -> None:
    """Side lanes do not wait for the calls before."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        who = [part.text async for part in stream][-1]
        yield Part(f"{who} thinks", substream="status")
        await asyncio.sleep(5.0)
        yield Part(who)

    seen = await play(window(talks, concurrency=2), [(0.0, "a"), (1.0, "b")])
    assert [(at, part.text) for at, part in seen] == [
        (0.0, "a thinks"),
        (1.0, "b thinks"),
        (5.0, "a"),
        (6.0, "b"),
    ]


async def test_a_talkative_call_has_to_wait() -> None:
    """What calls say aside is bounded while the consumer takes nothing."""
    said = []

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for n in range(1000):
            said.append(n)
            yield Part(str(n), substream="debug")

    async with window(talks).run("a") as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
        assert len(said) <= 3 * 64 + 3  # a lane in the call's own run, and one in this one
        assert len([part async for part in parts]) == 999


async def test_an_interruption_takes_out_answers_that_wait() -> None:
    """What a void reply had made in the meantime does not come when its turn comes."""
    log = []

    @processor
    async def replies(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        who = [part.text async for part in stream][-1]
        await asyncio.sleep(5.0 if who == "a" else 0.0)
        yield Part(who, role="model", turn=ord(who) - ord("a") + 1)

    @processor
    async def interrupts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run = current_run()

        async def later() -> None:
            await asyncio.sleep(1.0)
            run.bus.announce(Interrupted(2))

        run.start(later(), "later")
        async for part in stream:
            log.append(part.text)
            yield part

    await texts(window(replies, concurrency=3) + interrupts, list("abc"))
    assert log == ["c"]


async def test_any_processor_can_answer() -> None:
    """Part functions and chains answer a prompt like any other processor."""
    upper = part_processor(lambda part: part.text.upper())
    assert await texts(window(upper + joined, max_parts=2), list("abc")) == ["A", "AB", "BC"]


# -- errors


@pytest.mark.parametrize("concurrency", [1, 2, 4])
@pytest.mark.virtual(seeds=20)
async def test_a_call_that_fails_ends_the_stream_in_its_place(concurrency: int) -> None:
    """The answers before it come, then its error, as itself; calls behind it are stopped."""
    running = []

    @processor
    async def breaks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        who = [part.text async for part in stream][-1]
        if who == "b":
            yield Part("half of b")
            raise ValueError("broken")
        running.append(who)
        await asyncio.sleep(1.0 if who == "a" else 1000.0)
        running.remove(who)
        yield Part(who)

    error, seen = await outcome(window(breaks, concurrency=concurrency)(list("abcd")))
    assert (str(error), seen) == ("broken", ["a", "half of b"])
    assert now() == 1.0
    assert error.__notes__ == ["in breaks"]


async def test_an_error_of_the_source_comes_after_all_answers() -> None:
    """What was read before the source broke is answered."""

    async def breaks() -> AsyncIterator[Part]:
        yield Part("a")
        yield Part("b")
        raise OSError("unplugged")

    model = Model({}, default_s=1.0)
    error, seen = await outcome(window(model.stage, max_parts=1, concurrency=3)(breaks()))
    assert (str(error), seen) == ("unplugged", ["<a", "a>", "<b", "b>"])
    assert error.__notes__ == ["in source"]


async def test_an_input_that_was_cancelled_from_inside_is_an_error() -> None:
    """A cancellation that nobody asked for ends the run; nobody waits for ever."""

    @processor
    async def cancels(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        raise asyncio.CancelledError

    error, seen = await outcome((cancels + window(joined))(None))
    assert isinstance(error, FlowError)
    assert str(error) == "what a window reads from was cancelled from inside"
    assert seen == ["a"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"max_parts": 0}, "window: max_parts=0 makes no call; use 1 or more"),
        ({"stride": 0}, "window: stride=0 makes no call"),
        ({"concurrency": -1}, "window: concurrency=-1 makes no call"),
        ({"seconds": 0.0}, r"window: 0.0 seconds cover no part; use more than 0"),
        ({"seconds": math.nan}, "window: nan seconds"),
    ],
)
def test_numbers_that_make_no_call_are_refused(arguments: Any, complaint: str) -> None:
    """Each mistake is told when the window is made, with what to use instead."""
    with pytest.raises(StageError, match=complaint):
        window(joined, **arguments)


def test_what_is_no_processor_is_refused() -> None:
    """A function is no processor yet."""
    with pytest.raises(StageError, match="give a processor that answers a prompt"):
        window(len)  # type: ignore[arg-type]


# -- however it ends


async def source(log: list[str], count: int = 1000, every_s: float = 0.0) -> AsyncGenerator[Part]:
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(str(n))
            yield Part(str(n), at=float(n))
    finally:
        log.append("closed")


async def left_by_break(agent: Processor, log: list[str]) -> None:
    async with agent.run(source(log)) as parts:
        async for part in parts:
            if "3" in part.text:
                break


async def cancelled(agent: Processor, log: list[str]) -> None:
    async def consume() -> None:
        async with agent.run(source(log)) as parts:
            async for _ in parts:
                await asyncio.sleep(0.75)

    task = asyncio.create_task(consume())
    await asyncio.sleep(2.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def cancelled_at_once(agent: Processor, log: list[str]) -> None:
    task = asyncio.create_task(texts(agent, source(log)))
    await asyncio.sleep(0.25)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def collected(agent: Processor, log: list[str]) -> None:
    parts = agent(source(log))
    await anext(parts)
    del parts
    gc.collect()
    await asyncio.sleep(2.0)


async def exhausted(agent: Processor, log: list[str]) -> None:
    await texts(agent, source(log, 20))


ENDS = [left_by_break, cancelled, cancelled_at_once, collected, exhausted]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.virtual(seeds=6)
async def test_however_a_run_ends_nothing_is_left(end: Any, concurrency: int) -> None:
    """Left, cancelled, dropped or exhausted: no call runs on and the source is closed."""
    log: list[str] = []
    model = Model({}, default_s=0.5)
    await end(window(model.stage, max_parts=1, concurrency=concurrency), log)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log.count("closed") == 1
    assert model.out == 0


async def test_a_window_that_is_closed_reads_and_calls_no_more() -> None:
    """A stage that closes a window of its own, and goes on, stops its reading and its calls."""
    log: list[str] = []
    model = Model({"0": 0.0}, default_s=100.0)

    @processor
    async def one_is_enough(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        answers = window(model.stage, max_parts=1, concurrency=3).call(source(log, every_s=1.0))
        assert isinstance(answers, AsyncGenerator)
        async with contextlib.aclosing(answers):
            yield await anext(answers)
            await asyncio.sleep(1.5)
            assert model.out == 1
        await asyncio.sleep(1.0)
        assert model.out == 0
        await asyncio.sleep(10.0)

    assert await texts(one_is_enough, None) == ["<0"]
    assert log == ["0", "1", "closed"]


async def test_a_window_within_a_stage_closes_what_it_reads() -> None:
    """Used inside a `call` over a generator of its own, it leaves nothing open."""
    log: list[str] = []

    class Looks(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            return window(Model({}).stage).call(source(log))

    async with Looks().run(None) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
    assert log[-1] == "closed"


async def test_a_long_stream_leaves_nothing_behind() -> None:
    """A call that is over is forgotten."""
    answers = 0
    async for _ in window(joined, max_parts=1)(["x"] * 200):
        answers += 1
        if answers == 200:
            gc.collect()
            left = [it for it in gc.get_objects() if isinstance(it, asyncio.Task) and it.done()]
            assert len(left) < 10


@pytest.mark.virtual(seeds=10)
async def test_a_call_that_will_not_stop_is_bounded_and_named() -> None:
    """Leaving while a call swallows its cancellation takes 2 s and says so; the source closes."""
    release, log = asyncio.Event(), list[str]()

    @processor
    async def stubborn(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("begun")
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    parts = window(stubborn, concurrency=2)(source(log))
    await anext(parts)
    await asyncio.sleep(1.0)
    at = now()
    with pytest.warns(AbandonedTask) as warned:
        await parts.aclose()
    took, log_then, names = now() - at, list(log), " ".join(str(it.message) for it in warned)
    release.set()
    await asyncio.sleep(5.0)
    assert took <= 2.0
    assert log_then[-1] == "closed"
    assert "stubborn" in names or "a call of window" in names


async def test_a_hundred_runs_share_one_window_object() -> None:
    """A window object has no state of a run: runs beside each other do not disturb each other."""
    agent = window(Model({}, default_s=0.1).stage, max_parts=2, concurrency=2)

    async def one(name: str) -> list[str]:
        return await texts(agent, [name] * 2)

    tasks = [asyncio.create_task(one(str(n))) for n in range(100)]
    await asyncio.wait(tasks)
    for n, task in enumerate(tasks):
        assert task.result() == [f"<{n}", f"{n}>", f"<{n}{n}", f"{n}{n}>"]
