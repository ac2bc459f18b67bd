"""Several parts at once: each is worked on as soon as it is read, and what comes of them leaves in
the order in which they came.

This file owns how far that may run ahead. Work that turns out not to wait costs no task of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from vivace.flow.closing import attach
from vivace.flow.eager import WAITS, Eager
from vivace.flow.run import Run, current_run
from vivace.flow.streams import values_of
from vivace.part import Part

__all__ = ["CONCURRENCY", "Branch", "abreast"]

CONCURRENCY = 8  # enough to hide a network's delay, and few enough not to trouble its other end
_AHEAD = 16  # parts that one call may give before its turn: a sentence's worth of tokens


class Branch(Protocol):
    """Works on one part at a time."""

    def matches(self, part: Part) -> bool:
        """True if it wants this part."""
        ...

    def take(self, part: Part) -> Any:
        """What comes of it: any number of values, or what gives them."""
        ...


def abreast(
    stream: AsyncIterator[Part],
    branches: Sequence[Branch],
    concurrency: int,
    name: str,
    *,
    fallback: bool = False,
) -> AsyncIterator[Part]:
    """What `branches` make of the parts of `stream`, at most `concurrency` parts at once.

    All branches that want a part work on it side by side. One that nobody wants passes; with
    `fallback`, so does one of which nothing came.
    """
    return _parts(stream, _Abreast(current_run(), branches, concurrency, name, fallback))


async def _parts(stream: AsyncIterator[Part], work: _Abreast) -> AsyncIterator[Part]:
    try:
        while True:
            while (part := work.next_part()) is not None:
                yield part
            if work.may_read():
                work.read(stream)
            elif work.over():
                return
            else:
                await work.news()
    finally:
        work.stop()


class _Slot:
    """What one branch has made of one part so far."""

    __slots__ = ("done", "error", "parts", "room")

    def __init__(self) -> None:
        self.parts: deque[Part] = deque()
        self.done = False
        self.error: BaseException | None = None
        self.room: asyncio.Future[None] | None = None

    def end(self, error: BaseException | None) -> None:
        self.error = error
        self.done = True

    def pop(self) -> Part:
        if self.room is not None and not self.room.done():
            self.room.set_result(None)
        return self.parts.popleft()


class _Group:
    """What the branches have made of one part so far, in their order."""

    __slots__ = ("fallback", "slots")

    def __init__(self, slots: deque[_Slot], fallback: Part | None) -> None:
        self.slots = slots
        self.fallback = fallback

    def next_part(self) -> Part | None:
        while self.slots:
            slot = self.slots[0]
            if slot.parts:
                self.fallback = None
                return slot.pop()
            if not slot.done or slot.error is not None:
                return None
            self.slots.popleft()
        part, self.fallback = self.fallback, None
        return part


class _Worker:
    """A task for work that has to wait, and what it works for."""

    __slots__ = ("eager", "slot")

    eager: Eager
    slot: _Slot


class _Abreast:
    def __init__(
        self, run: Run, branches: Sequence[Branch], concurrency: int, name: str, fallback: bool
    ) -> None:
        self._run = run
        self._branches = branches
        self._concurrency = concurrency
        self._name = name
        self._fallback = fallback
        self._groups: deque[_Group] = deque()
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._reader = self._eager("reads", self._has_read)
        self._news: asyncio.Future[None] | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._raised: BaseException | None = None
        self._stopped = False

    # -- the side of the output ---------------------------------------------------------------

    def next_part(self) -> Part | None:
        """What leaves next, if it is there. Raises what its branch raised, when that is next."""
        while self._groups:
            group = self._groups[0]
            part = group.next_part()
            if part is not None:
                return part
            if group.slots:
                if (error := group.slots[0].error) is not None:
                    self._raised = error
                    raise error
                return None
            self._groups.popleft()
        return None

    def over(self) -> bool:
        """True if nothing more will come. Raises what the stream raised."""
        if self._groups or not self._ended:
            return False
        if self._error is not None:
            self._raised = self._error
            raise self._error
        return True

    async def news(self) -> None:
        """Return when something has changed."""
        self._news = self._run.loop.create_future()
        await self._news

    def stop(self) -> None:
        """Cancel what is under way. What has failed besides is told."""
        self._stopped = True
        for eager in (self._reader, *(worker.eager for worker in self._workers)):
            eager.cancel()
        errors = [slot.error for group in self._groups for slot in group.slots]
        self._tell(*errors, self._error)

    def _tell(self, *errors: BaseException | None) -> None:
        others = [
            error
            for error in errors
            if error is not None
            and error is not self._raised
            and not isinstance(error, asyncio.CancelledError)
        ]
        if self._raised is not None:
            attach(self._raised, others)
            return
        for error in others:
            self._run.fail(error)

    # -- the side of the input ----------------------------------------------------------------

    def may_read(self) -> bool:
        """True if one more part may be taken from the stream."""
        return not self._ended and not self._reader.waits and len(self._groups) < self._concurrency

    def read(self, stream: AsyncIterator[Part]) -> None:
        """Take the next part, or have it taken as soon as it is there."""
        try:
            part = self._reader.begin(anext(stream))  # type: ignore[arg-type]
        except BaseException as error:
            self._has_read(None, error)
        else:
            if part is not WAITS:
                self._has_read(part, None)

    def _has_read(self, part: Part | None, error: BaseException | None) -> bool:
        if part is not None:
            self._groups.append(self._group(part))
        else:
            self._ended = True
            self._error = None if isinstance(error, StopAsyncIteration) else error
            if self._stopped:
                self._tell(self._error)
        self._wake()
        return not self._run.closing

    def _group(self, part: Part) -> _Group:
        slots: deque[_Slot] = deque()
        try:
            for branch in self._branches:
                if branch.matches(part):
                    slots.append(self._begin(branch, part))
        except Exception as error:
            failed = _Slot()
            failed.end(error)
            slots.append(failed)
        return _Group(slots, part if self._fallback or not slots else None)

    # -- the work -----------------------------------------------------------------------------

    def _begin(self, branch: Branch, part: Part) -> _Slot:
        slot = _Slot()
        worker = self._idle.pop() if self._idle else self._hire()
        worker.slot = slot
        try:
            outcome = worker.eager.begin(self._collect(branch, part, slot))
        except BaseException as error:
            self._done(worker, error)
        else:
            if outcome is not WAITS:
                self._done(worker, None)
        return slot

    async def _collect(self, branch: Branch, part: Part, slot: _Slot) -> None:
        result = branch.take(part)
        if asyncio.iscoroutine(result):
            result = await result
        if result.__class__ is Part:
            slot.parts.append(result)
            return
        async with aclosing(values_of(result)) as values:
            async for value in values:
                slot.parts.append(value)
                self._wake()
                while len(slot.parts) >= _AHEAD:
                    slot.room = self._run.loop.create_future()
                    await slot.room

    def _done(self, worker: _Worker, error: BaseException | None) -> bool:
        worker.slot.end(error)
        if self._stopped:
            self._tell(error)
        self._idle.append(worker)
        self._wake()
        return not self._run.closing

    def _hire(self) -> _Worker:
        worker = _Worker()
        number = len(self._workers) + 1
        worker.eager = self._eager(f"works ({number})", lambda _, error: self._done(worker, error))
        self._workers.append(worker)
        return worker

    def _eager(self, what: str, done: Callable[[Any, BaseException | None], bool]) -> Eager:
        context = self._run.context.copy()
        return Eager(self._run.scope.start, f"{self._name} {what}", context, done)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
