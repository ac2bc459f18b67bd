"""The numbers for others: a table, JSON, Prometheus, OpenTelemetry."""

import io
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.metrics.talks import LONG, hold
from vivace.errors import ExtraMissing, MetricsError
from vivace.flow.hooks import observe
from vivace.flow.records import Measured
from vivace.metrics.collect import RealTimeMetrics
from vivace.metrics.export import (
    as_json,
    as_table,
    export_to_opentelemetry,
    export_to_prometheus,
)
from vivace.metrics.series import BUCKETS, COUNTERS, HISTOGRAMS, dotted
from vivace.testing.fakes import Caller

# Parts of the extra `dev`.
pytest.importorskip("prometheus_client")
pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

pytestmark = pytest.mark.virtual


async def conversation(metrics: RealTimeMetrics) -> None:
    with observe(metrics):
        await hold(Caller([(0.5, 1.5, "hello"), (3.0, 4.4, "stop that now")], 8.0), LONG, "fine")


def numbers(metrics: RealTimeMetrics) -> None:
    found = {"hits": 3, "misses": 1, "dropped": 2, "shed.frames": 4, "pressure": 1, "stalls": 1}
    for what, value in found.items():
        metrics(Measured(1, 0.0, "stage", what, value))
    metrics(Measured(1, 0.0, "clock", "tool_s", 0.25))
    metrics.record_processing(0.05, latency=0.3)
    metrics.record_error()


async def test_json() -> None:
    """The four sections, as they are reported."""
    metrics = RealTimeMetrics()
    await conversation(metrics)
    told = json.loads(as_json(metrics))
    assert list(told) == ["performance", "quality", "real_time", "recommendations"]
    assert told["quality"]["turns"] == {"interrupted": 1, "done": 1}


def printed(metrics: RealTimeMetrics) -> str:
    file = io.StringIO()
    Console(file=file, width=120).print(as_table(metrics))
    return file.getvalue()


async def test_a_table() -> None:
    """What was measured has a row; what was not has none; advice stands below."""
    metrics = RealTimeMetrics()
    assert "real time: not measured yet" in printed(metrics)
    assert "first token" not in printed(metrics)
    await conversation(metrics)
    table = printed(metrics)
    assert "real time: yes" in table
    row = next(line for line in table.splitlines() if "→ first audio heard" in line)
    assert row.split("│")[2:7] == [
        "     2 ",
        " 240.0 ms ",
        " 244.0 ms ",
        " 244.0 ms ",
        " 244.0 ms ",
    ]
    assert "1 interrupted, 1 done" in table
    assert "agent[4].audio_rate_limiter" in table
    assert "2 tokens, 15.4% reused" in table
    numbers(metrics)
    table = printed(metrics)
    assert "real time: no, for latency_s" in table
    for text in (
        "tool clock",
        "75% of 4",
        "level 1",
        "4 frames",
        "2 stage",
        "• p95 latency is 0.300",
    ):
        assert text in table
    metrics.record_processing(70.0)
    assert "70.0 s" in printed(metrics)


async def test_prometheus() -> None:
    """What a scrape gets: histograms with cumulative buckets, counters by kind, gauges."""
    registry, metrics = CollectorRegistry(), RealTimeMetrics()
    export_to_prometheus(metrics, registry)
    assert registry.get_sample_value("vivace_turn_gap_seconds_count") is None
    await conversation(metrics)
    numbers(metrics)
    value = registry.get_sample_value
    assert value("vivace_turn_gap_seconds_count") == 2.0
    assert value("vivace_turn_gap_seconds_sum") == pytest.approx(0.24 + 0.244)
    assert value("vivace_turn_gap_seconds_bucket", {"le": "0.2"}) == 0.0
    assert value("vivace_turn_gap_seconds_bucket", {"le": "0.3"}) == 2.0
    assert value("vivace_turn_gap_seconds_bucket", {"le": "+Inf"}) == 2.0
    assert value("vivace_turns_total", {"outcome": "interrupted"}) == 1.0
    assert value("vivace_interruptions_total", {"kind": "true"}) == 1.0
    assert value("vivace_prompt_tokens_sum") == 13.0
    assert value("vivace_work_shed_total", {"work": "frames"}) == 4.0
    assert value("vivace_cache_requests_total", {"result": "hits"}) == 3.0
    assert value("vivace_pressure_level") == 1.0
    assert value("vivace_real_time_capable") == 0.0
    assert value("vivace_tool_seconds_count", {"tool": "clock"}) == 1.0
    labels = {"stage": "agent[0].detect_speech", "direction": "in"}
    assert value("vivace_stage_parts_total", labels) == 400.0
    text = generate_latest(registry).decode()
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {series.name for series in HISTOGRAMS} <= families
    assert {series.name.removesuffix("_total") for series in COUNTERS} <= families


