import asyncio
import contextlib
import gc
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from vivace.errors import FlowError, StageError
from vivace.flow.clock import now
from vivace.flow.processor import Processor, processor
from vivace.flow.run import Run, current_run
from vivace.part import Data, Interrupted, Part, SpeechStarted
from vivace.processors.buffer import Buffer, buffer
from vivace.testing.script import play

pytestmark = pytest.mark.virtual


async def numbers(log: list[str], count: int = 1000, every_s: float = 0.0) -> AsyncGenerator[Part]:
    """A source that tells what was pulled, and that it was closed."""
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(str(n))
            yield Part(str(n))
    finally:
        log.append("closed")


def slow(every_s: float, log: list[str] | None = None) -> Processor:
    """A stage that takes its time for each part, and tells what it saw."""

    @processor
    async def takes_time(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if log is not None:
                log.append(part.text or type(part.body).__name__)
            await asyncio.sleep(every_s)
            yield part

    return takes_time


async def texts(parts: AsyncIterator[Part]) -> list[str]:
    return [part.text async for part in parts if part.text]


async def outcome(parts: AsyncIterator[Part]) -> tuple[Exception, list[str]]:
    """The error that a stream ended with, and the texts that came before it."""
    seen: list[str] = []
    try:
        async for part in parts:
            seen.append(part.text)
    except Exception as error:
        return error, seen
    raise AssertionError("no error came")


def news(parts: list[Part]) -> list[Any]:
    return [part.body.value for part in parts if isinstance(part.body, Data)]


def chunk(at: float) -> Part:
    return Part.audio(bytes(640), at=at)  # 20 ms


# -- reading ahead


@pytest.mark.parametrize("stage", [buffer(), buffer(1), buffer(3, seconds=0.1)])
@pytest.mark.virtual(seeds=10)
async def test_everything_passes_in_order(stage: Buffer) -> None:
    """A buffer that waits changes nothing of what passes, and drops nothing."""
    source = [*(Part(str(n)) for n in range(50)), *(chunk(n / 50) for n in range(50))]
    assert [part async for part in stage(source)] == source
    assert [part async for part in (stage + stage)(source)] == source
    assert [part async for part in stage([])] == []
    assert stage.parts_dropped == 0


@pytest.mark.virtual(seeds=10)
async def test_neighbours_overlap() -> None:
    """What comes before works while what comes after does: the slower one counts."""
    source = [str(n) for n in range(10)]
    together = slow(0.25) + buffer(4) + slow(0.25)
    assert len(await texts(together(source))) == 10
    assert now() == 11 * 0.25


@pytest.mark.parametrize(("capacity", "ahead"), [(1, 3), (2, 4), (8, 9)])
@pytest.mark.virtual(seeds=20)
async def test_it_reads_so_far_ahead_and_no_further(capacity: int, ahead: int) -> None:
    """As many as may wait and one in the hand, and again as soon as at most half of them wait."""
    log: list[str] = []
    async with buffer(capacity).run(numbers(log)) as parts:
        await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) == ahead


@pytest.mark.virtual(seeds=10)
async def test_a_full_buffer_reads_on_when_it_is_half_empty() -> None:
    """Once full, nothing is read until half is left; then it fills up again."""
    log: list[str] = []
    pulled = []
    async with buffer(8).run(numbers(log)) as parts:
        for _ in range(12):
            await anext(parts)
            await asyncio.sleep(1.0)
            pulled.append(len(log))
    assert pulled == [9, 9, 9, 13, 13, 13, 13, 17, 17, 17, 17, 21]


async def test_seconds_of_audio_are_a_bound() -> None:
    """A fifth of a second holds ten chunks of 20 ms, however many parts would fit."""
    log = []

    async def chunks() -> AsyncIterator[Part]:
        for n in range(100):
            log.append(n)
            yield chunk(n / 50)

    async with buffer(seconds=0.2).run(chunks()) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
        assert len(log) == 10 + 1
        assert len([part async for part in parts]) == 99


