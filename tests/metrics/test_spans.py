import asyncio
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

import pytest

from vivace.errors import ExtraMissing
from vivace.flow.drive import drive
from vivace.flow.hooks import add_hook, observe, remove_hook
from vivace.flow.processor import Processor, processor
from vivace.flow.records import RunFinished, RunStarted, StageId, StageStarted
from vivace.flow.run import current_run
from vivace.machines.machine import Machine
from vivace.metrics.spans import Spans
from vivace.part import Interrupted, Part, TurnEnded
from vivace.testing.script import timeline

# Part of the extra `dev`; an environment made before it was is told so, and not broken.
pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from tests.metrics.spans import Collected

pytestmark = pytest.mark.virtual

DAY = 1_700_000_000_000_000_000  # the date when a run begins, in nanoseconds
MS = 1_000_000


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected[Spans]]:
    monkeypatch.setattr("time.time_ns", lambda: DAY)
    collected = Collected(Spans)
    yield collected
    collected.provider.shutdown()


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def identity(span: Any) -> int:
    return int(span.get_span_context().span_id)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


@processor
async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        await asyncio.sleep(0.25)
        yield part


@processor
async def broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        if part.text == "bad":
            raise LookupError("broken")
        yield part


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Machine())


async def run(agent: Processor, source: Any) -> list[str]:
    return [part.text async for part in agent(source)]


async def test_a_run_and_its_stages(spans: Collected[Spans]) -> None:
    """One span for the run, within it one for each stage, at the very times, with its counts."""
    with observe(spans.hook):
        await run(copy + slow, timeline([(0.5, "hello"), (1.0, "you")]))
    assert [span.name for span in spans.all] == [
        "stage source",
        "stage agent[0].copy",
        "stage agent[1].slow",
        "run agent",
    ]
    whole, stage = spans.named("run agent"), spans.named("stage agent[1].slow")
    assert parent(whole) is None
    assert {parent(it) for it in spans.all} == {None, identity(whole)}
    assert {it.start_time for it in spans.all} == {DAY}
    assert {it.end_time for it in spans.all} == {DAY + 1250 * MS}
    assert attributes(whole)["vivace.run.name"] == "agent"
    assert attributes(whole)["vivace.run.ended"] == "exhausted"
    assert attributes(stage) == {
        "vivace.stage.path": "agent[1].slow",
        "vivace.stage.index": 2,
        "vivace.stage.ended": "exhausted",
        "vivace.stage.parts_in": 2,
        "vivace.stage.bytes_in": 8,
        "vivace.stage.parts_out": 2,
        "vivace.stage.bytes_out": 8,
        "vivace.stage.parts_aside": 0,
        "vivace.stage.waited_for_input_s": 0.75,
        "vivace.stage.waited_for_room_s": 0.0,
    }
    assert {it.status.status_code for it in spans.all} == {StatusCode.UNSET}


async def test_a_run_later_on_has_its_own_date(spans: Collected[Spans]) -> None:
    """The wall clock is read when a conversation begins, whatever the loop's clock says then."""
    await asyncio.sleep(3.0)
    with observe(spans.hook):
        await run(slow, "a")
    whole = spans.named("run slow")
    assert (whole.start_time, whole.end_time) == (DAY, DAY + 250 * MS)


