"""`RollingPrompt`: what is known, within bounds, and growing while the user speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from vivace.errors import FlowError
from vivace.flow.channel import Channel
from vivace.flow.clock import now
from vivace.machines.window import Window
from vivace.part import Part

__all__ = ["RollingPrompt"]


class RollingPrompt:
    """The prompt of a conversation that never ends.

    duration_sec: parts older than this leave, a whole turn at a time. max_parts: the same for their
    number. High-priority parts and the system's stay, at the front.
    """

    def __init__(self, duration_sec: float = 600.0, max_parts: int = 1000) -> None:
        self._window = Window(max_parts, duration_sec)
        self._stash: list[tuple[Part, bool]] = []
        self._max_parts = max_parts
        self._pending: Channel[tuple[Part, bool]] | None = None

    def add_part(self, part: Part, priority: Literal["normal", "high"] = "normal") -> None:
        """Add a part; whoever reads `pending` gets it too. Raises PartError if pins are full."""
        self._window.add(part, now(), pinned=priority == "high")
        if self._pending is not None:
            self._pending.offer((part, _stays(part, priority)))

    def stash_part(self, part: Part, priority: Literal["normal", "high"] = "normal") -> None:
        """Keep a part aside until `apply_stash`: what comes while the model speaks.

        Raises FlowError when `max_parts` are stashed: nothing would be left of them in the prompt.
        """
        if len(self._stash) >= self._max_parts:
            raise FlowError(f"{len(self._stash)} parts are stashed; call apply_stash between turns")
        self._stash.append((part, priority == "high"))

    def apply_stash(self) -> None:
        """Add what was stashed, in order."""
        stashed, self._stash = self._stash, []
        for part, pinned in stashed:
            self.add_part(part, "high" if pinned else "normal")

    def pending(self) -> AsyncIterator[Part]:
        """The prompt of the next turn: what is there, then what is added, until it is finalized.

        Raises FlowError if the one before it was not finalized.
        """
        if self._pending is not None:
            raise FlowError("the pending prompt is being read already; finalize_pending() first")
        # As much as the window can hold. A reader that falls further behind misses the oldest, as
        # they have left the prompt too; but never a pin. Pins fill half of it at most, so there is
        # always something else to drop.
        self._pending = Channel(
            self._max_parts, full="drop_oldest", droppable=lambda entry: not entry[1]
        )
        parts = self._window.parts()
        for index, part in enumerate(parts):
            self._pending.offer((part, index < self._window.pinned))
        return _parts_of(self._pending)

    def finalize_pending(self) -> None:
        """The pending prompt is complete: the model may answer. Does nothing if there is none."""
        if self._pending is not None:
            self._pending.close()
            self._pending = None

    def parts(self) -> list[Part]:
        """The prompt as it stands."""
        return self._window.parts()


def _stays(part: Part, priority: str) -> bool:
    return priority == "high" or part.role == "system"


async def _parts_of(pending: Channel[tuple[Part, bool]]) -> AsyncIterator[Part]:
    async for part, _ in pending:
        yield part
