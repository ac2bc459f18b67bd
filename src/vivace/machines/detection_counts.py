"""What the detectors of a stream have done, in numbers."""

from __future__ import annotations

import math
from collections import deque

import msgspec

__all__ = ["DetectionCounts", "DetectionReport"]

_LATENCIES = 1000  # the newest; a percentile of fewer than a hundred says little


class DetectionReport(msgspec.Struct, frozen=True):
    """What was done in one run, or in several together.

    detections: inputs that a detector has judged. events_detected: events that were told.
    events_debounced: sightings that belong to an event that was told already, or will be.
    events_inhibited: sightings that another event kept from being told. events_outdone: sightings
    of which a surer one was told instead.
    skipped_busy: inputs that a newer one replaced while they waited; skipped_old: that had waited
    too long, by media time; skipped_off: that came while their detector was switched off;
    skipped_shed: that were left out under pressure.
    failures: detections that raised, made no sense, or (timeouts, which are among them) did not
    end. switched_off: how often a detector was.
    latency_p50_s, latency_p95_s: from a part's arrival until a detector had judged it; of the last
    thousand; None before the first.
    """

    detections: int = 0
    events_detected: int = 0
    events_debounced: int = 0
    events_inhibited: int = 0
    events_outdone: int = 0
    skipped_busy: int = 0
    skipped_old: int = 0
    skipped_off: int = 0
    skipped_shed: int = 0
    failures: int = 0
    timeouts: int = 0
    switched_off: int = 0
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None


class DetectionCounts:
    """The numbers while they grow.

    above: counts that grow along: those of all runs, mostly.
    """

    def __init__(self, above: DetectionCounts | None = None) -> None:
        self._above = above
        self._numbers: dict[str, int] = {}
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)

    def add(self, name: str, by: int = 1) -> None:
        """Add to a whole number of DetectionReport."""
        self._numbers[name] = self._numbers.get(name, 0) + by
        if self._above is not None:
            self._above.add(name, by)

    def judged(self, latency_s: float) -> None:
        """A detector has judged a part, so long after it came."""
        self._numbers["detections"] = self._numbers.get("detections", 0) + 1
        self._latencies.append(latency_s)
        if self._above is not None:
            self._above.judged(latency_s)

    def report(self) -> DetectionReport:
        """The numbers as they are now; times to a microsecond."""
        latencies = sorted(self._latencies)
        return DetectionReport(
            **self._numbers,
            latency_p50_s=_percentile(latencies, 0.5),
            latency_p95_s=_percentile(latencies, 0.95),
        )


def _percentile(ordered: list[float], share: float) -> float | None:
    """The nearest rank: at least `share` of the values are as small."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 6)
