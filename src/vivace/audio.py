"""Audio as numbers: formats, seconds ↔ frames ↔ bytes, cutting at frame borders, loudness.

This file owns the arithmetic of raw samples. It knows nothing of parts, files or resampling.
"""

from __future__ import annotations

import functools
import math
import sys
from array import array
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from vivace.errors import AudioError

__all__ = ["AudioFormat", "Encoding", "check_finite", "loudness", "slice_pcm", "to_pcm16"]

_MAX_RATE_HZ = 384_000
_AT_ONCE = 4096  # samples

Encoding: TypeAlias = Literal["int", "float", "mulaw", "alaw"]
"""How a sample is written: a signed integer, a float from -1 to 1, or a byte of G.711."""

_WIDTHS: dict[str, tuple[int, ...]] = {
    "int": (2, 1, 3, 4), "float": (4,), "mulaw": (1,), "alaw": (1,),
}  # fmt: skip
_NAMES: dict[str, Encoding] = {"mulaw": "mulaw", "ulaw": "mulaw", "alaw": "alaw"}
# What each mimetype says of itself; parameters say the rest. The rates of G.711 are RFC 3551's.
_KINDS: dict[str, dict[str, Any]] = {
    "audio/pcm": {},
    "audio/l8": {"width": 1},
    "audio/l16": {"width": 2},
    "audio/l24": {"width": 3},
    "audio/pcmu": {"encoding": "mulaw", "rate": 8_000},
    "audio/x-mulaw": {"encoding": "mulaw", "rate": 8_000},
    "audio/basic": {"encoding": "mulaw", "rate": 8_000},
    "audio/pcma": {"encoding": "alaw", "rate": 8_000},
    "audio/x-alaw": {"encoding": "alaw", "rate": 8_000},
}
# Bytes of G.711 that are nearest to zero.
_SILENCE = {"int": b"\0", "float": b"\0", "mulaw": b"\xff", "alaw": b"\xd5"}


