"""The floor: how fast an agent falls silent, and whether it knows an interruption from a cough.

This file owns the questions, the goals and the tables of the area; workers/floor.py does the work.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.harness import ROOT, Absent, Ask, Case, Contender, Results
from bench.stats import Goal, Spread, spread
from bench.table import Table, duration

__all__ = ["CASES", "METHOD", "tables"]

_FLOOR = Contender("Vivace", "bench.workers.floor", Path(sys.executable), peer=False)
_SPEEDS = {1.0: "as fast as it plays", 0.5: "twice slower"}
_SESSIONS = (1, 100)
_CHUNK_S = 0.02


def _stops(sessions: int, speed: float) -> Case:
    times = 20 if sessions == 1 else 3
    ask = Ask(_FLOOR, "stops", {"sessions": sessions, "speed": speed, "times": times})
    return Case(f"{sessions} sessions, {speed:g}", {"Vivace": ask}, repeats=1, rounds=1)


_OVERLAPS = Case(
    "overlaps",
    {"Vivace": Ask(_FLOOR, "selectivity", {"times": 25})},
    repeats=1,
    rounds=1,
    fresh="process",  # nothing to warm up: it is not time that is measured
)
CASES = [*(_stops(sessions, speed) for sessions in _SESSIONS for speed in _SPEEDS), _OVERLAPS]
METHOD = (ROOT / "bench" / "floor.md").read_text()


def tables(results: Results) -> list[Table]:
    """All that was measured of the floor."""
    return [_silence(results), _telling_apart(results)]


def _silence(results: Results) -> Table:
    head = ("sessions", "the consumer is", "what", "measured", "goal", "")
    table = Table("From an interruption to silence", head)
    for sessions in _SESSIONS:
        for speed, consumer in _SPEEDS.items():
            case = f"{sessions} sessions, {speed:g}"
            try:
                rows = _of_stops(results, case)
            except Absent as absent:
                rows = [("", str(absent), "", "not measured")]
            for row in rows:
                table.rows.append((str(sessions), consumer, *row))
    return table


def _of_stops(results: Results, case: str) -> list[tuple[str, str, str, str]]:
    last = results.spread(case, "Vivace")
    stale = results.spread(case, "Vivace", "stale")
    told = results.spread(case, "Vivace", "told")
    held = results.spread(case, "Vivace", "held")
    chunks = results.spread(case, "Vivace", "chunks")
    return [
        ("stale chunks", f"{stale.middle:.0f}", "0", "met" if not stale.high else "falls short"),
        ("p99 to the last stale chunk", duration(last.middle), "≤ 2 ms", _at_most(2e-3, last)),
        ("p99 until the consumer is told", duration(told.middle), "", ""),
        ("p99 from a sound to silence", duration(held.middle), "≤ 20 ms", _at_most(_CHUNK_S, held)),
        ("chunks after the sound, at most", f"{chunks.middle:.0f}", "≤ 1", _at_most(1, chunks)),
    ]


def _at_most(limit: float, found: Spread) -> str:
    return Goal(limit).verdict(found)


def _telling_apart(results: Results) -> Table:
    head = ("a sound over a reply", "taken rightly", "cut in the end", "silent after", "goal", "")
    table = Table("Which sounds stop the agent", head)
    kinds = {
        "interruption": "a real interruption: yielded",
        "backchannel": "a backchannel: ignored",
        "cough": "a cough: ignored",
        "side talk": "side talk: ignored",
    }
    try:
        for kind, told in kinds.items():
            right, cut, silent = (
                results.spread("overlaps", "Vivace", f"{kind}{key}").middle
                for key in ("", ", cut", ", silent")
            )
            after = duration(silent) if silent >= 0 else "never"
            wanted = ("≥ 95 %", _at_least(0.95, right)) if kind == "interruption" else ("", "")
            table.rows.append((told, f"{right:.0%}", f"{cut:.0%}", after, *wanted))
        shares = [
            results.spread("overlaps", "Vivace", kind).middle
            for kind in kinds
            if kind != "interruption"
        ]
    except Absent as absent:
        table.rows.append(("all", str(absent), "", "", "", "not measured"))
        return table
    mean = sum(shares) / len(shares)
    count = results.given("overlaps", "Vivace")["times"]
    table.rows.append(
        (
            f"mean selectivity, {count} of each",
            f"{mean:.0%}",
            "",
            "",
            "≥ 80 %",
            _at_least(0.8, mean),
        )
    )
    return table


def _at_least(limit: float, found: float) -> str:
    return Goal(limit, at_least=True).verdict(spread([found]))
