import asyncio
import io
import wave
from array import array
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import asdict

from vivace.audio import AudioFormat
from vivace.errors import AudioError, VivaceError
from vivace.flow.clock import now
from vivace.flow.processor import Processor, processor
from vivace.flow.run import current_run
from vivace.live.live_model import LiveModelProcessor
from vivace.models import Scripted
from vivace.part import (
    Audio,
    Data,
    Held,
    Interrupted,
    Part,
    Played,
    PlayedTo,
    Playing,
    Reset,
    Resumed,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)
from vivace.processors.detect_speech import DetectSpeech
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.processors.speak import Speak
from vivace.testing.fakes import FakeDetector, FakeVoice
from vivace.testing.script import play, timeline

pytestmark = pytest.mark.virtual

FORMAT = AudioFormat()
LOUD = array("h", [9000, -9000] * 160).tobytes()  # 20 ms
NAMES: list[str] = []


def plain(chunk_s: float = 0.02, **given: Any) -> AudioRateLimiter:
    """All chunks alike, none earlier than it is to be played."""
    return AudioRateLimiter(adaptive_chunking=False, chunk_s=chunk_s, lead_s=0.0, **given)


def say(name: str, seconds: float, turn: int = 1) -> Part:
    """Audio of the agent whose every sample tells which one it is."""
    if name not in NAMES:
        NAMES.append(name)
    pcm = array("h", [100 + NAMES.index(name)]).tobytes() * FORMAT.frames(seconds)
    return Part(Audio(pcm, FORMAT), role="model", turn=turn)


def interrupted(turn: int) -> Part:
    return Part(Interrupted(turn), role="model")


def name_of(part: Part) -> str:
    match part.body:
        case Audio(pcm=pcm):
            return NAMES[array("h", pcm[:2])[0] - 100]
        case str(text):
            return text
        case body:
            return type(body).__name__.lower()


def heard(seen: list[tuple[float, Part]]) -> list[tuple[float, str]]:
    """When each sound began and each signal came, without status and what comes of being heard."""
    out: list[tuple[float, str]] = []
    for at, part in seen:
        if part.substream or isinstance(part.body, Playing | Played):
            continue
        if not (out and isinstance(part.body, Audio) and out[-1][1] == name_of(part)):
            out.append((at, name_of(part)))
    return out


def tell(signal: Signal) -> Part:
    """A part on which `announcer` announces `signal`."""
    return Part(signal, substream="announce")  # type: ignore[arg-type]


