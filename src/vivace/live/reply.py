"""Replies as jobs: one lets the model make a reply, another gives it out under a number.

So a reply can be made before anybody wants it, and be given out later, again, or not at all.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from vivace.machines.machine import Job
from vivace.part import Audio, Call, Event, Part, Response

__all__ = [
    "AudioTriggerMode",
    "FirstToken",
    "GiveReply",
    "MakeReply",
    "OwnResponse",
    "PromptEnded",
    "as_told",
]


class AudioTriggerMode(StrEnum):
    """What the model is asked with once the user's turn has ended."""

    FINAL_TRANSCRIPTION = "final_transcription"  # the text of what was said
    END_OF_SPEECH = "end_of_speech"  # the sound of what was said, for models that hear


class MakeReply(Job, frozen=True, eq=False):
    """Let the model read `prompt`, then each part that it is told, until it is told `PromptEnded`.

    ended: the prompt is complete already. said: the prompt is to be spoken as it is, by no model.
    after: the step of the same reply before this one, if it has waited for tools. space: one is
    needed before what is said next.
    """

    prompt: tuple[Part, ...]
    ended: bool = False
    said: bool = False
    after: MakeReply | None = None
    space: bool = False


class PromptEnded(msgspec.Struct, frozen=True):
    """The prompt is complete: the model may answer."""


class GiveReply(Job, frozen=True, eq=False):
    """Give out what `made` makes as reply `turn`.

    If it had another number before, `made` has been told what was heard of it (`Reply`), and the
    rest is given.
    """

    made: MakeReply
    turn: int


class FirstToken(msgspec.Struct, frozen=True):
    """The model has begun to answer."""

    turn: int


class OwnResponse(msgspec.Struct, frozen=True):
    """A reply has run a tool itself: `part` is what that answered."""

    part: Part


def as_told(part: Part) -> str:
    """A part of the prompt as a line of text, for whoever wants to read along."""
    match part.body:
        case str(text):
            return text
        case Audio(seconds=seconds):
            return f"({part.mimetype}, {seconds:.1f} s)"
        case Event():
            return part.body.told
        case Call(name=name) | Response(name=name):
            return f"({type(part.body).__name__.lower()} of {name})"
        case _:
            return f"({part.mimetype})"
