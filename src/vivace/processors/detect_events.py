"""`EventProcessor`: detectors side by side over a stream that waits for none of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TypeAlias, Union

from vivace.errors import StageError
from vivace.flow.drive import drive
from vivace.flow.jobs import Shell
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.machines.confirm import Edge, Inhibit
from vivace.machines.detection import Detect, DetectionMachine
from vivace.machines.detection_counts import DetectionCounts, DetectionReport
from vivace.machines.detection_rules import DetectionRules, Report, Watch
from vivace.machines.machine import Job
from vivace.part import Part
from vivace.processors.detector import Detector, Look, awaitable, look_with

__all__ = ["EventProcessor"]

AnyDetector: TypeAlias = Union[Detector, Processor, Look]  # noqa: UP007


class EventProcessor(Processor):
    """Passes everything on as it comes, and adds an `Event` for what its detectors see.

    event_detectors: detectors, processors, or functions of a part: see `Detector`.
    debounce_time: seconds without a sighting after which the next one is a new event, for each
        detector and type. edge: "leading" tells the first of several, "trailing" the last one, when
        they are over, "both" both.
    max_concurrent_detections: detections that run at once; each detector runs one at a time. While
        one waits, a newer part takes the place of an older one, which is counted as skipped.
    report: "all" that detectors see, or the "best": of what they see in one part only the surest,
        once all have looked at it.
    max_age_s: of media time; a part so far behind the newest is not looked at.
    failures: a detector that fails so often in a row is switched off for `retry_after_s` seconds.
    inhibit: which events keep others from being told.

    An event has the media time of the part that it was seen in, and comes as soon as it is known:
    not in the place of that part. On `status` comes `failed` when a detector raises, takes too
    long or returns what makes no sense; then `switched_off` and `switched_on`. Under `Pressure`
    fewer frames are looked at, then nothing, but by detectors that look at once.

    Raises StageError for two detectors of one name, and numbers that let nothing happen.
    """

    def __init__(
        self,
        event_detectors: Iterable[AnyDetector],
        debounce_time: float = 0.1,
        max_concurrent_detections: int = 5,
        *,
        edge: Edge = "leading",
        report: Report = "all",
        max_age_s: float = 5.0,
        failures: int = 3,
        retry_after_s: float = 30.0,
        inhibit: Iterable[Inhibit] = (),
    ) -> None:
        self._detectors = [
            it if isinstance(it, Detector) else Detector(it) for it in event_detectors
        ]
        names = [detector.name for detector in self._detectors]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise StageError(f"two detectors are named {twice}; give one another name=")
        self._rules = DetectionRules(
            debounce_s=debounce_time,
            edge=edge,
            max_running=max_concurrent_detections,
            max_age_s=max_age_s,
            report=report,
            failures=failures,
            retry_after_s=retry_after_s,
            inhibit=tuple(inhibit),
        )
        self._totals = DetectionCounts()
        self._last = DetectionCounts()

    @property
    def events_detected(self) -> int:
        """Events that were told, over all runs."""
        return self._totals.report().events_detected

    @property
    def events_debounced(self) -> int:
        """Sightings that are part of an event that is told once, over all runs."""
        return self._totals.report().events_debounced

    @property
    def detection_latency(self) -> float | None:
        """Seconds from a part's arrival until a detector has judged it: the median of the last
        thousand, over all runs; None before the first."""
        return self._totals.report().latency_p50_s

    @property
    def totals(self) -> DetectionReport:
        """What was done, over all runs."""
        return self._totals.report()

    @property
    def last_run(self) -> DetectionReport:
        """What was done in the run that began last, so far."""
        return self._last.report()

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        self._last = DetectionCounts(self._totals)
        looks = [detector.session() for detector in self._detectors]
        watches = map(_watch, self._detectors, looks)
        shedding = current_run().shedding
        machine = DetectionMachine(watches, self._rules, self._last, shedding)
        names = [detector.name for detector in self._detectors]
        beside = list(map(awaitable, looks, names))

        async def do(job: Job, shell: Shell) -> object:
            assert isinstance(job, Detect)
            return await look_with(beside[job.watch], job.part, shell)

        return drive(stream, machine, do, capacity=64)


def _watch(detector: Detector, look: Processor | Look) -> Watch:
    return Watch(
        name=detector.name,
        wants=detector.wants,
        look=look if detector.at_once and not isinstance(look, Processor) else None,
        within_s=detector.time_limit_s,
        rules=detector.rules,
        triggers_turn=detector.triggers_turn,
    )
