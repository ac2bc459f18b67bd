"""`window`: a sliding prompt over a stream.

This file owns which parts of a stream without end are in a prompt when nobody takes turns: a
model that looks at a camera every second, a summary of the last minute.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from vivace.errors import FlowError, PartError, StageError
from vivace.flow.channel import Channel
from vivace.flow.processor import Processor
from vivace.flow.run import Run, current_run
from vivace.machines.exchanges import whole_pairs
from vivace.part import Part, Signal, is_side_lane

__all__ = ["window"]

_PARTS_A_CALL = 16  # that may wait of a call whose turn has not come; then the call waits
_SYSTEM = 64  # parts of the system's; they never leave
_SIGNALS = 64  # that may wait behind a call; then reading stops


def window(
    turn_processor: Processor,
    *,
    max_parts: int = 1000,
    seconds: float = math.inf,
    stride: int = 1,
    concurrency: int = 1,
) -> Processor:
    """Call `turn_processor` with the newest parts, again and again; yield what it answers.

    max_parts: parts in a prompt. seconds: of media time that they cover, by their `at`: a part is
    in if it ends less than `seconds` before (or after) the newest one ends. A part without `at` is
    as old as the one before it.
    stride: a call is made for every so many parts; those after the last call are in no prompt.
    concurrency: calls that may be out at once. A call is out until its last part was taken; while
    that many are out, nothing is read.

    Answers come in the order of the prompts, whichever is ready first. Signals pass in their place:
    they are in no prompt and do not count. All other parts end here. The system's lead every prompt
    from then on, and do not count; calls without their response in it, and the other way round, are
    left out of a prompt. The first call that fails ends the stream with its error, after the
    answers before it.

    Raises StageError for numbers below 1, or seconds that cover nothing; while it runs, PartError
    for more than 64 parts of the system's.
    """
    if not isinstance(turn_processor, Processor):
        raise StageError(f"window({turn_processor!r}): give a processor that answers a prompt")
    for name, number in (
        ("max_parts", max_parts),
        ("stride", stride),
        ("concurrency", concurrency),
    ):
        if number < 1:
            raise StageError(f"window: {name}={number} makes no call; use 1 or more")
    if not seconds > 0:
        raise StageError(f"window: {seconds} seconds cover no part; use more than 0")
    return _Window(turn_processor, max_parts, seconds, stride, concurrency)


class _Recent:
    """The newest parts of a stream."""

    def __init__(self, max_parts: int, seconds: float) -> None:
        # Whole nanoseconds: differences of them are exact, so the border is, too.
        self._reach = seconds if math.isinf(seconds) else round(seconds * 1e9)
        self._ends: deque[tuple[int, Part]] = deque(maxlen=max_parts)
        self._end = 0
        self._system: list[Part] = []

    def add(self, part: Part) -> None:
        if part.at is not None:
            self._end = round((part.at + part.seconds) * 1e9)
        self._ends.append((self._end, part))
        while not self._is_near(self._ends[0][0]):
            self._ends.popleft()

    def lead(self, part: Part) -> None:
        if len(self._system) >= _SYSTEM:
            raise PartError(f"{_SYSTEM} parts of the system's lead the prompt already; join them")
        self._system.append(part)

    def parts(self) -> list[Part]:
        # Not only the oldest may be too far away: two voices need not be in step.
        near = whole_pairs([part for end, part in self._ends if self._is_near(end)])
        return self._system + near if near else []

    def _is_near(self, end: int) -> bool:
        return abs(self._end - end) < self._reach


class _Window(Processor):
    name = "window"

    def __init__(
        self,
        turn_processor: Processor,
        max_parts: int,
        seconds: float,
        stride: int,
        concurrency: int,
    ) -> None:
        self._turn_processor = turn_processor
        self._max_parts = max_parts
        self._seconds = seconds
        self._stride = stride
        self._concurrency = concurrency

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run = current_run()
        run.own(stream, "the input of window")
        calls = _Calls(run, self._turn_processor, self._concurrency)
        reader = run.start(self._read(stream, calls), "read for window")
        try:
            async for place in calls.places:
                if isinstance(place, Part):
                    yield place
                    continue
                async for part in place:
                    yield part
                calls.one_is_done()
        finally:
            reader.cancel()
            calls.cancel()

    async def _read(self, stream: AsyncIterator[Part], calls: _Calls) -> None:
        recent, count = _Recent(self._max_parts, self._seconds), 0
        try:
            async for part in stream:
                if isinstance(part.body, Signal):
                    await calls.places.send(part)
                    continue
                if part.role == "system":
                    recent.lead(part)
                    continue
                recent.add(part)
                count += 1
                if count % self._stride == 0 and (prompt := recent.parts()):
                    await calls.begin(prompt)
        except asyncio.CancelledError:
            calls.places.close(FlowError("what a window reads from was cancelled from inside"))
            raise
        except Exception as error:
            calls.places.close(error)
        calls.places.close()


class _Calls:
    """The calls that are out, and the places of their answers among the signals."""

    def __init__(self, run: Run, turn_processor: Processor, concurrency: int) -> None:
        self.places: Channel[Part | Channel[Part]] = Channel(concurrency + _SIGNALS)
        self._run = run
        self._turn_processor = turn_processor
        self._more = asyncio.Semaphore(concurrency - 1)  # how many beside the one that is begun
        self._tasks: set[asyncio.Task[Any]] = set()

    async def begin(self, prompt: list[Part]) -> None:
        """Begin a call. Returns when another one may begin."""
        answer = Channel[Part](_PARTS_A_CALL)
        self._run.bus.register(answer)
        task = self._run.start(self._call(prompt, answer), "a call of window")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self.places.send(answer)
        await self._more.acquire()

    def one_is_done(self) -> None:
        self._more.release()

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _call(self, prompt: list[Part], answer: Channel[Part]) -> None:
        try:
            async with self._turn_processor.run(prompt) as parts:
                async for part in parts:
                    if is_side_lane(part.substream):
                        await self._run.side.wait_for_room()
                        self._run.say(part)
                    else:
                        await answer.send(part)
        except Exception as error:
            answer.close(error)
        answer.close()
