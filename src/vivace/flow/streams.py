"""Sources: whatever a caller has, as a stream of parts."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, cast

from vivace.part import Body, Part

__all__ = ["Source", "SourceReader", "as_stream", "is_one_value"]

Source: TypeAlias = Part | Body | AsyncIterable[Any] | Iterable[Any] | None
"""One value (a part, text, a dict, a body), or an iterable or async iterable of such values; None
for no parts."""


def is_one_value(value: object) -> bool:
    """True for what is to become one part, and not one for each thing that is in it."""
    # An array has samples in it, and no parts.
    return (
        isinstance(value, str | bytes | bytearray | memoryview | Mapping)
        or hasattr(value, "__array__")
        or not isinstance(value, Iterable | AsyncIterable)
    )


def as_stream(source: Source) -> AsyncIterator[Part]:
    """`source` as parts; closes it at the end, if it can be closed.

    Raises PartError at the first value that cannot be made into a part.
    """
    return SourceReader(source).read()


class SourceReader:
    """Reads a source once, and closes it once: also if nobody ever read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._begun = False

    def read(self) -> AsyncIterator[Part]:
        """The parts."""
        source = self._source
        if source is None or is_one_value(source):
            return self._read_all(iter([] if source is None else [source]))
        if isinstance(source, AsyncIterable):
            return self._read_async(source)
        return self._read_all(iter(cast("Iterable[Any]", source)))

    async def close_unread(self) -> None:
        """Close the source if reading has not begun; else its reader does."""
        if not self._begun:
            self._begun = True
            await _close(self._source)

    async def _read_async(self, source: AsyncIterable[Any]) -> AsyncIterator[Part]:
        self._begun = True
        iterator = aiter(source)
        try:
            async for value in iterator:
                yield value if isinstance(value, Part) else Part.of(value)
        finally:
            await _close(iterator)
            if iterator is not source:
                await _close(source)

    async def _read_all(self, values: Iterator[Any]) -> AsyncIterator[Part]:
        self._begun = True
        try:
            for value in values:
                yield Part.of(value)
        finally:
            if inspect.isgenerator(values):
                values.close()


async def _close(source: object) -> None:
    aclose = getattr(source, "aclose", None)
    if aclose is not None:
        await aclose()
    elif inspect.isgenerator(source):
        source.close()
