"""What is heard: loud, quiet, and the signals of speech; with exact times."""

from array import array
from typing import Any

import pytest

from vivace.audio import AudioFormat
from vivace.errors import StageError
from vivace.machines.confirm import ConfirmRules
from vivace.part import Event, Part, SpeechEnded, SpeechStarted, TurnEnded
from vivace.processors.detect_events import EventProcessor
from vivace.processors.detect_sound import SoundDetector, SpeechSignals
from vivace.processors.detect_speech import DetectSpeech
from vivace.processors.detect_turn import DetectTurn
from vivace.processors.detector import Detector
from vivace.testing.fakes import Caller, FakeDetector, FakeTurnDetector
from vivace.testing.script import play

pytestmark = pytest.mark.virtual

FORMAT = AudioFormat()


def level(db: float, seconds: float, at: float | None = None) -> Part:
    """A square wave of so many decibels of full scale."""
    high = round(32_768 * 10 ** (db / 20))
    pcm = array("h", [high, -high]).tobytes() * (FORMAT.frames(seconds) // 2)
    return Part.audio(pcm, at=at)


async def events(detector: Detector, *parts: Part) -> list[tuple[float, str]]:
    """What is told, and the media time of the part that it is told of."""
    at, script = 0.0, []
    for part in parts:
        script.append((at, part.derive(at=at)))
        at = round(at + part.seconds, 6)
    seen = await play(EventProcessor([detector], debounce_time=0.0), script)
    return [(it.at or 0.0, it.body.type) for _, it in seen if isinstance(it.body, Event)]


def chunks(*levels: tuple[float, float]) -> list[Part]:
    """20 ms chunks: so many decibels for so long."""
    return [level(db, 0.02) for db, seconds in levels for _ in range(round(seconds / 0.02))]


async def test_loud_and_quiet() -> None:
    """Sound after three loud chunks, silence after a second of quiet; each once."""
    detector = SoundDetector(sound_s=0.06, silence_s=1.0)
    told = await events(detector, *chunks((-60, 0.5), (-20, 0.5), (-60, 1.5), (-20, 0.1)))
    assert told == [(0.54, "sound"), (1.98, "silence"), (2.54, "sound")]


async def test_silence_from_the_start() -> None:
    """A microphone that nobody speaks into is silent, too."""
    assert await events(SoundDetector(silence_s=1.0), *chunks((-60, 3.0))) == [(0.98, "silence")]


async def test_a_click_and_a_pause_are_neither() -> None:
    """Shorter than asked for, or between the levels."""
    detector = SoundDetector(silence_s=1.0)
    click = chunks((-20, 0.04), (-40, 0.2), (-60, 0.9), (-40, 0.2), (-60, 0.9))
    assert await events(detector, *click) == []


async def test_long_chunks_are_judged_in_steps() -> None:
    """However sound comes, as long as it is the same sound; the level is told."""
    part = Part.audio(level(-50, 1.0).bytes + level(-20, 0.2).bytes + bytes(32_000))
    seen = await play(EventProcessor([SoundDetector(silence_s=1.0)], 0.0), [(0.0, part)])
    told = [it.body for _, it in seen if isinstance(it.body, Event)]
    # One detection sees a type once.
    assert [(it.type, it.data) for it in told] == [
        ("silence", {"db": -50.0}),
        ("sound", {"db": -20.0}),
    ]


@pytest.mark.parametrize(
    "given", [{"loud_db": -50.0}, {"sound_s": 0.0}, {"silence_s": -1.0}, {"silence_s": 0.0}]
)
def test_levels_that_make_no_sense(given: dict[str, Any]) -> None:
    """They are refused."""
    with pytest.raises(StageError, match="use "):
        SoundDetector(**given)


async def test_the_ears_are_told_as_events() -> None:
    """What the detectors before it have heard, with their confidence and media time."""
    script = [
        (0.0, Part(SpeechStarted(1.0, 0.75), at=1.0)),
        (1.0, Part(SpeechEnded(2.0), at=2.0)),
        (2.0, Part(TurnEnded(2.0), at=2.0)),
        (3.0, Part("hello", at=3.0)),
    ]
    seen = await play(EventProcessor([SpeechSignals()]), script)
    assert [it for _, it in seen if isinstance(it.body, Event)] == [
        Part(Event("speech_started", "speech", 0.75), at=1.0),
        Part(Event("speech_ended", "speech"), at=2.0),
        Part(Event("turn_ended", "speech"), at=2.0),
    ]


async def test_other_parts_are_no_speech() -> None:
    """Also where a predicate lets them in."""
    detector = SpeechSignals(on=lambda part: True, rules=ConfirmRules())
    seen = await play(EventProcessor([detector]), [(0.0, "hello")])
    assert [it.body for _, it in seen] == ["hello"]


async def test_behind_real_ears() -> None:
    """Speech and the end of the turn, from a microphone, as the stages before tell them."""
    ears = DetectSpeech(FakeDetector()) + DetectTurn(FakeTurnDetector())
    agent = ears + EventProcessor([SpeechSignals()])
    seen = []
    async with agent.run(Caller([(0.5, 1.5, "hello")], until=3.0)) as parts:
        async for part in parts:
            if isinstance(part.body, Event):
                seen.append((part.at, part.body.type))
    assert seen == [(0.48, "speech_started"), (1.504, "speech_ended"), (1.504, "turn_ended")]
