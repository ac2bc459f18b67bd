"""When a prompt is made shorter, and how far.

This file owns the policies that come with Vivace. Whatever a policy says, a prompt's limits hold.
"""

from __future__ import annotations

import math
from typing import ClassVar, Protocol

import msgspec

from vivace.errors import PartError
from vivace.machines.measure import Limits

__all__ = ["KeepAll", "LastTurns", "Load", "MaxAge", "Policy", "Rest", "TokenBudget"]


class Load(Protocol):
    """How much a prompt holds, as a policy sees it. Reading it costs next to nothing."""

    @property
    def parts(self) -> int:
        """Parts in it, pins and the summary among them."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes of their bodies."""
        ...

    @property
    def tokens(self) -> int:
        """Estimated tokens."""
        ...

    @property
    def turns(self) -> int:
        """Turns of the user that are there word for word."""
        ...

    @property
    def oldest_at(self) -> float:
        """When the oldest part that can leave was added; infinity if none can."""
        ...


class Policy(Protocol):
    """Says when parts have to leave, and when enough of them have.

    A gap between the two makes this rare: each time, the prompt begins differently, and whoever
    caches prompts by their beginning starts anew. The newest turn stays, whatever a policy says.
    A class attribute `reason` names it in the statistics; without one, its class's name does.
    """

    def due(self, load: Load, now: float) -> bool:
        """Is it time? Asked for every part that is added, and when a prompt is begun."""
        ...

    def enough(self, load: Load, now: float) -> bool:
        """Has enough left? Asked before each further turn leaves, the oldest first."""
        ...


class LastTurns(msgspec.Struct, frozen=True):
    """Keeps `turns` turns at most; once there is one more, only the newest `down_to` stay.

    Raises PartError unless 1 ≤ down_to ≤ turns.
    """

    turns: int
    down_to: int

    reason: ClassVar[str] = "turns"

    def __post_init__(self) -> None:
        _check(1 <= self.down_to <= self.turns, f"{self.down_to} of {self.turns} turns")

    def due(self, load: Load, now: float) -> bool:
        """One more than `turns` is there."""
        return load.turns > self.turns

    def enough(self, load: Load, now: float) -> bool:
        """No more than `down_to` are."""
        return load.turns <= self.down_to


class MaxAge(msgspec.Struct, frozen=True):
    """Keeps parts for `seconds`; once one is older, those older than three quarters of it leave.

    Raises PartError for less than 0 seconds.
    """

    seconds: float

    reason: ClassVar[str] = "age"

    def __post_init__(self) -> None:
        _check(self.seconds >= 0, f"{self.seconds} seconds")

    def due(self, load: Load, now: float) -> bool:
        """The oldest is too old."""
        return load.oldest_at < now - self.seconds

    def enough(self, load: Load, now: float) -> bool:
        """The oldest has a quarter of the time before it."""
        return load.oldest_at >= now - self.seconds * 0.75


class TokenBudget(msgspec.Struct, frozen=True):
    """Once the prompt is estimated at more than `trigger` tokens, parts leave down to `target`.

    Raises PartError unless 1 ≤ target ≤ trigger.
    """

    trigger: int
    target: int

    reason: ClassVar[str] = "budget"

    def __post_init__(self) -> None:
        _check(1 <= self.target <= self.trigger, f"from {self.trigger} to {self.target} tokens")

    def due(self, load: Load, now: float) -> bool:
        """It is above the trigger."""
        return load.tokens > self.trigger

    def enough(self, load: Load, now: float) -> bool:
        """It is down to the target."""
        return load.tokens <= self.target


class KeepAll(msgspec.Struct, frozen=True):
    """Keeps what there is room for."""

    reason: ClassVar[str] = "none"

    def due(self, load: Load, now: float) -> bool:
        """Never."""
        return False

    def enough(self, load: Load, now: float) -> bool:
        """Always."""
        return True


class Rest:
    """What would be left of a prompt: its load, as a policy sees it, once some has left.

    summary: how large the summary is. reserve: how large it may become.
    """

    def __init__(self, load: Load, summary: Limits, reserve: Limits) -> None:
        self.parts = load.parts - summary.parts + reserve.parts
        self.bytes = load.bytes - summary.bytes + reserve.bytes
        self.tokens = load.tokens - summary.tokens + reserve.tokens
        self.turns = load.turns
        self.oldest_at = math.inf

    def lose(self, size: Limits) -> None:
        """So much leaves."""
        self.parts -= size.parts
        self.bytes -= size.bytes
        self.tokens -= size.tokens


def _check(good: bool, what: str) -> None:
    if not good:
        raise PartError(f"a prompt cannot be kept to {what}; see docs/prompt.md for what can be")