async def test_a_run_belongs_to_the_span_it_is_begun_in(spans: Collected[Spans]) -> None:
    """The caller's active span is the parent, and is active again after the run."""
    with observe(spans.hook), spans.tracer.start_as_current_span("request") as request:
        async for _ in copy(["a", "b"]):
            assert trace.get_current_span() is request
        assert trace.get_current_span() is request
    whole = spans.named("run copy")
    assert parent(whole) == identity(request)
    assert whole.context is not None
    assert whole.context.trace_id == request.get_span_context().trace_id
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.virtual(seeds=5)
async def test_what_is_begun_in_a_stage_belongs_to_it(spans: Collected[Spans]) -> None:
    """Runs within a run, and spans of the program's own in a stage, are below it."""

    @processor
    async def answers(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            with spans.tracer.start_as_current_span("look up"):
                await asyncio.sleep(0.25)
            async with (slow + copy).run(part) as inner:
                async for each in inner:
                    yield each

    spans.exporter.clear()
    with observe(spans.hook):
        await run(copy + Driven() + answers, timeline([(0.5, "a")]))
    outer, inner = spans.all[-1], spans.named("stage agent[0].slow")
    assert outer.name == "run agent"
    runs = [it for it in spans.all if it.name == "run agent"]
    assert [parent(it) for it in runs] == [identity(outer), None]
    assert parent(inner) == identity(runs[0])
    assert (runs[0].start_time, runs[0].end_time) == (DAY + 750 * MS, DAY + 1000 * MS)
    assert parent(spans.named("look up")) == identity(outer)


async def test_a_run_within_a_span_of_a_stage_belongs_to_that(spans: Collected[Spans]) -> None:
    """What stands nearest is the parent."""

    @processor
    async def answers(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            with spans.tracer.start_as_current_span("reply"):
                found = await run(copy, part)
            yield Part(found[0])

    with observe(spans.hook):
        await run(answers, "a")
    assert parent(spans.named("run copy")) == identity(spans.named("reply"))
    assert parent(spans.named("reply")) == identity(spans.named("run answers"))


async def test_two_hooks_do_not_mix(spans: Collected[Spans]) -> None:
    """Each hook's stages are below its own run, although only one span can be the active one."""
    other = Collected(Spans)
    with observe(spans.hook), observe(other.hook):
        await run(copy + slow, "a")
    for each in (spans, other):
        stages = [it for it in each.all if it.name.startswith("stage")]
        assert {parent(it) for it in stages} == {identity(each.named("run agent"))}


async def test_an_error_is_written_down_where_it_arose(spans: Collected[Spans]) -> None:
    """All that failed says so; the exception itself is in one span."""
    with observe(spans.hook), pytest.raises(LookupError):
        await run(copy + broken + copy, timeline([(0.5, "a"), (1.0, "bad")]))
    failed = {it.name: it for it in spans.all if it.status.status_code is StatusCode.ERROR}
    assert set(failed) == {"stage agent[1].broken", "stage agent[2].copy", "run agent"}
    for span in failed.values():
        assert attributes(span)["error.type"] == "LookupError"
    assert attributes(failed["stage agent[2].copy"])["vivace.stage.origin"] == "agent[1].broken"
    assert attributes(failed["stage agent[2].copy"])["vivace.stage.ended"] == "failed"
    written = [(it.name, event) for it in spans.all for event in it.events]
    assert [(name, event.name) for name, event in written] == [
        ("stage agent[1].broken", "exception")
    ]
    event = written[0][1]
    assert event.timestamp == DAY + 1000 * MS
    assert dict(event.attributes or {})["exception.message"] == "broken"


class Mine(Exception):
    """An error of the program's own."""


async def test_an_error_of_no_stage_is_written_down_in_the_run(spans: Collected[Spans]) -> None:
    """A stage that cannot be opened has no span; its error is the run's, by its full name."""

    class Wrong(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            raise Mine("no model")

    with observe(spans.hook), pytest.raises(Mine):
        await run(copy + Wrong(), "a")
    whole = spans.named("run agent")
    assert attributes(whole)["error.type"] == f"{__name__}.Mine"
    assert [event.name for event in whole.events] == ["exception"]
    assert attributes(spans.named("stage agent[0].copy"))["vivace.stage.ended"] == "closed"


async def test_announcements_are_events(spans: Collected[Spans]) -> None:
    """An interruption is in the run's span, with its turn and time, without what was heard."""

    @processor
    async def announces(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            current_run().bus.announce(Interrupted(3, heard="a secret"))
            current_run().bus.announce(TurnEnded(1.0))
            yield part

    with observe(spans.hook):
        await run(announces, timeline([(0.5, "a")]))
    events = spans.named("run announces").events
    assert [(it.name, it.timestamp, dict(it.attributes or {})) for it in events] == [
        ("vivace.interrupted", DAY + 500 * MS, {"vivace.turn": 3}),
        ("vivace.turn_ended", DAY + 500 * MS, {}),
    ]


async def test_a_hundred_at_once_do_not_mix(spans: Collected[Spans]) -> None:
    """Each run's stages are below it, whatever runs beside it."""
    add_hook(spans.hook)
    try:
        async with asyncio.TaskGroup() as group:
            for n in range(100):
                group.create_task(run(copy + slow, [str(n)] * (n % 4)))
    finally:
        remove_hook(spans.hook)
    wholes = {identity(it) for it in spans.all if it.name == "run agent"}
    below = [parent(it) for it in spans.all if it.name.startswith("stage")]
    assert len(wholes) == 100
    assert {below.count(it) for it in wholes} == {3}
    assert len({it.context.trace_id for it in spans.all if it.context}) == 100


async def test_a_run_that_ended_is_forgotten(spans: Collected[Spans]) -> None:
    """A hook that serves for weeks holds what is under way and nothing else."""
    with observe(spans.hook):
        await run(copy, "a")
    assert spans.hook._runs == {}


async def test_runs_whose_end_nobody_tells_are_let_go(spans: Collected[Spans]) -> None:
    """Memory is bounded: of ten thousand runs without an end the oldest gives way, ended."""

    async def begin(number: int) -> None:  # a task has a context of its own, as a run has
        spans.hook(RunStarted(number, None, "lost", 0.0))

    for number in range(10_001):
        await asyncio.create_task(begin(number))
    assert len(spans.all) == 1
    spans.hook(StageStarted(StageId(0, None, "late", 0), 1.0))
    spans.hook(RunFinished(0, 1.0, "closed"))
    assert len(spans.all) == 1


async def test_without_an_sdk_nothing_comes_of_it() -> None:
    """With the API alone, spans go nowhere and the run is as ever."""
    with observe(Spans()):
        assert await run(copy + slow, ["a", "b"]) == ["a", "b"]
    with observe(Spans()), pytest.raises(LookupError):
        await run(broken, "bad")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry the error says what to install; other errors are themselves."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'vivace\[metrics\]'"):
        Spans()
    half = types.ModuleType("opentelemetry")
    half.__getattr__ = needs_more  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "opentelemetry", half)
    with pytest.raises(ModuleNotFoundError, match="No module named 'deprecated'"):
        Spans()


def needs_more(name: str) -> NoReturn:
    raise ModuleNotFoundError("No module named 'deprecated'", name="deprecated")


def test_importing_loads_no_opentelemetry() -> None:
    """The module can be imported, and documented, without the package."""
    code = "import sys, vivace.metrics.spans; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
