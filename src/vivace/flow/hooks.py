"""Hooks: who is told what the stages of a run do, and the meter that finds it out.

Whether anybody listens is decided once, when a run begins: a run that nobody watches does nothing
of what is below. Whatever a hook does, the run goes on.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import traceback
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from vivace.errors import FlowError
from vivace.flow.bus import Bus
from vivace.flow.clock import clock
from vivace.flow.hop import Aside, Meter, hop, metered
from vivace.flow.observe import is_beside
from vivace.flow.records import (
    Announced,
    Ended,
    Measured,
    PartPassed,
    Record,
    RunFinished,
    RunStarted,
    Said,
    StageCounts,
    StageFailed,
    StageFinished,
    StageId,
    StageStarted,
)
from vivace.part import Audio, Body, Data, Image, Part, Signal, is_side_lane

__all__ = ["Hook", "HookFailed", "Watch", "add_hook", "observe", "remove_hook", "watch"]

Hook: TypeAlias = Callable[[Record], None]
"""Gets each record as it happens, inside the run: it must be quick, and cannot wait.

A hook with a true attribute `skips_parts` is told only of parts on side lanes; where all hooks are
so, a part costs half. What has gone through a stage it learns by the counts in `StageStarted`.
"""


class HookFailed(RuntimeWarning):
    """A hook raised. It is told nothing more of that run."""


# -- who listens ----------------------------------------------------------------------------------

_everywhere: tuple[Hook, ...] = ()
_here: ContextVar[tuple[Hook, ...]] = ContextVar("vivace_hooks", default=())


@contextmanager
def observe(hook: Hook) -> Iterator[None]:
    """Tell `hook` of the runs that begin inside the block, and of those begun within them.

    A run begins with its first part, and is told of to its end, also after the block.
    """
    _check(hook)
    _here.set((*_here.get(), hook))
    try:
        yield
    finally:
        # By no token: a generator with the block in it may be closed in another context.
        _here.set(_without(hook, _here.get()))


def add_hook(hook: Hook) -> None:
    """Tell `hook` of every run of this process that begins from now on."""
    global _everywhere
    _check(hook)
    _everywhere = (*_everywhere, hook)


def remove_hook(hook: Hook) -> None:
    """Undo one `add_hook`: no run that begins from now on is told of. Raises FlowError if there
    was none."""
    global _everywhere
    if hook not in _everywhere:
        raise FlowError(f"{_name_of(hook)} is not there to be removed; was it given to add_hook?")
    _everywhere = _without(hook, _everywhere)


def _check(hook: Hook) -> None:
    if not callable(hook):
        raise FlowError(f"{hook!r} cannot be called; a hook is a function that takes a record")
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
        raise FlowError(
            f"{_name_of(hook)} is async, and a hook cannot wait; let it be a plain function that "
            "leaves the records where a task of yours finds them"
        )


def _without(hook: Hook, hooks: tuple[Hook, ...]) -> tuple[Hook, ...]:
    left = list(hooks)
    if hook in left:
        left.remove(hook)
    return tuple(left)


def _name_of(hook: Hook) -> str:
    return getattr(hook, "__qualname__", type(hook).__qualname__)


# -- telling them ---------------------------------------------------------------------------------

_numbers = itertools.count(1)


def watch(name: str, bus: Bus, above: Watch | None) -> Watch | None:
    """Begin to watch the run `name`, inside the one that `above` watches; None if nobody does."""
    hooks = _everywhere + _here.get()
    return Watch(hooks, name, bus, above) if hooks else None


class Watch:
    """Tells the hooks of one run."""

    def __init__(self, hooks: tuple[Hook, ...], name: str, bus: Bus, above: Watch | None) -> None:
        # Shared with the runs inside: where each reply is a run, one complaint has to do.
        self._broken: list[Hook] = above._broken if above else []
        self._hooks = tuple(hook for hook in hooks if hook not in self._broken)
        self._of_parts = not all(getattr(hook, "skips_parts", False) for hook in self._hooks)
        self._name = name
        self._run = next(_numbers)
        self._now = clock()
        self._parent = above._run if above else None
        self._bus = None if above else bus
        self._purged = bus.purged
        self._meters: list[_Meter] = []
        self._error: BaseException | None = None  # the newest one, and the stage it came from
        self._origin = ""
        self._tell(RunStarted(self._run, self._parent, name, self._now(), is_beside()))
        if self._bus:
            self._bus.subscribe(self._announced)

    def observed(
        self, stream: AsyncIterator[Part], aside: Aside, path: str
    ) -> tuple[AsyncIterator[Part], object, Meter]:
        """`stream`, the output of the stage at `path`, as the next one sees it, with every part of
        it told; what is to be closed at the end of the run; and what counts.

        That closes `stream`, unless nothing was read from it.
        """
        before = self._meters[-1] if self._meters else None
        meter = _Meter(StageId(self._run, self._parent, path, len(self._meters)), before)
        meter.time, meter.size, meter.of_parts = self._now, _size, self._of_parts
        meter.passed, meter.ended = self._passed, self._ended
        self._meters.append(meter)
        self._tell(StageStarted(meter.stage, self._now(), lambda: meter.counts(self._now())))
        passed = metered(stream, aside, path, meter)
        if passed is not None:
            return passed, _Closing(self._close, stream, meter), meter
        read = self._metered(stream, meter)
        return hop(read, aside, path), read, meter

    def said(self, part: Part) -> None:
        """Somebody in the run has sent `part` straight to the consumer."""
        self._tell(Said(self._run, self._now(), part))

    def measured(self, by: str, what: str, value: float) -> None:
        """Somebody in the run has measured something; see `Measured`."""
        self._tell(Measured(self._run, self._now(), by, what, value))

    def end(self, error: BaseException | None) -> None:
        """The run is closed and `error` came out of it: tell so, and what had not ended. No more
        is told after that."""
        for meter in self._meters:
            if not meter.over:
                self._finished(meter, "abandoned" if meter.begun() else "closed")
        whole = self._meters and self._meters[-1].exhausted
        ended: Ended = "failed" if error else "exhausted" if whole else "closed"
        self._tell(RunFinished(self._run, self._now(), ended, error))
        if self._bus:
            self._bus.unsubscribe(self._announced)
        self._hooks = ()
        self._error = None

    async def _metered(
        self, stream: AsyncIterator[Part], meter: _Meter
    ) -> AsyncGenerator[Part, None]:
        meter.asked()
        try:
            async for part in stream:
                if part.__class__ is not Part:
                    part = Part.of(part)  # as whoever reads it would
                meter.left(part, bool(part.substream) and is_side_lane(part.substream))
                yield part
                meter.asked()
        except GeneratorExit:
            await self._close(stream, meter)
            raise
        except BaseException as error:
            self._ended(meter, error)
            raise
        self._ended(meter, None)

    def _passed(self, meter: _Meter, part: Part, at: float, asked_at: float, aside: bool) -> None:
        self._tell(PartPassed(meter.stage, at, part, asked_at, aside))

    def _ended(self, meter: _Meter, error: BaseException | None) -> None:
        """Nothing more will come out of a stage, but for `error`."""
        task = asyncio.current_task() if isinstance(error, asyncio.CancelledError) else None
        if error is None:
            meter.exhausted = True
            self._finished(meter, "exhausted")
        elif isinstance(error, GeneratorExit) or (task and task.cancelling()):
            self._finished(meter, "closed")  # whoever reads it was told to stop, or has left
        else:
            self._failed(meter, error)

    async def _close(self, stream: AsyncIterator[Part], meter: _Meter) -> None:
        aclose = getattr(stream, "aclose", None)
        try:
            if aclose is not None:
                await aclose()
        except asyncio.CancelledError:
            self._finished(meter, "closed")  # it took too long
            raise
        except BaseException as error:
            self._failed(meter, error)
            raise
        self._finished(meter, "closed")

    def _finished(self, meter: _Meter, ended: Ended) -> None:
        if meter.over:
            return
        at = self._now()
        asked_at = meter.stop(at)
        self._tell(StageFinished(meter.stage, at, ended, meter.counts(at), asked_at))

    def _failed(self, meter: _Meter, error: BaseException) -> None:
        if meter.over:
            return
        at = self._now()
        asked_at = meter.stop(at)
        if error is not self._error:  # the first stage that it passes is nearest to it
            self._error, self._origin = error, meter.stage.path
        counts = meter.counts(at)
        self._tell(StageFailed(meter.stage, at, error, self._origin, counts, asked_at))

    def _announced(self, signal: Signal) -> None:
        self._tell(Announced(self._run, self._now(), signal))
        purged = self._bus.purged if self._bus else 0
        if purged > self._purged:
            self.measured("interruption", "dropped", purged - self._purged)
            self._purged = purged

    def _tell(self, record: Record) -> None:
        for hook in self._hooks:
            try:
                hook(record)
            except Exception as error:
                self._drop(hook, error)

    def _drop(self, hook: Hook, error: Exception) -> None:
        self._hooks = tuple(it for it in self._hooks if it is not hook)
        if hook in self._broken:
            return
        self._broken.append(hook)
        what = traceback.format_exception_only(error)[0].strip()  # also of what has no text
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = (
            f"{_name_of(hook)} raised {what} at {place.filename}:{place.lineno}; "
            f"it is told nothing more of this run of {self._name}"
        )
        try:
            warnings.warn(text, HookFailed, stacklevel=2)
        except HookFailed as warning:  # warnings are errors here; the run goes on all the same
            context = {"message": text, "exception": warning}
            asyncio.get_running_loop().call_exception_handler(context)


class _Closing:
    """What a run closes at its end in the place of a stage whose hop keeps the meter."""

    def __init__(
        self,
        close: Callable[[AsyncIterator[Part], _Meter], Awaitable[None]],
        stream: AsyncIterator[Part],
        meter: _Meter,
    ) -> None:
        self._close = close
        self._stream = stream
        self._meter = meter

    @property
    def ag_running(self) -> bool:
        """As of a generator: somebody waits for a part."""
        return getattr(self._stream, "ag_running", False)

    @property
    def ag_frame(self) -> object:
        """Likewise: None where there is nothing to be closed."""
        return self if self._meter.begun() and not self._meter.over else None

    async def aclose(self) -> None:
        """Close the stage and tell that it has ended."""
        await self._close(self._stream, self._meter)


class _Meter(Meter):
    """A meter that knows its stage, and the one before."""

    def __init__(self, stage: StageId, before: _Meter | None) -> None:
        super().__init__()
        self.stage = stage
        self.before = before
        self.exhausted = False

    def begun(self) -> bool:
        """True once it was asked."""
        return self.asked_at is not None or self.left_at is not None

    def stop(self, at: float) -> float | None:
        """Nothing more will come; return when it was asked for what does not come."""
        asked_at, self.waited_s = self.asked_at, self.waited(at)
        if self.left_at is not None:
            self.room_s += at - self.left_at
        self.asked_at = self.left_at = None
        self.over = True
        return asked_at

    def counts(self, at: float) -> StageCounts:
        """All there was until `at`."""
        before = self.before
        return StageCounts(
            parts_in=before.parts if before else 0,
            bytes_in=before.bytes if before else 0,
            parts_out=self.parts,
            bytes_out=self.bytes,
            parts_aside=self.aside,
            waited_for_input_s=before.waited(at) if before else 0.0,
            waited_for_room_s=self.room_s,
        )

    def waited(self, at: float) -> float:
        """How long the reader has waited until `at`."""
        return self.waited_s + (0.0 if self.asked_at is None else at - self.asked_at)


def _size(body: Body) -> int:
    if isinstance(body, Audio):
        return len(body.pcm)
    if isinstance(body, str):
        # Text may hold half of a surrogate pair, which has no UTF-8.
        return len(body) if body.isascii() else len(body.encode(errors="surrogatepass"))
    return len(body.data) if isinstance(body, Image | Data) else 0
