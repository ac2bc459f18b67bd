import asyncio

import pytest

from vivace.machines.turn import TurnRules
from vivace.part import Data, Part, SpeechEnded, SpeechStarted, TurnEnded
from vivace.processors.detect_speech import DetectSpeech
from vivace.processors.detect_turn import DetectTurn
from vivace.processors.transcribe import Transcribe
from vivace.testing.fakes import Caller, FakeDetector, FakeTranscriber, FakeTurnDetector
from vivace.testing.script import play

pytestmark = pytest.mark.virtual


def script(*lines: tuple[float, object]) -> list[tuple[float, Part]]:
    """Signals at their own times, with a little audio before each of them."""
    return [(at, Part(body, at=at)) for at, body in lines]  # type: ignore[arg-type]


def outcome(seen: list[tuple[float, Part]]) -> list[tuple[float, object]]:
    return [
        (at, part.body)
        for at, part in seen
        if isinstance(part.body, TurnEnded) or (part.text and not part.metadata.get("interim"))
    ]


SPEECH = ((0.0, SpeechStarted(0.0)), (1.0, SpeechEnded(1.0)))


@pytest.mark.virtual(seeds=20)
async def test_a_sure_detector_ends_the_turn_when_it_answers() -> None:
    """The turn is over as soon as the detector says so: 0.5 s after the end of speech."""
    seen = await play(DetectTurn(FakeTurnDetector(1.0, 0.5)), [*script(*SPEECH), (5.0, "later")])
    assert outcome(seen)[0] == (1.5, TurnEnded(1.0))


@pytest.mark.virtual(seeds=20)
async def test_an_unsure_detector_leaves_it_to_silence() -> None:
    """Without certainty the longest silence ends the turn, at its exact time."""
    rules = TurnRules(longest_s=1.5)
    seen = await play(DetectTurn(FakeTurnDetector(0.1), rules), [*script(*SPEECH), (5.0, "later")])
    assert outcome(seen)[0] == (2.5, TurnEnded(1.0))


async def test_who_goes_on_has_not_finished() -> None:
    """Speech that begins again before the answer takes the turn on."""
    lines = [*SPEECH, (1.02, SpeechStarted(1.02)), (2.0, SpeechEnded(2.0))]
    seen = await play(DetectTurn(FakeTurnDetector(1.0, 0.05)), [*script(*lines), (5.0, "later")])
    assert [body for _, body in outcome(seen) if isinstance(body, TurnEnded)] == [TurnEnded(2.0)]


async def test_a_detector_that_fails_is_reported_and_silence_decides() -> None:
    """A broken detector makes turns end late, never not at all."""

    async def broken(pcm: bytes) -> float:
        await asyncio.sleep(0.05)
        raise ValueError("no weights")

    seen = await play(DetectTurn(broken), [*script(*SPEECH), (5.0, "later")])
    assert outcome(seen)[0] == (2.5, TurnEnded(1.0))
    news = [part.body.value for _, part in seen if isinstance(part.body, Data)]
    assert [(it["event"], it["error"]) for it in news] == [("failed", "no weights")]


async def test_the_end_of_the_stream_ends_the_turn() -> None:
    """Who switches the microphone off has finished."""
    seen = await play(DetectTurn(FakeTurnDetector(0.1)), script(*SPEECH))
    assert outcome(seen) == [(1.0, TurnEnded(1.0))]


@pytest.mark.parametrize("transcribe", [True, False])
@pytest.mark.virtual(seeds=4)
async def test_the_whole_ear(transcribe: bool) -> None:
    """With and without a transcriber each of two turns ends once; its text comes just before."""
    caller = Caller([(0.5, 1.0, "hello there"), (4.0, 4.5, "good bye")], until=8.0)
    ear = DetectSpeech(FakeDetector())
    if transcribe:
        ear = ear + Transcribe(FakeTranscriber(caller.texts))  # type: ignore[assignment]
    agent = ear + DetectTurn(FakeTurnDetector())
    parts = [part async for part in agent(caller)]
    bodies = [
        body
        for body in (part.body for part in parts if not part.metadata.get("interim"))
        if isinstance(body, str | TurnEnded)
    ]
    kinds = [body if isinstance(body, str) else "end" for body in bodies]
    assert kinds == (["hello there", "end", "good bye", "end"] if transcribe else ["end", "end"])
