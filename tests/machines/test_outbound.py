"""What goes to a live model's server: frames, order, and what is sent again."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.machines.outbound import (
    ActivityEnd,
    ActivityStart,
    AudioEnd,
    Message,
    Outbound,
    OutboundRules,
    Result,
    SendAudio,
    SendContent,
    SendImage,
    SendResults,
    SendText,
)
from vivace.machines.pressure import Shedding
from vivace.part import Response

MS = 32  # bytes of a millisecond


def pcm(ms: int, mark: int = 1) -> bytes:
    return bytes([mark]) * (ms * MS)


def sent(outbound: Outbound, now: float = 0.0) -> list[Message]:
    """All that is to go, as a socket that takes everything would have it."""
    out: list[Message] = []
    while messages := outbound.next(now):
        out += messages
        for _ in messages:
            outbound.sent()
    return out


def milliseconds(messages: list[Message]) -> list[int]:
    return [len(it.pcm) // MS for it in messages if isinstance(it, SendAudio)]


def test_sound_goes_in_frames_of_20_to_100_ms() -> None:
    """Short chunks are joined, long ones are cut, and nothing is lost or doubled."""
    outbound = Outbound()
    outbound.hear(pcm(10))
    assert sent(outbound) == []
    outbound.hear(pcm(15))
    assert milliseconds(sent(outbound)) == [25]
    outbound.hear(pcm(250))
    assert milliseconds(sent(outbound)) == [100, 100, 50]
    outbound.hear(pcm(105))
    assert milliseconds(sent(outbound)) == [100]
    outbound.flush()
    outbound.flush()
    outbound.put(AudioEnd())
    last = sent(outbound)
    assert milliseconds(last) == [5]
    assert last[-1] == AudioEnd()
    assert outbound.dropped_s == 0.0


def test_of_pictures_the_newest_goes_once_a_second() -> None:
    """A camera at any rate costs one picture a second."""
    outbound = Outbound()
    assert outbound.deadline() is None
    outbound.look(b"a")
    assert sent(outbound, 10.0) == [SendImage(b"a")]
    outbound.look(b"b")
    outbound.look(b"c")
    assert outbound.deadline() == 11.0
    assert outbound.waits()
    assert sent(outbound, 10.9) == []
    assert sent(outbound, 11.0) == [SendImage(b"c")]
    assert outbound.images_skipped == 1
    assert outbound.deadline() is None


def test_a_picture_that_waits_for_the_socket_is_due_at_no_time() -> None:
    """It goes when the socket takes something again; until then there is nothing to wake up for."""
    outbound = Outbound()
    outbound.look(b"a")
    outbound.hear(pcm(20))
    assert outbound.next(5.0) == [SendAudio(pcm(20))]
    assert outbound.waits()
    assert outbound.deadline() is None
    outbound.sent()
    assert outbound.deadline() == -math.inf
    assert outbound.next(5.0) == [SendImage(b"a")]


def test_only_so_many_messages_are_on_their_way() -> None:
    """A socket that takes nothing is not given more than it can take at once."""
    outbound = Outbound(OutboundRules(window=2))
    outbound.hear(pcm(20))
    outbound.put(SendText("b"))
    outbound.put(SendText("c"))
    outbound.look(b"d")
    assert outbound.next(0.0) == [SendAudio(pcm(20)), SendText("b")]
    assert outbound.next(0.0) == []
    assert not outbound.empty()
    outbound.sent()
    assert outbound.next(0.0) == [SendText("c")]
    outbound.sent()
    assert outbound.next(0.0) == [SendImage(b"d")]
    outbound.sent()
    outbound.sent()
    assert outbound.empty()


def test_sound_that_comes_while_a_message_is_on_its_way_is_sent_together() -> None:
    """A socket that is slow gets fewer messages, none of them longer than 100 ms, in order."""
    outbound = Outbound()
    outbound.hear(pcm(20, 0))
    assert milliseconds(outbound.next(0.0)) == [20]
    for number in range(1, 8):
        outbound.hear(pcm(20, number))
    outbound.put(SendText("and"))
    outbound.hear(pcm(20, 8))
    outbound.hear(pcm(20, 9))
    assert outbound.next(0.0) == []
    outbound.sent()
    out = sent(outbound)
    assert milliseconds(out) == [100, 40, 40]
    assert out.index(SendText("and")) == 2
    heard = b"".join(it.pcm for it in out if isinstance(it, SendAudio))
    assert heard == b"".join(pcm(20, number) for number in range(1, 10))


def test_under_pressure_sound_goes_in_the_longest_messages() -> None:
    """A fifth of the messages as long as small chunks are shed; an end of sound waits for none."""
    shedding = Shedding(3)
    outbound = Outbound(shedding=shedding)
    out: list[Message] = []
    for number in range(12):
        outbound.hear(pcm(20, number))
        out += sent(outbound)
    assert milliseconds(out) == [100, 100]
    assert shedding.counts["chunks"] > 0
    outbound.flush()
    assert milliseconds(sent(outbound)) == [40]
    shedding.level = 0
    outbound.hear(pcm(20))
    assert milliseconds(sent(outbound)) == [20]


def test_of_sound_that_waits_the_newest_two_seconds_are_kept() -> None:
    """What is too old is dropped, counted to the sample, and text stays."""
    outbound = Outbound()
    outbound.put(SendText("first"))
    for number in range(30):
        outbound.hear(pcm(100, number))
    assert outbound.dropped_s == 1.0
    out = sent(outbound)
    assert out[0] == SendText("first")
    assert [it.pcm[0] for it in out[1:] if isinstance(it, SendAudio)] == list(range(10, 30))


def test_what_was_not_taken_in_is_sent_again() -> None:
    """After a drop, what was sent since the last handle comes first, then what waited."""
    outbound = Outbound()
    outbound.hear(pcm(100, 1))
    sent(outbound)
    outbound.covered(math.inf)
    outbound.hear(pcm(100, 2))
    outbound.put(SendText("and"))
    sent(outbound)
    outbound.hear(pcm(100, 3))
    assert SendAudio(pcm(100)).seconds == 0.1
    outbound.lost()
    again = sent(outbound)
    assert [it.pcm[0] if isinstance(it, SendAudio) else "and" for it in again] == [2, "and", 3]
    assert outbound.dropped_s == 0.0


def test_what_is_in_flight_is_not_covered_by_a_handle() -> None:
    """What was sent within 100 ms before a handle came is sent again; of a reply, only sound is."""
    outbound = Outbound()
    outbound.hear(pcm(100, 1))
    sent(outbound, 1.0)
    outbound.hear(pcm(100, 2))
    outbound.put(SendText("and"))
    sent(outbound, 1.2)
    outbound.covered(1.25)
    outbound.lost()
    assert sent(outbound, 2.0) == [SendAudio(pcm(100, 2)), SendText("and")]
    outbound.answered(2.0)
    outbound.lost()
    assert sent(outbound, 3.0) == [SendAudio(pcm(100, 2))]


def test_what_is_too_old_to_be_sent_again_is_counted() -> None:
    """Of three seconds that no handle covers and one of the gap, the newest two are sent."""
    outbound = Outbound()
    for number in range(30):
        outbound.hear(pcm(100, number))
        sent(outbound)
    assert outbound.dropped_s == 0.0
    for number in range(30, 40):
        outbound.hear(pcm(100, number))
    outbound.lost()
    assert round(outbound.dropped_s, 6) == 2.0
    assert [it.pcm[0] for it in sent(outbound) if isinstance(it, SendAudio)] == list(range(20, 40))


def test_what_is_too_old_is_counted_though_a_handle_came_in_the_same_moment() -> None:
    """Of ten seconds that went out at once, the handle after 50 ms covers nothing."""
    for learn in (Outbound.covered, Outbound.answered):
        outbound = Outbound()
        for number in range(100):
            outbound.hear(pcm(100, number))
            sent(outbound)
        learn(outbound, 0.05)
        outbound.lost()
        assert outbound.dropped_s == 8.0
        assert sum(milliseconds(sent(outbound, 1.0))) == 2000
        learn(outbound, 2.0)
        outbound.lost()
        assert outbound.dropped_s == 8.0


def test_results_of_a_lost_connection_are_told_otherwise() -> None:
    """Their calls are gone with it: the id would be refused."""
    results = SendResults((Result(Response("1", "look", "sunny"), "srv-1"),))
    outbound = Outbound()
    outbound.put(results)
    sent(outbound)
    outbound.lost(lambda it: SendText(str(it.results[0].response.result)))
    assert sent(outbound) == [SendText("sunny")]
    outbound.covered(math.inf)
    outbound.put(results)
    outbound.lost()
    assert sent(outbound) == []


def test_what_was_asked_and_is_not_wanted_is_not_sent() -> None:
    """Nor sent again; what is only told, sound, and answers to calls are."""
    outbound = Outbound()
    results = SendResults((Result(Response("1", "lamp", "on"), "f1"),))
    outbound.put(SendText("sent"))
    assert sent(outbound) == [SendText("sent")]
    told = SendContent((("user", "told"),))
    outbound.hear(pcm(20))
    for message in (SendText("a"), SendContent((("user", "b"),), complete=True), told, results):
        outbound.put(message)
    outbound.forget(1.0)
    assert sent(outbound, 1.0) == [SendAudio(pcm(20)), told, results]
    outbound.forget(2.0)
    outbound.lost()
    assert sent(outbound, 2.0) == []


def test_an_activity_goes_on_over_the_next_connection() -> None:
    """Its beginning may be known to the old one alone; a new one is told of it, once."""
    outbound = Outbound()
    outbound.put(ActivityStart())
    outbound.hear(pcm(100))
    sent(outbound, 1.0)
    outbound.lost()
    assert sent(outbound, 2.0) == [ActivityStart(), SendAudio(pcm(100))]
    outbound.covered(3.0)
    outbound.lost()
    assert sent(outbound, 3.0) == [ActivityStart()]
    outbound.covered(4.0)
    outbound.put(ActivityEnd())
    outbound.lost()
    outbound.put(ActivityStart())
    assert sent(outbound, 4.0) == [ActivityStart(), ActivityEnd(), ActivityStart()]
    outbound.put(ActivityEnd())
    sent(outbound, 5.0)
    outbound.covered(6.0)
    outbound.lost()
    assert sent(outbound, 6.0) == []


def test_a_silent_result_asks_for_nothing() -> None:
    """The model says nothing of it until it is asked; of any other, it does."""
    asked = {it: Result(Response("1", "look"), "1", it).asks for it in ("", "SILENT", "WHEN_IDLE")}
    assert asked == {"": True, "SILENT": False, "WHEN_IDLE": True}


def test_a_picture_that_was_on_its_way_waits_again() -> None:
    """Unless a newer one does."""
    outbound = Outbound()
    outbound.look(b"a")
    sent(outbound, 1.0)
    outbound.lost()
    assert sent(outbound, 2.0) == [SendImage(b"a")]
    outbound.look(b"b")
    outbound.lost()
    assert sent(outbound, 3.0) == [SendImage(b"b")]


def test_texts_that_may_be_sent_again_are_bounded() -> None:
    """Of very many, the oldest is let go; of what waits, more input is not read."""
    outbound = Outbound(OutboundRules(waiting=0, keep_s=0.02))
    for number in range(300):
        outbound.put(SendText(str(number)))
    assert outbound.full()
    sent(outbound)
    assert not outbound.full()
    outbound.hear(pcm(20))
    sent(outbound)
    outbound.lost()
    again = [it.text for it in sent(outbound) if isinstance(it, SendText)]
    assert again == [str(number) for number in range(300 - len(again), 300)]
    assert len(again) == 257


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), st.integers(1, 300)),
        st.tuples(
            st.sampled_from(["send", "done", "text", "taken_in", "lost", "flush"]), st.just(0)
        ),
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(STEPS)
def test_nothing_is_lost_that_is_not_counted(steps: list[tuple[str, int]]) -> None:
    """Every sample is in a message of the session's, or counted; every text is sent; in order."""
    outbound = Outbound()
    taken: list[Message] = []  # what the session has for good
    sent_now: list[Message] = []  # what it has unless the connection is lost; the last on their way
    said = texts = in_flight = 0
    for step, size in steps:
        match step:
            case "hear":
                outbound.hear(bytes(2 * size))
                said += 2 * size
            case "text":
                outbound.put(SendText(str(texts)))
                texts += 1
            case "flush":
                outbound.flush()
            case "send":
                new = outbound.next(0.0)
                sent_now += new
                in_flight += len(new)
            case "done" if in_flight:
                outbound.sent()
                in_flight -= 1
            case "taken_in":
                outbound.covered(math.inf)
                sure = len(sent_now) - in_flight
                taken, sent_now = taken + sent_now[:sure], sent_now[sure:]
            case "lost":
                outbound.lost()
                sent_now, in_flight = [], 0
    outbound.flush()
    if not sent_now:
        outbound.lost()
    for _ in range(in_flight):
        outbound.sent()
    taken += sent_now + sent(outbound)
    heard = sum(len(it.pcm) for it in taken if isinstance(it, SendAudio))
    assert heard + round(outbound.dropped_s * 32_000) == said
    assert [it.text for it in taken if isinstance(it, SendText)] == [str(n) for n in range(texts)]
