import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import pytest

import vivace.flow.worker as worker_module
from vivace.errors import FlowError, ModelError
from vivace.flow.scope import AbandonedTask
from vivace.flow.worker import Worker, batches_from_thread, in_thread, stream_from_thread
from vivace.testing import run_virtual

pytestmark = pytest.mark.virtual

who = ContextVar("who", default="")


class Model:
    """Doubles numbers, in batches, once it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.go = threading.Event()
        self.begun = threading.Event()

    def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        self.threads.add(threading.current_thread().name)
        self.begun.set()
        assert self.go.wait(10)
        if 13 in items:
            raise ValueError("13 is no number")
        return [item * 2 for item in items]

    async def has_begun(self) -> None:
        await asyncio.to_thread(self.begun.wait, 10)
        self.begun.clear()


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    yield model
    model.go.set()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def call(worker: Worker[int, int], *items: int) -> list[asyncio.Task[int]]:
    """Tasks that call `worker`, in this order whatever the seed."""
    tasks = []
    for item in items:
        tasks.append(asyncio.create_task(worker(item)))
        await asyncio.sleep(0)
    return tasks


# -- calls


async def test_a_call_gives_the_result_from_another_thread(model: Model) -> None:
    """Work is done in the worker's own thread, which bears its name."""
    model.go.set()
    worker = Worker(model, name="doubler")
    assert [await worker(n) for n in (1, 2, 3)] == [2, 4, 6]
    assert model.batches == [[1], [2], [3]]
    assert model.threads == {"doubler_0"}


async def test_what_waits_is_worked_on_together(model: Model) -> None:
    """Calls that come while the thread is busy make the next batches, in order, of bounded size."""
    worker = Worker(model, name="doubler", max_batch=3)
    tasks = await call(worker, 0)
    await model.has_begun()
    tasks += await call(worker, 1, 2, 3, 4)
    await asyncio.sleep(0)
    model.go.set()
    await asyncio.wait(tasks)
    assert [task.result() for task in tasks] == [0, 2, 4, 6, 8]
    assert model.batches == [[0], [1, 2, 3], [4]]


async def test_an_error_goes_to_its_batch_alone(model: Model) -> None:
    """All calls of the failed batch raise what was raised; the next batch is worked on."""
    worker = Worker(model, name="doubler", max_batch=2)
    tasks = await call(worker, 0)
    await model.has_begun()
    tasks += await call(worker, 13, 1, 2)
    await asyncio.sleep(0)
    model.go.set()
    await asyncio.wait(tasks)
    assert model.batches == [[0], [13, 1], [2]]
    assert [str(task.exception() or task.result()) for task in tasks] == [
        "0",
        "13 is no number",
        "13 is no number",
        "4",
    ]


async def test_who_walked_away_costs_no_work(model: Model) -> None:
    """A call that was cancelled while it waited is never worked on."""
    worker = Worker(model, name="doubler", max_batch=8)
    first, second, third = await call(worker, 1, 2, 3)
    await model.has_begun()
    second.cancel()
    await asyncio.wait([second])
    model.go.set()
    assert (await first, await third) == (2, 6)
    assert second.cancelled()
    assert model.batches == [[1], [3]]


@pytest.mark.parametrize("item", [1, 13])
async def test_who_walks_away_from_work_under_way_gets_nothing(model: Model, item: int) -> None:
    """The result or error of a call nobody waits for is dropped, and the worker goes on."""
    worker = Worker(model, name="doubler")
    (task,) = await call(worker, item)
    await model.has_begun()
    task.cancel()
    await asyncio.wait([task])
    model.go.set()
    assert await worker(2) == 4
    assert model.batches == [[item], [2]]


async def test_when_all_have_walked_away_the_thread_rests(model: Model) -> None:
    """With nobody left waiting no work is done, and the next call begins at once."""
    worker = Worker(model, name="doubler")
    tasks = await call(worker, 1, 2, 3)
    await model.has_begun()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    model.go.set()
    assert await worker(4) == 8
    assert model.batches == [[1], [4]]


async def test_a_queue_that_is_too_long_is_an_error(model: Model) -> None:
    """One call more than may wait raises at once and says why; the others are served."""
    worker = Worker(model, name="doubler", max_waiting=2)
    tasks = await call(worker, 0)
    await model.has_begun()
    tasks += await call(worker, 1, 2)
    await asyncio.sleep(0)
    with pytest.raises(ModelError, match="doubler: 2 calls are waiting already; run fewer"):
        await worker(3)
    model.go.set()
    assert [await task for task in tasks] == [0, 2, 4]


