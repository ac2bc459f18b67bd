"""`LiveModelProcessor`: a turn-based model made live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

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
    answer_within_s: a reply of which nothing was heard after so long has failed.

    Reads the user's parts: audio, `SpeechStarted`, `SpeechEnded`, texts, `TurnEnded`; texts marked
    `interim` are shown and not answered. Yields these signals and texts on, and the replies: all
    parts of a reply carry its number as `turn`, and it ends with `TurnComplete`. Overtaking
    everything come `Held`, `Resumed` and `Interrupted`. On `status` come the floor's changes, each
    reply's latencies, and what failed.
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
        return drive(stream, conversation, self._do, read_on=True)

    async def _do(self, job: Job, shell: Shell) -> None:
        assert isinstance(job, StartReply)
        # One reply at a time, unless the one before it will not die: the floor must move on.
        await shell.cleanup(_CLEANUP_S)
        begun = False
        async with aclosing(self._turn_processor(job.prompt)) as reply:
            async for part in reply:
                if not begun and (part.text or part.seconds or part.function_call):
                    begun = True
                    shell.post(FirstToken(job.turn))
                await shell.emit(part.derive(turn=job.turn, role="model"))
        await shell.emit(Part(TurnComplete(job.turn), role="model", turn=job.turn))
