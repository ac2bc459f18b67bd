"""What went through each stage."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from vivace.flow.hooks import observe
from vivace.flow.processor import processor
from vivace.flow.records import (
    Record,
    RunFinished,
    RunStarted,
    StageCounts,
    StageFailed,
    StageFinished,
    StageId,
    StageStarted,
)
from vivace.metrics.report import StageReport
from vivace.metrics.stages import Stages
from vivace.part import Part
from vivace.testing.script import timeline

pytestmark = pytest.mark.virtual


@processor
async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        await asyncio.sleep(0.25)
        yield part


@processor
async def broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part
        raise LookupError("broken")


class Watched:
    """A hook that hands on what is about stages, as metrics do."""

    skips_parts = True

    def __init__(self) -> None:
        self.stages = Stages()

    def __call__(self, record: Record) -> None:
        match record:
            case RunStarted():
                self.stages.begin(record)
            case RunFinished():
                self.stages.end(record)
            case StageStarted():
                self.stages.opened(record)
            case StageFinished() | StageFailed():
                self.stages.ended(record)


async def test_a_stage_that_goes_on_is_counted() -> None:
    """What has gone through by now: waits, and how long it worked."""
    watched = Watched()
    with observe(watched):
        async with slow.run(timeline([(0.5, "one"), (1.0, "two"), (9.0, "three")])) as parts:
            await anext(parts)
            await anext(parts)
            source, stage = watched.stages.report(1.25)
            assert stage == StageReport("slow", 1, 2, 2, 0, 0.75, 0.0, 0.5)
            assert stage.work_a_part_s == 0.25
            assert (source.path, source.parts_out, source.work_s) == ("source", 2, 0.0)
            assert watched.stages.handed_out() == 2
    assert watched.stages.handed_out() == 2


async def test_runs_add_up() -> None:
    """Two runs of the same stages are one row, also after they have ended."""
    watched = Watched()
    with observe(watched):
        for _ in range(2):
            async for _ in slow(["a", "b"]):
                pass
    _, stage = watched.stages.report(99.0)
    assert stage == StageReport("slow", 2, 4, 4, 0, 0.0, 0.0, 1.0)
    assert watched.stages.handed_out() == 4


async def test_an_error_is_counted_where_it_arose() -> None:
    """Stages that it passed through are not at fault."""
    watched = Watched()
    with observe(watched), pytest.raises(LookupError):
        async for _ in (broken + slow)(["a", "b"]):
            pass
    errors = {it.path: it.errors for it in watched.stages.report(0.0)}
    assert errors == {"source": 0, "agent[0].broken": 1, "agent[1].slow": 0}


def test_rooms_are_bounded() -> None:
    """Of paths beyond 256 there is one row; of runs that never end, the newest 10,000."""
    stages = Stages()
    for run in range(1, 10_003):
        stages.begin(RunStarted(run, None, "a", 0.0))
    for index in range(300):
        stages.opened(StageStarted(StageId(10_002, None, f"stage{index}", index), 0.0))
    stages.opened(StageStarted(StageId(1, None, "late", 0), 0.0))
    counts = StageCounts(1, 0, 1, 0, 0, 0.0, 0.0)
    stages.ended(StageFinished(StageId(1, None, "late", 0), 1.0, "closed", counts))
    rows = stages.report(1.0)
    assert len(rows) == 257
    assert rows[-1].path == "(others)"
    assert stages.handed_out() == 0


def test_nothing_has_no_work() -> None:
    """A stage that got no part took no time for one."""
    assert StageReport("a", 1, 0, 0, 0, 0.0, 0.0, 5.0).work_a_part_s == 0.0
