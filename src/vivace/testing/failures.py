"""How a run on virtual time can fail, other than by what the code under test raises."""

from __future__ import annotations

from collections.abc import Sequence

from vivace.errors import VivaceError

__all__ = ["Deadlock", "Leaked", "Livelock", "NotVirtual", "Unhandled"]


class Deadlock(VivaceError, RuntimeError):
    """Nothing can run and no timer is set: every task waits for something that cannot come."""


class Livelock(VivaceError, RuntimeError):
    """Callbacks and tasks keep each other running, and time never moves."""


class NotVirtual(VivaceError, RuntimeError):
    """The code waited for what virtual time cannot move: a socket, a process, a lost thread."""


class Leaked(VivaceError, RuntimeError):
    """A run ended while tasks still ran, or left an async generator unclosed."""


class Unhandled(VivaceError, ExceptionGroup[Exception]):
    """Errors that nobody caught: in a callback, in a task that nobody awaited, in a cleanup.

    asyncio gives them to the loop's exception handler, which by default writes a line in the log.
    """

    def derive(self, excs: Sequence[Exception], /) -> Unhandled:  # type: ignore[override]
        return Unhandled(self.message, excs)
