import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from vivace.flow.clock import now
from vivace.testing import Deadlock, NotVirtual, VirtualLoop, run_virtual, virtual

pytestmark = pytest.mark.real


@contextlib.contextmanager
def virtual_loop(thread_limit_s: float = 30.0) -> Iterator[VirtualLoop]:
    with contextlib.closing(VirtualLoop(thread_limit_s=thread_limit_s)) as loop:
        yield loop


@pytest.fixture(name="release")
def released_at_the_end() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_time_stands_still_while_a_thread_works() -> None:
    """A timer does not fire before the thread that is out has returned."""
    release = threading.Event()
    seen: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()
    loop.call_later(0.1, lambda: seen.append(("timer", now())))
    work = loop.run_in_executor(None, release.wait)
    work.add_done_callback(lambda _: seen.append(("thread", now())))
    loop.call_soon(release.set)
    assert await work
    await asyncio.sleep(1)
    assert seen == [("thread", 0.0), ("timer", 0.1)]


async def test_what_a_thread_sends_arrives_at_once() -> None:
    """`call_soon_threadsafe` from an executor's thread wakes the loop at the same instant."""
    heard = threading.Event()
    news = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> bool:
        loop.call_soon_threadsafe(news.set)
        return heard.wait()

    with ThreadPoolExecutor(1) as threads:
        result = loop.run_in_executor(threads, work)
        await news.wait()
        assert now() == 0.0
        heard.set()
        assert await result


def test_the_callers_own_executor_is_used() -> None:
    """`set_default_executor` works as on any loop."""
    with virtual_loop() as loop, ThreadPoolExecutor(1, "mine") as threads:
        loop.set_default_executor(threads)
        name = loop.run_until_complete(asyncio.to_thread(lambda: threading.current_thread().name))
        assert name.startswith("mine")


def test_a_thread_that_does_not_return_is_named() -> None:
    """After the real-time limit, NotVirtual names the call that is still out."""
    release = threading.Event()
    with virtual_loop(thread_limit_s=0.01) as loop:
        with pytest.raises(NotVirtual, match=r"for 0\.01 s of real time; still out: Event\.wait"):
            loop.run_until_complete(asyncio.to_thread(release.wait))
        loop.run_until_complete(loop.shutdown_default_executor())  # which does not wait for it
    release.set()


def test_a_lost_call_without_a_name_is_named_by_its_function() -> None:
    """A `partial` without arguments is named after what it calls."""
    release = threading.Event()
    with virtual_loop(thread_limit_s=0.01) as loop, ThreadPoolExecutor(1) as threads:
        lost = loop.run_in_executor(threads, functools.partial(release.wait))
        with pytest.raises(NotVirtual, match=r"still out: Event\.wait"):
            loop.run_until_complete(lost)
        release.set()


def test_the_end_of_a_run_waits_for_its_threads() -> None:
    """A thread that nobody awaits any more has returned when `run_virtual` has."""
    release = threading.Event()
    returned: list[bool] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, lambda: returned.append(release.wait()))
        loop.call_soon(release.set)

    run_virtual(main)
    assert returned == [True]


def test_a_thread_that_returns_to_a_closed_loop_is_ignored() -> None:
    """A call that outlives the loop ends without an error anywhere."""
    release = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        with virtual_loop() as loop:
            loop.run_in_executor(threads, release.wait)
        release.set()


def test_a_callable_object_is_named_by_its_class() -> None:
    """What has no name of its own, as a model that is called, is named after its type."""

    class Model:
        def __call__(self) -> None:
            release.wait()

    release = threading.Event()
    with virtual_loop(thread_limit_s=0.01) as loop, ThreadPoolExecutor(1) as threads:
        lost = loop.run_in_executor(threads, Model())
        with pytest.raises(NotVirtual, match=r"still out: .*<locals>\.Model\. "):
            loop.run_until_complete(lost)
        release.set()


# -- how long it waited


def notes_of(main: Callable[[], object]) -> list[str]:
    with pytest.raises(LookupError) as caught:
        run_virtual(main)  # type: ignore[arg-type]
    return getattr(caught.value, "__notes__", [])


