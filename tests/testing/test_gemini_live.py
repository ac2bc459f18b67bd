"""The scripted Gemini Live server before the SDK's own client, on virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from vivace.server.gemini_frames import (
    call,
    cancellation,
    content,
    go_away,
    heard,
    merged,
    said,
    usage,
)
from vivace.server.gemini_wire import (
    ActivityEnded,
    ActivityStarted,
    AudioHeard,
    AudioStreamEnded,
    Content,
    ImageSeen,
    TextHeard,
    ToolAnswers,
    Turn,
)
from vivace.testing.gemini_live import FakeGeminiLive
from vivace.testing.gemini_memory import in_memory
from vivace.testing.gemini_script import (
    Burst,
    Close,
    Delay,
    Drop,
    Duplicate,
    Expect,
    Garbage,
    Handle,
    ReadOn,
    Script,
    Send,
    SetUp,
    Slow,
    StopReading,
)

MODEL = "gemini-3.8-live"
Config = dict[str, Any]
Connect = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Connects the SDK to a fake server; what it is given is in `connect.server`."""

    @asynccontextmanager
    async def connected(
        server: FakeGeminiLive, config: Config | None = None, key: str = "key", model: str = MODEL
    ) -> AsyncIterator[Any]:
        monkeypatch.setattr("google.genai.live.ws_connect", in_memory(server))
        client = genai.Client(api_key=key, http_options={"base_url": "https://127.0.0.1"})
        live: Any = client.aio.live
        async with live.connect(model=model, config=config) as session:
            yield session

    return connected


async def one(session: Any) -> Any:
    """The next message."""
    async with aclosing(session.receive()) as messages:
        return await anext(messages)


async def rest(session: Any) -> list[Any]:
    """All messages until the connection ends; the error's code comes last."""
    seen: list[Any] = []
    while True:
        try:
            async for message in session.receive():
                seen.append(message)
        except errors.APIError as error:
            return [*seen, error.code]


async def refusal(server: FakeGeminiLive, connect: Connect, **options: Any) -> tuple[int, str]:
    with pytest.raises(errors.APIError) as caught:
        async with connect(server, **options):
            pass
    return caught.value.code, str(caught.value)


async def test_a_whole_session(connect: Connect) -> None:
    """All that a client may send is read; all that a server may send is understood by the SDK."""
    script: Script = [
        SetUp("s1"),
        Expect(TextHeard, lambda it: it.text == "hello"),
        Send(merged([said(b"\1\0" * 240), heard(model="hi", user="hello", finished=True)])),
        Send(call("look", {"where": "here"}, id="f1")),
        Expect(ToolAnswers),
        Burst([content(generationComplete=True), content(turnComplete=True)]),
        Slow([usage(10, 20), go_away(60.0)], every_s=1.0),
        Handle("h1"),
        Delay(2.0),
        Close(1000),
    ]
    server = FakeGeminiLive(script)
    config = {"system_instruction": "Be brief.", "session_resumption": {}}
    start = asyncio.get_running_loop().time()
    async with connect(server, config) as session:
        assert session.session_id == "s1"
        blob = types.Blob(data=b"\xfb\xff" * 320, mime_type="audio/pcm;rate=16000")
        await session.send_realtime_input(audio=blob)
        await session.send_realtime_input(video=types.Blob(data=b"jpg", mime_type="image/jpeg"))
        await session.send_realtime_input(audio_stream_end=True)
        await session.send_client_content(
            turns=[types.Content(role="user", parts=[types.Part(text="a")])]
        )
        await session.send_realtime_input(text="hello")
        seen = [await one(session), await one(session)]
        await session.send_tool_response(
            function_responses=types.FunctionResponse(id="f1", name="look", response={"a_b": 1})
        )
        seen += await rest(session)
    server.check()
    (connection,) = server.connections
    assert connection.setup is not None
    assert connection.setup.system == "Be brief."
    assert connection.messages[:5] == [
        AudioHeard(b"\xfb\xff" * 320),
        ImageSeen(b"jpg", "image/jpeg"),
        AudioStreamEnded(),
        Content((Turn("user", "a"),), complete=True),
        TextHeard("hello"),
    ]
    (answers,) = connection.of(ToolAnswers)
    assert answers.answers[0].response == {"a_b": 1}
    assert connection.pcm == b"\xfb\xff" * 320
    assert connection.texts == ["hello"]
    assert connection.ended == (1000, "server")
    first = seen[0].server_content
    assert first.model_turn.parts[0].inline_data.data == b"\1\0" * 240
    assert (first.output_transcription.text, first.input_transcription.text) == ("hi", "hello")
    assert seen[1].tool_call.function_calls[0].args == {"where": "here"}
    assert seen[-2].session_resumption_update.new_handle == "h1"
    assert seen[-3].go_away.time_left == "60s"
    assert seen[-1] == 1000
    assert asyncio.get_running_loop().time() - start == 4.0


