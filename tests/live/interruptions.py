"""Eighteen ways in which others' agents went wrong when interrupted, as scripts; one has two.

Each is held with jittered timings under any seed, on virtual time and in real time. What must
always hold is checked at each step by the simulator; `check` says what must hold besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from vivace import (
    Audio,
    AudioRateLimiter,
    Call,
    Data,
    DetectSpeech,
    DetectTurn,
    Held,
    Interrupted,
    LiveModelProcessor,
    Part,
    Processor,
    Resumed,
    Speak,
    SpeechEnded,
    SpeechStarted,
    Transcribe,
    TurnComplete,
    processor,
)
from vivace.testing import VirtualLoop
from vivace.testing.dialogue import (
    Backchannel,
    Correct,
    Cough,
    Dialogue,
    HangUp,
    Listen,
    Manner,
    Reply,
    Say,
    SideTalk,
    Speaker,
    Step,
    TalkOver,
    Timing,
    ToolUse,
    Type,
    Wish,
)
from vivace.testing.simulate import Agent, Cast, Course, standard_agent
from vivace.testing.witness import News

LONG = "one two three four five six seven eight nine ten eleven twelve"
ALL_AT_ONCE = Reply(LONG, delay_s=0.1, burst=100)
NEXT = Reply("alpha beta gamma delta", delay_s=0.1)
ASKS = Say("what can you tell me")
STOPS = TalkOver("please stop that now", after_s=0.3)
JITTERED = Timing(chunk_s=0.04, detect_s=(0.0, 0.01), transcribe_s=(0.03, 0.3), jitter=1.0)


@dataclass(frozen=True)
class Case:
    """A script, and what must hold in it."""

    holds: str
    dialogue: Dialogue
    check: Callable[[Course], None]
    agent: Agent = standard_agent

    def __str__(self) -> str:
        return self.holds.replace(" ", "_")


def script(
    *steps: Step, replies: tuple[Reply, ...] = (ALL_AT_ONCE, NEXT), **rest: object
) -> Dialogue:
    return Dialogue(steps, replies, **{"timing": JITTERED, **rest})  # type: ignore[arg-type]


def interruptions(course: Course) -> list[tuple[float, Interrupted]]:
    return [(at, it) for at, it in course.told(Interrupted) if isinstance(it, Interrupted)]


def audio(course: Course, turn: int) -> list[float]:
    """When chunks of a reply came."""
    return [at for at, it in course.parts if isinstance(it.body, Audio) and it.turn == turn]


def spoken(course: Course, turn: int) -> str:
    return " ".join(word for _, word in course.words(turn))


def endings(course: Course) -> list[tuple[int, str]]:
    return [
        (it.body.turn, it.body.reason)
        for _, it in course.parts
        if isinstance(it.body, TurnComplete)
    ]


def nothing_leaves_afterwards(course: Course) -> None:
    [(at, interrupted)] = interruptions(course)
    assert interrupted.turn == 1
    assert max(audio(course, 1)) < at
    assert len(course.words(1)) < 8, "most of what was queued was never heard"
    assert spoken(course, 2) == NEXT.text


def next_reply_is_its_own(course: Course) -> None:
    nothing_leaves_afterwards(course)
    assert course.words(2)[0][1] == "alpha"


def each_end_is_its_own(course: Course) -> None:
    assert endings(course) == [(1, "interrupted"), (2, "done")]
    done_at = [at for at, it in course.parts if it.body == TurnComplete(2)]
    assert done_at[0] > course.words(2)[-1][0]
    assert spoken(course, 2) == NEXT.text


def tool_traffic_survives(course: Course) -> None:
    assert interruptions(course)
    assert [it.body.name for _, it in course.parts if isinstance(it.body, Call)] == ["look_up"]
    lines = [line.partition(":")[0] for line in course.prompts[-1]]
    assert lines.count("model") >= 1
    assert sum("vivace-call" in line for line in course.prompts[-1]) == 1
    assert sum("vivace-response" in line for line in course.prompts[-1]) == 1


def prompt_is_the_ledger(course: Course) -> None:
    [(_, interrupted)] = interruptions(course)
    # The last word may have left for a listener who fell silent before its middle.
    words = spoken(course, 1).split()
    assert interrupted.heard.split() in (words, words[:-1])
    assert f"model: {interrupted.heard}" in course.prompts[1]


def both_messages_are_kept(course: Course) -> None:
    assert [it.heard for _, it in interruptions(course)] == [""]
    assert course.prompts[-1] == ["user: what can you tell me", "user: no the other one"]


def every_sound_is_dismissed(course: Course) -> None:
    assert not interruptions(course)
    assert len(course.told(Held)) == len(course.told(Resumed)) >= 2
    assert len(course.prompts) == 1
    assert spoken(course, 1) == LONG


def goes_on_where_it_was_heard_last(course: Course) -> None:
    [(at, interrupted)] = interruptions(course)
    assert endings(course)[-1] == (2, "done")
    assert audio(course, 2)[0] - at < 5.0
    assert f"{interrupted.heard} {spoken(course, 2)}" == LONG


def it_is_said_to_its_end(course: Course) -> None:
    said = " ".join(word for _, word in course.words())
    assert "your taxi is waiting outside" in said
    [(at, notice)] = [
        (at, it.facts["turn"])
        for at, it in course.events
        if isinstance(it, News) and it.facts["event"] == "saying"
    ]
    late = [
        when
        for when, part in course.parts
        if part.role == "user" and part.text and part.at is not None and part.at < at
    ]
    assert max(late) > at, "words of before came when it had begun"
    assert (notice, "done") in endings(course)
    assert not interruptions(course)
    assert "what can you tell me" in " ".join(course.prompts[-1])


def nobody_is_interrupted(course: Course) -> None:
    assert not course.told(Interrupted, Held)
    assert [reason for _, reason in endings(course)] == ["done"] * len(course.prompts)
    said = " ".join(line for line in course.prompts[-1] if line.startswith("user"))
    assert [word for word in ("hello", "friend", "goodbye") if word in said] == [
        "hello",
        "friend",
        "goodbye",
    ]


def is_not_cancelled_by_what_came_before(course: Course) -> None:
    # Whoever is still speaking when a reply begins is not unrelated to it.
    bodies = [(at, part.at, part.body) for at, part in course.parts]
    facts = [(said_at, it.value) for _, said_at, it in bodies if isinstance(it, Data)]
    asked = {it["turn"]: said_at or 0.0 for said_at, it in facts if it.get("event") == "asked"}
    for at, cut in interruptions(course):
        sounds = [it.at for when, _, it in bodies if when <= at and isinstance(it, SpeechEnded)]
        assert sounds[-1] > asked[cut.turn]
        assert cut.heard == ""
    assert endings(course)[-1] == (len(course.prompts), "done")
    assert any("response" in line for line in course.prompts[-1])


def it_is_ordered_once(course: Course) -> None:
    assert interruptions(course)
    assert sum(isinstance(it.body, Call) for _, it in course.parts) == 1
    assert sum("vivace-response" in line for line in course.prompts[-1]) == 1


def all_ends_in_time(course: Course) -> None:
    assert course.dialogue.speaker.leaves_at is not None
    assert course.closed_at <= course.dialogue.speaker.leaves_at + 2.5


def floor_moves_on(course: Course) -> None:
    [(at, _)] = interruptions(course)
    assert spoken(course, 2) == NEXT.text
    assert audio(course, 2)[0] - at < 4.0
    assert any("simulated_model" in told for told in course.abandoned), "it is named"


def nobody_is_talked_over(course: Course) -> None:
    speaking = False
    for at, event in course.events:
        match event:
            case News(facts={"event": "asked"}):
                assert not speaking, f"a reply was asked for at {at}, while the user spoke"
        part = getattr(event, "part", None)
        if isinstance(part, Part) and type(event).__name__ == "Passed" and event.stage == 3:  # type: ignore[union-attr]
            speaking = isinstance(part.body, SpeechStarted) or (
                speaking and not isinstance(part.body, SpeechEnded)
            )
    said = " ".join(course.prompts[-1])
    assert "tell me" in said
    assert "about the weather" in said
    assert "user: or the news" in course.prompts[-1]


def model_is_called_once(course: Course) -> None:
    assert len(course.prompts) == 1
    assert endings(course) == [(1, "done")]


def goes_on_at_the_very_sample(course: Course) -> None:
    assert len(course.told(Held)) == len(course.told(Resumed)) == 1
    assert spoken(course, 1) == LONG
    seconds = sum(it.seconds for _, it in course.parts if it.turn == 1)
    assert round(seconds, 6) == round(12 * course.dialogue.timing.word_s, 6)


def storm_passes(course: Course) -> None:
    starts = [at for at, part in course.parts if isinstance(part.body, SpeechStarted)]
    assert len(starts) >= 40
    assert len(course.told(Held)) <= 3
    assert endings(course)[-1][1] == "done"
    assert course.told(Resumed, Interrupted)


def stormy_agent(cast: Cast) -> Processor:
    """Forty starts of speech, one with each part of audio, once the agent is heard."""
    tasks: list[int] = []

    @processor
    async def storm(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        starts = -1
        async for part in stream:
            yield part
            if isinstance(part.body, SpeechStarted) and part.at is not None and part.at > 3.0:
                starts = max(starts, 0)
            if 0 <= starts < 40 and part.seconds:
                starts += 1
                yield Part(SpeechEnded(part.at or 0.0), at=part.at)
                yield Part(SpeechStarted(part.at or 0.0), at=part.at)
                tasks.append(len(asyncio.all_tasks()))
                # On a busy machine more jobs of detectors and models are out at the same moment.
                more = 2 if isinstance(asyncio.get_running_loop(), VirtualLoop) else 8
                assert max(tasks) <= tasks[0] + more, "a start of speech leaves a task behind"
                if starts == 40:
                    yield Part(SpeechEnded(part.at or 0.0), at=part.at)

    return (
        DetectSpeech(cast.ears)
        + Transcribe(cast.ears.transcribe)
        + DetectTurn(cast.ears.judge_turn)
        + storm
        + LiveModelProcessor(cast.model + Speak(cast.voice), answer_within_s=6.0)
        + AudioRateLimiter()
    )


SENTENCES = Reply("One two three four. Five six seven.", delay_s=0.1)
CASES = [
    Case(
        "nothing leaves after the interruption though seconds of speech are queued",
        script(ASKS, STOPS, Listen()),
        nothing_leaves_afterwards,
    ),
    Case(
        "nothing is stale with a consumer twice slower than real time",
        script(ASKS, STOPS, Listen(), speaker=Speaker(speed=0.5)),
        nothing_leaves_afterwards,
    ),
    Case(
        "what a late writer appends does not open the next reply",
        script(ASKS, STOPS, Listen(), replies=(
            Reply("One two three. Four five six. " * 3, delay_s=0.1, token_s=0.2, end="deaf"), NEXT
        )),
        next_reply_is_its_own,
    ),
    Case(
        "a late end of the old reply does not end the new one",
        script(ASKS, STOPS, Listen(), replies=(
            Reply("One two three. Four. Five. Six.", delay_s=0.1, token_s=0.3, end="deaf"), NEXT
        )),
        each_end_is_its_own,
    ),
    Case(
        "tool calls queued behind the voice survive the interruption",
        script(ASKS, STOPS, Listen(), replies=(
            Reply(LONG, delay_s=0.1, burst=100, calls=(ToolUse(takes_s=0.4),)),
            NEXT, NEXT, NEXT, NEXT,
        )),
        tool_traffic_survives,
    ),
    Case(
        "the prompt says what was heard",
        script(ASKS, TalkOver("please stop that now", after_s=1.4), Listen()),
        prompt_is_the_ledger,
    ),
    Case(
        "cut at zero leaves no reply in the prompt and both messages",
        script(ASKS, Correct("no the other one", after_s=0.8), Listen(),
               replies=(Reply(LONG, delay_s=3.0), NEXT)),
        both_messages_are_kept,
    ),
    Case(
        "sounds that are no interruption lose and repeat nothing",
        script(ASKS, Cough(0.3, 0.3), Backchannel(after_s=0.4),
               SideTalk("faint and far", 0.2, loud=0.3), Listen()),
        every_sound_is_dismissed,
    ),
    Case(
        "a false interruption is answered in the end",
        script(ASKS, Cough(1.8, 0.6), Listen()),
        goes_on_where_it_was_heard_last,
    ),
    Case(
        "speech while the agent is silent interrupts nobody",
        script(Say("hello there … my friend", pause_s=0.4), Listen(), Say("goodbye then"), Listen(),
               replies=(NEXT,),
               timing=Timing(chunk_s=0.04, sure=(0.0, 0.4), transcribe_s=(0.03, 0.3), jitter=1.0)),
        nobody_is_interrupted,
    ),
    Case(
        "a reply that the program asked for is not cancelled by an earlier sound",
        script(Say("look it up"), Say("hurry", after_s=0.9, rate=4), Listen(), Listen(at_most_s=4),
               replies=(Reply("", 0.05, calls=(ToolUse(takes_s=0.6),)), NEXT, NEXT),
               timing=Timing(chunk_s=0.04, transcribe_s=(0.05, 0.5), jitter=0.5)),
        is_not_cancelled_by_what_came_before,
    ),
    Case(
        "what the program says is not cut by words of before it that come late",
        script(ASKS, Wish("your taxi is waiting outside", after_s=1.6), Listen(), Listen(),
               replies=(NEXT,), manner=Manner(patience_s=0.5),
               timing=Timing(chunk_s=0.04, transcribe_s=(2.5, 3.0), jitter=1.0)),
        it_is_said_to_its_end,
    ),
    Case(
        "a tool that has begun is not run again after a barge-in",
        script(Say("order a pizza"), Say("and a salad too", after_s=1.4), STOPS, Listen(),
               Listen(at_most_s=4),
               replies=(Reply("", 0.05, calls=(ToolUse("order", 2.5),)),
                        ALL_AT_ONCE, NEXT, NEXT, NEXT)),
        it_is_ordered_once,
    ),
    Case(
        "leaving early ends every task in time though one swallows its cancellation",
        script(ASKS, Listen(), replies=(Reply(LONG, token_s=0.4, end="deaf"),),
               speaker=Speaker(leaves_at=3.0)),
        all_ends_in_time,
    ),
    Case(
        "the floor moves on from a model that is stuck in a thread",
        script(ASKS, STOPS, Listen(), tail_s=3.0, replies=(
            Reply(SENTENCES.text, 0.1, burst=100, end="stuck"), NEXT
        )),
        floor_moves_on,
    ),
    Case(
        "a transcript that comes while the user speaks again joins the prompt",
        script(ASKS, Type("or the news", 0.1, beside_s=1.2, ends_turn=True),
               Say("about the weather", after_s=0.6, rate=2.0), Listen(), replies=(NEXT,),
               timing=Timing(chunk_s=0.04, transcribe_s=(0.8, 1.2), jitter=1.0)),
        nobody_is_talked_over,
    ),
    Case(
        "no model call when the input closes and nothing new was said",
        script(ASKS, Listen(), HangUp(0.2), replies=(NEXT,)),
        model_is_called_once,
    ),
    Case(
        "a held reply goes on at the very sample",
        script(ASKS, Cough(0.3, 0.7), Listen()),
        goes_on_at_the_very_sample,
    ),
    Case(
        "forty starts of speech in a second leave one reply and no task",
        script(ASKS, Cough(0.3, 1.0), Listen(), Type("and now"), Listen(),
               replies=(ALL_AT_ONCE, NEXT),
               timing=Timing(chunk_s=0.02, jitter=1.0)),
        storm_passes,
        stormy_agent,
    ),
]  # fmt: skip
