"""Quantiles in bounded room."""

import math
import sys
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vivace.errors import MetricsError
from vivace.machines.sketch import ERROR, GREATEST, LEAST, RecentValues, Sketch, Spread

VALUES = st.floats(min_value=LEAST, max_value=GREATEST) | st.just(0.0)
LISTS = st.lists(VALUES, min_size=1, max_size=300)
SHARES = st.floats(min_value=0.0, max_value=1.0)


def sketch(values: list[float]) -> Sketch:
    made = Sketch()
    for value in values:
        made.add(value)
    return made


def exact(values: list[float], share: float) -> float:
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


@given(LISTS, SHARES)
@example([LEAST], 0.5)
@example([GREATEST, GREATEST], 0.0)
def test_every_quantile_is_within_a_percent(values: list[float], share: float) -> None:
    """For all values and all shares: the quantile is off by a percent at most."""
    found = sketch(values).quantile(share)
    assert found is not None
    wanted = exact(values, share)
    assert abs(found - wanted) <= ERROR * wanted


@given(st.lists(LISTS, min_size=1, max_size=5), SHARES)
def test_merging_is_adding(lists: list[list[float]], share: float) -> None:
    """Sketches that were merged are the sketch of all values, whatever was in which."""
    merged = Sketch()
    for values in lists:
        merged.merge(sketch(values))
    whole = sketch([value for values in lists for value in values])
    assert merged.quantile(share) == whole.quantile(share)
    assert (merged.count, merged.least, merged.most) == (whole.count, whole.least, whole.most)
    assert merged.total == pytest.approx(whole.total)


@given(LISTS, VALUES)
def test_counts_up_to_a_bound(values: list[float], bound: float) -> None:
    """Only values within two percent of the bound, one bucket, may be on the wrong side of it."""
    found = sketch(values).up_to(bound)
    assert sum(value <= bound for value in values) <= found
    assert found <= sum(value <= bound * (1 + 2 * ERROR) / (1 - ERROR) for value in values)


def test_its_room_is_bounded() -> None:
    """A value in each bucket there is, and far beyond: never more than 2,077 buckets."""
    full = Sketch()
    for step in range(60_000):
        full.add(1e-12 * 1.001**step)
        full.add(0.0)
    full.add(1e300)
    assert len(full) == 2077
    assert full.quantile(1.0) == 1e300
    assert full.quantile(0.0) == 0.0


def test_what_cannot_be_measured_is_told() -> None:
    """Negative durations, and what is no number, are errors and are not counted."""
    made = Sketch()
    for value in (-1e-9, math.nan, math.inf, -math.inf):
        with pytest.raises(MetricsError, match="cannot be measured: give a finite number"):
            made.add(value)
    assert made.count == 0
    with pytest.raises(MetricsError, match="a share from 0 to 1"):
        made.quantile(1.5)


def test_nothing_has_no_quantile() -> None:
    """Before anything is measured there is no number, not a 0."""
    assert Sketch().quantile(0.5) is None
    assert Sketch().spread() is None
    assert Sketch().up_to(1.0) == 0


def test_a_spread() -> None:
    """Count, mean and most are exact, the quantiles within a percent."""
    spread = sketch([0.001 * number for number in range(1, 101)]).spread()
    assert spread is not None
    assert (spread.count, spread.most) == (100, 0.1)
    assert spread.mean == pytest.approx(0.0505)
    assert [spread.p50, spread.p95, spread.p99] == pytest.approx([0.05, 0.095, 0.099], rel=0.01)
    assert sketch([0.25]).spread() == Spread(1, 0.25, 0.25, 0.25, 0.25, 0.25)


@given(st.lists(VALUES, max_size=400), st.integers(1, 120))
def test_a_window_holds_the_newest_values(values: list[float], size: int) -> None:
    """Of all sequences the newest `size` values are seen, or up to a tenth fewer, and no others."""
    recent = RecentValues(size)
    for value in values:
        recent.add(value)
    seen = recent.recent()
    least = min(len(values), size - -(-size // 10) + 1)
    assert least - (size % 10 and -(-size // 10)) <= seen.count <= min(len(values), size)
    newest = sketch(values[len(values) - seen.count :])
    assert seen.quantile(0.5) == newest.quantile(0.5)
    assert (recent.all().count, recent.all().quantile(0.9)) == (
        len(values),
        sketch(values).quantile(0.9),
    )


def test_it_is_read_while_another_thread_adds() -> None:
    """Each look finds whole values, and of all there ever were never fewer than the one before."""
    recent, problems, done = RecentValues(100), list[BaseException](), threading.Event()

    def look() -> None:
        last = 0
        try:
            while not done.is_set():
                seen = recent.all()
                assert (seen.total, sum(seen._buckets.values())) == (seen.count, seen.count)
                assert recent.recent().count <= 100
                assert seen.count >= last
                last = seen.count
        except BaseException as error:
            problems.append(error)

    readers = [threading.Thread(target=look) for _ in range(2)]
    every_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for reader in readers:
            reader.start()
        for _ in range(20_000):
            recent.add(1.0)
    finally:
        done.set()
        sys.setswitchinterval(every_s)
        for reader in readers:
            reader.join()
    assert problems == []
    assert recent.all().count == 20_000


def test_a_window_forgets() -> None:
    """A hundred slow values are gone once as many quick ones have come."""
    recent = RecentValues(100)
    for _ in range(100):
        recent.add(1.0)
    for _ in range(100):
        recent.add(0.01)
    spread = recent.recent().spread()
    assert spread is not None
    assert (spread.count, spread.most) == (100, 0.01)
    assert recent.all().count == 200
    assert recent.all().most == 1.0


def test_a_window_holds_something() -> None:
    """A window of no values is told at once."""
    with pytest.raises(MetricsError, match="a window of 0 values holds none"):
        RecentValues(0)
    with pytest.raises(MetricsError, match=r"-0\.5 cannot be measured"):
        RecentValues(1).add(-0.5)
