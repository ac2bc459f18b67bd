"""How large a part is in a prompt: estimated tokens, and bytes.

This file owns the estimates. A counter of one's own, such as a model's tokenizer, takes their place
where one is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from vivace.errors import PartError
from vivace.part import Audio, Call, Data, Event, Image, Part, Response

__all__ = ["Counter", "Limits", "as_json", "checked", "count_bytes", "count_tokens", "size_of"]

Counter: TypeAlias = Callable[[Part], int]
"""Tells how many tokens a part costs: a whole number, 0 or more."""

_CHARS_A_TOKEN = 4  # of English, in the tokenizers in use
_AUDIO_TOKENS_S = 25  # Gemini's live models; it bills 32 elsewhere
_IMAGE_TOKENS = 258  # Gemini: an image of up to 384 pixels a side, or one tile of a larger one


class Limits(msgspec.Struct, frozen=True):
    """What a prompt, or a share of it, may be: a number of parts, of bytes, of estimated tokens."""

    parts: int
    bytes: int
    tokens: int

    def share(self, parts: int) -> Limits:
        """One of so many equal shares."""
        return Limits(self.parts // parts, self.bytes // parts, self.tokens // parts)

    def less(self, other: Limits) -> Limits:
        """What is left beside `other`; not below 0."""
        return Limits(
            max(0, self.parts - other.parts),
            max(0, self.bytes - other.bytes),
            max(0, self.tokens - other.tokens),
        )

    def more(self, other: Limits) -> Limits:
        """Both together."""
        return Limits(
            self.parts + other.parts, self.bytes + other.bytes, self.tokens + other.tokens
        )

    def exceeded(self, parts: int, size: int, tokens: int) -> str:
        """Which of them so much would exceed, as "parts"; "" if none."""
        if tokens > self.tokens:
            return "tokens"
        if parts > self.parts:
            return "parts"
        return "bytes" if size > self.bytes else ""


def count_tokens(part: Part) -> int:
    """An estimate: 4 characters a token, 25 tokens a second of audio, 258 an image."""
    body = part.body
    if isinstance(body, str):
        return (len(body) + _CHARS_A_TOKEN - 1) // _CHARS_A_TOKEN
    if isinstance(body, Audio):
        return math.ceil(body.seconds * _AUDIO_TOKENS_S)
    if isinstance(body, Image):
        return _IMAGE_TOKENS
    return math.ceil(count_bytes(part) / _CHARS_A_TOKEN)


def count_bytes(part: Part) -> int:
    """How many bytes its body holds, as UTF-8 or JSON where it is no binary data."""
    body = part.body
    if isinstance(body, str):
        return len(body) if body.isascii() else len(body.encode("utf-8", "surrogatepass"))
    if isinstance(body, Audio):
        return len(body.pcm)
    if isinstance(body, Image):
        return len(body.data)
    if isinstance(body, Data):
        return len(body.data) + (len(as_json(body.value)) if body.value is not None else 0)
    if isinstance(body, Call):
        return len(body.name) + len(as_json(body.args))
    if isinstance(body, Response):
        return len(body.name) + len(as_json(body.result)) + len(body.error)
    if isinstance(body, Event):
        return count_bytes(part.derive(body=body.told))
    return 0


def as_json(value: Any) -> str:
    """`value` as JSON; what JSON cannot hold, as Python shows it."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, UnicodeError, RecursionError):
        return repr(value)


def checked(count: Counter, part: Part) -> int:
    """What `count` says of `part`. Raises PartError if that is no number of tokens."""
    tokens: object = count(part)
    if isinstance(tokens, int) and tokens >= 0:
        return tokens
    raise PartError(
        f"count_tokens says {tokens!r} of a part of {part.mimetype}; it must return a whole "
        "number, 0 or more"
    )


def size_of(prompt: Sequence[Part], before: Sequence[Part]) -> dict[str, int]:
    """The estimated `tokens` of a prompt, and how many of them are `reused`: the same, at the same
    place, as in the one before it."""
    tokens = reused = 0
    same = True
    for number, part in enumerate(prompt):
        cost = count_tokens(part)
        tokens += cost
        same = same and number < len(before) and (part is before[number] or part == before[number])
        reused += cost if same else 0
    return {"tokens": tokens, "reused": reused}
