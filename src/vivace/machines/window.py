"""What the model is told: the pinned prefix, and the newest whole turns that fit.

This file owns which parts of a conversation are in the prompt. Nothing kept is reordered, and what
follows the pinned prefix starts with the user.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from vivace.errors import PartError
from vivace.part import Part, Response

__all__ = ["Window"]


class _Entry(msgspec.Struct, frozen=True):
    part: Part
    added_at: float


class Window:
    """Keeps the parts of a conversation within a number of parts and an age.

    max_parts: parts at most, pinned ones included. duration_s: parts older than this leave, a whole
    turn at a time. A single turn that is too long or too old by itself loses its oldest parts; the
    newest part always stays. Pinned parts (high priority, or the system's) never leave and never
    move; when they fill the half of `max_parts`, one more raises PartError.

    Once a bound is reached, so many turns leave that the window is down to three quarters of it: a
    prompt whose beginning changes at every turn cannot be cached by whoever reads it.
    """

    def __init__(self, max_parts: int = 1000, duration_s: float = 600.0) -> None:
        if max_parts < 4:
            raise PartError(f"a prompt of {max_parts} parts holds no conversation; use 4 or more")
        self._max_parts = max_parts
        self._duration_s = duration_s
        self._pinned: list[Part] = []
        self._tail: deque[_Entry] = deque()
        # Where turns begin, counted from the first part that ever came: the tail begins at
        # `dropped`. Noted as parts come, so that nobody has to look for them later.
        self._starts: deque[int] = deque()
        self.dropped: int = 0

    def add(self, part: Part, now: float, *, pinned: bool = False) -> None:
        """Add a part; what no longer fits leaves."""
        if pinned or part.role == "system":
            if len(self._pinned) >= self._max_parts // 2:
                raise PartError(
                    f"{len(self._pinned)} parts are pinned already; raise max_parts or pin less"
                )
            self._pinned.append(part)
        else:
            if _is_asking(part) and not (self._tail and _is_asking(self._tail[-1].part)):
                self._starts.append(self.dropped + len(self._tail))
            self._tail.append(_Entry(part, now))
        self._trim(now)

    def parts(self) -> list[Part]:
        """The prompt: pinned parts first, each group in the order it was added."""
        return [*self._pinned, *(entry.part for entry in self._tail)]

    @property
    def pinned(self) -> int:
        """How many of the parts are pinned: the first ones."""
        return len(self._pinned)

    def __len__(self) -> int:
        return len(self._pinned) + len(self._tail)

    def _trim(self, now: float) -> None:
        # O(1) a part: every part leaves once, and nothing is looked at unless something leaves.
        if len(self) > self._max_parts:
            self._drop_turns(lambda: len(self) > self._max_parts * 3 // 4)
            self._drop_oldest(lambda: len(self) > self._max_parts)
        oldest = now - self._duration_s
        enough = oldest + self._duration_s / 4
        if self._is_older(oldest):
            self._drop_turns(lambda: self._is_older(enough))
        if self._is_older(oldest):
            self._drop_oldest(lambda: self._is_older(enough))
        self._drop_beheaded()

    def _is_older(self, at: float) -> bool:
        return bool(self._tail) and self._tail[0].added_at < at

    def _drop_turns(self, too_much: Callable[[], bool]) -> None:
        """Drop turns from the old end while it is too much; the newest turn stays whole."""
        while too_much() and (end := self._second_turn()) is not None:
            self._drop(end)

    def _drop_oldest(self, too_much: Callable[[], bool]) -> None:
        """A single turn beyond the bound: its oldest parts have to go after all."""
        while too_much() and len(self._tail) > 1:
            self._drop(self.dropped + 1)

    def _drop_beheaded(self) -> None:
        """What is left of a turn without its question leaves when the next turn begins."""
        if self.dropped and not _is_asking(self._tail[0].part):
            end = self._second_turn()
            if end is not None:
                self._drop(end)

    def _second_turn(self) -> int | None:
        """Where the second turn of the tail begins; None if there is only one."""
        while self._starts and self._starts[0] <= self.dropped:
            self._starts.popleft()
        return self._starts[0] if self._starts else None

    def _drop(self, end: int) -> None:
        while self.dropped < end:
            self._tail.popleft()
            self.dropped += 1


def _is_asking(part: Part) -> bool:
    # A tool's response is not a turn of the user: it stays with its call.
    return part.role == "user" and not isinstance(part.body, Response)
