"""When a connection is opened, left and given up: every row, exact times, and all walks."""

import copy
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.errors import NotAllowed, StageError
from vivace.machines.connection import (
    Changed,
    Connection,
    ConnectionRules,
    Dial,
    Ending,
    GoAway,
    Lost,
    Move,
    NewHandle,
    Opened,
    Quiet,
    State,
    Stop,
)
from vivace.machines.connection_table import RULES, Act, Event
from vivace.machines.machine import Cancel
from vivace.part import Part

S, E = State, Event
BUSY, QUIET = Quiet(False), Quiet(True)


class Bench:
    """A connection, and a note of all that it wants done: dials, hang-ups and changes."""

    def __init__(self, rules: ConnectionRules | None = None) -> None:
        self.machine = Connection(rules)
        self.log: list[str] = []
        self.changes: list[Changed] = []
        self.open: list[Dial] = []
        self.now = 0.0
        self.take(self.machine.begin(0.0))

    def take(self, outputs: Iterable[object]) -> list[str]:
        told = []
        for output in outputs:
            match output:
                case Dial(handle=handle, seed=seed):
                    assert not self.open, "one connection at a time"
                    self.open.append(output)
                    told.append(f"dial {handle or ('seed' if seed else 'new')}")
                case Cancel(job=job):
                    assert [job] == self.open, "what is closed is what is open"
                    self.open.clear()
                    told.append("hang up")
                case Changed(state=state):
                    self.changes.append(output)
                    told.append(str(state))
        self.log += told
        return told

    def feed(self, item: object, now: float) -> list[str]:
        if isinstance(item, Lost) and item.dial in self.open:
            self.open.clear()  # a job that has told its end is over
        return self.take(self.machine.feed(item, now))

    def tick(self, now: float) -> list[str]:
        return self.take(self.machine.tick(now))

    @property
    def dial(self) -> Dial:
        return self.open[0]

    def opened(self, now: float) -> list[str]:
        return self.feed(Opened(self.dial), now)

    def lost(self, now: float, code: int = 1006, reason: str = "", draw: float = 1.0) -> list[str]:
        return self.feed(Lost(self.dial, code, reason, draw), now)

    def handle(self, handle: str, now: float, *, resumable: bool = True) -> None:
        assert self.feed(NewHandle(self.dial, handle, resumable), now) == []

    def go_away(self, now: float, left_s: float | None) -> list[str]:
        return self.feed(GoAway(self.dial, left_s), now)


def ready(handle: str = "", rules: ConnectionRules | None = None) -> Bench:
    bench = Bench(rules)
    assert bench.opened(0.5) == ["ready"]
    if handle:
        bench.handle(handle, 0.6)
    return bench


def at(state: State) -> Bench:
    """A bench that has come to this state."""
    match state:
        case S.CONNECTING:
            return Bench()
        case S.READY:
            return ready("h1")
        case S.DRAINING:
            bench = ready("h1")
            bench.feed(BUSY, 1.0)
            assert bench.go_away(1.0, 10.0) == ["draining"]
            return bench
        case S.RECONNECTING:
            bench = ready("h1")
            bench.lost(20.0)
            return bench
        case S.RESUMING:
            bench = ready("h1")
            bench.feed(Move(), 20.0)
            return bench
        case S.RESEEDING:
            bench = ready()
            bench.feed(Move(), 20.0)
            return bench
        case S.CLOSED:
            bench = ready()
            bench.feed(Stop(), 20.0)
            return bench


def happens(bench: Bench, event: Event, now: float) -> None:
    """Bring the event about."""
    match event:
        case E.OPENED:
            bench.opened(now)
        case E.GO_AWAY:
            bench.feed(BUSY, now)
            bench.go_away(now, 10.0)
        case E.QUIET:
            bench.feed(QUIET, now)
        case E.DUE:
            due = bench.machine.deadline()
            assert due is not None
            bench.tick(due)
        case E.MOVE:
            bench.feed(Move(), now)
        case E.LOST:
            bench.lost(now)
        case E.REFUSED:
            bench.lost(now, 1008)
        case E.FAILED:
            bench.lost(now, 403)
        case E.GIVEN_UP:
            bench.machine._rules = ConnectionRules(attempts=1)
            bench.lost(now)
        case E.STOP:
            bench.feed(Stop(), now)


