"""A Gemini Live server on this machine that does what a script says, for tests of its clients.

It speaks the service's protocol over TLS WebSockets, is as strict as the service about what it is
sent, and keeps a transcript of every connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from vivace.flow.clock import now
from vivace.flow.scope import Scope
from vivace.models.live_facts import MODELS, LiveFacts
from vivace.server.certificate import throw_away_tls, trusting_tls
from vivace.server.gemini_frames import set_up_complete
from vivace.server.gemini_order import Order
from vivace.server.gemini_socket import Gone, Socket, Visitor, listen
from vivace.server.gemini_wire import AudioHeard, ClientMessage, Refused, Setup, TextHeard
from vivace.testing.gemini_script import (
    Close,
    Delay,
    Drop,
    Expect,
    Garbage,
    Handle,
    ReadOn,
    Script,
    SetUp,
    Slow,
    Step,
    StopReading,
    frames_of,
    matches,
)

__all__ = ["FakeConnection", "FakeGeminiLive"]

_NO_KEY = "Method doesn't allow unregistered callers. Please use an API Key."
_BAD_KEY = "API key not valid. Please pass a valid API key."
_NO_MODEL = "models/{model} is not found for API version v1, or is not supported for bidi"
_NO_SESSION = "BidiGenerateContent session not found"
_IN_USE = "the session is in use by another connection; close that one first"


class FakeConnection:
    """The transcript of one connection.

    received: what came, with the time. sent: frames, likewise. known: what the session knows of
    what its client said, over all its connections. ended: the code it ended with, and by whom.
    """

    def __init__(self, number: int, key: str) -> None:
        self.number = number
        self.key = key
        self.setup: Setup | None = None
        self.received: list[tuple[float, ClientMessage]] = []
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.known: list[ClientMessage] = []
        self.resumed = False
        self.ended: tuple[int, str] | None = None
        self.opened_at = now()
        self.ended_at: float | None = None

    @property
    def messages(self) -> list[ClientMessage]:
        """What came, without the times."""
        return [message for _, message in self.received]

    @property
    def pcm(self) -> bytes:
        """The sound that came."""
        return b"".join(it.pcm for it in self.messages if isinstance(it, AudioHeard))

    @property
    def texts(self) -> list[str]:
        """The realtime texts that came."""
        return [it.text for it in self.messages if isinstance(it, TextHeard)]

    def of(self, kind: type[Any]) -> list[Any]:
        """What came of this kind."""
        return [it for it in self.messages if isinstance(it, kind)]


class _Session:
    """What outlives connections. open: one of them is."""

    def __init__(self) -> None:
        self.open = False


class FakeGeminiLive:
    """Answers the first connection by the first script, the second by the second, and so on.

    After the last script, and where one has ended, it reads on and says nothing.

    keys: that are valid. models: what there is, with what each can do. unread: frames that were on
    their way when the server closed, where it is reached in memory.
    """

    def __init__(
        self,
        *scripts: Script,
        keys: Iterable[str] = ("key",),
        models: Mapping[str, LiveFacts] = MODELS,
    ) -> None:
        self.scripts = list(scripts)
        self.connections: list[FakeConnection] = []
        self.failures: list[str] = []
        self.unread: list[str | bytes] = []
        self.url = ""
        self.certificate = ""
        self._keys = set(keys)
        self._models = dict(models)
        self._handles: dict[str, tuple[_Session, list[ClientMessage]]] = {}

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[FakeGeminiLive]:
        """Listen on this machine. Raises AssertionError at the end for what was not as scripted."""
        tls, self.certificate = throw_away_tls()
        async with listen(self.handle, tls, port=port) as listening:
            self.url = listening.url
            yield self
        self.check()

    def check(self) -> None:
        """Raise AssertionError for what was not as scripted."""
        assert not self.failures, "; ".join(self.failures)

    @property
    def tls(self) -> ssl.SSLContext:
        """For a client: trusts this server."""
        return trusting_tls(self.certificate)

    @property
    def http_options(self) -> dict[str, Any]:
        """For `LiveProcessor`, or for `HttpOptions` of the SDK."""
        return {"base_url": self.url, "async_client_args": {"ssl": self.tls}}

    # -- one connection -----------------------------------------------------------------------

    async def handle(self, socket: Socket) -> None:
        """Answer one connection, to its end."""
        visitor = Visitor(socket)
        connection = FakeConnection(len(self.connections) + 1, visitor.key)
        self.connections.append(connection)
        session: _Session | None = None
        try:
            session = await self._admit(visitor, connection)
            await _Play(self, visitor, connection, session).play(self._script(connection))
        except Refused as refused:
            connection.ended = connection.ended or (refused.code, "server")
            await visitor.close(refused.code, refused.reason)
        except Gone as gone:
            connection.ended = connection.ended or (gone.code, "client")
        finally:
            connection.ended_at = now()
            if session is not None:
                session.open = False

    def _script(self, connection: FakeConnection) -> list[Step]:
        index = connection.number - 1
        script = list(self.scripts[index]) if index < len(self.scripts) else []
        return script if any(isinstance(it, SetUp) for it in script) else [SetUp(), *script]

    async def _admit(self, visitor: Visitor, connection: FakeConnection) -> _Session:
        connection.setup = setup = await visitor.set_up()
        if not visitor.key:
            raise Refused(1008, _NO_KEY)
        if visitor.key not in self._keys:
            raise Refused(1007, _BAD_KEY)
        facts = self._models.get(setup.model)
        if facts is None:
            raise Refused(1008, _NO_MODEL.format(model=setup.model))
        session = _Session()
        if setup.handle:
            if setup.handle not in self._handles:
                raise Refused(1008, _NO_SESSION)
            session, known = self._handles[setup.handle]
            if session.open:
                raise Refused(1011, _IN_USE)
            connection.known = list(known)
            connection.resumed = True
        visitor.order = Order(setup, facts, resumed=connection.resumed)
        session.open = True
        return session

    def _gives(self, handle: str, session: _Session, connection: FakeConnection) -> None:
        self._handles[handle] = session, list(connection.known)

    def forget(self, handle: str) -> None:
        """From now on this handle is refused."""
        self._handles.pop(handle, None)


class _Play:
    """One connection's script under way."""

    def __init__(
        self,
        server: FakeGeminiLive,
        visitor: Visitor,
        connection: FakeConnection,
        session: _Session,
    ) -> None:
        self._server = server
        self._visitor = visitor
        self._connection = connection
        self._session = session
        self._came = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._seen = 0  # messages that were expected, or passed over

    async def play(self, script: list[Step]) -> None:
        """Do the steps, and read meanwhile. Raises Refused or Gone, whichever ends it."""
        scope = Scope(lambda error: None)
        reader = scope.start(self._read(), "fake server reads")
        player = scope.start(self._steps(script), "fake server plays")
        left = scope.start(self._visitor.left(), "fake server waits")
        try:
            await asyncio.wait([reader, player, left], return_when=asyncio.FIRST_COMPLETED)
            if player.done():
                player.result()
            await asyncio.wait([reader, left], return_when=asyncio.FIRST_COMPLETED)
            self._reading.set()  # what the client had sent before it left is still read
            await reader
        finally:
            await scope.stop()

    async def _read(self) -> None:
        while True:
            await self._reading.wait()
            message = await self._visitor.receive()
            self._connection.received.append((now(), message))
            self._connection.known.append(message)
            self._came.set()

    async def _steps(self, script: list[Step]) -> None:
        for step in script:
            await self._step(step)

    async def _step(self, step: Step) -> None:
        match step:
            case SetUp(session_id=session_id):
                await self._send(set_up_complete(session_id))
            case Expect():
                await self._expect(step)
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Drop():
                self._connection.ended = (1006, "server")
                self._visitor.drop()
            case Close(code=code, reason=reason):
                self._connection.ended = (code, "server")
                await self._visitor.close(code, reason)
            case Garbage(data=data):
                await self._visitor.send_raw(data)
            case StopReading():
                self._reading.clear()
            case ReadOn():
                self._reading.set()
            case _:
                if isinstance(step, Handle):
                    self._server._gives(step.handle, self._session, self._connection)
                for frame in frames_of(step):
                    await asyncio.sleep(step.every_s if isinstance(step, Slow) else 0)
                    await self._send(frame)

    async def _expect(self, step: Expect) -> None:
        try:
            async with asyncio.timeout(step.within_s):
                while not self._found(step):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            number, wanted = self._connection.number, step.kind.__name__
            failure = f"connection {number}: no {wanted} within {step.within_s:g} s"
            self._server.failures.append(failure)
            raise Refused(1011, failure) from None

    def _found(self, step: Expect) -> bool:
        while self._seen < len(self._connection.received):
            message = self._connection.received[self._seen][1]
            self._seen += 1
            if matches(step, message):
                return True
        return False

    async def _send(self, frame: dict[str, Any]) -> None:
        order = self._visitor.order
        if order is not None:
            for each in frame.get("toolCall", {}).get("functionCalls", ()):
                order.calls[each.get("id") or ""] = each["name"]
            for id in frame.get("toolCallCancellation", {}).get("ids", ()):
                order.calls.pop(id, None)
        self._connection.sent.append((now(), frame))
        await self._visitor.send(frame)
