"""What a conversation leaves behind: `conversation.wav`, `timeline.png` and `report.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from vivace.cli.caller import Spoken
from vivace.cli.files import whole
from vivace.cli.interrupt import Checkpoint
from vivace.cli.recording import AGENT_RATE, USER_RATE, Recording
from vivace.flow.observe import LagReport
from vivace.processors.audio_file import write_wav
from vivace.processors.rate_limit import AudioRateLimiter

__all__ = ["Facts", "write"]


class Facts(msgspec.Struct, frozen=True):
    """What the recording does not know: the model, the loop's lag, the pacer, the caller.

    live: the model is one on a server, which does all but telling when the user makes a sound.
    """

    model: str
    lag: LagReport
    pacer: AudioRateLimiter
    spoken: tuple[Spoken, ...] = ()
    live: bool = False


def write(folder: Path, recording: Recording, facts: Facts, check: Checkpoint) -> None:
    """Write the three files, each whole or not at all. Raises AudioError if it cannot be done.

    check: called between two files; it may raise.
    """
    from vivace.cli.picture import draw
    from vivace.cli.report import report

    with whole(folder / "timeline.png") as picture, whole(folder / "conversation.wav") as sound:
        draw(recording, picture, facts.model)
        check()
        write_wav(sound, stereo(recording), AGENT_RATE)
        check()
        with whole(folder / "report.json") as text:
            text.write_bytes(msgspec.json.format(msgspec.json.encode(report(recording, facts))))


def stereo(recording: Recording) -> list[bytes]:
    """The user's sound, resampled, and the agent's: one timeline, the same rate."""
    import numpy
    import soxr

    samples: Any = numpy.frombuffer(bytes(recording.user_pcm), "<i2")
    user: bytes = soxr.resample(samples, USER_RATE, AGENT_RATE).astype("<i2").tobytes()
    return [user, bytes(recording.agent_pcm)]
