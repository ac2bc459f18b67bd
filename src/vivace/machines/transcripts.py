"""What kind of text a transcript is."""

from __future__ import annotations

from vivace.part import Part

__all__ = ["is_interim"]


def is_interim(part: Part) -> bool:
    """True for a text that a later one will replace.

    Transcripts may say so by `interim`, or by `is_final`; one that comes on the substream
    `input_transcription` and says nothing may still change.
    """
    metadata = part.metadata
    if metadata.get("interim"):
        return True
    if "is_final" in metadata or part.substream == "input_transcription":
        return not metadata.get("is_final")
    return False
