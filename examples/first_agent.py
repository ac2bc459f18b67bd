"""A voice agent that runs on this machine alone, and a recording that talks to it."""

import asyncio

from vivace import (
    Audio,
    AudioRateLimiter,
    DetectSpeech,
    DetectTurn,
    LiveModelProcessor,
    Speak,
    Transcribe,
    microphone,
)
from vivace.models import Hibari, Llama, Silero, SmartTurn, Whisper

agent = (
    DetectSpeech(Silero.load())
    + Transcribe(Whisper.load())
    + DetectTurn(SmartTurn.load())
    + LiveModelProcessor(Llama.load() + Speak(Hibari.load()))
    + AudioRateLimiter()
)


async def main() -> None:
    async for part in agent(microphone("examples/speech/something.wav")):
        match part.body:
            case str(text) if part.role == "user" and not part.metadata.get("interim"):
                print("you:  ", text, "\nagent: ", end="")
            case Audio(words=words):  # 20 ms of sound, as it is to be played
                print(words, end="", flush=True)


asyncio.run(main())
