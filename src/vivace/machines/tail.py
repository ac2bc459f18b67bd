"""The prompt as it stands: the system's parts, pins, the summary, then turns word for word.

This file owns the order of these, where it may be cut, and how much there is. Parts are only ever
put at the end of the list that readers have; to take any out, a new list is made.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from vivace.machines.demotion import is_bare_image, older, resized, shrunk
from vivace.machines.measure import Counter, Limits, checked, count_bytes
from vivace.machines.policy import Load, Rest
from vivace.machines.retention import Pins, Rank, Unit
from vivace.machines.snapshot import Snapshot, moved
from vivace.machines.summary import Summary
from vivace.part import Call, Part, Response

__all__ = ["Enough", "Tail"]

NORMAL, PINNED = int(Rank.NORMAL), int(Rank.PINNED)  # an enum's members are slow to look up

Enough: TypeAlias = Callable[[Load], bool]


class Tail:
    """Holds units. What a policy sees of a prompt (its `Load`) is this.

    limits: what it may hold; `excess` tells whether it does hold more.
    is_important: asked when a part's turn is about to leave, not before: it may take long.
    """

    def __init__(
        self,
        limits: Limits,
        count: Counter,
        is_important: Callable[[Part], bool] = lambda _: False,
    ) -> None:
        self._limits = limits
        self._max_parts, self._max_bytes = limits.parts, limits.bytes
        self._max_tokens = limits.tokens
        self._count = count
        self._is_important = is_important
        self._judged = 0  # up to this number it is known what is important
        self.pins = Pins(limits)
        self.system: list[Unit] = []
        self.summary: Summary | None = None
        self._summary_part = Part("")
        self.summary_size = Limits(0, 0, 0)
        self.units: deque[Unit] = deque()
        self.log: list[Part] = []
        self.generation = 0
        self.parts = 0
        self.bytes = 0
        self.tokens = 0
        self.turns = 0
        self.asked = False  # the newest unit is the user's own
        # What it begins with has lost its question, and leaves when the next one is asked.
        self.beheaded = False

    # -- what it holds ------------------------------------------------------------------------

    def excess(self) -> str:
        """Which limit is exceeded, as "tokens"; "" if none is."""
        limits = self._limits
        if self.tokens > limits.tokens:
            return "tokens"
        if self.parts > limits.parts:
            return "parts"
        return "bytes" if self.bytes > limits.bytes else ""

    @property
    def size(self) -> Limits:
        """All of it."""
        return Limits(self.parts, self.bytes, self.tokens)

    @property
    def oldest_at(self) -> float:
        """When the oldest unit that can leave was added; infinity if none can."""
        units = self.units
        if len(units) < 2:
            return math.inf
        first = units[0]
        if self.turns > 1 or not first.asks or units[1].asks:
            return first.added_at
        # The question of the only turn stays as long as something of the answer does.
        return units[1].added_at if len(units) > 2 else math.inf

    # -- in -----------------------------------------------------------------------------------

    def push(self, unit: Unit) -> bool:
        """Take a unit in, at the end; whoever calls puts it into the list, or makes a new one.

        Returns True if a limit is exceeded now.
        """
        self.units.append(unit)
        parts = self.parts = self.parts + len(unit.parts)
        size = self.bytes = self.bytes + unit.bytes
        tokens = self.tokens = self.tokens + unit.tokens
        self.asked = unit.asks
        if unit.starts:
            self.turns += 1
        if unit.rank == PINNED:
            self.pins.hold(unit)
        return tokens > self._max_tokens or parts > self._max_parts or size > self._max_bytes

    def lead(self, unit: Unit) -> None:
        """Take in a part of the system's: it stands before all that is said."""
        self.system.append(unit)
        self._grow(unit)
        self.pins.hold(unit)

    def rebuild(self) -> int:
        """Make the list anew; return the tokens of what it still begins with as before."""
        log = [part for unit in (*self.system, *self.pins.units) for part in unit.parts]
        if self.summary is not None:
            log.append(self._summary_part)
        for unit in self.units:
            log.extend(unit.parts)
        same = 0
        for old, new in zip(self.log, log, strict=False):
            if old is not new:
                break
            same += checked(self._count, old)
        self.log = log
        self.generation += 1
        self.asked = bool(self.units) and self.units[-1].asks
        return same

    def summarise(self, summary: Summary | None) -> None:
        """Let `summary` stand before the turns."""
        self._shrink(self.summary_size)
        self.summary, self.summary_size = summary, Limits(0, 0, 0)
        if summary is not None:
            part = self._summary_part = summary.part()
            self.summary_size = Limits(1, count_bytes(part), checked(self._count, part))
        self.parts += self.summary_size.parts
        self.bytes += self.summary_size.bytes
        self.tokens += self.summary_size.tokens

    def load(self, saved: Snapshot, now: float) -> None:
        """Hold what was saved, and nothing else, in an empty tail."""
        for unit in saved.system:
            self.lead(moved(unit, now))
        pins = [moved(unit, now) for unit in saved.pins]
        for unit in pins:
            self._grow(unit)
            if unit.rank == PINNED:
                self.pins.hold(unit)
        self.pins.load(pins)
        self.summarise(saved.summary)
        for unit in saved.units:
            self.push(moved(unit, now))
        self.rebuild()
        self.beheaded = saved.beheaded

    # -- out ----------------------------------------------------------------------------------

    def plan(self, enough: Enough, reserve: Limits) -> int:
        """The number of the last unit that has to leave so that it is enough; 0 if none can.

        Only whole turns leave, the oldest first, and the newest one stays.
        reserve: how large the summary may become.
        """
        turns = self.turns
        if turns == 0 or (turns == 1 and self.units[0].starts):
            return 0
        rest = Rest(self, self.summary_size, reserve)
        soft = self.pins.outlook()
        last, found = 0, list[int]()
        for index, unit in enumerate(self.units):  # pragma: no branch - the newest turn ends it
            if unit.starts:
                rest.oldest_at = unit.added_at
                if last and (rest.turns == 1 or enough(rest)):
                    break
                rest.turns -= 1
            if unit.seq > self._judged and self._judge(unit):
                found.append(index)
                rest.lose(soft.squeezed_out(unit))
            elif unit.rank == NORMAL:
                rest.parts -= len(unit.parts)
                rest.bytes -= unit.bytes
                rest.tokens -= unit.tokens
            elif unit.rank != PINNED:
                rest.lose(soft.squeezed_out(unit))
            last = unit.seq
        for index in found:
            self.units[index] = msgspec.structs.replace(self.units[index], rank=Rank.IMPORTANT)
        self._judged = max(self._judged, last)
        return last

    def leave_through(self, seq: int) -> list[Unit]:
        """Let all units up to number `seq` leave."""
        left: list[Unit] = []
        while self.units and self.units[0].seq <= seq:
            left += self._leave_first()
        self.beheaded &= not left
        return left

    def leave_parts(self, enough: Enough, reserve: Limits) -> tuple[list[Unit], list[Unit]]:
        """The newest turn alone is too much: let its oldest parts leave until it is enough.

        Of what the user said the last part stays, of what follows the newest. Returns what left
        from the front, and what left from behind the question.
        """

        def there() -> bool:
            rest = Rest(self, self.summary_size, reserve)
            rest.oldest_at = self.oldest_at
            return enough(rest)

        front: list[Unit] = []
        units = self.units
        while len(units) > 1 and (not units[0].asks or units[1].asks) and not there():
            front += self._leave_first()
        if front and units[0].asks and not units[0].starts:
            self.replace(0, msgspec.structs.replace(units[0], starts=True))
        self.beheaded |= bool(front) and not units[0].asks
        behind: list[Unit] = []
        kept = 1
        while len(units) > kept + 1 and not there():
            unit = units[kept]
            if unit.rank == PINNED:
                kept += 1
                continue
            del units[kept]
            self._drop(unit)
            behind.append(unit)
        return front, behind

    def squeeze(self, reserve: Limits) -> tuple[list[Unit], list[tuple[Unit, Unit | None]]]:
        """The limits are exceeded by what stays: shrink the newest turn to the room beside pins.

        reserve: what a summary will need besides.
        Returns what left from among the pins, and each unit that was cut with what is left of it.
        """
        cut = self._cut_to_room(reserve, last=False)
        gone: list[Unit] = []
        if self.excess():
            gone = self.pins.fit(Limits(0, 0, 0))
            for unit in gone:
                self._drop(unit)
        if self.excess():
            self.summarise(None)
        while self.parts > self._limits.parts:
            cut.append((self._free_units()[-1], None))
            self.remove(self.units.index(cut[-1][0]))
        if self.excess():
            cut += self._cut_to_room(reserve, last=True)
        self.beheaded |= bool(self.units) and not self.units[0].asks
        return gone, cut

    def _cut_to_room(self, reserve: Limits, *, last: bool) -> list[tuple[Unit, Unit | None]]:
        """Cut a question and the newest of the answer, or either, to the room beside the rest.

        last: what has no form that is small enough leaves; else it stays as it is.
        """
        units = self._free_units()
        sizes = [Limits(len(unit.parts), unit.bytes, unit.tokens) for unit in units]
        used = Limits(0, 0, 0)
        for size in sizes:
            used = used.more(size)
        room = self._limits.less(reserve).less(self.size.less(used))
        cut: list[tuple[Unit, Unit | None]] = []
        for unit, before in zip(units[::-1], [*sizes[-2::-1], Limits(0, 0, 0)], strict=True):
            # The newest has what the one before it leaves, and half of the room at least.
            tokens = min(unit.tokens, max(room.tokens - before.tokens, room.tokens // 2))
            most = min(unit.bytes, max(room.bytes - before.bytes, room.bytes // 2))
            small = shrunk(unit, tokens, most, self._count)
            index = self.units.index(unit)
            if small is not None:
                self.replace(index, small)
                room = room.less(Limits(0, small.bytes, small.tokens))
            elif last:
                self.remove(index)
            if small != unit and (small is not None or last):
                cut.append((unit, small))
        return cut

    def _free_units(self) -> list[Unit]:
        return [unit for unit in self.units if unit.rank != PINNED]

    def age(self, before: float) -> list[tuple[Unit, Unit | None]]:
        """Let media that were added before that time take their cheaper form.

        Returns each unit that changed with what became of it: None if it is not needed any more,
        since a later picture of the same side in the same turn stays.
        """
        changed: list[tuple[Unit, Unit | None]] = []
        kept: list[Unit] = []
        seen: set[str] = set()  # whose pictures of this turn have been met, from its end
        for unit in reversed(self.units):
            new = self._aged(unit, seen, before)
            if unit.starts:
                seen.clear()
            if new is not unit:
                changed.append((unit, new))
                self._exchange(unit, new)
            if new is not None:
                kept.append(new)
            elif unit.starts:  # the later picture is the user's, too: the turn begins there
                kept[-1] = msgspec.structs.replace(kept[-1], starts=True)
        if changed:
            self.units = deque(reversed(kept))
        return changed[::-1]

    def replace(self, index: int, unit: Unit) -> None:
        """Put `unit` in the place of the one at `index`."""
        old = self.units[index]
        self.units[index] = unit
        self.turns += unit.starts - old.starts
        self._exchange(old, unit)

    def remove(self, index: int) -> None:
        """Take the unit at `index` out."""
        unit = self.units[index]
        del self.units[index]
        self.turns -= unit.starts
        self._shrink(Limits(len(unit.parts), unit.bytes, unit.tokens))
        if unit.rank == PINNED:
            self.pins.release(unit)

    def orphans(self) -> int:
        """Calls without a response after them, and responses without a call before them."""
        open_calls: set[str] = set()
        lost = 0
        for part in self.log:
            if isinstance(part.body, Call):
                open_calls.add(part.body.id)
            elif isinstance(part.body, Response):
                lost += part.body.id not in open_calls
                open_calls.discard(part.body.id)
        return lost + len(open_calls)

    # -- inside -------------------------------------------------------------------------------

    def _leave_first(self) -> list[Unit]:
        """The first unit leaves its place; return what leaves the prompt."""
        unit = self.units.popleft()
        self.turns -= unit.starts
        if unit.seq > self._judged and self._judge(unit):
            unit = msgspec.structs.replace(unit, rank=Rank.IMPORTANT)
        if unit.rank == NORMAL:
            self._drop(unit)
            return [unit]
        gone = self.pins.keep(unit)
        for other in gone:
            self._drop(other)
        return gone

    def _aged(self, unit: Unit, seen: set[str], before: float) -> Unit | None:
        part = unit.parts[0]
        if isinstance(part.body, str) or unit.rank == PINNED or len(unit.parts) > 1:
            return unit
        if is_bare_image(part):
            superseded = part.role in seen
            seen.add(part.role)
            return None if superseded and unit.added_at < before else unit
        cheap = older(part) if unit.added_at < before else None
        if cheap is None:
            return unit
        aged = resized(unit, (cheap,), self._count)
        return aged if aged.tokens < unit.tokens else unit

    def _judge(self, unit: Unit) -> bool:
        return unit.rank == NORMAL and any(self._is_important(part) for part in unit.parts)

    def _exchange(self, old: Unit, new: Unit | None) -> None:
        self._shrink(Limits(len(old.parts), old.bytes, old.tokens))
        if old.rank == PINNED:
            self.pins.release(old)
        if new is not None:
            self._grow(new)
            if new.rank == PINNED:
                self.pins.hold(new)

    def _grow(self, unit: Unit) -> None:
        self.parts += len(unit.parts)
        self.bytes += unit.bytes
        self.tokens += unit.tokens

    def _drop(self, unit: Unit) -> None:
        self.parts -= len(unit.parts)
        self.bytes -= unit.bytes
        self.tokens -= unit.tokens

    def _shrink(self, size: Limits) -> None:
        self.parts -= size.parts
        self.bytes -= size.bytes
        self.tokens -= size.tokens
