"""The benchmark's harness, with real processes."""

import sys
from pathlib import Path
from typing import Any

import pytest

from bench import harness
from bench.contenders import BARE, VIVACE
from bench.harness import Absent, Ask, Bench, Case, Contender

pytestmark = pytest.mark.real

PYTHON = Path(sys.executable)
SMALL = {"stages": 2, "parts": 50}


def told(_: str) -> None:
    """Progress that nobody looks at."""


def test_contenders_take_turns() -> None:
    """Each sample has an answer of everyone; the warm-up does not count."""
    asks = {"bare": Ask(BARE, "chain", SMALL), "Vivace": Ask(VIVACE, "chain", SMALL)}
    steps: list[str] = []
    bench = Bench(2, 1, steps.append)
    cases = [Case("c", asks, repeats=3), Case("once", asks, repeats=1, rounds=1)]
    found = bench.run(cases)
    assert [set(sample) for sample in found.samples["c"]] == [{"bare", "Vivace"}] * 6
    assert len(found.samples["once"]) == 1
    assert steps == ["round 1: c", "round 1: once", "round 2: c"]
    assert bench.steps(cases) == 3
    assert found.ratio("c", "Vivace", "bare").middle > 0


def test_all_jobs_of_ours_can_be_done() -> None:
    """Whatever the engine asks of Vivace and of bare generators gets an answer."""
    for who in (BARE, VIVACE):
        jobs: dict[str, dict[str, Any]] = {
            "chain": {**SMALL, "kind": "derive", "gc": False},
            "first": {"stages": 3, "times": 2},
            "whole": {"stages": 3, "times": 2},
            "ahead": {"stages": 3},
            "memory": SMALL,
        }
        cases = [Case(job, {"it": Ask(who, job, given)}) for job, given in jobs.items()]
        found = Bench(1, 1, told).run(cases)
        assert not found.absent
        assert found.spread("ahead", "it").middle <= 3


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (Contender("gone", "bench.workers.bare", Path("/nowhere/python")), "not installed"),
        (Contender("broken", "bench.no_such_worker", PYTHON), "No module named"),
    ],
)
def test_who_cannot_be_had_is_named(who: Contender, reason: str) -> None:
    """A contender that is not there is left out, with the reason; the others are measured."""
    case = Case("c", {"it": Ask(who, "chain", SMALL), "bare": Ask(BARE, "chain", SMALL)})
    found = Bench(1, 1, told).run([case])
    with pytest.raises(Absent, match=reason):
        found.values("c", "it")
    assert len(found.values("c", "bare")) == 3


def test_job_that_fails_leaves_the_rest() -> None:
    """A job that raises is told, and its worker goes on with the next one."""
    cases = [
        Case("bad", {"it": Ask(BARE, "no such job")}),
        Case("good", {"it": Ask(BARE, "chain", SMALL)}),
    ]
    found = Bench(1, 1, told).run(cases)
    with pytest.raises(Absent, match="KeyError"):
        found.values("bad", "it")
    assert len(found.values("good", "it")) == 3


def test_job_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not answer in time is killed, and a new one does the next job."""
    cases = [
        Case("endless", {"it": Ask(BARE, "chain", {"stages": 50, "parts": 10**9})}, repeats=1),
        Case("good", {"it": Ask(BARE, "chain", SMALL)}),
    ]
    monkeypatch.setattr(harness, "_LIMIT_S", 1.0)
    found = Bench(1, 1, told).run(cases)
    with pytest.raises(Absent, match="no answer within 1 s"):
        found.values("endless", "it")
    assert len(found.values("good", "it")) == 3


def test_import_is_measured_in_a_new_interpreter() -> None:
    """What an import costs is told in seconds and bytes; one that fails says why."""
    asks = {
        "nothing": Ask(VIVACE, "pass"),
        "asyncio": Ask(VIVACE, "import asyncio"),
        "missing": Ask(VIVACE, "import no_such_module"),
    }
    found = Bench(1, 1, told).run([Case("c", asks, repeats=1, fresh="import")])
    assert found.values("c", "asyncio", "bytes")[0] > found.values("c", "nothing", "bytes")[0]
    with pytest.raises(Absent, match="No module named 'no_such_module'"):
        found.values("c", "missing")
