"""The fence: which replies are void.

An interruption is a number. Every part of a reply carries the reply's number, so one comparison
tells, anywhere and at any time, whether a part may still be heard.
"""

from __future__ import annotations

from vivace.part import Audio, Data, Image, Part, TurnComplete, is_side_lane

__all__ = ["Fence", "is_stale"]


def is_stale(part: Part, void: int) -> bool:
    """True for what must not be heard any more once replies up to `void` are void.

    That is their media and text, and the news that they are complete, since they are told to be
    interrupted instead. Other signals, tool calls and tool responses are never stale: a tool that
    has ordered the pizza has ordered it.
    """
    if not 0 < part.turn <= void or is_side_lane(part.substream):
        return False
    match part.body:
        case str() | Audio() | Image() | Data():
            return True
        case TurnComplete(reason=reason):
            return reason in ("done", "failed")
        case _:
            return False


class Fence:
    """Replies up to `turn` are void; the fence only rises."""

    __slots__ = ("turn",)

    def __init__(self) -> None:
        self.turn: int = 0

    def raise_to(self, turn: int) -> bool:
        """Make every reply up to `turn` void. False if they were already."""
        if turn <= self.turn:
            return False
        self.turn = turn
        return True

    def stale(self, part: Part) -> bool:
        """True if `part` must not be heard any more."""
        return is_stale(part, self.turn)
