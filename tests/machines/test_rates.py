"""Rates over a window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.errors import MetricsError
from vivace.machines.rates import PerSecond, Shares


def test_a_rate_is_that_of_the_last_minute() -> None:
    """Ten a second for two minutes, then one a second: a minute later it is one."""
    rate, total, now = PerSecond(), 0.0, 0.0
    assert rate.rate(total, now) is None
    for _ in range(120):
        total, now = total + 10, now + 1.0
        rate.note(total, now)
    assert rate.rate(total, now) == 10.0
    for _ in range(30):
        total, now = total + 1, now + 1.0
        rate.note(total, now)
    assert rate.rate(total, now) == (30 * 10 + 30 * 1) / 60
    for _ in range(30):
        total, now = total + 1, now + 1.0
        rate.note(total, now)
    assert rate.rate(total, now) == 1.0


def test_silence_is_a_rate_of_zero() -> None:
    """When nothing comes any more the rate falls, and is 0 after the window."""
    rate = PerSecond(10.0)
    rate.note(0.0, 0.0)
    assert rate.rate(100.0, 10.0) == 10.0
    assert rate.rate(100.0, 15.0) == 5.0
    assert rate.rate(100.0, 20.0) == 0.0


def test_a_pause_is_no_part_of_the_window() -> None:
    """After ten minutes in which nothing came, what comes then is that of the last minute."""
    rate = PerSecond()
    rate.note(0.0, 0.0)
    rate.note(0.0, 600.0)
    assert rate.rate(90.0, 630.0) == 1.5


def test_a_clock_that_goes_back_begins_anew() -> None:
    """On another loop, whose clock stands elsewhere, it is counted from there."""
    rate = PerSecond()
    rate.note(50.0, 1000.0)
    assert rate.rate(60.0, 0.0) is None
    assert rate.rate(70.0, 2.0) == 5.0


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 1000)), max_size=200))
def test_it_is_no_more_than_there_was(steps: list[tuple[int, int]]) -> None:
    """Of all sequences: a bounded number of notes, and a second has no more than all there was."""
    rate, now, total = PerSecond(), 0, 0
    rate.note(total, now)
    for after_s, more in steps:
        now, total = now + after_s, total + more
        found = rate.rate(total, now)
        assert len(rate._notes) <= 62
        assert found is None or 0 <= found <= total
        assert (found is None) == (now == 0)


def test_shares_of_the_newest_steps() -> None:
    """One step in ten went wrong; after a window of good ones none has."""
    shares = Shares(100)
    assert shares.share("error") is None
    for step in range(100):
        shares.step()
        if step % 10 == 0:
            shares.happened("error")
    assert shares.share("error") == 0.1
    assert shares.share("interruption") == 0.0
    for _ in range(100):
        shares.step()
    assert (shares.share("error"), shares.steps) == (0.0, 100)
    assert shares.ever == {"error": 10}


def test_what_happens_before_the_first_step() -> None:
    """It counts as if there had been one: an error is no reason to know nothing."""
    shares = Shares(10)
    shares.happened("error")
    assert shares.share("error") == 1.0
    shares.step()
    assert shares.share("error") == 1.0


def test_amounts_are_shares_too() -> None:
    """Seconds of silence a turn, say."""
    shares = Shares(10)
    shares.step()
    shares.happened("gap", 0.25)
    shares.step()
    shares.happened("gap", 0.75)
    assert (shares.recent("gap"), shares.share("gap")) == (1.0, 0.5)


@given(st.lists(st.booleans(), max_size=300), st.integers(1, 50))
def test_a_share_counts_what_is_in_the_window(steps: list[bool], size: int) -> None:
    """Of all sequences: it is the share among the steps that the window holds."""
    shares = Shares(size)
    for bad in steps:
        shares.step()
        if bad:
            shares.happened("bad")
    held = steps[len(steps) - shares.steps :]
    assert shares.steps <= min(size, len(steps))
    assert shares.recent("bad") == sum(held)
    assert shares.ever.get("bad", 0) == sum(steps)


def test_windows_hold_something() -> None:
    """Windows of nothing are told at once."""
    with pytest.raises(MetricsError, match="0 seconds are no window"):
        PerSecond(0)
    with pytest.raises(MetricsError, match="a window of 0 steps holds none"):
        Shares(0)
