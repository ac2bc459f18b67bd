"""Work begun at once: in the caller's own time up to its first wait, and from there in a task.

Most steps of a stream do not wait, and then there is nothing that a switch to another task would be
good for. But whose task it is must not depend on that: a time limit or a task group inside a stage
acts on the task in which it was made, and that must never be the caller's. So a step is taken in
the name of the task that goes on with it should it have to wait.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Protocol, TypeAlias, TypeVar, cast

__all__ = ["WAITS", "Eager", "Steps", "Wait", "Waits", "begin", "go_on", "noticing"]

T = TypeVar("T")

Steps: TypeAlias = Generator[Any, Any, Any] | Coroutine[Any, Any, Any]
"""What an awaitable gives when asked for the steps that it takes: coroutines and `anext` alike."""


class Waits:
    """The type of `WAITS`, which stands in place of a result that is not there yet."""


WAITS = Waits()

if sys.version_info >= (3, 12):
    from asyncio.tasks import _swap_current_task  # type: ignore[attr-defined]
else:

    def _swap_current_task(loop: asyncio.AbstractEventLoop, task: Any) -> Any:
        # What the documented `_enter_task` and `_leave_task` do, in half the calls.
        current: dict[Any, Any] = asyncio.tasks._current_tasks  # type: ignore[attr-defined]
        before = current.pop(loop, None)
        if task is not None:
            current[loop] = task
        return before


class Start(Protocol):
    """Starts a task in a context of its own."""

    def __call__(
        self, coro: Coroutine[Any, Any, Any], name: str, context: Context
    ) -> asyncio.Task[Any]: ...


class Eager:
    """A task that takes up, one after the other, what has to wait.

    start: starts the task; it ends when it is cancelled.
    done: called with the result, or None and the error, of each piece of work that `begin` said
        has to wait. Returns whether the task is to stay for more.

    While `waits`, it is at work and nothing else may be begun.
    """

    __slots__ = ("_begun", "_context", "_done", "_idle", "_loop", "_start", "task", "waits")

    def __init__(
        self,
        start: Start,
        name: str,
        context: Context,
        done: Callable[[Any, BaseException | None], bool],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = start
        self._context = context
        self._done = done
        self._begun: tuple[Steps, Any] | None = None
        self._idle: _Rest | None = None
        self.waits: bool = False
        self.task: asyncio.Task[Any] = self._begin_work(name, False)

    def _begin_work(self, name: str, cancelled: bool) -> asyncio.Task[Any]:
        work = self._work(cancelled)
        # Up to its first pause: a task that is cancelled before its first step would otherwise
        # never run a line of it, and leave what it was to go on with in the middle.
        work.send(None)
        return self._start(work, name, self._context)

    def begin(self, steps: Steps) -> Any:
        """Take `steps` up to the first wait. Returns the result or WAITS; raises its error."""
        value = begin(steps, self.task, self._context, self._loop)
        if type(value) is not Wait:
            return value
        self.hand_over(steps, value.on)
        return WAITS

    def hand_over(self, steps: Steps, waits_for: Any) -> None:
        """Go on, in the task, with `steps` that have been begun in its name."""
        _mark(waits_for, False)
        self._begun = (steps, waits_for)
        self.waits = True
        if self.task.done():  # whoever cancels all tasks there are means these steps as well
            cancelled = self.task.cancelling() > 0
            self.task = self._begin_work(self.task.get_name(), cancelled)
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def cancel(self) -> None:
        """End the task, and cancel what it is at unless somebody has: cleanup is not cut short."""
        if not self.waits or not self.task.cancelling():
            self.task.cancel()

    async def _work(self, cancelled: bool) -> None:
        pause: Awaitable[Any] = _pause()
        while True:
            cancelled |= await self._rest(pause)
            steps, waits_for = cast("tuple[Steps, Any]", self._begun)
            try:
                result = await go_on(steps, waits_for, cancelled)
            except BaseException as error:
                stays = self._ended(None, error)
                if isinstance(error, asyncio.CancelledError):
                    raise
            else:
                stays = self._ended(result, None)
                del result
            if not stays:
                return
            del steps, waits_for
            pause, cancelled = _pause(), False

    async def _rest(self, pause: Awaitable[Any]) -> bool:
        """Return when there is work to take up; True if it has been cancelled already."""
        try:
            await pause
            while self._begun is None:
                self._idle = _Rest(loop=self._loop)
                await self._idle
        except asyncio.CancelledError:
            if self._begun is None:
                raise
            return self.task.cancelling() > 0  # else a time limit has taken it back meanwhile
        return False

    def _ended(self, result: Any, error: BaseException | None) -> bool:
        self._begun = self._idle = None
        self.waits = False
        return self._done(result, error)


class _Rest(asyncio.Future[None]):
    """What a task waits for while it has nothing to do.

    A stage may hold a time limit or a task group while it rests between two parts, and they cancel
    its task there as well. It then feels it where it waits next, as a task does that is cancelled
    while it runs. Whoever else cancels the task ends it.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._task = asyncio.current_task()

    def cancel(self, msg: Any = None) -> bool:
        if self._loop.is_running() and asyncio.current_task() in (None, self._task):
            return False  # asyncio keeps it in mind
        return super().cancel(msg)


class Wait:
    """What work waits for: the future that it yielded, or None if it only lets others run."""

    __slots__ = ("on",)

    def __init__(self, on: Any) -> None:
        self.on: Any = on


def begin(
    steps: Steps, task: asyncio.Task[Any], context: Context, loop: asyncio.AbstractEventLoop
) -> Any:
    """Take `steps` in the name of `task`. Returns the result, or a `Wait`; raises its error."""
    caller = _swap_current_task(loop, task)
    try:
        return Wait(context.run(steps.send, None))
    except StopIteration as stop:
        return stop.value
    finally:
        _swap_current_task(loop, caller)


@types.coroutine
def go_on(steps: Steps, waits_for: Any, cancelled: bool = False) -> Generator[Any, Any, Any]:
    """Wait for what `steps` wait for already, and then go on with them. Await it in a task.

    cancelled: the task was cancelled before it could wait: do what asyncio does, which is to cancel
        what is waited for, and to raise CancelledError only where that is not possible.
    """
    error: BaseException | None = None
    if cancelled and (waits_for is None or not waits_for.cancel()):
        error = asyncio.CancelledError()
    else:
        _mark(waits_for, True)
    while True:
        if error is not None:
            try:
                waits_for = steps.throw(error)
            except StopIteration as stop:
                return stop.value
        try:
            yield waits_for
        except BaseException as raised:
            error = raised
        else:
            return (yield from steps)  # type: ignore[misc]  # a coroutine may stand here, too


@types.coroutine
def noticing(work: Awaitable[T]) -> Generator[Any, Any, tuple[T, bool]]:
    """Await `work`. Returns its result, and whether that had to be waited for."""
    steps = work.__await__()
    try:
        waits_for = next(steps)
    except StopIteration as stop:
        return stop.value, False
    return (yield from go_on(steps, waits_for)), True


def _mark(waits_for: Any, on_its_way: bool) -> None:
    """Say whether a future has been yielded and is on its way to the loop.

    asyncio lets nobody else wait for it meanwhile. That is no time at all where a task yields it,
    but several tasks may have their turn before what was handed over has its own.
    """
    if getattr(waits_for, "_asyncio_future_blocking", None) is not None:
        waits_for._asyncio_future_blocking = on_its_way


@types.coroutine
def _pause() -> Generator[None, None, None]:
    yield
