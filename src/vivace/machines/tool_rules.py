"""How the calls of a tool are treated, and when what it brings enters the conversation."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from vivace.errors import StageError

__all__ = ["Scheduling", "Timed", "ToolRules"]


class Scheduling(StrEnum):
    """When the result of a tool enters the conversation."""

    BLOCKING = "blocking"  # the reply waits for it, and goes on with it
    WHEN_IDLE = "when_idle"  # the model is told once nobody speaks
    SILENT = "silent"  # the model knows it when it is asked next
    INTERRUPT = "interrupt"  # the model is told at once, in the middle of a reply too


class ToolRules(msgspec.Struct, frozen=True):
    """How the calls of one tool are treated.

    timeout_s: a call that takes longer has failed. cancellable: an interruption of the reply that
    made the call stops it.
    """

    scheduling: Scheduling = Scheduling.BLOCKING
    timeout_s: float = 30.0
    cancellable: bool = False

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise StageError(f"timeout_s={self.timeout_s}: no tool is as fast; use more than 0")


class Timed(msgspec.Struct, frozen=True):
    """What a tool returns whose result says itself when it enters, instead of WHEN_IDLE."""

    result: object
    scheduling: Scheduling