@processor
async def announcer(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Announces signals as a live model does; passes everything else."""
    async for part in stream:
        if part.substream == "announce":
            assert isinstance(part.body, Signal)
            current_run().bus.announce(part.body)
        else:
            yield part


async def listen(agent: Processor, script: list[tuple[float, Any]], pace: float) -> Any:
    """As `play`, by a consumer who needs `pace` times as long as each sound lasts."""
    seen = []
    async with agent.run(timeline(script)) as parts:
        async for part in parts:
            seen.append((round(now(), 6), part))
            await asyncio.sleep(part.seconds * pace)
    return seen


# -- natural speed


@pytest.mark.virtual(seeds=50)
async def test_late_audio_of_a_cancelled_reply_is_dropped() -> None:
    """After an interruption, chunks of the old turn never leave."""
    seen = await play(
        plain(),
        [
            (0.00, say("a", 0.3, turn=1)),
            (0.00, say("b", 0.3, turn=1)),
            (0.40, interrupted(turn=1)),
            (0.45, say("late", 0.3, turn=1)),
            (0.50, say("new", 0.2, turn=2)),
        ],
    )
    assert heard(seen) == [(0.0, "a"), (0.3, "b"), (0.4, "interrupted"), (0.5, "new")]


@pytest.mark.virtual(seeds=20)
async def test_each_chunk_leaves_when_the_one_before_it_has_been_played() -> None:
    """A second of sound given at once leaves as fifty chunks, each at its exact time."""
    seen = await play(plain(), [(0.0, say("a", 1.0))])
    chunks = [(at, part.at, part.seconds) for at, part in seen if part.seconds]
    assert chunks == [(n / 50, n / 50, 0.02) for n in range(50)]


async def test_there_is_no_drift_in_ten_minutes() -> None:
    """The chunk of the tenth minute leaves at its exact time too."""
    script = [(float(n), say("a", 1.0)) for n in range(600)]
    seen = await play(plain(chunk_s=0.1), script)
    assert [at for at, part in seen if part.seconds] == [n / 10 for n in range(6000)]


async def test_audio_comes_out_whole() -> None:
    """All samples come out, once and in order, with their words."""
    pcm = array("h", range(8_000)).tobytes()
    part = Part(Audio(pcm, FORMAT, "one two three"), role="model", turn=1)
    seen = await play(plain(), [(0.0, part)])
    audio = [part.body for _, part in seen if isinstance(part.body, Audio)]
    assert b"".join(body.pcm for body in audio) == pcm
    assert "".join(body.words for body in audio) == "one two three"


async def test_a_lead_lets_chunks_leave_earlier() -> None:
    """With a lead of 0.1 s each chunk leaves so much earlier than it is to be played."""
    seen = await play(
        AudioRateLimiter(adaptive_chunking=False, chunk_s=0.1, lead_s=0.1), [(0.0, say("a", 0.5))]
    )
    assert [(at, part.at) for at, part in seen if part.seconds] == [
        (0.0, 0.0),
        (0.0, 0.1),
        (0.1, 0.2),
        (0.2, 0.3),
        (0.3, 0.4),
    ]


async def test_the_end_of_a_reply_comes_when_its_last_sound_has_been_played() -> None:
    """`TurnComplete` leaves at the very end of the last chunk."""
    complete = Part(TurnComplete(1), role="model", turn=1)
    seen = await play(plain(), [(0.0, say("a", 0.3)), (0.0, complete)])
    ends = [(at, type(part.body).__name__) for at, part in seen if isinstance(part.body, Signal)]
    assert ends == [(0.0, "Playing"), (0.3, "TurnComplete"), (0.3, "Played")]


async def test_the_users_signals_do_not_wait() -> None:
    """What the user does passes at once, while the agent still speaks; its own text waits."""
    script = [
        (0.0, say("a", 1.0)),
        (0.1, Part("and text", role="model", turn=1)),
        (0.2, Part(SpeechStarted(0.2))),
    ]
    seen = await play(plain(ordered=True, interruption_detection=False), script)
    assert [it for it in heard(seen) if it[1] != "a"] == [
        (0.2, "speechstarted"),
        (0.98, "and text"),
    ]


# -- held and resumed


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.virtual(seeds=20)
async def test_held_audio_goes_on_at_the_very_sample(announced: bool) -> None:
    """While held nothing leaves; resumed, nothing is missing and nothing comes twice."""
    pcm = array("h", range(16_000)).tobytes()
    make = tell if announced else Part
    seen = await play(
        announcer + plain(),
        [
            (0.0, Part(Audio(pcm, FORMAT), role="model", turn=1)),
            (0.31, make(Held(1))),
            (0.75, make(Resumed(1))),
        ],
    )
    chunks = [(at, part.bytes) for at, part in seen if part.seconds]
    assert b"".join(chunk for _, chunk in chunks) == pcm
    assert not [at for at, _ in chunks if 0.31 < at < 0.75]
    assert [at for at, _ in chunks][15:17] == [0.3, 0.76]


# -- a slow consumer


@pytest.mark.parametrize("announced", [False, True], ids=["in the stream", "announced"])
@pytest.mark.virtual(seeds=50)
async def test_a_slow_consumer_gets_nothing_stale(announced: bool) -> None:
    """Who takes twice as long as the sound lasts gets none of it after the interruption."""
    make = tell if announced else Part
    seen = await listen(
        announcer + plain(),
        [
            (0.0, say("old", 1.0, turn=1)),
            (0.41, make(Interrupted(1))),
            (0.45, say("late", 0.3, turn=1)),
            (1.0, say("new", 0.1, turn=2)),
        ],
        pace=2.0,
    )
    stale = [at for at, part in seen if part.seconds and part.turn == 1]
    assert max(stale) <= 0.41
    assert heard(seen)[:1] == [(0.0, "old")]
    assert [name for _, name in heard(seen)] == ["old", "interrupted", "new"]


@pytest.mark.virtual(seeds=20)
async def test_a_slow_consumer_slows_the_sound() -> None:
    """Sound waits for the consumer; it does not pile up: one chunk is the most."""
    limiter = plain(chunk_s=0.1)
    async with limiter.run([say("a", 10.0)]) as parts:
        first = [await anext(parts) for _ in range(3)]
        assert [type(part.body) for part in first].count(Audio) >= 1
        await asyncio.sleep(5.0)
        taken = [type(part.body) for part in first].count(Audio)
        assert limiter.chunks_played == taken + 1


@pytest.mark.virtual(seeds=20)
async def test_a_stage_behind_the_limiter_hands_on_nothing_stale() -> None:
    """A chunk that a slow later stage has in hand is refused after the interruption."""

    @processor
    async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await asyncio.sleep(part.seconds * 2)
            yield part

    seen = await play(
        announcer + plain(chunk_s=0.1) + slow,
        [(0.0, say("old", 2.0)), (0.65, tell(Interrupted(1))), (2.0, say("new", 0.1, turn=2))],
    )
    assert [name for _, name in heard(seen)] == ["old", "interrupted", "new"]


# -- interruptions


@pytest.mark.parametrize("signal", [Interrupted(1), Reset(1)])
@pytest.mark.virtual(seeds=20)
async def test_an_announced_interruption_silences_at_once(signal: Interrupted | Reset) -> None:
    """Nothing stands in a queue: 3 s of speech stop at the chunk in which the user speaks."""
    seen = await play(
        announcer + plain(),
        [(0.0, say("a", 3.0)), (0.31, tell(signal)), (0.5, say("b", 0.1, turn=2))],
    )
    assert heard(seen) == [(0.0, "a"), (0.31, type(signal).__name__.lower()), (0.5, "b")]
    assert max(at for at, part in seen if part.turn == 1 and part.seconds) == 0.3


async def test_tool_traffic_survives_an_interruption() -> None:
    """A call among the sound that was cut comes out all the same."""
    call = Part.call("order", id="1", turn=1)
    seen = await play(
        announcer + plain(ordered=True),
        [(0.0, say("a", 1.0)), (0.0, call), (0.0, say("b", 1.0)), (0.3, tell(Interrupted(1)))],
    )
    assert [it for it in heard(seen) if it[0] >= 0.3] == [(0.3, "interrupted"), (0.3, "call")]


async def test_what_is_queued_and_cut_is_told_aside() -> None:
    """On `status` come the seconds that were queued, and those that were cut."""
    seen = await play(announcer + plain(), [(0.0, say("a", 1.0)), (0.31, tell(Interrupted(1)))])
    news = [(at, part.body.value) for at, part in seen if isinstance(part.body, Data)]
    assert news[:2] == [
        (0.0, {"event": "queued", "turn": 1, "seconds": 1.0}),
        (0.31, {"event": "cut", "turn": 1, "seconds": 0.68}),
    ]


# -- backpressure and counts


@pytest.mark.virtual(seeds=20)
async def test_what_is_upstream_waits_when_enough_is_queued() -> None:
    """With 2 s allowed to wait, the stream is left alone until less is queued."""
    pulled: list[float] = []

    async def source() -> AsyncIterator[Part]:
        for _ in range(6):
            pulled.append(round(now(), 6))
            yield say("a", 1.0)

    await play_all(plain(queue_s=2.0), source())
    assert pulled == [0.0, 0.0, 0.0, 0.0, 1.98, 1.98]


async def play_all(agent: Processor, source: AsyncIterator[Part]) -> None:
    async with agent.run(source) as parts:
        async for _ in parts:
            pass


async def test_counts_are_summed_over_runs() -> None:
    """Chunks, interruptions and gaps are counted over all runs of one limiter."""
    limiter = plain(chunk_s=0.1)
    assert (limiter.chunks_played, limiter.interruptions, limiter.buffer_underruns) == (0, 0, 0)
    for _ in range(2):
        await play(
            announcer + limiter,
            [(0.0, say("a", 0.2)), (0.5, say("a", 1.0)), (1.05, tell(Interrupted(1)))],
        )
    assert limiter.chunks_played == 2 * (2 + 6)
    assert limiter.interruptions == 2
    assert limiter.buffer_underruns == 2


# -- as it comes: chunks that grow, a lead


@pytest.mark.virtual(seeds=20)
async def test_a_hold_lets_nothing_more_out() -> None:
    """As it comes, too, no chunk leaves after the hold; then it goes on at the very sample."""
    pcm = array("h", [n % 30_000 for n in range(16_000 * 20)]).tobytes()
    seen = await play(
        announcer + AudioRateLimiter(),
        [
            (0.0, Part(Audio(pcm, FORMAT), role="model", turn=1)),
            (6.31, tell(Held(1))),
            (7.75, tell(Resumed(1))),
        ],
    )
    chunks = [(at, part) for at, part in seen if part.seconds]
    assert b"".join(part.bytes for _, part in chunks) == pcm
    assert not [at for at, _ in chunks if 6.31 < at < 7.75]
    lengths = [part.seconds for _, part in chunks]
    assert lengths[0] == min(lengths) == 0.02
    assert 0.15 < max(lengths) <= 0.2
    assert [part.metadata["chunk_index"] for _, part in chunks] == list(range(len(chunks)))


@pytest.mark.virtual(seeds=20)
async def test_a_slow_consumer_finds_one_chunk_after_a_hold() -> None:
    """What it has not taken yet is one chunk: nothing else was cut for it."""
    seen = await listen(
        announcer + AudioRateLimiter(),
        [(0.0, say("a", 9.0)), (2.0, tell(Held(1))), (6.0, tell(Resumed(1)))],
        pace=2.0,
    )
    late = [part for at, part in seen if part.seconds and 2.0 < at < 6.0]
    assert len(late) <= 1


async def test_the_record_of_a_run_is_told_at_its_end() -> None:
    """On `status` comes what was done, and the object remembers it."""
    limiter = AudioRateLimiter()
    seen = await play(limiter, [(0.0, say("a", 1.0)), (0.5, say("b", 1.0))])
    [(at, part)] = [it for it in seen if it[1].substream and "paced" in str(it[1].body)]
    assert isinstance(part.body, Data)
    assert (at, part.substream) == (seen[-1][0], "status")
    assert part.body.value == {"event": "paced", **asdict(limiter.last_run)}
    assert limiter.last_run.taken_s == limiter.last_run.played_s == 2.0
    assert limiter.totals == limiter.last_run


async def test_a_run_that_was_left_can_be_read_too() -> None:
    """Whoever leaves early asks the object."""
    limiter = AudioRateLimiter()
    async with limiter.run([say("a", 10.0)]) as parts:
        async for part in parts:
            if part.seconds:
                break
    assert limiter.last_run.chunks_played in (1, 2)  # one that nobody took may wait
    assert limiter.last_run.taken_s == 10.0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sample_rate": 0}, "a rate of 0 Hz is not audio"),
        ({"lead_s": -1.0}, "a lead of -1 s"),
        ({"chunk_s": 0.5}, "chunks of 0.5 to 0.2 s"),
        ({"queue_s": 0.0}, "a queue of 0 s"),
    ],
)
def test_numbers_out_of_range(given: dict[str, Any], says: str) -> None:
    """They are refused when the limiter is made."""
    with pytest.raises(VivaceError) as caught:
        AudioRateLimiter(**given)
    assert says in str(caught.value)


# -- what was heard


async def heard_at(moment: float, *more: tuple[float, Any]) -> str:
    """What the ledger says was heard when the reply is interrupted at `moment`."""
    ledger: list[str] = []

    @processor
    async def asks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.substream == "announce":
                ledger.append(current_run().bus.ledger.heard(1).text)
            yield part

    words = [
        Part.audio(bytes(32 * 300), words=f"{word} ", role="model", turn=1)
        for word in "one two three four five six".split()
    ]
    script = [*((0.0, word) for word in words), *more, (moment, tell(Interrupted(1)))]
    script.sort(key=lambda line: line[0])
    await play(asks + announcer + AudioRateLimiter(), script)
    return ledger[-1]


@pytest.mark.parametrize(
    ("moment", "text"),
    [(0.1, ""), (0.2, "one"), (0.4, "one"), (0.5, "one two"), (1.8, "one two three four five six")],
)
@pytest.mark.virtual(seeds=10)
async def test_a_word_is_heard_from_its_middle_on(moment: float, text: str) -> None:
    """Not when it left, which is earlier."""
    assert await heard_at(moment) == text


@pytest.mark.virtual(seeds=10)
async def test_a_report_of_the_listener_says_what_was_heard() -> None:
    """It is 0.4 s behind: so much less was heard."""
    assert await heard_at(1.1) == "one two three four"
    report = Part(PlayedTo(1, 0.6))
    assert await heard_at(1.1, (1.0, report)) == "one two"


# -- without a floor


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("pace", [0.0, 2.0])
@pytest.mark.virtual(seeds=20)
async def test_speech_in_the_stream_interrupts(turn: int, pace: float) -> None:
    """A start of speech cuts a reply with or without a number, also for a slow consumer."""
    script = [
        (0.0, say("a", 3.0, turn)),
        (0.5, Part(SpeechStarted(0.5))),
        (0.6, say("a", 3.0, turn)),
        (1.0, Part(SpeechEnded(1.0))),
    ]
    seen = await listen(AudioRateLimiter(), script, pace)
    assert [part.body for _, part in seen if isinstance(part.body, Interrupted)] == [
        Interrupted(turn, "")
    ]
    assert max(at for at, part in seen if part.seconds) <= 0.5


@pytest.mark.virtual(seeds=20)
async def test_loud_user_audio_interrupts_and_quiet_does_not() -> None:
    """The user's audio passes untouched; 60 ms of a loud one cut the reply."""
    quiet = [(n / 50, Part.audio(bytes(640), at=n / 50)) for n in range(25)]
    loud = [(n / 50, Part.audio(LOUD, at=n / 50)) for n in range(25, 50)]
    seen = await play(AudioRateLimiter(), [(0.0, say("a", 3.0)), *quiet, *loud])
    assert [part for _, part in seen if part.role == "user"] == [p for _, p in [*quiet, *loud]]
    assert [at for at, part in seen if isinstance(part.body, Interrupted)] == [0.54]


async def test_detection_may_be_off_or_ones_own() -> None:
    """Without it, sound is only sound; a detector of one's own says what is speech."""
    script = [(0.0, say("a", 1.0)), *((n / 50, Part.audio(LOUD)) for n in range(10, 30))]
    for limiter in (
        AudioRateLimiter(interruption_detection=False),
        AudioRateLimiter(detector=lambda _: False),
    ):
        seen = await play(limiter, script)
        assert not [part for _, part in seen if isinstance(part.body, Interrupted)]
    seen = await play(AudioRateLimiter(detector=lambda _: True), script)
    assert [at for at, part in seen if isinstance(part.body, Interrupted)] == [0.24]


@pytest.mark.virtual(seeds=20)
async def test_a_floor_in_the_run_decides_alone() -> None:
    """A cough over a reply holds it, says the floor; the limiter cuts nothing by itself."""
    reply = Scripted(["one two three four five six"]) + Speak(FakeVoice())
    seen = await play(
        LiveModelProcessor(reply) + AudioRateLimiter(),
        [
            (0.0, Part("hello")),
            (0.0, Part(TurnEnded(0.0))),
            (0.5, Part(SpeechStarted(0.5))),
            (0.7, Part(SpeechEnded(0.7))),
            (0.8, Part(TurnEnded(0.8))),
        ],
    )
    signals = [type(part.body) for _, part in seen if isinstance(part.body, Signal)]
    assert Held in signals
    assert Resumed in signals
    assert Interrupted not in signals
    assert sum(part.seconds for _, part in seen) == pytest.approx(1.8)


async def test_a_detector_in_the_run_knows_better_than_a_level() -> None:
    """It hears no speech in this noise: so there was none."""
    noise = [(n / 50, Part.audio(array("h", [900, -900] * 160).tobytes())) for n in range(50)]
    seen = await play(
        DetectSpeech(FakeDetector()) + AudioRateLimiter(detector=lambda _: True),
        [(0.0, say("a", 0.8)), *noise],
    )
    assert not [part for _, part in seen if isinstance(part.body, Interrupted)]


# -- what should not come


async def test_a_wav_file_is_played_and_torn_sound_is_an_error() -> None:
    """Files are decoded; raw data that ends inside a frame ends the run, saying why."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(bytes(1600))
    whole = Part(Data(None, "audio/wav", file.getvalue()), role="model", turn=1)
    seen = await play(AudioRateLimiter(), [(0.0, whole)])
    assert {part.mimetype for _, part in seen if part.seconds} == {"audio/pcm;rate=8000"}
    assert sum(part.seconds for _, part in seen) == pytest.approx(0.1)
    torn = Part(Data(None, "audio/pcm", b"123"), role="model", turn=1)
    with pytest.raises(AudioError, match="3 bytes is not a whole number"):
        await play(AudioRateLimiter(), [(0.0, torn)])


async def test_a_sample_that_is_no_number_is_an_error() -> None:
    """It would be a bang in somebody's ear."""
    body = Audio(array("f", [0.0, float("nan")]).tobytes(), AudioFormat(8_000, 1, 4, "float"))
    with pytest.raises(AudioError, match="which cannot be played"):
        await play(AudioRateLimiter(), [(0.0, Part(body, role="model"))])


@pytest.mark.virtual(seeds=5)
async def test_the_user_is_heard_over_one_long_part() -> None:
    """Ten minutes that came at once do not make deaf, however little may wait."""
    long = Part(Audio(bytes(2 * 1000 * 600), AudioFormat(1000)), role="model", turn=1)
    script = [(0.0, long), (3.0, Part(SpeechStarted(3.0)))]
    seen = await play(AudioRateLimiter(queue_s=1.0), script)
    assert [at for at, part in seen if isinstance(part.body, Interrupted)] == [3.0]
