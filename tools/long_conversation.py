"""Sixty turns with the local model, in a prompt of a few hundred tokens; drawn for docs/prompt.md.

`python tools/long_conversation.py` holds the conversation, tells how it went and draws
docs/prompt.png; `make prompt` does that. What is said early is asked late: the name, said in
passing, is left to the summary; what has a keyword or is pinned outlives its turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vivace import Part, Processor, PromptStatistics, RollingPrompt
from vivace.cli.ink import CUT, HEARD, INK, LINE, PAPER, QUIET, USER

MAX_TOKENS = 600
FACTS = {
    1: "Hello there. My name is Ann Whitfield and I live in Leeds.",
    4: "The meeting with the architect is on Thursday at 4 o'clock.",
    6: "Please remember that my locker has the code 7312.",
}
PINNED = {8: "I am allergic to peanuts."}
QUESTIONS = {
    57: ("What is my name?", "Ann Whitfield"),
    58: ("On which day is the meeting?", "Thursday"),
    59: ("What is the code of my locker?", "7312"),
    60: ("What am I allergic to?", "peanuts"),
}
TALK = (
    "What is a good way to start the day?",
    "Do you think it will rain later?",
    "Tell me something about whales.",
    "And how do they sleep?",
    "Which tree grows fastest?",
    "I went for a walk in the park.",
    "There was a dog with a red ball.",
    "What would you cook tonight?",
    "How do bees find their way home?",
    "Let us talk about the sea.",
)


@dataclass
class Turn:
    """One turn: the user's text, the reply, and the prompt between them."""

    asked: str
    reply: str = ""
    tokens: int = 0
    compactions: int = 0
    prompt: str = ""
    verbatim: bool = False


@dataclass
class Talk:
    """A conversation that was held."""

    turns: list[Turn] = field(default_factory=list)
    statistics: PromptStatistics | None = None
    naive: list[int] = field(default_factory=list)


async def hold(model: Processor, turns: int = 60, max_tokens: int = MAX_TOKENS) -> Talk:
    """Hold the conversation; the prompt of every turn is checked against its limit."""
    talk, said = Talk(), 0
    prompt = RollingPrompt(duration_sec=3600.0, max_tokens=max_tokens)
    prompt.add_part(Part("You answer in one short sentence.", role="system"))
    for number in range(1, turns + 1):
        text = FACTS.get(number) or PINNED.get(number) or QUESTIONS.get(number, ("", ""))[0]
        turn = Turn(text or TALK[number % len(TALK)])
        prompt.add_part(Part(turn.asked), "high" if number in PINNED else "normal")
        pending = prompt.pending()
        prompt.finalize_pending()
        parts = [part async for part in pending]
        stats = prompt.statistics()
        turn.tokens, turn.compactions = stats.tokens, stats.compactions
        turn.prompt = "\n".join(part.text for part in parts[:-1])
        if stats.tokens > max_tokens:
            raise AssertionError(f"{stats.tokens} tokens in turn {number}")
        async for part in model(parts):
            turn.reply += part.text
        prompt.add_part(Part(turn.reply.strip() or "Hm.", role="model"))
        said += (len(turn.asked) + len(turn.reply)) // 4
        talk.naive.append(said)
        talk.turns.append(turn)
    talk.statistics = prompt.statistics()
    return talk


def missing(talk: Talk) -> list[str]:
    """The facts that were not in the prompt when they were asked for."""
    return [
        fact
        for number, (_, fact) in QUESTIONS.items()
        if number <= len(talk.turns) and fact not in talk.turns[number - 1].prompt
    ]


def draw(talk: Talk, path: Path, max_tokens: int = MAX_TOKENS) -> None:
    """Tokens over turns, with compactions marked, beside all that was said."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), facecolor=PAPER, dpi=150)
    axes: Any = figure.add_axes((0.07, 0.13, 0.9, 0.72))
    axes.set_facecolor(PAPER)
    turns = range(1, len(talk.turns) + 1)
    tokens = [turn.tokens for turn in talk.turns]
    axes.plot(turns, talk.naive, color=QUIET, linewidth=1.2, linestyle="--")
    axes.plot(turns, tokens, color=HEARD, linewidth=2.0, marker="o", markersize=3)
    axes.axhline(max_tokens, color=CUT, linewidth=1.0)
    axes.text(1, max_tokens + 12, f"max_tokens={max_tokens}", size=9, color=CUT)
    for before, at in zip(talk.turns, range(2, len(talk.turns) + 1), strict=False):
        if talk.turns[at - 1].compactions > before.compactions:
            axes.axvline(at - 0.5, color=USER, linewidth=1.0, alpha=0.6)
    top = max_tokens * 1.45
    for number in [*FACTS, *PINNED, *QUESTIONS]:
        colour = USER if number in QUESTIONS else INK
        axes.annotate("▾", (number, 0), color=colour, ha="center", size=9)
    axes.set_ylim(0, top)
    axes.set_xlim(0, len(talk.turns) + 1)
    axes.set_xlabel("turn", color=INK)
    title = "Estimated tokens in the prompt: compactions (blue), all that was said (dashed)"
    axes.set_title(title, loc="left", size=11, weight="bold", color=INK, pad=10)
    axes.tick_params(colors=INK, length=0)
    axes.grid(True, color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.savefig(path, format="png")


def report(talk: Talk) -> str:
    """What is worth telling."""
    stats = talk.statistics
    assert stats is not None
    lines = [
        f"{len(talk.turns)} turns, at most {max(turn.tokens for turn in talk.turns)} tokens of "
        f"{MAX_TOKENS}; {stats.compactions} compactions; {stats.reused_share:.0%} of what was sent "
        f"stood in the prompt before; left: {dict(stats.evicted)}; pins: {stats.pins}",
    ]
    for number, (question, fact) in QUESTIONS.items():
        turn = talk.turns[number - 1]
        known = "in the prompt" if fact in turn.prompt else "NOT in the prompt"
        lines.append(f"{question} {fact}: {known}. The model: {turn.reply.strip()}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Hold, tell, draw."""
    from vivace.models import Llama

    model = Llama.load(history_turns=1000, examples=(), max_tokens=16, sentences=1, threads=2)
    talk = asyncio.run(hold(model))
    print(report(talk))
    path = Path(arguments[0] if arguments else "docs/prompt.png")
    draw(talk, path)
    return 1 if missing(talk) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
