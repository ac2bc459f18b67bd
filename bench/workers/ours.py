"""Vivace, used as docs/processors.md says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import vivace
from bench.workers.jobs import jobs_of, per_part, source
from bench.workers.prompting import prompt_jobs
from bench.workers.reuse import reuse
from bench.workers.serve import serve
from vivace import Part, Processor, RollingPrompt, part_processor, processor

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


if __name__ == "__main__":
    jobs = {**jobs_of(chain, PART, lambda: ["x"]), **prompt_jobs(prompt)}
    serve({**jobs, "hop": hop, "reuse": reuse}, "vivace")
