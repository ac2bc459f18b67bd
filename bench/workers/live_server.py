"""A Gemini Live server that answers each 20 ms of sound at once, with the times in the sound.

Run as a program, it writes its certificate down, prints its address, and serves until its input
ends. A line "away" on it tells all clients that their connection ends in a second, which it does
then; "drop" cuts all connections.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from contextlib import suppress
from pathlib import Path

from vivace.models.live_facts import LiveFacts
from vivace.server.certificate import throw_away_tls
from vivace.server.gemini_frames import content, go_away, resumption, said, set_up_complete
from vivace.server.gemini_order import Order
from vivace.server.gemini_socket import Gone, Socket, Visitor, listen
from vivace.server.gemini_wire import AudioHeard, AudioStreamEnded, Refused

_FACTS = LiveFacts(content="always", tools="non_blocking")
_LEFT_S = 1.0
_FRAME = 640  # bytes of 20 ms that come,
_PADDING = bytes(960 - 24)  # and of those that go, less the times


class _Lenient:
    """Takes sound as `mediaChunks`, too, which newer models refuse: genai-processors sends that."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self.key, self.path = socket.key, socket.path

    async def recv(self) -> str | bytes:
        frame = await self._socket.recv()
        data = json.loads(frame)
        chunks = data.get("realtime_input", {}).pop("mediaChunks", None)
        if chunks is None:
            return frame
        data["realtime_input"]["audio"] = chunks[0]
        return json.dumps(data)

    async def send(self, data: bytes) -> None:
        await self._socket.send(data)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason)

    def abort(self) -> None:
        self._socket.abort()

    async def wait_closed(self) -> int:
        return await self._socket.wait_closed()


_here: set[Visitor] = set()


async def _answer(socket: Socket) -> None:
    visitor = Visitor(_Lenient(socket))
    _here.add(visitor)
    try:
        setup = await visitor.set_up()
        visitor.order = Order(setup, _FACTS, resumed=bool(setup.handle))
        await visitor.send(set_up_complete())
        await visitor.send(resumption("h"))
        while True:
            message = await visitor.receive()
            heard_ns = time.monotonic_ns()
            match message:
                case AudioHeard(pcm=pcm):
                    for at in range(0, len(pcm), _FRAME):  # some that had to wait come together
                        times = pcm[at : at + 8] + heard_ns.to_bytes(8, "little")
                        sent = time.monotonic_ns().to_bytes(8, "little")
                        await visitor.send(said(times + sent + _PADDING))
                case AudioStreamEnded():
                    await visitor.send(content(turnComplete=True))
                case _:
                    pass
    except Refused as refused:
        await visitor.close(refused.code, refused.reason)
    except Gone:
        pass
    finally:
        _here.discard(visitor)


async def _away(visitor: Visitor) -> None:
    with suppress(Gone):
        await visitor.send(go_away(_LEFT_S))
        await asyncio.sleep(_LEFT_S)
        await visitor.close(1001, "gone away")


async def _obey() -> None:
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if line == "drop":
            for visitor in list(_here):
                visitor.drop()
        else:
            for visitor in list(_here):
                _leaving.add(asyncio.create_task(_away(visitor)))


_leaving: set[asyncio.Task[None]] = set()


async def main(tls: ssl.SSLContext) -> None:
    """Serve until standard input ends."""
    async with listen(_answer, tls) as listening:
        print(listening.url, flush=True)
        await _obey()


if __name__ == "__main__":
    context, certificate = throw_away_tls()
    Path(sys.argv[1]).write_text(certificate)
    asyncio.run(main(context))
