"""What kind of text a transcript is."""

from typing import Any

import pytest

from vivace.machines.transcripts import TypedLines, is_context, is_interim
from vivace.part import Part, SpeechStarted, TurnEnded


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
    lines = TypedLines()
    lines.take(Part(SpeechStarted(0.0)))
    lines.take(part)
    assert lines.take(Part(TurnEnded(1.0))) is not context
