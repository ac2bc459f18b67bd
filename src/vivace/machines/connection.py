"""The connection to a live model's server: when to open one, to move to another, to give up.

This file owns every rule about it; nothing else opens or closes one. A session outlives its
connections: it moves to a new one when the server says that it is about to close, and comes back
after a drop. What happens when is one table, in `connection_table.py`.
"""

from __future__ import annotations

import math
from typing import TypeAlias, Union

import msgspec

from vivace.errors import NotAllowed, StageError
from vivace.machines.close_codes import Verdict, verdict
from vivace.machines.connection_table import RULES, Act, Event, State
from vivace.machines.machine import Cancel, Item, Job

__all__ = [
    "Changed", "Connection", "ConnectionOutput", "ConnectionRules", "Dial", "Ending", "GoAway",
    "Lost", "Move", "NewHandle", "Opened", "Quiet", "State", "Stop",
]  # fmt: skip


class ConnectionRules(msgspec.Struct, frozen=True):
    """How long is waited, and how often it is tried.

    set_up_s: for `setupComplete`. attempts: connections that may end in a row before the session
    is given up. After the first end it is tried again at once; after the second `first_wait_s` is
    waited, then twice as long each time, at most `longest_wait_s`; of each wait between half and
    all, as drawn. stable_s: a connection that lasted so long ends the row; one that the server
    wants to be left sooner counts as ended. margin_s: so long before the server's time is up, the
    session moves in any case. unsaid_s: the time left where the server does not say it.
    """

    set_up_s: float = 10.0
    attempts: int = 8
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    stable_s: float = 10.0
    margin_s: float = 1.0
    unsaid_s: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or not self.set_up_s > 0:
            raise StageError(
                f"{self.attempts} attempts of {self.set_up_s:g} s connect to nothing; "
                "give attempts of 1 or more, and set_up_s above 0"
            )


class Dial(Job, frozen=True, eq=False):
    """Open a connection, and listen until it ends.

    handle: of the session to resume; "" for a new one. seed: a new one in the place of one that is
    lost, which is told what was said in it.
    """

    handle: str = ""
    seed: bool = False


class Opened(msgspec.Struct, frozen=True):
    """The server has sent `setupComplete`."""

    dial: Dial


class GoAway(msgspec.Struct, frozen=True):
    """The server will close in `left_s` seconds; None if it does not say."""

    dial: Dial
    left_s: float | None = None


class NewHandle(msgspec.Struct, frozen=True):
    """The session can be resumed as it was, from now on, by this handle; or it cannot just now."""

    dial: Dial
    handle: str = ""
    resumable: bool = False


class Lost(msgspec.Struct, frozen=True):
    """The connection has ended, or was not made. code: see `close_codes`. draw: from 0 to 1."""

    dial: Dial
    code: int
    reason: str = ""
    draw: float = 1.0


class Quiet(msgspec.Struct, frozen=True):
    """Whether it matters to nobody if the connection changes now."""

    quiet: bool


class Move(msgspec.Struct, frozen=True):
    """Change the connection now."""


class Ending(msgspec.Struct, frozen=True):
    """The session goes on for what is owed only: from now on no connection ends the row."""


class Stop(msgspec.Struct, frozen=True):
    """The session is over."""


class Changed(msgspec.Struct, frozen=True):
    """The connection's state has changed, from `before`.

    code, reason: of the end that brought it about. wait_s: until the next attempt. left_s: until
    the server closes. resumed: READY with all that was said before known to the server.
    """

    state: State
    before: State
    code: int = 0
    reason: str = ""
    wait_s: float = 0.0
    left_s: float | None = None
    resumed: bool = False


ConnectionOutput: TypeAlias = Union[Dial, Cancel, Changed]  # noqa: UP007

_DIALLING = (State.CONNECTING, State.RESUMING, State.RESEEDING)
_UP = (State.READY, State.DRAINING)


