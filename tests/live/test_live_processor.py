"""A live model on a server among other stages: what goes in, what comes out, and who is heard."""

import asyncio
import io
import math
import threading
from array import array
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from tests.live.live_bench import (
    COMPLETE,
    MODEL,
    SEED_ONLY,
    Hold,
    check,
    hold,
    microphone,
    processor,
    sound,
    typed,
)
from vivace import (
    Ask,
    Audio,
    AudioFormat,
    AudioRateLimiter,
    AudioTriggerMode,
    Data,
    DetectSpeech,
    Event,
    EventProcessor,
    Held,
    Image,
    Interrupted,
    KeywordDetector,
    LiveModelProcessor,
    LiveProcessor,
    Part,
    Played,
    PlayedTo,
    RealTimeMetrics,
    Reset,
    Response,
    Resumed,
    Say,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
    observe,
    tool,
)
from vivace.errors import ModelSpec, ModelUnreachable, StageError, ToolError
from vivace.flow.processor import Processor
from vivace.flow.processor import processor as processor_of_parts
from vivace.flow.scope import AbandonedTask
from vivace.live.live_spec import live_model
from vivace.live.prepared import prepared
from vivace.machines.interrupt import Interrupt, Overlap
from vivace.server.gemini_frames import call, content, heard, merged, said, usage
from vivace.server.gemini_wire import (
    ActivityEnded,
    ActivityStarted,
    AudioHeard,
    AudioStreamEnded,
    Content,
    ImageSeen,
    TextHeard,
    ToolAnswers,
    Turn,
)
from vivace.testing.fakes import Caller, FakeDetector
from vivace.testing.gemini_script import (
    Close,
    Delay,
    Drop,
    Expect,
    Garbage,
    Handle,
    Script,
    Send,
    SetUp,
)

__all__ = ["hold"]

ASKED = Expect(TextHeard)
END_OF_SPEECH = AudioTriggerMode.END_OF_SPEECH
TEN_WORDS = "one two three four five six seven eight nine ten"


def reply(seconds: float, text: str, mark: int = 1) -> list[Any]:
    return [Send(merged([said(sound(mark, seconds)), heard(model=text)])), *COMPLETE]


def _knot() -> list[Any]:
    knot: list[Any] = []
    knot.append(knot)
    return knot


# -- what goes in ---------------------------------------------------------------------------------


async def test_sound_of_any_rate_goes_as_16_khz(hold: Hold) -> None:
    """Stereo at 48 kHz, floats and short chunks arrive as 16-bit mono, 20 to 100 ms a message."""
    chunks = [Part.audio(bytes(4 * 480), 48_000, channels=2) for _ in range(100)]
    lines = [(0.01 * index, chunk) for index, chunk in enumerate(chunks)]
    talk = await hold([[]], typed(*lines, until=1.0))
    (one,) = talk.server.connections
    sizes = [len(it.pcm) / 32 for it in one.of(AudioHeard)]
    assert sum(sizes) == 1000.0
    assert all(20 <= size <= 100 for size in sizes[:-1])
    assert isinstance(one.messages[-1], AudioStreamEnded)
    floats = Audio(array("f", [0.5] * 320).tobytes(), AudioFormat(16_000, 1, 4, "float"))
    talk = await hold([[]], typed((0.0, floats)))
    assert talk.server.connections[0].pcm == array("h", [16384] * 320).tobytes()


def png() -> bytes:
    import PIL.Image

    file = io.BytesIO()
    PIL.Image.new("RGBA", (2, 2)).save(file, "PNG")
    return file.getvalue()


async def test_pictures_go_as_jpeg_once_a_second(hold: Hold) -> None:
    """Of three a second the newest goes; a PNG is converted."""
    jpegs = [b"\xff\xd8" + bytes([index]) for index in range(8)]
    lines = [(0.3 * index, Image(data)) for index, data in enumerate(jpegs)]
    live = processor()
    talk = await hold([[]], typed(*lines, (3.5, Image(png(), "image/png")), until=5.0), live)
    seen = [it.data for it in talk.server.connections[0].of(ImageSeen)]
    assert seen[:4] == [jpegs[0], jpegs[3], jpegs[6], jpegs[7]]
    assert seen[4].startswith(b"\xff\xd8")
    (metrics,) = live.stream_metrics.values()
    assert metrics.images_skipped == 4


