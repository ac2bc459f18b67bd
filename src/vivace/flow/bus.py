"""What the stages of one conversation share: the fence, the ledger, and announcements.

An announcement is a broadcast. It does not stand in any queue: before `announce` returns, every
machine of the conversation has been told and, for an interruption, nothing stale is left waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias
from weakref import WeakSet

from vivace.flow.clock import now as clock_now
from vivace.flow.untold import Untold
from vivace.machines.fence import Fence
from vivace.machines.playout import Ledger, Reply
from vivace.part import (
    Audio,
    Held,
    Interrupted,
    Part,
    Played,
    PlayedTo,
    Playing,
    Reset,
    Resumed,
    Signal,
    TurnComplete,
    TurnEnded,
)

__all__ = ["Bus", "Listener", "Purgeable"]

Listener: TypeAlias = Callable[[Signal], None]


class Purgeable(Protocol):
    """Where parts wait: a channel, or what waits for the consumer."""

    def purge(self, stale: Callable[[Part], bool]) -> int:
        """Take out all that is stale; return how many."""
        ...


class ClockedLedger(Ledger):
    """The ledger of a run: it answers as of now unless asked otherwise."""

    def heard(self, turn: int, now: float | None = None) -> Reply:
        return super().heard(turn, clock_now() if now is None else now)


class Bus:
    """One conversation's fence, ledger, clock zero and announcements.

    deliver: gets each announcement as a part, for the consumer's urgent lane.
    held: what is to be heard of replies up to this number is kept back: see `Held`. None is held.
    purged: parts that interruptions have taken out.
    decided: what machines of the conversation decide for all of it: see `Machine.decides`.
    announcing: somebody is being told of something.
    untold: what the outermost stream keeps of errors, as long as somebody has that stream.
    """

    def __init__(self, deliver: Callable[[Part], None]) -> None:
        self.fence: Fence = Fence()
        self.ledger: Ledger = ClockedLedger()
        self.decided: set[str] = set()
        self.held: int | None = None
        self.purged: int = 0
        self.started_at: float = clock_now()
        self.untold: Callable[[], Untold | None] = _nobody
        self._deliver = deliver
        self._channels: WeakSet[Purgeable] = WeakSet()
        self._listeners: list[Listener] = []
        self._waiting: deque[tuple[Signal, Listener | None]] = deque()
        self.announcing: bool = False

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
        if self.announcing:
            return
        self.announcing = True
        try:
            while self._waiting:
                self._tell(*self._waiting.popleft())
        finally:
            self.announcing = False

    def handed_out(self, part: Part) -> None:
        """The consumer has taken `part`: book it, and announce what that means for its reply.

        A consumer that is busy hears of a hold when it takes the next thing, and plays until then.
        """
        body = part.body
        if isinstance(body, TurnComplete):
            self.ledger.complete(body.turn)
            self.announce(Played(body.turn, body.reason))
        elif isinstance(body, Held):
            if self.held is not None and body.turn <= self.held:  # else it is over already
                self.ledger.hold(body.turn, clock_now())
        elif isinstance(body, Resumed):
            self.ledger.resume(body.turn, clock_now())
        elif self.ledger.book(part, clock_now(), self._plays_at(part)):
            self.announce(Playing(part.turn))

    def _plays_at(self, part: Part) -> float | None:
        """When a chunk is to be played, if a pacer has said so."""
        if part.at is None or "chunk_index" not in part.metadata:
            return None
        return self.started_at + part.at

    def _tell(self, signal: Signal, teller: Listener | None) -> None:
        if isinstance(signal, Held):
            self.held = signal.turn if self.held is None else max(signal.turn, self.held)
        elif isinstance(signal, Interrupted | Reset | Resumed):
            self.held = self.held if self.held is not None and signal.turn < self.held else None
        if isinstance(signal, Interrupted | Reset):
            self._void(signal.turn)
        elif isinstance(signal, PlayedTo):
            self.ledger.confirm(signal.turn, signal.seconds, clock_now())
        for listener in list(self._listeners):
            if listener != teller and listener in self._listeners:  # it may have left meanwhile
                listener(signal)
        # The end of a turn reaches the consumer in its place; a report came from there.
        if not isinstance(signal, TurnEnded | PlayedTo):
            at = round(clock_now() - self.started_at, 6)
            self._deliver(Part(signal, role="model", at=at))  # type: ignore[arg-type]

    def _void(self, turn: int) -> None:
        self.ledger.cut(turn, clock_now())
        if turn and not self.fence.raise_to(turn):
            return
        stale = self.fence.stale if turn else _is_unnumbered_voice
        for channel in list(self._channels):
            self.purged += channel.purge(stale)


def _nobody() -> None:
    return None


def _is_unnumbered_voice(part: Part) -> bool:
    return not part.turn and part.role != "user" and isinstance(part.body, Audio)
