"""Processors: what people write, and how they compose.

There are three ways to write one: a function of one part (`part_processor.py`), an async generator
over the stream (`@processor`, or a class with `call`), and a machine (`drive`). `a + b` chains
them. Nothing is buffered between stages, and state belongs to the run: one processor object serves
any number of runs at once.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from vivace.errors import StageError
from vivace.flow.hop import note_path
from vivace.flow.run import Run
from vivace.flow.stream import Stream
from vivace.flow.streams import Source
from vivace.part import Part

if TYPE_CHECKING:
    from datetime import timedelta

    from vivace.flow.failure import Again, Errors

__all__ = ["Processor", "chain", "processor"]

# Before a capital that begins a word; `HTTPStage` is two, `http_stage`.
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Processor:
    """A stage: reads parts, yields parts. Subclasses override `call`."""

    @property
    def name(self) -> str:
        """What errors and traces call it: the class's name, as `detect_speech`."""
        return _CAPITAL.sub("_", type(self).__name__).lower()

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        """Yield the output for `stream`: an async generator. Begins anew for every run."""
        raise StageError(f"{type(self).__name__} has no `call`; write it as an async generator")

    def __call__(self, source: Source) -> Stream:
        """Run over `source`: `async for part in processor(source)`."""
        return Stream(self, source)

    def run(self, source: Source) -> Stream:
        """The same, for `async with processor.run(source) as parts`: closed when the block ends."""
        return Stream(self, source)

    def fallback(self, other: Processor, on: Errors = Exception) -> Processor:
        """This one; and once it has failed, `other` over the input that is not answered yet.

        on: which errors `other` takes over from. See docs/failure.md for what counts as answered.
        """
        from vivace.flow import failure

        return failure.fallback(self, other, on)

    def timeout(self, *, first_s: float | None = None, total_s: float | None = None) -> Processor:
        """This one, with a limit in seconds to its work until the first part, and to all of it.

        Time counts while somebody waits for it and it waits for nobody. Raises TimeoutError.
        """
        from vivace.flow import failure

        return failure.timeout(self, first_s=first_s, total_s=total_s)

    def retry(
        self,
        *,
        on: Again,
        attempts: int | None = 10,
        timeout: float | timedelta | None = 45.0,
        wait_initial: float | timedelta = 0.1,
        wait_max: float | timedelta = 5.0,
        wait_jitter: float | timedelta = 1.0,
        wait_exp_base: float = 2,
    ) -> Processor:
        """This one, begun anew over the same input when it fails before it has answered any of it.

        The parameters are those of `stamina.retry`, which decides (extra: `vivace[retry]`).
        """
        from vivace.flow import failure

        return failure.retry(
            self,
            on=on,
            attempts=attempts,
            timeout=timeout,
            wait_initial=wait_initial,
            wait_max=wait_max,
            wait_jitter=wait_jitter,
            wait_exp_base=wait_exp_base,
        )

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        """This stage's output within `run`. `path` names it, as `agent[2].transcribe`."""
        try:
            return run.boundary(self._called(stream), path)
        except Exception as error:
            note_path(error, path)
            raise

    def _called(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        called: object = self.call(stream)
        if hasattr(called, "__anext__"):
            return cast("AsyncIterator[Part]", called)
        if inspect.iscoroutine(called):
            called.close()  # else Python complains, much later, that nobody awaited it
        raise StageError(
            f"`call` of {type(self).__name__} gives no stream of parts; it must be an async "
            "generator: `async def call(self, stream)` with `yield`"
        )

    @property
    def stages(self) -> Sequence[Processor]:
        """What it is a chain of; itself, if it is none."""
        return (self,)

    @property
    def joins(self) -> bool:
        """True if it can be opened together with neighbours that can be so too."""
        return False

    def open_together(
        self, run: Run, stream: AsyncIterator[Part], links: Sequence[tuple[str, Any]]
    ) -> AsyncIterator[Part]:
        """The output of `links`, paths and stages, of which it is the first."""
        raise NotImplementedError

    def __add__(self, other: Processor) -> Processor:
        if not isinstance(other, Processor):
            return NotImplemented
        return chain([self, other])


class _Chain(Processor):
    @property
    def name(self) -> str:
        return "agent"

    def __init__(self, stages: Sequence[Processor]) -> None:
        self._stages = tuple(stages)

    @property
    def stages(self) -> tuple[Processor, ...]:
        return self._stages

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        links = [(f"{path}[{at}].{stage.name}", stage) for at, stage in enumerate(self._stages)]
        for joins, group in groupby(links, lambda link: link[1].joins):
            together = list(group)
            if joins and not run.watch:  # who watches wants to see each
                stream = together[0][1].open_together(run, stream, together)
                continue
            for its_path, stage in together:
                stream = stage.open(run, stream, its_path)
        return stream


def chain(stages: Iterable[Processor]) -> Processor:
    """The stages one after the other: each reads what the one before it yields.

    Raises StageError if there are none, or if something is no processor.
    """
    flat: list[Processor] = []
    for stage in stages:
        if not isinstance(stage, Processor):
            raise StageError(
                f"{stage!r} is no processor; write it with @processor, @part_processor or as a "
                "subclass of Processor"
            )
        flat.extend(stage.stages)
    if not flat:
        raise StageError("a chain of no stages; give at least one")
    return _Chain(flat)


class _Function(Processor):
    def __init__(self, call: Callable[[AsyncIterator[Part]], AsyncIterator[Part]]) -> None:
        self._call = call

    @property
    def name(self) -> str:
        return getattr(self._call, "__name__", "function")

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return self._call(stream)


def processor(function: Callable[[AsyncIterator[Part]], AsyncIterator[Part]]) -> Processor:
    """Make a processor of an async generator function over the stream.

    Raises StageError if it is no async generator function.
    """
    if not inspect.isasyncgenfunction(function):
        raise StageError(
            f"{getattr(function, '__name__', function)!r} is no async generator function; "
            "it takes the stream and yields parts: `async def f(stream): async for part in stream`"
        )
    return _Function(function)
