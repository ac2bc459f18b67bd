"""Video: films, cameras and screens as streams of pictures. Needs `vivace[video]`.

This file owns how a film is read: in a thread, a little ahead of its time, and no more of its
pictures than are asked for. PyAV, and FFmpeg within it, does the reading.
"""

from __future__ import annotations

import heapq
import importlib
import os
import sys
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from vivace.audio import AudioFormat
from vivace.errors import ExtraMissing, VideoError
from vivace.flow.clock import now, sleep_until
from vivace.flow.worker import batches_from_thread
from vivace.part import Part

__all__ = ["camera", "film", "screen"]

Timed: TypeAlias = tuple[float, Part]
"""A part, and when it is there: in seconds from the start."""
Batches: TypeAlias = Generator[list[Timed], None, None]

_BATCH_S = 0.25  # of media that is read at once: pictures take some ms each, also large ones
_CHUNK_S = 0.02
_GAP_S = 0.05  # sound that is missing for longer is silence; less is how files are cut
_QUALITY = 4  # of 2 to 31, the best first: artefacts are not seen, and it takes half of the bytes
_EXACT = 1e-6  # seconds: times in files are whole numbers of some fraction

# By `sys.platform`: what FFmpeg calls cameras and screens, and which one is taken.
_CAMERAS = {
    "linux": ("v4l2", "/dev/video0"),
    "darwin": ("avfoundation", "0:none"),
    "win32": ("dshow", "video=Integrated Camera"),
}
_SCREENS = {
    "linux": ("x11grab", ""),
    "darwin": ("avfoundation", "Capture screen 0:none"),
    "win32": ("gdigrab", "desktop"),
}


def film(
    path: str | Path, fps: float = 1.0, *, width: int = 640, sound: bool = True, rate: int = 16_000
) -> AsyncGenerator[Part, None]:
    """Play a video file as if it happened now: pictures and sound, each with its `at`.

    fps: pictures a second, at most. width: pixels; what is wider is made smaller. Pictures are
        JPEG.
    sound: with its sound, if it has any: 16-bit mono of `rate` hertz, 20 ms every 20 ms.

    Whatever FFmpeg knows. Raises VideoError if there is no such file, or no picture in it.
    """
    _check(fps, width)
    read = [_pictures(path, fps, width), *([_sound(path, rate)] if sound else [])]
    return _played(_in_batches(read), f"film {path}", paced=True)


def camera(
    device: str = "", fps: float = 1.0, *, width: int = 640, format: str = ""
) -> AsyncGenerator[Part, None]:
    """What a camera sees, each picture with its `at`; never ends by itself.

    device: as FFmpeg calls it; the first one unless given. format: of FFmpeg's input devices;
        that of this system unless given. fps, width: as for `film`.

    Raises VideoError if there is no such camera.
    """
    return _live(device, format, _CAMERAS, fps, width)


def screen(
    display: str = "", fps: float = 1.0, *, width: int = 1280, format: str = ""
) -> AsyncGenerator[Part, None]:
    """What a screen shows, each picture with its `at`; never ends by itself.

    display: as FFmpeg calls it, such as `:0.0`; that of this session unless given. format, fps,
        width: as for `camera`.

    Raises VideoError if there is no such screen.
    """
    return _live(display, format, _SCREENS, fps, width)


def _live(
    device: str, format: str, known: dict[str, tuple[str, str]], fps: float, width: int
) -> AsyncGenerator[Part, None]:
    _check(fps, width)
    usual, first = known.get(sys.platform, ("", ""))
    device = device or first or os.environ.get("DISPLAY", "")
    format = format or usual
    if not (device and format):
        raise VideoError("there is neither camera nor screen that is known here; name one")
    pictures = _pictures(device, fps, width, format)
    return _played(_singly(pictures), f"device {device}", paced=False)


async def _played(batches: Batches, name: str, *, paced: bool) -> AsyncGenerator[Part, None]:
    start = None
    async with aclosing(batches_from_thread(batches, name)) as items:
        async for due, part in items:
            start = now() if start is None else start
            if paced:
                await sleep_until(start + due)
            yield part


def _in_batches(read: Sequence[Generator[Timed, None, None]]) -> Batches:
    """In the order of their times, a quarter of a second at once."""
    batch: list[Timed] = []
    until = _BATCH_S
    try:
        for due, part in heapq.merge(*read, key=lambda item: item[0]):
            if due >= until:
                yield batch
                batch, until = [], due + _BATCH_S
            batch.append((due, part))
        yield batch
    finally:
        for it in read:
            it.close()


