"""A hop between two tasks: bounded in items and in seconds of media, with a policy for "full".

This file owns waiting for room and waiting for input. It has two lanes: what is sent urgently
overtakes what is not. Purging takes things out of the middle, and frees the senders that waited
to put such things in.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, Literal, TypeVar

import msgspec

from vivace.errors import Closed, FlowError

__all__ = ["Channel", "ChannelStatistics", "Full"]

T = TypeVar("T")
Full = Literal["wait", "drop_oldest", "drop_newest"]


class ChannelStatistics(msgspec.Struct, frozen=True):
    """How a channel stands. `sent` counts what was let in, `dropped` what the policy turned away,
    `purged` what was taken out as stale."""

    waiting: int
    seconds: float
    senders: int
    receivers: int
    sent: int
    received: int
    dropped: int
    purged: int


class Channel(Generic[T]):
    """Passes items from tasks to tasks, first in first out.

    capacity: items that may wait, at least 1.
    seconds: media that may wait, as told by `weigh`; one item too long for it passes when nothing
        else waits. What weighs nothing (a signal) is not held back by it.
    full: what to do when there is no room: wait, drop the oldest that may be dropped, or drop the
        new one.
    droppable: tells what the policy may drop. If nothing waiting may be dropped, the sender waits.
    """

    def __init__(
        self,
        capacity: int,
        *,
        seconds: float = math.inf,
        weigh: Callable[[T], float] | None = None,
        full: Full = "wait",
        droppable: Callable[[T], bool] = lambda _: True,
    ) -> None:
        if capacity < 1:
            raise FlowError(f"a channel for {capacity} items can pass nothing; use 1 or more")
        self._capacity = capacity
        self._limit_s = seconds
        self._weigh = weigh or (lambda _: 0.0)
        self._full: Full = full
        self._droppable = droppable
        self._urgent: deque[T] = deque()
        self._items: deque[tuple[T, float]] = deque()
        self._seconds = 0.0
        self._senders: deque[tuple[T, float, asyncio.Future[None]]] = deque()
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._room: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._error: BaseException | None = None
        self._sent = self._received = self._dropped = self._purged = 0

    # -- sending ------------------------------------------------------------------------------

    async def send(self, item: T) -> None:
        """Put `item` in, waiting for room if that is the policy. Raises Closed once closed."""
        self._check_open()
        weight = self._weigh(item)
        if self._fits(weight) and not self._senders:
            self._put(item, weight)
        elif self._full == "wait" or not self._make_room(item, weight):
            await self._wait_for_room(item, weight)

    def offer(self, item: T) -> bool:
        """Put `item` in as far as the policy allows without waiting; False if it did not go in."""
        self._check_open()
        weight = self._weigh(item)
        if self._fits(weight) and not self._senders:
            self._put(item, weight)
            return True
        before = self._sent
        return self._full != "wait" and self._make_room(item, weight) and self._sent > before

    def send_nowait(self, item: T) -> None:
        """Put `item` in whether there is room or not.

        For the few who cannot wait and have asked `has_room` before they took their own input.
        """
        self._check_open()
        self._put(item, self._weigh(item))

    def send_urgent(self, item: T) -> None:
        """Put `item` before all that is not urgent. It needs no room."""
        self._check_open()
        self._urgent.append(item)
        self._sent += 1
        self._wake(self._receivers)

    def has_room(self) -> bool:
        """True if something that weighs nothing would go in at once."""
        return len(self._items) < self._capacity and not self._senders

    async def wait_for_room(self) -> None:
        """Return when `has_room`, or when the channel is closed."""
        while not self.has_room() and not self._closed:
            await self._sleep(self._room)

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more will be sent. What waits can still be received; then comes the end.

        error: if given, receivers get it, as itself, after what waits.
        """
        if self._closed:
            return
        self._closed = True
        self._error = error
        for _, _, waiter in self._senders:
            if not waiter.done():
                waiter.set_exception(Closed("the channel was closed while waiting for room"))
        self._senders.clear()
        for waiters in (self._receivers, self._room):
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    # -- receiving ----------------------------------------------------------------------------

    async def receive(self) -> T:
        """The next item. Raises Closed at the end, or what the channel was closed with, once."""
        while True:
            if self._urgent:
                self._received += 1
                return self._urgent.popleft()
            if self._items:
                item, weight = self._items.popleft()
                self._received += 1
                self._took(weight)
                return item
            if self._closed:
                error, self._error = self._error, None
                raise error or Closed("the channel is closed and empty")
            await self._sleep(self._receivers)

    @property
    def closed(self) -> bool:
        """True once nothing more can be sent."""
        return self._closed

    def empty(self) -> bool:
        """True if nothing waits in either lane."""
        return not self._urgent and not self._items

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except Closed:
            raise StopAsyncIteration from None

    # -- the middle ---------------------------------------------------------------------------

    def purge(self, stale: Callable[[T], bool]) -> int:
        """Take out all that is stale, also what senders wait to put in; return how many."""
        kept = [(item, weight) for item, weight in self._items if not stale(item)]
        count = len(self._items) - len(kept)
        if count:
            self._items = deque(kept)
            self._seconds = sum(weight for _, weight in kept)
        waiting, self._senders = self._senders, deque()
        for entry in waiting:
            item, _, waiter = entry
            if not stale(item):
                self._senders.append(entry)
            elif not waiter.done():
                waiter.set_result(None)
                count += 1
        self._purged += count
        self._admit()
        return count

    def statistics(self) -> ChannelStatistics:
        """How it stands now."""
        return ChannelStatistics(
            waiting=len(self._urgent) + len(self._items),
            seconds=self._seconds,
            senders=len(self._senders),
            receivers=len(self._receivers),
            sent=self._sent,
            received=self._received,
            dropped=self._dropped,
            purged=self._purged,
        )

    # -- inside -------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the channel is closed: nothing more can be sent")

    def _fits(self, weight: float) -> bool:
        if len(self._items) >= self._capacity:
            return False
        return not weight or not self._seconds or self._seconds + weight <= self._limit_s

    def _put(self, item: T, weight: float) -> None:
        self._items.append((item, weight))
        self._seconds += weight
        self._sent += 1
        self._wake(self._receivers)

    def _took(self, weight: float) -> None:
        # Exactly 0 when empty: the sum of many floats would leave crumbs behind.
        self._seconds = self._seconds - weight if self._items else 0.0
        self._admit()

    def _admit(self) -> None:
        while self._senders and self._fits(self._senders[0][1]):
            item, weight, waiter = self._senders.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._put(item, weight)
        if self.has_room():
            self._wake(self._room)

    def _make_room(self, item: T, weight: float) -> bool:
        """Apply a dropping policy; False if nothing may be dropped and the sender must wait."""
        if self._full == "drop_newest":
            self._dropped += self._droppable(item)
            return self._droppable(item)
        while not self._fits(weight):
            if not self._drop_oldest():
                return False
        self._put(item, weight)
        return True

    def _drop_oldest(self) -> bool:
        for index, (item, weight) in enumerate(self._items):
            if self._droppable(item):
                del self._items[index]
                self._seconds = self._seconds - weight if self._items else 0.0
                self._dropped += 1
                return True
        return False

    async def _wait_for_room(self, item: T, weight: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        entry = (item, weight, waiter)
        self._senders.append(entry)
        try:
            await waiter
        except asyncio.CancelledError:
            if entry in self._senders:
                self._senders.remove(entry)
                self._admit()  # a smaller item behind it may fit
            raise

    async def _sleep(self, waiters: deque[asyncio.Future[None]]) -> None:
        waiter = asyncio.get_running_loop().create_future()
        waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in waiters:
                waiters.remove(waiter)
            else:  # it was woken, and will not look: wake the next one in its place
                self._wake(waiters)
            raise

    @staticmethod
    def _wake(waiters: deque[asyncio.Future[None]]) -> None:
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
