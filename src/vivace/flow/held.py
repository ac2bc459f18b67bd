"""A context held open in a task of its own.

This file owns the lifetime of what must be entered and left by one and the same task, such as a
client with a task group inside, while others use it from wherever they are.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from vivace.errors import FlowError
from vivace.flow.scope import STOP_WITHIN_S, Scope

__all__ = ["Held"]

T = TypeVar("T")


class Held(Generic[T]):
    """Enters `context`, and leaves it when told to. Used once.

    name: of the task. leave_within_s: how long leaving may take; then the task is cancelled, and
        after two more seconds it is left behind with an AbandonedTask warning.
    """

    def __init__(
        self, context: AbstractAsyncContextManager[T], name: str, *, leave_within_s: float = 10.0
    ) -> None:
        self._context = context
        self._name = name
        self._leave_within_s = leave_within_s
        self._leave = asyncio.Event()
        self._scope = Scope(self._failed)
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def open(self, within_s: float) -> T:
        """Enter; return what the context gives.

        Raises what entering raises, and TimeoutError if it takes longer than `within_s` seconds.
        """
        entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._task = self._scope.start(self._hold(entered), self._name)
        try:
            async with asyncio.timeout(within_s):
                either: set[asyncio.Future[Any]] = {self._task, entered}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await self._scope.stop(self._leave_within_s)
            raise
        if entered.done():
            return entered.result()
        raise self._error or FlowError(f"{self._name} was cancelled from inside")

    async def close(self) -> None:
        """Leave. Does nothing if it was left, or never entered. Raises what leaving raises."""
        self._leave.set()
        if self._task is None:
            return
        try:
            await asyncio.wait([self._task], timeout=self._leave_within_s)
        finally:
            await self._scope.stop(STOP_WITHIN_S)
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def _hold(self, entered: asyncio.Future[T]) -> None:
        async with self._context as value:
            entered.set_result(value)
            await self._leave.wait()

    def _failed(self, error: BaseException) -> None:
        self._error = error
