"""WebSockets without sockets, so that the real SDK and a fake server meet on virtual time.

monkeypatch.setattr("google.genai.live.ws_connect", in_memory(FakeGeminiLive(script)))
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from vivace.errors import Closed
from vivace.flow.channel import Channel
from vivace.flow.scope import Scope
from vivace.server.gemini_socket import Gone
from vivace.testing.gemini_live import FakeGeminiLive

__all__ = ["in_memory"]

_FRAMES = 64  # that may be under way in each direction: then whoever sends waits
_MAX_BYTES = 2**20  # what websockets takes unless it is told otherwise


def in_memory(server: FakeGeminiLive) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """What takes the place of `websockets.connect` in the SDK: every call reaches `server`."""

    @asynccontextmanager
    async def connect(
        uri: str,
        *,
        additional_headers: Mapping[str, str] | None = None,
        max_size: int | None = _MAX_BYTES,
        **_: Any,
    ) -> AsyncIterator[_Client]:
        pipe = _Pipe(server.unread)
        scope = Scope(pipe.failed)
        headers = {name.lower(): it for name, it in (additional_headers or {}).items()}
        served = _Served(pipe, headers.get("x-goog-api-key", ""), urlsplit(uri).path)
        serving = scope.start(server.handle(served), "fake server")
        client = _Client(pipe, max_size)
        try:
            yield client
        finally:
            await client.close()
            await asyncio.wait([serving], timeout=1.0)
            await scope.stop()

    return connect


class _Pipe:
    """Both directions. end: how it ended, as the client sees it; None while it is open.

    unread: gets what the server had not read when it closed.
    """

    def __init__(self, unread: list[str | bytes]) -> None:
        self._unread = unread
        self.to_server = Channel[str | bytes](_FRAMES)
        self.to_client = Channel[bytes](_FRAMES)
        self.end: tuple[int, str] | None = None
        self.closed = asyncio.Event()
        self.by_client = False

    def close(self, code: int, reason: str, *, by_client: bool = False) -> None:
        if self.end is None:
            self.end, self.by_client = (code, reason), by_client
        self.to_server.close()
        self.to_client.close()
        self.closed.set()
        if not by_client:
            self._unread += self.to_server.take_waiting()

    def failed(self, error: BaseException) -> None:
        self.close(1011, f"the fake server failed: {error!r}")
        raise error


class _Served:
    """The server's end."""

    def __init__(self, pipe: _Pipe, key: str, path: str) -> None:
        self._pipe = pipe
        self.key = key
        self.path = path

    async def recv(self) -> str | bytes:
        try:
            return await self._pipe.to_server.receive()
        except Closed as error:
            raise self._gone() from error

    async def send(self, data: bytes) -> None:
        try:
            await self._pipe.to_client.send(data)
        except Closed as error:
            raise self._gone() from error

    async def close(self, code: int, reason: str) -> None:
        self._pipe.close(code, reason)

    def abort(self) -> None:
        self._pipe.close(1006, "")

    async def wait_closed(self) -> int:
        await self._pipe.closed.wait()
        return self._code()

    def _gone(self) -> Gone:
        return Gone(self._code())

    def _code(self) -> int:
        return self._pipe.end[0] if self._pipe.end else 1006


class _Client:
    """The SDK's end: as much of a `ClientConnection` as it uses."""

    def __init__(self, pipe: _Pipe, max_size: int | None) -> None:
        self._pipe = pipe
        self._max_size = max_size

    async def send(self, message: str) -> None:
        try:
            await self._pipe.to_server.send(message)
        except Closed as error:
            raise self._closed() from error

    async def recv(self, decode: bool | None = None) -> bytes:
        try:
            data = await self._pipe.to_client.receive()
        except Closed as error:
            raise self._closed() from error
        if self._max_size is not None and len(data) > self._max_size:
            self._pipe.close(1009, "frame too big", by_client=True)
            raise self._closed()
        return data

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._pipe.close(code, reason, by_client=True)

    def _closed(self) -> Exception:
        from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
        from websockets.frames import Close

        code, reason = self._pipe.end or (1006, "")
        if code == 1006 or self._pipe.by_client:  # it was told by nobody
            return ConnectionClosedError(None, None)
        kind = ConnectionClosedOK if code == 1000 else ConnectionClosedError
        return kind(Close(code, reason), None)
