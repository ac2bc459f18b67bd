"""`LiveModelProcessor` on its own: typed input, timeouts, slow cleanups, models that hear."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from vivace import (
    Audio,
    AudioRateLimiter,
    AudioTriggerMode,
    Call,
    Data,
    Interrupted,
    LiveModelProcessor,
    Part,
    PlayedTo,
    Processor,
    Reset,
    Say,
    Speak,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
    processor,
)
from vivace.errors import VivaceError
from vivace.flow.clock import now
from vivace.flow.scope import AbandonedTask
from vivace.models import Scripted
from vivace.testing.fakes import FakeVoice
from vivace.testing.script import play

pytestmark = pytest.mark.virtual(seeds=5)


def reply_texts(seen: list[tuple[float, Part]]) -> list[tuple[float, int, str]]:
    return [
        (at, part.turn, part.text)
        for at, part in seen
        if part.role == "model" and part.text and not part.substream
    ]


def completed(seen: list[tuple[float, Part]]) -> list[TurnComplete]:
    return [part.body for _, part in seen if isinstance(part.body, TurnComplete)]


def failures(seen: list[tuple[float, Part]]) -> list[str]:
    events = [part.body.value for _, part in seen if isinstance(part.body, Data)]
    return [event["error"] for event in events if event["event"] == "failed"]


async def test_typed_text_is_answered_at_the_end_of_input() -> None:
    """Text without any signal is a turn that ends with the input."""
    seen = await play(LiveModelProcessor(Scripted(["hello you"])), [(0.0, "hi")])
    assert "".join(text for _, _, text in reply_texts(seen)) == "hello you"
    assert completed(seen) == [TurnComplete(1)]


async def test_typed_turns_are_answered_one_by_one() -> None:
    """Each `TurnEnded` asks once; replies are numbered from 1."""
    script = [
        (0.0, Part("one")),
        (0.0, Part(TurnEnded(0.0))),
        (1.0, Part("two")),
        (1.0, Part(TurnEnded(1.0))),
    ]
    seen = await play(LiveModelProcessor(Scripted(["first", "second"])), script)
    assert reply_texts(seen) == [(0.0, 1, "first"), (1.0, 2, "second")]


async def test_a_system_part_leads_every_prompt() -> None:
    """A system part is pinned to the front of the prompt."""
    script = [(0.0, Part("hi")), (0.0, Part("be brief", role="system"))]
    seen = await play(LiveModelProcessor(Scripted(["ok"])), script)
    events = [p.body.value for _, p in seen if isinstance(p.body, Data)]
    asked = next(event for event in events if event["event"] == "asked")
    assert asked["prompt"][0] == {"role": "system", "text": "be brief"}


@processor
async def hanging(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for _ in stream:
        pass
    await asyncio.sleep(3600)
    yield Part("never", role="model")


async def test_a_model_that_hangs_has_failed_after_a_while() -> None:
    """Nothing heard within the limit: the turn ends as a timeout, and the floor is free."""
    live = LiveModelProcessor(hanging, answer_within_s=5.0)
    seen = await play(live, [(0.0, Part("hi")), (0.0, Part(TurnEnded(0.0)))])
    assert completed(seen) == [TurnComplete(1, "timeout")]
    assert failures(seen) == ["no answer within 5 s"]
    assert seen[-1][0] == 5.0


class Stubborn(Processor):
    """A model whose first reply takes `cleanup_s` to die."""

    def __init__(self, cleanup_s: float) -> None:
        self.cleanup_s = cleanup_s
        self.began: list[float] = []

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        self.began.append(now())
        try:
            yield Part("well ", role="model")
            if len(self.began) == 1:
                await asyncio.sleep(3600)
        finally:
            if len(self.began) == 1:
                await self.clean_up()

    async def clean_up(self) -> None:
        """Takes its time, whatever anybody says."""
        until = now() + self.cleanup_s
        while now() < until:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(until - now())


INTERRUPTION = [
    (0.0, Part("hi")),
    (0.0, Part(TurnEnded(0.0))),
    (1.0, Part(SpeechStarted(1.0))),
    (2.5, Part("but")),
    (2.5, Part(SpeechEnded(2.5))),
    (2.5, Part(TurnEnded(2.5))),
]


async def test_the_next_reply_waits_for_the_cleanup_of_the_last() -> None:
    """One reply at a time: a cleanup of 0.2 s is waited for."""
    model = Stubborn(cleanup_s=0.2)
    script = [*INTERRUPTION[:3], (1.5, Part("but wait")), *INTERRUPTION[4:]]
    script[4:] = [(1.5, part) for _, part in script[4:]]
    seen = await play(LiveModelProcessor(model), script)
    assert [part.body for _, part in seen if isinstance(part.body, Interrupted)] == [
        Interrupted(1, "well")
    ]
    assert model.began == [0.0, 1.7]


async def test_a_reply_that_will_not_die_does_not_stop_the_conversation() -> None:
    """After half a second the next reply begins; the stuck one is named and left behind."""
    model = Stubborn(cleanup_s=4.0)
    with pytest.warns(AbandonedTask):
        seen = await play(LiveModelProcessor(model), [*INTERRUPTION, (9.0, Part.image(b""))])
    assert model.began == [0.0, 3.0]
    assert completed(seen)[-1] == TurnComplete(2)


async def test_a_reset_forgets_what_is_under_way() -> None:
    """Reset voids the reply; nothing more of it comes, and it is not asked again."""
    live = LiveModelProcessor(Scripted(["one two three four"], token_s=1.0))
    script = [(0.0, Part("hi")), (0.0, Part(TurnEnded(0.0))), (2.5, Part(Reset()))]
    seen = await play(live, script)
    assert completed(seen) == [TurnComplete(1, "interrupted")]
    assert max(at for at, _, _ in reply_texts(seen)) < 2.5


async def test_a_listener_that_paces_alone_reports() -> None:
    """Without a limiter all is handed out at once: what is heard of it is what was reported."""

    @processor
    async def model(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in prompt:
            pass
        yield Part.audio(bytes(32_000 * 3), words="one two three", role="model")
        await asyncio.sleep(20.0)

    script: list[tuple[float, object]] = [
        (0.0, Part("Hi")),
        (0.0, Part(TurnEnded(0.0))),
        (1.0, Part(PlayedTo(1, 0.9))),
        (1.1, Part(SpeechStarted(1.1))),
        (1.3, Part("stop that", metadata={"interim": True}, at=1.1)),
    ]
    seen = await play(LiveModelProcessor(model), script)
    [cut] = [part.body for _, part in seen if isinstance(part.body, Interrupted)]
    assert cut == Interrupted(1, "one")


@pytest.mark.parametrize("signal", [Interrupted(9), Reset(9)])
async def test_who_voids_more_than_there_is_does_not_silence_the_agent(
    signal: Interrupted | Reset,
) -> None:
    """A client that counts replies otherwise: the next one is heard, under a number above."""
    source = [Part(signal), Part("Hello"), Part(TurnEnded(0.0))]
    parts = [part async for part in LiveModelProcessor(Scripted(["Hi."]))(source)]
    assert [(part.text, part.turn) for part in parts if part.text and part.role == "model"] == [
        ("Hi.", 10)
    ]


async def test_a_model_that_hears_gets_the_sound() -> None:
    """With END_OF_SPEECH the prompt holds what was said as audio, not as text."""
    prompts: list[list[Part]] = []

    @processor
    async def ear(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompts.append([part async for part in stream])
        yield Part("heard", role="model")

    live = LiveModelProcessor(ear, trigger_model_mode=AudioTriggerMode.END_OF_SPEECH)
    script = [
        (0.0, Part(SpeechStarted(0.0))),
        (0.1, Part.audio(b"\1\0" * 1600, at=0.0)),
        (0.2, Part.audio(b"\2\0" * 1600, at=0.1)),
        (0.3, Part(SpeechEnded(0.2))),
        (0.3, Part(TurnEnded(0.2))),
    ]
    seen = await play(live, script)
    assert [text for _, _, text in reply_texts(seen)] == ["heard"]
    assert isinstance(prompts[0][0].body, Audio)
    assert prompts[0][0].body.pcm == b"\1\0" * 1600 + b"\2\0" * 1600


async def test_a_tool_call_reaches_the_consumer_with_its_turn() -> None:
    """What a reply yields besides text and audio is passed on as part of the reply."""

    @processor
    async def caller(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part.call("lamp", {"on": True}, id="1")

    seen = await play(LiveModelProcessor(caller), [(0.0, "light please")])
    calls = [part for _, part in seen if isinstance(part.body, Call)]
    assert [(part.turn, part.role) for part in calls] == [(1, "model")]


@processor
async def stalls(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    yield Part("well ", role="model")
    await asyncio.sleep(3600)
    yield Part("never", role="model")


async def test_a_model_that_stalls_half_way_has_failed() -> None:
    """Nothing more within the limit: what came is heard, the turn has failed, the floor is free."""
    live = LiveModelProcessor(stalls, answer_within_s=5.0)
    seen = await play(live, [(0.0, Part("hi")), (0.0, Part(TurnEnded(0.0)))])
    assert completed(seen) == [TurnComplete(1, "failed")]
    assert failures(seen) == ["nothing more came within 5 s"]
    assert seen[-1][0] == 5.0


@pytest.mark.parametrize("piece_s", [0.02, 0.3])
async def test_a_long_reply_does_not_make_deaf(piece_s: float) -> None:
    """While a reply of 90 s waits for room everywhere, speech still holds and then ends it."""

    @processor
    async def lecture(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        for _ in range(round(90 / piece_s)):
            yield Part.audio(bytes(2 * round(piece_s * 16_000)), words="on ", role="model")

    async def user() -> AsyncIterator[Part]:
        for text in ("hi", TurnEnded(0.0)):
            yield Part(text)
        await asyncio.sleep(1.0)
        yield Part(SpeechStarted(1.0))
        for tenth in range(40):
            await asyncio.sleep(0.1)
            yield Part.audio(bytes(3200), at=1.0 + tenth / 10)
        yield Part(SpeechEnded(5.0))

    seen = []
    async with (LiveModelProcessor(lecture) + AudioRateLimiter()).run(user()) as parts:
        async for part in parts:
            seen.append((now(), part.body))
            if isinstance(part.body, Interrupted):
                break
    assert seen[-1][0] == 2.0


# -- turns of the program's, and what the agent begins by itself ------------------------------


async def test_say_goes_through_the_voice_and_past_the_model() -> None:
    """The stages from `Speak` on say it; the model is not asked."""
    live = LiveModelProcessor(Scripted(["never asked"]) + Speak(FakeVoice(word_s=0.5)))
    seen = await play(live, [(0.0, Part(Say("Please hold.")))])
    spoken = [part.body.words.strip() for _, part in seen if isinstance(part.body, Audio)]
    assert spoken == ["Please", "hold."]
    assert completed(seen) == [TurnComplete(1)]


async def test_say_without_a_voice_is_text() -> None:
    """It goes out as it is, as a reply with a number."""
    seen = await play(LiveModelProcessor(Scripted(["no"])), [(0.0, Part(Say("Please hold.")))])
    assert reply_texts(seen) == [(0.0, 1, "Please hold.")]


async def test_a_voice_of_its_own() -> None:
    """What the program says may be spoken by another voice than the model's."""
    voice = Speak(FakeVoice(word_s=0.25))
    live = LiveModelProcessor(Scripted(["no"]), voice=voice, greeting="Hello there")
    seen = await play(live, [(1.0, Part.image(b"x"))])
    assert [part.seconds for _, part in seen if isinstance(part.body, Audio)] == [0.25, 0.25]


