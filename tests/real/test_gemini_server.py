"""The scripted Gemini Live server over TLS, before the SDK's own client."""

import asyncio
import urllib.error
import urllib.request
from contextlib import aclosing
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from vivace.server.gemini_frames import content, said
from vivace.server.gemini_wire import TextHeard
from vivace.testing.gemini_live import FakeGeminiLive
from vivace.testing.gemini_script import Close, Drop, Expect, Handle, Send, StopReading

pytestmark = pytest.mark.real

MODEL = "gemini-3.8-live"


def live(server: FakeGeminiLive, key: str = "key") -> Any:
    options: Any = server.http_options
    return genai.Client(api_key=key, http_options=options).aio.live


async def one(session: Any) -> Any:
    async with aclosing(session.receive()) as messages:
        return await anext(messages)


def test_a_session_and_its_resumption() -> None:
    """Text in, sound and a handle out, closed; then resumed, and dropped."""

    async def main() -> FakeGeminiLive:
        server = FakeGeminiLive(
            [Expect(TextHeard), Send(said(b"\1\0" * 24)), Handle("h1"), Close(1000, "bye")],
            [Send(content(turnComplete=True)), Drop()],
        )
        async with server.serve():
            config: dict[str, Any] = {"session_resumption": {}}
            async with live(server).connect(model=MODEL, config=config) as session:
                await session.send_realtime_input(text="hello")
                first = await one(session)
                assert first.server_content.model_turn.parts[0].inline_data.data == b"\1\0" * 24
                assert (await one(session)).session_resumption_update.new_handle == "h1"
                with pytest.raises(errors.APIError, match="bye") as caught:
                    await one(session)
                assert caught.value.code == 1000
            config["session_resumption"]["handle"] = "h1"
            async with live(server).connect(model=MODEL, config=config) as session:
                assert (await one(session)).server_content.turn_complete
                with pytest.raises(errors.APIError) as caught:
                    await one(session)
                assert caught.value.code == 1006
        return server

    server = asyncio.run(main())
    assert [connection.resumed for connection in server.connections] == [False, True]
    assert server.connections[1].known == [TextHeard("hello")]
    assert [connection.ended for connection in server.connections] == [
        (1000, "server"), (1006, "server"),
    ]  # fmt: skip


def test_what_is_refused_over_the_wire() -> None:
    """A wrong key closes with its code; another path is not found; a reading side may be stuck."""

    async def main() -> None:
        server = FakeGeminiLive([], [StopReading()])
        async with server.serve():
            with pytest.raises(errors.APIError, match="API key not valid") as caught:
                async with live(server, "wrong").connect(model=MODEL):
                    pass
            assert caught.value.code == 1007
            with pytest.raises(urllib.error.HTTPError, match="404"):
                await asyncio.to_thread(urllib.request.urlopen, server.url, context=server.tls)
            picture = types.Blob(data=bytes(2**20), mime_type="image/jpeg")
            async with live(server).connect(model=MODEL) as session:

                async def fill() -> None:
                    for _ in range(64):
                        await session.send_realtime_input(video=picture)

                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(fill(), 1.0)
                session._ws.transport.abort()  # whose closing would wait for the reading side

    asyncio.run(main())
