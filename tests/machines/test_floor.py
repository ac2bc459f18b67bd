"""Who may speak: every row of the table, and what must hold for any walk through it."""

import copy
import math
from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vivace.errors import NotAllowed, StageError
from vivace.machines.floor import RULES, Act, Event, Floor, FloorRules, State

S, E, A = State, Event, Act

# How to come to each state, as a reply that nobody has heard yet, and as one that is heard.
SILENT: dict[State, tuple[Event, ...]] = {
    S.IDLE: (),
    S.USER: (E.SPEECH_STARTED,),
    S.PAUSE: (E.SPEECH_STARTED, E.SPEECH_ENDED),
    S.THINKING: (E.ASKED,),
    S.OVERLAP: (E.ASKED, E.SPEECH_STARTED),
    S.VERDICT: (E.ASKED, E.SPEECH_STARTED, E.SPEECH_ENDED),
}
HEARD: dict[State, tuple[Event, ...]] = {
    S.AGENT: (E.ASKED, E.AUDIBLE),
    S.OVERLAP: (E.ASKED, E.AUDIBLE, E.SPEECH_STARTED),
    S.VERDICT: (E.ASKED, E.AUDIBLE, E.SPEECH_STARTED, E.SPEECH_ENDED),
}
REPLYING = {S.THINKING, S.AGENT, S.OVERLAP, S.VERDICT}
HELD = {S.OVERLAP, S.VERDICT}


def walked(events: Iterable[Event], now: float = 0.0, rules: FloorRules | None = None) -> Floor:
    floor = Floor(rules)
    for event in events:
        floor.feed(event, now)
    return floor


def rows() -> list[tuple[tuple[Event, ...], State, Event, State, tuple[Act, ...]]]:
    """Each row with each way to its state, and where it must lead."""
    found = []
    for heard, paths in ((False, SILENT), (True, HEARD)):
        for state, path in paths.items():
            for (start, event), (target, acts) in RULES.items():
                if start == state:
                    back = S.AGENT if heard else S.THINKING
                    found.append((path, state, event, target or back, acts))
    return found


# -- the table --------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "state", "event", "target", "acts"), rows())
def test_every_row(
    path: tuple[Event, ...], state: State, event: Event, target: State, acts: tuple[Act, ...]
) -> None:
    """Each event in each state leads where its row says, and asks for what it says."""
    floor = walked(path)
    assert floor.state == state
    turn = floor.turn
    assert floor.feed(event, 1.0) == acts
    assert floor.state == target
    assert floor.turn == turn + (A.ASK in acts)


def test_every_state_has_been_walked() -> None:
    """The two lists of paths lead to all states, so every row was tried."""
    assert set(SILENT) | set(HEARD) == set(State)
    assert {(state, event) for _, state, event, _, _ in rows()} == set(RULES)


@pytest.mark.parametrize(
    ("state", "event"), [(s, e) for s in State for e in Event if (s, e) not in RULES]
)
def test_every_missing_row_is_not_allowed(state: State, event: Event) -> None:
    """An event without a row changes nothing, and the error names those that have one."""
    floor = walked((SILENT | HEARD)[state])
    before = (floor.state, floor.turn, floor.deadline())
    with pytest.raises(NotAllowed) as caught:
        floor.feed(event, 1.0)
    allowed = ", ".join(e.value for s, e in RULES if s == state)
    assert str(caught.value) == (
        f"{event.value} is not allowed while the floor is {state.value}; expected one of: {allowed}"
    )
    assert (floor.state, floor.turn, floor.deadline()) == before


def test_the_message_in_full() -> None:
    """The error reads as a sentence."""
    with pytest.raises(NotAllowed) as caught:
        Floor().feed(E.REPLY_OVER, 0.0)
    assert str(caught.value) == (
        "reply_over is not allowed while the floor is idle; expected one of: "
        "speech_started, speech_ended, barge_in, turn_ended, turn_empty, asked, reset"
    )


