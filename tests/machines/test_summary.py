"""Summaries: what they quote, how they read, what they never grow to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.machines.measure import Limits, count_bytes, count_tokens
from vivace.machines.retention import Rank, Unit
from vivace.machines.summary import Summary, extracted, line_of, told, weight
from vivace.part import Data, Event, Held, Part

ROOM = Limits(1, 10_000, 1000)


def units(*parts: Part, first: int = 1, rank: int = Rank.NORMAL) -> list[Unit]:
    return [Unit((part,), first + n, 0.0, 1, 1, rank) for n, part in enumerate(parts)]


@pytest.mark.parametrize(
    ("part", "line"),
    [
        (Part(" two\n lines "), "two lines"),
        (Part.audio(bytes(2), words="hello"), "hello"),
        (Part.audio(bytes(2), metadata={"transcript": "hello"}), "hello"),
        (Part.image(b"1", metadata={"caption": "a cat"}), "a cat"),
        (Part.image(b"1"), ""),
        (Part.call("look", {"at": 1}, id="1"), 'called look {"at":1}'),
        (Part.response("look", "a cat", id="1"), 'look answered "a cat"'),
        (Part.response("look", id="1", error="blind"), "look answered blind"),
        (Part(Data({"a": 1})), '{"a":1}'),
        (Part(Data(None, "application/pdf", b"1")), ""),
        (Part(Event("late_cat")), "(late cat)"),
        (Part(Held(1)), ""),
    ],
)
def test_a_part_in_a_line(part: Part, line: str) -> None:
    """Whatever it is, it is text on one line, or nothing."""
    assert line_of(part) == line


def test_what_weighs_most() -> None:
    """Facts that people tell of themselves before talk, and that before questions and nothing."""
    said = [
        Part("My name is Ann and I have 2 cats."),
        Part("We met Ann there."),
        Part("It is late."),
        Part("It is 4 o'clock.", role="model"),
        Part("Is it late?"),
        Part("It is late.", role="model"),
        Part.image(b"1"),
    ]
    weights = [weight(part) for part in said]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == len(weights)


def test_the_first_the_last_and_the_weightiest() -> None:
    """In order, with a count of the rest."""
    talk = [Part(f"well, well, so it is, number {'x' * n}") for n in range(20)]
    talk[7] = Part("My name is Ann and I have 2 cats.")
    talk[9] = Part.call("look", id="1")
    empty = Summary(1, 20, 20)
    summary = extracted(empty, None, units(*talk), Limits(1, 10_000, 50), count_tokens)
    assert summary is not None
    head, *lines = summary.part().text.splitlines()
    assert head == f"[Earlier, with {20 - len(lines)} parts left out:]"
    assert lines[0] == "> user: well, well, so it is, number"
    assert "> user: My name is Ann and I have 2 cats." in lines
    assert lines[-1].endswith("xxxxxxxxxxxxxxxxxxx")
    assert extracted(empty, None, units(*talk), Limits(1, 10_000, 3), count_tokens) is None


def test_old_ones_are_folded() -> None:
    """Lines of an extract as they are; what a model wrote by sentences, before all else."""
    old = extracted(
        Summary(1, 2, 2), None, units(Part("My name is Ann."), Part("b")), ROOM, count_tokens
    )
    new = extracted(Summary(1, 3, 3), old, units(Part("c"), first=3), ROOM, count_tokens)
    assert new is not None
    assert [line.text for line in new.lines] == ["My name is Ann.", "b", "c"]
    model = Summary(1, 5, 5, text="They met. Ann has cats!\nMore")
    new = extracted(Summary(1, 6, 6), model, units(Part("x" * 300), first=6), ROOM, count_tokens)
    assert new is not None
    roles = [(line.role, line.text[:9]) for line in new.lines]
    assert roles[:3] == [("summary", "They met."), ("summary", "Ann has c"), ("summary", "More")]
    assert new.lines[-1].text == "x" * 199 + "…"


def test_what_is_important_is_quoted_first() -> None:
    """What had to leave its place among the important."""
    lines = [Part(f"talk {'x' * n}") for n in range(9)]
    leaving = units(*lines)
    leaving[4] = Unit(leaving[4].parts, 5, 0.0, 1, 1, Rank.IMPORTANT)
    summary = extracted(Summary(1, 9, 9), None, leaving, Limits(1, 900, 25), count_tokens)
    assert summary is not None
    assert 5 in [line.seq for line in summary.lines]


def test_what_a_model_told() -> None:
    """Quoted line by line; cut to its room, and then it is said so; nothing if that is none."""
    summary, cut = told("One.\n\n two", Summary(1, 4, 4), ROOM, count_tokens)
    assert summary is not None
    assert summary.part().text == "[Earlier, 4 parts in short:]\n> One.\n> two\n"
    assert not cut
    summary, cut = told("word " * 500, Summary(1, 4, 4), Limits(1, 900, 50), count_tokens)
    assert cut
    assert summary is not None
    assert count_tokens(summary.part()) <= 50
    assert told("word", Summary(1, 4, 4), Limits(1, 900, 3), count_tokens) == (None, True)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.text(max_size=40), min_size=1, max_size=9), min_size=1, max_size=9),
    st.integers(0, 120),
)
def test_a_summary_of_a_summary_does_not_grow(spans: list[list[str]], tokens: int) -> None:
    """However often it is folded, it is within its room, and no line of it stands unquoted."""
    old: Summary | None = None
    seq = 1
    for span in spans:
        leaving = units(*(Part(text) for text in span), first=seq)
        seq += len(span)
        room = Limits(1, 4 * tokens, tokens)
        old = extracted(Summary(1, seq - 1, seq - 1), old, leaving, room, count_tokens)
        if old is not None:
            part = old.part()
            assert count_tokens(part) <= tokens
            assert count_bytes(part) <= 4 * tokens
            head, *lines = part.text.split("\n")
            assert head.startswith("[Earlier")
            assert all(line.startswith("> ") or not line for line in lines)
