"""What kind of text a transcript is."""

from typing import Any

import pytest

from vivace.machines.transcripts import TypedLines, is_context, is_interim
from vivace.part import Held, Part, SpeechEnded, SpeechStarted, TurnEnded


@pytest.mark.parametrize(
    ("substream", "metadata", "interim"),
    [
        ("", {}, False),
        ("", {"interim": True}, True),
        ("", {"interim": False}, False),
        ("", {"is_final": False}, True),
        ("", {"is_final": True}, False),
        ("", {"interim": True, "is_final": True}, True),
        ("input_transcription", {}, True),
        ("input_transcription", {"is_final": True}, False),
        ("input_transcription", {"is_final": False}, True),
    ],
)
def test_will_it_be_replaced(substream: str, metadata: dict[str, Any], interim: bool) -> None:
    """A text is final unless it says, or its place says, that it is not."""
    assert is_interim(Part("hello", substream=substream, metadata=metadata)) is interim


@pytest.mark.parametrize(
    ("metadata", "context"), [({}, False), ({"context": True}, True), ({"context": "home"}, False)]
)
def test_is_it_to_be_known_only(metadata: dict[str, Any], context: bool) -> None:
    """It has to say so, and a line that does is none that ends."""
    part = Part("hello", metadata=metadata)
    assert is_context(part) is context
    lines = TypedLines(lambda: 0.0)
    lines.take(Part(SpeechStarted(0.0)))
    lines.take(part)
    assert lines.take(Part(TurnEnded(1.0))) is not context


@pytest.mark.parametrize(
    ("heard_at", "a_lines"),
    [(2.0, True), (2.25, True), (2.26, False), (60.0, False), (1.0, False)],
)
def test_whose_end_is_it(heard_at: float, a_lines: bool) -> None:
    """A line's own end follows it at once; after a quarter of a second of sound it is a key's."""
    now = 2.0
    lines = TypedLines(lambda: now)
    lines.take(Part(SpeechStarted(1.0)))
    lines.take(Part("in Paris"))
    now = heard_at
    assert lines.take(Part(TurnEnded(2.0))) is a_lines
    assert lines.ended_line is a_lines
    assert not lines.take(Part(TurnEnded(2.0)))  # a second one is a key's


def test_the_end_of_a_line_in_silence() -> None:
    """It ends the turn as a key does, and is known for a line's."""
    lines = TypedLines(lambda: 2.0)
    assert not lines.take(Part(TurnEnded(1.0)))
    assert not lines.ended_line
    lines.take(Part(SpeechStarted(1.0)))
    lines.take(Part(SpeechEnded(1.5)))
    lines.take(Part("in Paris"))
    assert not lines.take(Part(TurnEnded(2.0)))
    assert lines.ended_line


def test_other_signals_are_nobodys_end() -> None:
    """Nor do they make one of what comes after."""
    lines = TypedLines(lambda: 2.0)
    assert not lines.take(Part(Held(1)))
