from typing import Any, NoReturn

import pytest

from vivace.metrics.marks import describe, error_text, signal_text
from vivace.part import (
    Audio,
    Call,
    Data,
    Event,
    Image,
    Interrupted,
    Part,
    Played,
    Reset,
    Response,
    Signal,
    SpeechEnded,
    TurnComplete,
)


class Odd:
    def __repr__(self) -> NoReturn:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("hello", "text", "hello"),
        (Audio(b"\0\0", words="one "), "audio", "one "),
        (Image(b"123", "image/png"), "image", "image/png, 3 bytes"),
        (Call("1", "weather", {"city": "Bern", "days": 2}), "call", "weather(city=Bern, days=2)"),
        (Response("1", "weather", {"degrees": 21}), "response", 'weather: {"degrees":21}'),
        (Response("1", "weather", error="no net"), "response", "weather: failed, no net"),
        (Data({"a": [1]}), "data", '{"a":[1]}'),
        (Data("plain"), "data", "plain"),
        (Data(None, "application/pdf", b"1234"), "data", "application/pdf, 4 bytes"),
        (Data({"event": "floor", "floor": "user", "turn": 1}), "data", "floor: user, turn 1"),
        (Data({"event": "begun"}), "data", "begun"),
        (Data({"event": 7}), "data", '{"event":7}'),
        (Data(Odd()), "data", "a Odd"),
        (Event("cat", "eye", 0.5), "data", "event: cat, eye, confidence 0.50"),
        (TurnComplete(2, "failed"), "signal", "turn complete, turn 2, failed"),
        (42, "data", "a int"),  # which is no body, and nobody checks
    ],
    ids=lambda value: str(type(value).__name__)[:12],
)
def test_each_kind_in_a_few_words(body: Any, kind: str, text: str) -> None:
    """What a part holds is told by its kind and a short text."""
    assert describe(Part(body)) == (kind, text)


@pytest.mark.parametrize(
    ("signal", "text"),
    [
        (SpeechEnded(1.5), "speech ended, at 1.500 s"),
        (SpeechEnded(1.5, transcript_follows=True), "speech ended, at 1.500 s, transcript follows"),
        (Interrupted(3, heard="one two"), "interrupted, turn 3, heard “one two”"),
        (Interrupted(3), "interrupted, turn 3"),
        (Reset(), "reset, turn 0"),
        (Played(1, "timeout"), "played, turn 1, timeout"),
    ],
)
def test_signals_in_words(signal: Signal, text: str) -> None:
    """The name in words, and each field that says something."""
    assert signal_text(signal) == text


def test_long_texts_are_cut() -> None:
    """Whatever a part holds, a mark is small: memory and page are bounded by their number."""
    for body in ("x" * 100_000, Data(["x" * 100_000]), Call("1", "f", {"a": "x" * 100_000})):
        text = describe(Part(body))[1]
        assert len(text) == 400
        assert text.endswith("…")
    assert describe(Part("x" * 400))[1] == "x" * 400


def error_without_words() -> Exception:
    class Unspeakable(Exception):
        def __str__(self) -> NoReturn:
            raise RuntimeError("no words")

    return Unspeakable()


def test_errors_in_words() -> None:
    """Kind and message, without its notes; also of an error that cannot be made into text."""
    error = ValueError("broken")
    error.add_note("in agent[1].tool")
    assert error_text(error) == "ValueError: broken"
    assert error_text(KeyError()) == "KeyError"
    assert "Unspeakable: <exception str() failed>" in error_text(error_without_words())