# -- the table --------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "event"), list(RULES))
def test_every_row(state: State, event: Event) -> None:
    """Each event in each state leads where its row says, and asks for what it says."""
    bench = at(state)
    assert bench.machine.state == state
    before, log = bench.dial if bench.open else None, len(bench.log)
    happens(bench, event, 21.0)
    target, acts = RULES[state, event]
    wanted = target or (S.RESUMING if bench.machine.handle else S.RESEEDING)
    assert bench.machine.state == wanted
    told = bench.log[log:]
    assert ("hang up" in told) == (Act.HANG_UP in acts)
    assert any(line.startswith("dial") for line in told) == (Act.DIAL in acts)
    assert (bench.machine.state.value in told) == (wanted != state)
    assert (bench.machine.deadline() is not None) == (
        wanted in (S.CONNECTING, S.RESUMING, S.RESEEDING, S.RECONNECTING, S.DRAINING)
    )
    if Act.FORGET in acts:
        assert bench.machine.handle == ""
    if Act.FAIL in acts:
        assert bench.changes[-1].code in (1006, 1008, 403)
    assert not bench.open or (bench.dial is before) == (Act.DIAL not in acts)


def test_every_state_is_in_the_table() -> None:
    """All states but the last have rows; the last has none, and ignores everything."""
    assert {state for state, _ in RULES} == set(State) - {S.CLOSED}
    bench = at(S.CLOSED)
    assert bench.feed(QUIET, 30.0) == bench.feed(Stop(), 30.0) == bench.tick(1e9) == []
    assert bench.machine.deadline() is None
    assert not bench.machine.up


def test_an_event_without_a_row_is_told() -> None:
    """What cannot happen names what can."""
    bench = ready()
    with pytest.raises(NotAllowed, match=r"opened is not allowed while the connection is ready"):
        bench.opened(1.0)


# -- exact times ------------------------------------------------------------------------------


def test_a_planned_move() -> None:
    """After goAway the session waits for a quiet moment, closes the old one, and resumes."""
    bench = ready("h1")
    bench.feed(BUSY, 100.0)
    assert bench.go_away(540.0, 60.0) == ["draining"]
    assert bench.machine.deadline() == 599.0
    bench.handle("h2", 541.0)
    assert bench.feed(QUIET, 542.0) == ["resuming", "hang up", "dial h2"]
    assert bench.machine.deadline() == 552.0
    assert bench.opened(542.3) == ["ready"]
    assert bench.changes[-1] == Changed(S.READY, S.RESUMING, resumed=True)
    assert bench.changes[1] == Changed(S.DRAINING, S.READY, left_s=60.0)


@pytest.mark.parametrize(("left_s", "due"), [(10.0, 109.0), (0.0, 100.0), (None, 104.0)])
def test_the_time_that_is_left(left_s: float | None, due: float) -> None:
    """Where no quiet moment comes, the session moves a second before its time is up."""
    bench = ready("h1")
    bench.feed(BUSY, 50.0)
    assert bench.go_away(100.0, left_s) == ["draining"]
    assert bench.machine.deadline() == due
    assert bench.tick(due - 0.001) == []
    assert bench.tick(due) == ["resuming", "hang up", "dial h1"]


def test_it_moves_at_once_if_it_is_quiet() -> None:
    """A goAway in a quiet moment is followed in that moment."""
    bench = ready("h1")
    assert bench.go_away(100.0, 60.0) == ["draining", "resuming", "hang up", "dial h1"]


def test_the_shorter_time_counts() -> None:
    """A second goAway can only shorten what is left."""
    bench = ready("h1")
    bench.feed(BUSY, 50.0)
    bench.go_away(100.0, 60.0)
    bench.go_away(101.0, 10.0)
    assert bench.machine.deadline() == 110.0
    bench.go_away(102.0, 60.0)
    assert bench.machine.deadline() == 110.0


