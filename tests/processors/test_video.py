"""Films, cameras and screens: what comes when, in films that the test makes."""

import os
import sys
from array import array
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.processors.clips import clip, samples, square
from vivace.errors import ExtraMissing, VideoError
from vivace.flow.clock import now
from vivace.part import Event, Part
from vivace.processors.detect_events import EventProcessor
from vivace.processors.detect_images import MotionDetector, SceneDetector
from vivace.processors.video import camera, film, screen

pytestmark = pytest.mark.virtual

TONE = array("h", range(16_000)).tobytes()  # a second in which each sample is another one


async def seen(parts: AsyncIterator[Part]) -> list[tuple[float, Part]]:
    """Each part and the time at which it came, from the first one on."""
    start, came = None, []
    async for part in parts:
        start = now() if start is None else start
        came.append((round(now() - start, 6), part))
    return came


def open_files() -> list[str]:
    """Where the system tells; none elsewhere."""
    fds = Path("/proc/self/fd")
    return [os.readlink(it) for it in fds.iterdir() if it.is_symlink()] if fds.exists() else []


def decoded(part: Part) -> Any:
    return cv2.imdecode(np.frombuffer(part.bytes, np.uint8), cv2.IMREAD_COLOR)


async def test_a_film_as_if_it_happened_now(tmp_path: Path) -> None:
    """Pictures come at their time; sound once its last sample was spoken, to the sample."""
    path = clip(tmp_path / "a.mkv", [square(i * 5) for i in range(25)], TONE)
    came = await seen(film(path, fps=5))
    pictures = [(at, it) for at, it in came if it.mimetype == "image/jpeg"]
    assert [at for at, _ in pictures] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert all(part.at == at for at, part in pictures)
    sound = [(at, it) for at, it in came if it.mimetype == "audio/pcm;rate=16000"]
    assert b"".join(part.bytes for _, part in sound) == TONE
    assert [at for at, _ in sound] == [round((i + 1) * 0.02, 6) for i in range(50)]
    assert [part.at for _, part in sound] == [round(i * 0.02, 6) for i in range(50)]
    assert [at for at, _ in came] == sorted(at for at, _ in came)


async def test_pictures_are_what_is_in_the_film(tmp_path: Path) -> None:
    """Each shows its own moment."""
    path = clip(tmp_path / "a.mkv", [square(i * 5) for i in range(50)])
    for at, part in await seen(film(path, fps=2)):
        x = round(at * 25) * 5
        blue, _, red = decoded(part)[120, x + 20]
        assert min(blue, red) > 200
        assert decoded(part)[20, 20][2] < 80


@pytest.mark.parametrize(
    ("fps", "times"),
    [
        (1.0, [0.0]),
        (2.0, [0.0, 0.52]),
        (7.0, [0.0, 0.16, 0.32, 0.48, 0.64, 0.8, 0.96]),
        (25.0, [round(i * 0.04, 6) for i in range(25)]),
        (100.0, [round(i * 0.04, 6) for i in range(25)]),
    ],
)
async def test_at_most_so_many_a_second(tmp_path: Path, fps: float, times: list[float]) -> None:
    """No two pictures are closer than asked for."""
    path = clip(tmp_path / "a.mkv", [square(0)] * 25)
    assert [part.at for _, part in await seen(film(path, fps=fps))] == times


@pytest.mark.parametrize(
    ("width", "size"), [(640, (240, 320)), (160, (120, 160)), (101, (74, 100)), (2, (2, 2))]
)
async def test_wide_pictures_are_made_smaller(
    tmp_path: Path, width: int, size: tuple[int, int]
) -> None:
    """And no picture larger."""
    path = clip(tmp_path / "a.mkv", [square(0)] * 2)
    [(_, part)] = await seen(film(path, width=width))
    assert decoded(part).shape[:2] == size


async def test_sound_as_asked_for(tmp_path: Path) -> None:
    """Not at all, of another rate, or none since there is none; the last chunk may be shorter."""
    path = clip(tmp_path / "a.mkv", [square(0)] * 25, TONE[:16_100])
    assert {it.mimetype for _, it in await seen(film(path, sound=False))} == {"image/jpeg"}
    sound = [it for _, it in await seen(film(path, rate=8000)) if it.seconds]
    assert {it.mimetype for it in sound} == {"audio/pcm;rate=8000"}
    assert sum(it.seconds for it in sound) == pytest.approx(8050 / 16_000, abs=1 / 8000)
    assert sound[-1].seconds < 0.02
    silent = clip(tmp_path / "b.mkv", [square(0)])
    assert [it.mimetype for _, it in await seen(film(silent))] == ["image/jpeg"]


