"""Whoever could go on without ever waiting goes on one after the other, one a round of the loop.

This file owns how much is read ahead at once. A hundred streams that all have something to give
would otherwise be read in one round, and whatever is due meanwhile waits for the hundredth.
"""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakKeyDictionary

__all__ = ["Turns"]


class Turns:
    """The turns of a loop. Nobody waits longer than a round for each who came earlier."""

    __slots__ = ("_loop", "_taken", "_waiting")

    _all: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()

    @classmethod
    def here(cls) -> Turns:
        """Those of the running loop. Raises RuntimeError outside one."""
        loop = asyncio.get_running_loop()
        turns = cls._all.get(loop)
        if turns is None:
            turns = cls._all[loop] = cls(loop)
        return turns

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def mine(self) -> None:
        """Let all others run, and those who asked earlier have their turns."""
        if not self._taken:
            self._taken = True
            self._loop.call_soon(self._next)
            await asyncio.sleep(0)
            return
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _next(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else it was cancelled
                waiter.set_result(None)
                self._loop.call_soon(self._next)
                return
        self._taken = False
