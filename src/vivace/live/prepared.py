"""What the user sends, in the form that a live model takes: 16 kHz sound and JPEG pictures."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

from vivace.audio import AudioFormat, to_pcm16
from vivace.errors import ModelMissing, PartError
from vivace.flow.worker import in_thread
from vivace.part import Audio, Image, Part
from vivace.processors.resample import resampled

__all__ = ["prepared"]

_RATE_HZ = 16_000


async def prepared(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """`stream`, with its sound as 16-bit mono at 16 kHz, and its pictures as JPEG.

    Raises PartError for a picture that cannot be read, ModelMissing without Pillow for one that is
    no JPEG.
    """
    async for part in resampled(_whole(stream), _RATE_HZ):
        if isinstance(part.body, Image) and part.body.mimetype != "image/jpeg":
            picture = part.body
            data = await in_thread(lambda: _as_jpeg(picture), "a picture as JPEG")  # noqa: B023
            part = part.derive(body=Image(data))
        yield part


async def _whole(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """`stream` with 16-bit samples."""
    async for part in stream:
        audio = part.body
        if isinstance(audio, Audio) and (audio.format.width, audio.format.encoding) != (2, "int"):
            fmt = AudioFormat(audio.format.rate, audio.format.channels)
            part = part.derive(body=Audio(to_pcm16(audio.pcm, audio.format), fmt, audio.words))
        yield part


def _as_jpeg(picture: Image) -> bytes:
    try:
        import PIL.Image
    except ImportError as error:
        raise ModelMissing(
            f"{picture.mimetype} has to become a JPEG, which needs Pillow: pip install pillow"
        ) from error
    try:
        opened = PIL.Image.open(io.BytesIO(picture.data)).convert("RGB")
    except PIL.UnidentifiedImageError as error:
        raise PartError(
            f"{len(picture.data)} bytes of {picture.mimetype} are no picture; give a whole file"
        ) from error
    made = io.BytesIO()
    opened.save(made, "JPEG")
    return made.getvalue()
