"""The live screen: who has the floor, both voices, what is said, and how quick the answers are.

This file owns the drawing of one frame. It reads the recording and keeps only the meters' history.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from vivace.cli.recording import AGENT_RATE, USER_RATE, Recording, Turn
from vivace.cli.view import STEPS
from vivace.part import Part

__all__ = ["FLOOR", "Screen"]

_FRAME_S = 0.1  # ten frames a second look alive and cost the loop little
_WIDEST = 100
_INDENT = 8
_TURNS = 2  # exchanges in the moving part of the screen; older ones scroll away
_ROWS = 5
_ROOMY = 90  # columns that the long words of the table need
_WORDS = ("end of speech", "transcript", "decision", "first token", "first audio")
_SHORT_WORDS = ("speech end", "transcript", "decision", "1st token", "1st audio")
_BARS = " ▁▂▃▄▅▆▇█"
_QUIETEST_DB = -45.0
_USER, _AGENT, _HOLD, _CUT = "#6ea8fe", "#4fd1a5", "#f2b84b", "#f2727f"

FLOOR = {
    "idle": ("grey35", "nobody speaks"),
    "user": (_USER, "the user speaks"),
    "pause": ("#3f6fb5", "the user pauses"),
    "thinking": ("#b79bf2", "the agent thinks"),
    "agent": (_AGENT, "the agent speaks"),
    "overlap": (_HOLD, "both: the agent holds"),
    "verdict": ("#c9962f", "was that an interruption?"),
}
"""For each state of the floor its colour and what it means."""


class Screen:
    """A view for terminals."""

    def __init__(self, console: Console, recording: Recording, model: str) -> None:
        self._recording = recording
        self._model = model
        self._console = console
        self._width = min(_WIDEST, console.width - 1)
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._frames = 0
        self._printed = 0  # turns that have scrolled away
        self._meters: deque[tuple[float, float, str]] = deque(maxlen=max(10, self._width - _INDENT))

    def __enter__(self) -> object:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        rest = [*self._talk(), Text(), *self._latencies(last=0)]
        self._live.update(_page(rest), refresh=True)
        self._live.stop()

    def feed(self, part: Part, now: float) -> None:
        """Everything that is shown is read from the recording at the next frame."""

    def tick(self, now: float) -> None:
        if now < (self._frames + 1) * _FRAME_S:
            return
        self._measure(now)
        self._frames = int(now / _FRAME_S)
        self._scroll()
        self._live.update(self.frame(now), refresh=True)

    def frame(self, now: float) -> Text:
        """The screen at this moment."""
        top = [Text(), self._head(now), *self._meter_lines(), Text()]
        return _page([*top, *self._talk(), Text(), *self._latencies(last=_ROWS)])

    # -- head and meters ----------------------------------------------------------------------

    def _head(self, now: float) -> Text:
        colour, meaning = FLOOR[self._recording.floor[-1].label]
        left = Text.assemble(("  ● ", colour), (meaning, f"bold {colour}"))
        right = Text(f"{self._model}   {int(now // 60)}:{now % 60:04.1f}", "dim")
        left.pad_right(max(1, self._width - left.cell_len - right.cell_len))
        return left + right

    def _measure(self, now: float) -> None:
        pcm, agent = self._recording.user_pcm, self._recording.agent_pcm
        start = self._frames * _FRAME_S
        user_db = _loudness(pcm, USER_RATE, start, now)
        agent_db = _loudness(agent, AGENT_RATE, start, now)
        self._meters.append((user_db, agent_db, self._recording.floor[-1].label))

    def _meter_lines(self) -> Iterator[Text]:
        for name, index, colour in (("user", 0, _USER), ("agent", 1, _AGENT)):
            bars = "".join(_bar(meter[index]) for meter in self._meters)  # type: ignore[arg-type]
            yield Text.assemble((f"{name:>6}  ", "dim"), (bars, colour))
        band = Text(f"{'floor':>6}  ", "dim")
        for floor, run in groupby(floor for _, _, floor in self._meters):
            band.append("▀" * len(list(run)), FLOOR[floor][0])
        yield band

    # -- what is said -------------------------------------------------------------------------

    def _talk(self) -> Iterator[Text]:
        """What was said since the last turn that has scrolled away, and is being said."""
        turns = self._turns()
        for turn in turns[self._printed :]:
            yield from self._exchange(turn)
        asked_at = turns[-1].asked_at if turns else 0.0
        for utterance in self._recording.utterances:
            if utterance.at > asked_at and not utterance.dismissed:
                yield from self._entry("user", _USER, Text(utterance.text, "bold"))
        if self._recording.interim:
            yield from self._entry("user", _USER, Text(self._recording.interim, "dim italic"))

    def _exchange(self, turn: Turn) -> Iterator[Text]:
        for utterance in self._recording.said(turn):
            yield from self._entry("user", _USER, Text(utterance.text, "bold"))
        if turn.text:
            yield from self._entry("agent", _AGENT, _answer(turn))

    def _entry(self, who: str, colour: str, text: Text) -> Iterator[Text]:
        for number, line in enumerate(text.wrap(self._console, self._width - _INDENT)):
            yield Text.assemble((f"{'' if number else who:>6}  ", colour), line)

    def _scroll(self) -> None:
        """Turns that are over and not among the newest are printed for good."""
        turns = self._turns()
        while len(turns) - self._printed > _TURNS:
            lines = list(self._exchange(turns[self._printed]))
            self._printed += 1
            self._console.print(_page(lines))

    def _turns(self) -> list[Turn]:
        return [turn for _, turn in sorted(self._recording.turns.items())]

    # -- latencies ----------------------------------------------------------------------------

    def _latencies(self, last: int) -> Iterator[Text]:
        """A line for each of the `last` turns (0: for all) that were heard, below a head."""
        turns = [turn for turn in self._turns() if turn.latency_ms or turn.over_at]
        if not turns:
            return
        names = _WORDS if self._width >= _ROOMY else _SHORT_WORDS
        yield Text("  turn  " + "  ".join(names), "dim")
        for turn in turns[-last:]:
            line = Text(f"{turn.number:>6}")
            ended = "" if turn.ended_at is None else f"{turn.ended_at:.2f} s"
            line.append(f"  {ended:>{len(names[0])}}", "dim")
            for step, name in zip(STEPS, names[1:], strict=True):
                ms = turn.latency_ms.get(step)
                text = "–" if ms is None else f"{ms:.0f} ms"
                style = f"bold {_AGENT}" if step == "first_audio" else ""
                line.append(f"  {text:>{len(name)}}", style)
            yield line + _outcome(turn)


def _page(lines: Iterable[Text]) -> Text:
    # One text, set by hand: rich's tables measure every cell several times, ten times a second.
    page = Text("\n", no_wrap=True, overflow="crop", end="").join(lines)
    page.no_wrap, page.overflow = True, "crop"
    return page


def _answer(turn: Turn) -> Text:
    """Words already heard bright, words to come dim, words that never will struck out."""
    text = Text(turn.heard_text, "bright_white")
    cut = turn.interrupted_at is not None
    rest = turn.unheard_text
    text.append(rest[: len(rest) - len(rest.lstrip())])
    text.append(rest.lstrip(), f"strike {_CUT} dim" if cut else "dim")
    if turn.is_held:
        text.append("  ‖ held", f"bold {_HOLD}")
    return text


def _outcome(turn: Turn) -> Text:
    if turn.interrupted_at is not None:
        return Text(f"  cut at {turn.interrupted_at:.1f} s", _CUT)
    if turn.is_held:
        return Text("  held", _HOLD)
    if turn.held:
        held_s = sum((span.end or span.start) - span.start for span in turn.held)
        return Text(f"  held {held_s:.1f} s", _HOLD)
    return Text()


def _loudness(pcm: bytearray, rate: int, start: float, end: float) -> float:
    """The peak between two times, in decibels below full scale."""
    view = bytes(pcm[2 * int(start * rate) : 2 * int(end * rate)])
    peak = max(memoryview(view).cast("h"), default=0) if view else 0
    return 20 * math.log10(peak / 32768) if peak > 0 else -math.inf


def _bar(db: float) -> str:
    if db == -math.inf:
        return _BARS[1]
    level = 1 + (db - _QUIETEST_DB) / -_QUIETEST_DB * (len(_BARS) - 2)
    return _BARS[max(1, min(len(_BARS) - 1, round(level)))]
