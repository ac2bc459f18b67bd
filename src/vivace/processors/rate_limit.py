"""`AudioRateLimiter`: audio at natural speed, silent the moment it is interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial

from vivace.audio import AudioFormat
from vivace.flow.drive import drive
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.machines.pacing import Pacer
from vivace.machines.pacing_counts import PacingCounts, PacingReport
from vivace.machines.pacing_rules import PacingRules
from vivace.part import Audio, Part
from vivace.processors.raw_audio import raw_audio

__all__ = ["AudioRateLimiter"]


class AudioRateLimiter(Processor):
    """Lets the agent's audio out as fast as it plays, and holds, resumes or drops it at once.

    sample_rate: of raw audio that does not say its own, in hertz; each part's own format counts.
    adaptive_chunking: chunks grow from `chunk_s` to `longest_s` while nobody is likely to
        interrupt, and when the loop is late; else all have `chunk_s`.
    interruption_detection: speech of the user interrupts: `SpeechStarted`, or, if nobody in the
        run detects speech, how loud the user's audio is. A floor in the run decides alone.
    detector: instead of the loudness: is there speech in this bit of sound, some 20 ms?
    lead_s: how much earlier than natural a chunk leaves, against hiccups. What has left cannot be
        taken back: who does not stop on `Held` hears this and the last chunk to its end.
    queue_s: seconds of audio that may wait here before what is upstream waits.
    ordered: the agent's text and other parts keep their place behind its audio; else they pass at
        once, as the user's parts always do. `TurnComplete` comes when its reply has been played.

    Raw audio of any format is cut; sound files in `Data` (WAV, FLAC, OGG, MP3) are decoded. What
    comes of it is told by `Pacer`. On `status` come `queued`, `cut` and `underrun`, in seconds, and
    at the end of the run `paced`: a `PacingReport`.

    Raises StageError or AudioError for numbers out of range; in a run, AudioError for sound that
    is torn, of an unknown kind, or no number.
    """

    def __init__(
        self,
        sample_rate: int = 24_000,
        adaptive_chunking: bool = True,
        interruption_detection: bool = True,
        *,
        chunk_s: float = 0.02,
        longest_s: float = 0.2,
        lead_s: float = 0.05,
        queue_s: float = 30.0,
        ordered: bool = False,
        detector: Callable[[Audio], bool] | None = None,
    ) -> None:
        self._format = AudioFormat(sample_rate)
        self._rules = PacingRules(
            chunk_s,
            lead_s,
            queue_s,
            longest_s if adaptive_chunking else None,
            ordered,
            interruption_detection,
        )
        self._detector = detector
        self._totals = PacingCounts()
        self._last = PacingCounts()

    @property
    def chunks_played(self) -> int:
        """Chunks that have left, over all runs."""
        return self._totals.report().chunks_played

    @property
    def interruptions(self) -> int:
        """Replies that were cut short, over all runs."""
        return self._totals.report().interruptions

    @property
    def buffer_underruns(self) -> int:
        """Gaps heard within a reply because its audio came too late, over all runs."""
        return self._totals.report().buffer_underruns

    @property
    def totals(self) -> PacingReport:
        """What was done, over all runs."""
        return self._totals.report()

    @property
    def last_run(self) -> PacingReport:
        """What was done in the run that began last, so far."""
        return self._last.report()

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        run = current_run()
        bus = run.bus
        self._last = PacingCounts(self._totals, partial(run.measured, self.name))
        pacer = Pacer(
            self._rules,
            zero=bus.started_at,
            ledger=bus.ledger,
            counts=self._last,
            decided=bus.decided,
            detector=self._detector,
            shedding=run.shedding,
        )
        # One chunk: each is cut when there is somebody to take it, so that a hold finds no other.
        # The stream is read further ahead, so that an interruption in it is not kept waiting.
        return drive(raw_audio(stream, self._format.rate), pacer, capacity=1, read_ahead=16)
