"""The transcripts of a live model's server: pieces, in no order with the sound they are of.

This file owns when the user's text is final: when the server says so, which it may never do; when
no more has come for a second; or when the reply has ended.
"""

from __future__ import annotations

import math

__all__ = ["UserText"]

_QUIET_S = 1.0


class UserText:
    """Puts the pieces together. at: media time of the user's when the newest came."""

    def __init__(self) -> None:
        self.text: str = ""
        self.at: float = 0.0
        self._due = math.inf

    def add(self, piece: str, at: float, now: float) -> str:
        """A piece has come; what the user has said so far."""
        self.text += piece
        self.at = at
        self._due = now + _QUIET_S
        return self.text.strip()

    def take(self) -> str:
        """What the user has said is final; "" if it was nothing."""
        text, self.text, self._due = self.text.strip(), "", math.inf
        return text

    def tick(self, now: float) -> str:
        """Time has passed: the text, if it has become final."""
        return self.take() if now >= self._due else ""

    def deadline(self) -> float:
        """When `tick` is wanted next."""
        return self._due
