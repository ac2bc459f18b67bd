"""`RealTimeMetrics`: how a live agent does, in numbers that can be relied on.

This file owns which record feeds which number. Nobody has to call `record_…`: as a hook it is fed
by every run that it watches; the methods are for what happens outside of runs.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from vivace.flow.clock import now_anywhere
from vivace.flow.hooks import observe
from vivace.flow.observe import LoopLag
from vivace.flow.records import (
    Announced,
    Measured,
    PartPassed,
    Record,
    RunFinished,
    RunStarted,
    Said,
    StageFailed,
    StageFinished,
    StageStarted,
)
from vivace.machines.rates import PerSecond, Shares
from vivace.machines.sketch import RecentValues, Sketch, Spread
from vivace.metrics.advice import advise, judge
from vivace.metrics.report import (
    CacheReport,
    Performance,
    Quality,
    RealTime,
    Report,
    as_sections,
)
from vivace.metrics.stages import Stages
from vivace.metrics.turns import Turns, TurnStory
from vivace.part import Data, Part

__all__ = ["SPREADS", "RealTimeMetrics"]

_LAG_EVERY_S = 0.25  # often enough for a percentile of a minute
_NAMES = 64  # tools, caches and the like that are told apart
_DROPPING_S = 60.0  # who has dropped nothing for so long does no more

SPREADS = (
    "processing_s",
    "latency_s",
    "quality_score",
    "loop_lag_s",
    "prompt_tokens",
    "end_of_turn_s",
    "transcript_s",
    "first_token_s",
    "first_audio_sent_s",
    "first_audio_heard_s",
    "stop_s",
    "hold_s",
    "playout_late_s",
)
"""What is kept as a distribution."""


class RealTimeMetrics:
    """A hook that keeps the numbers of all runs that it watches, in bounded room.

    window_size: spreads and shares are of the newest so many values (up to a tenth fewer); rates
        are of the last minute.

    `add_hook(metrics)`, `with observe(metrics):`, or `with metrics.watching():`. While a run goes
    on, a timer looks four times a second how late the loop is. Recording costs about a microsecond.

    Raises MetricsError for a window that holds nothing, and for numbers that are below 0 or none.
    """

    skips_parts = True

    def __init__(self, window_size: int = 1000) -> None:
        self.spreads: Mapping[str, RecentValues] = {
            name: RecentValues(window_size) for name in SPREADS
        }
        self.tools: dict[str, RecentValues] = {}
        self.stages: Stages = Stages()
        self.counts: Counter[tuple[str, str]] = Counter()  # what happened, and its kind
        self.pressure: int | None = None
        self._window_size = window_size
        self._processing = self.spreads["processing_s"]
        self._late = self.spreads["playout_late_s"]
        self._parts = Shares(window_size)
        self._turns = Shares(window_size)
        self._chunks = Shares(window_size)
        self._prompts = Shares(window_size)
        self._requests = Shares(window_size)  # of caches
        self._dropped_at: dict[str, float] = {}
        self._recorded = 0
        self._rate = PerSecond()
        self._rating = threading.Lock()  # exporters ask in threads of their own
        self._looked_at = -1.0
        self._lags: dict[asyncio.AbstractEventLoop, tuple[LoopLag, set[int]]] = {}
        self._stories = Turns(self._turn, self._judged)
        self._listeners: list[Callable[[TurnStory], object]] = []

    # -- by hand ------------------------------------------------------------------------------

    def record_processing(
        self,
        processing_time: float,
        latency: float | None = None,
        quality_score: float | None = None,
    ) -> None:
        """A part was processed, in `processing_time` seconds.

        latency: seconds from when it came to when its result left. quality_score: 0 or more.
        """
        self._processing.add(processing_time)
        self._recorded += 1
        self._parts.step()
        if latency is not None:
            self.spreads["latency_s"].add(latency)
        if quality_score is not None:
            self.spreads["quality_score"].add(quality_score)
        self._look()

    def record_interruption(self) -> None:
        """The stream was interrupted."""
        self._parts.happened("interruption")
        self.counts["interruption", "recorded"] += 1

    def record_error(self) -> None:
        """Something failed."""
        self._parts.happened("error")
        self.counts["error", "recorded"] += 1

    # -- by hooks -----------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator[RealTimeMetrics]:
        """Watch the runs that begin inside the block."""
        with observe(self):
            yield self

    def on_turn(self, tell: Callable[[TurnStory], object]) -> None:
        """Tell each turn to `tell`, too, once it is over."""
        self._listeners.append(tell)

    def __call__(self, record: Record) -> None:
        match record:
            case Measured():
                self._measured(record)
                if record.what != "tool_s":
                    return
            case Said(part=Part(body=Data(value=dict() as news))):
                self._news(news)
            case PartPassed(aside=True, part=Part(body=Data(value=dict() as news))):
                self._news(news)
            case StageStarted():
                self.stages.opened(record)
                return
            case StageFinished() | StageFailed():
                if self.stages.ended(record):
                    self._count("error", record.stage.path)
                    if record.stage.parent is None:  # else whoever has begun the run tells of it
                        self._turns.happened("error")
                return
            case RunStarted():
                self.stages.begin(record)
                self._watch_loop(record)
            case RunFinished():
                self.stages.end(record)
                self._leave_loop(record)
            case Announced():
                pass
        self._stories(record)

    def _measured(self, record: Measured) -> None:
        what, value = record.what, record.value
        if what == "late_s":  # the bulk of them
            self._late.add(value if value > 0.0 else 0.0)
            self._chunks.step()
        elif what == "tool_s":
            self._tool(record.by, value)
        elif what in ("dropped", "refused"):
            who = record.by if what == "dropped" else "void reply"
            who = self._count("dropped", who, round(value))
            self._dropped_at[who] = record.at
        elif what in ("buffer_underruns", "stalls"):
            self.counts["gap", what] += round(value)
            self._chunks.happened("gap")
        elif what in ("hits", "misses", "shared", "evictions"):
            self.counts["cache", what] += round(value)
            self._asked_cache(what, round(value))
        elif what.startswith("shed."):
            self._count("shed", what.removeprefix("shed."), round(value))
        elif what == "pressure":
            self.pressure = round(value)

    def _asked_cache(self, what: str, times: int) -> None:
        for _ in range(times if what != "evictions" else 0):
            self._requests.step()
            self._requests.happened("computed" if what == "misses" else "answered")

    def _tool(self, name: str, seconds: float) -> None:
        if name not in self.tools and len(self.tools) >= _NAMES:
            name = "(others)"
        self.tools.setdefault(name, RecentValues(self._window_size)).add(max(0.0, seconds))

    def _news(self, news: dict[str, Any]) -> None:
        match news:
            case {"event": "failed"}:
                self._error(str(news.get("what", "")))
            case {"event": "speculated", "right": bool(right)}:
                self.counts["speculation", "right" if right else "dropped"] += 1

    def _error(self, where: str) -> None:
        self._count("error", where)
        self._turns.happened("error")

    def _count(self, what: str, kind: str, times: int = 1) -> str:
        """Count something whose kinds are named by whoever tells of it; under which name."""
        known = (what, kind) in self.counts or len(self.counts) < 10 * _NAMES
        kind = kind if known else "(others)"
        self.counts[what, kind] += times
        return kind

    def _turn(self, story: TurnStory) -> None:
        self._turns.step()
        self.counts["turn", story.outcome] += 1
        for name, value in story.measures():
            self.spreads[name].add(value)
        if story.tokens is not None:
            self._prompts.step()
            self._prompts.happened("tokens", story.tokens)
            self._prompts.happened("reused", story.reused or 0)
        for tell in self._listeners:
            tell(story)

    def _judged(self, kind: str) -> None:
        self.counts["interruption", kind] += 1
        if kind == "true":
            self._turns.happened("interruption")
        elif kind == "false":
            self._turns.happened("false interruption")

    # -- the loop -----------------------------------------------------------------------------

    def _watch_loop(self, record: RunStarted) -> None:
        if record.parent is not None:
            return
        loop = asyncio.get_running_loop()
        if loop not in self._lags:
            lag = LoopLag(_LAG_EVERY_S, keep=1, tell=self._lagged)
            lag.start()
            self._lags = {it: found for it, found in self._lags.items() if not it.is_closed()}
            self._lags[loop] = (lag, set())
        self._lags[loop][1].add(record.run)

    def _leave_loop(self, record: RunFinished) -> None:
        lag, runs = self._lags.get(asyncio.get_running_loop(), (None, set[int]()))
        runs.discard(record.run)
        if lag is not None and not runs:
            lag.stop()
            del self._lags[asyncio.get_running_loop()]

    def _lagged(self, seconds: float) -> None:
        self.spreads["loop_lag_s"].add(seconds)
        self._look()

    def _look(self) -> None:
        """See once a second how much was processed."""
        now = now_anywhere()
        if not self._looked_at <= now < self._looked_at + 1.0:
            self._looked_at = now
            with self._rating:
                self._rate.note(self.total_parts, now)

    # -- the report ---------------------------------------------------------------------------

    @property
    def total_parts(self) -> int:
        """Parts that were recorded, and that runs have handed out."""
        return self._recorded + self.stages.handed_out()

    def get_real_time_report(self) -> dict[str, Any]:
        """The report as plain values, in the sections `performance`, `quality`, `real_time` and
        `recommendations`. Seconds everywhere; None is what was not measured."""
        return as_sections(self.report())

    def report(self) -> Report:
        """How it stands now."""
        report = Report(self._performance(), self._quality(), self._real_time())
        judged = judge(report)
        capable = all(judged.values()) if judged else None
        real_time = msgspec.structs.replace(
            report.real_time, judged=judged, is_real_time_capable=capable
        )
        report = msgspec.structs.replace(report, real_time=real_time)
        return msgspec.structs.replace(report, recommendations=advise(report))

    def of(self, what: str) -> dict[str, int]:
        """How often each kind of `what` has happened: "turn", "interruption", "speculation",
        "error", "dropped", "shed", "cache" or "gap"."""
        counts = dict(self.counts)  # exporters ask in threads of their own
        return {kind: count for (name, kind), count in counts.items() if name == what}

    def sketch(self, name: str) -> Sketch:
        """All values of one of `SPREADS`, since the beginning."""
        return self.spreads[name].all()

    def _spread(self, name: str) -> Spread | None:
        return self.spreads[name].recent().spread()

    def _performance(self) -> Performance:
        tokens = self._prompts.recent("tokens")
        cache = self.of("cache")
        asked = {name: cache.get(name, 0) for name in ("hits", "misses", "shared", "evictions")}
        tools = {name: values.recent().spread() for name, values in dict(self.tools).items()}
        with self._rating:
            total, now = self.total_parts, now_anywhere()
            rate = self._rate.rate(total, now)
        return Performance(
            processing_s=self._spread("processing_s"),
            latency_s=self._spread("latency_s"),
            current_throughput_pps=rate,
            total_parts_processed=total,
            loop_lag_s=self._spread("loop_lag_s"),
            prompt_tokens=self._spread("prompt_tokens"),
            prompt_reused=self._prompts.recent("reused") / tokens if tokens else None,
            tools_s={name: spread for name, spread in tools.items() if spread is not None},
            cache=CacheReport(**asked, hit_rate=self._requests.share("answered"))
            if cache
            else None,
            stages=self.stages.report(now),
        )

    def _quality(self) -> Quality:
        score = self._spread("quality_score")
        return Quality(
            avg_quality_score=None if score is None else score.mean,
            stream_continuity=self._continuity(),
            error_rate=self._share("error"),
            errors=self.of("error"),
            dropped=self.of("dropped"),
            dropping=self._dropping(),
            shed=self.of("shed"),
            turns=self.of("turn"),
        )

    def _dropping(self) -> tuple[str, ...]:
        since = now_anywhere() - _DROPPING_S
        return tuple(who for who, at in dict(self._dropped_at).items() if at >= since)

    def _false_rate(self) -> float | None:
        false = self._turns.recent("false interruption")
        cuts = false + self._turns.recent("interruption")
        return false / cuts if cuts else None

    def _continuity(self) -> float | None:
        if self._chunks.steps:
            return max(0.0, 1.0 - (self._chunks.share("gap") or 0.0))
        bad = [self._parts.share("error"), self._parts.share("interruption")]
        known = [share for share in bad if share is not None]
        return max(0.0, 1.0 - sum(known)) if known else None

    def _share(self, what: str) -> float | None:
        recorded = self._parts.share(what)
        return self._turns.share(what) if recorded is None else recorded

    def _real_time(self) -> RealTime:
        gaps = self.of("gap")
        names = [name for name in RealTime.__struct_fields__ if name in SPREADS]
        return RealTime(
            **{name: self._spread(name) for name in names},
            interruptions=self.of("interruption"),
            interruption_rate=self._share("interruption"),
            false_interruption_rate=self._false_rate(),
            speculations=self.of("speculation"),
            buffer_underruns=gaps.get("buffer_underruns", 0),
            stalls=gaps.get("stalls", 0),
            pressure=self.pressure,
            is_real_time_capable=None,
            judged={},
        )
