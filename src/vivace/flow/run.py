"""A run: one pass of a stream through a processor, with all that lives and dies with it.

This file owns the lifetime of stages: opening them, telling them apart in errors, taking side lanes
straight to the output, and closing everything within a bound however the run ends.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from contextvars import ContextVar
from typing import Protocol

from vivace.errors import Closed, FlowError, StageError
from vivace.flow.bus import Bus
from vivace.flow.channel import Channel
from vivace.flow.scope import STOP_WITHIN_S, AbandonedTask, Scope, stop
from vivace.flow.streams import Source, as_stream
from vivace.part import Part, is_side_lane

__all__ = ["Run", "Stream", "current_run"]

_SIDE_PARTS = 64  # more than any stage has to say at once; then the stage that talks must wait
_current: ContextVar[Run | None] = ContextVar("vivace_run", default=None)


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
    run = _current.get()
    if run is None:
        raise StageError("no run is under way here; call the processor as `processor(source)`")
    return run


class Run:
    """Everything that one pass needs. A run begun inside another one shares its bus."""

    def __init__(self, stage: Stage, source: Source) -> None:
        parent = _current.get()
        # One part: the consumer decides the pace, and nothing runs ahead of it.
        self.output: Channel[Part] = Channel(1)
        self.side: Channel[Part] = Channel(_SIDE_PARTS)
        self.is_root = parent is None
        self.bus: Bus = parent.bus if parent else Bus(self._deliver)
        self.bus.register(self.output)
        self.scope = Scope(self.fail)
        self.loop = asyncio.get_running_loop()
        self._opened: list[AsyncGenerator[Part, None]] = []
        self._closing = False
        self._stage = stage
        self._source = source
        self._pump = self.scope.start(self._run(), f"{stage.name}.run")

    def boundary(self, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        """`stream` as the next stage sees it: side lanes taken out, failures told by `path`."""
        if isinstance(stream, AsyncGenerator):
            self._opened.append(stream)
        passed = self._pass(stream, path)
        self._opened.append(passed)
        return passed

    def fail(self, error: BaseException) -> None:
        """End the run with `error`, after what the consumer can still get."""
        self.output.close(error)

    async def close(self) -> None:
        """Stop all tasks and close all stages, the last one first, within a bound."""
        self._closing = True
        self.output.close()
        await self.scope.stop()
        opened, self._opened = self._opened[::-1], []
        closing = self.loop.create_task(_close_all(opened), name=f"{self._stage.name}.close")
        await asyncio.wait([closing], timeout=STOP_WITHIN_S)
        await stop({closing})
        if closing.done() and not closing.cancelled():
            closing.result()

    def _deliver(self, part: Part) -> None:
        try:
            self.output.send_urgent(part)
        except Closed:
            return  # the consumer has left; there is nobody to tell

    async def _run(self) -> None:
        _current.set(self)
        source = self.boundary(as_stream(self._source), "source")
        try:
            async for part in self._stage.open(self, source, self._stage.name):
                await self.output.send(part)
        except Closed:
            return  # the consumer has left
        except asyncio.CancelledError:
            if not self._closing:
                self.fail(FlowError(f"a stage of {self._stage.name} was cancelled from inside"))
            raise
        self.output.close()

    async def _pass(self, stream: AsyncIterator[Part], path: str) -> AsyncGenerator[Part, None]:
        try:
            async for part in stream:
                if part.substream and is_side_lane(part.substream):
                    await self._send_aside(part)
                else:
                    yield part
        except Exception as error:
            if not any(note.startswith("in ") for note in getattr(error, "__notes__", ())):
                error.add_note(f"in {path}")
            raise

    async def _send_aside(self, part: Part) -> None:
        # Two steps: the bound of `side` makes a talkative stage wait, the urgent lane of `output`
        # makes the part overtake. Each hand-over takes one part out of both.
        await self.side.send(part)
        self._deliver(part)


async def _close_all(opened: list[AsyncGenerator[Part, None]]) -> None:
    for stream in opened:
        try:
            await stream.aclose()
        except RuntimeError as error:
            # A stage that was abandoned is still running; it cannot be closed as well.
            warnings.warn(f"a stage could not be closed: {error}", AbandonedTask, stacklevel=2)


class Stream(AsyncIterator[Part]):
    """The parts that come out of a processor. Made by calling one; begins with the first part.

    Leaving early, by `break`, an error or cancellation, stops every task of the run and closes its
    source. `async with` makes that moment explicit; so does `aclose`.
    """

    def __init__(self, stage: Stage, source: Source) -> None:
        self._stage = stage
        self._source = source
        self._run: Run | None = None
        self._closed = False

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Part:
        if self._closed:
            raise StopAsyncIteration
        if self._run is None:
            self._run = Run(self._stage, self._source)
        run = self._run
        try:
            part = await run.output.receive()
        except Closed:
            await self.aclose()
            raise StopAsyncIteration from None
        except BaseException:
            await self.aclose()
            raise
        if part.substream and not run.side.empty() and is_side_lane(part.substream):
            await run.side.receive()
        elif part.turn and run.is_root:
            run.bus.handed_out(part)
        return part

    async def aclose(self) -> None:
        """Stop the run. Returns when all its tasks are gone, or after a bound."""
        self._closed = True
        if self._run is not None:
            run, self._run = self._run, None
            await run.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        run = self._run
        if run is not None and not run.loop.is_closed():
            run.loop.call_soon_threadsafe(_close_later, run)


_closings: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks only weakly


def _close_later(run: Run) -> None:
    task = run.loop.create_task(run.close(), name="close a stream that was left")
    _closings.add(task)
    task.add_done_callback(_closings.discard)
