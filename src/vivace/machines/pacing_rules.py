"""How audio leaves a pacer, as its user sets it."""

from __future__ import annotations

import msgspec

from vivace.errors import StageError
from vivace.machines.chunking import ChunkRules

__all__ = ["PacingRules"]


class PacingRules(msgspec.Struct, frozen=True):
    """How audio leaves.

    chunk_s: seconds of a chunk, at the beginning of a reply and while the floor is contested.
    lead_s: how much earlier than natural a chunk may leave, for a listener with a jitter buffer.
    queue_s: audio that may wait here before the stream is left alone.
    longest_s: how long chunks may grow; None for all alike.
    ordered: the agent's other parts keep their place behind its audio; else they pass at once.
    interruptible: speech of the user interrupts, where no floor decides.

    Raises StageError if a number is out of range.
    """

    chunk_s: float = 0.02
    lead_s: float = 0.0
    queue_s: float = 30.0
    longest_s: float | None = None
    ordered: bool = False
    interruptible: bool = False

    def __post_init__(self) -> None:
        if not (self.lead_s >= 0 and self.queue_s > 0):
            raise StageError(
                f"a lead of {self.lead_s:g} s and a queue of {self.queue_s:g} s; "
                "neither may be below 0, and the queue must hold something"
            )
        self.chunks()

    def chunks(self) -> ChunkRules:
        """The bounds of a chunk. Raises StageError if there are none."""
        return ChunkRules(self.chunk_s, self.chunk_s if self.longest_s is None else self.longest_s)
