"""What is believed of what detectors report, and when it is told: with exact times."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.errors import StageError
from vivace.machines.confirm import (
    Belief,
    Confirm,
    ConfirmRules,
    Debounce,
    Edge,
    Inhibit,
    Told,
    Transition,
    check_debounce,
)
from vivace.machines.detection_counts import DetectionCounts
from vivace.machines.sighting import Sighting
from vivace.part import Part

quick = settings(max_examples=100, deadline=None)
KEY = ("eye", "cat")


def believed(rules: ConfirmRules, *detections: Any) -> list[int]:
    """The numbers of the detections, from 1, after which something is believed.

    Each detection sees a "cat" with the confidence that it is given as, or nothing if it is 0.
    """
    confirm = Confirm(rules)
    return [
        number
        for number, sure in enumerate(detections, 1)
        if confirm.detected([Sighting("cat", sure)] if sure else [])
    ]


# -- confidence and counts --------------------------------------------------------------------


def test_every_sighting_is_believed_unless_said_otherwise() -> None:
    """Without rules, what is seen is believed, each time."""
    assert believed(ConfirmRules(), 0.1, 0, 1.0, 1.0) == [1, 3, 4]


def test_below_the_threshold_nothing_is_seen() -> None:
    """A confidence counts from `on` upwards, itself included."""
    assert believed(ConfirmRules(on=0.5), 0.49, 0.5, 0.51) == [2, 3]


def test_hysteresis_tells_once() -> None:
    """What is there stays there until it falls below `off`, and is told when it comes."""
    rules = ConfirmRules(on=0.5, off=0.3)
    assert believed(rules, 0.4, 0.5, 0.9, 0.3, 0.5, 0.29, 0.4, 0.5, 0, 0.5) == [2, 8, 10]


def test_two_of_the_last_three() -> None:
    """A sighting counts with one more among the two detections before it."""
    rules = ConfirmRules(n=2, m=3)
    assert believed(rules, 1, 0, 0, 1, 0, 1, 1, 0, 0, 1) == [6, 7]


def test_n_in_a_row() -> None:
    """Of as many as are asked for, all must have seen it: three is the third."""
    assert believed(ConfirmRules(n=3, m=3), 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1) == [3, 4, 11]


def test_counts_and_hysteresis_together() -> None:
    """What is confirmed is told once, until fewer detections than needed have seen it."""
    rules = ConfirmRules(n=2, m=3, on=0.5, off=0.2)
    assert believed(rules, 0.5, 0.1, 0.5, 0.3, 0.2, 0.1, 0.1, 0.5, 0.2) == [3, 9]


def test_types_count_apart() -> None:
    """Two types of one detector do not confirm each other; of one type the surest counts."""
    confirm = Confirm(ConfirmRules(n=2, m=2))
    cat, dog = Sighting("cat", 0.5), Sighting("dog", 0.5)
    assert confirm.detected([cat]) == []
    assert confirm.detected([dog]) == []
    assert confirm.detected([Sighting("dog", 0.2), dog, Sighting("dog", 0.4), cat]) == [Belief(dog)]
    assert confirm.detected([cat, dog]) == [Belief(cat), Belief(dog)]


def test_nothing_is_no_type() -> None:
    """A detector that says "nothing" has seen nothing."""
    assert Confirm().detected([Sighting("nothing")]) == []


def test_types_are_forgotten() -> None:
    """What the last m detections have not seen is not kept."""
    confirm = Confirm(ConfirmRules(n=2, m=2))
    for number in range(100):
        confirm.detected([Sighting(f"type {number}")])
    assert len(confirm._types) == 2


# -- states -----------------------------------------------------------------------------------


def states(rules: ConfirmRules, *seen: str) -> list[tuple[int, str, str]]:
    """The changes that are told: after which detection, from what, to what."""
    confirm = Confirm(rules)
    told = []
    for number, state in enumerate(seen, 1):
        for belief in confirm.detected([Sighting(state)] if state else []):
            told.append((number, belief.previous, belief.sighting.type))
    return told


def test_a_change_is_told_once() -> None:
    """A state that stays is no event; a state in between is."""
    rules = ConfirmRules(transitions={("*", "*"): None, ("*", "rain"): "Rain."})
    seen = ["sun", "rain", "rain", "sun", "rain"]
    assert states(rules, *seen) == [(2, "sun", "rain"), (5, "sun", "rain")]


def test_n_means_n() -> None:
    """A transition of n needs n detections in a row: the n-th one brings it."""
    for n in (1, 2, 3):
        rules = ConfirmRules(transitions={("*", "rain"): Transition(n=n)})
        assert states(rules, *["rain"] * 5) == [(n, "nothing", "rain")]


def test_detections_in_between_begin_the_count_anew() -> None:
    """The old state, or a third one, breaks the row."""
    rules = ConfirmRules(start="sun", transitions={("*", "*"): Transition(n=2)})
    seen = ["rain", "sun", "rain", "snow", "rain", "rain", "snow", "snow"]
    assert states(rules, *seen) == [(6, "sun", "rain"), (8, "rain", "snow")]


def test_the_row_that_names_more_counts() -> None:
    """(from, to) before (*, to) before (from, *) before (*, *)."""
    rows = {("*", "*"): "d", ("sun", "*"): "c", ("*", "rain"): "b", ("sun", "rain"): "a"}

    def output(start: str, to: str) -> Any:
        [belief] = Confirm(ConfirmRules(start=start, transitions=rows)).detected([Sighting(to)])
        return belief.output

    assert output("sun", "rain") == "a"
    assert output("snow", "rain") == "b"
    assert output("sun", "snow") == "c"
    assert output("snow", "sun") == "d"


def test_a_change_without_a_row_happens_at_once() -> None:
    """It is not told, and the next change counts from the new state."""
    rules = ConfirmRules(transitions={("snow", "rain"): Transition(n=2)})
    assert states(rules, "snow", "rain", "rain") == [(3, "snow", "rain")]


def test_to_see_nothing_is_a_state() -> None:
    """The end of something is a change to "nothing", which nobody is sure or unsure of."""
    confirm = Confirm(ConfirmRules(transitions={("cat", "nothing"): Transition(2, "It left.")}))
    assert confirm.detected([Sighting("cat", 0.4)]) == []
    assert confirm.detected([]) == []
    assert confirm.detected([]) == [Belief(Sighting("nothing"), "cat", "It left.")]
    assert confirm.state == "nothing"


def test_the_surest_state_counts() -> None:
    """Of several the surest that is above the threshold; the present one is kept until `off`."""
    rules = ConfirmRules(on=0.5, off=0.3, transitions={("*", "*"): Transition()})
    confirm = Confirm(rules)
    assert confirm.detected([Sighting("sun", 0.4), Sighting("rain", 0.3)]) == []
    [belief] = confirm.detected([Sighting("sun", 0.6), Sighting("rain", 0.7)])
    assert belief.sighting == Sighting("rain", 0.7)
    assert confirm.detected([Sighting("rain", 0.3), Sighting("sun", 0.49)]) == []
    [belief] = confirm.detected([Sighting("rain", 0.29), Sighting("sun", 0.49)])
    assert belief.sighting.type == "nothing"


def test_outputs_are_handed_on() -> None:
    """Text, a part or a list: as they were given, alone or in a Transition."""
    for output in ("Rain.", Part("rain"), ["Rain.", Part("wet")], None):
        rules = ConfirmRules(transitions={("*", "rain"): Transition(output=output)})
        [belief] = Confirm(rules).detected([Sighting("rain")])
        assert belief == Belief(Sighting("rain"), "nothing", output)


# -- debounce ---------------------------------------------------------------------------------


class Bench:
    """Feeds a Debounce and keeps what it tells, with the time."""

    def __init__(self, edge: Edge, wait_s: float = 0.5, *inhibit: Inhibit) -> None:
        self.counts = DetectionCounts()
        self.debounce = Debounce[str](inhibit, self.counts)
        self.edge: Edge = edge
        self.wait_s = wait_s
        self.told: list[tuple[float, str, str]] = []

    @property
    def debounced(self) -> int:
        return self.counts.report().events_debounced

    @property
    def inhibited(self) -> int:
        return self.counts.report().events_inhibited

    def see(self, at: float, item: str, key: tuple[str, str] = KEY) -> None:
        self.until(at)
        self.take(at, self.debounce.believed(key, item, self.wait_s, self.edge, at))

    def until(self, at: float) -> None:
        while (due := self.debounce.deadline()) is not None and due < at:
            self.take(due, self.debounce.tick(due))

    def take(self, at: float, told: list[Told[str]]) -> None:
        self.told += [(at, it.item, it.edge) for it in told]


def burst(edge: Edge) -> Bench:
    """Three sightings 0.25 s apart, a single one, and two again."""
    bench = Bench(edge)
    for at, item in [(1, "a"), (1.25, "b"), (1.5, "c"), (3, "d"), (5, "e"), (5.25, "f")]:
        bench.see(float(at), item)
    bench.until(10.0)
    return bench


def test_the_leading_edge() -> None:
    """The first of a row is told at once; it is over after 0.5 s without another one."""
    bench = burst("leading")
    assert bench.told == [(1.0, "a", "leading"), (3.0, "d", "leading"), (5.0, "e", "leading")]
    assert bench.debounced == 3


def test_the_trailing_edge() -> None:
    """The last of a row is told once 0.5 s have passed without another one."""
    bench = burst("trailing")
    assert bench.told == [(2.0, "c", "trailing"), (3.5, "d", "trailing"), (5.75, "f", "trailing")]
    assert bench.debounced == 3


def test_both_edges() -> None:
    """The first and the last; one that stands alone is told once."""
    bench = burst("both")
    assert bench.told == [
        (1.0, "a", "leading"),
        (2.0, "c", "trailing"),
        (3.0, "d", "leading"),
        (5.0, "e", "leading"),
        (5.75, "f", "trailing"),
    ]
    assert bench.debounced == 1


def test_exactly_the_time_apart_is_a_new_one() -> None:
    """A sighting at the moment that a row ends begins the next, told or ticked first."""
    for edge, told in [
        ("leading", [(1.0, "a", "leading"), (1.5, "b", "leading")]),
        ("trailing", [(1.5, "a", "trailing"), (2.0, "b", "trailing")]),
    ]:
        for ticked in (False, True):
            bench = Bench(edge)  # type: ignore[arg-type]
            bench.see(1.0, "a")
            if ticked:
                bench.take(1.5, bench.debounce.tick(1.5))
            bench.see(1.5, "b")
            bench.until(9.0)
            assert bench.told == told


@pytest.mark.parametrize("edge", ["leading", "trailing", "both"])
def test_no_time_is_no_debounce(edge: Edge) -> None:
    """With 0 s each is told at once, also at the same instant."""
    bench = Bench(edge, 0.0)
    for item in "abc":
        bench.see(1.0, item)
    kind = "trailing" if edge == "trailing" else "leading"
    assert bench.told == [(1.0, item, kind) for item in "abc"]
    assert bench.debounced == 0


def test_detectors_and_types_are_told_apart() -> None:
    """Neither another type of the same detector nor another detector is part of a row."""
    bench = Bench("leading")
    bench.see(1.0, "a", ("eye", "cat"))
    bench.see(1.25, "b", ("eye", "dog"))
    bench.see(1.25, "c", ("ear", "cat"))
    bench.see(1.25, "d", ("eye", "cat"))
    assert [item for _, item, _ in bench.told] == ["a", "b", "c"]


def test_rows_that_end_together_are_told_in_the_order_of_their_ends() -> None:
    """Whoever wakes it late gets them as they ended."""
    bench = Bench("trailing")
    bench.see(1.0, "a", ("eye", "cat"))
    bench.see(1.25, "b", ("eye", "dog"))
    bench.see(1.375, "c", ("eye", "cat"))
    assert bench.debounce.deadline() == 1.75
    assert bench.debounce.tick(1.625) == []
    assert [it.item for it in bench.debounce.tick(5.0)] == ["b", "c"]
    assert bench.debounce.deadline() is None


def test_at_the_end_all_is_told() -> None:
    """`flush` ends rows before their time."""
    bench = Bench("both")
    for at, item, name in [(1.0, "a", "cat"), (1.125, "b", "dog"), (1.25, "c", "cat")]:
        bench.see(at, item, ("eye", name))
    assert bench.debounce.flush(1.25) == [Told("c", "trailing")]
    assert bench.debounce.flush(1.25) == []


# -- inhibition -------------------------------------------------------------------------------


def test_one_event_keeps_another_from_being_told() -> None:
    """For its time, and not at its end; what began meanwhile is told once it may be."""
    bench = Bench("leading", 0.0, Inhibit("alarm", ("cat",), 2.0))
    bench.see(1.0, "a", ("eye", "cat"))
    bench.see(2.0, "b", ("bell", "alarm"))
    bench.see(3.0, "c", ("eye", "cat"))
    bench.see(3.5, "d", ("eye", "dog"))
    bench.see(3.75, "e", ("bell", "alarm"))
    bench.see(4.0, "f", ("eye", "cat"))
    bench.see(5.75, "g", ("eye", "cat"))
    assert [item for _, item, _ in bench.told] == ["a", "b", "d", "e", "g"]
    assert bench.inhibited == 2


def test_a_row_that_ends_inhibited_is_not_told() -> None:
    """What is to be told at the end of a row may be kept from it until then."""
    bench = Bench("trailing", 0.5, Inhibit("alarm", ("*",), 2.0))
    bench.see(1.0, "a", ("bell", "alarm"))
    bench.see(1.25, "b", ("eye", "cat"))
    bench.until(9.0)
    assert bench.told == [(1.5, "a", "trailing")]
    assert bench.inhibited == 1


def test_no_event_inhibits_itself() -> None:
    """The wild card is any other type."""
    bench = Bench("leading", 0.0, Inhibit("alarm", ("*",), 2.0))
    bench.see(1.0, "a", ("bell", "alarm"))
    bench.see(1.5, "b", ("horn", "alarm"))
    assert [item for _, item, _ in bench.told] == ["a", "b"]


# -- rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"n": 0}, "0 of 1 detections"),
        ({"n": 2}, "2 of 1 detections"),
        ({"m": 1001}, "1 ≤ n ≤ m"),
        ({"on": 1.1}, "on=1.1"),
        ({"off": 0.5}, "0 ≤ off ≤ on ≤ 1"),
        ({"on": 0.5, "off": -0.1}, "off=-0.1"),
        ({"m": 2, "transitions": {}}, "give each Transition its n"),
        ({"debounce_s": -1.0}, "a debounce of -1.0 s"),
        ({"debounce_s": float("inf")}, "a debounce of inf s"),
        ({"edge": "falling"}, "edge='falling'"),
    ],
)
def test_rules_that_make_no_sense(rules: dict[str, Any], why: str) -> None:
    """They are refused, saying what would do."""
    with pytest.raises(StageError, match=why):
        ConfirmRules(**rules)


def test_transitions_and_inhibitions_that_make_no_sense() -> None:
    """No detections and no time are refused; what makes sense is not."""
    with pytest.raises(StageError, match="use n=1 or more"):
        Transition(0)
    with pytest.raises(StageError, match="use seconds above 0"):
        Inhibit("a", ("b",), 0.0)
    check_debounce(0.0, "both")


# -- for all sequences ------------------------------------------------------------------------

confidences = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])


@quick
@given(
    st.lists(confidences, max_size=40),
    st.integers(1, 4),
    st.integers(0, 3),
    st.sampled_from([(0.0, None), (0.6, None), (0.6, 0.4), (0.6, 0.6)]),
)
def test_belief_is_what_the_definition_says(
    sure: list[float], n: int, more: int, limits: tuple[float, float | None]
) -> None:
    """Of any row of confidences those are believed that a plain reading of the rules says."""
    m = n + more
    on, off = limits
    present: list[bool] = []
    expected = []
    for number, it in enumerate(sure, 1):
        stays = bool(present) and present[-1] and off is not None and it >= off
        present.append(it > 0 and (it >= on or stays))
        before = sum(present[max(0, number - 1 - m) : number - 1]) >= n
        counts = sum(present[max(0, number - m) : number]) >= n
        if present[-1] and counts and not (off is not None and before):
            expected.append(number)
    assert believed(ConfirmRules(n=n, m=m, on=on, off=off), *sure) == expected


@quick
@given(st.lists(st.sampled_from(["", "a", "b"]), max_size=30), st.integers(1, 4))
def test_a_state_changes_only_after_n_in_a_row(seen: list[str], n: int) -> None:
    """Each change comes with the n-th detection of the new state, and states follow each other."""
    rules = ConfirmRules(transitions={("*", "*"): Transition(n=n)})
    state = "nothing"
    for number, before, after in states(rules, *seen):
        assert before == state != after
        assert [it or "nothing" for it in seen[number - n : number]] == [after] * n
        state = after


times = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from(["cat", "dog", "alarm"])), max_size=30
)


@quick
@given(times, st.sampled_from(["leading", "trailing", "both"]), st.integers(0, 6), st.booleans())
def test_all_that_is_believed_is_told_once_or_counted(
    steps: list[tuple[int, str]], edge: Edge, wait: int, inhibits: bool
) -> None:
    """Nothing is lost or told twice; rows of one type are at least `wait_s` apart."""
    inhibit = [Inhibit("alarm", ("cat",), 0.5)] if inhibits else []
    bench, now = Bench(edge, wait / 8, *inhibit), 0.0
    seen: dict[str, tuple[float, str]] = {}
    for number, (step, name) in enumerate(steps):
        now += step / 8
        seen[str(number)] = (now, name)
        bench.see(now, str(number), ("eye", name))
    bench.until(now + 10.0)
    items = [item for _, item, _ in bench.told]
    assert len(items) == len(set(items))
    assert len(steps) == len(items) + bench.debounced + bench.inhibited
    ends: dict[tuple[str, str], float] = {}
    for at, item, kind in bench.told:
        came, name = seen[item]
        late = wait / 8 if kind == "trailing" else 0.0
        assert at == came + late
        assert inhibits or at - ends.get((name, kind), -10.0) >= wait / 8
        ends[name, kind] = at
