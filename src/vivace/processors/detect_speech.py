"""`DetectSpeech`: when the user begins and stops to speak."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from vivace.audio import AudioFormat
from vivace.flow.drive import drive
from vivace.flow.jobs import Shell
from vivace.flow.processor import Processor
from vivace.machines.machine import Job
from vivace.machines.speech import JudgeSpeech, SpeechMachine, SpeechRules
from vivace.part import Part
from vivace.processors.resample import resampled

__all__ = ["DetectSpeech", "SpeechDetector"]


class SpeechDetector(Protocol):
    """A model that tells speech from other sounds, such as `vivace.models.silero.Silero`."""

    @property
    def rate(self) -> int:
        """Hertz of the audio that it judges."""
        ...

    @property
    def frame(self) -> int:
        """Samples that it judges at once."""
        ...

    def session(self) -> Callable[[bytes], Awaitable[float]]:
        """For one stream: takes `frame` samples of 16-bit mono, gives the probability of speech."""
        ...


class DetectSpeech(Processor):
    """Puts `SpeechStarted` and `SpeechEnded` among the user's audio.

    Audio in: any rate. Audio out: 16-bit mono at the detector's rate, a few ms later. A detector
    that fails is reported once on `status`; what it could not judge counts as silence.
    """

    def __init__(self, detector: SpeechDetector, rules: SpeechRules | None = None) -> None:
        self._detector = detector
        self._rules = rules

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        detector, judge = self._detector, self._detector.session()
        machine = SpeechMachine(detector.frame, AudioFormat(detector.rate), self._rules)

        async def do(job: Job, _: Shell) -> float:
            assert isinstance(job, JudgeSpeech)
            return await judge(job.pcm)

        return drive(resampled(stream, detector.rate), machine, do, capacity=64)