@pytest.mark.parametrize("state", State)
def test_what_the_user_and_the_program_do_is_always_allowed(state: State) -> None:
    """Whatever the floor, nobody can break it by speaking, stopping, asking or resetting."""
    anytime = {
        E.SPEECH_STARTED, E.SPEECH_ENDED, E.BARGE_IN, E.TURN_ENDED, E.TURN_EMPTY, E.ASKED, E.RESET,
    }  # fmt: skip
    assert anytime <= {event for start, event in RULES if start == state}


@pytest.mark.parametrize("state", sorted(REPLYING))
def test_a_reply_may_always_begin_and_end(state: State) -> None:
    """While there is a reply, its first and last sound are allowed, held or not."""
    assert (state, E.AUDIBLE) in RULES
    assert (state, E.REPLY_OVER) in RULES


def test_rows_are_sound() -> None:
    """What each row asks for fits where it comes from and leads to."""
    for (state, event), (target, acts) in RULES.items():
        to = {target} if target else {S.AGENT, S.THINKING}
        row = (state, event)
        assert (A.HOLD in acts) == (state in REPLYING - HELD and to <= HELD), row
        back = to <= {S.AGENT, S.THINKING} and A.ASK not in acts
        over = event == E.REPLY_OVER  # whoever was told of the hold is told of its end
        assert (A.RESUME in acts) == (state in HELD and (back or over)), row
        if state not in REPLYING:
            assert set(acts) <= {A.ASK}, row  # no reply, so nothing to hold, resume or cancel
        if state in REPLYING and not to <= REPLYING:
            assert event == E.REPLY_OVER or acts == (A.CANCEL,), row
        if state not in REPLYING and to <= REPLYING:
            assert acts == (A.ASK,), row
        if A.ASK in acts and state in REPLYING:
            assert acts == (A.CANCEL, A.ASK), row  # never two at once
        assert len(set(acts)) == len(acts), row


# -- what the rows mean -----------------------------------------------------------------------


def test_a_conversation() -> None:
    """The user asks, the agent answers, the floor is free."""
    floor = Floor()
    assert floor.feed(E.SPEECH_STARTED, 0.0) == ()
    assert floor.feed(E.SPEECH_ENDED, 1.0) == ()
    assert not floor.replying
    assert floor.feed(E.TURN_ENDED, 1.5) == (A.ASK,)
    assert (floor.turn, floor.replying) == (1, True)
    assert floor.feed(E.AUDIBLE, 2.0, 1) == ()
    assert floor.feed(E.REPLY_OVER, 4.0, 1) == ()
    assert (floor.state, floor.turn, floor.replying) == (S.IDLE, 1, False)


def test_a_cough_is_held_and_resumed() -> None:
    """A short sound without words costs the reply nothing but its time."""
    floor = walked(HEARD[S.AGENT])
    assert floor.feed(E.SPEECH_STARTED, 5.0) == (A.HOLD,)
    assert floor.feed(E.SPEECH_ENDED, 5.25) == ()
    assert floor.deadline() == 6.75
    assert floor.due(6.5) is None
    assert floor.due(6.75) == E.QUIET
    assert floor.feed(E.QUIET, 6.75) == (A.RESUME,)
    assert floor.state == S.AGENT


def test_a_sound_as_long_as_a_hold_may_be_is_an_interruption() -> None:
    """A reply that was held for four seconds under a sound is cancelled, whatever the policy."""
    floor = walked(HEARD[S.AGENT])
    floor.feed(E.SPEECH_STARTED, 5.0)
    assert floor.deadline() == 9.0
    assert floor.due(8.9375) is None
    assert floor.due(9.0) == E.LONG
    assert floor.feed(E.LONG, 9.0) == (A.CANCEL,)
    assert (floor.state, floor.since, floor.deadline()) == (S.USER, 9.0, None)


def test_an_interruption_cancels() -> None:
    """During the sound, after it, and even after it was dismissed."""
    for path, then in (
        (HEARD[S.OVERLAP], S.USER),
        (HEARD[S.VERDICT], S.PAUSE),
        (HEARD[S.AGENT], S.PAUSE),
    ):
        floor = walked(path)
        assert floor.feed(E.BARGE_IN, 1.0) == (A.CANCEL,)
        assert floor.state == then


