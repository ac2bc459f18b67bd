import asyncio
import contextlib
import gc
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import stamina

from vivace.errors import ModelMissing, StageError
from vivace.flow.clock import now
from vivace.flow.drive import drive
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor, processor
from vivace.flow.run import Run, current_run
from vivace.flow.scope import AbandonedTask
from vivace.machines.machine import Machine
from vivace.part import Data, Part, SpeechStarted
from vivace.testing.script import play, timeline

pytestmark = pytest.mark.virtual

BOUND_S = 2.0


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Say nothing in the log at each retry."""
    stamina.instrumentation.set_on_retry_hooks([])
    yield
    stamina.instrumentation.set_on_retry_hooks(None)


def fail(error: Exception) -> None:
    raise error


async def texts(agent: Processor, source: Any) -> list[str]:
    return [part.text async for part in agent(source) if not part.substream]


async def outcome(parts: AsyncIterator[Part]) -> tuple[Exception, list[str]]:
    """The error that a stream ended with, and the texts that came before it."""
    seen: list[str] = []
    try:
        async for part in parts:
            if not part.substream:
                seen.append(part.text)
    except Exception as error:
        return error, seen
    raise AssertionError("no error came")


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


def news(parts: list[Part]) -> list[Any]:
    return [part.body.value for part in parts if isinstance(part.body, Data)]


class Flaky:
    """Part functions and stream stages that fail so many times at a text; a log of their tries."""

    def __init__(self, times: int, at: str = "b", error: Exception | None = None) -> None:
        self.left = times
        self.at = at
        self.error = error
        self.log: list[tuple[float, str]] = []

    def try_it(self, part: Part) -> str:
        if part.text == self.at:
            self.log.append((now(), part.text))
            if self.left:
                self.left -= 1
                raise self.error or ValueError(f"broken {self.left}")
        return part.text.upper()

    @property
    def parts(self) -> Processor:
        @part_processor
        def flaky(part: Part) -> str:
            return self.try_it(part)

        return flaky

    @property
    def stream(self) -> Processor:
        @processor
        async def flaky(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            async for part in stream:
                yield part.derive(body=self.try_it(part))

        return flaky

    @property
    def model(self) -> Processor:
        """Reads its whole prompt, and then says something."""

        @processor
        async def flaky(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            prompt = "".join([part.text async for part in stream])
            self.try_it(Part(self.at))
            yield Part(prompt)

        return flaky


def star(part: Part) -> str:
    return "*" + part.text


spare = part_processor(star)


# == fallback


@pytest.mark.parametrize("kind", ["parts", "stream"])
@pytest.mark.virtual(seeds=20)
async def test_the_other_one_takes_over_where_the_first_one_failed(kind: str) -> None:
    """What was answered is answered; the part that failed and all others go to the other one."""
    agent = getattr(Flaky(1), kind).fallback(spare)
    assert await texts(agent, list("abc")) == ["A", "*b", "*c"]


async def test_a_stage_that_does_not_fail_is_left_alone() -> None:
    """Nothing is different, and nothing is told, as long as nothing fails."""
    seen = [part async for part in Flaky(0).stream.fallback(spare)(list("abc"))]
    assert [part.text for part in seen] == ["A", "B", "C"]


async def test_taking_over_is_told_on_status() -> None:
    """Between the last part of the one and the first of the other comes what has happened."""
    seen = [part async for part in Flaky(1).stream.fallback(spare)(list("ab"))]
    assert [(part.text, part.substream) for part in seen] == [
        ("A", ""),
        ("", "status"),
        ("*b", ""),
    ]
    assert news(seen) == [{"event": "fallback", "what": "flaky", "to": "star", "error": "broken 0"}]


async def test_an_error_without_words_is_told_by_its_kind() -> None:
    """A status that says nothing helps nobody."""
    seen = [part async for part in Flaky(1, error=TimeoutError()).stream.fallback(spare)("b")]
    assert news(seen)[0]["error"] == "TimeoutError"


@pytest.mark.parametrize("on", [KeyError, (KeyError, OSError), LookupError])
async def test_only_errors_that_were_asked_for_are_taken_over(on: Any) -> None:
    """Another error ends the run as it would have without a fallback."""
    agent = Flaky(1, error=KeyError("b")).stream.fallback(spare, on=on)
    assert await texts(agent, list("abc")) == ["A", "*b", "*c"]
    error, seen = await outcome(Flaky(1).stream.fallback(spare, on=on)(list("abc")))
    assert (str(error), seen, notes(error)) == ("broken 0", ["A"], ["in flaky"])


async def test_when_both_fail_the_second_error_has_the_first() -> None:
    """The consumer gets the last error as itself; it tells what happened before."""
    first, second = ValueError("first"), OSError("second")

    @processor
    async def also_broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("taking over")
        fail(second)

    agent = Flaky(1, error=first).stream.fallback(also_broken)
    error, seen = await outcome(agent(list("abc")))
    assert error is second
    assert error.__context__ is first
    assert notes(error) == [
        "in also_broken",
        "it had taken over from flaky, which had failed: ValueError('first')",
    ]
    assert seen == ["A", "taking over"]


async def test_a_second_error_keeps_the_context_that_it_has() -> None:
    """What the other one was doing when it failed is not hidden; the note tells the first."""

    @processor
    async def also_broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            fail(KeyError("inner"))
        except KeyError:
            fail(OSError("second"))
        yield Part("never")

    error, _ = await outcome(Flaky(1).stream.fallback(also_broken)("b"))
    assert isinstance(error.__context__, KeyError)
    assert notes(error)[-1].endswith("which had failed: ValueError('broken 0')")


async def test_one_error_raised_twice_is_told_once() -> None:
    """Two stages that share a broken thing raise the same error; it is no context of itself."""
    shared = OSError("shared")
    agent = Flaky(1, error=shared).stream.fallback(Flaky(1, error=shared).stream)
    error, _ = await outcome(agent("b"))
    assert error is shared
    assert error.__context__ is None
    assert notes(error) == ["in flaky"]


async def test_an_input_that_breaks_later_is_not_the_fallbacks_fault() -> None:
    """After the other one took over, an error of the source is still the source's alone."""

    async def breaks() -> AsyncIterator[str]:
        yield "b"
        raise OSError("unplugged")

    error, seen = await outcome(Flaky(1).stream.fallback(spare)(breaks()))
    assert (str(error), seen, notes(error)) == ("unplugged", ["*b"], ["in source"])


