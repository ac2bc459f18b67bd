"""What becomes of a stage that fails, or takes too long: another one, a limit, another try.

This file owns the three policies behind `Processor.fallback`, `timeout` and `retry`. In each of
them the stage has a run of its own, so that it can be stopped while the rest goes on.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import math
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, TypeAlias

from vivace.errors import ModelMissing, StageError
from vivace.flow.clock import now
from vivace.flow.inner import Inner
from vivace.flow.processor import Processor
from vivace.flow.replay import KEPT_BYTES, Replay, is_partwise
from vivace.flow.run import current_run
from vivace.part import Data, Part, is_side_lane

__all__ = ["Again", "Errors", "fallback", "retry", "timeout"]

Errors: TypeAlias = type[Exception] | tuple[type[Exception], ...]
Again: TypeAlias = Errors | Callable[[Exception], bool | float | timedelta]
"""Which errors are worth another try: their classes, or a function of the error that says whether,
or after how long (seconds, or a timedelta)."""


def fallback(stage: Processor, other: Processor, on: Errors = Exception) -> Processor:
    """See `Processor.fallback`."""
    if not isinstance(other, Processor):
        raise StageError(f"{other!r} cannot take over from {stage.name}; give a processor")
    _check_errors(on)
    return _Fallback(stage, other, on)


def timeout(
    stage: Processor, *, first_s: float | None = None, total_s: float | None = None
) -> Processor:
    """See `Processor.timeout`."""
    if first_s is None and total_s is None:
        raise StageError(f"a time limit without a time; give {stage.name} first_s= or total_s=")
    for limit_s in (first_s, total_s):
        if limit_s is not None and not limit_s > 0:
            raise StageError(f"{stage.name} cannot work within {limit_s} s; use more than 0")
    return _Timeout(stage, first_s, total_s)


def retry(
    stage: Processor,
    *,
    on: Again,
    attempts: int | None,
    timeout: float | timedelta | None,
    **waits: float | timedelta,
) -> Processor:
    """See `Processor.retry`. waits: stamina's `wait_…` parameters."""
    if isinstance(on, type | tuple) or not callable(on):
        _check_errors(on)
    if attempts is not None and attempts < 1:
        raise StageError(f"attempts={attempts}: {stage.name} is tried once at least")
    try:
        stamina = importlib.import_module("stamina")
    except ImportError as error:
        raise ModelMissing(
            "retries need the package stamina; run: pip install 'vivace[retry]'"
        ) from error
    timeout_s = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    # stamina would measure `timeout` on the wall clock. It is measured here instead, in `on`.
    policy = functools.partial(stamina.retry_context, attempts=attempts, timeout=None, **waits)
    return _Retry(stage, on, timeout_s, policy)


def _check_errors(on: Any) -> None:
    for kind in on if isinstance(on, tuple) else (on,):
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise StageError(f"on={on!r}: give a subclass of Exception, or a tuple of them")


class _Guarded(Processor):
    def __init__(self, stage: Processor) -> None:
        self._stage = stage
        self.is_partwise = is_partwise(stage)

    @property
    def name(self) -> str:
        return self._stage.name


# -- another one ------------------------------------------------------------------------------


class _Fallback(_Guarded):
    def __init__(self, stage: Processor, other: Processor, on: Errors) -> None:
        super().__init__(stage)
        self._other = other
        self._on = on
        self._marked, self.is_partwise = self.is_partwise, is_partwise(other) and self.is_partwise

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        replay = Replay(current_run(), stream, partwise=self._marked)
        try:
            try:
                async with replay.through(self._stage) as parts:
                    async for part in parts:
                        yield part
                return
            except self._on as error:
                await self._check(error, replay)
                first = error
            yield _status("fallback", self.name, first, to=self._other.name)
            try:
                async with replay.through(self._other, keep=False) as parts:
                    async for part in parts:
                        yield part
            except Exception as second:
                if replay.error is None:
                    self._remember(first, second)
                raise
        finally:
            replay.close()

    async def _check(self, error: Exception, replay: Replay) -> None:
        """Raise the error if there is nothing that the other one could do about it."""
        if replay.error is not None:
            raise error
        why = _too_much(replay)
        if not why:
            replay.skip_spoken()
            await replay.look_ahead()
            why = _is_over(replay)
        if why:
            error.add_note(f"{self._other.name} did not take over from {self.name}: {why}")
            raise error

    def _remember(self, first: Exception, second: Exception) -> None:
        if second is not first:
            second.add_note(f"it had taken over from {self.name}, which had failed: {first!r}")
            second.__context__ = second.__context__ or first


# -- a limit ----------------------------------------------------------------------------------


class _Timeout(_Guarded):
    def __init__(self, stage: Processor, first_s: float | None, total_s: float | None) -> None:
        super().__init__(stage)
        self._first_s = first_s
        self._total_s = total_s

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        current_run().own(stream, f"the input of {self.name}")
        watch = _Watch(self._stage, stream, self._first_s, self._total_s)
        async with watch.parts:
            while (part := await watch.wait()) is not None:
                yield part


