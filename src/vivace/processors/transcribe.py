"""`Transcribe`: what the user says, as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from vivace.audio import AudioFormat
from vivace.flow.drive import drive
from vivace.flow.jobs import Shell
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.machines.listening import ListeningMachine, ListeningRules, TranscribeAudio
from vivace.machines.machine import Job
from vivace.part import Part

__all__ = ["Transcribe"]


class Transcribe(Processor):
    """Adds the user's words: texts with `metadata["interim"]`, each covering the turn so far.

    transcriber: takes 16-bit mono at 16 kHz, gives the text, "" if nothing was said. Such as
        `vivace.models.whisper.Whisper`. It works beside the stream,
        which is held back only when a minute of sound waits for it.
    within_s: a text that takes longer has failed.

    Needs `DetectSpeech` before it, and after it `DetectTurn`, or `TurnEnded` parts of the
    program's in its input (push-to-talk). After each `SpeechEnded`, which then says
    `transcript_follows`, comes exactly one text with the same `at`, empty if there were no words or
    the transcriber failed (that is reported on `status`). `DetectTurn` tells which one is final.
    `TurnEnded` of the program's leaves when the text up to it is there, after that text as a final
    one.
    """

    def __init__(
        self,
        transcriber: Callable[[bytes], Awaitable[str]],
        rules: ListeningRules | None = None,
        *,
        within_s: float = 15.0,
    ) -> None:
        self._transcriber = transcriber
        self._within_s = within_s
        self._rules = rules

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def do(job: Job, _: Shell) -> str:
            assert isinstance(job, TranscribeAudio)
            async with asyncio.timeout(self._within_s):
                return await self._transcriber(job.pcm)

        machine = ListeningMachine(AudioFormat(), self._rules, current_run().shedding)
        return drive(stream, machine, do, capacity=64)
