"""One message of a live model's server, in words of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vivace.machines.connection import Dial
from vivace.machines.machine import Job
from vivace.machines.outbound import Message
from vivace.part import Audio, Call

__all__ = ["Heard", "Rubbish", "Sent", "ServerMessage", "Transmit", "Unsent"]


class ServerMessage(msgspec.Struct, frozen=True):
    """Any number of news; several may come in one message.

    sound, text: of the model. said: a piece of the transcript of its sound. heard: of the user's;
    finished: its last. interim: what the user has said so far, as it seems. busy: more may come
    though the turn is complete. left_s: of a goAway, if it says. handle, resumable: None if it is
    about no handle. usage: tokens. activity: "start" or "end", of the user's voice, as detected.
    """

    sound: tuple[Audio, ...] = ()
    text: str = ""
    said: str = ""
    heard: str = ""
    finished: bool = False
    interim: str = ""
    calls: tuple[Call, ...] = ()
    cancelled: tuple[str, ...] = ()
    interrupted: bool = False
    generation_complete: bool = False
    turn_complete: bool = False
    reason: str = ""
    waiting: bool = False
    busy: bool = False
    go_away: bool = False
    left_s: float | None = None
    handle: str = ""
    resumable: bool | None = None
    usage: Mapping[str, Any] = {}
    activity: str = ""

    @property
    def speaks(self) -> bool:
        """True if there is something of a reply in it that can be heard or read."""
        return bool(self.sound or self.text or self.said)


class Heard(msgspec.Struct, frozen=True):
    """The server has sent a message over this connection."""

    dial: Dial
    message: ServerMessage


class Rubbish(msgspec.Struct, frozen=True):
    """The server has sent something that cannot be read."""

    dial: Dial
    error: str


class Transmit(Job, frozen=True, eq=False):
    """Send what is told, over this connection, until it ends."""

    dial: Dial


class Sent(msgspec.Struct, frozen=True):
    """The message is in the socket."""

    transmit: Transmit
    message: Message


class Unsent(msgspec.Struct, frozen=True):
    """The message cannot be sent, whatever the connection."""

    transmit: Transmit
    message: Message
    error: str
