"""Detectors beside a stream, on virtual time: the stream waits for none of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

from vivace.errors import FlowError, StageError
from vivace.flow.part_processor import part_processor
from vivace.flow.pressure import Pressure
from vivace.flow.processor import Processor, processor
from vivace.machines.confirm import ConfirmRules, Transition
from vivace.machines.sighting import Sighting
from vivace.models import Scripted
from vivace.part import Data, Event, Part, SpeechStarted
from vivace.processors.detect_events import EventProcessor
from vivace.processors.detector import Detector, answered, awaitable
from vivace.testing.script import play

pytestmark = pytest.mark.virtual


def texts(*each: tuple[float, str]) -> list[tuple[float, Part]]:
    return [(at, Part(text, at=at)) for at, text in each]


async def events(
    detectors: Any, script: list[tuple[float, Any]], **rules: Any
) -> list[tuple[float, str]]:
    """When each event came, and what it was; all else must come when it went in, in order."""
    seen = await play(EventProcessor(detectors, **rules), script)
    passed = [(at, it) for at, it in seen if not isinstance(it.body, Event) and not it.substream]
    assert passed == script
    return [(at, it.body.type) for at, it in seen if isinstance(it.body, Event)]


async def status(detectors: Any, script: list[tuple[float, Any]], **rules: Any) -> list[Any]:
    seen = await play(EventProcessor(detectors, **rules), script)
    news = [(at, it.body.value) for at, it in seen if isinstance(it.body, Data)]
    return [(at, it["event"], it.get("error", "")) for at, it in news]


# -- whatever detects -------------------------------------------------------------------------


async def slow(part: Part) -> str:
    """Takes a second, and sees what the text says."""
    await asyncio.sleep(1.0)
    return part.text


async def test_the_stream_waits_for_no_detector() -> None:
    """Parts come out when they go in; an event comes when it is known, with its media time."""
    eye = EventProcessor([slow])
    seen = await play(eye, texts((0.0, "a"), (0.25, "b"), (0.5, "c")))
    assert seen == [
        *texts((0.0, "a"), (0.25, "b"), (0.5, "c")),
        (1.0, Part(Event("a", "slow", latency_s=1.0), at=0.0)),
        (2.0, Part(Event("c", "slow", latency_s=1.5), at=0.5)),
    ]
    assert (eye.events_detected, eye.totals.skipped_busy) == (2, 1)
    assert eye.detection_latency == 1.0
    assert eye.last_run == eye.totals


async def test_a_detector_that_hangs_delays_nothing() -> None:
    """It is stopped at its limit, also if that is after the end of the stream."""

    async def hangs(part: Part) -> None:
        await asyncio.Event().wait()

    detector = Detector(hangs, time_limit_s=2.0)
    seen = await status([detector, slow], texts((0.0, "a"), (0.25, "b")))
    error = "TimeoutError: no answer within 2 s"
    assert seen == [(2.0, "failed", error), (4.0, "failed", error)]


async def test_detectors_run_side_by_side() -> None:
    """As many as may; the one that has waited longest is next."""

    async def also_slow(part: Part) -> str:
        return await slow(part)

    script = texts((0.0, "a"), (3.0, "b"))
    both = [slow, also_slow]
    assert [at for at, _ in await events(both, script)] == [1.0, 1.0, 4.0, 4.0]
    one = await events(both, script, max_concurrent_detections=1)
    assert [at for at, _ in one] == [1.0, 2.0, 4.0, 5.0]


def plain(part: Part) -> bool:
    assert threading.current_thread() is not threading.main_thread()
    return part.text == "a"


def generates(part: Part) -> Iterator[str]:
    assert threading.current_thread() is not threading.main_thread()
    yield part.text
    yield part.text * 2


async def streams(part: Part) -> AsyncIterator[Any]:
    yield part.text
    await asyncio.sleep(0.5)
    yield Sighting("late")


class Eye:
    """An object that is called."""

    async def __call__(self, part: Part) -> dict[str, Any]:
        return {"type": part.text, "confidence": 0.5}


@processor
async def reads(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part  # what it was given
        yield Part(SpeechStarted(0.0))
        yield Part("note", substream="status")
        yield Part(Event(f"seen {part.text}", confidence=0.5))


@part_processor(match=lambda part: part.text == "a")
def matches(part: Part) -> Part:
    return Part("match")


@pytest.mark.parametrize(
    ("detector", "seen"),
    [
        (plain, ["plain"]),
        (lambda part: part.text, ["a", "b"]),
        (generates, ["a", "aa", "b", "bb"]),
        (streams, ["a", "late", "b", "late"]),
        (Eye(), ["a", "b"]),
        (partial(slow), ["a", "b"]),
        (lambda part: slow(part), ["a", "b"]),
        (reads, ["seen a", "seen b"]),
        (matches, ["match"]),
        (Scripted(["cat"]), ["cat", "cat"]),
        (Scripted(['```json\n{"type": "cat"}\n```']), ["cat", "cat"]),
        (Scripted(['[{"type": "cat"}, "dog"]']), ["cat", "dog", "cat", "dog"]),
    ],
)
async def test_whatever_detects(detector: Any, seen: list[str]) -> None:
    """Functions of every kind and processors: what they return or yield is what they see."""
    script = texts((0.0, "a"), (3.0, "b"))
    assert [type for _, type in await events([detector], script)] == seen


async def test_what_a_processor_says_aside_is_passed_on() -> None:
    """On its side lane, for whoever watches."""
    seen = await play(EventProcessor([reads]), texts((0.0, "a")))
    assert [it.text for _, it in seen if it.substream] == ["note"]


async def test_each_run_has_its_own_state() -> None:
    """Two conversations do not confirm each other; the counts are of both."""
    eye = EventProcessor([Detector(slow, rules=ConfirmRules(n=2, m=2))])
    for _ in range(2):
        seen = await play(eye, texts((0.0, "a")))
        assert not any(isinstance(it.body, Event) for _, it in seen)
    assert (eye.totals.detections, eye.last_run.detections) == (2, 1)
    seen = await play(eye, texts((0.0, "a"), (2.0, "a")))
    assert (eye.events_detected, eye.events_debounced) == (1, 0)


async def test_an_event_is_seen_by_no_detector() -> None:
    """Unless a predicate asks for it: of two event processors in a row, one sees the other's."""
    first = EventProcessor([Detector(lambda part: "cat", name="eye")])

    def follows(part: Part) -> bool:
        return isinstance(part.body, Event)

    second = EventProcessor(
        [
            Detector(lambda part: "any", name="all"),
            Detector(lambda part: "again", name="mind", on=follows),
        ]
    )
    seen = await play(first + second, texts((0.0, "a")))
    assert sorted(it.body.type for _, it in seen if isinstance(it.body, Event)) == [
        "again", "any", "cat",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("on", "seen"),
    [("text", "t"), ("audio", "a"), ("image", "i"), ("any", "taid"), (lambda part: part.at, "x")],
)
async def test_what_it_looks_at(on: Any, seen: str) -> None:
    """Text, audio, images, all of them and data, or what a predicate takes."""
    kinds = {"Image": "i", "str": "t", "Audio": "a", "Data": "d", "SpeechStarted": "x"}

    def kind(part: Part) -> str:
        return kinds[type(part.body).__name__]

    script = [
        (0.0, Part("x")),
        (0.5, Part.audio(b"\0\0")),
        (1.0, Part.image(b"x")),
        (1.5, Part(Data(1))),
        (2.0, Part(SpeechStarted(1.0), at=1.0)),
    ]
    assert "".join(type for _, type in await events([Detector(kind, on=on)], script)) == seen


