"""Tasks and generators in words: what each waits for, and the way from the task to that place.

This file owns how the testing package names things in its messages.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Iterator, Sequence
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

from vivace.flow.eager import go_on
from vivace.testing.waits import what_for

__all__ = ["describe", "name_callback", "name_generator", "silence"]

_SUSPENDED = (CoroutineType, AsyncGeneratorType, GeneratorType)
# What Python, or a hop, puts between an `await` and what it drives; the types have no other names.
_DRIVERS = ("anext_awaitable", "async_generator_asend", "async_generator_athrow", "step", "take")
# What a reader takes in. A hundred readers of one queue are told in one paragraph anyway.
_NAMES, _FRAMES, _PARAGRAPHS = 3, 12, 20


def describe(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """A paragraph for each task, in the order in which they were created.

    It says what the task waits for, which other task here holds that, and the stack, outermost
    first. Tasks of which all this is the same share one.
    """
    # A task of a virtual loop hashes to its number.
    ordered = sorted(tasks, key=lambda task: hash(task))
    stacks = {task: list(_frames(task.get_coro())) for task in ordered}
    told: dict[str, list[str]] = {}
    for task in ordered:
        text = what_for(task, stacks) + "".join(map(_line, _shortened(stacks[task])))
        told.setdefault(text, []).append(task.get_name())
    paragraphs = [f"\n  {_names(names)} {text}" for text, names in told.items()]
    if len(paragraphs) > _PARAGRAPHS:
        more = sum(len(names) for names in [*told.values()][_PARAGRAPHS:])
        paragraphs[_PARAGRAPHS:] = [f"\n  ... and {more} more tasks"]
    return "".join(paragraphs)


def silence(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Let `tasks`, which an error names, end with the loop without a line in the log."""
    for task in tasks:
        # What asyncio itself sets on the task of run_until_complete; there is no public way.
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def name_generator(generator: AsyncGeneratorType[Any, Any]) -> str:
    """`'function' (file:line)` of an async generator; the line is the one that defines it."""
    code = generator.ag_code
    return f"{generator.__qualname__!r} ({code.co_filename}:{code.co_firstlineno})"


def name_callback(handle: asyncio.Handle) -> str:
    """`function (file:line)` of a plain callback."""
    callback: Any = getattr(handle, "_callback", None)
    code = getattr(callback, "__code__", None)
    name = getattr(callback, "__qualname__", repr(callback))
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


def _names(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f"{', '.join(names[:_NAMES])}{more}: each"


def _shortened(frames: list[FrameType]) -> list[FrameType | int]:
    """The frames, of which many in the middle are replaced by their number."""
    if len(frames) <= _FRAMES:
        return [*frames]
    return [*frames[:3], len(frames) - _FRAMES, *frames[3 - _FRAMES :]]


def _line(frame: FrameType | int) -> str:
    if isinstance(frame, int):
        return f"\n    ... {frame} more"
    return f"\n    {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _frames(awaited: object) -> Iterator[FrameType]:
    """The frames of a chain of awaits, outermost first."""
    while awaited is not None:
        if isinstance(awaited, CoroutineType):
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, AsyncGeneratorType):
            frame, awaited = awaited.ag_frame, awaited.ag_await
        elif isinstance(awaited, GeneratorType):
            frame, awaited = awaited.gi_frame, awaited.gi_yieldfrom
            if awaited is None and frame is not None and frame.f_code is go_on.__code__:
                awaited = frame.f_locals["steps"]  # begun in another task, and not yet awaited here
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
