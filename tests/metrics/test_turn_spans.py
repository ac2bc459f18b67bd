"""One tree of spans for each turn."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.metrics.talks import LONG, agent, hold
from vivace.flow.hooks import observe
from vivace.flow.records import Announced, Measured, Record, RunFinished, RunStarted, Said
from vivace.metrics.spans import Spans
from vivace.metrics.turn_spans import TurnSpans
from vivace.models.scripted import Scripted
from vivace.part import Data, Part, Played
from vivace.processors.detect_events import EventProcessor
from vivace.processors.detect_with_model import ModelDetector
from vivace.testing.fakes import Caller

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from tests.metrics.spans import Collected

pytestmark = pytest.mark.virtual

DAY = 1_700_000_000_000_000_000


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected[TurnSpans]]:
    monkeypatch.setattr("time.time_ns", lambda: DAY)
    collected = Collected(TurnSpans)
    yield collected
    collected.provider.shutdown()


def turns(spans: Collected[TurnSpans]) -> list[ReadableSpan]:
    return [span for span in spans.all if span.name == "turn"]


def below(spans: Collected[TurnSpans], span: ReadableSpan) -> dict[str, ReadableSpan]:
    found = [it for it in spans.all if it.parent and it.parent.span_id == identity(span)]
    return {it.name: it for it in found}


def identity(span: Any) -> int:
    return int(span.get_span_context().span_id)


def times(span: ReadableSpan) -> tuple[float, float]:
    """From when to when, in seconds since the clock read 0."""
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.start_time - DAY) / 1e9, (span.end_time - DAY) / 1e9


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_each_turn_is_a_tree(spans: Collected[TurnSpans]) -> None:
    """The turn, and below it every step at its very time, by the conventions for models."""
    with observe(spans.hook):
        await hold(Caller([(0.5, 1.5, "hello"), (3.0, 4.4, "stop that now")], 8.0), LONG, "fine")
    first, second = turns(spans)
    assert first.parent is second.parent is None
    assert times(first) == (1.504, 4.04)
    assert times(second) == (4.416, 4.96)
    steps = below(spans, first)
    assert {name: times(span) for name, span in steps.items()} == {
        "transcribe": (1.504, 1.74),
        "detect turn": (1.504, 1.744),
        "chat agent": (1.504, 1.744),
        "play": (1.744, 4.04),
        "hold": (3.04, 4.04),
    }
    assert attributes(steps["chat agent"]) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vivace",
        "gen_ai.request.model": "agent",
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.response.time_to_first_chunk": 0.0,
    }
    assert steps["chat agent"].kind == SpanKind.CLIENT
    told = attributes(first)
    assert told["vivace.turn.outcome"] == "interrupted"
    assert told["vivace.interruption.kind"] == "true"
    assert told["vivace.turn.first_audio_heard_s"] == 0.24
    assert "hello" not in str([attributes(span) for span in spans.all])


async def test_below_the_span_of_the_run(spans: Collected[TurnSpans]) -> None:
    """With `Spans` beside it the turns are children of the run's span, in one trace."""
    with observe(Spans(spans.provider)), observe(spans.hook):
        await hold(Caller([(0.5, 1.5, "hello")], 4.0), "fine")
    (turn,) = turns(spans)
    (run,) = (span for span in spans.all if turn.parent and identity(span) == turn.parent.span_id)
    assert run.name == "run agent"


async def test_a_detectors_model_is_no_step_of_a_turn(spans: Collected[TurnSpans]) -> None:
    """However often it is asked meanwhile: the steps are those of who answers."""
    nothing = ModelDetector(Scripted(['{"type": "nothing"}'] * 400), "Who?", on="audio")
    caller = Caller([(0.5, 1.5, "hello")], 4.0)
    with observe(spans.hook):
        async for _ in (EventProcessor([nothing]) + agent(caller, "fine"))(caller):
            pass
    (turn,) = turns(spans)
    assert list(below(spans, turn)) == ["transcribe", "detect turn", "chat agent", "play"]


def told(hook: TurnSpans, *records: Record) -> None:
    for record in (RunStarted(1, None, "agent", 0.0), *records, RunFinished(1, 9.0, "closed")):
        hook(record)


def said(at: float, **facts: Any) -> Said:
    return Said(1, at, Part(Data(facts), substream="status"))


def test_tools_and_failures(spans: Collected[TurnSpans]) -> None:
    """A tool is a span of its own; a turn and a model that failed have the status ERROR."""
    told(
        spans.hook,
        said(1.0, event="asked", turn=1),
        RunStarted(2, 1, "model", 1.0),
        Measured(1, 1.75, "clock", "tool_s", 0.5),
        RunFinished(2, 2.0, "failed", LookupError("no model")),
        said(2.0, event="failed", what="reply", turn=1, error="no model"),
        Announced(1, 2.5, Played(1, "failed")),
    )
    (turn,) = turns(spans)
    assert times(turn) == (1.0, 2.5)
    assert turn.status.status_code == StatusCode.ERROR
    assert turn.status.description == "no model"
    steps = below(spans, turn)
    assert times(steps["execute_tool clock"]) == (1.25, 1.75)
    assert attributes(steps["execute_tool clock"])["gen_ai.tool.name"] == "clock"
    assert attributes(steps["chat model"])["error.type"] == "LookupError"
    assert "gen_ai.usage.input_tokens" not in attributes(steps["chat model"])


def test_runs_are_bounded(spans: Collected[TurnSpans]) -> None:
    """Of runs whose end nobody told the oldest is let go, and makes no span any more."""
    for run in range(1, 10_003):
        spans.hook(RunStarted(run, None, "agent", 0.0))
    assert len(spans.hook._runs) == 10_000
    told(spans.hook)
    assert spans.all == ()


def test_what_is_missing_is_told() -> None:
    """Without the package it says which command installs it."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from vivace.metrics.turn_spans import TurnSpans\n"
        "from vivace.errors import ExtraMissing\n"
        "try: TurnSpans()\nexcept ExtraMissing as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'vivace[metrics]'" in done.stdout
