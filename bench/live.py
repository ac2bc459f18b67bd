"""Live sessions: what lies between the microphone and the wire, and between the wire and the ear.

This file owns the questions and the table of the area; workers/ has the programs that do the work.
"""

from __future__ import annotations

import sys

from bench.contenders import GENAI, VIVACE
from bench.harness import ROOT, Absent, Ask, Case, Results
from bench.table import Table, duration

__all__ = ["CASES", "METHOD", "tables"]

_BOTH = (VIVACE, GENAI)
_STREAMS = {1: 250, 100: 100}  # how many frames each


def _ask(streams: int) -> dict[str, Ask]:
    given = {"python": sys.executable, "streams": streams, "frames": _STREAMS[streams]}
    return {who.name: Ask(who, "live", given) for who in _BOTH}


CASES = [Case(f"live, {streams}", _ask(streams), repeats=1, rounds=1) for streams in _STREAMS]
METHOD = (ROOT / "bench" / "live.md").read_text()


def tables(results: Results) -> list[Table]:
    """All that was measured of live sessions."""
    head = ("", "", "to the wire", "p99", "from the wire", "p99", "CPU a second of one")
    table = Table("A live model on a server of this machine, 20 ms a message", head)
    for streams in _STREAMS:
        for who in _BOTH:
            told = f"{streams} session{'s' if streams > 1 else ''}"
            keys = ("value", "there p99", "back", "back p99", "cpu")
            try:
                found = [
                    duration(results.spread(f"live, {streams}", who.name, key).middle)
                    for key in keys
                ]
            except Absent as absent:
                found = [str(absent), *[""] * (len(keys) - 1)]
            table.rows.append((told, who.name, *found))
    return [table]
