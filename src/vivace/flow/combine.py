"""Several streams made one: side by side, or one after the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from contextvars import Context, copy_context

from vivace.flow.inlet import Inlet
from vivace.flow.merged import Ends, Merged, check_ends
from vivace.flow.processor import Processor
from vivace.flow.run import Run
from vivace.flow.stream import Stream
from vivace.flow.streams import Source
from vivace.part import Part

__all__ = ["concat", "merge"]


def merge(*sources: Source, ends: Ends = "all") -> Stream:
    """The parts of all sources, as they come.

    ends: "all": when all sources have ended. "first": when the first has; what the others had ready
        by then still comes.

    First come, first served: each source keeps its order, and of those that have a part ready, one
    that has given a part gives the next one after all others. Each is read one part ahead and no
    more.

    The first error of a source ends all, and comes after the parts that were ready before it; other
    errors are attached to it. Raises StageError for another `ends`.
    """
    check_ends(ends)
    reader = _Reader()
    return Stream(_Merge(sources, ends, reader), reader)


def concat(*sources: Source) -> Stream:
    """The parts of the first source, then those of the second, and so on.

    A source is begun when all before it have ended and been closed. However it ends, all are
    closed, also those that were never begun.
    """
    inlets = [Inlet(source) for source in sources]
    return Stream(_Concat(inlets), _one_after_the_other(inlets))


class _Reader(AsyncIterator[Part]):
    """A source of no parts, which notes who reads it.

    A stage belongs to its own run whoever pulls. What is merged inside of a stage is such stages,
    so they must be read as the run would read its source: in the context noted here.
    """

    context: Context

    async def __anext__(self) -> Part:
        self.context = copy_context()
        raise StopAsyncIteration


class _Merge(Processor):
    def __init__(self, sources: Sequence[Source], ends: Ends, reader: _Reader) -> None:
        self._sources = sources
        self._ends = ends
        self._reader = reader

    @property
    def name(self) -> str:
        return "merge"

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        merged = Merged(run, self._ends)
        for number, source in enumerate(self._sources):
            merged.add_source(source, f"{path}[{number}]")
        return run.boundary(self._read(stream, merged), path)

    async def _read(
        self, stream: AsyncIterator[Part], merged: Merged
    ) -> AsyncGenerator[Part, None]:
        await anext(stream, None)
        merged.context = self._reader.context
        async with aclosing(merged.parts()) as parts:
            async for part in parts:
                yield part


class _Concat(Processor):
    def __init__(self, inlets: Sequence[Inlet]) -> None:
        self._inlets = inlets

    @property
    def name(self) -> str:
        return "concat"

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        for number, inlet in enumerate(self._inlets):
            run.own(inlet, f"{path}[{number}]")
        return stream


async def _one_after_the_other(inlets: Sequence[Inlet]) -> AsyncGenerator[Part, None]:
    for inlet in inlets:
        async with aclosing(inlet):
            async for part in inlet:
                yield part