class Connection:
    """Walks the table. `begin` it once; then feed it what comes.

    handle: of a session to go on with; else it is a new one.

    Yields `Dial` jobs, `Cancel` of them, and `Changed`. What comes late, of a connection that was
    left or after the end, is ignored.
    """

    def __init__(self, rules: ConnectionRules | None = None, handle: str = "") -> None:
        self._rules = rules or ConnectionRules()
        self.state: State = State.CONNECTING
        self.handle: str = handle
        self.dial: Dial | None = None
        self._ends = 0  # of connections, in a row
        self._stable_s = self._rules.stable_s
        self._was_up = False
        self._up_at = -math.inf  # when the newest connection was set up
        self._due = math.inf
        self._quiet = True
        self._end = Lost(Dial(), 0)  # the newest

    def begin(self, now: float) -> list[ConnectionOutput]:
        """The session begins."""
        return self._dial(now)

    # -- the entrances ------------------------------------------------------------------------

    def feed(self, item: Item, now: float) -> list[ConnectionOutput]:
        """Take one item in."""
        if self.state == State.CLOSED or self._is_old(item):
            return []
        match item:
            case Opened():
                self._up_at, self._was_up = now, True
                return self._happened(Event.OPENED, now)
            case GoAway(left_s=left_s):
                return self._go_away(left_s, now)
            case NewHandle(handle=handle, resumable=resumable):
                if resumable and handle:
                    self.handle = handle
                return []
            case Lost():
                return self._lost(item, now)
            case Quiet(quiet=quiet):
                self._quiet = quiet
                return self._left(Event.QUIET, now) if quiet else []
            case Move():
                self._ends = 0 if self.up else self._ends  # nothing has failed
                return self._happened(Event.MOVE, now)
            case Ending():
                self._stable_s = math.inf
                return []
            case Stop():
                return self._happened(Event.STOP, now)
            case _:
                return []

    def tick(self, now: float) -> list[ConnectionOutput]:
        """Time has passed."""
        if now < self._due:
            return []
        if self.state not in _DIALLING:
            return self._left(Event.DUE, now)
        assert self.dial is not None, "what dials has a job that does"
        hang_up = Cancel(self.dial)
        reason = f"no setupComplete within {self._rules.set_up_s:g} s"
        return [hang_up, *self._lost(Lost(self.dial, 1006, reason), now)]

    def deadline(self) -> float | None:
        """When `tick` is wanted next."""
        return None if self._due == math.inf else self._due

    @property
    def up(self) -> bool:
        """True while messages can be sent."""
        return self.state in _UP

    # -- inside -------------------------------------------------------------------------------

    def _is_old(self, item: Item) -> bool:
        return isinstance(item, Opened | GoAway | NewHandle | Lost) and item.dial is not self.dial

    def _go_away(self, left_s: float | None, now: float) -> list[ConnectionOutput]:
        left_s = self._rules.unsaid_s if left_s is None else max(0.0, left_s)
        due = now + max(0.0, left_s - self._rules.margin_s)
        before = self.state
        told = self._happened(Event.GO_AWAY, now, left_s=left_s)
        self._due = due if before == State.READY else min(self._due, due)
        return told + (self._left(Event.QUIET, now) if self._quiet else [])

    def _left(self, event: Event, now: float) -> list[ConnectionOutput]:
        """The moment has come, to leave the connection if the server wants that.

        A server that wants it of each new one as well, at once, is called again with the waits and
        the limit that there are for one that drops them.
        """
        if self.state == State.DRAINING:
            assert self.dial is not None, "what drains has a job that listens"
            self._count_from(now)
            if self._ends:
                reason = "the server closes each connection as soon as it is made"
                return [Cancel(self.dial), *self._lost(Lost(self.dial, 1001, reason), now)]
            if now - self._up_at < self._stable_s:
                self._ends = 1
        return self._happened(event, now)

    def _count_from(self, now: float) -> None:
        """A connection that has lasted ends the row of those that have not."""
        if now - self._up_at >= self._stable_s:
            self._ends = 0

    def _lost(self, end: Lost, now: float) -> list[ConnectionOutput]:
        self._end = end
        up = self.state in _UP
        if up:
            self._count_from(now)
        match verdict(end.code, end.reason, set_up=up):
            case Verdict.REFUSED:
                event = Event.REFUSED
            case Verdict.FAILED:
                event = Event.FAILED
            case _:
                self._ends += 1
                event = Event.GIVEN_UP if self._ends >= self._rules.attempts else Event.LOST
        return self._happened(event, now)

    def _happened(
        self, event: Event, now: float, *, left_s: float | None = None
    ) -> list[ConnectionOutput]:
        row = RULES.get((self.state, event))
        if row is None:
            allowed = ", ".join(e for s, e in RULES if s == self.state)
            raise NotAllowed(
                f"{event} is not allowed while the connection is {self.state}; "
                f"expected one of: {allowed}"
            )
        before, (state, acts) = self.state, row
        if Act.FORGET in acts:
            self.handle = ""
        self.state = self._anew() if state is None else state
        out: list[ConnectionOutput] = []
        if self.state != before:
            self._due = math.inf
        wait_s = self._wait(now) if Act.WAIT in acts else 0.0
        if self.state != before:
            out.append(self._changed(before, event, wait_s, left_s))
        if Act.HANG_UP in acts and self.dial is not None:
            out.append(Cancel(self.dial))
        if not self.up and self.state != before:
            self.dial = None
        return out + (self._dial(now) if Act.DIAL in acts else [])

    def _changed(self, before: State, event: Event, wait_s: float, left_s: float | None) -> Changed:
        ends = event in (Event.LOST, Event.REFUSED, Event.FAILED, Event.GIVEN_UP)
        code, reason = (self._end.code, self._end.reason) if ends else (0, "")
        resumed = before == State.RESUMING and self.state == State.READY
        return Changed(self.state, before, code, reason, wait_s, left_s, resumed)

    def _anew(self) -> State:
        if self.handle:
            return State.RESUMING
        return State.RESEEDING if self._was_up else State.CONNECTING

    def _wait(self, now: float) -> float:
        """How long until the next attempt, from now on."""
        rules = self._rules
        whole = rules.first_wait_s * 2 ** (self._ends - 2) if self._ends > 1 else 0.0
        wait_s = min(whole, rules.longest_wait_s) * (1 + self._end.draw) / 2
        self._due = now + wait_s
        return wait_s

    def _dial(self, now: float) -> list[ConnectionOutput]:
        self._due = now + self._rules.set_up_s
        self.dial = Dial(self.handle, self.state == State.RESEEDING)
        return [self.dial]