def test_tools_that_hang_hold_up_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where so many threads of them do not end that no other is begun.

    On a loop of asyncio's: a virtual one waits for threads.
    """
    monkeypatch.setattr("vivace.flow.worker._LEFT_BEHIND", 1)
    begun, go = threading.Event(), threading.Event()

    @tool
    def hangs() -> None:
        begun.set()
        go.wait(10)

    @processor_of_parts
    async def pictures(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in prepared(stream):
            yield part

    async def main() -> list[str]:
        call = asyncio.create_task(hangs.run({}))
        await asyncio.to_thread(begun.wait, 10)
        call.cancel()
        with pytest.warns(AbandonedTask):
            await asyncio.wait([call])
        with pytest.raises(ToolError, match="FlowError: 1 threads like it do not end"):
            await hangs.run({})
        parts = pictures(typed((0.0, Image(png(), "image/png"))))
        return [part.mimetype async for part in parts]

    assert asyncio.run(main()) == ["image/jpeg"]
    go.set()


async def test_a_picture_that_is_none(hold: Hold) -> None:
    """It is told of, with what to give, and the talk goes on; so with one cut off, anywhere."""
    import PIL.Image

    file = io.BytesIO()
    PIL.Image.effect_noise((64, 64), 50).save(file, "PNG")
    png = file.getvalue()
    for data, kind in ((b"no", "png"), (png[:40], "png"), (png[:2000], "jpeg"), (b"", "jpeg")):
        lines = (0.0, Image(data, f"image/{kind}")), (1.5, Image(png, "image/jpeg"))
        talk = await hold([[]], typed(*lines, until=3.0))
        assert talk.error is None
        ((_, news),) = talk.news("failed")
        assert news["what"] == "picture"
        assert f"{len(data)} bytes of image/{kind} are no picture" in news["error"]
        (seen,) = talk.server.connections[0].of(ImageSeen)
        assert seen.data.startswith(b"\xff\xd8"), "what it is counts, not what it is called"


async def test_text_goes_in_the_moment_or_as_a_turn(hold: Hold) -> None:
    """As asked for, where the model takes turns; else in the moment."""
    script: Script = [Delay(0.1), *reply(0.1, "hi")]
    for model, as_content in ((MODEL, True), (SEED_ONLY, False)):
        talk = await hold([script], typed((0.0, "hello")), model=model, text_as="content")
        (message,) = talk.server.connections[0].messages
        turn = Content((Turn("user", "hello"),), complete=True)
        assert message == (turn if as_content else TextHeard("hello"))


async def test_what_the_model_should_know(hold: Hold) -> None:
    """Data, context and the system's text ask for nothing; wishes of the program are said."""
    lines = [
        (0.0, Part("Be brief.", role="system")),
        (0.0, {"door": "open"}),
        (0.0, Part("My name is Ann.", metadata={"context": True})),
        (0.0, Part("Hello Ann.", role="model")),
        (0.0, Say("Mind the gap.")),
        (0.0, Ask()),
        (0.0, Part("so far", metadata={"interim": True})),
        (0.0, Part(" ")),
        (0.0, Data(None, "application/x", b"?")),
    ]
    script: Script = [Delay(0.5), *reply(0.1, "ok")]
    talk = await hold([script], typed(*lines))
    assert talk.server.connections[0].messages == [
        Content((Turn("user", "Be brief."),), complete=False),
        Content((Turn("user", '{"door":"open"}'),), complete=False),
        Content((Turn("user", "My name is Ann."),), complete=False),
        Content((Turn("model", "Hello Ann."),), complete=False),
        TextHeard('Say this, word for word: "Mind the gap."'),
        TextHeard("(Please answer.)"),
    ]
    talk = await hold([script], typed(*lines[:1]), model=SEED_ONLY)
    assert talk.server.connections[0].messages == [TextHeard("Be brief.")]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (
            {"at": object()},
            "this dict cannot be written as JSON: it holds an object of the type obj",
        ),
        (
            {(1, 2): 3},
            "this dict cannot be written as JSON: it holds an object of the type tuple",
        ),
        (["\ud800"], "this list cannot be written as JSON: 'utf-8' codec can't encode"),
        (_knot(), "this list cannot be written as JSON: it holds itself, or is nested too deeply"),
    ],
)
async def test_data_that_json_cannot_hold(hold: Hold, value: Any, why: str) -> None:
    """It is told of, with what to give instead, and nothing else is lost."""
    lines = [(0.0, Data(value)), (0.0, {"door": "open"}), (0.1, "hello")]
    talk = await hold([[ASKED, *reply(0.1, "hi")]], typed(*lines, until=1.0))
    check(talk)
    assert talk.error is None
    ((at, failed),) = talk.news("failed")
    assert (at, failed["what"]) == (0.0, "data")
    assert failed["error"].startswith(why)
    assert "make it of texts, numbers, lists, and dicts with texts as keys" in failed["error"]
    (one,) = talk.server.connections
    assert [it.turns[0].text for it in one.of(Content)] == ['{"door":"open"}']
    assert one.texts == ["hello"]
    assert talk.sounds == [(0.1, 1, 1)]


async def test_text_that_is_none(hold: Hold) -> None:
    """Half a character is told of, whoever sends it, and nothing else is lost."""
    half = b'{"serverContent": {"outputTranscription": {"text": "\\ud800"}}}'
    script: Script = [ASKED, Garbage(half), *reply(0.1, "hi")]
    talk = await hold([script], typed((0.0, "\ud800"), (0.1, "hello"), until=1.0))
    check(talk)
    assert talk.error is None
    assert [(at, it["what"]) for at, it in talk.news("failed")] == [(0.0, "text"), (0.1, "message")]
    assert "this text cannot be sent: 'utf-8' codec" in talk.news("failed")[0][1]["error"]
    assert talk.server.connections[0].texts == ["hello"]
    assert talk.sounds == [(0.1, 1, 1)]


