"""A scope: tasks that end together. Nothing else in Vivace starts a task.

A scope belongs to a run, not to a block of code: so no task group is ever open around a `yield`
(PEP 789), and a task can outlive the stage that asked for it but never the run.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine
from contextvars import Context
from pathlib import Path
from typing import Any, TypeAlias

from vivace.flow.clock import now
from vivace.flow.eager import go_on

__all__ = ["STOP_WITHIN_S", "AbandonedTask", "Scope", "complain", "halt", "stop", "where"]

STOP_WITHIN_S = 2.0
Complaints: TypeAlias = dict[asyncio.Task[Any], str]
_ASYNCIO = str(Path(asyncio.__file__).parent)
# The loop itself holds its tasks only weakly; one that waits for whoever holds it would be garbage
# together with them, and be destroyed before they could stop it.
_alive: set[asyncio.Task[Any]] = set()


class AbandonedTask(RuntimeWarning):
    """A task was cancelled and would not stop in time. It was left behind."""


class Scope:
    """Starts tasks and stops them all.

    on_error: called with the exception of a task, other than its own cancellation; also with one
        that it raises while it is stopped.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self.tasks: set[asyncio.Task[Any]] = set()
        self.stopping = False

    def start(
        self, coro: Coroutine[Any, Any, Any], name: str, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Run `coro` until it ends or the scope is stopped; at once cancelled if that has begun.

        context: the context variables that it sees; a copy of the caller's if None.
        """
        task = asyncio.get_running_loop().create_task(coro, name=name, context=context)
        self.tasks.add(task)
        _alive.add(task)
        task.add_done_callback(self._ended)
        if self.stopping:
            task.cancel()
        return task

    async def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Cancel all tasks and wait for their cleanup, at most `within_s` seconds.

        Warns (AbandonedTask) of each task that would not stop, by name, and leaves it behind.
        """
        complain(await self.halt(within_s))

    async def halt(self, within_s: float) -> Complaints:
        """Do what `stop` does, and return what it would warn of."""
        self.stopping = True
        me, until = asyncio.current_task(), now() + within_s
        complaints: Complaints = {}
        while tasks := {
            task
            for task in self.tasks
            if task is not me and not task.done() and task not in complaints
        }:
            complaints |= await halt(tasks, max(0.0, until - now()))
        return complaints

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        _alive.discard(task)
        if task.cancelled():
            return
        error = task.exception()  # fetching it also keeps asyncio from complaining later
        if error is not None:
            self._on_error(error)


async def stop(tasks: set[asyncio.Task[Any]], within_s: float = STOP_WITHIN_S) -> None:
    """Cancel `tasks` and return once their cleanup has run, or after `within_s` seconds.

    A task that swallowed its cancellation is cancelled once more half-way; what still runs at the
    end is named in an AbandonedTask warning and left behind.
    """
    complain(await halt(tasks, within_s))


async def halt(tasks: set[asyncio.Task[Any]], within_s: float) -> Complaints:
    """Do what `stop` does, and return what it would warn of."""
    pending = {task for task in tasks if not task.done()}
    for again in (False, True):
        if not pending:
            return {}
        for task in pending:
            # Once is enough: a second time would cut short the cleanup that the first one began.
            if again or not task.cancelling():
                task.cancel()
        _, pending = await asyncio.wait(pending, timeout=within_s / 2)
    what = f"was cancelled and did not stop within {within_s:g} s; it was left behind"
    return {task: f"{task.get_name()} {what} at {where(task)}" for task in pending}


def complain(complaints: Complaints) -> None:
    """Warn of each. Done last, since a warning may be made an error."""
    for text in complaints.values():
        warnings.warn(text, AbandonedTask, stacklevel=3)


def where(task: asyncio.Task[Any]) -> str:
    """The innermost frame that `task` waits in, through coroutines and generators."""
    frame = None
    awaited: Any = task.get_coro()
    while awaited is not None:
        for kind in ("cr_frame", "ag_frame", "gi_frame"):
            inner = getattr(awaited, kind, None)
            if inner is not None and not inner.f_code.co_filename.startswith(_ASYNCIO):
                frame = inner
        awaited = _awaited_by(awaited)
    if frame is None:
        return "an unknown place"
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"


def _awaited_by(awaiting: Any) -> Any:
    if getattr(awaiting, "gi_code", None) is go_on.__code__:
        return awaiting.gi_yieldfrom or awaiting.gi_frame.f_locals["steps"]
    for name in ("cr_await", "ag_await", "gi_yieldfrom"):
        if hasattr(awaiting, name):
            return getattr(awaiting, name)
    # What `anext` returns tells nobody which generator it steps, except the garbage collector.
    return next((it for it in gc.get_referents(awaiting) if hasattr(it, "ag_await")), None)
