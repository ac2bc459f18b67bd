"""The jobs of a driven stage, each in a task of its own.

This file owns what a job may use of its stage, and how it ends: with an answer, or cancelled, which
is awaited by nobody and named if it takes too long.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from vivace.errors import FlowError, StageError
from vivace.flow.bus import Bus
from vivace.flow.run import Run
from vivace.flow.scope import STOP_WITHIN_S, AbandonedTask, where
from vivace.machines.machine import Item, Job, JobDone, JobFailed
from vivace.part import Part

__all__ = ["Do", "Jobs", "Shell"]


class Shell(Protocol):
    """What a job may use of the shell that runs it."""

    bus: Bus

    async def emit(self, part: Part) -> None:
        """Send a part on, waiting for room; a part of a void reply is dropped."""
        ...

    def post(self, item: Item) -> None:
        """Feed the machine."""
        ...

    async def room(self) -> None:
        """Return once there is room for what the machine makes of what it is fed."""
        ...

    async def cleanup(self, within_s: float, kind: type[Job] = Job) -> None:
        """Wait for the jobs of this kind that were cancelled, at most `within_s` seconds."""
        ...


Do: TypeAlias = Callable[[Job, Shell], Awaitable[object]]
"""Does a job; what it returns goes to the machine as `JobDone`, what it raises as `JobFailed`."""


class Jobs:
    """True while some are under way. owner: what their tasks are named after."""

    def __init__(self, run: Run, owner: str, do: Do | None, shell: Shell) -> None:
        self._run = run
        self._owner = owner
        self._do = do
        self._shell = shell
        self._tasks: dict[Job, asyncio.Task[object]] = {}
        self._leaving: dict[asyncio.Task[object], tuple[Job, asyncio.TimerHandle]] = {}

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def begin(self, job: Job) -> None:
        """Do `job`. Raises StageError if there is nobody to do it."""
        if self._do is None:
            raise StageError(f"{self._owner} wants a {type(job).__name__} done, and has no `do`")
        name = f"{job.label} for {self._owner}"
        self._tasks[job] = self._run.start(self._work(job, self._do), name)

    async def _work(self, job: Job, do: Do) -> None:
        try:
            answer: Item = JobDone(job, await do(job, self._shell))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None, "it runs in a task of its own"
            if task.cancelling():
                raise
            answer = JobFailed(job, FlowError(f"{job.label} was cancelled from inside"))
        except Exception as error:
            answer = JobFailed(job, error)
        if self._tasks.pop(job, None) is not None:
            self._shell.post(answer)

    def cancel(self, job: Job) -> None:
        """Nobody wants its answer any more."""
        task = self._tasks.pop(job, None)
        if task is None:
            return
        loop = asyncio.get_running_loop()
        self._leaving[task] = (job, loop.call_later(STOP_WITHIN_S, _complain_of, task))
        task.add_done_callback(self._left)
        task.cancel()

    def _left(self, task: asyncio.Task[object]) -> None:
        self._leaving.pop(task)[1].cancel()

    def stop(self) -> None:
        """Cancel them all; the run names what it cannot stop."""
        for _, complaint in self._leaving.values():
            complaint.cancel()
        for task in self._tasks.values():
            task.cancel()

    async def cleanup(self, within_s: float, kind: type[Job]) -> None:
        """As `Shell.cleanup`."""
        leaving = {task for task, (job, _) in self._leaving.items() if isinstance(job, kind)}
        if leaving:
            await asyncio.wait(leaving, timeout=within_s)


def _complain_of(task: asyncio.Task[object]) -> None:
    warnings.warn(
        f"{task.get_name()} was cancelled and has not stopped in {STOP_WITHIN_S:g} s; "
        f"the conversation goes on without it; it is at {where(task)}",
        AbandonedTask,
        stacklevel=2,
    )
