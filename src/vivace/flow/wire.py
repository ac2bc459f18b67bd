"""The short way from one driven stage to the next, where nothing but a hop stands between them.

A part that comes while the next stage waits for it is handed over as it is, without a queue, a task
and a round of the loop between the two. This file owns who reads whom.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from vivace.flow.hop import Meter
from vivace.part import Part

__all__ = ["Reader", "Wire", "Wires"]


class Reader(Protocol):
    """A driven stage, as the one before it sees it."""

    def takes(self, part: Part, meter: Meter | None) -> bool:
        """Take `part` now; False if it has to wait as any other.

        meter: of what goes to this stage.
        """
        ...

    def may_read(self) -> bool:
        """True if there is room for what may come of a part."""
        ...

    async def until_it_may_read(self) -> None:
        """Return once there is."""
        ...


class Wire:
    """From a driven stage to its reader.

    reader: who reads, and nobody else does; None until it begins, or where that is no driven stage.
    meter: what watches what passes, if anybody does.
    """

    __slots__ = ("meter", "reader")

    def __init__(self) -> None:
        self.reader: Reader | None = None
        self.meter: Meter | None = None

    async def room(self) -> None:
        """Return once the reader may be given a part: it asked when it could have been.

        What was handed over since may have filled it.
        """
        reader, meter = self.reader, self.meter
        if reader is None or reader.may_read():
            return
        if meter is not None:
            meter.kept()
        await reader.until_it_may_read()
        if meter is not None:
            meter.asked()


class Wires:
    """Those of a run: found by the stream that a stage is given."""

    def __init__(self) -> None:
        # Streams are told apart by identity, and kept, so that no other takes the place of one.
        self._wires: list[tuple[AsyncIterator[Part], Wire]] = []

    def add(self, stream: AsyncIterator[Part], wire: Wire) -> None:
        """`stream` is the output of the driven stage that `wire` begins at."""
        self._wires.append((stream, wire))

    def carry(
        self, stream: AsyncIterator[Part], hop: AsyncIterator[Part], meter: Meter | None
    ) -> None:
        """`hop` stands before `stream`, and does nothing but to look at what passes."""
        wire = self.of(stream)
        if wire is not None:
            wire.meter = meter
            self.add(hop, wire)

    def of(self, stream: AsyncIterator[Part]) -> Wire | None:
        """The wire to whoever reads `stream`; None where more than a hop is between."""
        return next((wire for known, wire in self._wires if known is stream), None)

    def cut(self, stream: AsyncIterator[Part]) -> None:
        """Something stands before `stream` that has to see each part."""
        self._wires = [(known, wire) for known, wire in self._wires if known is not stream]
