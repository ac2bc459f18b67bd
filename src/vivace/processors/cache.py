"""`Cached`: what was computed once is not computed again.

This file owns which answers are kept and when one is replayed; `cache_key.py` tells requests apart,
`cache_store.py` keeps values.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, TypedDict, Unpack, overload
from weakref import WeakKeyDictionary

import msgspec

from vivace.errors import StageError
from vivace.flow.clock import now, sleep_until
from vivace.flow.part_processor import PartProcessor
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.flow.shared import Shared
from vivace.flow.streams import Source, values_of
from vivace.machines.measure import count_bytes
from vivace.part import Data, Interrupted, Part, Reset, Response, TurnComplete, is_side_lane
from vivace.processors.cache_copy import own
from vivace.processors.cache_key import Unkeyed, key_of, settings_of
from vivace.processors.cache_store import DiskStore, MemoryStore, Room, Store

__all__ = ["CacheStatistics", "Cached"]

_PROMPT_PARTS = 16_384  # what is longer is no request, but a stream without end


class CacheStatistics(msgspec.Struct, frozen=True):
    """What a cache has done.

    hits: requests that were answered from it. misses: that had to be computed. shared: that joined
    a computation under way. evictions: values that left before their time, for others. unkept:
    answers that were not kept, since they could not be written down, or were too large. passed:
    requests that nothing tells from others, and which went by it. failures: of the store.
    """

    hits: int = 0
    misses: int = 0
    shared: int = 0
    evictions: int = 0
    unkept: int = 0
    passed: int = 0
    failures: int = 0


class _Answer(msgspec.Struct):
    """What is kept: the parts, each with its seconds after the beginning.

    turn, at: those of the request; parts of an answer that had the same get those of the new one.
    """

    turn: int
    at: float | None
    parts: list[tuple[float, Part]]


class _Cache(Processor):
    """All of `Cached` but the choice between parts and streams."""

    def __init__(
        self,
        processor: Processor,
        *,
        ttl_s: float = 300.0,
        max_entries: int = 1000,
        max_bytes: int = 64 * 2**20,
        path: str | os.PathLike[str] | None = None,
        timing: bool = False,
        settings: object = None,
    ) -> None:
        if not isinstance(processor, Processor):
            raise StageError(f"Cached({processor!r}): give a processor")
        if not (ttl_s > 0 and max_entries >= 1 and max_bytes >= 1):
            raise StageError(
                f"a cache of {max_entries} entries and {max_bytes} bytes for {ttl_s:g} s keeps "
                "nothing; all three must be above 0"
            )
        room = Room(ttl_s, max_entries, max_bytes)
        self._processor = processor
        self._timing = timing
        self._max_bytes = max_bytes
        # With its time: who asks for ten seconds is not given what others keep for a day.
        told = settings_of(processor, settings, lasting=path is not None)
        self._settings = b"%r " % ttl_s + told
        self._store: Store = MemoryStore(room) if path is None else DiskStore(path, room)
        self._counts: dict[str, int] = dict.fromkeys(CacheStatistics.__struct_fields__, 0)
        self._evictions_told = 0
        self._under_way: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bytes, _Flight]] = (
            WeakKeyDictionary()
        )

    # -- numbers ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._processor.name

    @property
    def hits(self) -> int:
        """Requests that were answered from what was kept."""
        return self._counts["hits"]

    @property
    def misses(self) -> int:
        """Requests that had to be computed."""
        return self._counts["misses"]

    @property
    def evictions(self) -> int:
        """Values that left before their time, to make room."""
        return self._counts["evictions"]

    def statistics(self) -> CacheStatistics:
        """All numbers, over all runs."""
        return CacheStatistics(**self._counts)

    async def clear(self) -> None:
        """Forget all that is kept."""
        await self._store.clear()

    def _count(self, what: str) -> None:
        self._counts[what] += 1
        current_run().measured(f"Cached {self.name}", what, 1)

    def _tell_evictions(self) -> None:
        """Tell whoever watches: they came about in no run."""
        told, self._evictions_told = self._evictions_told, self._counts["evictions"]
        if self._evictions_told > told:
            current_run().measured(f"Cached {self.name}", "evictions", self._evictions_told - told)

    # -- requests -----------------------------------------------------------------------------

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        request: list[Part] = []
        size = 0
        async for part in stream:
            request.append(part)
            size += count_bytes(part)
            if len(request) > _PROMPT_PARTS or size > self._max_bytes:
                self._count("passed")
                answer = self._compute(_joined(request, stream))
                break
        else:
            answer = self._answered(request)
        async with aclosing(answer) as parts:
            async for part in parts:
                yield part

    async def _answered(self, request: list[Part]) -> AsyncGenerator[Part, None]:
        """The answer to `request`: kept, under way, or to be computed."""
        self._tell_evictions()
        try:
            key = key_of(request, self._settings)
        except Unkeyed:
            self._count("passed")
            async with aclosing(self._compute(request)) as parts:
                async for part in parts:
                    yield part
            return
        kept = await self._get(key)
        if kept is not None:
            self._count("hits")
            begun = now()
            for after_s, part in kept.parts:
                if self._timing:
                    await sleep_until(begun + after_s)
                yield _moved(part, kept, request)
            return
        async with aclosing(self._flight(key, request).read(request)) as parts:
            async for part in parts:
                yield part

    def _flight(self, key: bytes, request: list[Part]) -> _Flight:
        """The computation of it: one that is under way, if there is."""
        under_way = self._under_way.setdefault(asyncio.get_running_loop(), {})
        flight = under_way.get(key)
        if flight is not None and flight.shared.open:
            self._count("shared")
            return flight
        self._count("misses")

        def over() -> None:
            if under_way.get(key) is made:
                del under_way[key]

        compute, keep = partial(self._compute, request), partial(self._keep, key)
        made = under_way[key] = _Flight(request, compute, keep, over, (self.name, self._max_bytes))
        return made

    async def _compute(self, request: Source) -> AsyncGenerator[Part, None]:
        async with aclosing(self._processor(request)) as parts:
            async for part in parts:
                yield part

    # -- values -------------------------------------------------------------------------------

    async def _get(self, key: bytes) -> _Answer | None:
        try:
            value = await self._store.get(key)
            return None if value is None else _DECODER.decode(value)
        except Exception as error:  # a file that is locked, full, or somebody else's
            self._failed(error)
            return None

    async def _keep(self, key: bytes, answer: _Answer | None) -> None:
        value = b""
        try:
            value = _ENCODER.encode(answer)
            whole = len(value) <= self._max_bytes and _DECODER.decode(value) == answer
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            whole = False  # also if there is no answer: it was too large
        if not whole:  # what cannot be written down as it is would come back as something else
            self._counts["unkept"] += 1
            return
        try:
            self._counts["evictions"] += await self._store.put(key, value)
        except Exception:
            self._counts["failures"] += 1

    def _failed(self, error: Exception) -> None:
        self._count("failures")
        news = {"event": "failed", "what": f"cache of {self.name}", "error": str(error)}
        current_run().say(Part(Data(news), substream="status"))


class _Options(TypedDict, total=False):
    ttl_s: float
    max_entries: int
    max_bytes: int
    path: str | os.PathLike[str] | None
    timing: bool
    settings: object


class Cached(_Cache):
    """`processor`, whose answers are kept for `ttl_s` seconds and given again to equal requests.

    Of a part processor each part is a request. Of any other, all of its input is: it is read to the
    end first, so what comes of it comes as soon as the input has ended. Requests are equal if their
    parts hold the same, in the same role, substream and metadata; `at` and `turn` do not count, and
    parts of an answer that carry the request's get those of the new one.

    max_entries, max_bytes: what is kept at most; the least recently used leaves first.
    path: keep it in this file, of SQLite, for later processes too; else in memory.
    timing: replay an answer as slowly as it came; else at once.
    settings: what the answers depend on besides the request. Unless given, the attributes that the
        processor has now.

    Equal requests at the same time share one computation, which goes on as long as one of them
    wants it. Errors are not kept, nor is what was interrupted, or closed before its end. Parts on
    side lanes are not kept either. A store that fails is told on `status`; then it is computed.

    Raises StageError for bounds that keep nothing, OSError for a file that cannot be used.
    """

    # For type checkers: beside `__init__`, this is what tells them which of both it is.
    @overload
    def __new__(cls, processor: PartProcessor, **options: Unpack[_Options]) -> _CachedParts: ...
    @overload
    def __new__(cls, processor: Processor, **options: Unpack[_Options]) -> Cached: ...
    def __new__(cls, processor: Processor, **options: Unpack[_Options]) -> Cached:
        parts = isinstance(processor, PartProcessor) and cls is Cached
        return object.__new__(_CachedParts if parts else cls)


class _CachedParts(PartProcessor, Cached):
    waits = True

    @property
    def concurrency(self) -> int:  # type: ignore[override]
        return self._parts.concurrency

    @property
    def _parts(self) -> PartProcessor:
        assert isinstance(self._processor, PartProcessor)
        return self._processor

    def matches(self, part: Part) -> bool:
        return self._parts.matches(part)

    def take(self, part: Part) -> Any:
        return self._answered([part])

    async def _compute(self, request: Source) -> AsyncGenerator[Part, None]:
        assert isinstance(request, list)
        async with aclosing(values_of(self._parts.take(request[0]))) as parts:
            async for part in parts:
                yield part


class _Flight:
    """A computation under way.

    compute: makes the answer. keep: is awaited with it, once it is whole. over: called at the end.
    """

    def __init__(
        self,
        request: list[Part],
        compute: Callable[[], AsyncGenerator[Part, None]],
        keep: Callable[[_Answer | None], Awaitable[object]],
        over: Callable[[], object],
        cache: tuple[str, int],
    ) -> None:
        self._base = _Answer(_turn_of(request), _at_of(request), [])
        self._compute = compute
        self._keep = keep
        self._over = over
        self._limit = cache[1]
        self.shared = Shared(self._computed, f"compute {cache[0]} for a cache")

    async def read(self, request: list[Part]) -> AsyncGenerator[Part, None]:
        """Its parts, as an answer to `request`: nobody else's."""
        async with aclosing(self.shared.read()) as parts:
            async for part in parts:
                yield own(_moved(part, self._base, request))

    async def _computed(self) -> AsyncGenerator[Part, None]:
        answer, begun, size, cut = self._base, now(), 0, False
        try:
            async with aclosing(self._compute()) as parts:
                async for part in parts:
                    size += count_bytes(part)
                    cut |= _is_cut(part)
                    if size > self._limit:
                        self.shared.open = False
                        answer.parts.clear()
                    elif not is_side_lane(part.substream):
                        answer.parts.append((round(now() - begun, 6), part))
                    yield part
            if not cut:
                await self._keep(answer if size <= self._limit else None)
        finally:
            self._over()


def _is_cut(part: Part) -> bool:
    """True if the answer that it is in is none to be given again."""
    body = part.body
    stopped = isinstance(body, TurnComplete) and body.reason != "done"
    failed = isinstance(body, Response) and bool(body.error)
    return stopped or failed or isinstance(body, Interrupted | Reset)


def _turn_of(request: list[Part]) -> int:
    return request[-1].turn if request else 0


def _at_of(request: list[Part]) -> float | None:
    return next((part.at for part in request if part.at is not None), None)


def _moved(part: Part, kept: _Answer, request: list[Part]) -> Part:
    """`part` as it would be if it had been made for `request`."""
    turn, at = _turn_of(request), _at_of(request)
    changes: dict[str, Any] = {}
    if part.turn == kept.turn != turn:
        changes["turn"] = turn
    if part.at is not None and kept.at is not None and kept.at != at:
        changes["at"] = None if at is None else round(part.at - kept.at + at, 6)
    return part.derive(**changes) if changes else part


async def _joined(first: list[Part], rest: AsyncIterator[Part]) -> AsyncGenerator[Part, None]:
    for part in first:
        yield part
    async for part in rest:
        yield part


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Answer)
