"""A stream: the parts that come out of a processor, and the consumer's hand on the run.

This file owns what a consumer may do: take parts, leave early, or drop the stream half-way.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from vivace.flow.hop import Taker
from vivace.flow.run import AT_ONCE, Run, Stage
from vivace.flow.streams import Source
from vivace.flow.untold import Untold
from vivace.part import Held, Part, Resumed

__all__ = ["Stream"]


class Stream(Taker):
    """The parts that come out of a processor. Made by calling one; begins with the first part.

    Leaving early, by `break`, an error or cancellation, stops every task of the run and closes its
    source. `async with` makes that moment explicit; so does `aclose`.

    An error is raised once, as itself. Whatever else fails, then or while the run is closed, is
    noted on it.
    """

    def __init__(self, stage: Stage, source: Source) -> None:
        self._stage = stage
        self._source = source
        self._run: Run | None = None
        self._closed = False
        self._untold = Untold()

    async def _anext(self) -> Part:
        run = self._run
        if run is None:
            if self._closed:
                raise StopAsyncIteration
            run = self._run = Run(self._stage, self._source, self._untold)
            self._gate = run.gate
        run.check_outside()
        try:
            part = await self._take(run)
        except BaseException as error:
            if isinstance(error, GeneratorExit) and error not in run.errors:
                self._leave_later()  # dropped while it waits: here nothing can be awaited
            else:
                await self._leave(error)
            raise
        counts = part.turn or isinstance(part.body, Held | Resumed)
        if counts and run.is_root and not part.substream:
            run.bus.handed_out(part)
        run.hush()
        return part

    async def _take(self, run: Run) -> Part:
        gate = run.gate
        if gate is None:  # it could not be opened, and what there is to take is there
            return cast("Part", run.take())
        gate.at_once += 1
        if gate.at_once >= AT_ONCE:
            gate.at_once = 0
            await run.let_others()
        while (part := run.take()) is None:
            await run.news()
            gate.at_once = 0
        return part

    async def aclose(self) -> None:
        """Stop the run. Returns when all its tasks are gone, or after a bound.

        Raises the first error that the consumer has not been told of.
        """
        if self._run is not None:
            self._run.check_outside()
        await self._leave(None)

    async def _leave(self, error: BaseException | None) -> None:
        if (run := self._let_go()) is not None:
            await run.close(error)

    def _leave_later(self) -> None:
        if (run := self._let_go()) is not None:
            if run.is_root:  # nobody else keeps it, and what failed is still to be reported
                untold = self._untold
                run.bus.untold = lambda: untold
            with contextlib.suppress(RuntimeError):  # the loop is closed
                run.loop.call_soon_threadsafe(_close_later, run)

    def _let_go(self) -> Run | None:
        self._closed = True
        run, self._run, self._gate = self._run, None, None
        return run

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._leave(error)

    def __del__(self) -> None:
        if hasattr(self, "_run"):  # else it could not be made
            self._leave_later()


_closings: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks only weakly


def _close_later(run: Run) -> None:
    closing = run.close(GeneratorExit())  # so that what fails is reported: nobody is there to raise
    task = run.loop.create_task(closing, name="close a stream that was left")
    _closings.add(task)
    task.add_done_callback(_closings.discard)
