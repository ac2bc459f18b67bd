import io
import wave

import pytest

from vivace.audio import AudioFormat
from vivace.errors import PartError
from vivace.models.messages import Conversation, conversation, skipped_note, spoken, wav
from vivace.part import Audio, Call, Data, Event, Image, Part, Response, SpeechStarted

CUT = {"interrupted": True}


def user(text: str) -> Part:
    return Part(text)


def model(text: str, turn: int = 1, **fields: object) -> Part:
    return Part(text, role="model", turn=turn, **fields)  # type: ignore[arg-type]


def system(text: str) -> Part:
    return Part(text, role="system")


def lines(talk: Conversation) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in talk.turns]


def test_tokens_of_a_reply_become_one_turn() -> None:
    """Neighbouring parts of one side are one turn; tokens bring their own spaces."""
    talk = conversation([user("Hi."), model("Hel"), model("lo"), model(" you."), user("Bye.")])
    assert lines(talk) == [("user", "Hi."), ("model", "Hello you."), ("user", "Bye.")]


def test_utterances_are_set_apart() -> None:
    """What was said at different times gets a space where it has none."""
    talk = conversation([user("One."), user("Two. "), user("Three.")])
    assert lines(talk) == [("user", "One. Two. Three.")]


def test_two_replies_in_a_row_are_set_apart() -> None:
    """Two replies without the user between them are one turn, but not one word."""
    talk = conversation([user("Hi."), model("One.", 1), model("Two.", 2), user("Bye.")])
    assert lines(talk)[1] == ("model", "One. Two.")


def test_system_text_comes_first_wherever_it_stands() -> None:
    talk = conversation([user("Hi."), system("Be kind."), user("You?"), system(" Be brief.\n")])
    assert talk.system == "Be kind.\n\nBe brief."
    assert lines(talk) == [("user", "Hi. You?")]


def test_the_model_is_asked_to_go_on() -> None:
    """A conversation always ends with the user."""
    talk = conversation([user("Count."), model("One, two")])
    assert lines(talk)[-1] == ("user", "Please go on.")


def test_a_greeting_of_the_agent_gets_something_before_it() -> None:
    """Many templates refuse a conversation that begins with the assistant."""
    talk = conversation([model("Good day."), user("Hi.")])
    assert lines(talk) == [("user", "Hello."), ("model", "Good day."), ("user", "Hi.")]


def test_system_text_alone_asks_for_a_greeting() -> None:
    talk = conversation([system("Greet the guest.")])
    assert (talk.system, lines(talk)) == ("Greet the guest.", [("user", "Hello.")])


@pytest.mark.parametrize("parts", [[], [user("")], [Part(SpeechStarted(0.0))]])
def test_an_empty_prompt_is_refused(parts: list[Part]) -> None:
    with pytest.raises(PartError, match="the prompt is empty"):
        conversation(parts)


def test_an_interrupted_reply_ends_in_a_dash() -> None:
    """The dash stands once, at the cut, not after every token."""
    cut = [model("I was", metadata=CUT), model(" going to ", metadata=CUT)]
    talk = conversation([user("Hi."), *cut, user("Stop.")])
    assert lines(talk)[1] == ("model", "I was going to—")


def test_only_the_interrupted_reply_gets_the_dash() -> None:
    parts = [user("a"), model("One", 1, metadata=CUT), model("Two.", 2), user("b")]
    assert lines(conversation(parts))[1] == ("model", "One— Two.")


def test_a_reply_of_which_nothing_was_heard_is_not_there() -> None:
    parts = [user("Hi."), model("", metadata=CUT), user("Wait.")]
    assert lines(conversation(parts)) == [("user", "Hi. Wait.")]


def test_sound_counts_by_its_words() -> None:
    said = Part.audio(b"\0\0", words="Where am I?")
    heard = [
        Part.audio(b"\0\0", 24_000, words="You are", role="model", turn=1),
        Part.audio(b"\0\0", 24_000, role="model", turn=1),
        Part.audio(b"\0\0", 24_000, words=" here.", role="model", turn=1),
    ]
    talk = conversation([said, *heard, user("Thanks.")])
    assert lines(talk)[:2] == [("user", "Where am I?"), ("model", "You are here.")]
    assert not talk.skipped


