"""What became of each turn."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.metrics.talks import LONG, hold
from vivace.flow.hooks import observe
from vivace.flow.processor import Processor, processor
from vivace.flow.records import Announced, Measured, RunFinished, RunStarted, Said
from vivace.live.live_model import LiveModelProcessor
from vivace.metrics.turns import Hold, Step, Turns, TurnStory
from vivace.models.scripted import Scripted
from vivace.part import Data, Held, Interrupted, Part, Played, Playing, Reset, Resumed, TurnEnded
from vivace.processors.tool import tool
from vivace.testing.fakes import Caller
from vivace.testing.script import play

pytestmark = pytest.mark.virtual


class Told:
    """What `Turns` tells."""

    def __init__(self) -> None:
        self.stories: list[TurnStory] = []
        self.kinds: list[str] = []
        self.hook = Turns(self.stories.append, self.kinds.append)

    async def of(self, says: list[tuple[float, float, str]], until: float, **manners: Any) -> None:
        with observe(self.hook):
            await hold(Caller(says, until), LONG, "fine", **manners)


async def test_an_interruption() -> None:
    """Each step of both turns at its very time; the first was held, then cut for words."""
    told = Told()
    await told.of([(0.5, 1.5, "hello"), (3.0, 4.4, "stop that now")], until=8.0)
    first, second = told.stories
    assert told.kinds == ["true"]
    assert (first.turn, first.outcome, first.kind, first.conversation) == (
        1,
        "interrupted",
        "true",
        "agent",
    )
    assert (first.speech_ended_at, first.transcript_at, first.decided_at) == (1.504, 1.74, 1.744)
    assert (first.asked_at, first.first_token_at) == (1.744, 1.744)
    assert (first.sent_at, first.heard_at, first.over_at) == (1.744, 1.744, 4.04)
    assert first.begun_at == 1.504
    assert first.holds == [Hold(3.04, 4.04, after_s=0.064)]
    assert first.models == [Step("agent", 0.56, 1.744)]
    assert (first.tokens, first.reused) == (2, 0)
    assert (second.turn, second.outcome, second.kind) == (2, "done", None)
    assert (second.asked_at, second.over_at, second.tokens, second.reused) == (4.66, 4.96, 11, 2)


async def test_a_noise_is_a_backchannel() -> None:
    """The reply went on: it was held for so long, and not cut."""
    told = Told()
    await told.of([(0.5, 1.5, "hello"), (3.0, 3.3, "")], until=8.0)
    (story,) = told.stories
    assert (story.outcome, story.kind, told.kinds) == ("done", None, ["backchannel"])
    assert story.holds == [Hold(3.04, 3.56, after_s=0.064)]


@pytest.mark.parametrize("then", ["resume", "ask_again"])
async def test_an_interruption_for_nothing(then: str) -> None:
    """Whether the reply is brought back or the model asked again: nobody had anything to say."""
    told = Told()
    await told.of([(0.5, 1.5, "hello"), (3.0, 4.4, "")], until=9.0, false_interruption=then)
    assert [(it.outcome, it.kind) for it in told.stories] == [
        ("interrupted", "false"),
        ("done", None),
    ]
    assert told.kinds == ["false"]


async def test_what_is_typed_has_no_speech() -> None:
    """It begins when the model is asked, and is heard when it is handed out."""
    told = Told()
    with observe(told.hook):
        await play(
            LiveModelProcessor(Scripted(["Hello."])),
            [(1.0, Part("hi")), (1.0, Part(TurnEnded(0.0)))],
        )
    (story,) = told.stories
    assert (story.speech_ended_at, story.begun_at, story.sent_at) == (None, 1.0, 1.0)


async def test_what_the_program_says() -> None:
    """A greeting is the program's; it has no prompt."""
    told = Told()
    with observe(told.hook):
        await play(
            LiveModelProcessor(Scripted(["Hello."]), greeting="Welcome."), [(1.0, Part("x"))]
        )
    assert told.stories[0].said_by == "program"
    assert told.stories[0].tokens is None


