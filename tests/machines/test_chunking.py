"""Cutting what waits: lengths, joints, and every format byte for byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.errors import StageError
from vivace.machines.chunking import ChunkRules, Waiting, chunk_length
from vivace.part import Audio, Part, TurnComplete

RULES = ChunkRules()
quick = settings(max_examples=100, deadline=None)
FORMATS = [
    AudioFormat(rate, channels, width, encoding)  # type: ignore[arg-type]
    for rate in (8_000, 11_025, 44_100)
    for channels in (1, 2, 5)
    for width, encoding in [
        (1, "int"), (2, "int"), (3, "int"), (4, "int"), (4, "float"), (1, "mulaw"), (1, "alaw"),
    ]
]  # fmt: skip


def length(
    waiting_s: float = 0.0, said_s: float = 0.0, lag_s: float = 0.0, contested: bool = False
) -> float:
    return chunk_length(RULES, waiting_s=waiting_s, said_s=said_s, lag_s=lag_s, contested=contested)


def voice(frames: int, at: float | None = None, **fields: object) -> Part:
    fmt = AudioFormat(1000)
    pcm = b"".join((n % 251).to_bytes(2, "little") for n in range(frames))
    return Part(Audio(pcm, fmt), role="model", at=at).derive(**fields)


@pytest.mark.parametrize(
    ("given_", "seconds"),
    [
        ({}, 0.02),
        ({"waiting_s": 100.0}, 0.02),
        ({"said_s": 100.0}, 0.02),
        ({"waiting_s": 4.0, "said_s": 5.0}, 0.1),
        ({"waiting_s": 100.0, "said_s": 0.5}, 0.04),
        ({"waiting_s": 100.0, "said_s": 100.0}, 0.2),
        ({"lag_s": 0.01}, 0.04),
        ({"lag_s": 3.0}, 0.2),
        ({"waiting_s": 100.0, "said_s": 100.0, "lag_s": 3.0, "contested": True}, 0.02),
    ],
)
def test_how_long_a_chunk_is(given_: dict[str, float], seconds: float) -> None:
    """It grows with what waits and with what was said, and with lag; never while contested."""
    assert length(**given_) == pytest.approx(seconds)  # type: ignore[arg-type]


@quick
@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.booleans())
def test_a_chunk_is_within_its_bounds(w: float, said: float, lag: float, contested: bool) -> None:
    """Whatever the numbers."""
    assert 0.02 <= length(w, said, lag, contested) <= 0.2 + 1e-9


@pytest.mark.parametrize(("short", "long"), [(0.0, 1.0), (-1.0, 1.0), (0.2, 0.1)])
def test_bounds_that_are_none(short: float, long: float) -> None:
    """The error says what came and what would do."""
    with pytest.raises(StageError, match="must be above 0, and not above the longest"):
        ChunkRules(short, long)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(FORMATS), st.integers(0, 300)), min_size=1, max_size=8),
    st.lists(st.floats(1e-6, 0.3), min_size=1, max_size=8),
    st.booleans(),
)
def test_pieces_join_back(
    fed: list[tuple[AudioFormat, int]], cuts: list[float], timed: bool
) -> None:
    """Over all formats, however it is cut: whole frames, byte for byte, each in its own format,
    with all words in order."""
    waiting = Waiting()
    at = 0.0
    for index, (fmt, frames) in enumerate(fed):
        pcm = bytes(n % 251 for n in range(frames * fmt.frame_bytes))
        body = Audio(pcm, fmt, f"w{index} and more ")
        waiting.put(Part(body, role="model", at=at if timed else None))
        at += body.seconds
    out: dict[AudioFormat, bytes] = {}
    words, number = "", 0
    while waiting:
        wanted = cuts[number % len(cuts)]
        before = waiting.seconds
        _, body, _ = waiting.cut(wanted)
        assert len(body.pcm) % body.format.frame_bytes == 0
        assert body.seconds <= max(wanted + 1e-8, 1 / body.format.rate)
        assert waiting.seconds == pytest.approx(before - body.seconds, abs=1e-6)
        out[body.format] = out.get(body.format, b"") + body.pcm
        words += body.words
        number += 1
    expected: dict[AudioFormat, bytes] = {}
    for fmt, frames in fed:
        more = bytes(n % 251 for n in range(frames * fmt.frame_bytes))
        expected[fmt] = expected.get(fmt, b"") + more
    assert out == expected
    assert words == "".join(f"w{index} and more " for index in range(len(fed)))
    assert waiting.seconds == 0.0


@pytest.mark.parametrize(
    ("change", "joined"),
    [
        ({}, 1),
        ({"turn": 2}, 2),
        ({"role": "system"}, 2),
        ({"substream": "music"}, 2),
        ({"metadata": {"a": 1}}, 2),
        ({"at": 0.01}, 2),
        ({"body": Audio(b"", AudioFormat(1000))}, 2),
        ({"body": Audio(bytes(4), AudioFormat(500))}, 2),
        ({"body": "text"}, 2),
    ],
)
def test_only_the_same_voice_is_joined(change: dict[str, object], joined: int) -> None:
    """Short parts fill one chunk if they differ in nothing but their sound."""
    waiting = Waiting()
    waiting.put(voice(10))
    waiting.put(voice(10).derive(**change))
    assert len(waiting) == 2
    waiting.cut(0.02)
    assert len(waiting) == joined - 1


@pytest.mark.parametrize(("at", "joined"), [(5.01, True), (5.0, False), (6.0, False), (1.0, False)])
def test_media_time_that_jumps_is_not_joined(at: float, joined: bool) -> None:
    """A gap or a step backward is no going on."""
    waiting = Waiting()
    waiting.put(voice(10, 5.0))
    waiting.put(voice(10, at))
    assert (waiting.cut(0.02)[1].seconds == 0.02) is joined


def test_a_cut_part_keeps_what_it_says_of_itself() -> None:
    """Fields stay, `at` moves along with the frames."""
    waiting = Waiting()
    waiting.put(voice(30, 5.0, turn=3, substream="x", metadata={"a": 1}))
    pieces = [waiting.cut(0.02), waiting.cut(0.02)]
    assert [at for _, _, at in pieces] == [5.0, 5.02]
    assert {(p.turn, p.substream, p.metadata["a"]) for p, _, _ in pieces} == {(3, "x", 1)}


def test_what_is_dropped_is_counted() -> None:
    """Parts, and the seconds of them that had not left."""
    waiting = Waiting()
    waiting.put(voice(100, turn=1))
    waiting.put(Part(TurnComplete(1), role="model", turn=1))
    waiting.put(voice(50, turn=2))
    waiting.cut(0.04)
    assert waiting.last_voice == 2
    parts, seconds = waiting.drop(lambda part: part.turn == 1)
    assert parts == 2
    assert seconds == pytest.approx(0.06)
    assert waiting.seconds == pytest.approx(0.05)
    waiting.drop(lambda _: True)
    assert not waiting
    assert waiting.seconds == 0.0
    assert waiting.last_voice is None


def test_other_parts_are_taken_whole() -> None:
    """The head is shown before it is taken."""
    waiting = Waiting()
    waiting.put(Part("text"))
    assert waiting.head is waiting.pop()
