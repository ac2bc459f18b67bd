"""Tools with the real SDKs against servers of our own; and threads that do not come back."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

from vivace.flow.processor import Processor
from vivace.flow.scope import AbandonedTask
from vivace.live.live_model import LiveModelProcessor
from vivace.models.gemini import Gemini
from vivace.models.openai import OpenAI
from vivace.part import Call, Part, Response, TurnComplete
from vivace.processors.tool import Toolbox, tool
from vivace.processors.tools import Tools

from .servers import Exchange, chat_chunk, gemini_chunk, serve
from .test_turn_models import speak, words

pytestmark = pytest.mark.real

T = TypeVar("T")


@tool
def weather(town: str, days: int = 1) -> dict[str, Any]:
    """How the weather will be.

    town: its name
    """
    if town == "Atlantis":
        raise LookupError("there is no such town")
    return {"town": town, "sunny": True, "days": days}


@tool
async def time_in(town: str) -> str:
    """What time it is there."""
    await asyncio.sleep(0)
    return "noon"


BOX = Toolbox([weather, time_in])
BUILT: dict[str, Callable[[str], OpenAI | Gemini]] = {
    "openai": lambda url: OpenAI(f"{url}/v1", "tiny", api_key="x", tools=BOX.declarations),
    "gemini": lambda url: Gemini(
        "tiny", api_key="x", tools=BOX.declarations, http_options={"base_url": url}
    ),
}
AGENTS: dict[str, Callable[[Processor], Processor]] = {
    "script": lambda model: Tools(model, BOX),
    "live": lambda model: LiveModelProcessor(model, tools=BOX),
}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("weather", {"town": "Ulm", "days": 2}),
    ("time_in", {"town": "Ulm"}),
]


def calling(kind: str, calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The chunks of a reply that calls tools."""
    if kind == "gemini":
        pieces = [{"functionCall": {"name": name, "args": args}} for name, args in calls]
        return [gemini_chunk({"text": "Let me see."}), gemini_chunk(*pieces, finish="STOP")]
    functions = [
        {
            "index": index,
            "id": f"call{index}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(args)},
        }
        for index, (name, args) in enumerate(calls)
    ]
    return [
        chat_chunk({"role": "assistant", "content": "Let me see."}),
        chat_chunk({"tool_calls": functions}),
        chat_chunk({}, finish="tool_calls"),
    ]


