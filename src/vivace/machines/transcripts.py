"""What kind of text a transcript is."""

from __future__ import annotations

from vivace.part import Part

__all__ = ["is_interim", "is_spoken"]


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


def is_spoken(part: Part) -> bool:
    """True for a transcript: it has a place in the sound, or comes as one. Else it was typed."""
    as_one = "is_final" in part.metadata or part.substream == "input_transcription"
    return part.at is not None or as_one
