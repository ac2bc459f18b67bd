"""A Gemini Live server that answers each 20 ms of sound at once, with the times in the sound.

Run as a program, it writes its certificate down, prints its address, and serves until its input
ends.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path

from vivace.models.live_facts import LiveFacts
from vivace.server.certificate import throw_away_tls
from vivace.server.gemini_frames import content, go_away, resumption, said, set_up_complete
from vivace.server.gemini_socket import Gone, Socket, Visitor, listen
from vivace.server.gemini_wire import AudioHeard, AudioStreamEnded, Order, Refused, TextHeard

_FACTS = LiveFacts(content="always", tools="non_blocking")
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


async def _answer(socket: Socket) -> None:
    visitor = Visitor(_Lenient(socket))
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
                case TextHeard(text="away"):
                    await visitor.send(content(turnComplete=True))
                    await visitor.send(go_away(10.0))
                case TextHeard(text="drop"):
                    visitor.drop()
                case AudioStreamEnded():
                    await visitor.send(content(turnComplete=True))
                case _:
                    pass
    except Refused as refused:
        await visitor.close(refused.code, refused.reason)
    except Gone:
        pass


async def main(tls: ssl.SSLContext) -> None:
    """Serve until standard input ends."""
    async with listen(_answer, tls) as listening:
        print(listening.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    context, certificate = throw_away_tls()
    Path(sys.argv[1]).write_text(certificate)
    asyncio.run(main(context))
