"""`DetectTurn`: when the user has finished and expects an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from vivace.audio import AudioFormat
from vivace.flow.drive import drive
from vivace.flow.jobs import Shell
from vivace.flow.processor import Processor
from vivace.machines.machine import Job
from vivace.machines.turn import JudgeTurn, TurnMachine, TurnRules
from vivace.part import Part

__all__ = ["DetectTurn"]


class DetectTurn(Processor):
    """Puts the turn's final text and `TurnEnded` after the user's last words.

    detector: takes 16-bit mono at 16 kHz (the last seconds of the turn), gives the probability
        that the speaker has finished. Such as `vivace.models.smart_turn.SmartTurn`.

    The turn is over when the detector is sure and the text does not stop at an "and" or "um", or
    after the longest silence. Needs `DetectSpeech` before it, and works with or without
    `Transcribe` between them. A detector that fails is reported on `status`; silence decides then.
    """

    def __init__(
        self,
        detector: Callable[[bytes], Awaitable[float]],
        rules: TurnRules | None = None,
    ) -> None:
        self._detector = detector
        self._rules = rules

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def do(job: Job, _: Shell) -> float:
            assert isinstance(job, JudgeTurn)
            return await self._detector(job.pcm)

        return drive(stream, TurnMachine(AudioFormat(), self._rules), do, capacity=64)
