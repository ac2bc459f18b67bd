"""Turn models on servers: the real SDKs, over real sockets, against servers of our own."""

import asyncio
import base64
import io
import socket
import wave
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from vivace.errors import ModelError, ModelUnreachable
from vivace.flow.processor import Processor
from vivace.models.gemini import Gemini
from vivace.models.openai import OpenAI
from vivace.part import Call, Part

from .servers import Exchange, Server, chat_chunk, deltas, gemini_chunk, serve

pytestmark = pytest.mark.real

BUILT: dict[str, Callable[[str], OpenAI | Gemini]] = {
    "openai": lambda url: OpenAI(f"{url}/v1", "tiny", api_key="secret"),
    "gemini": lambda url: Gemini("tiny", api_key="secret", http_options={"base_url": url}),
}
both = pytest.mark.parametrize("kind", list(BUILT))


def words(kind: str, *texts: str) -> list[dict[str, Any]]:
    """The chunks of a whole reply."""
    if kind == "openai":
        return list(deltas(*texts))
    return [gemini_chunk({"text": text}) for text in texts] + [gemini_chunk(finish="STOP")]


async def speak(exchange: Exchange, chunks: Sequence[Any]) -> None:
    await exchange.begin()
    for chunk in chunks:
        await exchange.event(chunk)
    if "/chat/completions" in exchange.path:
        await exchange.event("[DONE]")
    await exchange.end()


