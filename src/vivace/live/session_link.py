"""The connection of a session, and what goes over it.

This file owns what is done when a connection comes and when it goes: who sends, what is sent again,
what a new session is told of the old one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from vivace.errors import ModelError, ModelUnreachable
from vivace.live.news import News
from vivace.live.stream_metrics import StreamMetrics
from vivace.machines.close_codes import explain
from vivace.machines.connection import (
    Changed,
    Connection,
    ConnectionOutput,
    Dial,
    GoAway,
    Lost,
    NewHandle,
    State,
)
from vivace.machines.machine import Cancel, Item, Output, Tell
from vivace.machines.outbound import Message, Outbound, SendResults
from vivace.machines.server_message import ServerMessage, Transmit

__all__ = ["LinkLost", "SessionLink"]

_OURS = (1007, 1008, 400, 404)  # ends that are about what was asked for


class LinkLost(ModelError):
    """A connection has ended, or was not made. draw: from 0 to 1, for the wait that follows."""

    def __init__(self, code: int, reason: str, draw: float = 1.0) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason
        self.draw = draw


class SessionLink:
    """outbound: what is to be sent. seed: makes the message that tells a new session of the old
    one. down: what is to be done when a connection is gone. instead: see `Outbound.lost`.

    failure: why the session is over, if it ended in an error.
    """

    def __init__(
        self,
        model: str,
        connection: Connection,
        outbound: Outbound,
        news: News,
        metrics: StreamMetrics,
        *,
        seed: Callable[[], Message | None],
        down: Callable[[], list[Output]],
        instead: Callable[[SendResults], Message | None],
    ) -> None:
        self._model = model
        self._connection = connection
        self._outbound = outbound
        self._news = news
        self._metrics = metrics
        self._make_seed = seed
        self._when_down = down
        self._instead = instead
        self._transmit: Transmit | None = None
        self._seed: Message | None = None  # on its way, and no part of the input
        self._down_at: float | None = None  # since when there is no connection
        self._begun = False
        self.failure: ModelError | None = None

    @property
    def open(self) -> bool:
        """False once the session is over."""
        return self._connection.state != State.CLOSED

    def check(self) -> None:
        """Raise the failure, once."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def is_now(self, dial: Dial) -> bool:
        """True of the connection that there is."""
        return dial is self._connection.dial

    def feed(self, item: Item, now: float) -> list[Output]:
        """Something has happened to the connection."""
        return self._done(self._connection.feed(item, now), now)

    def tick(self, now: float) -> list[Output]:
        """Time has passed."""
        if not self._begun:
            self._begun = True
            return self._done(self._connection.begin(now), now)
        return self._done(self._connection.tick(now), now)

    def deadline(self) -> float:
        """When `tick` is wanted next."""
        if not self._begun:
            return -math.inf
        due = self._connection.deadline()
        image = self._outbound.deadline() if self._connection.up else None
        return min(math.inf if due is None else due, math.inf if image is None else image)

    def told(self, dial: Dial, message: ServerMessage, now: float) -> list[Output]:
        """What a message says about the connection."""
        out: list[Output] = []
        if message.resumable is not None:
            out += self.feed(NewHandle(dial, message.handle, message.resumable), now)
            if message.resumable and message.handle:
                self._outbound.covered(now)
        if message.go_away:
            out += self.feed(GoAway(dial, message.left_s), now)
        return out

    # -- what goes over it --------------------------------------------------------------------

    def send(self, now: float) -> tuple[list[Output], list[Message]]:
        """What is to be sent now: as outputs, and as it is."""
        if self._transmit is None:
            return [], []
        messages = self._outbound.next(now)
        return [Tell(self._transmit, message) for message in messages], messages

    def sent(self, transmit: Transmit, message: Message) -> None:
        """A message is in the socket, or was refused there."""
        if transmit is not self._transmit:
            return
        if message is self._seed:
            self._seed = None
        else:
            self._outbound.sent()

    # -- how it ends --------------------------------------------------------------------------

    def ended(self, dial: Dial, error: Exception, now: float) -> list[Output]:
        """A connection has ended, or was not made."""
        if not isinstance(error, LinkLost):
            error = LinkLost(1006, f"{type(error).__name__}: {error}")
        return self.feed(Lost(dial, error.code, error.reason, error.draw), now)

    def stuck(self, transmit: Transmit, error: Exception, now: float) -> list[Output]:
        """Nothing can be sent any more."""
        if transmit is not self._transmit:
            return []
        return [Cancel(transmit.dial), *self.ended(transmit.dial, error, now)]

    # -- inside -------------------------------------------------------------------------------

    def _done(self, outputs: Iterable[ConnectionOutput], now: float) -> list[Output]:
        out: list[Output] = []
        for output in outputs:
            if isinstance(output, Changed):
                out += self._changed(output, now)
            else:
                out.append(output)
        return out

    def _changed(self, change: Changed, now: float) -> list[Output]:
        out: list[Output] = []
        told: dict[str, object] = {"state": change.state.value}
        if change.code:
            told |= {"code": change.code, "reason": change.reason}
        if change.left_s is not None:
            told["left_s"] = change.left_s
        if change.state == State.RECONNECTING:
            told["wait_s"] = round(change.wait_s, 6)
        if self._transmit is not None and change.state not in (State.READY, State.DRAINING):
            out += self._down(now)
        if change.state == State.READY and change.before != State.READY:
            out += self._up(change)
            told |= self._gap(change, now)
        if change.state == State.CLOSED and change.code:
            text = explain(self._model, change.code, change.reason)
            kind = ModelError if change.code in _OURS else ModelUnreachable
            self.failure = kind(text)
        return [*out, self._news.tell("connection", now, **told)]

    def _down(self, now: float) -> list[Output]:
        assert self._transmit is not None
        gone, self._transmit, self._seed = Cancel(self._transmit), None, None
        self._down_at = now
        if self.open:  # else nothing will be sent again
            self._outbound.lost(self._instead)
        return [gone, *self._when_down()]

    def _up(self, change: Changed) -> list[Output]:
        assert self._connection.dial is not None, "what is up has a job that listens"
        self._transmit = Transmit(self._connection.dial)
        self._seed = self._make_seed() if change.before == State.RESEEDING else None
        told = [] if self._seed is None else [Tell(self._transmit, self._seed)]
        return [self._transmit, *told]

    def _gap(self, change: Changed, now: float) -> dict[str, object]:
        if self._down_at is None:
            return {}
        gap_s, self._down_at = round(now - self._down_at, 6), None
        self._metrics.gap(gap_s)
        dropped_s = round(self._outbound.dropped_s, 6)
        return {"gap_s": gap_s, "resumed": change.resumed, "input_dropped_s": dropped_s}
