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
    PlayedTo,
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


def chunk(turn: int, at: float | None, **metadata: object) -> Part:
    """A second of the agent's voice."""
    return Part.audio(
        bytes(32_000), words="word", role="model", turn=turn, at=at, metadata=metadata
    )


async def test_what_a_pacer_let_out_is_heard_when_it_is_played() -> None:
    """The ledger answers as of now: a chunk that is to be played from 0.5 s on is heard then."""
    bus, _ = bus_with_log()
    bus.handed_out(chunk(1, 0.5, chunk_index=0))
    assert bus.ledger.heard(1).seconds == 0.0
    await asyncio.sleep(0.75)
    assert bus.ledger.heard(1).seconds == 0.25
    assert bus.ledger.heard(1, 1.0).seconds == 0.5


@pytest.mark.parametrize("part", [chunk(1, 0.5), chunk(1, None, chunk_index=0)])
async def test_without_a_pacer_handed_out_is_heard(part: Part) -> None:
    """Nobody knows better then."""
    bus, _ = bus_with_log()
    bus.handed_out(part)
    assert bus.ledger.heard(1).seconds == 1.0


async def test_an_interruption_is_the_end_of_hearing() -> None:
    """What was ahead of the listener at that moment is never heard."""
    bus, _ = bus_with_log()
    bus.handed_out(chunk(1, 0.0, chunk_index=0))
    await asyncio.sleep(0.25)
    bus.announce(Interrupted(1))
    await asyncio.sleep(5.0)
    assert bus.ledger.heard(1).seconds == 0.25


async def test_a_complete_reply_is_heard_whole() -> None:
    """Its end was handed out, and nothing has cut it."""
    bus, _ = bus_with_log()
    bus.handed_out(chunk(1, 0.0, chunk_index=0))
    bus.handed_out(Part(TurnComplete(1), role="model", turn=1))
    assert bus.ledger.heard(1).seconds == 1.0


async def test_a_report_of_the_listener_goes_to_the_ledger() -> None:
    """Machines are told; the consumer, who made it, is not."""
    bus, delivered = bus_with_log()
    heard: list[Signal] = []
    bus.subscribe(heard.append)
    bus.handed_out(chunk(1, 0.0, chunk_index=0))
    await asyncio.sleep(0.5)
    bus.announce(PlayedTo(1, 0.25))
    assert heard == [Playing(1), PlayedTo(1, 0.25)]
    assert [part.body for part in delivered] == [Playing(1)]
    assert bus.ledger.heard(1).seconds == 0.25


async def test_what_is_held_is_not_heard_until_it_goes_on() -> None:
    """Its listener has some of it ahead, and falls silent when told so: the ledger knows."""
    bus, delivered = bus_with_log()
    bus.handed_out(chunk(1, 0.0, chunk_index=0))
    await asyncio.sleep(0.2)
    bus.announce(Held(1))
    bus.handed_out(delivered[-1])
    await asyncio.sleep(1.0)
    assert bus.ledger.heard(1).seconds == pytest.approx(0.2)
    bus.announce(Resumed(1))
    bus.handed_out(delivered[-1])
    await asyncio.sleep(0.3)
    assert bus.ledger.heard(1).seconds == pytest.approx(0.5)
    bus.announce(Held(1))
    bus.handed_out(delivered[-1])
    await asyncio.sleep(0.1)
    bus.announce(Interrupted(1))
    assert bus.ledger.heard(1).seconds == pytest.approx(0.5)


async def test_a_busy_listener_plays_on_until_it_is_told() -> None:
    """What it hears of late is late in the ledger, too; what is over by then was never so."""
    bus, delivered = bus_with_log()
    bus.handed_out(chunk(1, 0.0, chunk_index=0))
    await asyncio.sleep(0.2)
    bus.announce(Held(1))
    await asyncio.sleep(0.1)
    bus.handed_out(delivered[-1])
    await asyncio.sleep(0.1)
    assert bus.ledger.heard(1).seconds == pytest.approx(0.3)
    bus.announce(Resumed(1))
    await asyncio.sleep(0.1)
    assert bus.ledger.heard(1).seconds == pytest.approx(0.3)
    bus.handed_out(delivered[-1])
    bus.announce(Held(1))
    await asyncio.sleep(0.2)
    bus.announce(Interrupted(1))
    for told in delivered[-2:]:
        bus.handed_out(told)
    assert bus.ledger.heard(1).seconds == pytest.approx(0.5)
    bus.handed_out(chunk(2, 0.0, chunk_index=0))
    await asyncio.sleep(0.1)
    assert bus.ledger.heard(2).seconds == pytest.approx(0.1)


@pytest.mark.parametrize("signal", [Interrupted(0), Reset()])
async def test_zero_purges_the_voice_that_has_no_number(signal: Signal) -> None:
    """The agent's sound without a number goes; all else stays, numbered sound among it."""
    bus, _ = bus_with_log()
    channel = Channel[Part](10)
    bus.register(channel)
    user = chunk(0, 0.0).derive(role="user")
    for part in (chunk(0, None), say("text", 0), chunk(1, None), user):
        await channel.send(part)
    bus.announce(signal)
    assert channel.statistics().waiting == 3