async def test_a_greeting_comes_before_anything_else() -> None:
    """At the start, though the user says nothing; and it is in the prompt of the first turn."""
    prompts: list[list[str]] = []

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompts.append([part.text async for part in stream])
        yield Part("fine", role="model")

    live = LiveModelProcessor(model, greeting="Hello!")
    seen = await play(live, [(5.0, Part("hi")), (5.0, Part(TurnEnded(5.0)))])
    assert reply_texts(seen) == [(0.0, 1, "Hello!"), (5.0, 2, "fine")]
    assert prompts == [["Hello!", "hi"]]


async def test_silence_counts_from_the_end_of_what_was_heard() -> None:
    """Ten seconds of sound are played, then five of silence: the model is asked once more."""
    model = Scripted(["one two three four five six seven eight nine ten", "still there?"])
    live = LiveModelProcessor(model + Speak(FakeVoice(word_s=1.0)), idle_after_s=5.0)
    script = [(0.0, Part("hi")), (0.0, Part(TurnEnded(0.0))), (20.0, Part.image(b"x"))]
    seen = await play(live + AudioRateLimiter(), script)
    events = [(at, part.body.value) for at, part in seen if isinstance(part.body, Data)]
    asked = [(at, event["turn"]) for at, event in events if event["event"] == "asked"]
    ends = [at for at, part in seen if isinstance(part.body, TurnComplete)]
    assert asked == [(0.0, 1), (ends[0] + 5.0, 2)]


