"""The replies of a live model's server, each with a number of ours.

This file owns which reply a message belongs to. The server numbers nothing: a reply begins with
what first comes of it, and ends with `turnComplete`; what comes after an interruption and before
that is the rest of the old one, and nobody hears it.
"""

from __future__ import annotations

import math

__all__ = ["ServerTurns"]

_TERMINAL_S = 10.0  # the longest that the rest of an interrupted reply is waited for
_STALLED_S = 30.0  # after all that came of a reply could have been played


class ServerTurns:
    """`turn` is the number of the newest reply; 0 before the first."""

    def __init__(self) -> None:
        self.turn: int = 0
        self.open: bool = False  # the newest reply goes on
        self.discarding: bool = False  # it was interrupted, and its end has not come
        self._due = math.inf
        self._plays_to = -math.inf
        self._void_to = 0

    @property
    def under_way(self) -> bool:
        """True until the server says that the newest reply has ended."""
        return self.open or self.discarding

    @property
    def plays_to(self) -> float:
        """When all the sound that has come of the newest reply could have been played."""
        return self._plays_to

    def begins(self, now: float) -> bool:
        """Something of a reply comes. True if it is the first of a new one."""
        if self.discarding:
            return False
        begins = not self.open
        if begins:
            self.turn = max(self.turn, self._void_to) + 1
            self.open = True
            self._plays_to = now
        self._due = max(now, self._plays_to) + _STALLED_S
        return begins

    def sounds(self, seconds: float, now: float) -> None:
        """So much sound of it has come."""
        self._plays_to = max(self._plays_to, now) + seconds
        self._due = self._plays_to + _STALLED_S

    def skip(self, turn: int) -> None:
        """Replies up to `turn` are void, also where there are none yet: the next is higher."""
        self._void_to = max(self._void_to, turn)

    def void(self, now: float) -> int:
        """The reply under way is over for whoever listens; its number, 0 if there is none."""
        if not self.open:
            return 0
        self.open, self.discarding = False, True
        self._due = now + _TERMINAL_S
        return self.turn

    def complete(self) -> int:
        """The server says that the reply has ended; its number, 0 if it had for us already."""
        ended = self.turn if self.open else 0
        self.open = self.discarding = False
        self._due = math.inf
        return ended

    def tick(self, now: float, *, waits: bool = False) -> int:
        """Time has passed. The number of a reply that has stalled and is over; else 0.

        waits: the server waits for tools of ours, which have limits of their own.
        """
        if now < self._due:
            return 0
        if waits and self.open:
            self._due = now + _STALLED_S
            return 0
        return self.complete()

    def deadline(self) -> float | None:
        """When `tick` is wanted next."""
        return None if self._due == math.inf else self._due
