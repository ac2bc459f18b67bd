"""How large parts are."""

import pytest

from vivace.audio import AudioFormat
from vivace.errors import PartError
from vivace.machines.measure import Limits, as_json, checked, count_bytes, count_tokens, size_of
from vivace.part import Audio, Data, Event, Held, Part, Response


@pytest.mark.parametrize(
    ("part", "tokens", "size"),
    [
        (Part(""), 0, 0),
        (Part("four"), 1, 4),
        (Part("fives"), 2, 5),
        (Part("größe"), 2, 7),
        (Part("\ud800"), 1, 3),  # half of a pair, as broken clients send
        (Part.audio(bytes(32_000)), 25, 32_000),
        (Part.audio(bytes(2)), 1, 2),
        (Part(Audio(b"", AudioFormat(8000))), 0, 0),
        (Part.image(b"jpeg"), 258, 4),
        (Part(Data({"a": 1})), 2, 7),
        (Part(Data(None, "application/pdf", bytes(40))), 10, 40),
        (Part(Event("late_cat", text="größe")), 2, 7),
        (Part(Event("late_cat")), 3, 10),
        (Part.call("look", {"at": 1}, id="1"), 3, 12),
        (Part.response("look", "a cat", id="1"), 3, 11),
        (Part(Response("1", "look", None, "blind")), 4, 13),
        (Part(Held(1)), 0, 0),
    ],
)
def test_what_a_part_costs(part: Part, tokens: int, size: int) -> None:
    """4 characters a token, 25 tokens a second of sound, 258 a picture; bytes as they are."""
    assert (count_tokens(part), count_bytes(part)) == (tokens, size)


def test_what_json_cannot_hold() -> None:
    """It is told as Python shows it."""
    assert as_json({"a": [1]}) == '{"a":[1]}'
    assert as_json({1, 2} | {3}).startswith("[") or as_json({1}) == "{1}"
    assert as_json(object).startswith("<class")


def test_a_count_that_is_none() -> None:
    """It says what came, of what, and what should."""
    assert checked(lambda part: 7, Part("x")) == 7
    with pytest.raises(PartError) as caught:
        checked(lambda part: -1, Part("x"))
    assert str(caught.value) == (
        "count_tokens says -1 of a part of text/plain; it must return a whole number, 0 or more"
    )


def test_limits() -> None:
    """Their arithmetic; tokens are told first, and an equal amount is within them."""
    limits = Limits(8, 80, 800)
    assert limits.share(3) == Limits(2, 26, 266)
    assert limits.less(Limits(9, 1, 1)) == Limits(0, 79, 799)
    assert limits.more(limits) == Limits(16, 160, 1600)
    assert limits.exceeded(8, 80, 800) == ""
    assert limits.exceeded(9, 81, 801) == "tokens"
    assert limits.exceeded(9, 81, 800) == "parts"
    assert limits.exceeded(8, 81, 800) == "bytes"


def test_what_a_prompt_shares_with_the_one_before() -> None:
    """Only parts from the beginning on, each the same at the same place, are reused."""
    before = [Part("a" * 8), Part("b" * 8), Part("c" * 8)]
    assert size_of(before, []) == {"tokens": 6, "reused": 0}
    assert size_of([*before, Part("d")], before) == {"tokens": 7, "reused": 6}
    changed = [Part("a" * 8), Part("x" * 8), Part("c" * 8)]
    assert size_of(changed, before) == {"tokens": 6, "reused": 2}
    assert size_of([], before) == {"tokens": 0, "reused": 0}
