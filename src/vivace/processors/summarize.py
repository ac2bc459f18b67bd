"""Summaries written by a turn processor, for prompts that forget.

This file owns the doing of the `Summarize` jobs of a prompt: what a processor tells is taken as
text, within a time limit; when to ask, and what becomes of the text, is decided in `machines`.
"""

from __future__ import annotations

import asyncio

from vivace.flow.processor import Processor
from vivace.machines.window import Summarize
from vivace.part import is_side_lane

__all__ = ["summarized"]

_MOST_CHARS = 100_000  # of an answer: a hundred times what a summary may be; no more is read


async def summarized(job: Summarize, turn_processor: Processor) -> str:
    """What `turn_processor` makes of the job: the text that it yields, whatever its role.

    Side lanes and all that is no text are left out. Raises TimeoutError if it takes longer than the
    job allows, and whatever the processor raises.
    """
    text = ""
    async with asyncio.timeout(job.within_s):
        async with turn_processor.run(job.prompt) as parts:
            async for part in parts:
                if not is_side_lane(part.substream):
                    text += part.text
                if len(text) > _MOST_CHARS:
                    break
    return text
