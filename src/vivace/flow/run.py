"""A run: one pass of a stream through a processor, with all that lives and dies with it.

This file owns the lifetime of stages: opening them, telling them apart in errors, taking side lanes
straight to the output, and closing everything within a bound however the run ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, Protocol

from vivace.errors import Closed, FlowError, StageError
from vivace.flow.bus import Bus
from vivace.flow.channel import Channel
from vivace.flow.clock import now
from vivace.flow.scope import STOP_WITHIN_S, Scope, complain, halt
from vivace.flow.streams import Source, SourceReader
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
        self._parent = _current.get()
        # One part: the consumer decides the pace, and nothing runs ahead of it.
        self.output: Channel[Part] = Channel(1)
        self.side: Channel[Part] = Channel(_SIDE_PARTS)
        self.is_root = self._parent is None
        self.bus: Bus = self._parent.bus if self._parent else Bus(self._deliver)
        self.bus.register(self.output)
        self.scope = Scope(self.fail)
        self.loop = asyncio.get_running_loop()
        self._opened: list[tuple[str, Any]] = []
        self.late: deque[Part] = deque()  # what was announced of the last parts
        self.closing = False
        self._stage = stage
        self._source = SourceReader(source)
        # Whoever causes a task, be it the consumer or a timer, it belongs to this run.
        self._context = copy_context()
        self._context.run(_current.set, self)
        self.start(self._run(), f"{stage.name}.run")

    def start(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `coro` as a task of this run, until it ends or the run does."""
        return self.scope.start(coro, name, self._context.copy())

    def boundary(self, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        """`stream` as the next stage sees it: side lanes taken out, failures told by `path`."""
        self.own(stream, path)
        passed = self._pass(stream, path)
        self._opened.append((path, passed))
        return passed

    def own(self, stream: AsyncIterator[Part], path: str) -> None:
        """Close `stream` when the run ends, if it can be closed."""
        if hasattr(stream, "aclose") and all(it is not stream for _, it in self._opened):
            self._opened.append((path, stream))

    def say(self, part: Part) -> None:
        """Send a part of a side lane straight to the consumer, though `side` be full.

        Whoever cannot wait asks `side.has_room` before taking more input.
        """
        if not self.output.closed:
            self.side.send_nowait(part)
            self.output.send_urgent(part)

    def fail(self, error: BaseException) -> None:
        """End the run with `error`, after what the consumer can still get."""
        self.output.close(error)

    async def close(self) -> None:
        """Stop all tasks and close all stages, the last one first, within a bound.

        Raises the first error of a stage's cleanup, once all is closed.
        """
        self.closing = True
        self.output.close()
        closer = self.loop.create_task(
            self._close(), name=f"{self._stage.name}.close", context=self._context.copy()
        )
        cancelled: asyncio.CancelledError | None = None
        while not closer.done():
            try:
                await asyncio.wait([closer])
            except asyncio.CancelledError as error:
                cancelled = error  # closing is bounded: finish it, then be cancelled
        failed = closer.exception()
        if cancelled is not None:
            raise cancelled
        if failed is not None:
            raise failed

    async def _close(self) -> None:
        until = now() + STOP_WITHIN_S
        complaints = await self.scope.halt(STOP_WITHIN_S / 2)
        half = now() + (until - now()) / 2
        opened, self._opened = self._opened, []
        running = [(path, it) for path, it in opened if getattr(it, "ag_running", False)]
        closings: list[asyncio.Task[None]] = []
        for path, stream in opened[::-1]:
            if not getattr(stream, "ag_running", False):
                closings.append(self.loop.create_task(stream.aclose(), name=f"closing {path}"))
                # In order while there is time; after that all begin, whatever the others do.
                await asyncio.wait(closings[-1:], timeout=max(0.0, half - now()))
        closings.append(self.loop.create_task(self._source.close_unread(), name="closing source"))
        await asyncio.wait(closings[-1:], timeout=max(0.0, half - now()))
        slow = {closing for closing in closings if not closing.done()}
        left = await halt(slow, max(0.0, until - now()))
        for closing in slow:
            left.setdefault(closing, f"{closing.get_name()} took too long and was cancelled")
        if running:
            path = running[0][0]  # each of them waits for the one before it
            complaints = dict.fromkeys(complaints, f"{path} would not stop and was left behind")
            self._close_later(set(complaints), running)
        ended = [closing for closing in closings if closing.done() and not closing.cancelled()]
        errors = [error for closing in ended if (error := closing.exception())]
        complain(complaints | left)
        if errors:
            raise errors[0]

    def _close_later(self, stuck: set[asyncio.Task[Any]], running: list[tuple[str, Any]]) -> None:
        """Should the tasks that were left behind ever end, close what they kept from it."""

        async def close() -> None:
            await asyncio.wait(stuck)
            for _, stream in reversed(running):
                await stream.aclose()

        if stuck:
            self.loop.create_task(close(), name=f"{self._stage.name}.close when it can")

    def _deliver(self, part: Part) -> None:
        try:
            self.output.send_urgent(part)
        except Closed:
            if not self.closing:  # else the consumer has left, and there is nobody to tell
                self.late.append(part)

    async def _run(self) -> None:
        source: AsyncIterator[Part] = self._source.read()
        if self._parent is not None:
            self._opened.append(("source", source))
            source = _pulled_by(self._parent, source)
        try:
            out = self._stage.open(self, self.boundary(source, "source"), self._stage.name)
            async for part in out:
                if not (part.turn and self.bus.fence.stale(part)):
                    await self.output.send(part)
        except asyncio.CancelledError:
            if not self.closing:
                self.fail(FlowError(f"a stage of {self._stage.name} was cancelled from inside"))
            raise
        self.output.close()

    async def _pass(self, stream: AsyncIterator[Part], path: str) -> AsyncGenerator[Part, None]:
        try:
            async for part in stream:
                if part.substream and is_side_lane(part.substream):
                    await self.side.wait_for_room()
                    self.say(part)
                else:
                    yield part
        except Exception as error:
            note_path(error, path)
            raise


def note_path(error: Exception, path: str) -> None:
    """Note once where `error` came from: the first to tell is nearest to it."""
    if not getattr(error, "_vivace_path", None):
        error._vivace_path = path  # type: ignore[attr-defined]
        error.add_note(f"in {path}")


async def _pulled_by(run: Run, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """`stream`, whose stages belong to `run`, also while a nested run reads from it."""
    while True:
        token = _current.set(run)
        try:
            part = await anext(stream)
        except StopAsyncIteration:
            return
        finally:
            _current.reset(token)
        yield part


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
        except Closed as closed:
            if run.late and closed is not run.output.error:
                return run.late.popleft()
            await self.aclose()
            if closed is run.output.error:
                raise  # a stage's own, not the end of the output
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