async def test_who_walked_away_takes_no_place_in_the_queue(model: Model) -> None:
    """Calls that were given up do not count as waiting."""
    worker = Worker(model, name="doubler", max_waiting=2)
    first, *given_up = await call(worker, 0, 1, 2)
    await model.has_begun()
    for task in given_up:
        task.cancel()
    await asyncio.wait(given_up)
    later = await call(worker, 3, 4)
    await asyncio.sleep(0)
    model.go.set()
    assert [await task for task in (first, *later)] == [0, 6, 8]


async def test_too_few_results_are_an_error_and_nobody_waits_for_ever() -> None:
    """Work that returns fewer results than items fails its batch; the worker goes on."""

    def forgetful(items: Sequence[int]) -> Sequence[int]:
        return [] if items == [1] else list(items)

    worker = Worker(forgetful, name="forgetful")
    tasks = await call(worker, 1, 2)
    await asyncio.wait(tasks, timeout=1.0)
    outcomes = [str(task.exception() or task.result()) if task.done() else "?" for task in tasks]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert "?" not in outcomes
    assert isinstance(tasks[0].exception(), ModelError)
    assert tasks[1].result() == 2


async def test_when_the_threads_are_shut_down_the_calls_are_cancelled(model: Model) -> None:
    """Calls whose batch will never run, as at the end of the program, are cancelled."""
    worker = Worker(model, name="doubler")
    blocker = worker._threads.submit(model.go.wait, 10)
    (task,) = await call(worker, 1)
    await asyncio.sleep(0)
    worker._threads.shutdown(wait=False, cancel_futures=True)
    await asyncio.wait([task])
    assert task.cancelled()
    assert model.batches == []
    model.go.set()
    blocker.result(10)


def test_one_worker_serves_two_loops(model: Model) -> None:
    """Two loops in two threads share one worker; each gets its own results."""
    worker = Worker(model, name="doubler", max_batch=4)
    results: dict[str, list[int]] = {}

    def serve(name: str, items: Sequence[int]) -> None:
        async def main() -> None:
            tasks = await call(worker, *items)
            await asyncio.wait(tasks)
            results[name] = [task.result() for task in tasks]

        run_virtual(main)

    loops = [
        threading.Thread(target=serve, args=("first", range(10))),
        threading.Thread(target=serve, args=("second", range(100, 110))),
    ]
    for loop in loops:
        loop.start()
    assert model.begun.wait(10)
    model.go.set()
    for loop in loops:
        loop.join(10)
    assert results == {
        "first": [2 * n for n in range(10)],
        "second": [2 * n for n in range(100, 110)],
    }
    assert model.threads == {"doubler_0"}


def test_a_loop_that_is_gone_leaves_the_worker_usable(model: Model) -> None:
    """One loop after the other may use the same worker."""
    model.go.set()
    worker = Worker(model, name="doubler")
    for n in range(3):
        assert run_virtual(lambda n=n: worker(n)) == 2 * n  # type: ignore[misc]


# -- streams

Emit = Callable[[Any], bool]


async def test_what_a_thread_emits_is_streamed(threads: ThreadPoolExecutor) -> None:
    """All that is emitted comes, in order; then the stream ends."""

    def produce(emit: Emit) -> None:
        assert not any(emit(n) for n in range(1000))

    assert [item async for item in stream_from_thread(produce, threads)] == list(range(1000))


async def test_items_come_while_the_thread_still_works(threads: ThreadPoolExecutor) -> None:
    """The first item is there before the second has been made."""
    go = threading.Event()

    def produce(emit: Emit) -> None:
        emit("first")
        assert go.wait(10)
        emit("second")

    seen = []
    async for item in stream_from_thread(produce, threads):
        seen.append((item, go.is_set()))
        go.set()
    assert seen == [("first", False), ("second", True)]


async def test_an_error_comes_after_all_that_was_emitted(threads: ThreadPoolExecutor) -> None:
    """What the thread raises is raised, as itself, last."""

    def produce(emit: Emit) -> None:
        emit(1)
        raise ValueError("broken")

    seen: list[Any] = []

    async def consume(items: AsyncIterator[Any]) -> None:
        async for item in items:
            seen.append(item)

    with pytest.raises(ValueError, match="broken"):
        await consume(stream_from_thread(produce, threads))
    assert seen == [1]