async def test_a_model_that_fails_or_is_silent() -> None:
    """The one has failed, with its error; the other came to its time limit, and nobody cut it."""

    @processor
    async def broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.role == "model":
                yield part
        raise LookupError("no model today")

    @processor
    async def silent(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        await asyncio.sleep(3600.0)
        yield Part("")

    async def asked(model: Processor) -> TurnStory:
        told = Told()
        with observe(told.hook):
            await play(LiveModelProcessor(model, answer_within_s=5.0), [(1.0, Part("hi"))])
        assert told.kinds == []
        (story,) = told.stories
        return story

    story = await asked(broken)
    assert (story.outcome, story.error) == ("failed", "no model today")
    assert [(it.name, it.error) for it in story.models] == [("broken", "LookupError")]
    story = await asked(silent)
    assert story.outcome in ("timeout", "failed")
    assert "within 5 s" in story.error


async def test_tools_are_timed() -> None:
    """A tool that took so long, within the turn that called it."""

    @tool
    async def clock() -> str:
        """What time is it?"""
        await asyncio.sleep(0.5)
        return "noon"

    @processor
    async def calls(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompt = [part async for part in stream]
        if any(part.function_response for part in prompt):
            yield Part("It is noon.", role="model")
        else:
            yield Part.call("clock", id="1")

    told = Told()
    with observe(told.hook):
        await play(LiveModelProcessor(calls, tools=[clock]), [(1.0, Part("what time is it"))])
    (story,) = told.stories
    assert story.tools == [Step("clock", 1.0, 1.5)]
    assert story.outcome == "done"


# -- records that do not fit ----------------------------------------------------------------------


def said(turn: int, at: float, event: str = "asked", **facts: Any) -> Said:
    return Said(1, at, Part(Data({"event": event, "turn": turn, **facts}), substream="status"))


def begun() -> Told:
    told = Told()
    told.hook(RunStarted(1, None, "agent", 0.0))
    told.hook(said(1, 1.0))
    return told


def test_a_run_that_ends_first() -> None:
    """A reply that nobody hears to its end is unfinished; one that was cut is told."""
    told = begun()
    told.hook(Announced(1, 1.5, Playing(1)))
    told.hook(Announced(1, 1.5, Held(1)))
    told.hook(RunFinished(1, 2.0, "closed"))
    assert [(it.outcome, it.over_at, it.holds) for it in told.stories] == [
        ("unfinished", 2.0, [Hold(1.5, 2.0)])
    ]
    told = begun()
    told.hook(Announced(1, 1.5, Reset(1)))
    told.hook(RunFinished(1, 2.0, "closed"))
    assert [it.outcome for it in told.stories] == ["interrupted"]
    assert told.kinds == ["true"]


def test_a_turn_that_never_ended_gives_way() -> None:
    """When the next one is asked for, the one before it is told as it stands."""
    told = begun()
    told.hook(said(2, 3.0))
    assert [(it.turn, it.outcome, it.over_at) for it in told.stories] == [(1, "unfinished", 3.0)]


def test_what_belongs_to_no_turn_is_nothing() -> None:
    """Signals of other replies, of runs that nobody has told of, and odd news change nothing."""
    told = Told()
    told.hook(RunFinished(7, 1.0, "closed"))
    told.hook(said(1, 1.0))
    told.hook(Announced(1, 1.0, Interrupted(1)))
    told = begun()
    for signal in (Interrupted(0), Resumed(1), Played(9), Playing(9), Held(9), Resumed(9)):
        told.hook(Announced(1, 1.5, signal))
    told.hook(said(1, 1.5, "latency"))
    told.hook(said(1, 1.5, "latency", ended_at=1.0))
    told.hook(said(9, 1.5, "failed", what="reply", error="x"))
    told.hook(said(1, 1.5, "held", after_s=0.5))
    told.hook(said(1, 1.5, "false_interruption"))
    told.hook(Announced(1, 2.0, Played(1)))
    told.hook(Measured(1, 2.0, "clock", "tool_s", 1.0))
    (story,) = told.stories
    assert story == TurnStory(1, 1, "agent", 1.0, over_at=2.0, outcome="done")


def test_times_without_those_of_the_listener() -> None:
    """Where nobody says when sound is heard, it is heard when it is sent."""
    told = begun()
    told.hook(said(1, 2.0, "latency", ended_at=0.5, ms={"first_audio": 250.0}))
    told.hook(Announced(1, 3.0, Played(1)))
    (story,) = told.stories
    assert (story.speech_ended_at, story.sent_at, story.heard_at) == (2.5, 2.75, 2.75)


def test_runs_within_runs_are_bounded() -> None:
    """Of those whose end nobody told, the oldest is let go."""
    told = Told()
    for run in range(1, 10_003):
        told.hook(RunStarted(run, None, "agent", 0.0))
    assert len(told.hook._talks) == 10_000
    told.hook(said(1, 1.0))
    assert told.stories == []
