import asyncio
import gc

import pytest

from vivace.flow.bus import Bus
from vivace.flow.channel import Channel
from vivace.part import (
    Held,
    Interrupted,
    Part,
    Played,
    Playing,
    Reset,
    Resumed,
    Signal,
    TurnComplete,
    TurnEnded,
)

pytestmark = pytest.mark.virtual


def bus_with_log() -> tuple[Bus, list[Part]]:
    delivered: list[Part] = []
    return Bus(delivered.append), delivered


def say(text: str, turn: int) -> Part:
    return Part(text, role="model", turn=turn)


async def test_the_clock_of_a_conversation_starts_with_its_bus() -> None:
    """Times are told from the moment that the bus was made, to a microsecond."""
    await asyncio.sleep(1.0)
    bus, delivered = bus_with_log()
    assert bus.started_at == 1.0
    await asyncio.sleep(0.1234567)
    bus.announce(Held(1))
    assert delivered == [Part(Held(1), role="model", at=0.123457)]


async def test_everyone_but_the_teller_is_told() -> None:
    """An announcement reaches all listeners in order, not who made it, and then the consumer."""
    bus, delivered = bus_with_log()
    log: list[tuple[str, Signal]] = []

    def first(signal: Signal) -> None:
        log.append(("first", signal))

    def second(signal: Signal) -> None:
        log.append(("second", signal))
        assert delivered == []

    def third(signal: Signal) -> None:
        log.append(("third", signal))

    for listener in (first, second, third):
        bus.subscribe(listener)
    bus.announce(Held(3), first)
    assert log == [("second", Held(3)), ("third", Held(3))]
    assert [part.body for part in delivered] == [Held(3)]


async def test_the_end_of_a_turn_keeps_its_place() -> None:
    """`TurnEnded` is told to machines; the consumer gets it in the stream."""
    bus, delivered = bus_with_log()
    heard: list[Signal] = []
    bus.subscribe(heard.append)
    bus.announce(TurnEnded(1.5))
    assert heard == [TurnEnded(1.5)]
    assert delivered == []


async def test_what_is_announced_meanwhile_comes_after() -> None:
    """Each announcement is told to everyone before the next, also if one causes another."""
    bus, delivered = bus_with_log()
    log: list[tuple[str, Signal]] = []

    def first(signal: Signal) -> None:
        log.append(("first", signal))
        if signal == Held(1):
            bus.announce(Resumed(1), first)
            bus.announce(Interrupted(1), first)

    def second(signal: Signal) -> None:
        log.append(("second", signal))

    bus.subscribe(first)
    bus.subscribe(second)
    bus.announce(Held(1))
    assert log == [
        ("first", Held(1)),
        ("second", Held(1)),
        ("second", Resumed(1)),
        ("second", Interrupted(1)),
    ]
    assert [part.body for part in delivered] == [Held(1), Resumed(1), Interrupted(1)]


@pytest.mark.parametrize("signal", [Interrupted(2), Reset(2)])
async def test_an_interruption_purges_before_anyone_hears_of_it(signal: Signal) -> None:
    """When listeners are told, the fence is up and nothing stale waits in any channel."""
    bus, _ = bus_with_log()
    channels = [Channel[Part](10) for _ in range(3)]
    for channel in channels:
        bus.register(channel)
        for turn in (1, 2, 3):
            await channel.send(say("x", turn))
    waiting: list[int] = []
    bus.subscribe(lambda _: waiting.extend(it.statistics().waiting for it in channels))
    bus.announce(signal)
    assert bus.fence.turn == 2
    assert waiting == [1, 1, 1]


async def test_an_old_interruption_purges_nothing() -> None:
    """A turn that is void already makes nothing else void, and is still told."""
    bus, delivered = bus_with_log()
    bus.announce(Interrupted(5))
    channel = Channel[Part](10)
    bus.register(channel)
    await channel.send(say("x", 6))
    bus.announce(Interrupted(4))
    bus.announce(Reset())
    assert bus.fence.turn == 5
    assert channel.statistics().waiting == 1
    assert [part.body for part in delivered] == [Interrupted(5), Interrupted(4), Reset()]


async def test_other_signals_raise_no_fence() -> None:
    """Holding and resuming void nothing."""
    bus, _ = bus_with_log()
    bus.announce(Held(3))
    bus.announce(Resumed(3))
    bus.announce(Playing(3))
    assert bus.fence.turn == 0


async def test_a_listener_that_left_is_told_nothing() -> None:
    """After unsubscribing nothing comes any more."""
    bus, _ = bus_with_log()
    heard: list[Signal] = []
    bus.subscribe(heard.append)
    bus.announce(Held(1))
    bus.unsubscribe(heard.append)
    bus.announce(Held(2))
    assert heard == [Held(1)]


async def test_a_listener_that_leaves_meanwhile_is_told_nothing() -> None:
    """Who unsubscribes while an announcement goes round is not told of it any more."""
    bus, _ = bus_with_log()
    heard: list[Signal] = []
    bus.subscribe(lambda _: bus.unsubscribe(heard.append))
    bus.subscribe(heard.append)
    bus.announce(Held(1))
    assert heard == []


async def test_a_listener_that_raises_leaves_the_bus_in_order() -> None:
    """After an error the next announcement is told as ever, and nothing old comes with it."""
    bus, delivered = bus_with_log()
    broken = True

    def listen(_: Signal) -> None:
        if broken:
            bus.announce(Resumed(1))
            raise ValueError("broken")

    bus.subscribe(listen)
    with pytest.raises(ValueError, match="broken"):
        bus.announce(Held(1))
    broken = False
    delivered.clear()
    bus.announce(Held(2))
    assert delivered[-1].body == Held(2)


async def test_a_channel_is_forgotten_with_its_stage() -> None:
    """A bus keeps no channel alive."""
    bus, _ = bus_with_log()
    bus.register(Channel[Part](1))
    gc.collect()
    assert not list(bus._channels)


async def test_what_is_handed_out_is_booked_and_told_once() -> None:
    """The first sound of a reply is announced as playing; all of it is booked."""
    bus, delivered = bus_with_log()
    bus.handed_out(say("Hello ", 1))
    bus.handed_out(say("there.", 1))
    assert [part.body for part in delivered] == [Playing(1)]
    assert bus.ledger.heard(1).text == "Hello there."


async def test_the_end_of_a_reply_is_announced_when_it_is_handed_out() -> None:
    """`TurnComplete` in the consumer's hand means `Played`, with the same reason."""
    bus, delivered = bus_with_log()
    bus.handed_out(Part(TurnComplete(1, "failed"), role="model", turn=1))
    assert [part.body for part in delivered] == [Played(1, "failed")]


async def test_tool_traffic_in_the_consumers_hand_says_nothing() -> None:
    """A call is neither sound nor end: nothing is announced."""
    bus, delivered = bus_with_log()
    bus.handed_out(Part.call("order", {"what": "pizza"}, id="1", turn=1))
    assert delivered == []
