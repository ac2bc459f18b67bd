"""A run: one pass of a stream through a processor, with all that lives and dies with it.

This file owns the lifetime of stages: opening them, telling them apart in errors, handing their
parts and what they say aside to the consumer, and closing everything however the run ends. The
stages run in the consumer's own time, and nothing is made before it is asked for; where a stage has
to wait, the run's task goes on with it, so that what is urgent can still reach the consumer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, Protocol
from weakref import ref

from vivace.errors import FlowError, StageError
from vivace.flow.bus import Bus
from vivace.flow.channel import Channel
from vivace.flow.clock import now
from vivace.flow.closing import attach, close_all
from vivace.flow.eager import WAITS, Eager, Steps
from vivace.flow.hooks import Watch, watch
from vivace.flow.hop import Gate, hop
from vivace.flow.pressure import Pressure, pressure_here
from vivace.flow.scope import Scope
from vivace.flow.streams import Source, open_source
from vivace.flow.untold import Untold
from vivace.flow.wire import Wires
from vivace.machines.pressure import Shedding
from vivace.part import Audio, Part, TurnComplete, is_side_lane

__all__ = ["AT_ONCE", "CURRENT", "Run", "Stage", "current_run"]

_SIDE_PARTS = 64  # more than any stage has to say at once; then the stage that talks must wait
_KEPT = 64  # parts of a held reply; then nothing more is taken until it goes on
AT_ONCE = 64  # parts without a wait; then it is asked whether others must have their turn,
_TURN_S = 1e-3  # which they must after so long,
_TURNS = 16  # and after so many times, where no time passes
CURRENT: ContextVar[Run | None] = ContextVar("vivace_run", default=None)


class Stage(Protocol):
    """What a run needs of a processor: to be opened over a stream, under a name."""

    @property
    def name(self) -> str:
        """What errors and traces call it."""
        ...

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        """The stage's output. Called once a run, before any part flows."""
        ...


def current_run() -> Run:
    """The run that the calling stage belongs to. Raises StageError outside of one."""
    run = CURRENT.get()
    if run is None:
        raise StageError("no run is under way here; call the processor as `processor(source)`")
    return run


