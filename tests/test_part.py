"""Parts: made from anything, read back, changed by deriving, and carried over a wire."""

import copy
import io
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.errors import AudioError, PartError
from vivace.part import (
    Audio,
    Call,
    Data,
    Event,
    Held,
    Image,
    InputEnded,
    Interrupted,
    Part,
    Played,
    PlayedTo,
    Playing,
    Reset,
    Response,
    Resumed,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
    is_side_lane,
)

quick = settings(max_examples=80, deadline=None)

SIGNALS: list[Any] = [
    SpeechStarted(1.5),
    SpeechEnded(2.5),
    SpeechEnded(2.5, transcript_follows=True),
    TurnEnded(2.5),
    TurnComplete(3),
    TurnComplete(3, "interrupted"),
    InputEnded(),
    Interrupted(3),
    Interrupted(3, "So far"),
    Reset(),
    Reset(4),
    Held(2),
    Resumed(2),
    Playing(2),
    Played(2),
    Played(2, "failed"),
    PlayedTo(2, 1.5),
]
BODIES: list[Any] = [
    "",
    "Grüß Gott — ¿qué? 你好 🙂",
    Audio(b""),
    Audio(bytes(range(256))),
    Audio(bytes(12), AudioFormat(48_000, 2, 3), " some words "),
    Image(b"\xff\xd8\x00"),
    Image(b"\x89PNG", "image/png"),
    Data(None),
    Data({"a": [1, 2.5, None, True, "x"], "b": {}}),
    Data("text", "text/csv"),
    Data(None, "application/pdf", b"%PDF\x00\xff"),
    Call("1", "look"),
    Call("2", "order", {"what": "pizza", "n": 2}),
    Response("2", "order", {"done": True}),
    Response("2", "order", error="no oven"),
    Event("motion"),
    Event("cat", "eye", 0.5, 0.25, "over", "A cat.", "dog", "trailing", {"x": [1]}),
    *SIGNALS,
]
NAMES = [f"{type(body).__name__}-{index}" for index, body in enumerate(BODIES)]


def full(body: Any) -> Part:
    return Part(body, "model", "ui/left", 7, 1.25, {"a": 1, "b": [True, None, "x"]})


# -- over the wire ----------------------------------------------------------------------------


@pytest.mark.parametrize("body", BODIES, ids=NAMES)
def test_every_body_survives_json(body: Any) -> None:
    """A part comes back from JSON as it was, with and without its other fields."""
    for part in (Part(body), full(body)):
        assert msgspec.json.decode(msgspec.json.encode(part), type=Part) == part


@pytest.mark.parametrize("body", BODIES, ids=NAMES)
def test_every_body_survives_msgpack(body: Any) -> None:
    """A part comes back from msgpack as it was, with and without its other fields."""
    for part in (Part(body), full(body)):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=Part) == part


def test_binary_data_survives_msgpack() -> None:
    """Bytes of some type are bytes again after msgpack."""
    part = Part.of(b"%PDF\x00\xff", "application/pdf")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=Part) == part


def test_binary_data_survives_json() -> None:
    """Bytes of some type are bytes again after JSON, not the text that carried them."""
    part = Part.of(b"%PDF\x00\xff", "application/pdf")
    back = msgspec.json.decode(msgspec.json.encode(part), type=Part)
    assert back.bytes == b"%PDF\x00\xff"
    assert back == part


