"""Conversations from scripts, with everything between the microphone and the speaker real.

`simulate(dialogue)` holds one on virtual time and checks after every step what must always hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from vivace.flow.clock import now
from vivace.flow.hooks import observe
from vivace.flow.processor import Processor
from vivace.flow.records import Announced, Record
from vivace.flow.scope import AbandonedTask
from vivace.part import Audio, Call, Interrupted, Part, Signal
from vivace.testing.accounts import (
    AnsweredInTime,
    AskedForSomething,
    Bounds,
    CountersAddUp,
    FailsAsTold,
    TalksOverNobody,
    WordsOnce,
)
from vivace.testing.agent import Agent, Cast, standard_agent
from vivace.testing.dialogue import Dialogue
from vivace.testing.ears import Ears, Sounds, chance
from vivace.testing.invariants import (
    HeardIsPlayed,
    HoldsEnd,
    NothingStale,
    OneEndEach,
    OneReply,
    PairsWhole,
    SampleExact,
)
from vivace.testing.model import BROKEN, STUCK_S, SimulatedModel, SimulatedVoice
from vivace.testing.run import run_virtual
from vivace.testing.shrink import shortest
from vivace.testing.speaker import SimulatedSpeaker
from vivace.testing.user import Hearing, User
from vivace.testing.witness import (
    Called,
    Ended,
    Event,
    Gave,
    Got,
    Invariant,
    News,
    Played,
    Told,
    Witness,
)

__all__ = [
    "Agent",
    "Broken",
    "Cast",
    "Course",
    "check",
    "hold",
    "shortest_failure",
    "simulate",
    "standard_agent",
]

_listeners: list[list[str]] = []
_catching: list[Any] = []  # what Python knows of warnings is the process's, whoever is under way
_ENDS_S = 60.0  # after the microphone was switched off; long beyond all that is said then
_LONGEST_S = 0.2  # a chunk of the standard agent
_ROUNDS_S = 600.0  # so much longer if a model calls tools again and again, until it is refused
_TOOLS_FAIL = (  # what becomes of calls whose reply was interrupted, or that never end
    "the reply was interrupted before this was begun",
    "it was cancelled, since the reply was interrupted",
    "16 rounds of calls in a row are enough",
)
_SILENCE_S = 15.0  # answers fail within 6 s; a pause ends within 5 s; texts and tools come sooner


class Broken(AssertionError):
    """Something did not hold in a conversation.

    invariant: its name. what: what was seen. at: when, in seconds. dialogue: the script.
    """

    def __init__(self, invariant: str, what: str, at: float, dialogue: Dialogue) -> None:
        self.invariant = invariant
        self.what = what
        self.at = at
        self.dialogue = dialogue
        super().__init__(invariant, what, at)

    def __str__(self) -> str:
        return f"{self.invariant}, at {self.at:g} s: {self.what}\n{self.dialogue!r}"


class Course:
    """How a conversation went. events: all of them, each with its time in seconds."""

    def __init__(self, dialogue: Dialogue, events: list[tuple[float, Event]], user: User) -> None:
        self.dialogue = dialogue
        self.events = events
        self.user = user
        self.abandoned: list[str] = []  # what is told of tasks that would not stop
        self.closed_at: float = 0.0  # when the last task of the agent had ended or was abandoned

    @property
    def parts(self) -> list[tuple[float, Part]]:
        """What the speaker got."""
        return [(at, event.part) for at, event in self.events if isinstance(event, Got)]

    def told(self, *kinds: type[Signal]) -> list[tuple[float, Signal]]:
        """What was announced; of these kinds, or all."""
        return [
            (at, event.signal)
            for at, event in self.events
            if isinstance(event, Told) and isinstance(event.signal, kinds or Signal)
        ]

    def news(self, event: str) -> list[dict[str, object]]:
        """What was told on `status`."""
        return [
            it.facts for _, it in self.events if isinstance(it, News) and it.facts["event"] == event
        ]

    def words(self, turn: int | None = None) -> list[tuple[float, str]]:
        """When which words of the agent's were heard; of one reply, or of all."""
        return [
            (at, part.body.words.strip())
            for at, part in self.parts
            if isinstance(part.body, Audio) and part.body.words and turn in (None, part.turn)
        ]

    @property
    def prompts(self) -> list[list[str]]:
        """What the model was given at each call, as `role: text`."""
        calls = [event.prompt for _, event in self.events if isinstance(event, Called)]
        return [[f"{part.role}: {_told(part)}" for part in prompt] for prompt in calls]


