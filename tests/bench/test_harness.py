"""Rounds, warm-ups and the time that they may take, without any process."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import harness
from bench.harness import Ask, Bench, Case, Contender

ONE = Contender("one", "any", Path(sys.executable))
OTHER = Contender("other", "any", Path(sys.executable))


class Scripted(Bench):
    """Answers by itself: each ask takes as many seconds of its clock as it has parts."""

    def __init__(self, rounds: int, within_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(rounds, 1, lambda _: None, within_s)
        self.clock = 0.0
        self.asked: list[tuple[str, int]] = []
        monkeypatch.setattr(harness, "time", SimpleNamespace(perf_counter=lambda: self.clock))

    def _answer(self, case: Case, ask: Ask) -> dict[str, float]:
        self.asked.append((ask.who.name, ask.given["parts"]))
        self.clock += ask.given["parts"]
        return {"value": float(len(self.asked))}


def asks(parts: int) -> dict[str, Ask]:
    """The same for two contenders."""
    return {who.name: Ask(who, "chain", {"parts": parts}) for who in (ONE, OTHER)}


def test_smaller_ask() -> None:
    """A warm-up does a tenth of the parts or tries, one at least, and all else as asked."""
    ask = Ask(ONE, "chain", {"parts": 1000, "stages": 10})
    assert ask.smaller(10).given == {"parts": 100, "stages": 10}
    assert Ask(ONE, "first", {"times": 3}).smaller(10).given == {"times": 1}


def test_turns_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """All take turns, first with a tenth of the work; only what follows is kept."""
    bench = Scripted(1, 1e9, monkeypatch)
    found = bench.run([Case("c", asks(50), repeats=2)])
    turn = [("one", 50), ("other", 50)]
    assert bench.asked == [("one", 5), ("other", 5), *turn, *turn]
    assert found.values("c", "one") == [3.0, 5.0]
    assert found.values("c", "other") == [4.0, 6.0]


def test_new_process_needs_no_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of a process of its own is asked once for each sample."""
    bench = Scripted(1, 1e9, monkeypatch)
    bench.run([Case("c", asks(50), repeats=1, fresh="process")])
    assert bench.asked == [("one", 50), ("other", 50)]


def test_no_further_round_without_time_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another round is begun only if, as long as its cases took last, it ends in time."""
    often = Case("often", {"it": Ask(ONE, "chain", {"parts": 10})}, repeats=1)  # 11 s with warm-up
    once = Case("once", {"it": Ask(ONE, "chain", {"parts": 30})}, repeats=1, rounds=1)  # 33 s
    bench = Scripted(9, 60, monkeypatch)
    assert bench.steps([often, once]) == 10
    found = bench.run([often, once])
    assert found.rounds == 2
    assert bench.clock == 55  # one more would have ended at 66
    assert (len(found.values("often", "it")), len(found.values("once", "it"))) == (2, 1)


def test_first_round_takes_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is always one round."""
    bench = Scripted(9, 1, monkeypatch)
    assert bench.run([Case("c", asks(50))]).rounds == 1
