"""Vivace, used as docs/processors.md says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import vivace
from bench.workers.jobs import jobs_of, per_part, source
from bench.workers.live_jobs import live_jobs
from bench.workers.pacing_jobs import CHUNK_S, RATE, Paced, pacing_jobs
from bench.workers.prompting import prompt_jobs
from bench.workers.reuse import reuse
from bench.workers.serve import Job, serve
from vivace import (
    Audio,
    AudioRateLimiter,
    Interrupted,
    LiveProcessor,
    Part,
    Processor,
    RollingPrompt,
    part_processor,
    processor,
)
from vivace.flow.clock import now
from vivace.machines.chunking import Waiting
from vivace.machines.pacing import Pacer
from vivace.testing import run_virtual

PART = Part("hello")


def stream_stage() -> Processor:
    """An async generator over the stream that passes every part on."""

    @processor
    async def passes(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part

    return passes


def function_stage() -> Processor:
    """A function of one part that gives it back."""

    @part_processor
    def same(part: Part) -> Part:
        return part

    return same


def async_function_stage() -> Processor:
    """The same, async."""

    @part_processor
    async def same(part: Part) -> Part:
        return part

    return same


def derive_stage() -> Processor:
    """A function of one part that gives a new one."""

    @part_processor
    def derived(part: Part) -> Part:
        return part.derive(role="model")

    return derived


KINDS: dict[str, Callable[[], Processor]] = {
    "stream": stream_stage,
    "function": function_stage,
    "async_function": async_function_stage,
    "derive": derive_stage,
}


def chain(stages: int, kind: str = "stream") -> Processor:
    """A chain of `stages` stages."""
    return vivace.chain(KINDS[kind]() for _ in range(stages))


async def hop(parts: int, capacity: int) -> dict[str, Any]:
    """What a buffer between two stages adds to the cost of a part."""
    make = getattr(vivace, "buffer", None)
    if make is None:
        return {"missing": "not there yet"}
    without = chain(2)
    buffered = stream_stage() + make(capacity=capacity) + stream_stage()
    direct = await per_part(lambda: without(source(PART, parts)), parts)
    with_hop = await per_part(lambda: buffered(source(PART, parts)), parts)
    return {"value": with_hop["value"] - direct["value"]}


PACED = Paced(
    limiter=lambda: AudioRateLimiter(adaptive_chunking=False),
    audio=lambda pcm: Part.audio(pcm, RATE, role="model", turn=1),
    interrupted=lambda: Part(Interrupted(1)),
    seconds=lambda part: part.seconds,
)


async def grown(streams: int, parts: int) -> dict[str, Any]:
    """The same with chunks that grow, as the limiter comes."""
    as_it_comes = Paced(AudioRateLimiter, PACED.audio, PACED.interrupted, PACED.seconds)
    return await pacing_jobs(as_it_comes)["pace"](streams=streams, parts=parts)


async def hour(parts: int) -> dict[str, Any]:
    """How far the last of so many chunks is off on virtual time: seconds."""
    out = await asyncio.to_thread(run_virtual, _hour(parts))
    return {"value": out}


async def _hour(parts: int) -> float:
    part = PACED.audio(bytes(2 * round(RATE * CHUNK_S)))
    begun, last = now(), 0.0
    async for out in PACED.limiter()(source(part, parts)):
        last = now() if part.seconds and out.seconds else last
    return abs(last - begun - max(0.0, (parts - 1) * CHUNK_S - 0.05))


async def cut(parts: int) -> dict[str, Any]:
    """Cutting a minute of sound into chunks of 20 ms, beside slices of the same bytes."""
    pcm = bytes(2 * round(RATE * CHUNK_S)) * parts
    step = len(pcm) // parts
    begun = time.perf_counter()
    slices = [pcm[start : start + step] for start in range(0, len(pcm), step)]
    bare = time.perf_counter() - begun
    waiting = Waiting()
    waiting.put(PACED.audio(pcm))
    begun, count = time.perf_counter(), 0
    while waiting:
        waiting.cut(CHUNK_S)
        count += 1
    took = time.perf_counter() - begun
    pacer, at = Pacer(), 0.0
    begun = time.perf_counter()
    pacer.feed(PACED.audio(pcm), 0.0)
    while (due := pacer.deadline()) is not None:
        at = due
        pacer.tick(at)
    whole = time.perf_counter() - begun
    if not count == len(slices) == parts:
        raise ValueError(f"{count} chunks where {len(slices)} slices were made")
    return {"value": took / parts, "bare": bare / parts, "pacer": whole / parts}


SAID = (Part("hello, how are you today, my friend?"), Part("I am fine, thank you.", role="model"))


def prompt() -> tuple[Callable[[int], None], Callable[[], Awaitable[object]]]:
    """A rolling prompt as it comes."""
    rolling = RollingPrompt()

    def add(number: int) -> None:
        rolling.add_part(SAID[number & 1])

    async def first() -> object:
        part = await anext(rolling.pending())
        rolling.finalize_pending()
        return part

    return add, first


async def live_session(
    options: dict[str, Any], microphone: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """A live model's sound; times are in the first bytes of each part."""

    async def parts() -> AsyncIterator[Part]:
        async for pcm in microphone:
            yield Part.audio(pcm)

    async with _live(options).run(parts()) as made:
        async for part in made:
            if isinstance(part.body, Audio):
                yield part.body.pcm


_LIVES: dict[str, LiveProcessor] = {}


def _live(options: dict[str, Any]) -> LiveProcessor:
    """One for all sessions, as a program would have it."""
    url = options["base_url"]
    if url not in _LIVES:
        _LIVES[url] = LiveProcessor("key", http_options=options)
    return _LIVES[url]


if __name__ == "__main__":
    jobs = {**jobs_of(chain, PART, lambda: ["x"]), **prompt_jobs(prompt), "hop": hop}
    paced: dict[str, Job] = {**pacing_jobs(PACED), "grown": grown, "hour": hour, "cut": cut}
    serve({**jobs, **paced, **live_jobs(live_session), "reuse": reuse}, "vivace")