class _Watch:
    """A stage, and a clock that runs while somebody waits for it and it waits for nobody."""

    def __init__(
        self,
        stage: Processor,
        stream: AsyncIterator[Part],
        first_s: float | None,
        total_s: float | None,
    ) -> None:
        self.parts = Inner(stage, self._read)
        self._name = stage.name
        self._stream = stream
        self._first_s = math.inf if first_s is None else first_s
        self._total_s = math.inf if total_s is None else total_s
        self._waiters = 0
        self._reads = 0
        self._used_s = 0.0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self) -> Part | None:
        """The stage's next part, None at its end. Raises TimeoutError at the limit."""
        self._count(waiters=1)
        try:
            part = await anext(self.parts, None)
        finally:
            self._count(waiters=-1)
        if part is not None and not is_side_lane(part.substream):
            self._first_s = math.inf
        return part

    async def _read(self) -> Part:
        self._count(reads=1)
        try:
            return await anext(self._stream)
        finally:
            self._count(reads=-1)

    def _count(self, *, waiters: int = 0, reads: int = 0) -> None:
        self._waiters += waiters
        self._reads += reads
        limit_s = min(self._first_s, self._total_s)
        runs = self._waiters and not self._reads and limit_s < math.inf
        if runs and self._timer is None:
            self._since = now()
            due = self._since + limit_s - self._used_s
            self._timer = asyncio.get_running_loop().call_at(due, self._is_over)
        elif not runs and self._timer is not None:
            self._used_s += now() - self._since
            self._timer.cancel()
            self._timer = None

    def _is_over(self) -> None:
        if self._first_s <= self._total_s:
            what = f"{self._name} gave nothing within {self._first_s:g} s (first_s)"
        else:
            what = f"{self._name} was not done within {self._total_s:g} s (total_s)"
        self.parts.fail(TimeoutError(f"{what}; allow more, or give it a fallback"))


# -- another try ------------------------------------------------------------------------------


class _Retry(_Guarded):
    def __init__(
        self, stage: Processor, on: Again, timeout_s: float | None, policy: Callable[..., Any]
    ) -> None:
        super().__init__(stage)
        self._on = on
        self._timeout_s = timeout_s
        self._policy = policy

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        replay = Replay(current_run(), stream, partwise=self.is_partwise)
        tries = _Tries(self, replay)
        try:
            while True:
                try:
                    async with replay.through(self._stage) as parts:
                        async for part in parts:
                            yield part
                    return
                except Exception as error:
                    failed = error
                    self._check(error, replay)
                number = await tries.next_after(failed)
                yield _status("retrying", self.name, failed, attempt=number)
        finally:
            replay.close()

    def _check(self, error: Exception, replay: Replay) -> None:
        """Raise the error if the same input cannot be given again, or an answer was begun."""
        if replay.error is not None or not self._may_be_worth_it(error):
            raise error
        why = _too_much(replay) or _is_over(replay)
        if replay.spoken or replay.unasked:
            why = "a part of its answer had been sent"
        if why:
            error.add_note(f"{self.name} was not tried again: {why}")
            raise error

    def _may_be_worth_it(self, error: Exception) -> bool:
        return not isinstance(self._on, type | tuple) or isinstance(error, self._on)

    def attempts(self, since: float) -> AsyncIterator[Any]:
        """stamina's attempts at what has been waiting for an answer since then."""

        def again(error: Exception) -> bool | float | timedelta:
            if self._timeout_s is not None and now() - since >= self._timeout_s:
                return False
            if isinstance(self._on, type | tuple):
                return self._may_be_worth_it(error)
            return self._on(error)

        return aiter(self._policy(on=again))


class _Tries:
    """Counts the tries at one piece of input; with the next piece it begins anew."""

    def __init__(self, retry: _Retry, replay: Replay) -> None:
        self._retry = retry
        self._replay = replay
        self._begun_at = now()
        self._answered = -1
        self._attempts: Any = None
        self._attempt: Any = None

    async def next_after(self, failed: Exception) -> int:
        """Wait until it may be tried again; the number of that try. Raises `failed` if never."""
        if self._answered != self._replay.answered:
            self._answered = self._replay.answered
            self._attempts = self._retry.attempts(self._since())
            self._attempt = await anext(self._attempts)
        _fail(self._attempt, failed)
        tried: int = self._attempt.num
        try:
            self._attempt = await anext(self._attempts)
        except Exception as error:
            if tried > 1:
                error.add_note(f"{self._retry.name} was tried {tried} times")
            raise
        return tried + 1

    def _since(self) -> float:
        given_at = self._replay.waiting_since()
        if given_at is not None:
            return given_at
        return now() if self._replay.answered else self._begun_at


def _fail(attempt: Any, error: Exception) -> None:
    with attempt:  # which takes note of it, and swallows it
        raise error


def _too_much(replay: Replay) -> str:
    if not replay.too_much:
        return ""
    return f"more than {KEPT_BYTES >> 20} MiB of its input had no answer yet, too much to be kept"


def _is_over(replay: Replay) -> str:
    if replay.error is not None:
        return f"its input broke: {replay.error!r}"
    return "it had answered all of its input" if replay.is_over() else ""


def _status(event: str, what: str, error: Exception, **facts: Any) -> Part:
    news = {"event": event, "what": what, **facts, "error": str(error) or type(error).__name__}
    return Part(Data(news), substream="status")
