"""Tools of a Gemini Live client, for an agent that is made for each session."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.server.front_bench import Client, connected, fronting
from vivace.errors import ModelSpec
from vivace.flow.processor import Processor, processor
from vivace.live.live_model import LiveModelProcessor
from vivace.part import Part, Response
from vivace.processors.tool import Toolbox
from vivace.server.gemini_tools import ClientTools, result_of
from vivace.server.gemini_wire import Refused, ToolAnswer

pytestmark = pytest.mark.virtual

WEATHER = {
    "name": "weather",
    "description": "How it is.",
    "parameters": {"type": "OBJECT", "properties": {"town": {"type": "STRING"}}},
}


def declaring(*tools: dict[str, Any]) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": list(tools)}]}


@processor
async def model(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Calls the weather once, and says what it answers; else it says what it was told."""
    parts = [part async for part in prompt]
    answers = [it.body for it in parts if isinstance(it.body, Response)]
    if answers:
        yield Part(f"It is {answers[-1].result or answers[-1].error}.", role="model")
    elif parts[-1].text == "weather?":
        yield Part.call("weather", {"town": "Ulm"}, id="c1")
    else:
        yield Part(parts[-1].text, role="model")


def agent(tools: Toolbox) -> Processor:
    return LiveModelProcessor(model, tools=tools)


async def test_the_agent_waits_for_the_client_and_goes_on() -> None:
    """One turn: it is called, answers, and hears what came of it."""
    async with fronting(agent) as front, connected(front, Client(), **declaring(WEATHER)) as client:
        await client.say(realtimeInput={"text": "weather?"})
        await asyncio.sleep(5)
        assert client.called == [
            {"id": "function-call-1", "name": "weather", "args": {"town": "Ulm"}}
        ]
        assert client.ends() == 0
        await client.answer("function-call-1", "weather", {"output": "sunny"})
        await asyncio.sleep(1)
        assert client.texts().strip() == "It is sunny."
        assert (client.ends(), client.cancelled) == (1, [])


@pytest.mark.parametrize(
    ("response", "said"),
    [({"error": "no such town"}, "no such town"), ({"sky": "grey"}, "{'sky': 'grey'}")],
)
async def test_what_a_client_answers(response: dict[str, object], said: str) -> None:
    """An error is the call's; whatever else is its result."""
    async with fronting(agent) as front, connected(front, Client(), **declaring(WEATHER)) as client:
        await client.say(realtimeInput={"text": "weather?"})
        await asyncio.sleep(1)
        await client.answer("function-call-1", "weather", response)
        await asyncio.sleep(1)
        assert client.texts().strip() == f"It is {said}."


async def test_a_call_is_cancelled_with_its_reply() -> None:
    """The user says something else: the client need not answer, and if it does, it is too late."""
    async with fronting(agent) as front, connected(front, Client(), **declaring(WEATHER)) as client:
        await client.say(realtimeInput={"text": "weather?"})
        await asyncio.sleep(1)
        await client.say(realtimeInput={"text": "never mind"})
        await asyncio.sleep(1)
        assert client.cancelled == ["function-call-1"]
        said = client.texts()
        await client.answer("function-call-1", "weather", {"output": "sunny"})
        await asyncio.sleep(1)
        assert client.closed is None
        assert client.texts() == said
        assert "sunny" not in said


async def test_a_call_that_is_cancelled_before_the_client_has_it() -> None:
    """It never has: there is nothing to take back."""
    async with fronting(agent) as front, connected(front, Client(), **declaring(WEATHER)) as client:
        await client.tell("first", "weather?", "never mind")
        assert (client.called, client.cancelled) == ([], [])


async def test_a_client_that_does_not_answer() -> None:
    """After two minutes the call has failed, and the conversation goes on."""
    async with fronting(agent) as front, connected(front, Client(), **declaring(WEATHER)) as client:
        await client.say(realtimeInput={"text": "weather?"})
        await asyncio.sleep(119)
        assert client.cancelled == []
        await asyncio.sleep(2)
        assert client.cancelled == ["function-call-1"]
        assert client.texts().strip() == "It is no result within 120 s."
        assert client.ends() == 1


async def test_a_tool_that_is_not_waited_for() -> None:
    """The turn ends, the talk goes on, and the answer is told of once nobody speaks."""
    tools = declaring({**WEATHER, "behavior": "NON_BLOCKING"})
    async with fronting(agent) as front, connected(front, Client(), **tools) as client:
        await client.say(realtimeInput={"text": "weather?"})
        await asyncio.sleep(1)
        assert client.ends() == 1
        assert (await client.ask("hello")).strip() == "hello"
        assert client.cancelled == []
        await client.answer("function-call-1", "weather", {"output": "sunny"})
        await asyncio.sleep(1)
        assert client.texts().endswith("It is sunny.")
        assert client.ends() == 3


