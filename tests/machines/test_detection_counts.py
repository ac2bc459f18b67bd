"""What detectors have done, in numbers."""

from vivace.machines.detection_counts import DetectionCounts, DetectionReport


def test_before_anything() -> None:
    """Nothing has happened, and no latency is known."""
    assert DetectionCounts().report() == DetectionReport()
    assert DetectionReport().latency_p50_s is None


def test_percentiles_are_of_values_that_there_were() -> None:
    """The nearest rank: half of the values, or 95 of a hundred, are as small."""
    counts = DetectionCounts()
    counts.judged(0.5)
    assert counts.report() == DetectionReport(detections=1, latency_p50_s=0.5, latency_p95_s=0.5)
    for number in range(1, 100):
        counts.judged(number / 100)
    report = counts.report()
    assert (report.detections, report.latency_p50_s, report.latency_p95_s) == (100, 0.5, 0.94)


def test_only_the_newest_thousand_count() -> None:
    """What was slow long ago is forgotten, and still counted."""
    counts = DetectionCounts()
    for latency_s in [9.0] * 1000 + [0.25] * 1000:
        counts.judged(latency_s)
    assert counts.report() == DetectionReport(
        detections=2000, latency_p50_s=0.25, latency_p95_s=0.25
    )


def test_what_is_above_grows_along() -> None:
    """The counts of a run are part of those of all runs."""
    above = DetectionCounts()
    first, second = DetectionCounts(above), DetectionCounts(above)
    first.add("failures")
    second.add("failures", 2)
    second.judged(0.25)
    assert first.report() == DetectionReport(failures=1)
    assert above.report() == DetectionReport(
        detections=1, failures=3, latency_p50_s=0.25, latency_p95_s=0.25
    )
