"""A hop between two tasks: bounded in items and in seconds of media, with a policy for "full".

This file owns waiting for room and waiting for input. It has two lanes: what is sent urgently
overtakes what is not. Purging takes things out of the middle, and frees the senders that waited
to put such things in.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, Literal, TypeVar

import msgspec

from vivace.errors import Closed, FlowError
from vivace.flow.waiters import Waiters

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


class _Sender(Generic[T]):
    """Who waits to put something in. Told apart by identity: items need not be comparable."""

    __slots__ = ("item", "waiter", "weight")

    def __init__(self, item: T, weight: int, waiter: asyncio.Future[None]) -> None:
        self.item = item
        self.weight = weight
        self.waiter = waiter


class Channel(Generic[T]):
    """Passes items from tasks to tasks, first in first out.

    capacity: items that may wait, at least 1.
    seconds: media that may wait, as told by `weigh`; one item too long for it passes when nothing
        else waits. What weighs nothing (a signal) is not held back by it.
    full: what to do when there is no room: wait, drop the oldest that may be dropped, or drop the
        new one.
    droppable: tells what the policy may drop. If dropping would not make room, nothing is dropped,
        and the sender waits.
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
        # Whole nanoseconds: sums of them are exact, so the bound is, too.
        self._limit = seconds if math.isinf(seconds) else round(seconds * 1e9)
        self._weigh = weigh
        self._full: Full = full
        self._droppable = droppable
        self._urgent: deque[T] = deque()
        self._items: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._senders: deque[_Sender[T]] = deque()
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._woken = 0  # receivers that were promised an item and have not run yet
        self._room = Waiters()
        self._low = Waiters()
        self._closed = False
        self._error: BaseException | None = None
        self._told = False
        self._sent = self._received = self._dropped = self._purged = 0

    # -- sending ------------------------------------------------------------------------------

    async def send(self, item: T) -> None:
        """Put `item` in, waiting for room if that is the policy. Raises Closed once closed."""
        self._check_open()
        weight = self._weight_of(item)
        if not self._go_in(item, weight):
            await self._wait_for_room(item, weight)

    def try_send(self, item: T) -> bool:
        """Do what `send` does if that needs no waiting; False if it would have to wait."""
        weight = 0 if self._weigh is None else round(self._weigh(item) * 1e9)
        room = not (self._senders or self._closed) and len(self._items) < self._capacity
        if room and (not weight or not self._weight or self._weight + weight <= self._limit):
            self._items.append((item, weight))  # `_put`, spelled out: this is what a hop costs
            self._weight += weight
            self._sent += 1
            if self._receivers:
                self._wake_receiver()
            return True
        self._check_open()
        return self._go_in(item, weight)

    def offer(self, item: T) -> bool:
        """Put `item` in as far as the policy allows without waiting; False if it did not go in."""
        self._check_open()
        before = self._sent
        return self._go_in(item, self._weight_of(item)) and self._sent > before

    def send_nowait(self, item: T) -> None:
        """Put `item` in whether there is room or not.

        For the few who cannot wait and have asked `has_room` before they took their own input.
        """
        self._check_open()
        weight = 0 if self._weigh is None else round(self._weigh(item) * 1e9)
        self._items.append((item, weight))  # `_put`, spelled out: each driven stage pays it
        self._weight += weight
        self._sent += 1
        if self._receivers:
            self._wake_receiver()

    def send_urgent(self, item: T) -> None:
        """Put `item` before all that is not urgent. It needs no room."""
        self._check_open()
        self._urgent.append(item)
        self._sent += 1
        self._wake_receiver()

    def has_room(self) -> bool:
        """True if something that weighs nothing would go in at once."""
        return len(self._items) < self._capacity and not self._senders

    def has_room_for_media(self) -> bool:
        """True if fewer seconds of media wait than may."""
        return self._weight < self._limit

    def has_room_for(self, count: int) -> bool:
        """True if fewer than `count` items wait."""
        return self._waiting() < count

    async def wait_for_room(self) -> None:
        """Return when `has_room`, or when the channel is closed."""
        while not self.has_room() and not self._closed:
            await self._room.wait()

    async def wait_until_low(self) -> None:
        """Return when at most half of what may wait does, or when the channel is closed."""
        while not self._is_low() and not self._closed:
            await self._low.wait()

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more will be sent. What waits can still be received; then comes the end.

        error: if given, receivers get it, as itself, after what waits.
        """
        if self._closed:
            return
        self._closed = True
        self._error = error
        for sender in self._senders:
            if not sender.waiter.done():
                sender.waiter.set_exception(Closed("the channel was closed before there was room"))
        self._senders.clear()
        while self._receivers:
            self._wake_receiver()
        self._room.wake()
        self._low.wake()

    @property
    def closed(self) -> bool:
        """True once nothing more can be sent."""
        return self._closed

    @property
    def error(self) -> BaseException | None:
        """What it was closed with."""
        return self._error

    # -- receiving ----------------------------------------------------------------------------

    async def receive(self) -> T:
        """The next item. Raises Closed at the end, or what the channel was closed with, once."""
        my_turn = not self._woken and not self._receivers  # whoever waits already comes first
        while not my_turn or not self._waiting():
            if self._closed and not self._waiting():
                self._tell_error()
                raise Closed("the channel is closed and empty")
            await self._wait_for_item()
            my_turn = True
        item = self._take()
        self._pass_turn()
        return item

    async def more(self) -> bool:
        """Return once something waits, or, False, never will. For the one who alone receives.

        Raises what the channel was closed with, once.
        """
        while not self._items and not self._urgent:
            if self._closed:
                self._tell_error()
                return False
            await self._wait_for_item()
        return True

    def _tell_error(self) -> None:
        if self._error is not None and not self._told:
            self._told = True
            raise self._error

    def take_waiting(self) -> Iterator[T]:
        """Take what waits, item by item, until nothing does. For the one who alone receives."""
        while self._urgent or self._items:
            yield self._take()

    def _pass_turn(self) -> None:
        """Whoever waits next may look: there is more, or never will be."""
        if self._closed or self._waiting() > self._woken:
            self._wake_receiver()

    def _take(self) -> T:
        self._received += 1
        if self._urgent:
            return self._urgent.popleft()
        item, weight = self._items.popleft()
        self._weight -= weight
        if self._senders or self._room or (self._low and self._is_low()):
            self._admit()
        return item

    def empty(self) -> bool:
        """True if nothing waits in either lane."""
        return not self._urgent and not self._items

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except Closed as closed:
            if closed is self._error:
                raise  # what it was closed with, not the end
            raise StopAsyncIteration from None

    # -- the middle ---------------------------------------------------------------------------

    def purge(self, stale: Callable[[T], bool]) -> int:
        """Take out all that is stale, also what senders wait to put in; return how many."""
        kept = deque(entry for entry in self._items if not stale(entry[0]))
        count = len(self._items) - len(kept)
        self._items = kept
        self._weight = sum(weight for _, weight in kept)
        waiting, self._senders = self._senders, deque()
        for sender in waiting:
            if not stale(sender.item):
                self._senders.append(sender)
            elif not sender.waiter.done():
                sender.waiter.set_result(None)
                count += 1
        self._purged += count
        self._admit()
        return count

    @property
    def dropped(self) -> int:
        """How many items the policy has turned away."""
        return self._dropped

    def statistics(self) -> ChannelStatistics:
        """How it stands now."""
        return ChannelStatistics(
            waiting=self._waiting(),
            seconds=self._weight / 1e9,
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

    def _weight_of(self, item: T) -> int:
        return 0 if self._weigh is None else round(self._weigh(item) * 1e9)

    def _waiting(self) -> int:
        return len(self._urgent) + len(self._items)

    def _fits(self, weight: int, count: int = 0, freed: int = 0) -> bool:
        """Would it go in, once `count` items that weigh `freed` were gone?"""
        if len(self._items) - count >= self._capacity:
            return False
        left = self._weight - freed
        return not weight or not left or left + weight <= self._limit

    def _go_in(self, item: T, weight: int) -> bool:
        """Put it in or drop it, as the policy says; False if it has to wait."""
        if not self._senders and self._fits(weight):  # whoever waits already comes first
            self._put(item, weight)
            return True
        if self._full == "drop_newest" and self._droppable(item):
            self._dropped += 1
            return True
        if self._full == "drop_oldest" and not self._senders and self._drop_for(weight):
            self._put(item, weight)
            return True
        return False

    def _drop_for(self, weight: int) -> bool:
        """Drop the oldest items that make room for `weight`; none if they would not."""
        chosen: list[int] = []
        freed = 0
        for index, (item, each) in enumerate(self._items):
            if self._droppable(item):
                chosen.append(index)
                freed += each
                if self._fits(weight, len(chosen), freed):
                    break
        else:
            return False
        for index in reversed(chosen):  # few, and near the end where a deque is quick
            del self._items[index]
        self._weight -= freed
        self._dropped += len(chosen)
        return True

    def _put(self, item: T, weight: int) -> None:
        self._items.append((item, weight))
        self._weight += weight
        self._sent += 1
        if self._receivers:
            self._wake_receiver()

    def _admit(self) -> None:
        """Let in who waits, in order, as far as there is room; wake who waits for room."""
        while self._senders and self._fits(self._senders[0].weight):
            sender = self._senders.popleft()
            if not sender.waiter.done():
                sender.waiter.set_result(None)
                self._put(sender.item, sender.weight)
        if self.has_room():
            self._room.wake()
        if self._is_low():
            self._low.wake()

    def _is_low(self) -> bool:
        return 2 * len(self._items) <= self._capacity and 2 * self._weight <= self._limit

    async def _wait_for_room(self, item: T, weight: int) -> None:
        sender = _Sender(item, weight, asyncio.get_running_loop().create_future())
        self._senders.append(sender)
        try:
            await sender.waiter
        except asyncio.CancelledError:
            if sender in self._senders:
                self._senders.remove(sender)
                self._admit()  # a smaller item behind it may fit
            raise

    async def _wait_for_item(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._receivers.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._receivers:
                self._receivers.remove(waiter)
            elif not waiter.cancelled():  # promised an item that it will not take: the next one may
                self._woken -= 1
                self._pass_turn()
            raise
        self._woken -= 1

    def _wake_receiver(self) -> None:
        while self._receivers:
            waiter = self._receivers.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._woken += 1
                return
