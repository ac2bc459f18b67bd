"""`python -m bench`: measure, print, and rewrite docs/benchmarks.md and its picture.

`--quick` does a tenth of the work once, to see that all of it runs, and leaves the docs alone.
"""

from __future__ import annotations

import argparse
import os
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import engine, floor, live, metrics, pacing, prompt
from bench.harness import ROOT, Bench, Results
from bench.machine import described
from bench.page import page, show

_AREAS = (engine, pacing, floor, prompt, metrics, live)
_ROUNDS = 5
_WITHIN_S = 480.0  # a slow machine gets fewer rounds, so that nobody waits for ten minutes


def measured(console: Console, quick: bool) -> Results:
    """All cases of all areas, with progress to look at."""
    columns = (TextColumn("{task.description:36}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")

        def tell(what: str) -> None:
            progress.update(task, advance=1, description=what)
            if not console.is_terminal:  # where a bar cannot move
                console.print(what)

        bench = Bench(1 if quick else _ROUNDS, 10 if quick else 1, tell, _WITHIN_S)
        cases = [case for area in _AREAS for case in area.CASES]
        progress.update(task, total=bench.steps(cases))
        return bench.run(cases)


def main() -> None:
    """Do as the module says."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rough look; the docs stay")
    quick = parser.parse_args().quick
    console = Console()
    load, begun = os.getloadavg()[0], time.perf_counter()
    results = measured(console, quick)
    tables = [table for area in _AREAS for table in area.tables(results)]
    machine = described(results, load)
    show(console, tables)
    console.print(machine)
    console.print(f"It took {time.perf_counter() - begun:.0f} s.")
    if not quick:
        from bench.picture import draw

        method = "\n".join(area.METHOD for area in _AREAS)
        (ROOT / "docs" / "benchmarks.md").write_text(page(tables, machine, method))
        draw(results, ROOT / "docs" / "benchmarks.png")


if __name__ == "__main__":
    main()
