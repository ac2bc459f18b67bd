"""One row of the picture: both voices, the floor between them, and the sound that waits.

All heights are inches; across, a row is drawn in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from vivace.cli.ink import (
    CUT,
    FLOOR,
    HEARD,
    HELD,
    HELD_INK,
    INK,
    LINE,
    PAPER,
    QUIET,
    STEPS,
    USER,
    WAITING,
)
from vivace.cli.recording import AGENT_RATE, USER_RATE, Recording, Span, Turn

__all__ = ["HEIGHT", "Staff", "peak_waiting", "waiting"]

# From the top: where each lane's middle or upper edge is, and how high it is.
HEIGHT = 3.42
_USER, _USER_TEXT = 3.06, 2.72
_FLOOR, _FLOOR_H = 2.08, 0.21
_STEPS = 1.93
_AGENT, _AGENT_TEXT = 1.47, 1.13
_WAITING, _WAITING_H = 0.27, 0.3
_TIME = 0.06
_VOICE_H = 0.3
_BIN_S = 0.02
_SIZE, _LEADING = 8.0, 0.137


class Text(msgspec.Struct):
    """Words to be set from `start` on; `cut` ones are struck out."""

    start: float
    words: str
    colour: str = INK
    cut: bool = False


class Staff:
    """Draws `start` to `end` of a recording. scale: inches a second."""

    def __init__(
        self,
        axes: Any,
        recording: Recording,
        start: float,
        end: float,
        scale: float,
        most_waiting_s: float,
    ) -> None:
        self._axes = axes
        self._recording = recording
        self._start, self._end, self._scale = start, end, scale
        self._most_s = most_waiting_s
        self._turns = [turn for _, turn in sorted(recording.turns.items())]
        axes.set_xlim(start, end)

    def draw(self) -> None:
        """Everything, from the back to the front."""
        self._grid()
        self._names()
        self._voice(self._recording.user_pcm, USER_RATE, _USER, USER)
        self._voice(self._recording.agent_pcm, AGENT_RATE, _AGENT, HEARD)
        self._floor()
        for turn in self._turns:
            self._holds(turn)
            self._cut(turn)
            self._latency(turn)
        self._sound_that_waits()
        self._set(self._user_texts(), _USER_TEXT)
        self._set(self._agent_texts(), _AGENT_TEXT)

    # -- ground -------------------------------------------------------------------------------

    def _grid(self) -> None:
        for second in range(int(self._start), int(self._end) + 1):
            if not self._start <= second <= self._end:
                continue
            strong = second % 5 == 0
            self._axes.plot(
                [second, second],
                [0.2, HEIGHT - 0.02],
                color=LINE,
                lw=1.1 if strong else 0.5,
                zorder=0,
            )
            if strong or self._scale > 1:
                self._axes.text(
                    second, _TIME, f"{second} s", size=7, color=QUIET, ha="center", clip_on=False
                )

    def _names(self) -> None:
        lanes = (
            (_USER, "user", USER, 9.5),
            (_FLOOR + _FLOOR_H / 2, "floor", QUIET, 8),
            (_AGENT, "agent", HEARD, 9.5),
            (_WAITING + _WAITING_H / 2, "waiting", QUIET, 8),
        )
        x = self._start - 0.14 / self._scale
        for y, name, colour, size in lanes:
            self._axes.text(
                x, y, name, size=size, color=colour, weight="bold", ha="right", va="center"
            )

    # -- voices and floor ---------------------------------------------------------------------

    def _voice(self, pcm: bytearray, rate: int, middle: float, colour: str) -> None:
        import numpy as np

        samples = np.abs(np.frombuffer(bytes(pcm), "<i2").astype(np.float64))
        size = int(rate * _BIN_S)
        first, last = int(self._start / _BIN_S), int(self._end / _BIN_S)
        bins = np.zeros(last - first + 1)
        for index in range(len(bins)):
            piece = samples[(first + index) * size : (first + index + 1) * size]
            bins[index] = piece.max() if len(piece) else 0.0
        loudest = samples.max() if len(samples) else 0.0
        height = bins / max(1.0, loudest) * _VOICE_H
        x = (first + np.arange(len(bins)) + 0.5) * _BIN_S
        ends = [self._start, self._end]
        self._axes.plot(ends, [middle, middle], color=colour, lw=0.6, alpha=0.5, zorder=2)
        self._axes.fill_between(x, middle - height, middle + height, color=colour, lw=0, zorder=3)

    def _floor(self) -> None:
        for span in self._recording.floor:
            start, end = self._clip(span)
            if end <= start:
                continue
            colour, name = FLOOR[span.label]
            self._axes.broken_barh([(start, end - start)], (_FLOOR, _FLOOR_H), color=colour, lw=0)
            if width(name, 7.5) + 0.1 < (end - start) * self._scale:
                middle = (start + end) / 2
                ink = QUIET if span.label == "idle" else PAPER
                ink = INK if span.label in ("pause", "verdict") else ink
                self._axes.text(
                    middle,
                    _FLOOR + _FLOOR_H / 2 - 0.01,
                    name,
                    size=7.5,
                    color=ink,
                    ha="center",
                    va="center",
                )

    def _holds(self, turn: Turn) -> None:
        for span in turn.held:
            start, end = self._clip(span)
            if end > start:
                box = (_AGENT - _VOICE_H, 2 * _VOICE_H)
                self._axes.broken_barh([(start, end - start)], box, color=HELD, alpha=0.25, lw=0)
                self._name_hold(span, start, end)

    def _name_hold(self, span: Span, start: float, end: float) -> None:
        """Within the box if there is room; else above it, if nothing else is there."""
        style = {"size": 7.5, "color": HELD_INK, "ha": "center", "va": "center", "zorder": 6}
        middle = (start + end) / 2
        for text in (f"held {_length(span):.1f} s", f"{_length(span):.1f} s"):
            half = (width(text, 7.5) / 2 + 0.03) / self._scale
            if 2 * half < end - start:
                self._axes.text(middle, _AGENT + _VOICE_H - 0.09, text, **style)
                return
        if all(middle + half < a or middle - half > b for a, b in map(self._reach, self._turns)):
            self._axes.text(middle, _AGENT + _VOICE_H + 0.08, text, **style)

    def _reach(self, turn: Turn) -> tuple[float, float]:
        """From when to when the latencies of a turn and their words take up room."""
        if turn.ended_at is None:
            return (0.0, 0.0)
        last = turn.ended_at + max(turn.latency_ms.values(), default=0.0) / 1000
        return (turn.ended_at, last + 1.1 / self._scale)

    def _cut(self, turn: Turn) -> None:
        at = turn.interrupted_at
        if at is None or not self._start <= at <= self._end:
            return
        edges = [_WAITING, _AGENT + _VOICE_H]
        self._axes.plot([at, at], edges, color=CUT, lw=1.6, zorder=7)
        text = f"cut, {turn.cut_s:.1f} s unheard" if turn.cut_s else "cut"
        left = at + (0.06 + width(text, 7.5)) / self._scale > self._end
        self._axes.text(
            at + (-0.06 if left else 0.06) / self._scale,
            # To the left is what was held before the cut, and says so at the top.
            _AGENT - _VOICE_H + 0.07 if left else _AGENT + _VOICE_H - 0.07,
            text,
            size=7.5,
            color=CUT,
            weight="bold",
            ha="right" if left else "left",
            va="center",
            zorder=7,
        )

    # -- latencies ----------------------------------------------------------------------------

    def _latency(self, turn: Turn) -> None:
        begun = turn.ended_at
        if begun is None or not turn.latency_ms:
            return
        marks = {"end_of_speech": 0.0, **turn.latency_ms}
        last = begun + max(marks.values()) / 1000
        if last < self._start or begun > self._end:
            return
        self._axes.plot([begun, last], [_STEPS, _STEPS], color=QUIET, lw=0.9, zorder=5)
        self._axes.plot([begun, begun], [_STEPS, _USER], color=USER, lw=0.8, ls=":", zorder=4)
        self._axes.plot([last, last], [_AGENT, _STEPS], color=HEARD, lw=0.8, ls=":", zorder=4)
        for name, ms in marks.items():
            colour = STEPS.get(name, QUIET)
            self._axes.plot(
                [begun + ms / 1000], [_STEPS], "o", color=colour, markersize=4.2,
                markeredgewidth=0.5, markeredgecolor=PAPER, zorder=6,
            )  # fmt: skip
        x, text = last + 0.08 / self._scale, f"{max(marks.values()):.0f} ms"
        style = {"size": 8, "va": "center_baseline", "zorder": 6}
        self._axes.text(x, _STEPS, text, weight="bold", color=HEARD, **style)
        x += (width(text, 8, "bold") + 0.07) / self._scale
        self._axes.text(x, _STEPS, f"turn {turn.number}", color=QUIET, **style)

    # -- what waits ---------------------------------------------------------------------------

    def _sound_that_waits(self) -> None:
        scale = _WAITING_H / max(1.0, self._most_s)
        points = waiting(self._turns)
        x = [at for at, _ in points]
        y = [_WAITING + seconds * scale for _, seconds in points]
        self._axes.fill_between(x, _WAITING, y, color=WAITING, lw=0, zorder=2)
        self._axes.plot(x, y, color=HEARD, lw=0.7, zorder=3)
        for turn in self._turns:
            self._most_of(turn, points, scale)

    def _most_of(self, turn: Turn, points: Sequence[tuple[float, float]], scale: float) -> None:
        """Write how much waited at most during one turn."""
        end = turn.over_at or self._end
        mine = [p for p in points if turn.asked_at <= p[0] <= end]
        at, seconds = max(mine, key=lambda point: point[1], default=(0.0, 0.0))
        if seconds > 0.5 and self._start <= at <= self._end - 1:
            self._axes.text(
                at + 0.06 / self._scale,
                _WAITING + seconds * scale + 0.01,
                f"{seconds:.1f} s",
                size=7,
                color=HEARD,
                va="bottom",
            )

    # -- words --------------------------------------------------------------------------------

    def _user_texts(self) -> Iterator[Text]:
        """Each text where its speech began; in the row that has most of it."""
        for utterance in self._recording.utterances:
            start = self._recording.began(utterance)
            middle = (start + utterance.at) / 2
            if self._start <= middle < self._end:
                words = f"({utterance.text})" if utterance.dismissed else utterance.text
                colour = QUIET if utterance.dismissed else INK
                yield Text(max(start, self._start), words, colour)

    def _agent_texts(self) -> Iterator[Text]:
        for turn in self._turns:
            here = [(at, word) for at, word in turn.words if self._start <= at < self._end]
            if here:
                yield Text(here[0][0], "".join(word for _, word in here))
            at = turn.interrupted_at
            if at is not None and turn.unheard_text and self._start <= at < self._end:
                yield Text(at, turn.unheard_text, CUT, cut=True)

    def _set(self, texts: Iterator[Text], top: float) -> None:
        """Set each text in lines that end before the next one begins."""
        blocks = list(texts)
        for block, following in zip_longest(blocks, blocks[1:]):
            end = following.start if following else self._end + 0.3 / self._scale
            room = (end - block.start) * self._scale - (0.16 if block.cut else 0.1)
            for number, line in enumerate(lines(block.words, room, _SIZE, most=3)):
                self._set_line(block, line, top - number * _LEADING)

    def _set_line(self, block: Text, line: str, y: float) -> None:
        x = block.start + (0.06 / self._scale if block.cut else 0)
        # Its own bit of paper keeps the grid and the dotted lines out of the letters.
        paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.4, "alpha": 0.85}
        style = {"size": _SIZE, "color": block.colour, "va": "top", "zorder": 5, "bbox": paper}
        self._axes.text(x, y, line, **style)
        if block.cut:
            ends = [x, x + width(line, _SIZE) / self._scale]
            self._axes.plot(ends, [y - 0.062, y - 0.062], color=CUT, lw=0.7, zorder=6)

    def _clip(self, span: Span) -> tuple[float, float]:
        end = self._recording.duration if span.end is None else span.end
        return max(span.start, self._start), min(end, self._end)


# -- text -------------------------------------------------------------------------------------


def width(text: str, size: float, weight: str = "normal") -> float:
    """How wide `text` is when set in `size` points, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    wide, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(wide) / 72


