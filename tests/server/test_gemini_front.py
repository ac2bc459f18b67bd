"""Sessions of an agent behind Gemini Live's protocol: who is let in, how long, and how it ends."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.server.front_bench import Client, connected, fronting
from vivace.audio import AudioFormat
from vivace.errors import StageError
from vivace.flow.processor import processor
from vivace.part import Audio, Interrupted, Part, TurnComplete
from vivace.server.gemini_front import GeminiFront

pytestmark = pytest.mark.virtual

SOUND = Audio(bytes(960), AudioFormat(24_000))


@processor
async def echo(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Answers each text with itself."""
    turn = 0
    async for part in stream:
        if part.text:
            turn += 1
            yield Part(part.text, role="model", turn=turn)
            yield Part(TurnComplete(turn), role="model", turn=turn)


async def test_fifty_at_once_each_get_their_own_answers() -> None:
    """Sessions of one agent know nothing of each other."""
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(fronting(echo))
        clients = [await stack.enter_async_context(connected(front, Client())) for _ in range(50)]
        said = await asyncio.gather(*(it.ask(f"I am {n}") for n, it in enumerate(clients)))
        assert said == [f"I am {number}" for number in range(50)]


async def test_only_so_many_sessions() -> None:
    """One more is refused, as something that may go well later; who leaves makes room."""
    async with fronting(echo, max_sessions=2) as front, connected(front, Client()):
        async with connected(front, Client()), connected(front, Client()) as third:
            assert third.closed == (1013, "2 of 2 sessions are taken; try again later")
        async with connected(front, Client()) as fourth:
            assert await fourth.ask("hello") == "hello"


async def test_a_session_that_waits_for_its_client_gives_way() -> None:
    """Whoever is there is more than whoever may come back."""
    resumable: dict[str, Any] = {"sessionResumption": {}}
    async with fronting(echo, max_sessions=1) as front:
        async with connected(front, Client(), **resumable) as first:
            handle = first.handle
        async with connected(front, Client()) as second:
            assert await second.ask("hello") == "hello"
        async with connected(front, Client(), sessionResumption={"handle": handle}) as back:
            assert back.closed == (1008, "BidiGenerateContent session not found")


async def test_what_a_connection_did_not_take_any_more_comes_by_the_next() -> None:
    """A client that drops while a frame is on its way to it misses nothing."""
    async with fronting(echo) as front:
        async with connected(front, Client(), sessionResumption={}) as client:
            handle = client.handle
            client.reads.clear()
            await client.say(realtimeInput={"text": "hello"})
            await asyncio.sleep(1)
        again: dict[str, Any] = {"sessionResumption": {"handle": handle}}
        async with connected(front, Client(), **again) as client:
            assert client.texts() == "hello"
            assert sum(bool(it.get("turnComplete")) for it in client.contents()) == 1


