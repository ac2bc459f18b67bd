"""Detectors beside a stream: who looks at what, what is told, and what is not."""

import math
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.machines.confirm import ConfirmRules, Inhibit, Transition
from vivace.machines.detection import Detect, DetectionMachine
from vivace.machines.detection_counts import DetectionCounts, DetectionReport
from vivace.machines.detection_rules import DetectionRules, Watch
from vivace.machines.machine import Cancel, Job, JobDone, JobFailed, Output
from vivace.machines.pressure import Shedding
from vivace.machines.sighting import Sighting
from vivace.part import Data, Event, Held, Part, Reset

quick = settings(max_examples=100, deadline=None)


def frame(at: float | None) -> Part:
    return Part.image(b"jpeg", at=at)


def watch(name: str = "eye", **given: Any) -> Watch:
    return Watch(name=name, wants=given.pop("wants", lambda part: True), **given)


class Bench:
    """The shell of a machine, by hand: keeps its jobs, and all that comes out with the time."""

    def __init__(self, *watches: Watch, **rules: Any) -> None:
        self.counts = DetectionCounts()
        self.shedding = Shedding()
        self.machine = DetectionMachine(
            watches, DetectionRules(**rules), self.counts, self.shedding
        )
        self.jobs: dict[str, Detect] = {}  # by detector
        self.cancelled: list[tuple[float, str]] = []
        self.out: list[tuple[float, Part]] = []

    def see(self, now: float, part: Part) -> None:
        """A part comes, and passes before anything else is done."""
        self.until(now)
        outputs = self.machine.feed(part, now)
        assert outputs[0] is part
        self.take(now, outputs[1:])

    def answer(self, now: float, result: object = None, name: str = "eye") -> None:
        self.until(now)
        job = self.jobs.pop(name)
        failed = isinstance(result, Exception)
        item = JobFailed(job, result) if isinstance(result, Exception) else JobDone(job, result)
        assert failed == isinstance(item, JobFailed)
        self.take(now, self.machine.feed(item, now))

    def until(self, now: float) -> None:
        while (due := self.machine.deadline()) is not None and due < now:
            self.take(due, self.machine.tick(due))

    def finish(self, now: float) -> None:
        self.until(now)
        self.take(now, self.machine.finish(now))

    def take(self, now: float, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Detect():
                    assert output.name not in self.jobs, "one at a time for each detector"
                    self.jobs[output.name] = output
                case Cancel(job=job):
                    assert isinstance(job, Detect)
                    assert self.jobs.pop(job.name) is job
                    self.cancelled.append((now, job.name))
                case Part():
                    self.out.append((now, output))
                case _:
                    raise AssertionError(f"{output} is none of its outputs")

    @property
    def looks(self) -> dict[str, float | None]:
        """The media time of what each detector looks at now."""
        return {name: job.part.at for name, job in self.jobs.items()}

    @property
    def events(self) -> list[tuple[float, str]]:
        return [(at, it.body.type) for at, it in self.out if isinstance(it.body, Event)]

    @property
    def news(self) -> list[tuple[float, str, str]]:
        """What came on `status`: when, what happened, and to which detector."""
        told = []
        for at, part in self.out:
            if isinstance(part.body, Data):
                assert part.substream == "status"
                value = part.body.value
                assert value["what"] == "detector"
                detail = value.get("error") or value["detector"]
                told.append((at, value["event"], detail))
        return told

    @property
    def report(self) -> DetectionReport:
        return self.counts.report()


# -- events -----------------------------------------------------------------------------------


def test_what_an_event_tells() -> None:
    """Type, detector, confidence, the media time of what was seen, and how long it took."""
    bench = Bench(watch(triggers_turn="after"))
    bench.see(1.0, frame(7.5))
    assert bench.jobs["eye"].label == "detector eye"
    bench.answer(1.25, Sighting("cat", 0.75, "A cat.", {"x": 3}))
    event = Event("cat", "eye", 0.75, 0.25, "after", "A cat.", data={"x": 3})
    assert bench.out == [(1.25, Part(event, at=7.5))]
    assert bench.report == DetectionReport(
        detections=1, events_detected=1, latency_p50_s=0.25, latency_p95_s=0.25
    )


def test_a_detector_that_needs_no_time_is_asked_at_once() -> None:
    """What it sees follows the part; it takes no job."""
    bench = Bench(watch("ear", look=lambda part: part.text == "hello"))
    bench.see(1.0, Part("hello", at=0.5))
    bench.see(1.5, Part("no", at=1.0))
    assert bench.jobs == {}
    assert bench.out == [(1.0, Part(Event("ear", "ear"), at=0.5))]
    assert bench.report.detections == 2


def test_only_what_is_wanted_is_looked_at() -> None:
    """Each detector sees its own parts."""
    texts = watch("ear", wants=lambda part: part.text)
    bench = Bench(texts, watch("eye", wants=lambda part: not part.text))
    bench.see(1.0, frame(0.0))
    assert bench.looks == {"eye": 0.0}
    bench.see(1.5, Part("x", at=0.5))
    assert bench.looks == {"eye": 0.0, "ear": 0.5}


def test_what_is_seen_several_times_is_told_once() -> None:
    """The debounce of all detectors, or a detector's own."""
    own = ConfirmRules(debounce_s=1.0, edge="trailing")
    bench = Bench(watch("a", look=lambda _: True), watch("b", look=lambda _: True, rules=own))
    for at in (1.0, 1.0625, 1.5):
        bench.see(at, frame(at))
    bench.until(9.0)
    assert bench.events == [(1.0, "a"), (1.5, "a"), (2.5, "b")]
    assert (bench.report.events_detected, bench.report.events_debounced) == (3, 3)


def test_a_transition_tells_its_outputs() -> None:
    """Text becomes the event's; parts come before it, with its time unless they have their own."""
    output = ["It rains.", Part("umbrella", "system"), Part("x", at=0.25), "Hard."]
    rules = ConfirmRules(transitions={("*", "rain"): Transition(output=output)})
    bench = Bench(watch(rules=rules, look=lambda _: Sighting("rain", text="Look!")))
    bench.see(1.0, frame(0.5))
    assert [part for _, part in bench.out] == [
        Part("umbrella", "system", at=0.5),
        Part("x", at=0.25),
        Part(Event("rain", "eye", text="Look!\nIt rains.\nHard.", previous="nothing"), at=0.5),
    ]


def test_one_output_needs_no_list() -> None:
    """A text or a part alone is as good."""
    for output, parts in [("Rain.", 1), (Part("rain"), 2), (None, 0), ({"wet": True}, 2)]:
        rules = ConfirmRules(transitions={("*", "rain"): output})
        bench = Bench(watch(rules=rules, look=lambda _: "rain"))
        bench.see(1.0, frame(0.5))
        assert len(bench.out) == parts


def test_the_best_of_all_is_told_once_all_have_looked() -> None:
    """Of what is seen in one part, only the surest; a detector that fails holds up nothing."""
    bench = Bench(
        watch("a"), watch("b"), watch("c"), watch("d", look=lambda _: 0.75), report="best"
    )
    bench.see(1.0, frame(0.0))
    bench.answer(1.25, 0.5, "a")
    bench.answer(1.5, ValueError("x"), "b")
    assert bench.events == []
    bench.answer(1.75, 0.625, "c")
    assert bench.events == [(1.75, "d")]
    assert bench.report.events_outdone == 2


def test_the_best_does_not_wait_for_who_does_not_look() -> None:
    """An input that is replaced or too old is not waited for."""

    def frames(part: Part) -> bool:
        return not part.text

    slow, fast = watch("a", wants=frames), watch("b", wants=frames, look=lambda _: 0.5)
    bench = Bench(slow, fast, report="best", max_age_s=2.0, debounce_s=0.0)
    bench.see(1.0, frame(1.0))
    bench.see(1.5, frame(1.5))
    bench.see(2.0, frame(2.0))  # replaces the one before
    assert bench.events == [(2.0, "b")]
    bench.see(2.25, Part("x", at=4.5))
    bench.answer(2.5, None, "a")  # which finds the last one too old
    assert [(at, part.at) for at, part in bench.out] == [(2.0, 1.5), (2.5, 1.0), (2.5, 2.0)]


def test_inhibition_is_between_all_detectors() -> None:
    """What one detector sees keeps what another one sees from being told."""
    bench = Bench(
        watch("a", look=lambda part: part.text == "a"),
        watch("b", look=lambda part: part.text == "b"),
        inhibit=(Inhibit("a", ("b",), 2.0),),
    )
    for at, text in [(1.0, "a"), (2.0, "b"), (3.0, "b")]:
        bench.see(at, Part(text))
    assert bench.events == [(1.0, "a"), (3.0, "b")]
    assert bench.report.events_inhibited == 1


# -- who looks at what ------------------------------------------------------------------------


def test_the_newest_replaces_what_waits() -> None:
    """A busy detector looks at the newest part next, and what was replaced is counted."""
    bench = Bench(watch())
    for at in (1.0, 2.0, 3.0, 4.0):
        bench.see(at, frame(at))
    assert bench.looks == {"eye": 1.0}
    bench.answer(4.5)
    assert bench.looks == {"eye": 4.0}
    assert bench.report.skipped_busy == 2


def test_no_more_run_than_may() -> None:
    """Whoever has waited longest is next, also if what it waits for was replaced."""
    bench = Bench(watch("a"), watch("b"), watch("c"), max_running=2)
    bench.see(1.0, frame(1.0))
    assert bench.looks == {"a": 1.0, "b": 1.0}
    bench.see(2.0, frame(2.0))
    bench.answer(2.5, name="a")
    assert bench.looks == {"b": 1.0, "c": 2.0}
    bench.answer(3.0, name="c")
    assert bench.looks == {"b": 1.0, "a": 2.0}
    assert bench.report.skipped_busy == 1


def test_what_is_too_old_is_not_looked_at() -> None:
    """By media time: more than `max_age_s` behind the newest part, when it comes or when its turn
    comes."""
    bench = Bench(watch(wants=lambda part: not part.text), max_age_s=2.0)
    bench.see(1.0, frame(10.0))
    bench.see(1.0, frame(10.5))
    bench.see(1.0, Part("x", at=12.5))
    bench.answer(1.5)
    assert bench.looks == {"eye": 10.5}
    bench.see(1.5, frame(10.625))
    bench.see(1.5, Part("x", at=12.75))
    bench.answer(2.0)
    assert bench.looks == {}
    assert bench.report.skipped_old == 1
    bench.see(2.0, frame(10.0))
    assert bench.looks == {}
    assert bench.report.skipped_old == 2


@pytest.mark.parametrize("reset", [Reset(), Part(Reset())])
def test_after_a_reset_time_may_begin_anew(reset: Any) -> None:
    """Announced or in the stream: what comes then is not behind what was before."""
    bench = Bench(watch(wants=lambda part: not isinstance(part.body, Reset)))
    bench.see(1.0, frame(100.0))
    bench.answer(1.0)
    bench.take(2.0, [it for it in bench.machine.feed(reset, 2.0) if it is not reset])
    bench.see(2.0, frame(0.0))
    assert bench.looks == {"eye": 0.0}


def test_a_time_without_end_makes_nothing_old() -> None:
    """One part with a time that cannot be is looked at, and blinds nobody to the next."""
    bench = Bench(watch())
    bench.see(1.0, frame(math.inf))
    bench.answer(1.0)
    bench.see(2.0, frame(2.0))
    assert bench.looks == {"eye": 2.0}


def test_without_media_time_nothing_is_old() -> None:
    """Who knows no time cannot be late."""
    bench = Bench(watch(), max_age_s=0.0)
    bench.see(1.0, frame(9.0))
    bench.answer(1.0)
    bench.see(99.0, frame(None))
    assert bench.looks == {"eye": None}


def test_other_items_are_no_business_of_its() -> None:
    """Announcements and answers to other jobs come to nothing."""
    bench = Bench(watch())
    bench.see(1.0, frame(1.0))
    for item in (Reset(), Held(1), JobDone(Job()), JobFailed(Job(), ValueError()), object()):
        assert bench.machine.feed(item, 1.5) == []


# -- under pressure ---------------------------------------------------------------------------


def test_detectors_are_shed_and_come_back() -> None:
    """From level 2 on no job is begun: each is counted, and nothing is told; below, all are."""
    bench = Bench(watch("eye"), watch("ear", look=lambda part: part.text))
    bench.shedding.level = 2
    bench.see(1.0, Part("a", at=1.0))
    bench.see(2.0, Part("b", at=2.0))
    assert bench.jobs == {}
    assert bench.events == [(1.0, "a"), (2.0, "b")]  # what takes no job misses nothing
    bench.shedding.level = 1
    bench.see(3.0, Part("c", at=3.0))
    assert bench.looks == {"eye": 3.0}
    bench.answer(3.5, "c")
    assert bench.events[2:] == [(3.0, "c"), (3.5, "c")]
    assert bench.news == []
    assert bench.shedding.counts == {"detectors": 2}
    assert (bench.report.skipped_shed, bench.report.detections) == (2, 4)


def test_what_waits_is_shed_once_its_turn_comes() -> None:
    """A detection that has begun is not stopped; what a newer part replaced was not shed."""
    bench = Bench(watch())
    bench.see(1.0, Part("a"))
    bench.shedding.level = 3
    bench.see(1.25, Part("b"))
    bench.see(1.5, Part("c"))
    bench.answer(2.0, "a")
    assert bench.jobs == {}
    assert bench.events == [(2.0, "a")]
    report = bench.report
    assert (report.detections, report.skipped_busy, report.skipped_shed) == (1, 1, 1)
    assert bench.shedding.counts == {"detectors": 1}


def test_old_frames_are_shed_first() -> None:
    """At level 1 each detector begins to look at one a second at most; all else is no frame."""
    bench = Bench(watch("a"), watch("b"))
    seen: list[tuple[float, str]] = []
    bench.shedding.level = 1

    def see(at: float, part: Part) -> None:
        bench.see(at, part)
        for name in list(bench.jobs):
            seen.append((at, name))
            bench.answer(at, name=name)

    for at in (1.0, 1.25, 1.75, 2.0, 2.5):
        see(at, frame(at))
    see(2.5, Part("x"))
    assert seen == [(at, name) for at in (1.0, 2.0, 2.5) for name in ("a", "b")]
    assert bench.shedding.counts == {"frames": 6}
    bench.shedding.level = 2  # as a frame or as a detection: each is counted once
    see(2.75, frame(2.75))
    see(3.0, frame(3.0))
    assert bench.shedding.counts == {"frames": 8, "detectors": 2}
    bench.shedding.level = 0
    see(3.25, frame(3.25))
    assert seen[6:] == [(3.25, "a"), (3.25, "b")]
    assert bench.report.skipped_shed == 10


def test_who_is_shed_is_not_waited_for() -> None:
    """The best of a part is told without it."""
    bench = Bench(watch("a"), watch("b", look=lambda _: True), report="best")
    bench.shedding.level = 2
    bench.see(1.0, Part("x"))
    assert bench.events == [(1.0, "b")]


# -- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (ValueError("no picture"), "ValueError: no picture"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (1.5, "PartError: eye is sure to 1.5; a confidence is from 0 to 1"),
    ],
)
def test_a_failure_is_told_and_is_no_event(result: object, told: str) -> None:
    """A detector that raises, or returns rubbish, is told on `status`, and looks at the next."""
    bench = Bench(watch())
    bench.see(1.0, frame(1.0))
    bench.answer(1.5, result)
    assert bench.news == [(1.5, "failed", told)]
    assert bench.events == []
    bench.see(2.0, frame(2.0))
    bench.answer(2.5, "cat")
    assert bench.events == [(2.5, "cat")]
    assert (bench.report.failures, bench.report.detections) == (1, 1)