# -- what goes wrong --------------------------------------------------------------------------


async def raises(part: Part) -> None:
    raise ValueError("no eyes")


async def ghosts(part: Part) -> AsyncIterator[str]:
    while True:
        yield "ghost"


@processor
async def floods(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        while True:
            yield part.derive(body="ghost")


@pytest.mark.parametrize(
    ("detector", "told"),
    [
        (raises, "ValueError: no eyes"),
        (lambda part: 7, "PartError: detector returned 7, which is no event"),
        (ghosts, "PartError: ghosts sees more than 64 things at once"),
        (floods, "PartError: floods sees more than 64 things at once"),
        (Scripted(["x" * 70]), "PartError: scripted sees something of type 'xxx"),
        (Scripted(["x" * 10_001]), "PartError: an answer of more than 10000 characters"),
        (Scripted(['{"type": ']), "PartError: the answer '{\"type\":' is no JSON"),
    ],
)
async def test_what_fails_is_told(detector: Any, told: str) -> None:
    """On `status`, each time; the stream goes on, and others see what they see."""
    [(at, event, error)] = await status([detector, slow], texts((0.0, "a")))
    assert (at, event) == (0.0, "failed")
    assert error.startswith(told)


async def test_who_fails_too_often_is_switched_off() -> None:
    """And tried again later."""
    script = texts(*((float(at), "a") for at in range(7)))
    told = await status([raises], script, failures=2, retry_after_s=3.0)
    assert [(at, event) for at, event, _ in told] == [
        (0.0, "failed"), (1.0, "failed"), (1.0, "switched_off"), (4.0, "failed"),
        (4.0, "switched_off"),
    ]  # fmt: skip


async def test_a_function_has_one_thread_at_most() -> None:
    """While one that was given up is at work, the next call has failed; then it is called again."""
    go, begun = threading.Event(), threading.Event()

    def look(part: Part) -> str:
        begun.set()
        go.wait(10)
        return part.text

    looks: Any = awaitable(look, "eye")
    task = asyncio.create_task(looks(Part("a")))
    await asyncio.to_thread(begun.wait, 10)
    with pytest.raises(FlowError, match="detector eye is still at work on an earlier part"):
        await looks(Part("b"))
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait([task])
    assert await looks(Part("c")) == "c"


async def test_no_thread_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too many hang already, the call has failed; once there is room, it is called."""
    looks: Any = awaitable(lambda part: part.text, "eye")
    with monkeypatch.context() as full:
        full.setattr("vivace.flow.worker._LEFT_BEHIND", 0)
        with pytest.raises(FlowError, match="so none is begun for detector eye"):
            await looks(Part("a"))
    assert await looks(Part("a")) == "a"


async def test_under_pressure_detectors_do_less() -> None:
    """The stream passes as ever; what was not looked at is counted, and all comes back."""
    script = texts((0.0, "a"), (2.0, "b"), (4.0, "c"))
    eye = EventProcessor([slow])
    async with Pressure() as pressure:
        level = asyncio.get_running_loop().call_at
        level(1.5, setattr, pressure.shedding, "level", 2)
        level(3.5, setattr, pressure.shedding, "level", 0)
        seen = await play(eye, script)
        assert pressure.shed == {"detectors": 1}
    assert [it for it in seen if not isinstance(it[1].body, Event)] == script
    assert [(at, it.body.type) for at, it in seen if isinstance(it.body, Event)] == [
        (1.0, "a"),
        (5.0, "c"),
    ]
    assert (eye.totals.detections, eye.totals.skipped_shed) == (2, 1)


async def test_a_detector_that_is_cancelled_from_inside_has_failed() -> None:
    """At once, like any other error, and not at its time limit."""

    async def cancelled(part: Part) -> None:
        raise asyncio.CancelledError

    error = "FlowError: detector cancelled was cancelled from inside"
    assert await status([cancelled], texts((1.0, "a"))) == [(1.0, "failed", error)]


async def test_what_is_made_as_it_is_asked_for_is_made_in_the_thread() -> None:
    """A plain function may return the work instead of doing it."""
    threads: list[str] = []

    def see(text: str) -> str:
        threads.append(threading.current_thread().name)
        return text

    def lazy(part: Part) -> Iterator[str]:
        return map(see, ["a"])

    assert await events([lazy], texts((1.0, "x"))) == [(1.0, "a")]
    assert threads == ["detector lazy"]


def test_outputs_of_transitions_are_parts() -> None:
    """What none can be made of is told at the beginning: later it would end the stream."""
    for output in (object(), Transition(output=["It rains.", 7])):
        with pytest.raises(StageError, match=r"the transition \('\*', 'rain'\): a builtins"):
            Detector(plain, rules=ConfirmRules(transitions={("*", "rain"): output}))


async def test_leaving_early_stops_detectors() -> None:
    """A consumer who has enough waits for no detector, and leaves no task behind."""
    stopped = []

    async def hangs(part: Part) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(part.text)

    async with EventProcessor([hangs]).run(["a", "b"]) as parts:
        async for part in parts:
            if part.text == "b":
                break
    assert stopped == ["a"]


# -- what makes no sense ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"detect": 7}, "7 detects nothing; give a function of a part, or a processor"),
        ({"detect": slow, "on": "smell"}, "on='smell' is not known; use one of"),
        ({"detect": slow, "triggers_turn": "now"}, "triggers_turn='now': use True, 'after' or"),
        ({"detect": slow, "time_limit_s": 0.0}, "time_limit_s=0.0: no detector is as fast"),
    ],
)
async def test_detectors_that_make_no_sense(given: dict[str, Any], why: str) -> None:
    """They are refused, saying what would do."""
    with pytest.raises(StageError, match=why):
        Detector(**given)


async def test_two_of_one_name() -> None:
    """Nobody could tell their events apart."""
    with pytest.raises(StageError, match="two detectors are named slow; give one another name="):
        EventProcessor([slow, Detector(slow)])
    EventProcessor([slow, Detector(slow, name="other")])


async def test_nothing_to_detect_with() -> None:
    """A detector without a function must have a session of its own."""
    with pytest.raises(StageError, match="Detector has neither `detect` nor a `session`"):
        Detector().session()


async def test_names() -> None:
    """The function's, the processor's, the class's; what has none is a "detector"."""
    names = [Detector(it).name for it in (slow, Eye(), lambda part: None, Scripted(["x"]))]
    assert names == ["slow", "Eye", "detector", "scripted"]
    turns = [Detector(slow, triggers_turn=it).triggers_turn for it in (False, True, "over")]
    assert turns == ["", "after", "over"]


async def test_answers() -> None:
    """JSON is read, also in a fence; all else is text."""
    assert answered(' {"a": [1]} ') == {"a": [1]}
    assert answered('```\n["a"]\n```') == ["a"]
    assert answered('Here it is: ```json\n{"a": 1}``` as asked.') == {"a": 1}
    assert answered(" yes\n") == "yes"


def test_it_is_a_processor() -> None:
    """With the name that errors and traces use."""
    assert isinstance(EventProcessor([]), Processor)
    assert EventProcessor([]).name == "event_processor"
