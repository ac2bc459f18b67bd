"""How long an answer took, step by step from the end of the user's speech."""

from __future__ import annotations

__all__ = ["Latency"]


class Latency:
    """Notes when each step was reached, on the clock.

    A turn's marks go with the reply that answers it: what is heard meanwhile (a cough over a model
    that thinks) begins marks of its own.
    """

    def __init__(self) -> None:
        self._turn: dict[str, float] = {}  # of the user's turn under way
        self._reply: dict[str, float] = {}  # of the turn that the newest reply answers

    def speech_ended(self, at: float) -> None:
        """The user fell silent at `at`; everything is counted from the newest such moment."""
        self._turn = {"speech_ended": at}

    def mark(self, step: str, now: float) -> None:
        """The user's turn has reached `step`; only the first time counts."""
        self._turn.setdefault(step, now)

    def mark_reply(self, step: str, now: float) -> None:
        """The reply has reached `step`; only the first time counts."""
        self._reply.setdefault(step, now)

    def asked(self) -> None:
        """The turn is being answered."""
        self._reply, self._turn = self._turn, {}

    def forget_turn(self) -> None:
        """The turn came to nothing."""
        self._turn = {}

    def audible(self, now: float) -> tuple[float, dict[str, float]] | None:
        """The reply is heard: when speech ended, and the milliseconds from there to each step.

        None if no speech came before it, as with typed text. Told once a reply.
        """
        marks, self._reply = self._reply, {}
        start = marks.pop("speech_ended", None)
        if start is None:
            return None
        marks["first_audio"] = now
        return start, {step: round((at - start) * 1000, 1) for step, at in marks.items()}

    def told(self, now: float, zero: float) -> dict[str, object] | None:
        """The same for whoever watches, on the clock of the run that began at `zero`."""
        told = self.audible(now)
        return told and {"ended_at": round(told[0] - zero, 6), "ms": told[1]}
