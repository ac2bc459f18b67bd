import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vivace.errors import Closed, FlowError
from vivace.flow.channel import Channel, ChannelStatistics, Full
from vivace.flow.clock import now

pytestmark = pytest.mark.virtual

ROUNDS = 6  # of the loop: more than any hand-over through a channel takes


async def settle() -> None:
    """Let everything happen that can happen without time passing."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


def start(coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(coro)


async def in_order(*coros: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Tasks for `coros`, each begun before the next, whatever the seed."""
    tasks = []
    for coro in coros:
        tasks.append(start(coro))
        await settle()
    return tasks


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def drain(channel: Channel[Any]) -> list[Any]:
    """All that can be received at once."""
    out = []
    while not channel.empty():
        coro = channel.receive()
        try:
            coro.send(None)
        except StopIteration as stop:
            out.append(stop.value)
    return out


def weight(item: Any) -> float:
    return float(item[1])


# -- bounds


def test_a_channel_that_can_hold_nothing_is_refused() -> None:
    """A capacity below 1 is an error that says what to use."""
    with pytest.raises(FlowError, match="0 items can pass nothing; use 1 or more"):
        Channel[int](0)


async def test_items_come_out_as_they_went_in() -> None:
    """What fits goes in and out at once, in order."""
    channel = Channel[int](3)
    for n in range(3):
        await channel.send(n)
    assert [await channel.receive() for _ in range(3)] == [0, 1, 2]


async def test_a_full_channel_makes_the_sender_wait() -> None:
    """The third item of two waits until one was taken, and goes in at that moment."""
    channel = Channel[int](2)
    await channel.send(1)
    await channel.send(2)
    third = start(channel.send(3))
    await settle()
    assert not third.done()
    assert not channel.has_room()
    assert await channel.receive() == 1
    assert channel.statistics().waiting == 2
    await third
    assert drain(channel) == [2, 3]


async def test_seconds_of_media_are_a_bound_too() -> None:
    """An item waits while it would make the media that waits longer than the bound."""
    channel = Channel[tuple[str, float]](10, seconds=1.0, weigh=weight)
    await channel.send(("a", 0.5))
    await channel.send(("b", 0.5))
    third = start(channel.send(("c", 0.25)))
    await settle()
    assert not third.done()
    assert channel.statistics().seconds == 1.0
    await channel.receive()
    await third
    assert channel.statistics().seconds == 0.75


async def test_an_item_longer_than_the_bound_passes_alone() -> None:
    """An item that is too long by itself goes in when no media waits, and only then."""
    channel = Channel[tuple[str, float]](10, seconds=1.0, weigh=weight)
    await channel.send(("long", 5.0))
    another = start(channel.send(("long too", 5.0)))
    await settle()
    assert not another.done()
    await channel.receive()
    await another
    assert drain(channel) == [("long too", 5.0)]


async def test_what_weighs_nothing_is_not_held_back_by_seconds() -> None:
    """A signal goes in although the media that waits is at its bound."""
    channel = Channel[tuple[str, float]](10, seconds=1.0, weigh=weight)
    await channel.send(("long", 5.0))
    await channel.send(("signal", 0.0))
    assert drain(channel) == [("long", 5.0), ("signal", 0.0)]


@pytest.mark.parametrize(("chunk_s", "limit_s", "count"), [(0.02, 1.0, 50), (0.1, 0.3, 3)])
@pytest.mark.parametrize("way", ["offer", "try_send"])
async def test_the_bound_in_seconds_is_exact(
    chunk_s: float, limit_s: float, count: int, way: str
) -> None:
    """One second holds fifty chunks of 20 ms, whatever floats make of the sum."""
    channel = Channel[tuple[str, float]](1000, seconds=limit_s, weigh=weight)
    taken = 0
    while getattr(channel, way)(("chunk", chunk_s)):
        taken += 1
    assert taken == count


async def test_no_crumb_of_a_second_is_left() -> None:
    """When only a signal is left waiting, no media waits: what is too long by itself goes in."""
    channel = Channel[tuple[str, float]](10, seconds=1.0, weigh=weight)
    for item in (("a", 0.1), ("b", 0.2), ("c", 0.3), ("signal", 0.0)):
        await channel.send(item)
    for _ in range(3):
        await channel.receive()
    assert channel.statistics().seconds == 0.0
    assert channel.offer(("long", 5.0))


# -- policies


