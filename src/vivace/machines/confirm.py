"""Is what a detector reports an event: from sightings to what is believed and told.

This file owns belief. `Confirm` decides for one detector what is there: by confidence, by the last
detections, or by changes of state. `Debounce` decides for all of them what is told of it, and once.
Neither knows of parts, detectors or tasks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from vivace.errors import StageError
from vivace.machines.detection_counts import DetectionCounts
from vivace.machines.sighting import NOTHING, Sighting

__all__ = [
    "ANY", "Belief", "Confirm", "ConfirmRules", "Debounce", "Edge", "Inhibit", "Told", "Transition",
]  # fmt: skip

T = TypeVar("T")

ANY = "*"
Edge: TypeAlias = Literal["leading", "trailing", "both"]
"""When what is seen again and again is told: the first time, once it is over, or both."""


class Transition(msgspec.Struct, frozen=True):
    """A change of states that is an event.

    n: so many detections in a row must see the new state: 1 is the first one.
    output: what else is told: text, which becomes the event's, a part, or a list of these.
    """

    n: int = 1
    output: Any = None

    def __post_init__(self) -> None:
        _check(self.n >= 1, f"a transition after {self.n} detections", "use n=1 or more")


class ConfirmRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a detector is believed.

    n, m: a sighting counts if n of the last m detections, itself among them, have seen its type.
    on: confidence at or above which it is seen at all. off: if given, a type stays seen until its
        confidence is below this, and is told once for all that time (hysteresis).
    transitions: the detector tells states: its surest type, or "nothing". By (from, to), the
        changes that are told: a `Transition`, or just its output. "*" stands for any state; the row
        that names more counts, of two the one that names the new state. A change whose row is None,
        or that has no row, happens at once and is not told. start: the state at the start.
    debounce_s, edge: as for `Debounce`; None for what holds for all detectors.

    Raises StageError for numbers that never, or always, confirm.
    """

    n: int = 1
    m: int = 1
    on: float = 0.0
    off: float | None = None
    transitions: Mapping[tuple[str, str], Any] | None = None
    start: str = NOTHING
    debounce_s: float | None = None
    edge: Edge | None = None

    def __post_init__(self) -> None:
        _check(1 <= self.n <= self.m <= 1000, f"{self.n} of {self.m} detections", "use 1 ≤ n ≤ m")
        off = self.on if self.off is None else self.off
        _check(0 <= off <= self.on <= 1, f"on={self.on}, off={self.off}", "use 0 ≤ off ≤ on ≤ 1")
        states = self.transitions is not None
        _check(not states or self.m == 1, "n of m with transitions", "give each Transition its n")
        wait_s = 0.0 if self.debounce_s is None else self.debounce_s
        check_debounce(wait_s, self.edge or "leading")


def check_debounce(wait_s: float, edge: str) -> None:
    """Raise StageError for a time or an edge that there is not."""
    _check(0 <= wait_s < math.inf, f"a debounce of {wait_s} s", "use seconds, 0 or more")
    known = edge in ("leading", "trailing", "both")
    _check(known, f"edge={edge!r}", "use 'leading', 'trailing' or 'both'")


class Belief(msgspec.Struct, frozen=True):
    """What a detector saw, and is believed. previous: the state before. output: a Transition's."""

    sighting: Sighting
    previous: str = ""
    output: Any = None


class _Type:
    """What the last detections said of one type. level: it is believed to be there."""

    __slots__ = ("last", "level", "present")

    def __init__(self, m: int) -> None:
        self.last: deque[bool] = deque(maxlen=m)
        self.present = False
        self.level = False


class Confirm:
    """What one detector is believed to see. It remembers no type longer than m detections."""

    def __init__(self, rules: ConfirmRules | None = None) -> None:
        self._rules = rules or ConfirmRules()
        self._types: dict[str, _Type] = {}
        self.state: str = self._rules.start
        self._next = ""  # the state that the last detections saw instead
        self._count = 0

    def detected(self, sightings: Sequence[Sighting]) -> list[Belief]:
        """One detection has ended and seen these; what is believed now, in their order."""
        seen: dict[str, Sighting] = {}
        for sighting in sightings:
            best = seen.get(sighting.type)
            if sighting.type != NOTHING and (best is None or sighting.confidence > best.confidence):
                seen[sighting.type] = sighting
        if self._rules.transitions is not None:
            return self._moved(seen, self._rules.transitions)
        return self._counted(seen)

    # -- types --------------------------------------------------------------------------------

    def _counted(self, seen: dict[str, Sighting]) -> list[Belief]:
        beliefs = []
        rules = self._rules
        for name in [*seen, *(name for name in self._types if name not in seen)]:
            kept = self._types.setdefault(name, _Type(rules.m))
            sighting = seen.get(name)
            kept.present = sighting is not None and self._is_seen(sighting, kept.present)
            kept.last.append(kept.present)
            confirmed = sum(kept.last) >= rules.n
            told_already = rules.off is not None and kept.level
            if sighting is not None and kept.present and confirmed and not told_already:
                beliefs.append(Belief(sighting))
            kept.level = confirmed
            if not any(kept.last):
                del self._types[name]
        return beliefs

    def _is_seen(self, sighting: Sighting, before: bool) -> bool:
        stays = before and self._rules.off is not None and sighting.confidence >= self._rules.off
        return stays or sighting.confidence >= self._rules.on

    # -- states -------------------------------------------------------------------------------

    def _moved(
        self, seen: dict[str, Sighting], rows: Mapping[tuple[str, str], Any]
    ) -> list[Belief]:
        there = [it for it in seen.values() if self._is_seen(it, it.type == self.state)]
        best = max(there, key=lambda it: it.confidence, default=Sighting(NOTHING))
        if best.type == self.state:
            self._next = ""
            return []
        self._count = self._count + 1 if best.type == self._next else 1
        self._next = best.type
        row = _row(rows, self.state, best.type)
        if row is not None and self._count < row.n:
            return []
        previous, self.state, self._next = self.state, best.type, ""
        return [] if row is None else [Belief(best, previous, row.output)]


