"""Counts of a run, and of all runs."""

from vivace.machines.pacing_counts import PacingCounts, PacingReport


def test_nothing_is_all_zeros() -> None:
    """A record of a run in which nothing happened."""
    assert PacingCounts().report() == PacingReport()


def test_numbers_add_up_and_to_those_above() -> None:
    """Two runs below one total; whole numbers stay whole."""
    total = PacingCounts()
    first, second = PacingCounts(total), PacingCounts(total)
    first.add("chunks_played")
    second.add("chunks_played", 2)
    second.add("played_s", 0.1 + 0.2)
    assert first.report() == PacingReport(chunks_played=1)
    assert second.report() == PacingReport(chunks_played=2, played_s=0.3)
    assert total.report() == PacingReport(chunks_played=3, played_s=0.3)
    assert isinstance(total.report().chunks_played, int)


def test_the_latest_chunk_is_the_worst_of_all() -> None:
    """Of a run, and of all runs."""
    total = PacingCounts()
    first, second = PacingCounts(total), PacingCounts(total)
    for counts, late_s in ((first, 0.02), (second, 0.01), (first, 0.005)):
        counts.late(late_s)
    assert [it.report().latest_s for it in (first, second, total)] == [0.02, 0.01, 0.02]
    alone = PacingCounts()
    alone.late(0.5)
    assert alone.report().latest_s == 0.5
