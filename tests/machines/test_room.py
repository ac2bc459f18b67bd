"""How much of what tools bring the next step of a reply is told."""

import pytest

from vivace.errors import PartError
from vivace.machines.measure import Limits, count_bytes, count_tokens
from vivace.machines.room import cut_to_room
from vivace.machines.window import Window
from vivace.part import Part

LIMITS = Limits(1000, 10**6, 8000)
NOTHING = Limits(0, 0, 0)
SUMMARY = 1000  # tokens: an eighth


def tokens(parts: list[Part]) -> int:
    return sum(map(count_tokens, parts))


def size(parts: list[Part]) -> int:
    return sum(map(count_bytes, parts))


def results(*lengths: int) -> list[Part]:
    """Calls with results of so many tokens."""
    numbers = list(enumerate(lengths))
    calls = [Part.call("look", id=f"{n}") for n, _ in numbers]
    return [*calls, *(Part.response("look", "x" * 4 * it, id=f"{n}") for n, it in numbers)]


@pytest.mark.parametrize("limits", [LIMITS, LIMITS.less(Limits(0, 10**6 - 40_000, 0))])
def test_what_there_is_room_for_stays_as_it_is(limits: Limits) -> None:
    """Up to the limit, in tokens and in bytes."""
    parts = results(4000, 1000)
    before = [Part("x" * 4 * 2900)]
    assert cut_to_room(parts, before, limits, NOTHING, count_tokens) == parts
    assert cut_to_room([], before, limits, NOTHING, count_tokens) == []


@pytest.mark.parametrize(
    ("before", "held", "room"),
    [
        (0, 0, 8000 - SUMMARY),
        (2000, 0, 6000 - SUMMARY),
        (2000, 2000, 6000 - SUMMARY),
        (3000, 1000, 5000 - SUMMARY),
        (6000, 0, (8000 - SUMMARY) // 2),  # however little the rest leaves
        (8000, 2000, (6000 - SUMMARY) // 2),
    ],
)
def test_what_is_too_large_is_cut(before: int, held: int, room: int) -> None:
    """To what the rest leaves, but half of what is beside the pins at least."""
    rest = [Part("x" * 4 * before)]
    cut = cut_to_room(results(9000), rest, LIMITS, Limits(1, held, held), count_tokens)
    assert room - 2 <= tokens(cut) <= room
    assert [part.mimetype for part in cut] == [part.mimetype for part in results(1)]
    cut = cut_to_room(results(9000, 9000, 9000, 3), rest, LIMITS, Limits(1, 0, held), count_tokens)
    assert room - 8 <= tokens(cut) <= room
    assert cut[-1] == results(0, 0, 0, 3)[-1]


def test_bytes_are_cut_likewise() -> None:
    """There is a limit of these, too."""
    limits = Limits(1000, 8000, 10**6)
    cut = cut_to_room(results(9000), [Part("x" * 2000)], limits, NOTHING, count_tokens)
    assert 8000 - 1000 - 2000 - 8 <= size(cut) <= 8000 - 1000 - 2000


def test_a_counter_of_ones_own() -> None:
    """It is asked, and what is no number of tokens is refused."""
    cut = cut_to_room(results(9000), [], LIMITS, NOTHING, lambda part: 2 * count_tokens(part))
    assert 6990 <= 2 * tokens(cut) <= 7000
    with pytest.raises(PartError, match="count_tokens says -1"):
        cut_to_room(results(1), [], LIMITS, NOTHING, lambda _: -1)


def test_the_window_knows_its_pins() -> None:
    """They never leave, so that half of what is beside them is less."""
    window = Window(max_tokens=8000)
    window.add(Part("x" * 4 * 2000, role="system"), 0.0)
    window.add(Part("x" * 4 * 4000), 0.0)
    cut = window.cut(results(9000), window.parts())
    assert 2498 <= tokens(cut) <= 2500
    assert window.cut(results(9), window.parts()) == results(9)
