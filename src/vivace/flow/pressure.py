"""`Pressure`: measures how hard the load presses on this loop, and tells whoever can do less.

This file owns where the numbers come from and who is told. What a level means is in
`machines/pressure.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Protocol
from weakref import WeakSet

from vivace.flow.clock import now
from vivace.flow.observe import LoopLag
from vivace.machines.pressure import Load, PressureMachine, PressureRules, Shedding, Work
from vivace.part import Data, Part

__all__ = ["Pressure", "pressure_here", "pressure_level"]

_NONE = 0.0, -math.inf
_here: ContextVar[Pressure | None] = ContextVar("vivace_pressure", default=None)


class Told(Protocol):
    """A run that is told of changes."""

    def tell(self, part: Part) -> None:
        """Give it to the consumer, if there is room on the side lanes."""
        ...

    def measured(self, by: str, what: str, value: float) -> None:
        """Tell whoever watches."""
        ...


class Pressure:
    """For `async with Pressure() as pressure:`. The runs that begin inside do less under load.

    rules: the limits of the levels. every_s: how often it is looked at.

    The level is that of the loop: of all sessions on it together. What is left out, from level 1
    on old video frames and interim transcripts, from 2 on detectors and speculation, from 3 on
    small chunks, comes back as the level falls. Each change is told on `status` of all runs:
    `pressure`, with the `level` and what it `sheds`. Audio in, signals and tool traffic are never
    shed.
    """

    def __init__(self, rules: PressureRules | None = None, *, every_s: float = 0.02) -> None:
        self.shedding: Shedding = Shedding()
        self._rules = rules
        self._machine = PressureMachine(rules)
        self._lag = LoopLag(every_s, keep=1, tell=self._look)
        self._late_s = 0.0  # the worst since it was looked at
        self._queue_s, self._queue_until = _NONE  # the worst, and how long it holds
        self._next = _NONE  # the worst of what holds longer
        self._runs: WeakSet[Told] = WeakSet()
        self._listeners: list[Callable[[int], object]] = []
        self._told: Counter[Work] = Counter()
        self._around: Pressure | None = None  # the one that holds again after this one

    async def __aenter__(self) -> Pressure:
        self._around = _here.get()
        _here.set(self)
        self._lag.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._lag.stop()
        _here.set(self._around)
        # Runs may outlive the block, and nobody would tell them that the load has gone.
        if self.level:
            self._change(0)
        self.shedding.share = 1.0
        self._machine = PressureMachine(self._rules)

    # -- asking and being told ----------------------------------------------------------------

    @property
    def level(self) -> int:
        """0 to 3."""
        return self.shedding.level

    @property
    def shed(self) -> Mapping[Work, int]:
        """How often each kind of work was left out."""
        return dict(self.shedding.counts)

    def sheds(self, work: Work, times: int = 1) -> bool:
        """True if such work is to be left out now; counted."""
        return self.shedding.sheds(work, times)

    def on_change(self, tell: Callable[[int], object]) -> Callable[[], None]:
        """Call `tell` with each new level. Returns what ends it."""
        self._listeners.append(tell)
        return lambda: self._listeners.remove(tell)

    # -- measuring ----------------------------------------------------------------------------

    def late(self, seconds: float) -> None:
        """A chunk has left so late."""
        if seconds > self._late_s:
            self._late_s = seconds

    def queued(self, seconds: float, lasts_s: float) -> None:
        """A chunk of the user's sound that lasts so long has waited so long.

        That holds until the next one is due, however often it is looked at meanwhile.
        """
        until = now() + lasts_s
        if seconds >= self._queue_s:
            self._queue_s, self._queue_until = seconds, until
        elif until > self._queue_until and seconds >= self._next[0]:
            self._next = seconds, until

    def join(self, run: Told) -> None:
        """Tell `run` of changes, for as long as it lives."""
        self._runs.add(run)
        if self.level:
            run.measured("pressure", "pressure", self.level)

    def leave(self, run: Told) -> None:
        """Tell it no more, but what was left out since it was told last."""
        if run in self._runs:
            self._tell_shed(run)
            self._runs.discard(run)

    def _look(self, lag_s: float) -> None:
        load = Load(lag_s, self._queue_s, self._late_s)
        at = now()
        self._late_s = 0.0
        if at >= self._queue_until:
            next_s, until = self._next
            self._queue_s, self._queue_until = (next_s if until > at else 0.0), until
            self._next = _NONE
        for level in self._machine.feed(load, at):
            self._change(level)
        self.shedding.share = self._machine.share(at)
        run = next(iter(self._runs), None)  # counts are of the loop, so one is told
        if run is not None:
            self._tell_shed(run)

    def _tell_shed(self, run: Told) -> None:
        new = self.shedding.counts - self._told
        if new:
            self._told = Counter(self.shedding.counts)
            for work, times in new.items():
                run.measured("pressure", f"shed.{work}", times)

    def _change(self, level: int) -> None:
        self.shedding.level = level
        news = {"event": "pressure", "level": level, "sheds": list(self.shedding.shed)}
        for run in list(self._runs):
            run.measured("pressure", "pressure", level)
            run.tell(Part(Data(news), role="model", substream="status"))
        for tell in list(self._listeners):
            tell(level)


def pressure_here() -> Pressure | None:
    """The one that runs which begin here are under."""
    return _here.get()


def pressure_level() -> int:
    """The level of now, for who may do less; 0 where nobody measures it."""
    pressure = _here.get()
    return 0 if pressure is None else pressure.level
