"""One computation that several read."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from vivace.errors import FlowError, StageError
from vivace.flow.clock import now
from vivace.flow.processor import processor
from vivace.flow.run import current_run
from vivace.flow.shared import Shared
from vivace.part import Part

pytestmark = pytest.mark.virtual


class Work:
    """Gives `count` parts, one a second, and notes what became of it."""

    def __init__(self, count: int = 3, every_s: float = 1.0) -> None:
        self.count = count
        self.every_s = every_s
        self.begun = 0
        self.made = 0
        self.log: list[str] = []

    async def __call__(self) -> AsyncGenerator[Part, None]:
        self.begun += 1
        try:
            for number in range(self.count):
                await asyncio.sleep(self.every_s)
                self.made += 1
                yield Part(str(number))
        except asyncio.CancelledError:
            self.log.append(f"cancelled at {now()}")
            raise
        finally:
            self.log.append("closed")


async def texts(shared: Shared) -> list[tuple[float, str]]:
    return [(now(), part.text) async for part in shared.read()]


async def test_all_readers_get_all_of_it() -> None:
    """Who comes later is given at once what there was, and the rest as it comes."""
    work = Work()
    shared = Shared(work, "work")
    first = asyncio.ensure_future(texts(shared))
    await asyncio.sleep(2.5)
    late = await texts(shared)
    assert late == [(2.5, "0"), (2.5, "1"), (3.0, "2")]
    assert await first == [(1.0, "0"), (2.0, "1"), (3.0, "2")]
    assert (work.begun, work.log, shared.open) == (1, ["closed"], False)


async def test_it_goes_on_while_somebody_reads() -> None:
    """The one who began it may leave; when the last one does, it is stopped, and awaited."""
    work = Work(count=9)
    shared = Shared(work, "work")
    first = asyncio.ensure_future(texts(shared))
    second = asyncio.ensure_future(texts(shared))
    await asyncio.sleep(1.5)
    first.cancel()
    await asyncio.wait([first])
    assert work.log == []
    await asyncio.sleep(1.0)
    second.cancel()
    await asyncio.wait([second])
    assert work.log == ["cancelled at 2.5", "closed"]
    assert not shared.open


async def test_an_error_is_everybodys() -> None:
    """What it raises, each reader raises, after the parts before it."""

    async def fails() -> AsyncGenerator[Part, None]:
        await asyncio.sleep(1.0)
        yield Part("a")
        raise LookupError("no more")

    shared = Shared(fails, "work")
    found = await asyncio.gather(texts(shared), texts(shared), return_exceptions=True)
    assert [str(it) for it in found] == ["no more", "no more"]


async def test_a_cancellation_from_inside_is_an_error() -> None:
    """Readers were not cancelled, so they are told what was."""

    async def cancels() -> AsyncGenerator[Part, None]:
        yield Part("a")
        raise asyncio.CancelledError

    with pytest.raises(FlowError, match="work was cancelled from inside"):
        await texts(Shared(cancels, "work"))


async def test_it_waits_for_its_quickest_reader() -> None:
    """It is no more than 64 parts ahead, however slow all readers are."""
    work = Work(count=1000, every_s=0.0)
    shared = Shared(work, "work")
    reading = shared.read()
    for _ in range(10):
        await anext(reading)
        await asyncio.sleep(1.0)
    assert work.made == 10 + 64
    await reading.aclose()
    assert work.log[-1] == "closed"


async def test_what_nobody_can_want_is_let_go() -> None:
    """Once nobody else may come, only what the slowest reader has not taken is kept."""
    work = Work(count=1000, every_s=0.0)
    shared = Shared(work, "work")
    slow, quick = shared.read(), shared.read()
    await anext(slow)
    shared.open = False
    for _ in range(200):
        await anext(quick)
    await asyncio.sleep(1.0)
    assert 200 <= shared._gone + len(shared._parts) <= 265
    assert shared._gone == 1
    for _ in range(199):
        await anext(slow)
    rest = [part.text async for part in quick]
    assert rest[-1] == "999"
    assert len(shared._parts) <= 801
    last = [part.text async for part in slow]
    assert (last[0], last[-1]) == ("200", "999")


async def test_it_belongs_to_no_run() -> None:
    """Begun in a stage, it has no run of its own until it begins one."""
    seen: list[str] = []

    async def looks() -> AsyncGenerator[Part, None]:
        try:
            current_run()
        except StageError:
            seen.append("none")
        yield Part("a")

    @processor
    async def stage(stream):  # type: ignore[no-untyped-def]
        async for _ in stream:
            async for part in Shared(looks, "work").read():
                yield part

    assert [part.text async for part in stage("x")] == ["a"]
    assert seen == ["none"]