def _row(rows: Mapping[tuple[str, str], Any], before: str, after: str) -> Transition | None:
    for key in ((before, after), (ANY, after), (before, ANY), (ANY, ANY)):
        if key in rows:
            row = rows[key]
            return row if row is None or isinstance(row, Transition) else Transition(output=row)
    return None


class Inhibit(msgspec.Struct, frozen=True):
    """For so many seconds after an event of type `by`, none of `types` is told. "*" is any other.

    Raises StageError for no time.
    """

    by: str
    types: tuple[str, ...]
    seconds: float

    def __post_init__(self) -> None:
        _check(self.seconds > 0, f"an inhibition of {self.seconds} s", "use seconds above 0")


class Told(msgspec.Struct, Generic[T], frozen=True):
    """What is told now, and as which edge."""

    item: T
    edge: Literal["leading", "trailing"]


class _Burst(Generic[T]):
    """Sightings with less than `wait_s` between them. pending: what is told at its end."""

    __slots__ = ("edge", "pending", "type", "until")

    def __init__(self, type: str, edge: Edge, until: float) -> None:
        self.type = type
        self.edge = edge
        self.until = until
        self.pending: T | None = None


class Debounce(Generic[T]):
    """What of all that is believed is told.

    inhibit: which events keep others from being told. What is inhibited is not told later either.
    counts: gets `events_debounced` and `events_inhibited`: what was believed and is not told.
    """

    def __init__(
        self, inhibit: Sequence[Inhibit] = (), counts: DetectionCounts | None = None
    ) -> None:
        self._inhibit = tuple(inhibit)
        self._counts = counts or DetectionCounts()
        self._bursts: dict[tuple[str, str], _Burst[T]] = {}
        self._told_at: dict[str, float] = {}  # of the types that inhibit

    def believed(
        self, key: tuple[str, str], item: T, wait_s: float, edge: Edge, now: float
    ) -> list[Told[T]]:
        """A detector, the first of `key`, sees a type, the second; what is told now.

        wait_s: so long must it not be seen for the next time to be a new one. 0: each is told.
        """
        out = self.tick(now)
        if self._is_inhibited(key[1], now):
            self._counts.add("events_inhibited")
            return out
        burst = self._bursts.get(key)
        if burst is None:
            return out + self._begin(key, item, wait_s, edge, now)
        burst.until = now + wait_s
        if burst.edge == "leading" or burst.pending is not None:
            self._counts.add("events_debounced")
        if burst.edge != "leading":
            burst.pending = item
        return out

    def tick(self, now: float) -> list[Told[T]]:
        """Bursts that are over: what is told of them."""
        over = [(key, burst) for key, burst in self._bursts.items() if burst.until <= now]
        over.sort(key=lambda it: it[1].until)
        return [told for key, burst in over for told in self._end(key, burst, burst.until)]

    def deadline(self) -> float | None:
        """When a burst ends of which something is to be told."""
        ends = (it.until for it in self._bursts.values() if it.pending is not None)
        return min(ends, default=None)

    def flush(self, now: float) -> list[Told[T]]:
        """Nothing more comes: all bursts are over."""
        over = sorted(self._bursts.items(), key=lambda it: it[1].until)
        return [told for key, burst in over for told in self._end(key, burst, now)]

    # -- inside -------------------------------------------------------------------------------

    def _begin(
        self, key: tuple[str, str], item: T, wait_s: float, edge: Edge, now: float
    ) -> list[Told[T]]:
        if wait_s:
            burst = self._bursts[key] = _Burst[T](key[1], edge, now + wait_s)
            if edge == "trailing":
                burst.pending = item
                return []
        self._tell(key[1], now)
        return [Told(item, "trailing" if edge == "trailing" else "leading")]

    def _end(self, key: tuple[str, str], burst: _Burst[T], at: float) -> list[Told[T]]:
        del self._bursts[key]
        if burst.pending is None:
            return []
        if self._is_inhibited(burst.type, at):
            self._counts.add("events_inhibited")
            return []
        self._tell(burst.type, at)
        return [Told(burst.pending, "trailing")]

    def _tell(self, name: str, now: float) -> None:
        if any(rule.by == name for rule in self._inhibit):
            self._told_at[name] = now

    def _is_inhibited(self, name: str, now: float) -> bool:
        return any(
            now - self._told_at.get(rule.by, -math.inf) < rule.seconds
            for rule in self._inhibit
            if rule.by != name and (name in rule.types or ANY in rule.types)
        )


def _check(good: bool, what: str, instead: str) -> None:
    if not good:
        raise StageError(f"{what} confirms nothing, or everything; {instead}")
