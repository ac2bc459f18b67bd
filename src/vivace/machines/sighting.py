"""What a detector saw, read from whatever it returns.

This file owns which results make sense. All else is rubbish, and told to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from vivace.errors import PartError
from vivace.part import Data, Event, Part

__all__ = ["MOST", "NOTHING", "Sighting", "sightings_of"]

NOTHING = "nothing"
"""The type of a sighting of nothing, and the state of a detector that sees nothing."""

MOST = 64  # that one detection may see; a detector that sees more sees ghosts
_LONGEST = 64  # characters of a type: it is a name, and not an essay


class Sighting(msgspec.Struct, frozen=True):
    """A detector has seen something of `type`, and is so sure: 0 to 1. Of 0 it is no sighting.

    text: what a model is told of it. data: whatever else there is to say, as JSON can hold it.
    """

    type: str
    confidence: float = 1.0
    text: str = ""
    data: Any = None


def sightings_of(result: Any, name: str) -> list[Sighting]:
    """What the detector called `name` saw, given what it returned.

    None, False and blank text are nothing; True is something of type `name`; a float is how sure it
    is of that. Text is a type. A dict has `type` and, if it likes, the other fields of `Sighting`;
    a part is what it holds. A list, tuple or iterator has any number of these.

    Raises PartError for anything else: what is no name, a confidence outside of 0 to 1, more than
    64 at once.
    """
    values = [result]
    if isinstance(result, list | tuple | Iterator):
        values = list(islice(result, MOST + 1))
    if len(values) > MOST:
        raise PartError(f"{name} sees more than {MOST} things at once; return the surest")
    found = [_sighting(value, name) for value in values]
    return [it for it in found if it is not None and it.confidence > 0]


def _sighting(value: Any, name: str) -> Sighting | None:
    value = _plain(value)
    match value:
        case None | False:
            return None
        case True:
            return Sighting(name)
        case float():
            return _checked(Sighting(name, value), name)
        case str():
            return _checked(Sighting(value.strip()), name) if value.strip() else None
        case Sighting():
            return _checked(value, name)
        case Event():
            seen = Sighting(value.type, value.confidence, value.text, value.data)
            return _checked(seen, name)
        case Part(body=Data(value=inner, data=b"")):
            return _sighting(inner, name)
        case Part(body=str() | Event()):
            return _sighting(value.body, name)
        case Mapping():
            return _of_fields(value, name)
        case _:
            what = f"a part of {value.mimetype}" if isinstance(value, Part) else repr(value)[:100]
            raise PartError(
                f"{name} returned {what}, which is no event; return None, a bool, a confidence, "
                "the event's type, a Sighting, or a list of these"
            )


def _of_fields(fields: Mapping[str, Any], name: str) -> Sighting | None:
    if fields.get("type", "") is None:
        return None
    try:
        plain = {key: _plain(value) for key, value in fields.items()}
        return _checked(msgspec.convert(plain, Sighting), name)
    except msgspec.ValidationError as error:
        text = f"{name} returned {dict(fields)!r:.100}, which is no event: {error}"
        raise PartError(text) from error


def _plain(value: Any) -> Any:
    """A number of numpy's as one of Python's."""
    scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if scalar else value


def _checked(seen: Sighting, name: str) -> Sighting | None:
    try:
        seen = msgspec.structs.replace(seen, confidence=float(seen.confidence))
        msgspec.json.encode(seen.data)
    except (TypeError, ValueError, RecursionError) as error:
        raise PartError(
            f"{name} returned {seen!r:.100}, which JSON cannot hold: {error}"
        ) from error
    if not 0 <= seen.confidence <= 1:
        raise PartError(f"{name} is sure to {seen.confidence!r}; a confidence is from 0 to 1")
    if not seen.type or len(seen.type) > _LONGEST or "\n" in seen.type:
        raise PartError(
            f"{name} sees something of type {seen.type[:100]!r}; a type is one line of up to "
            f"{_LONGEST} characters"
        )
    return seen