class Run:
    """Everything that one pass needs. A run begun inside another one shares its bus."""

    def __init__(self, stage: Stage, source: Source, untold: Untold) -> None:
        self._parent = CURRENT.get()
        self.is_root = self._parent is None
        self.bus: Bus = self._parent.bus if self._parent else Bus(self._urgent)
        if self.is_root:
            self.bus.untold = ref(untold)
        self.bus.register(self)
        self.side: Channel[Part] = Channel(_SIDE_PARTS)
        self.scope = Scope(self.fail)
        self.loop = asyncio.get_running_loop()
        self.name = stage.name
        self.opened: list[tuple[str, Any]] = []
        self.wires = Wires()
        self.errors: list[BaseException] = []  # in the order in which they came
        self.ended = self.closing = False  # ended: nothing more will come of the stages
        self.gate: Gate | None = None
        self._parts: AsyncIterator[Part] | None = None
        self._overtaking: deque[Part] = deque()
        self._part: Part | None = None  # waits for the consumer, who took something urgent first
        self._kept: deque[Part] = deque()  # of a held reply: had left its pacer when that was held
        self._consumers: list[asyncio.Future[None]] = []
        self._turn_at, self._turns = 0.0, 0  # since when others had no turn; how often it was asked
        self._told = self._over = False  # over: the consumer has gone, and gets no more errors
        # Whoever causes a task, be it the consumer or a timer, it belongs to this run.
        self.context = copy_context()
        self.context.run(CURRENT.set, self)
        above = self._parent.watch if self._parent else None
        self.watch: Watch | None = self.context.run(watch, stage.name, self.bus, above)
        self.pressure: Pressure | None = pressure_here()
        if self.pressure and self.is_root:
            self.pressure.join(self)
        self.eager = Eager(self.scope.start, f"{stage.name}.run", self.context, self._came)
        self.context.run(self._open, stage, source)

    def _open(self, stage: Stage, source: Source) -> None:
        try:
            values, closable = open_source(source)
            self.opened += [("source", it) for it in closable]
            if self._parent is not None:
                values = _pulled_by(self._parent, values)
                self.opened.append(("source", values))
            parts = aiter(stage.open(self, self._hop(values, "source"), stage.name))
            task, context = self.eager.task, self.context
            self._parts = parts
            self.gate = Gate(parts, self._came, self._waits, task, context, self.loop, AT_ONCE)
        except BaseException as error:
            self._came(None, error)

    # -- what stages use ----------------------------------------------------------------------

    def start(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `coro` as a task of this run, until it ends or the run does."""
        return self.scope.start(coro, name, self.context.copy())

    def boundary(self, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        """`stream` as the next stage sees it: side lanes taken out, failures told by `path`."""
        if hasattr(stream, "aclose"):
            self.opened.append((path, stream))
        return self._hop(stream, path)

    def own(self, stream: object, path: str) -> None:
        """Close `stream` when the run ends, if it can be closed."""
        if hasattr(stream, "aclose") and all(it is not stream for _, it in self.opened):
            self.opened.append((path, stream))

    def say(self, part: Part) -> None:
        """Send a part of a side lane straight to the consumer, though `side` be full.

        Whoever cannot wait asks `side.has_room` before taking more input.
        """
        if self.watch:
            self.watch.said(part)
        self._say(part)

    def measured(self, by: str, what: str, value: float) -> None:
        """Tell whoever watches of a number; see `Measured` for the names."""
        if self.watch:
            self.watch.measured(by, what, value)
        if self.pressure and what == "late_s":
            self.pressure.late(value)

    @property
    def shedding(self) -> Shedding:
        """What is left out under pressure; nothing where nobody measures it."""
        return self.pressure.shedding if self.pressure else Shedding()

    def tell(self, part: Part) -> None:
        """Send a part of a side lane straight to the consumer, unless that has no room."""
        if self.side.has_room():
            self.say(part)

    def _say(self, part: Part) -> None:
        if not self.closing:
            self.side.send_nowait(part)
            self._urgent(part)

    def fail(self, error: BaseException) -> None:
        """End the run with `error`, after what the consumer can still get."""
        if self._over:
            self._report(error)
        elif all(it is not error for it in self.errors):
            self.errors.append(error)
            if not self.closing and (untold := self.bus.untold()):
                untold.part(self, error)
        self._end()

    def _hop(self, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        if self.watch:
            passed, closable, meter = self.watch.observed(stream, self._aside, path)
            self.opened.append((path, closable))
        else:
            passed, meter = hop(stream, self._aside, path), None
        self.wires.carry(stream, passed, meter)
        if hasattr(passed, "ag_frame"):  # the one in C rests nowhere
            self.opened.append((path, passed))
        return passed

    def _aside(self, part: Part) -> Coroutine[Any, Any, None] | None:
        if self.side.has_room():
            self._say(part)
            return None
        return self._say_later(part)

    async def _say_later(self, part: Part) -> None:
        await self.side.wait_for_room()
        self._say(part)

    # -- what the consumer uses ---------------------------------------------------------------

    def check_outside(self) -> None:
        """Raise StageError if it is a stage of this run that asks."""
        run = CURRENT.get()
        while run is not None:
            if run is self:
                what = f"a stage of {self.name} reads or closes the stream that it is part of"
                raise StageError(f"{what}; it reads what `call` was given, and ends by returning")
            run = run._parent

    def take(self) -> Part | None:
        """What comes next, or None if that has to be waited for.

        Raises the run's first error, once; then and at the end StopAsyncIteration.
        """
        while not self._overtaking:
            if self._kept and (self.bus.held is None or self.ended):
                return self._kept.popleft()
            if self._part is not None:
                part = self._part
                if not self._is_held(part):
                    self._part = None
                    return part
                if len(self._kept) >= _KEPT:
                    return None
                self._kept.append(part)
                self._part = None
            if self.ended or self._parts is None:
                self._raise()
            elif self.eager.waits:
                return None
            else:
                self._step(self._parts)
        part = self._overtaking.popleft()
        if part.substream and not self.side.empty() and is_side_lane(part.substream):
            next(self.side.take_waiting(), None)
        return part

    def _is_held(self, part: Part) -> bool:
        """True if the consumer must not hear it now."""
        held = self.bus.held
        if held is None or part.turn > held or not self.is_root or self.ended:
            return False
        return part.role != "user" and isinstance(part.body, Audio | TurnComplete)

    @property
    def has_news(self) -> bool:
        """True if something waits for the consumer."""
        return bool(self._overtaking) or self._part is not None

    def _step(self, parts: AsyncIterator[Part]) -> None:
        """Let the stages make a part, as far as they can without waiting."""
        self._loud()
        try:
            part = self.eager.begin(anext(parts))  # type: ignore[arg-type]
        except BaseException as error:
            self._came(None, error)
        else:
            if part is not WAITS:
                self._came(part, None)

    def _waits(self, steps: Steps, waits_for: Any) -> None:
        self._loud()
        self.eager.hand_over(steps, waits_for)

    def _loud(self) -> None:
        if self.gate is not None:
            self.gate.quiet = False

    def hush(self) -> None:
        """Let the consumer take the short way again, if there is nothing on the long one."""
        if self.gate is not None:
            busy = bool(self._overtaking or self._kept or self.eager.waits)
            busy |= self._part is not None or self.bus.held is not None
            self.gate.quiet = not busy and not self.ended

    def _came(self, part: Part | None, error: BaseException | None) -> bool:
        if error is None:
            if part is not None and not (part.turn and self.bus.fence.stale(part)):
                self._part = part
            self._wake()
        elif isinstance(error, StopAsyncIteration):
            self._end()
        elif not isinstance(error, asyncio.CancelledError):
            self.fail(error)
        elif not self.closing:
            failed = FlowError(f"a stage of {self.name} was cancelled from inside")
            failed.__context__ = error  # which says where
            self.fail(failed)
        return not self.closing

    def _raise(self) -> None:
        if self.errors and not self._told and not self.closing:  # else whoever closes gets it
            self._told = True
            self._join()
            raise self.errors[0]
        raise StopAsyncIteration

    def _join(self) -> None:
        if untold := self.bus.untold():
            untold.join(self)

    async def let_others(self) -> None:
        """Let others have their turn, if it is time to: a loop of asyncio expects it."""
        self._turns += 1
        if self._turns >= _TURNS or now() - self._turn_at >= _TURN_S:
            await asyncio.sleep(0)
            self._turn_at, self._turns = now(), 0

    async def news(self) -> None:
        """Return when `take` may have something: also if, by then, somebody has taken it."""
        waiter = self.loop.create_future()
        self._consumers.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._consumers:
                self._consumers.remove(waiter)

    def _wake(self) -> None:
        self._loud()
        for waiter in self._consumers:
            if not waiter.done():
                waiter.set_result(None)
        self._consumers.clear()

    def _urgent(self, part: Part) -> None:
        if not self.closing:  # else the consumer has left, and there is nobody to tell
            self._overtaking.append(part)
            self._wake()

    def _end(self) -> None:
        self.ended = True
        self._wake()

    def purge(self, stale: Callable[[Part], bool]) -> int:
        """Take out what waits for the consumer if it is stale; return how much that was."""
        kept = [part for part in self._kept if not stale(part)]
        count = len(self._kept) - len(kept)
        self._kept = deque(kept)
        if self._part is not None and stale(self._part):
            self._part = None
            count += 1
        return count

    async def close(self, error: BaseException | None) -> None:
        """Stop all tasks and close all stages, the last one first, within a bound.

        error: what the consumer leaves with. If it is none, the first of the run's own is raised.
        """
        self.closing = True
        self._join()
        self._end()
        if self.pressure:
            self.pressure.leave(self)
        try:
            await close_all(self)
        except BaseException as instead:  # a cancellation, or a warning that was made an error
            self._tell(instead)
            raise
        finally:
            if self.watch:
                self.watch.end(self.errors[0] if self.errors else None)
        if (error is None or isinstance(error, StopAsyncIteration)) and self.errors:
            self._tell(self.errors[0])
            raise self.errors[0]
        self._tell(error)

    def _tell(self, error: BaseException | None) -> None:
        """Tell what failed besides `error`, which the consumer gets."""
        self._over = True
        if not self.errors:
            return
        others = [it for it in self.errors if it is not error]
        if isinstance(error, Exception):
            attach(error, others)
            return
        for other in others:  # a cancellation is no place to look for it
            self._report(other)

    def _report(self, error: BaseException) -> None:
        if self._parent is not None and self._parent.closing:
            self._parent.fail(error)
            return
        message = f"{self.name} failed while it was closed"
        self.loop.call_exception_handler({"message": message, "exception": error})


async def _pulled_by(run: Run, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """`stream`, whose stages belong to `run`, also while a nested run reads from it."""
    while True:
        token = CURRENT.set(run)
        try:
            part = await anext(stream)
        except StopAsyncIteration:
            return
        finally:
            CURRENT.reset(token)
        yield part
