"""`filter_parts` and `map_parts`: some parts of a stream, or each one changed.

The names carry `_parts` since `filter` and `map` themselves are Python's, also in a program that
says `from vivace import *`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from vivace.errors import StageError
from vivace.flow.part_processor import PartProcessor, part_processor
from vivace.part import Part

__all__ = ["filter_parts", "map_parts"]


def filter_parts(predicate: Callable[[Part], Any]) -> PartProcessor:
    """Pass on the parts for which `predicate`, sync or async, is true. Signals always pass."""

    def keep(part: Part) -> Part | None:
        return part if predicate(part) else None

    async def keep_when_known(part: Part) -> Part | None:
        return part if await predicate(part) else None

    return _stage("filter_parts", predicate, keep, keep_when_known)


def map_parts(function: Callable[[Part], Any]) -> PartProcessor:
    """Put what `function`, sync or async, makes of each part in its place. Signals just pass.

    A part that it returns takes the place as it is; anything else that `Part.of` takes becomes the
    body of the part that was there, whose role, turn, time and metadata stay.

    Raises PartError, as it runs, if the function gives something else, such as None.
    """

    def change(part: Part) -> Part:
        return _in_place_of(part, function(part))

    async def change_when_known(part: Part) -> Part:
        return _in_place_of(part, await function(part))

    return _stage("map_parts", function, change, change_when_known)


def _in_place_of(part: Part, value: Any) -> Part:
    return value if isinstance(value, Part) else part.derive(body=Part.of(value).body)


def _stage(
    name: str, given: Callable[..., Any], sync: Callable[..., Any], slow: Callable[..., Any]
) -> PartProcessor:
    if not callable(given):
        raise StageError(f"{name}({given!r}): give a function of one part")
    chosen = slow if _is_async(given) else sync
    chosen.__name__ = name
    return part_processor(chosen)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    )
