"""Levels of pressure, and what is left out at each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.errors import StageError
from vivace.machines.pressure import (
    SHED_FROM,
    Load,
    PressureMachine,
    PressureRules,
    Shedding,
)

CALM = Load()


def levels(machine: PressureMachine, moments: list[tuple[float, Load]]) -> list[tuple[float, int]]:
    """When the level changed, and to what."""
    return [(at, level) for at, load in moments for level in machine.feed(load, at)]


def test_one_bad_moment_is_none() -> None:
    """A garbage collection is no load: two moments in a row must say so."""
    moments = [(0.0, Load(lag_s=9.0)), (0.1, CALM), (0.2, Load(lag_s=9.0)), (0.3, CALM)]
    assert levels(PressureMachine(), moments) == []


@pytest.mark.parametrize(
    ("load", "level"),
    [
        (Load(0.015, 0.10, 0.010), 0), (Load(0.016), 1), (Load(0.0, 0.11), 1),
        (Load(0.0, 0.0, 0.011), 1), (Load(0.031), 2), (Load(0.0, 0.26), 2),
        (Load(0.0, 0.0, 0.016), 2), (Load(0.061), 3), (Load(0.0, 0.61), 3),
        (Load(0.0, 0.0, 0.021), 3),
    ],
)  # fmt: skip
def test_each_of_the_three_numbers_presses(load: Load, level: int) -> None:
    """Above any limit of a level it begins, at once at the right one; at the limit it does not."""
    changes = levels(PressureMachine(), [(0.0, load), (0.1, load), (0.2, load)])
    assert changes == ([(0.1, level)] if level else [])


def test_of_two_moments_the_milder_counts() -> None:
    """It rises to what both say, and from there further."""
    moments = [(0.0, Load(lag_s=0.1)), (0.1, Load(lag_s=0.02)), (0.2, Load(lag_s=0.1))]
    assert levels(PressureMachine(), [*moments, (0.3, Load(lag_s=0.1))]) == [(0.1, 1), (0.3, 3)]


def test_it_falls_one_level_at_a_time() -> None:
    """After three calm seconds, and after three more, and so on: all comes back in turn."""
    machine = PressureMachine()
    moments = [(0.0, Load(lag_s=1.0)), (0.1, Load(lag_s=1.0))]
    moments += [(round(0.2 + 0.1 * step, 6), CALM) for step in range(120)]
    assert levels(machine, moments) == [(0.1, 3), (3.2, 2), (6.2, 1), (9.2, 0)]


@pytest.mark.parametrize(("at", "rises"), [(4.0, True), (6.1, True), (6.3, False)])
def test_while_work_comes_back_one_moment_is_enough(at: float, rises: bool) -> None:
    """Within `ramp_s` of a fall it is a trial, and the first sign ends it."""
    machine = PressureMachine()
    moments = [(0.0, Load(lag_s=0.04)), (0.1, Load(lag_s=0.04)), (0.2, CALM), (3.2, CALM)]
    assert levels(machine, moments) == [(0.1, 2), (3.2, 1)]
    assert levels(machine, [(at, Load(lag_s=0.04))]) == ([(at, 2)] if rises else [])


def test_what_is_not_calm_enough_stays() -> None:
    """Between half of a limit and the limit nothing changes; two such moments begin calm anew."""
    machine = PressureMachine()
    busy = Load(lag_s=0.008)
    moments = [(0.0, Load(lag_s=0.02)), (0.1, Load(lag_s=0.02))]
    moments += [(1.0, CALM), (3.9, busy), (3.95, busy), (4.1, CALM), (7.0, busy), (7.1, CALM)]
    assert levels(machine, moments) == [(0.1, 1), (7.1, 0)]


def test_what_was_left_out_comes_back_little_by_little() -> None:
    """In the three seconds after a level fell more and more is let in; what is shed still, is."""
    machine = PressureMachine()
    assert machine.share(0.0) == 1.0
    levels(machine, [(0.0, Load(lag_s=0.04)), (0.1, Load(lag_s=0.04)), (1.0, CALM), (4.0, CALM)])
    assert (machine.level, machine.share(4.0), machine.share(5.5), machine.share(9.0)) == (
        1,
        0.0,
        0.5,
        1.0,
    )
    shedding = Shedding(1)
    shedding.share = 0.25
    asked = [shedding.sheds("detectors") for _ in range(8)]
    assert asked == [True, True, True, False] * 2
    assert shedding.counts == {"detectors": 6}
    assert not shedding.sheds("chunks")
    assert shedding.sheds("frames")


def test_what_came_back_too_early_takes_longer() -> None:
    """Load that goes on is let in after 3 s, then after 6, 12 and so on; after a pause after 3."""
    machine, busy = PressureMachine(), Load(lag_s=0.02)
    now, changes = 0.0, list[tuple[float, int]]()
    while now < 200.0:  # whatever is let in is too much, until 150 s; only then it is no more
        now = round(now + 0.5, 6)
        load = busy if machine.level == 0 and now < 150.0 else CALM
        changes += [(now, level) for level in machine.feed(load, now)]
    rises = [at for at, level in changes if level == 1]
    falls = [at for at, level in changes if level == 0]
    assert [fell - rose for rose, fell in zip(rises, falls, strict=True)] == [
        3.5, 6.5, 12.5, 24.5, 24.5, 24.5, 24.5, 24.5,
    ]  # fmt: skip
    for at in (300.0, 300.5, 301.0):
        machine.feed(busy, at)
    moments = [(301.5 + 0.5 * step, CALM) for step in range(10)]
    assert levels(machine, moments) == [(304.0, 0)]


def test_rules_of_ones_own() -> None:
    """Other limits, at once, and back at once."""
    rules = PressureRules((Load(1, 1, 1), Load(2, 2, 2), Load(3, 3, 3)), 1, 1.0, 0.0, ramp_s=0.0)
    assert PressureMachine(rules).share(0.0) == 1.0
    moments = [(0.0, Load(lag_s=2.5)), (0.1, Load(lag_s=2.0)), (0.2, Load(lag_s=0.5))]
    assert levels(PressureMachine(rules), moments) == [(0.0, 2), (0.1, 1), (0.2, 0)]


def test_rules_that_make_no_sense() -> None:
    """Limits must grow, and numbers be in range."""
    with pytest.raises(StageError, match="must grow from level to level"):
        PressureRules((Load(1, 1, 1), Load(2, 0.5, 2), Load(3, 3, 3)))
    for wrong in ({"confirm": 0}, {"calm": 0.0}, {"calm": 1.5}, {"calm_s": -1.0}, {"ramp_s": -1.0}):
        with pytest.raises(StageError, match="at least one moment"):
            PressureRules(**wrong)


LOADS = st.builds(Load, *[st.sampled_from([0.0, 0.004, 0.012, 0.04, 0.3, 3.0])] * 3)


@given(st.lists(st.tuples(st.floats(0.01, 5.0), LOADS), max_size=80))
def test_of_all_loads(moments: list[tuple[float, Load]]) -> None:
    """The level is 0 to 3; it rises under load, falls by one after calm, and all comes back."""
    machine, now, rules = PressureMachine(), 0.0, PressureRules()
    changed_at = 0.0
    for after_s, load in moments:
        now += after_s
        before = machine.level
        told = machine.feed(load, now)
        assert told == ([machine.level] if machine.level != before else [])
        assert 0 <= machine.level <= 3
        if machine.level > before:
            assert load.exceeds(rules.limits[machine.level - 1])
        if machine.level < before:
            assert machine.level == before - 1
            assert now - changed_at >= rules.calm_s - 1e-9
        changed_at = now if told else changed_at
    for _ in range(9):
        now += rules.longest_calm_s
        machine.feed(CALM, now)
    assert machine.level == 0


def test_what_is_shed_at_which_level() -> None:
    """The cheapest to miss first; nothing at 0; each counted as often as it was left out."""
    table = {
        0: [],
        1: ["frames", "interim"],
        2: ["frames", "interim", "detectors", "speculation"],
        3: ["frames", "interim", "detectors", "speculation", "chunks"],
    }
    for level, shed in table.items():
        shedding = Shedding(level)
        assert shedding.shed == shed
        assert [work for work in SHED_FROM if shedding.sheds(work)] == shed
        assert shedding.counts == dict.fromkeys(shed, 1)
    assert shedding.sheds("frames", 4)
    assert shedding.counts["frames"] == 5


def test_what_is_never_shed() -> None:
    """Audio, signals and tool traffic are not even a question."""
    for work in ("audio", "signals", "tools"):
        with pytest.raises(StageError, match="is never shed; what is: frames, interim"):
            Shedding(3).sheds(work)  # type: ignore[arg-type]
