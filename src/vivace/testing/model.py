"""A model and a voice that do as they are told, and say what was asked of them.

The model misbehaves as real ones do: it is late, bursts, hangs, dies, will not be cancelled.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from vivace.audio import AudioFormat
from vivace.flow.clock import now, sleep_until
from vivace.flow.processor import Processor
from vivace.part import Audio, Part
from vivace.testing.dialogue import Dialogue, Reply
from vivace.testing.ears import chance

BROKEN = "the line is dead"
__all__ = ["BROKEN", "STUCK_S", "SimulatedModel", "SimulatedVoice"]

STUCK_S = 5.0  # how long a call in a thread takes that nobody can stop
_NOISE = random.Random(0).randbytes(1 << 20)  # so any two pieces of it are told apart


class SimulatedModel(Processor):
    """Answers as the dialogue says: its first call with the first reply, and so on.

    called: gets the number of each call, from 0, and its prompt. ended: gets its number.
    Serves one conversation.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        called: Callable[[int, tuple[Part, ...]], None],
        ended: Callable[[int], None],
    ) -> None:
        self.calls: int = 0
        self._replies = dialogue.replies
        self._jitter = dialogue.timing.jitter
        self._draw = chance(dialogue.seed, "model")
        self._on_call = called
        self._on_end = ended

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompt = tuple([part async for part in stream])
        number, self.calls = self.calls, self.calls + 1
        reply = self._replies[number % len(self._replies)]
        self._on_call(number, prompt)
        try:
            async with aclosing(self._answer(reply, number)) as parts:
                async for part in parts:
                    yield part
        finally:
            self._on_end(number)

    async def _answer(self, reply: Reply, number: int) -> AsyncGenerator[Part, None]:
        words = reply.text.split()
        for begin in range(0, len(words), reply.burst):
            await self._wait(reply.token_s if begin else reply.delay_s, reply)
            yield Part(" ".join(words[begin : begin + reply.burst]) + " ", role="model")
        if not words:
            await self._wait(reply.delay_s, reply)
        for index, use in enumerate(reply.calls):
            yield Part.call(use.name, {"takes_s": use.takes_s}, id=f"{number}-{index}")
        match reply.end:
            case "error":
                raise OSError(BROKEN)
            case "hang":
                await asyncio.Event().wait()
            case "stuck":
                await _whatever_comes(STUCK_S)

    async def _wait(self, seconds: float, reply: Reply) -> None:
        seconds *= 1 + self._jitter * self._draw.random()
        if reply.end == "deaf":
            await _whatever_comes(seconds)
        else:
            await asyncio.sleep(seconds)


async def _whatever_comes(seconds: float) -> None:
    """Wait, and do not be cancelled: as one does who waits for a thread to return."""
    until = now() + seconds
    while now() < until:
        try:
            await sleep_until(until)
        except asyncio.CancelledError:
            continue


class SimulatedVoice:
    """Speaks a word in `word_s`. No two pieces that it has spoken sound the same."""

    rate = 16_000

    def __init__(self, dialogue: Dialogue) -> None:
        self._timing = dialogue.timing
        self._draw = chance(dialogue.seed, "voice")
        self._at = 0

    async def __call__(self, text: str) -> list[Audio]:
        """One piece of audio for each word."""
        await asyncio.sleep(self._draw.uniform(*self._timing.voice_s))
        return [self._say(word) for word in text.split()]

    def _say(self, word: str) -> Audio:
        fmt = AudioFormat(self.rate)
        size = fmt.size(self._timing.word_s)
        # 7,919 is prime, so that pieces begin anywhere, and again at the same place only after long
        self._at = (self._at + 2 * 7919) % (len(_NOISE) - size)
        return Audio(_NOISE[self._at : self._at + size], fmt, word + " ")