def _singly(pictures: Generator[Timed, None, None]) -> Batches:
    """As they come: none waits for the next."""
    with closing(pictures):
        for picture in pictures:
            yield [picture]


# -- in a thread ------------------------------------------------------------------------------


def _pictures(
    source: str | Path, fps: float, width: int, format: str = ""
) -> Generator[Timed, None, None]:
    with _opened(source, format) as container:
        if not container.streams.video:
            raise VideoError(f"{source} has no pictures; use microphone() for sound alone")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        zero = _zero(container)
        encode = _Jpeg(width)
        due = None
        for frame in container.decode(stream):
            if frame.time is None:
                continue  # of a broken file: nobody knows when it was
            zero = frame.time if zero is None else zero
            at = round(frame.time - zero, 6)
            if due is None or at + _EXACT >= due:
                due = at + 1 / fps
                yield at, Part.image(encode(frame), at=at)
        if due is None:
            raise VideoError(f"{source} has no picture that can be read; convert it to MP4")


def _sound(path: str | Path, rate: int) -> Generator[Timed, None, None]:
    fmt = AudioFormat(rate)
    with _opened(path, "") as container:
        if not container.streams.audio:
            return
        waiting, heard = bytearray(), 0  # bytes: what is no whole chunk, and all until now
        resample = _library().AudioResampler(format="s16", layout="mono", rate=rate)
        zero = _zero(container) or 0.0
        for frame in chain(container.decode(container.streams.audio[0]), [None]):
            if frame is not None:
                gap = (frame.time or 0.0) - zero - fmt.seconds(heard + len(waiting))
                waiting += fmt.silence(gap) if gap > _GAP_S else b""
            # None has the resampler give out what it still holds.
            for made in resample.resample(frame):
                waiting += made.to_ndarray().tobytes()
            size = fmt.size(_CHUNK_S)
            while len(waiting) >= size:
                yield _chunk(bytes(waiting[:size]), fmt, heard)
                heard += size
                del waiting[:size]
        if waiting:
            yield _chunk(bytes(waiting), fmt, heard)


def _chunk(pcm: bytes, fmt: AudioFormat, heard: int) -> Timed:
    # It is there once its last sample has been spoken.
    at, due = fmt.seconds(heard), fmt.seconds(heard + len(pcm))
    return due, Part.audio(pcm, fmt.rate, at=round(at, 6))


class _Jpeg:
    """Makes JPEG files of frames, no wider than `width`."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._encoder: Any = None

    def __call__(self, frame: Any) -> bytes:
        # Colours at half resolution need an even number of pixels.
        width = min(frame.width, self._width) // 2 * 2 or 2
        height = round(frame.height * width / frame.width) // 2 * 2 or 2
        picture = frame.reformat(width, height, "yuvj420p")
        if self._encoder is None or (self._encoder.width, self._encoder.height) != (width, height):
            self._encoder = _library().CodecContext.create("mjpeg", "w")
            self._encoder.width, self._encoder.height = width, height
            self._encoder.pix_fmt = "yuvj420p"
            self._encoder.time_base = frame.time_base
            self._encoder.qmin = self._encoder.qmax = _QUALITY
        return b"".join(map(bytes, self._encoder.encode(picture)))


@contextmanager
def _opened(source: str | Path, format: str) -> Iterator[Any]:
    av = _library()
    try:
        with closing(av.open(str(source), format=format or None)) as container:
            yield container
    except (OSError, av.FFmpegError) as error:
        what = f"the device {source} ({format})" if format else str(source)
        why = getattr(error, "strerror", None) or error
        raise VideoError(f"{what} cannot be read: {why}; check its name and rights") from error


def _zero(container: Any) -> float | None:
    """When the file begins, on the clock of its own times."""
    start, base = container.start_time, _library().time_base
    return None if start is None else float(start / base)


def _library() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ExtraMissing(
            f"video needs {error.name}, which is not installed: pip install 'vivace[video]'"
        ) from error


def _check(fps: float, width: int) -> None:
    if not 0 < fps <= 1000:
        raise VideoError(f"fps={fps} shows nothing; use pictures a second, above 0")
    if width < 2:
        raise VideoError(f"width={width} shows nothing; use 2 pixels or more")