def test_what_cannot_be_read_is_told() -> None:
    """It is left out and handed back, and a status part names it."""
    pictures = [Part.image(b"1"), Part.image(b"2")]
    talk = conversation([*pictures, Part.audio(b"\0\0"), user("Hi.")])
    assert lines(talk) == [("user", "Hi.")]
    note = skipped_note("tiny", talk.skipped)
    assert note.substream == "status"
    assert (
        note.text == "tiny does not read 2 × image (image/jpeg), 1 × audio (audio/pcm;rate=16000)"
    )


def test_turns_still_alternate_without_what_was_skipped() -> None:
    call = Part.call("look", id="1")
    talk = conversation([user("a"), call, Part.response("look", 3, id="1"), user("b")])
    assert lines(talk) == [("user", "a b")]
    assert [type(part.body) for part in talk.skipped] == [Call, Response]


def test_a_user_who_cannot_be_read_at_all_is_an_error() -> None:
    """Answering blindly would be worse than not answering."""
    with pytest.raises(PartError, match=r"does not read 1 × audio .*choose a model that reads"):
        conversation([user("Hi."), model("Hello."), Part.audio(b"\0\0")])


def test_events_are_told_in_words() -> None:
    """What was seen is text of the user's side: its own, or the name of its type."""
    talk = conversation([Part(Event("late_cat")), Part(Event("cat", text="A cat."), role="user")])
    assert talk.turns[0].text == "(late cat) A cat."


def test_what_the_model_reads_stays() -> None:
    parts = [Part.audio(b"\0\0", words="hm"), Part.image(b"x"), Part(Data({"t": 20}))]
    talk = conversation(parts, reads=(Audio, Image))
    assert [part.body for part in talk.turns[0].parts] == [
        Audio(b"\0\0", words="hm"),
        Image(b"x"),
        '{"t":20}',
    ]


def test_calls_are_the_models_and_responses_the_users() -> None:
    parts = [user("a"), Part.call("f", id="1"), Part.response("f", 3, id="1", role="model")]
    talk = conversation(parts, reads=(Call, Response))
    assert [turn.role for turn in talk.turns] == ["user", "model", "user"]
    assert [call.name for call in talk.turns[1].calls] == ["f"]
    assert [result.result for result in talk.turns[2].results] == [3]


def test_side_lanes_and_signals_are_no_conversation() -> None:
    parts = [Part("log", substream="debug"), user("Hi."), Part(SpeechStarted(1.0))]
    assert lines(conversation(parts)) == [("user", "Hi.")]


def test_speech_is_joined_across_pictures() -> None:
    """A camera does not cut a sentence; another format or a text does."""
    other = Part.audio(b"\5\0", 8_000)
    first, second = Part.audio(b"\1\0", words="a"), Part.audio(b"\2\0", words="b")
    picture, text, third = Part.image(b"x"), user("t"), Part.audio(b"\3\0", 8_000)
    joined = spoken([first, picture, second, other, text, third])
    assert [part.body for part in joined] == [
        Audio(b"\1\0\2\0", words="ab"),
        Image(b"x"),
        other.body,
        "t",
        third.body,
    ]


@pytest.mark.parametrize(
    ("width", "pcm", "stored"), [(2, b"\1\0\2\0", b"\1\0\2\0"), (1, b"\0\x7f", b"\x80\xff")]
)
def test_wav(width: int, pcm: bytes, stored: bytes) -> None:
    """8-bit samples become unsigned, as WAV wants them."""
    with wave.open(io.BytesIO(wav(Audio(pcm, AudioFormat(8_000, 1, width))))) as file:
        assert (file.getframerate(), file.getsampwidth()) == (8_000, width)
        assert file.readframes(9) == stored
