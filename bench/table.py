"""Tables of what was measured: numbers as people read them, goals, verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.harness import Absent, Results
from bench.stats import Goal

__all__ = ["Table", "compared", "duration", "limited", "megabytes", "number"]

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Table:
    """Rows under a head; every cell is text."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)


def number(value: float) -> str:
    """Three digits that count: 0.512, 8.35, 16.3, 1,240."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}"


def duration(seconds: float) -> str:
    """In the unit that fits: 512 ns, 8.35 µs, 1.24 ms, 2.10 s."""
    for unit, name in ((1e-6, "ns"), (1e-3, "µs"), (1.0, "ms")):
        if abs(seconds) < unit:
            return f"{number(seconds * 1e3 / unit)} {name}"
    return f"{number(seconds)} s"


def megabytes(size: float) -> str:
    """Bytes as MB."""
    return f"{size / 1e6:,.1f} MB"


def compared(
    results: Results, case: str, other: str, goal: Goal | None, *, faster: bool
) -> tuple[str, ...]:
    """Vivace beside another: both costs, the ratio, the goal and whether it is met.

    faster: the ratio says how many times as fast Vivace is; else, how many times as long it takes.
    """
    unit = "× as fast" if faster else "× as long"
    wanted = f"{'≥' if faster else '≤'} {goal.limit:,g} ×" if goal else ""
    try:
        ours = duration(results.spread(case, "Vivace").middle)
    except Absent as absent:
        return (str(absent), other, "", wanted, NOT_MEASURED)
    try:
        theirs = duration(results.spread(case, other).middle)
    except Absent as absent:
        return (ours, f"{other}: {absent}", "", wanted, NOT_MEASURED)
    if "parts" in results.given(case, other):
        parts = results.given(case, other)["parts"]
        if parts != results.given(case, "Vivace")["parts"]:
            theirs += f" ({parts:,} parts)"
    found = results.ratio(case, *((other, "Vivace") if faster else ("Vivace", other)))
    said = f"{number(found.middle)} {unit} ({number(found.low)} to {number(found.high)})"
    return (ours, f"{other}: {theirs}", said, wanted, goal.verdict(found) if goal else "")


def limited(
    results: Results, case: str, goal: Goal, say: Callable[[float], str]
) -> tuple[str, ...]:
    """Vivace against a limit in its own unit."""
    wanted = f"≤ {say(goal.limit)}"
    try:
        found = results.spread(case, "Vivace")
    except Absent as absent:
        return (str(absent), "", "", wanted, NOT_MEASURED)
    return (
        f"{say(found.middle)} ({say(found.low)} to {say(found.high)})",
        "",
        "",
        wanted,
        goal.verdict(found),
    )
