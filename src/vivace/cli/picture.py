"""`timeline.png`: a conversation as a score, a few rows of some twenty seconds each.

This file owns the page: where rows break, how large everything is, title, legend and the table of
latencies. `staff.py` draws one row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from vivace.cli.ink import CUT, FLOOR, HEARD, HELD, INK, PAPER, QUIET, STEPS, WAITING
from vivace.cli.recording import Recording, Span, Turn
from vivace.cli.staff import HEIGHT, Staff, peak_waiting
from vivace.cli.staff import width as text_width

__all__ = ["draw", "rows"]

_DPI = 160
_ROW_S = 28.0  # at most this much in a row: three words a second stay readable
_WIDTH = 15.0  # inches of a full row
_NARROWEST = 9.0
_LARGEST = 1.4  # inches a second, for conversations of a few seconds
_LEFT, _RIGHT, _TOP, _GAP = 0.85, 0.35, 0.72, 0.34
_LEGEND, _LEGEND_LINE, _TABLE_HEAD, _TABLE_LINE = 0.38, 0.24, 0.5, 0.27


def draw(recording: Recording, path: Path, title: str = "") -> None:
    """Draw the picture as a PNG. Raises OSError if it cannot be written."""
    from matplotlib.figure import Figure

    parts = rows(recording)
    longest = max(end - start for start, end in parts)
    scale = min(_LARGEST, (_WIDTH - _LEFT - _RIGHT) / longest)
    width = max(_NARROWEST, longest * scale + _LEFT + _RIGHT)
    turns = [t for _, t in sorted(recording.turns.items()) if t.latency_ms]
    table = _TABLE_HEAD + _TABLE_LINE * len(turns) if turns else 0.0
    legend = _LEGEND + _LEGEND_LINE * (len({y for *_, y in _groups(width)}) - 1)
    height = _TOP + len(parts) * (HEIGHT + _GAP) + legend + table + 0.1
    figure = Figure(figsize=(width, height), facecolor=PAPER, dpi=_DPI)
    top = height - _TOP
    _head(figure, recording, title, width, height)
    waiting = peak_waiting(recording)
    for start, end in parts:
        axes = _panel(figure, _LEFT, top - HEIGHT, (end - start) * scale, HEIGHT)
        Staff(axes, recording, start, end, scale, waiting).draw()
        top -= HEIGHT + _GAP
    _legend(_panel(figure, 0, top - legend, width, legend), width, legend)
    if turns:
        _latencies(_panel(figure, 0, top - legend - table, width, table), turns, width, table)
    figure.savefig(path, format="png")


def rows(recording: Recording) -> list[tuple[float, float]]:
    """Cut the time into rows: each as long as it may be, ending where nobody speaks if it can."""
    duration = max(1.0, recording.duration)
    borders = [0.0]
    while duration - borders[-1] > _ROW_S:
        earliest, latest = borders[-1] + _ROW_S * 0.4, borders[-1] + _ROW_S
        ends = [_before_next(span) for span in recording.floor if span.label == "idle"]
        quiet = [at for at in ends if earliest <= at <= latest]
        borders.append(max(quiet, default=latest))
    return list(zip(borders, [*borders[1:], duration], strict=True))


def _before_next(span: Span) -> float:
    """The last moment of a silence, with a breath before what follows."""
    end = span.start if span.end is None else span.end
    return max((span.start + end) / 2, end - 0.4)


def _panel(figure: Any, left: float, bottom: float, width: float, height: float) -> Any:
    """Axes without any decoration whose y, and x unless changed, is in inches."""
    full_width, full_height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / full_width, bottom / full_height, width / full_width, height / full_height)
    )
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    return axes


def _head(figure: Any, recording: Recording, title: str, width: float, height: float) -> None:
    turns, seconds = len(recording.turns), recording.duration
    said = f"{seconds:.0f} seconds, {turns} answer{'s' * (turns != 1)}"
    left, y, name = 0.25, 1 - 0.42 / height, "A conversation"
    figure.text(left / width, y, name, size=16, weight="bold", color=INK)
    x = (left + text_width(name, 16, "bold") + 0.18) / width
    figure.text(x, y, f"{said}{f', with {title}' if title else ''}", size=10.5, color=QUIET)


_Mark: TypeAlias = tuple[str, str, str]


def _groups(width: float) -> list[tuple[str, list[_Mark], float, float]]:
    """The groups of the legend, as many in a line as fit: head, marks, from the left, from the top.

    A mark has a name, a colour and a shape.
    """
    sounds = [
        ("heard", HEARD, "s"),
        ("waiting", WAITING, "s"),
        ("held", HELD, "s"),
        ("cut", CUT, "s"),
    ]
    floor = [(meaning, colour, "s") for colour, meaning in FLOOR.values()]
    steps = [(name.replace("_", " "), colour, "o") for name, colour in STEPS.items()]
    found = []
    x, y = 0.25, 0.14
    for head, marks in (("floor", floor), ("agent's sound", sounds), ("latency", steps)):
        need = sum(0.3 + 0.075 * len(name) for name, _, _ in marks) + 0.1 * len(head) + 0.1
        if x > 0.25 and x + need > width - 0.2:
            x, y = 0.25, y + _LEGEND_LINE
        found.append((head, marks, x, y))
        x += 0.3 + 0.08 * len(head) + sum(_mark_width(name) for name, _, _ in marks)
    return found


def _mark_width(name: str) -> float:
    return 0.3 + 0.066 * len(name)


def _legend(axes: Any, width: float, height: float) -> None:
    """Groups of coloured marks."""
    for head, marks, left, down in _groups(width):
        x, y = left, height - down
        axes.text(x, y, head, size=8, weight="bold", color=QUIET, va="center")
        x += 0.1 + 0.08 * len(head)
        for name, colour, marker in marks:
            size = 6 if marker == "o" else 7.5
            axes.plot([x + 0.06], [y], marker, color=colour, markersize=size, markeredgewidth=0)
            axes.text(x + 0.17, y, name, size=8, color=INK, va="center_baseline")
            x += _mark_width(name)


def _latencies(axes: Any, turns: list[Turn], width: float, height: float) -> None:
    """For each turn a bar from the end of speech to the first sound, and its numbers."""
    columns = {name: width - 0.45 - 0.92 * (len(STEPS) - 1 - i) for i, name in enumerate(STEPS)}
    del columns["end_of_speech"]
    left, right = 0.95, min(columns.values()) - 1.1
    most = max(max(turn.latency_ms.values()) for turn in turns)
    y = height - 0.2
    axes.text(0.25, y, "end of speech → first sound", size=8, weight="bold", color=QUIET)
    for name, x in columns.items():
        head = name.replace("_", " ")
        axes.text(x, y, head, size=8, color=STEPS[name], ha="right", weight="bold")
    for turn in turns:
        y -= _TABLE_LINE
        axes.text(0.25, y, f"turn {turn.number}", size=8.5, color=INK, va="center")
        _bar(axes, turn, y, left, (right - left) / most)
        for name, x in columns.items():
            value = turn.latency_ms.get(name)
            text = "–" if value is None else f"{value:.0f} ms"
            bold = "bold" if name == "first_audio" else "normal"
            axes.text(x, y, text, size=8.5, color=INK, ha="right", va="center", weight=bold)


def _bar(axes: Any, turn: Turn, y: float, left: float, scale: float) -> None:
    before = 0.0
    for name, ms in sorted(turn.latency_ms.items(), key=lambda item: item[1]):
        colour = STEPS.get(name, QUIET)
        axes.barh(y, (ms - before) * scale, 0.1, left + before * scale, color=colour, alpha=0.45)
        axes.plot([left + ms * scale], [y], "o", color=colour, markersize=5.5, markeredgewidth=0)
        before = ms
    axes.plot([left], [y], "o", color=STEPS["end_of_speech"], markersize=5.5, markeredgewidth=0)
