"""The arithmetic of PCM: exact numbers, and what must hold of all formats."""

import io
import math
import struct
import sys

import numpy
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.audio import (
    AudioFormat,
    Encoding,
    check_finite,
    check_whole,
    loudness,
    slice_pcm,
    to_pcm16,
)
from vivace.errors import AudioError, PartError, VivaceError

widths: list[tuple[int, Encoding]] = [
    (1, "int"), (2, "int"), (3, "int"), (4, "int"), (4, "float"), (1, "mulaw"), (1, "alaw"),
]  # fmt: skip
formats = st.builds(
    lambda rate, channels, sample: AudioFormat(rate, channels, *sample),
    st.integers(1, 384_000),
    st.integers(1, 64),
    st.sampled_from(widths),
)
small_formats = st.builds(
    AudioFormat,
    rate=st.sampled_from([1, 8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]),
    channels=st.integers(1, 3),
    width=st.integers(1, 4),
)
quick = settings(max_examples=80, deadline=None)


def test_the_usual_format() -> None:
    """Without arguments it is 16 kHz, mono, 16 bit."""
    assert AudioFormat() == AudioFormat(rate=16_000, channels=1, width=2)


@pytest.mark.parametrize(
    ("fmt", "frame_bytes", "mimetype"),
    [
        (AudioFormat(), 2, "audio/pcm;rate=16000"),
        (AudioFormat(24_000), 2, "audio/pcm;rate=24000"),
        (AudioFormat(48_000, 2), 4, "audio/pcm;rate=48000;channels=2"),
        (AudioFormat(8_000, 1, 1), 1, "audio/pcm;rate=8000;width=1"),
        (AudioFormat(44_100, 6, 3), 18, "audio/pcm;rate=44100;channels=6;width=3"),
        (AudioFormat(8_000, 1, 1, "mulaw"), 1, "audio/pcmu;rate=8000"),
        (AudioFormat(8_000, 2, 1, "alaw"), 2, "audio/pcma;rate=8000;channels=2"),
        (AudioFormat(48_000, 1, 4, "float"), 4, "audio/pcm;rate=48000;width=4;encoding=float"),
    ],
)
def test_frame_and_mimetype(fmt: AudioFormat, frame_bytes: int, mimetype: str) -> None:
    """A frame is a sample of each channel; the mimetype names only what is unusual."""
    assert fmt.frame_bytes == frame_bytes
    assert fmt.mimetype == mimetype


@quick
@given(formats)
def test_a_format_survives_its_mimetype(fmt: AudioFormat) -> None:
    """Parsing the mimetype of a format gives that format."""
    assert AudioFormat.parse(fmt.mimetype) == fmt


@pytest.mark.parametrize(
    ("mimetype", "fmt"),
    [
        ("audio/pcm", AudioFormat()),
        ("audio/pcm;rate=24000", AudioFormat(24_000)),
        (" Audio/PCM ; Rate=8000 ", AudioFormat(8_000)),
        ("audio/l16; rate=16000; channels=2", AudioFormat(16_000, 2)),
        ("audio/L24;rate=48000", AudioFormat(48_000, 1, 3)),
        ("audio/l8;rate=8000", AudioFormat(8_000, 1, 1)),
        ("audio/pcm;rate=16000;codec=none;", AudioFormat()),
        ("audio/pcm;rate=16000;encoding=float", AudioFormat(16_000, 1, 4, "float")),
        ("audio/pcm;encoding=ulaw;rate=16000", AudioFormat(16_000, 1, 1, "mulaw")),
        ("audio/PCMU", AudioFormat(8_000, 1, 1, "mulaw")),
        ("audio/pcma;rate=16000;channels=2", AudioFormat(16_000, 2, 1, "alaw")),
        ("audio/basic", AudioFormat(8_000, 1, 1, "mulaw")),
        ("audio/x-alaw", AudioFormat(8_000, 1, 1, "alaw")),
    ],
)
def test_parse(mimetype: str, fmt: AudioFormat) -> None:
    """The kin of audio/pcm are read whatever their case and spaces; unknown parameters pass."""
    assert AudioFormat.parse(mimetype) == fmt


