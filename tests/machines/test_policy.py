"""The policies that come with Vivace."""

import pytest

from vivace.errors import PartError
from vivace.machines.measure import Limits
from vivace.machines.policy import KeepAll, LastTurns, MaxAge, Policy, Rest, TokenBudget


def load(tokens: int = 0, turns: int = 0, oldest_at: float = 0.0) -> Rest:
    rest = Rest.__new__(Rest)
    rest.parts = rest.bytes = 0
    rest.tokens, rest.turns, rest.oldest_at = tokens, turns, oldest_at
    return rest


@pytest.mark.parametrize(
    ("policy", "due", "not_due", "enough", "not_enough"),
    [
        (LastTurns(3, 2), load(turns=4), load(turns=3), load(turns=2), load(turns=3)),
        (
            TokenBudget(9, 5), load(tokens=10), load(tokens=9), load(tokens=5), load(tokens=6),
        ),
        (
            MaxAge(8.0), load(oldest_at=91.9), load(oldest_at=92.0),
            load(oldest_at=94.0), load(oldest_at=93.9),
        ),
    ],
)  # fmt: skip
def test_when_and_how_far(
    policy: Policy, due: Rest, not_due: Rest, enough: Rest, not_enough: Rest
) -> None:
    """At 100 s: each has its water marks."""
    assert policy.due(due, 100.0)
    assert not policy.due(not_due, 100.0)
    assert policy.enough(enough, 100.0)
    assert not policy.enough(not_enough, 100.0)


def test_keeping_all() -> None:
    """Never due, always enough."""
    assert not KeepAll().due(load(10**9, 10**9), 1e9)
    assert KeepAll().enough(load(10**9, 10**9), 1e9)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: LastTurns(3, 4), "4 of 3 turns"),
        (lambda: LastTurns(0, 0), "0 of 0 turns"),
        (lambda: MaxAge(-1.0), "-1.0 seconds"),
        (lambda: MaxAge(float("nan")), "nan seconds"),
        (lambda: TokenBudget(5, 9), "from 5 to 9 tokens"),
        (lambda: TokenBudget(5, 0), "from 5 to 0 tokens"),
    ],
)
def test_what_no_prompt_can_be_kept_to(make: object, told: str) -> None:
    """It is refused when it is made."""
    with pytest.raises(PartError, match=f"cannot be kept to {told}; see docs/prompt.md"):
        make()  # type: ignore[operator]


def test_what_would_be_left() -> None:
    """The summary as large as it may become, and what leaves gone."""

    class Whole:
        parts, bytes, tokens, turns, oldest_at = 10, 100, 50, 3, 1.0

    rest = Rest(Whole(), Limits(1, 5, 2), Limits(1, 20, 10))
    rest.lose(Limits(2, 15, 8))
    assert (rest.parts, rest.bytes, rest.tokens, rest.turns) == (8, 100, 50, 3)
