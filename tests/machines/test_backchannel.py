"""What listeners say: told from what wants the floor, in several languages."""

import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.errors import StageError
from vivace.machines.backchannel import BACKCHANNELS, Backchannels


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ...",
        "mm-hm",
        "Mhm.",
        "HMM",
        "Uh-huh!",
        "uhhh",
        "oh wow",
        "Yeah yeah.",
        "Thank you.",
        "ok",
        "hhh",
        "_",
        "I see. Right.",
        "Of course, go on",
        "yes I know",
    ],
)
def test_sounds_of_listening(text: str) -> None:
    """They want no answer, alone or one after the other."""
    assert Backchannels().covers(text)


@pytest.mark.parametrize(
    "text",
    ["Stop", "no", "okay, stop", "um, no", "5", "Nein", "やめて", "ähm nein", "I", "mm, wait",
     "see", "I see a problem", "go on with the other one", "of"],
)  # fmt: skip
def test_all_else_wants_the_floor(text: str) -> None:
    """One word more than a backchannel is enough; half of one is none."""
    assert not Backchannels().covers(text)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Ach so, alles klar."),
        ("es", "Claro que sí, vale"),
        ("fr", "D'accord, je vois"),
        ("fr", "d’accord"),
        ("it", "Va bene, certo"),
        ("pt", "Tá bom, pois"),
    ],
)
def test_languages(language: str, text: str) -> None:
    """Each language has a list of its own, and none of them is English."""
    assert Backchannels([language]).covers(text)
    assert not Backchannels(["en"]).covers(text)


@pytest.mark.parametrize("language", BACKCHANNELS)
def test_every_entry_is_one(language: str) -> None:
    """All words and phrases of a list are known by it, joined in any order."""
    heard = Backchannels([language])
    assert all(heard.covers(phrase) for phrase in BACKCHANNELS[language])
    assert heard.covers(" ".join(reversed(BACKCHANNELS[language])))


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "I"), ("en", "Of"), ("en", "mm, got"), ("en", "makes"), ("en", "uh"),
     ("es", "claro que"), ("es", "vale, claro que"), ("fr", "tout"), ("fr", "tout à")],
)  # fmt: skip
def test_what_may_become_one(language: str, text: str) -> None:
    """While more may come, the first words of a phrase are as good as the phrase."""
    assert Backchannels([language]).covers(text, interim=True)


@pytest.mark.parametrize("text", ["I want", "I, I see", "stop, I", "go go", "see", "of the"])
def test_what_can_become_none(text: str) -> None:
    """Only at the end of a text may a phrase be half."""
    assert not Backchannels().covers(text, interim=True)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_however_letters_are_written(form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    """An accent may be a part of its letter, or stand after it, in both."""
    heard = Backchannels(["fr", "pt"], also=[unicodedata.normalize(form, "Très bien, Zoë")])
    for text in ("voilà", "bien sûr", "D’accord, tá", "très bien zoë"):
        for written in ("NFC", "NFD"):
            assert heard.covers(unicodedata.normalize(written, text))


def test_a_list_of_ones_own() -> None:
    """Languages add up, and so do words and phrases of the caller's own."""
    heard = Backchannels(["en", "de"], also=["Ten four", "copy"])
    assert heard.covers("copy, genau, ten four, yeah")
    assert not heard.covers("ten")
    assert Backchannels([]).covers("hmm")
    assert not Backchannels([]).covers("yes")


def test_phrases_without_spaces() -> None:
    """Where none are written, phrases need none between them, and their characters are words."""
    heard = Backchannels([], also=["嗯", "そうですね", "はい"])
    assert heard.covers("嗯嗯，嗯。")
    assert heard.covers("はい、はいそうですね")
    assert not heard.covers("そうですか")
    assert heard.covers("はいそうで", interim=True)
    assert not heard.covers("はいそうで")


def test_a_language_without_a_list() -> None:
    """The error names the languages that have one, and another way."""
    with pytest.raises(StageError) as caught:
        Backchannels(["tlh"])
    assert str(caught.value) == (
        "there is no list of backchannels for 'tlh'; give your own with `also`, or use "
        "en, de, es, fr, it, pt"
    )


@given(st.lists(st.sampled_from(BACKCHANNELS["en"]), max_size=12), st.text(max_size=20))
def test_any_number_of_them(phrases: list[str], other: str) -> None:
    """However many come in a row, they are no interruption; with more than that, they are."""
    heard = Backchannels()
    said = ", ".join(phrases)
    assert heard.covers(said)
    if not heard.covers(other):
        assert not heard.covers(f"{said}; zzz; {other}")
    words = said.split()
    for end in range(len(words) + 1):
        assert heard.covers(" ".join(words[:end]), interim=True)
