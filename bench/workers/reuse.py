"""A long conversation, and what of it is sent to a model, by three ways to keep a prompt."""

from __future__ import annotations

from collections import deque
from typing import Any

from vivace import Part, RollingPrompt
from vivace.machines.measure import count_tokens

__all__ = ["reuse"]


async def reuse(turns: int, max_tokens: int) -> dict[str, Any]:
    """Tokens sent over `turns` turns of some 60 tokens, and which share of them a cache has.

    A cache has what the prompt before began with. rolling: ours. naive: all that was ever said.
    sliding: as many of the newest parts as are within `max_tokens`.
    """
    prompt = RollingPrompt(max_tokens=max_tokens)
    prompt.add_part(Part("You are a friendly voice assistant. " * 4, role="system"))
    said: list[Part] = list(prompt.parts())
    window: deque[Part] = deque()
    sent = {"naive": 0, "sliding": 0, "sliding_reused": 0}
    before: list[Part] = []
    for number in range(turns):
        question = Part(f"Question {number}: what is there to know about the number {number}?")
        reply = Part(f"The number {number} is one more than {number - 1}. " * 5, role="model")
        for part in (question, reply):
            said.append(part)
            window.append(part)
            prompt.add_part(part)
            if part is question:
                pending = prompt.pending()
                prompt.finalize_pending()
                async for _ in pending:
                    pass
                while sum(map(count_tokens, window)) > max_tokens - count_tokens(said[0]):
                    window.popleft()
                now = [said[0], *window]
                sent["naive"] += sum(map(count_tokens, said))
                sent["sliding"] += sum(map(count_tokens, now))
                sent["sliding_reused"] += _same(before, now)
                before = now
    stats = prompt.statistics()
    return {
        "value": stats.reused_share,
        "sent": stats.prompt_tokens,
        "fresh": stats.prompt_tokens - stats.reused_tokens,
        "compactions": stats.compactions,
        "naive": sent["naive"],
        "naive_fresh": sum(map(count_tokens, said)),
        "sliding": sent["sliding"],
        "sliding_share": sent["sliding_reused"] / sent["sliding"],
        "sliding_fresh": sent["sliding"] - sent["sliding_reused"],
    }


def _same(before: list[Part], now: list[Part]) -> int:
    tokens = 0
    for old, new in zip(before, now, strict=False):
        if old is not new:
            break
        tokens += count_tokens(old)
    return tokens