async def test_what_json_has_no_word_for_but_a_way_to_write(hold: Hold) -> None:
    """No number is null, bytes are base64, and times are ISO 8601."""
    value = {"level": math.nan, "raw": b"ab", "at": datetime(2026, 1, 2, 3, 4)}
    talk = await hold([[Delay(0.5), *reply(0.1, "ok")]], typed((0.0, Data(value)), (0.0, Ask())))
    told = '{"level":null,"raw":"YWI=","at":"2026-01-02T03:04:00"}'
    assert talk.server.connections[0].of(Content)[0].turns[0].text == told


async def test_a_transcript_of_what_the_server_has_heard_is_not_sent(hold: Hold) -> None:
    """It passes, for whoever wants to read it."""
    text = Part("hello", at=0.02)
    talk = await hold([[]], typed((0.0, Part.audio(bytes(640))), (0.1, text)))
    assert talk.server.connections[0].texts == []
    assert [it.text for it in talk.parts if it.text] == ["hello"]


async def test_explicit_activity(hold: Hold) -> None:
    """Where the server is told not to detect speech, our detector's signals go to it."""
    config = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    lines = [
        (0.0, SpeechStarted(0.0)),
        (0.0, Part.audio(bytes(640))),
        (0.1, Part.audio(bytes(60))),
        (0.5, SpeechEnded(0.5, turn_follows=True)),
        (0.6, SpeechStarted(0.6)),
        (0.8, SpeechEnded(0.8, turn_follows=True)),
        (0.9, TurnEnded(0.9)),
        (2.0, SpeechStarted(2.0)),
    ]
    script: Script = [
        Expect(ActivityEnded),
        *reply(0.1, "a"),
        Expect(ActivityEnded),
        *reply(0.1, "b", 2),
    ]
    talk = await hold([script], typed(*lines, until=3.0), realtime_config=config)
    check(talk)
    told = talk.server.connections[0].messages
    assert [type(it) for it in told] == [
        ActivityStarted, AudioHeard, AudioHeard, ActivityEnded, ActivityStarted, ActivityEnded,
    ]  # fmt: skip
    assert [mark for _, _, mark in talk.sounds] == [1, 2]


async def test_explicit_activity_over_a_drop(hold: Hold) -> None:
    """The user is still speaking when the session goes on, also for a server that knows nothing."""
    config = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    lines = [(0.0, SpeechStarted(0.0)), (2.0, TurnEnded(2.0))]
    first: Script = [Delay(0.5), Handle("h1"), Delay(0.5), Drop()]
    then: Script = [Expect(ActivityEnded), *reply(0.1, "a")]
    for scripts in ([first, then], [first, [Close(1008), SetUp()], then]):
        talk = await hold(scripts, microphone(2.0, *lines), realtime_config=config)
        check(talk)
        told = talk.server.connections[-1].messages
        kinds = [type(it) for it in told if not isinstance(it, AudioHeard)]
        assert kinds == [ActivityStarted, ActivityEnded]
        assert isinstance(told[0], ActivityStarted)


# -- what comes out -------------------------------------------------------------------------------


async def test_every_part_says_where_it_belongs(hold: Hold) -> None:
    """The stream's id, a number that counts up, and how sure a part is, where that is known."""
    script: Script = [
        ASKED,
        *reply(0.1, "hi"),
        Send(usage(3, 4)),
        Send(content(waitingForInput=True)),
    ]
    lines = [(0.0, SpeechStarted(0.0, 0.6)), (0.1, Part("hello", metadata={"confidence": 0.9}))]
    live = processor()
    assert live.active_streams == []
    talk = await hold([script], typed(*lines, until=1.0), live)
    made = [it for it in talk.parts if "stream_id" in it.metadata]
    assert {it.metadata["stream_id"] for it in made} == {"live-1"}
    numbers = sorted(it.metadata["stream_part_index"] for it in made)
    assert numbers == list(range(len(made)))
    tiers = {type(it.body): it.metadata.get("quality_tier") for it in made}
    assert (tiers[SpeechStarted], tiers[TurnComplete]) == ("medium", None)
    assert next(it for it in made if it.text == "hello").metadata["quality_tier"] == "high"
    (metrics,) = live.stream_metrics.values()
    assert (metrics.parts_in, metrics.parts_out, metrics.turns) == (2, len(made), 1)
    assert metrics.bytes_out == 4800 + len("hello" + "hi")
    assert (metrics.first_audio_s, metrics.duration_s) == (0.1, 1.0)
    assert talk.news("usage")[0][1]["total_token_count"] == 7
    plain = await hold([script], typed(*lines, until=1.0), stream_management=False)
    assert not any("stream_id" in it.metadata for it in plain.parts)


