"""Processors of Google's package `genai-processors` among ours, and ours among theirs.

This file owns the two borders. Theirs need a task group, and may read their input in any of its
tasks; so both run in tasks of our run, with a channel of one part before and one behind them, and
no task group is open around a `yield` of ours. The package is imported when it is first needed.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import AsyncGeneratorType
from typing import Any

from vivace.errors import Closed, FlowError, StageError
from vivace.flow.channel import Channel
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor
from vivace.flow.run import Run, current_run
from vivace.flow.scope import STOP_WITHIN_S
from vivace.part import Part, is_side_lane
from vivace.processors.genai_bodies import genai
from vivace.processors.genai_parts import from_genai_part, to_genai_part

__all__ = ["from_genai_processor", "to_genai_processor"]

# One: the consumer decides the pace. What waits inside of theirs is beyond our reach.
_HOP = 1


def from_genai_processor(theirs: Any) -> Processor:
    """A processor of ours that does what `theirs` does.

    theirs: a `Processor` or a `PartProcessor` of `genai-processors`. A part processor gets one part
        at a time, and no signals, as every part processor of ours; to have it as they run it, with
        a task for each part and as many at once as there are, give `theirs.to_processor()`.

    Raises StageError if it is neither, ModelMissing if the package is not there.
    """
    package = genai().processor
    if isinstance(theirs, package.PartProcessor):
        return _part_stage(theirs)
    if isinstance(theirs, package.Processor):
        return _Theirs(theirs)
    raise StageError(
        f"{theirs!r} is no processor of genai-processors; give a Processor or a PartProcessor, or "
        "decorate a function with their `processor_function` or `part_processor_function`"
    )


def to_genai_processor(ours: Processor) -> Any:
    """A `Processor` of `genai-processors` that does what `ours` does.

    Raises StageError if `ours` is no processor of ours, ModelMissing if the package is not there.
    """
    if not isinstance(ours, Processor):
        raise StageError(
            f"{ours!r} is no processor of Vivace; write it with @processor, @part_processor or as "
            "a subclass of Processor"
        )
    return _ours_class()(ours)


# -- theirs among ours -------------------------------------------------------------------------


class _Theirs(Processor):
    def __init__(self, theirs: Any) -> None:
        self._theirs = theirs

    @property
    def name(self) -> str:
        return _name_of(self._theirs)

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run = current_run()
        feed = _Feed(run)
        run.own(stream, f"the input of {self.name}")
        reader = run.start(feed.fill(stream, self.name), f"feed {self.name}")
        # As a stream of theirs: any other would be wrapped in one more generator.
        given = genai().processor.ProcessorStream(feed, trace=None)
        results = _results(lambda: self._theirs(given), feed.heard, self.name, feed.parts.close)
        try:
            async for part in results:
                yield part
        finally:
            # Theirs first: an end of its input would begin a cleanup that is then cut short.
            try:
                await results.aclose()
            finally:
                feed.parts.close()
                reader.cancel()


def _part_stage(theirs: Any) -> Processor:
    name = _name_of(theirs)

    def each(part: Part) -> Part | AsyncGenerator[Part, None]:
        given = to_genai_part(part)
        if genai().context.is_reserved_substream(given.substream_name) or not theirs.match(given):
            return part
        heard = _Heard()
        heard.take(part)
        return _results(lambda: theirs(given), heard, name)

    each.__name__ = name
    return part_processor(each)


class _Heard:
    """Media time up to which audio has passed: when a signal happens that does not say when."""

    def __init__(self) -> None:
        self.until = 0.0

    def take(self, part: Part) -> None:
        if part.seconds:
            self.until = (self.until if part.at is None else part.at) + part.seconds


class _Feed:
    """Our stream, for whichever task of theirs reads it: one that is cancelled loses nothing."""

    def __init__(self, run: Run) -> None:
        self.parts = Channel[Part](_HOP)
        self.heard = _Heard()
        self._run = run
        run.bus.register(self.parts)

    async def fill(self, stream: AsyncIterator[Part], name: str) -> None:
        with _ends(self.parts, self._run, f"a stage before {name}"):
            async for part in stream:
                await self.parts.send(part)

    def __aiter__(self) -> _Feed:
        return self

    async def __anext__(self) -> Any:
        part = await anext(self.parts)
        self.heard.take(part)
        return to_genai_part(part)


async def _results(
    begin: Callable[[], Any], heard: _Heard, name: str, end_input: Callable[[], None] | None = None
) -> AsyncGenerator[Part, None]:
    """What their stream yields that `begin` returns; it runs in a task of its own.

    end_input: called if it will not be cancelled, for it may yet end with its input.
    """
    run, shown = current_run(), _Heard()
    outbox = Channel[Part](_HOP)
    run.bus.register(outbox)

    async def emit(part: Part) -> None:
        if part.substream and is_side_lane(part.substream):
            await run.side.wait_for_room()
            run.say(part)
        elif not run.bus.fence.stale(part):
            await outbox.send(part)

    async def work() -> None:
        with _ends(outbox, run, name):
            async with _group_class()():
                results = aiter(begin())
                try:
                    async for each in results:
                        # Its place among the audio, if that comes out; else among what went in.
                        part = from_genai_part(each, shown.until or heard.until)
                        shown.take(part)
                        await emit(part)
                finally:
                    await _close(results)

    task = run.start(work(), name)
    try:
        async for part in outbox:
            yield part
    finally:
        outbox.close()
        task.cancel()
        if not task.done():
            # Its cleanup comes before that of what it reads from.
            await asyncio.wait([task], timeout=STOP_WITHIN_S / 8)
        if not task.done():
            if end_input is not None:
                end_input()
            await asyncio.wait([task])
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error  # of their cleanup: whoever closes this stage is told


async def _close(results: object) -> None:
    """Close a generator of theirs, and before it those that it reads from, from the inside out.

    Theirs closes none of these: the garbage collector would, at its own time and without a bound.
    """
    if not isinstance(results, AsyncGeneratorType) or results.ag_running:
        return
    try:
        for inner in gc.get_referents(results):
            await _close(inner)
    finally:
        try:
            await results.aclose()
        except BaseExceptionGroup as group:
            # A task group that is open around a `yield` takes being closed for an error.
            _, rest = group.split(GeneratorExit)
            if rest is not None:
                raise rest from None


@contextmanager
def _ends(channel: Channel[Part], run: Run, name: str) -> Iterator[None]:
    """Close `channel` when the block ends, with its error if it fails.

    Once nobody reads the channel any more, an error leaves the block.
    """
    try:
        yield
    except Exception as error:
        if channel.closed and isinstance(error, Closed):
            return
        if channel.closed or run.closing:
            raise
        channel.close(error)
    except asyncio.CancelledError:
        if not run.closing:
            channel.close(FlowError(f"{name} was cancelled from inside"))
        raise
    channel.close()


def _name_of(theirs: Any) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|\W+", "_", str(theirs.trace_name))
    return words.strip("_").lower()


_TASK_GROUP = "unhandled errors in a TaskGroup"  # what asyncio calls the groups that it makes


@functools.cache
def _group_class() -> Any:
    base: Any = genai().context.CancellableContextTaskGroup

    class Group(base):  # type: ignore[misc]  # only known once it runs
        """Their task group, but it raises what failed, as it was.

        Theirs raises the first error alone, and writes over what had caused it.
        """

        def __init__(self) -> None:
            super().__init__()
            self._failed: dict[int, tuple[Exception, BaseException | None, bool]] = {}
            self._running: set[asyncio.Task[Any]] = set()

        def create_task(self, *args: Any, **options: Any) -> asyncio.Task[Any]:
            task: asyncio.Task[Any] = super().create_task(*args, **options)
            self._running.add(task)
            task.add_done_callback(self._ended)
            return task

        def _ended(self, task: asyncio.Task[Any]) -> None:
            self._running.discard(task)
            if not task.cancelled():
                self._note(task.exception())

        def _note(self, error: BaseException | None) -> None:
            if isinstance(error, ExceptionGroup) and error.message == _TASK_GROUP:
                for each in error.exceptions:
                    self._note(each)
            elif isinstance(error, Exception):  # a task and whoever awaits it fail with the same
                known = (error, error.__cause__, error.__suppress_context__)
                self._failed.setdefault(id(error), known)

        async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
            self._note(error)
            for task in [task for task in self._running if task.done()]:
                self._ended(task)  # its callback is still to come
            try:
                return await super().__aexit__(kind, error, trace)
            except Exception as raised:
                told = raised
            for failed, cause, suppress in self._failed.values():
                failed.__cause__, failed.__suppress_context__ = cause, suppress
            errors = [failed for failed, _, _ in self._failed.values()] or [told]
            if len(errors) > 1:
                raise ExceptionGroup(f"{len(errors)} tasks of a genai processor failed", errors)
            raise errors[0]

    return Group


# -- ours among theirs -------------------------------------------------------------------------


@functools.cache
def _ours_class() -> Any:
    base: Any = genai().processor.Processor

    class VivaceProcessor(base):  # type: ignore[misc]  # only known once it runs
        """A processor of Vivace, for `genai-processors`."""

        def __init__(self, ours: Processor) -> None:
            self._ours = ours
            self.trace_name = ours.name
            # Caches of theirs tell processors apart by this; nothing else tells ours apart.
            self.key_prefix = f"vivace:{ours.name}:{uuid.uuid4()}"

        async def call(self, content: AsyncIterable[Any]) -> AsyncIterator[Any]:
            async with self._ours.run(_Parts(content)) as parts:
                async for part in parts:
                    yield to_genai_part(part)

    return VivaceProcessor


class _Parts:
    """A stream of theirs as a source of ours: closing it closes theirs."""

    def __init__(self, content: AsyncIterable[Any]) -> None:
        self._iterator = aiter(content)
        self._heard = _Heard()

    def __aiter__(self) -> _Parts:
        return self

    async def __anext__(self) -> Part:
        part = from_genai_part(await anext(self._iterator), self._heard.until)
        self._heard.take(part)
        return part

    async def aclose(self) -> None:
        await _close(self._iterator)
