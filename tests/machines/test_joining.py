"""What parts say, and how pieces are joined."""

import pytest

from vivace.machines.joining import ends_open, spaced, words_of
from vivace.part import Data, Part

SOUND = bytes(320)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Part("hello "), "hello "),
        (Part.audio(SOUND, words="hello"), "hello"),
        (Part.audio(SOUND), ""),
        (Part(Data({})), ""),
        (Part("hello", substream="ui"), ""),
    ],
)
def test_words(part: Part, words: str) -> None:
    """Of text and of sound; what goes aside says nothing."""
    assert words_of(part) == words


def test_a_space_before() -> None:
    """Where there is something to say, and none yet."""
    assert spaced(Part("so")) == Part(" so")
    assert spaced(Part.audio(SOUND, words="so")) == Part.audio(SOUND, words=" so")
    for part in (Part(" so"), Part(""), Part.audio(SOUND), Part("so", substream="status")):
        assert spaced(part) is part


def test_a_space_is_needed_after_words() -> None:
    """Unless they end with one; nothing said changes nothing."""
    assert ends_open("so")
    assert not ends_open("so ", before=True)
    assert ends_open("", before=True)
    assert not ends_open("")
