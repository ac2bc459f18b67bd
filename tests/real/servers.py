"""A small HTTP server of our own, so that the real SDKs can be tested against real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any


class Exchange:
    """One request, and the way to answer it. The body is JSON."""

    def __init__(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        first, *rest = head.split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers = {
            key.lower(): value.strip() for key, _, value in (line.partition(":") for line in rest)
        }
        self.json: Any = json.loads(body or b"null")
        self._writer = writer

    async def refuse(self, status: int, error: object) -> None:
        """Answer with an error as JSON."""
        body = json.dumps({"error": error}).encode()
        head = f"HTTP/1.1 {status} No\r\ncontent-type: application/json\r\n"
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await self._writer.drain()

    async def begin(self) -> None:
        """Begin a stream of events."""
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked"
        self._writer.write(f"{head}\r\n\r\n".encode())
        await self._writer.drain()

    async def event(self, data: object) -> None:
        """Send one event: text as it is, anything else as JSON."""
        text = data if isinstance(data, str) else json.dumps(data)
        chunk = f"data: {text}\n\n".encode()
        self._writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        await self._writer.drain()

    async def end(self) -> None:
        """End the stream in good order; the connection stays open."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def drop(self) -> None:
        """Close the connection in the middle."""
        self._writer.close()


Handler = Callable[[Exchange], Awaitable[None]]


class Server:
    """What came in, and what became of it."""

    def __init__(self) -> None:
        self.url = ""
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.open_connections = 0
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()  # a client left while it was being answered


@asynccontextmanager
async def serve(handler: Handler, port: int = 0) -> AsyncIterator[Server]:
    """Answer each request with `handler`, on a port of this machine; 0 is any that is free."""
    seen = Server()
    serving: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving[writer] = asyncio.current_task()
        seen.connections += 1
        seen.open_connections += 1
        try:
            while (exchange := await _read(reader, writer)) is not None:
                seen.exchanges.append(exchange)
                seen.asked.set()
                answering = asyncio.ensure_future(handler(exchange))
                leaving = asyncio.ensure_future(reader.read(1))
                await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    seen.hung_up.set()
                answering.cancel()
                leaving.cancel()
                await asyncio.wait([answering, leaving])
        except ConnectionError:
            pass
        finally:
            seen.open_connections -= 1
            del serving[writer]
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    port = server.sockets[0].getsockname()[1]
    seen.url = f"http://127.0.0.1:{port}"
    try:
        yield seen
    finally:
        server.close()
        left = [task for task in serving.values() if task]
        for writer in serving:
            writer.close()
        if left:
            await asyncio.wait(left)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    exchange = Exchange(head, b"", writer)
    body = await reader.readexactly(int(exchange.headers.get("content-length", 0)))
    return Exchange(head, body, writer)


def deltas(*texts: str) -> Iterator[dict[str, Any]]:
    """OpenAI's chunks for these texts, and the one that ends a reply."""
    for text in texts:
        yield chat_chunk({"role": "assistant", "content": text})
    yield chat_chunk({}, finish="stop")


def chat_chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    """One chunk of OpenAI's."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion.chunk", "created": 0, "choices": [choice]}


def gemini_chunk(*parts: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    """One chunk of Gemini's."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate]}
