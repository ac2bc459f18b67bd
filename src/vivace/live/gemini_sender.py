"""What goes over one connection, in order: at once as far as the socket takes it.

A task that is woken to send has its turn after all that is ready by then, which with many sessions
on a loop takes longer than to send. So a message is sent in the time of whoever has it, and what
then has to wait goes on in a task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeAlias

from vivace.flow.eager import WAITS, Eager
from vivace.flow.run import current_run
from vivace.machines.machine import Item

__all__ = ["Sender"]

Send: TypeAlias = Callable[[], Coroutine[Any, Any, Item | None]]
"""Sends one message. Returns what to tell of it; None where there is no connection any more."""


class Sender:
    """Does what is put, one after the other, from when it runs. An error ends it."""

    def __init__(self) -> None:
        self._waiting: deque[Send] = deque()
        self._tell: Callable[[Item], None] | None = None
        self._eager: Eager | None = None
        self._over: asyncio.Future[None] | None = None
        self._busy = False  # what had to wait is done, and not told yet

    def put(self, send: Send) -> None:
        """Do it after what was put before."""
        self._waiting.append(send)
        self._go_on()

    async def run(self, tell: Callable[[Item], None]) -> None:
        """Return when there is no connection any more. Raises what a message could not be sent for.

        tell: what came of each message.
        """
        self._tell = tell
        self._over = asyncio.get_running_loop().create_future()
        start = current_run().scope.start
        self._eager = Eager(start, "send to a live model", copy_context(), self._sent)
        self._go_on()
        try:
            await self._over
        finally:
            self._waiting.clear()
            self._eager.cancel()

    def _go_on(self) -> None:
        eager, over = self._eager, self._over
        while self._waiting and eager and over and not over.done():
            if eager.waits or self._busy:
                return
            try:
                outcome = eager.begin(self._waiting.popleft()())
            except Exception as error:
                over.set_exception(error)
            else:
                if outcome is not WAITS:
                    self._came(outcome)

    def _sent(self, outcome: Item | None, error: BaseException | None) -> bool:
        """What had to wait is done. What comes next cannot begin within its task."""
        self._busy = True
        asyncio.get_running_loop().call_soon(self._finish, outcome, error)
        return True

    def _finish(self, outcome: Item | None, error: BaseException | None) -> None:
        self._busy = False
        if isinstance(error, Exception) and self._over and not self._over.done():
            self._over.set_exception(error)
        elif error is None:
            self._came(outcome)
        self._go_on()

    def _came(self, outcome: Item | None) -> None:
        if outcome is not None and self._tell is not None:
            self._tell(outcome)
        elif self._over and not self._over.done():
            self._over.set_result(None)