async def test_streams_side_by_side(hold: Hold) -> None:
    """One object holds any number of conversations, each with an id and numbers of its own."""
    live = processor()
    script: Script = [ASKED, *reply(0.1, "hi")]
    seen: list[list[str]] = []

    async def source() -> Any:
        yield Part("hello")
        await asyncio.sleep(1.0)
        seen.append(live.active_streams)

    server_scripts = [script, script]
    talk = await hold(server_scripts, source(), live)
    assert talk.error is None
    assert seen == [["live-1"]]
    assert live.active_streams == []
    assert [it.active for it in live.stream_metrics.values()] == [False]


async def test_the_users_words_become_final(hold: Hold) -> None:
    """When the server says so; when no more comes for a second; or when the turn ends."""
    script: Script = [
        Send(heard(user="one ")), Delay(0.2), Send(heard(user="two", finished=True)),
        Delay(1.0), Send(heard(user="three")), Delay(2.0),
        Send(content(interimInputTranscription={"text": "fo"})), Send(heard(user="four")),
        Send(said(sound(1))), *COMPLETE,
    ]  # fmt: skip
    talk = await hold([script], microphone(4.0))
    user = [
        (at, it.text, bool(it.metadata.get("interim"))) for at, it in talk.seen if it.role == "user"
    ]
    assert user == [
        (0.0, "one", True), (0.2, "one two", True), (0.2, "one two", False),
        (1.2, "three", True), (2.2, "three", False),
        (3.2, "fo", True), (3.2, "four", True), (3.2, "four", False),
    ]  # fmt: skip


IN_PROGRESS = {"interactionStatus": "IN_PROGRESS", "turnCompleteReason": "RESPONSE_REJECTED"}


async def test_a_turn_that_ends_for_a_reason(hold: Hold) -> None:
    """A server that is not done though the turn is, is waited for at the end of the input."""
    script: Script = [
        ASKED, Send(said(sound(1))),
        Send(content(turnComplete=True, **IN_PROGRESS)),
        Delay(3.0), *reply(0.1, "done", 2),
        Send({"voiceActivity": {"voiceActivityType": "ACTIVITY_START", "audioOffset": "1s"}}),
    ]  # fmt: skip
    talk = await hold([script], typed((0.0, "hello")))
    assert [(at, mark) for at, _, mark in talk.sounds] == [(0.0, 1), (3.0, 2)]
    assert talk.news("turn_reason")[0][1]["reason"] == "RESPONSE_REJECTED"


async def test_a_reply_that_stalls_is_over(hold: Hold) -> None:
    """Thirty seconds after its sound, with a reason; the session ends."""
    talk = await hold([[ASKED, Send(said(sound(1, 2.0)))]], typed((0.0, "hello")))
    check(talk)
    assert talk.bodies(TurnComplete) == [TurnComplete(1, "timeout")]
    assert talk.seconds == 32.0


@pytest.mark.parametrize("on_silence", ["tell", "nudge", "reconnect"])
async def test_silence(hold: Hold, on_silence: str) -> None:
    """No answer is told of, and what was asked for is done about it."""
    talk = await hold(
        [[], []], typed((0.0, "hello"), until=4.0), answer_within_s=3.0, on_silence=on_silence
    )
    assert talk.news("no_answer")[0][0] == 3.0
    connections = talk.server.connections
    assert len(connections) == (2 if on_silence == "reconnect" else 1)
    nudged = {"tell": ["hello"], "nudge": ["hello", "(Please answer.)"], "reconnect": ["hello"]}
    assert connections[0].texts == nudged[on_silence]


async def test_one_nudge_is_enough(hold: Hold) -> None:
    """A model that does not answer a nudge is not asked again until the user has said something."""
    lines = [(0.0, "hello"), (30.0, "are you there?")]
    talk = await hold([[]], typed(*lines, until=60.0), answer_within_s=3.0, on_silence="nudge")
    nudge = "(Please answer.)"
    assert talk.server.connections[0].texts == ["hello", nudge, "are you there?", nudge]
    assert [at for at, _ in talk.news("no_answer")] == [3.0, 6.0, 33.0, 36.0]


async def test_a_server_that_is_quicker_than_the_detector(hold: Hold) -> None:
    """It has answered before we know that the user has finished: nothing more is owed."""
    lines = [(0.0, SpeechStarted(0.0)), (1.0, SpeechEnded(0.9)), (2.0, TurnEnded(0.9))]
    talk = await hold([[Delay(0.5), *reply(0.1, "yes")]], typed(*lines, until=3.0))
    assert talk.seconds == 3.0
    assert talk.news("no_answer") == []