def test_a_detector_that_hangs_is_stopped_at_its_limit() -> None:
    """It is cancelled, told to have failed, and looks at what waits."""
    bench = Bench(watch(within_s=2.0))
    bench.see(1.0, frame(1.0))
    bench.see(1.5, frame(1.5))
    late = bench.jobs["eye"]
    assert bench.machine.deadline() == 3.0
    bench.until(3.5)
    assert bench.cancelled == [(3.0, "eye")]
    assert bench.news == [(3.0, "failed", "TimeoutError: no answer within 2 s")]
    assert bench.looks == {"eye": 1.5}
    assert bench.machine.feed(JobDone(late, "cat"), 3.5) == []
    assert bench.machine.feed(JobFailed(late, ValueError()), 3.5) == []
    assert (bench.report.failures, bench.report.timeouts) == (1, 1)


def test_a_predicate_that_raises_has_failed() -> None:
    """The part passes, the others look at it, and it is told."""

    def wants(part: Part) -> bool:
        raise KeyError("kind")

    bench = Bench(watch("a", wants=wants), watch("b", look=lambda _: True))
    for at in (1.0, 2.0, 3.0, 4.0):
        bench.see(at, frame(at))
    told = [(at, "failed", "KeyError: 'kind'") for at in (1.0, 2.0, 3.0)]
    assert bench.news == [*told, (3.0, "switched_off", "a")]
    assert len(bench.events) == 4


