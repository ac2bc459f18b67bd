"""The yardstick: the same chains, written by hand as async generators, and nothing around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from bench.workers.jobs import jobs_of
from bench.workers.serve import serve
from vivace.part import Part

Stream = AsyncIterator[Part]


async def passes(stream: Stream) -> Stream:
    """What is asked of every stage: take a part, pass it on."""
    async for part in stream:
        yield part


async def same(part: Part) -> Part:
    """An async function of one part."""
    return part


async def awaits(stream: Stream) -> Stream:
    """Pass on what an async function makes of each part."""
    async for part in stream:
        yield await same(part)


async def derives(stream: Stream) -> Stream:
    """Pass on a new part for each one."""
    async for part in stream:
        yield part.derive(role="model")


async def one() -> Stream:
    """One part, made of text."""
    yield Part("x")


KINDS = {"stream": passes, "async_function": awaits, "derive": derives}


def chain(stages: int, kind: str = "stream") -> Callable[[Stream], Stream]:
    """`stages` generators, each around the one before."""

    def agent(stream: Stream) -> Stream:
        for _ in range(stages):
            stream = KINDS[kind](stream)
        return stream

    return agent


if __name__ == "__main__":
    serve(jobs_of(chain, Part("hello"), one), "vivace")
