"""Live sessions: what lies between the microphone and the wire, and between the wire and the ear.

This file owns the questions and the tables of the area; workers/ has the programs that do the work.
"""

from __future__ import annotations

import sys

from bench.contenders import GENAI, VIVACE
from bench.harness import ROOT, Absent, Ask, Case, Results
from bench.table import Table, duration

__all__ = ["CASES", "METHOD", "tables"]

_BOTH = (VIVACE, GENAI)
_STREAMS = {1: 250, 10: 250, 100: 100}  # how many frames each
_ENDS = {"away": "announced, a second before", "drop": "cut"}
_AFTER = 250  # frames after it


def _ask(job: str, **given: object) -> dict[str, Ask]:
    return {who.name: Ask(who, job, {"python": sys.executable, **given}) for who in _BOTH}


CASES = [
    *(
        Case(f"live, {streams}", _ask("live", streams=streams, frames=frames), repeats=1, rounds=1)
        for streams, frames in _STREAMS.items()
    ),
    *(
        Case(f"live, {what}", _ask("gap", what=what, frames=_AFTER), repeats=3, rounds=1)
        for what in _ENDS
    ),
]
METHOD = (ROOT / "bench" / "live.md").read_text()


def tables(results: Results) -> list[Table]:
    """All that was measured of live sessions."""
    return [_latencies(results), _gaps(results)]


def _latencies(results: Results) -> Table:
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
    return table


def _gaps(results: Results) -> Table:
    head = ("the end of the connection is", "", "sound not sent", "longest silence", "")
    table = Table("When the connection of a live model ends", head)
    for what, told in _ENDS.items():
        for who in _BOTH:
            case = f"live, {what}"
            try:
                lost, silent, ended = (
                    results.spread(case, who.name, key).middle for key in ("lost", "value", "ended")
                )
            except Absent as absent:
                table.rows.append((told, who.name, str(absent), "", ""))
                continue
            went_on = "the session ended" if ended else "the session went on"
            silence = "" if ended else duration(silent)
            table.rows.append((told, who.name, duration(lost), silence, went_on))
    return table