@pytest.mark.parametrize(
    ("mimetype", "known"),
    [
        ("audio/pcm", True),
        (" Audio/L16;rate=8000", True),
        ("audio/l24", True),
        ("audio/l8", True),
        ("audio/mpeg", False),
        ("audio/PCMU;rate=8000", True),
        ("audio/pcma", True),
        ("audio/basic", True),
        ("audio/opus", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_knows(mimetype: str, known: bool) -> None:
    """It knows the mimetypes that it can parse, and no others."""
    assert AudioFormat.knows(mimetype) is known


@pytest.mark.parametrize(
    ("mimetype", "says"),
    [
        ("audio/mpeg", "'audio/mpeg' is not linear PCM; expected 'audio/pcm;rate=…'"),
        ("", "'' is not linear PCM; expected 'audio/pcm;rate=…'"),
        ("audio/pcm;rate=fast", "'audio/pcm;rate=fast': rate is 'fast', not a whole number"),
        ("audio/pcm;rate=", "'audio/pcm;rate=': rate is '', not a whole number"),
        ("audio/pcm;rate=-1", "'audio/pcm;rate=-1': rate is '-1', not a whole number"),
        ("audio/pcm;channels=1.5", "channels is '1.5', not a whole number"),
        ("audio/pcm;rate=0", "a rate of 0 Hz is not audio; use 1 to 384000"),
        ("audio/pcm;encoding=adpcm", "an encoding of 'adpcm' is unknown; use one of: int, float"),
        ("audio/pcmu;width=2", "a sample of 2 bytes encoded as mulaw; use width=1"),
    ],
)
def test_parse_says_what_is_wrong(mimetype: str, says: str) -> None:
    """What cannot be read is told with what was expected."""
    with pytest.raises(AudioError) as caught:
        AudioFormat.parse(mimetype)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ((0, 1, 2), "a rate of 0 Hz is not audio; use 1 to 384000"),
        ((16_000.5, 1, 2), "a rate of 16000.5 Hz is no whole number; use int or round"),
        ((float("nan"), 1, 2), "a rate of nan Hz is not audio; use 1 to 384000"),
        ((384_001, 1, 2), "a rate of 384001 Hz is not audio; use 1 to 384000"),
        ((16_000, 0, 2), "0 channels; use 1 to 64"),
        ((16_000, 65, 2), "65 channels; use 1 to 64"),
        ((16_000, 1, 0), "a sample of 0 bytes; use 1 to 4 (2 is usual)"),
        ((16_000, 1, 5), "a sample of 5 bytes; use 1 to 4 (2 is usual)"),
    ],
)
def test_a_number_out_of_range(numbers: tuple[int, int, int], says: str) -> None:
    """A format that cannot be is refused, and the message says what can."""
    with pytest.raises(AudioError) as caught:
        AudioFormat(*numbers)
    assert str(caught.value) == says


def test_the_ends_of_the_ranges() -> None:
    """The least and the greatest numbers are allowed."""
    assert AudioFormat(1, 1, 1).frame_bytes == 1
    assert AudioFormat(384_000, 64, 4).frame_bytes == 256


def test_audio_error_is_a_part_error() -> None:
    """Whoever catches PartError, ValueError or VivaceError catches it too."""
    assert issubclass(AudioError, PartError)
    assert issubclass(AudioError, ValueError)
    assert issubclass(AudioError, VivaceError)


def test_seconds_frames_and_bytes() -> None:
    """Seconds, frames and bytes turn into one another."""
    stereo = AudioFormat(48_000, 2)
    assert stereo.seconds(192_000) == 1.0
    assert stereo.frames(0.02) == 960
    assert stereo.size(0.02) == 3_840
    assert AudioFormat().silence(0.5) == bytes(16_000)
    assert AudioFormat(44_100).frames(0.00001) == 0
    assert AudioFormat(44_100).size(1 / 3) == 29_400


@quick
@given(small_formats, st.integers(0, 1_000_000))
def test_frames_survive_seconds(fmt: AudioFormat, frames: int) -> None:
    """Any number of frames, as seconds, is that number of frames again."""
    seconds = fmt.seconds(frames * fmt.frame_bytes)
    assert fmt.frames(seconds) == frames
    assert fmt.size(seconds) == frames * fmt.frame_bytes


@quick
@given(small_formats, st.floats(0, 0.05))
def test_silence_is_whole_frames_of_zeros(fmt: AudioFormat, seconds: float) -> None:
    """Silence ends on a frame border and is zero in every width of integers."""
    pcm = fmt.silence(seconds)
    check_whole(pcm, fmt)
    assert pcm == bytes(len(pcm))
    assert len(pcm) == fmt.size(seconds)


def test_slices_have_exact_sizes() -> None:
    """Chunks of 20 ms have 640 bytes at 16 kHz; the last one is what is left."""
    pcm = bytes(range(250)) * 6
    chunks = list(slice_pcm(pcm, AudioFormat(), 0.02))
    assert [len(chunk) for chunk in chunks] == [640, 640, 220]
    assert b"".join(chunks) == pcm


def test_a_chunk_is_rounded_down_but_never_to_nothing() -> None:
    """1.9 frames are one frame, and so is a millionth of one."""
    fmt = AudioFormat(10)
    assert [len(c) for c in slice_pcm(bytes(6), fmt, 0.19)] == [2, 2, 2]
    assert [len(c) for c in slice_pcm(bytes(6), fmt, 0.0000001)] == [2, 2, 2]


def test_a_chunk_on_the_border_is_not_rounded_away() -> None:
    """0.29 s at 100 Hz is 29 frames, though 0.29 * 100 is a little less in binary."""
    assert int(0.29 * 100) == 28
    assert [len(c) for c in slice_pcm(bytes(116), AudioFormat(100), 0.29)] == [58, 58]


def test_nothing_gives_no_chunks() -> None:
    """No audio has no chunks."""
    assert list(slice_pcm(b"", AudioFormat(), 0.02)) == []


@quick
@given(small_formats, st.integers(0, 300), st.floats(1e-6, 1e6))
def test_slices_join_back(fmt: AudioFormat, frames: int, chunk_s: float) -> None:
    """Joined, the chunks are the input; all but the last are equal, none is empty or torn."""
    pcm = bytes(i % 251 for i in range(frames * fmt.frame_bytes))
    chunks = list(slice_pcm(pcm, fmt, chunk_s))
    assert b"".join(chunks) == pcm
    assert all(chunk and len(chunk) % fmt.frame_bytes == 0 for chunk in chunks)
    assert len({len(chunk) for chunk in chunks[:-1]}) <= 1
    assert all(len(chunks[-1]) <= len(chunk) for chunk in chunks)


@pytest.mark.parametrize("chunk_s", [0.0, -0.02, float("nan"), float("-inf")])
def test_a_chunk_of_no_length(chunk_s: float) -> None:
    """A chunk must last; the error comes at the call, not at the first chunk."""
    with pytest.raises(AudioError, match="use more than 0"):
        slice_pcm(bytes(4), AudioFormat(), chunk_s)


def test_a_chunk_of_any_length() -> None:
    """A chunk of endless length holds all there is: it is above 0, as asked."""
    assert list(slice_pcm(bytes(4), AudioFormat(), float("inf"))) == [bytes(4)]


def test_odd_bytes_are_refused_at_the_call() -> None:
    """PCM that ends inside a frame is refused before the first chunk, saying what to do."""
    with pytest.raises(AudioError) as caught:
        slice_pcm(bytes(5), AudioFormat(16_000, 2), 0.02)
    assert str(caught.value) == (
        "5 bytes is not a whole number of 4-byte frames; "
        "keep the tail and send it with the next chunk"
    )


@quick
@given(small_formats, st.integers(0, 40))
def test_whole_frames_only(fmt: AudioFormat, size: int) -> None:
    """A size is refused if and only if a frame does not divide it."""
    if size % fmt.frame_bytes:
        with pytest.raises(AudioError, match="not a whole number"):
            check_whole(bytes(size), fmt)
    else:
        check_whole(bytes(size), fmt)


# -- what samples say -------------------------------------------------------------------------


def test_a_default_rate() -> None:
    """Raw PCM that does not say its rate has the one that is asked for; G.711 has its own."""
    assert AudioFormat.parse("audio/pcm", 24_000) == AudioFormat(24_000)
    assert AudioFormat.parse("audio/pcm;rate=8000", 24_000) == AudioFormat(8_000)
    assert AudioFormat.parse("audio/pcmu", 24_000).rate == 8_000


@pytest.mark.parametrize(
    ("width", "encoding", "says"),
    [
        (2, "float", "a sample of 2 bytes encoded as float; use width=4"),
        (2, "alaw", "a sample of 2 bytes encoded as alaw; use width=1"),
        (2, "gsm", "an encoding of 'gsm' is unknown; use one of: int, float, mulaw, alaw"),
    ],
)
def test_an_encoding_has_its_width(width: int, encoding: Encoding, says: str) -> None:
    """A width that cannot be is refused, saying which can."""
    with pytest.raises(AudioError) as caught:
        AudioFormat(8_000, 1, width, encoding)
    assert str(caught.value) == says


@pytest.mark.parametrize(("encoding", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_g711_is_what_libsndfile_makes_of_it(encoding: Encoding, subtype: str) -> None:
    """All 256 bytes, as another implementation of the standard reads them."""
    raw = bytes(range(256))
    theirs, _ = soundfile.read(
        io.BytesIO(raw), samplerate=8000, channels=1, format="RAW", subtype=subtype, dtype="int16"
    )
    assert to_pcm16(raw, AudioFormat(8_000, 1, 1, encoding)) == theirs.astype("<i2").tobytes()


@pytest.mark.parametrize("sample", widths)
def test_silence_is_silent_in_every_encoding(sample: tuple[int, Encoding]) -> None:
    """What `silence` gives is the least that can be said: 0, or 8 of 32768 in A-law."""
    fmt = AudioFormat(8_000, 2, *sample)
    found = numpy.frombuffer(to_pcm16(fmt.silence(0.01), fmt), "<i2")
    assert len(found) == 160
    assert abs(found).max() == (8 if fmt.encoding == "alaw" else 0)


def test_integers_of_any_width_become_16_bit() -> None:
    """The upper bits stay."""
    assert to_pcm16(b"\x7f\x80", AudioFormat(8_000, 1, 1)) == struct.pack("<2h", 32_512, -32_768)
    assert to_pcm16(b"\x01\x02", AudioFormat()) == b"\x01\x02"
    assert to_pcm16(b"\x01\x02\x03" * 2, AudioFormat(8_000, 2, 3)) == b"\x02\x03" * 2
    assert to_pcm16(b"\x01\x02\x03\x04", AudioFormat(8_000, 1, 4)) == b"\x03\x04"


def test_floats_are_clipped() -> None:
    """1.0 is the greatest there is, and what is beyond it, too."""
    values = [0.0, 0.5, 1.0, 7.0, -1.0, -7.0]
    fmt = AudioFormat(8_000, 1, 4, "float")
    found = struct.unpack("<6h", to_pcm16(struct.pack("<6f", *values), fmt))
    assert found == (0, 16_384, 32_767, 32_767, -32_768, -32_768)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_floats_that_are_no_numbers(value: float) -> None:
    """The error says which, in which frame."""
    fmt = AudioFormat(1_000, 2, 4, "float")
    pcm = struct.pack("<6f", 0.0, 1.0, 0.0, value, 0.0, -value)
    for ask in (check_finite, to_pcm16, loudness):
        with pytest.raises(AudioError, match=f"sample 1 of 0.003 s is {value}"):
            ask(pcm, fmt)
    check_finite(struct.pack("<2f", 0.0, 1.0), fmt)
    check_finite(b"\xff" * 8, AudioFormat(1_000, 2))


@pytest.mark.parametrize("sample", widths)
def test_loudness_of_a_full_square_wave(sample: tuple[int, Encoding]) -> None:
    """It is 0 dB in every encoding, but for what G.711 leaves out; silence is -inf or nearly."""
    loud = {
        "int": b"\x00" * (sample[0] - 1) + b"\x81" + b"\xff" * (sample[0] - 1) + b"\x7f",
        "float": struct.pack("<2f", 1.0, -1.0),
        "mulaw": b"\x80\x00",
        "alaw": b"\xaa\x2a",
    }[sample[1]]
    fmt = AudioFormat(8_000, 1, *sample)
    assert -0.2 < loudness(loud * 100, fmt) <= 0.0
    assert loudness(fmt.silence(0.1), fmt) < -70
    assert loudness(b"", fmt) == -math.inf


def test_big_endian_machines_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are little-endian everywhere."""
    monkeypatch.setattr(sys, "byteorder", "big" if sys.byteorder == "little" else "little")
    fmt = AudioFormat(8_000, 1, 4, "float")
    swapped = struct.pack(">2f", 0.5, -0.5)
    assert to_pcm16(swapped, fmt) == struct.pack(">2h", 16_384, -16_384)


@quick
@given(formats, st.integers(0, 40))
def test_16_bit_keeps_the_frames(fmt: AudioFormat, frames: int) -> None:
    """Whatever the format, there are as many samples as before."""
    pcm = fmt.silence(frames / fmt.rate)
    assert len(to_pcm16(pcm, fmt)) == 2 * len(pcm) // fmt.width
