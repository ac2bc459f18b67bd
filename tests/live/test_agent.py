"""The whole agent on virtual time: every stage is real, the models are fakes, the numbers exact.

Detector frames are 32 ms, so speech from 0.5 s is told at 0.56 s (two frames) and its end about
0.15 s after it (four frames, and the rest of one); the fake transcriber takes 0.1 s.
"""

import asyncio
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace import (
    Audio,
    AudioFormat,
    AudioRateLimiter,
    Data,
    DetectSpeech,
    DetectTurn,
    Held,
    Interrupt,
    Interrupted,
    LiveModelProcessor,
    Part,
    Processor,
    Resumed,
    Speak,
    SpeechEnded,
    SpeechStarted,
    Transcribe,
    TurnComplete,
    TurnEnded,
    processor,
)
from vivace.flow.clock import now
from vivace.models import Scripted
from vivace.testing.fakes import (
    Caller,
    FakeDetector,
    FakeTranscriber,
    FakeTurnDetector,
    FakeVoice,
)
from vivace.testing.script import play
from vivace.testing.speaker import JitterBuffer

pytestmark = pytest.mark.virtual(seeds=5)

LONG = "one two three four five six seven eight nine ten"
ALL = "one two three four five six seven eight nine ten eleven twelve"


COUNT = array("h", range(1, 30_001)) * 2


class CountingVoice(FakeVoice):
    """No two of its next 30,000 samples are alike."""

    def __init__(self) -> None:
        super().__init__()
        self._said = 0

    async def __call__(self, text: str) -> list[Audio]:
        spoken = []
        for audio in await super().__call__(text):
            frames = len(audio.pcm) // 2
            samples = COUNT[self._said % 30_000 :][:frames]
            spoken.append(Audio(samples.tobytes(), audio.format, audio.words))
            self._said += frames
        return spoken


def agent_for(caller: Caller, model: Processor, **manners: Any) -> Processor:
    return (
        DetectSpeech(FakeDetector())
        + Transcribe(FakeTranscriber(caller.texts))
        + DetectTurn(FakeTurnDetector())
        + LiveModelProcessor(model + Speak(CountingVoice()), **manners)
        + AudioRateLimiter(adaptive_chunking=False, lead_s=0.0)
    )


async def hold(caller: Caller, model: Processor, **manners: Any) -> list[tuple[float, Part]]:
    """A whole conversation: all that came out, with its times."""
    start, seen = now(), []
    async with agent_for(caller, model, **manners).run(caller) as parts:
        async for part in parts:
            seen.append((round(now() - start, 6), part))
    return seen


def words(seen: list[tuple[float, Part]]) -> list[tuple[float, str]]:
    """When which words of the agent were heard."""
    return [
        (at, part.body.words.strip())
        for at, part in seen
        if isinstance(part.body, Audio) and part.body.words
    ]


def signals(seen: list[tuple[float, Part]], *kinds: type) -> list[tuple[float, object]]:
    return [(at, part.body) for at, part in seen if isinstance(part.body, kinds)]


def prompts(seen: list[tuple[float, Part]]) -> list[list[str]]:
    """What the model was given for each reply, as `role: text`."""
    return [
        [f"{line['role']}: {line['text']}" for line in part.body.value["prompt"]]
        for _, part in seen
        if isinstance(part.body, Data) and part.body.value["event"] == "asked"
    ]


def model(text: str) -> Part:
    return Part(text, role="model")


def voice(seen: list[tuple[float, Part]]) -> bytes:
    return b"".join(part.bytes for _, part in seen if isinstance(part.body, Audio))


def played(seen: list[tuple[float, Part]]) -> bytes:
    """What a listener plays who falls silent when told to, and throws away what was cut."""
    listener, voices = JitterBuffer(0.0), defaultdict[int, bytes](bytes)
    for at, part in seen:
        if isinstance(part.body, Audio):
            listener.push(part.turn, part.seconds, at)
            voices[part.turn] += part.bytes
        elif isinstance(part.body, Held | Resumed | Interrupted):
            listener.control(part.body, at)
    listener.advance(seen[-1][0])
    size = AudioFormat(24_000).size
    return b"".join(pcm[: size(listener.played[turn])] for turn, pcm in voices.items())


async def test_a_turn_is_answered() -> None:
    """A turn ends 0.24 s after the last word, and is answered at natural speed."""
    seen = await hold(Caller([(0.5, 1.5, "hello there")], 3.0), Scripted(["one two three"]))
    assert words(seen) == [(1.884, "one"), (2.184, "two"), (2.484, "three")]
    assert prompts(seen) == [["user: hello there"]]
    assert signals(seen, TurnComplete) == [(2.644, TurnComplete(1))]


