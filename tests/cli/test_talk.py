"""A conversation on virtual time: the caller, the agent with fake models, and what is booked."""

import asyncio
import io
from collections.abc import AsyncIterator

import pytest
from rich.console import Console

from vivace.cli.caller import Caller, Line, Manners
from vivace.cli.recording import Recording
from vivace.cli.screen import Screen
from vivace.cli.talk import hold
from vivace.cli.view import Lines, View
from vivace.errors import ModelError
from vivace.flow.clock import now
from vivace.flow.processor import Processor, processor
from vivace.live.live_model import LiveModelProcessor
from vivace.models.scripted import Scripted
from vivace.part import Part
from vivace.processors.detect_speech import DetectSpeech
from vivace.processors.detect_turn import DetectTurn
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.processors.speak import Speak
from vivace.processors.transcribe import Transcribe
from vivace.testing.fakes import FakeDetector, FakeTranscriber, FakeTurnDetector, FakeVoice

pytestmark = pytest.mark.virtual

TEXTS = ("hello there", "stop that now", "")
LONG = "one two three four five six seven eight nine ten"


def line(number: int, seconds: float, over_s: float | None = None) -> Line:
    """So loud that the fakes know which text it is."""
    return Line(
        TEXTS[number], (1000 + number).to_bytes(2, "little") * int(16_000 * seconds), over_s
    )


def agent(model: Processor) -> Processor:
    ears = DetectSpeech(FakeDetector()) + Transcribe(FakeTranscriber(TEXTS))
    mind = LiveModelProcessor(model + Speak(FakeVoice()))
    return ears + DetectTurn(FakeTurnDetector()) + mind + AudioRateLimiter()


def lines_view(recording: Recording) -> tuple[View, io.StringIO]:
    out = io.StringIO()
    return Lines(Console(file=out, width=200), recording), out


async def test_a_conversation_from_the_first_line_to_hanging_up() -> None:
    """A turn, an interruption, a cough: every side is booked, on one clock."""
    caller = Caller([line(0, 1.0), line(1, 1.4, 1.5), line(2, 0.3, 0.5)])
    recording = Recording()
    shown, out = lines_view(recording)
    await hold(agent(Scripted([LONG, "alpha beta gamma delta"])), caller, recording, shown)
    first, second = recording.turns[1], recording.turns[2]
    assert first.audible_at is not None
    assert caller.spoken[1].start == pytest.approx(first.audible_at + 1.5, abs=0.021)
    assert (first.heard_text, first.interrupted_at is None) == ("one two three four five", False)
    assert second.prompt[1] == {"role": "model", "text": "one two three four five"}
    assert (second.heard_text, second.interrupted_at) == ("alpha beta gamma delta", None)
    assert len(second.held) == 1
    assert recording.floor[-1].label == "idle"
    assert recording.duration == pytest.approx(recording.floor[-1].start + 1.0, abs=0.021)
    said = [line.split("s  ", 1)[1] for line in out.getvalue().splitlines()]
    assert said[0] == "user   hello there"
    assert "agent  is interrupted; heard: one two three four five" in said
    assert said[-1] == "agent  alpha beta gamma delta"


async def test_a_model_that_cannot_answer_ends_the_conversation() -> None:
    """Its own sentence is raised, and nothing waits for the caller's other lines."""

    @processor
    async def broken(stream):  # type: ignore[no-untyped-def]
        async for _ in stream:
            raise ModelError("the server is on fire; put it out")
        yield

    recording = Recording()
    shown, _ = lines_view(recording)
    with pytest.raises(ModelError, match="the server is on fire"):
        await hold(agent(broken), Caller([line(0, 1.0), line(1, 1.0)]), recording, shown)


@pytest.mark.parametrize("reads", [True, False])
async def test_an_agent_that_never_ends_is_left(reads: bool) -> None:
    """Whether it keeps silent or does not even listen, 30 s after the last sound it is over."""

    @processor
    async def stuck(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
            if not reads:
                break
        await asyncio.Event().wait()

    caller, recording = Caller([line(0, 1.0)], manners=Manners(unheard_s=2.0)), Recording()
    shown, _ = lines_view(recording)
    before = now()
    await hold(stuck, caller, recording, shown)
    assert now() - before == pytest.approx(recording.duration + 30.0, abs=0.05)


async def test_a_timeout_of_the_agent_is_its_own() -> None:
    """A TimeoutError that comes out of the agent is no end of the conversation."""

    @processor
    async def late(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
            raise TimeoutError("too late")

    shown, _ = lines_view(Recording())
    with pytest.raises(TimeoutError, match="too late"):
        await hold(late, Caller([line(0, 1.0)]), Recording(), shown)


@pytest.mark.parametrize("width", [80, 120])
async def test_the_screen(width: int) -> None:
    """All that matters is on it, and no line is wider than the terminal."""
    out = io.StringIO()
    console = Console(file=out, width=width, height=30, force_terminal=True, legacy_windows=False)
    recording = Recording()
    screen = Screen(console, recording, "script:a")
    await hold(
        agent(Scripted([LONG])), Caller([line(0, 1.0), line(1, 1.4, 1.5)]), recording, screen
    )
    with console.capture() as captured:
        console.print(screen.frame(1.0))
    frame = captured.get()
    for text in ("nobody speaks", "hello there", "stop that now", "transcript", "cut at"):
        assert text in frame
    plain = Console(width=width, color_system=None, file=io.StringIO())
    with plain.capture() as captured:
        plain.print(screen.frame(1.0))
    assert max(map(len, captured.get().splitlines())) <= width
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1
