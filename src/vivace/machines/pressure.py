"""How hard the load presses, in four levels, and what is left out at each.

This file owns both tables and the hysteresis between levels. Audio in, signals and tool traffic are
in no table: they are never shed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import msgspec

from vivace.errors import StageError

__all__ = [
    "SHED_FROM",
    "Load",
    "PressureChanged",
    "PressureMachine",
    "PressureRules",
    "Shedding",
    "Work",
]

Work: TypeAlias = Literal["frames", "interim", "detectors", "speculation", "chunks"]

SHED_FROM: Mapping[Work, int] = {
    "frames": 1,  # old video frames: the newest tells more
    "interim": 1,  # transcripts that a later one replaces
    "detectors": 2,  # of events
    "speculation": 2,  # replies that nobody may want
    "chunks": 3,  # small ones: larger ones are fewer, and stop later
}
"""From which level on a kind of work is left out, the cheapest to miss first."""

_ROUNDING_S = 1e-9  # of times that are computed


class Load(msgspec.Struct, frozen=True):
    """The worst of the last moment, in seconds.

    lag_s: how late the event loop ran a callback. queue_s: how old the user's sound was when it
    came to a stage, beyond what is usual. late_s: how late a chunk of the agent's left.
    """

    lag_s: float = 0.0
    queue_s: float = 0.0
    late_s: float = 0.0

    def exceeds(self, other: Load, share: float = 1.0) -> bool:
        """True if any of the three is above that `share` of the other's."""
        return (
            self.lag_s > share * other.lag_s
            or self.queue_s > share * other.queue_s
            or self.late_s > share * other.late_s
        )


class PressureRules(msgspec.Struct, frozen=True):
    """When a level begins and ends.

    limits: of levels 1, 2 and 3; above any of its three numbers the level begins. A listener hears
        gaps from 20 ms of lateness on, so all that helps must have begun by then.
    confirm: so many moments in a row must say so, that a level begins, and that it is not calm: one
        is a garbage collection. While what was left out comes back, one is enough.
    calm: a level ends when all is below this share of its limits
    calm_s: for so long; then the next lower one holds, for as long again. Each time that this turns
        out to be too early, since the level rises again within as long, it takes twice as long, up
        to `longest_calm_s`; else load that goes on would be let in again and again.

    ramp_s: what a level has left out comes back little by little, within so long.

    Raises StageError for limits that do not grow, and numbers out of range.
    """

    limits: tuple[Load, Load, Load] = (
        Load(0.015, 0.10, 0.010),
        Load(0.030, 0.25, 0.015),
        Load(0.060, 0.60, 0.020),
    )
    confirm: int = 2
    calm: float = 0.5
    calm_s: float = 3.0
    longest_calm_s: float = 24.0
    ramp_s: float = 3.0

    def __post_init__(self) -> None:
        one, two, three = self.limits
        if one.exceeds(two) or two.exceeds(three):
            raise StageError(f"limits {self.limits} must grow from level to level")
        if self.confirm < 1 or not 0 < self.calm <= 1 or not min(self.calm_s, self.ramp_s) >= 0:
            raise StageError(
                f"confirm={self.confirm}, calm={self.calm:g}, calm_s={self.calm_s:g}: at least one "
                "moment, a share above 0 and up to 1, and no negative time"
            )


class PressureMachine:
    """Takes the load of each moment, and says when the level changes."""

    def __init__(self, rules: PressureRules | None = None) -> None:
        self._rules = rules or PressureRules()
        self.level: int = 0
        self._above: list[int] = []  # what the newest moments alone would say, above the level
        self._calm_since = math.inf
        self._busy = 0  # moments in a row that were not calm
        self._calm_s = self._rules.calm_s  # how long it must be calm now
        self._fell_at = -math.inf

    def feed(self, load: Load, now: float) -> list[int]:
        """The load of the last moment; returns the new level, if it has changed."""
        said = self._said(load)
        if said > self.level:
            self._calm_since = math.inf
            self._above.append(said)
            moments = self._rules.confirm if self.share(now) == 1.0 else 1
            if len(self._above) < moments:
                return []
            self._rise(min(self._above[-moments:]), now)
            return [self.level]
        self._above.clear()
        busy = load.exceeds(self._rules.limits[self.level - 1], self._rules.calm)
        self._busy = self._busy + 1 if busy else 0
        if not self.level or self._busy >= self._rules.confirm:
            self._calm_since = math.inf
            return []
        self._calm_since = min(self._calm_since, now)
        if now - self._calm_since < self._calm_s - _ROUNDING_S:
            return []
        self.level -= 1
        self._calm_since = self._fell_at = now
        return [self.level]

    def share(self, now: float) -> float:
        """How much of what came back with the newest fall is let in: 0 to 1."""
        ramp_s = self._rules.ramp_s
        return min(1.0, (now - self._fell_at) / ramp_s) if ramp_s else 1.0

    def _rise(self, level: int, now: float) -> None:
        early = now - self._fell_at < self._calm_s
        longest_s = max(self._rules.calm_s, self._rules.longest_calm_s)
        self._calm_s = min(2 * self._calm_s, longest_s) if early else self._rules.calm_s
        self.level = level
        self._above.clear()

    def _said(self, load: Load) -> int:
        return sum(load.exceeds(limits) for limits in self._rules.limits)


class PressureChanged(msgspec.Struct, frozen=True):
    """What machines of a run are fed when the level has changed."""

    level: int


class Shedding:
    """What is left out at the level of now, and how often it was.

    level: set by whoever measures. share: likewise, of what the next level would leave out: how
    much is let in. counts: by kind of work; read only.
    """

    __slots__ = ("_let_in", "counts", "level", "share")

    def __init__(self, level: int = 0) -> None:
        self.level: int = level
        self.share: float = 1.0
        self.counts: Counter[Work] = Counter()
        self._let_in = 0.0

    def sheds(self, work: Work, times: int = 1) -> bool:
        """Ask before doing such work: True if it is to be left out, which is then counted.

        Raises StageError for work that is never shed.
        """
        from_level = SHED_FROM.get(work)
        if from_level is None:
            raise StageError(f"{work!r} is never shed; what is: {', '.join(get_args(Work))}")
        if self.level < from_level - 1 or (self.level < from_level and self._lets_in()):
            return False
        self.counts[work] += times
        return True

    def _lets_in(self) -> bool:
        """True for that share of what is asked, evenly."""
        if self.share >= 1.0:
            return True
        self._let_in += self.share
        lets_in = self._let_in >= 1.0
        self._let_in -= lets_in
        return lets_in

    @property
    def shed(self) -> list[Work]:
        """What is left out now."""
        return [work for work, level in SHED_FROM.items() if self.level >= level]
