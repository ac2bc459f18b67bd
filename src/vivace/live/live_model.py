"""`LiveModelProcessor`: a turn-based model made live."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import aclosing

from vivace.errors import ModelError
from vivace.flow.drive import Shell, drive
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.live.conversation import AudioTriggerMode, Conversation, FirstToken, StartReply
from vivace.machines.floor import FloorRules
from vivace.machines.machine import Job
from vivace.machines.tools import RunTool, ToolCalls
from vivace.machines.window import Window
from vivace.machines.words import spaced, words_of
from vivace.part import Part, TurnComplete
from vivace.processors.tool import Toolbox, ToolSource

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
        failed. Time in which it waits for tools does not count: they have their own limits.
    tools: functions that are run when the model calls them, see docs/tools.md. The model itself
        must be told of them too, by its own `tools=`. Without any, the program answers all calls.

    Reads the user's parts: `SpeechStarted`, `SpeechEnded`, `TurnEnded` and texts, which it yields
    on; texts marked `interim` are not answered. Audio, images, data and the responses of tools are
    not yielded: they enter the prompt (audio only with END_OF_SPEECH). A response, of a tool's or
    of the program's, is yielded in the moment when it enters the prompt, and is answered.
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
        tools: ToolSource = (),
    ) -> None:
        self._turn_processor = turn_processor
        self._duration_s = duration_prompt_sec
        self._max_parts = max_parts
        self._trigger = trigger_model_mode
        self._rules = rules
        self._answer_within_s = answer_within_s
        self._tools = Toolbox(tools)

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        bus = current_run().bus
        conversation = Conversation(
            Window(self._max_parts, self._duration_s),
            bus.ledger,
            trigger=self._trigger,
            rules=self._rules,
            answer_within_s=self._answer_within_s,
            zero=bus.started_at,
            tools=ToolCalls(self._tools.rules),
        )
        # The user is heard also while a long reply waits for room: far beyond what jobs may send.
        do = functools.partial(self._do, conversation)
        return drive(stream, conversation, do, read_ahead=256, read_on=True)

    async def _do(self, conversation: Conversation, job: Job, shell: Shell) -> object:
        if isinstance(job, RunTool):
            return await self._tools.run(job.call)
        assert isinstance(job, StartReply)
        # One reply at a time, unless the one before it will not die: the floor must move on.
        await shell.cleanup(_CLEANUP_S, StartReply)
        begun, said = False, ""
        async with aclosing(self._turn_processor(job.prompt)) as reply:
            while (part := await self._next(reply)) is not None:
                if not begun and (part.text or part.seconds or part.function_call):
                    begun = True
                    shell.post(FirstToken(job.turn))
                part = part.derive(turn=job.turn, role="model")
                if part.function_call or part.function_response:
                    shell.post(part)  # what was called is remembered, whatever becomes of the reply
                    continue
                if job.space and not said:
                    part = spaced(part)
                said += words_of(part)
                await shell.emit(part)
        if not conversation.tools.goes_on(job.turn):
            await shell.emit(Part(TurnComplete(job.turn), role="model", turn=job.turn))
        return said

    async def _next(self, reply: AsyncIterator[Part]) -> Part | None:
        """The reply's next part; None at its end. Raises ModelError if it takes too long."""
        try:
            async with asyncio.timeout(self._answer_within_s):
                return await anext(reply, None)
        except TimeoutError as error:
            raise ModelError(f"nothing more came within {self._answer_within_s:g} s") from error