async def test_only_the_clients_own_tools_are_called_there() -> None:
    """A call to a tool that the agent has itself is none of the client's business."""

    @processor
    async def calls(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text:
                yield Part.call("inner", id="c1")
                yield Part.response("inner", 1, id="c1")
                yield Part.call("lamp", id="c2")

    tools = [{"functionDeclarations": [{"name": "lamp"}]}]
    async with fronting(calls) as front, connected(front, Client(), tools=tools) as client:
        await client.say(realtimeInput={"text": "on"})
        await asyncio.sleep(1)
        assert client.called == [{"id": "c2", "name": "lamp", "args": {}}]


@pytest.mark.parametrize("sent", [True, False])
async def test_a_call_that_the_agent_answers_itself(sent: bool) -> None:
    """The client is told that it is not wanted; it is not even asked if there is time for that."""

    @processor
    async def impatient(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "on":
                yield Part("Wait.", role="model", turn=1)
                yield Part.call("lamp", id="c1", turn=1)
            elif part.text == "no":
                yield Part.response("lamp", id="c1", error="too late")
            elif part.function_response:
                yield Part("never")

    tools = [{"functionDeclarations": [{"name": "lamp"}]}]
    async with fronting(impatient) as front, connected(front, Client(), tools=tools) as client:
        await client.tell("on", "no", reads=bool(sent))
        assert [it["id"] for it in client.called] == ["c1"] * sent
        assert client.cancelled == ["c1"] * sent


async def test_a_call_that_json_cannot_hold() -> None:
    """The agent gets the error as the answer; no number is null, as everywhere."""

    @processor
    async def odd(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "on":
                yield Part.call("lamp", {"at": object()}, id="c1")
                yield Part.call("lamp", {"level": math.nan}, id="c2")
            elif part.function_response:
                yield Part(part.function_response.error, role="model")

    tools = [{"functionDeclarations": [{"name": "lamp"}]}]
    async with fronting(odd) as front, connected(front, Client(), tools=tools) as client:
        await client.say(realtimeInput={"text": "on"})
        await asyncio.sleep(1)
        assert client.called == [{"id": "c2", "name": "lamp", "args": {"level": None}}]
        assert "this dict cannot be written as JSON" in client.texts()
        assert client.closed is None


def test_nobody_can_be_served() -> None:
    """A server for no sessions is a mistake."""
    with pytest.raises(StageError, match="a server for 0 sessions serves nobody"):
        GeminiFront(echo, max_sessions=0)


async def test_a_session_is_kept_for_two_minutes_after_its_client_has_left_last() -> None:
    """Coming back begins the two minutes anew; after them there is nothing to come back to."""
    async with fronting(echo) as front:
        async with connected(front, Client(), sessionResumption={}) as client:
            handle = client.handle
        again: dict[str, Any] = {"sessionResumption": {"handle": handle}}
        await asyncio.sleep(100)
        async with connected(front, Client(), **again) as client:
            assert await client.ask("one") == "one"
        await asyncio.sleep(100)
        async with connected(front, Client(), **again) as client:
            assert await client.ask("two") == "two"
            await asyncio.sleep(200)
            assert await client.ask("three") == "three"
        await asyncio.sleep(121)
        async with connected(front, Client(), **again) as client:
            assert client.closed == (1008, "BidiGenerateContent session not found")


async def test_an_agent_that_fails() -> None:
    """The client is told that it did, whoever runs the server why, and the others talk on."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, it: told.append(it["exception"]))

    @processor
    async def touchy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in echo(stream):
            if part.text == "boo":
                raise LookupError("I am hurt")
            yield part

    async with fronting(touchy) as front, connected(front, Client()) as other:
        async with connected(front, Client()) as client:
            await client.say(realtimeInput={"text": "boo"})
            await asyncio.sleep(1)
            assert client.closed == (1011, "Internal error encountered.")
        assert [str(error) for error in told] == ["I am hurt"]
        assert await other.ask("hello") == "hello"


async def test_an_agent_that_has_finished() -> None:
    """The session ends in good order."""

    @processor
    async def short(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in echo(stream):
            yield part
            if isinstance(part.body, TurnComplete):
                return

    async with fronting(short) as front, connected(front, Client()) as client:
        assert await client.ask("bye") == "bye"
        await asyncio.sleep(1)
        assert client.closed == (1000, "the agent has finished")


async def test_a_client_that_says_nothing() -> None:
    """Who does not set up is not waited for."""
    async with fronting(echo) as front:
        client = Client()
        await front.handle(client)
        assert client.closed == (1008, "no setup came within 10 s")


@pytest.mark.parametrize("frame", ["rubbish", "[]", '{"clientContent": 3}', '{"setup": {}}'])
async def test_rubbish_ends_the_session_that_it_came_in(frame: str) -> None:
    """With 1007 and a reason, as the service does."""
    async with fronting(echo) as front, connected(front, Client()) as client:
        await client._sent.send(frame)
        await asyncio.sleep(1)
        assert client.closed is not None
        assert client.closed[0] == 1007
        assert client.closed[1]


async def test_what_waits_for_a_slow_client_is_not_sent_after_an_interruption() -> None:
    """It gets no more of the reply than what was on its way, and is told that it was cut."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "go on":
                for _ in range(50):
                    yield Part(SOUND, role="model", turn=1)
            elif part.text == "stop":
                yield Part(Interrupted(1), role="model")
                yield Part(TurnComplete(1, "interrupted"), role="model", turn=1)

    config: dict[str, Any] = {"generationConfig": {"responseModalities": ["AUDIO"]}}
    async with fronting(talks) as front, connected(front, Client(), **config) as client:
        await client.tell("go on", "stop")
        kinds = [next(iter(it)) for it in client.contents() if it]
        assert kinds == ["modelTurn", "interrupted", "turnComplete"]


async def test_what_was_on_its_way_is_not_sent_again_after_an_interruption() -> None:
    """The next connection begins with the news that the reply was cut."""

    @processor
    async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "go on":
                yield Part(SOUND, role="model", turn=1)
                await asyncio.sleep(5)
                yield Part(Interrupted(1), role="model")
                yield Part(TurnComplete(1, "interrupted"), role="model", turn=1)

    config: dict[str, Any] = {"generationConfig": {"responseModalities": ["AUDIO"]}}
    async with fronting(talks) as front:
        async with connected(front, Client(), **config, sessionResumption={}) as client:
            handle = client.handle
            client.reads.clear()
            await client.say(realtimeInput={"text": "go on"})
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        again: dict[str, Any] = {"sessionResumption": {"handle": handle}}
        async with connected(front, Client(), **config, **again) as client:
            kinds = [next(iter(it)) for it in client.contents() if it]
            assert kinds == ["interrupted", "turnComplete"]


async def test_a_client_that_drops_while_it_is_spoken_to() -> None:
    """The agent of a session that cannot be resumed is stopped."""
    seen: list[str] = []

    @processor
    async def endless(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            while True:
                await asyncio.sleep(0.02)
                yield Part(SOUND, role="model", turn=1)
        finally:
            seen.append("stopped")

    async with fronting(endless) as front:
        async with connected(front, Client()):
            await asyncio.sleep(1)
        await asyncio.sleep(1)
        assert seen == ["stopped"]