async def test_drop_oldest_makes_room() -> None:
    """The oldest goes, the newest comes in, and nobody waits."""
    channel = Channel[int](2, full="drop_oldest")
    for n in range(5):
        await channel.send(n)
    assert channel.statistics().dropped == 3
    assert drain(channel) == [3, 4]


async def test_drop_oldest_counts_seconds() -> None:
    """As many are dropped as it takes until the seconds fit."""
    channel = Channel[tuple[str, float]](10, seconds=1.0, weigh=weight, full="drop_oldest")
    for name in "abcd":
        await channel.send((name, 0.25))
    await channel.send(("e", 0.5))
    assert channel.statistics().seconds == 1.0
    assert drain(channel) == [("c", 0.25), ("d", 0.25), ("e", 0.5)]


async def test_drop_oldest_leaves_zero_seconds_when_it_drops_all() -> None:
    """What was dropped weighs nothing any more, to the last crumb."""
    channel = Channel[tuple[str, float]](10, seconds=0.3, weigh=weight, full="drop_oldest")
    await channel.send(("a", 0.1))
    await channel.send(("b", 0.2))
    await channel.send(("c", 0.3))
    assert drain(channel) == [("c", 0.3)]
    assert channel.statistics().seconds == 0.0


async def test_drop_oldest_spares_what_must_not_be_dropped() -> None:
    """The oldest of those that may be dropped goes; the others keep their place."""
    channel = Channel[str](3, full="drop_oldest", droppable=lambda item: item.islower())
    for item in ("SIGNAL", "a", "b"):
        await channel.send(item)
    await channel.send("c")
    assert drain(channel) == ["SIGNAL", "b", "c"]


async def test_if_nothing_may_be_dropped_the_sender_waits() -> None:
    """With nothing but signals inside, a dropping channel makes the sender wait."""
    channel = Channel[str](1, full="drop_oldest", droppable=str.islower)
    await channel.send("SIGNAL")
    sender = start(channel.send("a"))
    await settle()
    assert not sender.done()
    assert channel.statistics().dropped == 0
    assert await channel.receive() == "SIGNAL"
    await sender
    assert drain(channel) == ["a"]


async def test_a_dropping_sender_does_not_overtake_one_that_waits() -> None:
    """A small item that would fit comes in after the larger one that came before it."""
    channel = Channel[tuple[str, float]](
        10, seconds=1.0, weigh=weight, full="drop_oldest", droppable=lambda item: item[0].islower()
    )
    await channel.send(("SOUND", 0.75))
    first = start(channel.send(("FIRST", 0.5)))
    await settle()
    second = start(channel.send(("SECOND", 0.0)))
    await settle()
    seen = []
    for _ in range(3):
        seen.append((await channel.receive())[0])
        await settle()
    await asyncio.wait([first, second])
    assert seen == ["SOUND", "FIRST", "SECOND"]


async def test_nothing_is_dropped_in_vain() -> None:
    """If dropping all that may be dropped makes no room, nothing is dropped."""
    channel = Channel[tuple[str, float]](
        10, seconds=1.0, weigh=weight, full="drop_oldest", droppable=lambda item: item[0].islower()
    )
    await channel.send(("a", 0.125))
    await channel.send(("SOUND", 0.75))
    assert not channel.offer(("b", 0.5))
    assert drain(channel) == [("a", 0.125), ("SOUND", 0.75)]


async def test_drop_newest_turns_the_new_one_away() -> None:
    """What does not fit is dropped and counted; what must not be dropped waits."""
    channel = Channel[str](1, full="drop_newest", droppable=lambda item: item.islower())
    await channel.send("a")
    await channel.send("b")
    assert channel.statistics().dropped == 1
    sender = start(channel.send("SIGNAL"))
    await settle()
    assert not sender.done()
    assert await channel.receive() == "a"
    await sender
    assert drain(channel) == ["SIGNAL"]


@pytest.mark.parametrize(
    ("full", "taken", "inside"),
    [("wait", False, ["a"]), ("drop_newest", False, ["a"]), ("drop_oldest", True, ["b"])],
)
async def test_an_offer_never_waits(full: Full, taken: bool, inside: list[str]) -> None:
    """An offer tells whether it went in, by each policy."""
    channel = Channel[str](1, full=full)
    assert channel.offer("a")
    assert channel.offer("b") is taken
    assert drain(channel) == inside


