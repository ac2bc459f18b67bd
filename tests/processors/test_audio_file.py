import io
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from vivace.errors import AudioError, ModelMissing
from vivace.flow.clock import now
from vivace.part import Audio
from vivace.processors.audio_file import microphone, read_audio, write_wav

pytestmark = pytest.mark.virtual


def tone(rate: int, seconds: float = 0.5, channels: int = 1, hz: float = 440.0) -> Any:
    frames = np.arange(round(rate * seconds)) / rate
    return np.repeat((0.4 * np.sin(2 * np.pi * hz * frames))[:, None], channels, axis=1)


def loudest_hz(pcm: bytes, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(np.frombuffer(pcm, "<i2").astype(float)))
    return float(spectrum.argmax() * rate / (len(pcm) // 2))


def wav(path: Path, pcm: bytes = b"\1\0" * 1600, rate: int = 16_000) -> Path:
    write_wav(path, [pcm], rate)
    return path


# -- reading


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_any_rate_and_number_of_channels(
    tmp_path: Path, format: str, rate: int, channels: int
) -> None:
    """Half a second of a tone is read as half a second of that tone, at the rate asked for."""
    path = tmp_path / f"tone.{format.lower()}"
    soundfile.write(path, tone(rate, channels=channels), rate, format=format)
    pcm = read_audio(path)
    padding = 0.12 if format == "MP3" else 0.001  # MP3 has frames of its own length
    assert len(pcm) / 32_000 == pytest.approx(0.5, abs=padding)
    assert loudest_hz(pcm, 16_000) == pytest.approx(440, abs=5)
    middle = np.frombuffer(pcm, "<i2")[2_000:6_000]
    assert np.abs(middle).max() == pytest.approx(0.4 * 32768, rel=0.1 if format == "MP3" else 0.03)


@pytest.mark.parametrize(
    ("format", "subtype", "error"),
    [
        ("WAV", "PCM_16", 0),
        ("WAV", "PCM_24", 1),
        ("WAV", "PCM_32", 1),
        ("WAV", "FLOAT", 1),
        ("WAV", "DOUBLE", 1),
        ("WAV", "PCM_U8", 256),
        ("FLAC", "PCM_16", 0),
        ("FLAC", "PCM_24", 1),
    ],
)
def test_any_depth(tmp_path: Path, format: str, subtype: str, error: int) -> None:
    """At its own rate the file's samples come out as they went in, to the last bit that fits."""
    path = tmp_path / "tone"
    samples = np.frombuffer(np.arange(-32768, 32768, 5, dtype="<i2").tobytes(), "<i2")
    soundfile.write(path, samples / 32768, 16_000, format=format, subtype=subtype)
    read = np.frombuffer(read_audio(path), "<i2").astype(int)
    assert np.abs(read - samples).max() <= error


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
def test_any_rate_can_be_asked_for(tmp_path: Path, rate: int) -> None:
    """The same file, read at another rate, is as long."""
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(44_100), 44_100)
    pcm = read_audio(str(path), rate)
    assert len(pcm) / 2 == pytest.approx(rate / 2, abs=1)
    assert loudest_hz(pcm, rate) == pytest.approx(440, abs=5)


def test_channels_are_averaged(tmp_path: Path) -> None:
    """Opposite channels cancel out; a sound on one side alone is half as loud."""
    path = tmp_path / "stereo.wav"
    left = tone(16_000)[:, 0]
    soundfile.write(path, np.stack([left, -left], axis=1), 16_000)
    assert not np.abs(np.frombuffer(read_audio(path), "<i2")).max() > 1
    soundfile.write(path, np.stack([left, 0 * left], axis=1), 16_000)
    assert np.frombuffer(read_audio(path), "<i2").max() == pytest.approx(0.2 * 32768, rel=0.01)


def test_what_is_too_loud_is_clipped(tmp_path: Path) -> None:
    """Float samples beyond full scale are clipped, not wrapped round."""
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([1.5, -1.5, 1.0, -1.0, 0.0]), 16_000, subtype="FLOAT")
    assert list(np.frombuffer(read_audio(path), "<i2")) == [32767, -32768, 32767, -32768, 0]


def test_samples_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    """A float file with NaN in it is broken, and is called so."""
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0.0, np.nan, 0.5]), 16_000, subtype="FLOAT")
    with pytest.raises(AudioError):
        read_audio(path)


# -- bad input


def missing(folder: Path) -> Path:
    return folder / "missing.wav"


def directory(folder: Path) -> Path:
    return folder


def empty(folder: Path) -> Path:
    (folder / "empty.wav").touch()
    return folder / "empty.wav"


def text(folder: Path) -> Path:
    (folder / "text.wav").write_text("this is no audio at all\n" * 100)
    return folder / "text.wav"


def noise(folder: Path) -> Path:
    (folder / "noise.mp3").write_bytes(bytes(range(256)) * 64)
    return folder / "noise.mp3"


def no_samples(folder: Path) -> Path:
    return wav(folder / "nothing.wav", b"")


def cut_in_the_header(folder: Path) -> Path:
    path = wav(folder / "cut.wav")
    path.write_bytes(path.read_bytes()[:30])
    return path


def cut_in_the_data(folder: Path) -> Path:
    path = wav(folder / "cut.wav")
    path.write_bytes(path.read_bytes()[:2_000])
    return path


def cut_in_a_sample(folder: Path) -> Path:
    path = wav(folder / "cut.wav")
    path.write_bytes(path.read_bytes()[:2_001])
    return path


def cut_by_one_sample(folder: Path) -> Path:
    path = wav(folder / "cut.wav")
    path.write_bytes(path.read_bytes()[:-2])
    return path


