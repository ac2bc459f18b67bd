"""Jobs beside whoever asks for them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from vivace.flow.background import Background
from vivace.flow.processor import processor
from vivace.machines.machine import Item, Job, JobDone, JobFailed
from vivace.part import Part

pytestmark = pytest.mark.virtual


async def work(seconds: float, fails: bool = False) -> str:
    await asyncio.sleep(seconds)
    if fails:
        raise ValueError("no")
    return "done"


async def test_a_job_is_answered() -> None:
    """With what it returns or raises, when it ends."""
    answers: list[Item] = []
    background = Background(answers.append)
    good, bad = Job(), Job()
    background.begin(good, lambda: work(1.0))
    background.begin(bad, lambda: work(2.0, fails=True))
    await asyncio.sleep(3.0)
    done, failed = answers
    assert done == JobDone(good, "done")
    assert isinstance(failed, JobFailed)
    assert (failed.job, str(failed.error)) == (bad, "no")
    await background.aclose()


async def test_a_cancelled_job_is_not_answered() -> None:
    """Before it has begun, while it works, after it has ended."""
    answers: list[Item] = []
    background = Background(answers.append)
    job, late = Job(), Job()
    background.begin(job, lambda: work(1.0))
    background.cancel(job)
    background.begin(late, lambda: work(1.0))
    await asyncio.sleep(0.5)
    background.cancel(late)
    background.cancel(late)
    await asyncio.sleep(3.0)
    assert answers == []


async def test_a_job_that_ends_as_it_is_cancelled_is_not_answered() -> None:
    """Whoever cancels it has gone on."""
    answers: list[Item] = []
    background = Background(answers.append)
    job = Job()

    async def ends_anyway() -> str:
        try:
            await asyncio.sleep(10.0)
        except asyncio.CancelledError:
            return "done"
        return "late"

    background.begin(job, ends_anyway)
    await asyncio.sleep(1.0)
    background.cancel(job)
    await asyncio.sleep(1.0)
    assert answers == []


async def test_a_job_that_cancels_itself_is_not_answered() -> None:
    """It ends before the cancellation reaches it."""
    answers: list[Item] = []
    background = Background(answers.append)
    job = Job()

    async def gives_up() -> None:
        background.cancel(job)

    background.begin(job, gives_up)
    await asyncio.sleep(1.0)
    assert answers == []


async def test_closing_stops_all() -> None:
    """And waits for their cleanup."""
    log: list[str] = []

    async def careful() -> None:
        try:
            await asyncio.sleep(100.0)
        finally:
            await asyncio.sleep(0.5)
            log.append("cleaned up")

    background = Background(log.append)  # type: ignore[arg-type]
    background.begin(Job(), careful)
    await asyncio.sleep(1.0)
    await background.aclose()
    assert log == ["cleaned up"]


async def test_within_a_run_it_belongs_to_that() -> None:
    """The end of the run stops it."""
    log: list[str] = []

    async def careful() -> None:
        try:
            await asyncio.sleep(100.0)
        finally:
            log.append("stopped")

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        Background(lambda _: None).begin(Job(), careful)
        async for part in stream:
            await asyncio.sleep(1.0)
            yield part

    assert [part.text async for part in stage(["one"])] == ["one"]
    assert log == ["stopped"]


async def test_an_answer_that_nobody_can_take_is_told() -> None:
    """What `answer` raises is not swallowed."""
    told: list[BaseException] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    def refuse(answer: Item) -> None:
        raise KeyError("mine")

    background = Background(refuse)
    background.begin(Job(), lambda: work(1.0))
    await asyncio.sleep(2.0)
    assert [type(error) for error in told] == [KeyError]
