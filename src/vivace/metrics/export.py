"""The report for others: a table, JSON, Prometheus, metrics of OpenTelemetry.

`series.py` has the names; `turn_spans.py` and `log.py` are hooks of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from vivace.errors import MetricsError
from vivace.machines.sketch import Sketch, Spread
from vivace.metrics.collect import RealTimeMetrics
from vivace.metrics.extras import needs
from vivace.metrics.report import FIRSTS, Report, StageReport, as_sections
from vivace.metrics.series import BUCKETS, COUNTERS, HISTOGRAMS, Series, dotted
from vivace.metrics.turns import TurnStory

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from prometheus_client import CollectorRegistry, Metric
    from rich.console import RenderableType

__all__ = ["as_json", "as_table", "export_to_opentelemetry", "export_to_prometheus"]


def as_json(metrics: RealTimeMetrics) -> bytes:
    """The report as JSON, in the four sections of `get_real_time_report`."""
    return msgspec.json.encode(as_sections(metrics.report()))


# -- a table --------------------------------------------------------------------------------------

_LABELS = {
    "transcript_s": "end of speech → transcript",
    "end_of_turn_s": "→ end of turn known",
    "first_token_s": "→ first token",
    "first_audio_sent_s": "→ first audio sent",
    "first_audio_heard_s": "→ first audio heard",
    "stop_s": "sound over a reply → silence",
    "hold_s": "held",
    "playout_late_s": "chunks late",
}


def as_table(metrics: RealTimeMetrics) -> RenderableType:
    """The report to print: `rich.print(as_table(metrics))`. Raises ExtraMissing without `rich`."""
    with needs("tables", "rich", "rich", extra="local"):
        from rich.console import Group
    report = metrics.report()
    advice = [f"• {text}" for text in report.recommendations]
    return Group(_spreads(report), _counts(report), *_stages(report.performance.stages), *advice)


def _spreads(report: Report) -> Any:
    from rich.table import Table

    table = Table(title=_title(report), title_justify="left")
    for head in ("", "count", "p50", "p95", "p99", "most"):
        table.add_column(head, justify="right" if head else "left")
    performance, real_time = report.performance, report.real_time
    rows: list[tuple[str, Spread | None]] = [
        (_LABELS[name], getattr(real_time, name)) for name in (*FIRSTS, *list(_LABELS)[5:])
    ]
    rows += [("loop late", performance.loop_lag_s), ("processing", performance.processing_s)]
    rows += [("latency", performance.latency_s)]
    rows += [(f"tool {name}", spread) for name, spread in performance.tools_s.items()]
    for label, spread in rows:
        if spread is not None:
            times = (spread.p50, spread.p95, spread.p99, spread.most)
            table.add_row(label, str(spread.count), *map(_seconds, times))
    return table


def _title(report: Report) -> str:
    capable = report.real_time.is_real_time_capable
    if capable is None:
        return "real time: not measured yet"
    late = [name for name, holds in report.real_time.judged.items() if not holds]
    return f"real time: {'yes' if capable else 'no, for ' + ', '.join(late)}"


def _counts(report: Report) -> Any:
    from rich.table import Table

    table = Table(show_header=False)
    quality, real_time, performance = report.quality, report.real_time, report.performance
    tokens, reused = performance.prompt_tokens, performance.prompt_reused
    cache = performance.cache
    rows: dict[str, str] = {
        "turns": _named(quality.turns),
        "interruptions": _named(real_time.interruptions),
        "speculations": _named(real_time.speculations),
        "parts": f"{performance.total_parts_processed}, "
        f"{_number(performance.current_throughput_pps)} a second",
        "continuity": _percent(quality.stream_continuity),
        "error rate": _percent(quality.error_rate),
        "errors": _named(quality.errors),
        "dropped": _named(quality.dropped),
        "gaps": f"{real_time.buffer_underruns} underruns, {real_time.stalls} stalls",
        "prompt": f"{tokens.p50:.0f} tokens, {_percent(reused)} reused" if tokens else "",
        "cache": f"{cache.hit_rate or 0:.0%} of {cache.hits + cache.misses + cache.shared}"
        if cache
        else "",
        "pressure": "" if real_time.pressure is None else f"level {real_time.pressure}",
        "shed": _named(quality.shed),
    }
    for label, text in rows.items():
        if text:
            table.add_row(label, text)
    return table


def _stages(stages: tuple[StageReport, ...]) -> Iterator[Any]:
    from rich.table import Table

    if not stages:
        return
    table = Table()
    for head in ("stage", "in", "out", "waits for input", "for room", "works", "errors"):
        table.add_column(head, justify="left" if head == "stage" else "right")
    for it in stages:
        times = (it.waited_for_input_s, it.waited_for_room_s, it.work_s)
        counts = (str(it.parts_in), str(it.parts_out))
        table.add_row(it.path, *counts, *map(_seconds, times), str(it.errors or ""))
    yield table


def _seconds(value: float) -> str:
    return (
        f"{value:.1f} s"
        if value >= 10
        else f"{value * 1000:.1f} ms"
        if value < 1
        else f"{value:.2f} s"
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


# -- Prometheus -----------------------------------------------------------------------------------


def export_to_prometheus(
    metrics: RealTimeMetrics, registry: CollectorRegistry | None = None
) -> None:
    """Let Prometheus read the numbers, each time as they are then.

    registry: the one that `prometheus_client` has for all, unless given.

    Raises ExtraMissing if `prometheus-client` is not installed, MetricsError if the registry has
    such numbers already: Prometheus takes no page that has a name twice.
    """
    with needs("Prometheus's metrics", "prometheus-client", "prometheus_client"):
        from prometheus_client import REGISTRY
    try:
        (registry or REGISTRY).register(_PrometheusCollector(metrics))
    except ValueError as error:
        raise MetricsError(
            "this registry has numbers of Vivace already; let one RealTimeMetrics watch all "
            f"agents, or give each a registry of its own ({error})"
        ) from error


_TOOLS = Series("", "vivace_tool_seconds", "How long tools took.")
_PARTS = (
    Series("", "vivace_parts_processed_total", "Parts processed."),
    Series("", "vivace_stage_parts_total", "Parts in and out of a stage."),
    Series(
        "",
        "vivace_stage_waiting_seconds_total",
        "How long a stage waited, for input and for room.",
    ),
)
_GAUGES = {
    "vivace_pressure_level": "Pressure, 0 to 3.",
    "vivace_real_time_capable": "1 if the p95 of all that was measured is within its limit.",
    "vivace_stream_continuity_ratio": "The share of chunks without a gap before them.",
    "vivace_prompt_reused_ratio": "The share of prompt tokens that were read before.",
}


class _PrometheusCollector:
    """What a registry asks."""

    def __init__(self, metrics: RealTimeMetrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """All names that there may be."""
        from prometheus_client import core

        yield from (core.HistogramMetricFamily(it.name, it.help) for it in (*HISTOGRAMS, _TOOLS))
        yield from (core.CounterMetricFamily(it.name, it.help) for it in (*COUNTERS, *_PARTS))
        yield from (core.GaugeMetricFamily(name, told) for name, told in _GAUGES.items())

    def collect(self) -> Iterator[Metric]:
        """All series that there is something to tell of."""
        for series in HISTOGRAMS:
            sketch = self._metrics.sketch(series.source)
            if sketch.count:
                yield _histogram(series, {(): sketch}, ())
        tools: dict[tuple[str, ...], Sketch] = {
            (name,): values.all() for name, values in dict(self._metrics.tools).items()
        }
        if tools:
            yield _histogram(_TOOLS, tools, ("tool",))
        yield from self._counters()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily

        for series in COUNTERS:
            family = CounterMetricFamily(series.name, series.help, labels=[series.label])
            for kind, count in self._metrics.of(series.source).items():
                family.add_metric([kind], count)
            yield family
        total = self._metrics.total_parts
        processed, passed, waited = _PARTS
        yield CounterMetricFamily(processed.name, processed.help, value=total)
        stages = self._metrics.report().performance.stages
        parts = CounterMetricFamily(passed.name, passed.help, labels=["stage", "direction"])
        waits = CounterMetricFamily(waited.name, waited.help, labels=["stage", "for"])
        for it in stages:
            parts.add_metric([it.path, "in"], it.parts_in)
            parts.add_metric([it.path, "out"], it.parts_out)
            waits.add_metric([it.path, "input"], it.waited_for_input_s)
            waits.add_metric([it.path, "room"], it.waited_for_room_s)
        yield parts
        yield waits

    def _gauges(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        report = self._metrics.report()
        values = (
            report.real_time.pressure,
            report.real_time.is_real_time_capable,
            report.quality.stream_continuity,
            report.performance.prompt_reused,
        )
        for (name, told), value in zip(_GAUGES.items(), values, strict=True):
            if value is not None:
                yield GaugeMetricFamily(name, told, value=float(value))


def _histogram(
    series: Series, sketches: Mapping[tuple[str, ...], Sketch], labels: tuple[str, ...]
) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(series.name, series.help, labels=labels)
    for values, sketch in sketches.items():
        buckets = [(str(float(it)), float(sketch.up_to(it))) for it in BUCKETS[series.unit]]
        family.add_metric(values, [*buckets, ("+Inf", float(sketch.count))], sketch.total)
    return family


# -- OpenTelemetry --------------------------------------------------------------------------------


def export_to_opentelemetry(
    metrics: RealTimeMetrics, meter_provider: MeterProvider | None = None
) -> None:
    """Make instruments of OpenTelemetry: counters and gauges that are asked, and histograms of each
    turn, recorded when it is over. Those of what comes by the thousand are quantiles, as gauges.

    meter_provider: the one that the program has set globally unless given.

    Raises ExtraMissing if `opentelemetry-api` is not installed.
    """
    with needs("metrics of OpenTelemetry", "opentelemetry-api", "opentelemetry"):
        from opentelemetry import metrics as api
    meter = api.get_meter("vivace", meter_provider=meter_provider)
    _observe_counts(metrics, meter, api.Observation)
    _record_turns(metrics, meter)


def _observe_counts(metrics: RealTimeMetrics, meter: Meter, made: type[Observation]) -> None:
    def counter(series: Series) -> None:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            counts = metrics.of(series.source)
            return [made(count, {series.label: kind}) for kind, count in counts.items()]

        meter.create_observable_counter(
            dotted(series.name), [observe], unit=series.unit, description=series.help
        )

    def quantiles(series: Series) -> None:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            sketch = metrics.spreads[series.source].recent()
            shares = (0.5, 0.95, 0.99) if sketch.count else ()
            return [made(sketch.quantile(it) or 0.0, {"quantile": it}) for it in shares]

        meter.create_observable_gauge(
            dotted(series.name), [observe], unit=series.unit, description=series.help
        )

    def pressure(_: CallbackOptions) -> Iterable[Observation]:
        return [] if metrics.pressure is None else [made(metrics.pressure)]

    for series in COUNTERS:
        counter(series)
    for series in HISTOGRAMS:
        if series.source not in _OF_A_TURN:
            quantiles(series)
    meter.create_observable_gauge("vivace.pressure.level", [pressure], unit="1")


_OF_A_TURN = (*FIRSTS, "hold_s", "stop_s", "prompt_tokens")


def _record_turns(metrics: RealTimeMetrics, meter: Meter) -> None:
    made = {
        series.source: meter.create_histogram(
            dotted(series.name),
            unit=series.unit,
            description=series.help,
            explicit_bucket_boundaries_advisory=list(BUCKETS[series.unit]),
        )
        for series in HISTOGRAMS
        if series.source in _OF_A_TURN
    }

    def record(story: TurnStory) -> None:
        for name, value in story.measures():
            made[name].record(value, {"outcome": story.outcome})

    metrics.on_turn(record)
