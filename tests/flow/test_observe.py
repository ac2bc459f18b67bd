import asyncio
from collections.abc import AsyncIterator

import pytest

from vivace.flow.hooks import observe
from vivace.flow.observe import LagReport, LoopLag, beside, is_beside
from vivace.flow.processor import processor
from vivace.flow.records import Record, RunStarted
from vivace.part import Part
from vivace.testing import VirtualLoop

pytestmark = pytest.mark.virtual


def hog(seconds: float) -> None:
    """Do what a callback does that keeps the loop busy: time passes and nobody else runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._now += seconds


async def test_without_samples_all_is_zero() -> None:
    """A report before the first sample is all zeros."""
    assert LoopLag().report() == LagReport(0, 0.0, 0.0, 0.0)


async def test_a_quiet_loop_has_no_lag() -> None:
    """In a second are ten samples every 3/32 s, and none of them is late."""
    async with LoopLag(every_s=0.09375) as lag:
        await asyncio.sleep(1.0)
    assert lag.report() == LagReport(10, 0.0, 0.0, 0.0)


async def test_lag_is_what_others_had_to_wait() -> None:
    """A callback makes the sample that falls into it late by what was left of the callback."""
    async with LoopLag(every_s=0.25) as lag:
        asyncio.get_running_loop().call_at(0.375, hog, 0.25)
        asyncio.get_running_loop().call_at(0.75, hog, 0.1875)
        await asyncio.sleep(1.9)
    report = lag.report()
    assert report.samples == 6
    assert (report.median_s, report.worst_s) == (0.0, 0.125)


async def test_percentiles_are_samples() -> None:
    """Of 201 samples with four late ones, the p99 is the third latest, by its rank."""
    async with LoopLag(every_s=1.0) as lag:
        loop = asyncio.get_running_loop()
        for index, late in enumerate((0.125, 0.25, 0.375, 0.5)):
            at = 10.0 * (index + 1) + 0.5 + sum((0.125, 0.25, 0.375, 0.5)[:index])
            loop.call_at(at, hog, 0.5 + late)
        await asyncio.sleep(202.25)
    report = lag.report()
    assert report == LagReport(201, 0.0, 0.25, 0.5)


async def test_only_the_newest_samples_are_kept() -> None:
    """Memory is bounded: old samples go."""
    async with LoopLag(every_s=1.0, keep=3) as lag:
        asyncio.get_running_loop().call_at(0.5, hog, 1.0)
        await asyncio.sleep(10.5)
    assert lag.report() == LagReport(3, 0.0, 0.0, 0.0)


async def test_nothing_is_measured_after_the_block() -> None:
    """Leaving stops the timer; leaving once more, or without having entered, is harmless."""
    async with LoopLag() as lag:
        await asyncio.sleep(0.05)
    samples = lag.report().samples
    await asyncio.sleep(1.0)
    await lag.__aexit__()
    assert lag.report().samples == samples


async def test_runs_that_look_on_say_so() -> None:
    """Those that begin in the block, those within them, and no others."""
    seen: list[Record] = []

    @processor
    async def inner(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part

    @processor
    async def outer(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in inner(stream):
            yield part

    with observe(seen.append):
        with beside():
            assert is_beside()
            assert [part.text async for part in outer("a")] == ["a"]
        assert [part.text async for part in inner("a")] == ["a"]
    runs = [(it.name, it.beside) for it in seen if isinstance(it, RunStarted)]
    assert runs == [("outer", True), ("inner", True), ("inner", False)]


async def test_each_sample_is_told_until_it_is_stopped() -> None:
    """Who has no block starts and stops it; each sample is told as it is taken."""
    told: list[float] = []
    lag = LoopLag(every_s=0.25, tell=told.append)
    lag.start()
    asyncio.get_running_loop().call_at(0.375, hog, 0.25)
    await asyncio.sleep(1.0)
    lag.stop()
    lag.stop()
    await asyncio.sleep(1.0)
    assert told == [0.0, 0.125, 0.0]
