"""How much of a reply was heard."""

import pytest

from vivace.errors import PartError
from vivace.machines.heard import heard_of
from vivace.part import Part

SECOND = bytes(32_000)


@pytest.mark.parametrize(
    ("played_s", "heard"),
    [(0.0, ""), (0.7, ""), (1.0, "one"), (1.2, "one"), (1.5, "one two"), (2.0, "one two three"),
     (3.0, "one two three four"), (9.0, "one two three four")],
)  # fmt: skip
def test_by_words(played_s: float, heard: str) -> None:
    """A word counts once it was played to its end; words of a chunk share its time by letters."""
    parts = [Part.audio(SECOND, words=words) for words in ("one ", "two three ", "four")]
    assert heard_of(parts, played_s) == heard


@pytest.mark.parametrize(
    ("played_s", "heard"),
    [(0.0, ""), (-1.0, ""), (0.3, ""), (0.5, "one"), (1.0, "one two"), (1.9, "one two"),
     (2.0, "one two three."), (5.0, "one two three.")],
)  # fmt: skip
def test_in_proportion(played_s: float, heard: str) -> None:
    """So much of the text as of the sound, up to a whole word."""
    parts = [Part("one two "), Part("three."), Part.audio(SECOND), Part.audio(SECOND)]
    assert heard_of(parts, played_s) == heard


@pytest.mark.parametrize(
    ("played_s", "heard"),
    [
        (0.0, ""),
        (0.4, ""),
        (0.5, "今"),
        (1.4, "今"),
        (1.5, "今天。"),
        (2.5, "今天。 很"),
        (3.0, "今天。 很好"),
    ],
)
def test_a_script_without_spaces(played_s: float, heard: str) -> None:
    """Its words are characters, with the point that follows."""
    said = [Part.audio(SECOND * 3, words="今天。 很好")]
    written = [Part("今天。 很好"), Part.audio(SECOND * 3)]
    assert heard_of(said, played_s) == heard_of(written, played_s) == heard


def test_what_takes_no_time() -> None:
    """Nobody can tell how much of a text was heard; of nothing, nothing was."""
    with pytest.raises(PartError, match=r"1\.5 s of a reply without sound were played"):
        heard_of([Part("one two")], 1.5)
    assert heard_of([Part.audio(SECOND)], 0.5) == ""
    assert heard_of([Part(" ")], 1.5) == ""
