"""Routing: each part to the processor that is meant for it, and what they make into one stream.

This file owns who gets a part. Where all branches are part processors, so is the switch. Otherwise
they work side by side, and this file owns what may wait for each of them.
"""

from __future__ import annotations

import asyncio
import inspect
import operator
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from functools import reduce
from typing import Any, TypeAlias, TypeVar

import msgspec

from vivace.errors import Closed, StageError
from vivace.flow.abreast import CONCURRENCY
from vivace.flow.channel import Channel
from vivace.flow.hop import note_path
from vivace.flow.merged import Merged
from vivace.flow.part_processor import PartProcessor, part_processor
from vivace.flow.processor import Processor
from vivace.flow.run import Run
from vivace.part import Part, Signal, is_side_lane

__all__ = ["Predicate", "pass_through", "switch"]

Predicate: TypeAlias = Callable[[Part], object]
"""Tells whether a part is meant for a branch: what it returns is taken as true or false."""
# One of two kinds, and no overloads: of those, mypy makes Any where a predicate is a lambda.
_P = TypeVar("_P", PartProcessor, Processor)


@part_processor
def pass_through(part: Part) -> Part:
    """Yield each part as it came."""
    return part


def switch(
    *branches: tuple[Predicate, _P],
    default: _P | None = None,
    capacity: int = 16,
    seconds: float = 2.0,
) -> _P:
    """Give each part to the first branch whose predicate takes it; yield what all branches yield.

    default: gets what no predicate takes. Without it, such a part is a StageError. Signals that no
        predicate takes pass by the branches.

    If all branches are part processors, so is the switch: what comes out is in the order of what
    came in, signals pass by in their place, and as many parts are worked on at once as the branches
    say (`concurrency`). Otherwise branches work side by side, as follows.

    capacity: parts that may wait for a branch, besides those that it works on. When one more comes
        for it, nothing more is read until there is room; the other branches work on what they have.
        16 chunks of 20 ms are 0.3 s: as much as the outbox of a driven stage holds.
    seconds: seconds of audio that may wait for a branch; one part longer than that waits alone.

    What one branch yields keeps its order; branches are merged first come, first served, and a
    signal that passes by waits for nobody. Ends when all branches have ended; what is meant for a
    branch that has ended is left, as it is in a chain. An error of a branch ends all. One of the
    input is met by each branch where it reads on, as in a chain, and is raised when all have ended.

    Raises StageError if there are no branches, or if something is no pair of a predicate and a
    processor.
    """
    if not branches:
        raise StageError("a switch of no branches; give (predicate, processor) pairs")
    for branch in branches:
        _check(branch)
    pairs = list(branches)
    if default is not None:
        if not isinstance(default, Processor):
            raise StageError(f"default={default!r} is no processor; use one, such as pass_through")
        pairs.append((_is_no_signal, default))
    Channel[Part](capacity)  # raises if it lets nothing in
    predicates = [predicate for predicate, _ in pairs]
    functions = [_as_part_processor(processor) for _, processor in pairs]
    made: Any = _Switch(predicates, [it for _, it in pairs], _Bounds(capacity, seconds))
    if None not in functions:
        made = _PartSwitch(predicates, functions)  # type: ignore[arg-type]
    return made  # type: ignore[no-any-return]


def _check(branch: object) -> None:
    match branch:
        case (predicate, Processor()) if callable(predicate):
            if inspect.iscoroutinefunction(predicate):
                raise StageError(f"{predicate!r} is async, and a predicate answers at once")
        case _:
            raise StageError(
                f"{branch!r} is no branch; give a pair (predicate, processor), where predicate is "
                "a function of one part"
            )


def _is_no_signal(part: Part) -> bool:
    return not isinstance(part.body, Signal)


def _as_part_processor(processor: Processor) -> PartProcessor | None:
    if isinstance(processor, PartProcessor):
        return processor
    stages = [it for it in processor.stages if isinstance(it, PartProcessor)]
    return reduce(operator.add, stages) if len(stages) == len(processor.stages) else None


def _nobody_takes(part: Part) -> StageError:
    text = repr(part)
    shown = text if len(text) <= 200 else f"{text[:200]}…"
    return StageError(
        f"no branch of the switch takes {shown}; add a (predicate, processor) pair for it, or "
        "default=pass_through"
    )


