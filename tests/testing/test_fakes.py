import asyncio
from array import array
from collections.abc import AsyncIterator

import pytest

from vivace.flow.clock import now
from vivace.flow.processor import processor
from vivace.part import Part
from vivace.testing.fakes import (
    Caller,
    FakeDetector,
    FakeTranscriber,
    FakeTurnDetector,
    FakeVoice,
)

pytestmark = pytest.mark.virtual


def levels(parts: list[Part]) -> list[int]:
    """The level of each chunk; all its samples must have it."""
    found = [set(array("h", part.bytes)) for part in parts]
    assert all(len(level) == 1 for level in found)
    return [level.pop() for level in found]


async def test_a_caller_speaks_at_its_own_time() -> None:
    """Twenty milliseconds every 20 ms: each chunk when it is over, with the time it began."""
    await asyncio.sleep(1.0)
    seen = [(now(), part) async for part in Caller([], until=0.1)]
    assert [at for at, _ in seen] == [1.02, 1.04, 1.06, 1.08, 1.1]
    assert [part.at for _, part in seen] == [0.0, 0.02, 0.04, 0.06, 0.08]
    assert {part.seconds for _, part in seen} == {0.02}


async def test_each_utterance_has_a_level_of_its_own() -> None:
    """Chunks whose middle is within an utterance are loud, and tell which one; others silent."""
    caller = Caller([(0.04, 0.08, "a"), (0.09, 0.13, "b")], until=0.16)
    assert caller.texts == ("a", "b")
    parts = [part async for part in caller]
    assert levels(parts) == [0, 0, 1000, 1000, 1001, 1001, 0, 0]


async def test_a_caller_may_call_again() -> None:
    """The same caller can be iterated twice, from its start each time."""
    caller = Caller([(0.0, 0.04, "a")], until=0.06)
    assert [part async for part in caller] == [part async for part in caller]


async def test_an_agent_may_hang_up() -> None:
    """A run over a caller that is left early leaves nothing behind."""

    @processor
    async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part

    async with copy.run(Caller([], until=60.0)) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_detector_hears_what_is_loud() -> None:
    """Silence is 0, a tone 1, also if only a part of the frame is loud."""
    judge = FakeDetector().session()
    quiet, loud = array("h", [0] * 512), array("h", [1000] * 512)
    assert await judge(quiet.tobytes()) == 0.0
    assert await judge(loud.tobytes()) == 1.0
    assert await judge((quiet[:500] + loud[:12]).tobytes()) == 1.0


async def test_a_transcriber_knows_the_utterances() -> None:
    """It names all that it hears, in order, noises not, and takes as long as it was told."""
    transcribe = FakeTranscriber(["first", "", "third"], takes_s=0.25)
    pcm = array("h", [0, 1002, 1002, 1001, 1000, 0]).tobytes()
    assert await transcribe(pcm) == "first third"
    assert await transcribe(bytes(100)) == ""
    assert now() == 0.5


async def test_a_turn_detector_is_as_sure_as_it_is_told() -> None:
    """Its probability and its time are those it was given."""
    assert await FakeTurnDetector()(b"") == 1.0
    assert await FakeTurnDetector(0.25, takes_s=1.0)(b"") == 0.25
    assert now() == 1.05


async def test_a_voice_says_word_by_word() -> None:
    """Each word is a piece of sound of the same length that carries the word."""
    voice = FakeVoice(word_s=0.5, takes_s=0.125)
    pieces = await voice("Hello  there, you.")
    assert now() == 0.125
    assert [piece.words for piece in pieces] == ["Hello ", "there, ", "you. "]
    assert {(piece.seconds, piece.format.rate) for piece in pieces} == {(0.5, 24_000)}
    assert await voice(" ") == []