def test_who_fails_too_often_is_switched_off_and_tried_again() -> None:
    """After three failures in a row for 30 s; then one more failure is enough, or one success."""
    failing = True

    def look(part: Part) -> bool:
        if failing:
            raise ValueError("x")
        return False

    bench = Bench(watch(look=look))
    for at in (1.0, 2.0, 3.0, 4.0, 32.9375, 33.0, 40.0):
        bench.see(at, frame(at))
    off = [
        *((at, "failed", "ValueError: x") for at in (1.0, 2.0, 3.0)),
        (3.0, "switched_off", "eye"),
        (33.0, "failed", "ValueError: x"),
        (33.0, "switched_off", "eye"),
    ]
    assert bench.news == off
    failing = False
    bench.see(63.0, frame(63.0))
    assert bench.news == [*off, (63.0, "switched_on", "eye")]
    failing = True
    bench.see(64.0, frame(64.0))
    assert len(bench.news) == 8
    report = bench.report
    assert (report.failures, report.switched_off, report.skipped_off) == (5, 2, 3)


def test_a_success_begins_the_count_anew() -> None:
    """Only failures in a row count."""
    bench = Bench(watch(), failures=2)
    for number, result in enumerate([ValueError("x"), None, ValueError("x"), None]):
        bench.see(number + 1.0, frame(None))
        bench.answer(number + 1.5, result)
    assert bench.report.switched_off == 0


