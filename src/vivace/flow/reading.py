"""A growing prompt as a stream: who reads further than it has grown waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from vivace.machines.pending import Pending
from vivace.part import Part

__all__ = ["read"]


class _Reading(AsyncIterator[Part]):
    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._waiters: list[asyncio.Future[None]] = []

    async def __anext__(self) -> Part:
        while True:
            part = self._pending.take()
            if part is not None:
                return part
            if self._pending.over:
                raise StopAsyncIteration
            await self._wait()

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._pending.changed = self._wake
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


def read(pending: Pending) -> AsyncIterator[Part]:
    """The parts of `pending`, then those that are added to it, until it is finalized.

    For one reader. Raises PromptChanged, in the middle, if the prompt outgrows its limits while it
    is read, or a reply in it turns out not to have been heard.
    """
    return _Reading(pending)
