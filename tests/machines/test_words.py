"""Where words fall into their sound."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.machines.words import (
    apart,
    count_words,
    middles,
    same_words,
    share_out,
    words_until,
)

quick = settings(max_examples=80, deadline=None)
texts = (
    st.text(" ab\n", max_size=60)
    | st.text(max_size=40)
    | st.text(" a1、今天ちゃコーทีน่\u3099", max_size=40)
)


def test_the_same_words() -> None:
    """Capitals and points make no other words; where there are none, the signs count."""
    assert same_words("what time is it", "What time is it?")
    assert not same_words("what time", "what time is it")
    for text, other in (("what is C", "What is C++?"), ("10", "10%"), ("5", "-5"), ("ดี", "ดู")):
        assert not same_words(text, other)
    assert same_words("well, 3.5 and “so”", "Well 3.5, and so…")
    assert same_words(" 👍", "👍 ")
    assert same_words("...", " ...")
    assert not same_words("...", "?")
    assert not same_words("👍", "👎")


def needs_no_spaces(character: str) -> bool:
    return len(apart(character * 2)) == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", []),
        ("hi", [(0.5, "hi")]),
        ("one two", [(1.5 / 7, "one"), (5 / 7, " two")]),
        (" one two ", [(2 / 9, " one"), (6.5 / 9, " two ")]),
        ("   ", [(0.5, "   ")]),
    ],
)
def test_each_word_has_its_middle(words: str, found: list[tuple[float, str]]) -> None:
    """A word goes with the spaces before it; letters stand in for time."""
    assert list(middles(words)) == found


@pytest.mark.parametrize(
    ("share", "heard"),
    [(0.0, ""), (0.2, ""), (0.22, "one"), (0.7, "one"), (0.72, "one two"), (1.0, "one two")],
)
def test_words_up_to_a_share(share: float, heard: str) -> None:
    """A word is heard once its middle is."""
    assert words_until("one two", share) == heard


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("one  two - three\n", ["one", "two", "-", "three"]),
        ("请等一下。", ["请", "等", "一", "下。"]),
        ("「今天」 很好", ["「今", "天」", "很", "好"]),
        ("我用iPhone打、OK", ["我", "用", "iPhone", "打、", "OK"]),
        ("人々 〇 𠮷野家", ["人", "々", "〇", "𠮷", "野", "家"]),
        ("コーヒー、ｶﾞ", ["コー", "ヒー、", "ｶﾞ"]),
        ("か\u3099が", ["か\u3099", "が"]),  # a decomposed character is one
        ("ที่นี่ ๑๒", ["ที่", "นี่", "๑๒"]),
        ("서울 좋아요", ["서울", "좋아요"]),
        ("Stück für Stück", ["Stück", "für", "Stück"]),
    ],
)
def test_what_a_word_is(text: str, found: list[str]) -> None:
    """What has spaces around it; or a character, with its signs, where none are written."""
    assert [word for between in text.split() for word in apart(between)] == found
    assert count_words(text) == len(found)


def test_a_script_without_spaces_is_cut_between_characters() -> None:
    """So what was heard of a sentence is not all of it or nothing."""
    assert words_until("今天 很好。", 0.45) == "今天"
    assert share_out("ちょっと、待って ", [1.0, 1.0]) == ["ちょっと、", "待って "]


@quick
@given(texts)
def test_words_join_back(words: str) -> None:
    """Joined, they are the text; none is torn, and their middles are in order."""
    found = list(middles(words))
    assert "".join(word for _, word in found) == words
    assert [middle for middle, _ in found] == sorted(middle for middle, _ in found)
    pieces = [piece for _, word in found for piece in word.split(" ") if piece]
    if not any(map(needs_no_spaces, words)):
        assert pieces == [piece for piece in words.split(" ") if piece]
    for (_, before), (_, after) in pairwise(found):
        assert after[0] == " " or any(map(needs_no_spaces, before + after))
    assert all(sum(map(needs_no_spaces, piece)) <= 1 for piece in pieces)


@quick
@given(texts, st.floats(0, 1.2), st.floats(0, 1.2))
def test_more_sound_never_has_fewer_words(words: str, one: float, other: float) -> None:
    """What is heard is a beginning of the text, and grows with the share."""
    less, more = sorted((one, other))
    assert words.startswith(words_until(words, more))
    assert words_until(words, more).startswith(words_until(words, less))


@pytest.mark.parametrize(
    ("seconds", "shares"),
    [
        ([1.0, 1.0], ["one two", " three"]),
        ([0.1, 0.1, 1.0], ["", "one", " two three"]),
        ([0.0, 0.0], ["one two three", ""]),
        ([0.0, 2.0], ["", "one two three"]),
        ([], []),
    ],
)
def test_words_are_shared_out(seconds: list[float], shares: list[str]) -> None:
    """Each goes where its middle is."""
    assert share_out("one two three", seconds) == shares


@quick
@given(texts, st.lists(st.floats(0, 10), min_size=1, max_size=5))
def test_no_word_is_lost_in_sharing(words: str, seconds: list[float]) -> None:
    """Joined, the shares are the text."""
    assert "".join(share_out(words, seconds)) == words
