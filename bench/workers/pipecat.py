"""Pipecat: a pipeline of frame processors, run by its worker and its runner.

`PipelineWorker` and `WorkerRunner` are what it calls, since 1.3, the `PipelineTask` and the
`PipelineRunner` of before.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from loguru import logger
from pipecat.frames.frames import EndFrame, Frame, TextFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from bench.workers.jobs import each, peak
from bench.workers.serve import serve

PLAIN = {"enable_rtvi": False, "enable_turn_tracking": False, "idle_timeout_secs": None}


class Passes(FrameProcessor):
    """Passes every frame on."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class Last(Passes):
    """The last stage, which is the consumer, too: notes when text arrives."""

    def __init__(self, awaited: int) -> None:
        super().__init__()
        self.count = 0
        self.first_at = self.last_at = self.used = 0.0
        self.arrived = asyncio.Event()
        self.done = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._awaited = awaited

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TextFrame):
            self.count += 1
            if self.count == 1:
                self.first_at = time.perf_counter()
                self.arrived.set()
            if self.count == self._awaited:
                self.last_at, self.used = time.perf_counter(), time.process_time()
                self.done.set()
            await self.go_on.wait()
        await self.push_frame(frame, direction)


class Session:
    """One run of one pipeline, which here is all that a pipeline is for."""

    def __init__(self, stages: int, parts: int, plain: bool = True) -> None:
        self.last = Last(parts)
        stages_before = [Passes() for _ in range(stages - 1)]
        self.worker = PipelineWorker(
            Pipeline([*stages_before, self.last]), **(PLAIN if plain else {})
        )
        self.started = asyncio.Event()

        @self.worker.event_handler("on_pipeline_started")
        async def on_pipeline_started(_worker: PipelineWorker, _frame: Frame) -> None:
            self.started.set()

    async def run(self) -> None:
        """Run until an EndFrame has passed."""
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        await runner.run()

    async def begin(self) -> asyncio.Task[None]:
        """Run in the background; return once frames may be queued."""
        running = asyncio.create_task(self.run())
        await self.started.wait()
        return running

    async def end(self, running: asyncio.Task[None]) -> None:
        """Let it end as it should."""
        await self.worker.queue_frame(EndFrame())
        await running


async def chain(stages: int, parts: int, plain: bool = True) -> dict[str, Any]:
    """What a part costs, from the moment that a started pipeline is given them all."""
    session = Session(stages, parts, plain)
    frames = [TextFrame("hello") for _ in range(parts)]
    running = await session.begin()
    begun, since = time.perf_counter(), time.process_time()
    await session.worker.queue_frames(frames)
    await session.last.done.wait()
    await session.end(running)
    cost, wall = session.last.used - since, session.last.last_at - begun
    return {"value": cost / parts, "wall": wall / parts}


async def first(stages: int, times: int) -> dict[str, Any]:
    """Seconds from the start of a pipeline, made before, to the first part."""

    async def once() -> float:
        session = Session(stages, 1)
        await session.worker.queue_frames([TextFrame("x"), EndFrame()])
        begun = time.perf_counter()
        await session.run()
        return session.last.first_at - begun

    return {"value": await each(once, times)}


async def whole(stages: int, times: int) -> dict[str, Any]:
    """Seconds for a stream of one part, from the start of a pipeline, made before, to its end."""

    async def once() -> float:
        session = Session(stages, 1)
        await session.worker.queue_frames([TextFrame("x"), EndFrame()])
        begun = time.perf_counter()
        await session.run()
        return time.perf_counter() - begun

    return {"value": await each(once, times)}


async def ahead(stages: int) -> dict[str, Any]:
    """Frames that it takes, of 1,000, while the last stage still has the first."""
    session = Session(stages, 1000)
    session.last.go_on.clear()
    running = await session.begin()
    taken = 0

    async def feed() -> None:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            await session.worker.queue_frame(TextFrame("hello"))

    feeding = asyncio.create_task(feed())
    await session.last.arrived.wait()
    await asyncio.sleep(0.05)
    found = taken - 1
    session.last.go_on.set()
    await feeding
    await session.end(running)
    return {"value": found}


async def memory(stages: int, parts: int) -> dict[str, Any]:
    """Bytes by which a long stream, fed as fast as it takes frames, raises the peak."""

    async def fed(frames: int) -> None:
        session = Session(stages, frames)
        running = await session.begin()
        for _ in range(frames):
            await session.worker.queue_frame(TextFrame("hello"))
        await session.last.done.wait()
        await session.end(running)

    await fed(100)  # loads what it loads late
    before = peak()
    await fed(parts)
    return {"value": peak() - before}


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")  # it logs every start and end otherwise
    jobs = {f.__name__: f for f in (chain, first, whole, ahead, memory)}
    serve(jobs, "pipecat-ai")
