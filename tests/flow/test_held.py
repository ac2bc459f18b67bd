"""A context held open in a task of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from vivace.errors import FlowError
from vivace.flow.clock import now
from vivace.flow.held import Held
from vivace.flow.scope import AbandonedTask

pytestmark = pytest.mark.virtual(seeds=5)


class Context:
    """Takes its time, and notes which task enters and leaves it."""

    def __init__(self, enter_s: float = 0.0, leave_s: float = 0.0) -> None:
        self.enter_s, self.leave_s = enter_s, leave_s
        self.tasks: list[asyncio.Task[object] | None] = []
        self.left_at = -1.0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        self.tasks.append(asyncio.current_task())
        await asyncio.sleep(self.enter_s)
        try:
            yield "value"
        finally:
            await asyncio.sleep(self.leave_s)
            self.tasks.append(asyncio.current_task())
            self.left_at = now()


async def test_one_task_enters_and_leaves() -> None:
    """It is not the caller's, and both wait for it."""
    context = Context(enter_s=1.0, leave_s=0.5)
    held = Held(context.open(), "it")
    assert await held.open(within_s=2.0) == "value"
    assert now() == 1.0
    await held.close()
    assert now() == 1.5
    first, second = context.tasks
    assert first is second is not asyncio.current_task()
    await held.close()


async def test_what_was_not_entered_is_not_left() -> None:
    """Closing at once does nothing."""
    context = Context()
    await Held(context.open(), "it").close()
    assert context.tasks == []


async def test_entering_has_a_limit() -> None:
    """Then its task is stopped."""
    context = Context(enter_s=9.0)
    with pytest.raises(TimeoutError):
        await Held(context.open(), "it").open(within_s=2.0)
    assert now() == 2.0


async def test_who_is_cancelled_while_entering_leaves_nothing() -> None:
    """The task is stopped, its cleanup waited for."""
    held = Held(Context(enter_s=5.0).open(), "it")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await held.open(within_s=9.0)
    assert now() == 1.0
    await held.close()


@asynccontextmanager
async def failing(enter: Exception | None, leave: Exception | None) -> AsyncIterator[None]:
    if enter:
        raise enter
    yield
    if leave:
        raise leave


async def test_an_error_of_entering_is_raised() -> None:
    """As itself."""
    with pytest.raises(OSError, match="no such program"):
        await Held(failing(OSError("no such program"), None), "it").open(within_s=1.0)


async def test_an_error_of_leaving_is_raised_once() -> None:
    """By the first who closes."""
    held = Held(failing(None, OSError("broken")), "it")
    await held.open(within_s=1.0)
    with pytest.raises(OSError, match="broken"):
        await held.close()
    await held.close()


async def test_a_task_that_ends_itself_has_failed() -> None:
    """A cancellation from inside is told, not felt."""

    @asynccontextmanager
    async def cancelled() -> AsyncIterator[None]:
        if now() == 0.0:
            raise asyncio.CancelledError
        yield

    with pytest.raises(FlowError, match="it was cancelled from inside"):
        await Held(cancelled(), "it").open(within_s=1.0)


async def test_leaving_has_a_limit() -> None:
    """A cleanup that hangs is cancelled after a while."""
    held = Held(Context(leave_s=3600).open(), "it", leave_within_s=4.0)
    await held.open(within_s=1.0)
    await held.close()
    assert now() == 4.0


async def test_what_will_not_leave_is_named() -> None:
    """And left behind."""

    @asynccontextmanager
    async def stubborn() -> AsyncIterator[None]:
        yield
        while now() < 10:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(10 - now())

    held = Held(stubborn(), "the stubborn one", leave_within_s=4.0)
    await held.open(within_s=1.0)
    with pytest.warns(AbandonedTask, match="the stubborn one"):
        await held.close()
    assert now() == 6.0
    await asyncio.sleep(10)
