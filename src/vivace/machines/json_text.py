"""Values as JSON text, for models, which read nothing else."""

from __future__ import annotations

from typing import Any

import msgspec

from vivace.errors import PartError
from vivace.part import Response

__all__ = ["json_text", "plain", "writable"]


def json_text(value: object) -> str:
    """`value` as JSON: bytes as base64, dates and times as ISO 8601, NaN and infinity as null.

    Raises PartError if it holds what cannot be written.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_refuse).decode()
    except RecursionError:
        why = "it holds itself, or is nested too deeply"
    except (TypeError, ValueError) as error:
        why = str(error)
    raise PartError(
        f"this {type(value).__name__} cannot be written as JSON: {why}; make it of texts, numbers, "
        "lists, and dicts with texts as keys"
    )


def plain(value: object) -> Any:
    """`value` as JSON would give it back. Raises PartError as `json_text` does."""
    return msgspec.json.decode(json_text(value))


def writable(response: Response) -> Response:
    """`response` as JSON can hold it: else it has failed, and says why to whoever asked."""
    if response.error:
        return response
    try:
        result = plain(response.result)
    except PartError as error:
        return msgspec.structs.replace(response, result=None, error=f"the result is lost: {error}")
    return msgspec.structs.replace(response, result=result)


def _refuse(value: object) -> object:
    raise TypeError(f"it holds an object of the type {type(value).__name__}")
