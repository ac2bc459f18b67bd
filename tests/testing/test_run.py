import asyncio
import contextlib
import gc
import inspect
import math
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from vivace.flow.clock import now
from vivace.testing import Deadlock, Leaked, Unhandled, run_virtual

HERE = str(Path(__file__))


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def words() -> AsyncIterator[str]:
    yield "one"
    await forever()


async def listen() -> None:
    async for _ in words():
        pass


def test_run_virtual_takes_a_function_or_a_coroutine() -> None:
    """Both forms run to their result."""

    async def main() -> float:
        await asyncio.sleep(0.3)
        return now()

    assert run_virtual(main) == 0.3
    assert run_virtual(main()) == 0.3


def test_run_virtual_raises_what_main_raises() -> None:
    """The error of `main` comes out as it is, also if tasks leaked."""

    async def main() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0.3)
        raise LookupError(task.get_name())

    with pytest.raises(LookupError, match="Task-2"):
        run_virtual(main)


async def test_run_virtual_refuses_to_nest() -> None:
    """One thread runs one loop at a time."""
    with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
        run_virtual(forever)


def test_a_leaked_task_is_named_and_cancelled() -> None:
    """A task that still runs at the end is cancelled, and an error says where it was."""
    ended: list[float] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(2)
            ended.append(now())

    async def main() -> None:
        task = asyncio.create_task(linger(), name="lingerer")
        await asyncio.sleep(0.5)
        assert not task.done()

    text = r"still running at the end.*\n  lingerer waits for a sleep until 10 s\n"
    with pytest.raises(Leaked, match=text):
        run_virtual(main)
    assert ended == [2.5]


def test_a_task_that_refuses_to_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A task that ignores its cancellation is given up after a minute of virtual time."""

    async def stubborn() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    async def main() -> None:
        task = asyncio.create_task(stubborn(), name="mule")
        await asyncio.sleep(0)
        assert not task.done()

    with pytest.raises(Leaked, match=r"cancelled, but did not end:\n  mule waits for a sleep"):
        run_virtual(main)
    assert caplog.records == []


async def count() -> AsyncIterator[int]:
    yield 1
    yield 2


async def break_off() -> None:
    async for _ in count():
        break


def test_a_dropped_generator_is_named() -> None:
    """Leaving `async for` early without closing the generator is an error at the end."""
    _, line = inspect.getsourcelines(count)
    with pytest.raises(Leaked) as caught:
        run_virtual(break_off)
    text = f"async generator 'count' ({HERE}:{line}) was never closed; leave it by"
    assert str(caught.value).startswith(text)


def test_a_generator_that_still_stands_half_way_is_named() -> None:
    """A generator that somebody keeps, but nobody closed, is an error at the end."""
    kept = []

    async def main() -> None:
        kept.append(count())
        await anext(kept[0])

    with pytest.raises(Leaked, match="async generator 'count'"):
        run_virtual(main)
    assert kept[0].ag_frame is None  # type: ignore[attr-defined]


def test_an_unclosed_generator_can_be_allowed() -> None:
    """`allow_unclosed` is for tests of what happens on `break`."""

    async def main() -> str:
        await break_off()
        return "came to its end"

    assert run_virtual(main, allow_unclosed=True) == "came to its end"


def test_closed_generators_are_fine() -> None:
    """A generator that was run to its end, closed, or cancelled is no leak."""

    async def main() -> None:
        assert [item async for item in count()] == [1, 2]
        async with contextlib.aclosing(count()) as numbers:  # type: ignore[type-var]
            await anext(numbers)
        task = asyncio.create_task(listen())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    run_virtual(main)


def test_a_generator_that_cannot_close_is_given_up() -> None:
    """Closing generators at the end is bounded too."""
    kept = []

    async def half() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await forever()

    async def main() -> None:
        kept.append(half())
        await anext(kept[0])

    with pytest.raises(Leaked, match="half"):
        run_virtual(main)


def test_a_keyboard_interrupt_ends_the_run() -> None:
    """KeyboardInterrupt comes out at once, and tasks may clean up."""
    cleaned: list[str] = []

    async def tidy() -> None:
        try:
            await forever()
        finally:
            cleaned.append("tidy")

    async def main() -> None:
        task = asyncio.create_task(tidy())
        await asyncio.sleep(1)
        signal.raise_signal(signal.SIGINT)
        await task

    with pytest.raises(KeyboardInterrupt):
        run_virtual(main)
    assert cleaned == ["tidy"]


# -- what nobody caught


def unhandled(main: Callable[[], Any], seed: int | None = None) -> list[tuple[str, list[str]]]:
    """The errors of which a run consists that nobody caught: each as text, with its notes."""
    with pytest.raises(Unhandled) as caught:
        run_virtual(main, seed=seed)
    assert caught.value.message.startswith("nobody caught these; catch them where they arise")
    return [(repr(error), getattr(error, "__notes__", [])) for error in caught.value.exceptions]


def test_an_error_in_a_callback_fails_the_run() -> None:
    """What asyncio would only log is raised, with a note of where it came from."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(math.sqrt, -1)
        await asyncio.sleep(1)

    [(error, notes)] = unhandled(main)
    assert error == "ValueError('math domain error')"
    assert notes == ["Exception in callback sqrt(-1)"]


