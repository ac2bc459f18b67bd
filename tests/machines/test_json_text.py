"""Values as JSON text: what is written, how, and what cannot be."""

import json
import math
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.errors import PartError
from vivace.machines.json_text import json_text, writable
from vivace.part import Response

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
ODD = VALUES | st.builds(object) | st.binary() | st.floats() | st.just(["\ud800"])


def test_what_json_has_no_word_for() -> None:
    """No number is null, bytes are base64, times are ISO 8601."""
    value = [math.nan, math.inf, b"ab", datetime(2026, 1, 2, 3, 4)]
    assert json_text(value) == '[null,null,"YWI=","2026-01-02T03:04:00"]'


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": object()}, "this dict cannot be written as JSON: it holds an object of the type ob"),
        ({(1, 2): 3}, "it holds an object of the type tuple"),
        ("\ud800", "this str cannot be written as JSON: 'utf-8' codec"),
    ],
)
def test_what_cannot_be_written(value: object, why: str) -> None:
    """It is said what came, why, and what to give."""
    with pytest.raises(PartError, match="make it of texts, numbers, lists, and dicts") as caught:
        json_text(value)
    assert why in str(caught.value)


def test_what_holds_itself() -> None:
    """It has no end."""
    knot: list[Any] = []
    knot.append(knot)
    with pytest.raises(PartError, match="it holds itself, or is nested too deeply"):
        json_text(knot)


def test_a_response_that_can_be_written() -> None:
    """It comes back as plain values; a failed one as it is."""
    assert writable(Response("1", "f", {"at": (1, math.nan)})).result == {"at": [1, None]}
    failed = Response("1", "f", object(), "no")
    assert writable(failed) is failed


def test_a_response_that_cannot() -> None:
    """It has failed, and says why."""
    response = writable(Response("1", "f", object()))
    assert response.result is None
    assert response.error.startswith("the result is lost: this object cannot be written as JSON")


@given(VALUES)
def test_plain_values_come_back(value: object) -> None:
    """What JSON can hold is written as it is."""
    assert json.loads(json_text(value)) == value


@given(ODD)
def test_every_response_can_be_written_or_says_why(value: object) -> None:
    """Nothing else is raised, whatever a tool returns."""
    response = writable(Response("1", "f", value))
    json.loads(json_text(response.result))
    assert response.error == "" or response.result is None