def test_a_sound_over_a_reply_that_is_not_heard_yet_goes_back_to_thinking() -> None:
    """Resumed, the reply is where it was: on its way."""
    floor = walked(SILENT[S.VERDICT])
    floor.feed(E.TURN_EMPTY, 1.0)
    assert floor.state == S.THINKING


def test_a_reply_that_is_first_heard_while_held_goes_back_to_the_agent() -> None:
    """What had left already when the sound began is heard during it."""
    for path in (SILENT[S.OVERLAP], SILENT[S.VERDICT]):
        floor = walked(path)
        floor.feed(E.AUDIBLE, 1.0, 1)
        floor.feed(E.SPEECH_ENDED, 1.0)
        floor.feed(E.QUIET, 3.0)
        assert floor.state == S.AGENT


def test_a_new_reply_is_not_audible_because_the_old_one_was() -> None:
    """Each reply is heard for itself."""
    floor = walked((*HEARD[S.AGENT], E.TURN_ENDED, E.SPEECH_STARTED, E.SPEECH_ENDED, E.QUIET))
    assert (floor.state, floor.turn) == (S.THINKING, 2)


def test_a_second_sound_does_not_start_the_clock_anew() -> None:
    """Forty starts of speech in one sound are one sound."""
    floor = walked(HEARD[S.AGENT])
    for step in range(40):
        floor.feed(E.SPEECH_STARTED, 5.0 + step / 64)
    assert floor.deadline() == 9.0


def test_a_second_sound_before_the_verdict_holds_no_longer() -> None:
    """The reply stays held without being held again, and for no longer than by one sound."""
    floor = walked(HEARD[S.VERDICT])
    assert floor.feed(E.SPEECH_STARTED, 2.0) == ()
    assert (floor.state, floor.deadline()) == (S.OVERLAP, 4.0)


def test_a_reply_is_not_held_for_ever() -> None:
    """However sounds and silences alternate, four seconds after the first hold it is decided."""
    for last, event in [(S.OVERLAP, E.LONG), (S.VERDICT, E.QUIET)]:
        floor = walked(HEARD[S.AGENT])
        assert floor.feed(E.SPEECH_STARTED, 1.0) == (Act.HOLD,)
        now = 1.0
        while now < 4.6:
            floor.feed(E.SPEECH_ENDED, now)
            floor.feed(E.SPEECH_STARTED, now + 0.5)
            now += 0.7
        if last == S.VERDICT:
            floor.feed(E.SPEECH_ENDED, now)
        assert floor.state == last
        assert floor.deadline() == 5.0
        assert floor.due(5.0) == event


def test_numbers_that_are_void_are_skipped() -> None:
    """The next reply has a higher one; a lower number changes nothing."""
    floor = Floor()
    floor.skip(7)
    floor.skip(3)
    floor.feed(Event.ASKED, 0.0)
    assert floor.turn == 8


def test_late_events_of_older_replies_are_ignored() -> None:
    """First and last sound count only for the reply under way."""
    floor = walked((E.ASKED, E.TURN_ENDED, E.TURN_ENDED))
    assert (floor.state, floor.turn) == (S.THINKING, 3)
    for turn in (0, 1, 2, 4):
        assert floor.feed(E.AUDIBLE, 1.0, turn) == ()
        assert floor.feed(E.REPLY_OVER, 1.0, turn) == ()
        assert floor.state == S.THINKING
    floor.feed(E.AUDIBLE, 1.0, 3)
    assert floor.state == S.AGENT


@pytest.mark.parametrize("state", [S.IDLE, S.USER, S.PAUSE])
def test_late_events_of_the_last_reply_are_ignored(state: State) -> None:
    """When there is no reply any more, its sounds say nothing about the floor."""
    floor = walked((E.ASKED, E.RESET, *SILENT[state]))
    for event in (E.AUDIBLE, E.REPLY_OVER):
        assert floor.feed(event, 1.0, 1) == ()
        assert floor.state == state


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
@pytest.mark.parametrize("name", ["quiet_s", "hold_s", "patience_s"])
def test_rules_that_cannot_be(name: str, seconds: float) -> None:
    """The floor waits for seconds."""
    with pytest.raises(StageError, match=f"{name}=(-1|nan): the floor cannot wait so long"):
        FloorRules(**{name: seconds})


