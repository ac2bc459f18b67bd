"""The arithmetic of the benchmark: medians of paired ratios, and whether they reach a goal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Goal", "Spread", "ratio", "slope", "spread"]


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements, and the quartiles to its sides."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Goal:
    """A limit to stay below, or a factor to reach."""

    limit: float
    at_least: bool = False

    def verdict(self, found: Spread) -> str:
        """`met` or `falls short by 12 %`, judged by the middle of `found`.

        Falling short is told as a share of the goal: 1.8 for "at most 1.5" and 8 for "at least 10"
        both are 20 %. A goal between the quartiles is said to be within the spread.
        """
        away = found.middle / self.limit - 1
        if self.at_least:
            away = -away
        said = "met" if away <= 0 else f"falls short by {_percent(away)} %"
        return said + (", within the spread" if found.low < self.limit < found.high else "")


def _percent(share: float) -> str:
    return "less than 1" if share < 0.01 else f"{share * 100:,.0f}"


def spread(values: Iterable[float]) -> Spread:
    """The quartiles of `values`, which must not be empty."""
    ordered = sorted(values)
    if len(ordered) == 1:
        return Spread(ordered[0], ordered[0], ordered[0])
    low, middle, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return Spread(low, middle, high)


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The quartiles of `above[i] / below[i]`: each pair was measured at nearly the same moment.

    A ratio of medians would mix what was measured while the machine was quiet with what was not.
    Raises ValueError if they are not pairs.
    """
    return spread(a / b for a, b in zip(above, below, strict=True))


def slope(first: tuple[float, float], last: tuple[float, float]) -> float:
    """How much y grows with each x between two points (x, y)."""
    return (last[1] - first[1]) / (last[0] - first[0])
