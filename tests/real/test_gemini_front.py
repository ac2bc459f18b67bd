"""A local agent behind Gemini Live's protocol, before the SDK's own client."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.real import servers
from vivace import (
    LiveModelProcessor,
    LiveProcessor,
    Part,
    Response,
    Speak,
    Toolbox,
    TurnComplete,
    processor,
    tool,
)
from vivace.cli.serve import serve
from vivace.errors import StageError
from vivace.flow.processor import Processor
from vivace.models import Scripted
from vivace.server.certificate import throw_away_tls, trusting_tls
from vivace.server.gemini_front import GeminiFront
from vivace.server.gemini_socket import listen
from vivace.testing.fakes import FakeVoice

pytestmark = pytest.mark.real

TEXT: dict[str, Any] = {"response_modalities": ["TEXT"], "session_resumption": {}}
WEATHER: dict[str, Any] = {"function_declarations": [{"name": "weather"}]}
SOUND: dict[str, Any] = {"response_modalities": ["AUDIO"], "output_audio_transcription": {}}


Agent = Processor | Callable[[Toolbox], Processor]


@asynccontextmanager
async def served(agent: Agent, *keys: str) -> AsyncIterator[dict[str, Any]]:
    """The HTTP options that lead to it."""
    tls, certificate = throw_away_tls()
    front = GeminiFront(agent, keys)
    async with listen(front.handle, tls) as listening:
        client = {"ssl": trusting_tls(certificate)}
        try:
            yield {"base_url": listening.url, "async_client_args": client}
        finally:
            await front.aclose()


def live(options: dict[str, Any], key: str = "key") -> Any:
    made: Any = options
    return genai.Client(api_key=key, http_options=made).aio.live


async def turn(session: Any, said_at_a_call: str = "") -> list[Any]:
    """All messages up to the end of the turn."""
    seen = []
    async with aclosing(session.receive()) as messages:
        async for message in messages:
            seen.append(message)
            if message.tool_call and said_at_a_call:
                await session.send_realtime_input(text=said_at_a_call)
    return seen


def texts(messages: list[Any]) -> str:
    return "".join(it.text or "" for it in messages if it.server_content)


def talk(
    agent: Agent, work: Callable[[dict[str, Any]], Coroutine[Any, Any, None]], *keys: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), served(agent, *keys) as options:
            await work(options)

    asyncio.run(main())


def test_text_and_sound() -> None:
    """What is typed is answered: in text, or in 24 kHz sound with its transcript."""

    async def work(options: dict[str, Any]) -> None:
        async with live(options).connect(model="local", config=TEXT) as session:
            await session.send_realtime_input(text="hello")
            assert texts(await turn(session)).strip() == "Hello there."
        async with live(options).connect(model="local", config=SOUND) as session:
            await session.send_realtime_input(text="hello")
            seen = await turn(session)
        contents = [it.server_content for it in seen if it.server_content]
        pcm = b"".join(it.data for it in seen if it.data)
        assert len(pcm) == 2 * 0.3 * 24_000 * 2
        said = "".join(it.output_transcription.text for it in contents if it.output_transcription)
        assert said.strip() == "Hello there."

    talk(LiveModelProcessor(Scripted(["Hello there."] * 2) + Speak(FakeVoice())), work)


def test_a_dropped_connection_is_resumed() -> None:
    """The agent goes on; a handle that is in use, or unknown, is refused, and so is a wrong key."""

    async def work(options: dict[str, Any]) -> None:
        async with live(options).connect(model="local", config=TEXT) as session:
            async with aclosing(session.receive()) as messages:
                handle = (await anext(messages)).session_resumption_update.new_handle
            await session.send_realtime_input(text="hello")
            assert texts(await turn(session)).strip() == "one"
            again = {**TEXT, "session_resumption": {"handle": handle}}
            with pytest.raises(errors.APIError, match="in use"):
                await _refused(options, again)
        async with live(options).connect(model="local", config=again) as session:
            await session.send_realtime_input(text="and")
            assert texts(await turn(session)).strip() == "two"
        with pytest.raises(errors.APIError, match="not found"):
            await _refused(options, {**TEXT, "session_resumption": {"handle": "x"}})
        with pytest.raises(errors.APIError, match="API key not valid"):
            await _refused(options, TEXT, "wrong")

    talk(LiveModelProcessor(Scripted(["one", "two"])), work, "key")


async def _refused(options: dict[str, Any], config: dict[str, Any], key: str = "key") -> None:
    async with live(options, key).connect(model="local", config=config):
        pass


def test_tools_of_the_client() -> None:
    """A call goes out with its id, and the client's answer reaches the agent."""

    @processor
    async def model(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
        parts = [part async for part in prompt]
        answers = [it.body for it in parts if isinstance(it.body, Response)]
        if answers:
            yield Part(f"It is {answers[-1].result}.", role="model")
        else:
            yield Part.call("weather", {"town": "Ulm"}, id="c1")

    async def work(options: dict[str, Any]) -> None:
        config = {**TEXT, "tools": [WEATHER]}
        async with live(options).connect(model="local", config=config) as session:
            await session.send_client_content(
                turns=[types.Content(role="user", parts=[types.Part(text="Weather?")])]
            )
            async with aclosing(session.receive()) as messages:
                async for message in messages:
                    if message.tool_call:
                        break
            (call,) = message.tool_call.function_calls
            assert (call.id, call.name, call.args) == ("c1", "weather", {"town": "Ulm"})
            answer = types.FunctionResponse(id="c1", name="weather", response={"output": "sunny"})
            await session.send_tool_response(function_responses=answer)
            said = ""
            while "sunny" not in said:
                said += texts(await turn(session))

    talk(LiveModelProcessor(model), work)


@processor
async def forecaster(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Asks for the weather when it is asked for it, and says what it was told."""
    parts = [part async for part in prompt]
    answers = [it.body for it in parts if isinstance(it.body, Response)]
    if any(it.text == "no, thanks" for it in parts):
        yield Part("Then not.", role="model")
    elif answers:
        yield Part(f"It is {answers[-1].result}.", role="model")
    else:
        yield Part.call("weather", {"town": "Ulm"}, id="c1")


def test_an_agent_made_for_the_tools_of_its_client() -> None:
    """Within one turn: called, answered, and told. What is said meanwhile takes the call back."""
    seen: list[Any] = []

    def agent(tools: Toolbox) -> Processor:
        seen.extend(tools.declarations)
        return LiveModelProcessor(forecaster, tools=tools)

    def weather(town: str) -> str:
        """How it is."""
        return town

    async def work(options: dict[str, Any]) -> None:
        config = {**TEXT, "tools": [weather]}
        async with live(options).connect(model="local", config=config) as session:
            await session.send_realtime_input(text="weather?")
            said, calls = "", []
            async with aclosing(session.receive()) as messages:
                async for message in messages:
                    said += message.text or "" if message.server_content else ""
                    for call in message.tool_call.function_calls if message.tool_call else ():
                        calls.append((call.name, call.args))
                        answer = types.FunctionResponse(
                            id=call.id, name=call.name, response={"output": "sunny"}
                        )
                        await session.send_tool_response(function_responses=answer)
            assert calls == [("weather", {"town": "Ulm"})]
            assert said.strip() == "It is sunny."
        async with live(options).connect(model="local", config=config) as session:
            await session.send_realtime_input(text="weather?")
            said, called, cancelled = "", list[str](), list[str]()
            while "Then not." not in said or not cancelled:
                for message in await turn(session, said_at_a_call="no, thanks"):
                    said += message.text or "" if message.server_content else ""
                    if message.tool_call:
                        called += [call.id for call in message.tool_call.function_calls]
                    if message.tool_call_cancellation:
                        cancelled += message.tool_call_cancellation.ids
            assert cancelled == called

    talk(agent, work)
    assert seen[0] == {
        "name": "weather",
        "description": "How it is.",
        "parameters": {
            "type": "object",
            "properties": {"town": {"type": "string"}},
            "required": ["town"],
        },
    }


def test_our_own_client_with_tools_before_our_own_server() -> None:
    """`LiveProcessor` runs its tools for an agent behind the protocol as for the service."""
    asked: list[str] = []

    @tool
    async def weather(town: str) -> str:
        asked.append(town)
        return "grey"

    async def work(options: dict[str, Any]) -> None:
        client = LiveProcessor("key", http_options=options, tools=[weather])
        parts = [part async for part in client(Part("weather?"))]
        assert "".join(it.text for it in parts if it.role == "model").strip() == "It is grey."
        ends = [it.body for it in parts if isinstance(it.body, TurnComplete)]
        assert ends == [TurnComplete(1)]

    talk(lambda tools: LiveModelProcessor(forecaster + Speak(FakeVoice()), tools=tools), work)
    assert asked == ["Ulm"]


def test_a_client_that_is_gone_without_a_word() -> None:
    """Whose machine or network has failed holds no session for ever."""
    gone = asyncio.Event()

    @processor
    async def listens(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            gone.set()

    async def main() -> None:
        tls, certificate = throw_away_tls()
        front = GeminiFront(listens)
        async with asyncio.timeout(20), listen(front.handle, tls, ping_s=0.2) as listening:
            client = {"ssl": trusting_tls(certificate)}
            options = {"base_url": listening.url, "async_client_args": client}
            async with live(options).connect(model="local", config=SOUND) as session:
                session._ws.transport.pause_reading()  # it answers no ping, and reads no close
                await gone.wait()
                session._ws.transport.abort()
            await front.aclose()

    asyncio.run(main())


def test_our_own_client_before_our_own_server() -> None:
    """`LiveProcessor` talks to a local agent as to the service."""

    async def work(options: dict[str, Any]) -> None:
        client = LiveProcessor("key", http_options=options)
        parts = [part async for part in client(Part("hello"))]
        assert "".join(it.text for it in parts if it.role == "model").strip() == "Hello there."
        assert sum(it.seconds for it in parts if it.role == "model") == 0.6
        ends = [it.body for it in parts if isinstance(it.body, TurnComplete)]
        assert ends == [TurnComplete(1)]

    talk(LiveModelProcessor(Scripted(["Hello there."]) + Speak(FakeVoice())), work)


@asynccontextmanager
async def cli(folder: Path, model: str, *options: str) -> AsyncIterator[dict[str, Any]]:
    """`vivace serve` in this folder: the HTTP options that lead to it."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vivace.cli", "serve", "--protocol", "gemini-live",
        "--model", model, "--port", "0", *options, cwd=folder, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert program.stdout is not None
        lines = [(await program.stdout.readline()).decode() for _ in range(2)]
        assert lines[0] == "clients trust it by vivace-certificate.pem\n"
        tls = trusting_tls((folder / "vivace-certificate.pem").read_text())
        url = lines[1].removeprefix("serving at ").partition(";")[0]
        yield {"base_url": url, "async_client_args": {"ssl": tls}}
    finally:
        program.terminate()
        await program.wait()


def test_the_command_line_serves_the_local_agent(tmp_path: Path) -> None:
    """`vivace serve` tells where it listens and whom to trust, and answers a client of the SDK."""
    (tmp_path / "answers.txt").write_text("Good morning.\n")

    async def main() -> None:
        async with cli(tmp_path, "script:answers.txt", "--api-key", "mine") as options:
            with pytest.raises(errors.APIError, match="API key not valid"):
                await _refused(options, SOUND, "wrong")
            async with live(options, "mine").connect(model="local", config=SOUND) as session:
                await session.send_realtime_input(text="hello")
                seen = await turn(session)
            assert sum(len(it.data or b"") for it in seen) > 24_000

    asyncio.run(asyncio.wait_for(main(), 90))


def test_the_command_line_serves_a_model_that_calls_the_clients_tools(tmp_path: Path) -> None:
    """It is told of them, and gets what the client answers; one that calls none is not served."""

    async def answer(exchange: servers.Exchange) -> None:
        await exchange.begin()
        *_, last = exchange.json["messages"]
        if last["role"] == "tool":
            chunks = list(servers.deltas(f"It is {last['content']}."))
        else:
            function = {"name": "weather", "arguments": '{"town": "Ulm"}'}
            calls = [{"index": 0, "id": "c1", "type": "function", "function": function}]
            chunks = [
                servers.chat_chunk({"role": "assistant", "tool_calls": calls}),
                servers.chat_chunk({}, finish="tool_calls"),
            ]
        for chunk in chunks:
            await exchange.event(chunk)
        await exchange.event("[DONE]")
        await exchange.end()

    async def main() -> None:
        (tmp_path / "answers.txt").write_text("Good morning.\n")
        config = {**SOUND, "tools": [WEATHER]}
        async with servers.serve(answer) as openai:
            async with (
                cli(tmp_path, f"openai:{openai.url}/v1#fake") as options,
                live(options).connect(model="local", config=config) as session,
            ):
                await session.send_realtime_input(text="weather?")
                said = ""
                async with aclosing(session.receive()) as messages:
                    async for message in messages:
                        if message.tool_call:
                            (call,) = message.tool_call.function_calls
                            assert call.args == {"town": "Ulm"}
                            done = types.FunctionResponse(
                                id=call.id, name=call.name, response={"output": "sunny"}
                            )
                            await session.send_tool_response(function_responses=done)
                        elif message.server_content.output_transcription:
                            said += message.server_content.output_transcription.text
                assert said.strip() == "It is sunny."
            (tool,) = openai.exchanges[0].json["tools"]
            assert tool["function"]["name"] == "weather"
        async with cli(tmp_path, "script:answers.txt") as options:
            with pytest.raises(errors.APIError, match=r"'script:answers\.txt' cannot call"):
                await _refused(options, config)
            await _refused(options, SOUND)  # and is not, without them

    asyncio.run(asyncio.wait_for(main(), 90))


def test_a_protocol_that_is_not_known() -> None:
    """It is told, with those that are."""
    with pytest.raises(StageError, match="'smtp' is not known; use gemini-live"):
        serve("smtp", "smollm2", "127.0.0.1", 0, None, [], 1)