async def test_faults(connect: Connect) -> None:
    """Rubbish, a frame twice, a reading side that is stuck, and a cut wire."""
    frame = content(turnComplete=True)
    script: Script = [
        StopReading(),
        Garbage(),
        Duplicate(frame),
        Delay(5.0),
        ReadOn(),
        Expect(TextHeard, lambda it: it.text == "100"),
        Drop(),
    ]
    server = FakeGeminiLive(script)
    async with connect(server) as session:
        with pytest.raises(ValueError, match="Failed to parse"):
            await one(session)
        for number in range(101):
            await session.send_realtime_input(text=str(number))
        assert asyncio.get_running_loop().time() == 5.0  # it was not read before
        seen = await rest(session)
    assert [it if isinstance(it, int) else it.server_content.turn_complete for it in seen] == [
        True, True, 1006,
    ]  # fmt: skip
    assert server.connections[0].ended == (1006, "server")


async def test_a_frame_that_is_too_big(connect: Connect) -> None:
    """A client that does not say otherwise takes a mebibyte; more ends the session as 1006."""
    server = FakeGeminiLive([Send(said(bytes(2**20)))])
    async with connect(server) as session:
        assert await rest(session) == [1006]
    assert server.connections[0].ended == (1009, "client")


async def test_what_was_expected_and_did_not_come(connect: Connect) -> None:
    """The client is closed, and the test fails with what was missing."""
    server = FakeGeminiLive([Expect(TextHeard, within_s=3.0)])
    async with connect(server) as session:
        assert await rest(session) == [1011]
    with pytest.raises(AssertionError, match="connection 1: no TextHeard within 3 s"):
        server.check()


async def test_handles(connect: Connect) -> None:
    """A handle resumes what was known when it was given; in use or forgotten, it is refused."""
    server = FakeGeminiLive([Expect(TextHeard), Handle("h1")], [Close(1000)])
    resume: Config = {"session_resumption": {"handle": "h1"}}
    async with connect(server, {"session_resumption": {}}) as session:
        await session.send_realtime_input(text="one")
        assert (await one(session)).session_resumption_update.resumable
        await session.send_realtime_input(text="two")
        assert await refusal(server, connect, config=resume) == (1011, "1011 None. " + IN_USE)
    async with connect(server, resume):
        await asyncio.sleep(0)
    assert server.connections[2].resumed
    assert server.connections[2].known == [TextHeard("one")]
    server.forget("h1")
    code, told = await refusal(server, connect, config=resume)
    assert code == 1008
    assert "session not found" in told


IN_USE = "the session is in use by another connection; close that one first"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ({"key": "wrong"}, 1007, "API key not valid"),
        ({"model": "gemini-9"}, 1008, "models/gemini-9 is not found"),
        ({"config": {"thinking_config": {"thinking_level": "LOW"}}}, 1007, "thinking_level"),
        (
            {
                "model": "gemini-3.1-flash-live-preview",
                "config": {
                    "tools": [
                        {"function_declarations": [{"name": "a", "behavior": "NON_BLOCKING"}]}
                    ]
                },
            },
            1007,
            "takes only blocking",
        ),
        ({"config": {"tools": [{"function_declarations": [{"description": "a"}]}]}}, 1007, "name"),
    ],
)
async def test_set_ups_that_are_refused(
    connect: Connect, options: dict[str, Any], code: int, told: str
) -> None:
    """A wrong key, model or setting ends the connection before `setupComplete`."""
    found = await refusal(FakeGeminiLive(), connect, **options)
    assert found[0] == code
    assert told in found[1]


async def sends_media(session: Any) -> None:
    await session.send_realtime_input(media=types.Blob(data=b"12", mime_type="audio/pcm"))


