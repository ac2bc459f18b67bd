"""Cutting growing text where it can be spoken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.machines.sentences import Sentences, sentence_ends

quick = settings(max_examples=100, deadline=None)


def cut(text: str, step: int = 1, first_words: int = 4, longest: int = 300) -> list[str]:
    """The pieces of a text that comes `step` characters at a time, and the rest."""
    sentences = Sentences(first_words, longest)
    pieces: list[str] = []
    for start in range(0, len(text), step):
        pieces += sentences.feed(text[start : start + step])
    rest = sentences.rest()
    return [*pieces, rest] if rest else pieces


def later(text: str) -> list[str]:
    """The pieces of a text that follows on a first sentence."""
    first, *pieces = cut("Here is the first sentence. " + text, step=1000)
    assert first == "Here is the first sentence. "
    return pieces


# -- the first piece --------------------------------------------------------------------------


def test_the_first_piece_may_be_a_clause() -> None:
    """Four words up to a comma are enough to begin with; then only sentences are."""
    assert cut("If you ask me, it is far, far away. Really. ") == [
        "If you ask me, ",
        "it is far, far away. ",
        "Really. ",
    ]


def test_a_short_clause_is_no_beginning() -> None:
    """Fewer words wait for the next clause or the end."""
    assert cut("Well, yes, I think so. Do you?") == ["Well, yes, I think so. ", "Do you?"]
    assert cut("Yes. No. ") == ["Yes. No. "]


def test_the_number_of_first_words() -> None:
    """It may be chosen."""
    assert cut("Yes, I do. I do. ", first_words=1) == ["Yes, ", "I do. ", "I do. "]


def test_a_piece_is_returned_as_soon_as_it_is_complete() -> None:
    """The space after a sentence tells that it has ended; nothing before it is returned."""
    sentences = Sentences()
    assert sentences.feed("This is a sentence.") == []
    assert sentences.feed(" ") == ["This is a sentence. "]
    assert sentences.feed("Two. Thr") == ["Two. "]
    assert sentences.feed("ee! Four? Five") == ["Three! ", "Four? "]
    assert sentences.rest() == "Five"
    assert sentences.rest() == ""


# -- sentences --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One. Two! Three? Four… Five", ["One. ", "Two! ", "Three? ", "Four… ", "Five"]),
        ("Really?! Yes...  Good", ["Really?! ", "Yes...  ", "Good"]),
        ('He said "no." She left.', ['He said "no." ', "She left."]),
        ("(Or not.) Then [see.] End", ["(Or not.) ", "Then [see.] ", "End"]),
        ("“Yes.” ‘No.’ x", ["“Yes.” ", "‘No.’ ", "x"]),
        ("First line\nSecond line\n\nThird", ["First line\n", "Second line\n\n", "Third"]),
        (
            "It costs 3.50 or v1.2.3 at a.b.c today. Ok",
            ["It costs 3.50 or v1.2.3 at a.b.c today. ", "Ok"],
        ),
        ("Dr. Who met Mr. and Mrs. Smith. Fine", ["Dr. Who met Mr. and Mrs. Smith. ", "Fine"]),
        ("Use it, e.g. here, i.e. now. Ok", ["Use it, e.g. here, i.e. now. ", "Ok"]),
        ("J. R. R. Tolkien wrote. Ok", ["J. R. R. Tolkien wrote. ", "Ok"]),
        ("DR. STRANGE. Ok", ["DR. STRANGE. ", "Ok"]),
        ("He is first. Adr. is no title. Ok", ["He is first. ", "Adr. ", "is no title. ", "Ok"]),
        ("... !!! What? ", ["... !!! What? "]),
        ("a, b; c: d", ["a, b; c: d"]),
    ],
)
def test_sentences(text: str, pieces: list[str]) -> None:
    """Stops with a space and new lines are ends; titles, numbers and dots alone are not."""
    assert later(text) == pieces


def test_a_list_is_not_read_as_numbers() -> None:
    """The number of an item belongs to it."""
    assert later("1. Wash the rice. 2. Boil it. ") == ["1. Wash the rice. ", "2. Boil it. "]


# -- long pieces ------------------------------------------------------------------------------


def test_a_long_piece_is_cut_at_its_last_clause() -> None:
    """Beyond `longest`, the last clause that fits is the end."""
    text = "one two three, four five, six seven eight nine"
    assert cut("Here is the beginning. " + text, longest=30)[1:] == [
        "one two three, four five, ",
        "six seven eight nine",
    ]


def test_a_long_clause_is_cut_at_its_last_space() -> None:
    """Without a clause, the last space that fits is."""
    assert cut("Here it is now. one two three four five six", longest=20)[1:] == [
        "one two three four ",
        "five six",
    ]


def test_a_long_word_is_cut_anyway() -> None:
    """Without a space, the length alone decides."""
    assert cut("x" * 25, longest=10) == ["x" * 10, "x" * 10, "x" * 5]


@pytest.mark.parametrize("step", [1, 1000])
def test_a_long_sentence_is_cut_however_it_comes(step: int) -> None:
    """Whether by letters or all at once, no piece is longer than `longest`."""
    text = "This is how it begins. " + "and on it goes " * 10 + "to the end. Good. "
    assert max(map(len, cut(text, step, longest=60))) <= 60


# -- rest -------------------------------------------------------------------------------------


def test_rest_begins_the_text() -> None:
    """After some text was taken as rest, the next piece is not the first any more."""
    sentences = Sentences()
    sentences.feed("Hello there")
    assert sentences.rest() == "Hello there"
    assert sentences.feed("Now this is long, and more. ") == ["Now this is long, and more. "]


def test_a_blank_rest_begins_nothing() -> None:
    """Only spaces have not been spoken, so the next piece may still be a clause."""
    sentences = Sentences()
    assert sentences.feed("  \n") == []
    assert sentences.rest() == "  \n"
    assert sentences.feed("Now this is long, and more. ")[0] == "Now this is long, "


# -- all sentences at once ----------------------------------------------------------------------


def test_where_sentences_end() -> None:
    """Behind the white space that follows; titles, numbers and dots alone end none."""
    text = "I met Mrs. Smith. She is 3.5 m tall!  ... Is she? Yes."
    ends = list(sentence_ends(text))
    assert [text[:end] for end in ends] == [
        "I met Mrs. Smith. ",
        "I met Mrs. Smith. She is 3.5 m tall!  ",
        "I met Mrs. Smith. She is 3.5 m tall!  ... Is she? ",
    ]


# -- for all texts ----------------------------------------------------------------------------

texts = st.lists(
    st.sampled_from(
        [
            "word",
            "a",
            "I",
            "Mr.",
            "e.g.",
            " ",
            " ",
            " ",
            ". ",
            "! ",
            ", ",
            "; ",
            "\n",
            "…",
            '."',
            "–",
            "1.",
            "é",
            "你好。",
        ]
    ),
    max_size=60,
).map("".join)


@quick
@given(texts | st.text(max_size=80), st.integers(1, 40), st.integers(1, 6), st.integers(5, 80))
def test_pieces_join_back(text: str, step: int, first_words: int, longest: int) -> None:
    """However the text comes, the pieces and the rest are the text; none is empty or too long."""
    pieces = cut(text, step, first_words, longest)
    assert "".join(pieces) == text
    assert all(pieces)
    assert max(map(len, pieces), default=0) <= longest


@quick
@given(texts, st.integers(1, 40))
def test_what_is_returned_can_be_spoken(text: str, step: int) -> None:
    """Every piece but the rest has something to say, unless it was too long."""
    sentences = Sentences()
    for start in range(0, len(text), step):
        for piece in sentences.feed(text[start : start + step]):
            assert any(letter.isalnum() for letter in piece) or len(piece) >= 295
