"""Signals: things that happened, which keep their place among the media or overtake them.

They are bodies of parts; import them from `vivace.part`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = [
    "Ask",
    "Held",
    "InputEnded",
    "Interrupted",
    "Played",
    "PlayedTo",
    "Playing",
    "Reset",
    "Resumed",
    "Say",
    "Signal",
    "SpeechEnded",
    "SpeechStarted",
    "TurnComplete",
    "TurnEnded",
    "TurnReason",
]


class Signal(msgspec.Struct, frozen=True, gc=False):
    """Something happened. Signals keep their place among the media, except those that overtake."""


class SpeechStarted(Signal, frozen=True, tag="speech_started", omit_defaults=True):
    """The user began to make a sound like speech, at media time `at` (seconds).

    probability: how sure the detector is that it is speech, 0 to 1.
    """

    at: float
    probability: float = 1.0


class SpeechEnded(Signal, frozen=True, tag="speech_ended", omit_defaults=True):
    """The user has been silent since media time `at` (seconds).

    transcript_follows: a transcriber upstream promises one more text, perhaps empty, for it.
    turn_follows: a detector upstream will tell whether the turn has ended, by `TurnEnded`.
    """

    at: float
    transcript_follows: bool = False
    turn_follows: bool = False


class TurnEnded(Signal, frozen=True, tag="turn_ended"):
    """The user has finished and expects an answer; silent since media time `at` (seconds)."""

    at: float


TurnReason: TypeAlias = Literal["done", "failed", "interrupted", "timeout"]


class TurnComplete(Signal, frozen=True, tag="turn_complete", omit_defaults=True):
    """No more parts of reply `turn` will come. Each reply has exactly one of these."""

    turn: int
    reason: TurnReason = "done"


class Say(Signal, frozen=True, tag="say", omit_defaults=True):
    """From the program: let the agent say this, as a reply of its own, when nobody speaks.

    protected: nothing that the user does interrupts it, as a notice that the law asks for.
    """

    text: str
    protected: bool = False


class Ask(Signal, frozen=True, tag="ask"):
    """From the program: let the model answer again, when nobody speaks, though nothing is new."""


class InputEnded(Signal, frozen=True, tag="input_ended"):
    """The user's side is over; what is under way may still be answered."""


class Interrupted(Signal, frozen=True, tag="interrupted", omit_defaults=True):
    """Overtakes. Replies up to `turn` are void; `heard` is what the user heard of the last one."""

    turn: int
    heard: str = ""


class Reset(Signal, frozen=True, tag="reset"):
    """Overtakes. Forget what is under way; replies up to `turn` are void."""

    turn: int = 0


class Held(Signal, frozen=True, tag="held"):
    """Overtakes. Reply `turn` falls silent at once, and may go on later."""

    turn: int


class Resumed(Signal, frozen=True, tag="resumed"):
    """Overtakes. Reply `turn` goes on at the very sample where it was held."""

    turn: int


class Playing(Signal, frozen=True, tag="playing"):
    """From the pacer: the first sound of reply `turn` has left."""

    turn: int


class Played(Signal, frozen=True, tag="played", omit_defaults=True):
    """From the pacer: the last sound of reply `turn` has been heard."""

    turn: int
    reason: TurnReason = "done"


class PlayedTo(Signal, frozen=True, tag="played_to"):
    """From the listener's side: so many `seconds` of reply `turn` have been played there.

    Counted from the reply's first sample, however often it was held. Where nobody reports, what
    was heard is estimated.
    """

    turn: int
    seconds: float
