"""What went through each stage, over all runs, from the counts that stages are asked for."""

from __future__ import annotations

import threading

from vivace.flow.records import (
    RunFinished,
    RunStarted,
    StageCounts,
    StageFailed,
    StageFinished,
    StageStarted,
)
from vivace.metrics.report import StageReport

__all__ = ["Stages"]

_PATHS = 256  # more stages than anybody reads about
_RUNS = 10_000  # under way at once
_OTHERS = "(others)"
_NONE = StageCounts(0, 0, 0, 0, 0, 0.0, 0.0)


class _Totals:
    __slots__ = ("counts", "errors", "lived_s", "opened")

    def __init__(self) -> None:
        self.opened = self.errors = 0
        self.lived_s = 0.0
        self.counts = _NONE

    def add(self, counts: StageCounts, lived_s: float) -> None:
        fields = StageCounts.__struct_fields__
        self.counts = StageCounts(
            *(getattr(self.counts, it) + getattr(counts, it) for it in fields)
        )
        self.lived_s += lived_s

    def report(self, path: str) -> StageReport:
        counts = self.counts
        waited_s = counts.waited_for_input_s + counts.waited_for_room_s
        return StageReport(
            path,
            self.opened,
            counts.parts_in,
            counts.parts_out,
            counts.parts_aside,
            round(counts.waited_for_input_s, 6),
            round(counts.waited_for_room_s, 6),
            round(max(0.0, self.lived_s - waited_s), 6),
            self.errors,
        )


class Stages:
    """Keeps the sums of what has ended, and asks what goes on. It may be asked in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: dict[str, _Totals] = {}
        self._open: dict[int, dict[int, StageStarted]] = {}  # by run and index
        self._roots: set[int] = set()
        self._handed_out = 0  # by outermost runs that have ended

    def begin(self, record: RunStarted) -> None:
        """A run begins."""
        with self._lock:
            if len(self._open) >= _RUNS:
                self._forget(next(iter(self._open)))
            self._open[record.run] = {}
            if record.parent is None:
                self._roots.add(record.run)

    def opened(self, record: StageStarted) -> None:
        """A stage begins."""
        with self._lock:
            run = self._open.get(record.stage.run)
            if run is not None:
                run[record.stage.index] = record
                self._of(record.stage.path).opened += 1

    def ended(self, record: StageFinished | StageFailed) -> bool:
        """A stage has ended; True if an error arose in it."""
        with self._lock:
            stage, counts = record.stage, record.counts
            run = self._open.get(stage.run, {})
            started = run.get(stage.index)
            totals = self._of(stage.path)
            if started is not None:
                last = stage.run in self._roots and stage.index == max(run)
                self._handed_out += counts.parts_out if last else 0
                run[stage.index] = StageStarted(stage, started.at)
                totals.add(counts, record.at - started.at if stage.index else 0.0)
            arose = isinstance(record, StageFailed) and record.origin == stage.path
            totals.errors += arose
            return arose

    def end(self, record: RunFinished) -> None:
        """A run has ended, after its stages."""
        with self._lock:
            self._forget(record.run)

    def handed_out(self) -> int:
        """Parts that outermost runs have handed out by now."""
        with self._lock:
            going = 0
            for number in self._roots:
                run = self._open[number]
                last = run[max(run)] if run else None
                if last is not None and last.counts is not None:
                    going += last.counts().parts_out
            return self._handed_out + going

    def report(self, now: float) -> tuple[StageReport, ...]:
        """Each path, in the order in which they were first seen."""
        with self._lock:
            found = {path: _copy(totals) for path, totals in self._ended.items()}
            for run in self._open.values():
                for started in run.values():
                    if started.counts is not None:
                        lived_s = max(0.0, now - started.at) if started.stage.index else 0.0
                        found[self._key(started.stage.path)].add(started.counts(), lived_s)
            return tuple(totals.report(path) for path, totals in found.items())

    def _forget(self, run: int) -> None:
        self._open.pop(run, None)
        self._roots.discard(run)

    def _key(self, path: str) -> str:
        known = path in self._ended or len(self._ended) < _PATHS
        return path if known else _OTHERS

    def _of(self, path: str) -> _Totals:
        return self._ended.setdefault(self._key(path), _Totals())


def _copy(totals: _Totals) -> _Totals:
    copied = _Totals()
    copied.opened, copied.errors = totals.opened, totals.errors
    copied.add(totals.counts, totals.lived_s)
    return copied
