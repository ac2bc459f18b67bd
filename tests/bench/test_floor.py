"""The tables of the floor."""

from bench.floor import CASES, tables
from bench.harness import Results

STOPPED = {"value": 0.0, "stale": 0, "told": 0.001, "held": 0.03, "chunks": 2}
JUDGED = {
    "interruption": 0.9,
    "backchannel": 1.0,
    "cough": 0.8,
    "side talk": 0.9,
    **{f"{kind}, cut": 0.5 for kind in ("interruption", "backchannel", "cough", "side talk")},
    **{f"{kind}, silent": -1.0 for kind in ("interruption", "backchannel", "cough", "side talk")},
}


def results() -> Results:
    found = Results()
    for case in CASES:
        answer = JUDGED if case.name == "overlaps" else STOPPED
        found.samples[case.name] = [{"Vivace": answer}]
        found.asks[case.name, "Vivace"] = case.asks["Vivace"]
    return found


def test_each_goal_has_its_verdict() -> None:
    """Stale chunks, latencies and shares are told beside their goals."""
    silence, apart = tables(results())
    assert len(silence.rows) == 20
    assert silence.rows[0] == ("1", "as fast as it plays", "stale chunks", "0", "0", "met")
    assert silence.rows[1][3:] == ("0.000 ns", "≤ 2 ms", "met")
    assert silence.rows[3][3:] == ("30.0 ms", "≤ 20 ms", "falls short by 50 %")
    assert silence.rows[4][3:] == ("2", "≤ 1", "falls short by 100 %")
    assert apart.rows[0][1:] == ("90%", "50%", "never", "≥ 95 %", "falls short by 5 %")
    assert apart.rows[-1][0] == "mean selectivity, 25 of each"
    assert apart.rows[-1][-1] == "met"


def test_what_was_not_measured_says_why() -> None:
    """A case without an answer is told with its reason; the rest of the tables stands."""
    found = results()
    found.absent["overlaps", "Vivace"] = "broken"
    found.absent["1 sessions, 1", "Vivace"] = "gone"
    silence, apart = tables(found)
    assert silence.rows[0][3:] == ("gone", "", "not measured")
    assert apart.rows == [("all", "broken", "", "", "", "not measured")]
