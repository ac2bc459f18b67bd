"""`RealTimeMetrics`: recorded by hand, and fed by the runs that it watches."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.metrics.talks import LONG, agent, hold
from vivace.errors import MetricsError
from vivace.flow.hooks import add_hook, observe, remove_hook
from vivace.flow.processor import processor
from vivace.flow.records import Announced, Measured, PartPassed, StageId
from vivace.flow.run import current_run
from vivace.live.live_model import LiveModelProcessor
from vivace.metrics.collect import RealTimeMetrics
from vivace.metrics.report import CacheReport
from vivace.part import Data, Part, Playing
from vivace.processors.buffer import buffer
from vivace.processors.detect_speech import DetectSpeech
from vivace.processors.detect_turn import DetectTurn
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.processors.transcribe import Transcribe
from vivace.testing import VirtualLoop
from vivace.testing.fakes import Caller, FakeDetector, FakeTranscriber, FakeTurnDetector

pytestmark = pytest.mark.virtual


# -- by hand --------------------------------------------------------------------------------------


def test_before_anything_is_measured_nothing_is_known() -> None:
    """No number is made up: what was not measured is None, and the agent is not capable yet."""
    report = RealTimeMetrics().get_real_time_report()
    assert list(report) == ["performance", "quality", "real_time", "recommendations"]
    assert report["real_time"]["is_real_time_capable"] is None
    assert report["performance"]["processing_s"] is None
    assert report["performance"]["current_throughput_pps"] is None
    assert report["performance"]["total_parts_processed"] == 0
    assert report["quality"] == {
        "avg_quality_score": None,
        "stream_continuity": None,
        "error_rate": None,
        "errors": {},
        "dropped": {},
        "dropping": [],
        "shed": {},
        "turns": {},
    }
    assert report["recommendations"] == []
    json.dumps(report)


async def test_what_is_recorded_is_reported() -> None:
    """Ten parts in a second: their percentiles, their rate, their score."""
    metrics = RealTimeMetrics()
    for _ in range(10):
        metrics.record_processing(0.02, latency=0.05, quality_score=0.8)
        await asyncio.sleep(0.1)
    report = metrics.get_real_time_report()
    performance = report["performance"]
    assert performance["total_parts_processed"] == 10
    assert performance["current_throughput_pps"] == pytest.approx(9.0)
    assert performance["processing_s"]["p95"] == 0.02
    assert performance["latency_s"]["p99"] == 0.05
    assert report["quality"]["avg_quality_score"] == pytest.approx(0.8)
    assert report["quality"]["stream_continuity"] == 1.0
    assert report["real_time"]["is_real_time_capable"] is True
    assert report["real_time"]["judged"] == {"latency_s": True}


def test_capable_is_judged_by_the_slowest_twentieth() -> None:
    """A mean of 59 ms with six in a hundred at a second is not real time; five are let pass."""
    metrics = RealTimeMetrics(1000)
    for number in range(100):
        metrics.record_processing(0.001, latency=1.0 if number < 6 else 0.001)
    assert metrics.get_real_time_report()["real_time"]["is_real_time_capable"] is False
    metrics = RealTimeMetrics(1000)
    for number in range(100):
        metrics.record_processing(0.001, latency=1.0 if number < 5 else 0.001)
    assert metrics.get_real_time_report()["real_time"]["is_real_time_capable"] is True


def test_without_latencies_processing_is_judged() -> None:
    """Who only says how long parts took is judged by that."""
    metrics = RealTimeMetrics()
    metrics.record_processing(0.5)
    assert metrics.get_real_time_report()["real_time"]["is_real_time_capable"] is False


def test_continuity_recovers() -> None:
    """Interruptions and errors leave the window, and what they did to the numbers with them."""
    metrics = RealTimeMetrics(100)
    for number in range(100):
        metrics.record_processing(0.01)
        if number % 10 == 0:
            metrics.record_interruption()
        if number % 20 == 0:
            metrics.record_error()
    report = metrics.get_real_time_report()
    assert report["quality"]["stream_continuity"] == pytest.approx(0.85)
    assert report["quality"]["error_rate"] == 0.05
    assert report["real_time"]["interruption_rate"] == 0.1
    assert report["real_time"]["interruptions"] == {"recorded": 10}
    for _ in range(100):
        metrics.record_processing(0.01)
    report = metrics.get_real_time_report()
    assert report["quality"]["stream_continuity"] == 1.0
    assert report["quality"]["error_rate"] == 0.0
    assert report["quality"]["errors"] == {"recorded": 5}


def test_what_cannot_be_recorded_is_told() -> None:
    """Negative seconds, and windows of nothing, are errors, and count nothing."""
    metrics = RealTimeMetrics()
    with pytest.raises(MetricsError, match="cannot be measured"):
        metrics.record_processing(-1.0)
    assert metrics.total_parts == 0
    with pytest.raises(MetricsError, match="a window of 0 values"):
        RealTimeMetrics(0)


# -- by the runs that it watches ------------------------------------------------------------------


async def test_a_conversation_needs_no_recording() -> None:
    """Every number of two turns, the first of which was interrupted."""
    metrics = RealTimeMetrics()
    with metrics.watching() as same:
        assert same is metrics
        await hold(Caller([(0.5, 1.5, "hello"), (3.0, 4.4, "stop that now")], 8.0), LONG, "fine")
    report = metrics.get_real_time_report()
    real_time, quality, performance = (
        report[name] for name in ("real_time", "quality", "performance")
    )
    assert quality["turns"] == {"interrupted": 1, "done": 1}
    assert real_time["interruptions"] == {"true": 1}
    assert real_time["interruption_rate"] == 0.5
    assert [real_time[name]["most"] for name in (
        "transcript_s", "end_of_turn_s", "first_token_s", "first_audio_sent_s",
        "first_audio_heard_s", "stop_s", "hold_s",
    )] == [0.244, 0.244, 0.244, 0.244, 0.244, 0.064, 1.0]  # fmt: skip
    assert real_time["playout_late_s"]["most"] < 1e-9
    assert real_time["buffer_underruns"] == 0
    assert real_time["is_real_time_capable"] is True
    assert quality["stream_continuity"] == 1.0
    assert quality["error_rate"] == 0.0
    assert performance["prompt_tokens"]["count"] == 2
    assert performance["prompt_reused"] == 2 / 13
    assert performance["loop_lag_s"]["count"] == 32
    rows = {row["path"]: row for row in performance["stages"]}
    assert rows["agent[0].detect_speech"]["parts_in"] == 400
    assert performance["total_parts_processed"] == rows["agent[4].audio_rate_limiter"]["parts_out"]
    assert "agent[0].scripted" in rows


async def test_while_a_run_goes_on_it_is_seen() -> None:
    """Counts and rates are those of now, not of runs that have ended."""
    metrics = RealTimeMetrics()
    caller = Caller([], until=100.0)
    with observe(metrics):
        async with agent(caller, "fine").run(caller) as parts:
            reading = asyncio.ensure_future(_drain(parts))
            await asyncio.sleep(50.01)
            stages = metrics.report().performance.stages
            assert [it.parts_out for it in stages if it.path == "source"] == [2500]
            reading.cancel()
            await asyncio.wait([reading])


async def _drain(parts: AsyncIterator[Part]) -> None:
    async for _ in parts:
        pass


async def test_throughput_is_that_of_the_last_minute() -> None:
    """Fifty parts a second for two minutes, then none: after a minute of silence it is 0."""

    @processor
    async def parts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for number in range(6000):
            await asyncio.sleep(0.02)
            yield Part(str(number))
        await asyncio.sleep(120.0)

    metrics, rates = RealTimeMetrics(), []

    async def look() -> None:
        for _ in range(4):
            await asyncio.sleep(59.99)
            rates.append(metrics.report().performance.current_throughput_pps)

    with observe(metrics):
        looking = asyncio.ensure_future(look())
        async for _ in parts([]):
            pass
        await looking
    assert rates == [pytest.approx(it, abs=1.0) for it in (50.0, 50.0, 0.0, 0.0)]


async def test_interruptions_for_nothing_are_a_rate() -> None:
    """One of two replies that were cut was cut for nothing."""
    caller = Caller([(0.5, 1.5, "hello"), (3.0, 4.4, ""), (6.5, 8.0, "stop that now")], 18.0)
    metrics = RealTimeMetrics()
    with observe(metrics):
        async for _ in agent(caller, "one " * 30, "fine")(caller):
            pass
    real_time = metrics.report().real_time
    assert real_time.interruptions == {"false": 1, "true": 1}
    assert real_time.false_interruption_rate == 0.5


async def test_speculations_are_counted() -> None:
    """Who stops at "and" and goes on drops the answer that was begun; the next one is right."""
    caller = Caller([(0.5, 1.5, "hello and"), (2.1, 3.0, "goodbye")], 8.0)
    metrics = RealTimeMetrics()
    with observe(metrics):
        async for _ in agent(caller, "fine", speculate=True)(caller):
            pass
    assert metrics.report().real_time.speculations == {"dropped": 1, "right": 1}
    assert metrics.report().quality.turns == {"done": 1}
    assert metrics.of("speculation") == {"dropped": 1, "right": 1}


async def test_the_loops_lag() -> None:
    """A callback that keeps the loop for half a second is seen; nobody looks without a run."""

    @processor
    async def hogs(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        async for part in stream:
            await asyncio.sleep(0.125)
            loop._now += 0.5
            await asyncio.sleep(1.0)
            yield part

    metrics = RealTimeMetrics()
    with observe(metrics):
        async for _ in hogs("a"):
            pass
    await asyncio.sleep(10.0)
    lag = metrics.report().performance.loop_lag_s
    assert lag is not None
    assert (lag.count, lag.most) == (5, 0.375)
    assert metrics._lags == {}


async def test_drops_and_failures_name_who() -> None:
    """What a buffer dropped, what failed, and what an interruption took out."""

    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await asyncio.sleep(1.0)
            yield Part(Data({"event": "failed", "what": "the ear"}), substream="status")
            yield part
        raise LookupError("no more")

    metrics = RealTimeMetrics()
    add_hook(metrics)
    try:
        with pytest.raises(LookupError):
            async for _ in (buffer(2, full="drop_oldest") + fails)([str(n) for n in range(9)]):
                pass
    finally:
        remove_hook(metrics)
    quality = metrics.report().quality
    assert quality.dropped == {"buffer": 6}
    assert quality.dropping == ("buffer",)
    await asyncio.sleep(61.0)
    assert metrics.report().quality.dropping == ()
    assert quality.errors == {"the ear": 3, "agent[1].fails": 1}
    assert quality.error_rate == 4.0


async def test_a_reply_that_fails_is_one_error() -> None:
    """It is told where it arose and what came of it; in the rate it counts once."""

    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.role == "model":
                yield part
        raise LookupError("no model")

    caller = Caller([(0.5, 1.5, "hello"), (4.0, 5.0, "hello again")], 9.0)
    hears = Transcribe(FakeTranscriber(caller.texts))
    ears = DetectSpeech(FakeDetector()) + hears + DetectTurn(FakeTurnDetector())
    metrics = RealTimeMetrics()
    with observe(metrics):
        async for _ in (ears + LiveModelProcessor(fails) + AudioRateLimiter())(caller):
            pass
    quality = metrics.report().quality
    assert quality.turns == {"failed": 2}
    assert quality.errors == {"fails": 2, "reply": 2}
    assert quality.error_rate == 1.0


async def test_a_gap_in_the_sound() -> None:
    """Sound that came too late is a gap; the share of chunks without one is the continuity."""

    @processor
    async def stutters(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            for _ in range(2):
                yield Part.audio(bytes(960 * 10), rate=24_000, role="model", turn=1)
                await asyncio.sleep(0.5)

    metrics = RealTimeMetrics()
    with observe(metrics):
        async for _ in (stutters + AudioRateLimiter(adaptive_chunking=False))("x"):
            pass
    report = metrics.report()
    assert report.real_time.buffer_underruns == 1
    assert report.quality.stream_continuity == 1 - 1 / 20


# -- single records -------------------------------------------------------------------------------


def told(**values: float) -> RealTimeMetrics:
    metrics = RealTimeMetrics(10)
    for what, value in values.items():
        metrics(Measured(1, 0.0, "stage", what.replace("__", "."), value))
    return metrics


def test_numbers_that_stages_tell() -> None:
    """Caches, sheds, the pressure, void replies: each has its place; others are passed over."""
    report = told(
        hits=3, misses=1, evictions=1, shed__frames=4, pressure=2, refused=5, stalls=1, other=9
    ).get_real_time_report()
    assert report["performance"]["cache"] == {
        "hits": 3, "misses": 1, "shared": 0, "evictions": 1, "hit_rate": 0.75
    }  # fmt: skip
    assert report["quality"]["shed"] == {"frames": 4}
    assert report["quality"]["dropped"] == {"void reply": 5}
    assert report["real_time"]["pressure"] == 2
    assert report["real_time"]["stalls"] == 1


def test_what_went_wrong_is_forgotten() -> None:
    """A cache that hits at last, and interruptions that are for something, are judged anew."""
    metrics = told(misses=9)
    assert metrics.report().performance.cache == CacheReport(0, 9, 0, 0, 0.0)
    for _ in range(6):
        metrics(Measured(1, 0.0, "cached", "hits", 1))
    metrics(Measured(1, 0.0, "cached", "shared", 4))
    assert metrics.report().performance.cache == CacheReport(6, 9, 4, 0, 1.0)
    assert told(evictions=1).report().performance.cache == CacheReport(0, 0, 0, 1, None)


def test_what_has_many_names_is_bounded() -> None:
    """Tools, failures and who drops parts, beyond some are one row."""
    metrics = RealTimeMetrics()
    for number in range(700):
        metrics(Measured(1, 0.0, f"tool{number}", "tool_s", 0.5))
        metrics._news({"event": "failed", "what": f"what{number}"})
    assert len(metrics.report().performance.tools_s) == 65
    assert metrics.report().performance.tools_s["(others)"].p50 == pytest.approx(0.5)
    assert metrics.of("error")["(others)"] == 60
    for number in range(700):
        metrics(Measured(1, 0.0, f"buffer{number}", "dropped", 2))
        metrics(Measured(1, 0.0, "mine", f"shed.work{number}", 1))
    assert (metrics.of("dropped"), metrics.of("shed")) == ({"(others)": 1400}, {"(others)": 700})


def test_other_records_are_none_of_its_business() -> None:
    """Side lanes without news, and signals of runs that nobody told of."""
    metrics = RealTimeMetrics()
    empty = metrics.get_real_time_report()
    stage = StageId(1, None, "a", 0)
    records: list[Any] = [
        PartPassed(stage, 0.0, Part("busy", substream="status"), 0.0, True),
        PartPassed(stage, 0.0, Part(Data({"event": "x"}), substream="status"), 0.0, True),
        Announced(1, 0.0, Playing(1)),
    ]
    for record in records:
        metrics(record)
    found = metrics.get_real_time_report()
    empty["performance"]["current_throughput_pps"] = found["performance"]["current_throughput_pps"]
    assert found == empty


async def test_sessions_side_by_side() -> None:
    """Ten conversations at once are ten turns, and one timer looks at the loop."""
    metrics = RealTimeMetrics()
    with observe(metrics):
        await asyncio.gather(*(hold(Caller([(0.5, 1.5, "hello")], 4.0), "fine") for _ in range(10)))
    report = metrics.report()
    assert report.quality.turns == {"done": 10}
    assert report.performance.loop_lag_s is not None
    assert report.performance.loop_lag_s.count == 16


async def test_a_run_within_another_is_not_handed_out() -> None:
    """Only what the outermost run gives its consumer was processed."""

    @processor
    async def nested(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async with buffer().run(stream) as inner:
            async for part in inner:
                assert current_run() is not None
                yield part

    metrics = RealTimeMetrics()
    with observe(metrics):
        async for _ in nested(["a", "b"]):
            pass
    assert metrics.total_parts == 2
