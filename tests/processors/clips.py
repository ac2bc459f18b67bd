"""Films that a test makes: shapes that move, and sound."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np

FPS = 25


def clip(
    path: Path, pictures: Iterable[Any] = (), pcm: bytes = b"", *, codec: str = "mpeg4"
) -> Path:
    """Write a film: RGB arrays at 25 a second, and 16-bit mono sound at 16 kHz.

    In a Matroska file with `pcm_s16le` sound is kept to the sample.
    """
    pictures = list(pictures)
    with av.open(str(path), "w") as out:
        video: Any = out.add_stream(codec, rate=FPS) if pictures else None
        sound: Any = None
        if pictures:
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv420p"
        if pcm:
            sound = out.add_stream("pcm_s16le", rate=16_000)
            sound.layout = "mono"
        for picture in pictures:
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if pictures:
            out.mux(video.encode(None))
        for at in range(0, len(pcm), 6400):
            out.mux(sound.encode(samples(pcm[at : at + 6400], at // 2)))
        if pcm:
            out.mux(sound.encode(None))
    return path


def samples(pcm: bytes, at: int) -> Any:
    """A frame of sound that begins at sample `at`."""
    frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[None], "s16", "mono")
    frame.sample_rate = 16_000
    frame.pts = at
    return frame


def square(
    x: int, colour: tuple[int, int, int] = (30, 30, 200), size: tuple[int, int] = (240, 320)
) -> Any:
    """A white square at `x` before a colour."""
    drawn = np.full((*size, 3), colour, np.uint8)
    drawn[100:140, x : x + 40] = 250
    return drawn
