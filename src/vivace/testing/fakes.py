"""Ears, minds and mouths that do as they are told: for tests of live agents on virtual time.

`Caller` speaks: tones in place of speech, each utterance with a loudness of its own, so that the
fakes downstream can tell which one they hear. None of these models anything; they are exact.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from vivace.audio import AudioFormat
from vivace.flow.clock import now, sleep_until
from vivace.part import Audio, Part

__all__ = ["Caller", "FakeDetector", "FakeTranscriber", "FakeTurnDetector", "FakeVoice"]

_CHUNK_S = 0.02
_LOUD = 1000
_FORMAT = AudioFormat()


class Caller:
    """A microphone and somebody before it.

    says: (from, to, text) in seconds, in order; a text of "" is a noise. until: when the microphone
    is switched off. `async for` it, or give it to an agent, to get 20 ms of audio every 20 ms.
    """

    def __init__(self, says: Sequence[tuple[float, float, str]], until: float) -> None:
        self.says: tuple[tuple[float, float, str], ...] = tuple(says)
        self.until = until

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts, for a FakeTranscriber."""
        return tuple(text for _, _, text in self.says)

    async def __aiter__(self) -> AsyncIterator[Part]:
        start = now()
        for index in range(round(self.until / _CHUNK_S)):
            await sleep_until(start + (index + 1) * _CHUNK_S)
            yield Part.audio(self._chunk(index), at=round(index * _CHUNK_S, 6))

    def _chunk(self, index: int) -> bytes:
        middle = (index + 0.5) * _CHUNK_S
        for number, (begin, end, _) in enumerate(self.says):
            if begin <= middle < end:
                return array("h", [_LOUD + number]).tobytes() * _FORMAT.frames(_CHUNK_S)
        return _FORMAT.silence(_CHUNK_S)


class FakeDetector:
    """Hears speech in whatever is loud."""

    rate = 16_000
    frame = 512

    def session(self) -> Callable[[bytes], Awaitable[float]]:
        """A detector for one stream."""

        async def judge(pcm: bytes) -> float:
            return 1.0 if max(array("h", pcm)) >= _LOUD else 0.0

        return judge


class FakeTranscriber:
    """Knows which utterances it hears, and takes `takes_s` to say so."""

    def __init__(self, texts: Sequence[str], takes_s: float = 0.1) -> None:
        self._texts = tuple(texts)
        self._takes_s = takes_s

    async def __call__(self, pcm: bytes) -> str:
        """The texts of all utterances that are heard in `pcm`, in order."""
        await asyncio.sleep(self._takes_s)
        heard = sorted({level - _LOUD for level in set(array("h", pcm)) if level >= _LOUD})
        return " ".join(self._texts[number] for number in heard if self._texts[number])


class FakeTurnDetector:
    """Always as sure as it is told to be, after `takes_s`."""

    def __init__(self, probability: float = 1.0, takes_s: float = 0.05) -> None:
        self._probability = probability
        self._takes_s = takes_s

    async def __call__(self, pcm: bytes) -> float:
        """The probability."""
        await asyncio.sleep(self._takes_s)
        return self._probability


class FakeVoice:
    """Speaks a word in `word_s` seconds, and needs `takes_s` for each sentence."""

    rate = 24_000

    def __init__(self, word_s: float = 0.3, takes_s: float = 0.0) -> None:
        self._word_s = word_s
        self._takes_s = takes_s

    async def __call__(self, text: str) -> list[Audio]:
        """One piece of audio for each word."""
        await asyncio.sleep(self._takes_s)
        fmt = AudioFormat(self.rate)
        pcm = array("h", [_LOUD]).tobytes() * fmt.frames(self._word_s)
        return [Audio(pcm, fmt, word + " ") for word in text.split()]
