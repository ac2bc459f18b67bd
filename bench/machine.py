"""On what it was measured. No names of hosts, no paths."""

from __future__ import annotations

import os
import platform
import statistics
from pathlib import Path

from bench.contenders import BARE
from bench.harness import Results

__all__ = ["described"]

_BUSY = 1.2  # on a quiet machine it is 1.0


def described(results: Results, load: float) -> str:
    """A sentence or two. load: how many processes ran or waited before it began."""
    named = [f"{who} {what}" for who, what in results.versions.items() if who != BARE.name]
    versions = ", ".join(named)
    waiting = _waiting(results)
    said = (
        f"Measured on {_processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()} for all; {versions}. "
        f"Rounds: {results.rounds}. "
        f"The machine had a load of {load:.1f} from other work when it began, and the time on the "
        f"clock was {waiting:.2f} × the processor time that is given for parts."
    )
    if waiting > _BUSY:
        said += " That is a busy machine: times of runs and imports are too long on this page."
    return said


def _waiting(results: Results) -> float:
    """Time on the clock for each second of processor time: 1 if nothing else ran."""
    answers = [each for samples in results.samples.values() for s in samples for each in s.values()]
    return statistics.median(a["wall"] / a["value"] for a in answers if "wall" in a)


def _processor() -> str:
    """The model's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