async def hold(dialogue: Dialogue, agent: Agent = standard_agent, *, keep: bool = True) -> Course:
    """Hold a conversation on the running loop, in real time or virtual.

    keep: note all events. Raises Broken at the first step at which something does not hold.
    """
    sounds, hearing = Sounds(), Hearing()

    def gave(part: Part) -> None:
        witness.see(Gave(part))
        if witness.broken:
            user.hang_up()  # there is nothing more to learn

    speaker = SimulatedSpeaker(dialogue, hearing)
    user = User(dialogue, sounds, hearing, gave, speaker.report)
    clock = asyncio.get_running_loop().time
    witness = Witness(_invariants(dialogue, sounds, user), clock, keep=keep)
    model = SimulatedModel(
        dialogue,
        lambda number, prompt: witness.see(Called(number, prompt)),
        lambda number: witness.see(Ended(number)),
    )
    cast = Cast(
        dialogue, Ears(sounds, dialogue.timing, dialogue.seed), model, SimulatedVoice(dialogue)
    )
    course = Course(dialogue, witness.events, user)
    before, start = asyncio.all_tasks(), now()
    with _abandoned() as told:
        await _listen(agent(cast), witness, user, speaker, dialogue)
        course.closed_at = round(now() - start, 6)
        left = asyncio.all_tasks() - before
        if left and _stubborn(dialogue):
            left = (await asyncio.wait(left, timeout=_longest_call_s(dialogue)))[1]
    course.abandoned = list(told)
    at = round(now(), 6)
    if witness.broken is None and left:
        witness.broken = ("all joined", f"{[task.get_name() for task in left]} run at the end", at)
    if witness.broken is None and course.abandoned and not _stubborn(dialogue):
        witness.broken = ("all joined", course.abandoned[0], at)
    if witness.broken is not None:
        raise Broken(*witness.broken, dialogue)
    return course


def simulate(dialogue: Dialogue, agent: Agent = standard_agent, *, keep: bool = True) -> Course:
    """Hold a conversation on virtual time, under the dialogue's seed. As `hold`."""
    return run_virtual(lambda: hold(dialogue, agent, keep=keep), seed=dialogue.seed)


def check(dialogue: Dialogue, agent: Agent = standard_agent) -> None:
    """Hold a conversation on virtual time only to see whether anything breaks. As `simulate`."""
    simulate(dialogue, agent, keep=False)


def shortest_failure(
    dialogue: Dialogue, agent: Agent = standard_agent, *, tries: int = 150
) -> Broken | None:
    """How the shortest dialogue breaks that breaks as this one does; None if this one does not.

    tries: conversations at most.
    """
    found = _broken(dialogue, agent)
    if found is None:
        return None

    def fails(smaller: Dialogue) -> bool:
        nonlocal found
        assert found is not None
        broken = _broken(smaller, agent)
        if broken is None or broken.invariant != found.invariant:
            return False
        found = broken
        return True

    shortest(dialogue, fails, at=found.at, tries=tries)
    return found


def _broken(dialogue: Dialogue, agent: Agent) -> Broken | None:
    try:
        check(dialogue, agent)
    except Broken as broken:
        return broken
    return None


