"""Detectors beside a stream: which one looks at what, and what comes of it.

This file owns that the stream waits for no detector. Parts pass as they come; a detector that is
busy sees the newest one next; and what goes wrong with one is told, and harms no other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from vivace.machines.confirm import Belief, Confirm, Debounce, Told
from vivace.machines.detection_counts import DetectionCounts
from vivace.machines.detection_rules import DetectionRules, Watch
from vivace.machines.machine import Cancel, Item, Job, JobDone, JobFailed, Machine, Output
from vivace.machines.pressure import Shedding
from vivace.machines.sighting import Sighting, sightings_of
from vivace.part import Data, Event, Image, Part, Reset

__all__ = ["Detect", "DetectionMachine"]

_FRAME_S = 1.0  # between frames that a detector looks at while old ones are shed


class Detect(Job, frozen=True, eq=False):
    """Let the detector with this number look at `part`; answer with what it returned."""

    watch: int
    name: str
    part: Part

    @property
    def label(self) -> str:
        return f"detector {self.name}"


class _View:
    """A part that detectors look at. open: those that have not answered. found: if they wait."""

    __slots__ = ("came_at", "found", "open", "part")

    def __init__(self, part: Part, came_at: float, open: set[int]) -> None:
        self.part = part
        self.came_at = came_at
        self.open = open
        self.found: list[_Found] = []


class _Found(msgspec.Struct, frozen=True):
    """What detector number `watch` is believed to have seen in `part`."""

    watch: int
    belief: Belief
    part: Part
    latency_s: float


class _Detector:
    """How it is with one detector."""

    __slots__ = (
        "confirm",
        "due",
        "failures",
        "frame_at",
        "job",
        "off",
        "off_until",
        "view",
        "waiting",
        "watch",
    )

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.confirm = Confirm(watch.rules)
        self.job: Detect | None = None
        self.view: _View | None = None  # what the job looks at
        self.due = math.inf
        self.frame_at = -math.inf  # when it began to look at its newest frame
        self.waiting: _View | None = None  # what it looks at next
        self.failures = 0
        self.off = False  # since too many failed; until one does not
        self.off_until = -math.inf


class DetectionMachine(Machine):
    """Passes everything on at once, and adds `Event` parts as detectors see something.

    Each has the media time of the part that it was seen in. Before it come the parts that a
    transition says are to be told. On `status` comes `failed` for each failure of a detector, then
    `switched_off` and `switched_on`.

    shedding: while it sheds old frames, a detector that takes a job begins to look at one a second
    at most; while it sheds detectors, none takes a job. What is shed is counted, and nothing else.
    """

    def __init__(
        self,
        watches: Iterable[Watch],
        rules: DetectionRules | None = None,
        counts: DetectionCounts | None = None,
        shedding: Shedding | None = None,
    ) -> None:
        self._shedding = shedding or Shedding()
        self._rules = rules or DetectionRules()
        self._counts = counts or DetectionCounts()
        self._detectors = [_Detector(watch) for watch in watches]
        self._queue: list[int] = []  # who waits, who has waited longest first
        self._debounce = Debounce[_Found](self._rules.inhibit, self._counts)
        self._newest_at = -math.inf
        self._finishing = False

    # -- the four entrances -------------------------------------------------------------------

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part():
                if isinstance(item.body, Reset):
                    self._newest_at = -math.inf
                out: list[Output] = [item, *self._see(item, now)]
            case JobDone(job=Detect() as job, result=result):
                out = self._answered(job, result, None, now)
            case JobFailed(job=Detect() as job, error=error):
                out = self._answered(job, None, error, now)
            case Reset():  # what comes now may count its time anew
                self._newest_at = -math.inf
                return []
            case _:
                return []
        return self._settled(out, now)

    def tick(self, now: float) -> list[Output]:
        out: list[Output] = []
        for number, detector in enumerate(self._detectors):
            if detector.job is not None and detector.due <= now:
                out.append(Cancel(detector.job))
                self._counts.add("timeouts")
                error = TimeoutError(f"no answer within {detector.watch.within_s:g} s")
                out += self._ended(number, None, error, now)
        out += self._tell(self._debounce.tick(now))
        return self._settled(out, now)

    def deadline(self) -> float | None:
        due = min((it.due for it in self._detectors if it.job is not None), default=math.inf)
        told = self._debounce.deadline()
        due = due if told is None else min(due, told)
        return None if due == math.inf else due

    def finish(self, now: float) -> list[Output]:
        """The stream has ended: what waits is still looked at, then all is told."""
        self._finishing = True
        return self._settled([], now)

    def done(self) -> bool:
        return self._finishing and not self._busy()

    def _busy(self) -> bool:
        return bool(self._queue) or any(it.job is not None for it in self._detectors)

    def _settled(self, out: list[Output], now: float) -> list[Output]:
        out += self._begin(now)
        if self._finishing and not self._busy():
            out += self._tell(self._debounce.flush(now))
        return out

    # -- who looks at what --------------------------------------------------------------------

    def _see(self, part: Part, now: float) -> list[Output]:
        if part.at is not None and math.isfinite(part.at):
            self._newest_at = max(self._newest_at, part.at)
        out: list[Output] = []
        wanted = []
        for number, detector in enumerate(self._detectors):
            off = now < detector.off_until
            try:
                wants = bool(detector.watch.wants(part))
            except Exception as error:
                out += [] if off else self._failed(number, error, now)
                continue
            if wants and off:
                self._counts.add("skipped_off")
            elif wants and self._is_old(part):
                self._counts.add("skipped_old")
            elif wants:
                wanted.append(number)
        view = _View(part, now, set(wanted))
        for number in wanted:
            out += self._look(number, view, now)
        return out

    def _look(self, number: int, view: _View, now: float) -> list[Output]:
        detector = self._detectors[number]
        if detector.watch.look is not None:
            try:
                result = detector.watch.look(view.part)
            except Exception as error:
                return self._seen(number, view, None, error, now)
            return self._seen(number, view, result, None, now)
        replaced, detector.waiting = detector.waiting, view
        if replaced is None:
            self._queue.append(number)
            return []
        self._counts.add("skipped_busy")  # the place in the queue stays
        return self._left(number, replaced, now)

    def _begin(self, now: float) -> list[Output]:
        """Let detectors that wait look, as far as they may."""
        out: list[Output] = []
        running = sum(it.job is not None for it in self._detectors)
        for number in list(self._queue):
            detector = self._detectors[number]
            if detector.job is not None or running >= self._rules.max_running:
                continue
            self._queue.remove(number)
            view, detector.waiting = detector.waiting, None
            assert view is not None, "who is in the queue waits for something"
            why = self._why_not(detector, view.part, now)
            if why:
                self._counts.add(why)
                out += self._left(number, view, now)
                continue
            detector.job = Detect(number, detector.watch.name, view.part)
            detector.view, detector.due = view, now + detector.watch.within_s
            out.append(detector.job)
            running += 1
        return out

    def _why_not(self, detector: _Detector, part: Part, now: float) -> str:
        """As what this detection is counted if it is left out; "" if it is not."""
        if self._is_old(part):
            return "skipped_old"
        frame = isinstance(part.body, Image)
        if frame and now - detector.frame_at < _FRAME_S and self._shedding.sheds("frames"):
            return "skipped_shed"
        if self._shedding.sheds("detectors"):
            return "skipped_shed"
        if frame:
            detector.frame_at = now
        return ""

    def _is_old(self, part: Part) -> bool:
        return part.at is not None and self._newest_at - part.at > self._rules.max_age_s

    # -- what comes of it ---------------------------------------------------------------------

    def _answered(
        self, job: Detect, result: object, error: Exception | None, now: float
    ) -> list[Output]:
        if self._detectors[job.watch].job is not job:
            return []  # it was given up
        return self._ended(job.watch, result, error, now)

    def _ended(
        self, number: int, result: object, error: Exception | None, now: float
    ) -> list[Output]:
        detector = self._detectors[number]
        view, detector.view, detector.job = detector.view, None, None
        assert view is not None, "a job looks at something"
        return self._seen(number, view, result, error, now)

    def _seen(
        self, number: int, view: _View, result: object, error: Exception | None, now: float
    ) -> list[Output]:
        """A detector has looked at a part, well or not."""
        out: list[Output] = []
        if error is None:
            try:
                sightings = sightings_of(result, self._detectors[number].watch.name)
            except Exception as rubbish:
                error = rubbish
            else:
                out = self._judged(number, view, sightings, now)
        if error is not None:
            out = self._failed(number, error, now)
        return out + self._left(number, view, now)

    def _judged(
        self, number: int, view: _View, sightings: Sequence[Sighting], now: float
    ) -> list[Output]:
        detector = self._detectors[number]
        latency_s = round(now - view.came_at, 6)
        self._counts.judged(latency_s)
        out: list[Output] = [_news("switched_on", detector.watch.name)] if detector.off else []
        detector.failures, detector.off = 0, False
        for belief in detector.confirm.detected(sightings):
            found = _Found(number, belief, view.part, latency_s)
            if self._rules.report == "all":
                out += self._believed(found, now)
            else:
                view.found.append(found)
        return out

    def _left(self, number: int, view: _View, now: float) -> list[Output]:
        """A detector looks at `view` no more. Once nobody does, the surest is told."""
        view.open.discard(number)
        if view.open or not view.found:
            return []
        best = max(view.found, key=lambda it: it.belief.sighting.confidence)
        self._counts.add("events_outdone", len(view.found) - 1)
        return self._believed(best, now)

    def _believed(self, found: _Found, now: float) -> list[Output]:
        watch = self._detectors[found.watch].watch
        key = (watch.name, found.belief.sighting.type)
        wait_s = watch.rules.debounce_s
        wait_s = self._rules.debounce_s if wait_s is None else wait_s
        edge = watch.rules.edge or self._rules.edge
        return self._tell(self._debounce.believed(key, found, wait_s, edge, now))

    def _tell(self, told: Sequence[Told[_Found]]) -> list[Output]:
        self._counts.add("events_detected", len(told))
        return [part for it in told for part in self._event(it)]

    def _event(self, told: Told[_Found]) -> list[Part]:
        found, watch = told.item, self._detectors[told.item.watch].watch
        belief, seen, at = found.belief, found.belief.sighting, found.part.at
        given = belief.output if isinstance(belief.output, list | tuple) else [belief.output]
        texts = [it for it in (seen.text, *given) if isinstance(it, str) and it]
        parts = [Part.of(it) for it in given if it is not None and not isinstance(it, str)]
        event = Event(
            seen.type,
            watch.name,
            seen.confidence,
            found.latency_s,
            watch.triggers_turn,
            "\n".join(texts),
            belief.previous,
            told.edge,
            seen.data,
        )
        return [
            *(it if it.at is not None else it.derive(at=at) for it in parts),
            Part(event, at=at),
        ]

    # -- what goes wrong ----------------------------------------------------------------------

    def _failed(self, number: int, error: Exception, now: float) -> list[Output]:
        detector = self._detectors[number]
        name, rules = detector.watch.name, self._rules
        self._counts.add("failures")
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        out: list[Output] = [_news("failed", name, error=text)]
        detector.failures += 1
        if detector.failures < rules.failures:
            return out
        # When it is tried again, one failure is enough.
        detector.failures = rules.failures - 1
        detector.off, detector.off_until = True, now + rules.retry_after_s
        self._counts.add("switched_off")
        out.append(_news("switched_off", name, seconds=rules.retry_after_s))
        view, detector.waiting = detector.waiting, None
        if view is not None:
            self._queue.remove(number)
            self._counts.add("skipped_off")
            out += self._left(number, view, now)
        return out


def _news(event: str, name: str, **facts: Any) -> Part:
    news = {"event": event, "what": "detector", "detector": name, **facts}
    return Part(Data(news), substream="status")
