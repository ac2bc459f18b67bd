"""What the program wants said or asked, and what the agent begins by itself.

This file owns their order. Each waits until nobody speaks and nothing is owed to the user.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

from vivace.errors import StageError
from vivace.part import Ask, Say

__all__ = ["MOST_WISHES", "TOO_MANY_WISHES", "Agenda", "Initiative"]

MOST_WISHES = 16  # more than that nobody wants to listen to
TOO_MANY_WISHES = f"{MOST_WISHES} wishes wait already; say less at once"


class Initiative(msgspec.Struct, frozen=True):
    """What the agent begins by itself.

    greeting: said at the start; True lets the model begin, with the prompt as it is.
    idle_s: after so many seconds of silence, counted from the end of what was heard, the model is
        asked, once until the user is heard again. idle_prompt: what it is told then, in the user's
        place; "" for nothing.
    """

    greeting: str | bool = False
    idle_s: float = math.inf
    idle_prompt: str = "(The user has said nothing for a while.)"

    def __post_init__(self) -> None:
        if not self.idle_s > 0:
            raise StageError(
                f"an idle prompt after {self.idle_s:g} s would never stop; give seconds above 0"
            )


class Agenda:
    """What waits to be said or asked."""

    def __init__(self, initiative: Initiative | None = None) -> None:
        self._initiative = initiative or Initiative()
        self._waiting: deque[Say | Ask] = deque()
        self._idle_told = False
        match self._initiative.greeting:
            case True:
                self._waiting.append(Ask())
            case str(text) if text:
                self._waiting.append(Say(text))

    def add(self, wish: Say | Ask) -> str:
        """Take a wish of the program's; return why not, "" if it was taken."""
        if len(self._waiting) >= MOST_WISHES:
            return TOO_MANY_WISHES
        self._waiting.append(wish)
        return ""

    def next(self) -> Say | Ask | None:
        """What is to be done now that nobody speaks."""
        return self._waiting.popleft() if self._waiting else None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def clear(self) -> None:
        """Nothing of it is wanted any more."""
        self._waiting.clear()

    # -- silence ------------------------------------------------------------------------------

    @property
    def idle_prompt(self) -> str:
        """What the model is told when the user has been silent."""
        return self._initiative.idle_prompt

    def user_was_heard(self) -> None:
        """From now on silence counts again."""
        self._idle_told = False

    def idle_due(self, silent_since: float) -> float:
        """When the user's silence is to be broken."""
        return math.inf if self._idle_told else silent_since + self._initiative.idle_s

    def idle(self) -> None:
        """It is being broken."""
        self._idle_told = True
