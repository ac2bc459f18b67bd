"""Media that age, and parts that are too large: what takes their place.

This file owns the cheaper forms. Sound becomes what was said, a picture its caption; of the
pictures of a turn without captions one stays. What is too large even so is cut, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from vivace.machines.measure import Counter, as_json, checked, count_bytes
from vivace.machines.retention import Unit
from vivace.part import Audio, Call, Data, Event, Image, Part, Response

__all__ = ["fitted", "is_bare_image", "older", "resized", "shrunk"]

_CUT = " […] "


def older(part: Part) -> Part | None:
    """What an old part becomes: text for sound, and for pictures that have a caption.

    The text of sound is its `words`, or else its metadata's "transcript"; that of a picture is its
    metadata's "caption". None for a part that stays as it is.
    """
    match part.body:
        case Audio():
            said = part.body.words or _text_of(part, "transcript")
            return part.derive(body=said.strip() or f"({part.body.seconds:.1f} s of sound)")
        case Image():
            caption = _text_of(part, "caption")
            return part.derive(body=f"(picture: {caption})") if caption else None
        case _:
            return None


def is_bare_image(part: Part) -> bool:
    """True for a picture of which nothing is known but itself."""
    return isinstance(part.body, Image) and not _text_of(part, "caption")


def resized(unit: Unit, parts: tuple[Part, ...], count: Counter) -> Unit:
    """`unit` with other parts in it."""
    return msgspec.structs.replace(
        unit,
        parts=parts,
        tokens=sum(checked(count, part) for part in parts),
        bytes=sum(count_bytes(part) for part in parts),
    )


def shrunk(unit: Unit, tokens: int, size: int, count: Counter) -> Unit | None:
    """`unit` cut to so many tokens and bytes; None if no form of it is so small."""
    parts = _shared(unit.parts, tokens, size, count)
    if any(part is None for part in parts):
        return None
    return resized(unit, tuple(part for part in parts if part is not None), count)


def fitted(parts: Sequence[Part], tokens: int, size: int, count: Counter) -> list[Part]:
    """`parts` cut to so many tokens and bytes; what no form of is so small, to its smallest."""
    small = _shared(parts, tokens, size, count)
    return [_least(old) if new is None else new for old, new in zip(parts, small, strict=True)]


def _shared(parts: Sequence[Part], tokens: int, size: int, count: Counter) -> list[Part | None]:
    """Each part cut to its share: what the small ones leave of theirs, the others have besides."""
    small: list[Part | None] = [None] * len(parts)
    order = sorted(range(len(parts)), key=lambda index: checked(count, parts[index]))
    for done, index in enumerate(order):
        left = len(order) - done

        def fits(part: Part, tokens: int = tokens // left, size: int = size // left) -> bool:
            return checked(count, part) <= tokens and count_bytes(part) <= size

        cut = small[index] = _shrunk(parts[index], fits)
        if cut is not None:
            tokens -= checked(count, cut)
            size -= count_bytes(cut)
    return small


def _least(part: Part) -> Part:
    match part.body:
        case Call(id=id, name=name):
            return part.derive(body=Call(id, name))
        case Response(id=id, name=name):
            return part.derive(body=Response(id, name, error="too large to be told"))
        case _:
            return part


def _shrunk(part: Part, fits: Callable[[Part], bool]) -> Part | None:
    if fits(part):
        return part
    body = part.body
    match body:
        case str():
            return _cut(body, lambda text: part.derive(body=text), fits)
        case Call():
            gone = part.derive(body=Call(body.id, body.name, {"omitted": "too large"}))
            bare = part.derive(body=Call(body.id, body.name))
            return next((it for it in (gone, bare) if fits(it)), None)
        case Response():
            text = body.error or as_json(body.result)

            def answer(text: str) -> Part:
                result, error = (None, text) if body.error else (text, "")
                return part.derive(body=Response(body.id, body.name, result, error))

            return _cut(text, answer, fits)
        case Data():
            text = f"({body.mimetype}, too large)" if body.data else as_json(body.value)
            return _cut(text, lambda text: part.derive(body=text), fits)
        case Event():
            return _cut(body.told, lambda text: part.derive(body=text), fits)
        case _:
            text = (older(part) or part.derive(body=f"({part.mimetype}, too large)")).text
            return _cut(text, lambda text: part.derive(body=text), fits)


def _cut(text: str, make: Callable[[str], Part], fits: Callable[[Part], bool]) -> Part | None:
    """As much as fits of the beginning and the end of `text`: its subject, and what it asks."""
    whole = make(text)
    if fits(whole):
        return whole
    low, high, best = 0, len(text), None
    while low < high:  # the longest that fits, by halves
        middle = (low + high + 1) // 2
        half = middle // 2
        made = make(text[: middle - half].rstrip() + _CUT + text[len(text) - half :].lstrip())
        if fits(made):
            low, best = middle, made
        else:
            high = middle - 1
    return best


def _text_of(part: Part, key: str) -> str:
    text = part.metadata.get(key)
    return text.strip() if isinstance(text, str) else ""
