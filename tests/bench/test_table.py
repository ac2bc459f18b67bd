"""How measurements are told."""

import sys
from pathlib import Path

import pytest

from bench.harness import Ask, Contender, Results
from bench.page import page
from bench.stats import Goal
from bench.table import Table, compared, duration, limited, megabytes, number

WHO = Contender("any", "any", Path(sys.executable))


def results(**values: list[float]) -> Results:
    """One case, `c`, with these answers; the parts that were asked for differ with the label."""
    found = Results()
    found.samples["c"] = [
        {label: {"value": value} for label, value in zip(values, row, strict=True)}
        for row in zip(*values.values(), strict=True)
    ]
    for count, label in enumerate(values, start=1):
        found.asks["c", label] = Ask(WHO, "chain", {"parts": 1000 * count})
    return found


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.5123, "0.512"), (8.352, "8.35"), (16.31, "16.3"), (104.2, "104"), (1240.4, "1,240")],
)
def test_number(value: float, said: str) -> None:
    """Three digits count; thousands are set apart."""
    assert number(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (512e-9, "512 ns"),
        (8.352e-6, "8.35 µs"),
        (1.24e-3, "1.24 ms"),
        (2.1, "2.10 s"),
        (-3e-7, "-300 ns"),
    ],
)
def test_duration(seconds: float, said: str) -> None:
    """A time is told in the unit that fits, also a difference below zero."""
    assert duration(seconds) == said


def test_megabytes() -> None:
    """Bytes are told in millions."""
    assert megabytes(11_340_000) == "11.3 MB"


def test_slower_than_another() -> None:
    """Beside a yardstick the ratio is how many times as long we take."""
    found = results(Vivace=[2e-6, 3e-6, 4e-6], bare=[1e-6, 2e-6, 2e-6])
    assert compared(found, "c", "bare", Goal(1.5), faster=False) == (
        "3.00 µs",
        "bare: 2.00 µs (2,000 parts)",
        "2.00 × as long (1.75 to 2.00)",
        "≤ 1.5 ×",
        "falls short by 33 %",
    )


def test_faster_than_another() -> None:
    """Beside a peer the ratio is how many times as fast we are."""
    found = results(Vivace=[1e-6], peer=[1.2e-5])
    assert compared(found, "c", "peer", Goal(10, at_least=True), faster=True)[2:] == (
        "12.0 × as fast (12.0 to 12.0)",
        "≥ 10 ×",
        "met",
    )


def test_no_goal_no_verdict() -> None:
    """A comparison without a goal is only told."""
    found = results(Vivace=[1e-6], peer=[1.2e-5])
    assert compared(found, "c", "peer", None, faster=True)[3:] == ("", "")


def test_absent_peer_is_named() -> None:
    """Who could not be measured is in the table, with the reason."""
    found = results(Vivace=[1e-6])
    found.absent["c", "peer"] = "not installed"
    row = compared(found, "c", "peer", Goal(10, at_least=True), faster=True)
    assert row == ("1.00 µs", "peer: not installed", "", "≥ 10 ×", "not measured")


def test_absent_part_of_ours_is_named() -> None:
    """What we do not have yet is in the table, too."""
    found = results(peer=[1e-6])
    found.absent["c", "Vivace"] = "not there yet"
    row = ("not there yet", "", "", "≤ 1.00 µs", "not measured")
    assert limited(found, "c", Goal(1e-6), duration) == row
    assert compared(found, "c", "peer", None, faster=True)[0] == "not there yet"


def test_limit() -> None:
    """A limit of our own is told in its unit, with the spread."""
    found = results(Vivace=[90e-6, 100e-6, 110e-6, 120e-6, 130e-6])
    assert limited(found, "c", Goal(100e-6), duration) == (
        "110 µs (100 µs to 120 µs)",
        "",
        "",
        "≤ 100 µs",
        "falls short by 10 %",
    )


def test_page() -> None:
    """The page has the tables in Markdown, what falls short in bold, and the method."""
    table = Table("Costs", ("what", ""), [("a", "falls short by 3 %"), ("b", "met")])
    text = page([table], "Measured on a machine.", "By measuring.")
    assert "## Costs\n\n| what |  |\n|---|---|\n| a | **falls short by 3 %** |\n| b | met |" in text
    assert "Measured on a machine." in text
    assert text.endswith("By measuring.\n")