def test_what_waits_for_who_is_switched_off_is_let_go() -> None:
    """It is counted, and the best of the part is told without it."""
    bench = Bench(watch("a"), watch("b", look=lambda _: True), failures=1, report="best")
    bench.see(1.0, frame(1.0))
    bench.see(1.5, frame(1.5))
    assert bench.events == []
    bench.answer(2.0, ValueError("x"), "a")
    assert bench.jobs == {}
    assert bench.events == [(2.0, "b")]
    assert (bench.report.skipped_off, bench.report.events_debounced) == (1, 1)


# -- the end ----------------------------------------------------------------------------------


def test_at_the_end_what_waits_is_looked_at_and_all_is_told() -> None:
    """Then nothing more comes, also of what would have been told later."""
    bench = Bench(watch(), debounce_s=60.0, edge="both")
    for at in (1.0, 2.0, 3.0):
        bench.see(at, frame(at))
    bench.finish(4.0)
    assert not bench.machine.done()
    bench.answer(5.0, "cat")
    assert bench.looks == {"eye": 3.0}
    assert not bench.machine.done()
    bench.answer(6.0, "cat")
    assert bench.events == [(5.0, "cat"), (6.0, "cat")]
    assert bench.machine.done()
    assert bench.machine.deadline() is None


def test_the_end_of_nothing() -> None:
    """A stream without parts ends at once; before that it is not done."""
    bench = Bench(watch())
    assert not bench.machine.done()
    bench.finish(1.0)
    assert bench.machine.done()


