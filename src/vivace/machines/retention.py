"""What outlives the turns that it was said in, and within what budget.

This file owns importance: what the program pins stays for good, what is found to be important stays
while there is room for it, and a summary has a share of its own. Neither can fill a prompt.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import TypeAlias

import msgspec

from vivace.machines.measure import Limits
from vivace.part import Audio, Part

__all__ = [
    "KEYWORDS",
    "PINS_SHARE",
    "SUMMARY_SHARE",
    "Important",
    "Keywords",
    "Pins",
    "Rank",
    "Unit",
    "is_marked",
]

PINS_SHARE = 2  # pinned parts have one half of a prompt: the other one is for the conversation
_SOFT_SHARE = 4  # and what was found to be important has a quarter at most, of that half
SUMMARY_SHARE = 8

KEYWORDS = ("error", "warning", "critical", "important", "remember")

Important: TypeAlias = Callable[[Part], bool]
"""Tells whether a part is important. Asked once for every part, when it is added."""


class Rank(IntEnum):
    """How long something stays."""

    NORMAL = 0  # until its turn leaves
    IMPORTANT = 1  # after its turn has left, while the budget has room and nothing newer takes it
    PINNED = 2  # for good


class Unit(msgspec.Struct, frozen=True, gc=False):
    """What enters and leaves as one: a part, or calls with their responses.

    seq: the number of its first part among all that were ever added; 1 is the first one.
    asks: it is the user's own, not a tool's response. starts: a turn begins with it.
    """

    parts: tuple[Part, ...]
    seq: int
    added_at: float
    tokens: int
    bytes: int
    rank: int = Rank.NORMAL
    asks: bool = False
    starts: bool = False


class Keywords:
    """True for parts whose text or spoken words have one of `words` in them, in any case.

    Only whole words count: "error" is not in "terrorist".
    """

    def __init__(self, words: Iterable[str] = KEYWORDS) -> None:
        self._words = tuple(word.lower() for word in words)
        choice = "|".join(re.escape(word) for word in self._words)
        self._whole = re.compile(rf"(?<!\w)(?:{choice})(?!\w)")

    def __call__(self, part: Part) -> bool:
        body = part.body
        text = body if isinstance(body, str) else body.words if isinstance(body, Audio) else ""
        if not text:
            return False
        text = text.lower()
        for word in self._words:  # five times as fast as the expression, which seldom has to look
            if word in text:
                return self._whole.search(text) is not None
        return False


def is_marked(metadata: Mapping[str, object]) -> bool:
    """True if whoever made a part marked it as important."""
    return bool(metadata.get("important"))


class Outlook:
    """What would have to leave if more came to what is only important."""

    def __init__(self, used: Limits, budget: Limits) -> None:
        self._used = used
        self._budget = budget

    def squeezed_out(self, unit: Unit) -> Limits:
        """`unit` comes, and so much leaves for it, or of it."""
        used = self._used.more(_size(unit))
        over = used.less(self._budget)
        self._used = used.less(over)
        return over


class Pins:
    """The parts that stay when their turns have left, in the order in which they were added."""

    def __init__(self, limits: Limits) -> None:
        self.units: list[Unit] = []
        self.budget = limits.share(PINS_SHARE)
        self._soft_budget = limits.share(_SOFT_SHARE)
        self._soft: deque[Unit] = deque()
        self._soft_use = Limits(0, 0, 0)
        self.held = Limits(0, 0, 0)  # all that is pinned for good, wherever it still stands

    def room(self, parts: int, size: int, tokens: int) -> str:
        """What is short to pin so much more for good, as "tokens"; "" if nothing is."""
        held = self.held
        return self.budget.exceeded(held.parts + parts, held.bytes + size, held.tokens + tokens)

    def hold(self, unit: Unit) -> None:
        """`unit` will never leave."""
        self.held = self.held.more(_size(unit))

    def release(self, unit: Unit) -> None:
        """It has, after all: it was replaced."""
        self.held = self.held.less(_size(unit))

    def keep(self, unit: Unit) -> list[Unit]:
        """The turn around `unit` leaves, and it stays; return what has to leave for it."""
        self.units.append(unit)
        if unit.rank != Rank.IMPORTANT:
            return []
        self._soft.append(unit)
        self._soft_use = self._soft_use.more(_size(unit))
        return self.fit()

    def fit(self, budget: Limits | None = None) -> list[Unit]:
        """Let the oldest of what was only found important go, until the rest is in its budget."""
        budget = self._soft_limits() if budget is None else budget
        gone: list[Unit] = []
        while self._soft and budget.exceeded(
            self._soft_use.parts, self._soft_use.bytes, self._soft_use.tokens
        ):
            gone.append(self._soft.popleft())
            self._soft_use = self._soft_use.less(_size(gone[-1]))
        if gone:
            numbers = {unit.seq for unit in gone}
            self.units = [unit for unit in self.units if unit.seq not in numbers]
        return gone

    def outlook(self) -> Outlook:
        """How much the pins could still take."""
        return Outlook(self._soft_use, self._soft_limits())

    def _soft_limits(self) -> Limits:
        left, soft = self.budget.less(self.held), self._soft_budget
        return Limits(
            min(left.parts, soft.parts),
            min(left.bytes, soft.bytes),
            min(left.tokens, soft.tokens),
        )

    def load(self, units: list[Unit]) -> None:
        """Let these be the pins instead."""
        self.units = list(units)
        self._soft = deque(unit for unit in units if unit.rank == Rank.IMPORTANT)
        self._soft_use = Limits(0, 0, 0)
        for unit in self._soft:
            self._soft_use = self._soft_use.more(_size(unit))


def _size(unit: Unit) -> Limits:
    return Limits(len(unit.parts), unit.bytes, unit.tokens)