def test_deadlines_of_ones_own() -> None:
    """Each number of the rules counts, for its own state."""
    rules = FloorRules(hold_s=0.75, quiet_s=0.5, patience_s=2.0)
    assert walked(SILENT[S.OVERLAP], 8.0, rules).deadline() == 8.75
    assert walked(SILENT[S.VERDICT], 8.0, rules).deadline() == 8.5
    assert walked(SILENT[S.PAUSE], 8.0, rules).deadline() == 10.0


@pytest.mark.parametrize("state", State)
def test_deadlines_exist_exactly_where_promised(state: State) -> None:
    """Only a held reply and a pause wait for time; nothing is due before."""
    floor = walked((SILENT | HEARD)[state])
    timed = {S.OVERLAP: E.LONG, S.VERDICT: E.QUIET, S.PAUSE: E.QUIET}
    deadline = floor.deadline()
    assert (deadline is not None) == (state in timed)
    assert floor.due(0.0) is None
    assert floor.due(1e9) == timed.get(state)


def test_patience_ends_a_pause() -> None:
    """A pause that nothing ends is over after five seconds."""
    floor = walked(SILENT[S.PAUSE], 1.0)
    assert floor.due(5.9375) is None
    assert floor.due(6.0) == E.QUIET
    assert floor.feed(E.QUIET, 6.0) == ()
    assert floor.state == S.IDLE


# -- every walk -------------------------------------------------------------------------------


def stepped(floor: Floor, event: Event, now: float = 0.0) -> tuple[Floor, tuple[Act, ...]]:
    """A copy of `floor` after `event`, and what that asks for."""
    after = copy.copy(floor)
    turn = floor.turn if event in (E.AUDIBLE, E.REPLY_OVER) else None
    return after, after.feed(event, now, turn)


def check_step(before: Floor, after: Floor, event: Event, acts: tuple[Act, ...]) -> None:
    """What must hold of each step of each walk."""
    held, holds = before.state in HELD, after.state in HELD
    ends = A.CANCEL in acts or (event == E.REPLY_OVER and before.replying)
    # At most one reply is outstanding: another is asked for only when there is none any more.
    assert A.ASK not in acts or not before.replying or A.CANCEL in acts
    assert after.turn == before.turn + (A.ASK in acts)
    # A reply is outstanding exactly in the states that say so.
    assert after.replying == (A.ASK in acts or (before.replying and not ends))
    # Every hold is followed by a resume or a cancel.
    assert (A.HOLD in acts) == (holds and not held)
    assert not (held and not holds) or A.RESUME in acts or A.CANCEL in acts
    assert A.RESUME not in acts or (held and not holds)


def left_alone(floor: Floor) -> float:
    """Let the user be silent and the reply be heard to its end; seconds until the floor is idle."""
    now = 0.0
    floor, _ = stepped(floor, E.SPEECH_ENDED, now)
    for _ in range(4):
        deadline = floor.deadline()
        if deadline is None:
            break
        now = max(now, deadline)
        event = floor.due(now)
        assert event is not None
        floor, _ = stepped(floor, event, now)
    if floor.replying:
        floor, _ = stepped(floor, E.REPLY_OVER, now)
    assert floor.state == S.IDLE
    return now


def test_every_walk_of_eight_events() -> None:
    """All legal sequences of up to eight events keep the floor's promises, and end in silence.

    Floors that are alike go on alike, so each is walked on once, and counted as often as it came.
    """
    walks: dict[tuple[object, ...], tuple[Floor, int]] = {("start",): (Floor(), 1)}
    counted, longest_s = 0, 0.0
    for _ in range(8):
        longer: dict[tuple[object, ...], tuple[Floor, int]] = {}
        for floor, count in walks.values():
            for event in Event:
                if (floor.state, event) not in RULES:
                    continue
                after, acts = stepped(floor, event)
                check_step(floor, after, event, acts)
                counted += count
                key = tuple(value for name, value in vars(after).items() if name != "turn")
                longer[key] = (after, count + longer.get(key, (after, 0))[1])
        longest_s = max(longest_s, *(left_alone(floor) for floor, _ in longer.values()))
        walks = longer
    assert counted > 10_000_000
    assert longest_s == FloorRules().patience_s


