"""The fence: which replies are void.

An interruption is a number. Every part of a reply carries the reply's number, so one comparison
tells, anywhere and at any time, whether a part may still be heard.
"""

from __future__ import annotations

from vivace.part import Audio, Data, Image, Part, is_side_lane

__all__ = ["Fence"]


class Fence:
    """Replies up to `turn` are void; the fence only rises."""

    __slots__ = ("turn",)

    def __init__(self) -> None:
        self.turn = 0

    def raise_to(self, turn: int) -> bool:
        """Make every reply up to `turn` void. False if they were already."""
        if turn <= self.turn:
            return False
        self.turn = turn
        return True

    def stale(self, part: Part) -> bool:
        """True for media and text of a void reply.

        Signals, tool calls and tool responses are never stale: what was begun must be told, and
        a tool that has ordered the pizza has ordered it.
        """
        return (
            0 < part.turn <= self.turn
            and isinstance(part.body, str | Audio | Image | Data)
            and not is_side_lane(part.substream)
        )
