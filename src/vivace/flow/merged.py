"""Streams read side by side, each by a task of the run, and merged into one.

This file owns who is next. Each stream is one part ahead and no more: the part stands in line, and
only when it has been taken is the next one asked for. The line is first come, first served. So a
stream that always has a part ready gives one and then waits for all others that have one, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextvars import Context
from typing import Literal, TypeAlias

from vivace.errors import FlowError, StageError
from vivace.flow.closing import attach
from vivace.flow.inlet import Inlet
from vivace.flow.run import Run
from vivace.flow.streams import Source
from vivace.part import Part

__all__ = ["Ends", "Merged", "check_ends"]

Ends: TypeAlias = Literal["all", "first"]


def check_ends(ends: str) -> None:
    """Raise StageError unless it is a way to end."""
    if ends not in ("all", "first"):
        raise StageError(f"ends={ends!r} is no way to end; use 'all' or 'first'")


class _Inflow:
    __slots__ = ("counts", "inlet", "name", "stream", "taken")

    def __init__(
        self, stream: AsyncIterator[Part], name: str, inlet: Inlet | None, counts: bool
    ) -> None:
        self.stream = stream
        self.name = name
        self.inlet = inlet
        self.counts = counts
        self.taken = asyncio.Event()


class Merged:
    """Several streams as one, for a stage's output.

    ends: whether it ends when all streams have, or when the first has.

    The first error ends it, in its place in line: what came before it comes out before it. Errors
    of other streams are attached to it; without a first one, they end the run.
    """

    def __init__(self, run: Run, ends: Ends = "all") -> None:
        self._run = run
        self._ends = ends
        self._inflows: list[_Inflow] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._line: deque[tuple[_Inflow, Part | Exception | None]] = deque()
        self._news = asyncio.Event()
        self._over = False
        self._raised: Exception | None = None
        self.context: Context | None = None
        """What the tasks see that read the streams; the run's own context if None."""

    def add(self, stream: AsyncIterator[Part], name: str, *, counts: bool = True) -> None:
        """Read `stream` too. counts: False if its end is nobody's end."""
        self._run.own(stream, name)
        self._inflows.append(_Inflow(stream, name, None, counts))

    def add_source(self, source: Source, path: str) -> None:
        """Read a source too, told by `path`; closed as soon as it is not read any more."""
        inlet = Inlet(source)
        self._inflows.append(_Inflow(self._run.boundary(inlet, path), path, inlet, True))

    async def parts(self) -> AsyncGenerator[Part, None]:
        """The parts of all."""
        left = sum(inflow.counts for inflow in self._inflows)
        if self._ends == "first":
            left = min(left, 1)
        stale = self._run.bus.fence.stale
        try:
            self._start()
            while left:
                inflow, item = await self._next()
                if isinstance(item, Part):
                    inflow.taken.set()
                    if not (item.turn and stale(item)):
                        yield item
                elif item is not None:
                    self._raised = item
                    raise item
                elif inflow.counts:
                    left -= 1
        finally:
            self._stop()

    # -- inside -------------------------------------------------------------------------------

    def _start(self) -> None:
        context = self.context or self._run.context
        for inflow in self._inflows:
            name = f"reading {inflow.name}"
            self._tasks.append(self._run.scope.start(self._read(inflow), name, context.copy()))

    def _stop(self) -> None:
        self._over = True
        for task in self._tasks:
            task.cancel()
        for _, item in self._line:
            if isinstance(item, Exception):
                self._fail(item)

    async def _next(self) -> tuple[_Inflow, Part | Exception | None]:
        while not self._line:
            self._news.clear()
            await self._news.wait()
        return self._line.popleft()

    async def _read(self, inflow: _Inflow) -> None:
        error: Exception | None = None
        try:
            async for part in inflow.stream:
                if self._over:
                    break  # it was left behind, and comes too late
                inflow.taken.clear()
                self._stand_in_line(inflow, part)
                await inflow.taken.wait()
        except asyncio.CancelledError:
            if not self._over and not self._run.closing:
                error = FlowError(f"{inflow.name} was cancelled from inside")
            raise
        except Exception as raised:
            error = raised
        finally:
            self._ended(inflow, await _closed(inflow.inlet, error))

    def _ended(self, inflow: _Inflow, error: Exception | None) -> None:
        if not self._over:
            self._stand_in_line(inflow, error)
        elif error is not None:
            self._fail(error)

    def _stand_in_line(self, inflow: _Inflow, item: Part | Exception | None) -> None:
        self._line.append((inflow, item))
        self._news.set()

    def _fail(self, error: Exception) -> None:
        """Tell of an error that nobody takes from the line any more."""
        if self._raised is None:
            self._run.fail(error)
        elif self._raised is not error:
            attach(self._raised, [error])


async def _closed(inlet: Inlet | None, error: Exception | None) -> Exception | None:
    """The error that is left to tell once `inlet` is closed."""
    try:
        if inlet is not None:
            await inlet.aclose()
    except Exception as raised:
        if error is None:
            return raised
        attach(error, [raised])
    return error
