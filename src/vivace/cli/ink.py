"""The colours of the picture."""

from __future__ import annotations

__all__ = [
    "CUT",
    "FLOOR",
    "HEARD",
    "HELD",
    "HELD_INK",
    "INK",
    "LINE",
    "PAPER",
    "QUIET",
    "STEPS",
    "USER",
    "WAITING",
]

PAPER, INK, QUIET, LINE = "#fcfbf8", "#2a2d34", "#85878c", "#e9e6df"
USER, HEARD, WAITING, HELD, CUT = "#3d72b8", "#2a9d7c", "#cfe8de", "#e8ab3a", "#d04a5c"

HELD_INK = "#9a6a10"

FLOOR = {
    "idle": ("#e4e1d9", "nobody"),
    "user": ("#5b8ac6", "user"),
    "pause": ("#b6cbe6", "pause"),
    "thinking": ("#a78bcf", "thinking"),
    "agent": ("#55b596", "agent"),
    "overlap": ("#e8ab3a", "overlap"),
    "verdict": ("#f3d08a", "verdict"),
}
"""For each state of the floor its colour and its name."""

STEPS = {
    "end_of_speech": "#3d72b8",
    "transcript": "#2fa4c7",
    "decision": "#8e6bbf",
    "first_token": "#d98a2b",
    "first_audio": "#2a9d7c",
}
"""The steps of an answer, in order."""
