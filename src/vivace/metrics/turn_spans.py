"""`TurnSpans`: each turn of a conversation as one tree of spans.

This file owns which steps of a turn are spans, and what they are called. Their dates are counted
as those of `Spans` are; with that hook beside it, the trees stand below the run's span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vivace.flow.records import Record, RunFinished, RunStarted
from vivace.metrics.extras import needs
from vivace.metrics.genai import CHAT, GEN_AI, RUN_TOOL
from vivace.metrics.spans import date_of_zero, nanoseconds
from vivace.metrics.turns import Turns, TurnStory

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["TurnSpans"]

_RUNS = 10_000  # under way at once
_PROVIDER = "vivace"


class TurnSpans:
    """A hook that makes a span `turn` of each turn, and within it one of each step.

    tracer_provider: where the spans go; the one that the program has set globally unless given.

    A turn begins when the user has fallen silent, and ends when the reply was heard, or cut. Steps
    are `transcribe`, `detect turn`, `chat`, `execute_tool`, `play` and `hold`. What was said is in
    none of them. The tree is made when the turn is over.

    Raises ExtraMissing if `opentelemetry-api` is not installed.
    """

    skips_parts = True

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        with needs("spans", "opentelemetry-api", "opentelemetry"):
            from opentelemetry import context, trace
        self._trace = trace
        self._context = context
        self._tracer = trace.get_tracer("vivace", tracer_provider=tracer_provider)
        self._runs: dict[int, tuple[Any, int]] = {}  # where the run began, and its date of zero
        self._turns = Turns(self._tell)

    def __call__(self, record: Record) -> None:
        if isinstance(record, RunStarted) and record.parent is None:
            if len(self._runs) >= _RUNS:
                del self._runs[next(iter(self._runs))]
            self._runs[record.run] = (self._context.get_current(), date_of_zero(record.at))
        self._turns(record)
        if isinstance(record, RunFinished):
            self._runs.pop(record.run, None)

    def _tell(self, story: TurnStory) -> None:
        found = self._runs.get(story.run)
        if found is not None:
            _Tree(self._trace, self._tracer, found[1], story).make(found[0])


class _Tree:
    def __init__(self, trace: Any, tracer: Any, zero: int, story: TurnStory) -> None:
        self._trace = trace
        self._tracer = tracer
        self._zero = zero
        self._story = story
        self._within: Any = None

    def make(self, context: Any) -> None:
        story, trace = self._story, self._trace
        attributes: dict[str, Any] = {
            "vivace.turn": story.turn,
            "vivace.turn.outcome": story.outcome,
            "vivace.turn.said_by": story.said_by,
            GEN_AI["agent"]: story.conversation,
            GEN_AI["conversation"]: str(story.run),
        }
        if story.kind is not None:
            attributes["vivace.interruption.kind"] = story.kind
        for name, value in story.measures():
            attributes[f"vivace.turn.{name}"] = value
        whole = self._tracer.start_span(
            "turn", context=context, start_time=self._date(story.begun_at), attributes=attributes
        )
        if story.outcome in ("failed", "timeout"):
            whole.set_status(trace.Status(trace.StatusCode.ERROR, story.error or story.outcome))
        self._within = trace.set_span_in_context(whole, context)
        self._steps()
        over_at = story.asked_at if story.over_at is None else story.over_at
        whole.end(self._date(max(over_at, story.begun_at)))

    def _steps(self) -> None:
        story, begun_at = self._story, self._story.begun_at
        if story.transcript_at is not None:
            self._span("transcribe", begun_at, story.transcript_at)
        if story.decided_at is not None:
            self._span("detect turn", begun_at, story.decided_at)
        for step in story.models:
            # It may have begun to read while the user still spoke: that is none of this wait.
            ended_at = max(step.ended_at, begun_at)
            self._span(
                f"{CHAT} {step.name}", max(step.begun_at, begun_at), ended_at,
                self._chat(step.name), step.error, client=True,
            )  # fmt: skip
        for step in story.tools:
            attributes = {
                GEN_AI["operation"]: RUN_TOOL,
                GEN_AI["tool"]: step.name,
                GEN_AI["tool_type"]: "function",
            }
            self._span(f"{RUN_TOOL} {step.name}", step.begun_at, step.ended_at, attributes)
        if story.sent_at is not None and story.over_at is not None:
            self._span("play", story.sent_at, story.over_at)
        for hold in story.holds:
            if hold.ended_at is not None:
                self._span("hold", hold.begun_at, hold.ended_at)

    def _chat(self, model: str) -> dict[str, Any]:
        story = self._story
        attributes: dict[str, Any] = {
            GEN_AI["operation"]: CHAT,
            GEN_AI["provider"]: _PROVIDER,
            GEN_AI["model"]: model,
        }
        if story.tokens is not None:
            attributes[GEN_AI["input_tokens"]] = story.tokens
            attributes[GEN_AI["reused_tokens"]] = story.reused or 0
        if story.first_token_at is not None:
            # A reply that was guessed may have been there before it was asked for.
            first_s = max(0.0, story.first_token_at - story.asked_at)
            attributes[GEN_AI["first_token_s"]] = round(first_s, 6)
        return attributes

    def _span(
        self,
        name: str,
        begun_at: float,
        ended_at: float,
        attributes: dict[str, Any] | None = None,
        error: str = "",
        *,
        client: bool = False,
    ) -> None:
        kinds = self._trace.SpanKind
        span = self._tracer.start_span(
            name,
            context=self._within,
            kind=kinds.CLIENT if client else kinds.INTERNAL,
            start_time=self._date(begun_at),
            attributes=attributes,
        )
        if error:
            span.set_attribute("error.type", error)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, error))
        span.end(self._date(ended_at))

    def _date(self, at: float) -> int:
        return self._zero + nanoseconds(at)
