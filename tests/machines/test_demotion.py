"""What takes the place of media that age, and of parts that are too large."""

from typing import Any

import pytest

from vivace.machines.demotion import fitted, is_bare_image, older, shrunk
from vivace.machines.measure import count_bytes, count_tokens
from vivace.machines.retention import Unit
from vivace.part import Data, Event, Part, Response


def unit(*parts: Part) -> Unit:
    tokens, size = sum(map(count_tokens, parts)), sum(map(count_bytes, parts))
    return Unit(parts, 1, 0.0, tokens, size)


@pytest.mark.parametrize(
    ("part", "becomes"),
    [
        (Part.audio(bytes(3200), words=" hello "), "hello"),
        (Part.audio(bytes(3200), metadata={"transcript": "hello"}), "hello"),
        (Part.audio(bytes(3200), metadata={"transcript": 7}), "(0.1 s of sound)"),
        (Part.image(b"1", metadata={"caption": "a cat"}), "(picture: a cat)"),
        (Part.image(b"1", metadata={"caption": "  "}), None),
        (Part("text"), None),
    ],
)
def test_old_media(part: Part, becomes: str | None) -> None:
    """Sound is its words, or else its transcript; a picture its caption."""
    old = older(part)
    assert (old.text if old else None) == becomes
    assert is_bare_image(part) is (becomes is None and not part.text)


@pytest.mark.parametrize(
    ("part", "tokens", "becomes"),
    [
        (Part("a" * 40 + "b" * 40), 10, "a" * 18 + " […] " + "b" * 17),
        (Part("short"), 10, "short"),
        (Part(Data({"a": "x" * 90})), 6, '{"a":"xxxx […] xxxxxxx"}'),
        (Part(Data(None, "application/pdf", bytes(900))), 9, "(application/pdf, too large)"),
        (Part(Event("cat", text="a" * 90)), 6, "a" * 10 + " […] " + "a" * 9),
        (Part.image(b"1", metadata={"caption": "a cat"}), 9, "(picture: a cat)"),
        (Part.image(b"1"), 9, "(image/jpeg, too large)"),
        (Part.audio(bytes(320_000), words="hello"), 9, "hello"),
    ],
)
def test_what_is_too_large(part: Part, tokens: int, becomes: str) -> None:
    """Of a text the beginning and the end; of media what they become with age, or their kind."""
    small = shrunk(unit(part), tokens, 10_000, count_tokens)
    assert small is not None
    assert small.tokens <= tokens
    assert small.parts[0].text == becomes


def test_tool_traffic_that_is_too_large() -> None:
    """Arguments are left out, results cut; id and name stay, so they are still a pair."""
    block = unit(
        Part.call("look", {"at": "x" * 400}, id="1"), Part.response("look", "y" * 400, id="1")
    )
    small = shrunk(block, 40, 10_000, count_tokens)
    assert small is not None
    call, response = (part.body for part in small.parts)
    assert call == Part.call("look", {"omitted": "too large"}, id="1").body
    assert isinstance(response, Response)
    assert " […] " in str(response.result)
    tiny = shrunk(unit(Part.call("look", {"at": "x" * 400}, id="1")), 3, 10_000, count_tokens)
    assert tiny is not None
    assert tiny.parts[0].body == Part.call("look", id="1").body
    failed = unit(Part.response("look", id="1", error="e" * 400))
    small = shrunk(failed, 20, 10_000, count_tokens)
    assert small is not None
    assert isinstance(small.parts[0].body, Response)
    assert small.parts[0].body.error.startswith("eee")


def test_what_small_parts_leave_the_others_share() -> None:
    """Each has as much as another, or all that it needs."""
    parts = [Part("a" * 400), Part("b" * 8), Part("c" * 400), Part("d" * 40)]
    small = shrunk(unit(*parts), 62, 10_000, count_tokens)
    assert small is not None
    assert [count_tokens(part) for part in small.parts] == [25, 2, 25, 10]
    assert [part.text[0] for part in small.parts] == ["a", "b", "c", "d"]


def test_a_block_in_a_prompt_without_room() -> None:
    """What has no form that is small enough says so, or stays: a reply knows what it said."""
    parts = [
        Part("so", role="model"),
        Part.call("look", {"at": "x" * 400}, id="1"),
        Part.response("look", "y" * 400, id="1"),
        Part.call("a", id="2"),
        Part.response("a", "b", id="2"),
    ]
    assert [part.body for part in fitted(parts, 5, 10_000, count_tokens)] == [
        "so",
        Part.call("look", id="1").body,
        Part.response("look", id="1", error="too large to be told").body,
        Part.call("a", id="2").body,
        Part.response("a", "b", id="2").body,
    ]
    parts = [Part("x" * 40, role="model"), *parts[1:3]]
    assert fitted(parts, 1, 10_000, count_tokens)[0] is parts[0]
    assert fitted(parts, 1000, 10_000, count_tokens) == parts


@pytest.mark.parametrize(
    "part", [Part.call("a name that is long", id="1"), Part("x" * 40), Part.image(bytes(90))]
)
def test_what_has_no_form_that_is_small_enough(part: Any) -> None:
    """It is none."""
    assert shrunk(unit(part), 0, 10_000, count_tokens) is None
