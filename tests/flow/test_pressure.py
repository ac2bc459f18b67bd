"""`Pressure`: measured on this loop, told to whoever can do less."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from vivace.flow.clock import now
from vivace.flow.drive import drive
from vivace.flow.hooks import observe
from vivace.flow.pressure import Pressure, pressure_level
from vivace.flow.processor import Processor, processor
from vivace.flow.records import Measured, Record
from vivace.flow.run import current_run
from vivace.machines.machine import Item, Machine, Output
from vivace.machines.pressure import SHED_FROM, PressureChanged, Work
from vivace.part import Call, Data, Image, Part, Response, TurnComplete
from vivace.processors.buffer import buffer
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.testing import VirtualLoop
from vivace.testing.script import timeline

pytestmark = pytest.mark.virtual


async def hog(seconds: float, times: int = 1, every_s: float = 0.01) -> None:
    """Keep the loop busy."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    for _ in range(times):
        await asyncio.sleep(every_s)
        loop._now += seconds


async def test_a_busy_loop_presses_and_all_comes_back() -> None:
    """While callbacks wait 0.2 s the level is 3; after three calm seconds it falls, and so on."""
    seen: list[tuple[float, int]] = []
    assert pressure_level() == 0
    async with Pressure() as pressure:
        end = pressure.on_change(lambda level: seen.append((now(), level)))
        await hog(0.2, times=5)
        assert pressure_level() == pressure.level == 3
        await asyncio.sleep(15.0)
        assert pressure.level == 0
        assert [level for _, level in seen] == [3, 2, 1, 0]
        times = [at for at, _ in seen]
        assert [round(after - at, 1) for at, after in pairwise(times[1:])] == [
            3.0,
            3.0,
        ]
        end()
        await hog(0.2, times=5)
        assert len(seen) == 4
    assert pressure_level() == 0


async def test_after_its_block_nothing_is_left_out() -> None:
    """Whatever still runs does all of its work again, and is told."""
    levels: list[int] = []
    async with Pressure() as pressure:
        pressure.on_change(levels.append)
        await hog(0.2, times=5)
        assert pressure.sheds("detectors")
    assert levels == [3, 0]
    assert not pressure.sheds("frames")
    assert pressure.shed == {"detectors": 1}


async def test_a_block_within_another() -> None:
    """After it the outer one holds again."""
    async with Pressure() as outer:
        outer.shedding.level = 1
        async with Pressure():
            assert pressure_level() == 0
        assert pressure_level() == 1


