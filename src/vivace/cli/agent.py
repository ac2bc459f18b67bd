"""The agent that `vivace talk` talks to."""

from __future__ import annotations

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
from vivace.processors.transcribe import Transcribe

__all__ = ["build"]


def build(model: Processor, pacer: AudioRateLimiter, check: Checkpoint) -> Processor:
    """Load the ears and the voice (this blocks), and put the agent together around `model`.

    check: called between two loads; it may raise.
    """
    ears = Silero.load()
    check()
    transcriber = Whisper.load()
    check()
    turns = SmartTurn.load()
    check()
    voice = Hibari.load()
    check()
    hear = DetectSpeech(ears) + Transcribe(transcriber) + DetectTurn(turns)
    return hear + LiveModelProcessor(model + Speak(voice)) + pacer