async def sends_activity(session: Any) -> None:
    await session.send_realtime_input(activity_start=types.ActivityStart())


async def answers_nobody(session: Any) -> None:
    answer = types.FunctionResponse(id="f9", name="look", response={})
    await session.send_tool_response(function_responses=answer)


async def sends_odd_audio(session: Any) -> None:
    await session.send_realtime_input(audio=types.Blob(data=b"123", mime_type="audio/pcm"))


async def sends_wav(session: Any) -> None:
    await session.send_realtime_input(audio=types.Blob(data=b"12", mime_type="audio/wav"))


async def asks_for_a_role(session: Any) -> None:
    turn = types.Content(role="system", parts=[types.Part(text="a")])
    await session.send_client_content(turns=[turn])


@pytest.mark.parametrize(
    ("send", "told"),
    [
        (sends_media, "media_chunks is deprecated"),
        (sends_activity, "Explicit activity control"),
        (answers_nobody, "no function call with the id 'f9'"),
        (sends_odd_audio, "3 bytes"),
        (sends_wav, "audio/wav"),
        (asks_for_a_role, "valid role"),
    ],
)
async def test_what_may_not_be_sent(connect: Connect, send: Any, told: str) -> None:
    """The service closes with 1007, and says why."""
    async with connect(FakeGeminiLive()) as session:
        await send(session)
        with pytest.raises(errors.APIError, match=told) as caught:
            await one(session)
        assert caught.value.code == 1007


async def test_content_only_as_seed(connect: Connect) -> None:
    """A model that takes turns as history only refuses them once the session has begun."""
    turn = types.Content(role="user", parts=[types.Part(text="a")])
    reply = types.Content(role="model", parts=[types.Part(text="b")])
    model = "gemini-3.1-flash-live-preview"
    history: Config = {"history_config": {"initial_history_in_client_content": True}}
    server = FakeGeminiLive()
    async with connect(server, history, model=model) as session:
        await session.send_client_content(turns=[turn, reply], turn_complete=True)
        await session.send_realtime_input(text="and")
        await session.send_client_content(turns=[turn], turn_complete=True)
        with pytest.raises(errors.APIError, match="client_content is not supported"):
            await one(session)
    assert server.connections[0].messages[0] == Content(
        (Turn("user", "a"), Turn("model", "b")), True
    )


async def test_no_history_again_on_resumption(connect: Connect) -> None:
    """A resumed session knows what was said."""
    turn = types.Content(role="user", parts=[types.Part(text="a")])
    reply = types.Content(role="model", parts=[types.Part(text="b")])
    server = FakeGeminiLive([Handle("h1")])
    async with connect(server, {"session_resumption": {}}) as session:
        await one(session)
    resume: Config = {"session_resumption": {"handle": "h1"}}
    async with connect(server, resume) as session:
        await session.send_client_content(turns=[turn, reply])
        with pytest.raises(errors.APIError, match="no history again"):
            await one(session)
    resume["history_config"] = {"initial_history_in_client_content": True}
    assert (await refusal(server, connect, config=resume))[0] == 1007


async def test_a_cancelled_call_and_a_nameless_one(connect: Connect) -> None:
    """A call without an id is answered by its name; one that was cancelled, not at all."""
    server = FakeGeminiLive(
        [Send(call("look")), Send(call("order", id="f2")), Send(cancellation("f2"))]
    )
    async with connect(server) as session:
        for _ in range(3):
            await one(session)
        for id, name in (("ours", "look"), ("f2", "order")):
            answer = types.FunctionResponse(id=id, name=name, response={})
            await session.send_tool_response(function_responses=answer)
        with pytest.raises(errors.APIError, match="'f2'"):
            await one(session)
    assert len(server.connections[0].of(ToolAnswers)) == 1


async def test_explicit_activity(connect: Connect) -> None:
    """Where the server does not detect speech, the client says when it begins and ends."""
    manual: Config = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    server = FakeGeminiLive([Expect(ActivityEnded), Close(1001)])
    async with connect(server, manual) as session:
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await session.send_realtime_input(activity_end=types.ActivityEnd())
        assert await rest(session) == [1001]
    assert server.connections[0].messages == [ActivityStarted(), ActivityEnded()]
