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
and the loop really waits for it; `threads.report()` says how long and for which calls. A thread
started otherwise is unknown to the loop: time goes on.

Order. Without a seed, callbacks run as on any asyncio loop: first in, first out. With a seed, what
asyncio leaves open is shuffled, the same way for the same seed; see `order.py`.

Rounds. Time that stands still for a million rounds of callbacks is taken for time that never moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import selectors
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import Context
from types import AsyncGeneratorType
from typing import Any, NoReturn, TypeVar, TypeVarTuple, Unpack
from weakref import WeakSet

from vivace.testing.failures import Deadlock, Livelock, NotVirtual
from vivace.testing.order import Order, stepped
from vivace.testing.stuck import describe, name_callback, name_generator, silence
from vivace.testing.threads import Threads
from vivace.testing.timers import Timers

__all__ = ["VirtualLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Events = list[tuple[selectors.SelectorKey, int]]

# Virtual seconds that cleanup gets when a run ends. Ample for any honest `finally`, and free.
CLEANUP_S = 60.0


# Rounds of callbacks during which time may stand still: some seconds of real time. Work that needs
# no time takes about one for each part: an hour of 20 ms chunks, all there at once, a fifth of it.
SPIN_ROUNDS = 1_000_000
_WATCHED_ROUNDS = 64  # the last of them, in which all who take part are seen


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on virtual time.

    seed: shuffles the order of what is ready at the same instant; None keeps asyncio's order.
    thread_limit_s: real seconds to wait for a thread that gives no sign of life.

    Running it raises Deadlock when nothing can happen any more, naming what each task waits for,
    Livelock when time has stood still for a million rounds of callbacks, naming who runs, and
    NotVirtual for a socket, pipe or process, or for a thread that does not return. It may be run
    on, or closed, after each. Fits `asyncio.Runner(loop_factory=VirtualLoop)` too.
    """

    # asyncio's own queue of callbacks. There is no public way to put a handle into it, nor to see
    # what is about to run; the attribute has been there in every version of asyncio.
    _ready: deque[asyncio.Handle]

    def __init__(self, seed: int | None = None, *, thread_limit_s: float = 30.0) -> None:
        self._now = 0.0
        self._timers = Timers()
        self._rounds = 0  # since time moved
        self._spinning: dict[asyncio.Task[Any] | str, None] = {}
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._task_count = itertools.count(1)
        self._order = None if seed is None else Order(seed)
        self.threads: Threads = Threads(thread_limit_s)
        self._pool: ThreadPoolExecutor | None = None
        self._refused: NotVirtual | None = None
        self._dropped: list[str] = []
        self._stuck: set[asyncio.Task[Any]] = set()
        super().__init__(_Selector(self._turn))

    def close(self) -> None:
        """As asyncio's; tasks that an error named are cancelled first, and may clean up."""
        stuck = [task for task in self._stuck if not task.done()]
        try:
            if stuck and not self.is_running():
                self.end_tasks(stuck)
        finally:
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
        self._timers.add(timer)
        return timer

    def run_forever(self) -> None:
        """As asyncio's."""
        self._rounds = 0  # whoever runs the loop again and again is no spinning task
        super().run_forever()

    def _turn(self, idle: bool, select: Callable[[float], Events]) -> Events:
        """What the loop does between two rounds of callbacks; `idle` if it has none to run."""
        if self._refused is not None:
            error, self._refused = self._refused, None
            raise error
        if idle and self._timers.next_at() > self._now:
            events = self._wait(select) if self.threads else self._move(select)
        else:
            events = select(0.0)
        due = self._timers.due(self._now)
        if self._order is not None:
            self._order.shuffle_timers(due)
        self._ready.extend(due)
        if self._order is not None:
            self._order.shuffle(self._ready)
        self._rounds += 1
        if self._rounds > SPIN_ROUNDS - _WATCHED_ROUNDS:
            self._watch()
        return events

    def _wait(self, select: Callable[[float], Events]) -> Events:
        """Wait in real time for the threads that are out."""
        began = time.monotonic()
        events = select(self.threads.limit_s)
        self.threads.waited(began, heard=bool(events))
        return events

    def _move(self, select: Callable[[float], Events]) -> Events:
        """Go to the next timer, and wait no real time for it."""
        at = self._timers.next_at()
        if at == math.inf:
            raise self._deadlock()
        self._now = at
        self._rounds = 0
        return select(0.0)

    # -- when it cannot go on

    def _deadlock(self) -> Deadlock:
        stuck = asyncio.all_tasks(self)
        self._stuck |= stuck
        text = f"at {self._now} s nothing can happen any more: no timer is set, and "
        if stuck:
            text += f"these tasks wait for each other or for nobody:{describe(stuck)}"
        else:
            text += "there is no task"
        strangers = self.threads.strangers()
        if strangers:
            text += (
                "\nThreads that the loop does not know may have been about to help; start them by "
                f"asyncio.to_thread or loop.run_in_executor, and time waits for them:{strangers}"
            )
        return Deadlock(text)

    def _watch(self) -> None:
        """Note who is about to run; give up when it is enough."""
        ready = tuple(self._ready)  # to which threads may append meanwhile
        for handle in ready:
            self._spinning[stepped(handle) or name_callback(handle)] = None
        if self._rounds < SPIN_ROUNDS or any(map(_ends_the_run, ready)):
            return
        spinning, self._spinning = self._spinning, {}
        self._rounds = 0
        if not self.threads:
            raise self._livelock(spinning)
        if self.threads.silent():  # else one of them may be what all this waits for
            raise self.threads.give_up()

    def _livelock(self, spinning: Iterable[asyncio.Task[Any] | str]) -> Livelock:
        tasks = {it for it in spinning if not isinstance(it, str)}
        self._stuck |= tasks
        calls = [f"\n  callback {it}" for it in spinning if isinstance(it, str)]
        return Livelock(
            f"time has stood still at {self._now} s for {SPIN_ROUNDS:,} rounds of callbacks: these "
            "keep running, and none waits for something that takes time:"
            + describe(tasks)
            + "".join(calls[:20])
        )

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
        task = Task(coro, number=number, loop=self, name=name, **options)
        self._tasks.add(task)
        return task

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
        self.threads.sent(call, func)
        future = asyncio.wrap_future(call, loop=self)
        # After wrap_future, whose callback brings the result: otherwise time could move between.
        call.add_done_callback(self._returned)
        return future

    def _returned(self, call: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            self.call_soon_threadsafe(self._is_back, call)

    def _is_back(self, call: Future[Any]) -> None:
        self.threads.back(call)
        self._rounds = 0  # what came back is worth as much as time that moves

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """As asyncio's, once all calls are back; at once if one was given up."""
        if self.threads:
            await asyncio.sleep(1e-9)  # time can only move when they are back
        if self.threads.lost:
            return  # joining it would never end
        # asyncio joins the threads in a thread of its own.
        joining = object()
        self.threads.joining(joining, "shutdown_default_executor")
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self.threads.back(joining)

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

    # -- the end of a run

    def end_tasks(self, tasks: Iterable[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
        """Cancel `tasks`, let all tasks of the loop end, and return those that do not."""
        self._stuck.clear()
        for task in tasks:
            task.cancel()
        try:
            stubborn = self.run_until_complete(self._end_of_tasks())
        except Livelock:
            self._stuck.clear()
            silence(asyncio.all_tasks(self))
            raise
        silence(stubborn)
        return stubborn

    async def _end_of_tasks(self) -> set[asyncio.Task[Any]]:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if not others:
            return set()
        return (await asyncio.wait(others, timeout=CLEANUP_S))[1]

    def unclosed_generators(self) -> list[str]:
        """Names of the async generators that were dropped half-way, or still stand half-way."""
        alive = [it for it in self._asyncgens if it.ag_frame is not None]  # type: ignore[attr-defined]
        return sorted([*self._dropped, *map(name_generator, alive)])

    def unseen_errors(self) -> list[asyncio.Task[Any]]:
        """Tasks that failed, and whose errors nobody has asked for so far."""
        failed = [task for task in self._tasks if getattr(task, "_log_traceback", False)]
        return sorted(failed, key=hash)


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


class Task(asyncio.Task[T]):
    """A task whose hash is its number, so that sets of tasks have the same order in every run.

    Named as asyncio's, since its messages tell the name of the class.
    """

    def __init__(self, coro: Coroutine[Any, Any, T], *, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


def _ends_the_run(handle: asyncio.Handle) -> bool:
    """True for the callback by which `run_until_complete` stops the loop."""
    # Were it left in the queue, it would stop the next run: asyncio's own, and private.
    return name_callback(handle).startswith("_run_until_complete_cb ")


def _not_virtual(what: str) -> NotVirtual:
    return NotVirtual(
        f"{what} belongs to the real world, for which virtual time does not wait: use a fake, or "
        "run this on asyncio.run()"
    )


def _without_noise(when: float, now: float) -> float:
    """`when`, or the whole nanosecond from which it differs by float rounding alone."""
    rounded = round(when, 9)
    # Not if that is now: whoever waits for the last 5e-17 s would otherwise wait for ever.
    noise = now < rounded and abs(rounded - when) <= 4 * math.ulp(when)
    return rounded if noise else when
