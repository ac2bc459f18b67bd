"""An agent that watches a film, for real: pictures, voice and models, at natural speed."""

import asyncio
import os
import shutil
import subprocess
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.processors.clips import clip, square
from vivace import (
    Audio,
    AudioFormat,
    AudioRateLimiter,
    DetectSpeech,
    DetectTurn,
    Event,
    EventProcessor,
    Image,
    KeywordDetector,
    LiveModelProcessor,
    MotionDetector,
    Part,
    SceneDetector,
    Speak,
    SpeechSignals,
    Transcribe,
    WakePhraseDetector,
    film,
    filter_parts,
    part_processor,
    read_audio,
    screen,
)
from vivace.models import Hibari, Llama, Silero, SmartTurn, Whisper, store

pytestmark = pytest.mark.real

SPEECH = Path(__file__).parent.parent.parent / "examples" / "speech"
FPS = 5.0


def make(path: Path) -> Path:
    """A square that moves at 1 s, another scene at 4 s, and a voice from 6 s to its end."""
    still, other = [square(20)] * 25, [square(20, (200, 30, 30))] * 125
    moves = [square(20 + i * 8) for i in range(25)]
    voice = AudioFormat().silence(6.0) + read_audio(SPEECH / "goforward.wav")
    pictures = [*still, *moves, *[moves[-1]] * 50, *other]
    return clip(path, pictures, voice + AudioFormat().silence(1.0))


def test_an_agent_that_comments_on_a_film(tmp_path: Path) -> None:
    """What is seen and heard are events at their media time; it speaks of what it is to."""
    store.pull(["silero", "smart-turn", "whisper-tiny.en", "smollm2"])
    path = make(tmp_path / "film.mkv")
    late: list[float] = []
    started: list[float] = []

    @part_processor
    def clocked(part: Part) -> Part:
        if isinstance(part.body, Image):
            at = asyncio.get_running_loop().time()
            assert part.at is not None
            started[:] = started or [at]
            late.append(at - started[0] - part.at)
        return part

    eye = EventProcessor(
        [
            MotionDetector(triggers_turn="after"),
            SceneDetector(),
            SpeechSignals(),
            KeywordDetector(["forward"]),
            WakePhraseDetector("go forward"),
        ]
    )
    agent = (
        DetectSpeech(Silero.load())
        + Transcribe(Whisper.load())
        + DetectTurn(SmartTurn.load())
        + eye
        + clocked
        + filter_parts(lambda part: not isinstance(part.body, Image))
        + LiveModelProcessor(Llama.load() + Speak(Hibari.load()))
        + AudioRateLimiter()
    )

    async def main() -> tuple[dict[str, list[float]], dict[int, float], list[str]]:
        events: dict[str, list[float]] = {}
        spoken: dict[int, float] = {}
        texts = []
        async for part in agent(film(path, fps=FPS)):
            match part.body:
                case Event(type=kind):
                    events.setdefault(kind, []).append(part.at or 0.0)
                case Audio(seconds=seconds):
                    spoken[part.turn] = spoken.get(part.turn, 0.0) + seconds
                case str(text) if part.role == "user" and not part.metadata.get("interim"):
                    texts.append(text)
        return events, spoken, texts

    events, spoken, texts = asyncio.run(main())
    print(f"\n{events}\nlatency {eye.detection_latency} s, pictures late {max(late):.3f} s at most")
    assert events["motion"][0] == 1.2
    assert events["scene"] == [4.0]
    assert [len(events[it]) for it in ("speech_started", "turn_ended")] == [1, 1]
    assert "forward" in " ".join(texts)
    assert events["forward"]
    assert events["wake"]
    assert spoken[1] > 0.3
    assert eye.totals.failures == 0


@pytest.mark.skipif(not shutil.which("Xvfb"), reason="needs a screen: apt-get install xvfb")
def test_a_screen() -> None:
    """A real one of X, at most as fast as asked for."""
    told, tells = os.pipe()
    command = ["Xvfb", "-displayfd", str(tells), "-screen", "0", "320x240x24"]
    server = subprocess.Popen(command, pass_fds=[tells], stderr=subprocess.DEVNULL)
    os.close(tells)
    try:
        with open(told) as display:
            name = f":{display.readline().strip()}"
        times = asyncio.run(shots(name))
    finally:
        server.terminate()
        server.wait()
    assert times[0] == 0.0
    assert all(after - before >= 0.1 - 1e-6 for before, after in pairwise(times))


async def shots(display: str) -> list[float]:
    """The media times of three pictures."""
    times: list[float] = []
    async with aclosing(screen(display, fps=10)) as parts:
        async for part in parts:
            assert part.bytes[:2] == b"\xff\xd8"
            times.append(part.at or 0.0)
            if len(times) == 3:
                break
    return times