# -- any walk ---------------------------------------------------------------------------------


class Walk(RuleBasedStateMachine):
    """A floor, and beside it what a listener makes of its acts."""

    def __init__(self) -> None:
        super().__init__()
        self.floor = Floor()
        self.now = 0.0
        self.asked = 0
        self.outstanding: set[int] = set()
        self.held = False
        self.held_at = 0.0
        self.state, self.since = self.floor.state, 0.0

    def feed(self, event: Event, turn: int | None = None) -> None:
        before = self.floor.turn
        for act in self.floor.feed(event, self.now, turn):
            match act:
                case Act.ASK:
                    self.asked += 1
                    self.outstanding.add(self.asked)
                case Act.CANCEL:
                    assert self.outstanding == {before}, "only the reply under way is cancelled"
                    self.outstanding.clear()
                    self.held = False
                case Act.HOLD:
                    assert self.outstanding, "only a reply is held"
                    assert not self.held, "held once"
                    self.held = True
                    self.held_at = self.now
                case Act.RESUME:
                    assert self.held, "only what is held is resumed"
                    self.held = False
        if self.floor.state != self.state:
            self.state, self.since = self.floor.state, self.now

    @rule(
        event=st.sampled_from(
            [E.SPEECH_STARTED, E.SPEECH_ENDED, E.BARGE_IN, E.TURN_ENDED, E.TURN_EMPTY, E.ASKED]
        )
    )
    def happens(self, event: Event) -> None:
        self.feed(event)

    @rule()
    def reset(self) -> None:
        self.feed(E.RESET)
        assert self.floor.state == S.IDLE

    @rule(older=st.integers(0, 2))
    def audible(self, older: int) -> None:
        before = self.floor.state
        self.feed(E.AUDIBLE, self.floor.turn - older)
        if older:
            assert self.floor.state == before

    @rule(older=st.integers(0, 2))
    def over(self, older: int) -> None:
        before = self.floor.state
        mine = not older and self.floor.turn in self.outstanding
        if mine:
            self.outstanding.clear()
        self.feed(E.REPLY_OVER, self.floor.turn - older)
        assert not mine or not self.held
        assert mine or self.floor.state == before

    @rule(seconds=st.sampled_from([0.0, 0.125, 0.5, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        while (event := self.floor.due(self.now)) is not None:
            self.feed(event)

    @precondition(lambda self: self.floor.due(self.now) is None)
    @rule()
    def nothing_is_due_early(self) -> None:
        deadline = self.floor.deadline()
        assert deadline is None or deadline > self.now

    @rule()
    def is_left_in_bounded_time(self) -> None:
        """Once the user is silent, time alone frees every state that waits for the user."""
        began = self.now
        self.feed(E.SPEECH_ENDED)
        while (deadline := self.floor.deadline()) is not None:
            self.now = max(self.now, deadline)
            event = self.floor.due(self.now)
            assert event is not None
            self.feed(event)
        rules = FloorRules()
        assert self.now - began <= max(rules.hold_s, rules.quiet_s, rules.patience_s)
        assert self.floor.state in (S.IDLE, S.THINKING, S.AGENT)

    @invariant()
    def one_reply_at_most(self) -> None:
        assert len(self.outstanding) <= 1
        assert self.floor.replying == bool(self.outstanding)

    @invariant()
    def numbers_rise_by_one(self) -> None:
        assert self.floor.turn == self.asked
        assert self.outstanding <= {self.asked}

    @invariant()
    def held_where_it_says_so(self) -> None:
        assert self.held == (self.floor.state in HELD)

    @invariant()
    def deadlines_count_from_the_state(self) -> None:
        rules = FloorRules()
        held_until = self.held_at + rules.hold_s
        dues = {
            S.OVERLAP: held_until,
            S.VERDICT: min(self.since + rules.quiet_s, held_until),
            S.PAUSE: self.since + rules.patience_s,
        }
        assert self.floor.deadline() == dues.get(self.state)


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