async def test_the_model_reads_before_the_user_has_finished() -> None:
    """What is known goes to it with the first sound; a picture as it comes; the turn at its end."""
    read: list[tuple[float, str]] = []

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            read.append((now(), part.text or part.mimetype))
        yield Part("fine", role="model")

    script = [
        (0.0, Part("be kind", role="system")),
        (1.0, Part(SpeechStarted(1.0))),
        (1.5, Part.image(b"x")),
        (2.0, Part(SpeechEnded(2.0, turn_follows=True))),
        (2.5, Part("what is that", at=2.0)),
        (2.5, Part(TurnEnded(2.0))),
    ]
    seen = await play(LiveModelProcessor(model), script)
    assert read == [(1.0, "be kind"), (1.5, "image/jpeg"), (2.5, "what is that")]
    assert reply_texts(seen) == [(2.5, 1, "fine")]


@pytest.mark.parametrize("speculate", [False, True])
async def test_a_guess_saves_the_models_time(speculate: bool) -> None:
    """The model takes a second; the turn is sure half a second after it is probable."""
    script = [
        (1.0, Part(SpeechStarted(1.0))),
        (2.0, Part(SpeechEnded(2.0, transcript_follows=True, turn_follows=True))),
        (2.0, Part("hello you", at=2.0, metadata={"interim": True})),
        (2.5, Part("hello you", at=2.0)),
        (2.5, Part(TurnEnded(2.0))),
    ]
    live = LiveModelProcessor(Scripted(["fine"], delay_s=1.0), speculate=speculate)
    seen = await play(live, script)
    assert reply_texts(seen) == [(3.0 if speculate else 3.5, 1, "fine")]


