import asyncio
from collections.abc import AsyncIterator

import pytest

from vivace.audio import AudioFormat
from vivace.errors import ModelError
from vivace.flow.clock import now
from vivace.flow.processor import processor
from vivace.flow.run import current_run
from vivace.part import Audio, Interrupted, Part, TurnComplete
from vivace.processors.speak import Speak
from vivace.testing.fakes import FakeVoice
from vivace.testing.script import play

pytestmark = pytest.mark.virtual


def model(text: str, turn: int = 1) -> Part:
    return Part(text, role="model", turn=turn)


def words(parts: list[Part]) -> list[str]:
    return [part.body.words for part in parts if isinstance(part.body, Audio)]


# How text is cut is told in tests/machines/test_sentences.py.


async def test_text_becomes_sound_that_carries_it() -> None:
    """Each sentence is said in turn; the words of the sound are the text."""
    text = "Hello there, my dear friend. How are you?"
    parts = [part async for part in Speak(FakeVoice())([model(text)])]
    assert "".join(words(parts)).strip() == text
    assert {part.turn for part in parts if part.seconds or part.text} == {1}
    assert {part.mimetype for part in parts if part.seconds} == {"audio/pcm;rate=24000"}


async def test_a_voice_that_does_not_know_its_words() -> None:
    """Its text is shared out in proportion to the sound, so that it is known to be heard."""
    fmt = AudioFormat(24_000)

    async def voice(text: str) -> list[Audio]:
        return [Audio(fmt.silence(seconds), fmt) for seconds in (0.15, 0.0, 0.6)]

    async def silent(text: str) -> list[Audio]:
        return []

    parts = [part async for part in Speak(voice)([model("one two three four. And")])]
    assert words(parts) == ["one", "", " two three four. ", "", "", "And"]
    assert words([part async for part in Speak(silent)([model("one")])]) == []


async def test_the_text_itself_goes_aside_as_it_comes() -> None:
    """Each text is on `ui` before its sound."""
    chunks = [model("Hello there, "), model("my dear friend.")]
    parts = [part async for part in Speak(FakeVoice())(chunks)]
    assert [part.text for part in parts if part.substream == "ui"] == [part.text for part in chunks]


async def test_speech_begins_while_the_text_is_still_written() -> None:
    """The first sentence is heard when its end is seen, not when the text has ended."""
    seen = await play(
        Speak(FakeVoice(takes_s=0.25)),
        [(0.0, model("I am here now. ")), (5.0, model("Good bye."))],
    )
    sound = [(at, part.body.words) for at, part in seen if isinstance(part.body, Audio)]
    assert sound[0] == (0.25, "I ")
    assert sound[-2:] == [(5.25, "Good "), (5.25, "bye. ")]


async def test_what_is_not_the_models_text_passes_in_its_place() -> None:
    """The user's text, and signals, come out as they are, after what was to be said before."""
    complete = Part(TurnComplete(1), role="model", turn=1)
    source = [Part("user"), model("Hi"), complete, model("Again", turn=2)]
    parts = [part async for part in Speak(FakeVoice())(source)]
    spoken = [part for part in parts if not part.substream and not hasattr(part.body, "turn")]
    assert [part.text or part.body.words for part in spoken] == ["user", "Hi ", "Again "]  # type: ignore[union-attr]
    assert [part.turn for part in spoken] == [0, 1, 2]
    assert parts.index(complete) > parts.index(spoken[1])


async def test_each_reply_says_its_own_text() -> None:
    """What one reply left unsaid is not said with the number of the next."""
    source = [model("One", turn=1), model("Two", turn=2)]
    parts = [part async for part in Speak(FakeVoice())(source)]
    spoken = [(part.turn, part.body.words) for part in parts if isinstance(part.body, Audio)]
    assert spoken == [(1, "One "), (2, "Two ")]


async def test_each_reply_begins_early() -> None:
    """Also the second reply may begin with a clause, if it runs through the same `Speak`."""
    complete = Part(TurnComplete(1), role="model", turn=1)
    seen = await play(
        Speak(FakeVoice()),
        [
            (0.0, model("One two three four, five.", turn=1)),
            (1.0, complete),
            (2.0, model("One two three four, ", turn=2)),
            (3.0, model("five.", turn=2)),
        ],
    )
    first = {part.turn: at for at, part in reversed(seen) if isinstance(part.body, Audio)}
    assert first == {1: 0.0, 2: 2.0}


async def test_an_interrupted_reply_leaves_no_words_to_the_next() -> None:
    """What was not yet said of a void reply is never said, least of all with a later number."""

    @processor
    async def interrupts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.turn == 2:
                current_run().bus.announce(Interrupted(1))
            yield part

    seen = await play(
        interrupts + Speak(FakeVoice()),
        [(0.0, model("I was about to", turn=1)), (1.0, model("New words.", turn=2))],
    )
    assert "".join(words([part for _, part in seen])) == "New words. "


async def test_blank_text_is_not_said() -> None:
    """Spaces alone do not bother the voice."""
    calls: list[str] = []

    async def voice(text: str) -> list[Audio]:
        calls.append(text)
        return []

    parts = [part async for part in Speak(voice)([model(" "), model("\n"), model("")])]
    assert calls == []
    assert [part.substream for part in parts] == ["ui"] * 3


async def test_leaving_in_the_middle_of_a_sentence_leaves_nothing_behind() -> None:
    """A caller who leaves after the first word stops the rest, and nothing is left half-way."""
    async with Speak(FakeVoice()).run([model("One two three four five six seven.")]) as parts:
        async for part in parts:
            if part.seconds:
                break
        await asyncio.sleep(1.0)
    assert now() == 1.0


@pytest.mark.parametrize("void", [False, True])
async def test_what_a_model_wrote_before_it_failed_is_said(void: bool) -> None:
    """The failure comes after the last words, which are said unless their reply is void."""

    @processor
    async def dies(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
        if void:
            current_run().bus.announce(Interrupted(1))
        raise ModelError("the line is dead")

    parts: list[Part] = []

    async def listen() -> None:
        async for part in (dies + Speak(FakeVoice()))([model("I was about")]):
            parts.append(part)

    with pytest.raises(ModelError, match="the line is dead"):
        await listen()
    assert "".join(words(parts)) == ("" if void else "I was about ")


async def test_a_voice_that_fails_is_not_asked_again() -> None:
    """The failure is the voice's own, and nothing more is said."""
    asked: list[str] = []

    async def voice(text: str) -> list[Audio]:
        asked.append(text)
        raise ModelError("hoarse")

    with pytest.raises(ModelError, match="hoarse"):
        [part async for part in Speak(voice)([model("One two three four. Five")])]
    assert asked == ["One two three four. "]
