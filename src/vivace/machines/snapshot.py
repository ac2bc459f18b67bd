"""A prompt as bytes, to go on with elsewhere or later.

This file owns what of it is kept. Times are kept as ages, since no two clocks agree.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vivace.errors import PartError
from vivace.machines.exchanges import Group
from vivace.machines.measure import Limits
from vivace.machines.prompt_records import Tally
from vivace.machines.retention import Rank, Unit
from vivace.machines.summary import Summary
from vivace.part import Part

__all__ = ["Snapshot", "check_room", "decode", "encode", "moved"]

_VERSION = 1


class Snapshot(msgspec.Struct, frozen=True):
    """All that a window knows. `added_at` and `since` are seconds before it was made: negative."""

    system: list[Unit]
    pins: list[Unit]
    summary: Summary | None
    units: list[Unit]
    beheaded: bool
    groups: list[Group]
    answered: list[str]
    retry_at: int
    stash: list[tuple[Part, bool]]
    handed: int
    same: int
    tally: Tally
    version: int = _VERSION

    def all_units(self) -> Iterable[Unit]:
        """All units, in the order of the prompt."""
        return (*self.system, *self.pins, *self.units)


def moved(unit: Unit, by: float) -> Unit:
    """`unit` as if it had been added `by` seconds later."""
    return msgspec.structs.replace(unit, added_at=unit.added_at + by)


def check_room(snapshot: Snapshot, budget: Limits) -> None:
    """Raise PartError if its pins are more than `budget`."""
    held = [unit for unit in snapshot.all_units() if unit.rank == Rank.PINNED]
    short = budget.exceeded(
        sum(len(unit.parts) for unit in held),
        sum(unit.bytes for unit in held),
        sum(unit.tokens for unit in held),
    )
    if short:
        raise PartError(f"the pins of this snapshot exceed half of max_{short}; raise it")


def encode(snapshot: Snapshot) -> bytes:
    """Raises PartError if something in a part cannot be written down."""
    try:
        return msgspec.msgpack.encode(snapshot)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PartError(
            f"a part of this prompt cannot be saved ({error}); keep to what JSON can hold in "
            "metadata, arguments and results"
        ) from error


def decode(data: bytes) -> Snapshot:
    """Raises PartError if `data` is none of our snapshots."""
    try:
        snapshot = msgspec.msgpack.decode(data, type=Snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PartError(
            f"this is no snapshot of a prompt: {error}; give what snapshot() returned"
        ) from error
    if snapshot.version != _VERSION:
        raise PartError(
            f"a snapshot of version {snapshot.version} was made by another Vivace; "
            f"this one reads version {_VERSION}"
        )
    return snapshot
