import asyncio
import contextlib
import functools
import gc
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar

import pytest

from vivace.errors import FlowError, PartError
from vivace.flow.clock import now
from vivace.flow.drive import drive
from vivace.flow.hooks import HookFailed, add_hook, observe, remove_hook
from vivace.flow.processor import Processor, processor
from vivace.flow.records import (
    Announced,
    Measured,
    PartPassed,
    Record,
    RunFinished,
    RunStarted,
    Said,
    StageCounts,
    StageFailed,
    StageFinished,
    StageId,
    StageStarted,
)
from vivace.flow.run import current_run
from vivace.flow.scope import AbandonedTask
from vivace.machines.machine import Machine, Output
from vivace.part import Data, Image, Interrupted, Part, TurnComplete
from vivace.processors.buffer import buffer
from vivace.testing import VirtualLoop, run_virtual
from vivace.testing.script import timeline

pytestmark = pytest.mark.virtual

T = TypeVar("T")


# -- things to run


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


@processor
async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        await asyncio.sleep(0.25)
        yield part


@processor
async def nested(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async with (copy + Driven()).run(stream) as inner:
        async for part in inner:
            yield part


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Machine(), capacity=2)


@processor
async def broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        if part.text == "bad":
            raise ValueError("broken")
        yield part


async def numbers(log: list[str], count: int = 1000, every_s: float = 0.0) -> AsyncGenerator[Part]:
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(f"pull {n}")
            yield Part(str(n))
    finally:
        log.append("closed")


async def texts(parts: AsyncIterator[Part]) -> list[str]:
    return [part.text async for part in parts]


def ignore(record: Record) -> None:
    """A hook that does nothing."""


async def take_one_and_leave(agent: Processor) -> None:
    """Take one of five parts, and leave a second later."""
    async with agent.run(["a", "b", "c", "d", "e"]) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)


def of(records: list[Record], kind: type[T]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]


def ends(records: list[Record]) -> dict[str, str]:
    """How each stage ended, by its path; each one once."""
    found: dict[str, str] = {}
    for record in records:
        if isinstance(record, StageFinished | StageFailed):
            assert record.stage.path not in found
            how = record.ended if isinstance(record, StageFinished) else f"failed: {record.error}"
            found[record.stage.path] = how
    return found


def counts(records: list[Record]) -> dict[str, StageCounts]:
    return {it.stage.path: it.counts for it in of(records, StageFinished | StageFailed)}  # type: ignore[arg-type]


# -- what is told


async def test_every_step_of_a_run_is_told_at_its_time() -> None:
    """A run, its stages in order, each part with when it was asked for, and how all ended."""
    seen: list[Record] = []
    part = Part("hello")
    with observe(seen.append):
        assert await texts(slow(timeline([(0.5, part)]))) == ["hello"]
    run = of(seen, RunStarted)[0].run
    source, stage = StageId(run, None, "source", 0), StageId(run, None, "slow", 1)
    opened = of(seen, StageStarted)
    assert seen == [
        RunStarted(run, None, "slow", at=0.0),
        StageStarted(source, 0.0, opened[0].counts),
        StageStarted(stage, 0.0, opened[1].counts),
        PartPassed(source, at=0.5, part=part, asked_at=0.0, aside=False),
        PartPassed(stage, at=0.75, part=part, asked_at=0.0, aside=False),
        StageFinished(
            source, 0.75, "exhausted", StageCounts(0, 0, 1, 5, 0, 0.0, 0.25), asked_at=0.75
        ),
        StageFinished(
            stage, 0.75, "exhausted", StageCounts(1, 5, 1, 5, 0, 0.5, 0.0), asked_at=0.75
        ),
        RunFinished(run, at=0.75, ended="exhausted"),
    ]


async def test_who_waits_for_whom() -> None:
    """A stage waits for input while the one before it works, and for room until it is asked."""
    seen: list[Record] = []
    with observe(seen.append):
        await texts((copy + slow + copy)(timeline([(0.5, "a"), (1.0, "b"), (1.125, "c")])))
    found = {
        path: (it.waited_for_input_s, it.waited_for_room_s) for path, it in counts(seen).items()
    }
    # "a" comes at 0.5 and is out at 0.75, "b" at 1.0 and 1.25; "c" was there by then, out at 1.5.
    assert found == {
        "source": (0.0, 0.75),
        "agent[0].copy": (0.75, 0.75),
        "agent[1].slow": (0.75, 0.0),
        "agent[2].copy": (1.5, 0.0),
    }
    asked = [it for it in of(seen, PartPassed) if it.stage.path == "agent[1].slow"]
    assert [(it.asked_at, it.at) for it in asked] == [(0.0, 0.75), (0.75, 1.25), (1.25, 1.5)]