def test_nothing_is_logged_of_what_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    """An error is told once."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(math.sqrt, -1)
        await asyncio.sleep(1)

    unhandled(main)
    gc.collect()
    assert caplog.records == []


def test_an_error_in_a_done_callback_fails_the_run() -> None:
    """A callback for the end of a task counts as any."""

    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(1))
        task.add_done_callback(lambda task: math.sqrt(-1))
        await task
        await asyncio.sleep(1)

    [(error, _)] = unhandled(main)
    assert error == "ValueError('math domain error')"


async def fail(text: str = "broken") -> None:
    raise LookupError(text)


kept: list[object] = []


@pytest.mark.parametrize("keep", [False, True])
def test_a_task_that_failed_unseen_fails_the_run(keep: bool) -> None:
    """A task whose error nobody asked for is one, whether somebody still holds it or not."""

    async def main() -> None:
        task = asyncio.create_task(fail(), name="fails")
        await asyncio.sleep(1)
        if keep:
            kept.append(task)

    [(error, notes)] = unhandled(main)
    kept.clear()
    assert error == "LookupError('broken')"
    assert notes == ["Task exception was never retrieved: fails"]


def test_a_future_whose_error_nobody_saw_fails_the_run() -> None:
    """A bare future counts as well, once it is gone."""

    async def main() -> None:
        asyncio.get_running_loop().create_future().set_exception(LookupError("broken"))

    [(error, notes)] = unhandled(main)
    assert error == "LookupError('broken')"
    assert notes == ["Future exception was never retrieved"]


def test_a_generator_that_fails_to_close_fails_the_run() -> None:
    """An error in the cleanup of a dropped generator is raised, though dropping is allowed."""

    async def half() -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise LookupError("broken")

    async def dropped() -> None:
        async for _ in half():
            break
        await asyncio.sleep(1)

    async def left() -> None:
        kept.append(half())
        await anext(kept[0])  # type: ignore[call-overload]

    for main in (dropped, left):
        with pytest.raises(Unhandled) as caught:
            run_virtual(main, allow_unclosed=True)
        [error] = caught.value.exceptions
        assert repr(error) == "LookupError('broken')"
    kept.clear()


def test_an_error_in_the_cleanup_of_a_leaked_task_is_told() -> None:
    """What a task raises when it is cancelled at the end is raised, beside the leak."""

    async def linger() -> None:
        try:
            await forever()
        finally:
            await fail("in cleanup")

    async def main() -> None:
        kept.append(asyncio.create_task(linger(), name="lingers"))
        await asyncio.sleep(1)

    cleanup, leaked = unhandled(main)
    kept.clear()
    assert cleanup[0] == "LookupError('in cleanup')"
    assert leaked[0].startswith("Leaked('still running at the end")


def test_a_complaint_without_an_exception_fails_the_run() -> None:
    """Whatever is given to the handler counts: its message is the error."""

    async def main() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "something is odd"})

    [(error, _)] = unhandled(main)
    assert error == "Leaked('something is odd')"


def test_all_errors_are_told_and_each_once() -> None:
    """Two callbacks that fail are two errors; one that is reported twice is one."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        same = LookupError("same")
        for _ in range(2):
            loop.call_exception_handler({"message": "told", "exception": same})
        loop.call_soon(math.sqrt, -1)
        await asyncio.sleep(1)

    assert [error for error, _ in unhandled(main)] == [
        "LookupError('same')",
        "ValueError('math domain error')",
    ]


