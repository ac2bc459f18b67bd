"""The schedule of the agent's voice, with exact times.

Audio here is at 1000 Hz, so a chunk of 20 ms has 20 frames, and each frame holds its own number:
what leaves can be compared with what came, byte for byte.
"""

import math
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.machines.machine import Announce, Item, Job, JobDone, Output
from vivace.machines.pacing import Pacer
from vivace.machines.pacing_counts import PacingCounts, PacingReport
from vivace.machines.pacing_rules import PacingRules
from vivace.machines.playout import Ledger
from vivace.machines.pressure import Shedding
from vivace.part import (
    Audio,
    Call,
    Data,
    Held,
    Image,
    Interrupted,
    Part,
    PlayedTo,
    Playing,
    Reset,
    Response,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)

RATE = 1000
ADAPTIVE = PacingRules(lead_s=0.05, longest_s=0.2)
quick = settings(max_examples=80, deadline=None)


def pcm(start: int, frames: int) -> bytes:
    return struct.pack(f"<{frames}H", *(n % 65_536 for n in range(start, start + frames)))


def voice(ms: int, turn: int = 1, words: str = "", start: int = 0) -> Part:
    """The agent's audio: one frame a millisecond."""
    return Part(Audio(pcm(start, ms), AudioFormat(RATE), words), role="model", turn=turn)


def complete(turn: int, reason: str = "done") -> Part:
    return Part(TurnComplete(turn, reason), role="model", turn=turn)  # type: ignore[arg-type]


class Bench:
    """A pacer, woken exactly when it wants to be; what left, and when."""

    def __init__(self, rules: PacingRules | None = None, zero: float = 0.0, **given: Any) -> None:
        self.tally = PacingCounts()
        self.pacer = Pacer(rules, zero=zero, counts=self.tally, **given)
        self.left: list[tuple[float, Part]] = []
        self.news: list[dict[str, object]] = []
        self.now = -math.inf

    def feed(self, now: float, *items: Item) -> list[Part]:
        """Let time pass until `now`, then feed; return what left at once."""
        self.until(now)
        self.now = now
        before = len(self.left)
        for item in items:
            self.take(now, self.pacer.feed(item, now))
            self.until(now)
        return [part for _, part in self.left[before:]]

    def until(self, now: float) -> None:
        """Tick at each deadline up to `now`."""
        while (due := self.pacer.deadline()) is not None and due <= now:
            self.now = max(self.now, due)
            outputs = self.pacer.tick(self.now)
            assert outputs, "a tick at the deadline must bring something about"
            self.take(self.now, outputs)

    def late(self, now: float) -> None:
        """The loop or the consumer comes back only now, whatever was due before."""
        self.now = now
        self.take(now, self.pacer.tick(now))

    def take(self, now: float, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Announce):  # reaches the consumer at once
                output = Part(output.signal)  # type: ignore[arg-type]
            assert isinstance(output, Part)
            if output.substream == "status":
                assert isinstance(output.body, Data)
                if output.body.value["event"] == "paced":
                    assert output.body.value == {"event": "paced", **asdict(self.counts)}
                else:
                    self.news.append(output.body.value)
            else:
                self.left.append((round(now, 6), output))

    def end(self) -> None:
        """Let time pass until nothing more comes of it; then the stream ends."""
        self.until(1e9)
        self.take(self.now, self.pacer.finish(self.now))

    @property
    def counts(self) -> PacingReport:
        return self.tally.report()

    @property
    def times(self) -> list[float]:
        """When each chunk left."""
        return [now for now, part in self.left if isinstance(part.body, Audio)]

    @property
    def chunks(self) -> list[Part]:
        return [part for _, part in self.left if isinstance(part.body, Audio)]

    def sound(self, turn: int | None = None) -> bytes:
        return b"".join(part.bytes for part in self.chunks if turn in (None, part.turn))

    def when(self, part: Part) -> float:
        """When this part left."""
        [now] = [now for now, left in self.left if left == part]
        return now


def at(chunks: Sequence[Part]) -> list[float | None]:
    return [chunk.at for chunk in chunks]


# -- the schedule -----------------------------------------------------------------------------


def test_chunks_leave_at_exact_times() -> None:
    """The first chunk leaves at once, each other when the one before it has been played."""
    bench = Bench()
    assert len(bench.feed(5.0, voice(90))) == 1
    bench.end()
    assert bench.times == [5.0, 5.02, 5.04, 5.06, 5.08]
    assert at(bench.chunks) == [5.0, 5.02, 5.04, 5.06, 5.08]
    assert [len(chunk.bytes) for chunk in bench.chunks] == [40, 40, 40, 40, 20]
    assert bench.sound() == pcm(0, 90)
    assert bench.counts == PacingReport(chunks_played=5, taken_s=0.09, played_s=0.09)
    assert bench.pacer.done()


def test_media_time_counts_from_zero() -> None:
    """`at` is the moment to be played, since the run began."""
    bench = Bench(zero=100.0)
    bench.feed(102.5, voice(40))
    bench.end()
    assert at(bench.chunks) == [2.5, 2.52]


def test_the_first_chunk_leaves_whatever_the_clock_says() -> None:
    """A clock below zero delays nothing."""
    bench = Bench()
    bench.feed(-50.0, voice(40))
    bench.end()
    assert bench.times == [-50.0, -49.98]


def test_parts_join_without_a_gap() -> None:
    """Audio that comes in time follows on the very sample, also when the queue ran empty."""
    bench = Bench()
    for now, start in ((0.0, 0), (0.015, 20), (0.04, 40), (0.041, 60)):
        bench.feed(now, voice(20, start=start))
    bench.end()
    assert bench.times == [0.0, 0.02, 0.04, 0.06]
    assert bench.sound() == pcm(0, 80)
    assert bench.counts.buffer_underruns == 0


def test_an_hour_does_not_drift() -> None:
    """The 180,000th chunk leaves and plays exactly at 3599.98 s."""
    bench = Bench(PacingRules(queue_s=1e9))
    minute = Part(Audio(bytes(2 * 50 * 60), AudioFormat(50)), role="model", turn=1)
    bench.feed(0.0, *[minute] * 60)
    bench.end()
    expected = [round(n * 0.02, 6) for n in range(180_000)]
    assert bench.times == expected
    assert at(bench.chunks) == expected


def test_lead() -> None:
    """A chunk may leave `lead_s` early; `at` is still when it is to be played."""
    bench = Bench(PacingRules(lead_s=0.05))
    bench.feed(1.0, voice(120))
    bench.end()
    assert at(bench.chunks) == [1.0, 1.02, 1.04, 1.06, 1.08, 1.1]
    assert bench.times == [1.0, 1.0, 1.0, 1.01, 1.03, 1.05]


