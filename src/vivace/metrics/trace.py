"""`trace`: what runs did, as a page to look at.

This file owns what is kept of the records, within bounds; `timeline.py` arranges it in lanes, and
`page.html` draws them.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from vivace.errors import FlowError
from vivace.flow.hooks import observe
from vivace.flow.records import (
    Announced,
    PartPassed,
    Record,
    RunFinished,
    RunStarted,
    Said,
    StageFailed,
    StageFinished,
    StageStarted,
)
from vivace.metrics.marks import Mark, describe, signal_text
from vivace.metrics.timeline import ANNOUNCED, ASIDE, RunStory, StageStory, arrange
from vivace.part import Interrupted, Part, Played, Reset, Signal, TurnComplete

__all__ = ["Trace", "trace"]

_RUNS = 1000  # with a run for each reply, a conversation of an hour or more


@contextmanager
def trace(path: str | os.PathLike[str], *, keep: int = 50_000) -> Iterator[Trace]:
    """Watch the runs that begin inside the block; write `path` when it ends, however it does.

    The file is one page of HTML that needs nothing beside it. keep: it shows the newest so many
    parts, and says how many there were before them.

    Raises FlowError at once if there is no such folder.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FlowError(f"no trace can be written to {target}: the folder is not there; create it")
    kept = Trace(keep)
    try:
        with observe(kept):
            yield kept
    finally:
        kept.write(target)


class Trace:
    """A hook that keeps what a page needs: the newest `keep` parts of the newest 1,000 runs, each
    as a few numbers and words."""

    def __init__(self, keep: int = 50_000) -> None:
        if keep < 1:
            raise FlowError(f"a trace that keeps {keep} parts shows nothing; keep 1 or more")
        self._marks: deque[Mark] = deque(maxlen=keep)
        self._runs: dict[int, RunStory] = {}
        self._seen = 0
        self._runs_seen = 0

    @property
    def dropped(self) -> int:
        """Parts that are not kept any more, because newer ones came."""
        return self._seen - len(self._marks)

    def html(self, title: str = "Trace") -> str:
        """The page, as things stand now."""
        data = arrange(self._runs, self._marks)
        data |= {
            "title": title,
            "dropped": self.dropped,
            "droppedRuns": self._runs_seen - len(self._runs),
        }
        template = resources.files(__package__).joinpath("page.html").read_text("utf-8")
        before, _, after = template.partition("__DATA__")
        return before + _as_script(data) + after

    def write(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Write the page. title: the file's name unless given. Raises OSError if it cannot."""
        target = Path(path)
        target.write_text(self.html(title or target.stem), "utf-8")

    def __call__(self, record: Record) -> None:
        match record:
            case PartPassed(stage=stage, at=at, part=part, asked_at=asked_at):
                self._keep(stage.run, stage.index, at, asked_at, part)
            case Said(run=run, at=at, part=part):
                self._keep(run, ASIDE, at, at, part)
            case Announced(run=run, at=at, signal=signal):
                self._keep_signal(run, at, signal)
            case RunStarted(run=run, parent=parent, name=name, at=at):
                self._begin(RunStory(run, parent, name, at))
            case RunFinished(run=run) if run in self._runs:
                self._runs[run].end(record)
            case StageStarted(stage=stage, at=at) if stage.run in self._runs:
                self._runs[stage.run].stages.append(StageStory(stage.path, at))
            case StageFinished(stage=stage) | StageFailed(stage=stage) if stage.run in self._runs:
                self._runs[stage.run].stages[stage.index].end(record)

    def _begin(self, story: RunStory) -> None:
        self._runs_seen += 1
        if len(self._runs) >= _RUNS:
            over = (it.run for it in self._runs.values() if it.ended)
            del self._runs[next(over, next(iter(self._runs)))]
        above = self._runs.get(story.parent) if story.parent else None
        story.turns = above.turns if above else {}
        self._runs[story.run] = story

    def _keep(self, run: int, index: int, at: float, asked_at: float, part: Part) -> None:
        kind, text = describe(part)
        seconds, role, turn = part.seconds, part.role, part.turn
        self._seen += 1
        self._marks.append(
            Mark(run, index, at, asked_at, kind, text, seconds, role, turn, part.substream)
        )
        if turn and run in self._runs:
            reason = part.body.reason if isinstance(part.body, TurnComplete) else ""
            self._runs[run].reply(turn, at, reason)

    def _keep_signal(self, run: int, at: float, signal: Signal) -> None:
        turn: int = getattr(signal, "turn", 0)
        what = str(signal.__struct_config__.tag)
        self._seen += 1
        self._marks.append(
            Mark(run, ANNOUNCED, at, at, "signal", signal_text(signal), 0.0, "", turn, what)
        )
        if run in self._runs and isinstance(signal, Interrupted | Reset):
            self._runs[run].reply(turn, at, "interrupted", over=True)
        elif run in self._runs and isinstance(signal, Played):
            self._runs[run].reply(turn, at, signal.reason, over=True)


def _as_script(data: object) -> str:
    """JSON that ends no script element, whatever is in it."""
    # The slower encoder: it writes plain ASCII, also for half a pair of surrogates.
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
