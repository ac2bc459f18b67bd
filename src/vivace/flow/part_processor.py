"""Part processors: functions of one part, alone, in chains and side by side.

This file owns what a function may give, what it gets to see, and how neighbours that wait for
nothing become one loop; `abreast` has those that wait.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import aclosing
from typing import Any, TypeAlias, overload

from vivace.errors import StageError
from vivace.flow.abreast import CONCURRENCY, abreast
from vivace.flow.fused import fused, joined, passes_by, through
from vivace.flow.hop import said
from vivace.flow.processor import Processor, chain
from vivace.flow.run import Run
from vivace.flow.streams import values_of
from vivace.part import Part

__all__ = [
    "PASSTHROUGH_ALWAYS",
    "PASSTHROUGH_FALLBACK",
    "PartProcessor",
    "parallel",
    "part_processor",
]

Function: TypeAlias = Callable[[Part], Any]
Match: TypeAlias = Callable[[Part], object]


class PartProcessor(Processor):
    """A stage that takes one part at a time. Made by `part_processor`, `+`, `//` and `parallel`.

    Signals, such as `TurnComplete`, pass by it in their place, and so does what it does not want.
    """

    waits = False
    """True if it may have to wait, and then works on several parts at once."""
    concurrency = CONCURRENCY

    def matches(self, part: Part) -> bool:
        """True if it wants this part; others it lets pass untouched."""
        raise NotImplementedError

    def take(self, part: Part) -> Any:
        """What it makes of a part that it wants: any number of values, or what gives them."""
        raise NotImplementedError

    @property
    def step(self) -> Function:
        """What it makes of any part that is no signal; one that it does not want comes back."""
        return self._step

    def _step(self, part: Part) -> Any:
        return self.take(part) if self.matches(part) else part

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        """What comes of `stream`."""
        return abreast(stream, [self], self.concurrency, self.name)

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        """This stage's output within `run`."""
        if self.waits:
            return super().open(run, stream, path)
        return self.open_together(run, stream, [(path, self)])

    @property
    def joins(self) -> bool:
        return not self.waits

    def open_together(
        self, run: Run, stream: AsyncIterator[Part], links: Sequence[tuple[str, Any]]
    ) -> AsyncIterator[Part]:
        """The output of `links`, of which it is the first, made in one loop."""
        rest = None if run.watch else joined(stream, links)  # who watches wants to see each
        if rest is None:
            return run.boundary(fused(stream, links), links[-1][0])
        run.own(rest, links[-1][0])
        run.wires.cut(stream)
        return stream

    @overload
    def __add__(self, other: PartProcessor) -> PartProcessor: ...
    @overload
    def __add__(self, other: Processor) -> Processor: ...
    def __add__(self, other: Processor) -> Processor:
        if isinstance(other, PartProcessor):
            return _PartChain([*_links(self), *_links(other)])
        return super().__add__(other)

    def __floordiv__(self, other: PartProcessor) -> PartProcessor:
        """Side by side: each part goes to both, and what they make comes in their order."""
        if not isinstance(other, PartProcessor):
            return NotImplemented
        return parallel([self, other])


class _PartFunction(PartProcessor):
    def __init__(
        self, function: Function, match: Match | None, concurrency: int, as_parts: bool
    ) -> None:
        self._function = function
        self._match = match
        self._as_parts = as_parts
        self.concurrency = concurrency
        self.waits = _is_async(function) and concurrency > 1

    @property
    def name(self) -> str:
        return getattr(self._function, "__name__", "function")

    @property
    def step(self) -> Function:
        plain = self._match is None and not self._as_parts
        return self._function if plain else self._step

    def matches(self, part: Part) -> bool:
        return not passes_by(part) and (self._match is None or bool(self._match(part)))

    def take(self, part: Part) -> Any:
        if not self._as_parts:
            return self._function(part)
        try:
            result = self._function(part)
        except Exception as error:
            return _told(error, self.name, part)
        if isinstance(result, Part) or result is None:
            return result
        return self._guarded(result, part)

    async def _guarded(self, result: Any, part: Part) -> AsyncGenerator[Part, None]:
        try:
            async with aclosing(values_of(result)) as values:
                async for value in values:
                    yield value
        except Exception as error:
            yield _told(error, self.name, part)


class _PartChain(PartProcessor):
    """Part processors one after the other: a chain, and as such a part processor again."""

    def __init__(self, stages: Sequence[PartProcessor]) -> None:
        self._stages = tuple(stages)
        self._links = [("", stage) for stage in stages]
        self.waits = any(stage.waits for stage in stages)

    @property
    def name(self) -> str:
        return "agent"

    @property
    def stages(self) -> tuple[PartProcessor, ...]:
        return self._stages

    def matches(self, part: Part) -> bool:
        return any(stage.matches(part) for stage in self._stages)

    def take(self, part: Part) -> Any:
        return through(part, self._links, 0)

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        return chain(self._stages).open(run, stream, path)


def _links(stage: PartProcessor) -> Sequence[PartProcessor]:
    return stage.stages if isinstance(stage, _PartChain) else [stage]