async def test_sound_that_is_missing_is_silence(tmp_path: Path) -> None:
    """So that what comes after it has its time."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        video: Any = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        sound: Any = out.add_stream("pcm_s16le", rate=16_000)
        sound.layout = "mono"
        out.mux(video.encode(av.VideoFrame.from_ndarray(square(0), format="rgb24")))
        out.mux(video.encode(None))
        out.mux(sound.encode(samples(b"\1\1" * 1600, 0)))
        out.mux(sound.encode(samples(b"\2\2" * 1600, 8000)))
        out.mux(sound.encode(None))
    pcm = b"".join(it.bytes for _, it in await seen(film(path)) if it.seconds)
    assert pcm == b"\1\1" * 1600 + bytes(2 * 6400) + b"\2\2" * 1600


async def test_a_film_is_watched(tmp_path: Path) -> None:
    """Detectors see what happens in it, at its media time, while its sound goes on."""
    moves = [square(20)] * 25 + [square(20 + i * 10) for i in range(25)]
    path = clip(tmp_path / "a.mkv", [*moves, *[square(20, (200, 30, 30))] * 25], TONE * 3)
    eye = EventProcessor([MotionDetector(), SceneDetector()])
    told = []
    async with eye.run(film(path, fps=5)) as parts:
        async for part in parts:
            if isinstance(part.body, Event):
                told.append((part.at, part.body.type))
    assert sorted(told) == [(1.2, "motion"), (2.0, "scene")]
    assert eye.totals.skipped_busy == 0


async def test_leaving_a_film_closes_it(tmp_path: Path) -> None:
    """Nothing of it stays open."""
    path = clip(tmp_path / "a.mkv", [square(0)] * 250, TONE * 10)
    async with aclosing(film(path)) as parts:
        await anext(parts)
    assert str(path) not in open_files()


# -- cameras and screens ----------------------------------------------------------------------


async def test_a_camera() -> None:
    """A device of FFmpeg's, at most as fast as asked for, until nobody looks any more."""
    times = []
    source = camera("testsrc=rate=30:size=320x240", fps=10, width=160, format="lavfi")
    async with aclosing(source) as parts:
        async for part in parts:
            assert decoded(part).shape == (120, 160, 3)
            times.append(part.at)
            if len(times) == 4:
                break
    assert times == [0.0, 0.1, 0.2, 0.3]


async def test_there_is_no_camera_and_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which one was looked for."""
    for parts, why in [
        (camera("/dev/video99"), r"the device /dev/video99 \(v4l2\) cannot be read"),
        (screen(":99"), r"the device :99 \(x11grab\) cannot be read"),
    ]:
        with pytest.raises(VideoError, match=why):
            await seen(parts)
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(VideoError, match="neither camera nor screen that is known here"):
        screen()
    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(VideoError, match="name one"):
        camera()


# -- what makes no sense ----------------------------------------------------------------------


async def test_what_is_no_film(tmp_path: Path) -> None:
    """It says what is wrong with it."""
    text = tmp_path / "a.mp4"
    text.write_text("no film")
    sound = clip(tmp_path / "b.mkv", pcm=TONE)
    for path, why in [
        (tmp_path / "none.mp4", "none.mp4 cannot be read: No such file or directory"),
        (text, "a.mp4 cannot be read: Invalid data"),
        (sound, r"b.mkv has no pictures; use microphone\(\) for sound alone"),
    ]:
        with pytest.raises(VideoError, match=why):
            await seen(film(path))


@pytest.mark.parametrize("given", [{"fps": 0.0}, {"fps": -1.0}, {"fps": 1e9}, {"width": 1}])
def test_numbers_that_show_nothing(given: Any) -> None:
    """They are refused."""
    with pytest.raises(VideoError, match="shows nothing"):
        film("a.mp4", **given)
    with pytest.raises(VideoError, match="shows nothing"):
        camera("a", format="lavfi", **given)


async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is to be installed."""
    blocked: Any = None
    monkeypatch.setitem(sys.modules, "av", blocked)
    with pytest.raises(ExtraMissing, match=r"pip install 'vivace\[video\]'"):
        await seen(film("a.mp4"))
