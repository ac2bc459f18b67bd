"""Detectors of what is seen: another scene, and something that moves. Needs `vivace[vision]`.

This file owns how two pictures are compared: small, since a camera's noise is finer than anything
that is worth an event, and a picture takes a few milliseconds so.
"""

from __future__ import annotations

import importlib
from typing import Any, Unpack

from vivace.errors import ExtraMissing, PartError, StageError
from vivace.machines.confirm import ConfirmRules
from vivace.machines.sighting import Sighting
from vivace.part import Part
from vivace.processors.detector import Detector, DetectorOptions, Look

__all__ = ["MotionDetector", "SceneDetector"]

_WIDTH = 160  # pixels
_BINS = [16, 4, 4]  # of hue, saturation and value: coarse, so that light may flicker
_BLUR = 5  # pixels: what is finer is noise
_CHANGED = 25  # of 255: a pixel that has changed more than by noise (OpenCV's own examples)
_GREY = 40  # of 255: saturation below which a colour has no name
_DARK, _BRIGHT = 50, 200  # of 255
# By hue, in OpenCV's half degrees: up to where each name reaches.
_HUES = ((10, "red"), (22, "orange"), (35, "yellow"), (85, "green"), (130, "blue"), (160, "purple"))


class SceneDetector(Detector):
    """Sees when a picture shows another scene than the one before: `scene`.

    change: from 0 to 1, how far the colours of two pictures must be apart (the Bhattacharyya
        distance of their histograms), wherever in the picture they are: what moves is no change.

    The confidence is 0.5 at `change` and 1 at twice as much; unless other rules are given, from 0.5
    on it is believed. The event's `data` has the `change` and the main `colour`, its text both.
    """

    def __init__(self, *, change: float = 0.4, **options: Unpack[DetectorOptions]) -> None:
        options.setdefault("name", "scene")
        options.setdefault("on", "image")
        options.setdefault("rules", ConfirmRules(on=0.5))
        super().__init__(**options)
        self._change = _share("change", change)
        _libraries()

    def session(self) -> Look:
        return _Scene(self._change).look


class MotionDetector(Detector):
    """Sees when something moves between a picture and the one before: `motion`.

    area: from 0 to 1, how much of the picture must have changed.

    The confidence is 0.5 at `area` and 1 at twice as much. Unless other rules are given, it is
    believed from 0.5 on, and told once until it has been below 0.25. The event's `data` has the
    `area` and the `box` around it: left, top, width, height, as shares of the picture.
    """

    def __init__(self, *, area: float = 0.01, **options: Unpack[DetectorOptions]) -> None:
        options.setdefault("name", "motion")
        options.setdefault("on", "image")
        options.setdefault("rules", ConfirmRules(on=0.5, off=0.25))
        super().__init__(**options)
        self._area = _share("area", area)
        _libraries()

    def session(self) -> Look:
        return _Motion(self._area).look


class _Scene:
    def __init__(self, change: float) -> None:
        self._change = change
        self._before: Any = None

    def look(self, part: Part) -> Sighting | None:
        cv2, _ = _libraries()
        hsv = cv2.cvtColor(_small(part), cv2.COLOR_BGR2HSV)
        colours = cv2.calcHist([hsv], [0, 1, 2], None, _BINS, [0, 180, 0, 256, 0, 256])
        cv2.normalize(colours, colours, 1.0, 0.0, cv2.NORM_L1)
        before, self._before = self._before, colours
        if before is None:
            return None
        change = float(cv2.compareHist(before, colours, cv2.HISTCMP_BHATTACHARYYA))
        colour = _colour(hsv)
        return Sighting(
            "scene",
            min(1.0, change / (2 * self._change)),
            f"The picture has changed: it is mostly {colour} now.",
            {"change": round(change, 3), "colour": colour},
        )


class _Motion:
    def __init__(self, area: float) -> None:
        self._area = area
        self._before: Any = None

    def look(self, part: Part) -> Sighting | None:
        cv2, numpy = _libraries()
        grey = cv2.cvtColor(_small(part), cv2.COLOR_BGR2GRAY)
        grey = cv2.GaussianBlur(grey, (_BLUR, _BLUR), 0)
        before, self._before = self._before, grey
        if before is None or before.shape != grey.shape:
            return None
        changed = cv2.absdiff(before, grey) > _CHANGED
        area = float(changed.mean())
        if not area:
            return None
        height, width = changed.shape
        x, y, w, h = cv2.boundingRect(changed.astype(numpy.uint8))
        box = [round(x / width, 3), round(y / height, 3), round(w / width, 3), round(h / height, 3)]
        return Sighting(
            "motion",
            min(1.0, area / (2 * self._area)),
            f"Something moves {_where(box[0] + box[2] / 2)}.",
            {"area": round(area, 4), "box": box},
        )


def _small(part: Part) -> Any:
    """The picture, in colour, of a size at which all are compared."""
    cv2, numpy = _libraries()
    encoded = numpy.frombuffer(part.bytes, numpy.uint8)
    picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
    if picture is None:
        raise PartError(
            f"{len(part.bytes)} bytes of {part.mimetype} are no picture that can be read; "
            "send JPEG or PNG"
        )
    height, width = picture.shape[:2]
    size = (_WIDTH, max(1, round(height * _WIDTH / width)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _colour(hsv: Any) -> str:
    """The name of what most of the picture has."""
    _, numpy = _libraries()
    hue, saturation, value = (hsv[..., channel] for channel in range(3))
    if numpy.median(value) < _DARK:
        return "black"
    if numpy.median(saturation) < _GREY:
        return "white" if numpy.median(value) > _BRIGHT else "grey"
    named = hue[(saturation >= _GREY) & (value >= _DARK)]
    names = numpy.digitize(named, [limit for limit, _ in _HUES])
    most = int(numpy.bincount(names, minlength=len(_HUES) + 1).argmax())
    return [*(name for _, name in _HUES), "red"][most]


def _where(middle: float) -> str:
    if middle < 1 / 3:
        return "on the left"
    return "in the middle" if middle < 2 / 3 else "on the right"


def _share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise StageError(f"{name}={value}: it is a share; use more than 0, and 1 at most")
    return value


def _libraries() -> tuple[Any, Any]:
    try:
        return importlib.import_module("cv2"), importlib.import_module("numpy")
    except ImportError as error:
        raise ExtraMissing(
            f"detectors of images need {error.name}, which is not installed: "
            "pip install 'vivace[vision]'"
        ) from error
