"""What a suspended task waits for, and who else could bring it about.

This file owns the search for names. It runs only when a run has failed already, so it may be slow;
it must never fail itself, nor run any code of the objects that it looks at but their `repr`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import (
    CodeType,
    FrameType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, TypeAlias

from vivace.flow.channel import Channel
from vivace.flow.run import Run

__all__ = ["what_for"]

Stacks: TypeAlias = Mapping["asyncio.Task[Any]", list[FrameType]]
_ASYNCIO = str(Path(asyncio.__file__).parent)
_DEPTH, _LOOKED_AT, _LONG = 3, 2000, 80
_PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), type, range)


def what_for(task: asyncio.Task[Any], stacks: Stacks) -> str:
    """Such as `waits for Queue.get of <Queue maxsize=0>, held by ears as `words``.

    stacks: the frames of every task of interest, this one among them, outermost first.
    """
    future = getattr(task, "_fut_waiter", None)  # asyncio's own name for it, since 3.4
    if task.done():
        return f"has ended: {getattr(task.get_coro(), '__qualname__', 'no Python code')}"
    if future is None:
        return "is ready to run"
    others = _others(task, future, stacks[task])
    if others is not None:
        return f"waits for {others}"
    words, targets = _thing(future, stacks[task])
    if not targets:
        return f"waits for {words}"
    holders = [
        f"{other.get_name()} {known}"
        for other, frames in stacks.items()
        if other is not task
        and (known := _known(targets, frames) or _at_its_end(targets, other))
        and not words.startswith(known.removeprefix("in "))  # it waits for the same
    ]
    if len(holders) > 3:
        holders[3:] = [f"{len(holders) - 3} more"]
    return f"waits for {words}, held by {', '.join(holders) or 'no other task here'}"


def _others(task: asyncio.Task[Any], future: Any, frames: list[FrameType]) -> str | None:
    """The tasks that it waits for, or None if it waits for something else."""
    inner = frames[-1] if frames else None
    waited: list[Any] = []
    if isinstance(future, asyncio.Task):
        waited = [future]
    elif hasattr(future, "_children"):  # what `gather` returns
        waited = future._children
    elif inner is not None and _is_asyncios(inner.f_code):
        # As `wait`, `wait_for` and `TaskGroup` call them.
        local = inner.f_locals
        group = getattr(local.get("self"), "_tasks", ())
        waited = [*local.get("fs", ()), local.get("fut"), *group]
    names = sorted(it.get_name() for it in waited if isinstance(it, asyncio.Task) and not it.done())
    if not names:
        return None
    if len(names) > 5:
        names[5:] = [f"{len(names) - 5} more"]
    return f"task{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _thing(future: object, frames: list[FrameType]) -> tuple[str, list[object]]:
    """What it waits for, in words, and the objects by which others would know it."""
    if not frames:
        return "a future, in no Python code", [future]
    inner = frames[-1]
    if inner.f_code.co_name == "sleep" and _is_asyncios(inner.f_code):
        timer = inner.f_locals.get("h")
        when = f"{timer.when():g} s" if isinstance(timer, asyncio.TimerHandle) else "some time"
        return f"a sleep until {when}", []
    # What was called from outside: `Queue.join`, say, though it is an Event that waits in there.
    owners = [(frame, frame.f_locals["self"]) for frame in _tail(frames)]
    if owners:
        frame, owner = owners[0]
        words = f"{frame.f_code.co_qualname} of {_repr(owner)}"
        return words, [future, *(owner for _, owner in owners)]
    name = _name_of([future], inner.f_locals)
    return f"a future, its `{name}`" if name else "a future", [future]


def _tail(frames: list[FrameType]) -> list[FrameType]:
    """The innermost frames, as far as they are methods of asyncio, of a Channel or of a Run."""
    count = 0
    for frame in reversed(frames):
        owner = frame.f_locals.get("self")
        if owner is None or not (_is_asyncios(frame.f_code) or isinstance(owner, Channel | Run)):
            break
        count += 1
    return frames[len(frames) - count :]


def _is_asyncios(code: CodeType) -> bool:
    return code.co_filename.startswith(_ASYNCIO)


def _repr(thing: object) -> str:
    if isinstance(thing, Channel):
        now = thing.statistics()
        return f"<Channel waiting={now.waiting} senders={now.senders} receivers={now.receivers}>"
    if isinstance(thing, Run):
        return f"<Run of {thing.name}>"
    try:
        text = repr(thing)
    except Exception as error:
        text = f"<{type(thing).__name__}, whose repr raises {type(error).__name__}>"
    # Addresses tell a reader nothing, and are others in the next run.
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return text if len(text) <= _LONG else text[: _LONG - 4] + " ..>"


# -- names


def _known(targets: list[object], frames: list[FrameType]) -> str:
    """Such as "as `words`": how these frames call one of `targets`; "" if they do not know it."""
    inside = ""
    for frame in reversed(frames):
        name = _name_of(targets, frame.f_locals)
        if name and name != "self":
            return f"as `{name}`"
        if name:
            inside = f"in {frame.f_code.co_qualname}"
    return inside


def _at_its_end(targets: list[object], task: asyncio.Task[Any]) -> str:
    """A word if a callback for the end of `task` knows one of `targets`, as that of `shield`."""
    callbacks = getattr(task, "_callbacks", None) or ()
    known = _name_of(targets, {"callbacks": list(callbacks)})
    return "when it ends" if known else ""


def _name_of(targets: list[object], named: Mapping[str, object]) -> str:
    """How one of `targets` is called, starting from `named`; "" if it cannot be reached."""
    todo = deque((name, value, 0) for name, value in named.items())
    seen: set[int] = set()
    while todo and len(seen) < _LOOKED_AT:
        name, value, depth = todo.popleft()
        if any(value is target for target in targets):
            return name
        if id(value) in seen or isinstance(value, _PLAIN) or depth == _DEPTH:
            continue
        seen.add(id(value))
        with contextlib.suppress(Exception):  # whatever an object does when it is looked at
            todo.extend((name + more, inner, depth + 1) for more, inner in _parts_of(value))
    return ""


def _parts_of(value: Any) -> Iterator[tuple[str, object]]:
    """What `value` is made of, each with what to write behind the name of `value`."""
    if isinstance(value, asyncio.Future | asyncio.AbstractEventLoop | ModuleType):
        return  # through these everything is connected with everything
    if isinstance(value, dict):
        for key in value:
            yield f"[{key!r}]" if isinstance(key, str) else "[...]", value[key]
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from (("[...]", item) for item in value)
    elif isinstance(value, MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        yield from ((f" -> {name}", cell.cell_contents) for name, cell in cells)
    for name, inner in getattr(value, "__dict__", {}).items():
        yield f".{name}", inner
    for kind in type(value).__mro__:
        for slot, member in kind.__dict__.items():
            if isinstance(member, MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # not assigned yet
                    yield f".{slot}", member.__get__(value)
