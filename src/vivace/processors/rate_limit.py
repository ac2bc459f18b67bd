"""`AudioRateLimiter`: audio at natural speed, silent the moment it is interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator

from vivace.flow.drive import drive
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.machines.pacing import Pacer, PacerCounts, PacingRules
from vivace.part import Part

__all__ = ["AudioRateLimiter"]


class AudioRateLimiter(Processor):
    """Lets audio out as fast as it plays, in chunks, and holds, resumes or drops it at once.

    chunk_s: seconds of a chunk. lead_s: how much earlier than natural a chunk may leave, for a
    listener with a jitter buffer; what has left cannot be taken back.
    queue_s: seconds of audio that may wait here before what is upstream waits.

    Everything else keeps its place among its role's audio. Each chunk's `at` is when it is to be
    played, in seconds since the run began. On `status` come `queued` and `cut`, in seconds.
    """

    def __init__(
        self, *, chunk_s: float = 0.02, lead_s: float = 0.0, queue_s: float = 30.0
    ) -> None:
        self._rules = PacingRules(chunk_s, lead_s, queue_s)
        self._counts = PacerCounts()

    @property
    def chunks_played(self) -> int:
        """Chunks that have left, over all runs."""
        return self._counts.chunks_played

    @property
    def interruptions(self) -> int:
        """Replies that were cut short, over all runs."""
        return self._counts.interruptions

    @property
    def buffer_underruns(self) -> int:
        """Gaps heard within a reply because its audio came too late, over all runs."""
        return self._counts.buffer_underruns

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        pacer = Pacer(self._rules, zero=current_run().bus.started_at, counts=self._counts)
        # 2 chunks = 40 ms: hides a scheduling hiccup, too little to delay a barge-in.
        # The stream is read further ahead, so that an interruption in it is not kept waiting.
        return drive(stream, pacer, capacity=2, read_ahead=16)
