"""`buffer`: where two neighbouring stages overlap.

This file owns reading ahead. Everywhere else in a chain a part is made when it is asked for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import get_args

from vivace.errors import FlowError, StageError
from vivace.flow.channel import Channel, Full
from vivace.flow.clock import now
from vivace.flow.processor import Processor
from vivace.flow.run import Run, current_run
from vivace.part import Audio, Call, Data, Image, Part, Response, Signal

__all__ = ["Buffer", "buffer"]

_TELL_EVERY_S = 1.0  # often enough for a display, seldom enough for a log


def buffer(capacity: int = 256, *, seconds: float = math.inf, full: Full = "wait") -> Buffer:
    """Read ahead of whoever comes next: `camera + buffer(seconds=0.5, full="drop_oldest") + model`.

    capacity: parts that may wait; 256 are five seconds of 20 ms chunks.
    seconds: seconds of audio that may wait; one part longer than that passes alone.
    full: "wait" stops reading; "drop_oldest" and "drop_newest" read on and drop.

    Raises StageError for bounds that hold nothing, and for another `full`.
    """
    return Buffer(capacity, seconds, full)


class Buffer(Processor):
    """What `buffer` makes.

    A full buffer that waits reads on once it is half empty, in parts and in seconds, so that it and
    its reader take turns for half a buffer and not for each part. Signals, tool calls and tool
    responses are never dropped: when nothing else can make room for one, reading stops until there
    is. An interruption takes out what it made void. Under `Pressure`, a video frame takes the place
    of those that wait.

    On `status` comes `dropped` when dropping begins, then at most once a second while it goes on,
    and at the end: `parts` since the last one, `total` in this run. An error of what is before the
    buffer comes after what was read before it.
    """

    def __init__(self, capacity: int, seconds: float, full: Full) -> None:
        if capacity < 1:
            raise StageError(f"a buffer for {capacity} parts holds nothing; use 1 or more")
        if not seconds > 0:
            raise StageError(f"a buffer for {seconds} seconds of audio holds none; use more than 0")
        if full not in get_args(Full):
            raise StageError(f"full={full!r} is no policy; use one of: {', '.join(get_args(Full))}")
        self._capacity = capacity
        self._seconds = seconds
        self._full: Full = full
        self._dropped = 0

    @property
    def parts_dropped(self) -> int:
        """Parts that were dropped, over all runs."""
        return self._dropped

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run = current_run()
        run.own(stream, "the input of buffer")
        channel = self._channel()
        run.bus.register(channel)
        reader = run.start(self._read(stream, channel, run), "read ahead for buffer")
        try:
            async for part in channel:
                yield part
                for part in channel.take_waiting():
                    yield part
        finally:
            reader.cancel()

    def _channel(self) -> Channel[Part]:
        weigh = None if math.isinf(self._seconds) else _seconds
        return Channel(
            self._capacity,
            seconds=self._seconds,
            weigh=weigh,
            full=self._full,
            droppable=_may_be_dropped,
        )

    async def _read(self, stream: AsyncIterator[Part], channel: Channel[Part], run: Run) -> None:
        try:
            if self._full == "wait":
                await _fill(stream, channel, run)
            else:
                await self._keep_up(stream, channel, run)
        except asyncio.CancelledError:
            channel.close(FlowError("what a buffer reads from was cancelled from inside"))
            raise
        except Exception as error:
            channel.close(error)
        channel.close()

    async def _keep_up(self, stream: AsyncIterator[Part], channel: Channel[Part], run: Run) -> None:
        told, due, count = 0, -math.inf, 0
        try:
            async for part in stream:
                _shed_frames(part, channel, run)
                if not channel.try_send(part):
                    await channel.send(part)
                count += 1
                if count % self._capacity == 0:
                    await asyncio.sleep(0)  # a source that never waits would let nobody else run
                if channel.dropped > told and now() >= due and run.side.has_room():
                    told, due = self._tell(channel, told, run), now() + _TELL_EVERY_S
        finally:
            if channel.dropped > told:
                self._tell(channel, told, run)

    def _tell(self, channel: Channel[Part], told: int, run: Run) -> int:
        total = channel.dropped
        self._dropped += total - told
        run.measured("buffer", "dropped", total - told)
        news = {"event": "dropped", "what": "buffer", "parts": total - told, "total": total}
        run.say(Part(Data(news), substream="status"))
        return total


async def _fill(stream: AsyncIterator[Part], channel: Channel[Part], run: Run) -> None:
    async for part in stream:
        if run.pressure:
            _shed_frames(part, channel, run)
        if channel.try_send(part):
            continue
        await channel.wait_until_low()
        if not run.bus.fence.stale(part):  # it was in nobody's queue when an interruption came
            await channel.send(part)


def _shed_frames(part: Part, channel: Channel[Part], run: Run) -> None:
    """Under pressure a new video frame takes the place of those that wait."""
    if run.pressure and isinstance(part.body, Image) and "frames" in run.shedding.shed:
        count = channel.purge(lambda it: isinstance(it.body, Image))
        if count:
            run.shedding.sheds("frames", count)


def _seconds(part: Part) -> float:
    body = part.body  # not `part.seconds`: this is what a hop costs
    return body.seconds if isinstance(body, Audio) else 0.0


def _may_be_dropped(part: Part) -> bool:
    return not isinstance(part.body, Signal | Call | Response)