class _Parallel(PartProcessor):
    def __init__(self, branches: Sequence[PartProcessor]) -> None:
        self.branches = branches
        self._others = [branch for branch in branches if branch is not PASSTHROUGH_FALLBACK]
        self.waits = any(branch.waits for branch in branches)

    @property
    def name(self) -> str:
        return "parallel"

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        fallback = len(self._others) < len(self.branches)
        return abreast(stream, self._others, self.concurrency, self.name, fallback=fallback)

    def matches(self, part: Part) -> bool:
        return any(branch.matches(part) for branch in self._others)

    async def take(self, part: Part) -> AsyncGenerator[Part, None]:
        gave = False
        for branch in self._others:
            if branch.matches(part):
                async with aclosing(values_of(branch.take(part))) as values:
                    async for value in values:
                        gave = True
                        yield value
        if not gave and len(self._others) < len(self.branches):
            yield part


class _Passthrough(PartProcessor):
    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def matches(self, part: Part) -> bool:
        return not passes_by(part)

    def take(self, part: Part) -> Any:
        return part


PASSTHROUGH_ALWAYS: PartProcessor = _Passthrough("passthrough_always")
"""Beside others in a `//`: lets each part through as well. In a chain it changes nothing."""

PASSTHROUGH_FALLBACK: PartProcessor = _Passthrough("passthrough_fallback")
"""Beside others in a `//`: lets a part through if the others made nothing of it."""


def parallel(branches: Iterable[PartProcessor]) -> PartProcessor:
    """Part processors side by side: each part goes to all that want it.

    What they make of a part comes in the order of `branches`, before what comes of the next part.
    A part that none of them wants passes untouched; so does what they make nothing of, if
    `PASSTHROUGH_FALLBACK` is among them, and every part if `PASSTHROUGH_ALWAYS` is.

    Works on as many parts at once as the least `concurrency` among those that wait.

    Raises StageError if there are none, or if something is no part processor.
    """
    flat: list[PartProcessor] = []
    for branch in branches:
        if not isinstance(branch, PartProcessor):
            raise StageError(
                f"{branch!r} takes no parts one by one, so it cannot stand in `//` or `parallel`; "
                "make part processors with @part_processor, or use split() and merge()"
            )
        flat.extend(branch.branches if isinstance(branch, _Parallel) else [branch])
    if not flat:
        raise StageError("side by side are no branches; give at least one")
    made = _Parallel(flat)
    made.concurrency = min((it.concurrency for it in flat if it.waits), default=CONCURRENCY)
    return made


@overload
def part_processor(function: Function, /) -> PartProcessor: ...
@overload
def part_processor(
    *,
    match: Match | None = None,
    concurrency: int = CONCURRENCY,
    yield_exceptions_as_parts: bool = False,
) -> Callable[[Function], PartProcessor]: ...
def part_processor(
    function: Function | None = None,
    /,
    *,
    match: Match | None = None,
    concurrency: int = CONCURRENCY,
    yield_exceptions_as_parts: bool = False,
) -> Any:
    """Make a processor of a function of one part.

    The function may be sync or async, and return or yield any number of parts: None, one value (a
    part, text, a dict, a body), or an iterable of such values.

    match: tells which parts it wants; others pass untouched. Signals, such as `TurnComplete`, pass
        by it always, so that a function that drops what it does not know cannot leave somebody
        waiting for the end of a turn.
    concurrency: calls of an async function that may be out at once, 8 unless said otherwise. What
        they give comes in the order of the parts, and each may be 16 parts ahead of its turn. No
        more of the stream is read than what they work on. With 1, parts are taken one at a time;
        so they are if the function is not async.
    yield_exceptions_as_parts: an error on one part is told on `status`, and the next part is taken;
        else it ends the run. What the function gave before it is kept.

    Raises StageError if it is no function, and PartError, as it runs, if the function gives
    something that is no part.
    """
    if function is None:
        return lambda function: _part_processor(
            function, match, concurrency, yield_exceptions_as_parts
        )
    return _part_processor(function, match, concurrency, yield_exceptions_as_parts)


def _part_processor(
    function: Function, match: Match | None, concurrency: int, as_parts: bool
) -> PartProcessor:
    """What `part_processor` makes, once it has the function."""
    if not callable(function):
        raise StageError(f"{function!r} is no function of one part")
    if concurrency < 1:
        raise StageError(f"a concurrency of {concurrency} lets nothing run; use 1 or more")
    return _PartFunction(function, match, concurrency, as_parts)


def _told(error: Exception, name: str, part: Part) -> Part:
    kind = type(error).__name__
    what = said(error)
    metadata = {"exception_type": kind, "original_exception": what, "stage": name}
    text = f"{name} failed on {part.mimetype}: {kind}: {what}"
    return Part(text, "model", "status", part.turn, part.at, metadata)


def _is_async(function: Any) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - an object's own, for what it is
    return any(
        inspect.iscoroutinefunction(it) or inspect.isasyncgenfunction(it) for it in (function, call)
    )
