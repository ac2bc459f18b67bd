"""What tells one request to a cache from another."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.errors import StageError
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor
from vivace.part import Data, Part
from vivace.processors.cache_key import Unkeyed, key_of, settings_of


class Holds(Processor):
    """A processor that holds what it is given."""

    def __init__(self, value: object) -> None:
        self.value = value


class Other(Holds):
    """Another class, which holds the same."""


class Color(Enum):
    RED = 1
    BLUE = 2


class Style(msgspec.Struct):
    name: str


@dataclass
class Point:
    x: int


def adder(by: object) -> Callable[[object], object]:
    return lambda value: (value, by)


def late() -> Callable[[], object]:
    name: int

    def inner() -> object:
        return name

    def never() -> None:
        nonlocal name
        name = 1

    return inner


def key(value: object, *, lasting: bool = True) -> bytes:
    return settings_of(Holds(value), None, lasting=lasting)


VALUES: list[Any] = [
    None, True, 1, 1.0, "1", b"1", Path("1"), Color.RED, Color.BLUE, Style("a"), Style("b"),
    Point(1), Point(2), [1, 2], [2, 1], {"a": 1}, {"a": 2}, {"a": {"b": [Color.RED]}}, {1, 2},
    frozenset({3}), ..., int, functools, adder, adder(1), adder(2), late(), len.__class__,
    functools.partial(adder, 1), functools.partial(adder, 2), Holds(1), Holds(2), Other(1),
    Holds(1) + Holds(2), Path.exists, part_processor(adder(1)), Style("a").__eq__,
    Point(1).__eq__, Point(2).__eq__, lambda: 1, lambda: 2, lambda value=1: value, 2**80,
]  # fmt: skip


def test_each_is_another() -> None:
    """No two of all these values are the same setting, and each is the same as itself."""
    keys = []
    for value in VALUES:
        try:
            keys.append(key(value))
        except StageError:  # made in C: nothing can be said of it
            keys.append(key(value, lasting=False))
    assert len(set(keys)) == len(VALUES)
    assert key(adder(1)) == key(adder(1))
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
    assert key(lambda value: value[..., 0]) != key(lambda value: value[..., 1])
    assert settings_of(Holds(1), None, lasting=True) != settings_of(Other(1), None, lasting=True)


def test_what_nobody_can_tell_must_be_told() -> None:
    """In memory an object is itself; for a file that outlives it, somebody has to say what."""
    here, there = object(), object()
    assert key(here, lasting=False) != key(there, lasting=False)
    with pytest.raises(StageError, match=r"\['value'\] holds, a builtins.object.*settings="):
        key(here)
    told = settings_of(Holds(here), "model 1", lasting=True)
    assert told == settings_of(Holds(there), "model 1", lasting=True)
    assert told != settings_of(Holds(there), "model 2", lasting=True)
    assert told != settings_of(Other(there), "model 1", lasting=True)


def test_settings_are_read_as_attributes_are() -> None:
    """However long they are and in whichever order; what nobody can tell is an error, too."""

    class Long(msgspec.Struct):
        items: list[int]

        def __repr__(self) -> str:
            return "Long(...)"

    def of(settings: object) -> bytes:
        return settings_of(Holds(1), settings, lasting=True)

    assert of(Long([1])) != of(Long([2]))
    assert of({"a": 1, "b": 2}) == of({"b": 2, "a": 1})
    with pytest.raises(StageError, match=r"settings.* holds, a builtins.object"):
        of({"model": object()})


def test_slots_are_attributes() -> None:
    """What a processor keeps in them makes another one of it; what it has not set does not."""

    class Slots(Holds):
        __slots__ = ("model", "unset")

        def __init__(self, model: str) -> None:
            super().__init__(1)
            self.model = model

    def of(model: str) -> bytes:
        return settings_of(Slots(model), None, lasting=True)

    assert of("small") != of("large")
    assert of("small") == of("small")


def test_rings_have_an_end() -> None:
    """What holds itself is told once."""
    ring: list[object] = []
    ring.append(ring)
    assert key(ring) == key(ring)
    holds = Holds(None)
    holds.value = holds
    assert settings_of(holds, None, lasting=True)


PARTS = st.lists(
    st.builds(
        Part,
        st.text() | st.builds(Data, st.dictionaries(st.text(), st.integers(0, 9), max_size=3)),
        role=st.sampled_from(["user", "model"]),
        substream=st.sampled_from(["", "a"]),
        metadata=st.dictionaries(st.text(max_size=2), st.integers(0, 9), max_size=2),
    ),
    max_size=4,
)


@given(PARTS, PARTS, st.integers(0, 9), st.floats(0, 9))
def test_keys_are_equal_as_requests_are(
    one: list[Part], two: list[Part], turn: int, at: float
) -> None:
    """For all requests: the key is the same if the parts are, whenever and in whichever reply."""
    same = key_of(one, b"") == key_of(two, b"")
    assert same == (one == two)
    moved = [part.derive(turn=turn, at=at) for part in one]
    assert key_of(moved, b"") == key_of(one, b"")
    assert key_of(one, b"other") != key_of(one, b"")


def test_what_cannot_be_written_down_has_no_key() -> None:
    """Whoever asks decides what to do then."""
    with pytest.raises(Unkeyed):
        key_of([Part(Data(object()))], b"")