async def test_an_offer_does_not_overtake_who_waits() -> None:
    """An offer is refused while somebody waits for room, even if it would fit."""
    channel = Channel[tuple[str, float]](10, seconds=1.0, weigh=weight)
    await channel.send(("a", 1.0))
    waiting = start(channel.send(("b", 1.0)))
    await settle()
    assert not channel.offer(("signal", 0.0))
    await channel.receive()
    await waiting


async def test_send_nowait_needs_no_room() -> None:
    """Who has asked before may put in more than fits; the bound holds for all others."""
    channel = Channel[int](1)
    channel.send_nowait(1)
    channel.send_nowait(2)
    assert not channel.has_room()
    assert not channel.offer(3)
    assert drain(channel) == [1, 2]
    assert channel.has_room()


# -- the urgent lane


async def test_urgent_overtakes_what_waits() -> None:
    """Urgent items come out first, in their own order, and need no room."""
    channel = Channel[str](1)
    await channel.send("a")
    channel.send_urgent("X")
    channel.send_urgent("Y")
    assert channel.statistics().waiting == 3
    assert not channel.empty()
    assert drain(channel) == ["X", "Y", "a"]


async def test_urgent_wakes_a_receiver() -> None:
    """A receiver that waits gets an urgent item at once."""
    channel = Channel[str](1)
    receiver = start(channel.receive())
    await settle()
    channel.send_urgent("X")
    assert await receiver == "X"


# -- purging


async def test_purge_takes_out_of_the_middle() -> None:
    """Stale items go, the others keep their order, and the count is told."""
    channel = Channel[tuple[str, float]](10, seconds=10.0, weigh=weight)
    for item in (("a", 1.0), ("x", 2.0), ("b", 3.0)):
        await channel.send(item)
    assert channel.purge(lambda item: item[0] == "x") == 1
    assert channel.purge(lambda item: item[0] == "x") == 0
    assert channel.statistics().seconds == 4.0
    assert drain(channel) == [("a", 1.0), ("b", 3.0)]


async def test_purge_frees_blocked_senders() -> None:
    """Who waits to put in something stale is freed, and it never goes in; the others move up."""
    channel = Channel[str](1)
    await channel.send("x1")
    senders = await in_order(*(channel.send(item) for item in ("x2", "a", "x3", "b")))
    assert channel.purge(lambda item: item.startswith("x")) == 3
    await settle()
    assert [task.done() for task in senders] == [True, True, True, False]
    assert channel.statistics() == ChannelStatistics(
        waiting=1, seconds=0.0, senders=1, receivers=0, sent=2, received=0, dropped=0, purged=3
    )
    assert await channel.receive() == "a"
    assert await channel.receive() == "b"


async def test_purge_spares_the_urgent_lane() -> None:
    """What was sent urgently is never purged."""
    channel = Channel[str](1)
    channel.send_urgent("x")
    assert channel.purge(lambda _: True) == 0
    assert drain(channel) == ["x"]


async def test_a_sender_cancelled_in_the_same_moment_is_not_counted_as_purged() -> None:
    """A sender that was just cancelled counts neither as purged nor as sent."""
    channel = Channel[str](1)
    await channel.send("a")
    sender = start(channel.send("x"))
    await settle()
    sender.cancel()
    assert channel.purge(lambda item: item == "x") == 0
    await asyncio.wait([sender])
    assert sender.cancelled()
    assert drain(channel) == ["a"]


# -- walking away


@pytest.mark.virtual(seeds=50)
async def test_a_cancelled_sender_puts_nothing_in() -> None:
    """A sender that walks away leaves nothing behind, and the one after it comes next."""
    channel = Channel[str](1)
    await channel.send("a")
    first = start(channel.send("b"))
    await settle()
    second = start(channel.send("c"))
    await settle()
    await cancel(first)
    assert channel.statistics().senders == 1
    assert await channel.receive() == "a"
    await second
    assert drain(channel) == ["c"]


async def test_when_a_large_sender_walks_away_a_small_one_fits() -> None:
    """The item behind a cancelled one goes in at once if there was room for it all along."""
    channel = Channel[tuple[str, float]](10, seconds=1.0, weigh=weight)
    await channel.send(("a", 0.5))
    large = start(channel.send(("large", 1.0)))
    await settle()
    small = start(channel.send(("small", 0.5)))
    await settle()
    assert not small.done()
    await cancel(large)
    await small
    assert drain(channel) == [("a", 0.5), ("small", 0.5)]


