"""What is seen: another scene, and something that moves; in pictures that the test draws."""

import asyncio
import sys
from typing import Any

import cv2
import numpy as np
import pytest

from vivace.errors import ExtraMissing, StageError
from vivace.machines.confirm import ConfirmRules
from vivace.part import Data, Event, Part
from vivace.processors.detect_events import EventProcessor
from vivace.processors.detect_images import MotionDetector, SceneDetector
from vivace.processors.detector import Detector
from vivace.testing.script import play

pytestmark = pytest.mark.virtual

BLUE, GREEN, RED = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def picture(back: tuple[int, int, int], box: tuple[int, int] | None = None, noise: int = 0) -> Part:
    """320 × 240 of one colour, as JPEG; with a white square at `box`, and noise."""
    drawn = np.full((240, 320, 3), back, np.int16)
    if box is not None:
        x, y = box
        drawn[y : y + 40, x : x + 40] = 250
    drawn += np.random.default_rng(1).integers(-noise, noise + 1, drawn.shape, np.int16)
    encoded, jpeg = cv2.imencode(".jpg", drawn.clip(0, 255).astype(np.uint8))
    assert encoded
    return Part.image(jpeg.tobytes())


async def events(detector: Detector, *parts: Part) -> list[tuple[int, Event]]:
    """What is seen, by the number of the picture."""
    script = [(float(at), part.derive(at=float(at))) for at, part in enumerate(parts)]
    seen = await play(EventProcessor([detector], 0.0), script)
    assert [it for _, it in seen if not isinstance(it.body, Event)] == [it for _, it in script]
    return [(round(it.at or 0), it.body) for _, it in seen if isinstance(it.body, Event)]


# -- scenes -----------------------------------------------------------------------------------


async def test_another_scene() -> None:
    """It is seen in its first picture, with what it looks like."""
    shots = [picture(BLUE), picture(BLUE), picture(RED), picture(RED), picture(BLUE)]
    [(first, red), (second, blue)] = await events(SceneDetector(), *shots)
    assert (first, second) == (2, 4)
    assert (red.type, red.detector, red.confidence) == ("scene", "scene", 1.0)
    assert red.text == "The picture has changed: it is mostly red now."
    assert red.data["change"] > 0.9
    assert (red.data["colour"], blue.data["colour"]) == ("red", "blue")


async def test_what_moves_is_no_other_scene() -> None:
    """Nor is noise."""
    moving = [picture(BLUE, (x, 100), noise=10) for x in range(20, 260, 40)]
    assert await events(SceneDetector(), *moving) == []


async def test_how_much_must_change() -> None:
    """A little is enough if asked for; the confidence is 0.5 at the limit."""
    shots = [picture(BLUE), picture(BLUE, (100, 100))]
    [(_, event)] = await events(SceneDetector(change=0.05), *shots)
    change = event.data["change"]
    [(_, event)] = await events(SceneDetector(change=change), *shots)
    assert event.confidence == pytest.approx(0.5, abs=0.01)
    assert await events(SceneDetector(change=change + 0.01), *shots) == []


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((30, 30, 200), "red"),
        ((90, 30, 200), "red"),  # on the other side of the circle
        ((20, 110, 220), "orange"),
        ((20, 210, 220), "yellow"),
        (GREEN, "green"),
        (BLUE, "blue"),
        ((200, 30, 150), "purple"),
        ((10, 10, 10), "black"),
        ((240, 240, 240), "white"),
        ((120, 120, 120), "grey"),
    ],
)
async def test_names_of_colours(colour: tuple[int, int, int], name: str) -> None:
    """What most of the picture has, in a word."""
    start = picture(GREEN if name != "green" else RED)
    [(_, event)] = await events(SceneDetector(), start, picture(colour))
    assert event.data["colour"] == name


# -- motion -----------------------------------------------------------------------------------


async def test_something_moves() -> None:
    """It is told once while it moves on, with where it is, and again when it moves again."""
    places = [(20, 100), (20, 100), (60, 100), (100, 100), (100, 100), (260, 100)]
    told = await events(MotionDetector(), *(picture(BLUE, it) for it in places))
    assert [at for at, _ in told] == [2, 5]
    first, second = (event for _, event in told)
    assert (first.type, first.text) == ("motion", "Something moves on the left.")
    assert first.data["area"] == pytest.approx(2 * 40 * 40 / (320 * 240), rel=0.2)
    assert first.data["box"] == pytest.approx([20 / 320, 100 / 240, 80 / 320, 40 / 240], abs=0.02)
    assert second.text == "Something moves in the middle."


async def test_noise_is_no_motion() -> None:
    """A camera's grain moves all the time."""
    shots = [picture(BLUE, noise=25), picture(BLUE), picture(BLUE, noise=15)]
    assert await events(MotionDetector(), *shots) == []


async def test_how_much_must_move() -> None:
    """Less than asked for is none; another size of picture is another camera."""
    shots = [picture(BLUE, (20, 100)), picture(BLUE, (260, 100))]
    assert await events(MotionDetector(area=0.1), *shots) == []
    [(_, event)] = await events(MotionDetector(rules=ConfirmRules()), *shots)
    assert event.confidence == 1.0
    _, wide = cv2.imencode(".png", np.zeros((100, 320, 3), np.uint8))
    assert await events(MotionDetector(), shots[0], Part.image(wide.tobytes(), "image/png")) == []


async def test_side_by_side() -> None:
    """Each run, and each detector, has its own picture before; decoding holds up nothing."""
    eye = EventProcessor([MotionDetector(), SceneDetector()])

    async def look() -> list[str]:
        script = [
            (0.0, picture(BLUE, (20, 100))),
            (1.0, picture(BLUE, (260, 100))),
            (2.0, picture(RED)),
        ]
        seen = await play(eye, script)
        return sorted(it.body.type for _, it in seen if isinstance(it.body, Event))

    assert list(await asyncio.gather(look(), look())) == [["motion", "scene"]] * 2
    assert eye.events_detected == 4


@pytest.mark.parametrize("detector", [SceneDetector(), MotionDetector()])
@pytest.mark.parametrize("data", [b"", b"no picture", picture(BLUE).bytes[:20]])
async def test_what_is_no_picture_is_told(detector: Detector, data: bytes) -> None:
    """It is a failure of the detector, and harms nobody."""
    seen = await play(EventProcessor([detector]), [(0.0, Part.image(data))])
    [news] = [it.body.value for _, it in seen if isinstance(it.body, Data)]
    assert "are no picture that can be read; send JPEG or PNG" in news["error"]


@pytest.mark.parametrize("share", [0.0, 1.5, -1.0])
def test_shares(share: float) -> None:
    """Nothing and more than all are refused."""
    for make in (lambda: SceneDetector(change=share), lambda: MotionDetector(area=share)):
        with pytest.raises(StageError, match="it is a share"):
            make()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is to be installed."""
    blocked: Any = None
    monkeypatch.setitem(sys.modules, "cv2", blocked)
    with pytest.raises(ExtraMissing, match=r"pip install 'vivace\[vision\]'"):
        SceneDetector()
