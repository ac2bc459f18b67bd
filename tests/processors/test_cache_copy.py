"""Parts of one's own: what is written into one changes no other."""

from collections.abc import Callable
from typing import Any

import pytest

from vivace.part import Call, Data, Event, Part, Response
from vivace.processors.cache_copy import own


@pytest.mark.parametrize(
    ("part", "inner"),
    [
        (Part(Data({"a": [{1}]})), lambda part: part.body.value["a"][0].add(2)),
        (Part(Data(([1],))), lambda part: part.body.value[0].append(2)),
        (Part(Call("1", "look", {"at": [1]})), lambda part: part.body.args["at"].append(2)),
        (Part(Response("1", "look", [1])), lambda part: part.body.result.append(2)),
        (Part(Event("cat", data={"box": [1]})), lambda part: part.body.data["box"].append(2)),
        (Part("text", metadata={"tags": [1]}), lambda part: part.metadata["tags"].append(2)),
    ],
)
def test_what_is_written_into_it_is_its_own(part: Part, inner: Callable[[Part], object]) -> None:
    """In its body and in its metadata, however deep."""
    before = repr(part)
    mine = own(part)
    assert mine == part
    inner(mine)
    assert mine != part
    assert repr(part) == before


def test_what_cannot_be_written_into_is_the_same() -> None:
    """Text, sound, calls without arguments: nothing is copied; what holds itself is left alone."""
    ring: list[Any] = []
    ring.append(ring)
    for part in (
        Part("text"),
        Part.audio(bytes(320)),
        Part.image(b"x"),
        Part(Call("1", "look")),
        Part(Response("1", "look", "text")),
        Part(Data(7)),
        Part(Data(ring)),
    ):
        assert own(part) is part