async def test_a_driven_stage_waits_for_input_in_a_task_of_its_own() -> None:
    """What reads ahead is counted like any other reader."""
    seen: list[Record] = []
    with observe(seen.append):
        await texts(Driven()(timeline([(0.5, "a"), (2.0, "b")])))
    assert counts(seen)["driven"] == StageCounts(2, 2, 2, 2, 0, 2.0, 0.0)


async def test_a_driven_stage_may_fail_while_it_waits_for_input() -> None:
    """What it waits for at that moment counts as well."""

    class Impatient(Machine):
        def deadline(self) -> float | None:
            return 1.0

        def tick(self, now: float) -> list[Output]:
            raise ValueError("nothing came")

    class Stage(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            return drive(stream, Impatient())

    seen: list[Record] = []
    with observe(seen.append), pytest.raises(ValueError, match="nothing came"):
        await texts((copy + Stage())(timeline([(0.25, "a"), (9.0, "b")])))
    assert counts(seen)["agent[1].stage"].waited_for_input_s == 1.0
    check_story(seen)


async def test_bytes_are_those_of_media_and_text() -> None:
    """Audio, images, binary data and text as UTF-8 count; values and signals have none."""
    parts = [
        Part.audio(b"\0" * 640),
        Part("für"),
        Part("\ud800"),  # half of a pair: nothing that UTF-8 could hold
        Part(Image(b"12345")),
        Part(Data(None, "application/pdf", b"123456")),
        Part(Data({"a": 1})),
        Part(TurnComplete(1)),
    ]
    seen: list[Record] = []
    with observe(seen.append):
        assert [part async for part in copy(parts)] == parts
    assert counts(seen)["copy"].bytes_out == 640 + 4 + 3 + 5 + 6
    assert counts(seen)["copy"].parts_out == 7


async def test_side_lanes_are_told_as_such() -> None:
    """What a stage says aside is told, and counted apart from what the next stage gets."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part.derive(substream="status")
            yield part.derive(substream="statusbar")  # which only looks like one
            yield part

    seen: list[Record] = []
    with observe(seen.append):
        assert await texts((talks + copy)(["a", "b"])) == ["a"] * 3 + ["b"] * 3
    assert [it.aside for it in of(seen, PartPassed) if "talks" in it.stage.path] == [
        True,
        False,
        False,
    ] * 2
    assert counts(seen)["agent[0].talks"] == StageCounts(2, 2, 4, 4, 2, 0.0, 0.0)
    assert counts(seen)["agent[1].copy"] == StageCounts(4, 4, 4, 4, 0, 0.0, 0.0)
    assert of(seen, Said) == []


async def test_what_a_machine_says_aside_is_told() -> None:
    """A driven stage speaks past its own output: told once, of the run."""

    class Talks(Machine):
        def feed(self, item: object, now: float) -> list[Output]:
            assert isinstance(item, Part)
            return [item.derive(substream="debug"), item]

    class Stage(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            return drive(stream, Talks())

    seen: list[Record] = []
    with observe(seen.append):
        await texts((copy + Stage())(timeline([(0.5, "a")])))
    run = of(seen, RunStarted)[0].run
    assert of(seen, Said) == [Said(run, 0.5, Part("a", substream="debug"))]
    assert counts(seen)["agent[1].stage"].parts_aside == 0


async def test_announcements_are_told_once() -> None:
    """What is announced is told of the outermost run, however many runs are under way."""
    seen: list[Record] = []
    with observe(seen.append):
        async with (copy + nested).run(timeline([(0.5, "a"), (9.0, "b")])) as parts:
            await anext(parts)
            run = parts._run
            assert run is not None
            await asyncio.sleep(1.0)
            run.bus.announce(Interrupted(3))
    outer = of(seen, RunStarted)[0].run
    assert of(seen, Announced) == [Announced(outer, 1.5, Interrupted(3))]
    run.bus.announce(Interrupted(4))  # after the end
    assert len(of(seen, Announced)) == 1


async def test_a_run_within_a_run_says_so() -> None:
    """Both are told of, the inner one with the number of the outer one."""
    seen: list[Record] = []
    with observe(seen.append):
        await texts((copy + nested)(["a"]))
    outer, inner = of(seen, RunStarted)
    assert (outer.name, outer.parent) == ("agent", None)
    assert (inner.name, inner.parent) == ("agent", outer.run)
    assert [(it.stage.run, it.stage.parent, it.stage.path) for it in of(seen, StageStarted)] == [
        (outer.run, None, "source"),
        (outer.run, None, "agent[0].copy"),
        (outer.run, None, "agent[1].nested"),
        (inner.run, outer.run, "source"),
        (inner.run, outer.run, "agent[0].copy"),
        (inner.run, outer.run, "agent[1].driven"),
    ]
    assert [it.ended for it in of(seen, RunFinished)] == ["exhausted", "exhausted"]


async def test_only_the_inner_run_is_watched() -> None:
    """Where only a stage listens, its runs have no parent, and hear what is announced."""
    seen: list[Record] = []

    @processor
    async def listens(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        with observe(seen.append):
            async with copy.run(stream) as inner:
                async for part in inner:
                    current_run().bus.announce(Interrupted(1))
                    yield part
        yield Part("after")

    async with (copy + listens + copy).run(["a"]) as parts:
        assert [(await anext(parts)).text for _ in range(3)] == ["", "a", "after"]
        assert parts._run is not None
        assert parts._run.bus._listeners == []  # the conversation goes on without the inner run
    assert [it.parent for it in of(seen, RunStarted)] == [None]
    assert [it.signal for it in of(seen, Announced)] == [Interrupted(1)]


async def test_what_a_hook_sets_when_a_run_begins_its_stages_see() -> None:
    """A context variable set then is seen by all stages and runs within, and by nobody outside."""
    color: ContextVar[str] = ContextVar("color", default="none")
    seen: list[tuple[str, str]] = []

    def paint(record: Record) -> None:
        if isinstance(record, RunStarted):
            color.set(f"{color.get()} {record.name}")

    @processor
    async def looks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            seen.append(("looks", color.get()))
            yield part

    @processor
    async def inside(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async with looks.run(stream) as inner:
            async for part in inner:
                yield part

    with observe(paint):
        await texts((copy + inside)(["a"]))
    assert seen == [("looks", "none agent looks")]
    assert color.get() == "none"


# -- how it ended


async def test_an_error_is_told_of_each_stage_that_it_passes() -> None:
    """Every stage from there on failed, with one error and the path of where it arose."""
    seen: list[Record] = []
    with observe(seen.append), pytest.raises(ValueError, match="broken") as raised:
        await texts((copy + broken + copy + copy)(timeline([(0.5, "a"), (1.0, "bad")])))
    assert ends(seen) == {
        "agent[1].broken": "failed: broken",
        "agent[2].copy": "failed: broken",
        "agent[3].copy": "failed: broken",
        "agent[0].copy": "closed",
        "source": "closed",
    }
    for failed in of(seen, StageFailed):
        assert failed.error is raised.value
        assert (failed.origin, failed.at, failed.asked_at) == ("agent[1].broken", 1.0, 0.5)
    finished = of(seen, RunFinished)[0]
    assert (finished.ended, finished.error, finished.at) == ("failed", raised.value, 1.0)


async def test_an_error_that_a_stage_deals_with_is_told_as_far_as_it_came() -> None:
    """A stage that catches what came ends well; one that raises anew is where the new one arose."""

    @processor
    async def catches(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        except ValueError:
            yield Part("sorry")

    @processor
    async def renames(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        except ValueError as error:
            raise OSError("renamed") from error

    seen: list[Record] = []
    with observe(seen.append):
        assert await texts((broken + catches)("bad")) == ["sorry"]
    assert ends(seen) == {
        "source": "closed",
        "agent[0].broken": "failed: broken",
        "agent[1].catches": "exhausted",
    }
    assert of(seen, RunFinished)[0].ended == "exhausted"
    seen.clear()
    with observe(seen.append), pytest.raises(OSError, match="renamed"):
        await texts((broken + renames + copy)("bad"))
    assert [it.origin for it in of(seen, StageFailed)] == [
        "agent[0].broken",
        "agent[1].renames",
        "agent[1].renames",
    ]


async def test_a_source_may_fail() -> None:
    """The source is a stage like any other: its error is its own."""

    async def source() -> AsyncIterator[Part]:
        yield Part("a")
        raise OSError("the line is dead")

    seen: list[Record] = []
    with observe(seen.append), pytest.raises(OSError, match="dead"):
        await texts((copy + Driven())(source()))
    assert {it.origin for it in of(seen, StageFailed)} == {"source"}
    assert len(of(seen, StageFailed)) == 3


async def test_a_stage_that_cannot_be_opened_fails_the_run() -> None:
    """The stages before it are closed, unread; the run says why."""

    class Wrong(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            raise OSError("no model")

    seen: list[Record] = []
    with observe(seen.append), pytest.raises(OSError, match="no model") as raised:
        await texts((copy + Wrong())("a"))
    assert ends(seen) == {"source": "closed", "agent[0].copy": "closed"}
    assert counts(seen)["source"] == StageCounts(0, 0, 0, 0, 0, 0.0, 0.0)
    assert of(seen, RunFinished)[0].error is raised.value


async def test_cancelled_from_inside_is_a_failure() -> None:
    """A stage whose own await was cancelled by nobody who reads it has failed, there."""

    @processor
    async def awaits_cancelled(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
            yield part

    seen: list[Record] = []
    with observe(seen.append), pytest.raises(FlowError, match="from inside"):
        await texts((copy + awaits_cancelled + copy)("a"))
    failed = of(seen, StageFailed)
    assert [it.stage.path for it in failed] == ["agent[1].awaits_cancelled", "agent[2].copy"]
    assert {it.origin for it in failed} == {"agent[1].awaits_cancelled"}
    assert isinstance(failed[0].error, asyncio.CancelledError)
    assert of(seen, RunFinished)[0].ended == "failed"


@pytest.mark.virtual(seeds=10)
async def test_a_reader_that_gives_up_closes() -> None:
    """A stage that is stopped because its reader would wait no longer was closed."""

    @processor
    async def impatient(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await anext(stream)
        yield Part("nothing came")

    seen: list[Record] = []
    with observe(seen.append):
        assert await texts((copy + impatient)(timeline([(9.0, "late")]))) == ["nothing came"]
    assert ends(seen) == {
        "source": "closed",
        "agent[0].copy": "closed",
        "agent[1].impatient": "exhausted",
    }
    ended = [it for it in of(seen, StageFinished) if it.ended == "closed"]
    assert {(it.at, it.asked_at) for it in ended} == {(1.0, 0.0)}
    assert counts(seen)["agent[1].impatient"].waited_for_input_s == 1.0


@pytest.mark.virtual(seeds=10)
async def test_a_consumer_who_leaves_closes_all() -> None:
    """Leaving is told as such: no stage failed, and none was exhausted."""
    seen: list[Record] = []
    with observe(seen.append):
        async with (copy + copy).run(timeline([(0.5, "a"), (9.0, "b")])) as parts:
            await anext(parts)
            await asyncio.sleep(2.0)
    assert set(ends(seen).values()) == {"closed"}
    assert {it.at for it in of(seen, StageFinished)} == {2.5}
    check_story(seen)
    assert of(seen, RunFinished)[0].ended == "closed"
    assert of(seen, RunFinished)[0].error is None


async def test_a_stage_that_nobody_reads_is_closed() -> None:
    """A stage that never asks leaves what is before it unread: closed at the end, with nothing."""

    @processor
    async def deaf(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("hello")

    seen: list[Record] = []
    with observe(seen.append):
        assert await texts((copy + deaf)(["a"])) == ["hello"]
    assert ends(seen) == {
        "source": "closed",
        "agent[0].copy": "closed",
        "agent[1].deaf": "exhausted",
    }


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
async def test_an_error_in_cleanup_is_a_failure(kind: type[Exception]) -> None:
    """A stage that raises while it is closed has failed, when its cleanup did, and so has the
    run; those before it are closed all the same."""

    @processor
    async def untidy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            await asyncio.sleep(0.25)
            raise kind("in cleanup")

    seen: list[Record] = []
    with observe(seen.append), pytest.raises(kind, match="in cleanup") as raised:
        await take_one_and_leave(copy + untidy + copy)
    assert ends(seen) == {
        "agent[2].copy": "closed",
        "agent[1].untidy": "failed: in cleanup",
        "agent[0].copy": "closed",
        "source": "closed",
    }
    failed = of(seen, StageFailed)[0]
    assert (failed.at, failed.asked_at) == (1.25, None)
    assert failed.counts.waited_for_room_s == 1.25
    assert of(seen, RunFinished)[0].error is raised.value


async def test_a_cleanup_that_takes_too_long_is_told_when_it_was_cut() -> None:
    """The stage is closed, at the end of the bound."""

    @processor
    async def tidies_for_ever(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            await asyncio.sleep(1000.0)

    seen: list[Record] = []
    with observe(seen.append), pytest.warns(AbandonedTask, match="tidies"):
        await take_one_and_leave(copy + tidies_for_ever)
    ended = {it.stage.path: (it.ended, it.at) for it in of(seen, StageFinished)}
    assert ended["agent[1].tidies_for_ever"] == ("closed", 2.0)
    assert now() <= 3.0
    assert of(seen, RunFinished) == [seen[-1]]


async def test_a_stage_that_would_not_stop_is_abandoned() -> None:
    """What swallows its cancellation is told as left behind, and nothing after that."""
    begun, release = asyncio.Event(), asyncio.Event()

    @processor
    async def swallows(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            begun.set()
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()
            yield part

    seen: list[Record] = []
    with observe(seen.append):
        parts = (copy + swallows)(["a", "b"])
        first = asyncio.create_task(anext(parts))
        await begun.wait()
    first.cancel()
    with pytest.warns(AbandonedTask, match="swallows"):
        await asyncio.wait([first])
    assert ends(seen)["agent[1].swallows"] == "abandoned"
    told = len(seen)
    assert isinstance(seen[-1], RunFinished)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    release.set()
    await asyncio.wait(others)
    assert len(seen) == told


async def test_a_stage_may_be_any_async_iterator() -> None:
    """What has no `aclose` is told of like the others, also when it is left."""

    class Letters(AsyncIterator[Part]):
        async def __anext__(self) -> Part:
            return Part("x")

    class Stage(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            return Letters()

    seen: list[Record] = []
    with observe(seen.append):
        async with (Stage() + copy).run(None) as parts:
            await anext(parts)
            await asyncio.sleep(1.0)
    assert ends(seen) == {"source": "closed", "agent[0].stage": "closed", "agent[1].copy": "closed"}
    assert counts(seen)["agent[0].stage"].parts_out >= 1


async def test_what_is_no_part_fails_where_it_came_from() -> None:
    """A stage that yields what can be no part is named, with and without a hook."""

    @processor
    async def wrong(stream: AsyncIterator[Part]) -> AsyncIterator[Any]:
        yield object()

    notes = []
    for scope in (contextlib.nullcontext(), observe(ignore)):
        with scope, pytest.raises((AttributeError, PartError)) as raised:
            await texts((copy + wrong + copy)(None))
        notes.append(raised.value.__notes__)
    assert notes == [["in agent[1].wrong"]] * 2


async def test_plain_values_are_told_as_the_parts_that_they_become() -> None:
    """A source and a stage that give texts are told of in parts."""

    @processor
    async def plain(stream: AsyncIterator[Part]) -> AsyncIterator[Any]:
        async for part in stream:
            yield part.text

    seen: list[Record] = []
    with observe(seen.append):
        assert await texts(plain(["a"])) == ["a"]
    assert [it.part for it in of(seen, PartPassed)] == [Part("a"), Part("a")]


# -- whatever ends it, as if nobody watched


AGENTS = {
    "one stage": copy,
    "generators": copy + copy + copy,
    "slow": copy + slow + copy,
    "driven": copy + Driven() + copy + Driven(),
    "nested": copy + nested + copy,
}


async def exhausted(agent: Processor, log: list[str]) -> None:
    assert await texts(agent(numbers(log, 5))) == list("01234")


async def left_by_break(agent: Processor, log: list[str]) -> None:
    async for _ in agent(numbers(log)):
        break
    await asyncio.sleep(2.0)


async def left_half_way(agent: Processor, log: list[str]) -> None:
    async with agent.run(numbers(log, every_s=0.25)) as parts:
        async for part in parts:
            await asyncio.sleep(0.5)
            if part.text == "3":
                break


async def never_begun(agent: Processor, log: list[str]) -> None:
    source = numbers(log, 0)
    async with agent.run(source):
        await asyncio.sleep(1.0)
    assert [it async for it in source] == []


async def empty(agent: Processor, log: list[str]) -> None:
    assert await texts(agent(numbers(log, 0))) == []


async def cancelled(agent: Processor, log: list[str]) -> None:
    task = asyncio.create_task(texts(agent(numbers(log, every_s=10.0))))
    await asyncio.sleep(25.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def timed_out(agent: Processor, log: list[str]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0), agent.run(numbers(log, every_s=10.0)) as parts:
            await anext(parts)


async def failed(agent: Processor, log: list[str]) -> None:
    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "3":
                raise ValueError("broken")
            yield part

    with pytest.raises(ValueError, match="broken") as raised:
        await texts((agent + fails + agent)(numbers(log)))
    assert len(raised.value.__notes__) == 1


async def collected(agent: Processor, log: list[str]) -> None:
    parts = agent(numbers(log))
    await anext(parts)
    cycle: list[Any] = [parts]
    cycle.append(cycle)
    del parts, cycle
    gc.collect()
    await asyncio.sleep(2.0)


ENDS = [
    exhausted,
    left_by_break,
    left_half_way,
    never_begun,
    empty,
    cancelled,
    timed_out,
    failed,
    collected,
]


class Tally:
    """What the records of one stage add up to."""

    def __init__(self) -> None:
        self.parts = self.bytes = self.aside = 0
        self.waited_s = self.room_s = 0.0
        self.left_at: float | None = None

    def add(self, record: PartPassed) -> None:
        assert record.asked_at <= record.at
        self.aside += record.aside
        self.parts += not record.aside
        self.bytes += 0 if record.aside else len(record.part.bytes)
        self.asked(record.asked_at, record.at)
        self.left_at = record.at

    def asked(self, asked_at: float | None, at: float) -> None:
        if self.left_at is not None:
            self.room_s += (at if asked_at is None else asked_at) - self.left_at
        if asked_at is not None:
            self.waited_s += at - asked_at


def check_story(records: list[Record], to_the_end: bool = True) -> None:
    """All that must hold of the records of any runs, once these are over."""
    alive: dict[int, list[StageId]] = {}
    tallies: dict[StageId, Tally] = {}
    ended: set[StageId] = set()
    at = 0.0
    for record in records:
        assert record.at >= at
        at = record.at
        match record:
            case RunStarted(run=run, parent=parent):
                assert run not in alive
                assert parent is None or parent in alive
                alive[run] = []
            case StageStarted(stage=stage):
                assert stage.index == len(alive[stage.run])
                alive[stage.run].append(stage)
                tallies[stage] = Tally()
            case PartPassed(stage=stage):
                assert stage in alive[stage.run]
                assert stage not in ended
                tallies[stage].add(record)
            case StageFinished(stage=stage) | StageFailed(stage=stage):
                assert stage in alive[stage.run]
                assert stage not in ended
                ended.add(stage)
                tallies[stage].asked(record.asked_at, at)
                check_counts(record.counts, tallies[stage])
                if stage.index:
                    before = alive[stage.run][stage.index - 1]
                    check_input(record.counts, tallies[before], over=before in ended)
            case RunFinished(run=run):
                assert set(alive.pop(run)) <= ended
    assert not alive or not to_the_end


def check_counts(found: StageCounts, tally: Tally) -> None:
    assert (found.parts_out, found.bytes_out) == (tally.parts, tally.bytes)
    assert (found.parts_aside, found.waited_for_room_s) == (tally.aside, tally.room_s)


def check_input(found: StageCounts, before: Tally, over: bool) -> None:
    assert (found.parts_in, found.bytes_in) == (before.parts, before.bytes)
    if over:
        assert found.waited_for_input_s == before.waited_s
    else:  # what it asks for at this moment is in no record yet
        assert found.waited_for_input_s >= before.waited_s


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS.keys())
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_however_a_run_ends_it_ends_as_unwatched_and_all_of_it_is_told(
    agent: Processor, end: Callable[[Processor, list[str]], Awaitable[None]]
) -> None:
    """With a hook: the same pulls, the same end, nothing left; each stage told to have ended."""
    seen: list[Record] = []

    async def main(scope: contextlib.AbstractContextManager[None], log: list[str]) -> None:
        with scope:
            await end(agent, log)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert log.count("closed") == 1 or end is never_begun

    for seed in range(8):
        unwatched, watched = list[str](), list[str]()
        run_virtual(main(contextlib.nullcontext(), unwatched), seed=seed)
        run_virtual(main(observe(seen.append), watched), seed=seed)
        assert watched == unwatched
        assert bool(seen) == (end is not never_begun)
        check_story(seen)
        seen.clear()


@pytest.mark.virtual(seeds=3)
async def test_a_hundred_at_once_do_not_mix() -> None:
    """Each run tells its own story, whatever the others do."""
    stories: list[list[Record]] = [[] for _ in range(100)]

    async def one(n: int) -> None:
        with observe(stories[n].append):
            assert await texts(AGENTS["nested"]([str(n)] * (n % 5))) == [str(n)] * (n % 5)

    async with asyncio.TaskGroup() as group:
        for n in range(100):
            group.create_task(one(n))
    for n, story in enumerate(stories):
        check_story(story)
        passed = [it for it in of(story, PartPassed) if it.stage.path == "agent[2].copy"]
        assert len(passed) == n % 5
        assert len(of(story, RunStarted)) == 2
    numbered = [it.run for story in stories for it in of(story, RunStarted)]
    assert len(set(numbered)) == 200


@pytest.mark.parametrize("wait_s", [0.0, 0.125])
def test_a_program_may_end_while_a_run_is_being_closed(wait_s: float) -> None:
    """When the loop is taken down then, what has been told so far is a story without an end."""
    seen: list[Record] = []

    @processor
    async def tidies(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            await asyncio.sleep(0.5)

    async def main() -> None:
        with observe(seen.append):
            async for _ in (copy + tidies)(numbers([])):
                await asyncio.sleep(1.0)
                break
        await asyncio.sleep(wait_s)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    check_story(seen, to_the_end=wait_s > 0)


# -- who is told


async def test_nobody_listening_costs_nothing() -> None:
    """Without a hook a run has nothing that could tell of it."""
    watched: list[bool] = []

    @processor
    async def looks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        watched.append(current_run().watch is not None)
        async for part in stream:
            yield part

    await texts((copy + looks)("a"))
    assert watched == [False]
    with observe(ignore):
        await texts((copy + looks)("a"))
    assert watched == [False, True]


async def test_a_hook_is_told_of_runs_that_begin_in_its_block() -> None:
    """A run begins with its first part: before, in and after the block are three things."""
    seen: list[Record] = []
    before = copy(["a", "b", "c"])
    await anext(before)
    made_before = copy(["x"])
    with observe(seen.append):
        await texts(before)
        assert seen == []
        inside = copy(["a", "b", "c"])
        made_inside = copy(["x"])
        await anext(inside)
        await texts(made_before)
    await texts(made_inside)
    assert len(of(seen, RunStarted)) == 2
    told = len(seen)
    await texts(inside)
    assert len(seen) > told  # to its end
    check_story(seen)


async def test_a_block_holds_for_its_own_task() -> None:
    """Two tasks watch each for itself; a task that was started inside a block is in it."""
    seen: dict[str, list[Record]] = {"a": [], "b": [], "c": []}

    async def one(name: str, agent: Processor) -> None:
        with observe(seen[name].append):
            await asyncio.sleep(1.0)
            await texts(agent(name))

    async with asyncio.TaskGroup() as group:
        group.create_task(one("a", copy))
        group.create_task(one("b", slow))
        with observe(seen["c"].append):
            group.create_task(texts(broken("ok")))
    names = {name: [it.name for it in of(told, RunStarted)] for name, told in seen.items()}
    assert names == {"a": ["copy"], "b": ["slow"], "c": ["broken"]}


async def test_blocks_nest() -> None:
    """In two blocks both hooks are told, the outer one first; each hook leaves with its block."""
    order: list[str] = []

    def named(name: str) -> Callable[[Record], None]:
        return lambda record: order.append(name) if isinstance(record, RunStarted) else None

    with observe(named("outer")):
        with observe(named("inner")):
            await texts(copy("a"))
        await texts(copy("a"))
    await texts(copy("a"))
    assert order == ["outer", "inner", "outer"]


async def test_a_block_in_a_generator_may_be_closed_elsewhere() -> None:
    """A generator that watches, closed from another context, does not fail for it."""

    async def watching() -> AsyncGenerator[str, None]:
        with observe(ignore):
            yield "on"

    generator = watching()
    assert await asyncio.create_task(generator.__anext__()) == "on"
    await generator.aclose()


async def test_a_hook_for_all_runs() -> None:
    """One that was added is told of every run until it is removed."""
    seen: list[Record] = []
    hook = functools.partial(seen.append)
    add_hook(hook)
    try:
        await texts(copy("a"))
        await asyncio.create_task(texts(copy("a")))
        with observe(seen.append):
            await texts(copy("a"))
        last = copy(["a", "b"])
        await anext(last)
    finally:
        remove_hook(hook)
    assert len(of(seen, RunStarted)) == 5  # of the third, both were told
    await texts(copy("a"))
    assert len(of(seen, RunStarted)) == 5
    await texts(last)
    assert len(of(seen, RunFinished)) == 5
    with pytest.raises(FlowError, match="partial is not there to be removed"):
        remove_hook(hook)


async def test_what_is_no_hook_is_refused() -> None:
    """A hook is called and does not wait; all else is said to be wrong before anything runs."""

    async def waits(record: Record) -> None:
        """A hook that cannot work."""

    class Waits:
        async def __call__(self, record: Record) -> None:
            """Nor can this."""

    for wrong, why in (
        (42, "42 cannot be called"),
        (waits, "is async"),
        (Waits(), "Waits is async"),
    ):
        with pytest.raises(FlowError, match=why):
            add_hook(wrong)  # type: ignore[arg-type]
        with pytest.raises(FlowError, match=why), observe(wrong):  # type: ignore[arg-type]
            raise AssertionError


# -- hooks that fail


class Unspeakable(Exception):
    def __str__(self) -> NoReturn:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [ValueError, Unspeakable])
@pytest.mark.parametrize(
    "when", [RunStarted, StageStarted, PartPassed, StageFinished, RunFinished, Announced]
)
async def test_a_hook_that_raises_breaks_nothing(
    when: type[Record], error: type[Exception]
) -> None:
    """The run gives the same; one warning says who, what and where; the others are told all."""
    seen: list[Record] = []
    told: list[Record] = []

    def clumsy(record: Record) -> None:
        told.append(record)
        if isinstance(record, when):
            raise error("oh")

    @processor
    async def announces(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            current_run().bus.announce(TurnComplete(1))
            yield part

    with observe(clumsy), observe(seen.append), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert sorted(await texts((copy + announces)(["a", "b"]))) == ["", "", "a", "b"]
    assert [it.category for it in warned] == [HookFailed]
    text = str(warned[0].message)
    assert "clumsy raised" in text
    assert "test_hooks.py:" in text
    assert "this run of agent" in text
    check_story(seen)
    assert [type(it) for it in told].count(when) == 1
    assert told == seen[: len(told)]


async def test_a_hook_that_raises_is_told_of_the_next_run_again() -> None:
    """It is dropped for the run, and for those within it, with one complaint; not for ever."""
    tries: list[str] = []

    def clumsy(record: Record) -> None:
        if isinstance(record, RunStarted):
            tries.append(record.name)
        if isinstance(record, PartPassed):
            raise ValueError("oh")

    @processor
    async def answers(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            async for each in copy(part):
                yield each

    with observe(clumsy):
        for _ in range(2):
            with pytest.warns(HookFailed) as warned:
                assert await texts(answers(["a", "b", "c"])) == ["a", "b", "c"]
            assert len(warned) == 1
    assert tries == ["answers", "answers"]


async def test_a_hook_that_fails_within_is_complained_of_once() -> None:
    """One that fails in an inner run, and then in the outer one, is still one complaint."""

    def clumsy(record: Record) -> None:
        if isinstance(record, PartPassed) and record.part.text == "inner":
            raise ValueError("oh")
        if isinstance(record, RunFinished):
            raise ValueError("oh again")

    @processor
    async def answers(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            async for each in copy("inner"):
                yield each

    with observe(clumsy), pytest.warns(HookFailed, match="oh$|oh ") as warned:
        assert await texts(answers(["a", "b"])) == ["inner", "inner"]
    assert len(warned) == 1


async def test_a_hook_that_raises_breaks_nothing_where_warnings_are_errors() -> None:
    """What cannot be warned of goes to the loop's handler of exceptions."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    def clumsy(record: Record) -> None:
        error = ValueError("oh")
        error.add_note("and more")
        raise error

    with observe(clumsy), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await texts(copy(["a", "b"])) == ["a", "b"]
    assert len(complaints) == 1
    assert "clumsy raised ValueError: oh at" in complaints[0]["message"]
    assert isinstance(complaints[0]["exception"], HookFailed)


async def test_a_program_may_be_ended_from_a_hook() -> None:
    """What is no Exception is no failure of the hook, and passes."""

    def ends_it(record: Record) -> None:
        if isinstance(record, PartPassed):
            raise asyncio.CancelledError

    with observe(ends_it), pytest.raises(FlowError, match="from inside"):
        await texts(copy(["a"]))


# -- numbers


class Light:
    """A hook that wants no parts of the conversation."""

    skips_parts = True

    def __init__(self) -> None:
        self.seen: list[Record] = []

    def __call__(self, record: Record) -> None:
        self.seen.append(record)


async def test_who_skips_parts_gets_those_on_side_lanes() -> None:
    """Parts of the conversation are not told, but counted; those on side lanes are told."""
    light = Light()

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield Part("busy", substream="status")
            yield part

    with observe(light):
        assert await texts((talks + copy)(["a", "b"])) == ["busy", "a", "busy", "b"]
    assert [it.part.text for it in of(light.seen, PartPassed)] == ["busy", "busy"]
    assert counts(light.seen)["agent[1].copy"] == StageCounts(2, 2, 2, 2, 0, 0.0, 0.0)


async def test_one_who_wants_parts_is_enough() -> None:
    """Beside a hook that wants all parts, all are told."""
    light, seen = Light(), list[Record]()
    with observe(light), observe(seen.append):
        assert await texts(copy(["a"])) == ["a"]
    assert len(of(seen, PartPassed)) == len(of(light.seen, PartPassed)) == 2


async def test_counts_can_be_asked_for_at_any_time() -> None:
    """While a stage runs, and after it: what has gone through it by then."""
    light = Light()
    with observe(light):
        async with slow.run(timeline([(0.5, "one"), (1.0, "two")])) as parts:
            await anext(parts)
            stage = of(light.seen, StageStarted)[-1]
            assert stage.counts is not None
            assert stage.counts() == StageCounts(1, 3, 1, 3, 0, 0.5, 0.0)
            async for _ in parts:
                pass
    assert stage.counts() == StageCounts(2, 6, 2, 6, 0, 0.75, 0.0)


async def test_what_a_stage_measures_is_told() -> None:
    """A number, who has measured it, and when; nobody is told where nobody listens."""

    @processor
    async def measures(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            current_run().measured("measures", "tokens", 3)
            yield part

    light = Light()
    with observe(light):
        await texts(measures(timeline([(0.5, "a")])))
    await texts(measures("b"))
    (found,) = of(light.seen, Measured)
    assert (found.at, found.by, found.what, found.value) == (0.5, "measures", "tokens", 3)


async def test_what_an_interruption_takes_out_is_measured() -> None:
    """The parts that waited somewhere when their reply became void are told as dropped."""
    light = Light()

    @processor
    async def interrupts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
            await asyncio.sleep(1.0)
            current_run().bus.announce(Interrupted(1))
            current_run().bus.announce(Interrupted(1))

    spoken = [Part("a"), *[Part("b", role="model", turn=1)] * 3]
    with observe(light):
        await texts((buffer() + interrupts)(spoken))
    assert [(it.by, it.what, it.value) for it in of(light.seen, Measured)] == [
        ("interruption", "dropped", 3.0)
    ]