class _PartSwitch(PartProcessor):
    """A switch of part processors: a part processor itself."""

    def __init__(self, predicates: Sequence[Predicate], branches: Sequence[PartProcessor]) -> None:
        self._branches = list(zip(predicates, branches, strict=True))
        self.waits = any(branch.waits for branch in branches)
        self.concurrency = min((it.concurrency for it in branches if it.waits), default=CONCURRENCY)

    @property
    def name(self) -> str:
        return "switch"

    def matches(self, part: Part) -> bool:
        return _is_no_signal(part) and not is_side_lane(part.substream)

    def take(self, part: Part) -> Any:
        for predicate, branch in self._branches:
            if predicate(part):
                return branch.take(part) if branch.matches(part) else part
        raise _nobody_takes(part)


class _Bounds(msgspec.Struct, frozen=True):
    capacity: int
    seconds: float


class _Switch(Processor):
    def __init__(
        self, predicates: Sequence[Predicate], branches: Sequence[Processor], bounds: _Bounds
    ) -> None:
        self._predicates = predicates
        self._branches = branches
        self._bounds = bounds

    @property
    def name(self) -> str:
        return "switch"

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        merged = Merged(run)
        tracks = [_Track(run, predicate, self._bounds) for predicate in self._predicates]
        router = _Router(run, tracks, path)
        merged.add(router.passing_by(stream), f"the input of {path}", counts=False)
        for number, (track, branch) in enumerate(zip(tracks, self._branches, strict=True)):
            its_path = f"{path}[{number}].{branch.name}"
            made = branch.open(run, track.inbox, its_path)
            merged.add(track.yielded(made, tracks), its_path)
        return run.boundary(merged.parts(), path)


class _Track:
    """A branch as it runs."""

    def __init__(self, run: Run, takes: Predicate, bounds: _Bounds) -> None:
        self.takes = takes
        self.inbox = Channel[Part](
            bounds.capacity, seconds=bounds.seconds, weigh=lambda part: part.seconds
        )
        self.over = asyncio.Event()
        run.bus.register(self.inbox)

    async def yielded(
        self, made: AsyncIterator[Part], all_tracks: Sequence[_Track]
    ) -> AsyncGenerator[Part, None]:
        """What the branch yields. An error of the input comes when all branches are over."""
        try:
            async for part in made:
                yield part
        except Exception as error:
            if error is not self.inbox.error:
                raise
        finally:
            self.inbox.close()
            self.over.set()
        if self.inbox.error is not None:
            await _all_over(all_tracks)
            raise self.inbox.error


async def _all_over(tracks: Sequence[_Track]) -> None:
    for track in tracks:
        await track.over.wait()


class _Router:
    """Gives out the parts."""

    def __init__(self, run: Run, tracks: Sequence[_Track], path: str) -> None:
        self._stale = run.bus.fence.stale
        self._tracks = tracks
        self._path = path

    async def passing_by(self, stream: AsyncIterator[Part]) -> AsyncGenerator[Part, None]:
        """The parts that are meant for nobody."""
        try:
            async for part in stream:
                if all(track.over.is_set() for track in self._tracks):
                    break
                if not (part.turn and self._stale(part)) and not await self._give(part):
                    yield part
        except Exception as error:
            note_path(error, self._path)  # if it is the switch's own: no branch is to blame
            for track in self._tracks:
                track.inbox.close(error)  # which each meets when it has read what came before it
            try:
                await _all_over(self._tracks)  # then they raise it
            except asyncio.CancelledError:
                raise error from None  # something else has: that is to carry this one
        finally:
            for track in self._tracks:
                track.inbox.close()

    async def _give(self, part: Part) -> bool:
        """Give `part` to who takes it. False if nobody does, and nobody has to."""
        for track in self._tracks:
            if track.takes(part):
                break
        else:
            if _is_no_signal(part):
                raise _nobody_takes(part)
            return False
        try:
            await track.inbox.send(part)
        except Closed:
            # It has ended and takes no more. An input that never has to wait would otherwise be
            # read for ever while nobody else can run.
            await asyncio.sleep(0)
        return True