async def test_a_part_longer_than_the_bound_passes_alone() -> None:
    """A minute of audio goes through a buffer for a second of it."""
    minute = Part.audio(bytes(60 * 32_000), at=0.0)
    source = [chunk(0.0), minute, minute, chunk(0.0)]
    assert [part async for part in buffer(seconds=1.0)(source)] == source


async def test_nothing_is_read_before_someone_asks() -> None:
    """A buffer begins to read when its first part is wanted."""
    log: list[str] = []
    async with buffer().run(numbers(log)):
        await asyncio.sleep(1.0)
    assert log == []


# -- dropping


@pytest.mark.virtual(seeds=10)
async def test_drop_oldest_keeps_the_newest() -> None:
    """A consumer that falls behind finds what is newest, in order; each drop is counted."""
    stage = buffer(2, full="drop_oldest")
    seen = await play(
        stage + slow(0.9), [(0.125 + 0.25 * n, str(n)) for n in range(12)] + [(9.0, "last")]
    )
    told = news([part for _, part in seen])
    assert [part.text for _, part in seen if part.text] == ["0", "2", "6", "9", "10", "11", "last"]
    assert stage.parts_dropped == told[-1]["total"] == sum(it["parts"] for it in told) == 6


@pytest.mark.virtual(seeds=10)
async def test_drop_newest_keeps_the_oldest() -> None:
    """What waits already stays, and what comes to a full buffer is dropped."""
    stage = buffer(2, full="drop_newest")
    seen = await play(
        stage + slow(0.9), [(0.125 + 0.25 * n, str(n)) for n in range(12)] + [(9.0, "last")]
    )
    assert [part.text for _, part in seen if part.text] == ["0", "1", "2", "4", "8", "11", "last"]
    assert stage.parts_dropped == 6


@pytest.mark.parametrize("full", ["drop_oldest", "drop_newest"])
@pytest.mark.virtual(seeds=10)
async def test_signals_and_tool_traffic_are_never_dropped(full: Any) -> None:
    """Among a thousand images, each signal, call and response arrives, in order."""
    kept = []
    for n in range(20):
        kept += [
            Part(SpeechStarted(float(n)), at=float(n)),
            Part.call("look", id=str(n)),
            Part.response("look", "a cat", id=str(n)),
        ]
    source = []
    for part in kept:
        source += [part, *(Part.image(b"jpeg") for _ in range(17))]
    seen = [part async for part in (buffer(3, full=full) + slow(0.1))(source)]
    others = [part for part in seen if not (part.mimetype == "image/jpeg" or part.substream)]
    assert others == kept


async def test_dropping_is_told_at_once_then_each_second_then_at_the_end() -> None:
    """`dropped` comes with the first drop, once a second while it lasts, and says all in all."""
    script = [(0.125 * n, str(n)) for n in range(21)]
    seen = await play(buffer(1, full="drop_newest") + slow(100.0), script)
    told = [(at, *part.body.value.values()) for at, part in seen if isinstance(part.body, Data)]
    # "0" is with the slow stage and "1" waits; "2" is the first to go.
    assert told == [
        (0.25, "dropped", "buffer", 1, 1),
        (1.25, "dropped", "buffer", 8, 9),
        (2.25, "dropped", "buffer", 8, 17),
        (2.5, "dropped", "buffer", 2, 19),
    ]
    assert {part.substream for _, part in seen if isinstance(part.body, Data)} == {"status"}


async def test_what_was_dropped_is_told_by_the_next_part_a_second_later() -> None:
    """What was not worth a message at once is told with what is read next, however late."""
    script = [(0.0, "a"), (0.0, "b"), (0.25, "c"), (0.5, "d"), (9.0, "e"), (20.0, "f")]
    seen = await play(buffer(1, full="drop_newest") + slow(5.0), script)
    told = [(at, part.body.value["parts"]) for at, part in seen if isinstance(part.body, Data)]
    assert told == [(0.25, 1), (9.0, 1)]
    assert [part.text for _, part in seen if part.text] == ["a", "b", "e", "f"]