async def said(model: Processor, *prompt: Part) -> list[Part]:
    return [part async for part in model(list(prompt or [Part("Hi.")]))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def real(work: Callable[[], Any]) -> Any:
    """On a real loop, which closes the clients at its end."""
    return asyncio.run(work())


def against(
    kind: str, answer: Callable[[Exchange], Any], *prompt: Part
) -> tuple[list[Part], Server]:
    """What the model says when the server answers so; and the server."""

    async def main() -> tuple[list[Part], Server]:
        async with serve(answer) as server:
            return await said(BUILT[kind](server.url), *prompt), server

    return cast("tuple[list[Part], Server]", real(main))


# -- both SDKs -----------------------------------------------------------------------------------


@both
def test_a_reply_streams(kind: str) -> None:
    """Each piece is a part of the model's, as it comes."""
    parts, server = against(kind, lambda each: speak(each, words(kind, "Hel", "lo", ".")))
    assert [(part.text, part.role) for part in parts] == [
        ("Hel", "model"),
        ("lo", "model"),
        (".", "model"),
    ]
    ending = {
        "openai": "/chat/completions",
        "gemini": "/models/tiny:streamGenerateContent?alt=sse",
    }
    assert server.exchanges[0].method == "POST"
    assert server.exchanges[0].path.endswith(ending[kind])


@both
def test_the_first_piece_does_not_wait_for_the_second(kind: str) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def answer(exchange: Exchange) -> None:
            first, *rest = words(kind, "One", " two")
            await exchange.begin()
            await exchange.event(first)
            await go_on.wait()
            for chunk in rest:
                await exchange.event(chunk)
            await exchange.end()

        async with serve(answer) as server:
            seen = []
            async for part in BUILT[kind](server.url)([Part("Count.")]):
                seen.append(part.text)
                go_on.set()
            assert seen == ["One", " two"]

    real(main)


@both
def test_nobody_there(kind: str) -> None:
    async def main() -> None:
        await said(BUILT[kind](f"http://127.0.0.1:{free_port()}"))

    with pytest.raises(ModelUnreachable, match=r"cannot be reached .*check the address"):
        real(main)


@both
@pytest.mark.parametrize(
    ("status", "error", "advice"),
    [
        (401, ModelUnreachable, "the key was refused; set (OPENAI|GEMINI)_API_KEY"),
        (404, ModelUnreachable, "there is no such model or address"),
        (429, ModelUnreachable, "too many requests"),
        (503, ModelUnreachable, "the server failed"),
        (400, ModelError, "does not accept this request"),
    ],
)
def test_refusals(kind: str, status: int, error: type[Exception], advice: str) -> None:
    """One sentence: what came, what it means, what the server said. Nothing is tried again."""
    seen = []

    async def answer(exchange: Exchange) -> None:
        seen.append(exchange)
        await exchange.refuse(status, {"message": "because I say so", "code": status})

    with pytest.raises(error, match=f"answered {status}: .*{advice}.*because I say so"):
        against(kind, answer)
    assert len(seen) == 1


@both
@pytest.mark.parametrize("politely", [True, False])
def test_a_reply_that_breaks_off(kind: str, politely: bool) -> None:
    """Also a stream that ends in good order, but without saying that it is done."""

    async def answer(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.event(words(kind, "Hel")[0])
        await asyncio.sleep(0.05)
        await exchange.end() if politely else exchange.drop()

    async def main() -> None:
        async with serve(answer) as server, BUILT[kind](server.url).run([Part("Hi.")]) as parts:
            assert (await anext(parts)).text == "Hel"
            with pytest.raises(ModelError, match="broke off in the middle of a reply") as caught:
                await anext(parts)
            assert not isinstance(caught.value, ModelUnreachable)

    real(main)


async def endless(exchange: Exchange, kind: str) -> None:
    await exchange.begin()
    while True:
        await exchange.event(words(kind, "la ")[0])
        await asyncio.sleep(0.01)


@both
def test_leaving_early_hangs_up(kind: str) -> None:
    """The server notices at once: a reply that nobody hears is not paid for."""

    async def main() -> None:
        async with serve(lambda each: endless(each, kind)) as server:
            async with BUILT[kind](server.url).run([Part("Sing.")]) as parts:
                assert [(await anext(parts)).text for _ in range(3)] == ["la "] * 3
            await asyncio.wait_for(server.hung_up.wait(), 1)

    real(main)


@both
def test_cancelling_hangs_up(kind: str) -> None:
    """Also while the first token is still awaited."""

    async def silent(exchange: Exchange) -> None:
        await exchange.begin()
        await asyncio.sleep(60)

    async def main() -> None:
        async with serve(silent) as server:
            task = asyncio.ensure_future(said(BUILT[kind](server.url)))
            await server.asked.wait()
            task.cancel()
            await asyncio.wait([task])
            await asyncio.wait_for(server.hung_up.wait(), 1)

    real(main)


@both
def test_connections_are_kept_then_closed(kind: str) -> None:
    """Turns share a connection; none is left when the loop has ended, or after `aclose`."""

    async def main() -> None:
        async with serve(lambda each: speak(each, words(kind, "Yes."))) as server:
            model = BUILT[kind](server.url)
            for _ in range(3):
                await said(model)
            assert server.connections == 1
            await model.aclose()
            await asyncio.sleep(0.05)
            assert server.open_connections == 0
            await said(model)
            assert server.connections == 2

    real(main)


@both
def test_one_model_in_two_loops(kind: str) -> None:
    """Connections belong to a loop; the model does not."""
    port = free_port()
    model = BUILT[kind](f"http://127.0.0.1:{port}")

    async def main() -> None:
        async with serve(lambda each: speak(each, words(kind, "Yes.")), port) as server:
            assert [part.text for part in await said(model)] == ["Yes."]
            assert server.connections == 1

    real(main)
    real(main)


@both
def test_what_is_heard_and_done_goes_over(kind: str) -> None:
    """System text, both sides, the cut of an interrupted reply, a tool call and its result."""
    prompt = [
        Part("Be brief.", role="system"),
        Part("Weather?"),
        Part.call("weather", {"city": "Rome"}, id="c1"),
        Part.response("weather", {"sky": "blue"}, id="c1"),
        Part("It is", role="model", turn=1, metadata={"interrupted": True}),
        Part("And in Paris?"),
    ]
    _, server = against(kind, lambda each: speak(each, words(kind, "No.")), *prompt)
    sent = server.exchanges[0].json
    if kind == "openai":
        assert server.exchanges[0].headers["authorization"] == "Bearer secret"
        function = {"name": "weather", "arguments": '{"city":"Rome"}'}
        calls = [{"id": "c1", "type": "function", "function": function}]
        assert sent["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": '{"sky":"blue"}'},
            {"role": "assistant", "content": "It is—"},
            {"role": "user", "content": "And in Paris?"},
        ]
    else:
        assert server.exchanges[0].headers["x-goog-api-key"] == "secret"
        assert sent["systemInstruction"]["parts"] == [{"text": "Be brief."}]
        signature = base64.b64encode(b"skip_thought_signature_validator").decode()
        call = {"id": "c1", "name": "weather", "args": {"city": "Rome"}}
        answer = {"id": "c1", "name": "weather", "response": {"sky": "blue"}}
        assert [(turn["role"], turn["parts"]) for turn in sent["contents"]] == [
            ("user", [{"text": "Weather?"}]),
            ("model", [{"functionCall": call, "thoughtSignature": signature}]),
            ("user", [{"functionResponse": answer}]),
            ("model", [{"text": "It is—"}]),
            ("user", [{"text": "And in Paris?"}]),
        ]


# -- OpenAI --------------------------------------------------------------------------------------


def test_openai_tool_calls() -> None:
    """Calls come in pieces, interleaved; they are put together."""

    def piece(index: int, id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
        function = {"name": name, "arguments": arguments}
        return {"index": index, "id": id, "type": "function", "function": function}

    chunks = [
        chat_chunk({"role": "assistant", "content": "Let me see."}),
        chat_chunk({"tool_calls": [piece(0, "a", "look", "")]}),
        chat_chunk({"tool_calls": [piece(0, None, None, '{"at": ')]}),
        chat_chunk({"tool_calls": [piece(1, "b", "turn", ""), piece(0, None, None, '"sea"}')]}),
        chat_chunk({}, finish="tool_calls"),
    ]
    parts, _ = against("openai", lambda each: speak(each, chunks))
    assert [part.body for part in parts] == [
        "Let me see.",
        Call("a", "look", {"at": "sea"}),
        Call("b", "turn", {}),
    ]
    broken = [chat_chunk({"tool_calls": [piece(0, "a", "look", "{at")]}, finish="tool_calls")]
    with pytest.raises(ModelError, match=r"called look with '{at', which is no JSON object"):
        against("openai", lambda each: speak(each, broken))


def test_openai_skips_openly_or_sends() -> None:
    """A text model is not sent pictures, and says so; one that sees is."""
    prompt = [Part.image(b"jpeg"), Part.audio(b"\0\0" * 8), Part("What is it?")]
    parts, server = against("openai", lambda each: speak(each, words("openai", "A cat.")), *prompt)
    assert parts[0].substream == "status"
    assert "does not read 1 × image (image/jpeg), 1 × audio" in parts[0].text
    assert server.exchanges[0].json["messages"] == [{"role": "user", "content": "What is it?"}]

    async def main() -> Any:
        async with serve(lambda each: speak(each, words("openai", "A cat."))) as server:
            tools = [{"name": "look", "parameters": {"type": "object"}}]
            options = {"temperature": 0.5}
            model = OpenAI(
                server.url, "eyes", images=True, audio=True, tools=tools, options=options
            )
            await said(model, *prompt)
            return server.exchanges[0]

    sent = real(main)
    assert sent.headers["authorization"] == "Bearer none"
    assert (sent.json["temperature"], sent.json["tools"][0]["function"]["name"]) == (0.5, "look")
    image, audio, text = sent.json["messages"][0]["content"]
    assert image["image_url"]["url"] == "data:image/jpeg;base64,anBlZw=="
    assert base64.b64decode(audio["input_audio"]["data"]).startswith(b"RIFF")
    assert text["text"] == "What is it?"


def test_openai_calls_without_result_and_results_without_call() -> None:
    """Neither is refused by the server, whatever the window has cut off."""
    prompt = [
        Part.response("old", "gone", id="x"),
        Part("Now?"),
        Part.call("slow", id="y"),
        Part("Well?"),
        Part.call("bad", id="z"),
        Part.response("bad", id="z", error="no net"),
    ]
    _, server = against("openai", lambda each: speak(each, words("openai", "Hm.")), *prompt)
    messages = server.exchanges[0].json["messages"]
    assert [(each["role"], each["content"]) for each in messages] == [
        ("user", "(old answered: gone)\nNow?"),
        ("assistant", None),
        ("tool", "(no result yet)"),
        ("user", "Well?"),
        ("assistant", None),
        ("tool", "error: no net"),
    ]


def test_openai_error_within_the_stream() -> None:
    chunks = [*words("openai", "Hel")[:1], {"error": {"message": "out of memory"}}]
    with pytest.raises(ModelError, match=r"broke off in the middle of a reply \(out of memory\)"):
        against("openai", lambda each: speak(each, chunks))


# -- Gemini --------------------------------------------------------------------------------------


def test_gemini_hears_and_sees() -> None:
    """Sound goes in as one WAV file, also where pictures came between."""
    sound = [Part.audio(b"\1\0" * 80), Part.image(b"jpeg"), Part.audio(b"\2\0" * 80)]
    _, server = against("gemini", lambda each: speak(each, words("gemini", "Hm.")), *sound)
    audio, image = server.exchanges[0].json["contents"][0]["parts"]
    # The SDK writes some names its own way; the service takes both.
    assert (audio["inlineData"]["mime_type"], image["inlineData"]["mime_type"]) == (
        "audio/wav",
        "image/jpeg",
    )
    with wave.open(io.BytesIO(base64.b64decode(audio["inlineData"]["data"]))) as file:
        assert file.readframes(999) == b"\1\0" * 80 + b"\2\0" * 80


def test_gemini_tool_calls() -> None:
    """A call keeps its signature, and goes back with it. Thoughts are not spoken."""
    signature = base64.b64encode(b"signed").decode()
    call = {"functionCall": {"name": "look", "args": {"at": "sea"}}, "thoughtSignature": signature}
    chunks = [gemini_chunk({"text": "Hmm", "thought": True}, call, finish="STOP")]
    (part,), _ = against("gemini", lambda each: speak(each, chunks))
    assert isinstance(part.body, Call)
    assert (part.body.name, part.body.args) == ("look", {"at": "sea"})
    prompt = [Part("Look."), part, Part.response("look", "waves", id=part.body.id)]
    _, server = against("gemini", lambda each: speak(each, words("gemini", "Sea.")), *prompt)
    _, back, answer = server.exchanges[0].json["contents"]
    assert back["parts"][0]["thoughtSignature"] == signature
    assert answer["parts"][0]["functionResponse"]["response"] == {"output": "waves"}


def test_gemini_calls_without_result_and_results_without_call() -> None:
    prompt = [
        Part.response("old", "gone", id="x"),
        Part("Now?"),
        Part.call("slow", id="y"),
        Part("Well?"),
    ]
    _, server = against("gemini", lambda each: speak(each, words("gemini", "Hm.")), *prompt)
    first, _, answer, last = server.exchanges[0].json["contents"]
    assert first["parts"][0]["text"] == "(old answered: gone)"
    assert answer["parts"][0]["functionResponse"]["response"] == {"output": "(no result yet)"}
    assert last["parts"] == [{"text": "Well?"}]


def test_gemini_blocks_a_prompt() -> None:
    chunks = [{"promptFeedback": {"blockReason": "SAFETY"}}]
    with pytest.raises(ModelError, match="refused the prompt: SAFETY"):
        against("gemini", lambda each: speak(each, chunks))


def test_gemini_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    with pytest.raises(ModelUnreachable, match="set GEMINI_API_KEY"):
        Gemini("gemini-2.5-flash")


def test_gemini_fields_and_failed_tools() -> None:
    """Tools and options go over; a tool's error is told as one."""

    async def main() -> Any:
        async with serve(lambda each: speak(each, words("gemini", "Hm."))) as server:
            model = Gemini(
                "tiny",
                api_key="secret",
                tools=[{"name": "look", "parameters": {"type": "object"}}],
                options={"temperature": 0.5},
                http_options={"base_url": server.url},
            )
            call = Part.call("look", id="1")
            await said(model, Part("Look."), call, Part.response("look", id="1", error="dark"))
            await model.aclose()
            return server.exchanges[0].json

    sent = real(main)
    assert sent["tools"][0]["functionDeclarations"][0]["name"] == "look"
    assert sent["generationConfig"]["temperature"] == 0.5
    assert sent["contents"][-1]["parts"][0]["functionResponse"]["response"] == {"error": "dark"}


@both
def test_a_model_with_more_tools(kind: str) -> None:
    """It goes over the connections of the first, with the tools of both; the first has its own."""

    async def main() -> Server:
        async with serve(lambda each: speak(each, words(kind, "Hm."))) as server:
            schema = {"type": "object", "properties": {}}
            one = BUILT[kind](server.url).with_tools([{"name": "look", "parameters": schema}])
            both = one.with_tools([{"name": "turn", "parameters": schema}])
            await said(both)
            await said(one)
            await one.aclose()
            return server

    server = cast("Server", real(main))
    told = [str(it.json["tools"]) for it in server.exchanges]
    assert [("look" in it, "turn" in it) for it in told] == [(True, True), (True, False)]
    assert server.connections == 1


@both
def test_what_json_cannot_hold(kind: str) -> None:
    """Data is left out, and told of; a result is an error to the model. The reply comes."""
    prompt = [
        Part.of({"seen": object()}),
        Part.call("look", id="1"),
        Part.response("look", {"at": object()}, id="1"),
        Part("Well?"),
    ]
    parts, server = against(kind, lambda each: speak(each, words(kind, "Hm.")), *prompt)
    assert "does not read 1 × data (application/json)" in parts[0].text
    assert parts[1].text == "Hm."
    sent = str(server.exchanges[0].json)
    assert "the result is lost: this dict cannot be written as JSON: it holds an object" in sent


@both
def test_what_cannot_be_read_is_told(kind: str) -> None:
    """A `status` part comes before the reply."""
    prompt = [Part.of(b"%PDF", "application/pdf"), Part("Read it.")]
    parts, _ = against(kind, lambda each: speak(each, words(kind, "No.")), *prompt)
    assert [(part.substream, part.text.split(" ")[0]) for part in parts] == [
        ("status", "tiny"),
        ("", "No."),
    ]
    assert "does not read 1 × data (application/pdf)" in parts[0].text
