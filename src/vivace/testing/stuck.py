"""Where a task waits, in words: follows the chain of awaits down to its end.

This file owns how the testing package names tasks and generators in its messages.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

__all__ = ["describe", "name_generator", "silence", "where"]

_SUSPENDED = (CoroutineType, AsyncGeneratorType, GeneratorType)
# Python's own objects between an `await` and what it drives; they have no names elsewhere.
_DRIVERS = ("anext_awaitable", "async_generator_asend", "async_generator_athrow")
_ASYNCIO = str(Path(asyncio.__file__).parent)


def describe(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """One indented line for each task, in the order in which they were created."""
    # A task of a virtual loop hashes to its number.
    return "".join(
        f"\n  {task.get_name()}: {where(task)}"
        for task in sorted(tasks, key=lambda task: hash(task))
    )


def silence(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Let `tasks`, which an error names, end with the loop without a line in the log."""
    for task in tasks:
        # What asyncio itself sets on the task of run_until_complete; there is no public way.
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def where(task: asyncio.Task[Any]) -> str:
    """`file:line in function` of the innermost frame in which a suspended task waits.

    Where that frame is asyncio's own (`Queue.get`), the caller outside asyncio comes first.
    """
    frames = list(_frames(task.get_coro()))
    if not frames:
        return "in no Python code"
    ours = [frame for frame in frames if not frame.f_code.co_filename.startswith(_ASYNCIO)]
    shown = [*ours[-1:], frames[-1]] if ours and ours[-1] is not frames[-1] else frames[-1:]
    return " -> ".join(_place(frame) for frame in shown)


def name_generator(generator: AsyncGeneratorType[Any, Any]) -> str:
    """`'function' (file:line)` of an async generator; the line is the one that defines it."""
    code = generator.ag_code
    return f"{generator.__qualname__!r} ({code.co_filename}:{code.co_firstlineno})"


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _frames(awaited: object) -> Iterator[FrameType]:
    """The frames of a chain of awaits, outermost first."""
    while awaited is not None:
        if isinstance(awaited, CoroutineType):
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, AsyncGeneratorType):
            frame, awaited = awaited.ag_frame, awaited.ag_await
        elif isinstance(awaited, GeneratorType):
            frame, awaited = awaited.gi_frame, awaited.gi_yieldfrom
        else:
            frame, awaited = None, _inside(awaited)
        if frame is not None:
            yield frame


def _inside(awaited: object) -> object:
    """What `awaited` drives, or None: a future, say, drives nothing.

    What `__anext__`, `asend` and `aclose` return does not tell which generator it belongs to;
    the garbage collector is the only one who knows.
    """
    for inner in gc.get_referents(awaited):
        if isinstance(inner, _SUSPENDED) or type(inner).__name__ in _DRIVERS:
            return inner
    return None
