"""The agent that `vivace talk` talks to."""

from __future__ import annotations

from typing import Protocol

from vivace.cli.interrupt import Checkpoint
from vivace.flow.processor import Processor
from vivace.live.live_model import LiveModelProcessor
from vivace.models.hibari import Hibari
from vivace.models.silero import Silero
from vivace.models.smart_turn import SmartTurn
from vivace.models.whisper import Whisper
from vivace.processors.detect_speech import DetectSpeech
from vivace.processors.detect_turn import DetectTurn
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.processors.speak import Speak
from vivace.processors.tool import ToolSource
from vivace.processors.transcribe import Transcribe

__all__ = ["build", "load"]


class Around(Protocol):
    """Puts an agent together around a model. tools: that the agent runs when the model calls."""

    def __call__(
        self, model: Processor, pacer: AudioRateLimiter, tools: ToolSource = ()
    ) -> Processor: ...


def build(model: Processor, pacer: AudioRateLimiter, check: Checkpoint) -> Processor:
    """Load the ears and the voice (this blocks), and put the agent together around `model`.

    check: called between two loads; it may raise.
    """
    return load(check)(model, pacer)


def load(check: Checkpoint) -> Around:
    """Load the ears and the voice: what puts an agent together around a model, any number."""
    ears = Silero.load()
    check()
    transcriber = Whisper.load()
    check()
    turns = SmartTurn.load()
    check()
    voice = Hibari.load()
    check()
    hear = DetectSpeech(ears) + Transcribe(transcriber) + DetectTurn(turns)

    def around(model: Processor, pacer: AudioRateLimiter, tools: ToolSource = ()) -> Processor:
        return hear + LiveModelProcessor(model + Speak(voice), tools=tools) + pacer

    return around
