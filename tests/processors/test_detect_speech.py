import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from vivace.flow.clock import now
from vivace.machines.speech import SpeechRules
from vivace.part import Audio, Data, Part, SpeechEnded, SpeechStarted
from vivace.processors.detect_speech import DetectSpeech
from vivace.testing.fakes import Caller, FakeDetector

pytestmark = pytest.mark.virtual

LOUD, QUIET = b"\xe8\x03", b"\0\0"


def signals(parts: list[Part]) -> list[object]:
    return [part.body for part in parts if isinstance(part.body, SpeechStarted | SpeechEnded)]


class SlowDetector(FakeDetector):
    """Needs `takes_s` for each frame, and counts the streams it was asked for."""

    def __init__(self, takes_s: float = 0.001) -> None:
        self.takes_s = takes_s
        self.sessions = 0

    def session(self) -> Callable[[bytes], Awaitable[float]]:
        judge = super().session()
        self.sessions += 1

        async def slowly(pcm: bytes) -> float:
            await asyncio.sleep(self.takes_s)
            return await judge(pcm)

        return slowly


@pytest.mark.virtual(seeds=20)
async def test_starts_and_ends_come_at_their_places() -> None:
    """A start is told at the media time of its first frame, an end at that of the silence."""
    caller = Caller([(0.5, 1.0, "hello"), (1.5, 2.0, "there")], until=3.0)
    parts = [part async for part in DetectSpeech(FakeDetector())(caller)]
    # Frames of 32 ms, told by their loudest sample: 0.5 is in the 16th, 1.0 in the 32nd.
    frame = 0.032
    assert signals(parts) == [
        SpeechStarted(15 * frame),
        SpeechEnded(32 * frame),
        SpeechStarted(46 * frame),
        SpeechEnded(63 * frame),
    ]


async def test_all_audio_passes_once_and_in_order() -> None:
    """What goes in comes out, sample for sample; signals are added and nothing is taken."""
    caller = Caller([(0.5, 1.0, "hello")], until=2.0)
    source = [part async for part in caller]
    parts = [part async for part in DetectSpeech(SlowDetector())(Caller(caller.says, 2.0))]
    assert [part for part in parts if isinstance(part.body, Audio)] == source


async def test_sound_of_any_rate_is_understood() -> None:
    """A microphone of 48 kHz is heard too; what comes out has the detector's rate."""
    quiet = Part.audio(QUIET * 960, 48_000)
    loud = Part.audio(b"\xd0\x07" * 960, 48_000)
    source = [quiet.derive(at=n / 50) for n in range(25)]
    source += [loud.derive(at=0.5 + n / 50) for n in range(50)]
    source += [quiet.derive(at=1.5 + n / 50) for n in range(50)]

    async def microphone() -> AsyncIterator[Part]:
        for part in source:
            await asyncio.sleep(0.02)
            yield part

    parts = [part async for part in DetectSpeech(FakeDetector())(microphone())]
    assert {part.mimetype for part in parts if part.seconds} == {"audio/pcm;rate=16000"}
    started, ended = signals(parts)
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert started.at == pytest.approx(0.5, abs=0.04)
    assert ended.at == pytest.approx(1.5, abs=0.04)


async def test_rules_can_be_given() -> None:
    """Half a second of speech is too short when a whole one is asked for."""
    caller = Caller([(0.5, 1.0, "hello")], until=3.0)
    strict = DetectSpeech(FakeDetector(), SpeechRules(start_s=1.0))
    assert signals([part async for part in strict(caller)]) == []


async def test_each_run_has_a_session_of_its_own() -> None:
    """A detector that remembers is asked for one session a stream."""
    detector = SlowDetector()
    stage = DetectSpeech(detector)
    for _ in range(3):
        async for _ in stage(["text"]):
            pass
    assert detector.sessions == 3


async def test_a_detector_that_fails_is_reported_once() -> None:
    """A failing detector hears silence, says so once on `status`, and holds nothing back."""

    class Broken(FakeDetector):
        def session(self) -> Callable[[bytes], Awaitable[float]]:
            async def judge(pcm: bytes) -> float:
                raise ValueError("no weights")

            return judge

    caller = Caller([(0.5, 1.0, "hello")], until=2.0)
    parts = [part async for part in DetectSpeech(Broken())(caller)]
    news = [part.body.value for part in parts if isinstance(part.body, Data)]
    assert [(it["event"], it["error"]) for it in news] == [("failed", "no weights")]
    assert sum(part.seconds for part in parts) == pytest.approx(2.0)
    assert signals(parts) == []


@pytest.mark.parametrize("chunk_s", [0.02, 0.9, 3.0])
async def test_a_recording_read_at_once_is_heard_to_its_end(chunk_s: float) -> None:
    """Sound that comes faster than it plays, as from a file, is judged like any other."""
    pcm = QUIET * 8_000 + LOUD * 16_000 + QUIET * 24_000
    size = round(chunk_s * 16_000) * 2
    pieces = [pcm[start : start + size] for start in range(0, len(pcm), size)]
    parts = [part async for part in DetectSpeech(SlowDetector())(map(Part.audio, pieces))]
    assert signals(parts) == [SpeechStarted(0.48), SpeechEnded(1.504)]


@pytest.mark.parametrize("takes_s", [0.0, 0.001, 0.5])
@pytest.mark.virtual(seeds=20)
async def test_each_start_has_its_end(takes_s: float) -> None:
    """Also when the stream ends in the middle of speech, or just as it begins."""
    for until in (0.52, 0.54, 0.56, 0.58, 0.6, 0.7, 1.0):
        caller = Caller([(0.5, 2.0, "hello")], until=until)
        parts = [part async for part in DetectSpeech(SlowDetector(takes_s))(caller)]
        kinds = [type(it) for it in signals(parts)]
        assert kinds in ([], [SpeechStarted, SpeechEnded])


@pytest.mark.virtual(seeds=20)
async def test_leaving_while_the_microphone_waits_leaves_nothing() -> None:
    """With the detector far behind and the sound resampled, leaving closes everything."""
    source = [Part.audio(QUIET * 48_000, 48_000) for _ in range(20)]
    async with DetectSpeech(SlowDetector(0.5)).run(source) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert now() < 60.0
