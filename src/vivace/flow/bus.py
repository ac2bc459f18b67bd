"""What the stages of one conversation share: the fence, the ledger, and announcements.

An announcement is a broadcast. It does not stand in any queue: before `announce` returns, every
machine of the conversation has been told and, for an interruption, nothing stale is left waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias
from weakref import WeakSet

from vivace.flow.clock import now
from vivace.machines.fence import Fence
from vivace.machines.playout import Ledger
from vivace.part import Interrupted, Part, Played, Playing, Reset, Signal, TurnComplete, TurnEnded

__all__ = ["Bus", "Listener", "Purgeable"]

Listener: TypeAlias = Callable[[Signal], None]


class Purgeable(Protocol):
    """Where parts wait: a channel, or what waits for the consumer."""

    def purge(self, stale: Callable[[Part], bool]) -> int:
        """Take out all that is stale; return how many."""
        ...


class Bus:
    """One conversation's fence, ledger, clock zero and announcements.

    deliver: gets each announcement as a part, for the consumer's urgent lane.
    """

    def __init__(self, deliver: Callable[[Part], None]) -> None:
        self.fence: Fence = Fence()
        self.ledger: Ledger = Ledger()
        self.started_at: float = now()
        self._deliver = deliver
        self._channels: WeakSet[Purgeable] = WeakSet()
        self._listeners: list[Listener] = []
        self._waiting: deque[tuple[Signal, Listener | None]] = deque()
        self._announcing = False

    def register(self, channel: Purgeable) -> None:
        """An interruption purges `channel` too, for as long as it lives."""
        self._channels.add(channel)

    def subscribe(self, listener: Listener) -> None:
        """Tell `listener` of every announcement but its own."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Tell it no more."""
        self._listeners.remove(listener)

    def announce(self, signal: Signal, teller: Listener | None = None) -> None:
        """Tell everyone but `teller`. What is announced meanwhile is told next, in order."""
        self._waiting.append((signal, teller))
        if self._announcing:
            return
        self._announcing = True
        try:
            while self._waiting:
                self._tell(*self._waiting.popleft())
        finally:
            self._announcing = False

    def handed_out(self, part: Part) -> None:
        """The consumer has taken `part`: book it, and announce what that means for its reply."""
        if self.ledger.book(part):
            self.announce(Playing(part.turn))
        elif isinstance(part.body, TurnComplete):
            self.announce(Played(part.body.turn, part.body.reason))

    def _tell(self, signal: Signal, teller: Listener | None) -> None:
        if isinstance(signal, Interrupted | Reset) and self.fence.raise_to(signal.turn):
            for channel in list(self._channels):
                channel.purge(self.fence.stale)
        for listener in list(self._listeners):
            if listener != teller and listener in self._listeners:  # it may have left meanwhile
                listener(signal)
        if not isinstance(signal, TurnEnded):  # that one reaches the consumer in its place
            at = round(now() - self.started_at, 6)
            self._deliver(Part(signal, role="model", at=at))  # type: ignore[arg-type]
