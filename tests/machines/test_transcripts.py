"""What kind of text a transcript is."""

from typing import Any

import pytest

from vivace.machines.transcripts import is_interim
from vivace.part import Part


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
