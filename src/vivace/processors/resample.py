"""Audio of any rate and number of channels, as one format. Resampling is soxr's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from vivace.audio import AudioFormat, to_pcm16
from vivace.errors import ModelMissing
from vivace.flow.processor import Processor
from vivace.part import Audio, Part

__all__ = ["Resample", "resampled"]

_GAP_S = 0.05  # a part that is further from where the last one ended comes after a gap


class Resample(Processor):
    """Turns audio of any format into 16-bit mono of `rate` hertz; passes everything else.

    Words and `at` stay with the sound; the resampler's delay (a few ms) is not visible in them.
    """

    def __init__(self, rate: int = 16_000) -> None:
        self._rate = rate

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return resampled(stream, self._rate)


async def resampled(stream: AsyncIterator[Part], rate: int) -> AsyncIterator[Part]:
    """`stream` with its audio as 16-bit mono of `rate` hertz; what is so already passes as is.

    Raises AudioError for floats that are no numbers.
    """
    wanted = AudioFormat(rate)
    converters: dict[str, _Converter] = {}  # one for each role
    async for part in stream:
        if not isinstance(part.body, Audio):
            yield part
            continue
        converter = converters.get(part.role)
        if converter is not None and not converter.goes_on_with(part, part.body):
            for rest in converters.pop(part.role).rest():
                yield rest
            converter = None
        if part.body.format == wanted:
            yield part
            continue
        if converter is None:
            converter = converters[part.role] = _Converter(part, part.body.format, rate)
        yield converter.convert(part, part.body)
    for converter in converters.values():
        for rest in converter.rest():
            yield rest


class _Converter:
    """One voice to one rate, without a seam between chunks."""

    def __init__(self, first: Part, source: AudioFormat, rate: int) -> None:
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
        # Floats, since for integers soxr adds noise (dither), different each time.
        same = source.rate == rate
        self._soxr = None if same else soxr.ResampleStream(source.rate, rate, 1, dtype="float32")
        self._part = first
        self._at = first.at
        self._taken = 0
        self._made = 0

    def goes_on_with(self, part: Part, audio: Audio) -> bool:
        """True if `part` is the same voice, in the same reply, right after what came before."""
        if audio.format != self._source or part.turn != self._part.turn:
            return False
        if part.at is None or self._at is None:
            return part.at is self._at
        return abs(part.at - self._at - self._source.seconds(self._taken)) < _GAP_S

    def convert(self, part: Part, audio: Audio) -> Part:
        """As much of it as can be told yet; the words come with it."""
        self._part = part
        self._taken += len(audio.pcm)
        return self._make(audio.pcm, audio.words, last=False)

    def rest(self) -> list[Part]:
        """What the resampler still holds, if anything."""
        part = self._make(b"", "", last=True)
        return [part] if part.seconds else []

    def _make(self, pcm: bytes, words: str, *, last: bool) -> Part:
        numpy = self._numpy
        pcm = to_pcm16(pcm, self._source)
        frames = numpy.frombuffer(pcm, "<i2").reshape(-1, self._source.channels)
        mono = frames.mean(axis=1, dtype="float32")
        if self._soxr is not None:
            mono = self._soxr.resample_chunk(mono, last=last)
        made = mono.round().clip(-32_768, 32_767).astype("<i2").tobytes()
        at = None if self._at is None else self._at + self._format.seconds(self._made)
        self._made += len(made)
        return self._part.derive(body=Audio(made, self._format, words), at=at)