async def test_the_end_of_a_reply_is_no_answer_to_what_was_said_over_it(hold: Hold) -> None:
    """It is waited for: typed while the reply goes on, or in its place, or said in its place."""
    end = Send(content(turnComplete=True))
    cut = Send(content(interrupted=True))
    late: Script = [Delay(5.0), *reply(0.1, "yes", 2)]
    pacer = AudioRateLimiter()
    typing = [(0.0, "hello"), (1.0, "and?")]
    first: Script = [ASKED, Send(said(sound(1)))]
    talk = await hold([[*first, ASKED, Delay(0.2), end, *late]], typed(*typing))
    assert [(at, mark) for at, _, mark in talk.sounds] == [(0.0, 1), (6.2, 2)]
    first = [ASKED, Send(said(sound(1, 9.0)))]
    talk = await hold(
        [[*first, ASKED, cut, Delay(0.2), end, *late]], typed(*typing), processor() + pacer
    )
    assert next(at for at, _, mark in talk.sounds if mark == 2) == 6.2
    speaking = [
        (0.0, "hello"), (1.0, SpeechStarted(1.0)), (2.5, SpeechEnded(2.4)), (2.7, TurnEnded(2.4)),
    ]  # fmt: skip
    talk = await hold(
        [[*first, Delay(1.3), cut, Delay(0.2), end, *late]],
        microphone(2.8, *speaking),
        processor() + pacer,
    )
    assert next(at for at, _, mark in talk.sounds if mark == 2) == 6.52
    # Up to the answer: with it the session ends, and may be told before that it is heard, or not.
    floors = [value["floor"] for at, value in talk.news("floor") if at < 6.5]
    assert floors[-2:] == ["user", "thinking"]


# -- who is heard ---------------------------------------------------------------------------------


def agent(live: Processor) -> Any:
    return DetectSpeech(FakeDetector()) + live + AudioRateLimiter()


async def test_an_interruption_by_the_server_leaves_what_was_heard(hold: Hold) -> None:
    """The pacer is cut at once; the signal says what was heard, and nothing else comes of it."""
    script: Script = [
        Delay(1.5),
        *reply(5.0, TEN_WORDS)[:1],
        Delay(1.6),
        Send(content(interrupted=True)),
    ]
    script = [*script, Send(content(turnComplete=True)), Delay(1.0), *reply(0.5, "yes", 2)]
    live = processor()
    talk = await hold(
        [script], aiter(Caller([(0.5, 1.0, "hello")], until=6.0)), live + AudioRateLimiter()
    )
    check_turns = [it.turn for it in talk.bodies(Interrupted)]
    assert check_turns == [1]
    assert talk.bodies(Interrupted)[0].heard == "one two three"
    assert max(at for at, turn, _ in talk.sounds if turn == 1) < 3.1
    assert min(at for at, turn, _ in talk.sounds if turn == 2) == 4.1
    assert talk.bodies(Played)[-1].turn == 2


async def test_a_cough_holds_the_reply_and_it_goes_on(hold: Hold) -> None:
    """A sound over the agent silences it at once; nothing comes of it, and no sample is lost."""
    script: Script = [Delay(1.0), *reply(4.0, TEN_WORDS)]
    talk = await hold([script], aiter(Caller([(2.0, 2.3, "")], until=9.0)), agent(processor()))
    (held,) = [at for at, it in talk.seen if isinstance(it.body, Held)]
    (resumed,) = [at for at, it in talk.seen if isinstance(it.body, Resumed)]
    assert 2.0 < held < 2.3
    assert resumed > held + 1.5
    assert talk.bodies(Interrupted) == []
    heard_s = sum(it.seconds for it in talk.parts if it.role == "model")
    assert heard_s == pytest.approx(4.0)
    silent = [at for at, _, _ in talk.sounds if held < at < resumed]
    assert silent == []


async def test_speech_cuts_what_the_server_has_finished(hold: Hold) -> None:
    """Sound comes faster than it is heard: the server knows of no interruption, and we cut it."""
    script: Script = [
        Delay(1.0),
        *reply(20.0, TEN_WORDS),
        Expect(AudioStreamEnded),
        *reply(0.1, "yes", 2),
    ]
    talk = await hold([script], aiter(Caller([(3.0, 5.0, "stop")], until=6.0)), agent(processor()))
    (cut,) = talk.bodies(Interrupted)
    assert cut == Interrupted(1, "one")  # it was held before the middle of "two"
    assert [it.reason for it in talk.bodies(TurnComplete)] == ["interrupted", "done"]
    assert max(at for at, turn, _ in talk.sounds if turn == 1) < 3.3


async def test_words_cut_at_once_and_mm_hm_does_not(hold: Hold) -> None:
    """While a sound is over the reply, what the server understands of it decides."""
    for text, cuts in (("stop that", True), ("mm-hm", False)):
        script: Script = [
            Delay(1.0), *reply(6.0, TEN_WORDS), Delay(1.5), Send(heard(user=text)),
        ]  # fmt: skip
        talk = await hold(
            [script], aiter(Caller([(2.0, 2.9, text)], until=9.0)), agent(processor())
        )
        assert [at for at, it in talk.seen if isinstance(it.body, Interrupted)] == (
            [2.5] if cuts else []
        )


async def test_a_policy_that_raises_is_told_of_once(hold: Hold) -> None:
    """The reply is cut by what would cut it without a policy, and the conversation goes on."""

    def raises(overlap: Overlap) -> bool:
        raise ValueError("no")

    script: Script = [Delay(1.0), *reply(6.0, TEN_WORDS)]
    live = processor(interrupt=Interrupt.when(raises))
    talk = await hold(
        [script], aiter(Caller([(2.0, 2.4, "mm"), (5.0, 8.0, "")], until=12.0)), agent(live)
    )
    assert [at for at, it in talk.seen if isinstance(it.body, Interrupted)] == [6.06]
    ((at, failed),) = talk.news("failed")
    assert (at, failed["what"]) == (2.06, "interrupt")
    assert failed["error"].startswith("the policy raised ValueError: no; where it does")


