"""What a scripted Gemini Live server does, step by step. See `FakeGeminiLive`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, Union

import msgspec

from vivace.server.gemini_frames import resumption
from vivace.server.gemini_wire import ClientMessage

__all__ = [
    "Burst", "Close", "Delay", "Drop", "Duplicate", "Expect", "Garbage", "Handle", "ReadOn",
    "Script", "Send", "SetUp", "Slow", "Step", "StopReading",
]  # fmt: skip


class SetUp(msgspec.Struct, frozen=True):
    """Say `setupComplete`. A script without it begins with it; what stands before it is done first,
    once the client's set-up has come."""

    session_id: str = ""


class Expect(msgspec.Struct, frozen=True):
    """Wait for a message of this kind, later than the one that was expected before.

    where: only one for which this is true. within_s: else the server fails.
    """

    kind: type[Any]
    where: Callable[[Any], bool] = lambda _: True
    within_s: float = 20.0


class Send(msgspec.Struct, frozen=True):
    """Send a frame; see `vivace.server.gemini_frames`."""

    frame: dict[str, Any]


class Handle(msgspec.Struct, frozen=True):
    """Give a handle for the session as it is now, with all that was read of the client."""

    handle: str


class Delay(msgspec.Struct, frozen=True):
    """Do nothing for so many seconds. What comes is read."""

    seconds: float


class Drop(msgspec.Struct, frozen=True):
    """Cut the connection, without a word: the client sees 1006."""


class Close(msgspec.Struct, frozen=True):
    """Close the connection with a code."""

    code: int
    reason: str = ""


class Slow(msgspec.Struct, frozen=True):
    """Send frames, each so many seconds after the one before it."""

    frames: Sequence[dict[str, Any]]
    every_s: float


class Burst(msgspec.Struct, frozen=True):
    """Send frames all at once."""

    frames: Sequence[dict[str, Any]]


class Duplicate(msgspec.Struct, frozen=True):
    """Send one frame several times."""

    frame: dict[str, Any]
    times: int = 2


class Garbage(msgspec.Struct, frozen=True):
    """Send bytes as they are."""

    data: bytes = b'{"serverContent": {"modelTurn"'


class StopReading(msgspec.Struct, frozen=True):
    """Read nothing more, so that the client's sending side fills up."""


class ReadOn(msgspec.Struct, frozen=True):
    """Read again."""


Step: TypeAlias = Union[  # noqa: UP007
    SetUp, Expect, Send, Handle, Delay, Drop, Close, Slow, Burst, Duplicate, Garbage, StopReading,
    ReadOn,
]  # fmt: skip
Script: TypeAlias = Sequence[Step]


def frames_of(step: Step) -> list[dict[str, Any]]:
    """The frames that a step sends, in order."""
    match step:
        case Send(frame=frame):
            return [frame]
        case Burst(frames=frames) | Slow(frames=frames):
            return list(frames)
        case Duplicate(frame=frame, times=times):
            return [frame] * times
        case Handle(handle=handle):
            return [resumption(handle)]
        case _:
            return []


def matches(step: Expect, message: ClientMessage) -> bool:
    """Is this what was expected?"""
    return isinstance(message, step.kind) and step.where(message)
