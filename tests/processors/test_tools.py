"""`Tools`: calls are run within the reply, and the model is asked again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from vivace.errors import ModelError
from vivace.flow.clock import now
from vivace.flow.processor import Processor, processor
from vivace.flow.scope import AbandonedTask
from vivace.part import Audio, Call, Data, Part, Response, TurnComplete
from vivace.processors.tool import tool
from vivace.processors.tools import Tools
from vivace.testing.script import play

pytestmark = pytest.mark.virtual(seeds=5)


class Model(Processor):
    """Yields the next of its steps each time it is asked; keeps the prompts."""

    def __init__(self, *steps: Sequence[Any]) -> None:
        self.steps = steps
        self.prompts: list[list[Part]] = []

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        self.prompts.append([part async for part in stream])
        for value in self.steps[len(self.prompts) - 1]:
            if isinstance(value, Exception):
                raise value
            yield Part.of(value, role="model")


def call(name: str, id: str, **args: Any) -> Call:
    return Call(id, name, args)


def bodies(parts: Sequence[Part]) -> list[Any]:
    return [part.body for part in parts if not part.substream]


@tool
async def slow(seconds: float) -> str:
    """Sleeps."""
    await asyncio.sleep(seconds)
    return f"slept {seconds:g} s"


@tool
async def fail() -> None:
    """Fails."""
    raise OSError("the wire is cut")


async def test_the_model_is_asked_again_with_the_result() -> None:
    """Prompt, what it said, call, response: then it answers."""
    model = Model(["Let me ", "see. ", call("slow", "1", seconds=2)], ["Done."])
    seen = await play(Tools(model, [slow]), [(0.0, "go")])
    expected: list[tuple[float, Any]] = [
        (0.0, "Let me "),
        (0.0, "see. "),
        (0.0, call("slow", "1", seconds=2)),
        (2.0, Response("1", "slow", "slept 2 s")),
        (2.0, "Done."),
    ]
    assert [(at, part.body) for at, part in seen] == expected
    assert bodies(model.prompts[1]) == ["go", *(body for _, body in expected[:-1])]


async def test_two_calls_run_side_by_side() -> None:
    """The model is asked once, when both have answered; and again as often as it calls."""
    model = Model(
        [call("slow", "a", seconds=3), call("slow", "b", seconds=1)],
        [call("slow", "c", seconds=1)],
        ["Done."],
    )
    seen = await play(Tools(model, [slow]), [(0.0, "go")])
    assert [(at, part.body.id) for at, part in seen if isinstance(part.body, Response)] == [
        (1.0, "b"),
        (3.0, "a"),
        (4.0, "c"),
    ]
    assert seen[-1] == (4.0, Part("Done.", role="model"))


async def test_failures_are_answers() -> None:
    """A tool that raises, an unknown one, wrong arguments, too long: the model hears of each."""
    quick = tool(name="quick", timeout_s=1.0)(slow)
    model = Model(
        [
            call("fail", "a"),
            call("fly", "b"),
            call("slow", "c", seconds="x"),
            call("quick", "d", seconds=9),
        ],
        ["Sorry."],
    )
    seen = await play(Tools(model, [slow, fail, quick]), [(0.0, "go")])
    errors = {it.id: it.error for it in bodies([p for _, p in seen]) if isinstance(it, Response)}
    assert errors["a"] == "OSError: the wire is cut"
    assert errors["b"] == "there is no tool named 'fly'; there are: slow, fail, quick"
    assert errors["c"].startswith("the arguments of slow do not fit: Expected `float`")
    assert errors["d"] == "no result within 1 s"
    assert seen[-1] == (1.0, Part("Sorry.", role="model"))


async def test_every_tool_is_waited_for() -> None:
    """Outside of a live conversation there is no later."""
    later = tool(name="later", scheduling="when_idle")(slow)
    model = Model([call("later", "a", seconds=1)], ["Done."])
    seen = await play(Tools(model, [later]), [(0.0, "go")])
    assert seen[-1] == (1.0, Part("Done.", role="model"))


async def test_a_call_that_the_program_answers_ends_the_reply() -> None:
    """After the calls that were run have answered: so the program can ask with all of it."""
    model = Model([call("slow", "a", seconds=1), call("lamp", "b", on=True)])
    agent = Tools(model, [slow, {"name": "lamp"}])
    seen = await play(agent, [(0.0, "go")])
    assert [type(part.body) for _, part in seen] == [Call, Call, Response]
    assert len(model.prompts) == 1


async def test_a_model_that_does_not_stop_calling_is_stopped() -> None:
    """After so many rounds its calls fail, and it is asked once more."""
    model = Model(*[[call("slow", "", seconds=0)]] * 4)
    seen = await play(Tools(model, [slow], max_rounds=2), [(0.0, "go")])
    responses = [part.body for _, part in seen if isinstance(part.body, Response)]
    assert [bool(it.error) for it in responses] == [False, False, True, True]
    assert responses[2].error == "2 rounds of calls in a row are enough; answer without"
    assert len(model.prompts) == 4


async def test_a_reply_without_calls() -> None:
    """Passes as it is, side lanes and signals too, and nobody asks twice."""
    status = Part(Data({"event": "x"}), substream="status", role="model")
    model = Model(["Hello.", status, TurnComplete(0)])
    seen = await play(Tools(model, []), [(0.0, "go")])
    assert [part.body for _, part in seen if not part.substream] == ["Hello.", TurnComplete(0)]
    assert status in [part for _, part in seen]
    assert len(model.prompts) == 1


async def test_sound_is_remembered_by_its_words() -> None:
    """A model that speaks is asked again with what it said, not with samples."""
    silence = Part.audio(bytes(320))
    spoken = Part.audio(bytes(320), words="One moment.")
    model = Model([silence, spoken, call("slow", "a", seconds=0)], ["Done."])
    seen = await play(Tools(model, [slow]), [(0.0, "go")])
    assert sum(isinstance(part.body, Audio) for _, part in seen) == 2
    assert bodies(model.prompts[1])[:2] == ["go", "One moment."]


async def test_a_model_that_fails() -> None:
    """Its error comes after what it said; a call that runs is stopped."""
    model = Model(["Let me see.", call("slow", "a", seconds=9), ModelError("gone")])
    stream = Tools(model, [slow])("go")
    assert (await anext(stream)).text == "Let me see."
    assert (await anext(stream)).function_call
    with pytest.raises(ModelError, match="gone"):
        await anext(stream)
    assert now() == 0.0


async def test_leaving_early_stops_the_tools() -> None:
    """Nothing runs on behind a script that has gone."""
    stopped = []

    @tool
    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.append(now())

    async with aclosing(Tools(Model([call("endless", "a")]), [endless])("go")) as parts:
        async for part in parts:
            assert part.function_call
            await asyncio.sleep(1.0)
            break
    assert stopped == [1.0]


async def test_a_tool_that_will_not_stop_is_named() -> None:
    """It is left behind, and the model is told that there is no result."""

    @tool(timeout_s=1.0)
    async def stubborn() -> None:
        while now() < 9.0:
            try:
                await asyncio.sleep(9.0 - now())
            except asyncio.CancelledError:
                continue

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        if not [part async for part in stream if isinstance(part.body, Response)]:
            yield Part.call("stubborn", id="a")
            return
        await asyncio.sleep(9.0)
        yield Part("Sorry.", role="model")

    with pytest.warns(AbandonedTask, match="tool stubborn for _Rounds was cancelled"):
        seen = await play(Tools(model, [stubborn]), [(0.0, "go")])
    assert seen[-1] == (10.0, Part("Sorry.", role="model"))
