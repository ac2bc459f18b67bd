"""Virtual time: an asyncio loop on which waiting takes no time.

This file owns the loop and what it refuses. All that is asyncio is asyncio's: only
the clock, the timers and the wait for the outside world are replaced.

Time. `loop.time()` starts at 0.0 and stands still while anything can run. When nothing can, it
becomes the `when` of the next timer: it is set, never added to, so no error adds up. Timers for the
same instant fire in the order in which they were set; none fires before its instant. A `when` that
differs from a whole nanosecond by no more than float rounding (at most 4 ulp) is taken as that
nanosecond, so 15 sleeps of 0.02 end at 0.3 and not at 0.30000000000000004. A timer at infinity
never fires.

Threads. While a call given to `run_in_executor` or `asyncio.to_thread` is out, time stands still
and the loop really waits for it. A thread started otherwise is unknown to the loop: time goes on.

Order. Without a seed, callbacks run as on any asyncio loop: first in, first out. With a seed, what
asyncio leaves open is shuffled, the same way for the same seed; see `order.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
import itertools
import math
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import Context
from types import AsyncGeneratorType
from typing import Any, NoReturn, TypeVar, TypeVarTuple, Unpack

from vivace.errors import VivaceError
from vivace.testing.order import Order
from vivace.testing.stuck import describe, name_generator, silence

__all__ = ["Deadlock", "NotVirtual", "VirtualLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Events = list[tuple[selectors.SelectorKey, int]]

# Virtual seconds that cleanup gets when a run ends. Ample for any honest `finally`, and free.
CLEANUP_S = 60.0


class Deadlock(VivaceError, RuntimeError):
    """Nothing can run and no timer is set: every task waits for something that cannot come."""


class NotVirtual(VivaceError, RuntimeError):
    """The code waited for what virtual time cannot move: a socket, a process, a lost thread."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on virtual time.

    seed: shuffles the order of what is ready at the same instant; None keeps asyncio's order.
    thread_limit_s: real seconds to wait for a thread that gives no sign of life.

    Running it raises Deadlock when nothing can happen any more, naming where each task waits, and
    NotVirtual for a socket, pipe or process, or for a thread that does not return. It may be run
    on, or closed, after either. Fits `asyncio.Runner(loop_factory=VirtualLoop)` too.
    """

    # asyncio's own queue of callbacks. There is no public way to put a handle into it, nor to see
    # what is about to run; the attribute has been there in every version of asyncio.
    _ready: deque[asyncio.Handle]

    def __init__(self, seed: int | None = None, *, thread_limit_s: float = 30.0) -> None:
        self._now = 0.0
        # Our own heap rather than asyncio's: that one has a tolerance (`_clock_resolution`) within
        # which timers fire early, and no order among equals.
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._sweep_at = 256
        self._count = itertools.count()
        self._task_count = itertools.count(1)
        self._order = None if seed is None else Order(seed)
        self._away: dict[object, str] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._thread_limit_s = thread_limit_s
        self._lost_a_thread = False
        self._refused: NotVirtual | None = None
        self._dropped: list[str] = []
        self._stuck: set[asyncio.Task[Any]] = set()
        super().__init__(_Selector(self._turn))

    def close(self) -> None:
        """As asyncio's; tasks that a Deadlock named are cancelled first, and may clean up."""
        stuck = [task for task in self._stuck if not task.done()]
        if stuck and not self.is_running():
            self.run_until_complete(end_tasks(stuck))
        self._stuck.clear()
        super().close()

    # -- time

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back when `time()` is `when`, at once if that is past. Never, if it is infinite."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        if math.isnan(when):
            raise ValueError("a timer cannot be set to NaN seconds")
        when = _without_noise(when, self._now)
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        if len(self._timers) > self._sweep_at:
            self._sweep()
        return timer

    def _sweep(self) -> None:
        """Forget cancelled timers; done when their number may have doubled, so it costs O(1)."""
        self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
        heapq.heapify(self._timers)
        self._sweep_at = max(256, 2 * len(self._timers))

    def _next_at(self) -> float:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else math.inf

    def _turn(self, idle: bool, select: Callable[[float], Events]) -> Events:
        """What the loop does between two rounds of callbacks; `idle` if it has none to run."""
        if self._refused is not None:
            error, self._refused = self._refused, None
            raise error
        wait_s = 0.0
        if idle and self._next_at() > self._now:
            wait_s = self._thread_limit_s if self._away else self._move()
        events = select(wait_s)
        if wait_s and not events:
            self._give_up_threads()
        self._collect()
        if self._order is not None:
            self._order.shuffle(self._ready)
        return events

    def _move(self) -> float:
        """Go to the next timer, and wait no real time for it."""
        at = self._next_at()
        if at == math.inf:
            stuck = asyncio.all_tasks(self)
            self._stuck |= stuck
            raise Deadlock(
                f"at {self._now} s nothing can happen any more: no timer is set, and "
                + (
                    f"these tasks wait for each other or for nobody:{describe(stuck)}"
                    if stuck
                    else "there is no task"
                )
            )
        self._now = at
        return 0.0

    def _collect(self) -> None:
        """Put the timers that are due into the queue of callbacks."""
        due = []
        while self._next_at() <= self._now:
            due.append(heapq.heappop(self._timers))
        if self._order is not None:
            self._order.shuffle_timers(due)
        self._ready.extend(timer for _, _, timer in due)

    # -- order

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Call back in the next round of the loop."""
        handle = super().call_soon(callback, *args, context=context)
        if self._order is not None:
            self._order.note(handle, asyncio.current_task(self))
        return handle

    def create_task(  # type: ignore[override]  # its options differ by Python version
        self, coro: Coroutine[Any, Any, T], *, name: object = None, **options: Any
    ) -> asyncio.Task[T]:
        """A task that is named and hashed by its number on this loop."""
        if self.is_closed() or self.get_task_factory() is not None:
            return super().create_task(coro, name=name, **options)
        number = next(self._task_count)
        name = f"Task-{number}" if name is None else str(name)
        return _Task(coro, number=number, loop=self, name=name, **options)

    # -- threads

    def set_default_executor(self, executor: ThreadPoolExecutor) -> None:  # type: ignore[override]
        """As asyncio's."""
        self._pool = executor
        super().set_default_executor(executor)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As asyncio's; virtual time stands still until `func` has returned."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        if executor is None and self._pool is None:
            self.set_default_executor(ThreadPoolExecutor(thread_name_prefix="virtual"))
        call = (executor or self._pool).submit(func, *args)  # type: ignore[union-attr]
        self._away[call] = _name_call(func)
        future = asyncio.wrap_future(call, loop=self)
        # After wrap_future, whose callback brings the result: otherwise time could move between.
        call.add_done_callback(self._returned)
        return future

    def _returned(self, call: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            self.call_soon_threadsafe(self._away.pop, call, None)

    def _give_up_threads(self) -> None:
        names = ", ".join(dict.fromkeys(self._away.values()))
        self._away.clear()
        self._lost_a_thread = True
        raise NotVirtual(
            f"no thread gave a sign of life for {self._thread_limit_s:g} s of real time; still "
            f"out: {names}. Time stands still while a thread works, so one that itself waits for "
            "the loop's time to pass never returns"
        )

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """As asyncio's, once all calls are back; at once if one was given up."""
        if self._away:
            await asyncio.sleep(1e-9)  # time can only move when they are back
        if self._lost_a_thread:
            return  # joining it would never end
        # asyncio joins the threads in a thread of its own.
        joining = object()
        self._away[joining] = "shutdown_default_executor"
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self._away.pop(joining, None)

    # -- what must not go unseen

    async def subprocess_exec(self, *args: Any, **options: Any) -> NoReturn:
        """Raise NotVirtual."""
        # The selector would refuse its pipes, but a process without pipes needs no selector.
        raise _not_virtual("a process")

    async def subprocess_shell(self, *args: Any, **options: Any) -> NoReturn:
        """Raise NotVirtual."""
        raise _not_virtual("a process")

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As asyncio's; but NotVirtual, raised where nobody can catch it, ends the run."""
        error = context.get("exception")
        if isinstance(error, NotVirtual):
            self._refused = error
        else:
            super().call_exception_handler(context)

    def _asyncgen_finalizer_hook(self, agen: AsyncGeneratorType[Any, Any]) -> None:
        # asyncio's hook for a generator that was dropped half-way; private, and the same since 3.6.
        self._dropped.append(name_generator(agen))
        super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]

    def unclosed_generators(self) -> list[str]:
        """Names of the async generators that were dropped half-way, or still stand half-way."""
        alive = [it for it in self._asyncgens if it.ag_frame is not None]  # type: ignore[attr-defined]
        return sorted([*self._dropped, *map(name_generator, alive)])


