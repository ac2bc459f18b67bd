"""One run on virtual time, from a fresh loop to a closed one.

This file owns what happens at the end of a run: what still stands is stopped, and named; what
nobody caught is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from vivace.testing.failures import Deadlock, Leaked, Livelock, NotVirtual, Unhandled
from vivace.testing.stuck import describe
from vivace.testing.virtual import CLEANUP_S, VirtualLoop

__all__ = ["run_virtual"]

T = TypeVar("T")


def run_virtual(
    main: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]],
    *,
    seed: int | None = None,
    allow_unclosed: bool = False,
) -> T:
    """Run `main`, a coroutine or a function that returns one, on a VirtualLoop of its own.

    seed: see VirtualLoop.
    allow_unclosed: accept async generators that were left half-way without `aclose()`.

    Like asyncio.run, it cancels what still runs at the end, lets it clean up (60 s of virtual
    time), closes async generators, and ends the threads.

    Returns what `main` returned and raises what it raised. Raises Deadlock, Livelock or NotVirtual
    as the loop does. If `main` returned, raises Unhandled for the errors that reached the loop's
    exception handler, unless `main` set one of its own; and Leaked if tasks still ran or generators
    stood half-way. A note on what it raises tells the seed, and the real time that threads took.
    """
    __tracebackhide__ = True
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("run_virtual() cannot be called from a running event loop")
    loop = VirtualLoop(seed)
    unhandled = _Errors(loop)
    try:
        try:
            result = loop.run_until_complete(main() if callable(main) else main)
        except BaseException:
            with contextlib.suppress(NotVirtual, Livelock):  # the first error says more
                _end(loop, unhandled)
            raise
        complaints = _end(loop, unhandled, allow_unclosed=allow_unclosed)
        failure = unhandled.verdict(complaints)
        if failure is not None:
            raise failure
    except BaseException as error:
        if isinstance(error, Deadlock | Livelock):
            error.__traceback__ = None  # the insides of the loop: nobody can learn from them
        unhandled.note_on(error)
        if seed is not None:
            error.add_note(f"on virtual time with seed={seed}")
        if report := loop.threads.report():
            error.add_note(report)
        raise
    return result


class _Errors:
    """What reaches the exception handler of a loop, unless somebody sets another one."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._errors: list[BaseException] = []
        self._take = self.take  # one object, to know it again
        loop.set_exception_handler(self._take)

    def take(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception handler."""
        message = context["message"]
        error = context.get("exception") or Leaked(message)
        who = context.get("future") or context.get("task") or context.get("asyncgen")
        if isinstance(who, asyncio.Task):
            message += f": {who.get_name()}"
        if all(error is not known for known in self._errors):
            error.add_note(message)
            self._errors.append(error)

    def collect(self) -> None:
        """Ask for the errors that tasks keep, and take no more."""
        if self._loop.get_exception_handler() == self._take:
            for task in self._loop.unseen_errors():
                message = "Task exception was never retrieved"
                self.take(
                    self._loop, {"message": message, "exception": task.exception(), "future": task}
                )
            self._loop.set_exception_handler(None)

    def verdict(self, complaints: list[str]) -> BaseException | None:
        """Unhandled with all errors, or Leaked with `complaints`, or None."""
        leaked = [Leaked("\n".join(complaints))] if complaints else []
        if not self._errors:
            return leaked[0] if leaked else None
        errors: list[Exception] = []
        for error in self._errors:
            if not isinstance(error, Exception):
                return error  # pytest.fail() in a callback, say: no group may hold it
            errors.append(error)
        return Unhandled(
            "nobody caught these; catch them where they arise, await the task, or expect them "
            "in a handler of the test: loop.set_exception_handler(...)",
            [*errors, *leaked],
        )

    def note_on(self, error: BaseException) -> None:
        """Tell on `error`, which ends the run, what else went wrong and may have caused it."""
        told = error.exceptions if isinstance(error, Unhandled) else [error]
        for other in self._errors:
            if all(other is not it for it in told):
                text = "".join(traceback.format_exception(other))
                error.add_note(f"before that, nobody caught this:\n{text}")


def _end(loop: VirtualLoop, unhandled: _Errors, *, allow_unclosed: bool = False) -> list[str]:
    """Stop all that runs on `loop`, close it, and say what should not have been there."""
    complaints: list[str] = []
    try:
        # Not those in which asyncio closes a dropped generator: they run no coroutine.
        leaked = [it for it in asyncio.all_tasks(loop) if inspect.iscoroutine(it.get_coro())]
        if leaked:
            complaints.append(f"still running at the end; await or cancel:{describe(leaked)}")
        stubborn = loop.end_tasks(leaked)
        if stubborn:
            complaints.append(f"cancelled, but did not end:{describe(stubborn)}")
        if not allow_unclosed:
            complaints += [
                f"async generator {name} was never closed; "
                "leave it by `async with contextlib.aclosing(...)`"
                for name in loop.unclosed_generators()
            ]
        loop.run_until_complete(_close_generators(loop))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        unhandled.collect()
        loop.close()
    return complaints


async def _close_generators(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLEANUP_S):
            await loop.shutdown_asyncgens()
