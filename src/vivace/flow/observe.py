"""Watching from the inside: how late the event loop is, and which runs only look on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

__all__ = ["LagReport", "LoopLag", "beside", "is_beside"]

_beside: ContextVar[bool] = ContextVar("vivace_beside", default=False)


@contextmanager
def beside() -> Iterator[None]:
    """Runs that begin in the block, and those within them, are no part of what is answered."""
    token = _beside.set(True)
    try:
        yield
    finally:
        _beside.reset(token)


def is_beside() -> bool:
    """True within such a block."""
    return _beside.get()


class LagReport(msgspec.Struct, frozen=True):
    """How late callbacks ran, in seconds, over `samples` of them."""

    samples: int
    median_s: float
    p99_s: float
    worst_s: float


class LoopLag:
    """Measures the running loop's lag for as long as the `async with` block lasts.

    every_s: how often. keep: the newest samples that are remembered; 60,000 are ten minutes.
    tell: gets each sample, in seconds.

    A timer is set for each sample; its lag is how much later than asked it ran: what every other
    callback of the loop had to wait too.
    """

    def __init__(
        self,
        every_s: float = 0.01,
        keep: int = 60_000,
        tell: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._every_s = every_s
        self._samples: deque[float] = deque(maxlen=keep)
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> LoopLag:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to measure the running loop, for who has no block."""
        self._set(asyncio.get_running_loop())

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def report(self) -> LagReport:
        """The samples so far; all zeros if there are none."""
        ordered = sorted(self._samples)
        if not ordered:
            return LagReport(0, 0.0, 0.0, 0.0)
        last = len(ordered) - 1
        return LagReport(
            len(ordered), ordered[last // 2], ordered[round(last * 0.99)], ordered[last]
        )

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._every_s
        self._timer = loop.call_at(due, self._sample, loop, due)

    def _sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        lag_s = max(0.0, loop.time() - due)
        self._samples.append(lag_s)
        self._set(loop)
        self._tell(lag_s)
