"""How a session with a live model on a server is held."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from vivace.machines.connection import ConnectionRules
from vivace.machines.floor import FloorRules
from vivace.machines.interrupt import Interrupt
from vivace.machines.outbound import Message
from vivace.models.live_facts import LiveFacts

__all__ = ["WORDS", "OnSilence", "Seed", "SessionRules", "TextAs"]

WORDS = Interrupt.unless_backchannel(long_s=math.inf)
"""Words cut a reply of a server's. Sound alone does not, however long it is: the server hears it,
too, and says if it is speech; and a reply that was cut for nothing cannot be brought back."""

OnSilence: TypeAlias = Literal["tell", "nudge", "reconnect"]
TextAs: TypeAlias = Literal["realtime", "content"]
Seed: TypeAlias = Callable[[list[tuple[str, str]]], Message | None]
"""Makes a message of what was said, each a role and a text; None if there is nothing to tell."""


class SessionRules(msgspec.Struct, frozen=True):
    """How a session is held; see `LiveProcessor` for most.

    automatic: the server detects speech. transcribed: it tells what it understood. linger_s: at the
    end of an input in which nothing was heard, an answer is waited for so long. nudge: what the
    model is told so that it answers.
    """

    model: str
    facts: LiveFacts = LiveFacts()
    text_as: TextAs = "realtime"
    automatic: bool = True
    transcribed: bool = True
    answer_within_s: float = 15.0
    on_silence: OnSilence = "tell"
    nudge: str = "(Please answer.)"
    linger_s: float = 2.0
    connection: ConnectionRules = ConnectionRules()
    interrupt: Interrupt = WORDS
    floor: FloorRules = FloorRules()
    stamp: bool = True