def test_chunks_of_ones_own_size() -> None:
    """Chunks have the length of the rules."""
    bench = Bench(PacingRules(chunk_s=0.05))
    bench.feed(0.0, voice(120))
    bench.end()
    assert bench.times == [0.0, 0.05, 0.1]


def test_formats_may_change() -> None:
    """Each part keeps its own format; only its length counts."""
    bench = Bench()
    other = Part(Audio(bytes(24_000 * 4 * 40 // 1000), AudioFormat(24_000, 2)), "model", turn=1)
    bench.feed(0.0, voice(20), other, voice(20))
    bench.end()
    assert bench.times == [0.0, 0.02, 0.04, 0.06]
    formats = [chunk.body.format for chunk in bench.chunks if isinstance(chunk.body, Audio)]
    assert formats == [AudioFormat(RATE), *[AudioFormat(24_000, 2)] * 2, AudioFormat(RATE)]


def test_fields_of_a_part_stay() -> None:
    """Chunks keep role, turn and metadata of their part; `at` is when each is to be played."""
    bench = Bench()
    bench.feed(0.0, voice(40, turn=3).derive(metadata={"a": 1}, at=77.0))
    bench.end()
    assert [(c.role, c.turn, c.at) for c in bench.chunks] == [
        ("model", 3, 0.0),
        ("model", 3, 0.02),
    ]
    assert [c.metadata for c in bench.chunks] == [
        {"a": 1, "chunk_index": 0, "chunk_duration": 0.02, "source_at": 77.0},
        {"a": 1, "chunk_index": 1, "chunk_duration": 0.02, "source_at": 77.02},
    ]


def test_a_tick_is_never_wrong() -> None:
    """Early and repeated ticks change nothing."""
    bench = Bench()
    bench.feed(0.0, voice(60))
    for now in (0.0, 0.001, 0.019):
        assert bench.pacer.tick(now) == []
    bench.end()
    assert bench.times == [0.0, 0.02, 0.04]
    assert bench.pacer.tick(9.0) == []
    assert bench.pacer.deadline() is None


def test_audio_of_no_length_passes() -> None:
    """An empty part leaves in its place, with its words."""
    bench = Bench()
    bench.feed(0.0, voice(20), voice(0, words="[laughs]"), voice(20))
    bench.end()
    assert [len(chunk.bytes) for chunk in bench.chunks] == [40, 0, 40]
    assert bench.times == [0.0, 0.02, 0.02]


@pytest.mark.parametrize("item", [Playing(1), object(), JobDone(Job(), 1)])
def test_what_it_does_not_know_is_ignored(item: object) -> None:
    """Other announcements and jobs come to nothing."""
    assert Pacer().feed(item, 0.0) == []


# -- what is not audio ------------------------------------------------------------------------


def test_the_agents_parts_keep_their_place() -> None:
    """Asked to, text and calls of the agent leave when the audio before them has left."""
    bench = Bench(PacingRules(ordered=True))
    text = Part("hello", role="model", turn=1)
    call = Part.call("look", id="1", turn=1)
    bench.feed(0.0, voice(60), text, voice(20), call, voice(20))
    bench.end()
    assert bench.when(text) == 0.04
    assert bench.when(call) == 0.06
    assert [type(part.body) for _, part in bench.left] == [
        Audio,
        Audio,
        Audio,
        str,
        Audio,
        Call,
        Audio,
    ]


def test_the_users_parts_do_not_wait_for_the_agents_voice() -> None:
    """What the user does is told at once, however much the agent still has to say."""
    bench = Bench()
    bench.feed(0.0, voice(1000))
    for part in (Part(SpeechStarted(0.5), at=0.5), Part("stop"), Part(SpeechEnded(0.7), at=0.7)):
        assert bench.feed(0.01, part) == [part]


def test_the_agents_other_parts_pass_at_once() -> None:
    """Unless asked to keep their place, nothing but the end of the reply waits for the audio."""
    bench = Bench()
    text, call = Part("hello", role="model", turn=1), Part.call("look", id="1", turn=1)
    assert bench.feed(0.0, voice(60), text, call, complete(1))[1:] == [text, call]
    bench.end()
    assert bench.when(complete(1)) == 0.06


def test_the_users_audio_is_not_paced() -> None:
    """It passes as it is, with its own media time, whatever the agent says."""
    bench = Bench(PacingRules(ordered=True))
    user = voice(400, turn=0).derive(role="user", at=7.0)
    assert bench.feed(0.0, voice(60), user)[1:] == [user]


def test_turn_complete_leaves_when_its_last_chunk_has_been_played() -> None:
    """Not when the chunk left, but when it is over."""
    bench = Bench()
    bench.feed(0.0, voice(50), complete(1))
    bench.end()
    assert bench.times == [0.0, 0.02, 0.04]
    assert bench.when(complete(1)) == 0.05


def test_turn_complete_that_comes_during_the_last_chunk() -> None:
    """The model may be as slow as its voice: completion still waits for the last sound."""
    bench = Bench()
    bench.feed(0.0, voice(20))
    assert bench.feed(0.005, complete(1)) == []
    bench.end()
    assert bench.when(complete(1)) == 0.02


@pytest.mark.parametrize(("played_s", "leaves_at"), [(0.05, 0.5), (0.25, 0.2), (0.0, 0.55)])
def test_a_reply_is_over_when_a_late_listener_has_heard_it(
    played_s: float, leaves_at: float
) -> None:
    """Who has played 50 of 200 ms after 350 is 300 behind; nobody is waited for who is ahead."""
    ledger = Ledger()
    bench = Bench(ledger=ledger)
    bench.feed(0.0, voice(200), complete(1))
    ledger.book(voice(500), 0.0, 0.0)
    ledger.confirm(1, played_s, 0.35 if played_s < 0.2 else 0.2)
    bench.end()
    assert bench.when(complete(1)) == leaves_at


def test_nobody_is_waited_for_who_plays_nothing() -> None:
    """A page whose sound is blocked holds a conversation up for two seconds at most."""
    ledger = Ledger()
    bench = Bench(ledger=ledger)
    bench.feed(0.0, voice(200), complete(1))
    ledger.book(voice(500), 0.0, 0.0)
    for tenth in range(1, 40):
        bench.until(tenth / 10)
        ledger.confirm(1, 0.0, tenth / 10)
    assert bench.when(complete(1)) == 2.2


def test_turn_complete_does_not_lead() -> None:
    """Chunks may leave early, but the reply is not over before it has been heard."""
    bench = Bench(PacingRules(lead_s=0.2))
    bench.feed(0.0, voice(100), complete(1))
    bench.end()
    assert bench.times == [0.0] * 5
    assert bench.when(complete(1)) == 0.1
    bench = Bench(PacingRules(lead_s=0.2))
    bench.feed(0.0, voice(100))
    bench.feed(0.01, complete(1))
    bench.end()
    assert bench.when(complete(1)) == 0.1


def test_a_reply_without_sound_is_complete_at_once() -> None:
    """Nothing is waited for."""
    bench = Bench()
    text = Part("hello", role="model", turn=1)
    assert bench.feed(0.0, text, complete(1)) == [text, complete(1)]
    assert bench.pacer.deadline() is None


def test_a_late_end_of_an_old_reply_does_not_end_the_new_one() -> None:
    """The new reply is still playing: its gaps are underruns, its own end is waited for."""
    bench = Bench()
    bench.feed(0.0, voice(40, turn=2))
    bench.feed(0.01, complete(1))
    bench.feed(0.1, voice(40, turn=2))
    assert bench.counts.buffer_underruns == 1
    bench.feed(0.11, complete(2))
    bench.end()
    assert bench.when(complete(2)) == 0.14


# -- holding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False])
def test_held_and_resumed_at_the_sample(announced: bool) -> None:
    """No chunk leaves while it is held; then it goes on with the very next sample.

    Before that comes what is left of the chunk that was being played: 10 ms.
    """
    bench = Bench()
    held: Item = Held(1) if announced else Part(Held(1))
    resumed: Item = Resumed(1) if announced else Part(Resumed(1))
    bench.feed(0.0, voice(100))
    bench.feed(0.03, held)
    assert bench.pacer.deadline() is None
    assert not bench.pacer.done()
    bench.feed(1.0, resumed)
    bench.end()
    assert bench.times == [0.0, 0.02, 1.01, 1.03, 1.05]
    assert at(bench.chunks) == [0.0, 0.02, 1.01, 1.03, 1.05]
    assert bench.sound() == pcm(0, 100)
    assert (bench.counts.chunks_played, bench.counts.holds) == (5, 1)
    assert bench.counts.held_s == 0.97


def test_a_hold_within_a_chunk_is_as_long_as_it_was() -> None:
    """Whoever stops on `Held` was silent for so long, and all that follows comes so much later."""
    bench = Bench()
    bench.feed(0.0, voice(60))
    bench.feed(0.005, Held(1))
    bench.feed(0.015, Resumed(1))
    bench.end()
    assert bench.times == [0.0, 0.03, 0.05]


def test_however_often_it_is_held_nothing_waits_longer_with_the_listener() -> None:
    """A listener who stops on `Held` has never more than the lead and a chunk."""
    bench = Bench(PacingRules(lead_s=0.05))
    bench.feed(0.0, voice(5000))
    played_s = 0.0
    for number in range(10):
        bench.feed(0.5 + number, Held(1))
        sent_s = sum(chunk.seconds for chunk in bench.chunks)
        played_s += 0.5 if number == 0 else 0.25
        assert 0.0 <= round(sent_s - played_s, 6) <= 0.07
        bench.feed(1.25 + number, Resumed(1))


def test_a_resume_that_comes_late_does_not_stop_a_newer_reply() -> None:
    """Reply 2 was never held: whatever was left of reply 1, it plays on without a gap."""
    bench = Bench()
    bench.feed(0.0, voice(40))
    bench.feed(0.03, Held(1))
    bench.feed(0.1, voice(5000, turn=2))
    bench.feed(2.0, Resumed(1))
    bench.end()
    assert bench.times == pytest.approx([0.0, 0.02, *(0.1 + n / 50 for n in range(250))])


def test_a_newer_reply_is_held_after_an_older_one() -> None:
    """It has played until then: the listener has 15 ms of it left, whatever was left before."""
    bench = Bench()
    bench.feed(0.0, voice(20))
    bench.feed(0.019, Held(1))
    bench.feed(0.1, voice(60, turn=2))
    bench.feed(0.105, Held(2))
    bench.feed(1.0, Resumed(2))
    bench.end()
    assert bench.times == [0.0, 0.1, 1.015, 1.035]


def test_a_hold_of_more_is_the_same_hold() -> None:
    """What the listener had left when the first began is what is left."""
    bench = Bench()
    bench.feed(0.0, voice(60))
    bench.feed(0.005, Held(1))
    bench.feed(0.3, Held(2))
    bench.feed(1.0, Resumed(2))
    bench.end()
    assert bench.times == [0.0, 1.015, 1.035]


def test_the_end_of_the_stream_ends_its_holds() -> None:
    """Nobody else would: what was held plays to its end, and the run is over."""
    bench = Bench()
    bench.feed(0.0, voice(60))
    bench.feed(0.01, Part(Held(1)), complete(1))
    assert bench.pacer.finish(0.5)[0] == Announce(Resumed(1))
    bench.end()
    assert bench.times == [0.0, 0.51, 0.53]
    assert bench.when(complete(1)) == 0.55
    assert bench.pacer.done()


def test_the_end_of_the_stream_ends_no_hold_of_others() -> None:
    """Who announced it, a key that was pressed, will announce that it is over."""
    bench = Bench()
    bench.feed(0.0, voice(60))
    bench.feed(0.01, Held(1))
    assert bench.pacer.finish(0.5) == []
    assert not bench.pacer.done()
    bench.feed(1.0, Resumed(1))
    bench.end()
    assert bench.times == [0.0, 1.01, 1.03]


def test_holding_twice_is_holding_once() -> None:
    """A second Held or Resumed changes nothing, and is not counted."""
    bench = Bench()
    bench.feed(0.0, voice(40))
    bench.feed(0.01, Resumed(1), Held(1), Held(1))
    bench.feed(0.5, Resumed(1))
    bench.feed(0.51, Resumed(1))
    bench.end()
    assert bench.times == [0.0, 0.51]
    assert bench.counts.holds == 1


def test_audio_that_comes_while_held_waits() -> None:
    """It is neither lost nor played, and counts as no underrun."""
    bench = Bench()
    bench.feed(0.0, voice(20))
    bench.feed(0.01, Held(1))
    assert bench.feed(3.0, voice(20, start=20)) == []
    bench.feed(4.0, Resumed(1))
    bench.end()
    assert bench.times == [0.0, 4.01]  # the listener has 10 ms left
    assert bench.counts.buffer_underruns == 0


def test_a_held_reply_is_not_over() -> None:
    """Its completion waits until it has been resumed, also if only the end was left to play."""
    for late in (False, True):
        bench = Bench()
        bench.feed(0.0, voice(20), *([] if late else [complete(1)]))
        bench.feed(0.01, Held(1), *([complete(1)] if late else []))
        bench.until(10.0)
        assert len(bench.left) == 1
        bench.feed(10.0, Resumed(1))
        bench.end()
        assert bench.when(complete(1)) == 10.01


def test_a_hold_of_one_reply_does_not_hold_the_next() -> None:
    """A reply that ends while held, without a sound, leaves the floor to the next: it is heard."""
    bench = Bench()
    bench.feed(0.0, Held(1))
    bench.feed(0.1, complete(1))
    assert bench.left == [(0.1, complete(1))]
    bench.feed(5.0, voice(40, turn=2))
    bench.end()
    assert bench.times == [5.0, 5.02]


# -- interruption -----------------------------------------------------------------------------


@pytest.mark.parametrize("signal", [Interrupted(1, "hel"), Reset(1)])
@pytest.mark.parametrize("announced", [True, False])
def test_nothing_stale_leaves_after_an_interruption(
    signal: Interrupted | Reset, announced: bool
) -> None:
    """Three seconds are queued, the user speaks at 0.31 s: no chunk leaves after that moment."""
    bench = Bench()
    bench.feed(0.0, voice(3000), complete(1))
    part = Part(signal)
    assert bench.feed(0.31, signal if announced else part) == ([] if announced else [part])
    bench.end()
    assert bench.times[-1] == 0.3
    assert len(bench.times) == 16
    assert bench.news[-1] == {"event": "cut", "turn": 1, "seconds": 2.68}
    assert (bench.counts.chunks_played, bench.counts.interruptions) == (16, 1)
    assert (bench.counts.taken_s, bench.counts.played_s, bench.counts.cut_s) == (3.0, 0.32, 2.68)
    assert bench.pacer.done()


def test_late_audio_of_a_cancelled_reply_is_refused() -> None:
    """Audio, text, images and data of a void reply are refused by their number, and counted."""
    bench = Bench()
    bench.feed(0.0, voice(20, turn=2), Interrupted(2))
    late = [
        voice(20, turn=2),
        voice(20, turn=1),
        Part("x", role="model", turn=2),
        Part(Data({"a": 1}), role="model", turn=2),
        Part(Image(b"x"), role="model", turn=1),
    ]
    assert bench.feed(0.1, *late) == []
    assert bench.counts.refused == 5
    bench.feed(0.2, voice(20, turn=3))
    assert bench.times == [0.0, 0.2]


def test_the_next_reply_does_not_wait_for_what_was_cut() -> None:
    """Its first chunk leaves at once, in the middle of the old one's last."""
    bench = Bench()
    bench.feed(0.0, voice(1000))
    bench.feed(0.045, Interrupted(1))
    bench.feed(0.05, voice(40, turn=2, start=500))
    bench.end()
    assert bench.times == [0.0, 0.02, 0.04, 0.05, 0.07]
    assert bench.sound(2) == pcm(500, 40)


def test_more_than_media_survives() -> None:
    """Tool calls, responses and signals of an interrupted reply leave at once, in order."""
    bench = Bench(PacingRules(ordered=True))
    kept = [
        Part.call("order", id="1", turn=1),
        Part(Response("0", "look", 1), role="model", turn=1),
        Part(TurnEnded(1.0), role="model", turn=1),
        complete(1, "interrupted"),
    ]
    bench.feed(0.0, voice(200), *kept, Part("lost", role="model", turn=1))
    assert bench.feed(0.05, Interrupted(1)) == kept
    assert bench.pacer.deadline() is None


def test_an_interrupted_reply_is_not_told_to_be_done() -> None:
    """Its own `done` and `failed` are void, before and after; only why it was cut is told."""
    bench = Bench()
    bench.feed(0.0, voice(200), complete(1))
    bench.feed(0.05, Interrupted(1), complete(1, "interrupted"), complete(1), complete(1, "failed"))
    bench.end()
    assert [part for _, part in bench.left if not isinstance(part.body, Audio)] == [
        complete(1, "interrupted")
    ]


def test_only_older_replies_are_cut() -> None:
    """What belongs to a newer reply, or to none, stays queued and plays on."""
    bench = Bench()
    bench.feed(0.0, voice(40, turn=1), voice(40, turn=2, start=40), voice(40, turn=0, start=80))
    bench.feed(0.01, Interrupted(1))
    bench.end()
    assert bench.sound(1) == pcm(0, 20)
    assert bench.sound(2) == pcm(40, 40)
    assert bench.sound(0) == pcm(80, 40)


def test_an_interruption_of_nothing_is_not_counted() -> None:
    """If nothing plays or waits, nothing was interrupted."""
    bench = Bench()
    bench.feed(0.0, Interrupted(1))
    bench.feed(0.0, voice(20, turn=2), complete(2))
    bench.feed(1.0, Interrupted(2))
    assert bench.counts.interruptions == 0


def test_a_reply_that_was_told_complete_late_is_over() -> None:
    """Nothing is interrupted after the end, also if that end came during the last chunk."""
    bench = Bench()
    bench.feed(0.0, voice(20))
    bench.feed(0.005, complete(1))
    bench.feed(1.0, Interrupted(1))
    assert bench.counts.interruptions == 0


def test_an_interruption_is_counted_once() -> None:
    """Telling it again, or to an older number, changes nothing."""
    bench = Bench()
    bench.feed(0.0, voice(100, turn=2))
    bench.feed(0.01, Interrupted(2), Interrupted(2), Interrupted(1), Part(Interrupted(2)))
    assert bench.counts.interruptions == 1


def test_interrupted_while_held() -> None:
    """The hold ends with its reply; the next one is heard."""
    bench = Bench()
    bench.feed(0.0, voice(100))
    bench.feed(0.01, Held(1))
    bench.feed(0.5, Interrupted(1))
    bench.feed(1.0, voice(20, turn=2))
    assert bench.times == [0.0, 1.0]


def test_an_old_interruption_does_not_release_a_newer_hold() -> None:
    """Reply 2 is held; that reply 1 is void does not make it sound."""
    bench = Bench()
    bench.feed(0.0, voice(100, turn=2))
    bench.feed(0.01, Held(2))
    bench.feed(0.5, Interrupted(1))
    bench.until(9.0)
    assert bench.times == [0.0]


# -- slow models and slow consumers -----------------------------------------------------------


def test_underruns_are_counted_exactly() -> None:
    """Each gap within a reply counts once; audio in time, and pauses between replies, do not."""
    bench = Bench()
    bench.feed(0.0, voice(100))
    bench.feed(0.1, voice(100))  # in the very moment
    bench.feed(0.25, voice(50))  # 0.05 s late
    bench.feed(0.29, voice(10))  # in time
    bench.feed(0.5, voice(20), complete(1))  # late again
    bench.feed(2.0, voice(20, turn=2))  # another reply
    bench.end()
    assert bench.counts.buffer_underruns == 2
    assert [now for now in bench.times if now in (0.1, 0.25, 0.3, 0.5, 2.0)] == [
        0.1,
        0.25,
        0.3,
        0.5,
        2.0,
    ]


def test_an_empty_part_fills_no_gap() -> None:
    """A gap is counted once, also if an empty part comes in the middle of it."""
    bench = Bench()
    bench.feed(0.0, voice(20))
    bench.feed(0.5, voice(0))
    bench.feed(1.0, voice(20))
    assert bench.counts.buffer_underruns == 1


def test_a_small_underrun_starts_the_schedule_anew() -> None:
    """Audio that is 5 ms late plays when it comes, and all after it keeps its distance."""
    bench = Bench()
    bench.feed(0.0, voice(20))
    bench.feed(0.025, voice(60))
    bench.end()
    assert bench.times == [0.0, 0.025, 0.045, 0.065]
    assert at(bench.chunks) == [0.0, 0.025, 0.045, 0.065]


def test_a_hiccup_does_not_shift_the_schedule() -> None:
    """Ticks that are up to 0.1 s late catch up: the times to be played stand."""
    bench = Bench()
    bench.feed(0.0, voice(200))
    bench.late(0.09)
    bench.end()
    assert bench.times == [0.0, 0.09, 0.09, 0.09, 0.09, 0.1, 0.12, 0.14, 0.16, 0.18]
    assert at(bench.chunks) == [round(n * 0.02, 6) for n in range(10)]
    assert bench.counts.buffer_underruns == 0


def test_a_slow_consumer_shifts_the_schedule() -> None:
    """Ticks that come later start anew: nothing is lost, nothing leaves in a burst."""
    bench = Bench()
    bench.feed(0.0, voice(100))
    bench.late(0.25)
    bench.end()
    assert bench.times == [0.0, 0.25, 0.27, 0.29, 0.31]
    assert at(bench.chunks) == [0.0, 0.25, 0.27, 0.29, 0.31]
    assert bench.sound() == pcm(0, 100)


def test_a_consumer_twice_slower_than_real_time() -> None:
    """With a tick every 40 ms the interruption still lets nothing stale out."""
    bench = Bench()
    bench.take(0.0, bench.pacer.feed(voice(3000), 0.0))
    for step in range(1, 8):
        bench.take(step * 0.04, bench.pacer.tick(step * 0.04))
    left = len(bench.chunks)
    bench.take(0.3, bench.pacer.feed(Interrupted(1), 0.3))
    for step in range(8, 100):
        bench.take(step * 0.04, bench.pacer.tick(step * 0.04))
    assert len(bench.chunks) == left == 7


def test_full_by_seconds() -> None:
    """With more than `queue_s` waiting, the stream is left alone until some has left."""
    bench = Bench(PacingRules(queue_s=1.0))
    bench.feed(0.0, voice(1020))
    assert not bench.pacer.full()  # one chunk has left
    bench.feed(0.0, voice(20))
    assert not bench.pacer.full()  # it is one part more than fits: the user may still be heard
    bench.feed(0.0, voice(20))
    assert bench.pacer.full()
    bench.until(0.04)
    assert not bench.pacer.full()
    bench.feed(0.03, voice(500), Interrupted(1))
    assert not bench.pacer.full()


def test_full_by_parts() -> None:
    """Of a million texts that keep their place, 4,096 and two wait; the end of a reply does."""
    bench = Bench(PacingRules(ordered=True))
    bench.feed(0.0, voice(10_000))
    texts = 0
    while not bench.pacer.full() and texts < 10_000:
        bench.feed(0.0, Part(f"{texts}", role="model", turn=1))
        texts += 1
    assert texts == 4097
    bench = Bench(PacingRules(queue_s=1.0))
    bench.feed(0.0, voice(10_000), complete(1), complete(1))
    assert not bench.pacer.full()


def test_supplied_for_a_second() -> None:
    """More is not urgent as long as a second of sound waits."""
    bench = Bench()
    assert not bench.pacer.supplied()
    bench.feed(0.0, voice(1050))
    assert bench.pacer.supplied()
    bench.until(0.05)
    assert not bench.pacer.supplied()


def test_what_is_queued_and_cut_is_told() -> None:
    """Status tells the seconds that came and the seconds that were cut, and adds up."""
    bench = Bench(zero=10.0)
    bench.feed(10.5, voice(100), voice(50))
    bench.feed(10.53, Interrupted(1))
    assert bench.news == [
        {"event": "queued", "turn": 1, "seconds": 0.1},
        {"event": "queued", "turn": 1, "seconds": 0.05},
        {"event": "cut", "turn": 1, "seconds": 0.11},
    ]


def test_the_more_waits_the_more_is_told_at_once() -> None:
    """Of ten seconds in parts of a half, the first is told, and then what makes a difference."""
    bench = Bench()
    for at in range(20):
        bench.feed(0.03 * at, voice(500))
        bench.until(0.03 * at + 0.03)
    told = [float(str(it["seconds"])) for it in bench.news if it["event"] == "queued"]
    assert told == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.5, 2.0, 2.5]
    assert sum(told) == 10.0


def test_what_came_is_told_before_any_of_it_leaves() -> None:
    """A chunk of two parts that came at once: who counts never sees more leave than came."""
    pacer, told, left = Pacer(), 0.0, 0.0
    fed = [*pacer.feed(voice(13), 0.0), *pacer.feed(voice(200), 0.0), *pacer.feed(voice(30), 0.0)]
    for output in [*fed, *(out for at in range(300) for out in pacer.tick(at / 1000))]:
        assert isinstance(output, Part)
        if isinstance(output.body, Data) and output.body.value["event"] == "queued":
            told = round(told + output.body.value["seconds"], 6)
        left = round(left + output.seconds, 6)
        assert left <= told
    assert left == told == 0.243


def test_news_are_on_the_side_lane() -> None:
    """They have the moment as `at`, and belong to no reply."""
    [news] = Pacer(zero=10.0).feed(voice(20), 12.5)
    assert isinstance(news, Part)
    assert (news.substream, news.role, news.at, news.turn) == ("status", "model", 2.5, 0)


def test_counts_are_shared() -> None:
    """Pacers whose counts are below the same others add up in them."""
    total = PacingCounts()
    for _ in range(2):
        pacer = Pacer(counts=PacingCounts(total))
        pacer.feed(voice(20), 0.0)
        pacer.tick(0.0)
        assert pacer.counts.report().chunks_played == 1
    assert total.report().chunks_played == 2
    assert Pacer().counts.report() == PacingReport()


# -- lead, growth, gaps ------------------------------------------------------------------------


def test_a_hold_finds_nothing_that_still_leaves() -> None:
    """With a lead, nothing leaves after the hold; what had is at most the lead and a chunk."""
    bench = Bench(ADAPTIVE)
    bench.feed(0.0, voice(20_000))
    bench.feed(5.0, Held(1))
    bench.until(9.0)
    assert bench.times[-1] <= 5.0
    last = bench.chunks[-1]
    assert last.at is not None
    left_s = last.at + last.seconds - 5.0
    assert 0.05 < left_s <= 0.05 + 0.2
    resumed = len(bench.chunks)
    bench.feed(9.0, Resumed(1))
    bench.end()
    assert bench.sound() == pcm(0, 20_000)
    plays = [round(9.0 + left_s + 0.02 * number, 6) for number in range(4)]
    assert at(bench.chunks)[resumed : resumed + 4] == plays
    assert bench.times[resumed : resumed + 4] == [round(it - 0.05, 6) for it in plays]


def test_chunks_grow_and_shrink_again() -> None:
    """Small at first, larger while much waits, small once more towards the end."""
    bench = Bench(ADAPTIVE)
    bench.feed(0.0, voice(20_000))
    bench.end()
    lengths = [chunk.seconds for chunk in bench.chunks]
    assert lengths[:10] == [0.02] * 10
    assert max(lengths) == 0.2
    assert lengths[-2] == 0.02
    assert len(lengths) < 250
    assert [chunk.metadata["chunk_duration"] for chunk in bench.chunks] == lengths
    assert [chunk.metadata["chunk_index"] for chunk in bench.chunks] == list(range(len(lengths)))


def test_chunks_are_short_while_the_user_speaks() -> None:
    """From the first sound to a second after it, whatever waits."""
    bench = Bench(ADAPTIVE)
    bench.feed(0.0, voice(30_000))
    bench.feed(5.0, Part(SpeechStarted(5.0)))
    bench.feed(6.0, Part(SpeechEnded(6.0)))
    bench.end()
    while_s = [c.seconds for t, c in zip(bench.times, bench.chunks, strict=True) if 5.0 < t < 7.0]
    after_s = [c.seconds for t, c in zip(bench.times, bench.chunks, strict=True) if 7.0 < t < 8.0]
    assert set(while_s) == {0.02}
    assert min(after_s) > 0.1


def test_chunks_are_longer_on_a_late_loop() -> None:
    """A loop that is 30 ms late gets chunks of 120 ms, and short ones again once it is in time."""
    bench = Bench(PacingRules(longest_s=0.2))
    bench.feed(0.0, voice(4000))
    bench.late(0.05)
    assert bench.chunks[-1].seconds == 0.12
    bench.end()
    assert [chunk.seconds for chunk in bench.chunks[-20:-1]] == [0.02] * 19


def test_an_index_counts_in_its_reply() -> None:
    """Each reply begins at 0, and goes on after a hold."""
    bench = Bench()
    bench.feed(0.0, voice(40, turn=1), voice(40, turn=2))
    bench.feed(0.05, Held(2))
    bench.feed(1.0, Resumed(2))
    bench.end()
    assert [chunk.metadata["chunk_index"] for chunk in bench.chunks] == [0, 1, 0, 1]


def test_an_underrun_is_told_with_its_length() -> None:
    """How long the listener heard nothing is counted, and on `status` when it is over."""
    bench = Bench(PacingRules(lead_s=0.05))
    bench.feed(0.0, voice(100))
    bench.feed(0.098, voice(20))  # the lead is gone, and nobody hears it
    bench.feed(0.25, voice(20))
    assert (bench.counts.buffer_underruns, bench.counts.underrun_s) == (1, 0.13)
    assert {"event": "underrun", "turn": 1, "seconds": 0.13} in bench.news
    assert bench.times[-1] == 0.25


def test_a_stall_is_told_from_an_underrun() -> None:
    """A consumer that comes 0.23 s late is counted as what it is, with its length."""
    bench = Bench()
    bench.feed(0.0, voice(100))
    bench.late(0.25)
    assert (bench.counts.stalls, bench.counts.stalled_s) == (1, 0.23)
    assert bench.counts.latest_s == 0.23
    assert bench.counts.buffer_underruns == 0


@pytest.mark.parametrize(("gap_ms", "underruns"), [(300, 1), (1100, 0)])
def test_a_voice_without_number_may_fall_silent(gap_ms: int, underruns: int) -> None:
    """Nobody says when it is over: a short gap is an underrun, a long one is silence."""
    bench = Bench()
    bench.feed(0.0, voice(100, turn=0))
    bench.feed(0.1 + gap_ms / 1000, voice(100, turn=0))
    assert bench.counts.buffer_underruns == underruns
    assert bench.times[5] == round(0.1 + gap_ms / 1000, 6)


# -- an interruption without a floor ----------------------------------------------------------

ALONE = PacingRules(interruptible=True)


def cut(bench: Bench) -> list[tuple[float, Interrupted]]:
    return [(now, it.body) for now, it in bench.left if isinstance(it.body, Interrupted)]


def test_speech_cuts_at_once() -> None:
    """The user's first sound voids the reply, and tells what was heard of it."""
    ledger = Ledger()
    bench = Bench(ALONE, ledger=ledger)
    bench.feed(0.0, voice(3000, turn=4, words="one two three four five six"))
    bench.until(1.0)
    for _, part in bench.left:
        ledger.book(part, 0.0, part.at)
    bench.feed(1.0, Part(SpeechStarted(1.0)))
    bench.feed(1.1, voice(100, turn=4))
    bench.end()
    assert bench.times[-1] == 1.0
    assert cut(bench) == [(1.0, Interrupted(4, "one two"))]
    assert (bench.counts.interruptions, bench.counts.refused) == (1, 1)


def test_speech_does_not_cut_where_a_floor_decides() -> None:
    """The floor holds and decides: a cough comes to nothing."""
    bench = Bench(ALONE, decided={"floor"})
    bench.feed(0.0, voice(1000))
    bench.feed(0.3, Part(SpeechStarted(0.3)))
    bench.end()
    assert cut(bench) == []
    assert len(bench.sound()) == 2000


def test_speech_does_not_cut_unless_asked() -> None:
    """Without interruption detection only `Interrupted` and `Reset` cut."""
    bench = Bench()
    bench.feed(0.0, voice(1000))
    bench.feed(0.3, Part(SpeechStarted(0.3)))
    bench.feed(0.5, Part(Interrupted(1)))
    assert cut(bench) == [(0.5, Interrupted(1))]


def test_speech_over_silence_is_no_interruption() -> None:
    """Before a reply, and a second after its last sound, there is nothing to interrupt."""
    bench = Bench(ALONE)
    bench.feed(0.0, Part(SpeechStarted(0.0)), Part(SpeechEnded(0.0)))
    bench.feed(1.0, voice(100))
    bench.feed(2.2, Part(SpeechStarted(2.2)))
    assert cut(bench) == []
    bench.feed(3.0, voice(100))
    bench.feed(3.5, Part(SpeechStarted(3.5)))  # half a second after: the reply may go on
    assert cut(bench) == [(3.5, Interrupted(1))]


def test_a_voice_without_number_is_cut() -> None:
    """What comes of it while the user speaks is refused; after that it is a new reply."""
    bench = Bench(ALONE)
    bench.feed(0.0, voice(1000, turn=0))
    bench.feed(0.31, Part(SpeechStarted(0.31)))
    assert cut(bench) == [(0.31, Interrupted(0))]
    assert bench.feed(0.4, voice(500, turn=0)) == []
    bench.feed(0.6, Part(SpeechEnded(0.6)))
    bench.feed(0.7, voice(40, turn=0, start=500))
    bench.end()
    assert bench.times[-3:] == [0.3, 0.7, 0.72]
    assert bench.counts.refused_s == 0.5


def test_speech_that_never_ends_does_not_silence_for_ever() -> None:
    """Five seconds after the cut a voice without number is heard whatever the user does."""
    bench = Bench(ALONE)
    bench.feed(0.0, voice(1000, turn=0))
    bench.feed(0.3, Part(SpeechStarted(0.3)))
    assert bench.feed(5.2, voice(20, turn=0)) == []
    assert len(bench.feed(5.4, voice(20, turn=0))) == 1


@pytest.mark.parametrize("signal", [Interrupted(0), Reset()])
def test_zero_cuts_what_has_no_number(signal: Interrupted | Reset) -> None:
    """And only that; a numbered reply goes on."""
    bench = Bench()
    bench.feed(0.0, voice(100, turn=0), voice(40, turn=1))
    bench.feed(0.05, Part(signal))
    bench.end()
    assert len(bench.sound(0)) == 120
    assert bench.times[3] == 0.05
    assert bench.sound(1) == pcm(0, 40)


def test_zero_holds_what_has_no_number() -> None:
    """As any other number holds its reply."""
    bench = Bench()
    bench.feed(0.0, voice(100, turn=0))
    bench.feed(0.05, Held(0))
    bench.feed(1.0, Resumed(0))
    bench.end()
    assert bench.times == [0.0, 0.02, 0.04, 1.01, 1.03]


def test_loud_user_audio_cuts_and_quiet_does_not() -> None:
    """Silence that arrives is no speech; 60 ms of a loud voice are."""
    bench = Bench(ALONE)
    quiet = Part.audio(bytes(640), role="user")
    loud = Part.audio(struct.pack("<2h", 9000, -9000) * 160, role="user")
    bench.feed(0.0, voice(3000))
    for step in range(20):
        assert bench.feed(0.02 * step, quiet)[0] == quiet
    for step in range(20, 25):
        bench.feed(0.02 * step, loud)
    assert cut(bench) == [(0.44, Interrupted(1))]


def test_a_report_of_the_listener_is_told_to_all() -> None:
    """It is for the ledger; it goes no further as a part."""
    assert Pacer().feed(Part(PlayedTo(1, 0.5)), 0.0) == [Announce(PlayedTo(1, 0.5))]
    assert Pacer().feed(PlayedTo(1, 0.5), 0.0) == []


def test_the_ledger_is_told_what_came() -> None:
    """So it knows how much of a reply there is before any of it has left."""
    ledger = Ledger()
    bench = Bench(ledger=ledger)
    bench.feed(0.0, Held(1), voice(300), voice(200))
    assert ledger.heard(1).queued_s == 0.5


# -- what should not come ---------------------------------------------------------------------


def test_a_sample_that_is_no_number_is_refused() -> None:
    """The error says where it is."""
    body = Audio(struct.pack("<4f", 0.0, 0.5, math.nan, 0.0), AudioFormat(RATE, 1, 4, "float"))
    with pytest.raises(AudioError, match=r"sample 2 of 0\.004 s is nan"):
        Pacer().feed(Part(body, role="model"), 0.0)


@pytest.mark.parametrize("source", [-5.0, math.nan, 1e300])
def test_media_time_does_not_rule_the_schedule(source: float) -> None:
    """However odd, backward or negative, it is kept beside; what came first leaves first."""
    bench = Bench()
    bench.feed(0.0, voice(40).derive(at=10.0), voice(40, start=40).derive(at=source))
    bench.end()
    assert bench.sound() == pcm(0, 80)
    assert bench.times == [0.0, 0.02, 0.04, 0.06]


def test_single_frames_are_joined() -> None:
    """A hundred thousand parts of one frame leave as chunks of 20 ms, byte for byte."""
    bench = Bench(PacingRules(queue_s=1e9))
    fmt = AudioFormat(16_000)
    frames = [struct.pack("<H", n % 65_536) for n in range(100_000)]
    parts = [Part(Audio(frame, fmt), role="model", turn=1) for frame in frames]
    for part in parts:
        bench.take(0.0, bench.pacer.feed(part, 0.0))
    assert bench.pacer.full()  # long before: no more would have been read
    bench.end()
    assert bench.sound() == b"".join(frames)
    assert {chunk.seconds for chunk in bench.chunks[:-1]} == {0.02}
    assert sum(float(str(news["seconds"])) for news in bench.news) == pytest.approx(6.25)


def test_ten_minutes_at_once() -> None:
    """One part of ten minutes leaves in time to its last chunk, and holds what it holds."""
    bench = Bench()
    bench.feed(0.0, Part(Audio(bytes(2 * 50 * 600), AudioFormat(50)), role="model", turn=1))
    assert not bench.pacer.full()  # the user is heard over it
    bench.end()
    assert bench.times == [round(n * 0.02, 6) for n in range(30_000)]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [([44_100], 3600.0), ([22_050, 44_100, 11_025], 3600.0)],
)
def test_an_hour_of_any_rate_does_not_drift(rates: list[int], expected: float) -> None:
    """Frames are counted: after an hour of odd rates, mixed or not, the end is where it must be."""
    bench = Bench(PacingRules(queue_s=1e9, chunk_s=0.1))
    for second in range(3600):
        rate = rates[second % len(rates)]
        bench.feed(float(second), Part(Audio(bytes(rate * 2), AudioFormat(rate)), "model", turn=1))
    bench.feed(3599.5, complete(1))
    bench.end()
    assert bench.when(complete(1)) == expected
    assert bench.counts.buffer_underruns == bench.counts.stalls == 0


# -- for all sequences ------------------------------------------------------------------------

held_steps = st.lists(
    st.tuples(
        st.sampled_from(["voice", "hold", "resume", "tick"]),
        st.integers(0, 300),
        st.integers(0, 130),
    ),
    max_size=40,
)


@quick
@given(held_steps, st.sampled_from([PacingRules(), ADAPTIVE, PacingRules(lead_s=1.0)]))
def test_holding_loses_and_repeats_nothing(
    steps: list[tuple[str, int, int]], rules: PacingRules
) -> None:
    """Whatever is held and resumed, all sound leaves once, in order, never overlapping."""
    bench = Bench(rules)
    now_ms, frames, held = 0, 0, False
    words = ""
    for kind, wait, length in steps:
        now_ms += wait
        before = len(bench.chunks)
        bench.until(now_ms / 1000)
        if held:
            assert len(bench.chunks) == before
        if kind == "voice":
            said = f" w{frames} {'x' * (length % 7)}"
            words += said
            bench.feed(now_ms / 1000, voice(length, words=said, start=frames))
            frames += length
        elif kind != "tick":
            held = kind == "hold"
            bench.feed(now_ms / 1000, Held(1) if held else Resumed(1))
    now_ms += 1000
    bench.feed(now_ms / 1000, Resumed(1), complete(1))
    bench.end()
    assert bench.sound() == pcm(0, frames)
    assert "".join(c.body.words for c in bench.chunks if isinstance(c.body, Audio)) == words
    starts = [chunk.at for chunk in bench.chunks if chunk.at is not None]
    ends = [chunk.at + chunk.seconds for chunk in bench.chunks if chunk.at is not None]
    assert all(b >= a - 2e-6 for a, b in zip(ends, starts[1:], strict=False))
    for now, chunk in zip(bench.times, bench.chunks, strict=True):
        assert not chunk.seconds or now <= (chunk.at or 0.0), "never later than played"
    assert bench.pacer.done()
    if bench.chunks:
        over_at, _ = bench.left[-1]
        assert over_at >= round(ends[-1], 6) - 2e-6


kinds = [
    "voice", "voice", "voice", "text", "call", "signal", "image", "data", "complete", "user",
    "interrupted", "reset", "held", "resumed", "wait",
]  # fmt: skip
steps = st.lists(
    st.tuples(
        st.sampled_from(kinds),
        st.integers(0, 4),  # which reply
        st.integers(0, 150),  # ms, of waiting or of sound
        st.booleans(),  # announced, or in the stream
    ),
    max_size=50,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([PacingRules(), PacingRules(ordered=True), ADAPTIVE]))
def test_nothing_stale_ever_leaves(
    taken: list[tuple[str, int, int, bool]], rules: PacingRules
) -> None:
    """In any order of replies, interruptions, holds and late parts: no void media leaves, nothing
    else is lost, what was never interrupted is heard whole, and the counts add up."""
    bench = Bench(rules)
    now_ms = frames = void = 0
    fed: dict[int, bytes] = {}
    kept: list[Part] = []

    def check(before: int) -> None:
        for _, part in bench.left[before:]:
            if 0 < part.turn <= void:
                assert not isinstance(part.body, str | Audio | Data | Image)

    for number, (kind, turn, ms, announced) in enumerate(taken):
        before = len(bench.left)
        item: Item
        if kind == "wait":
            now_ms += ms
            bench.until(now_ms / 1000)
            check(before)
            continue
        if kind in ("interrupted", "reset", "held", "resumed"):
            make = {"interrupted": Interrupted, "reset": Reset, "held": Held, "resumed": Resumed}
            signal = make[kind](turn)
            if isinstance(signal, Interrupted | Reset):
                void = max(void, turn)
                if not turn:  # what has no number is cut, and what comes later is heard
                    fed[0] = bench.sound(0)
            item = signal if announced else Part(signal, metadata={"n": number})
        elif kind == "voice":
            item = voice(ms, turn, start=frames)
            fed[turn] = fed.get(turn, b"") + (b"" if 0 < turn <= void else item.bytes)
            frames += ms
        elif kind == "user":
            item = Part(SpeechStarted(float(number)))
        else:
            body = {
                "text": "x",
                "call": Call("1", "f"),
                "signal": TurnEnded(1.0),
                "image": Image(b"x"),
                "data": Data(1),
                "complete": TurnComplete(turn, "interrupted"),
            }[kind]
            item = Part(body, "model", turn=turn, metadata={"n": number})  # type: ignore[arg-type]
        if kind in ("call", "signal", "complete", "user"):
            assert isinstance(item, Part)
            kept.append(item)
        bench.feed(now_ms / 1000, item)
        check(before)
    bench.feed(now_ms / 1000, *(Resumed(turn) for turn in range(5)))
    bench.end()
    assert bench.pacer.done()
    left = [part for _, part in bench.left]
    for kinds in ([TurnComplete], [TurnEnded, Call], [SpeechStarted]):
        own = [part for part in kept if type(part.body) in kinds]
        assert [part for part in left if part in own] == own
    if rules.ordered:
        own = [part for part in kept if part.role == "model"]
        assert [part for part in left if part in own] == own
    for turn, sound in fed.items():
        if turn == 0 or turn > void:
            assert bench.sound(turn) == sound
    counts = bench.counts
    assert counts.chunks_played == len(bench.chunks)
    assert counts.played_s == pytest.approx(len(bench.sound()) / 2 / RATE)
    whole_s = counts.played_s + counts.cut_s + counts.refused_s
    assert counts.taken_s == pytest.approx(whole_s) == pytest.approx(frames / RATE)


# -- under pressure ---------------------------------------------------------------------------


def test_chunks_are_as_long_as_may_be_under_pressure() -> None:
    """At level 3 all have the longest length, but while somebody may interrupt they are short."""
    shedding = Shedding(3)
    bench = Bench(PacingRules(longest_s=0.2), shedding=shedding)
    bench.feed(0.0, voice(1000))
    bench.until(0.5)
    assert [part.seconds for _, part in bench.left] == [0.2, 0.2, 0.2]
    assert shedding.counts == {"chunks": 3}
    shedding.level = 2
    bench.until(0.7)
    assert bench.left[-1][1].seconds < 0.2
    shedding.level = 3
    bench.feed(0.7, Part(SpeechStarted(0.7)))
    bench.until(0.8)
    assert bench.left[-1][1].seconds == 0.02


def test_chunks_of_one_length_stay_so() -> None:
    """Whoever asked for that gets it at any level."""
    shedding = Shedding(3)
    bench = Bench(shedding=shedding)
    bench.feed(0.0, voice(60))
    bench.until(1.0)
    assert [part.seconds for _, part in bench.left] == [0.02] * 3
    assert not shedding.counts
