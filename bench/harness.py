"""How anything is measured: fresh processes, interleaved rounds, a warm-up that does not count.

A `Case` asks some contenders to do the same work. In every round each contender has a new process;
within it they take turns, and each turn gives one sample with an answer of each. What slows the
machine down for a while so slows all of them, and ratios taken within a sample stay true.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from bench.stats import Spread, ratio, spread

__all__ = ["ROOT", "Absent", "Ask", "Bench", "Case", "Contender", "Results"]

ROOT = Path(__file__).parent.parent
_LIMIT_S = 150.0  # several times what the slowest job takes; then it hangs
_WARM_UP = 10  # the uncounted turn does this fraction of the work
# Says the seconds, then the peak of memory in bytes: see `peak` in workers/jobs.py.
_MEASURE_IMPORT = """
import resource, sys, time
begun = time.perf_counter()
{statement}
took = time.perf_counter() - begun
try:
    with open("/proc/self/status") as status:
        memory = int(status.read().partition("VmHWM:")[2].split()[0]) * 1024
except OSError:
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(took, memory)
"""


class Absent(Exception):
    """A contender, or one of its answers, is not to be had. Says why."""


@dataclass(frozen=True)
class Contender:
    """A library in an environment of its own. peer: it is not in ours."""

    name: str
    worker: str
    python: Path
    peer: bool = True


@dataclass(frozen=True)
class Ask:
    """What one contender is to do: a job of its worker, or an import statement."""

    who: Contender
    job: str
    given: Mapping[str, Any] = field(default_factory=dict)

    def smaller(self, by: int) -> Ask:
        """The same with fewer parts or tries."""
        counts = {"parts", "times"} & set(self.given)
        less = {key: max(1, self.given[key] // by) for key in counts}
        return Ask(self.who, self.job, {**self.given, **less})


@dataclass(frozen=True)
class Case:
    """The same work, asked of several.

    repeats: samples in a round, after the warm-up. rounds: at most so many.
    fresh: "process" for a new one with each ask, "import" if what is asked is a statement.
    """

    name: str
    asks: Mapping[str, Ask]
    repeats: int = 3
    rounds: int = 99
    fresh: Literal["", "process", "import"] = ""


class Results:
    """What was measured: for each case, samples; in each sample, an answer for each label."""

    def __init__(self) -> None:
        self.samples: dict[str, list[dict[str, dict[str, float]]]] = {}
        self.absent: dict[tuple[str, str], str] = {}
        self.asks: dict[tuple[str, str], Ask] = {}
        self.versions: dict[str, str] = {}
        self.rounds = 0

    def values(self, case: str, label: str, key: str = "value") -> list[float]:
        """The answers, in order. Raises Absent if there are none."""
        if reason := self.absent.get((case, label)):
            raise Absent(reason)
        return [sample[label][key] for sample in self.samples[case]]

    def spread(self, case: str, label: str, key: str = "value") -> Spread:
        """Their quartiles."""
        return spread(self.values(case, label, key))

    def ratio(self, case: str, above: str, below: str) -> Spread:
        """The quartiles of the ratios of answers that belong together."""
        return ratio(self.values(case, above), self.values(case, below))

    def given(self, case: str, label: str) -> Mapping[str, Any]:
        """What was asked for, such as how many parts."""
        return self.asks[case, label].given


class Bench:
    """Runs cases.

    rounds: at most so many; but no further one that would probably end later than `within_s`.
    smaller: do only this fraction of the work.
    tell: called before each case of each round, with a word on what comes.
    """

    def __init__(
        self, rounds: int, smaller: int, tell: Callable[[str], None], within_s: float = math.inf
    ) -> None:
        self.results = Results()
        self._rounds = rounds
        self._smaller = smaller
        self._tell = tell
        self._within_s = within_s
        self._workers: dict[Contender, _Worker] = {}
        self._lost: dict[Contender, str] = {}

    def steps(self, cases: list[Case]) -> int:
        """How often `tell` will be called."""
        return sum(min(case.rounds, self._rounds) for case in cases)

    def run(self, cases: list[Case]) -> Results:
        """Measure all `cases`, round after round."""
        for case in cases:
            self.results.samples[case.name] = []
            for label, ask in case.asks.items():
                self.results.asks[case.name, label] = ask.smaller(self._smaller)
        until = time.perf_counter() + self._within_s
        took: dict[str, float] = {}
        for number in range(self._rounds):
            coming = [case for case in cases if number < case.rounds]
            if time.perf_counter() + sum(took.get(case.name, 0.0) for case in coming) > until:
                break
            for case in coming:
                self._tell(f"round {number + 1}: {case.name}")
                since = time.perf_counter()
                self._round(case)
                took[case.name] = time.perf_counter() - since
            self._close()
            self.results.rounds += 1
        return self.results

    def _round(self, case: Case) -> None:
        repeats = case.repeats if self._smaller == 1 else min(case.repeats, 2)
        warm_up = case.fresh != "process"
        for number in range(-1 if warm_up else 0, repeats):
            sample = {}
            for label in case.asks:
                ask = self.results.asks[case.name, label]
                try:
                    sample[label] = self._answer(
                        case, ask if number >= 0 else ask.smaller(_WARM_UP)
                    )
                except Absent as absent:
                    self.results.absent[case.name, label] = str(absent)
            if number >= 0:
                self.results.samples[case.name].append(sample)

    def _answer(self, case: Case, ask: Ask) -> dict[str, float]:
        if reason := self._lost.get(ask.who):
            raise Absent(reason)
        if case.fresh == "import":
            return _import(ask)
        if case.fresh == "process":
            with _Worker(ask.who) as alone:
                return alone.ask(ask)
        if ask.who not in self._workers:
            try:
                self._workers[ask.who] = _Worker(ask.who)
            except Absent as absent:
                self._lost[ask.who] = str(absent)
                raise
        worker = self._workers[ask.who]
        self.results.versions[ask.who.name] = worker.version
        try:
            return worker.ask(ask)
        except Absent:
            if worker.broken:
                self._workers.pop(ask.who).close()
            raise

    def _close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()


class _Worker:
    """A process that does jobs of one contender."""

    def __init__(self, who: Contender) -> None:
        self.broken = False
        self._who = who
        self._said: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `close`
        if not who.python.exists():
            self._said.close()
            raise Absent("not installed")
        reading, writing = os.pipe()
        self._answers = os.fdopen(reading)
        self._process = subprocess.Popen(
            [who.python, "-m", who.worker, str(writing)],
            stdin=subprocess.PIPE, stdout=self._said, stderr=self._said, text=True,
            cwd=ROOT, env=_environment(who), pass_fds=[writing],
        )  # fmt: skip
        os.close(writing)
        try:
            self.version = str(self._receive()["version"])
        except Absent as absent:
            self.close()
            raise Absent(f"cannot be started: {absent}") from None

    def ask(self, ask: Ask) -> dict[str, float]:
        """Have a job done. Raises Absent if it cannot be, and says why."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it said before it ended is read below
            print(json.dumps({"do": ask.job, **ask.given}), file=self._process.stdin, flush=True)
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        limit = threading.Timer(_LIMIT_S, end)
        limit.start()
        try:
            line = self._answers.readline()
        finally:
            limit.cancel()
        if not line:
            self.broken = True
            self._process.wait()
            if late.is_set():
                raise Absent(f"no answer within {_LIMIT_S:g} s")
            self._said.seek(0)
            last = (self._said.read().strip() or "it ended without a word").splitlines()[-1]
            raise Absent(last)
        answer: dict[str, Any] = json.loads(line)
        for key in ("missing", "failed"):
            if key in answer:
                raise Absent(answer[key])
        return answer

    def close(self) -> None:
        """End the process: no more jobs will come."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._said.close()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _import(ask: Ask) -> dict[str, float]:
    """Run a statement in a new interpreter: seconds, and the peak of memory in bytes."""
    if not ask.who.python.exists():
        raise Absent("not installed")
    code = _MEASURE_IMPORT.format(statement=ask.job)
    done = subprocess.run(
        [ask.who.python, "-c", code],
        capture_output=True, text=True, cwd=ROOT, env=_environment(ask.who), timeout=_LIMIT_S,
    )  # fmt: skip
    if done.returncode:
        raise Absent(done.stderr.strip().splitlines()[-1])
    took, memory = done.stdout.split()[-2:]
    return {"value": float(took), "bytes": float(memory)}


def _environment(who: Contender) -> dict[str, str]:
    """Ours, but that modules are compiled once and not each time, and paths are a peer's own."""
    ours = dict(os.environ)
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    if who.peer:
        ours.pop("PYTHONPATH", None)
    return ours
