"""Sources: whatever a caller has, as a stream of parts."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, TypeAlias

from vivace.part import Part

__all__ = ["Source", "as_stream"]

Source: TypeAlias = Part | str | AsyncIterable[Any] | Iterable[Any] | None
"""A part, text, an iterable or async iterable of parts and plain values; None for no parts."""


async def as_stream(source: Source) -> AsyncIterator[Part]:
    """Yield `source` as parts, and close it at the end if it can be closed.

    Raises PartError at the first value that cannot be made into a part.
    """
    if source is None:
        return
    if isinstance(source, Part | str):
        yield Part.of(source)
    elif isinstance(source, AsyncIterable):
        try:
            async for value in source:
                yield value if isinstance(value, Part) else Part.of(value)
        finally:
            aclose = getattr(source, "aclose", None)
            if aclose is not None:
                await aclose()
    else:
        for value in [source] if isinstance(source, bytes | dict) else source:
            yield Part.of(value)
