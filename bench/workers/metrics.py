"""Metrics and pressure of Vivace: what watching costs, and what holds at three times the load."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from statistics import median
from typing import Any

from bench.workers.serve import serve
from vivace import (
    AudioRateLimiter,
    DetectSpeech,
    DetectTurn,
    LiveModelProcessor,
    Part,
    Pressure,
    Processor,
    RealTimeMetrics,
    Speak,
    Transcribe,
    TurnEnded,
    observe,
    processor,
)
from vivace.flow.clock import now
from vivace.flow.hooks import Hook
from vivace.flow.run import current_run
from vivace.machines.pressure import Work
from vivace.models import Scripted
from vivace.testing import run_virtual
from vivace.testing.fakes import Caller, FakeDetector, FakeTranscriber, FakeTurnDetector, FakeVoice

_REPLY = "one two three four five six seven eight nine"


# -- what recording costs -------------------------------------------------------------------------


async def record(times: int) -> dict[str, Any]:
    """Seconds for each value that is recorded: as a hook does it, and by hand."""
    metrics = RealTimeMetrics()
    late = metrics.spreads["playout_late_s"]
    begun = time.perf_counter()
    for _ in range(times):
        late.add(0.0123)
    value = (time.perf_counter() - begun) / times
    begun = time.perf_counter()
    for _ in range(times):
        metrics.record_processing(0.0123)
    return {"value": value, "by_hand": (time.perf_counter() - begun) / times}


async def sessions(times: int) -> dict[str, Any]:
    """Processor time of the same conversation of two minutes, watched and not, on virtual time.

    value: what watching adds, as a share. bare: seconds a second of conversation. parts: what a
    hook that is told of every part adds, and does nothing with it.
    """
    return await asyncio.to_thread(_sessions, times)


def _sessions(times: int) -> dict[str, Any]:
    def nothing(record: object) -> None:
        pass

    hooks: dict[str, Callable[[], Hook | None]] = {
        "bare": lambda: None,
        "metrics": RealTimeMetrics,
        "parts": lambda: nothing,
    }
    rounds: list[dict[str, float]] = []
    _conversation(None)  # loads what is loaded late
    for _ in range(times):  # in turns: what slows the machine down for a while slows all
        rounds.append({name: _conversation(hook()) for name, hook in hooks.items()})
    return {
        "value": median(it["metrics"] / it["bare"] for it in rounds) - 1,
        "bare": median(it["bare"] for it in rounds) / 120.0,
        "parts": median(it["parts"] / it["bare"] for it in rounds) - 1,
    }


def _conversation(hook: Hook | None) -> float:
    caller = Caller([(at + 0.5, at + 1.5, "hello there") for at in range(0, 120, 8)], until=120.0)
    agent = (
        DetectSpeech(FakeDetector())
        + Transcribe(FakeTranscriber(caller.texts))
        + DetectTurn(FakeTurnDetector())
        + LiveModelProcessor(Scripted([_REPLY]) + Speak(FakeVoice()))
        + AudioRateLimiter()
    )

    async def hold() -> None:
        async for _ in agent(caller):
            pass

    async def watched() -> None:
        if hook is None:
            await hold()
            return
        with observe(hook):
            await hold()

    gc.collect()
    begun = time.thread_time()
    run_virtual(watched)
    return time.thread_time() - begun


# -- three times the load -------------------------------------------------------------------------

_SPEECH = " ".join(["word"] * 200)  # a minute: the agent speaks all the time
_WORK: dict[Work, tuple[float, float]] = {  # how often, and how many seconds of a core it takes
    "frames": (0.05, 0.005),
    "interim": (0.25, 0.010),
    "detectors": (0.125, 0.0075),
}
_WORK_OF_ONE = sum(takes / every for every, takes in _WORK.values())  # of a core: a fifth
_JOIN_S = 4.0  # sessions do not all begin at the same instant


def _burn(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


class _World:
    """From when to when there is optional work."""

    begins_at = ends_at = float("inf")


def _working(world: _World) -> Processor:
    """Passes the user's sound on, and does on the loop what an agent with eyes has to do beside."""
    draw = random.Random(0)

    @processor
    async def works(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run, joins_s = current_run(), draw.uniform(0.0, _JOIN_S)
        due: dict[Work, float] = {}
        async for part in stream:
            yield part
            at = now()
            if not world.begins_at + joins_s <= at < world.ends_at:
                continue
            for work, (every, takes) in _WORK.items():
                if at >= due.setdefault(work, at + draw.uniform(0.0, every)):
                    due[work] = max(at, due[work] + every)
                    if not run.shedding.sheds(work):
                        _burn(takes)

    return works


async def overload(count: int, seconds: float, under_pressure: bool) -> dict[str, Any]:
    """`count` sessions at once: a quiet second, then `seconds` of optional work, then quiet again.

    load: the optional work, in cores. value: the 99th percentile of how late chunks left while
    there was work; worst likewise. Then, under pressure: the highest level, what was shed, and
    after how many seconds of quiet the level was 0 (-1 if it was not within a minute).
    """
    world, metrics = _World(), RealTimeMetrics(1_000_000)
    agent = (
        _working(world)
        + LiveModelProcessor(Scripted([_SPEECH]) + Speak(FakeVoice()))
        + AudioRateLimiter()
    )
    levels: list[int] = []
    async with AsyncExitStack() as stack:
        pressure = await stack.enter_async_context(Pressure()) if under_pressure else None
        if pressure:
            pressure.on_change(levels.append)
        stack.enter_context(observe(metrics))
        users = [asyncio.create_task(_user(agent)) for _ in range(count)]
        await asyncio.sleep(1.0)
        before = metrics.sketch("playout_late_s").count
        world.begins_at = now()
        await asyncio.sleep(seconds)
        world.ends_at = now()
        late = metrics.sketch("playout_late_s")
        calm = await _until_calm(pressure)
        for user in users:
            user.cancel()
        await asyncio.wait(users)
    found = {
        "load": count * _WORK_OF_ONE,
        "value": late.quantile(0.99) or 0.0,
        "worst": late.most,
        "chunks": late.count - before,
        "level": max(levels, default=0),
        "calm": calm,
    }
    shed = pressure.shed if pressure else {}
    return found | {f"shed {work}": shed.get(work, 0) for work in [*_WORK, "chunks"]}


async def _until_calm(pressure: Pressure | None) -> float:
    begun, calm = now(), asyncio.Event()
    if pressure is None or not pressure.level:
        return 0.0
    pressure.on_change(lambda level: None if level else calm.set())
    with suppress(TimeoutError):
        await asyncio.wait_for(calm.wait(), 60.0)
    return now() - begun if calm.is_set() else -1.0


async def _user(agent: Processor) -> None:
    async with agent.run(_microphone()) as parts:
        async for _ in parts:
            pass


async def _microphone() -> AsyncIterator[Part]:
    yield Part("go on")
    yield Part(TurnEnded(0.0), at=0.0)
    begun, number = now(), 0
    while True:
        await asyncio.sleep(begun + (number + 1) * 0.02 - now())
        yield Part.audio(bytes(640), at=round(number * 0.02, 6))
        number += 1


if __name__ == "__main__":
    serve({"record": record, "sessions": sessions, "overload": overload}, "vivace")
