"""The shape of a program, without models: a turn-based model made live, over typed text."""

import asyncio

from vivace import LiveModelProcessor, part_processor
from vivace.models import Scripted
from vivace.part import Part


@part_processor
def shout(part: Part) -> Part:
    """A part function: one part in, any number out; what it does not know, it passes."""
    return part.derive(body=part.text.upper()) if part.text else part


async def main() -> None:
    agent = LiveModelProcessor(Scripted(["Hello to you too."]) + shout)
    async for part in agent("Hello."):
        if part.text and part.role == "model" and not part.substream:
            print(part.text, end="", flush=True)
    print()


asyncio.run(main())
