"""Tool calls and their responses: whole, or not at all.

This file owns the pairing. A call waits here for its response and enters the prompt with it, as one
block: what stands in a prompt is never a call without a response, nor the other way round. The
parallel calls of a turn wait for each other, unless the prompt is wanted sooner.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import msgspec

from vivace.part import Call, Part, Response

__all__ = ["Exchanges", "Group", "Settled", "restored", "whole_pairs"]


class Settled(msgspec.Struct, frozen=True):
    """What has become of a group of parallel calls.

    parts: the calls that were answered, then their responses, each as they came; may be empty.
    pinned: one of them was to be. unanswered: calls that nobody answered. restored: the call was
    not known, and is one without arguments.
    """

    parts: tuple[Part, ...]
    pinned: bool
    unanswered: int = 0
    restored: bool = False


_REMEMBERED = 256  # answers, so that a second one to the same call is known to be one


class Group(msgspec.Struct, eq=False):
    """The parallel calls of a turn. last_seq: the number of the newest. since: when it began."""

    turn: int
    last_seq: int
    since: float
    calls: dict[str, Part]
    responses: dict[str, Part]
    pinned: bool = False


class Exchanges:
    """Holds calls until they are answered.

    max_calls: as many may wait. wait_s: and so long. What waits longer, or is one too many, is
    given up, the oldest first, with all that was called beside it and got no answer.
    """

    def __init__(self, max_calls: int, wait_s: float) -> None:
        self._max_calls = max_calls
        self._wait_s = wait_s
        self.groups: deque[Group] = deque()  # oldest first
        self._of: dict[str, Group] = {}  # by the id of a call that waits
        self.answered: dict[str, None] = {}  # ids, the newest last

    def __len__(self) -> int:
        return len(self._of)

    def call(self, part: Part, body: Call, seq: int, now: float, *, pinned: bool) -> bool:
        """A call begins to wait; False if one with its id does already."""
        if body.id in self._of:
            return False
        group = self.groups[-1] if self.groups else None
        if group is None or not (
            group.turn == part.turn if part.turn else group.last_seq == seq - 1
        ):
            group = Group(part.turn, seq, now, {}, {})
            self.groups.append(group)
        self.answered.pop(body.id, None)  # ids of some models begin anew with each turn
        group.calls[body.id] = part
        group.last_seq = seq
        group.pinned |= pinned
        self._of[body.id] = group
        return True

    def response(
        self, part: Part, body: Response, *, pinned: bool
    ) -> Settled | Literal[False] | None:
        """A response has come: the block, if it completes one; None if others are still waited for.

        If its call is not known (any more), that is restored, as far as the response tells it.
        False for one that was answered already.
        """
        group = self._of.pop(body.id, None)
        if group is None:
            if body.id in self.answered:
                return False
            self._note_answered(body.id)
            return Settled((restored(part, body), part), pinned, restored=True)
        self._note_answered(body.id)
        group.responses[body.id] = part
        group.pinned |= pinned
        if len(group.responses) < len(group.calls):
            return None
        self.groups.remove(group)
        return _settled(group)

    def _note_answered(self, id: str) -> None:
        self.answered[id] = None
        if len(self.answered) > _REMEMBERED:
            del self.answered[next(iter(self.answered))]

    def split(self) -> list[Settled]:
        """What has been answered so far, which now enters without what has not."""
        settled = []
        for group in self.groups:
            if group.responses:
                settled.append(msgspec.structs.replace(_settled(group), unanswered=0))
                for id in group.responses:
                    del group.calls[id]
                group.responses.clear()
        return settled

    def overdue(self, now: float) -> Settled | None:
        """Give up the oldest group if it waits too long, or if too many calls wait."""
        if not self.groups:
            return None
        group = self.groups[0]
        if len(self._of) <= self._max_calls and group.since >= now - self._wait_s:
            return None
        self.groups.popleft()
        for id in group.calls.keys() - group.responses.keys():
            del self._of[id]
        return _settled(group)

    def dump(self, now: float) -> list[Group]:
        """All that wait, with ages instead of times."""
        return [_moved(group, -now) for group in self.groups]

    def load(self, groups: list[Group], answered: list[str], now: float) -> None:
        """Let what was dumped wait, and know what was answered; nothing does or is yet."""
        self.answered = dict.fromkeys(answered)
        self.groups.extend(_moved(group, now) for group in groups)
        self._of = {
            id: group for group in self.groups for id in group.calls if id not in group.responses
        }


def restored(part: Part, body: Response) -> Part:
    """The call of a response, as far as that tells it."""
    return Part.call(body.name, id=body.id, turn=part.turn, metadata={"restored": True})


def _moved(group: Group, by: float) -> Group:
    return msgspec.structs.replace(
        group,
        since=group.since + by,
        calls=dict(group.calls),
        responses=dict(group.responses),
    )


def _settled(group: Group) -> Settled:
    answered = [part for id, part in group.calls.items() if id in group.responses]
    unanswered = len(group.calls) - len(group.responses)
    return Settled((*answered, *group.responses.values()), group.pinned, unanswered)


def whole_pairs(parts: list[Part]) -> list[Part]:
    """`parts` without the calls that have no response after them, and the other way round."""
    called: dict[str, int] = {}
    paired: set[int] = set()
    for index, part in enumerate(parts):
        if isinstance(part.body, Call):
            called[part.body.id] = index
        elif isinstance(part.body, Response) and part.body.id in called:
            paired |= {called.pop(part.body.id), index}
    return [
        part
        for index, part in enumerate(parts)
        if index in paired or not isinstance(part.body, Call | Response)
    ]
