"""What parts say, and how what is said in pieces is joined."""

from __future__ import annotations

import msgspec

from vivace.part import Audio, Part

__all__ = ["ends_open", "spaced", "words_of"]


def words_of(part: Part) -> str:
    """What a part of a reply says."""
    if part.substream:
        return ""
    return part.body.words if isinstance(part.body, Audio) else part.text


def ends_open(words: str, before: bool = False) -> bool:
    """True if `words` need a space after them; as `before` if there are none."""
    return not words[-1].isspace() if words else before


def spaced(part: Part) -> Part:
    """The part, with a space before what it says: a model that was asked again begins anew."""
    words = words_of(part)
    if not words or words[0].isspace():
        return part
    if isinstance(part.body, Audio):
        return part.derive(body=msgspec.structs.replace(part.body, words=f" {words}"))
    return part.derive(body=f" {words}")
