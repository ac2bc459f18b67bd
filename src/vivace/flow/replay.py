"""The input of a stage that may be begun anew: what it has not answered can be given again.

This file owns which parts of the input count as answered, and how much is kept of the others. The
input is read by a task of its own, one part at a time and only when the stage asks: so stopping a
stage never stops a read half-way, which would end the stages before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from functools import partial

from vivace.errors import FlowError
from vivace.flow.clock import now
from vivace.flow.inner import Inner
from vivace.flow.part_processor import PartProcessor
from vivace.flow.processor import Processor
from vivace.flow.run import Run
from vivace.part import Part, Signal, is_side_lane

__all__ = ["KEPT_BYTES", "Replay", "is_partwise"]

KEPT_BYTES = 64 * 2**20  # half an hour of 16 kHz audio, or six hundred pictures
_PART_BYTES = 500  # what a part costs besides its bytes


def is_partwise(stage: Processor) -> bool:
    """True if signals pass `stage` in their place, behind all that was made of what was before."""
    if stage.stages != (stage,):
        return all(is_partwise(each) for each in stage.stages)
    return isinstance(stage, PartProcessor) or getattr(stage, "is_partwise", False)


class Replay:
    """Gives a stage its input, and what it did not answer again to the one that comes after it.

    An output of a stage answers all that the stage had read before it. A signal that a stage passes
    on answers only itself, and a part of a side lane answers nothing. For a stage made of part
    functions (`partwise`) it is known exactly: signals pass such a stage in their place, so one is
    sent after each part.

    What is not answered is kept, up to KEPT_BYTES. Beyond that nothing is kept, and `too_much` is
    true, until the next answer. A partwise stage holds itself what is kept, so it needs no bound.
    """

    def __init__(self, run: Run, stream: AsyncIterator[Part], *, partwise: bool) -> None:
        self.too_much: bool = False
        self.spoken: bool = False  # an answer was begun, and is not known to be complete
        self.unasked: bool = False  # the stage spoke before it was given anything
        self.answered: int = 0  # parts of the input
        self.error: Exception | None = None  # of the input: it ends so, whoever reads it
        self._kept: deque[_Given] = deque()
        self._kept_bytes = 0
        self._ahead: deque[_Given] = deque()  # to be given next
        self._mark = Part(_Mark()) if partwise else None  # type: ignore[arg-type]
        self._stage: _Stage | None = None
        self._ended = False
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()
        self._run = run
        run.own(stream, "the input of a stage that may be begun anew")
        self._task = run.start(self._read(stream), "read for a stage that may be begun anew")

    # -- for whoever begins stages ------------------------------------------------------------

    def through(self, stage: Processor, *, keep: bool = True) -> Inner:
        """The output of `stage` over what was not answered and the rest. It has a run of its own.

        keep: whether there may be another stage after this one.
        """
        self._ahead.extendleft(reversed(self._kept))
        self._kept.clear()
        self._kept_bytes = 0
        it = self._stage = _Stage(keep)
        return Inner(stage, partial(self._give, it), partial(self._put_out, it))

    def waiting_since(self) -> float | None:
        """When the oldest part without an answer was first given; None if there is none."""
        return self._kept[0].at if self._kept else None

    def skip_spoken(self) -> None:
        """Leave out the part whose answer was begun: nobody is to answer it twice."""
        if self.spoken and self._kept:
            self._answer(1)

    def is_over(self) -> bool:
        """True if the input has ended, as far as was read, and all of it is answered."""
        return self._ended and bool(self.answered) and not (self._kept or self._ahead)

    async def look_ahead(self) -> None:
        """The stage has failed: if it has answered everything, see whether there is more."""
        self._stage = None
        while not (self._kept or self._ahead or self._ended):
            await self._next()

    def close(self) -> None:
        """Read no more."""
        self._task.cancel()

    # -- the stage's two ends -----------------------------------------------------------------

    async def _give(self, stage: _Stage) -> Part:
        while stage is self._stage:
            if self._mark is None:
                self.spoken = False  # it asks for more, so it has said what it had to say
            if stage.mark_is_due and self._mark is not None:
                stage.mark_is_due = False
                return self._mark
            if self._ahead:
                return self._give_next(stage)
            if self.error is not None:
                raise self.error
            if self._ended:
                break
            await self._next()
        raise StopAsyncIteration

    def _give_next(self, stage: _Stage) -> Part:
        given = self._ahead.popleft()
        stage.has_input = True
        if stage.keep:
            stage.mark_is_due = True
            given.at = now() if given.at is None else given.at
            self._kept.append(given)
            self._kept_bytes += _PART_BYTES + len(given.part.bytes)
            if self._kept_bytes > KEPT_BYTES and self._mark is None:
                self._kept.clear()
                self._kept_bytes = 0
                self.too_much = True
        return given.part

    def _put_out(self, stage: _Stage, part: Part) -> bool:
        if stage is not self._stage or is_side_lane(part.substream):
            return True
        if part is self._mark:
            self.spoken = False
            self._answer(1)
            return False
        if self._mark is None:
            if isinstance(part.body, Signal) and self._is_passed_on(part):
                return True
            self.unasked = self.unasked or not stage.has_input
            self._answer(len(self._kept))
        self.spoken = True
        return True

    def _is_passed_on(self, part: Part) -> bool:
        for index, given in enumerate(self._kept):
            if given.part is part:
                del self._kept[index]
                self._kept_bytes -= _PART_BYTES
                return True
        return False

    def _answer(self, count: int) -> None:
        for _ in range(count):
            self._kept_bytes -= _PART_BYTES + len(self._kept.popleft().part.bytes)
        self.answered += max(count, self.too_much)
        self.too_much = False

    # -- reading ------------------------------------------------------------------------------

    async def _next(self) -> None:
        self._news.clear()
        self._wanted.set()
        await self._news.wait()

    async def _read(self, stream: AsyncIterator[Part]) -> None:
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                if not self._ahead:  # else somebody asked who is gone by now
                    self._ahead.append(_Given(await anext(stream)))
                self._news.set()
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            if not self._run.closing:
                self.error = FlowError("what a stage reads from was cancelled from inside")
            raise
        except Exception as error:
            self.error = error
        finally:
            self._ended = True
            self._news.set()


class _Given:
    """A part of the input, and when a stage was first given it."""

    __slots__ = ("at", "part")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.at: float | None = None


class _Mark(Signal, frozen=True):
    """Follows each part through a partwise stage: what was before it is answered."""


class _Stage:
    """What is known of the stage that is being given the input."""

    __slots__ = ("has_input", "keep", "mark_is_due")

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.has_input = False
        self.mark_is_due = False
