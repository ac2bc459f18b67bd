"""What was given out and not heard: to the sample, to the word, and within a bound."""

from hypothesis import given
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.live.reply_jobs import Given
from vivace.machines.playout import Ledger, Reply
from vivace.part import Audio, Part

FMT = AudioFormat(1000)


def piece(frames: int, words: str = "", value: int = 1) -> Part:
    return Part(Audio(bytes([value, 0]) * frames, FMT, words), role="model", turn=1)


def of(parts: list[Part]) -> tuple[bytes, str]:
    """The sound and the words of parts."""
    sound = b"".join(part.bytes for part in parts if isinstance(part.body, Audio))
    texts = [part.body.words if isinstance(part.body, Audio) else part.text for part in parts]
    return sound, "".join(texts)


def given_out(*parts: Part) -> Given:
    given = Given()
    for part in parts:
        given.add(part)
    return given


def test_nothing_heard() -> None:
    """All of it is to be heard again."""
    parts = [piece(100, "It "), piece(200, "is ")]
    assert given_out(*parts).rest(Reply(1)) == parts


def test_all_heard() -> None:
    """Nothing is left."""
    given = given_out(piece(100, "It "), piece(200, "is"))
    assert given.rest(Reply(1, "It is", 0.3)) == []


def test_cut_within_a_piece() -> None:
    """The piece goes on at the very frame, with the words that were not heard."""
    given = given_out(piece(100, "It is", 1), piece(200, " ten past noon", 2))
    assert given.rest(Reply(1, "It is ten", 0.15)) == [piece(150, "past noon", 2)]


def test_space_before_the_first_word() -> None:
    """What was heard is told without it, and nothing is lost by that."""
    given = given_out(piece(100, "  It "), piece(100, "is"))
    assert given.rest(Reply(1, "It", 0.1)) == [piece(100, " is".lstrip())]


def test_text_alone() -> None:
    """Where nobody speaks, the text goes on after its last letter."""
    texts = [Part("one ", role="model"), Part("two ", role="model"), Part("three", role="model")]
    assert given_out(*texts).rest(Reply(1, "one two")) == [Part("three", role="model")]


def test_what_was_heard_long_ago_is_not_kept() -> None:
    """Two minutes of sound are kept; and what is left is right all the same."""
    given = Given()
    for second in range(300):
        given.add(piece(1000, f"w{second} ", second % 200))
    assert len(given._parts) == 120
    heard = " ".join(f"w{second}" for second in range(290))
    rest = given.rest(Reply(1, heard, 290.0))
    assert [part.body.words.strip() for part in rest if isinstance(part.body, Audio)] == [
        f"w{second}" for second in range(290, 300)
    ]
    texts = Given()
    for number in range(20_000):
        texts.add(Part(f"{number} ", role="model"))
    assert len(texts._parts) == 16_384


pieces = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from(["", "a", " b", "cc ", " "])), max_size=12
)


@given(pieces, st.integers(0, 12))
def test_heard_and_unheard_are_the_whole(made: list[tuple[int, str]], taken: int) -> None:
    """Whatever was heard by the ledger, it and the rest are all of the sound, and all words."""
    parts = [piece(frames, words, 1 + at) for at, (frames, words) in enumerate(made)]
    ledger = Ledger()
    for part in parts[:taken]:
        ledger.book(part)
    rest = given_out(*parts).rest(ledger.heard(1))
    sound, words = of(parts)
    heard_sound, _ = of(parts[:taken])
    rest_sound, rest_words = of(rest)
    assert heard_sound + rest_sound == sound
    assert "".join((ledger.heard(1).text + rest_words).split()) == "".join(words.split())