async def test_nothing_of_a_wrong_guess_is_ever_heard() -> None:
    """A reply that was made on a guess, tool calls and all, is gone when the user goes on."""
    called: list[str] = []

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompt = [part.text async for part in stream]
        called.append(prompt[-1])
        yield Part(f"so, {prompt[-1]}", role="model")
        yield Part.call("order", {"what": prompt[-1]}, id=prompt[-1])

    script = [
        (1.0, Part(SpeechStarted(1.0))),
        (2.0, Part(SpeechEnded(2.0, transcript_follows=True, turn_follows=True))),
        (2.0, Part("pizza", at=2.0, metadata={"interim": True})),
        (2.5, Part(SpeechStarted(2.5))),
        (3.0, Part(SpeechEnded(3.0, transcript_follows=True, turn_follows=True))),
        (3.5, Part("pizza no pasta", at=3.0)),
        (3.5, Part(TurnEnded(3.0))),
    ]
    seen = await play(LiveModelProcessor(model, speculate=True), script)
    assert called == ["pizza", "pizza no pasta"]
    assert reply_texts(seen) == [(3.5, 1, "so, pizza no pasta")]
    assert [part.body.id for _, part in seen if isinstance(part.body, Call)] == ["pizza no pasta"]


async def test_a_model_that_fails_while_it_reads_ahead() -> None:
    """Its failure counts when it is asked, and then for that turn alone."""
    begun = 0

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise OSError("no model")
        async for _ in stream:
            pass
        yield Part("fine", role="model")

    script = [
        (1.0, Part(SpeechStarted(1.0))),
        (3.0, Part("hello", at=3.0)),
        (3.0, Part(SpeechEnded(3.0))),
        (5.0, Part("hello again")),
        (5.0, Part(TurnEnded(5.0))),
    ]
    seen = await play(LiveModelProcessor(model), script)
    assert completed(seen) == [TurnComplete(1, "failed"), TurnComplete(2)]
    assert failures(seen) == ["no model"]


