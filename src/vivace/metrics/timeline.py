"""The arrangement of a trace: which lanes there are, in which order, and what is in each.

Times are whole microseconds from the first thing that was told. A run within a run is drawn below
it, further in; runs of the same stages share lanes as long as they do not overlap, so that a
conversation of fifty replies has lanes for one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

from vivace.flow.records import Ended, RunFinished, StageCounts, StageFailed, StageFinished
from vivace.metrics.marks import KINDS, Mark, error_text

__all__ = ["ANNOUNCED", "ASIDE", "RunStory", "StageStory", "arrange"]

ASIDE, ANNOUNCED = -1, -2  # in place of a stage's index: said by some stage; told to all
_TURNS = 1000
_LANES = 400  # more than anybody scrolls through

Json: TypeAlias = dict[str, Any]
Marks: TypeAlias = Mapping[tuple[int, int], list[Mark]]


class StageStory:
    """A stage from opening to end."""

    __slots__ = ("asked_at", "counts", "ended", "ended_at", "error", "origin", "path", "started_at")

    def __init__(self, path: str, started_at: float) -> None:
        self.path: str = path
        self.started_at: float = started_at
        self.ended_at: float | None = None
        self.ended: Ended | None = None
        self.asked_at: float | None = None
        self.counts: StageCounts | None = None
        self.error: str = ""
        self.origin: str = ""

    def end(self, record: StageFinished | StageFailed) -> None:
        """It ended as `record` says."""
        self.ended_at, self.asked_at, self.counts = record.at, record.asked_at, record.counts
        if isinstance(record, StageFinished):
            self.ended = record.ended
        else:
            self.ended, self.origin = "failed", record.origin
            self.error = error_text(record.error)


class RunStory:
    """A run from beginning to end. `turns` are those of the whole conversation."""

    __slots__ = (
        "ended",
        "ended_at",
        "error",
        "name",
        "parent",
        "run",
        "stages",
        "started_at",
        "turns",
    )

    def __init__(self, run: int, parent: int | None, name: str, started_at: float) -> None:
        self.run: int = run
        self.parent: int | None = parent
        self.name: str = name
        self.started_at: float = started_at
        self.ended_at: float | None = None
        self.ended: Ended | None = None
        self.error: str = ""
        self.stages: list[StageStory] = []
        self.turns: dict[int, Turn] = {}

    def end(self, record: RunFinished) -> None:
        """It ended as `record` says."""
        self.ended_at, self.ended = record.at, record.ended
        self.error = error_text(record.error) if record.error else ""

    def reply(self, turn: int, at: float, how: str = "", over: bool = False) -> None:
        """Something of reply `turn` was seen; what is seen after it is over makes it no longer."""
        if not turn:
            return
        known = self.turns.get(turn)
        if known is None:
            if len(self.turns) >= _TURNS:
                del self.turns[next(iter(self.turns))]
            known = self.turns[turn] = Turn(at)
        if not known.over:
            known.end, known.how, known.over = at, how or known.how, over


class Turn:
    """One reply: from when something of it was first seen."""

    __slots__ = ("end", "how", "over", "start")

    def __init__(self, at: float) -> None:
        self.start: float = at
        self.end: float = at
        self.how: str = ""
        self.over: bool = False


def arrange(runs: Mapping[int, RunStory], marks: Iterable[Mark]) -> Json:
    """All that `page.html` draws: sections, one for each run that no other began, with lanes."""
    return _Arrangement(runs, marks).page()


class _Arrangement:
    def __init__(self, runs: Mapping[int, RunStory], marks: Iterable[Mark]) -> None:
        self._runs = runs
        self._marks: dict[tuple[int, int], list[Mark]] = defaultdict(list)
        self._zero = min((it.started_at for it in runs.values()), default=0.0)
        self._first = self._last = self._zero
        self._lanes = self._hidden = 0
        for number, mark in enumerate(mark for mark in marks if mark.run in runs):
            self._marks[mark.run, mark.index].append(mark)
            self._first = mark.at if not number else self._first
            self._last = max(self._last, mark.at + mark.seconds)
        self._last = max([self._last, *(it.ended_at or 0.0 for it in runs.values())])
        self._inner: dict[int | None, list[RunStory]] = defaultdict(list)
        for story in runs.values():
            self._inner[story.parent if story.parent in runs else None].append(story)

    def page(self) -> Json:
        sections = [self._section(track) for track in _tracks(self._inner[None])]
        return {
            "kinds": KINDS,
            "length": self._us(self._last),
            "first": self._us(self._first),
            "sections": [section for section in sections if section["lanes"]],
            "hiddenRuns": self._hidden,
        }

    def _us(self, at: float) -> int:
        return round((at - self._zero) * 1e6)

    def _section(self, track: list[RunStory]) -> Json:
        told = [mark for story in track for mark in self._marks[story.run, ANNOUNCED]]
        turns = [(number, turn) for story in track for number, turn in story.turns.items()]
        return {
            "name": track[0].name,
            "told": [[self._us(it.at), it.lane, it.text, it.turn] for it in told],
            "turns": [[n, self._us(it.start), self._us(it.end), it.how] for n, it in turns],
            "lanes": self._lanes_of(track, 0),
        }

    def _lanes_of(self, track: list[RunStory], depth: int) -> list[Json]:
        """The lanes of runs that follow one another, and of the runs within them."""
        lanes = [self._head(track, depth)]
        lanes += [self._stage(track, index, depth) for index in range(len(track[0].stages))]
        aside = [mark for story in track for mark in self._marks[story.run, ASIDE]]
        if aside:
            lanes.append(self._aside(aside, depth))
        if self._lanes + len(lanes) > _LANES:
            self._hidden += len(track)
            return []
        self._lanes += len(lanes)
        for inner in _tracks([it for story in track for it in self._inner[story.run]]):
            lanes += self._lanes_of(inner, depth + 1)
        return lanes

    def _head(self, track: list[RunStory], depth: int) -> Json:
        return {
            "sort": "run",
            "depth": depth,
            "label": track[0].name,
            "runs": len(track),
            "live": [self._live(it.started_at, it.ended_at, it.ended, it.error) for it in track],
        }

    def _aside(self, marks: list[Mark], depth: int) -> Json:
        return {"sort": "aside", "depth": depth, "label": "aside", "marks": self._drawn(marks)}

    def _stage(self, track: list[RunStory], index: int, depth: int) -> Json:
        stages = [story.stages[index] for story in track]
        marks = [self._marks[story.run, index] for story in track]
        given = [self._marks[story.run, index - 1] for story in track] if index else []
        before = [story.stages[index - 1] for story in track] if index else []
        path = stages[0].path
        return {
            "sort": "stage" if index else "source",
            "depth": depth,
            "label": path.rpartition(".")[2],
            "path": path,
            "marks": self._drawn([mark for each in marks for mark in each]),
            "input": self._spans(map(_asked, given, before)),
            "room": self._spans(map(_left_alone, marks, stages)),
            "live": [self._live(it.started_at, it.ended_at, it.ended, it.error) for it in stages],
            "errors": [
                [self._us(it.ended_at or 0.0), it.error, it.origin]
                for it in stages
                if it.ended == "failed"
            ],
            "counts": _sum([it.counts for it in stages if it.counts]),
        }

    def _live(self, start: float, end: float | None, ended: Ended | None, error: str) -> list[Any]:
        """From when to when, and how it ended; up to now if it has not."""
        until = self._last if end is None else end
        return [self._us(start), self._us(until), ended or "running", error]

    def _drawn(self, marks: Iterable[Mark]) -> list[list[Any]]:
        return [
            [
                self._us(it.at),
                self._us(it.asked_at),
                KINDS.index(it.kind),
                round(it.seconds * 1e6),
                it.text,
                it.role,
                it.turn,
                it.lane,
            ]
            for it in marks
        ]

    def _spans(self, all_spans: Iterable[Iterable[tuple[float, float]]]) -> list[list[int]]:
        """Those that last, and those that touch as one."""
        merged: list[list[int]] = []
        for spans in all_spans:
            for start, end in spans:
                begin, over = self._us(start), self._us(end)
                if over <= begin:
                    continue
                if merged and begin <= merged[-1][1]:
                    merged[-1][1] = max(merged[-1][1], over)
                else:
                    merged.append([begin, over])
        return merged


def _tracks(stories: list[RunStory]) -> list[list[RunStory]]:
    """Runs of the same stages, those that do not overlap one after the other on one track."""
    tracks: dict[tuple[str, ...], list[list[RunStory]]] = {}
    for story in stories:
        alike = tracks.setdefault((story.name, *(it.path for it in story.stages)), [])
        for track in alike:
            ended_at = track[-1].ended_at
            if ended_at is not None and ended_at <= story.started_at:
                track.append(story)
                break
        else:
            alike.append([story])
    return [track for alike in tracks.values() for track in alike]


def _asked(marks: list[Mark], stage: StageStory) -> list[tuple[float, float]]:
    """When whoever reads `stage` waited for it."""
    spans = [(mark.asked_at, mark.at) for mark in marks]
    if stage.asked_at is not None and stage.ended_at is not None:
        spans.append((stage.asked_at, stage.ended_at))
    return spans


def _left_alone(marks: list[Mark], stage: StageStory) -> list[tuple[float, float]]:
    """When `stage` had handed something out and was not asked for more."""
    spans = [(mark.at, after.asked_at) for mark, after in pairwise(marks)]
    if marks and stage.ended_at is not None:
        until = stage.ended_at if stage.asked_at is None else stage.asked_at
        spans.append((marks[-1].at, until))
    return spans


def _sum(counts: list[StageCounts]) -> dict[str, float]:
    fields = StageCounts.__struct_fields__
    return {field: sum(getattr(it, field) for it in counts) for field in fields}
