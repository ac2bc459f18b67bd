"""What one sees while a conversation runs.

This file chooses: a live screen on a terminal (`screen.py`), plain lines with times anywhere else.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console

from vivace.cli.recording import Recording
from vivace.part import Data, Held, Interrupted, Part, Played, Resumed

__all__ = ["STEPS", "Lines", "View", "view"]

STEPS = ("transcript", "decision", "first_token", "first_audio")
"""The steps of an answer that have latencies, in the order in which they are usually reached."""


class View(Protocol):
    """Shows a recording that grows."""

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def feed(self, part: Part, now: float) -> None:
        """The recording has booked `part`."""
        ...

    def tick(self, now: float) -> None:
        """Time has passed; called often."""
        ...


def view(console: Console, recording: Recording, model: str) -> View:
    """The view that fits where `console` writes to."""
    if console.is_terminal:
        from vivace.cli.screen import Screen

        return Screen(console, recording, model)
    return Lines(console, recording)


class Lines:
    """One line for each thing that happens, with its time."""

    def __init__(self, console: Console, recording: Recording) -> None:
        self._console = console
        self._recording = recording

    def __enter__(self) -> object:
        return self

    def __exit__(self, *_: object) -> None: ...

    def tick(self, now: float) -> None:
        """Nothing changes with time alone."""

    def feed(self, part: Part, now: float) -> None:
        at = now if part.at is None else part.at
        match part.body:
            case str(text) if part.role == "user" and not part.metadata.get("interim"):
                dismissed = self._recording.utterances[-1].dismissed
                self._print(at, "user", text + (" (no interruption)" if dismissed else ""))
            case Data(value={"event": "latency", "ms": ms}):
                steps = ", ".join(f"{name.replace('_', ' ')} {ms[name]:.0f}" for name in _in(ms))
                self._print(at, "agent", f"begins; ms since the end of speech: {steps}")
            case Data(value={"event": "failed", "what": what, "error": error}):
                self._print(at, "agent", f"{what} failed: {error}")
            case Data(value={"event": "no_answer", "after_s": after_s}):
                self._print(at, "agent", f"has not answered within {after_s:g} s")
            case Data(value={"event": "connection", "state": "reconnecting"} as lost):
                why = f"{lost['code']} {lost['reason']}".strip()
                self._print(at, "agent", f"is gone ({why}); called again in {lost['wait_s']:.1f} s")
            case Held():
                self._print(at, "agent", "is held")
            case Resumed():
                self._print(at, "agent", "goes on")
            case Interrupted(heard=heard):
                self._print(at, "agent", f"is interrupted; heard: {heard or 'nothing'}")
            case Played(turn=number, reason="done") if number in self._recording.turns:
                self._print(at, "agent", self._recording.turns[number].heard_text)

    def _print(self, at: float, who: str, what: str) -> None:
        line = f"{at:7.2f} s  {who:<5}  {' '.join(what.split())}"
        self._console.print(line, markup=False, emoji=False, soft_wrap=True)


def _in(ms: dict[str, float]) -> list[str]:
    return sorted((name for name in STEPS if name in ms), key=lambda name: ms[name])