async def test_a_consumer_that_takes_nothing_is_not_told_more_and_more() -> None:
    """What there is to tell is bounded while nobody listens, and none of it is lost."""
    runs: list[Run] = []

    @processor
    async def remembers(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        runs.append(current_run())
        async for part in stream:
            yield part

    log: list[str] = []
    async with (remembers + buffer(1, full="drop_newest")).run(numbers(log, 500, 0.5)) as parts:
        seen = [await anext(parts)]
        await asyncio.sleep(200.0)
        assert runs[0].side.statistics().waiting == 64
        seen += [part async for part in parts]
    told = news(seen)
    passed = len([part for part in seen if part.text])
    assert sum(it["parts"] for it in told) == told[-1]["total"] == 500 - passed


async def test_counts_go_on_over_runs_and_totals_do_not() -> None:
    """`parts_dropped` is of the object, `total` of the run."""
    stage = buffer(1, full="drop_oldest")
    for _ in range(2):
        parts = [part async for part in (stage + slow(1.0))(["a"] * 10)]
        assert news(parts)[-1]["total"] == 10 - len([part for part in parts if part.text])
    assert stage.parts_dropped == 2 * news(parts)[-1]["total"]


@pytest.mark.parametrize("full", ["drop_oldest", "drop_newest"])
async def test_an_endless_source_that_never_waits_starves_nobody(full: Any) -> None:
    """A source that gives parts as fast as they are asked for leaves time for all others."""
    endless = (Part(str(n)) for n in itertools.count())
    async with (buffer(16, full=full) + slow(0.0)).run(endless) as parts:
        seen = [(await anext(parts)).text for _ in range(50)]
    kept = [int(text) for text in seen if text]
    assert len(kept) > 40
    assert kept == sorted(set(kept))


# -- errors


@pytest.mark.parametrize("full", ["wait", "drop_oldest", "drop_newest"])
@pytest.mark.virtual(seeds=20)
async def test_an_error_comes_after_what_was_read_before_it(full: Any) -> None:
    """What was buffered when the source broke still arrives; then the error, as itself, once."""

    async def breaks() -> AsyncIterator[Part]:
        for name in "abc":
            yield Part(name)
        raise OSError("unplugged")

    error, seen = await outcome((buffer(5, full=full) + slow(1.0))(breaks()))
    assert (str(error), seen) == ("unplugged", ["a", "b", "c"])
    assert error.__notes__ == ["in source"]


async def test_what_was_dropped_before_an_error_is_told() -> None:
    """A source that breaks does not hide that parts were dropped before."""

    async def breaks() -> AsyncIterator[Part]:
        for n in range(10):
            yield Part(str(n))
        raise OSError("unplugged")

    seen = []
    with contextlib.suppress(OSError):
        async for part in (buffer(2, full="drop_newest") + slow(1.0))(breaks()):
            seen.append(part)
    assert news(seen)[-1]["total"] == 10 - len([part for part in seen if part.text])


async def test_an_input_that_was_cancelled_from_inside_is_an_error() -> None:
    """A cancellation that nobody asked for ends the run; nobody waits for ever."""

    @processor
    async def cancels(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        raise asyncio.CancelledError

    error, seen = await outcome((cancels + buffer())(None))
    assert isinstance(error, FlowError)
    assert str(error) == "what a buffer reads from was cancelled from inside"
    assert seen == ["a"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"capacity": 0}, "a buffer for 0 parts holds nothing; use 1 or more"),
        ({"seconds": 0}, "a buffer for 0 seconds of audio holds none; use more than 0"),
        ({"seconds": float("nan")}, "a buffer for nan seconds"),
        ({"full": "drop"}, "full='drop' is no policy; use one of: wait, drop_oldest, drop_newest"),
    ],
)
def test_bounds_that_hold_nothing_are_refused(arguments: Any, complaint: str) -> None:
    """Each mistake is told when the buffer is made, with what to use instead."""
    with pytest.raises(StageError, match=complaint):
        buffer(**arguments)


# -- interruption


def say(text: str, turn: int) -> Part:
    return Part(text, role="model", turn=turn)