async def test_fallbacks_can_be_chained() -> None:
    """The third one takes over from the second, and no part is lost or answered twice."""
    agent = Flaky(1, "b").stream.fallback(Flaky(1, "d").stream).fallback(spare)
    assert await texts(agent, list("abcde")) == ["A", "B", "C", "*d", "*e"]
    inner = Flaky(1, "b").parts.fallback(Flaky(1, "d").parts.fallback(spare))
    assert await texts(inner, list("abcde")) == ["A", "B", "C", "*d", "*e"]


async def test_a_fallback_has_the_name_of_its_stage() -> None:
    """In errors and on status it is called what it stands for."""
    assert Flaky(0).stream.fallback(spare).name == "flaky"
    error, _ = await outcome((spare + Flaky(9, "*b").stream.fallback(spare, on=OSError))("b"))
    assert notes(error) == ["in flaky"]


async def test_signals_and_timing_are_those_of_the_stage() -> None:
    """A fallback adds no time, and a live stream comes through as it goes in."""
    agent = Flaky(1, "c").stream.fallback(spare)
    script = [(0.0, "a"), (0.5, Part(SpeechStarted(0.5), at=0.5)), (1.0, "c"), (2.0, "d")]
    seen = await play(spare.fallback(spare) + agent, script[:2] + script[3:])
    assert [at for at, _ in seen] == [0.0, 0.5, 2.0]
    seen = await play(agent, script)
    assert [(at, part.text) for at, part in seen if part.text] == [
        (0.0, "A"),
        (1.0, "*c"),
        (2.0, "*d"),
    ]


@pytest.mark.virtual(seeds=10)
async def test_a_failed_stage_that_hangs_in_its_cleanup_is_left_behind() -> None:
    """Taking over waits for the cleanup of what failed, at most two seconds; a warning names it."""
    release = asyncio.Event()

    @processor
    async def hangs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()

    agent = (hangs + Flaky(1).stream).fallback(spare)
    with pytest.warns(AbandonedTask, match="hangs"):
        seen = [(now(), part.text) async for part in agent(list("abc")) if part.text]
    release.set()
    await asyncio.sleep(5.0)
    assert [text for _, text in seen] == ["A", "*b", "*c"]
    assert seen[-1][0] <= BOUND_S


@pytest.mark.parametrize("wrong", [len, "text", None])
def test_what_is_no_processor_cannot_take_over(wrong: Any) -> None:
    """The mistake is told at once."""
    with pytest.raises(StageError, match="cannot take over from flaky; give a processor"):
        Flaky(0).stream.fallback(wrong)


@pytest.mark.parametrize("on", ["ValueError", BaseException, asyncio.CancelledError, (OSError, 3)])
def test_only_errors_can_be_chosen(on: Any) -> None:
    """A cancellation is no error; neither is what is no class."""
    with pytest.raises(StageError, match="give a subclass of Exception, or a tuple of them"):
        Flaky(0).stream.fallback(spare, on=on)
    if not callable(on) or isinstance(on, type):
        with pytest.raises(StageError, match="give a subclass of Exception, or a tuple of them"):
            Flaky(0).stream.retry(on=on)


# == timeout


def slow(*takes_s: float, log: list[str] | None = None) -> Processor:
    """A stage that takes its time for each part: so long for the first, the second, ..."""

    @processor
    async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for take_s in takes_s:
            part = await anext(stream, None)
            if part is None:
                return
            await asyncio.sleep(take_s)
            yield part

    return slow