whole = st.integers(-(2**53), 2**53)
values = st.recursive(
    st.none()
    | st.booleans()
    | whole
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
numbers = st.floats(-1e9, 1e9)
turns = st.integers(0, 2**31)
reasons = st.sampled_from(["done", "failed", "interrupted", "timeout"])
bodies = st.one_of(
    st.text(),
    st.builds(Audio, st.binary(max_size=8).map(lambda b: b * 2), words=st.text()),
    st.builds(Image, st.binary(max_size=8), st.text()),
    st.builds(Data, values, st.text()),
    st.builds(Call, st.text(), st.text(), st.dictionaries(st.text(), values, max_size=2)),
    st.builds(Response, st.text(), st.text(), values, st.text()),
    st.builds(Event, st.text(), st.text(), numbers, data=values),
    st.builds(SpeechStarted, numbers),
    st.builds(SpeechEnded, numbers, st.booleans()),
    st.builds(TurnComplete, turns, reasons),
    st.builds(Interrupted, turns, st.text()),
    st.builds(Played, turns, reasons),
)
parts = st.builds(
    Part,
    bodies,
    role=st.sampled_from(["user", "model", "system"]),
    substream=st.sampled_from(["", "debug", "status", "ui/x"]),
    turn=turns,
    at=st.none() | numbers,
    metadata=st.dictionaries(st.text(), values, max_size=2),
)


@quick
@given(parts)
def test_any_part_survives_both_wires(part: Part) -> None:
    """Whatever it holds, a part comes back equal, from JSON and from msgpack."""
    assert msgspec.json.decode(msgspec.json.encode(part), type=Part) == part
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=Part) == part


def test_defaults_are_not_sent() -> None:
    """A plain text costs its text and little more."""
    assert msgspec.json.encode(Part("hi")) == b'{"body":"hi"}'
    assert msgspec.json.encode(Part(Held(3))) == b'{"body":{"type":"held","turn":3}}'


@pytest.mark.parametrize(
    "wire",
    [
        b'{"body":{"type":"nonsense"}}',
        b'{"body":{"type":"held"}}',
        b'{"body":{"type":"turn_complete","turn":1,"reason":"tired"}}',
        b'{"body":5}',
        b'{"body":{"type":"audio","pcm":"AA=="}}',
        b"{}",
    ],
)
def test_what_is_no_part_is_refused(wire: bytes) -> None:
    """An unknown tag, a missing field or a torn frame does not become a part."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wire, type=Part)


def test_a_part_can_be_copied() -> None:
    """A part is a value: a copy of it, also by pickle, is equal to it."""
    for part in (*map(Part, BODIES), *map(full, BODIES)):
        assert copy.copy(part) == copy.deepcopy(part) == part
        assert copy.copy(part.metadata) == copy.deepcopy(part.metadata) == part.metadata
        assert pickle.loads(pickle.dumps(part)) == part


# -- a part is a value ------------------------------------------------------------------------


def test_nobody_writes_into_a_part() -> None:
    """Neither fields nor the default metadata can be written."""
    part = Part("hello")
    with pytest.raises(AttributeError):
        part.turn = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        part.metadata["a"] = 1  # type: ignore[index]
    with pytest.raises(TypeError):
        part.metadata.update(a=1)  # type: ignore[attr-defined]
    assert part == Part("hello")


def test_derive_changes_a_copy() -> None:
    """Deriving leaves the first part alone and keeps what is not named."""
    part = full("hello")
    changed = part.derive(body="bye", turn=8)
    assert part == full("hello")
    assert changed == Part("bye", "model", "ui/left", 8, 1.25, part.metadata)
    assert part.derive() == part


def test_derive_knows_the_fields() -> None:
    """A field that does not exist is an error."""
    with pytest.raises(TypeError):
        Part("hello").derive(turns=3)


# -- making -----------------------------------------------------------------------------------


def test_audio() -> None:
    """PCM becomes a part that knows its format, its words and how long it is."""
    part = Part.audio(bytes(640), 16_000, words=" hi", role="model", turn=2, at=0.5)
    assert part == Part(Audio(bytes(640), AudioFormat(), " hi"), "model", "", 2, 0.5)
    assert part.seconds == 0.02
    assert Part.audio(bytes(8), 8_000, channels=2).body == Audio(bytes(8), AudioFormat(8_000, 2))
    assert Part.audio(bytes(8), 8_000, channels=2).seconds == 0.00025


@pytest.mark.parametrize("size", [1, 3, 641])
def test_odd_bytes_are_no_audio(size: int) -> None:
    """A torn frame is refused with what to do about it."""
    with pytest.raises(AudioError, match="keep the tail and send it with the next chunk"):
        Part.audio(bytes(size))
    with pytest.raises(AudioError, match="keep the tail"):
        Part.of(bytes(size), "audio/pcm")


def test_image_call_and_response() -> None:
    """Each kind has its maker; a call is the model's unless said otherwise."""
    assert Part.image(b"x", at=1.0) == Part(Image(b"x", "image/jpeg"), at=1.0)
    assert Part.image(b"x", "image/png") == Part(Image(b"x", "image/png"))
    assert Part.call("look", id="1") == Part(Call("1", "look"), "model")
    assert Part.call("look", {"a": 1}, id="1", role="user") == Part(Call("1", "look", {"a": 1}))
    assert Part.response("look", 5, id="1") == Part(Response("1", "look", 5))
    assert Part.response("look", id="1", error="dark") == Part(Response("1", "look", None, "dark"))