@pytest.mark.parametrize("fails", [False, True])
async def test_leaving_early_stops_the_producer(threads: ThreadPoolExecutor, fails: bool) -> None:
    """Once nobody listens, `emit` says so; what the thread then raises bothers nobody."""
    told: list[int] = []

    def produce(emit: Emit) -> None:
        for n in range(10_000_000):
            if emit(n):
                told.append(n)
                break
        if fails:
            raise ValueError("too late")

    items: Any = stream_from_thread(produce, threads)
    async with aclosing(items):
        async for item in items:
            assert item == 0
            break
    await asyncio.get_running_loop().run_in_executor(threads, lambda: None)
    await asyncio.sleep(0)
    assert len(told) == 1


async def test_a_cancelled_listener_stops_the_producer(threads: ThreadPoolExecutor) -> None:
    """Cancelling who waits for the next item ends the work too."""
    go, stopped = threading.Event(), threading.Event()

    def produce(emit: Emit) -> None:
        assert go.wait(10)
        if emit(1):
            stopped.set()

    async def consume() -> None:
        async for _ in stream_from_thread(produce, threads):
            raise AssertionError

    task = asyncio.create_task(consume())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    go.set()
    await asyncio.to_thread(stopped.wait, 10)
    assert stopped.is_set()
    assert task.cancelled()


# -- one thread for one call ---------------------------------------------------------------------


def fail(error: BaseException) -> None:
    raise error


async def test_a_call_in_a_thread() -> None:
    """It returns or raises; context variables are the caller's."""
    who.set("caller")
    assert await in_thread(lambda: (who.get(), threading.current_thread().name), "it") == (
        "caller",
        "it",
    )
    with pytest.raises(ValueError, match="no"):
        await in_thread(lambda: fail(ValueError("no")), "it")


async def test_a_call_that_stops_an_iteration() -> None:
    """No future can hold that; it comes as another error."""
    with pytest.raises(RuntimeError, match=r"it raised StopIteration"):
        await in_thread(lambda: fail(StopIteration()), "it")


def hang(begun: threading.Event, go: threading.Event) -> None:
    begun.set()
    go.wait(10)


async def leave(call: Callable[[], object], when: threading.Event) -> None:
    """Begin `call` in a thread, and be cancelled once `when` is set."""
    task = asyncio.create_task(in_thread(call, "the slow one"))
    await asyncio.to_thread(when.wait, 10)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_thread_that_goes_on_is_named_and_left_behind() -> None:
    """With the place in the code where it waits."""
    begun, go = threading.Event(), threading.Event()
    with pytest.warns(AbandonedTask, match=r"the slow one was cancelled.*left behind at hang"):
        await leave(lambda: hang(begun, go), begun)
    go.set()


async def test_a_thread_that_ends_soon_is_waited_for() -> None:
    """With a grace, nothing is said of a thread that ends within it, well or not."""
    for outcome in (7, ValueError("x")):
        begun, go = threading.Event(), threading.Event()

        def call(outcome: object = outcome, begun: Any = begun, go: Any = go) -> object:
            hang(begun, go)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        task = asyncio.create_task(in_thread(call, "the quick one", grace_s=5.0))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go.set()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_with_a_grace_a_result_is_a_result() -> None:
    """Who is not cancelled notices nothing of it."""
    assert await in_thread(lambda: 7, "it", grace_s=1.0) == 7
    with pytest.raises(ValueError, match="no"):
        await in_thread(lambda: fail(ValueError("no")), "it", grace_s=1.0)


async def test_threads_left_behind_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When so many of a name do not end, no other of it is begun; once they have ended, one is."""
    monkeypatch.setattr(worker_module, "_LEFT_BEHIND", 1)
    begun, go = threading.Event(), threading.Event()
    with pytest.warns(AbandonedTask):
        await leave(lambda: hang(begun, go), begun)
    text = "1 threads like it do not end, so none is begun for the slow one"
    with pytest.raises(FlowError, match=text):
        await in_thread(int, "the slow one")
    go.set()
    for thread in worker_module._Thread.left["the slow one"]:
        thread.join(10)
    assert await in_thread(int, "the slow one") == 0


async def test_what_hangs_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of other names, and batches, go on."""
    monkeypatch.setattr(worker_module, "_LEFT_BEHIND", 1)
    begun, go = threading.Event(), threading.Event()
    with pytest.warns(AbandonedTask):
        await leave(lambda: hang(begun, go), begun)
    assert await in_thread(int, "other") == 0
    assert [item async for item in Film([1], [2]).run()] == [1, 2]
    go.set()


