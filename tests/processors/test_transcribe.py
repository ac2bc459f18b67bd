import asyncio

import pytest

from vivace.live.live_model import LiveModelProcessor
from vivace.machines.listening import ListeningRules
from vivace.models.scripted import Scripted
from vivace.part import Audio, Data, Interrupted, Part, SpeechEnded, SpeechStarted, TurnEnded
from vivace.processors.detect_speech import DetectSpeech
from vivace.processors.detect_turn import DetectTurn
from vivace.processors.transcribe import Transcribe
from vivace.testing.fakes import Caller, FakeDetector, FakeTranscriber, FakeTurnDetector
from vivace.testing.script import play

pytestmark = pytest.mark.virtual

NO_INTERIM = ListeningRules(interim_s=0.0)


def texts(parts: list[Part]) -> list[tuple[float | None, str]]:
    return [(part.at, part.text) for part in parts if isinstance(part.body, str)]


def ends(parts: list[Part]) -> list[SpeechEnded]:
    return [part.body for part in parts if isinstance(part.body, SpeechEnded)]


async def hear(caller: Caller, stage: Transcribe) -> list[Part]:
    return [part async for part in (DetectSpeech(FakeDetector()) + stage)(caller)]


@pytest.mark.virtual(seeds=20)
async def test_each_end_of_speech_gets_its_text() -> None:
    """After each end, which promises it, comes one text with the same time, marked interim."""
    caller = Caller([(0.5, 1.0, "hello"), (1.5, 2.0, "there")], until=3.0)
    parts = await hear(caller, Transcribe(FakeTranscriber(caller.texts), NO_INTERIM))
    assert [end.transcript_follows for end in ends(parts)] == [True, True]
    assert texts(parts) == [
        (end.at, text) for end, text in zip(ends(parts), ["hello", "hello there"], strict=True)
    ]
    assert all(part.metadata["interim"] for part in parts if isinstance(part.body, str))


async def test_the_stream_is_never_held_back() -> None:
    """While a slow transcriber works, audio and signals pass at their own time."""
    caller = Caller([(0.5, 1.0, "hello")], until=3.0)
    agent = DetectSpeech(FakeDetector()) + Transcribe(
        FakeTranscriber(caller.texts, 1.5), NO_INTERIM
    )
    seen = await play(
        agent, [(0.02 * n + 0.02, part) for n, part in enumerate(await chunks(caller))]
    )
    late = [at - (part.at or 0.0) for at, part in seen if part.seconds]
    assert max(late) < 0.1
    ended = next(at for at, part in seen if isinstance(part.body, SpeechEnded))
    assert [(round(at - ended, 6), part.text) for at, part in seen if part.text] == [(1.5, "hello")]


async def chunks(caller: Caller) -> list[Part]:
    return [part async for part in caller]


async def test_interim_texts_come_while_one_speaks() -> None:
    """A second of new speech makes a text before its end; each covers the turn so far."""
    caller = Caller([(0.5, 4.0, "a long story")], until=5.0)
    parts = await hear(
        caller, Transcribe(FakeTranscriber(caller.texts), ListeningRules(interim_s=1.0))
    )
    got = texts(parts)
    assert len(got) >= 3
    assert {text for _, text in got} == {"a long story"}
    assert got[-1][0] == ends(parts)[0].at


async def test_a_noise_gets_an_empty_text() -> None:
    """Speech without words still gets its one text, so that nobody waits for it."""
    caller = Caller([(0.5, 1.0, "")], until=2.0)
    parts = await hear(caller, Transcribe(FakeTranscriber(caller.texts), NO_INTERIM))
    assert texts(parts) == [(ends(parts)[0].at, "")]


async def test_a_transcriber_that_fails_is_reported_and_gives_an_empty_text() -> None:
    """The promise is kept when the transcriber is broken; `status` says why."""

    async def broken(pcm: bytes) -> str:
        await asyncio.sleep(0.1)
        raise ValueError("no weights")

    caller = Caller([(0.5, 1.0, "hello")], until=2.0)
    parts = await hear(caller, Transcribe(broken, NO_INTERIM))
    assert texts(parts) == [(ends(parts)[0].at, "")]
    news = [part.body.value for part in parts if isinstance(part.body, Data)]
    assert [(it["event"], it["error"]) for it in news] == [("failed", "no weights")]


