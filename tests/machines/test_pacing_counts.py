"""Counts of a run, and of all runs."""

from vivace.machines.pacing_counts import PacingCounts, PacingReport


def test_nothing_is_all_zeros() -> None:
    """A record of a run in which nothing happened."""
    assert PacingCounts().report() == PacingReport()


def test_numbers_add_up_and_to_those_above() -> None:
    """Two runs below one total; whole numbers stay whole."""
    total = PacingCounts()
    first, second = PacingCounts(total), PacingCounts(total)
    first.add("holds")
    second.add("holds", 2)
    second.played(0.1, 0.0)
    second.played(0.2, 0.0)
    first.came(1.0)
    assert first.report() == PacingReport(holds=1, taken_s=1.0)
    assert second.report() == PacingReport(holds=2, chunks_played=2, played_s=0.3)
    assert total.report() == PacingReport(holds=3, chunks_played=2, played_s=0.3, taken_s=1.0)
    assert isinstance(total.report().chunks_played, int)


def test_the_latest_chunk_is_the_worst_of_all() -> None:
    """Of a run, and of all runs."""
    total = PacingCounts()
    first, second = PacingCounts(total), PacingCounts(total)
    for counts, late_s in ((first, 0.02), (second, 0.01), (first, 0.005)):
        counts.played(0.0, late_s)
    assert [it.report().latest_s for it in (first, second, total)] == [0.02, 0.01, 0.02]


def test_what_is_counted_is_told() -> None:
    """How late each chunk left, and all that is rare, as it is counted."""
    told: list[tuple[str, float]] = []
    counts = PacingCounts(tell=lambda what, value: told.append((what, value)))
    counts.played(0.02, 0.004)
    counts.add("buffer_underruns")
    counts.add("underrun_s", 0.3)
    counts.came(1.0)
    assert told == [("late_s", 0.004), ("buffer_underruns", 1), ("underrun_s", 0.3)]