# -- for all sequences ------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("part"), st.sampled_from([None, -1.0, 0.0, 0.25])),
        st.tuples(st.just("answer"), st.integers(0, 2)),
        st.tuples(st.just("fail"), st.integers(0, 2)),
        st.tuples(st.just("rubbish"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.5, 3.0])),
        st.tuples(st.just("press"), st.integers(0, 3)),
    ),
    max_size=60,
)


@quick
@given(steps, st.integers(1, 4), st.sampled_from(["all", "best"]), st.integers(1, 3))
def test_nothing_is_lost_and_no_bound_is_passed(
    steps: list[tuple[str, Any]],
    max_running: int,
    report: Literal["all", "best"],
    failures: int,
) -> None:
    """Whatever happens, each input is judged, has failed or is counted as skipped; each sighting
    is told or counted; no more run than may; and it ends."""
    names = ["a", "b", "c"]
    watches = [watch(name, within_s=2.0) for name in names]
    bench = Bench(
        *watches,
        watch("d", look=lambda _: 0.5),
        max_running=max_running,
        report=report,
        failures=failures,
        max_age_s=1.0,
        retry_after_s=2.0,
    )
    now, at, parts, sightings = 0.0, 0.0, 0, 0

    def check() -> None:
        assert len(bench.jobs) <= max_running

    for kind, value in steps:
        if kind == "part":
            at += value or 0.0
            parts += 1
            bench.see(now, frame(None if value is None else at))
        elif kind == "wait":
            now += value
            bench.until(now)
        elif kind == "press":
            bench.shedding.level = value
        elif names[value] in bench.jobs:
            results: dict[str, Any] = {"fail": ValueError("x"), "rubbish": 7}
            result = results.get(kind, [Sighting("x", 0.75), Sighting("y")])
            sightings += 2 if kind == "answer" else 0
            bench.answer(now, result, names[value])
        check()
    bench.finish(now)
    check()
    bench.until(now + 100.0)
    assert bench.machine.done()
    assert not bench.jobs
    told = bench.report
    skipped = told.skipped_busy + told.skipped_old + told.skipped_off + told.skipped_shed
    assert bench.shedding.counts.total() == told.skipped_shed
    assert told.detections + told.failures + skipped == 4 * parts
    # The one that looks at once has seen each part that was not too old for it.
    sightings += told.detections - (sightings // 2)
    quiet = told.events_debounced + told.events_inhibited + told.events_outdone
    assert told.events_detected + quiet == sightings
    assert len(bench.events) == told.events_detected