def test_a_drop_is_followed_at_once_then_after_ever_longer_waits() -> None:
    """0, 0.5, 1, 2, 4, 8 seconds; then the session is given up."""
    bench = ready("h1")
    waits = []
    now = 100.0
    for _ in range(7):
        assert bench.lost(now, 1011, "deadline") == ["reconnecting"]
        due = bench.machine.deadline()
        assert due is not None
        waits.append(due - now)
        assert bench.changes[-1].wait_s == due - now
        assert bench.changes[-1].reason == "deadline"
        assert bench.tick(due) == ["resuming", "dial h1"]
        now = due
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert bench.lost(now, 1011, "deadline") == ["closed"]
    assert bench.changes[-1] == Changed(S.CLOSED, S.RESUMING, 1011, "deadline")


def test_a_wait_is_drawn_between_half_and_all() -> None:
    """Clients that were dropped together do not come back together."""
    for draw, wait in ((0.0, 0.25), (0.5, 0.375), (1.0, 0.5)):
        bench = ready("h1")
        bench.lost(100.0)
        bench.tick(100.0)
        bench.lost(100.0, draw=draw)
        assert bench.machine.deadline() == 100.0 + wait


def test_a_stable_connection_ends_the_row() -> None:
    """What held for ten seconds is not counted with what was before; what did not hold is."""
    bench = ready("h1", ConnectionRules(attempts=2))
    assert bench.lost(10.5) == ["reconnecting"]  # up since 0.5
    bench.tick(10.5)
    assert bench.opened(11.0) == ["ready"]
    assert bench.lost(21.0) == ["reconnecting"]
    bench.tick(21.0)
    assert bench.opened(21.0) == ["ready"]
    assert bench.lost(30.9) == ["closed"]


def test_a_server_that_wants_every_connection_to_be_left_at_once() -> None:
    """The first move waits for nothing; further ones wait as after drops, and are limited."""
    bench = ready("h1")
    now, waits = 0.5, []
    assert bench.go_away(now, 0.0) == ["draining", "resuming", "hang up", "dial h1"]
    for _ in range(6):
        bench.opened(now)
        assert bench.go_away(now, 0.0) == ["draining", "hang up", "reconnecting"]
        due = bench.machine.deadline()
        assert due is not None
        waits.append(due - now)
        now = due
        assert bench.tick(now) == ["resuming", "dial h1"]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    bench.opened(now)
    assert bench.go_away(now, 0.0) == ["draining", "hang up", "closed"]
    assert bench.changes[-1].reason == "the server closes each connection as soon as it is made"


def test_a_move_from_a_stable_connection_ends_the_row() -> None:
    """A server that closes every ten minutes is moved from at once, for ever."""
    bench = ready("h1")
    now = 0.5
    for _ in range(20):
        now += 10.0
        assert bench.go_away(now, 0.0)[1:] == ["resuming", "hang up", "dial h1"]
        bench.opened(now)


def test_while_it_ends_no_connection_ends_the_row() -> None:
    """A server that drops every connection before it has answered is given up in the end."""
    bench = ready("h1", ConnectionRules(attempts=3))
    assert bench.feed(Ending(), 1.0) == []
    for at in (100.0, 200.0):
        assert bench.lost(at) == ["reconnecting"]
        bench.tick(at + 1.0)
        bench.opened(at + 1.0)
    assert bench.lost(300.0) == ["closed"]


def test_no_set_up() -> None:
    """Who does not say setupComplete within ten seconds is left, and tried again."""
    bench = Bench()
    assert bench.log == ["dial new"]
    assert bench.machine.deadline() == 10.0
    assert bench.tick(9.999) == []
    assert bench.tick(10.0) == ["hang up", "reconnecting"]
    assert bench.changes[-1].reason == "no setupComplete within 10 s"
    assert bench.tick(10.0) == ["connecting", "dial new"]


def test_a_refused_handle() -> None:
    """A handle that is not known any more makes a new session, which is told what was said."""
    bench = ready("h1")
    bench.lost(100.0)
    bench.tick(100.0)
    assert bench.lost(100.2, 1008, "session not found") == ["reseeding", "dial seed"]
    assert bench.opened(100.5) == ["ready"]
    assert not bench.changes[-1].resumed


