"""Functions of one part in one loop: what neighbours that wait for nothing become.

This file owns the order in which parts go through them, and what no function gets to see.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from operator import length_hint
from typing import Any, Protocol

from vivace.flow.hop import note_path
from vivace.flow.streams import values_of
from vivace.part import Part, Signal, is_side_lane

__all__ = ["fused", "passes_by", "through"]


class Link(Protocol):
    """A part processor, as far as it takes one part at a time."""

    @property
    def step(self) -> Callable[[Part], Any]:
        """What it makes of any part that is no signal."""
        ...

    def matches(self, part: Part) -> bool:
        """True if it wants this part."""
        ...

    def take(self, part: Part) -> Any:
        """What it makes of a part that it wants."""
        ...


class _Kinds(dict[type, bool]):
    """Whether a class of bodies is one of signals: asked for each part, so found out but once."""

    def __missing__(self, kind: type) -> bool:
        self[kind] = issubclass(kind, Signal)
        return self[kind]


_IS_SIGNAL = _Kinds()


def passes_by(part: Part) -> bool:
    """True for what no function gets to see: signals, and what is said aside."""
    return _IS_SIGNAL[part.body.__class__] or (
        bool(part.substream) and is_side_lane(part.substream)
    )


async def fused(
    stream: AsyncIterator[Part], links: Sequence[tuple[str, Link]]
) -> AsyncIterator[Part]:
    """What `links`, each with its path, make of `stream` one after the other."""
    steps = [link.step for _, link in links]
    async for part in stream:
        if _IS_SIGNAL[part.body.__class__]:
            yield part
            continue
        left, whole = iter(steps), False
        try:
            for step in left:
                result = step(part)
                if result is part:
                    continue
                if (
                    result.__class__ is not Part
                    or result.substream
                    or _IS_SIGNAL[result.body.__class__]
                ):
                    break  # it needs a closer look
                part = result
            else:
                whole = True
        except Exception as error:
            note_path(error, links[len(steps) - length_hint(left) - 1][0])
            raise
        if whole:
            yield part
            continue
        async with aclosing(_rest(result, links, len(steps) - length_hint(left))) as parts:
            async for part in parts:
                yield part


async def _rest(
    result: Any, links: Sequence[tuple[str, Link]], index: int
) -> AsyncGenerator[Part, None]:
    """What the links from `index` on make of the result of the one before."""
    try:
        async with aclosing(values_of(result)) as values:
            async for value in values:
                async with aclosing(through(value, links, index)) as parts:
                    async for part in parts:
                        yield part
    except Exception as error:
        if path := links[index - 1][0]:
            note_path(error, path)
        raise


async def through(
    part: Part, links: Sequence[tuple[str, Link]], index: int
) -> AsyncGenerator[Part, None]:
    """What the links from `index` on make of `part`."""
    for at in range(index, len(links)):
        path, link = links[at]
        try:
            result = link.take(part) if link.matches(part) else part
        except Exception as error:
            if path:
                note_path(error, path)
            raise
        if result.__class__ is not Part:
            async with aclosing(_rest(result, links, at + 1)) as parts:
                async for part in parts:
                    yield part
            return
        part = result
    yield part
