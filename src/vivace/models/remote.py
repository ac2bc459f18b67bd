"""What models on servers share: one client a loop, and errors in one voice."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from vivace.errors import ModelError, ModelMissing, ModelUnreachable

__all__ = [
    "CONNECT_S",
    "MAX_CONNECTIONS",
    "SILENCE_S",
    "PerLoop",
    "broke_off",
    "no_answer",
    "package",
    "refused",
]

CONNECT_S = 5.0
SILENCE_S = 30.0  # the longest that a server may say nothing, before the first token or later
MAX_CONNECTIONS = 256  # replies under way at once; one more waits, and fails after CONNECT_S

Client = TypeVar("Client")

_ADVICE = {
    401: "the key was refused; set {key} to a valid one",
    403: "the key does not allow this; set {key} to one that does",
    404: "there is no such model or address; check both",
    408: "it took too long; try again",
    413: "the prompt is too large; keep less history",
    429: "too many requests or no quota left; wait, or raise the quota",
}


class PerLoop(Generic[Client]):
    """One client for each running event loop: its connections belong to that loop.

    It is closed when the loop shuts down (`asyncio.run` does it), or by `aclose`.
    """

    def __init__(
        self, build: Callable[[], Client], close: Callable[[Client], Awaitable[None]]
    ) -> None:
        self._build = build
        self._close = close
        self._held: dict[asyncio.AbstractEventLoop, tuple[Client, AsyncGenerator[None, None]]] = {}

    async def get(self) -> Client:
        """The client of the running loop, made at the first call."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            client = self._build()
            # A loop closes the generators that were begun in it when it shuts down. That is the
            # one moment to close connections at which nobody has to remember to do so.
            holder = self._hold(loop, client)
            held = self._held[loop] = (client, holder)
            await anext(holder)
        return held[0]

    async def aclose(self) -> None:
        """Close the running loop's client, if there is one."""
        held = self._held.get(asyncio.get_running_loop())
        if held is not None:
            await held[1].aclose()

    async def _hold(
        self, loop: asyncio.AbstractEventLoop, client: Client
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            del self._held[loop]
            await self._close(client)


def package(name: str, extra: str) -> Any:
    """Import an SDK. Raises ModelMissing with the command that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelMissing(
            f"the package {name} is not installed; run: pip install 'vivace[{extra}]'"
        ) from error


def refused(where: str, status: int, detail: str, key: str) -> ModelError:
    """The server answered with an error. key: the name of the variable that holds the key."""
    said = " ".join(detail.split())[:200]
    if status in _ADVICE or status >= 500:
        advice = _ADVICE.get(status, "the server failed; try again later")
        return ModelUnreachable(f"{where} answered {status}: {advice.format(key=key)} ({said})")
    return ModelError(f"{where} answered {status}: it does not accept this request ({said})")


def no_answer(where: str, cause: BaseException | None) -> ModelUnreachable:
    """Nobody is there, or nobody answers in time."""
    if isinstance(cause, TimeoutError) or "timeout" in type(cause).__name__.lower():
        return ModelUnreachable(
            f"{where} did not answer in time; check that it runs and is not overloaded"
        )
    why = f" ({cause})" if cause and str(cause) else ""
    return ModelUnreachable(
        f"{where} cannot be reached{why}; check the address and that the server runs"
    )


def broke_off(where: str, cause: BaseException | None = None) -> ModelError:
    """The reply ended in the middle."""
    why = f" ({cause})" if cause and str(cause) else ""
    return ModelError(f"{where} broke off in the middle of a reply{why}; ask again")
