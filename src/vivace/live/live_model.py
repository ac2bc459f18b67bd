"""`LiveModelProcessor`: a turn-based model made live."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

from vivace.errors import StageError
from vivace.flow.drive import drive
from vivace.flow.processor import Processor, chain
from vivace.flow.run import current_run
from vivace.live.agenda import Initiative
from vivace.live.answering import FalseInterruption, Manners
from vivace.live.conversation import Conversation
from vivace.live.reply import AudioTriggerMode
from vivace.live.reply_jobs import ReplyJobs, ReplyLimits
from vivace.machines.floor import FloorRules
from vivace.machines.interrupt import Interrupt
from vivace.machines.policy import Policy
from vivace.machines.tools import ToolCalls
from vivace.machines.window import MAX_TOKENS, Window
from vivace.part import Part
from vivace.processors.speak import Speak
from vivace.processors.tool import Toolbox, ToolSource
from vivace.processors.tools import Tools

__all__ = ["LiveModelProcessor"]


class LiveModelProcessor(Processor):
    """Holds a conversation with a model that answers one turn at a time.

    turn_processor: gets the prompt (system, user and model parts, oldest first) and yields a reply;
        often `model + Speak(voice)`. It begins to read when the user begins to speak, and the
        prompt ends with the user's turn. A reply that nobody wants any more is closed.
    duration_prompt_sec, max_parts, max_tokens: how much of the conversation is in the prompt, all
        three at most; tokens are an estimate. policy: what leaves sooner; see docs/prompt.md.
    summarizer: a turn processor that writes, beside the conversation, what is left of the parts
        that leave; without one their first sentences are. A summary that fails or is late is
        written that way too.
    trigger_model_mode: whether the model gets the text of what was said, or its sound. Where
        nobody detects ends of turns, a turn ends with it as well: with the text of what was said,
        or as soon as the user falls silent.
    interrupt: what a sound over a reply must be like to cancel it.
    false_interruption: what happens when a reply was cancelled and then nothing is said: "resume"
        goes on with it from what was heard, "ask_again" asks the model anew. If words were heard
        that came to nothing, the model is asked anew.
    greeting: what is said at the start; True lets the model begin. idle_after_s: so many seconds of
        silence after the last that was heard, the model is asked, told `idle_prompt`, once until
        the user is heard again.
    speculate: begin to answer when the user has probably finished, and throw that away if not. Not
        around `Tools`, whose calls would be carried out all the same; give them to `tools`.
    voice: says what the program wants said (`Say`), in place of the stages of `turn_processor` from
        the first `Speak` on. Without either it goes out as text.
    rules: how long the floor waits before it decides.
    answer_within_s: a reply of which nothing was heard, or nothing more came, after so long has
        failed. Time in which it waits for tools does not count: they have their own limits.
    tools: functions that are run when the model calls them, see docs/tools.md. The model itself
        must be told of them too, by its own `tools=`. Without any, the program answers all calls.

    Reads the user's parts: `SpeechStarted`, `SpeechEnded`, `TurnEnded` and texts, which it yields
    on; texts that are interim are not answered. Audio, images and data are not yielded: they enter
    the prompt (audio only with END_OF_SPEECH), after the reply if one is out. A response, of a
    tool's or of the program's, is yielded when it enters the prompt, and is answered.
    A text of the user's with `context` True in its metadata, and any text of the model's, enters
    the prompt like data: in its place, and is not answered.
    An `Event` is yielded as it comes, and enters the prompt likewise; one that triggers a turn is
    spoken of once nobody speaks, or at once, in place of a reply that may be interrupted.
    `Say` and `Ask` from the program wait until nobody speaks;
    `Interrupted` and `Reset` take effect at once. Yields the replies: all parts of a reply carry
    its number as `turn`, and it ends with `TurnComplete`. Overtaking everything come `Held`,
    `Resumed` and `Interrupted`. On `status` come the floor's changes, each reply's prompt and
    latencies, and what failed.
    """

    def __init__(
        self,
        turn_processor: Processor,
        duration_prompt_sec: float = 600.0,
        trigger_model_mode: AudioTriggerMode = AudioTriggerMode.FINAL_TRANSCRIPTION,
        *,
        max_parts: int = 1000,
        max_tokens: int = MAX_TOKENS,
        policy: Policy | None = None,
        summarizer: Processor | None = None,
        interrupt: Interrupt | None = None,
        false_interruption: FalseInterruption = "resume",
        greeting: str | bool = False,
        idle_after_s: float | None = None,
        idle_prompt: str = "(The user has said nothing for a while.)",
        speculate: bool = False,
        voice: Processor | None = None,
        rules: FloorRules | None = None,
        answer_within_s: float = 30.0,
        tools: ToolSource = (),
    ) -> None:
        others = [it for it in (summarizer, voice) if it is not None]
        chain([turn_processor, *others])  # tells now what is no processor
        self._tools = Toolbox(tools)
        _check(turn_processor, self._tools, speculate=speculate)
        self._turn_processor = turn_processor
        self._duration_s = duration_prompt_sec
        self._max_parts = max_parts
        self._max_tokens = max_tokens
        self._policy = policy
        self._summarizer = summarizer
        idle_s = math.inf if idle_after_s is None else idle_after_s
        self._manners = Manners(
            trigger=trigger_model_mode,
            rules=rules or FloorRules(),
            interrupt=interrupt or Interrupt.unless_backchannel(),
            false_interruption=false_interruption,
            initiative=Initiative(greeting, idle_s, idle_prompt),
            speculate=speculate,
            answer_within_s=answer_within_s,
        )
        self._voice = voice or _voice_of(turn_processor)
        self._window()  # tells now what cannot be

    def _window(self) -> Window:
        return Window(
            self._max_parts,
            self._duration_s,
            max_tokens=self._max_tokens,
            policy=self._policy,
            summarize=self._summarizer is not None,
        )

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run = current_run()
        bus = run.bus
        tools = ToolCalls(self._tools.rules, own=_own_tools(self._turn_processor))
        conversation = Conversation(
            self._window(),
            bus.ledger,
            self._manners,
            zero=bus.started_at,
            tools=tools,
            shedding=run.shedding,
        )
        limits = ReplyLimits(self._manners.answer_within_s, self._max_parts + 1024)
        model, voice = self._turn_processor, self._voice
        jobs = ReplyJobs(model, voice, self._tools, tools.goes_on, limits, self._summarizer)
        # The user is heard also while a long reply waits for room: far beyond what jobs may send.
        return drive(stream, conversation, jobs.do, told=jobs.told, read_ahead=256, read_on=True)


def _check(turn_processor: Processor, tools: Toolbox, *, speculate: bool) -> None:
    """Raises StageError for what would be asked twice, or done for nobody."""
    for stage in turn_processor.stages:
        if isinstance(stage, LiveModelProcessor):
            raise StageError(
                "a LiveModelProcessor has turns of its own, and cannot answer those of another; "
                "give its turn processor, or ask it from a tool"
            )
        if isinstance(stage, Tools) and speculate:
            raise StageError(
                "speculate=True around Tools: its tools would be carried out also for answers that "
                "nobody gets to hear, when the user goes on; give them to tools= of the "
                "LiveModelProcessor, which calls them once the turn is certain to have ended"
            )
        if isinstance(stage, Tools) and (twice := sorted(stage.names & {it.name for it in tools})):
            raise StageError(
                f"{', '.join(twice)}: given to Tools and to the LiveModelProcessor around it, a "
                "call would be made twice; give it to one of them"
            )


def _own_tools(turn_processor: Processor) -> set[str]:
    """The names of the tools that its replies run themselves."""
    inside = [stage for stage in turn_processor.stages if isinstance(stage, Tools)]
    return {name for stage in inside for name in stage.runs}


def _voice_of(turn_processor: Processor) -> Processor | None:
    """The stages of `turn_processor` that make speech of text, if there are any."""
    stages = turn_processor.stages
    first = next((at for at, stage in enumerate(stages) if isinstance(stage, Speak)), None)
    return None if first is None else chain(stages[first:])
