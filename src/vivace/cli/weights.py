"""Models that are missing are pulled, with a bar for each."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as Remaining

from vivace.cli.terminal import stderr
from vivace.errors import ModelMissing
from vivace.models import store

__all__ = ["EARS", "ensure", "is_there", "pull"]

EARS = ("silero", "whisper-tiny.en", "smart-turn")
"""What the agent hears with."""

_PHASES = {"download": "downloading", "check": "checking", "ready": "ready"}


def is_there(name: str) -> bool:
    """True if the model can be loaded. Raises StoreError for an unknown name."""
    try:
        store.path(name)
    except ModelMissing:
        return False
    return True


def ensure(names: Sequence[str]) -> None:
    """Pull those that are missing; silent if none is. Raises StoreError.

    Raises ModelMissing for a path of the user's own that leads nowhere.
    """
    missing = [name for name in names if not is_there(name)]
    for name in missing:
        if os.environ.get(store.variable(name)):
            store.path(name)  # says what is wrong with it
    if missing:
        pull(missing)


def pull(names: Sequence[str]) -> None:
    """Pull the models, showing how far they are. Raises StoreError; then nothing was kept."""
    for name in names:
        store.find(name)
    console = stderr()
    bars = _Bars() if console.is_terminal else None
    if bars is None:
        store.pull(names, progress=_Plain())
        return
    with bars.display:
        store.pull(names, progress=bars)


class _Bars:
    """A bar for each model: first for the download, then for the check."""

    def __init__(self) -> None:
        self.display = Progress(
            TextColumn("{task.fields[name]:<16}"),
            TextColumn("[dim]{task.description:<12}"),
            BarColumn(bar_width=32, complete_style="cyan", finished_style="green"),
            DownloadColumn(),
            Remaining(compact=True),
            console=stderr(),
        )
        self._tasks: dict[str, tuple[TaskID, str]] = {}

    def __call__(self, name: str, phase: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = (self.display.add_task("", name=name, total=total), "")
        task, before = self._tasks[name]
        if phase != before:
            self.display.reset(task, total=total)
            self._tasks[name] = (task, phase)
        self.display.update(task, completed=done, total=total, description=_PHASES[phase])


class _Plain:
    """A line for each step of each model."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def __call__(self, name: str, phase: str, done: int, total: int) -> None:
        if (name, phase) not in self._seen:
            self._seen.add((name, phase))
            stderr().print(f"{name}: {_PHASES[phase]} ({total / 1e6:.1f} MB)")
