"""What the user sends, in the form that a live model takes: 16 kHz sound and JPEG pictures."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import cast

from vivace.errors import ModelMissing
from vivace.flow.worker import in_thread
from vivace.live.session_input import JPEG
from vivace.part import Image, Part
from vivace.processors.resample import resampled

__all__ = ["prepared"]

_RATE_HZ = 16_000


async def prepared(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """`stream`, with its sound as 16-bit mono at 16 kHz, and its pictures as JPEG.

    What a picture is, its bytes say, not its mimetype; one that cannot be read stays as it is.
    Raises ModelMissing without Pillow for one that is no JPEG.
    """
    parts = cast("AsyncGenerator[Part, None]", resampled(stream, _RATE_HZ))
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part.body, Image) and not part.body.data.startswith(JPEG):
                convert = partial(_as_jpeg, part.body)
                part = part.derive(body=await in_thread(convert, "a picture as JPEG"))
            yield part


def _as_jpeg(picture: Image) -> Image:
    try:
        import PIL.Image
    except ImportError as error:
        raise ModelMissing(
            f"{picture.mimetype} has to become a JPEG, which needs Pillow: pip install pillow"
        ) from error
    made = io.BytesIO()
    try:
        PIL.Image.open(io.BytesIO(picture.data)).convert("RGB").save(made, "JPEG")
    # A file that is cut off, or broken within, fails in one way or another with each format.
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
        return picture
    return Image(made.getvalue())
