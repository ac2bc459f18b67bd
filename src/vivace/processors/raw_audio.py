"""Sound in whatever wrapping, as raw audio. Files are decoded by libsndfile."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

from vivace.audio import AudioFormat
from vivace.errors import AudioError, ModelMissing
from vivace.part import Audio, Data, Part

__all__ = ["decode_audio", "raw_audio"]

# How files begin, at such a length that no sound ever begins like this by chance.
_WAV = b"RIFF", b"WAVE"  # with the size of the file in between
_MAGIC = {b"OggS\0\2": "an Ogg file", b"fLaC\0\0\0\x22": "a FLAC file"}
_BEGINNINGS = {_WAV[0], *(magic[:4] for magic in _MAGIC)}
_FILES = {
    "audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/flac", "audio/x-flac",
    "audio/ogg", "audio/opus", "audio/vorbis", "audio/mpeg", "audio/mp3", "audio/aiff",
}  # fmt: skip


async def raw_audio(stream: AsyncIterator[Part], rate: int) -> AsyncIterator[Part]:
    """`stream` with the agent's sound as `Audio`; the user's, and all else, passes as it is.

    rate: of raw audio in `Data` that does not say its own, in hertz.
    Raises AudioError for sound of a kind that cannot be decoded, naming it.
    """
    async for part in stream:
        body = part.body
        if part.role == "user":
            yield part
        elif isinstance(body, Audio):
            if body.pcm[:4] in _BEGINNINGS and (name := _file_in(body.pcm)):
                raise AudioError(
                    f"{name} was given as raw {body.format.mimetype}; "
                    "give it as Part.of(data, 'audio/wav') or what it is"
                )
            yield part
        elif isinstance(body, Data) and body.mimetype.lower().startswith("audio/"):
            yield part.derive(body=await _decoded(body, rate))
        else:
            yield part


async def _decoded(body: Data, rate: int) -> Audio:
    if AudioFormat.knows(body.mimetype):
        return Audio(body.data, AudioFormat.parse(body.mimetype, rate))
    kind = body.mimetype.partition(";")[0].strip().lower()
    if kind not in _FILES:
        raise AudioError(
            f"{body.mimetype} cannot be played; give raw audio, as 'audio/pcm;rate=24000', "
            "or a WAV, FLAC, OGG or MP3 file"
        )
    # Ten minutes take a second: the conversation goes on meanwhile.
    return await asyncio.to_thread(decode_audio, body.data, body.mimetype)


def decode_audio(data: bytes, mimetype: str) -> Audio:
    """A sound file of any kind that libsndfile knows, as 16-bit audio of its own rate and channels.

    Raises AudioError if it cannot be read, saying what it was told to be.
    """
    try:
        import soundfile
    except ImportError as error:
        raise ModelMissing(
            f"{mimetype} has to be decoded, which needs soundfile: pip install 'vivace[local]'"
        ) from error
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        # Its whole text names the object in memory that stands for the file.
        why = getattr(error, "error_string", error)
        raise AudioError(
            f"{len(data)} bytes of {mimetype} cannot be decoded ({why}); "
            "give the whole file in one part, or raw audio as 'audio/pcm;rate=24000'"
        ) from error
    return Audio(samples.astype("<i2").tobytes(), AudioFormat(rate, samples.shape[1]))


def _file_in(pcm: bytes) -> str:
    """What file these samples are, if they are one."""
    if (pcm[:4], pcm[8:12]) == _WAV:
        return "a WAV file"
    return next((name for magic, name in _MAGIC.items() if pcm.startswith(magic)), "")