class AudioFormat(msgspec.Struct, frozen=True, gc=False):
    """The shape of raw audio: interleaved samples, little-endian.

    rate: frames a second, in hertz. channels: samples a frame. width: bytes a sample.
    encoding: "int" is signed, 1 to 4 bytes wide; "float" has 4 bytes; "mulaw" and "alaw" are G.711
        and have 1.

    Raises AudioError if a number is out of range.
    """

    rate: int = 16_000
    channels: int = 1
    width: int = 2
    encoding: Encoding = "int"

    def __post_init__(self) -> None:
        if not 0 < self.rate <= _MAX_RATE_HZ:
            raise AudioError(f"a rate of {self.rate} Hz is not audio; use 1 to {_MAX_RATE_HZ}")
        if isinstance(self.rate, float):
            raise AudioError(f"a rate of {self.rate} Hz is no whole number; use int or round")
        if not 0 < self.channels <= 64:
            raise AudioError(f"{self.channels} channels; use 1 to 64")
        widths = _WIDTHS.get(self.encoding)
        if widths is None:
            known = ", ".join(_WIDTHS)
            raise AudioError(f"an encoding of {self.encoding!r} is unknown; use one of: {known}")
        if self.width not in widths:
            usual = "1 to 4 (2 is usual)" if len(widths) > 1 else f"width={widths[0]}"
            kind = "" if self.encoding == "int" else f" encoded as {self.encoding}"
            raise AudioError(f"a sample of {self.width} bytes{kind}; use {usual}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: one sample of every channel."""
        return self.channels * self.width

    @property
    def mimetype(self) -> str:
        """As `audio/pcm;rate=16000`; what is not mono or 16 bit follows. G.711 is `audio/pcmu`."""
        name = {"mulaw": "audio/pcmu", "alaw": "audio/pcma"}.get(self.encoding, "audio/pcm")
        text = f"{name};rate={self.rate}"
        if self.channels != 1:
            text += f";channels={self.channels}"
        if self.width != 2 and name == "audio/pcm":
            text += f";width={self.width}"
        return text + (";encoding=float" if self.encoding == "float" else "")

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
        """`seconds` of silence (8-bit integers are signed here, so those are zeros, too)."""
        return _SILENCE[self.encoding] * self.size(seconds)

    @staticmethod
    def knows(mimetype: str) -> bool:
        """True for the mimetypes that `parse` takes."""
        return mimetype.partition(";")[0].strip().lower() in _KINDS

    @classmethod
    def parse(cls, mimetype: str, rate: int = 16_000) -> AudioFormat:
        """Read `audio/pcm;rate=24000`, `audio/l16; rate=16000; channels=2`, `audio/pcmu` and kin.

        rate: of `audio/pcm` and `audio/l…` that do not say theirs; G.711 has 8000 then.
        Raises AudioError if it is no raw audio or a parameter makes no sense.
        """
        name, *params = (piece.strip().lower() for piece in mimetype.split(";"))
        kind = _KINDS.get(name)
        if kind is None:
            raise AudioError(f"{mimetype!r} is not linear PCM; expected 'audio/pcm;rate=…'")
        found = {"rate": rate, **kind}
        for param in params:
            key, _, value = param.partition("=")
            if key == "encoding":
                found[key] = _NAMES.get(value, value)
            elif key in ("rate", "channels", "width"):
                if not value.isdecimal():
                    raise AudioError(f"{mimetype!r}: {key} is {value!r}, not a whole number")
                found[key] = int(value)
        widths = _WIDTHS.get(found.get("encoding", "int"), (0,))
        return cls(**{"width": widths[0], **found})


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


# -- what samples say -----------------------------------------------------------------------------


def check_finite(pcm: bytes, fmt: AudioFormat) -> None:
    """Raise AudioError if a float sample is no number; integers always are."""
    # One sum in C: it is finite if and only if all of them are.
    if fmt.encoding != "float" or math.isfinite(sum(values := _array("f", pcm))):
        return
    place = next(index for index, value in enumerate(values) if not math.isfinite(value))
    raise AudioError(
        f"sample {place // fmt.channels} of {fmt.seconds(len(pcm)):g} s is {values[place]}, "
        "which cannot be played; mend whatever makes it, or replace it by 0.0"
    )


def to_pcm16(pcm: bytes, fmt: AudioFormat) -> bytes:
    """The same sound as 16-bit integers; rate and channels stay.

    Wider integers lose their lowest bits; floats beyond 1 are clipped.
    Raises AudioError if `pcm` ends inside a frame or has floats that are no numbers.
    """
    check_whole(pcm, fmt)
    check_finite(pcm, fmt)
    if fmt.encoding == "float":
        return _float_to_pcm16(pcm)
    if fmt.encoding == "int" and fmt.width == 2:
        return pcm
    made = bytearray(2 * (len(pcm) // fmt.width))
    if fmt.encoding == "int":
        made[1::2] = pcm[fmt.width - 1 :: fmt.width]
        if fmt.width > 2:
            made[0::2] = pcm[fmt.width - 2 :: fmt.width]
    else:
        low, high = _g711(fmt.encoding)
        made[0::2], made[1::2] = pcm.translate(low), pcm.translate(high)
    return bytes(made)


def loudness(pcm: bytes, fmt: AudioFormat) -> float:
    """The root of the mean square of the samples, in decibels of full scale: 0 at most.

    -inf for silence, and for no samples. A sine that just fits has -3.
    """
    samples = _array("h", to_pcm16(pcm, fmt))
    # The quickest sum of squares that Python has.
    steps = range(0, len(samples), _AT_ONCE)
    length = math.hypot(*(math.hypot(*samples[at : at + _AT_ONCE]) for at in steps))
    if not length:
        return -math.inf
    return min(0.0, 20 * math.log10(length / 32_768 / math.sqrt(len(samples))))


def _float_to_pcm16(pcm: bytes) -> bytes:
    scaled = (round(value * 32_768) for value in _array("f", pcm))
    made = array("h", [min(32_767, max(-32_768, value)) for value in scaled])
    return _swapped(made).tobytes()


def _array(code: str, pcm: bytes) -> array[Any]:
    return _swapped(array(code, pcm))


def _swapped(values: array[Any]) -> array[Any]:
    """Samples are little-endian, whatever the machine is."""
    if sys.byteorder == "big":
        values.byteswap()
    return values


@functools.cache
def _g711(encoding: str) -> tuple[bytes, bytes]:
    """The low and the high byte of the 16-bit sample for each byte of G.711."""
    expand = _mulaw if encoding == "mulaw" else _alaw
    words = [expand(byte).to_bytes(2, "little", signed=True) for byte in range(256)]
    return bytes(word[0] for word in words), bytes(word[1] for word in words)


def _mulaw(byte: int) -> int:
    """ITU-T G.711, table 2b, scaled to 16 bits: all bits are inverted, the bias is 33."""
    byte ^= 0xFF
    size = (((byte & 0x0F) << 1 | 33) << (byte >> 4 & 7)) - 33
    return (-size if byte & 0x80 else size) << 2


def _alaw(byte: int) -> int:
    """ITU-T G.711, table 1b, scaled to 16 bits: even bits are inverted."""
    byte ^= 0x55
    segment = byte >> 4 & 7
    size = (byte & 0x0F) << 1 | 1
    if segment:
        size = (size | 32) << (segment - 1)
    return (size if byte & 0x80 else -size) << 3