async def test_the_last_text_is_waited_for() -> None:
    """When the stream ends in the middle of speech, its text still comes."""
    caller = Caller([(0.5, 5.0, "hello")], until=1.0)
    parts = await hear(caller, Transcribe(FakeTranscriber(caller.texts, 2.0), NO_INTERIM))
    assert [text for _, text in texts(parts)] == ["hello"]


async def test_audio_passes_untouched() -> None:
    """The sound comes out as it went in, before anything is made of it."""
    source = [Part.audio(bytes(640), at=n / 50) for n in range(10)]
    script = [*source, Part(SpeechStarted(0.1), at=0.1)]
    parts = [part async for part in Transcribe(FakeTranscriber([]))(script)]
    assert parts == script
    assert all(isinstance(part.body, Audio) for part in parts[:-1])


@pytest.mark.parametrize("detects", [True, False])
@pytest.mark.parametrize("late_s", [0.0, 0.1, 0.2, 0.25])
async def test_a_short_word_whose_sound_comes_late(detects: bool, late_s: float) -> None:
    """The key is let go before anybody has heard that it is said: it is asked all the same."""
    caller = Caller([(1.0, 1.2, "no")], until=4.0)
    listen = DetectSpeech(FakeDetector()) + Transcribe(FakeTranscriber(caller.texts, 0.2))
    script = [(0.02 * n + 0.02 + late_s, part) for n, part in enumerate(await chunks(caller))]
    script.append((1.22, Part(TurnEnded(1.22), at=1.22)))
    script.sort(key=lambda entry: entry[0])
    listen = listen + DetectTurn(FakeTurnDetector(0.0)) if detects else listen
    seen = await play(listen + LiveModelProcessor(Scripted(["Noon.", "Again."])), script)
    asked = [part.body.value for _, part in seen if isinstance(part.body, Data)]
    prompts = [it["prompt"] for it in asked if it["event"] == "asked"]
    assert prompts == [[{"role": "user", "text": "no"}]]


@pytest.mark.parametrize("detects", [True, False])
@pytest.mark.parametrize("early_s", [0.04, 0.1, 0.2])
async def test_a_key_let_go_before_the_last_word_is_out(detects: bool, early_s: float) -> None:
    """The rest of it neither cuts the answer nor is asked once more."""
    caller = Caller([(0.5, 2.0, "what time is it")], until=5.0)
    listen = DetectSpeech(FakeDetector()) + Transcribe(FakeTranscriber(caller.texts, 0.1))
    script = [(0.02 * n + 0.02, part) for n, part in enumerate(await chunks(caller))]
    script.append((2.0 - early_s, Part(TurnEnded(2.0 - early_s), at=2.0 - early_s)))
    script.sort(key=lambda entry: entry[0])
    listen = listen + DetectTurn(FakeTurnDetector(0.0)) if detects else listen
    seen = await play(listen + LiveModelProcessor(Scripted(["Noon.", "Again."])), script)
    assert not [part for _, part in seen if isinstance(part.body, Interrupted)]
    asked = [part.body.value for _, part in seen if isinstance(part.body, Data)]
    assert len([it for it in asked if it["event"] == "asked"]) == 1


@pytest.mark.parametrize("detects", [True, False])
@pytest.mark.parametrize("let_go", [1.05, 1.1, 1.5, 2.2])
async def test_push_to_talk(detects: bool, let_go: float) -> None:
    """A key ends the turn, whether or not a detector listens too: the words are asked once."""
    caller = Caller([(0.5, 1.0, "what time is it")], until=4.0)
    listen = DetectSpeech(FakeDetector()) + Transcribe(FakeTranscriber(caller.texts, 0.4))
    script = [(0.02 * n + 0.02, part) for n, part in enumerate(await chunks(caller))]
    script.append((let_go, Part(TurnEnded(let_go), at=let_go)))
    script.sort(key=lambda entry: entry[0])
    listen = listen + DetectTurn(FakeTurnDetector(0.0)) if detects else listen
    agent = listen + LiveModelProcessor(Scripted(["Noon.", "Noon again."]))
    seen = await play(agent, script)
    asked = [part.body.value for _, part in seen if isinstance(part.body, Data)]
    prompts = [it["prompt"] for it in asked if it["event"] == "asked"]
    assert prompts == [[{"role": "user", "text": "what time is it"}]]