def cut_after_the_header(folder: Path) -> Path:
    path = wav(folder / "cut.wav")
    path.write_bytes(path.read_bytes()[:44])
    return path


def cut_flac(folder: Path) -> Path:
    path = folder / "cut.flac"
    soundfile.write(path, tone(16_000, 5.0), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.wav")
    return folder / "pipe.wav"


@pytest.mark.parametrize(
    "make",
    [
        missing,
        directory,
        empty,
        text,
        noise,
        no_samples,
        cut_in_the_header,
        cut_in_the_data,
        cut_in_a_sample,
        cut_by_one_sample,
        cut_after_the_header,
        cut_flac,
    ],
    ids=lambda make: make.__name__,
)
def test_bad_input_gets_one_clear_sentence(tmp_path: Path, make: Any) -> None:
    """Whatever is wrong with a file: an AudioError in one line names it and says what to do."""
    path = make(tmp_path)
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert ";" in message


def test_the_sentence_says_what_is_wrong(tmp_path: Path) -> None:
    """Each kind of trouble is told from the others."""
    says = {
        missing: "does not exist; check the name",
        directory: "is a folder; name an audio file in it",
        empty: "is empty; record it again",
        text: "is not audio that can be read",
        no_samples: "no sound in it; record it again",
        cut_in_the_data: "is cut off",
    }
    for make, sentence in says.items():
        with pytest.raises(AudioError, match=sentence):
            read_audio(make(tmp_path))


def test_a_file_that_may_not_be_read_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to read, the message is about rights."""
    path = wav(tmp_path / "secret.wav")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(io, "open", refuse)
    with pytest.raises(AudioError, match=r"cannot be read \(Permission denied\); check its rights"):
        read_audio(path)


def test_a_name_that_no_file_can_have() -> None:
    """A name that is too long, or leads through a file, is told as the mistake that it is."""
    with pytest.raises(AudioError, match=r"cannot be read \(File name too long\); check its name"):
        read_audio("x" * 300)
    with pytest.raises(AudioError, match="does not exist; check the name"):
        read_audio(Path(__file__) / "a.wav")


def test_a_recording_of_unknown_length_is_read(tmp_path: Path) -> None:
    """A WAV written to a pipe, whose header could not know its length, is no cut-off file."""
    path = wav(tmp_path / "piped.wav")
    data = bytearray(path.read_bytes())
    data[4:8] = struct.pack("<I", 0xFFFFFFFF)
    data[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(data)
    assert len(read_audio(path)) == 3_200


def test_without_the_libraries_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where soundfile is missing, the error says how to get it."""
    path = wav(tmp_path / "a.wav")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ModelMissing, match=r"need soundfile, .* pip install 'vivace\[local\]'"):
        read_audio(path)


# -- writing


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Two channels of different length: the shorter ends in silence, nothing is changed."""
    left = np.arange(-1000, 1000, dtype="<i2")
    right = np.arange(500, dtype="<i2")
    write_wav(tmp_path / "a.wav", [left.tobytes(), right.tobytes()], 24_000)
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 24_000
    assert (samples[:, 0] == left).all()
    assert (samples[:500, 1] == right).all()
    assert not samples[500:, 1].any()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A folder, or a file in a folder that is not there, gets one sentence."""
    for path in (tmp_path, tmp_path / "not there" / "a.wav"):
        with pytest.raises(AudioError, match=r"cannot be written .*; choose another place"):
            write_wav(path, [b"\0\0"], 16_000)


# -- a microphone


@pytest.mark.virtual(seeds=20)
async def test_a_microphone_gives_20_ms_every_20_ms(tmp_path: Path) -> None:
    """Each chunk is there when its last sample has been spoken, with its exact media time."""
    pcm = np.arange(16_000, dtype="<i2").tobytes()
    seen = [(now(), part) async for part in microphone(wav(tmp_path / "a.wav", pcm))]
    assert [at for at, _ in seen] == [n / 50 for n in range(1, 51)]
    assert [part.at for _, part in seen] == [n / 50 for n in range(50)]
    assert b"".join(part.bytes for _, part in seen) == pcm


async def test_a_microphone_does_not_drift(tmp_path: Path) -> None:
    """A consumer that is late by 15 ms each time gets the last chunk in time all the same."""
    import asyncio

    path = wav(tmp_path / "a.wav", bytes(32_000 * 60))
    seen = []
    async for _ in microphone(path):
        seen.append(now())
        await asyncio.sleep(0.015)
    assert seen[-1] == 60.0


async def test_the_last_chunk_may_be_short(tmp_path: Path) -> None:
    """What does not fill a chunk comes as it is."""
    seen = [part async for part in microphone(wav(tmp_path / "a.wav", bytes(2 * 500)))]
    assert [part.seconds for part in seen] == [0.02, 180 / 16_000]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100])
async def test_media_time_is_the_sound_before_it(tmp_path: Path, rate: int) -> None:
    """At any rate, `at` is how much sound came before, and that is when it was spoken."""
    before = 0.0
    async for part in microphone(wav(tmp_path / "a.wav", bytes(2 * rate), rate), rate):
        assert isinstance(part.body, Audio)
        assert part.at == pytest.approx(before, abs=1e-6)
        before += part.seconds
        assert now() == pytest.approx(before, abs=0.02)
    assert before == pytest.approx(1.0, abs=1e-6)


async def test_a_microphone_without_a_file_says_so(tmp_path: Path) -> None:
    """A file that is not there is an error at the first chunk."""
    with pytest.raises(AudioError, match="does not exist"):
        await anext(microphone(tmp_path / "missing.wav"))
