"""Asking for a reply: when, with what, and the news of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from vivace.machines.machine import Job
from vivace.part import Audio, Call, Data, Part, Response, TurnComplete, TurnReason

__all__ = ["AudioTriggerMode", "FirstToken", "StartReply", "as_told", "complete", "status"]


class AudioTriggerMode(StrEnum):
    """What the model is asked with once the user's turn has ended."""

    FINAL_TRANSCRIPTION = "final_transcription"  # the text of what was said
    END_OF_SPEECH = "end_of_speech"  # the sound of what was said, for models that hear


class StartReply(Job, frozen=True, eq=False):
    """Answer `prompt` as reply `turn`.

    space: one is needed before what is said next: the reply has waited for tools, and goes on.
    """

    turn: int
    prompt: tuple[Part, ...]
    space: bool = False


class FirstToken(msgspec.Struct, frozen=True):
    """The model has begun to answer."""

    turn: int


def as_told(prompt: Iterable[Part]) -> list[dict[str, str]]:
    """The parts of a prompt as lines of text, for whoever wants to read along."""
    return [{"role": part.role, "text": _line(part)} for part in prompt]


def complete(turn: int, reason: TurnReason) -> Part:
    """The end of a reply."""
    return Part(TurnComplete(turn, reason), role="model", turn=turn)


def status(event: str, at: float | None, **facts: object) -> Part:
    """News for whoever watches. at: seconds since the start of the run."""
    return Part(Data({"event": event, **facts}), role="model", substream="status", at=at)


def _line(part: Part) -> str:
    match part.body:
        case str(text):
            return text
        case Audio(seconds=seconds):
            return f"({part.mimetype}, {seconds:.1f} s)"
        case Call(name=name) | Response(name=name):
            return f"({type(part.body).__name__.lower()} of {name})"
        case _:
            return f"({part.mimetype})"