async def test_an_interruption_stops_the_agent_and_the_prompt_says_what_was_heard() -> None:
    """Speech over a reply silences it within a chunk; after one second it is void."""
    caller = Caller([(0.5, 1.5, "hello there"), (3.0, 4.4, "stop that now")], 6.0)
    seen = await hold(caller, Scripted([LONG, "fine"]))
    assert signals(seen, Held, Interrupted) == [
        (3.04, Held(1)),
        (4.04, Interrupted(1, heard="one two three four")),
    ]
    stale = [at for at, part in seen if isinstance(part.body, Audio) and part.turn == 1]
    assert max(stale) < 3.04
    assert prompts(seen)[1] == [
        "user: hello there",
        "model: one two three four",
        "user: stop that now",
    ]
    assert words(seen)[-1] == (4.8, "fine")


async def test_a_cough_holds_the_reply_which_goes_on_at_the_very_sample() -> None:
    """A noise over a reply holds it; it goes on where it was, without loss or repeat."""
    cough = Caller([(0.5, 1.5, "hello there"), (3.0, 3.3, "")], 7.0)
    quiet = Caller([(0.5, 1.5, "hello there")], 7.0)
    seen, undisturbed = await hold(cough, Scripted([LONG])), await hold(quiet, Scripted([LONG]))
    assert signals(seen, Held, Resumed, Interrupted) == [(3.04, Held(1)), (3.56, Resumed(1))]
    assert voice(seen) == voice(undisturbed)
    assert not [at for at, part in seen if isinstance(part.body, Audio) and 3.04 < at < 3.56]
    assert len(prompts(seen)) == 1
    assert signals(seen, TurnComplete) == [(5.264, TurnComplete(1))]


async def test_mm_hm_is_no_interruption() -> None:
    """A word of listening holds the reply and is then dismissed; it never enters the prompt."""
    caller = Caller([(0.5, 1.5, "hello"), (3.0, 3.5, "mm-hm"), (7.0, 8.0, "and you")], 9.5)
    seen = await hold(caller, Scripted([LONG, "well"]))
    assert signals(seen, Held, Resumed) == [(3.04, Held(1)), (3.76, Resumed(1))]
    assert prompts(seen)[1] == ["user: hello", f"model: {LONG}", "user: and you"]


async def test_a_short_word_is_an_interruption() -> None:
    """A sound too short to be long, but with words in it, is one as soon as they are known."""
    caller = Caller([(0.5, 1.5, "hello there"), (3.0, 3.4, "stop")], 5.5)
    seen = await hold(caller, Scripted([LONG, "fine"]))
    assert signals(seen, Held, Interrupted) == [
        (3.04, Held(1)),
        (3.66, Interrupted(1, heard="one two three four")),
    ]
    assert prompts(seen)[1][-1] == "user: stop"


async def test_interrupted_before_the_first_sound_leaves_no_empty_reply() -> None:
    """Cut at zero: no empty reply in the prompt, both messages of the user are kept."""
    caller = Caller([(0.5, 1.5, "hello there"), (1.9, 3.2, "I mean")], 5.0)
    seen = await hold(caller, Scripted([LONG], delay_s=0.5))
    assert prompts(seen) == [["user: hello there"], ["user: hello there", "user: I mean"]]
    assert signals(seen, Interrupted) == [(2.96, Interrupted(1, heard=""))]


async def test_a_false_interruption_is_answered_again() -> None:
    """A long noise cancels the reply; nothing was said, so the user's question is asked again."""
    caller = Caller([(0.5, 1.5, "hello there"), (3.0, 4.5, "")], 6.0)
    seen = await hold(caller, Scripted([LONG, "again"]), false_interruption="ask_again")
    assert signals(seen, Interrupted) == [(4.04, Interrupted(1, heard="one two three four"))]
    assert prompts(seen)[1] == ["user: hello there", "model: one two three four"]
    assert words(seen)[-1][1] == "again"


async def test_a_reply_that_was_interrupted_for_nothing_goes_on() -> None:
    """A long noise cancels the reply; nothing was said: it goes on, to the sample."""
    noise = Caller([(0.5, 1.5, "hello there"), (3.0, 4.5, "")], 9.0)
    quiet = Caller([(0.5, 1.5, "hello there")], 9.0)
    seen, undisturbed = await hold(noise, Scripted([LONG])), await hold(quiet, Scripted([LONG]))
    assert signals(seen, Interrupted) == [(4.04, Interrupted(1, heard="one two three four"))]
    assert played(seen) == voice(undisturbed)
    assert len(prompts(seen)) == 1
    assert signals(seen, TurnComplete) == [
        (4.04, TurnComplete(1, "interrupted")),
        (6.444, TurnComplete(2)),
    ]


noises = st.lists(st.tuples(st.integers(1, 120), st.integers(1, 150)), max_size=6)


