"""Any agent as a Gemini Live server: what its clients say becomes parts, and its parts frames.

This file owns the sessions. One outlives its connections: for a while after one is gone, a client
that comes with its handle goes on where it was, and the agent has noticed nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

from vivace.errors import Closed, PartError, StageError, VivaceError
from vivace.flow.channel import Channel
from vivace.flow.processor import Processor
from vivace.flow.scope import Scope
from vivace.machines.json_text import plain
from vivace.machines.transcripts import is_interim
from vivace.models.live_facts import LiveFacts
from vivace.part import Audio, Call, Interrupted, Part, Response, TurnComplete
from vivace.processors.resample import resampled
from vivace.processors.tool import Toolbox
from vivace.server.gemini_frames import (
    Frame,
    call,
    called_in,
    cancellation,
    content,
    heard,
    resumption,
    said,
    set_up_complete,
)
from vivace.server.gemini_order import Order
from vivace.server.gemini_reader import Reader
from vivace.server.gemini_socket import Gone, Socket, Visitor
from vivace.server.gemini_tools import ClientTools
from vivace.server.gemini_wire import Refused, Setup, ToolAnswers

__all__ = ["GeminiFront"]

_RATE_HZ = 24_000  # what clients of the service expect
_FRAMES = 1024  # that wait for a client: then the agent waits
_PARTS = 256  # of the user's that wait for the agent
_CALLS = 4096  # that may be answered: far more than are ever out
_KEPT_S = 120.0  # how long a session without a connection is kept
_SET_UP_S = 10.0  # for a client to say what it wants
_FACTS = LiveFacts(content="always", tools="non_blocking", thinking_level=True)


class GeminiFront:
    """agent: holds each conversation; or a function that makes one for each, of the tools that its
    client has declared, which the agent runs like its own. One that is given, and not made, knows
    nothing of them: what it calls by their names is called, and the answers come as parts. Turns
    that want no answer come as texts with `context` in their metadata.
    keys: that clients may come with; any if there are none. max_sessions: at once. One that waits
    for its client to come back gives way to a new one.

    What an agent raises ends its session, and goes to the exception handler of the loop. What the
    function raises of ours refuses the client, with its words.
    """

    def __init__(
        self,
        agent: Processor | Callable[[Toolbox], Processor],
        keys: Iterable[str] = (),
        *,
        max_sessions: int = 64,
    ) -> None:
        if max_sessions < 1:
            raise StageError(f"a server for {max_sessions} sessions serves nobody; use 1 or more")
        self._agent = agent
        self._keys = set(keys)
        self._max_sessions = max_sessions
        self._sessions: dict[str, _Session] = {}  # by their handles, the oldest first
        self._scope = Scope(_report)

    async def handle(self, socket: Socket) -> None:
        """Answer one connection, to its end. For `listen`."""
        visitor = Visitor(socket)
        session: _Session | None = None
        try:
            async with asyncio.timeout(_SET_UP_S):
                setup = await visitor.set_up()
            session = self._admit(visitor, setup)
            await visitor.send(set_up_complete(session.handle))
            await session.serve(visitor)
        except Refused as refused:
            await visitor.close(refused.code, refused.reason)
        except TimeoutError:
            await visitor.close(1008, f"no setup came within {_SET_UP_S:g} s")
        except Gone:
            pass
        finally:
            if session is not None:
                self._leave(session)

    async def aclose(self) -> None:
        """End all sessions."""
        await self._scope.stop()

    def _admit(self, visitor: Visitor, setup: Setup) -> _Session:
        if self._keys and visitor.key not in self._keys:
            raise Refused(1007, "API key not valid. Please pass a valid API key.")
        visitor.order = Order(setup, _FACTS, resumed=bool(setup.handle))
        if not setup.handle:
            session = _Session(setup, runs_tools=not isinstance(self._agent, Processor))
            agent = self._agent_for(session)
            self._make_room()
            self._sessions[session.handle] = session
            session.task = self._scope.start(session.hold(agent), "a served session")
        elif setup.handle not in self._sessions:
            raise Refused(1008, "BidiGenerateContent session not found")
        else:
            session = self._sessions[setup.handle]
            if session.visited:
                raise Refused(1011, "the session is in use by another connection")
        # They are the session's: one may be answered by another connection than it came by.
        visitor.order.calls = session.calls
        session.visited = True
        if session.forgotten is not None:
            session.forgotten.cancel()
        return session

    def _agent_for(self, session: _Session) -> Processor:
        if isinstance(self._agent, Processor):
            return self._agent
        try:
            return self._agent(session.tools.toolbox)
        except VivaceError as error:
            raise Refused(1007, str(error)) from error

    def _make_room(self) -> None:
        if len(self._sessions) < self._max_sessions:
            return
        waiting = next((it for it in self._sessions.values() if not it.visited), None)
        if waiting is None:
            count = self._max_sessions
            raise Refused(1013, f"{count} of {count} sessions are taken; try again later")
        self._end(waiting)

    def _leave(self, session: _Session) -> None:
        """The client has left: it may come back, if it asked for a handle."""
        session.visited = False
        if not session.resumable or session.over:
            self._end(session)
            return
        loop = asyncio.get_running_loop()
        session.forgotten = loop.call_later(_KEPT_S, self._end, session)

    def _end(self, session: _Session) -> None:
        self._sessions.pop(session.handle, None)
        session.inbox.close()
        if session.forgotten is not None:
            session.forgotten.cancel()
        if session.task is not None:
            session.task.cancel()


class _Session:
    """runs_tools: the agent runs the client's as its own."""

    def __init__(self, setup: Setup, *, runs_tools: bool) -> None:
        self.handle = secrets.token_hex(8)
        self.resumable = setup.resumption
        self.visited = False
        self.over = False
        self.forgotten: asyncio.TimerHandle | None = None  # when its client has been away too long
        self.task: asyncio.Task[object] | None = None
        self.inbox = Channel[Part](_PARTS)
        self.calls: dict[str, str] = {}  # that the client may answer: names by id
        self._frames = Channel[Frame](_FRAMES)
        self.tools = ClientTools(setup.tools, self._frames.send_nowait, self._frames.purge)
        self._setup = setup
        self._runs_tools = runs_tools
        self._reader = Reader()
        self._unsent: Frame | None = None  # its connection may have gone before it had it
        self._failed = False
        self._open = False  # a reply has begun, and has not ended
        self._as_text = setup.as_text
        self._transcribes = "outputAudioTranscription" in setup.config
        self._user_transcribed = "inputAudioTranscription" in setup.config

    # -- the agent ----------------------------------------------------------------------------

    async def hold(self, agent: Processor) -> None:
        """Hold the conversation, to the end of its input."""
        try:
            async with agent.run(self._input()) as parts:
                async for part in resampled(parts, _RATE_HZ):
                    if isinstance(part.body, Interrupted):
                        self._purge()
                    for frame in self._written(part):
                        await self._frames.send(frame)
        except Exception:
            self._failed = True
            raise
        finally:
            self.over = True
            self._frames.close()

    def _purge(self) -> None:
        self._frames.purge(_is_of_a_reply)
        if self._unsent is not None and _is_of_a_reply(self._unsent):
            self._unsent = None

    async def _input(self) -> AsyncIterator[Part]:
        if self._setup.system:
            yield Part(self._setup.system, role="system")
        async for part in self.inbox:
            yield part

    def _written(self, part: Part) -> list[Frame]:
        match part.body:
            case Audio(pcm=pcm, words=words) if part.role == "model":
                self._open = True
                sound = [] if self._as_text or not pcm else [said(pcm, rate=_RATE_HZ)]
                return [*sound, *self._words(words)]
            case str(text) if part.role == "model" and not part.substream:
                self._open = True
                return self._words(text)
            case str(text) if part.role == "user" and self._user_transcribed:
                return [] if is_interim(part) else [heard(user=text, finished=True)]
            case Call() | Response() if self._runs_tools:
                return []
            case Call(name=name) as asked if name in self._setup.tools:
                return self._asked(asked)  # others are the agent's own, and answered there
            case Response(id=id):
                return self._answered(id)
            case Interrupted() if self._open:
                return [content(interrupted=True)]
            case TurnComplete(reason=reason):
                self._open = False
                made = [] if reason == "interrupted" else [content(generationComplete=True)]
                handle = [resumption(self.handle)] if self.resumable else []
                return [*made, content(turnComplete=True), *handle]
            case _:
                return []

    def _asked(self, asked: Call) -> list[Frame]:
        """The client is called; or the agent is told why it cannot be."""
        try:
            return [call(asked.name, plain(asked.args), asked.id)]
        except PartError as error:
            with suppress(Closed):
                self.inbox.send_nowait(Part.response(asked.name, id=asked.id, error=str(error)))
            return []

    def _answered(self, id: str) -> list[Frame]:
        """A call has its answer. If that did not come from the client, it is waited for no more."""
        if self._frames.purge(lambda frame: id in called_in(frame)) or id not in self.calls:
            return []
        return [cancellation(id)]

    def _words(self, text: str) -> list[Frame]:
        """What is said, as the client wants to read it."""
        if self._as_text:
            return [said(text=text)] if text else []
        return [heard(model=text)] if text and self._transcribes else []

    # -- the client ---------------------------------------------------------------------------

    async def serve(self, visitor: Visitor) -> None:
        """Read and write until the client leaves. Raises Gone or Refused."""
        scope = Scope(lambda error: None)
        reads = scope.start(self._read(visitor), "reads a client")
        writes = scope.start(self._write(visitor), "writes to a client")
        try:
            await asyncio.wait([reads, writes], return_when=asyncio.FIRST_COMPLETED)
            (reads if reads.done() else writes).result()
        finally:
            await scope.stop()

    async def _read(self, visitor: Visitor) -> None:
        order = visitor.order
        assert order is not None, "whoever is let in has one"
        while True:
            history = order.history  # before the message, which may be what ends it
            message = await visitor.receive()
            if isinstance(message, ToolAnswers) and self._runs_tools:
                for answer in message.answers:
                    self.tools.answer(answer)
                continue
            with suppress(Closed):
                for part in self._reader.parts(message, history=history):
                    await self.inbox.send(part)

    async def _write(self, visitor: Visitor) -> None:
        if self.resumable:
            await visitor.send(resumption(self.handle))
        if self._unsent is not None:
            await self._send(visitor, self._unsent)
        async for frame in self._frames:
            await self._send(visitor, frame)
        if self._failed:
            raise Refused(1011, "Internal error encountered.")
        raise Refused(1000, "the agent has finished")

    async def _send(self, visitor: Visitor, frame: Frame) -> None:
        self._unsent = frame
        for each in frame.get("toolCall", {}).get("functionCalls", ()):
            self.calls[each["id"]] = each["name"]
            if len(self.calls) > _CALLS:  # a client need not answer what was cancelled
                del self.calls[next(iter(self.calls))]
        await visitor.send(frame)
        self._unsent = None


def _is_of_a_reply(frame: Frame) -> bool:
    told = frame.get("serverContent", {})
    return "modelTurn" in told or "outputTranscription" in told


def _report(error: BaseException) -> None:
    context = {"message": "a served session has failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
