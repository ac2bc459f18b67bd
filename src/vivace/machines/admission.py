"""What a prompt takes, and as what: parts as they should have been made.

This file owns the mending of parts that are not, and the question whether a prompt can hold a
conversation at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from vivace.errors import PartError
from vivace.machines.measure import Limits
from vivace.machines.prompt_records import Tally
from vivace.machines.retention import Important, Pins, Rank, Unit, is_marked
from vivace.part import Audio, Part

__all__ = ["check_limits", "is_said", "judge", "mended", "rank_of"]


def mended(part: Part, tally: Tally) -> Part:
    """`part` with a role, "user" if it has none, and metadata, empty if they are no mapping."""
    if not part.role:
        tally.repair("no_role")
        part = part.derive(role="user")
    if not isinstance(part.metadata, dict):
        try:
            metadata = dict(part.metadata)
        except (TypeError, ValueError):
            tally.repair("metadata")
            metadata = {}
        part = part.derive(metadata=metadata)
    return part


def rank_of(part: Part, pins: Pins, size: int, tokens: int, tally: Tally, *, pinned: bool) -> int:
    """How long `part` stays, as far as that is known now.

    Raises PartError for what is to be pinned and has no room among `pins`.
    """
    must = pinned or part.role == "system"
    if not must and not is_marked(part.metadata):
        return Rank.NORMAL
    short = pins.room(1, size, tokens)
    if not short:
        return Rank.PINNED
    if must:
        raise PartError(
            f"{pins.held.parts} parts are pinned already, and one of {tokens} tokens and {size} "
            f"bytes more exceeds the pins' half of max_{short}; raise max_{short}, or pin less"
        )
    tally.unpinned += 1
    return Rank.IMPORTANT


def judge(predicates: Sequence[Important], tally: Tally) -> Important:
    """True for parts that one of `predicates` is true for. One that raises is counted."""

    def is_important(part: Part) -> bool:
        for predicate in predicates:
            try:
                if predicate(part):
                    return True
            except Exception:
                # It is asked in the middle of a compaction, which cannot be left half done.
                tally.repair("predicate")
        return False

    return is_important


def is_said(unit: Unit, turn: int) -> bool:
    """True for a text or sound of reply `turn`."""
    part = unit.parts[0]
    said = part.turn == turn and part.role == "model" and isinstance(part.body, str | Audio)
    return said and turn > 0


def check_limits(limits: Limits) -> None:
    """Raise PartError for limits that hold no conversation."""
    for name, number, least in (
        ("parts", limits.parts, 4),
        ("bytes", limits.bytes, 64),
        ("tokens", limits.tokens, 16),
    ):
        if number < least:
            raise PartError(
                f"a prompt of {number} {name} holds no conversation; use {least} or more"
            )