def lines(text: str, room: float, size: float, most: int) -> list[str]:
    """`text` in at most `most` lines that fit into `room` inches; too much of it ends in "…"."""
    done: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and width(longer, size) > room:
            done.append(line)
            line = word
        else:
            line = longer
    done.append(line)
    if len(done) > most:
        done = [*done[: most - 1], done[most - 1].rstrip(",.;:!?") + " …"]
    return done


# -- numbers ----------------------------------------------------------------------------------


def waiting(turns: Sequence[Turn]) -> list[tuple[float, float]]:
    """Seconds of sound that were made and not heard yet: (time, seconds), in order of time."""
    changes: list[tuple[float, float, float]] = []  # when, what is added, how much faster it falls
    for turn in turns:
        changes += [(at, seconds, 0.0) for at, seconds in turn.queued]
        for span in turn.heard:
            changes += [(span.start, 0.0, 1.0), (span.end or span.start, 0.0, -1.0)]
        if turn.interrupted_at is not None:
            changes.append((turn.interrupted_at, -turn.cut_s, 0.0))
    points, level, falling, before = [(0.0, 0.0)], 0.0, 0.0, 0.0
    for at, added, faster in sorted(changes):
        level = max(0.0, level - falling * (at - before))
        points.append((at, level))
        level = max(0.0, level + added)
        if added:
            points.append((at, level))
        falling, before = falling + faster, at
    return points


def peak_waiting(recording: Recording) -> float:
    """The most that ever waited, in seconds."""
    return max(seconds for _, seconds in waiting(list(recording.turns.values())))


def _length(span: Span) -> float:
    return (span.end or span.start) - span.start
