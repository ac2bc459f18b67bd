"""What each message of a Gemini Live client means for the agent."""

import pytest

from vivace.audio import AudioFormat
from vivace.part import (
    Ask,
    Audio,
    Image,
    Part,
    Response,
    SpeechEnded,
    SpeechStarted,
    TurnEnded,
)
from vivace.server.gemini_reader import Reader
from vivace.server.gemini_wire import (
    ActivityEnded,
    ActivityStarted,
    AudioHeard,
    AudioStreamEnded,
    ClientMessage,
    Content,
    ImageSeen,
    Setup,
    TextHeard,
    ToolAnswer,
    ToolAnswers,
    Turn,
)

SECOND = bytes(32_000)
MINE, YOURS = Turn("user", "My name is Ann."), Turn("model", "Hello Ann.")


def known(turn: Turn) -> Part:
    return Part(turn.text, role=turn.role, metadata={"context": True})


def read(*messages: ClientMessage, history: bool = False) -> list[Part]:
    """What the last one means, after a second of sound and the others."""
    reader = Reader()
    parts: list[Part] = []
    for message in (AudioHeard(SECOND), *messages):
        parts = reader.parts(message, history=history)
    return parts


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        (AudioHeard(bytes(480), 24_000), [Part(Audio(bytes(480), AudioFormat(24_000)), at=1.0)]),
        (ImageSeen(b"x", "image/png"), [Part(Image(b"x", "image/png"))]),
        (TextHeard("Hi."), [Part("Hi."), Part(TurnEnded(1.0))]),
        (ActivityStarted(), [Part(SpeechStarted(1.0))]),
        (ActivityEnded(), [Part(SpeechEnded(1.0, turn_follows=True)), Part(TurnEnded(1.0))]),
        (
            ToolAnswers((ToolAnswer("c1", "lamp", {"output": 1}),)),
            [Part(Response("c1", "lamp", 1))],
        ),
        (Setup("m", {}), []),
    ],
)
def test_each_message(message: ClientMessage, parts: list[Part]) -> None:
    """Signals are at the media time that the sound has come to."""
    assert read(message) == parts


def test_the_end_of_the_sound_is_silence() -> None:
    """For a second and a half, so that a detector hears that the user has finished."""
    parts = read(AudioStreamEnded())
    assert [part.at for part in parts] == [round(1.0 + 0.1 * n, 6) for n in range(15)]
    assert all(part.body == Audio(bytes(3200)) for part in parts)


@pytest.mark.parametrize("history", [True, False])
def test_turns(history: bool) -> None:
    """The last that the user said is asked, if they are complete, and no history."""
    turns = (MINE, YOURS, MINE)
    all_known = [known(turn) for turn in turns]
    question = [Part(MINE.text), Part(TurnEnded(1.0))]
    assert read(Content(turns, complete=False), history=history) == all_known
    wanted = all_known if history else [*all_known[:2], *question]
    assert read(Content(turns, complete=True), history=history) == wanted


def test_turns_that_are_completed_by_nothing() -> None:
    """The model is asked once for what it was told, and not if that was asked for meanwhile."""
    told, done = Content((MINE, YOURS), complete=False), Content((), complete=True)
    assert read(Content((MINE, YOURS), complete=True))[-1] == Part(Ask())
    assert read(told, done) == [Part(Ask())]
    assert read(told, done, done) == [Part(TurnEnded(1.0))]
    assert read(told, TextHeard("Who am I?"), done) == [Part(TurnEnded(1.0))]


@pytest.mark.parametrize("turns", [(), (Turn("user", " "),)])
def test_turns_without_words(turns: tuple[Turn, ...]) -> None:
    """Where nothing was told, they say that the user has finished speaking."""
    assert read(Content(turns, complete=True)) == [Part(TurnEnded(1.0))]
    assert read(Content(turns, complete=False)) == []
