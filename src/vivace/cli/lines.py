"""What the caller says: audio files named on the command line, as `FILE` or `FILE@SECONDS`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from vivace.cli.caller import Line
from vivace.errors import AudioError
from vivace.processors.audio_file import read_audio

__all__ = ["read_lines"]


def read_lines(names: Sequence[str], rate: int = 16_000) -> list[Line]:
    """Read every file before anything else happens.

    Raises AudioError as `read_audio` does, and if the first line is to be said over an answer.
    """
    lines = [_read(name, rate) for name in names]
    if lines and lines[0].over_s is not None:
        raise AudioError(
            f"{names[0]}: nothing has been answered yet that the first file could be spoken over; "
            "leave out the '@', or put another file before it"
        )
    return lines


def _read(name: str, rate: int) -> Line:
    path, over_s = _split(name)
    return Line(Path(path).stem, read_audio(path, rate), over_s)


def _split(name: str) -> tuple[str, float | None]:
    """`a.wav@2.5` → ("a.wav", 2.5); a file that is really called so wins."""
    path, at, suffix = name.rpartition("@")
    if not at or _exists(name):
        return name, None
    try:
        seconds = float(suffix)
    except ValueError:
        return name, None
    return (path, seconds) if 0 <= seconds < math.inf else (name, None)


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # whoever reads it will say why
        return False
