"""The room at the end of a prompt that stays as it is: for what tools bring while a reply goes on.

This file owns how much of that the next step is told. The window makes room by letting old turns
leave; a step goes on from the prompt of the one before, of which nothing can leave any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from vivace.machines.compaction import SUMMARY_TOKENS
from vivace.machines.demotion import fitted
from vivace.machines.measure import Counter, Limits, checked, count_bytes
from vivace.machines.retention import SUMMARY_SHARE
from vivace.part import Part

__all__ = ["cut_to_room"]


def cut_to_room(
    parts: Sequence[Part], before: Sequence[Part], limits: Limits, held: Limits, count: Counter
) -> list[Part]:
    """What there is room for of `parts`, together, in a prompt that begins with `before`.

    limits: of the prompt. held: what of `before` never leaves. Whatever else is in `before`, they
    have half of the room beside that, which is what the window gives to the newest of a turn.
    """
    used, size = _size(before, count), _size(parts, count)
    both = used.more(size)
    if not limits.exceeded(both.parts, both.bytes, both.tokens):
        return list(parts)
    share = limits.share(SUMMARY_SHARE)
    summary = Limits(0, share.bytes, min(share.tokens, SUMMARY_TOKENS))
    room, rest = limits.less(held).less(summary), used.less(held)
    tokens = max(room.tokens - rest.tokens, room.tokens // 2)
    return fitted(parts, tokens, max(room.bytes - rest.bytes, room.bytes // 2), count)


def _size(parts: Sequence[Part], count: Counter) -> Limits:
    tokens = sum(checked(count, part) for part in parts)
    return Limits(len(parts), sum(map(count_bytes, parts)), tokens)
