"""Blocking code off the event loop: a thread for each model, shared by every conversation; and one
for each call of a function that may never return.

This file owns the border between the loop and threads. A call cannot be stopped from outside once
its thread has begun; whoever waits for it may walk away, and its result is then dropped.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, ClassVar, Generic, TypeVar
from weakref import WeakKeyDictionary

from vivace.errors import FlowError, ModelError
from vivace.flow.scope import AbandonedTask

__all__ = ["Worker", "batches_from_thread", "in_thread", "stream_from_thread"]

In = TypeVar("In")
Out = TypeVar("Out")

_LEFT_BEHIND = 64  # threads of a kind that do not end: another would not either


class _Desk(Generic[In, Out]):
    """What one event loop has waiting for the thread."""

    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self.busy = False


class Worker(Generic[In, Out]):
    """Calls `work` in a thread of its own, one batch after the other.

    work: takes a list of items and returns as many results, in order. What arrives while the
        thread is busy is worked on together next, up to `max_batch` at once.
    max_waiting: calls that may wait; one more raises ModelError, since a queue that long means
        that the machine cannot keep up and waiting would only make it worse.

    Each call raises whatever `work` raised for its batch.
    """

    def __init__(
        self,
        work: Callable[[Sequence[In]], Sequence[Out]],
        *,
        name: str,
        max_batch: int = 1,
        max_waiting: int = 4096,
    ) -> None:
        self._work = work
        self._name = name
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._desks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Desk[In, Out]] = (
            WeakKeyDictionary()
        )

    async def __call__(self, item: In) -> Out:
        """The result of `work` for this item."""
        loop = asyncio.get_running_loop()
        desk = self._desks.get(loop)
        if desk is None:
            desk = self._desks[loop] = _Desk()
        if len(desk.waiting) >= self._max_waiting:
            desk.waiting = deque(entry for entry in desk.waiting if not entry[1].done())
        if len(desk.waiting) >= self._max_waiting:
            raise ModelError(
                f"{self._name}: {len(desk.waiting)} calls are waiting already; "
                "run fewer sessions on this machine"
            )
        result: asyncio.Future[Out] = loop.create_future()
        desk.waiting.append((item, result))
        if not desk.busy:
            self._next_batch(loop, desk)
        return await result

    def _next_batch(self, loop: asyncio.AbstractEventLoop, desk: _Desk[In, Out]) -> None:
        batch: list[tuple[In, asyncio.Future[Out]]] = []
        while desk.waiting and len(batch) < self._max_batch:
            item, result = desk.waiting.popleft()
            if not result.done():  # a caller who walked away costs no work
                batch.append((item, result))
        desk.busy = bool(batch)
        if not batch:
            return
        done = loop.run_in_executor(self._threads, self._work, [item for item, _ in batch])
        done.add_done_callback(lambda done: self._deliver(loop, desk, batch, done))

    def _deliver(
        self,
        loop: asyncio.AbstractEventLoop,
        desk: _Desk[In, Out],
        batch: Sequence[tuple[In, asyncio.Future[Out]]],
        done: asyncio.Future[Sequence[Out]],
    ) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        results = () if error else done.result()
        if error is None and len(results) != len(batch):
            error = ModelError(f"{self._name}: {len(results)} results for {len(batch)} items")
        for index, (_, waiter) in enumerate(batch):
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(results[index])
            elif isinstance(error, asyncio.CancelledError):
                waiter.cancel()
            else:
                waiter.set_exception(error)
        self._next_batch(loop, desk)


async def stream_from_thread(
    produce: Callable[[Callable[[Out], bool]], None], threads: ThreadPoolExecutor
) -> AsyncIterator[Out]:
    """Run `produce(emit)` in a thread and yield what it emits.

    `emit(item)` returns True once nobody listens any more: `produce` should then return soon.
    The queue between them is as long as what `produce` makes, so this is for short replies, such
    as the tokens of one answer. Raises what `produce` raised, after all that it emitted.
    """
    loop = asyncio.get_running_loop()
    items: deque[Out] = deque()
    news = asyncio.Event()
    gone = False

    def arrived(item: Out) -> None:
        items.append(item)
        news.set()

    def emit(item: Out) -> bool:
        if not gone and not loop.is_closed():
            loop.call_soon_threadsafe(arrived, item)
        return gone

    done = loop.run_in_executor(threads, produce, emit)
    done.add_done_callback(lambda _: news.set())
    try:
        while True:
            while items:
                yield items.popleft()
            if done.done():
                break
            news.clear()
            await news.wait()
        done.result()
    finally:
        gone = True
        # Nobody asks for the result after an early end; fetching it keeps asyncio from complaining.
        done.add_done_callback(lambda done: done.cancelled() or done.exception())


async def batches_from_thread(
    batches: Generator[Sequence[Out], None, None], name: str, *, grace_s: float = 0.5
) -> AsyncGenerator[Out, None]:
    """Yield what is in the batches that a blocking generator makes, in threads.

    A batch is made while the one before it is taken, and no more than that. At the end, however it
    comes, the generator is closed; if it is at work then, once it has made its batch. What takes
    longer than `grace_s` for that is named in an AbandonedTask warning and left behind.

    Raises what the generator raises, after what it made before; FlowError if 64 threads of such
    generators were left behind and still run.
    """
    loop = asyncio.get_running_loop()
    thread = _Thread(name, "batches")
    coming = loop.run_in_executor(thread, next, batches, None)
    try:
        while (batch := await asyncio.shield(coming)) is not None:
            thread = _Thread(name, "batches")
            coming = loop.run_in_executor(thread, next, batches, None)
            for item in batch:
                yield item
    finally:
        if not coming.done():
            await asyncio.wait([coming], timeout=grace_s)
        # Nobody asks for what comes now; fetching it keeps asyncio from complaining.
        coming.add_done_callback(lambda done: done.exception())
        if coming.done():
            batches.close()
        else:
            thread.leave()


async def in_thread(call: Callable[[], Out], name: str, *, grace_s: float = 0.0) -> Out:
    """What `call` returns or raises, done in a thread of its own.

    Whoever is cancelled here leaves at once, or with `grace_s` once the thread has ended, at most
    so many seconds later. A thread that has not ended by then is named in an AbandonedTask warning
    and left behind; it does not keep the program from ending.

    name: what the call is, and the same for all that may hang alike. Raises FlowError if 64 threads
    of this name were left behind and still run; those of others are no reason to.
    """
    thread = _Thread(name, name)
    result = asyncio.get_running_loop().run_in_executor(thread, copy_context().run, call)
    try:
        return await (asyncio.shield(result) if grace_s else result)
    except asyncio.CancelledError:
        if grace_s:
            # Nobody asks for the result any more; fetching it keeps asyncio from complaining.
            result.add_done_callback(lambda result: result.exception())
            await asyncio.wait([result], timeout=grace_s)
        thread.leave()
        raise


class _Thread(Executor):
    """One call in one thread, which nobody joins: not the loop, not the interpreter."""

    left: ClassVar[dict[str, set[threading.Thread]]] = {}  # by kind

    def __init__(self, name: str, kind: str) -> None:
        left = {thread for thread in self.left.get(kind, ()) if thread.is_alive()}
        self.left[kind] = left
        if len(left) >= _LEFT_BEHIND:
            raise FlowError(
                f"{len(left)} threads like it do not end, so none is begun for {name}; give what "
                "they wait for a time limit of its own"
            )
        self._name = name
        self._kind = kind
        self._done: Future[Any]
        self._thread: threading.Thread

    def submit(self, call: Callable[..., Out], /, *args: Any, **kwargs: Any) -> Future[Out]:
        done = self._done = Future[Out]()
        done.set_running_or_notify_cancel()

        def work() -> None:
            try:
                done.set_result(call(*args, **kwargs))
            except StopIteration as error:  # which no future can hold
                done.set_exception(RuntimeError(f"{self._name} raised {error!r}"))
            except BaseException as error:
                done.set_exception(error)

        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()
        return done

    def leave(self) -> None:
        """Say where the thread is, if it has not ended."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        if frame is None or self._done.done():
            return
        self.left.setdefault(self._kind, set()).add(self._thread)
        while frame.f_code.co_filename == threading.__file__ and frame.f_back is not None:
            frame = frame.f_back  # what it waits for says less than where it waits
        where = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
        warnings.warn(
            f"{self._name} was cancelled, and its thread did not stop; it was left behind at "
            f"{where}, and whatever it returns is dropped",
            AbandonedTask,
            stacklevel=3,
        )