async def test_a_limit_of_the_models_own_is_not_ours() -> None:
    """A TimeoutError that the model raises is told as what it is."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        async with asyncio.timeout(1.0):
            await asyncio.sleep(3600)
        yield Part("never", role="model")

    seen = await play(LiveModelProcessor(model), [(0.0, "hi")])
    assert failures(seen) == ["TimeoutError"]


async def test_a_model_that_stops_answering_after_it_has_read_ahead() -> None:
    """The limit counts from the end of the prompt, however long the user spoke before."""
    live = LiveModelProcessor(hanging, answer_within_s=5.0)
    script = [
        (0.0, Part(SpeechStarted(0.0))),
        (60.0, Part("hi", at=60.0)),
        (60.0, Part(SpeechEnded(60.0))),
    ]
    seen = await play(live, script)
    assert completed(seen) == [TurnComplete(1, "timeout")]
    assert seen[-1][0] == 65.0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"false_interruption": "repeat"}, "'repeat' is not known; use 'resume' or 'ask_again'"),
        ({"trigger_model_mode": "words"}, "use 'final_transcription' or 'end_of_speech'"),
        ({"interrupt": "never"}, "interrupt='never' is no policy; use Interrupt.at_once"),
        ({"answer_within_s": 0.0}, "answer_within_s=0: no model is as fast"),
        ({"answer_within_s": float("nan")}, "answer_within_s=nan"),
        ({"idle_after_s": float("nan")}, "give seconds above 0"),
        ({"turn_processor": print}, "<built-in function print> is no processor"),
        ({"voice": "Anna"}, "'Anna' is no processor"),
        ({"max_parts": 0}, "a prompt of 0 parts"),
    ],
)
def test_what_cannot_be_is_told_at_once(given: dict[str, Any], says: str) -> None:
    """Not when somebody has begun to speak."""
    with pytest.raises(VivaceError) as caught:
        LiveModelProcessor(**{"turn_processor": hanging, **given})
    assert says in str(caught.value)


@pytest.mark.parametrize(("mode", "calls"), [("end_of_speech", [1.0]), ("final_transcription", [])])
async def test_modes_may_be_written(mode: Any, calls: list[float]) -> None:
    """As one writes them in a file of settings: each does what it is named after."""
    asked: list[float] = []

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        asked.append(now())
        yield Part("yes", role="model")

    script = [(0.0, Part(SpeechStarted(0.0))), (1.0, Part.audio(bytes(32_000), at=0.0))]
    script += [(1.0, Part(SpeechEnded(1.0))), (1.0, Part(TurnEnded(1.0)))]
    await play(LiveModelProcessor(model, trigger_model_mode=mode), script)
    assert asked == calls