async def test_an_answer_that_says_when_it_is_told() -> None:
    """Silently: the model says nothing of it, and knows it when it is asked next."""
    tools = declaring({**WEATHER, "behavior": "NON_BLOCKING"})
    async with fronting(agent) as front, connected(front, Client(), **tools) as client:
        await client.say(realtimeInput={"text": "weather?"})
        await asyncio.sleep(1)
        await client.answer("function-call-1", "weather", {"output": "wet"}, scheduling="SILENT")
        await asyncio.sleep(60)
        assert (client.texts(), client.ends()) == ("", 1)
        assert (await client.ask("well?")).strip() == "It is wet."


async def test_an_answer_by_another_connection() -> None:
    """The call is the session's: a client that was dropped meanwhile answers it when it is back."""
    config = declaring(WEATHER)
    async with fronting(agent) as front:
        async with connected(front, Client(), **config, sessionResumption={}) as client:
            handle = client.handle
            await client.say(realtimeInput={"text": "weather?"})
            await asyncio.sleep(1)
        again = Client()
        async with connected(front, again, **config, sessionResumption={"handle": handle}):
            await again.answer("function-call-1", "weather", {"output": "sunny"})
            await asyncio.sleep(1)
            assert again.texts().strip() == "It is sunny."
            await again.answer("function-call-1", "weather", {"output": "sunny"})
            await asyncio.sleep(1)
            assert again.closed == (
                1007, "no function call with the id 'function-call-1' waits for a response",
            )  # fmt: skip


async def test_an_agent_that_cannot_be_made() -> None:
    """The client is told why, and nobody has lost a place for it."""

    def refuses(tools: Toolbox) -> Processor:
        if len(tools):
            raise ModelSpec("the model cannot call functions")
        return agent(tools)

    async with fronting(refuses, max_sessions=1) as front:
        async with connected(front, Client(), sessionResumption={}) as first:
            handle = first.handle
        async with connected(front, Client(), **declaring(WEATHER)) as second:
            assert second.closed == (1007, "the model cannot call functions")
        async with connected(front, Client(), sessionResumption={"handle": handle}) as first:
            assert (await first.ask("hello")).strip() == "hello"


async def test_arguments_that_json_cannot_hold() -> None:
    """They are an error of the call; the client, who could not read them, is not asked."""

    @processor
    async def odd(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
        parts = [part async for part in prompt]
        if isinstance(parts[-1].body, Response):
            yield Part(parts[-1].body.error, role="model")
        else:
            yield Part.call("weather", {"town": object()}, id="c1")

    made = lambda tools: LiveModelProcessor(odd, tools=tools)  # noqa: E731
    async with fronting(made) as front, connected(front, Client(), **declaring(WEATHER)) as client:
        assert "it holds an object of the type object" in await client.ask("weather?")
        assert client.called == []


# -- what is declared ------------------------------------------------------------------------------


def made_of(**declaration: Any) -> dict[str, Any]:
    tools = ClientTools({"f": {"name": "f", **declaration}}, print, lambda _: 0)
    return tools.toolbox.declarations[0]


def test_the_dialect_of_the_service_becomes_json_schema() -> None:
    """Types in capitals, numbers as texts, null by a flag; in either spelling, at any depth."""
    given = {
        "type": "OBJECT",
        "property_ordering": ["any_of"],
        "properties": {
            "any_of": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER", "nullable": True}]},
            "list": {"type": "ARRAY", "items": {"type": "INTEGER"}, "min_items": "1"},
            "any": {"type": "TYPE_UNSPECIFIED", "description": "Whatever."},
        },
        "required": ["list"],
    }
    assert made_of(description="Does.", parameters=given) == {
        "name": "f",
        "description": "Does.",
        "parameters": {
            "type": "object",
            "properties": {
                "any_of": {"anyOf": [{"type": "string"}, {"type": ["number", "null"]}]},
                "list": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
                "any": {"description": "Whatever."},
            },
            "required": ["list"],
        },
    }


@pytest.mark.parametrize("key", ["parametersJsonSchema", "parameters_json_schema"])
def test_json_schema_is_taken_as_it_is(key: str) -> None:
    """The service takes it as well, under a name of its own."""
    schema = {"type": "object", "properties": {"at": {"type": ["string", "null"]}}}
    assert made_of(**{key: schema})["parameters"] == schema
    assert made_of()["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    "declaration",
    [
        {"name": "two words"},
        {"name": "f", "parameters": 3},
        {"name": "f", "parameters": {"properties": ["a"]}},
        {"name": "f", "parameters": {"type": "ARRAY", "minItems": "many"}},
        {"name": "f", "parametersJsonSchema": "x"},
    ],
)
def test_declarations_that_make_no_sense(declaration: dict[str, Any]) -> None:
    """They are refused, as the service would."""
    with pytest.raises(Refused, match=r"1007 setup\.tools"):
        ClientTools({"f": declaration}, print, lambda _: 0)


def test_what_an_answer_says() -> None:
    """`output` alone is the result, `error` is one; else all of it is the result."""
    answers: list[dict[str, Any]] = [{"output": 1}, {"output": 1, "unit": "m"}, {"error": "x"}, {}]
    assert [result_of(ToolAnswer("1", "f", it)) for it in answers] == [
        (1, ""), ({"output": 1, "unit": "m"}, ""), (None, "x"), ({}, ""),
    ]  # fmt: skip