def test_unhandled_errors_can_be_split() -> None:
    """`except*` works, and what it leaves is of the same kind."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(math.sqrt, -1)
        loop.call_soon([].pop)
        await asyncio.sleep(1)

    with pytest.raises(Unhandled) as caught:
        run_virtual(main)
    matching, rest = caught.value.split(ValueError)
    assert isinstance(matching, Unhandled)
    assert isinstance(rest, Unhandled)
    assert [type(error) for error in rest.exceptions] == [IndexError]


def test_a_failure_in_a_callback_is_a_failure() -> None:
    """`pytest.fail()`, say, which is no Exception, comes out as itself."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(pytest.fail, "in a callback")
        await asyncio.sleep(1)

    with pytest.raises(pytest.fail.Exception, match="in a callback"):
        run_virtual(main)


def test_a_handler_of_the_test_is_respected() -> None:
    """Who sets an exception handler expects errors: they are theirs alone, also in tasks."""
    seen: list[str] = []

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(repr(context["exception"])))
        loop.call_soon(math.sqrt, -1)
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        return "came to its end"

    assert run_virtual(main) == "came to its end"
    assert seen == ["ValueError('math domain error')", "LookupError('broken')"]


def test_asyncios_own_handler_can_be_had_back(caplog: pytest.LogCaptureFixture) -> None:
    """With `set_exception_handler(None)`, errors are logged as in a program."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(None)
        loop.call_soon(math.sqrt, -1)
        await asyncio.sleep(1)

    run_virtual(main)
    assert [it.message.split("(")[0] for it in caplog.records] == ["Exception in callback sqrt"]


def test_after_the_run_asyncio_logs_again(caplog: pytest.LogCaptureFixture) -> None:
    """What is found when the run is over, by the garbage collector say, is not lost."""

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(LookupError("late"))
        kept.append(future)

    run_virtual(main)
    kept.clear()
    [record] = caplog.records
    assert record.message.startswith("Future exception was never retrieved")


def test_the_error_of_main_comes_with_a_note_of_the_others() -> None:
    """What `main` raises is raised; what failed before, and may be the cause, is told on it."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(math.sqrt, -1)
        await forever()

    with pytest.raises(Deadlock) as caught:
        run_virtual(main)
    [note] = caught.value.__notes__
    assert note.startswith("before that, nobody caught this:\nTraceback (most recent call last):")
    assert note.endswith("ValueError: math domain error\nException in callback sqrt(-1)\n")


def test_an_error_that_main_raises_itself_is_told_once() -> None:
    """If the error of `main` also reached the handler, there is no note of it."""

    async def main() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        raise task._exception  # type: ignore[misc]  # without marking it as seen

    with pytest.raises(LookupError) as caught:
        run_virtual(main)
    assert not [note for note in caught.value.__notes__ if note.startswith("before that")]


def test_a_seed_is_told_on_every_error() -> None:
    """Whoever runs under seeds by hand sees which one failed; without a seed there is no note."""
    for seed, notes in ((7, ["on virtual time with seed=7"]), (None, [])):
        with pytest.raises(LookupError) as caught:
            run_virtual(fail, seed=seed)
        assert getattr(caught.value, "__notes__", []) == notes
    with pytest.raises(Leaked) as leaked:
        run_virtual(break_off, seed=7)
    assert leaked.value.__notes__ == ["on virtual time with seed=7"]