def test_real_time_is_told_on_a_failure() -> None:
    """An error tells for which calls the loop waited, and how long."""

    async def main() -> None:
        await asyncio.to_thread(pow, 2, 5)
        raise LookupError

    [note] = notes_of(main)
    head, tail = note.split(" s of real time for threads: ")
    assert head.startswith("waited 0.")
    assert tail == "pow"


def test_calls_are_counted_and_the_seed_promises_no_order_of_them() -> None:
    """Where there was more than one call, the note says what no seed decides."""

    async def main() -> None:
        for _ in range(3):
            await asyncio.to_thread(pow, 2, 5)
        await asyncio.to_thread(abs, -1)
        raise LookupError

    [note] = notes_of(main)
    _, tail = note.split(": ")
    assert tail == (
        "pow (3 calls), abs; of those that were out at once, no seed decides which returned first"
    )


def test_without_threads_there_is_no_note() -> None:
    """A run that waited for nothing real says nothing."""

    async def main() -> None:
        raise LookupError

    assert notes_of(main) == []


# -- spinning while a thread works


def test_whoever_polls_a_thread_is_no_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop may spin while a call is out: the thread may be what it waits for."""
    monkeypatch.setattr(virtual, "SPIN_ROUNDS", 100)

    async def main() -> int:
        release = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(None, release.wait)
        rounds = 0
        while not work.done():
            await asyncio.sleep(0)
            rounds += 1
            if rounds == 1000:
                release.set()
        return rounds

    for _ in range(20):  # the thread may return in any round
        assert run_virtual(main) >= 1000


def test_a_lost_thread_that_is_polled_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polling does not hide a thread that never returns."""
    monkeypatch.setattr(virtual, "SPIN_ROUNDS", 100)
    release = threading.Event()

    async def main() -> None:
        work = asyncio.get_running_loop().run_in_executor(None, release.wait)
        while not work.done():  # noqa: ASYNC110 - this is what must not be
            await asyncio.sleep(0)

    with virtual_loop(thread_limit_s=0.01) as loop:
        with pytest.raises(NotVirtual, match=r"still out: Event\.wait"):
            loop.run_until_complete(main())
        release.set()
        loop.end_tasks(asyncio.all_tasks(loop))


# -- threads that the loop does not know


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def strangers_of(main: Callable[[], object]) -> str:
    with pytest.raises(Deadlock) as caught:
        run_virtual(main)  # type: ignore[arg-type]
    _, head, text = str(caught.value).partition("\nThreads that the loop does not know may have ")
    return text if head else ""


def test_a_thread_started_by_hand_is_named_in_a_deadlock(release: threading.Event) -> None:
    """Time does not wait for it, and the error says so, with the place where it is."""

    async def main() -> None:
        threading.Thread(target=release.wait, name="stranger").start()
        await forever()

    text = strangers_of(main)
    assert text.startswith("been about to help; start them by asyncio.to_thread or ")
    assert "\n  stranger: " in text
    assert text.endswith(" in Condition.wait")


def test_a_call_that_went_past_the_loop_is_named(release: threading.Event) -> None:
    """`wrap_future(pool.submit(...))` is not seen by the loop, also of a pool that was there."""
    with ThreadPoolExecutor(1, "pool") as threads:
        threads.submit(abs, -1).result()  # so that its thread exists already

        begun = threading.Event()

        def work() -> None:
            begun.set()
            release.wait()

        async def main() -> None:
            call = threads.submit(work)
            begun.wait()
            await asyncio.wrap_future(call)

        text = strangers_of(main)
        release.set()
    assert "\n  pool_0: " in text


def test_threads_that_rest_or_were_there_before_are_not_named(release: threading.Event) -> None:
    """A pool without work, and threads of others, have nothing to do with a deadlock."""
    threading.Thread(target=release.wait, name="before").start()
    with ThreadPoolExecutor(1) as threads:

        async def main() -> None:
            await asyncio.get_running_loop().run_in_executor(threads, abs, -1)
            await forever()

        assert strangers_of(main) == ""
