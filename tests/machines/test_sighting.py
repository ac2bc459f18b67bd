"""What a detector saw, read from whatever it returns."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.errors import PartError
from vivace.machines.sighting import MOST, Sighting, sightings_of
from vivace.part import Data, Event, Part


@pytest.mark.parametrize(
    ("result", "seen"),
    [
        (None, []),
        (False, []),
        ("", []),
        (" \n", []),
        (True, [Sighting("eye")]),
        (0.25, [Sighting("eye", 0.25)]),
        (0.0, []),
        (np.float32(0.5), [Sighting("eye", 0.5)]),
        (np.bool_(True), [Sighting("eye")]),
        (np.float64(0.5), [Sighting("eye", 0.5)]),
        (Sighting("cat", np.float64(0.5)), [Sighting("cat", 0.5)]),
        ({"type": "cat", "confidence": np.float32(0.5)}, [Sighting("cat", 0.5)]),
        (" motion\n", [Sighting("motion")]),
        (Sighting("cat", 0.5, "A cat.", [1, 2]), [Sighting("cat", 0.5, "A cat.", [1, 2])]),
        (Sighting("cat", 0.0), []),
        (Event("cat", "other", 0.5, text="A cat."), [Sighting("cat", 0.5, "A cat.")]),
        ({"type": "cat", "confidence": 1, "where": "left"}, [Sighting("cat")]),
        ({"type": None}, []),
        (Part("cat"), [Sighting("cat")]),
        (Part(""), []),
        (Part(Data({"type": "cat", "data": 3})), [Sighting("cat", data=3)]),
        (Part(Data(None)), []),
        (Part(Event("cat")), [Sighting("cat")]),
        (["cat", None, True, 0.5], [Sighting("cat"), Sighting("eye"), Sighting("eye", 0.5)]),
        (("cat",), [Sighting("cat")]),
        (iter(["cat", "dog"]), [Sighting("cat"), Sighting("dog")]),
        ([], []),
    ],
)
def test_what_makes_sense(result: Any, seen: list[Sighting]) -> None:
    """Whatever a detector may return is read as what it saw."""
    found = sightings_of(result, "eye")
    assert found == seen
    assert msgspec.json.encode(found)  # whatever it was, a client can be told


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (7, "eye returned 7, which is no event; return None, a bool, a confidence"),
        (object, "which is no event"),
        (b"cat", "which is no event"),
        ([["cat"]], "which is no event"),
        (Part.audio(b"\0\0"), "a part of audio/pcm;rate=16000, which is no event"),
        (Part(Data(None, "a/b", b"x")), "a part of a/b"),
        (1.5, "eye is sure to 1.5; a confidence is from 0 to 1"),
        (float("nan"), "sure to nan"),
        (Sighting("cat", "high"), "which JSON cannot hold: could not convert string"),  # type: ignore[arg-type]
        (Sighting("cat", data=np.zeros(2)), r"eye returned .*, which JSON cannot hold"),
        ({"type": "cat", "data": {"at": object()}}, "which JSON cannot hold"),
        (Sighting("cat", -0.1), "sure to -0.1"),
        ({"type": "cat", "confidence": 2}, "sure to 2"),
        ({"type": 3}, "Expected `str`, got `int` - at `\\$.type`"),
        ({"confidence": 0.5}, "missing required field `type`"),
        ({"type": ""}, "of type ''"),
        ("x" * 65, "a type is one line of up to 64 characters"),
        ("I see\na cat", "a type is one line"),
        (["cat"] * (MOST + 1), "more than 64 things at once"),
    ],
)
def test_rubbish_is_told_to_be(result: Any, why: str) -> None:
    """All else is an error that says what came."""
    with pytest.raises(PartError, match=why):
        sightings_of(result, "eye")


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=70) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
)


@given(anything | st.builds(lambda value: {"type": "x", "confidence": value}, anything))
def test_nothing_else_is_raised(result: Any) -> None:
    """Whatever comes is sightings within bounds, or a PartError."""
    try:
        seen = sightings_of(result, "eye")
    except PartError:
        return
    assert all(0 < it.confidence <= 1 and 0 < len(it.type) <= 64 for it in seen)
