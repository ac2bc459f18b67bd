"""The arithmetic of PCM: exact numbers, and what must hold of all formats."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.audio import AudioFormat, check_whole, slice_pcm
from vivace.errors import AudioError, PartError, VivaceError

formats = st.builds(
    AudioFormat,
    rate=st.integers(1, 384_000),
    channels=st.integers(1, 64),
    width=st.integers(1, 4),
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
        ("audio/pcmu", False),
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
    """Silence ends on a frame border and is zero in every width."""
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