@pytest.mark.parametrize("body", BODIES, ids=NAMES)
def test_of_a_body(body: Any) -> None:
    """A body becomes a part that holds it; a part stays what it is."""
    part = Part.of(body, role="model", turn=3)
    assert part == Part(body, role="model", turn=3)
    assert Part.of(part) is part
    assert Part.of(part, turn=4) == part.derive(turn=4)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_of_bytes(kind: Any) -> None:
    """Bytes of any kind become what their mimetype says."""
    raw = kind(b"abcd")
    assert Part.of(raw, "text/plain").body == "abcd"
    assert Part.of(raw, "text/html; charset=utf-8").body == "abcd"
    assert Part.of(raw, "image/png").body == Image(b"abcd", "image/png")
    assert Part.of(raw, "audio/pcm;rate=8000").body == Audio(b"abcd", AudioFormat(8_000))
    assert Part.of(raw, "Audio/L16 ;rate=8000").body == Audio(b"abcd", AudioFormat(8_000))
    assert Part.of(raw, "application/pdf").body == Data(None, "application/pdf", b"abcd")
    assert Part.of(raw, "audio/mpeg").body == Data(None, "audio/mpeg", b"abcd")


@pytest.mark.parametrize("kind", ["audio/l24;rate=48000", "audio/l8;rate=8000"])
def test_of_every_linear_pcm(kind: str) -> None:
    """All linear PCM that AudioFormat can read becomes audio."""
    assert Part.of(b"abcdef", kind).body == Audio(b"abcdef", AudioFormat.parse(kind))


def test_of_bytes_that_are_no_text() -> None:
    """Bytes that are no UTF-8 are refused as a text, with one of our errors."""
    with pytest.raises(PartError):
        Part.of(b"\xff\xfe", "text/plain")


def test_of_bytes_needs_a_mimetype() -> None:
    """Bytes alone could be anything; the error says what to pass."""
    with pytest.raises(PartError) as caught:
        Part.of(b"abc")
    assert str(caught.value) == (
        "bytes do not say what they are; pass mimetype=, as 'audio/pcm;rate=16000'"
    )


def test_of_values() -> None:
    """Dicts and lists become data, JSON unless said otherwise."""
    assert Part.of({"a": 1}) == Part(Data({"a": 1}, "application/json"))
    assert Part.of([1, 2], "application/x-list") == Part(Data([1, 2], "application/x-list"))


@pytest.mark.parametrize("value", [5, 1.5, None, object(), (1, 2), {1}])
def test_of_anything_else(value: object) -> None:
    """What cannot be told from its type is refused, and the error says what would do."""
    with pytest.raises(PartError) as caught:
        Part.of(value)
    assert type(value).__name__ in str(caught.value)
    assert "give text, bytes with a mimetype, a dict, a list" in str(caught.value)


def test_of_arrays() -> None:
    """int16 samples become audio: one channel, or as many as the array has columns."""
    numpy = pytest.importorskip("numpy")
    mono = numpy.array([1, -2, 3], dtype=numpy.int16)
    assert Part.of(mono).body == Audio(b"\x01\x00\xfe\xff\x03\x00", AudioFormat())
    stereo = numpy.array([[1, 2], [3, 4]], dtype=numpy.int16)
    assert Part.of(stereo, "audio/pcm;rate=8000").body == Audio(
        b"\x01\x00\x02\x00\x03\x00\x04\x00", AudioFormat(8_000, 2)
    )
    # A view with a step is not contiguous in memory, and is audio all the same.
    assert Part.of(stereo[:, 1]).body == Audio(b"\x02\x00\x04\x00", AudioFormat())


