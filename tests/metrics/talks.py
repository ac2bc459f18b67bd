"""Conversations whose every number is known, for tests of what is measured."""

from typing import Any

from vivace.flow.processor import Processor
from vivace.live.live_model import LiveModelProcessor
from vivace.models.scripted import Scripted
from vivace.processors.detect_speech import DetectSpeech
from vivace.processors.detect_turn import DetectTurn
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.processors.speak import Speak
from vivace.processors.transcribe import Transcribe
from vivace.testing.fakes import Caller, FakeDetector, FakeTranscriber, FakeTurnDetector, FakeVoice

LONG = "one two three four five six seven"


def agent(caller: Caller, *replies: str, **manners: Any) -> Processor:
    """Ears, a model that says `replies`, a voice of 0.3 s a word, and a limiter."""
    return (
        DetectSpeech(FakeDetector())
        + Transcribe(FakeTranscriber(caller.texts))
        + DetectTurn(FakeTurnDetector())
        + LiveModelProcessor(Scripted(replies) + Speak(FakeVoice()), **manners)
        + AudioRateLimiter()
    )


async def hold(caller: Caller, *replies: str, **manners: Any) -> None:
    """Hold the conversation to its end."""
    async with agent(caller, *replies, **manners).run(caller) as parts:
        async for _ in parts:
            pass
