"""Pacing: how late chunks leave, what an interruption lets through, what a stream costs.

This file owns the questions, the goals and the tables of the area; workers/ has the programs that
do the work.
"""

from __future__ import annotations

from bench.contenders import GENAI, VIVACE
from bench.harness import ROOT, Absent, Ask, Case, Contender, Results
from bench.stats import Goal
from bench.table import Table, duration, limited, number

__all__ = ["CASES", "METHOD", "tables"]

_MINUTE = 3_000  # parts of 20 ms
_BOTH = (VIVACE, GENAI)
_SOURCES = {"bursty": "each second at once", "slow": "a model too slow", "jittery": "a network"}
_PACES = {0.0: "takes at once", 2.0: "takes twice as long as it plays"}


def _asked(who: Contender, job: str, **given: object) -> Ask:
    return Ask(who, job, given)


CASES = [
    Case(
        "pace",
        {
            **{w.name: _asked(w, "pace", streams=100, parts=_MINUTE) for w in _BOTH},
            "growing": _asked(VIVACE, "grown", streams=100, parts=_MINUTE),
            "crumbs": _asked(VIVACE, "pace", streams=100, parts=1_000, source="crumbs"),
            "their crumbs": _asked(GENAI, "pace", streams=100, parts=1_000, source="crumbs"),
        },
        repeats=1,
        rounds=1,
    ),
    *(
        Case(
            f"pace, {source}",
            {w.name: _asked(w, "pace", streams=10, parts=500, source=source) for w in _BOTH},
            repeats=1,
            rounds=1,
        )
        for source in _SOURCES
    ),
    *(
        Case(
            f"stop, {pace:g}, {sessions}",
            {w.name: _asked(w, "stop", times=sessions, pace=pace) for w in _BOTH},
            repeats=1,
            rounds=1,
        )
        for pace in _PACES
        for sessions in (1, 100)
    ),
    Case("hour", {"Vivace": _asked(VIVACE, "hour", parts=180_000)}, repeats=1, rounds=1),
    Case("cut", {"Vivace": _asked(VIVACE, "cut", parts=_MINUTE)}, repeats=3, rounds=3),
]
METHOD = (ROOT / "bench" / "pacing.md").read_text()


def tables(results: Results) -> list[Table]:
    """All that was measured of pacing."""
    return [_lateness(results), _stopping(results), _sources(results), _costs(results)]


def _cells(results: Results, case: str, label: str, *keys: str) -> list[str]:
    """The middle of each, as durations; the reason and blanks if there is none."""
    try:
        return [duration(results.spread(case, label, key).middle) for key in keys]
    except Absent as absent:
        return [str(absent), *[""] * (len(keys) - 1)]


def _lateness(results: Results) -> Table:
    given = results.given("pace", "Vivace")
    streams, seconds = given["streams"], given["parts"] / 50
    head = ("", "median", "p99", "worst", "goal for p99", "", "end less beginning", "CPU a stream")
    table = Table(f"How late chunks leave: {streams} streams for {seconds:g} s on one loop", head)
    labels = {
        "Vivace": "Vivace, 20 ms",
        "growing": "Vivace, as it comes",
        GENAI.name: f"{GENAI.name}, 50 ms",
        "crumbs": "Vivace, from parts of 20 ms",
        "their crumbs": f"{GENAI.name}, from parts of 20 ms",
    }
    for label, what in labels.items():
        cells = _cells(results, "pace", label, "median", "value", "max", "drift")
        goal = verdict = cpu = ""
        try:
            cpu = f"{number(results.spread('pace', label, 'cpu').middle * 100)} %"
            if label == "Vivace":
                limit = Goal(2e-3)
                goal, verdict = "≤ 2 ms", limit.verdict(results.spread("pace", label))
        except Absent:
            pass
        table.rows.append((what, *cells[:3], goal, verdict, cells[3], cpu))
    return table


def _stopping(results: Results) -> Table:
    head = (
        "the consumer",
        "sessions",
        "",
        "stale sound, mean",
        "worst",
        "told after, p99",
        "goal",
        "",
    )
    table = Table("After an interruption, with seconds of speech queued", head)
    for pace, what in _PACES.items():
        for sessions in (1, 100):
            case = f"stop, {pace:g}, {sessions}"
            count = str(results.given(case, "Vivace")["times"])
            for who in _BOTH:
                cells = _cells(results, case, who.name, "value", "stale_max", "latency_p99")
                goal = verdict = ""
                if who is VIVACE:
                    goal = "no stale sound"
                    verdict = "met" if cells[1] == duration(0.0) else "falls short"
                table.rows.append((what, count, who.name, *cells, goal, verdict))
    return table


def _sources(results: Results) -> Table:
    head = ("the source", "", "gaps that one hears", "in all", "late, p99")
    table = Table("What other sources sound like: ten streams", head)
    for source, what in _SOURCES.items():
        for who in _BOTH:
            case = f"pace, {source}"
            cells = _cells(results, case, who.name, "gap_s", "value")
            try:
                gaps = number(results.spread(case, who.name, "gaps").middle)
            except Absent:
                gaps = ""
            table.rows.append((what, who.name, gaps, *cells))
    return table


def _costs(results: Results) -> Table:
    table = Table("Time, and what cutting costs", ("what", "Vivace", "", "", "goal", ""))
    seconds = results.given("hour", "Vivace")["parts"] / 50
    hour = limited(results, "hour", Goal(1e-9), duration)
    table.rows.append((f"drift after {seconds:,g} s, on virtual time", *hour))
    for key, what in (
        ("bare", "a slice of 20 ms, cut by a bare loop"),
        ("value", "the same as a chunk with its fields"),
        ("pacer", "the same, with its moment decided"),
    ):
        table.rows.append((what, *_cells(results, "cut", "Vivace", key), "", "", "", ""))
    return table
