"""Hold many random conversations on virtual time, on all cores, and print what fails.

    python tools/simulate.py 10000 --seconds 120 --first 0

A failure is printed as its seed and the shortest script that still fails. Exits with 1 if any does.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vivace.testing.generate import random_dialogue
from vivace.testing.simulate import Broken, check, shortest_failure

_AT_ONCE = 20  # conversations in one piece of work
_SHOWN = 10  # failures that are shrunk and shown; the rest is counted


def hold(first: int, count: int, seconds: float) -> list[tuple[int, str, str]]:
    """What failed of `count` conversations: seeds, the invariants, and what was seen."""
    failed = []
    for seed in range(first, first + count):
        try:
            check(random_dialogue(seed, seconds))
        except Broken as broken:
            failed.append((seed, broken.invariant, broken.what))
        except Exception as error:  # an error is a failure as any other, and shall not end the rest
            failed.append((seed, type(error).__name__, traceback.format_exc()))
    return failed


def main() -> int:
    """Do as the module says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    console = Console()
    failed: list[tuple[int, str, str]] = []
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    pieces = range(given.first, given.first + given.count, _AT_ONCE)
    with (
        Progress(*columns, console=console) as progress,
        ProcessPoolExecutor(os.cpu_count()) as pool,
    ):
        task = progress.add_task("conversations", total=given.count)
        end = given.first + given.count
        work = {
            pool.submit(hold, first, min(_AT_ONCE, end - first), given.seconds): first
            for first in pieces
        }
        for done in as_completed(work):
            for seed, invariant, what in done.result():  # told at once: the run takes hours
                failed.append((seed, invariant, what))
                console.print(f"seed {seed}: {invariant}", markup=False, highlight=False)
            progress.update(task, advance=min(_AT_ONCE, end - work[done]))
            progress.update(task, description=f"conversations, {len(failed)} failed")
    for seed, invariant, what in sorted(failed)[:_SHOWN]:
        console.rule(f"seed {seed}: {invariant}")
        dialogue = random_dialogue(seed, given.seconds)
        found = shortest_failure(dialogue)
        console.print(str(found or what), markup=False, highlight=False)
    if len(failed) > _SHOWN:
        console.print(f"and {len(failed) - _SHOWN} more: {[seed for seed, *_ in failed]}")
    console.print(f"{given.count} conversations of {given.seconds:g} s: {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