@pytest.mark.parametrize("capacity", [1, 2, 3, 8])
@pytest.mark.virtual(seeds=20)
async def test_an_interruption_takes_out_what_is_void(capacity: int) -> None:
    """Nothing of the void reply passes the buffer any more: not what waits, nor what is in hand."""
    log: list[str] = []

    @processor
    async def interrupts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run = current_run()

        async def later() -> None:
            await asyncio.sleep(1.5)
            log.append("interrupted")
            run.bus.announce(Interrupted(1))

        run.start(later(), "later")
        async for part in stream:
            yield part

    async def replies() -> AsyncIterator[Part]:
        for n in itertools.takewhile(lambda _: "interrupted" not in log, range(100)):
            yield say(f"old {n}", 1)
        await asyncio.sleep(5.0)
        yield say("new", 2)

    agent = interrupts + buffer(capacity) + slow(1.0, log)
    assert (await texts(agent(replies())))[-1] == "new"
    assert log == ["old 0", "old 1", "interrupted", "new"]


# -- however it ends


async def left_by_break(agent: Processor, log: list[str]) -> None:
    async with agent.run(numbers(log)) as parts:
        async for part in parts:
            if part.text == "3":
                break


async def cancelled(agent: Processor, log: list[str]) -> None:
    async def consume() -> None:
        async with agent.run(numbers(log, every_s=0.25)) as parts:
            async for _ in parts:
                await asyncio.sleep(0.75)

    task = asyncio.create_task(consume())
    await asyncio.sleep(2.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def failed_behind_it(agent: Processor, log: list[str]) -> None:
    @processor
    async def fails(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if int(part.text) >= 3:  # one that drops may drop just that one
                raise ValueError("broken")
            yield part

    with pytest.raises(ValueError, match="broken"):
        await texts((agent + fails)(numbers(log)))


async def collected(agent: Processor, log: list[str]) -> None:
    parts = agent(numbers(log))
    await anext(parts)
    del parts
    gc.collect()
    await asyncio.sleep(2.0)


async def exhausted(agent: Processor, log: list[str]) -> None:
    await texts(agent(numbers(log, 20)))


@pytest.mark.parametrize(
    "end",
    [left_by_break, cancelled, failed_behind_it, collected, exhausted],
    ids=lambda it: it.__name__,
)
@pytest.mark.parametrize(
    "agent",
    [
        buffer(),
        buffer(1),
        buffer(2, full="drop_oldest"),
        slow(0.1) + buffer(4) + slow(0.2) + buffer(2),
    ],
    ids=["roomy", "tight", "dropping", "chain"],
)
@pytest.mark.virtual(seeds=6)
async def test_however_a_run_ends_nothing_is_left(agent: Processor, end: Any) -> None:
    """Left, cancelled, failed, dropped or exhausted: no task runs on and the source is closed."""
    log: list[str] = []
    await end(agent, log)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log.count("closed") == 1


async def test_a_buffer_that_is_closed_reads_no_more() -> None:
    """A stage that closes a buffer of its own, and goes on, stops its reading."""
    log: list[str] = []

    @processor
    async def one_is_enough(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        ahead = buffer().call(stream)
        assert isinstance(ahead, AsyncGenerator)
        async with contextlib.aclosing(ahead):
            yield await anext(ahead)
        await asyncio.sleep(10.0)

    assert await texts(one_is_enough(numbers(log, every_s=0.75))) == ["0"]
    assert log == ["0", "closed"]


async def test_a_buffer_within_a_stage_closes_what_it_reads() -> None:
    """Used inside a `call` over a generator of its own, it leaves nothing open."""
    log: list[str] = []

    class ReadsAhead(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            return buffer(2).call(numbers(log))

    async with ReadsAhead().run(None) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
    assert log[-1] == "closed"


async def test_a_hundred_runs_share_one_buffer_object() -> None:
    """A buffer object has no state of a run: runs beside each other do not disturb each other."""
    agent = slow(0.01) + buffer(3) + slow(0.02)

    async def one(name: str) -> list[str]:
        return await texts(agent([name] * 5))

    tasks = [asyncio.create_task(one(str(n))) for n in range(100)]
    await asyncio.wait(tasks)
    assert [task.result() for task in tasks] == [[str(n)] * 5 for n in range(100)]
