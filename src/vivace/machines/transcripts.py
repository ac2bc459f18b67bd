"""What kind of text a transcript is, and what goes with one that was typed."""

from __future__ import annotations

import math
from collections.abc import Callable

from vivace.part import Part, SpeechEnded, SpeechStarted, TurnEnded

__all__ = ["TAIL_S", "TypedLines", "is_context", "is_interim", "is_spoken"]

# The rest of a word, where a key is let go before it is out; and what hangs on in a detector.
TAIL_S = 0.25
_AT_ONCE_S = 0.25  # of sound: so soon after a line comes its own end


def is_interim(part: Part) -> bool:
    """True for a text that a later one will replace.

    Transcripts may say so by `interim`, or by `is_final`; one that comes on the substream
    `input_transcription` and says nothing may still change.
    """
    metadata = part.metadata
    if metadata.get("interim"):
        return True
    if "is_final" in metadata or part.substream == "input_transcription":
        return not metadata.get("is_final")
    return False


def is_spoken(part: Part) -> bool:
    """True for a transcript: it has a place in the sound, or comes as one. Else it was typed."""
    as_one = "is_final" in part.metadata or part.substream == "input_transcription"
    return part.at is not None or as_one


def is_context(part: Part) -> bool:
    """True for what the model is to know, and nobody waits for an answer to: `context` says so."""
    return part.metadata.get("context") is True  # the word is a common one


class TypedLines:
    """Tells whose end a `TurnEnded` is: that of a line typed while the user speaks, or of a key.

    The user goes on speaking after the one, and has finished with the other.

    heard_at: tells up to which media time the user's sound has come. ended_line: the newest was a
    line's end, also where nobody spoke.
    """

    def __init__(self, heard_at: Callable[[], float]) -> None:
        self._heard_at = heard_at
        self.ended_line: bool = False
        self._speaking = False
        # A line was, in media time; infinity if none since they began or stopped speaking.
        self._typed_at = math.inf

    def take(self, part: Part) -> bool:
        """Take in a signal or a text. True for the end of a line beside what is being said."""
        match part.body:
            case SpeechStarted():
                self._speaking, self._typed_at = True, math.inf
            case SpeechEnded():
                self._speaking, self._typed_at = False, math.inf
            case str():
                of_the_user = part.role == "user" and not is_context(part)
                if of_the_user and not is_spoken(part):
                    self._typed_at = self._heard_at()
            case TurnEnded():
                self.ended_line = abs(self._heard_at() - self._typed_at) <= _AT_ONCE_S
                self._typed_at = math.inf
                return self.ended_line and self._speaking
        return False
