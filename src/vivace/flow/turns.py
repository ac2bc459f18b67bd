"""Whoever could go on without ever waiting goes on one after the other, one a round of the loop.

This file owns how much is read ahead at once. A hundred streams that all have something to give
would otherwise be read in one round, and whatever is due meanwhile waits for the hundredth.
"""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakKeyDictionary

__all__ = ["Turns"]


_all: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


class Turns:
    """The turns of a loop, which they keep alive only while somebody waits for one."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    @classmethod
    def here(cls) -> Turns:
        """Those of the running loop. Raises RuntimeError outside one."""
        loop = asyncio.get_running_loop()
        turns = _all.get(loop)
        if turns is None:
            turns = _all[loop] = cls()
        return turns

    async def mine(self) -> None:
        """Let all others run, and those who asked earlier have their turns."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._next, loop)
            await asyncio.sleep(0)
            return
        waiter = loop.create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else it was cancelled a moment ago
                waiter.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._taken = False
