"""One stream as several: each part goes to every branch.

This file owns when the source is read: when a branch asks for a part that is not there yet, and no
other branch is too far behind. So nothing is pulled that nobody has asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextvars import copy_context

from vivace.errors import FlowError, StageError
from vivace.flow.channel import Channel
from vivace.flow.closing import attach
from vivace.flow.inlet import Inlet
from vivace.flow.run import Run, current_run
from vivace.flow.scope import STOP_WITHIN_S, Scope, stop
from vivace.flow.streams import Source
from vivace.machines.fence import is_stale
from vivace.part import Held, Interrupted, Part, Reset, Resumed, is_side_lane

__all__ = ["Branch", "split"]


def split(
    source: Source, n: int, *, capacity: int = 16, seconds: float = 2.0
) -> tuple[Branch, ...]:
    """`n` streams of the same parts, to be read at the same time by different tasks.

    capacity: parts that may wait for a branch; with so many waiting for one of them, also if nobody
        has begun to read it, the others wait. 16 chunks of 20 ms are 0.3 s: more than a branch that
        works in bursts is behind, and too little to hear.
    seconds: seconds of audio likewise.

    Nothing is dropped. What overtakes (an interruption, a hold, what is said aside) overtakes here
    as well, and an interruption takes out what it makes void. An error of the source reaches every
    branch after what came before it.

    The source is closed once: when it has ended, or when all branches are closed. A branch that is
    closed, dropped or cancelled holds nobody back. Within a stage, the source is read as a part of
    its run, and no longer than that.

    Raises FlowError if `n` or `capacity` is below 1.
    """
    if n < 1:
        raise FlowError(f"a stream cannot be split into {n}; ask for 1 branch or more")
    trunk = _Trunk(source)
    backlogs = [_Backlog(capacity, seconds, trunk.news) for _ in range(n)]
    trunk.grow(backlogs)
    return tuple(Branch(trunk, backlog) for backlog in backlogs)


class Branch(AsyncIterator[Part]):
    """One of the streams that `split` made. `async with` closes it at the end of the block."""

    def __init__(self, trunk: _Trunk, backlog: _Backlog) -> None:
        self._trunk = trunk
        self._backlog = backlog
        self._left = False

    def __aiter__(self) -> Branch:
        return self

    async def __anext__(self) -> Part:
        if self._left:
            raise StopAsyncIteration
        try:
            return await self._trunk.next_for(self._backlog)
        except BaseException as error:
            # A cancellation is no place to look for what else has failed.
            await self._leave(tell=isinstance(error, Exception))
            raise

    async def aclose(self) -> None:
        """Leave. The last one to leave returns when the source is closed, or after a bound.

        Raises what closing the source raised.
        """
        await self._leave(tell=True)

    async def _leave(self, *, tell: bool) -> None:
        if not self._left:
            self._left = True
            await self._trunk.left_by(self._backlog, tell)

    async def __aenter__(self) -> Branch:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if not self._left:
            self._trunk.dropped_by(self._backlog)


class _Backlog(Channel[Part]):
    """What waits for one branch."""

    def __init__(self, capacity: int, seconds: float, news: asyncio.Event) -> None:
        super().__init__(capacity, seconds=seconds, weigh=lambda part: part.seconds)
        self.asking = 0
        self._most = capacity
        self._news = news

    @property
    def hungry(self) -> bool:
        """True if somebody asks for what is not there."""
        return self.asking > 0 and self.empty()

    @property
    def may_take(self) -> bool:
        """True if less waits than may."""
        return self.has_room_for(self._most) and self.has_room_for_media()

    def take(self, part: Part) -> None:
        """Let `part` wait in its place."""
        match part.body:
            case Interrupted(turn=turn) | Reset(turn=turn):
                self.purge(lambda waiting: is_stale(waiting, turn))
                self.send_urgent(part)
            case Held() | Resumed():
                self.send_urgent(part)
            case _ if is_side_lane(part.substream):
                self.send_urgent(part)
            case _:
                self.send_nowait(part)

    def purge(self, stale: Callable[[Part], bool]) -> int:
        count = super().purge(stale)
        self._news.set()
        return count


class _Trunk:
    """What the branches share: the source, and the task that reads it."""

    def __init__(self, source: Source) -> None:
        self.news: asyncio.Event = asyncio.Event()
        self._inlet = Inlet(source)
        self._backlogs: list[_Backlog] = []
        self._run = _run_here()
        # The source's stages belong to whoever split it, whichever branch is the first to ask.
        self._context = copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scope = Scope(self._failed)
        self._reader: asyncio.Task[None] | None = None
        self._awaited = False
        self._errors: list[BaseException] = []

    def grow(self, backlogs: list[_Backlog]) -> None:
        """Serve these."""
        self._backlogs += backlogs
        if self._run is not None:
            for backlog in backlogs:
                self._run.bus.register(backlog)
        with contextlib.suppress(RuntimeError):  # no loop runs yet: the first who reads brings it
            self._loop = asyncio.get_running_loop()

    async def next_for(self, backlog: _Backlog) -> Part:
        """The next part for this branch."""
        if self._reader is None:
            self._loop = asyncio.get_running_loop()
            self._reader = self._begin()
        backlog.asking += 1
        self.news.set()
        try:
            return await anext(backlog)
        finally:
            backlog.asking -= 1
            self.news.set()

    async def left_by(self, backlog: _Backlog, tell: bool) -> None:
        """That branch is not read any more. With the last one, the source is closed.

        tell: raise what goes wrong then; else the loop's handler is told.
        """
        if self._leave(backlog):
            self._awaited = tell
            closer = self._close_soon()
            await asyncio.wait([closer])  # cancelled or not, it goes on, within its bound
            if tell:
                closer.result()

    def dropped_by(self, backlog: _Backlog) -> None:
        """The same, from wherever the garbage collector runs."""
        if self._loop is None:
            self._leave(backlog)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._dropped_by, backlog)

    # -- inside -------------------------------------------------------------------------------

    def _dropped_by(self, backlog: _Backlog) -> None:
        if self._leave(backlog):
            self._close_soon()

    def _leave(self, backlog: _Backlog) -> bool:
        """Forget `backlog`. True if it was the last."""
        self._backlogs.remove(backlog)
        backlog.close()
        self.news.set()
        return not self._backlogs

    def _begin(self) -> asyncio.Task[None]:
        name = "the reader of split"
        if self._run is not None and not self._run.closing:
            reader = self._run.start(self._read(), name)
        else:
            reader = self._scope.start(self._read(), name, self._context.copy())
        reader.add_done_callback(self._ended)
        return reader

    async def _read(self) -> None:
        try:
            async for part in self._inlet:
                if not self._backlogs:
                    break  # it was left behind, and comes too late
                for backlog in self._backlogs:
                    backlog.take(part)
                while not self._is_wanted():
                    self.news.clear()
                    await self.news.wait()
        except Exception as error:
            self._errors.append(error)
        finally:
            await self._close_inlet()

    async def _close_inlet(self) -> None:
        try:
            await self._inlet.aclose()
        except Exception as error:
            self._errors.append(error)

    def _is_wanted(self) -> bool:
        backlogs = self._backlogs
        return any(it.hungry for it in backlogs) and all(it.may_take for it in backlogs)

    def _ended(self, reader: asyncio.Task[None]) -> None:
        # As a callback: a task that is cancelled before its first step runs nothing of its own.
        if not self._backlogs:
            return  # who closes the source is told
        if reader.cancelled():
            self._errors.append(FlowError("what split reads was cancelled before it had ended"))
        error = self._take_error()
        for backlog in self._backlogs:
            backlog.close(error)

    def _take_error(self) -> BaseException | None:
        """The first error, with the others attached to it."""
        errors, self._errors = self._errors, []
        if not errors:
            return None
        attach(errors[0], errors[1:])
        return errors[0]

    def _close_soon(self) -> asyncio.Task[None]:
        name = "closing what split reads"
        return self._scope.start(self._close(), name, self._context.copy())

    async def _close(self) -> None:
        if self._reader is None:  # nobody has read: there is only the source to close
            name = "closing the source of split"
            self._reader = self._scope.start(self._close_inlet(), name, self._context.copy())
            await asyncio.wait([self._reader], timeout=STOP_WITHIN_S / 2)
            await stop({self._reader}, STOP_WITHIN_S / 2)
        else:
            await stop({self._reader})
        error = self._take_error()
        if error is not None:
            raise error

    def _failed(self, error: BaseException) -> None:
        if not self._awaited and self._loop is not None:
            message = "the source of a split failed as it was closed"
            self._loop.call_exception_handler({"message": message, "exception": error})


def _run_here() -> Run | None:
    try:
        return current_run()
    except StageError:
        return None
