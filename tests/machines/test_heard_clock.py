"""When sound was made: its media time on the clock, though it comes late, and unevenly."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.machines.heard_clock import HeardClock


def test_before_any_sound_nothing_is_known() -> None:
    """No moment can be told."""
    clock = HeardClock()
    assert (clock.heard_at, clock.when(1.0)) == (0.0, math.inf)


def test_what_is_beyond_the_usual_is_late() -> None:
    """Sound that always comes half a second late waits for nobody; what comes later does."""
    clock = HeardClock()
    assert clock.hear(0.0, 0.0, 10.5) == 0.0
    assert clock.hear(1.0, 0.0, 11.5) == pytest.approx(0.0, abs=1e-9)
    assert clock.hear(1.0, 1.0, 12.75) == pytest.approx(0.249)
    assert clock.hear(1.0, 2.0, 13.25) == pytest.approx(0.0, abs=1e-9)
    assert clock.when(3.0) == 13.25
    assert clock.hear(1000.0, 3.0, 1014.25) == pytest.approx(0.0, abs=1e-9)  # clocks drift


def test_sound_without_a_time_goes_on() -> None:
    """It comes right after what came before; a time of its own counts again."""
    clock = HeardClock()
    clock.hear(0.5, None, 1.0)
    clock.hear(0.25, None, 1.25)
    assert (clock.heard_at, clock.when(0.75)) == (0.75, 1.25)
    clock.hear(0.25, 4.0, 4.75)
    assert clock.heard_at == 4.25


def test_a_time_that_goes_back() -> None:
    """A source that begins anew is heard anew, and on time."""
    clock = HeardClock()
    clock.hear(1.0, 9.0, 10.0)
    assert clock.hear(1.0, 0.0, 11.0) == 0.0
    assert (clock.heard_at, clock.when(0.5)) == (1.0, 10.5)


def test_a_closed_microphone() -> None:
    """Media time stands still meanwhile, with or without a time of its own; nothing is late."""
    clock = HeardClock()
    clock.hear(0.1, None, 0.1)
    assert clock.hear(0.1, None, 26.2) == 0.0
    assert clock.when(0.2) == 26.2
    assert clock.hear(0.1, 0.2, 60.0) == 0.0
    assert clock.when(0.25) == pytest.approx(59.95)


def test_sound_that_was_stuck_comes_in_a_burst() -> None:
    """Nobody was silent: what comes then tells that it was spoken on time."""
    clock = HeardClock()
    clock.hear(0.1, None, 0.1)
    for _ in range(30):
        clock.hear(0.1, None, 3.1)
    assert clock.when(3.1) == pytest.approx(3.1)
    assert clock.hear(0.1, None, 3.5) == pytest.approx(0.3, abs=1e-3)


def test_a_time_that_is_no_number_is_that_of_the_newest_sound() -> None:
    """As is one that has not come yet."""
    clock = HeardClock()
    assert clock.no_later(math.nan) == 0.0
    clock.hear(1.0, None, 1.0)
    assert [clock.no_later(at) for at in (math.nan, math.inf, 2.0, 0.5)] == [1.0, 1.0, 1.0, 0.5]


def test_a_stage_that_blocks_is_no_closed_microphone() -> None:
    """0.8 s at a time, for half a second of sound: that comes in bursts, later and later."""
    clock, now, late = HeardClock(), 0.0, 0.0
    for _ in range(20):
        now += 0.8
        for _ in range(25):
            late = clock.hear(0.02, None, now)
    assert late == pytest.approx(now - 10.0 - 0.3, abs=0.05)


def test_jitter_after_a_closed_microphone() -> None:
    """The network has a hiccup soon after: the pause was one all the same, and so is the next."""
    clock, now = HeardClock(), 0.0
    for pause in (5.0, 0.7, 5.0):
        now += pause
        for index in range(100):
            now += 0.0 if 10 < index < 21 else 0.22 if index == 10 else 0.02
            late = clock.hear(0.02, None, now)
            assert late < 0.25
    assert clock.when(clock.heard_at) == pytest.approx(now, abs=0.25)


def test_a_stall_after_a_closed_microphone() -> None:
    """It is over when its burst has come, and the pause before stays one."""
    clock, now, late = HeardClock(), 0.0, 0.0
    for index in range(600):
        now += 14.0 if index == 100 else 0.8 if index == 400 else 0.0 if 400 < index < 440 else 0.02
        late = clock.hear(0.02, None, now)
    assert late < 0.1
    assert clock.when(clock.heard_at) == pytest.approx(now, abs=0.1)


def test_a_slow_stage_is_no_closed_microphone() -> None:
    """It needs twice as long as its chunks last, however long these are."""
    for seconds in (0.02, 0.1, 1.0):
        clock, late = HeardClock(), 0.0
        for number in range(5):
            late = clock.hear(seconds, None, 2 * seconds * (1 + number))
        assert late == pytest.approx(4 * seconds, rel=0.01)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60))
def test_nothing_is_earlier_than_the_usual(steps: list[tuple[float, float]]) -> None:
    """Whatever clocks do: the delay is 0 or more, and 0 for the quickest so far."""
    clock, now = HeardClock(), 0.0
    for seconds, after_s in steps:
        now += after_s
        assert clock.hear(seconds, None, now) >= 0.0