async def _listen(
    agent: Processor, witness: Witness, user: User, speaker: SimulatedSpeaker, dialogue: Dialogue
) -> None:
    """Be the speaker, and whoever has the tools, until the conversation ends or is broken."""
    start = now()
    tools = chance(dialogue.seed, "tools")
    leaves_at = dialogue.speaker.leaves_at
    limit = dialogue.at_most_s + _ENDS_S + (_ROUNDS_S if dialogue.manner.tools else 0.0)

    def see(record: Record) -> None:
        witness.hook(record)
        if isinstance(record, Announced) and isinstance(record.signal, Interrupted):
            turn = record.signal.turn
            witness.see(Played(turn, speaker.played(turn)))

    with observe(see):
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(start + min(leaves_at or limit, limit)):
                    parts = await stack.enter_async_context(agent.run(user.parts()))
                    async for part in parts:
                        witness.see(Got(part))
                        if isinstance(part.body, Call) and not dialogue.manner.tools:
                            jitter = 1 + dialogue.timing.jitter * tools.random()
                            user.send(_answered(part.body), now() + _takes(part.body) * jitter)
                        await speaker.take(part)
                        if witness.broken:
                            return
            except TimeoutError:
                if leaves_at is None and witness.broken is None:
                    what = f"it had not ended at {limit:g} s"
                    witness.broken = ("it ends", what, limit)
                return
    witness.end()


def _invariants(dialogue: Dialogue, sounds: Sounds, user: User) -> list[Invariant]:
    left = dialogue.speaker.leaves_at is not None
    words = WordsOnce(sounds, user.typed)
    fails = (BROKEN, "no answer within", "nothing more came within")
    return [
        NothingStale(),
        SampleExact(),
        HeardIsPlayed(dialogue.speaker.buffer_s, chunk_s=_LONGEST_S),
        PairsWhole(),
        OneReply(_stubborn(dialogue)),
        HoldsEnd(within_s=dialogue.manner.hold_s),
        OneEndEach(left=left),
        Bounds(),
        CountersAddUp(left=left),
        FailsAsTold((*fails, *_TOOLS_FAIL) if dialogue.manner.tools else fails),
        words,
        AskedForSomething(),
        TalksOverNobody(),
        AnsweredInTime(words, _SILENCE_S, tools=dialogue.manner.tools, left=left),
    ]


def _stubborn(dialogue: Dialogue) -> frozenset[int]:
    """The numbers of calls that will not be cancelled, among the first ten thousand."""
    kinds = [reply.end in ("stuck", "deaf") for reply in dialogue.replies]
    if not any(kinds):
        return frozenset()
    return frozenset(n for n in range(10_000) if kinds[n % len(kinds)])


def _longest_call_s(dialogue: Dialogue) -> float:
    """Within how many seconds the longest call ends, though nobody can cancel it."""
    slowest = 1 + dialogue.timing.jitter
    return max(
        (it.delay_s + len(it.text.split()) * it.token_s) * slowest + STUCK_S
        for it in dialogue.replies
    )


@contextlib.contextmanager
def _abandoned() -> Iterator[list[str]]:
    """What is told of abandoned tasks inside, also while others listen to the same."""
    told: list[str] = []
    if not _listeners:
        catching = warnings.catch_warnings()
        catching.__enter__()
        warnings.simplefilter("always", AbandonedTask)
        show = warnings.showwarning

        def note(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category is not AbandonedTask:
                show(message, category, filename, lineno, file, line)
                return
            for listener in _listeners:
                listener.append(str(message))

        warnings.showwarning = note
        _catching.append(catching)
    _listeners.append(told)
    try:
        yield told
    finally:
        _listeners[:] = [it for it in _listeners if it is not told]
        if not _listeners:
            _catching.pop().__exit__(None, None, None)


def _answered(call: Call) -> Part:
    return Part.response(call.name, f"{call.name} of {call.id}", id=call.id)


def _takes(call: Call) -> float:
    return float(call.args["takes_s"])


def _told(part: Part) -> str:
    return part.text or part.mimetype