def real(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    return asyncio.run(main())


def talk(
    kind: str, agent: str, calls: list[tuple[str, dict[str, Any]]]
) -> tuple[list[Part], list[Any]]:
    """What comes of an agent whose model calls these tools and then answers; what it was sent."""

    async def answer(exchange: Exchange) -> None:
        first = len(sent) == 0
        sent.append(exchange.json)
        await speak(exchange, calling(kind, calls) if first else words(kind, "It is sunny."))

    sent: list[Any] = []

    async def main() -> list[Part]:
        async with serve(answer) as server:
            model = BUILT[kind](server.url)
            try:
                return [part async for part in AGENTS[agent](model)("Weather in Ulm?")]
            finally:
                await model.aclose()

    parts = real(main)
    return [part for part in parts if not part.substream], sent


both = pytest.mark.parametrize("kind", list(BUILT))


@both
@pytest.mark.parametrize("agent", list(AGENTS))
def test_two_tools_in_one_reply(kind: str, agent: str) -> None:
    """The model calls two, gets both results, and answers; the server takes what it is sent."""
    parts, sent = talk(kind, agent, CALLS)
    assert len(sent) == 2
    said = "".join(part.text for part in parts if part.role == "model")
    assert said == "Let me see. It is sunny."
    called = [part.body for part in parts if isinstance(part.body, Call)]
    assert [(call.name, call.args) for call in called] == CALLS
    answered = {part.body.id: part.body for part in parts if isinstance(part.body, Response)}
    assert answered.keys() == {call.id for call in called}
    results = [answered[call.id].result for call in called]
    assert results == [{"town": "Ulm", "sunny": True, "days": 2}, "noon"]
    if agent == "live":
        ends = [part.body for part in parts if isinstance(part.body, TurnComplete)]
        assert ends == [TurnComplete(1)]
    check(kind, sent, [call.id for call in called], results)


def check(kind: str, sent: list[Any], ids: list[str], results: list[Any]) -> None:
    """What the server got: the tools as they are declared, then the calls with their results."""
    if kind == "openai":
        functions = [each["function"] for each in sent[0]["tools"]]
        assert functions == BOX.declarations
        messages = sent[1]["messages"]
        assert [each["role"] for each in messages] == ["user", "assistant", "tool", "tool"]
        assert messages[1]["content"] == "Let me see."
        assert [each["id"] for each in messages[1]["tool_calls"]] == ids
        assert [each["tool_call_id"] for each in messages[2:]] == ids
        contents = [each["content"] for each in messages[2:]]
        assert [json.loads(contents[0]), contents[1]] == results
        return
    declared = sent[0]["tools"][0]["functionDeclarations"]
    assert [each["name"] for each in declared] == ["weather", "time_in"]
    # The SDK writes some names its own way; the service takes both.
    assert declared[0]["parameters_json_schema"] == BOX.declarations[0]["parameters"]
    _, model, answer = sent[1]["contents"]
    assert model["parts"][0]["text"] == "Let me see."
    assert [part["functionCall"]["id"] for part in model["parts"][1:]] == ids
    responses = [part["functionResponse"] for part in answer["parts"]]
    assert [each["id"] for each in responses] == ids
    assert [each["response"] for each in responses] == [results[0], {"output": results[1]}]


@both
def test_a_failed_tool_is_told_to_the_model(kind: str) -> None:
    """Errors of the function, and arguments that do not fit, go back as errors."""
    parts, sent = talk(kind, "live", [("weather", {"town": "Atlantis"}), ("time_in", {})])
    errors = [part.body.error for part in parts if isinstance(part.body, Response)]
    assert sorted(errors) == [
        "LookupError: there is no such town",
        "the arguments of time_in do not fit: Object missing required field `town`",
    ]
    told = json.dumps(sent[1])
    assert all(error in told for error in errors)


@both
def test_a_late_result_stands_where_it_came(kind: str) -> None:
    """The model answered something else meanwhile; what it is asked about now comes last."""
    sent: list[Any] = []

    async def answer(exchange: Exchange) -> None:
        sent.append(exchange.json)
        await speak(exchange, words(kind, "It has come."))

    prompt = [
        Part("Pizza!"),
        Part.call("order", id="a"),
        Part("One moment.", role="model"),
        Part("A joke?"),
        Part("Knock knock.", role="model"),
        Part.response("order", "delivered", id="a"),
    ]

    async def main() -> None:
        async with serve(answer) as server:
            model = BUILT[kind](server.url)
            assert [part.text async for part in model(prompt)] == ["It has come."]
            await model.aclose()

    real(main)
    if kind == "openai":
        messages = sent[0]["messages"]
        assert [(each["role"], each["content"]) for each in messages] == [
            ("user", "Pizza!"),
            ("assistant", "One moment."),
            ("tool", "(no result yet)"),
            ("user", "A joke?"),
            ("assistant", "Knock knock."),
            ("user", "(order answered: delivered)"),
        ]
        return
    contents = sent[0]["contents"]
    assert [each["role"] for each in contents] == ["user", "model", "user", "user", "model", "user"]
    assert contents[-1]["parts"] == [{"text": "(order answered: delivered)"}]


# -- threads -------------------------------------------------------------------------------------


class Once(Processor):
    """Calls a tool, and then says what it answered."""

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        answers = [part.body async for part in stream if isinstance(part.body, Response)]
        if answers:
            yield Part(answers[0].error or answers[0].result, role="model")
        else:
            yield Part.call("stuck", id="1")


@pytest.mark.parametrize("agent", list(AGENTS))
def test_a_thread_that_does_not_come_back(agent: str) -> None:
    """After its limit it is named and left behind; the conversation goes on without it."""
    go = threading.Event()

    @tool(timeout_s=0.2)
    def stuck() -> str:
        go.wait(60)
        return "late"

    async def main() -> list[str]:
        built = {
            "script": Tools(Once(), [stuck]),
            "live": LiveModelProcessor(Once(), tools=[stuck]),
        }[agent]
        return [part.text async for part in built("go") if part.role == "model" and part.text]

    with pytest.warns(AbandonedTask, match=r"tool stuck was cancelled.*left behind at .*stuck"):
        said = real(main)
    assert said == ["no result within 0.2 s"]
    go.set()
