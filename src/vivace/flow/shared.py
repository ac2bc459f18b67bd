"""One computation that several read: begun once, heard by all, stopped when nobody is left.

This file owns its task. It belongs to no run: whoever asked first may leave while others stay. So
what it computes has a run of its own, and an interruption of one reader is none of the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import copy_context

from vivace.errors import FlowError
from vivace.flow.outside import without_run
from vivace.flow.scope import Scope
from vivace.part import Part

__all__ = ["Shared"]

_AHEAD = 64  # parts that it may be ahead of its quickest reader: as far as a reply is of its pacer


class _Reader:
    __slots__ = ("at", "news")

    def __init__(self) -> None:
        self.at = 0  # the next part that it wants
        self.news = asyncio.Event()


class Shared:
    """The parts that `begin` gives, for any number of readers. name: what its task is called.

    open: a reader that comes now is given all there was. Whoever sets it to False bounds what is
    kept: from then on that is what some reader has not taken yet.
    """

    def __init__(self, begin: Callable[[], AsyncGenerator[Part, None]], name: str) -> None:
        self.open: bool = True
        self._parts: deque[Part] = deque()
        self._gone = 0  # parts that are not kept any more
        self._readers: list[_Reader] = []
        self._over = False
        self._error: Exception | None = None
        self._room = asyncio.Event()
        self._scope = Scope(lambda _: None)  # readers raise what it fails with
        self._name = name
        self._task = self._scope.start(self._work(begin), name, without_run(copy_context()))

    async def read(self) -> AsyncGenerator[Part, None]:
        """All parts, as they come. Raises what the computation raises."""
        reader = _Reader()
        self._readers.append(reader)
        try:
            while True:
                while reader.at < self._gone + len(self._parts):
                    part = self._parts[reader.at - self._gone]
                    reader.at += 1
                    self._room.set()
                    yield part
                if self._over:
                    break
                reader.news.clear()
                await reader.news.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._readers.remove(reader)
            self._room.set()
            if not self._readers:
                await self._stop()

    async def _stop(self) -> None:
        self.open = False
        if not self._task.done():
            await self._scope.stop()

    async def _work(self, begin: Callable[[], AsyncGenerator[Part, None]]) -> None:
        try:
            async with aclosing(begin()) as parts:
                async for part in parts:
                    self._parts.append(part)
                    self._tell()
                    await self._wait_for_readers()
        except asyncio.CancelledError:
            self._error = FlowError(f"{self._name} was cancelled from inside")
            raise
        except Exception as error:
            self._error = error
        finally:
            self.open = False
            self._over = True
            self._tell()

    async def _wait_for_readers(self) -> None:
        while True:
            self._forget()
            places = [reader.at for reader in self._readers]
            quickest = max(places, default=0)
            if self._gone + len(self._parts) - quickest < _AHEAD:
                return
            self._room.clear()
            await self._room.wait()

    def _forget(self) -> None:
        """Let go what nobody who may still come, and no reader, can want."""
        if self.open or not self._readers:
            return
        slowest = min(reader.at for reader in self._readers)
        while self._gone < slowest and self._parts:
            self._parts.popleft()
            self._gone += 1

    def _tell(self) -> None:
        for reader in self._readers:
            reader.news.set()
