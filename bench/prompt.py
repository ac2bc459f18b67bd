"""The prompt: what a part costs to add, what a turn costs to begin, what is sent twice.

This file owns the questions, the goals and the tables of the area; workers/ has the programs that
do the work.
"""

from __future__ import annotations

from bench.contenders import GENAI, VIVACE
from bench.harness import ROOT, Absent, Ask, Case, Results
from bench.stats import Goal
from bench.table import Table, compared, duration, limited, megabytes, number

__all__ = ["CASES", "METHOD", "tables"]

HISTORY = (100, 10_000, 1_000_000)
TURNS, MAX_TOKENS = 200, 4_000


def _beside(name: str, job: str, rounds: int = 3, **given: object) -> Case:
    asks = {who.name: Ask(who, job, given) for who in (VIVACE, GENAI)}
    return Case(name, asks, repeats=1, rounds=rounds)


METHOD = (ROOT / "bench" / "prompt.md").read_text().rstrip()
CASES = [
    *(
        _beside(f"add to {parts}", "prompt_add", 3 if parts < 10**6 else 1, parts=parts, times=5000)
        for parts in HISTORY
    ),
    _beside("turn of 1000", "prompt_turn", parts=1000, times=200),
    Case(
        "prompt memory",
        {who.name: Ask(who, "prompt_memory", {"parts": 1_000_000}) for who in (VIVACE, GENAI)},
        repeats=1,
        rounds=1,
        fresh="process",
    ),
    Case(
        "reuse",
        {"Vivace": Ask(VIVACE, "reuse", {"turns": TURNS, "max_tokens": MAX_TOKENS})},
        repeats=1,
        rounds=1,
    ),
]


def tables(results: Results) -> list[Table]:
    """All that was measured of prompts."""
    return [_costs(results), _adding(results), _sent(results)]


def _costs(results: Results) -> Table:
    table = Table(
        "What a rolling prompt costs",
        ("what", "Vivace", "beside it", "ratio (quartiles)", "goal", ""),
    )
    for parts in HISTORY:
        name = f"add to {parts}"
        said = f"{results.given(name, 'Vivace')['parts']:,}"
        limit = limited(results, name, Goal(2e-6), duration)
        table.rows.append((f"to add a part to {said} that were added, median", *limit))
        table.rows.append(("", *compared(results, name, "genai-processors", None, faster=True)))
    limit = limited(results, "turn of 1000", Goal(100e-6), duration)
    table.rows.append(("to the first part of a turn's prompt, 1,000 in it", *limit))
    beside = compared(results, "turn of 1000", "genai-processors", None, faster=True)
    table.rows.append(("", *beside))
    memory = limited(results, "prompt memory", Goal(1e6), megabytes)
    try:
        theirs = megabytes(results.spread("prompt memory", "genai-processors").middle)
    except Absent as absent:
        theirs = str(absent)
    what = f"{results.given('prompt memory', 'Vivace')['parts']:,} more parts raise the memory by"
    table.rows.append((what, memory[0], f"genai-processors: {theirs}", *memory[2:]))
    return table


def _adding(results: Results) -> Table:
    head = ("to add a part", "history", "median", "p99", "longest")
    table = Table("What adding costs when it costs most", head)
    for who in ("Vivace", "genai-processors"):
        for parts in HISTORY:
            name = f"add to {parts}"
            try:
                cells = [
                    duration(results.spread(name, who, key).middle)
                    for key in ("value", "p99", "most")
                ]
            except Absent as absent:
                cells = [str(absent), "", ""]
            table.rows.append((who, f"{results.given(name, who)['parts']:,}", *cells))
    return table


def _sent(results: Results) -> Table:
    head = ("", "tokens sent", "of these, reused", "goal", "", "tokens read anew")
    table = Table(f"What {TURNS} turns send to a model, {MAX_TOKENS:,} tokens at most", head)
    try:
        [sample] = results.samples["reuse"]
        found = sample["Vivace"]
        share = results.spread("reuse", "Vivace")
    except (KeyError, ValueError) as error:
        table.rows.append(("Vivace", f"not measured: {error}", "", "", "", ""))
        return table
    goal = Goal(0.9, at_least=True)
    rows = (
        ("rolling prompt", found["sent"], found["value"], found["fresh"]),
        ("a sliding window", found["sliding"], found["sliding_share"], found["sliding_fresh"]),
        (
            "all that was said (no limit)",
            found["naive"],
            1 - found["naive_fresh"] / found["naive"],
            found["naive_fresh"],
        ),
    )
    for index, (name, sent, reused, fresh) in enumerate(rows):
        verdict = ("≥ 0.9", goal.verdict(share)) if index == 0 else ("", "")
        table.rows.append((name, f"{sent:,.0f}", number(reused), *verdict, f"{fresh:,.0f}"))
    return table
