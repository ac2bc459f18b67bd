"""What the program wants said or asked by a model on a server, until the server may be told of it.

This file owns what waits, in which order, and how long the user must be taken to be speaking. One
wish is told at a time: the server takes the next for the user's words, and drops what it was saying
to the one before.
"""

from __future__ import annotations

import math

import msgspec

from vivace.errors import PartError
from vivace.live.agenda import MOST_WISHES, TOO_MANY_WISHES

__all__ = ["SessionWishes", "UserVoice"]

_LONGEST_S = 30.0  # nobody speaks so long without a pause that a detector hears: its end was lost


class _Wish(msgspec.Struct, frozen=True):
    text: str
    seen: bool
    cuts_in: bool


class SessionWishes:
    """What the server is to be told, as texts."""

    def __init__(self) -> None:
        self._waiting: list[_Wish] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, text: str) -> None:
        """A wish of the program's. Raises PartError if too many wait."""
        if sum(not it.seen for it in self._waiting) >= MOST_WISHES:
            raise PartError(TOO_MANY_WISHES)
        self._waiting.append(_Wish(text, seen=False, cuts_in=False))

    def add_seen(self, text: str, *, cuts_in: bool) -> None:
        """Something was seen, of which the model is to speak. cuts_in: and not to wait for long.

        If too much waits, the oldest is let go.
        """
        self._waiting.append(_Wish(text, seen=True, cuts_in=cuts_in))
        seen = [it for it in self._waiting if it.seen]
        if len(seen) > MOST_WISHES:
            self._waiting.remove(seen[0])

    @property
    def cut_in(self) -> bool:
        """True if something does not wait until the agent is silent."""
        return any(it.cuts_in for it in self._waiting)

    def take(self, *, cuts_in: bool = False) -> str:
        """What is told next. Of all that was seen by then it is told at once.

        cuts_in: that comes first.
        """
        first = self._waiting[0]
        if not (cuts_in or first.seen):
            return self._waiting.pop(0).text
        seen = [it.text for it in self._waiting if it.seen]
        self._waiting = [it for it in self._waiting if not it.seen]
        return "\n".join(seen)

    def clear(self) -> None:
        """Nothing of it is wanted any more."""
        self._waiting.clear()


class UserVoice:
    """Until when the user must be taken to be speaking, or to have more to say, as far as signals
    and levels tell; -inf if they are silent.

    patience_s: of a pause that nobody ends. speaking: says a detector.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since = -math.inf  # media time
        self._loud_since = math.inf
        self.speaking: bool = False
        self.until: float = -math.inf

    def began(self, at: float, now: float) -> None:
        """A detector hears speech, from media time `at` on."""
        self.speaking, self._since = True, at
        self.until = now + _LONGEST_S

    def ended(self, now: float, *, turn_follows: bool) -> None:
        """It has ended. turn_follows: somebody tells whether the turn has, too."""
        self.speaking = False
        self.until = now + self._patience_s if turn_follows else -math.inf

    def lets_go(self, at: float) -> bool:
        """True if the end of a turn, at media time `at`, is that of a speech whose end nobody told.

        As of a key; else it is that of a turn before, told late.
        """
        return self.speaking and not at <= self._since

    def turn_ended(self) -> None:
        """So has the turn: what is waited for now is the answer."""
        if not self.speaking:
            self.until = -math.inf

    def loud(self, now: float, *, over: bool) -> None:
        """It is loud, and no detector tells whether that is speech. over: not any more."""
        self._loud_since = min(self._loud_since, now)
        self.until = now + self._patience_s
        if over:
            self._loud_since = math.inf
        else:
            self.until = min(self.until, self._loud_since + _LONGEST_S)

    def finish(self) -> None:
        """Nothing more will be heard of them."""
        self.speaking, self.until = False, -math.inf