async def test_a_thread_that_has_ended_is_not_named() -> None:
    """Who is cancelled while the result is on its way has nothing to complain of."""
    task = asyncio.create_task(in_thread(int, "the quick one"))
    await asyncio.sleep(0)
    for thread in threading.enumerate():
        if thread.name == "the quick one":
            thread.join(10)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


# -- batches ----------------------------------------------------------------------------------


class Film:
    """Makes batches, and remembers what was done."""

    def __init__(self, *batches: list[int] | Exception) -> None:
        self.batches = batches
        self.made = 0
        self.closed = False
        self.hangs_at = -1
        self.begun = threading.Event()
        self.go = threading.Event()

    def reel(self) -> Generator[Sequence[int], None, None]:
        try:
            for number, batch in enumerate(self.batches):
                assert threading.current_thread().name == "the film"
                if number == self.hangs_at:
                    hang(self.begun, self.go)
                if isinstance(batch, Exception):
                    raise batch
                self.made += 1
                yield batch
        finally:
            self.closed = True

    def run(self, grace_s: float = 5.0) -> AsyncGenerator[int, None]:
        return batches_from_thread(self.reel(), "the film", grace_s=grace_s)


async def test_batches_come_one_ahead() -> None:
    """The next one is made while the one before it is taken, and no more."""
    film = Film([1, 2], [], [3], [4])
    seen = []
    async for item in film.run():
        await asyncio.sleep(1.0)
        seen.append((item, film.made))
    assert seen == [(1, 2), (2, 2), (3, 4), (4, 4)]
    assert film.closed


async def test_an_error_comes_after_what_was_made() -> None:
    """And ends it."""
    film = Film([1], ValueError("torn"), [2])
    seen = []

    async def take() -> None:
        async for item in film.run():
            seen.append(item)

    with pytest.raises(ValueError, match="torn"):
        await take()
    assert (seen, film.closed) == ([1], True)


async def test_leaving_batches_closes_what_makes_them() -> None:
    """Once it has made the one that it is at, well or not."""
    for last in ([2], ValueError("nobody asks")):
        film = Film([1], last)
        film.hangs_at = 1
        items = film.run()
        assert await anext(items) == 1
        await asyncio.to_thread(film.begun.wait, 10)
        film.go.set()
        await items.aclose()
        assert film.closed


def test_a_grace_is_not_for_ever() -> None:
    """What goes on after it is named and left behind, and not closed while it is at work.

    On a loop of asyncio's own: on a virtual one, time stands still while a thread is at work.
    """
    film = Film([1], [2])
    film.hangs_at = 1
    begun, go = threading.Event(), threading.Event()

    async def batches() -> None:
        items = film.run(grace_s=0.001)
        assert await anext(items) == 1
        await asyncio.to_thread(film.begun.wait, 10)
        await items.aclose()

    async def call() -> None:
        task = asyncio.create_task(in_thread(lambda: hang(begun, go), "it", grace_s=0.001))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.wait([task])

    with pytest.warns(AbandonedTask, match=r"the film was cancelled.*left behind at hang"):
        asyncio.run(batches())
    with pytest.warns(AbandonedTask, match=r"it was cancelled.*left behind at hang"):
        asyncio.run(call())
    assert not film.closed
    film.go.set()
    go.set()


def test_batches_left_behind_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their names, each of which may be of another film."""
    monkeypatch.setattr(worker_module._Thread, "left", {})
    monkeypatch.setattr(worker_module, "_LEFT_BEHIND", 1)
    film = Film([1], [2])
    film.hangs_at = 1

    async def main() -> None:
        items = film.run(grace_s=0.001)
        assert await anext(items) == 1
        await asyncio.to_thread(film.begun.wait, 10)
        with pytest.warns(AbandonedTask):
            await items.aclose()
        with pytest.raises(FlowError, match="none is begun for another film"):
            await anext(batches_from_thread(Film([3]).reel(), "another film"))

    asyncio.run(main())
    film.go.set()