class _Selector(selectors.DefaultSelector):
    """Watches the pipe by which threads and signals wake the loop, and nothing else."""

    def __init__(self, turn: Callable[[bool, Callable[[float], Events]], Events]) -> None:
        super().__init__()
        self._turn = turn

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self.get_map():  # the first is the loop's own pipe
            raise _not_virtual(f"file descriptor {fileobj!r}")
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> Events:
        # No timeout means: no callback is ready, and the loop was not told to stop.
        return self._turn(timeout is None, super().select)


class _Task(asyncio.Task[T]):
    """A task whose hash is its number, so that sets of tasks have the same order in every run."""

    def __init__(self, coro: Coroutine[Any, Any, T], *, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


def _not_virtual(what: str) -> NotVirtual:
    return NotVirtual(
        f"{what} belongs to the real world, for which virtual time does not wait: use a fake, or "
        "run this on asyncio.run()"
    )


def _name_call(func: object) -> str:
    if isinstance(func, functools.partial):  # as asyncio.to_thread makes one of Context.run
        func = func.args[0] if func.args else func.func
    return getattr(func, "__qualname__", repr(func))


def _without_noise(when: float, now: float) -> float:
    """`when`, or the whole nanosecond from which it differs by float rounding alone."""
    rounded = round(when, 9)
    # Not if that is now: whoever waits for the last 5e-17 s would otherwise wait for ever.
    noise = now < rounded and abs(rounded - when) <= 4 * math.ulp(when)
    return rounded if noise else when


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Cancel `tasks`, let all tasks of the loop end, and return those that do not."""
    for task in tasks:
        task.cancel()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if not others:
        return set()
    _, stubborn = await asyncio.wait(others, timeout=CLEANUP_S)
    silence(stubborn)
    return stubborn
