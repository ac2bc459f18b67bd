"""Sound in whatever wrapping, as raw audio; or refused by its name."""

import builtins
import io
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy
import pytest
import soundfile

from vivace.audio import AudioFormat
from vivace.errors import AudioError, ModelMissing
from vivace.part import Audio, Data, Image, Part
from vivace.processors.raw_audio import decode_audio, raw_audio

pytestmark = pytest.mark.virtual

SOUND = (numpy.sin(numpy.arange(2400) / 20) * 9000).astype("<i2")


def wav(channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(24_000)
        out.writeframes(SOUND.tobytes())
    return file.getvalue()


def encoded(kind: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SOUND, 24_000, format=kind, subtype=subtype)
    return file.getvalue()


async def through(*parts: Part) -> list[Part]:
    async def stream() -> AsyncIterator[Part]:
        for part in parts:
            yield part

    async with aclosing(stream()) as source, aclosing(raw_audio(source, 24_000)) as out:  # type: ignore[type-var]
        return [part async for part in out]


def data(raw: bytes, mimetype: str, **fields: Any) -> Part:
    return Part(Data(None, mimetype, raw), role="model", **fields)


async def test_all_else_passes_as_it_is() -> None:
    """Raw audio, text, images, JSON, and whatever the user sends."""
    parts = [
        Part.audio(b"1234", role="model"),
        Part("text", role="model"),
        Part(Image(b"x"), role="model"),
        Part(Data({"a": 1}), role="model"),
        Part(Data(None, "audio/opus", b"x"), role="user"),
        Part.audio(wav(), role="user"),
    ]
    assert await through(*parts) == parts


@pytest.mark.parametrize("channels", [1, 2])
async def test_a_wav_file_is_decoded(channels: int) -> None:
    """Its samples come out as they are in it, and the part's fields stay."""
    [part] = await through(data(wav(channels), "Audio/WAV; charset=x", turn=3, at=1.5))
    assert part.body == Audio(SOUND.tobytes(), AudioFormat(24_000, channels))
    assert (part.turn, part.at, part.role) == (3, 1.5, "model")


@pytest.mark.parametrize(
    ("kind", "subtype", "mimetype"),
    [
        ("FLAC", "PCM_16", "audio/flac"),
        ("OGG", "VORBIS", "audio/ogg"),
        ("OGG", "OPUS", "audio/opus"),
        ("MP3", "MPEG_LAYER_III", "audio/mpeg"),
        ("WAV", "ULAW", "audio/x-wav"),
    ],
)
async def test_other_files_are_decoded(kind: str, subtype: str, mimetype: str) -> None:
    """What libsndfile reads comes out as 16 bit, at its own rate, and as long as it is."""
    [part] = await through(data(encoded(kind, subtype), mimetype))
    assert isinstance(part.body, Audio)
    assert part.body.format == AudioFormat(24_000)
    assert part.seconds == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize(
    ("mimetype", "fmt"),
    [
        ("audio/pcm", AudioFormat(24_000)),
        ("audio/pcm;rate=8000", AudioFormat(8_000)),
        ("audio/pcmu", AudioFormat(8_000, 1, 1, "mulaw")),
    ],
)
async def test_raw_data_gets_the_rate_that_it_lacks(mimetype: str, fmt: AudioFormat) -> None:
    """What says its own keeps it."""
    [part] = await through(data(b"1234", mimetype))
    assert part.body == Audio(b"1234", fmt)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (data(b"123", "audio/pcm;rate=24000"), "3 bytes is not a whole number of 2-byte frames"),
        (data(b"123", "audio/amr"), "audio/amr cannot be played; give raw audio"),
        (data(b"\x78\x01", "audio/opus"), "2 bytes of audio/opus cannot be decoded"),
        (data(b"no header", "audio/wav"), "9 bytes of audio/wav cannot be decoded (Format not"),
        (Part.audio(wav(), role="model"), "a WAV file was given as raw audio/pcm;rate=16000"),
        (Part.audio(b"OggS\0\2" + bytes(8), role="model"), "an Ogg file was given as raw"),
        (Part.audio(b"fLaC\0\0\0\x22", role="model"), "a FLAC file was given as raw"),
    ],
)
async def test_what_cannot_be_played_is_named(part: Part, says: str) -> None:
    """It is never cut as if it were samples."""
    with pytest.raises(AudioError) as caught:
        await through(part)
    assert says in str(caught.value)


async def test_sound_that_only_begins_like_a_file_is_sound() -> None:
    """Four bytes may be anything."""
    part = Part.audio(b"RIFF" + struct.pack("<4h", 1, 2, 3, 4), role="model")
    assert await through(part) == [part]


def test_without_soundfile_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And for which kind of sound it is needed."""
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "soundfile":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelMissing, match="audio/wav has to be decoded, which needs soundfile"):
        decode_audio(wav(), "audio/wav")
