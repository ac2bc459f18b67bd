"""The jobs of pacing, for everyone whose limiter is called with a source and gives a stream.

Only the standard library, as in serve.py. Sound is 16 bit, 24 kHz; `parts` counts 20 ms of it.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from bench.workers.serve import Job

__all__ = ["CHUNK_S", "RATE", "Paced", "pacing_jobs"]

RATE = 24_000
CHUNK_S = 0.02
LEAD_S = 0.05  # both libraries send so much ahead
_CUT_AT_S = 0.5
_SPEECH_S = 3  # queued before the interruption comes


@dataclass(frozen=True)
class Paced:
    """A library. limiter: makes an agent. audio: a part of the agent's sound. interrupted: what
    stops it. seconds: how long a part that came out lasts; 0 if it is no sound."""

    limiter: Callable[[], Callable[[Any], AsyncIterable[Any]]]
    audio: Callable[[bytes], Any]
    interrupted: Callable[[], Any]
    seconds: Callable[[Any], float]


class Listener:
    """Takes parts as they come; notes how late each left, and the gaps that one would hear."""

    def __init__(self) -> None:
        self.lateness: list[float] = []
        self.gaps = 0
        self.gap_s = 0.0
        self._zero = self._played_s = self._until = 0.0

    def took(self, seconds: float, now: float) -> None:
        if not self.lateness:
            self._zero = self._until = now
        due = max(self._zero, self._zero + self._played_s - LEAD_S)
        self.lateness.append(max(0.0, now - due))
        if now > self._until:
            self.gaps += 1
            self.gap_s += now - self._until
        self._until = max(now, self._until) + seconds
        self._played_s += seconds


Make = Callable[[bytes], Any]


def sound(parts: int) -> bytes:
    """So many times 20 ms of silence."""
    return bytes(2 * round(RATE * CHUNK_S)) * parts


async def voice(make: Make, parts: int) -> AsyncIterator[Any]:
    """All at once, in parts of a second, as a voice speaks sentences."""
    for start in range(0, parts, 50):
        yield make(sound(min(50, parts - start)))


async def crumbs(make: Make, parts: int) -> AsyncIterator[Any]:
    """All at once, in parts of 20 ms."""
    part = make(sound(1))
    for _ in range(parts):
        yield part


async def bursty(make: Make, parts: int) -> AsyncIterator[Any]:
    """Each second's sound as one part, a tenth of a second before it is needed."""
    begun = time.perf_counter()
    for start in range(0, parts, 50):
        if start:
            await _until(begun + start * CHUNK_S - 0.1)
        yield make(sound(min(50, parts - start)))


async def slow(make: Make, parts: int) -> AsyncIterator[Any]:
    """A model that makes sound at nine tenths of the speed at which it plays."""
    begun, part = time.perf_counter(), make(sound(1))
    for number in range(parts):
        await _until(begun + number * CHUNK_S / 0.9)
        yield part


async def jittery(make: Make, parts: int) -> AsyncIterator[Any]:
    """A network: each part up to 60 ms late; the first 60 ms come at once."""
    begun, luck, part = time.perf_counter(), random.Random(7), make(sound(1))
    for number in range(parts):
        await _until(begun + (number - 3) * CHUNK_S + luck.uniform(0.0, 0.06))
        yield part


SOURCES = {"voice": voice, "crumbs": crumbs, "bursty": bursty, "slow": slow, "jittery": jittery}


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - time.perf_counter()))


def pacing_jobs(paced: Paced) -> dict[str, Job]:
    """The jobs for a library."""

    async def pace(streams: int, parts: int, source: str = "voice") -> dict[str, float]:
        agent, listeners = paced.limiter(), [Listener() for _ in range(streams)]

        async def listen(listener: Listener) -> None:
            async for out in agent(SOURCES[source](paced.audio, parts)):
                if seconds := paced.seconds(out):
                    listener.took(seconds, time.perf_counter())

        since = time.process_time()
        await asyncio.gather(*(listen(it) for it in listeners))
        cost = time.process_time() - since
        return {**_told(listeners), "cpu": cost / (streams * parts * CHUNK_S)}

    async def stop(times: int, pace: float) -> dict[str, float]:
        found = await asyncio.gather(*(_stop(paced, pace) for _ in range(times)))
        late = sorted(latency for _, latency in found)
        return {
            "value": statistics.mean(stale for stale, _ in found),
            "stale_max": max(stale for stale, _ in found),
            "latency": late[len(late) // 2],
            "latency_p99": late[round((len(late) - 1) * 0.99)],
        }

    return {"pace": pace, "stop": stop}


def _told(listeners: list[Listener]) -> dict[str, float]:
    late = sorted(it for listener in listeners for it in listener.lateness)
    last = len(late) - 1
    ends = [statistics.median(listener.lateness[-20:]) for listener in listeners]
    begins = [statistics.median(listener.lateness[:20]) for listener in listeners]
    return {
        "value": late[round(last * 0.99)],
        "median": late[last // 2],
        "max": late[-1],
        "drift": statistics.median(ends) - statistics.median(begins),
        "gaps": statistics.mean(listener.gaps for listener in listeners),
        "gap_s": statistics.mean(listener.gap_s for listener in listeners),
    }


async def _stop(paced: Paced, pace: float) -> tuple[float, float]:
    """Seconds of old sound that come after the interruption, and when it comes itself.

    pace: the consumer needs so many times as long for a part as it lasts.
    """
    cut_at = 0.0

    async def source() -> AsyncIterator[Any]:
        nonlocal cut_at
        for _ in range(_SPEECH_S):
            yield paced.audio(sound(50))
        await asyncio.sleep(_CUT_AT_S)
        cut_at = time.perf_counter()
        yield paced.interrupted()
        await asyncio.sleep(1.0)

    stale, latency = 0.0, 0.0
    async for out in paced.limiter()(source()):
        now, seconds = time.perf_counter(), paced.seconds(out)
        if cut_at and seconds:
            stale += seconds
        elif cut_at and not latency:
            latency = now - cut_at
        if seconds and pace:
            await asyncio.sleep(seconds * pace)
    return stale, latency