async def test_room_that_comes_to_a_cancelled_sender_goes_to_the_next() -> None:
    """Room made while the first sender is being cancelled is not lost."""
    channel = Channel[str](1)
    await channel.send("a")
    first = start(channel.send("b"))
    await settle()
    second = start(channel.send("c"))
    await settle()
    first.cancel()
    assert await channel.receive() == "a"
    await settle()
    assert first.cancelled()
    assert second.done()
    assert drain(channel) == ["c"]


async def test_a_sender_cancelled_after_its_item_went_in_is_cancelled_all_the_same() -> None:
    """An item that went in before the cancellation stays in, once."""
    channel = Channel[str](1)
    await channel.send("a")
    sender = start(channel.send("b"))
    await settle()
    assert await channel.receive() == "a"  # "b" goes in here
    await cancel(sender)
    assert sender.cancelled()
    assert drain(channel) == ["b"]


async def test_cancelling_a_sender_compares_no_items() -> None:
    """Items that cannot be compared, such as arrays, are no problem."""

    class Odd:
        def __eq__(self, other: object) -> NoReturn:
            raise ValueError("the truth value is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    channel = Channel[Odd](1)
    await channel.send(Odd())
    first, second = start(channel.send(Odd())), start(channel.send(Odd()))
    await settle()
    await cancel(second)
    assert second.cancelled()
    await cancel(first)
    assert first.cancelled()


@pytest.mark.virtual(seeds=50)
async def test_a_cancelled_receiver_loses_nothing() -> None:
    """An item that woke a receiver which was then cancelled goes to the next receiver."""
    channel = Channel[str](2)
    first = start(channel.receive())
    await settle()
    second = start(channel.receive())
    await settle()
    channel.send_nowait("a")
    await cancel(first)
    assert first.cancelled()
    assert await second == "a"


@pytest.mark.virtual(seeds=20)
async def test_an_item_that_meets_a_cancelled_receiver_is_received_by_another() -> None:
    """Something sent between a receiver's cancellation and its end is there for the next."""
    channel = Channel[str](2)
    first = start(channel.receive())
    await settle()
    first.cancel()
    channel.send_nowait("a")
    await asyncio.wait([first])
    assert await channel.receive() == "a"
    channel.send_nowait("b")
    assert await channel.receive() == "b"


@pytest.mark.virtual(seeds=50)
async def test_a_late_receiver_of_a_closed_channel_does_not_wait_for_ever() -> None:
    """With the last item promised to another, a receiver that comes late gets the end."""
    channel = Channel[str](2)
    first = start(channel.receive())
    await settle()
    channel.send_nowait("a")
    channel.close()
    late = start(channel.receive())
    assert await first == "a"
    with pytest.raises(Closed):
        await late


async def test_a_purge_of_a_promised_item_leaves_the_channel_in_order() -> None:
    """A receiver whose item was purged before it ran waits for the next, in its place."""
    channel = Channel[str](2)
    first = start(channel.receive())
    await settle()
    channel.send_nowait("stale")
    channel.purge(lambda item: item == "stale")
    await settle()
    second = start(channel.receive())
    await settle()
    channel.send_nowait("a")
    await settle()
    channel.send_nowait("b")
    assert (await first, await second) == ("a", "b")


async def test_a_receiver_cancelled_while_it_waits_is_forgotten() -> None:
    """A receiver that walks away no longer counts, and takes nothing."""
    channel = Channel[str](2)
    receiver = start(channel.receive())
    await settle()
    assert channel.statistics().receivers == 1
    await cancel(receiver)
    assert channel.statistics().receivers == 0
    await channel.send("a")
    assert drain(channel) == ["a"]


async def test_a_receiver_with_a_time_limit_loses_nothing() -> None:
    """An item that comes at the very moment of a timeout is received or still there."""
    channel = Channel[str](2)
    asyncio.get_running_loop().call_later(1.0, channel.send_nowait, "a")
    got = []
    with contextlib.suppress(TimeoutError):
        got.append(await asyncio.wait_for(channel.receive(), 1.0))
    await settle()
    assert got + drain(channel) == ["a"]


# -- fairness


async def test_senders_come_in_order() -> None:
    """Those who wait to send come in as they came."""
    channel = Channel[int](1)
    senders = await in_order(*(channel.send(n) for n in range(10)))
    seen = []
    for _ in range(10):
        seen.append(await channel.receive())
    await asyncio.wait(senders)
    assert seen == list(range(10))


async def test_receivers_are_served_in_order() -> None:
    """Those who wait to receive are served as they came."""
    channel = Channel[int](10)
    receivers = await in_order(*(channel.receive() for _ in range(5)))
    for n in range(5):
        channel.send_nowait(n)
        await settle()
    assert [await receiver for receiver in receivers] == [0, 1, 2, 3, 4]


async def test_a_late_receiver_does_not_push_in() -> None:
    """A receiver that has waited keeps its turn before one that waits for a shorter time."""
    channel = Channel[str](10)
    order: list[str] = []

    async def receive(name: str) -> None:
        item = await channel.receive()
        order.append(f"{name} got {item}")

    waiting = await in_order(receive("first"), receive("second"))
    channel.send_nowait("a")  # "first" is woken, and has not run yet
    waiting.append(start(receive("late")))
    await settle()
    channel.send_nowait("b")
    await settle()
    channel.send_nowait("c")
    await asyncio.wait(waiting)
    assert order == ["first got a", "second got b", "late got c"]


# -- waiting for room


async def test_waiting_for_room_returns_when_there_is_room() -> None:
    """It returns at once if there is room, else when an item is taken."""
    channel = Channel[int](1)
    await channel.wait_for_room()
    await channel.send(1)
    waiter = start(channel.wait_for_room())
    await settle()
    assert not waiter.done()
    await channel.receive()
    await waiter


async def test_waiting_for_room_ends_when_the_channel_closes() -> None:
    """Nobody waits for room in a closed channel."""
    channel = Channel[int](1)
    await channel.send(1)
    waiter = start(channel.wait_for_room())
    await settle()
    assert not waiter.done()
    channel.close()
    await waiter
    assert not channel.has_room()


async def test_all_who_wait_for_room_see_it() -> None:
    """When two items go at once, both of those who wait for room return."""
    channel = Channel[int](2)
    await channel.send(1)
    await channel.send(2)
    waiters = [start(channel.wait_for_room()) for _ in range(2)]
    await settle()
    channel.purge(lambda _: True)
    await settle()
    assert [waiter.done() for waiter in waiters] == [True, True]


async def test_cancelling_one_who_waits_for_room_wakes_the_next() -> None:
    """Room that was told to somebody who walked away is told to the next."""
    channel = Channel[int](1)
    await channel.send(1)
    first, second = start(channel.wait_for_room()), start(channel.wait_for_room())
    await settle()
    await channel.receive()
    await cancel(first)
    await second
    assert first.cancelled()
    assert channel.has_room()


async def test_who_waits_for_room_may_leave() -> None:
    """A task that gives up waiting for room is forgotten."""
    channel = Channel[int](1)
    await channel.send(1)
    waiter = start(channel.wait_for_room())
    await settle()
    await cancel(waiter)
    assert waiter.cancelled()
    assert await channel.receive() == 1


# -- without waiting, and in bulk


async def test_try_send_says_whether_it_would_have_to_wait() -> None:
    """True for what went in, False for what did not; behind somebody who waits it waits too."""
    channel = Channel[tuple[str, float]](2, seconds=1.0, weigh=weight)
    assert channel.try_send(("a", 0.75))
    assert not channel.try_send(("b", 0.5))
    waiting = start(channel.send(("c", 0.5)))
    await settle()
    assert not channel.try_send(("d", 0.0))
    await channel.receive()
    await waiting
    assert channel.try_send(("e", 0.25))
    assert drain(channel) == [("c", 0.5), ("e", 0.25)]


async def test_try_send_drops_as_the_policy_says() -> None:
    """What is dropped needs no waiting, so the answer is True; what must not be dropped waits."""
    channel = Channel[str](1, full="drop_newest", droppable=str.islower)
    assert channel.try_send("a")
    assert channel.try_send("b")
    assert not channel.try_send("SIGNAL")
    assert (channel.dropped, drain(channel)) == (1, ["a"])


async def test_try_send_wakes_a_receiver() -> None:
    """Whoever waits for an item gets it."""
    channel = Channel[str](1)
    receiver = start(channel.receive())
    await settle()
    assert channel.try_send("a")
    assert await receiver == "a"


async def test_what_waits_can_be_taken_at_once() -> None:
    """All that waits comes out without waiting, urgent first, with what came in meanwhile."""
    channel = Channel[str](3)
    for item in "ab":
        await channel.send(item)
    channel.send_urgent("X")
    seen = []
    for item in channel.take_waiting():
        seen.append(item)
        if item == "a":
            assert channel.try_send("c")
    assert seen == ["X", "a", "b", "c"]
    assert list(channel.take_waiting()) == []
    assert channel.statistics().received == 4


async def test_taking_lets_in_who_waits() -> None:
    """Taking in bulk frees senders, and whoever waits for room."""
    channel = Channel[int](1)
    await channel.send(0)
    senders = await in_order(*(channel.send(n) for n in (1, 2)))
    roomer = start(channel.wait_for_room())
    await settle()
    assert list(channel.take_waiting()) == [0, 1, 2]
    await asyncio.wait([*senders, roomer])


@pytest.mark.parametrize(("capacity", "left"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
async def test_low_is_half(capacity: int, left: int) -> None:
    """Who waits until it is low returns when half of the capacity waits, and not before."""
    channel = Channel[int](capacity)
    for n in range(capacity):
        await channel.send(n)
    waiter = start(channel.wait_until_low())
    for _ in range(capacity - left):
        await settle()
        assert not waiter.done()
        await channel.receive()
    await waiter
    await channel.wait_until_low()


async def test_low_is_half_of_the_seconds_too() -> None:
    """Few long items are not low; half of the seconds are."""
    channel = Channel[tuple[str, float]](100, seconds=1.0, weigh=weight)
    for name in "abcd":
        await channel.send((name, 0.25))
    waiter = start(channel.wait_until_low())
    await settle()
    await channel.receive()
    await settle()
    assert not waiter.done()
    await channel.receive()
    await waiter


async def test_waiting_until_low_ends_with_a_purge_or_the_close() -> None:
    """Nobody waits for a channel to be emptied that is closed, or was emptied another way."""
    for end in (lambda it: it.purge(lambda _: True), Channel.close):
        channel = Channel[int](2)
        await channel.send(1)
        await channel.send(2)
        waiter = start(channel.wait_until_low())
        await settle()
        assert not waiter.done()
        end(channel)
        await waiter


async def test_who_waits_until_low_may_leave() -> None:
    """One who gives up waiting is forgotten; the other still returns."""
    channel = Channel[int](1)
    await channel.send(1)
    first, second = start(channel.wait_until_low()), start(channel.wait_until_low())
    await settle()
    await cancel(first)
    await channel.receive()
    await second
    assert first.cancelled()


# -- the end


async def test_what_waits_outlives_the_close() -> None:
    """After closing, what waits still comes out, urgent first; then comes the end, for ever."""
    channel = Channel[str](2)
    await channel.send("a")
    channel.send_urgent("X")
    channel.close()
    channel.close()
    assert channel.closed
    assert [item async for item in channel] == ["X", "a"]
    for _ in range(2):
        with pytest.raises(Closed, match="closed and empty"):
            await channel.receive()


async def test_nothing_goes_into_a_closed_channel() -> None:
    """All five ways of sending say that the channel is closed."""
    channel = Channel[str](2)
    channel.close()
    with pytest.raises(Closed, match="nothing more can be sent"):
        await channel.send("a")
    ways: list[Callable[[str], Any]] = [
        channel.try_send,
        channel.offer,
        channel.send_nowait,
        channel.send_urgent,
    ]
    for way in ways:
        with pytest.raises(Closed, match="nothing more can be sent"):
            way("a")
    assert channel.empty()


async def test_an_error_comes_after_what_waits_and_once() -> None:
    """The error a channel was closed with is raised as itself, last, and once."""
    channel = Channel[str](2)
    await channel.send("a")
    error = ValueError("broken")
    channel.close(error)
    assert channel.error is error
    assert await channel.receive() == "a"
    with pytest.raises(ValueError, match="broken") as caught:
        await channel.receive()
    assert caught.value is error
    with pytest.raises(Closed):
        await channel.receive()


async def test_who_alone_receives_takes_all_that_waits() -> None:
    """`more` returns as soon as something is there; what comes meanwhile is taken as well."""
    channel = Channel[str](2)
    seen: list[tuple[float, str]] = []

    async def take() -> None:
        while await channel.more():
            for item in channel.take_waiting():
                seen.append((now(), item))
                if item == "b":
                    channel.send_urgent("X")

    taking = asyncio.create_task(take())
    await asyncio.sleep(1.0)
    await channel.send("a")
    await asyncio.sleep(1.0)
    await channel.send("b")
    await channel.send("c")
    await asyncio.sleep(1.0)
    channel.close()
    await taking
    assert seen == [(1.0, "a"), (2.0, "b"), (2.0, "X"), (2.0, "c")]
    assert not await channel.more()


async def test_who_alone_receives_is_told_an_error_once() -> None:
    """It comes after what waits, also to who waits already."""
    channel, error = Channel[str](2), ValueError("broken")
    waiting = asyncio.create_task(channel.more())
    await asyncio.sleep(1.0)
    channel.close(error)
    with pytest.raises(ValueError, match="broken") as caught:
        await waiting
    assert caught.value is error
    assert not await channel.more()


async def test_a_loop_over_a_channel_tells_an_error_from_the_end() -> None:
    """`async for` ends where the channel was closed, and raises what it was closed with."""
    channel, error = Channel[str](2), Closed("another channel's end")
    await channel.send("a")
    channel.close(error)
    seen: list[str] = []
    with pytest.raises(Closed) as caught:
        seen += [item async for item in tee(channel, seen)]
    assert caught.value is error
    assert seen == ["a"]
    assert [item async for item in channel] == []


async def tee(items: AsyncIterator[str], seen: list[str]) -> AsyncIterator[str]:
    async for item in items:
        seen.append(item)
        yield item


async def test_room_for_media_is_asked_apart() -> None:
    """How many wait, and whether media would still be let in, can be asked at any time."""
    channel = Channel[tuple[str, float]](10, seconds=1.0, weigh=weight)
    await channel.send(("a", 0.75))
    assert channel.has_room_for_media()
    channel.send_nowait(("b", 0.75))
    channel.send_urgent(("X", 0.0))
    assert not channel.has_room_for_media()
    assert channel.has_room()
    assert channel.has_room_for(3 + 1)
    assert not channel.has_room_for(3)


async def test_closing_wakes_everyone() -> None:
    """Receivers and senders that wait are told, and no longer counted."""
    empty, full = Channel[str](1), Channel[str](1)
    await full.send("a")
    receivers = [start(empty.receive()) for _ in range(3)]
    senders = [start(full.send("b")) for _ in range(3)]
    await settle()
    empty.close()
    full.close()
    for channel in (empty, full):
        assert (channel.statistics().senders, channel.statistics().receivers) == (0, 0)
    for task in (*receivers, *senders):
        with pytest.raises(Closed):
            await task
    assert drain(full) == ["a"]


@pytest.mark.virtual(seeds=50)
async def test_closing_and_cancelling_at_once_is_calm() -> None:
    """Those who are cancelled and closed in one moment end, and nobody complains."""
    channel = Channel[str](1)
    await channel.send("a")
    senders = [start(channel.send("b")) for _ in range(2)]
    empty = Channel[str](1)
    receivers = [start(empty.receive()) for _ in range(2)]
    roomers = [start(channel.wait_for_room()) for _ in range(2)]
    await settle()
    for tasks in (senders, receivers, roomers):
        tasks[0].cancel()
    channel.close()
    empty.close()
    for tasks in (senders, receivers, roomers):
        tasks[1].cancel()
    everyone = [*senders, *receivers, *roomers]
    await asyncio.wait(everyone)
    assert all(task.cancelled() for task in everyone)


# -- against a model


class Model:
    """What a channel promises, without tasks: who waits is a name in a list."""

    def __init__(self, capacity: int, limit: float, full: Full) -> None:
        self.capacity, self.limit, self.full = capacity, limit, full
        self.urgent: list[Any] = []
        self.items: list[Any] = []
        self.senders: list[Any] = []
        self.receivers: list[int] = []
        self.got: dict[int, Any] = {}
        self.sent = self.received = self.dropped = self.purged = 0

    def fits(self, item: Any, items: list[Any] | None = None) -> bool:
        items = self.items if items is None else items
        seconds = sum(weight(it) for it in items)
        short = not weight(item) or not seconds or seconds + weight(item) <= self.limit
        return len(items) < self.capacity and short

    def put(self, item: Any) -> None:
        self.items.append(item)
        self.sent += 1
        self.settle()

    def settle(self) -> None:
        while True:
            if self.senders and self.fits(self.senders[0]):
                self.items.append(self.senders.pop(0))
                self.sent += 1
            elif self.receivers and (self.urgent or self.items):
                lane = self.urgent or self.items
                self.got[self.receivers.pop(0)] = lane.pop(0)
                self.received += 1
            else:
                return

    def send(self, item: Any, waits: bool = True) -> bool:
        if self.fits(item) and not self.senders:
            self.put(item)
            return True
        if self.full == "drop_newest" and droppable(item):
            self.dropped += 1
            return False
        if self.full == "drop_oldest" and not self.senders and self.drop_for(item):
            self.put(item)
            return True
        if waits:
            self.senders.append(item)
        return False

    def drop_for(self, item: Any) -> bool:
        left, dropped = list(self.items), 0
        while not self.fits(item, left):
            oldest = next((it for it in left if droppable(it)), None)
            if oldest is None:
                return False
            left.remove(oldest)
            dropped += 1
        self.items, self.dropped = left, self.dropped + dropped
        return True

    def take(self) -> list[Any]:
        taken = []
        while self.urgent or self.items:
            taken.append((self.urgent or self.items).pop(0))
            self.received += 1
            self.settle()
        return taken

    def purge(self, stale: Callable[[Any], bool]) -> None:
        for lane in (self.items, self.senders):
            self.purged += sum(map(stale, lane))
            lane[:] = [item for item in lane if not stale(item)]
        self.settle()

    def statistics(self) -> ChannelStatistics:
        return ChannelStatistics(
            waiting=len(self.urgent) + len(self.items),
            seconds=sum(weight(item) for item in self.items),
            senders=len(self.senders),
            receivers=len(self.receivers),
            sent=self.sent,
            received=self.received,
            dropped=self.dropped,
            purged=self.purged,
        )


def droppable(item: Any) -> bool:
    return bool(item[2])


STEPS = st.one_of(
    st.tuples(
        st.sampled_from(["send", "send", "try", "offer", "nowait", "urgent"]),
        st.sampled_from([0.0, 0.25, 0.5, 1.0, 4.0]),
        st.booleans(),
    ),
    st.tuples(st.sampled_from(["receive", "receive", "take"]), st.just(0), st.just(0)),
    st.tuples(st.sampled_from(["leave sending", "leave receiving"]), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("purge"), st.integers(2, 4), st.just(0)),
)


@pytest.mark.parametrize("full", ["wait", "drop_oldest", "drop_newest"])
@given(
    capacity=st.integers(1, 4),
    limit=st.sampled_from([0.5, 1.0, 2.0, math.inf]),
    steps=st.lists(STEPS, max_size=25),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_a_channel_does_what_its_model_does(
    full: Full, capacity: int, limit: float, steps: list[tuple[str, Any, Any]]
) -> None:
    """Whatever is sent, received, purged and given up: content, order and counts are as said."""
    model = Model(capacity, limit, full)
    channel = Channel[Any](capacity, seconds=limit, weigh=weight, full=full, droppable=droppable)
    senders: dict[Any, asyncio.Task[Any]] = {}
    receivers: dict[int, asyncio.Task[Any]] = {}
    for number, (what, amount, may_drop) in enumerate(steps):
        item = (number, amount, may_drop)
        match what:
            case "send":
                senders[item] = start(channel.send(item))
                model.send(item)
            case "try":
                dropped = model.dropped
                went_in = model.send(item, waits=False)
                assert channel.try_send(item) is (went_in or model.dropped > dropped)
            case "take":
                assert list(channel.take_waiting()) == model.take()
            case "offer":
                assert channel.offer(item) is model.send(item, waits=False)
            case "nowait":
                channel.send_nowait(item)
                model.put(item)
            case "urgent":
                channel.send_urgent(item)
                model.urgent.append(item)
                model.sent += 1
                model.settle()
            case "receive":
                receivers[number] = start(channel.receive())
                model.receivers.append(number)
                model.settle()
            case "leave sending" if amount < len(model.senders):
                await cancel(senders[model.senders.pop(amount)])
                model.settle()
            case "leave receiving" if amount < len(model.receivers):
                await cancel(receivers[model.receivers.pop(amount)])
            case "purge":
                channel.purge(lambda item, every=amount: item[0] % every == 0)  # type: ignore[misc]
                model.purge(lambda item, every=amount: item[0] % every == 0)  # type: ignore[misc]
        await settle()
        assert channel.statistics() == model.statistics()
        done = {name: task for name, task in receivers.items() if task.done()}
        got = {name: task.result() for name, task in done.items() if not task.cancelled()}
        assert got == model.got
        assert {item for item, task in senders.items() if not task.done()} == set(model.senders)
    assert drain(channel) == model.urgent + model.items + model.senders or model.senders
    tasks = [*senders.values(), *receivers.values()]
    if tasks:
        await cancel(*tasks)
