"""An agent that watches a film and comments on it live, on this machine alone.

pip install 'vivace[local,vision,video]'; python examples/comment_video.py [film.mp4]
"""

import asyncio
import sys
from pathlib import Path

from vivace import (
    Audio,
    AudioRateLimiter,
    DetectSpeech,
    DetectTurn,
    Event,
    EventProcessor,
    Image,
    Inhibit,
    KeywordDetector,
    LiveModelProcessor,
    MotionDetector,
    SceneDetector,
    Speak,
    Transcribe,
    film,
    filter_parts,
)
from vivace.models import Hibari, Llama, Silero, SmartTurn, Whisper

eyes_and_ears = EventProcessor(
    [
        SceneDetector(triggers_turn="over"),  # more important than what is being said
        MotionDetector(triggers_turn="after"),
        KeywordDetector(["forward"]),
    ],
    inhibit=[Inhibit("scene", ("motion",), 1.0)],  # where all has changed, all has moved
)
commentator = Llama.load(
    system="You comment on a film for somebody who cannot see it, in one short sentence.",
    examples=[
        ("Something moves on the right.", "Look, there is something moving on the right!"),
        ("The picture has changed: it is mostly green now.", "A new scene, and it is all green."),
    ],
    sentences=1,
)
agent = (
    DetectSpeech(Silero.load())
    + Transcribe(Whisper.load())
    + DetectTurn(SmartTurn.load())
    + eyes_and_ears
    # This model is told of pictures; one that sees would get them.
    + filter_parts(lambda part: not isinstance(part.body, Image))
    + LiveModelProcessor(commentator + Speak(Hibari.load()))
    + AudioRateLimiter()
)


async def main(path: str) -> None:
    async for part in agent(film(path, fps=5)):
        match part.body:
            case Event(confidence=confidence) as event:
                print(f"\n{part.at:5.1f} s  {event.detector}, {confidence:.0%}: {event.told}")
            case str(text) if part.role == "user" and not part.metadata.get("interim"):
                print(f"\n{part.at:5.1f} s  somebody says: {text}")
            case Audio(words=words):  # 20 ms of the comment, as it is to be played
                print(words, end="", flush=True)


ours = Path(__file__).parent / "video" / "shapes.mp4"
asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else str(ours)))
