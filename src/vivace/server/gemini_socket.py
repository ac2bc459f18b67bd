"""Gemini Live's endpoint: TLS WebSockets at the service's own path, one visitor each.

This file owns the transport. What visitors may say is in `gemini_wire.py`; what they are answered,
whoever listens here decides.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from vivace.errors import ExtraMissing, VivaceError
from vivace.server.gemini_order import Order
from vivace.server.gemini_wire import ClientMessage, Refused, Setup, parse

__all__ = ["Gone", "Listening", "Socket", "Visitor", "listen"]

_PATH = re.compile(
    r"/ws/google\.ai\.generativelanguage\.v\w+\.GenerativeService\.BidiGenerateContent"
)
_MOST_BYTES = 32 * 2**20  # of a client's frame: a picture, or a long history
_CLOSE_S = 2.0
_PING_S = 60.0  # a client whose machine or network is gone says nothing of it


class Gone(VivaceError):
    """The visitor has left."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the client has left ({code})")
        self.code = code


class Socket(Protocol):
    """What carries frames. `key` and `path` are what the client came with."""

    key: str
    path: str

    async def recv(self) -> str | bytes:
        """The next frame. Raises Gone."""
        ...

    async def send(self, data: bytes) -> None:
        """Put a frame in, waiting for room. Raises Gone."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close with a code."""
        ...

    def abort(self) -> None:
        """Drop the connection."""
        ...

    async def wait_closed(self) -> int:
        """Return once it is closed: the code."""
        ...


class Visitor:
    """One connection, from its set-up on."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self.key: str = socket.key
        self.order: Order | None = None

    async def set_up(self) -> Setup:
        """The first message. Raises Refused if it is another one."""
        message = parse(await self._socket.recv())
        if not isinstance(message, Setup):
            raise Refused(1007, "setup must be the first message and the only one of its kind")
        return message

    async def receive(self) -> ClientMessage:
        """The next message. Raises Refused if it may not come now, Gone if none will."""
        message = parse(await self._socket.recv())
        if self.order is not None:
            self.order.check(message)
        return message

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send a message, as the service writes them: JSON in a binary frame."""
        await self.send_raw(json.dumps(frame).encode())

    async def send_raw(self, data: bytes) -> None:
        """Send these very bytes."""
        await self._socket.send(data)

    async def close(self, code: int, reason: str = "") -> None:
        """Close the connection."""
        # A reason has at most 123 bytes (RFC 6455, 5.5.1); the service cuts it, too.
        await self._socket.close(code, reason.encode()[:123].decode(errors="ignore"))

    def drop(self) -> None:
        """Cut the connection, without a word."""
        self._socket.abort()

    async def left(self) -> None:
        """Raise Gone once the connection is closed, though nobody reads from it."""
        raise Gone(await self._socket.wait_closed())


class Listening:
    """Where it listens. url: for `HttpOptions.base_url`."""

    def __init__(self, url: str) -> None:
        self.url = url


class _WebSocket:
    def __init__(self, socket: Any, closed: type[Exception]) -> None:
        self._socket = socket
        self._closed = closed
        headers = socket.request.headers
        self.key = headers.get("x-goog-api-key", "")
        self.path = socket.request.path

    async def recv(self) -> str | bytes:
        try:
            data: str | bytes = await self._socket.recv()
        except self._closed as error:
            raise self._gone() from error
        return data

    async def send(self, data: bytes) -> None:
        try:
            await self._socket.send(data)
        except self._closed as error:
            raise self._gone() from error

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason)

    def abort(self) -> None:
        self._socket.transport.abort()

    async def wait_closed(self) -> int:
        await self._socket.wait_closed()
        return self._code()

    def _gone(self) -> Gone:
        return Gone(self._code())

    def _code(self) -> int:
        return self._socket.close_code or 1006


@asynccontextmanager
async def listen(
    handle: Callable[[Socket], Awaitable[None]],
    tls: ssl.SSLContext,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ping_s: float = _PING_S,
) -> AsyncIterator[Listening]:
    """Have `handle` answer each connection, until the block ends. port: 0 takes any free one.

    ping_s: a client is asked so often whether it is there, and has as long to answer.

    Raises ExtraMissing without the package websockets, which google-genai brings along.
    """
    try:
        from websockets.asyncio.server import serve
        from websockets.exceptions import ConnectionClosed
    except ImportError as error:
        raise ExtraMissing(
            "serving Gemini Live needs the package websockets: pip install 'vivace[gemini]'"
        ) from error

    async def connected(socket: Any) -> None:
        await handle(_WebSocket(socket, ConnectionClosed))

    def refuse(socket: Any, request: Any) -> Any:
        if _PATH.fullmatch(request.path.partition("?")[0]):
            return None
        return socket.respond(404, f"there is nothing at {request.path}\n")

    server = await serve(
        connected,
        host,
        port,
        ssl=tls,
        process_request=refuse,
        max_size=_MOST_BYTES,
        compression=None,
        ping_interval=ping_s,
        ping_timeout=ping_s,
        close_timeout=_CLOSE_S,
    )
    try:
        bound = server.sockets[0].getsockname()
        yield Listening(f"https://{_bracketed(bound[0])}:{bound[1]}")
    finally:
        server.close()
        await server.wait_closed()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
