"""Parts of one's own: what is written into one changes no other.

This file owns what of a part can be written into: the containers in its body and its metadata.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vivace.part import Call, Data, Event, Part, Response

__all__ = ["own"]


def own(part: Part) -> Part:
    """`part`, with dicts, lists and sets that are nobody else's; what else it holds is shared."""
    body: Any = part.body
    try:
        match body:
            case Data(value=dict() | list() | tuple() | set() as value):
                body = msgspec.structs.replace(body, value=_own(value))
            case Call(args=args) if args:
                body = msgspec.structs.replace(body, args=_own(args))
            case Response(result=dict() | list() | tuple() | set() as result):
                body = msgspec.structs.replace(body, result=_own(result))
            case Event(data=dict() | list() | tuple() | set() as data):
                body = msgspec.structs.replace(body, data=_own(data))
        if body is part.body and not part.metadata:
            return part
        return part.derive(body=body, metadata=_own(part.metadata))
    except RecursionError:  # it holds itself, so it cannot be kept anyway
        return part


def _own(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _own(it) for key, it in value.items()}
    if kind in (list, tuple):
        return kind(map(_own, value))
    return set(value) if kind is set else value