async def test_what_prometheus_adds_up_never_falls() -> None:
    """Histograms count since the beginning, also what has left the window of the report."""
    registry, metrics = CollectorRegistry(), RealTimeMetrics(10)
    export_to_prometheus(metrics, registry)
    for number in range(200):
        metrics.record_processing(0.001 * number)
        count = registry.get_sample_value("vivace_part_processing_seconds_count")
        assert count == number + 1
    assert metrics.report().performance.processing_s is not None


async def test_a_registry_has_each_name_once() -> None:
    """A second export would make a page that Prometheus refuses; every name that may come is known,
    so that one can also be asked for alone."""
    metrics, registry = RealTimeMetrics(), CollectorRegistry()
    export_to_prometheus(metrics, registry)
    with pytest.raises(MetricsError, match=r"one RealTimeMetrics watch all .*vivace_turns"):
        export_to_prometheus(RealTimeMetrics(), registry)
    await conversation(metrics)
    numbers(metrics)
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            alone = generate_latest(registry.restricted_registry([sample.name])).decode()
            assert sample.name in alone


def test_the_usual_registry_is_that_of_all() -> None:
    """Without one, the registry that the library has for everybody is told."""
    from prometheus_client import REGISTRY

    metrics = RealTimeMetrics()
    before = set(REGISTRY._collector_to_names)
    export_to_prometheus(metrics)
    (new,) = set(REGISTRY._collector_to_names) - before
    names = REGISTRY._collector_to_names[new]
    REGISTRY.unregister(new)
    assert {"vivace_turn_gap_seconds", "vivace_turns"} <= set(names)


def collected(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, Any], Any]]]:
    data = reader.get_metrics_data()
    found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
    for resource in data.resource_metrics if data else []:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = [
                    (dict(point.attributes or {}), getattr(point, "value", None) or point)
                    for point in metric.data.data_points
                ]
    return found


async def test_opentelemetry() -> None:
    """Histograms of turns, counters by kind, quantiles of what comes by the thousand."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metrics = RealTimeMetrics()
    export_to_opentelemetry(metrics, provider)
    assert "vivace.pressure.level" not in collected(reader)
    await conversation(metrics)
    numbers(metrics)
    found = collected(reader)
    points = {attributes["outcome"]: point for attributes, point in found["vivace.turn.gap"]}
    assert (points["done"].count, points["done"].sum) == (1, 0.244)
    assert found["vivace.turns"] == [({"outcome": "interrupted"}, 1), ({"outcome": "done"}, 1)]
    assert found["vivace.part.latency"] == [({"quantile": it}, 0.3) for it in (0.5, 0.95, 0.99)]
    assert found["vivace.pressure.level"] == [({}, 1)]
    provider.shutdown()


def test_names_are_one_table() -> None:
    """No two series have a name or a source in common, and each follows the conventions."""
    rows = (*HISTOGRAMS, *COUNTERS)
    assert len({row.name for row in rows}) == len({row.source for row in rows}) == len(rows)
    for row in HISTOGRAMS:
        assert row.name.endswith("_seconds" if row.unit == "s" else "_tokens")
        assert list(BUCKETS[row.unit]) == sorted(BUCKETS[row.unit])
    assert all(row.name.endswith("_total") and row.label for row in COUNTERS)
    assert dotted("vivace_turns_total") == "vivace.turns"


@pytest.mark.parametrize(
    ("package", "call", "told"),
    [
        ("prometheus_client", "export_to_prometheus(m)", "pip install 'vivace[metrics]'"),
        ("opentelemetry", "export_to_opentelemetry(m)", "pip install 'vivace[metrics]'"),
        ("rich", "as_table(m)", "pip install 'vivace[local]'"),
    ],
)
def test_what_is_missing_is_told(package: str, call: str, told: str) -> None:
    """Without its package an export says which command installs it."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from vivace.metrics.export import *\n"
        "from vivace.metrics.collect import RealTimeMetrics\n"
        "from vivace.errors import ExtraMissing\n"
        f"m = RealTimeMetrics()\ntry: {call}\nexcept ExtraMissing as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told in done.stdout


def test_another_missing_package_is_itself() -> None:
    """An error of the package's own imports is not taken for its absence."""
    from vivace.metrics.extras import needs

    with pytest.raises(ModuleNotFoundError) as caught, needs("a", "rich", "rich"):
        raise ModuleNotFoundError("no pygments", name="pygments")
    assert not isinstance(caught.value, ExtraMissing)
