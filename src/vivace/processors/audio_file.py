"""Audio files: reading any of them, writing WAV, and playing one as if it were a microphone."""

from __future__ import annotations

import re
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from vivace.audio import AudioFormat, slice_pcm
from vivace.errors import AudioError, ModelMissing
from vivace.flow.clock import now, sleep_until
from vivace.part import Part

__all__ = ["microphone", "read_audio", "write_wav"]

_CHUNK_S = 0.02
# "data : 32000 (should be 3200)": but 4 GiB stand for "unknown", in files written to a pipe.
_CUT_OFF = re.compile(r"data\s*: (?!429496)\d+ \(should be")


def read_audio(path: str | Path, rate: int = 16_000) -> bytes:
    """The file's sound as 16-bit mono PCM of `rate` hertz; channels are averaged.

    WAV, FLAC, OGG, MP3 and what else libsndfile knows, of any rate, depth and number of channels.
    Raises AudioError, with one sentence on what to do, if it is missing, no file, empty, no audio,
    cut off, or has no samples.
    """
    path = Path(path)
    _check(path)
    samples, source_rate = _decode(path)
    if not len(samples):
        raise AudioError(f"{path} is an audio file with no sound in it; record it again")
    numpy, soxr = _libraries()
    if not numpy.isfinite(samples).all():
        raise AudioError(f"{path} has samples that are no numbers; export it again")
    mono = samples.mean(axis=1)
    if source_rate != rate:
        mono = soxr.resample(mono, source_rate, rate)
    pcm: bytes = (numpy.clip(mono, -1.0, 32767 / 32768) * 32768).round().astype("<i2").tobytes()
    return pcm


def write_wav(path: str | Path, channels: Sequence[bytes], rate: int) -> None:
    """Write 16-bit PCM as a WAV file, one `bytes` a channel; shorter ones end in silence.

    Raises AudioError if the place cannot be written.
    """
    numpy, _ = _libraries()
    import soundfile

    longest = max((len(pcm) for pcm in channels), default=0)
    padded = [numpy.frombuffer(pcm.ljust(longest, b"\0"), "<i2") for pcm in channels]
    try:
        soundfile.write(path, numpy.stack(padded, axis=1), rate, subtype="PCM_16", format="WAV")
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(f"{path} cannot be written ({error}); choose another place") from error


async def microphone(path: str | Path, rate: int = 16_000) -> AsyncIterator[Part]:
    """Play a file as a microphone would: 20 ms of audio every 20 ms, each with its `at`.

    Raises AudioError as `read_audio` does.
    """
    pcm, fmt = read_audio(path, rate), AudioFormat(rate)
    start = now()
    heard = 0
    for chunk in slice_pcm(pcm, fmt, _CHUNK_S):
        at = fmt.seconds(heard)
        heard += len(chunk)
        # A chunk is there once its last sample has been spoken.
        await sleep_until(start + fmt.seconds(heard))
        yield Part.audio(chunk, rate, at=round(at, 6))


def _check(path: Path) -> None:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{path} is a folder; name an audio file in it")
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise AudioError(f"{path} does not exist; check the name") from None
    except OSError as error:
        what = "rights" if isinstance(error, PermissionError) else "name"
        raise AudioError(f"{path} cannot be read ({error.strerror}); check its {what}") from error
    if not status.st_size:
        raise AudioError(f"{path} is empty; record it again")


def _decode(path: Path) -> tuple[Any, int]:
    _libraries()
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            # libsndfile reads what is there of a cut-off file, and says so only in its log.
            if _CUT_OFF.search(file.extra_info):
                raise AudioError(f"{path} is cut off: its header promises more; copy it again")
            return file.read(dtype="float64", always_2d=True), file.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(
            f"{path} is not audio that can be read ({error}); convert it to WAV, FLAC, OGG or MP3"
        ) from error


def _libraries() -> tuple[Any, Any]:
    try:
        import numpy
        import soundfile  # noqa: F401
        import soxr
    except ImportError as error:
        raise ModelMissing(
            f"audio files need {error.name}, which is not installed: pip install 'vivace[local]'"
        ) from error
    return numpy, soxr
