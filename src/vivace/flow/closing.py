"""The end of a run: all its tasks stopped and all its stages closed, within a bound.

What rests is closed at once, in the name of the run's own task; the rest has to wait for tasks, and
what will not stop is named in a warning and left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vivace.flow.clock import now
from vivace.flow.eager import WAITS, Eager
from vivace.flow.hop import note, said
from vivace.flow.scope import STOP_WITHIN_S, complain, halt

if TYPE_CHECKING:
    from vivace.flow.run import Run

__all__ = ["attach", "close_all"]


async def close_all(run: Run) -> None:
    """Stop the tasks of `run` and close what it opened, the last first. Errors go to `run.fail`."""
    begun = _close_what_rests(run)
    if begun is None and not run.opened and run.scope.tasks <= {run.eager.task}:
        run.scope.stopping = True
        run.eager.task.cancel()
        await asyncio.sleep(0)  # it rests, so it ends with its next step,
        if not run.eager.task.done():  # or with the one after
            await asyncio.wait([run.eager.task])
        return
    closer = run.loop.create_task(
        _close(run, begun), name=f"{run.name}.close", context=run.context.copy()
    )
    cancelled: asyncio.CancelledError | None = None
    while not closer.done():
        try:
            await asyncio.wait([closer])
        except asyncio.CancelledError as error:
            cancelled = error  # closing is bounded: finish it, then be cancelled
    failed = closer.exception()
    if cancelled is not None:
        raise cancelled
    if failed is not None:
        raise failed


def _close_what_rests(run: Run) -> asyncio.Task[None] | None:
    """Close what neither runs nor has to wait; returns the task of the first that has to wait."""
    eager = run.eager
    if eager.task.cancelling():  # what waits in a `finally` must not feel that
        eager = Eager(run.scope.start, eager.task.get_name(), run.context, _closed_for(run))
    while run.opened and not run.eager.waits:
        path, stream = run.opened[-1]
        if getattr(stream, "ag_running", False):
            break
        run.opened.pop()
        if getattr(stream, "ag_frame", stream) is None:
            continue  # it has ended
        try:
            outcome = eager.begin(_aclose(stream))
        except asyncio.CancelledError:
            pass  # of a task that it waited for; nobody has cancelled this one
        except BaseException as error:
            run.fail(error)
        else:
            if outcome is WAITS:
                eager.task.set_name(f"closing {path}")
                run.scope.tasks.discard(eager.task)  # it is not to be cancelled with the others
                return eager.task
    run.eager.cancel()  # also if a stage has done so, which is felt only where it waits
    return None


def _closed_for(run: Run) -> Callable[[Any, BaseException | None], bool]:
    def closed(_: Any, error: BaseException | None) -> bool:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            run.fail(error)
        return False

    return closed


async def _aclose(stream: Any) -> None:
    await stream.aclose()


async def _close(run: Run, begun: asyncio.Task[None] | None) -> None:
    until = now() + STOP_WITHIN_S
    closings: list[asyncio.Task[None]] = []
    while begun is not None:
        closings.append(begun)
        # A stage's cleanup may need the tasks that it has, or be about to stop them itself.
        await asyncio.wait([begun], timeout=max(0.0, until - STOP_WITHIN_S / 2 - now()))
        begun = _close_what_rests(run) if begun.done() else None
    complaints = await run.scope.halt((until - now()) / 2)
    half = now() + (until - now()) / 2
    opened, run.opened = run.opened, []
    running = [(path, it) for path, it in opened if getattr(it, "ag_running", False)]
    for path, stream in reversed(opened):
        if not getattr(stream, "ag_running", False):
            closings.append(run.loop.create_task(_aclose(stream), name=f"closing {path}"))
            # In order while there is time; after that all begin, whatever the others do.
            await asyncio.wait(closings[-1:], timeout=max(0.0, half - now()))
    slow = {closing for closing in closings if not closing.done()}
    left = await halt(slow, max(0.0, until - now()))
    for closing in slow:
        left.setdefault(closing, f"{closing.get_name()} took too long and was cancelled")
    if running:
        path = running[0][0]  # each of them waits for the one before it
        complaints = dict.fromkeys(complaints, f"{path} would not stop and was left behind")
        _close_later(run, set(complaints), running)
    for closing in closings:
        if closing.done() and not closing.cancelled() and (error := closing.exception()):
            run.fail(error)
    complain(complaints | left)


def _close_later(run: Run, stuck: set[asyncio.Task[Any]], running: list[tuple[str, Any]]) -> None:
    """Should the tasks that were left behind ever end, close what they kept from it."""

    async def close() -> None:
        await asyncio.wait(stuck)
        for _, stream in reversed(running):
            await stream.aclose()

    if stuck:
        run.loop.create_task(close(), name=f"{run.name}.close when it can")


def attach(error: BaseException, others: list[BaseException]) -> None:
    """Let `error` carry `others`: as notes for whoever reads, as exceptions where its context ends.

    Whatever else went wrong while it was on its way is neither raised in its place nor lost.
    """
    for other in others:
        where = getattr(other, "_vivace_path", "")
        what = f"{type(other).__name__}: {said(other)}" + (f" (in {where})" if where else "")
        note(error, f"also failed: {what}")
    known = _context_of(error)
    more = [other for other in others if not known.keys() & _context_of(other).keys()]
    if more:
        last = list(known.values())[-1]
        context = more[0] if len(more) == 1 else BaseExceptionGroup("also failed", more)
        BaseException.__setattr__(last, "__context__", context)


def _context_of(error: BaseException) -> dict[int, BaseException]:
    seen: dict[int, BaseException] = {}
    it: BaseException | None = error
    while it is not None and id(it) not in seen:
        seen[id(it)] = it
        it = it.__context__
    return seen
