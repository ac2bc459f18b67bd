"""Clients of an agent behind Gemini Live's protocol, without sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from vivace.errors import Closed
from vivace.flow.channel import Channel
from vivace.flow.processor import Processor
from vivace.processors.tool import Toolbox
from vivace.server.gemini_front import GeminiFront
from vivace.server.gemini_socket import Gone


class Client:
    """A connection: what the server sees as its socket, and what a client does with it."""

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.path = ""
        self.frames: list[dict[str, Any]] = []  # that have come
        self.closed: tuple[int, str] | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self.came = asyncio.Event()
        self._sent = Channel[str | bytes](64)

    # -- the server's side

    async def recv(self) -> str | bytes:
        try:
            return await self._sent.receive()
        except Closed as error:
            raise Gone(1006) from error

    async def send(self, data: bytes) -> None:
        await self.reads.wait()
        if self.closed is not None:
            raise Gone(self.closed[0])
        self.frames.append(json.loads(data))
        self.came.set()

    async def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)
        self._sent.close()

    def abort(self) -> None:
        self._sent.close()

    async def wait_closed(self) -> int:
        return 1006

    # -- the client's

    async def say(self, **frame: Any) -> None:
        await self._sent.send(json.dumps(frame))

    async def set_up(self, **config: Any) -> None:
        generation = {"responseModalities": ["TEXT"]}
        await self.say(setup={"model": "models/m", "generationConfig": generation, **config})

    async def ask(self, text: str) -> str:
        """What is answered, up to the end of the turn."""
        await self.say(realtimeInput={"text": text})
        before = len(self.frames)
        while not any(it.get("turnComplete") for it in self.contents()[before:]):
            self.came.clear()
            await self.came.wait()
        return self.texts(before)

    async def tell(self, *texts: str, reads: bool = False) -> None:
        """Say these, a second after each other; unless it `reads`, it has what came only then."""
        if not reads:
            self.reads.clear()
        for text in texts:
            await self.say(realtimeInput={"text": text})
            await asyncio.sleep(1)
        self.reads.set()
        await asyncio.sleep(1)

    @property
    def called(self) -> list[dict[str, Any]]:
        """The calls that have come."""
        frames = [it["toolCall"]["functionCalls"] for it in self.frames if "toolCall" in it]
        return [each for calls in frames for each in calls]

    @property
    def cancelled(self) -> list[str]:
        """The ids of those that are not wanted any more."""
        frames = [it.get("toolCallCancellation", {"ids": []})["ids"] for it in self.frames]
        return [id for ids in frames for id in ids]

    async def answer(self, id: str, name: str, response: object, **fields: object) -> None:
        one = {"id": id, "name": name, "response": response, **fields}
        await self.say(toolResponse={"functionResponses": [one]})

    def ends(self) -> int:
        """How many turns are complete."""
        return sum(bool(it.get("turnComplete")) for it in self.contents())

    def contents(self) -> list[dict[str, Any]]:
        return [it.get("serverContent", {}) for it in self.frames]

    def texts(self, start: int = 0) -> str:
        turns = [it.get("modelTurn", {}).get("parts", []) for it in self.contents()[start:]]
        return "".join(part.get("text", "") for parts in turns for part in parts)

    @property
    def handle(self) -> str:
        updates = [it.get("sessionResumptionUpdate", {}) for it in self.frames]
        return str(next(it["newHandle"] for it in updates if "newHandle" in it))

    def leave(self) -> None:
        self.closed = (1006, "")
        self._sent.close()


@asynccontextmanager
async def connected(front: GeminiFront, client: Client, **config: Any) -> AsyncIterator[Client]:
    """`client`, let in; at the end it has left."""
    serving = asyncio.create_task(front.handle(client))
    await client.set_up(**config)
    await asyncio.sleep(0.1)
    try:
        yield client
    finally:
        client.leave()
        await serving


@asynccontextmanager
async def fronting(
    agent: Processor | Callable[[Toolbox], Processor], **options: Any
) -> AsyncIterator[GeminiFront]:
    front = GeminiFront(agent, **options)
    try:
        yield front
    finally:
        await front.aclose()