@pytest.mark.virtual(seeds=1)
@settings(max_examples=25, deadline=None)
@given(noises, st.booleans(), st.sampled_from([Interrupt.at_once, Interrupt.after(speech_s=0.5)]))
async def test_whatever_interrupts_for_nothing_the_listener_hears_all_of_it(
    noises: list[tuple[int, int]], adaptive: bool, interrupt: Interrupt
) -> None:
    """Held, resumed, cut and brought back: every sample once, in order, up to the end."""
    script, at = [(0.0, Part("hello")), (0.0, Part(TurnEnded(0.0)))], 0.1
    for quiet, loud in noises:  # in hundredths of a second
        at += quiet / 100
        script.append((at, Part(SpeechStarted(at))))
        at += loud / 100
        script.append((at, Part(SpeechEnded(at, turn_follows=True))))
        script.append((at + 0.01, Part(TurnEnded(at))))
    live = LiveModelProcessor(Scripted([LONG]) + Speak(CountingVoice()), interrupt=interrupt)
    seen = await play(live + AudioRateLimiter(adaptive_chunking=adaptive), script)
    assert played(seen) == voice(await play(Speak(CountingVoice()), [(0.0, model(LONG))]))


async def test_a_reply_that_is_cut_while_it_is_given_again_loses_nothing() -> None:
    """What comes back waits for room, and is cut once more: the rest of it still comes, once."""
    pcm, second = COUNT.tobytes() * 6, AudioFormat(24_000).size(1.0)

    @processor
    async def long(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in prompt:
            pass
        for start in range(0, len(pcm), second):
            body = Audio(pcm[start : start + second], AudioFormat(24_000))
            yield Part(body, role="model")

    script = [(0.0, Part("hello")), (0.0, Part(TurnEnded(0.0)))]
    for at in (4.5, 4.52, 4.6, 4.7):  # the second begins as soon as the first has ended
        script.append((at, Part(SpeechStarted(at))))
        script.append((at + 0.01, Part(SpeechEnded(at + 0.01, turn_follows=True))))
        script.append((at + 0.02, Part(TurnEnded(at + 0.01))))
    live = LiveModelProcessor(long, interrupt=Interrupt.at_once)
    assert played(await play(live + AudioRateLimiter(queue_s=1.0), script)) == pcm


async def test_a_pause_after_and_is_no_end() -> None:
    """Who stops at "and" is given time, and answered once for the whole turn."""
    caller = Caller([(0.5, 1.5, "hello and"), (2.2, 2.6, "go")], 4.0)
    seen = await hold(caller, Scripted(["fine"]))
    assert prompts(seen) == [["user: hello and go"]]


async def test_silence_asks_nothing() -> None:
    """Nothing said, nothing asked: not even when the input closes."""
    assert prompts(await hold(Caller([], 2.0), Scripted(["fine"]))) == []
    assert prompts(await hold(Caller([(0.5, 0.8, "")], 2.0), Scripted(["fine"]))) == []


async def test_what_was_said_last_is_answered_although_the_input_ends() -> None:
    """The microphone is switched off in the middle of speech: it is answered, once."""
    seen = await hold(Caller([(0.5, 1.5, "hello there")], 1.4), Scripted(["fine"]))
    assert prompts(seen) == [["user: hello there"]]
    assert [word for _, word in words(seen)] == ["fine"]


class Broken(Processor):
    """Says two words and dies, the first time."""

    def __init__(self) -> None:
        self.calls = 0

    async def call(self, stream):  # type: ignore[no-untyped-def]
        self.calls += 1
        if self.calls == 1:
            yield Part("one two ", role="model")
            raise OSError("the line is dead")
        yield Part("better", role="model")


async def test_a_model_that_dies_ends_its_turn_and_not_the_conversation() -> None:
    """What it had said is heard, the turn ends with a reason, and the next one is answered."""
    caller = Caller([(0.5, 1.5, "hello"), (4.0, 5.0, "again")], 6.5)
    seen = await hold(caller, Broken())
    assert signals(seen, TurnComplete)[0][1] == TurnComplete(1, "failed")
    failed = [
        part.body.value
        for _, part in seen
        if isinstance(part.body, Data) and part.body.value["event"] == "failed"
    ]
    assert [news["error"] for news in failed] == ["the line is dead"]
    assert words(seen)[-1][1] == "better"


@pytest.mark.virtual
@pytest.mark.virtual(seeds=1)  # what they cost; the others try the orders
async def test_fifty_conversations_share_one_agent() -> None:
    """State belongs to the run: fifty at once behave as one alone does."""
    caller = Caller([(0.5, 1.5, "hello there"), (3.0, 4.4, "stop that now")], 6.0)
    agent = agent_for(caller, Scripted([LONG, "fine"]))
    results: list[list[tuple[float, str]]] = []

    async def one() -> None:
        start, seen = now(), []
        async for part in agent(caller):
            seen.append((round(now() - start, 6), part))
        results.append(words(seen))

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(one())
    assert results == [results[0]] * 50
    assert results[0][-1] == (4.8, "fine")