async def test_half_a_backchannel_cuts_when_no_more_comes(hold: Hold) -> None:
    """The server tells no final texts: a second later what it told is one."""
    for text, rest, cuts in (("I", "", [3.2]), ("I", " see", []), ("I", " am here", [2.45])):
        more: Script = [Delay(0.25), Send(heard(user=rest))] if rest else []
        script: Script = [
            Delay(1.0), *reply(6.0, TEN_WORDS), Delay(1.2), Send(heard(user=text)), *more,
        ]  # fmt: skip
        talk = await hold(
            [script], aiter(Caller([(2.0, 2.9, text + rest)], until=9.0)), agent(processor())
        )
        assert [at for at, it in talk.seen if isinstance(it.body, Interrupted)] == cuts


async def test_what_is_typed_cuts_the_reply(hold: Hold) -> None:
    """A text over a reply counts at once; so do the program's own signals."""
    for over in (Part("stop"), Part(Interrupted(1)), Part(Reset())):
        script: Script = [ASKED, *reply(5.0, TEN_WORDS)]
        live = processor(answer_within_s=1.0)
        talk = await hold(
            [script], typed((0.0, "hello"), (1.0, over), until=2.0), live + AudioRateLimiter()
        )
        assert talk.bodies(TurnComplete) == [TurnComplete(1, "interrupted")]
        assert max(at for at, _, _ in talk.sounds) < 1.0


async def test_an_older_turns_interruption_leaves_the_newer_one(hold: Hold) -> None:
    """Two replies wait to be heard; only the first is void, and what was heard of it is told."""
    script: Script = [ASKED, *reply(1.0, "one"), *reply(1.0, "two", 2)]
    lines = [(0.0, Part("hello")), (0.75, Part(Interrupted(1)))]
    talk = await hold([script], typed(*lines, until=4.0), processor() + AudioRateLimiter())
    assert talk.bodies(Interrupted) == [Interrupted(1, "one")]
    assert set(talk.bodies(TurnComplete)) == {TurnComplete(1, "interrupted"), TurnComplete(2)}
    assert sum(it.seconds for it in talk.parts if it.turn == 2) == pytest.approx(1.0)


async def test_the_floor_and_the_latency_are_told(hold: Hold) -> None:
    """As with a local model: who speaks, and how long the answer took."""
    script: Script = [Delay(2.0), *reply(1.0, "yes")]
    talk = await hold([script], aiter(Caller([(0.5, 1.2, "hello")], until=4.0)), agent(processor()))
    floors = [value["floor"] for _, value in talk.news("floor")]
    assert floors == ["user", "thinking", "agent", "idle"]
    (latency,) = talk.news("latency")
    assert latency[1]["turn"] == 1
    # When the user fell silent, and not when the detector was sure of it.
    assert latency[1]["ended_at"] == pytest.approx(1.2, abs=0.02)
    assert latency[1]["ms"]["first_audio"] == pytest.approx(
        2000 - 1000 * latency[1]["ended_at"], abs=1
    )


