"""The ledger: what was heard of each reply, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.machines.playout import Ledger, Reply
from vivace.part import Call, Data, Image, Part, TurnComplete


def audio(words: str, turn: int = 1, seconds: float = 0.5, role: str = "model") -> Part:
    return Part.audio(bytes(round(seconds * 32_000)), words=words, role=role, turn=turn)


def test_words_and_seconds_add_up() -> None:
    """The words of the chunks make the text; their seconds add up."""
    ledger = Ledger()
    for part in (audio("Hello"), audio(" there,", seconds=0.25), audio(""), audio(" you. ")):
        ledger.book(part)
    assert ledger.heard(1) == Reply(1, "Hello there, you.", 1.75)


def test_text_counts_as_heard() -> None:
    """The text of a reply without a voice is what was read of it."""
    ledger = Ledger()
    ledger.book(Part("Hel", role="model", turn=2))
    ledger.book(Part("lo", role="model", turn=2))
    assert ledger.heard(2) == Reply(2, "Hello", 0.0)


def test_the_first_is_told() -> None:
    """True for the first sound or text of each reply, False for all that follow."""
    ledger = Ledger()
    booked = [ledger.book(audio("a", turn)) for turn in (1, 1, 2, 1, 2, 3)]
    assert booked == [True, False, True, False, False, True]


@pytest.mark.parametrize(
    "part",
    [
        audio("no turn", turn=0),
        audio("the user's", role="user"),
        Part("the system's", role="system", turn=1),
        Part(Image(b"x"), role="model", turn=1),
        Part(Data({"a": 1}), role="model", turn=1),
        Part(Call("1", "f"), role="model", turn=1),
        Part(TurnComplete(1), role="model", turn=1),
    ],
)
def test_all_else_is_not_heard(part: Part) -> None:
    """Only the model's audio and text of a reply are booked."""
    ledger = Ledger()
    assert ledger.book(part) is False
    assert ledger.heard(part.turn) == Reply(part.turn)
    assert ledger.book(audio("a")) is True


def test_nothing_is_neither_sound_nor_text() -> None:
    """An empty text is not the first of a reply that is heard."""
    ledger = Ledger()
    assert ledger.book(Part("", role="model", turn=1)) is False
    assert ledger.book(Part.audio(b"", role="model", turn=1)) is False
    assert ledger.book(audio("a")) is True


def test_an_unknown_reply_is_unheard() -> None:
    """Asking for a reply that never came gives an empty record and books nothing."""
    ledger = Ledger()
    assert ledger.heard(9) == Reply(9, "", 0.0)
    assert ledger.book(audio("a", turn=9)) is True


def test_old_replies_are_forgotten() -> None:
    """Only the newest `keep` are remembered; older ones read as unheard."""
    ledger = Ledger(keep=2)
    for turn in (1, 2, 3):
        ledger.book(audio(f"reply {turn}", turn))
    assert [ledger.heard(turn).text for turn in (1, 2, 3)] == ["", "reply 2", "reply 3"]


chunks = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["", " a", "b ", "word", " "]), st.integers(0, 9)),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(chunks)
def test_any_order_of_replies(booked: list[tuple[int, str, int]]) -> None:
    """However replies interleave, each has exactly its own words in order, and its own seconds."""
    ledger = Ledger()
    for turn, words, frames in booked:
        ledger.book(Part.audio(bytes(2 * frames), 1, words=words, role="model", turn=turn))
    for turn in range(1, 5):
        own = [(words, frames) for number, words, frames in booked if number == turn]
        text = "".join(words for words, _ in own).strip()
        assert ledger.heard(turn) == Reply(turn, text, float(sum(frames for _, frames in own)))
