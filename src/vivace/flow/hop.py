"""Hops: what stands between a stage and whoever reads it.

Between two stages, `hop` takes side lanes out, makes parts of plain values, and notes where an
error came from. Between the last stage and the consumer, a `Gate` says whether a part may be taken
the short way. There are two of each: in C, and in Python for where nothing could be compiled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from vivace.flow.eager import Steps
from vivace.part import Audio, Part, Signal, is_side_lane

__all__ = [
    "IS_SIGNAL", "Aside", "Gate", "Meter", "Taker", "hop", "join", "metered", "note", "note_path",
    "said",
]  # fmt: skip

Aside = Callable[[Part], Awaitable[None] | None]
"""Sends a part of a side lane to the consumer; if there is no room, returns what to await."""


class _Kinds(dict[type, bool]):
    """Whether a class of bodies is one of signals: asked for each part, so found out but once."""

    def __missing__(self, kind: type) -> bool:
        self[kind] = issubclass(kind, Signal)
        return self[kind]


IS_SIGNAL = _Kinds()


async def hop(stream: AsyncIterator[Part], aside: Aside, path: str) -> AsyncGenerator[Part, None]:
    """`stream` as the next stage sees it."""
    try:
        async for part in stream:
            if part.__class__ is not Part:
                part = Part.of(part)
            if part.substream and is_side_lane(part.substream):
                room = aside(part)
                if room is not None:
                    await room
            else:
                yield part
    except Exception as error:
        note_path(error, path)
        raise


def join(
    stream: AsyncIterator[Part],
    functions: tuple[Callable[[Part], Any], ...],
    paths: tuple[str, ...],
    more: Callable[[Any, int], AsyncIterator[Part]],
) -> bool:
    """Let functions of one part stand behind `stream`, if it is a hop in C that has none yet.

    paths: of the functions. more: (result, index) gives what the functions from `index` on make of
    a result that is no part of the conversation, and not None.
    """
    in_c: Any = stream if type(stream) is _IN_C else None
    return in_c is not None and in_c.join(functions, paths, more)


def metered(
    stream: AsyncIterator[Part], aside: Aside, path: str, meter: Meter
) -> AsyncIterator[Part] | None:
    """A hop in C, which keeps `meter` itself; None where there is none."""
    in_c: Any = _IN_C
    return None if in_c is None else in_c(stream, aside, path, meter)


def note_path(error: BaseException, path: str) -> None:
    """Note once where `error` came from: the first to tell is nearest to it."""
    if not getattr(error, "_vivace_path", None):
        BaseException.__setattr__(error, "_vivace_path", path)
        note(error, f"in {path}")


def note(error: BaseException, text: str) -> None:
    """`error.add_note(text)`, also where its class lets nobody set anything, as a frozen one."""
    BaseException.__setattr__(error, "__notes__", [*getattr(error, "__notes__", ()), text])


def said(error: BaseException) -> str:
    """`str(error)`, also where that fails."""
    try:
        return str(error)
    except Exception as failed:
        return f"(its message cannot be told: {type(failed).__name__})"


class Meter:
    """What came out of one stage so far, and since when somebody waits.

    time: tells what the clock says. size: how many bytes a body has. passed: told of each part that
    goes aside, and of all if `of_parts`. ended: told once nothing more will come, and of the error,
    if it was one. waited_s: its reader for a part; room_s: the stage for its reader to ask again.
    asked_at: while it is asked. left_at: while a part is out and it is not asked again.
    """

    time: Callable[[], float]
    size: Callable[[Any], int]
    passed: Callable[[Any, Part, float, float, bool], object]
    ended: Callable[[Any, BaseException | None], object]
    of_parts: bool = False

    def __init__(self) -> None:
        self.parts = self.bytes = self.aside = 0
        self.waited_s = self.room_s = 0.0
        self.asked_at: float | None = None
        self.left_at: float | None = None
        self.over = False

    def asked(self) -> None:
        """The stage is asked for its next part."""
        if self.over:
            return
        at = self.asked_at = self.time()
        if self.left_at is not None:
            self.room_s += at - self.left_at
            self.left_at = None

    def kept(self) -> None:
        """It was asked, and its reader cannot take a part any more: it has to wait for room."""
        if self.over or self.asked_at is None:
            return
        at = self.left_at = self.time()
        self.waited_s += at - self.asked_at
        self.asked_at = None

    def left(self, part: Part, aside: bool) -> None:
        """`part` has come out of it. aside: it goes to the consumer, and not to the next stage."""
        if self.over:
            return
        at, asked_at = self.time(), self.asked_at
        self.left_at, self.asked_at = at, None
        self.waited_s += 0.0 if asked_at is None else at - asked_at
        if aside:
            self.aside += 1
        else:
            self.parts += 1
            self.bytes += self.size(part.body)
        if aside or self.of_parts:
            self.passed(self, part, at, at if asked_at is None else asked_at, aside)

    def crossed(self, part: Part) -> None:
        """`part` has come out of it, and it is asked for the next one at once."""
        if not self.over:
            self.left(part, False)
            self.asked_at, self.left_at = self.left_at, None


class Gate:
    """What a run lets its consumer see.

    quiet: nothing waits, overtakes or has ended: a part may be taken the short way, of which there
        is none in Python. at_once: parts taken since somebody waited.
    """

    __slots__ = ("at_once", "quiet")

    def __init__(
        self,
        parts: AsyncIterator[Part],
        came: Callable[[Part | None, BaseException | None], object],
        waits: Callable[[Steps, Any], object],
        task: asyncio.Task[Any],
        context: Context,
        loop: asyncio.AbstractEventLoop,
        at_most: int,
    ) -> None:
        self.quiet: bool = True
        self.at_once: int = 0


class Taker(AsyncIterator[Part]):
    """The base of `Stream`, which is taken from by `_anext`."""

    _gate: Gate | None = None

    def __anext__(self) -> Coroutine[Any, Any, Part]:
        return self._anext()

    async def _anext(self) -> Part:
        raise NotImplementedError


_IN_C: Any = None

if not TYPE_CHECKING and not os.environ.get("VIVACE_PURE_PYTHON"):
    with contextlib.suppress(ImportError):
        from vivace.flow import _speedups

        _speedups.setup(Part, Part.of, is_side_lane, note_path, IS_SIGNAL, Audio)
        from vivace.flow._speedups import Gate, Meter, Taker, hop

        _IN_C = hop