async def test_metrics_are_those_of_a_local_agent(hold: Hold) -> None:
    """Turns, interruptions, and how long an answer and silence took: of either, by one hook."""

    @processor_of_parts
    async def local(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
        await asyncio.sleep(0.5)
        yield Part(Audio(sound(1, 5.0), AudioFormat(24_000), TEN_WORDS), role="model")

    script: Script = [
        Delay(2.0), *reply(5.0, TEN_WORDS)[:1], Delay(1.5), Send(content(interrupted=True)),
        Send(content(turnComplete=True)), Delay(3.0), *reply(5.0, TEN_WORDS, 2),
    ]  # fmt: skip
    reports = []
    for model in (processor(), LiveModelProcessor(local, 600, END_OF_SPEECH)):
        metrics = RealTimeMetrics()
        calls = Caller([(0.5, 1.2, "hello"), (3.0, 5.0, "and stop it now")], until=12.0)
        with observe(metrics):
            await hold([script], aiter(calls), agent(model))
        reports.append(metrics.get_real_time_report())
    for report in reports:
        assert report["quality"]["turns"] == {"interrupted": 1, "done": 1}
        assert sum(report["real_time"]["interruptions"].values()) == 1
        assert report["real_time"]["first_audio_heard_s"]["count"] == 2
        assert report["real_time"]["stop_s"]["count"] == 1
        assert report["real_time"]["buffer_underruns"] == 0


async def test_a_listener_that_reports(hold: Hold) -> None:
    """What the listener's side says it has played is what was heard."""
    script: Script = [ASKED, *reply(5.0, TEN_WORDS), Delay(2.0), Send(content(interrupted=True))]
    lines = [(0.0, Part("hello")), (1.0, Part(PlayedTo(1, 0.5))), (1.9, Part(PlayedTo(1, 1.1)))]
    talk = await hold([script], typed(*lines, until=3.0), processor() + AudioRateLimiter())
    assert talk.bodies(Interrupted)[0].heard in ("one two", "one two three")


@pytest.mark.parametrize(("triggers", "at"), [("after", 3.0), ("over", 1.0), ("", None)])
async def test_what_detectors_see(hold: Hold, triggers: Any, at: float | None) -> None:
    """An event is told: silently, once nobody speaks, or in place of the reply; as asked for."""
    seen = Event("smoke", confidence=0.6, triggers_turn=triggers, text="Smoke!")
    script: Script = [ASKED, *reply(3.0, "a b c"), Expect(TextHeard), *reply(0.1, "run", 2)]
    source = typed((0.0, "hello"), (1.0, Part(seen)), until=4.0)
    if not triggers:
        script = script[:4]
    talk = await hold([script], source, processor() + AudioRateLimiter())
    (one,) = talk.server.connections
    told = [when for when, it in one.received if it in (TextHeard("Smoke!"), SILENT)]
    assert told == [1.0 if at is None else at]
    assert one.of(Content) == ([SILENT] if at is None else [])
    cut = [when for when, it in talk.seen if isinstance(it.body, Interrupted)]
    assert cut == ([1.0] if triggers == "over" else [])
    (passed,) = [it for it in talk.parts if isinstance(it.body, Event)]
    assert passed.metadata["quality_tier"] == "medium"


SILENT = Content((Turn("user", "Smoke!"),), complete=False)


async def test_detectors_before_a_live_model(hold: Hold) -> None:
    """`mic + detect events + live model + pacer`: what is said to be heard is what is told."""
    events = EventProcessor([KeywordDetector(["stop"])])
    script: Script = [ASKED, *reply(1.0, "hi")]
    talk = await hold(
        [script], typed((0.0, "please stop"), until=2.0), events + processor() + AudioRateLimiter()
    )
    assert talk.server.connections[0].messages[0] == TextHeard("please stop")
    assert [it.body.type for it in talk.parts if isinstance(it.body, Event)] == ["stop"]
    assert talk.bodies(Played) == [Played(1)]


# -- tools ----------------------------------------------------------------------------------------


async def test_tools_are_declared_as_the_model_takes_them(hold: Hold) -> None:
    """Who waits is said where it can be; a result says when it is to be told."""

    @tool
    def look(where: str) -> str:
        """Look.

        where: the place.
        """
        return where

    @tool(scheduling="silent")
    async def note() -> dict[str, int]:
        return {"noted": 1}

    lamp = {"name": "lamp", "description": "Light."}
    script: Script = [
        ASKED,
        Send(call("note", id="f1")),
        Expect(ToolAnswers),
        Send(call("lamp", id="f2")),
    ]
    script = [*script, Expect(ToolAnswers), *reply(0.1, "ok")]
    live = processor(tools=[look, note, lamp])
    talk = await hold(
        [script],
        typed((0.0, "hello"), (0.5, Part.response("lamp", "on", id="f2")), until=1.0),
        live,
    )
    check(talk)
    (one,) = talk.server.connections
    assert one.setup is not None
    behaviours = {name: it["behavior"] for name, it in one.setup.tools.items()}
    assert behaviours == {"look": "BLOCKING", "note": "NON_BLOCKING", "lamp": "BLOCKING"}
    answers = [it for each in one.of(ToolAnswers) for it in each.answers]
    assert [(it.id, it.response, it.scheduling) for it in answers] == [
        ("f1", {"noted": 1}, "SILENT"),
        ("f2", {"output": "on"}, ""),
    ]
    talk = await hold(
        [[ASKED, *reply(0.1, "ok")]], typed((0.0, "hello")), model=SEED_ONLY, tools=[note]
    )
    assert "behavior" not in talk.server.connections[0].setup.tools["note"]


@pytest.mark.parametrize("gone", [False, True])
async def test_results_that_json_cannot_hold(hold: Hold, gone: bool) -> None:
    """No number is null; what cannot be written at all is an error. The server is always told."""
    ends: Script = [Drop()] if gone else [Expect(ToolAnswers), Expect(ToolAnswers)]
    script: Script = [
        ASKED, Send(call("lamp", id="f1")), Send(call("lamp", id="f2")), Delay(0.1), *ends,
    ]  # fmt: skip
    lines = [
        (0.5, Part.response("lamp", {"level": math.nan}, id="f1")),
        (0.5, Part.response("lamp", object(), id="f2")),
    ]
    lamp = {"name": "lamp", "description": "Light."}
    talk = await hold([script, []], typed((0.0, "hello"), *lines, until=1.0), tools=[lamp])
    assert talk.error is None
    one = talk.server.connections[-1]
    lost = (
        "the result is lost: this object cannot be written as JSON: it holds an object of the type "
        "object; make it of texts, numbers, lists, and dicts with texts as keys"
    )
    if gone:
        assert one.texts == [
            '(lamp answered: {"level":null})',
            f"(lamp failed: {lost})",
        ]
        return
    answers = [(it.id, it.response) for each in one.of(ToolAnswers) for it in each.answers]
    assert answers == [
        ("f1", {"level": None}),
        ("f2", {"error": lost}),
    ]


async def test_results_of_a_call_nobody_made(hold: Hold) -> None:
    """They are yielded, and the server, which knows nothing of them, is told nothing."""
    script: Script = [ASKED, *reply(0.1, "ok")]
    line = (0.5, Part.response("lamp", "on", id="f9"))
    talk = await hold([script], typed((0.0, "hello"), line, until=1.0))
    assert talk.server.connections[0].of(ToolAnswers) == []
    assert [it.id for it in talk.bodies(Response)] == ["f9"]


# -- what is asked for ----------------------------------------------------------------------------


async def test_the_configuration(hold: Hold) -> None:
    """The user's fields take the place of ours; None leaves one out; a handle goes on with it."""
    from google.genai import types

    script: Script = [ASKED, *reply(0.1, "ok")]
    config: dict[str, Any] = {
        "system_instruction": "Be brief.",
        "context_window_compression": None,
        "output_audio_transcription": None,
        "tools": [{"google_search": {}}],
        "session_resumption": {"handle": "gone"},
    }
    talk = await hold([script], typed((0.0, "hello")), realtime_config=config)
    assert "(BidiGenerateContent session not found)" in str(talk.error)
    setup = talk.server.connections[0].setup
    assert setup is not None
    assert setup.handle == "gone"
    assert "contextWindowCompression" not in setup.config
    assert "outputAudioTranscription" not in setup.config
    given = types.LiveConnectConfig(system_instruction="Be kind.", session_resumption=None)
    talk = await hold([script], typed((0.0, "hello")), realtime_config=given)
    assert talk.server.connections[0].setup.system == "Be kind."


async def test_the_configuration_however_it_is_written(hold: Hold) -> None:
    """Names as in JSON, and records of the SDK within a mapping, say what plain values say."""
    from google.genai import types

    detection = types.AutomaticActivityDetection(disabled=True)
    for config in (
        {
            "realtime_input_config": types.RealtimeInputConfig(
                automatic_activity_detection=detection
            )
        },
        {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}},
        types.LiveConnectConfig(
            realtime_input_config=types.RealtimeInputConfig(automatic_activity_detection=detection)
        ),
    ):
        lines = [(0.0, SpeechStarted(0.0)), (0.1, TurnEnded(0.1))]
        script: Script = [Expect(ActivityEnded), *reply(0.1, "a")]
        talk = await hold([script], typed(*lines), realtime_config=config)
        assert talk.error is None
        assert not talk.server.connections[0].setup.automatic
    for resumption in (
        {"sessionResumption": {"handle": "h0"}},
        {"session_resumption": types.SessionResumptionConfig(handle="h0")},
    ):
        talk = await hold([[]], typed(until=0.1), realtime_config=resumption)
        assert talk.server.connections[0].setup.handle == "h0"
    level = types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW)
    with pytest.raises(StageError, match="takes no thinking_level"):
        processor(realtime_config={"thinking_config": level})


