"""Metrics and pressure: what watching costs, and what holds at three times the load.

This file owns the questions, the goals and the tables of the area; workers/metrics.py does the
work.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.harness import ROOT, Absent, Ask, Case, Contender, Results
from bench.stats import Goal, spread
from bench.table import Table, duration, limited, number

__all__ = ["CASES", "METHOD", "tables"]

_METRICS = Contender("Vivace", "bench.workers.metrics", Path(sys.executable), peer=False)
_SESSIONS = 15


def _overload(under_pressure: bool) -> Case:
    given = {"count": _SESSIONS, "seconds": 15.0, "under_pressure": under_pressure}
    ask = Ask(_METRICS, "overload", given)
    name = "overload" if under_pressure else "overload, without"
    return Case(name, {"Vivace": ask}, repeats=1, rounds=1, fresh="process")


CASES = [
    Case("record", {"Vivace": Ask(_METRICS, "record", {"times": 200_000})}, rounds=3),
    Case(
        "watch",
        {"Vivace": Ask(_METRICS, "sessions", {"times": 9})},
        repeats=1,
        rounds=2,
        fresh="process",
    ),
    _overload(True),
    _overload(False),
]
METHOD = (ROOT / "bench" / "metrics.md").read_text().rstrip()


def tables(results: Results) -> list[Table]:
    """All that was measured of metrics and pressure."""
    return [_costs(results), _loads(results)]


def _costs(results: Results) -> Table:
    table = Table("What metrics cost", ("what", "Vivace", "", "", "goal", ""))
    table.rows.append(("recording a value", *limited(results, "record", Goal(1e-6), duration)))
    watched = limited(results, "watch", Goal(0.03), lambda share: f"{share:.1%}")
    table.rows.append(("all metrics, of a session's time", *watched))
    for case, key, what, told in (
        ("record", "by_hand", "record_processing", duration),
        ("watch", "bare", "the session itself, a second of it", duration),
        ("watch", "parts", "a hook that is told of every part", lambda it: f"{it:.1%}"),
    ):
        try:
            cell = told(results.spread(case, "Vivace", key).middle)
        except Absent as absent:
            cell = str(absent)
        table.rows.append((what, cell, "", "", "", ""))
    return table


def _loads(results: Results) -> Table:
    table = Table(
        f"{_SESSIONS} sessions at three times the load a core carries",
        ("", "under Pressure", "without", "goal", ""),
    )

    def cell(key: str, told: object = number, case: str = "overload") -> str:
        try:
            value = results.spread(case, "Vivace", key).middle
        except Absent as absent:
            return str(absent)
        return str(told(value)) if callable(told) else ""

    def row(what: str, key: str, told: object, goal: tuple[str, str] = ("", "")) -> None:
        table.rows.append((what, cell(key, told), cell(key, told, "overload, without"), *goal))

    try:
        late = spread(results.values("overload", "Vivace"))
        verdict = Goal(0.02).verdict(late)
    except Absent:
        verdict = "not measured"
    row("optional work, in cores", "load", number)
    row("chunks late, p99", "value", duration, ("< 20 ms", verdict))
    row("chunks late, worst", "worst", duration)
    row("chunks that left", "chunks", lambda it: f"{it:,.0f}")
    row("highest level", "level", lambda it: f"{it:.0f}")
    for work in ("frames", "interim", "detectors", "chunks"):
        row(f"shed: {work}", f"shed {work}", lambda it: f"{it:,.0f}")
    row("quiet until all is back", "calm", lambda it: duration(it) if it >= 0 else "never")
    return table
