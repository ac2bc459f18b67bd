"""A stage in a run of its own, within the run of the stage that uses it.

This file owns the step that the two keep: a stage that can be stopped alone is still no further
ahead of whoever reads it than any other stage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from vivace.flow.processor import Processor
from vivace.flow.run import Run
from vivace.flow.stream import Stream
from vivace.part import Part

__all__ = ["Inner"]


class Inner(AsyncIterator[Part]):
    """The output of `stage`, which is given input only while somebody waits for that output.

    give: the next part of the input. Raises StopAsyncIteration at its end. It may be cancelled.
    put_out: told each part in the moment it leaves the stage; False keeps it from everybody else.

    For use as `async with Inner(...) as parts`: at its end the stage is stopped, within the bound
    of a run.
    """

    def __init__(
        self,
        stage: Processor,
        give: Callable[[], Awaitable[Part]],
        put_out: Callable[[Part], bool] = lambda _: True,
    ) -> None:
        self.name: str = stage.name
        self._stage = stage
        self._give = give
        self._put_out = put_out
        self._run: Run | None = None
        self._asked = False
        self._asked_again = asyncio.Event()
        self._stream = Stream(self, _Input(self))

    async def __aenter__(self) -> Inner:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.aclose()

    async def __anext__(self) -> Part:
        self._asked = True
        self._asked_again.set()
        try:
            return await anext(self._stream)
        finally:
            self._asked = False

    def fail(self, error: Exception) -> None:
        """End it with `error`, unless a part has come in the meantime."""
        if self._run is not None and not self._run.has_news:
            self._run.fail(error)

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        """What the stage's own run calls."""
        self._run = run
        return _Output(self._stage.open(run, stream, path), self._put_out)

    async def read(self) -> Part:
        """The next part of the input, once whoever reads the output has all of it so far."""
        assert self._run is not None
        while not self._asked or self._run.has_news:
            self._asked_again.clear()
            await self._asked_again.wait()
        return await self._give()


class _Input(AsyncIterator[Part]):
    """Without `aclose`: what comes after the stage may be for another one."""

    def __init__(self, inner: Inner) -> None:
        self._inner = inner

    async def __anext__(self) -> Part:
        return await self._inner.read()


class _Output(AsyncIterator[Part]):
    def __init__(self, parts: AsyncIterator[Part], put_out: Callable[[Part], bool]) -> None:
        self._parts = parts
        self._put_out = put_out

    async def __anext__(self) -> Part:
        while True:
            part = await anext(self._parts)
            if self._put_out(part):
                return part
