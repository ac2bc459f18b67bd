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
from vivace.machines.outbound import Message

__all__ = ["Sender"]

Send: TypeAlias = Callable[[Message], Coroutine[Any, Any, Item | None]]
"""Sends one message. Returns what to tell of it; None where there is no connection any more."""


class Sender:
    """Sends what is put, one after the other, while it runs. An error ends it."""

    # It knows nothing of its job but while it runs: whoever keeps senders by their jobs, weakly,
    # would else keep both for ever.
    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self._send: Send | None = None
        self._tell: Callable[[Item], None] | None = None
        self._eager: Eager | None = None
        self._over: asyncio.Future[None] | None = None
        self._busy = False  # what had to wait is done, and not told yet

    def put(self, message: Message) -> None:
        """Send it after what was put before."""
        self._waiting.append(message)
        self._go_on()

    async def run(self, send: Send, tell: Callable[[Item], None]) -> None:
        """Return when there is no connection any more. Raises what a message could not be sent for.

        tell: what came of each message.
        """
        self._send, self._tell = send, tell
        self._over = asyncio.get_running_loop().create_future()
        start = current_run().scope.start
        self._eager = Eager(start, "send to a live model", copy_context(), self._sent)
        self._go_on()
        try:
            await self._over
        finally:
            self._eager.cancel()
            self._waiting.clear()
            self._send = None

    def _go_on(self) -> None:
        eager, over = self._eager, self._over
        while self._waiting and eager and over and self._send and not over.done():
            if eager.waits or self._busy:
                return
            try:
                outcome = eager.begin(self._send(self._waiting.popleft()))
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
