"""Audio as numbers: formats, seconds ↔ frames ↔ bytes, cutting PCM at frame borders.

This file owns the arithmetic of PCM. It knows nothing of parts, files, models or resampling.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from vivace.errors import AudioError

__all__ = ["AudioFormat", "slice_pcm"]

_MAX_RATE_HZ = 384_000
_WIDTHS = {"audio/pcm": 2, "audio/l8": 1, "audio/l16": 2, "audio/l24": 3}


class AudioFormat(msgspec.Struct, frozen=True, gc=False):
    """The shape of linear PCM: interleaved, signed, little-endian.

    rate: frames a second, in hertz. channels: samples a frame. width: bytes a sample.

    Raises AudioError if a number is out of range.
    """

    rate: int = 16_000
    channels: int = 1
    width: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.rate <= _MAX_RATE_HZ:
            raise AudioError(f"a rate of {self.rate} Hz is not audio; use 1 to {_MAX_RATE_HZ}")
        if not 0 < self.channels <= 64:
            raise AudioError(f"{self.channels} channels; use 1 to 64")
        if self.width not in (1, 2, 3, 4):
            raise AudioError(f"a sample of {self.width} bytes; use 1 to 4 (2 is usual)")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: one sample of every channel."""
        return self.channels * self.width

    @property
    def mimetype(self) -> str:
        """As `audio/pcm;rate=16000`; channels and width follow where they are not mono, 16 bit."""
        text = f"audio/pcm;rate={self.rate}"
        if self.channels != 1:
            text += f";channels={self.channels}"
        if self.width != 2:
            text += f";width={self.width}"
        return text

    def seconds(self, size_bytes: int) -> float:
        """How long `size_bytes` of this audio last."""
        return size_bytes / (self.rate * self.channels * self.width)

    def frames(self, seconds: float) -> int:
        """Whole frames in `seconds`, rounded to the nearest."""
        return round(seconds * self.rate)

    def size(self, seconds: float) -> int:
        """Bytes of `seconds` of this audio, on a frame border."""
        return self.frames(seconds) * self.frame_bytes

    def silence(self, seconds: float) -> bytes:
        """`seconds` of silence (8-bit samples are signed here, so it is zeros in every width)."""
        return bytes(self.size(seconds))

    @staticmethod
    def knows(mimetype: str) -> bool:
        """True for the mimetypes that `parse` takes."""
        return mimetype.partition(";")[0].strip().lower() in _WIDTHS

    @classmethod
    def parse(cls, mimetype: str) -> AudioFormat:
        """Read `audio/pcm;rate=24000`, `audio/l16; rate=16000; channels=2` and their kin.

        Raises AudioError if it is no linear PCM or a parameter is no number.
        """
        name, *params = (piece.strip().lower() for piece in mimetype.split(";"))
        width = _WIDTHS.get(name)
        if width is None:
            raise AudioError(f"{mimetype!r} is not linear PCM; expected 'audio/pcm;rate=…'")
        numbers = {"rate": 16_000, "channels": 1, "width": width}
        for param in params:
            key, _, value = param.partition("=")
            if key not in numbers:
                continue
            if not value.isdecimal():
                raise AudioError(f"{mimetype!r}: {key} is {value!r}, not a whole number")
            numbers[key] = int(value)
        return cls(**numbers)


def slice_pcm(pcm: bytes, fmt: AudioFormat, chunk_s: float) -> Iterator[bytes]:
    """Cut `pcm` into chunks of `chunk_s` seconds; the last may be shorter.

    pcm: interleaved samples, `frames * fmt.frame_bytes` bytes. May be empty.
    chunk_s: seconds, above 0. Rounded down to whole frames, one at least.

    Joining the chunks gives `pcm` back, byte for byte.
    Raises AudioError if `pcm` ends inside a frame or `chunk_s` is not above 0.
    """
    if not chunk_s > 0:
        raise AudioError(f"a chunk of {chunk_s} seconds; use more than 0")
    check_whole(pcm, fmt)
    chunk_s = min(chunk_s, fmt.seconds(len(pcm)) + 1.0)  # longer than all there is, so no overflow
    step = max(1, int(chunk_s * fmt.rate + 1e-9)) * fmt.frame_bytes
    return (pcm[start : start + step] for start in range(0, len(pcm), step))


def check_whole(pcm: bytes, fmt: AudioFormat) -> None:
    """Raise AudioError if `pcm` ends inside a frame."""
    if len(pcm) % fmt.frame_bytes:
        raise AudioError(
            f"{len(pcm)} bytes is not a whole number of {fmt.frame_bytes}-byte frames; "
            "keep the tail and send it with the next chunk"
        )