def test_mistakes_that_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is connected."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelUnreachable, match="set GEMINI_API_KEY, or pass api_key"):
        LiveProcessor()
    with pytest.raises(StageError, match="takes no thinking_level; leave it out"):
        LiveProcessor("key", MODEL, {"thinking_config": {"thinking_level": "LOW"}})
    with pytest.raises(StageError, match="realtime_config cannot be used"):
        LiveProcessor("key", MODEL, {"voice": 1})
    with pytest.raises(StageError, match="realtime_config is a int"):
        LiveProcessor("key", MODEL, 3)
    with pytest.raises(StageError, match="on_silence='cry' is not known; use 'tell' or"):
        LiveProcessor("key", MODEL, on_silence="cry")  # type: ignore[arg-type]
    with pytest.raises(StageError, match="text_as='song' is not known; use 'realtime' or 'cont"):
        LiveProcessor("key", MODEL, text_as="song")  # type: ignore[arg-type]
    for seconds in (0.0, -1.0, math.nan):
        with pytest.raises(StageError, match="no model is as fast; use seconds above 0"):
            LiveProcessor("key", MODEL, answer_within_s=seconds)
    with pytest.raises(StageError, match="http_options cannot be used"):
        LiveProcessor("key", MODEL, http_options={"voice": 1})
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(ModelUnreachable, match="check SSL_CERT_FILE and SSL_CERT_DIR"):
        LiveProcessor("key", MODEL)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.warns(UserWarning, match="is deprecated; use 'gemini-3.8-live'"):
        LiveProcessor("key", "gemini-live-2.5-flash-native-audio")


def test_a_live_model_from_a_line_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the command line; what cannot be understood is told, with what can."""
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    assert isinstance(live_model("gemini:gemini-3.8-live"), LiveProcessor)
    for spec in ("gemini:", "gemini", "other:x"):
        with pytest.raises(ModelSpec, match="expected one of: gemini:MODEL"):
            live_model(spec)
