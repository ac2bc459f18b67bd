"""A scope: tasks that end together. Nothing else in Vivace starts a task.

A scope belongs to a run, not to a block of code: so no task group is ever open around a `yield`
(PEP 789), and a task can outlive the stage that asked for it but never the run.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["STOP_WITHIN_S", "AbandonedTask", "Scope", "stop"]

STOP_WITHIN_S = 2.0


class AbandonedTask(RuntimeWarning):
    """A task was cancelled and would not stop in time. It was left behind."""


class Scope:
    """Starts tasks and stops them all.

    on_error: called with the first exception of a task, other than its own cancellation.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    def start(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `coro` until it ends or the scope is stopped."""
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Cancel all tasks and wait for their cleanup, at most `within_s` seconds.

        Warns (AbandonedTask) of each task that would not stop, by name, and leaves it behind.
        """
        self._stopping = True
        me = asyncio.current_task()
        await stop({task for task in self._tasks if task is not me}, within_s)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()  # fetching it also keeps asyncio from complaining later
        if error is not None and not self._stopping:
            self._on_error(error)


async def stop(tasks: set[asyncio.Task[Any]], within_s: float = STOP_WITHIN_S) -> None:
    """Cancel `tasks` and return once their cleanup has run, or after `within_s` seconds.

    A task that swallowed its cancellation is cancelled once more half-way; what still runs at the
    end is named in an AbandonedTask warning and left behind.
    """
    pending = {task for task in tasks if not task.done()}
    for _ in range(2):
        if not pending:
            return
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=within_s / 2)
    for task in pending:
        warnings.warn(
            f"{task.get_name()} was cancelled and did not stop within {within_s:g} s; it was left "
            f"behind at {_where(task)}",
            AbandonedTask,
            stacklevel=2,
        )


def _where(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    if not frames:
        return "an unknown place"
    code = frames[-1].f_code
    return f"{code.co_qualname} ({code.co_filename}:{frames[-1].f_lineno})"
