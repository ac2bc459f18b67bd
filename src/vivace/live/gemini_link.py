"""The shell's side of a live session: connections by the google-genai SDK, and what goes over them.

This file owns every call of the SDK that waits. Setting up, sending and closing each have a limit.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

from vivace.flow.eager import noticing
from vivace.flow.jobs import Shell
from vivace.live.gemini_messages import read, send
from vivace.live.gemini_sender import Sender
from vivace.live.session_link import LinkLost
from vivace.machines.connection import Dial, Opened
from vivace.machines.machine import Job
from vivace.machines.outbound import Message
from vivace.machines.server_message import Heard, Rubbish, Sent, Transmit, Unsent
from vivace.machines.tools import RunTool
from vivace.models.remote import package
from vivace.processors.tool import Toolbox

__all__ = ["CLOSE_S", "GeminiLink", "socket_options"]

CLOSE_S = 1.5  # less than a stage has to stop in
_PING_S = 60.0  # real pongs were seen after 30 s: a shorter limit ends calls that are well
_FRAME_BYTES = 32 * 2**20  # the library's own limit, 1 MiB, ends sessions over a long sentence
_RUBBISH = 8  # messages in a row that cannot be read: then the connection is no good
_ABNORMAL = 1006


def socket_options(set_up_s: float) -> dict[str, Any]:
    """Options of a WebSocket that lasts, for the SDK's `async_client_args`."""
    client = package("websockets.asyncio.client", "gemini").ClientConnection

    class Bounded(client):  # type: ignore[misc,valid-type]
        """Closes within a limit, also while its sending side is full."""

        async def close(self, code: int = 1000, reason: str = "") -> None:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await super().close(code, reason)
            except TimeoutError:
                self.transport.abort()

    return {
        "create_connection": Bounded,
        "open_timeout": set_up_s,
        "close_timeout": CLOSE_S / 2,
        "ping_interval": _PING_S,
        "ping_timeout": _PING_S,
        "max_size": _FRAME_BYTES,
        "compression": None,  # sound in base64 gets hardly smaller, and each frame is waited for
    }


class GeminiLink:
    """Does the jobs of one session.

    client: of the SDK. config: what to ask for, by connection. tools: are run here. send_s: a
    message that is not in the socket after so long ends the connection.
    """

    def __init__(
        self,
        client: Any,
        model: str,
        config: Callable[[Dial], Mapping[str, Any]],
        tools: Toolbox,
        send_s: float,
    ) -> None:
        self._client = client
        self._model = model
        self._config = config
        self._tools = tools
        self._send_s = send_s
        self._genai = package("google.genai", "gemini")
        self._websockets = package("websockets.exceptions", "gemini")
        self._sessions: WeakKeyDictionary[Dial, Any] = WeakKeyDictionary()
        self._senders: WeakKeyDictionary[Transmit, Sender] = WeakKeyDictionary()

    def told(self, job: Job, item: object) -> None:
        """Send a message. The session tells no more at once than its window."""
        assert isinstance(job, Transmit)
        self._sender(job).put(cast("Message", item))

    async def do(self, job: Job, shell: Shell) -> object:
        """Do a job."""
        match job:
            case RunTool(call=call):
                return await self._tools.run(call)
            case Dial():
                await self._listen(job, shell)
            case Transmit():
                await self._sender(job).run(partial(self._send, job), shell.post)
        return None

    # -- listening ----------------------------------------------------------------------------

    async def _listen(self, dial: Dial, shell: Shell) -> None:
        # The server takes one connection a session: the old one is gone before a new one comes.
        await shell.cleanup(CLOSE_S + 0.5, Dial)
        live = self._client.aio.live
        try:
            async with live.connect(model=self._model, config=self._config(dial)) as session:
                if session.setup_complete is None:
                    raise LinkLost(_ABNORMAL, "the first message was no setupComplete")
                self._sessions[dial] = session
                shell.post(Opened(dial))
                try:
                    await self._hear(session, dial, shell)
                except asyncio.CancelledError:
                    await session.close()  # in good order: the library would say 1011
                    raise
        except LinkLost:
            raise
        except Exception as error:
            raise self._lost(error) from error

    async def _hear(self, session: Any, dial: Dial, shell: Shell) -> None:
        unreadable = 0
        while unreadable < _RUBBISH:
            try:
                async with aclosing(session.receive()) as messages:
                    while True:
                        message, waited = await noticing(anext(messages, None))
                        if message is None:  # it ends with each turn
                            break
                        shell.post(Heard(dial, read(message)))
                        unreadable = 0
                        if not waited:  # many may wait: others have their turn, too
                            await asyncio.sleep(0)
                        await shell.room()
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                unreadable += 1
                shell.post(Rubbish(dial, _short(error)))
            except self._genai.errors.APIError as error:
                if isinstance(error.code, int) and error.code >= 1000:
                    raise
                unreadable += 1
                shell.post(Rubbish(dial, _short(error)))
        raise LinkLost(_ABNORMAL, f"{_RUBBISH} messages in a row could not be read")

    def _lost(self, error: Exception) -> LinkLost:
        code, reason, draw = _ABNORMAL, _short(error), random.random()
        if isinstance(error, self._genai.errors.APIError):
            code, reason = error.code or code, str(error.details or "")
        elif isinstance(error, self._websockets.InvalidStatus):
            response = error.response
            code, reason = response.status_code, (response.body or b"").decode(errors="replace")
        elif isinstance(error, ssl.SSLCertVerificationError):
            code = 1015
        return LinkLost(code, reason, draw)

    # -- sending ------------------------------------------------------------------------------

    def _sender(self, job: Transmit) -> Sender:
        sender = self._senders.get(job)
        if sender is None:
            sender = self._senders[job] = Sender()
        return sender

    async def _send(self, job: Transmit, message: Message) -> Sent | Unsent | None:
        """Returns None where whoever listens knows why. Raises LinkLost if it takes too long."""
        try:
            async with asyncio.timeout(self._send_s):
                await send(self._sessions[job.dial], message, self._genai.types)
        except TimeoutError as error:
            reason = f"a message could not be sent within {self._send_s:g} s"
            raise LinkLost(_ABNORMAL, reason, random.random()) from error
        except self._websockets.ConnectionClosed:
            return None
        except Exception as error:
            return Unsent(job, message, _short(error))
        return Sent(job, message)


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
