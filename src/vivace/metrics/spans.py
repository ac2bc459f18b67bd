"""`Spans`: runs and their stages as spans of OpenTelemetry.

This file owns the names of spans and attributes, and their dates: spans want wall-clock time, and
runs have the loop's clock. The wall clock is read once for each conversation, when its first run
begins, and all else in it is counted from there. So the spans of a conversation lie to one another
exactly as its times do, also on virtual time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from vivace.flow.records import (
    Announced,
    Record,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
)
from vivace.metrics.extras import needs

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["Spans", "date_of_zero", "nanoseconds"]

_RUNS = 10_000  # under way at once; more than one loop serves


class Spans:
    """A hook that makes a span of each run, and within it one of each stage.

    tracer_provider: where the spans go; the one that the program has set globally unless given.

    A run's span is a child of the span that is active where the run begins, and is active itself in
    all its stages: runs within it, and whatever else makes spans there, become its children.
    What is in the parts is never in a span, unless the text of an error has it.

    Raises ExtraMissing if `opentelemetry-api` is not installed.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        with needs("spans", "opentelemetry-api", "opentelemetry"):
            from opentelemetry import context, trace
        self._trace = trace
        self._context = context
        self._tracer = trace.get_tracer("vivace", tracer_provider=tracer_provider)
        self._runs: dict[int, _Run] = {}

    def __call__(self, record: Record) -> None:
        match record:
            case RunStarted():
                self._begin(record)
            case RunFinished(run=number) if run := self._runs.pop(number, None):
                self._end(run, record)
            case StageStarted(stage=stage) if run := self._runs.get(stage.run):
                self._begin_stage(run, record)
            case StageFinished(stage=stage) if run := self._runs.get(stage.run):
                self._end_stage(run, record)
            case StageFailed(stage=stage) if run := self._runs.get(stage.run):
                self._fail_stage(run, record)
            case Announced(run=number) if run := self._runs.get(number):
                self._announce(run, record)

    def _begin(self, record: RunStarted) -> None:
        if len(self._runs) >= _RUNS:  # whose ends nobody told, as when a loop was torn down
            self._runs.pop(next(iter(self._runs))).span.end()
        above = self._runs.get(record.parent) if record.parent else None
        zero = above.zero if above else date_of_zero(record.at)
        span = self._tracer.start_span(
            f"run {record.name}",
            start_time=zero + nanoseconds(record.at),
            attributes={"vivace.run.name": record.name, "vivace.run.id": record.run},
        )
        context = self._trace.set_span_in_context(span)
        # In the run's own context, where this is called: it ends with the run.
        self._context.attach(context)
        self._runs[record.run] = _Run(span, context, zero)

    def _end(self, run: _Run, record: RunFinished) -> None:
        run.span.set_attribute("vivace.run.ended", record.ended)
        if record.error is not None:
            at = run.date(record.at)
            self._mark(run.span, record.error, at, told=record.error is run.told)
        run.span.end(run.date(record.at))

    def _begin_stage(self, run: _Run, record: StageStarted) -> None:
        stage = record.stage
        run.stages.append(
            self._tracer.start_span(
                f"stage {stage.path}",
                context=run.context,
                start_time=run.date(record.at),
                attributes={"vivace.stage.path": stage.path, "vivace.stage.index": stage.index},
            )
        )

    def _end_stage(self, run: _Run, record: StageFinished | StageFailed) -> None:
        span, counts = run.stages[record.stage.index], record.counts
        ended = record.ended if isinstance(record, StageFinished) else "failed"
        attributes: dict[str, Any] = {"vivace.stage.ended": ended}
        for field in counts.__struct_fields__:
            attributes[f"vivace.stage.{field}"] = getattr(counts, field)
        span.set_attributes(attributes)
        span.end(run.date(record.at))

    def _fail_stage(self, run: _Run, record: StageFailed) -> None:
        span = run.stages[record.stage.index]
        span.set_attribute("vivace.stage.origin", record.origin)
        # An exception passes through all stages behind: it is written down where it arose.
        passes = record.origin != record.stage.path
        self._mark(span, record.error, run.date(record.at), told=passes)
        run.told = record.error
        self._end_stage(run, record)

    def _mark(self, span: Span, error: BaseException, at: int, told: bool) -> None:
        kind = type(error)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        span.set_attribute("error.type", module + kind.__qualname__)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, kind.__qualname__))
        if not told:
            span.record_exception(error, timestamp=at)

    def _announce(self, run: _Run, record: Announced) -> None:
        turn = getattr(record.signal, "turn", None)
        run.span.add_event(
            f"vivace.{record.signal.__struct_config__.tag}",
            {} if turn is None else {"vivace.turn": turn},
            timestamp=run.date(record.at),
        )


class _Run:
    """A run under way. zero: the date of the loop's clock at 0, in nanoseconds."""

    __slots__ = ("context", "span", "stages", "told", "zero")

    def __init__(self, span: Span, context: Any, zero: int) -> None:
        self.span = span
        self.context = context
        self.zero = zero
        self.stages: list[Span] = []
        self.told: BaseException | None = None  # the newest that a stage's span has

    def date(self, at: float) -> int:
        return self.zero + nanoseconds(at)


def nanoseconds(seconds: float) -> int:
    """As spans want them."""
    return round(seconds * 1e9)


def date_of_zero(at: float) -> int:
    """The date, in nanoseconds, at which a clock that reads `at` now has read 0."""
    # A date for others to read; nothing waits for it or measures by it.
    return time.time_ns() - nanoseconds(at)  # noqa: TID251