async def test_each_change_is_told_on_status() -> None:
    """With the level and what it sheds; hooks are told too, and runs inside runs once."""
    seen: list[Record] = []

    @processor
    async def nested(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async with buffer().run(stream) as inner:
            async for part in inner:
                yield part

    async with Pressure():
        with observe(seen.append):
            agent = nested(timeline([(0.0, "a"), (9.0, "b")]))
            hogging = asyncio.ensure_future(hog(0.07, times=8))
            told = [part.body.value async for part in agent if isinstance(part.body, Data)]
            await hogging
    assert told == [
        {"event": "pressure", "level": 2, "sheds": [*SHED_FROM][:4]},
        {"event": "pressure", "level": 1, "sheds": ["frames", "interim"]},
        {"event": "pressure", "level": 0, "sheds": []},
    ]
    levels = [it.value for it in seen if isinstance(it, Measured) and it.what == "pressure"]
    assert levels == [float(news["level"]) for news in told]


async def test_a_run_that_begins_under_pressure_knows() -> None:
    """Its hooks are told the level there is."""
    seen: list[Record] = []
    async with Pressure() as pressure:
        await hog(0.2, times=5)
        assert pressure.level == 3
        with observe(seen.append):
            async for _ in buffer()("x"):
                pass
    assert [it.value for it in seen if isinstance(it, Measured)] == [3.0]


class Counts(Machine):
    """Passes parts on, and keeps the levels that it is fed."""

    def __init__(self) -> None:
        self.levels: list[int] = []

    def feed(self, item: Item, now: float) -> list[Output]:
        if isinstance(item, PressureChanged):
            self.levels.append(item.level)
        return super().feed(item, now)


async def test_machines_are_fed_the_level() -> None:
    """A driven stage's machine gets each change, as long as the stage runs."""
    machine = Counts()

    class Driven(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            return drive(stream, machine)

    async with Pressure() as pressure:
        hogging = asyncio.ensure_future(hog(0.2, times=5))
        async for _ in Driven()(timeline([(0.0, "a"), (6.0, "b")])):
            pass
        await hogging
        assert machine.levels == [3, 2]
        await asyncio.sleep(9.0)
        assert pressure.level == 0
    assert machine.levels == [3, 2]


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Machine())


async def levels_under(microphone: AsyncIterator[Part]) -> list[int]:
    """Those that are told while the sound comes to a driven stage; 0 at last, as the block ends."""
    levels: list[int] = []
    async with Pressure() as pressure:
        pressure.on_change(levels.append)
        async for _ in Driven()(microphone):
            pass
    return levels


async def test_sound_that_waits_presses() -> None:
    """The user's audio comes half a second late, and later, to a driven stage: level 2, then 3."""

    async def microphone() -> AsyncIterator[Part]:
        for number in range(100):
            await asyncio.sleep(0.02 if number < 10 else 0.03)
            yield Part.audio(bytes(640), at=round(0.02 * number, 6))
            yield Part.audio(bytes(640), at=0.0, role="model")

    assert await levels_under(microphone()) == [1, 2, 3, 0]


async def test_long_chunks_that_wait_press_too() -> None:
    """How long one has waited holds until the next one is due."""

    async def microphone() -> AsyncIterator[Part]:
        for number in range(40):
            await asyncio.sleep(0.1 if number < 10 else 0.15)
            yield Part.audio(bytes(3200), at=round(0.1 * number, 6))

    assert await levels_under(microphone()) == [1, 2, 3, 0]


async def test_how_long_sound_waits_has_no_gaps() -> None:
    """A chunk that waited a little less than the one before holds in its turn."""

    async def microphone() -> AsyncIterator[Part]:
        for number in range(12):
            waited = 0.0 if number < 2 else 0.5 if number % 2 else 0.45
            await asyncio.sleep(max(0.0, 1.0 + number + waited - now() + begun))
            yield Part.audio(bytes(32_000), at=float(number))

    begun = now()
    assert await levels_under(microphone()) == [2, 0]


async def test_the_longest_wait_of_all_sessions_counts() -> None:
    """As long as it holds; one that is shorter, and over before, says nothing."""
    async with Pressure() as pressure:
        pressure.queued(0.5, 1.0)
        pressure.queued(0.1, 0.02)
        await asyncio.sleep(0.5)
        assert pressure.level == 2
        pressure.queued(0.2, 4.0)
        await asyncio.sleep(3.0)
        assert pressure.level == 2  # what comes next is no calm yet
        await asyncio.sleep(9.0)
        assert pressure.level == 0


async def test_a_closed_microphone_presses_nobody() -> None:
    """Media time stands still while it is closed, and goes on where it stood."""

    async def microphone() -> AsyncIterator[Part]:
        for number in range(100):
            await asyncio.sleep(26.0 if number in {30, 60} else 0.02)
            yield Part.audio(bytes(640), at=round(0.02 * number, 6))

    assert await levels_under(microphone()) == []


async def test_chunks_that_leave_late_press() -> None:
    """A pacer that leaves its chunks behind tells; while small chunks are shed it sends larger."""
    lengths: list[float] = []
    async with Pressure() as pressure:
        hogging = asyncio.ensure_future(hog(0.2, times=20))
        speech = Part.audio(bytes(48_000 * 8), rate=24_000, role="model", turn=1)
        async for part in AudioRateLimiter()([speech]):
            if part.seconds:
                lengths.append(part.seconds)
        await hogging
        assert pressure.shed["chunks"] >= 1
    assert max(lengths) == 0.2
    assert sum(lengths) == pytest.approx(8.0)


@pytest.mark.parametrize("full", ["wait", "drop_oldest"])
async def test_old_frames_give_way(full: Any) -> None:
    """Under pressure a frame takes the place of those that wait; all else keeps its own."""
    others = [
        Part.audio(bytes(640), at=0.0),
        Part(TurnComplete(1)),
        Part(Call("1", "look")),
        Part(Response("1", "look")),
        Part("words"),
    ]
    frames = [Part(Image(bytes([number]))) for number in range(4)]

    @processor
    async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await asyncio.sleep(0.01)
            yield part

    async def seen() -> list[Part]:
        agent = buffer(64, full=full) + slow
        parts: list[Part] = [Part("first"), frames[0], *others, *frames[1:]]
        return [part async for part in agent(parts) if part.substream != "status"]

    assert len(await seen()) == 10
    async with Pressure() as pressure:
        pressure.shedding.level = 1
        assert await seen() == [Part("first"), *others, frames[3]]
        assert pressure.shed == {"frames": 3}


async def test_a_stage_asks() -> None:
    """By the run it is in, or the pressure itself; where nobody measures, nothing is shed."""
    found: list[bool] = []

    @processor
    async def asks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            found.append(current_run().shedding.sheds("detectors"))
            yield part

    seen: list[Record] = []
    async with Pressure() as pressure:
        pressure.shedding.level = 2
        with observe(seen.append):
            async for _ in asks(timeline([(0.0, "a"), (0.5, "b")])):
                pass
        assert pressure.sheds("detectors", 3)
        await asyncio.sleep(0.1)
    async for _ in asks("a"):
        pass
    assert found == [True, True, False]
    shed = [(it.what, it.value) for it in seen if isinstance(it, Measured) and "shed" in it.what]
    assert shed == [("shed.detectors", 1.0), ("shed.detectors", 1.0)]  # the last one at its end
    work: Work = "detectors"
    assert pressure.shed[work] == 5
