"""Functions of one part in one loop: what neighbours that wait for nothing become.

This file owns the order in which parts go through them, and what no function gets to see.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from operator import length_hint
from typing import Any, Protocol

from vivace.flow.hop import IS_SIGNAL, join, note_path
from vivace.flow.streams import values_of
from vivace.part import Part, is_side_lane

__all__ = ["Rest", "fused", "joined", "passes_by", "through"]


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


def passes_by(part: Part) -> bool:
    """True for what no function gets to see: signals, and what is said aside."""
    return IS_SIGNAL[part.body.__class__] or (bool(part.substream) and is_side_lane(part.substream))


async def fused(
    stream: AsyncIterator[Part], links: Sequence[tuple[str, Link]]
) -> AsyncIterator[Part]:
    """What `links`, each with its path, make of `stream` one after the other."""
    steps = [link.step for _, link in links]
    async for part in stream:
        if IS_SIGNAL[part.body.__class__]:
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
                    or IS_SIGNAL[result.body.__class__]
                ):
                    break  # it needs a closer look
                part = result
            else:
                whole = True
        except Exception as error:
            raise _noted(error, links[len(steps) - length_hint(left) - 1][0])  # noqa: B904 - itself
        if whole:
            yield part
            continue
        async with aclosing(_rest(result, links, len(steps) - length_hint(left))) as parts:
            async for part in parts:
                yield part


class Rest:
    """What becomes of results that need a closer look, where the loop itself is in C."""

    def __init__(self, links: Sequence[tuple[str, Link]]) -> None:
        self._links = links
        self._parts: AsyncGenerator[Part, None] | None = None

    def __call__(self, result: Any, index: int) -> AsyncGenerator[Part, None]:
        """What the links from `index` on make of the result of the one before."""
        self._parts = _rest(result, self._links, index)
        return self._parts

    @property
    def ag_running(self) -> bool:
        """True while somebody waits for the next part: it cannot be closed then."""
        return getattr(self._parts, "ag_running", False)

    async def aclose(self) -> None:
        """Close what has not been taken to its end."""
        if self._parts is not None:
            await self._parts.aclose()


def joined(stream: AsyncIterator[Part], links: Sequence[tuple[str, Link]]) -> Rest | None:
    """Let `stream` itself do what `fused` does, if it can; what is to be closed then, else None."""
    rest = Rest(links)
    functions = tuple(link.step for _, link in links)
    return rest if join(stream, functions, tuple(path for path, _ in links), rest) else None


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
        raise _noted(error, links[index - 1][0])  # noqa: B904 - itself


async def through(
    part: Part, links: Sequence[tuple[str, Link]], index: int
) -> AsyncGenerator[Part, None]:
    """What the links from `index` on make of `part`."""
    for at in range(index, len(links)):
        path, link = links[at]
        try:
            result = link.take(part) if link.matches(part) else part
        except Exception as error:
            raise _noted(error, path)  # noqa: B904 - itself
        if result.__class__ is not Part:
            async with aclosing(_rest(result, links, at + 1)) as parts:
                async for part in parts:
                    yield part
            return
        part = result
    yield part


def _noted(error: Exception, path: str) -> Exception:
    """`error` with its path; in place of one that would end the stream, what Python makes of it."""
    if path:
        note_path(error, path)
    if not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    refused = RuntimeError(f"async generator raised {type(error).__name__}")
    refused.__cause__ = error
    return _noted(refused, path)
