"""`LiveModelProcessor`: a turn-based model made live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from vivace.errors import ModelError
from vivace.flow.drive import Shell, drive
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.live.conversation import AudioTriggerMode, Conversation, FirstToken, StartReply
from vivace.machines.floor import FloorRules
from vivace.machines.machine import Job
from vivace.machines.window import Window
from vivace.part import Part, TurnComplete

__all__ = ["LiveModelProcessor"]

_CLEANUP_S = 0.5  # how long a new reply waits for the one before it to be gone


class LiveModelProcessor(Processor):
    """Holds a conversation with a model that answers one turn at a time.

    turn_processor: gets the prompt (system, user and model parts, oldest first) and yields a reply;
        often `model + Speak(voice)`. A reply that nobody wants any more is closed.
    duration_prompt_sec, max_parts: how much of the conversation is in the prompt.
    trigger_model_mode: whether the model gets the text of what was said, or its sound.
    rules: how long the floor waits before it decides.
    answer_within_s: a reply of which nothing was heard, or nothing more came, after so long has
        failed.

    Reads the user's parts: `SpeechStarted`, `SpeechEnded`, `TurnEnded` and texts, which it yields
    on; texts marked `interim` are not answered. Audio, images, data and the responses of tools are
    not yielded: they enter the prompt (audio only with END_OF_SPEECH), and a response is answered.
    `Interrupted` and `Reset` from the program take effect at once. Yields the replies: all parts
    of a reply carry its number as `turn`, and it ends with `TurnComplete`. Overtaking everything
    come `Held`, `Resumed` and `Interrupted`. On `status` come the floor's changes, each reply's
    prompt and latencies, and what failed.
    """

    def __init__(
        self,
        turn_processor: Processor,
        duration_prompt_sec: float = 600.0,
        trigger_model_mode: AudioTriggerMode = AudioTriggerMode.FINAL_TRANSCRIPTION,
        *,
        max_parts: int = 1000,
        rules: FloorRules | None = None,
        answer_within_s: float = 30.0,
    ) -> None:
        self._turn_processor = turn_processor
        self._duration_s = duration_prompt_sec
        self._max_parts = max_parts
        self._trigger = trigger_model_mode
        self._rules = rules
        self._answer_within_s = answer_within_s

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        bus = current_run().bus
        conversation = Conversation(
            Window(self._max_parts, self._duration_s),
            bus.ledger,
            trigger=self._trigger,
            rules=self._rules,
            answer_within_s=self._answer_within_s,
            zero=bus.started_at,
        )
        # The user is heard also while a long reply waits for room: far beyond what jobs may send.
        return drive(stream, conversation, self._do, read_ahead=256, read_on=True)

    async def _do(self, job: Job, shell: Shell) -> None:
        assert isinstance(job, StartReply)
        # One reply at a time, unless the one before it will not die: the floor must move on.
        await shell.cleanup(_CLEANUP_S)
        begun = False
        async with aclosing(self._turn_processor(job.prompt)) as reply:
            while (part := await self._next(reply)) is not None:
                if not begun and (part.text or part.seconds or part.function_call):
                    begun = True
                    shell.post(FirstToken(job.turn))
                part = part.derive(turn=job.turn, role="model")
                if part.function_call:
                    shell.post(part)  # what was called is remembered, whatever becomes of the reply
                await shell.emit(part)
        await shell.emit(Part(TurnComplete(job.turn), role="model", turn=job.turn))

    async def _next(self, reply: AsyncIterator[Part]) -> Part | None:
        """The reply's next part; None at its end. Raises ModelError if it takes too long."""
        try:
            async with asyncio.timeout(self._answer_within_s):
                return await anext(reply, None)
        except TimeoutError as error:
            raise ModelError(f"nothing more came within {self._answer_within_s:g} s") from error
