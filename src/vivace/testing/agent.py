"""The agent of a simulated conversation: real stages around the cast's models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from vivace.flow.processor import Processor
from vivace.live.live_model import LiveModelProcessor
from vivace.machines.floor import FloorRules
from vivace.machines.interrupt import Interrupt
from vivace.processors.detect_speech import DetectSpeech
from vivace.processors.detect_turn import DetectTurn
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.processors.speak import Speak
from vivace.processors.tool import FunctionTool, tool
from vivace.processors.transcribe import Transcribe
from vivace.testing.dialogue import Dialogue, Manner
from vivace.testing.ears import Ears, chance
from vivace.testing.model import SimulatedVoice

__all__ = ["Agent", "Cast", "standard_agent"]


class Cast(msgspec.Struct, frozen=True):
    """Who takes part: what an agent is built of."""

    dialogue: Dialogue
    ears: Ears
    model: Processor
    voice: SimulatedVoice


Agent = Callable[[Cast], Processor]


def standard_agent(cast: Cast) -> Processor:
    """The agent of the README, with the cast's models and the dialogue's manner."""
    manner = cast.dialogue.manner
    return (
        DetectSpeech(cast.ears)
        + Transcribe(cast.ears.transcribe)
        + DetectTurn(cast.ears.judge_turn)
        + LiveModelProcessor(
            cast.model + Speak(cast.voice),
            interrupt=_interrupt(manner),
            false_interruption=manner.false_interruption,
            greeting=manner.greeting,
            idle_after_s=manner.idle_after_s,
            speculate=manner.speculate,
            rules=FloorRules(manner.quiet_s, manner.hold_s, manner.patience_s),
            answer_within_s=cast.dialogue.answer_within_s,
            tools=_tools(cast.dialogue),
        )
        + AudioRateLimiter()
    )


def _interrupt(manner: Manner) -> Interrupt:
    match manner.interrupt:
        case "at_once":
            return Interrupt.at_once
        case "after":
            return Interrupt.after(speech_s=0.5, words=1)
        case "never":
            return Interrupt.never
        case _:
            return Interrupt.unless_backchannel()


def _tools(dialogue: Dialogue) -> list[FunctionTool[..., Any]]:
    """Those that the replies call, if the agent runs them: each takes as long as its call says."""
    manner, draw = dialogue.manner, chance(dialogue.seed, "tools")
    if not manner.tools:
        return []

    async def does(takes_s: float) -> str:
        await asyncio.sleep(takes_s * (1 + dialogue.timing.jitter * draw.random()))
        return "done"

    names = {call.name for reply in dialogue.replies for call in reply.calls}
    return [
        tool(name=name, scheduling=manner.tools, cancellable=manner.cancellable)(does)
        for name in sorted(names)
    ]
