"""Audio of any rate and number of channels, as one format. Resampling is soxr's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from vivace.audio import AudioFormat
from vivace.errors import AudioError, ModelMissing
from vivace.flow.processor import Processor
from vivace.part import Audio, Part

__all__ = ["Resample", "resampled"]


class Resample(Processor):
    """Turns 16-bit audio of any rate into mono of `rate` hertz; passes everything else.

    Words and `at` stay with the sound; the resampler's delay (a few ms) is not visible in them.
    """

    def __init__(self, rate: int = 16_000) -> None:
        self._rate = rate

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return resampled(stream, self._rate)


async def resampled(stream: AsyncIterator[Part], rate: int) -> AsyncIterator[Part]:
    """`stream` with its audio as 16-bit mono of `rate` hertz; what is so already passes as is.

    Raises AudioError for samples that are not 16 bit.
    """
    converters: dict[tuple[str, AudioFormat], _Converter] = {}
    async for part in stream:
        audio = part.body
        if not isinstance(audio, Audio) or (audio.format.rate, audio.format.channels) == (rate, 1):
            yield part
            continue
        key = (part.role, audio.format)
        if key not in converters:
            converters[key] = _Converter(audio.format, rate, part)
        yield converters[key].convert(part, audio)
    for converter in converters.values():
        yield converter.last()


class _Converter:
    """One format to one rate, without a seam between chunks."""

    def __init__(self, source: AudioFormat, rate: int, first: Part) -> None:
        if source.width != 2:
            raise AudioError(f"{source.mimetype}: only 16-bit samples can be resampled")
        try:
            import numpy
            import soxr
        except ImportError as error:
            raise ModelMissing(
                "resampling needs numpy and soxr: pip install 'vivace[local]'"
            ) from error
        self._numpy: Any = numpy
        self._source = source
        self._format = AudioFormat(rate)
        self._soxr = soxr.ResampleStream(source.rate, rate, 1, dtype="int16")
        self._part = first
        self._at = first.at
        self._made_bytes = 0

    def convert(self, part: Part, audio: Audio) -> Part:
        self._part = part
        return self._make(self._mono(audio.pcm), words=audio.words, last=False)

    def last(self) -> Part:
        """What the resampler still holds."""
        return self._make(self._mono(b""), words="", last=True)

    def _mono(self, pcm: bytes) -> Any:
        samples = self._numpy.frombuffer(pcm, "<i2").reshape(-1, self._source.channels)
        if self._source.channels == 1:
            return samples[:, 0]
        return samples.mean(axis=1).round().astype("<i2")

    def _make(self, samples: Any, *, words: str, last: bool) -> Part:
        pcm = self._soxr.resample_chunk(samples, last=last).astype("<i2").tobytes()
        at = None if self._at is None else self._at + self._format.seconds(self._made_bytes)
        self._made_bytes += len(pcm)
        return self._part.derive(body=Audio(pcm, self._format, words), at=at)
