"""Sources: whatever a caller has, as a stream of values that are or become parts."""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, TypeAlias, cast

from vivace.part import Body, Part

__all__ = ["Source", "is_one_value", "open_source", "values_of"]

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


async def values_of(result: Any) -> AsyncGenerator[Part, None]:
    """The parts in whatever a function of one part may give."""
    if inspect.isawaitable(result):
        result = await result
    if result is None:
        return
    if is_one_value(result):
        yield Part.of(result)
    elif isinstance(result, AsyncIterable):
        try:
            async for value in result:
                yield Part.of(value)
        finally:
            if hasattr(result, "aclose"):
                await result.aclose()
    else:
        try:
            for value in result:
                yield Part.of(value)
        finally:
            if inspect.isgenerator(result):
                result.close()


def open_source(source: Source) -> tuple[AsyncIterator[Any], list[Any]]:
    """The values in `source`, not yet made into parts; and what is to be closed, the last first."""
    if source is None or is_one_value(source):
        return _Each(iter([] if source is None else [source])), []
    if not isinstance(source, AsyncIterable):
        each = _Each(iter(cast("Iterable[Any]", source)))
        return each, [each] if inspect.isgenerator(source) else []
    values = aiter(source)
    closable = [values] if values is source else [source, values]
    return values, [it for it in closable if hasattr(it, "aclose")]


class _Each(AsyncIterator[Any]):
    """A plain iterator as an async one. If it is a generator, it is closed with it."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterator[Any]) -> None:
        self._values = values

    async def __anext__(self) -> Any:
        for value in self._values:
            return value
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if inspect.isgenerator(self._values):
            self._values.close()