def test_without_a_handle_a_new_session_is_told() -> None:
    """Dropped before any handle came, the session goes on as a new one."""
    bench = ready()
    bench.handle("", 1.0)
    bench.handle("h1", 1.0, resumable=False)
    bench.lost(100.0)
    assert bench.tick(100.0) == ["reseeding", "dial seed"]


def test_a_handle_that_comes_late_counts() -> None:
    """The newest resumable handle is kept, also while the session cannot be resumed anew."""
    bench = ready("h1")
    bench.handle("h2", 2.0)
    bench.handle("", 3.0, resumable=False)
    assert bench.machine.handle == "h2"


@pytest.mark.parametrize("code", [1007, 1008, 401, 403, 404])
def test_a_wrong_set_up_is_not_tried_again(code: int) -> None:
    """A refused key, model or configuration ends the session at once."""
    bench = Bench()
    assert bench.lost(0.2, code, "no") == ["closed"]
    assert bench.changes == [Changed(S.CLOSED, S.CONNECTING, code, "no")]


def test_what_comes_late_is_ignored() -> None:
    """Of a connection that was left, nothing counts; an item that it does not know, neither."""
    bench = ready("h1")
    old = bench.dial
    bench.feed(Move(), 20.0)
    for item in (Opened(old), GoAway(old, 0.0), NewHandle(old, "h9", True), Lost(old, 1006)):
        assert bench.feed(item, 20.1) == []
    assert bench.feed(Part("hello"), 20.1) == []
    assert bench.machine.handle == "h1"
    assert bench.machine.state == S.RESUMING


def test_rules_that_connect_to_nothing() -> None:
    """Limits that allow no attempt are told at once."""
    with pytest.raises(StageError, match="0 attempts"):
        ConnectionRules(attempts=0)
    with pytest.raises(StageError, match="of 0 s"):
        ConnectionRules(set_up_s=0.0)


# -- all sequences ----------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["opened", "go_away", "handle", "lost", "refused", "failed", "quiet", "busy", "move"]
        ),
        st.floats(0.0, 20.0),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS)
def test_any_walk(steps: list[tuple[str, float]]) -> None:
    """One connection at most, never a wait without a bound, and stop always stops."""
    bench = Bench()
    now = 0.0
    for step, pause_s in steps:
        until = now + pause_s
        while (due := bench.machine.deadline()) is not None and due <= until:
            now = max(now, due)
            bench.tick(now)
        now = until
        _step(bench, step, now)
        state = bench.machine.state
        assert bool(bench.open) == (state not in (S.CLOSED, S.RECONNECTING))
        assert bench.machine.up == (state in (S.READY, S.DRAINING))
        if state not in (S.READY, S.CLOSED):  # something will end it, whatever the server does
            due = bench.machine.deadline()
            assert due is not None
            assert due <= now + 20.0
    stopped = copy.deepcopy(bench.machine)
    assert [o for o in stopped.feed(Stop(), now) if isinstance(o, Dial)] == []
    assert stopped.state == S.CLOSED
    _abandoned(bench, now)


def _step(bench: Bench, step: str, now: float) -> None:
    dialling = bench.machine.state in (S.CONNECTING, S.RESUMING, S.RESEEDING)
    if step == "opened" and dialling:
        bench.opened(now)
    elif step in ("lost", "refused", "failed") and bench.open:
        bench.lost(now, {"lost": 1006, "refused": 1008, "failed": 403}[step])
    elif step in ("quiet", "busy"):
        bench.feed(Quiet(step == "quiet"), now)
    elif step == "move":
        bench.feed(Move(), now)
    elif step == "go_away" and bench.machine.up:
        bench.go_away(now, 5.0)
    elif step == "handle" and bench.open:
        bench.handle("h", now)


def _abandoned(bench: Bench, now: float) -> None:
    """A server that only ever drops is given up within two minutes."""
    begun = now
    while bench.machine.state != S.CLOSED:
        if bench.open:
            bench.lost(now)
        else:
            due = bench.machine.deadline()
            assert due is not None
            now = due
            bench.tick(now)
    assert now - begun < 120.0