def test_of_arrays_that_are_no_pcm() -> None:
    """Floats, and arrays of the wrong shape, are refused with what to give."""
    numpy = pytest.importorskip("numpy")
    for bad in (numpy.zeros(4, numpy.float32), numpy.zeros((1, 2, 3), numpy.int16)):
        with pytest.raises(PartError, match=r"give int16 of shape \[frames\]"):
            Part.of(bad)


@pytest.mark.parametrize(
    ("mode", "mimetype", "becomes", "read_mode"),
    [
        ("RGB", "", "image/jpeg", "RGB"),
        ("RGBA", "", "image/jpeg", "RGB"),
        ("RGBA", "image/png", "image/png", "RGBA"),
        ("L", "image/png", "image/png", "L"),
    ],
)
def test_of_pictures(mode: str, mimetype: str, becomes: str, read_mode: str) -> None:
    """A PIL image becomes an encoded one: JPEG without transparency, or what was asked for."""
    pillow = pytest.importorskip("PIL.Image")
    part = Part.of(pillow.new(mode, (3, 2)), mimetype)
    assert isinstance(part.body, Image)
    assert part.mimetype == becomes
    read = pillow.open(io.BytesIO(part.bytes))
    assert (read.size, read.mode, f"image/{read.format.lower()}") == ((3, 2), read_mode, becomes)


# -- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text", "raw", "mimetype"),
    [
        ("hé", "hé", "hé".encode(), "text/plain"),
        (Audio(b"ab"), "", b"ab", "audio/pcm;rate=16000"),
        (Image(b"ab"), "", b"ab", "image/jpeg"),
        (Data(None, "a/b", b"ab"), "", b"ab", "a/b"),
        (Data({"a": 1}), "", b"", "application/json"),
        (Call("1", "f"), "", b"", "application/x-vivace-call"),
        (Response("1", "f"), "", b"", "application/x-vivace-response"),
        (Event("motion"), "", b"", "application/x-vivace-event"),
        (SpeechStarted(0.0), "", b"", "application/x-vivace-speech_started"),
    ],
)
def test_reading(body: Any, text: str, raw: bytes, mimetype: str) -> None:
    """Each body reads as text, as bytes and by its mimetype; what it has not is empty."""
    part = Part(body)
    assert (part.text, part.bytes, part.mimetype) == (text, raw, mimetype)


@pytest.mark.parametrize("body", BODIES, ids=NAMES)
def test_reading_never_fails(body: Any) -> None:
    """Every property answers for every body."""
    part = Part(body)
    assert isinstance(part.text, str)
    assert isinstance(part.bytes, bytes)
    assert "/" in part.mimetype
    assert part.function_call == (body if isinstance(body, Call) else None)
    assert part.function_response == (body if isinstance(body, Response) else None)
    assert part.seconds == (body.seconds if isinstance(body, Audio) else 0.0)


def test_every_signal_is_a_signal() -> None:
    """All of them can be matched by their base, and no two share a tag."""
    assert all(isinstance(signal, Signal) for signal in SIGNALS)
    tags = {type(signal): signal.__struct_config__.tag for signal in SIGNALS}
    assert len(set(tags.values())) == len(tags) == 12


@pytest.mark.parametrize(
    ("substream", "aside"),
    [
        ("", False),
        ("debug", True),
        ("status", True),
        ("ui", True),
        ("debug/x", True),
        ("ui/a/b", True),
        ("debugging", False),
        ("status2", False),
        ("my/ui", False),
        ("/ui", False),
    ],
)
def test_side_lanes(substream: str, aside: bool) -> None:
    """Only `debug`, `status`, `ui` and what is below them lie aside."""
    assert is_side_lane(substream) is aside
