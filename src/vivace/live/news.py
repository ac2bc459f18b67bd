"""What a conversation tells on `status`, for whoever watches it."""

from __future__ import annotations

import math

from vivace.live.latency import Latency
from vivace.part import Data, Part, TurnComplete, TurnReason

__all__ = ["News"]


class News:
    """Makes the parts. zero: the clock's reading at the start of the run."""

    def __init__(self, zero: float) -> None:
        self._zero = zero
        self.latency: Latency = Latency()

    def tell(self, event: str, now: float, **facts: object) -> Part:
        """`event` has happened."""
        at = round(now - self._zero, 6)
        news = {"event": event, **facts}
        return Part(Data(news), role="model", substream="status", at=at)

    def failed(self, what: str, error: str, now: float, **facts: object) -> Part:
        """`what` has failed."""
        return self.tell("failed", now, what=what, **facts, error=error)

    def latency_of(self, turn: int, now: float, heard_at: float) -> list[Part]:
        """How long each step towards this reply took, once its first sound was sent.

        heard_at: when that is heard, on the clock.
        """
        told = self.latency.audible(now)
        if told is None:
            return []
        times = {"ended_at": told[0], "heard_at": heard_at}
        facts = {name: round(at - self._zero, 6) for name, at in times.items()}
        return [self.tell("latency", now, turn=turn, **facts, ms=told[1])]

    def held(self, turn: int, now: float, since: float) -> Part:
        """The user made a sound over the reply, `since` then, and it has fallen silent."""
        after = {"after_s": round(now - since, 6)} if math.isfinite(since) else {}
        return self.tell("held", now, turn=turn, **after)

    @staticmethod
    def complete(turn: int, reason: TurnReason) -> Part:
        """Reply `turn` is over, as far as the model is concerned."""
        return Part(TurnComplete(turn, reason), role="model", turn=turn)