@pytest.mark.virtual(seeds=10)
async def test_the_first_part_may_take_so_long() -> None:
    """At exactly the limit comes a TimeoutError that names the stage and the limit."""
    error, seen = await outcome(slow(2.5).timeout(first_s=2.25)("a"))
    assert isinstance(error, TimeoutError)
    assert str(error) == (
        "slow gave nothing within 2.25 s (first_s); allow more, or give it a fallback"
    )
    assert (now(), seen, notes(error)) == (2.25, [], ["in slow"])


async def test_after_the_first_part_its_limit_is_over() -> None:
    """`first_s` says nothing about the parts after the first."""
    agent = slow(1.0, 100.0, 100.0).timeout(first_s=1.5)
    assert await texts(agent, list("abc")) == ["a", "b", "c"]


@pytest.mark.virtual(seeds=10)
async def test_all_of_it_may_take_so_long() -> None:
    """`total_s` counts on over all parts, and past the last one until the end."""
    error, seen = await outcome(slow(1.0, 1.0, 1.0).timeout(total_s=2.5)(list("abc")))
    assert isinstance(error, TimeoutError)
    assert str(error) == (
        "slow was not done within 2.5 s (total_s); allow more, or give it a fallback"
    )
    assert (now(), seen) == (2.5, ["a", "b"])

    @processor
    async def never_ends(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("all")
        await asyncio.sleep(100.0)

    error, seen = await outcome(never_ends.timeout(total_s=2.5)(None))
    assert (now(), seen) == (5.0, ["all"])


@pytest.mark.parametrize(
    ("first_s", "total_s", "what"), [(3.0, 2.0, "total_s"), (2.0, 2.0, "first_s")]
)
async def test_the_shorter_limit_counts(first_s: float, total_s: float, what: str) -> None:
    """With both limits, whichever is reached first is named."""
    error, _ = await outcome(slow(9.0).timeout(first_s=first_s, total_s=total_s)("a"))
    assert now() == 2.0
    assert f"({what})" in str(error)


async def test_waiting_for_input_does_not_count() -> None:
    """A slow source is not the stage's fault: only what it takes itself is counted."""
    script = [(5.0 * n, text) for n, text in enumerate("abc")]
    assert await texts(slow(1.0, 1.0, 1.0).timeout(first_s=1.25, total_s=3.25), timeline(script))
    assert now() == 11.0
    error, seen = await outcome(slow(1.0, 1.0, 1.0).timeout(total_s=2.75)(timeline(script)))
    assert (now(), seen) == (11.0 + 10.75, ["a", "b"])
    assert isinstance(error, TimeoutError)


async def test_a_slow_consumer_does_not_count() -> None:
    """Time in which nobody waits for the stage is not counted."""
    seen = []
    async with slow(1.0, 1.0, 1.0).timeout(total_s=3.25).run(list("abc")) as parts:
        async for part in parts:
            seen.append((now(), part.text))
            await asyncio.sleep(10.0)
    assert seen == [(1.0, "a"), (12.0, "b"), (23.0, "c")]


async def test_work_before_the_first_input_counts() -> None:
    """A stage that hangs before it has read anything is found out, too."""

    @processor
    async def connects(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        await asyncio.sleep(100.0)
        async for part in stream:
            yield part

    error, _ = await outcome(connects.timeout(first_s=2.0)("a"))
    assert isinstance(error, TimeoutError)
    assert now() == 2.0


async def test_what_is_said_aside_is_no_first_part() -> None:
    """Side lanes pass, and the limit goes on."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for _ in range(100):
            yield Part("thinking", substream="status")
            await asyncio.sleep(0.75)

    seen = []
    with contextlib.suppress(TimeoutError):
        async for part in talks.timeout(first_s=2.0)(None):
            seen.append((now(), part.text))
    assert seen == [(0.0, "thinking"), (0.75, "thinking"), (1.5, "thinking")]
    assert now() == 2.0


@pytest.mark.virtual(seeds=50)
async def test_a_part_at_the_very_limit_comes_or_does_not() -> None:
    """At one instant either may be first; a part that came is never followed by its timeout."""
    agent = slow(2.0, 0.0).timeout(first_s=2.0)
    with contextlib.suppress(TimeoutError):
        assert await texts(agent, list("ab")) == ["a", "b"]
    assert now() == 2.0


async def test_a_stage_that_is_quick_enough_is_left_alone() -> None:
    """Limits that are not reached change nothing, also for an empty input."""
    agent = slow(1.0, 1.0).timeout(first_s=1.5, total_s=2.5)
    assert await texts(agent, list("ab")) == ["a", "b"]
    assert await texts(agent, []) == []
    assert agent.name == "slow"


@pytest.mark.parametrize("kind", ["waits", "swallows"])
@pytest.mark.virtual(seeds=10)
async def test_a_stage_that_took_too_long_is_closed(kind: str) -> None:
    """One that hangs is stopped at the limit; one that will not stop costs 2 s and is named."""
    release, log = asyncio.Event(), []

    @processor
    async def hangs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                if kind == "waits":
                    await release.wait()
                while not release.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await release.wait()
                yield part
        finally:
            log.append("closed")

    agent = hangs.timeout(first_s=3.0).fallback(spare)
    warned = pytest.warns(AbandonedTask, match="hangs") if kind == "swallows" else nothing()
    with warned:
        seen = [(now(), part.text) async for part in agent(list("ab")) if part.text]
    if kind == "waits":
        assert seen == [(3.0, "*a"), (3.0, "*b")]
        assert log == ["closed"]
        assert asyncio.all_tasks() == {asyncio.current_task()}
    else:
        assert [text for _, text in seen] == ["*a", "*b"]
        assert seen[0][0] <= 3.0 + BOUND_S
    release.set()
    await asyncio.sleep(5.0)


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    yield


@pytest.mark.virtual(seeds=20)
async def test_a_timeout_with_a_fallback_loses_nothing() -> None:
    """Whatever the stage was given and did not answer goes to the other one, from any source."""
    script = [(0.5 * n, text) for n, text in enumerate("abcdef")]

    @processor
    async def hangs_at_c(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "c":
                await asyncio.sleep(1000.0)
            yield part

    for stage in (hangs_at_c, part_processor(star) + hangs_at_c):
        agent = stage.timeout(total_s=2.0).fallback(spare)
        for source in (list("abcdef"), timeline(script)):
            seen = await texts(agent, source)
            assert [text[-1] for text in seen] == list("abcdef")


async def test_a_cancellation_from_outside_is_no_timeout() -> None:
    """Whoever is cancelled while waiting for a limited stage is cancelled, and all is closed."""
    task = asyncio.create_task(texts(slow(9.0).timeout(first_s=5.0), "a"))
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_limit_of_somebody_elses_is_not_eaten() -> None:
    """`asyncio.timeout` around the consumer works as ever."""
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(1.0):
            await texts(slow(9.0).timeout(first_s=5.0), "a")
    assert str(caught.value) == ""
    assert now() == 1.0


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({}, "a time limit without a time; give slow first_s= or total_s="),
        ({"first_s": 0.0}, "slow cannot work within 0.0 s; use more than 0"),
        ({"total_s": -1.0}, "slow cannot work within -1.0 s"),
        ({"total_s": float("nan")}, "slow cannot work within nan s"),
    ],
)
def test_limits_that_nobody_can_keep_are_refused(limits: Any, complaint: str) -> None:
    """Each mistake is told when the limit is set."""
    with pytest.raises(StageError, match=complaint):
        slow(1.0).timeout(**limits)


# == retry


def times(flaky: Flaky) -> list[float]:
    return [at for at, _ in flaky.log]


@pytest.mark.parametrize("kind", ["parts", "stream"])
@pytest.mark.virtual(seeds=10)
async def test_waits_grow_as_stamina_says(kind: str) -> None:
    """`wait_initial`, times the base for each retry, at most `wait_max`; nothing comes twice."""
    flaky = Flaky(4)
    agent = getattr(flaky, kind).retry(
        on=ValueError, wait_initial=0.25, wait_exp_base=3, wait_max=2.0, wait_jitter=0
    )
    assert await texts(agent, list("abc")) == ["A", "B", "C"]
    assert times(flaky) == [0.0, 0.25, 1.0, 3.0, 5.0]


async def test_a_model_gets_the_same_prompt_again() -> None:
    """What a turn processor had read before it failed is given to it again, whole."""
    flaky = Flaky(2)
    agent = flaky.model.retry(on=ValueError, wait_jitter=0)
    assert await texts(agent, list("xyz")) == ["xyz"]
    assert times(flaky) == [0.0, 0.1, 0.3]


async def test_each_retry_is_told_on_status() -> None:
    """When another try begins, it is said which one it is and what the last one died of."""
    seen = await play(Flaky(2).stream.retry(on=ValueError, wait_jitter=0), [(0.0, "a"), (0.0, "b")])
    assert [at for at, part in seen if part.substream == "status"] == [0.1, 0.3]
    assert news([part for _, part in seen]) == [
        {"event": "retrying", "what": "flaky", "attempt": 2, "error": "broken 1"},
        {"event": "retrying", "what": "flaky", "attempt": 3, "error": "broken 0"},
    ]


async def test_after_so_many_attempts_the_last_error_comes() -> None:
    """The consumer gets the error of the last attempt as itself, and how often it was tried."""
    flaky = Flaky(9)
    agent = flaky.stream.retry(on=ValueError, attempts=3, wait_jitter=0)
    error, seen = await outcome(agent(list("abc")))
    assert (str(error), seen) == ("broken 6", ["A"])
    assert notes(error) == ["in flaky", "flaky was tried 3 times"]
    assert times(flaky) == [0.0, 0.1, 0.3]


async def test_one_attempt_is_no_retry() -> None:
    """With one attempt the error is what it is without a retry."""
    error, _ = await outcome(Flaky(9).stream.retry(on=ValueError, attempts=1)("b"))
    assert notes(error) == ["in flaky"]
    assert now() == 0.0


@pytest.mark.parametrize("timeout", [3.0, timedelta(seconds=3)])
async def test_the_limit_in_time_is_on_the_loops_clock(timeout: Any) -> None:
    """Once `timeout` seconds have passed since the part was given, it is not tried again."""
    flaky = Flaky(99)
    agent = flaky.stream.retry(
        on=ValueError,
        attempts=None,
        timeout=timeout,
        wait_initial=1.0,
        wait_exp_base=1,
        wait_jitter=0,
    )
    error, _ = await outcome(agent(timeline([(10.0, "b")])))
    assert times(flaky) == [10.0, 11.0, 12.0, 13.0]
    assert notes(error)[-1] == "flaky was tried 4 times"


async def test_each_part_has_all_its_attempts() -> None:
    """Attempts and time are counted for the input that is not answered; the next begins anew."""
    log = []

    @part_processor
    def every_part_twice(part: Part) -> str:
        log.append(part.text)
        if log.count(part.text) < 3:
            raise ValueError("broken")
        return part.text

    agent = every_part_twice.retry(on=ValueError, attempts=3, timeout=1.0, wait_jitter=0)
    assert await texts(agent, list("abcdef")) == list("abcdef")
    assert [log.count(text) for text in "abcdef"] == [3] * 6


async def test_jitter_is_staminas() -> None:
    """Up to `wait_jitter` seconds are added to each wait, and never more."""
    for _ in range(20):
        flaky, begun = Flaky(1), now()
        await texts(flaky.stream.retry(on=ValueError, wait_initial=1.0, wait_jitter=0.5), "b")
        assert 1.0 <= now() - begun <= 1.5


def says_yes(error: Exception) -> bool:
    return "broken" in str(error)


def says_when(error: Exception) -> float:
    return 7.0


def says_how_long(error: Exception) -> timedelta:
    return timedelta(minutes=1)


@pytest.mark.parametrize(
    ("on", "tried_at"),
    [
        (ValueError, [0.0, 0.1]),
        ((OSError, ValueError), [0.0, 0.1]),
        (Exception, [0.0, 0.1]),
        (says_yes, [0.0, 0.1]),
        (says_when, [0.0, 7.0]),
        (says_how_long, [0.0, 60.0]),
    ],
)
async def test_what_is_worth_a_retry_can_be_said_in_staminas_ways(
    on: Any, tried_at: list[float]
) -> None:
    """A class, a tuple, or a function that says yes or how long to wait."""
    flaky = Flaky(1)
    assert await texts(flaky.stream.retry(on=on, wait_jitter=0, timeout=90.0), "b") == ["B"]
    assert times(flaky) == tried_at


@pytest.mark.parametrize("on", [OSError, (OSError, KeyError), lambda error: False])
async def test_other_errors_are_not_tried_again(on: Any) -> None:
    """They come at once, as themselves, and without a word about retries."""
    error, seen = await outcome(Flaky(1).stream.retry(on=on)(list("abc")))
    assert (str(error), seen, notes(error)) == ("broken 0", ["A"], ["in flaky"])
    assert now() == 0.0


async def test_a_note_about_retries_is_for_errors_that_are_tried_again() -> None:
    """An error that nobody wanted to try again says nothing about why it was not."""
    agent = part_processor(half_and_broken)
    error, _ = await outcome(agent.retry(on=OSError)("a"))
    assert notes(error) == ["in half_and_broken"]
    error, _ = await outcome(agent.retry(on=ValueError)("a"))
    assert len(notes(error)) == 2


def half_and_broken(part: Part) -> Iterator[str]:
    yield "half"
    raise ValueError("broken")


async def test_an_answer_that_was_begun_is_not_begun_again() -> None:
    """Once a part of the answer was sent, the error comes as it is, and says why."""

    @part_processor
    async def breaks_off(part: Part) -> AsyncIterator[str]:
        yield "half"
        raise ConnectionError("broke off")

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        yield Part("half")
        fail(ConnectionError("broke off"))

    for stage in (breaks_off, model):
        error, seen = await outcome(stage.retry(on=Exception)(list("ab")))
        assert (str(error), seen, now()) == ("broke off", ["half"], 0.0)
        assert notes(error)[-1] == (
            f"{stage.name} was not tried again: a part of its answer had been sent"
        )


async def test_a_stage_that_speaks_unasked_is_not_begun_again() -> None:
    """A greeting cannot be taken back: such a stage would greet at every try, for ever."""

    @processor
    async def greets(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("hello")
        async for _ in stream:
            fail(ValueError("broken"))

    error, seen = await outcome(greets.retry(on=ValueError)("b"))
    assert seen == ["hello"]
    assert notes(error)[-1] == "greets was not tried again: a part of its answer had been sent"


async def test_what_was_said_unasked_stays_said() -> None:
    """Such a stage is not begun anew later either, when it has answered something."""

    @processor
    async def greets(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("hello")
        async for part in stream:
            if part.text == "b":
                fail(ValueError("broken"))
            yield part

    error, seen = await outcome(greets.retry(on=ValueError)(list("ab")))
    assert seen == ["hello", "a"]
    assert notes(error)[-1] == "greets was not tried again: a part of its answer had been sent"


@pytest.mark.virtual(seeds=10)
async def test_a_stage_that_was_left_behind_answers_for_nobody() -> None:
    """One that would not stop, and puts something out later, does not answer for its successor."""
    begun, release = list[list[str]](), asyncio.Event()

    @processor
    async def stubborn(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        begun.append([])
        mine = begun[-1]

        async def lose() -> None:
            await asyncio.sleep(1.0)
            raise ConnectionError("lost")

        async for part in stream:
            mine.append(part.text)
            if len(begun) == 1:
                current_run().start(lose(), "lose")
                while not release.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await release.wait()
            elif len(begun) == 2:
                await asyncio.sleep(20.0)
                fail(ConnectionError("lost again"))
            yield part

    asyncio.get_running_loop().call_at(10.0, release.set)
    agent = stubborn.retry(on=ConnectionError, wait_jitter=0)
    with pytest.warns(AbandonedTask, match="stubborn"):
        assert await texts(agent, list("ab")) == ["a", "b"]
    assert begun == [["a"], ["a"], ["a", "b"]]


async def test_what_had_answered_everything_is_not_begun_again() -> None:
    """An error after the last answer is an error, and no reason to answer nothing once more."""

    @processor
    async def fails_at_the_end(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
        fail(ValueError("broken"))

    error, seen = await outcome(fails_at_the_end.retry(on=ValueError)(list("ab")))
    assert seen == ["a", "b"]
    assert notes(error)[-1] == (
        "fails_at_the_end was not tried again: it had answered all of its input"
    )


async def test_what_is_too_much_to_be_kept_is_not_tried_again() -> None:
    """Beyond 64 MiB without an answer the error comes as it is, and says why."""
    big = Part.audio(bytes(40 * 2**20))
    flaky = Flaky(1)
    error, _ = await outcome(flaky.model.retry(on=ValueError)([big, big]))
    assert notes(error)[-1] == (
        "flaky was not tried again: more than 64 MiB of its input had no answer yet, "
        "too much to be kept"
    )
    flaky = Flaky(3)
    assert await texts(flaky.model.retry(on=ValueError), [big]) == [""]
    assert len(flaky.log) == 4


async def test_an_error_of_the_input_is_not_tried_again() -> None:
    """What the source raises ends the run, as itself, once."""
    log = []

    async def breaks() -> AsyncIterator[str]:
        log.append("begun")
        yield "a"
        raise ValueError("unplugged")

    error, seen = await outcome(Flaky(0).stream.retry(on=ValueError)(breaks()))
    assert (str(error), seen, notes(error)) == ("unplugged", ["A"], ["in source"])
    assert (log, now()) == (["begun"], 0.0)


async def test_a_stage_that_dies_while_it_waits_is_begun_anew() -> None:
    """A connection lost between two parts is made again; each time counts from the last answer."""
    begun = []

    @processor
    async def connection(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        begun.append(now())
        run = current_run()

        async def lose() -> None:
            await asyncio.sleep(5.0)
            raise ConnectionError("lost")

        run.start(lose(), "lose")
        async for part in stream:
            yield part

    agent = connection.retry(on=ConnectionError, attempts=2, timeout=6.0, wait_jitter=0)
    script = [(4.0 * n, str(n)) for n in range(5)]
    assert await texts(agent, timeline(script)) == list("01234")
    assert begun == [0.0, 5.1, 10.2, 15.3]


async def test_a_stage_that_cannot_connect_is_tried_again_from_its_beginning() -> None:
    """Failing before anything was read counts from when it began; then it gets everything."""
    begun: list[float] = []

    @processor
    async def connects(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        begun.append(now())
        if len(begun) < 4:
            fail(ConnectionError("refused"))
        async for part in stream:
            yield part

    agent = connects.retry(on=ConnectionError, wait_initial=1.0, wait_exp_base=1, wait_jitter=0)
    assert await texts(agent, list("ab")) == ["a", "b"]
    assert begun == [0.0, 1.0, 2.0, 3.0]
    begun.clear()
    tight = connects.retry(
        on=ConnectionError, timeout=2.0, wait_initial=1.0, wait_exp_base=1, wait_jitter=0
    )
    error, _ = await outcome(tight(list("ab")))
    assert notes(error)[-1] == "connects was tried 3 times"


async def test_time_before_the_first_input_counts_from_the_beginning() -> None:
    """A connection that takes long to be refused has had that time when it is tried again."""

    @processor
    async def connects(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        await asyncio.sleep(1.5)
        fail(ConnectionError("refused"))
        yield Part("never")

    agent = connects.retry(on=ConnectionError, timeout=3.0, wait_initial=1.0, wait_jitter=0)
    error, _ = await outcome(agent("a"))
    assert notes(error)[-1] == "connects was tried 2 times"
    assert now() == 4.0


async def test_leaving_while_it_waits_for_another_try_takes_no_time() -> None:
    """A consumer that is cancelled in the wait is cancelled at once."""
    task = asyncio.create_task(
        texts(Flaky(9).stream.retry(on=ValueError, wait_initial=100.0, wait_max=100.0), "b")
    )
    await asyncio.sleep(50.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert now() == 50.0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_retries_can_be_switched_off_and_made_quick_as_stamina_does() -> None:
    """`stamina.set_active` and `stamina.set_testing` do here what they do elsewhere."""
    agent = Flaky(2).stream.retry(on=ValueError)
    with stamina.set_testing(True, attempts=5):
        assert await texts(agent, "b") == ["B"]
    assert now() == 0.0
    stamina.set_active(False)
    try:
        error, _ = await outcome(Flaky(2).stream.retry(on=ValueError)("b"))
    finally:
        stamina.set_active(True)
    assert str(error) == "broken 1"
    assert now() == 0.0


@pytest.mark.parametrize("attempts", [0, -1])
def test_no_attempt_is_refused(attempts: int) -> None:
    """A stage that is never tried is no stage."""
    with pytest.raises(StageError, match=f"attempts={attempts}: flaky is tried once at least"):
        Flaky(0).stream.retry(on=ValueError, attempts=attempts)


def test_without_stamina_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, the error names the extra, when the retry is made."""
    monkeypatch.setitem(sys.modules, "stamina", None)
    with pytest.raises(ModelMissing, match=r"pip install 'vivace\[retry\]'"):
        Flaky(0).stream.retry(on=ValueError)


def test_nothing_is_loaded_before_a_retry_is_asked_for() -> None:
    """`import vivace`, fallbacks and limits load neither stamina nor tenacity."""
    code = (
        "import sys, vivace\n"
        "p = vivace.part_processor(len)\n"
        "p.fallback(p).timeout(first_s=1)\n"
        "print(sorted({'stamina', 'tenacity'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# == together


@pytest.mark.virtual(seeds=10)
async def test_limit_retry_and_fallback_together() -> None:
    """Each try has its limit, then there is another try, then the other one; nothing is lost."""
    begun = []

    @processor
    async def hangs_at_b(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        begun.append(now())
        async for part in stream:
            if part.text == "b":
                await asyncio.sleep(1000.0)
            yield part.derive(body=part.text.upper())

    agent = (
        hangs_at_b.timeout(total_s=2.0)
        .retry(on=TimeoutError, attempts=3, wait_jitter=0)
        .fallback(spare)
    )
    seen = [part async for part in agent(list("abc"))]
    assert [part.text for part in seen if part.text] == ["A", "*b", "*c"]
    assert [it["event"] for it in news(seen)] == ["retrying", "retrying", "fallback"]
    assert begun == [0.0, 2.1, 4.3]
    assert now() == 6.3


async def numbers(log: list[str], count: int = 1000, every_s: float = 0.0) -> AsyncGenerator[Part]:
    """A source that tells what was pulled, and that it was closed."""
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(f"pull {n}")
            yield Part(str(n))
    finally:
        log.append("closed")


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Machine(), capacity=2)


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


def fails_at_2() -> Processor:
    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "2":
                raise ValueError("broken")
            yield part

    return fails


AGENTS: dict[str, Callable[[], Processor]] = {
    "fallback": lambda: copy.fallback(spare),
    "has taken over": lambda: fails_at_2().fallback(copy),
    "timeout": lambda: copy.timeout(first_s=50.0, total_s=90.0),
    "retry": lambda: copy.retry(on=ValueError),
    "has retried": lambda: Flaky(3, "2").stream.retry(on=ValueError, wait_jitter=0),
    "driven": lambda: Driven().fallback(Driven()).timeout(total_s=90.0),
    "parts": lambda: part_processor(lambda part: part).retry(on=ValueError).fallback(spare),
    "all": lambda: copy + copy.timeout(first_s=50.0).retry(on=OSError).fallback(copy) + copy,
}


async def exhausted(agent: Processor, log: list[str]) -> None:
    assert await texts(agent, numbers(log, 5)) == list("01234")


async def left_by_break(agent: Processor, log: list[str]) -> None:
    async for part in agent(numbers(log)):
        if part.text == "3":
            break
    del part
    await asyncio.sleep(BOUND_S)


async def left_by_break_in_a_block(agent: Processor, log: list[str]) -> None:
    async with agent.run(numbers(log)) as parts:
        async for part in parts:
            if part.text == "3":
                break


async def cancelled_while_it_waits(agent: Processor, log: list[str]) -> None:
    task = asyncio.create_task(texts(agent, numbers(log, every_s=10.0)))
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def cancelled_while_it_works(agent: Processor, log: list[str]) -> None:
    async def consume() -> None:
        async with agent.run(numbers(log)) as parts:
            async for _ in parts:
                await asyncio.sleep(0.75)

    task = asyncio.create_task(consume())
    await asyncio.sleep(3.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def failed_behind_it(agent: Processor, log: list[str]) -> None:
    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "3":
                raise KeyError("behind")
            yield part

    error, _ = await outcome((agent + fails)(numbers(log)))
    assert isinstance(error, KeyError)


async def collected(agent: Processor, log: list[str]) -> None:
    parts = agent(numbers(log))
    await anext(parts)
    cycle: list[Any] = [parts]
    cycle.append(cycle)
    del parts, cycle
    gc.collect()
    await asyncio.sleep(BOUND_S)


ENDS = [
    exhausted,
    left_by_break,
    left_by_break_in_a_block,
    cancelled_while_it_waits,
    cancelled_while_it_works,
    failed_behind_it,
    collected,
]


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS.keys())
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.virtual(seeds=6)
async def test_however_a_run_ends_nothing_is_left(
    agent: Callable[[], Processor], end: Callable[[Processor, list[str]], Awaitable[None]]
) -> None:
    """Whatever ends it, before and after a failure: all tasks are gone, the source is closed."""
    log: list[str] = []
    await end(agent(), log)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log.count("closed") == 1


@pytest.mark.parametrize("name", ["fallback", "timeout", "retry"])
async def test_a_policy_within_a_stage_closes_what_it_reads(name: str) -> None:
    """Used inside a `call` over a generator of its own, it leaves nothing open."""
    log: list[str] = []

    class Guards(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            return AGENTS[name]().call(numbers(log))

    async with Guards().run(None) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
    assert log[-1] == "closed"


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS.keys())
@pytest.mark.virtual(seeds=6)
async def test_a_policy_reads_no_further_ahead(agent: Callable[[], Processor]) -> None:
    """With a policy a stage pulls as many parts for one taken as without, or fewer."""
    log: list[str] = []
    async with agent().run(numbers(log)) as parts:
        await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) <= 5


@pytest.mark.parametrize("kind", ["waits", "cleans", "swallows"])
@pytest.mark.virtual(seeds=6)
async def test_leaving_a_guarded_stage_that_hangs_is_bounded(kind: str) -> None:
    """Leaving takes two seconds at most, whatever the stage does, and closes the source."""
    release, log, begun = asyncio.Event(), list[str](), asyncio.Event()

    @processor
    async def hangs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                begun.set()
                while kind == "swallows" and not release.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await release.wait()
                await release.wait()
                yield part
        finally:
            if kind == "cleans":
                await release.wait()

    agent = copy + hangs.timeout(first_s=100.0).retry(on=OSError).fallback(copy) + copy
    parts = agent(numbers(log))
    first = asyncio.create_task(anext(parts))
    await begun.wait()
    await asyncio.sleep(1.0)
    at = now()
    with pytest.warns(AbandonedTask) if kind == "swallows" else nothing():
        first.cancel()
        await asyncio.wait([first])
        await parts.aclose()
    took, log_then = now() - at, list(log)
    release.set()
    await asyncio.sleep(5.0)
    assert took <= (0.0 if kind == "waits" else BOUND_S)
    assert log_then[-1] == "closed"


async def test_a_hundred_runs_share_one_object() -> None:
    """State belongs to the run: each fails, retries and falls back on its own."""

    def make() -> Processor:
        return Flaky(100).stream.retry(on=ValueError, wait_jitter=0.5).timeout(
            total_s=60.0
        ) + fails_at_2().fallback(spare)

    agent = make()
    tasks = [asyncio.create_task(texts(agent, ["a", "b", "2", "c"])) for _ in range(100)]
    await asyncio.wait(tasks)
    assert [task.result() for task in tasks] == [["A", "B", "*2", "*C"]] * 100


async def test_a_long_stream_with_many_failures_leaves_nothing_behind() -> None:
    """A stage that fails again and again is begun anew each time, and each time forgotten."""
    runs: list[Run] = []
    odd = [0]

    @part_processor
    def every_other_time(part: Part) -> Part:
        odd[0] += 1
        if odd[0] % 2:
            raise ValueError("broken")
        return part

    @processor
    async def remembers(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        async for part in stream:
            yield part

    agent = remembers + every_other_time.retry(on=ValueError, wait_initial=0, wait_jitter=0)
    count = 0
    async for part in agent(Part("x") for _ in range(300)):
        count += not part.substream
        if count == 300:
            gc.collect()
            done = [it for it in gc.get_objects() if isinstance(it, asyncio.Task) and it.done()]
            assert len(done) < 10
            assert len(runs[0].opened) < 20
    assert odd[0] == 600
