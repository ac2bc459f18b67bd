"""What the user sends, in the form that a live model takes: 16 kHz sound and JPEG pictures."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import cast

from vivace.errors import ModelMissing, PartError
from vivace.flow.worker import in_thread
from vivace.part import Image, Part
from vivace.processors.resample import resampled

__all__ = ["prepared"]

_RATE_HZ = 16_000


async def prepared(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """`stream`, with its sound as 16-bit mono at 16 kHz, and its pictures as JPEG.

    Raises PartError for a picture that cannot be read, ModelMissing without Pillow for one that is
    no JPEG.
    """
    parts = cast("AsyncGenerator[Part, None]", resampled(stream, _RATE_HZ))
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part.body, Image) and part.body.mimetype != "image/jpeg":
                convert = partial(_as_jpeg, part.body)
                part = part.derive(body=Image(await in_thread(convert, "a picture as JPEG")))
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
    # A file that is cut off, or broken within, fails in one way or another with each format.
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise PartError(
            f"{len(picture.data)} bytes of {picture.mimetype} are no picture; give a whole file "
            f"({error})"
        ) from error
    made = io.BytesIO()
    opened.save(made, "JPEG")
    return made.getvalue()
