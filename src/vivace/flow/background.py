"""Jobs beside whoever asks for them: for machines that no stage drives.

This file owns their tasks. They belong to the run under way; outside of one, to whoever closes
this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from vivace.errors import StageError
from vivace.flow.run import current_run
from vivace.flow.scope import Scope
from vivace.machines.machine import Item, Job, JobDone, JobFailed

__all__ = ["Background"]


class Background:
    """Does jobs.

    answer: called with `JobDone` or `JobFailed` for each that was not cancelled.
    """

    def __init__(self, answer: Callable[[Item], None]) -> None:
        self._answer = answer
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._scope = Scope(_told_already)

    def begin(self, job: Job, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Await what `work` returns: what `job` asks for. Needs a running loop."""
        name = f"{type(job).__name__} in the background"
        try:
            start = current_run().start
        except StageError:
            start = self._scope.start
        self._tasks[job] = start(self._do(job, work), name)

    def cancel(self, job: Job) -> None:
        """Stop it; nothing more is heard of it. No error if it has ended."""
        task = self._tasks.pop(job, None)
        if task is not None:
            task.cancel()

    async def aclose(self) -> None:
        """Cancel what is under way and wait for it, within the bound of a run."""
        for job in list(self._tasks):
            self.cancel(job)
        await self._scope.stop()

    async def _do(self, job: Job, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            answer: Item = JobDone(job, await work())
        except Exception as error:
            answer = JobFailed(job, error)
        if self._tasks.pop(job, None) is None:
            return  # whoever cancelled it has gone on
        self._answer(answer)


def _told_already(error: BaseException) -> None:
    raise error  # nothing but what `answer` raises, which is ours to mend
