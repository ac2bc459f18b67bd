"""Interruptions of Vivace: how fast it falls silent, and what it takes for an interruption."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from bench.workers.serve import serve
from vivace import (
    Audio,
    AudioRateLimiter,
    Held,
    Interrupted,
    LiveModelProcessor,
    Part,
    Processor,
    Speak,
    SpeechEnded,
    SpeechStarted,
    TurnEnded,
)
from vivace.flow.clock import now
from vivace.models import Scripted
from vivace.testing.fakes import FakeVoice
from vivace.testing.overlaps import KINDS, judged, overlaps
from vivace.testing.simulate import simulate

_SPEECH = " ".join(["word"] * 40)  # 12 s, all there at once: most of it waits in the pacer


class _Session:
    """One user, who holds the agent once, lets it go on, and then stops it."""

    def __init__(self, speed: float, draw: random.Random) -> None:
        self._speed = speed
        self._starts_s, self._pause_s = draw.uniform(0.0, 1.5), draw.uniform(0.3, 1.0)
        self._audible = asyncio.Event()
        self._marks: dict[str, float] = {}
        self.heard: list[float] = []
        self.told: dict[str, float] = {}

    async def run(self, agent: Processor) -> None:
        """Talk, and take what comes as fast as this session's speaker can."""
        async with agent.run(self._user()) as parts:
            async for part in parts:
                at = now()
                if isinstance(part.body, Held | Interrupted):
                    self.told[type(part.body).__name__] = at
                if isinstance(part.body, Audio):
                    self._audible.set()
                    self.heard.append(at)
                    if self._speed < 1:
                        await asyncio.sleep(part.seconds / self._speed)

    def after(self, mark: str, until: str = "") -> list[float]:
        """When chunks came after a moment, counted from it."""
        begin, end = self._marks[mark], self._marks.get(until, float("inf"))
        return [at - begin for at in self.heard if begin < at < end]

    def latency(self, mark: str, signal: str) -> float:
        """From a moment until the consumer was told of what it means."""
        return self.told[signal] - self._marks[mark]

    async def _user(self) -> AsyncIterator[Part]:
        await asyncio.sleep(self._starts_s)  # so that sessions do not all act at once
        yield Part("go on")
        yield Part(TurnEnded(0.0), at=0.0)
        await self._audible.wait()
        await asyncio.sleep(self._pause_s)
        self._marks["sound"] = now()
        yield Part(SpeechStarted(1.0), at=1.0)
        await asyncio.sleep(0.3)
        self._marks["silence"] = now()
        yield Part(SpeechEnded(1.3), at=1.3)
        yield Part(TurnEnded(1.3), at=1.3)
        await asyncio.sleep(self._pause_s)
        self._marks["stop"] = now()
        yield Part(Interrupted(1))
        await asyncio.sleep(0.3)


async def stops(sessions: int, speed: float, times: int) -> dict[str, Any]:
    """Interrupt `sessions` at once, `times` over.

    value: the 99th percentile of the seconds from the interruption to the last stale chunk, 0 where
    none came. stale: chunks. told: the same percentile until the consumer was told of it. held: of
    the seconds from the sound to the last chunk before silence; chunks: at most so many.
    """
    draw = random.Random(0)
    agent = LiveModelProcessor(Scripted([_SPEECH]) + Speak(FakeVoice())) + AudioRateLimiter()
    held: list[float] = []
    last: list[float] = []
    told: list[float] = []
    chunks = stale = 0
    for _ in range(times):
        users = [_Session(speed, draw) for _ in range(sessions)]
        async with asyncio.TaskGroup() as group:
            for user in users:
                group.create_task(user.run(agent))
        for user in users:
            late, held_late = user.after("stop"), user.after("sound", "silence")
            stale += len(late)
            chunks = max(chunks, len(held_late))
            last.append(max(late, default=0.0))
            held.append(max(held_late, default=0.0))
            told.append(user.latency("stop", "Interrupted"))
    return {
        "value": _p99(last),
        "stale": stale,
        "told": _p99(told),
        "held": _p99(held),
        "chunks": chunks,
    }


async def selectivity(times: int) -> dict[str, Any]:
    """The overlap set, `times` of each kind: for each the share that was right, that was cut in the
    end, and the median seconds until silence. On virtual time, so in a thread without a loop."""
    return await asyncio.to_thread(_judge_all, times)


def _judge_all(times: int) -> dict[str, Any]:
    verdicts = [judged(it, simulate(it.dialogue)) for it in overlaps(times)]
    found: dict[str, Any] = {}
    for kind in KINDS:
        of_kind = [it for it in verdicts if it.kind == kind]
        silent = sorted(it.silent_s for it in of_kind if it.silent_s is not None)
        found[kind] = sum(it.right for it in of_kind) / len(of_kind)
        found[f"{kind}, cut"] = sum(it.cut for it in of_kind) / len(of_kind)
        found[f"{kind}, silent"] = silent[len(silent) // 2] if silent else -1.0
    found["value"] = found["interruption"]
    return found


def _p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


if __name__ == "__main__":
    serve({"stops": stops, "selectivity": selectivity}, "vivace")
