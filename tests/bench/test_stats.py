"""Quartiles, paired ratios, and when a goal is met."""

import pytest

from bench.stats import Goal, Spread, ratio, slope, spread


def test_spread_is_the_quartiles() -> None:
    """The middle is the median; the sides are the quartiles, whatever the order was."""
    assert spread([5, 1, 4, 2, 3]) == Spread(2, 3, 4)
    assert spread([1.0, 2.0]) == Spread(1.25, 1.5, 1.75)


def test_spread_of_one() -> None:
    """One measurement is its own spread."""
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


def test_ratio_is_taken_within_pairs() -> None:
    """A machine that was slow for one whole pair leaves the ratio as it was."""
    quiet, slow = [2.0, 2.0, 20.0], [1.0, 1.0, 10.0]
    assert ratio(quiet, slow) == Spread(2, 2, 2)
    # Of medians it would be 2 / 10 here, and 20 / 1 the other way round.
    assert ratio([2, 2, 20], [10, 1, 10]) == Spread(1.1, 2, 2)


def test_ratio_needs_pairs() -> None:
    """What does not belong together is not compared."""
    with pytest.raises(ValueError, match="longer"):
        ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("found", "goal", "said"),
    [
        (1.4, Goal(1.5), "met"),
        (1.5, Goal(1.5), "met"),
        (1.8, Goal(1.5), "falls short by 20 %"),
        (1.501, Goal(1.5), "falls short by less than 1 %"),
        (45.0, Goal(1.5), "falls short by 2,900 %"),
        (12.0, Goal(10, at_least=True), "met"),
        (10.0, Goal(10, at_least=True), "met"),
        (8.0, Goal(10, at_least=True), "falls short by 20 %"),
    ],
)
def test_verdict(found: float, goal: Goal, said: str) -> None:
    """A goal is met, or missed by a share of it."""
    assert goal.verdict(Spread(found, found, found)) == said


def test_verdict_tells_when_it_is_close() -> None:
    """A goal between the quartiles is said to be, whichever side the middle is on."""
    assert Goal(1.5).verdict(Spread(1.4, 1.45, 1.6)) == "met, within the spread"
    assert Goal(1.5).verdict(Spread(1.4, 1.65, 1.7)) == "falls short by 10 %, within the spread"
    assert Goal(1.5).verdict(Spread(1.51, 1.65, 1.7)) == "falls short by 10 %"
    assert Goal(1.5).verdict(Spread(1.3, 1.4, 1.5)) == "met"


def test_slope() -> None:
    """What each further one adds."""
    assert slope((1, 2.0), (11, 7.0)) == 0.5
