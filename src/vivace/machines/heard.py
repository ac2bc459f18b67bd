"""How much of a reply was heard, when it stopped in the middle.

This file owns the cut: by the words that each chunk carries, else in proportion to its sound.
"""

from __future__ import annotations

from collections.abc import Sequence

from vivace.errors import PartError
from vivace.machines.words import apart
from vivace.part import Audio, Part

__all__ = ["heard_of"]


def heard_of(parts: Sequence[Part], played_s: float) -> str:
    """What of a reply was said in its first `played_s` seconds.

    parts: the reply's texts and audio, in order. A word counts once it was played to its end; one
    chunk's words share its time evenly by letters. If the audio has no words, so much of the text
    as of the audio.

    Raises PartError if nothing tells how long the text takes.
    """
    audio = [part.body for part in parts if isinstance(part.body, Audio)]
    if any(body.words for body in audio):
        return _by_words(audio, played_s)
    text = "".join(part.text for part in parts)
    seconds = sum(body.seconds for body in audio)
    if not text.strip() or played_s <= 0:
        return ""
    if not seconds:
        raise PartError(
            f"{played_s:g} s of a reply without sound were played; say what was heard instead"
        )
    return _whole_words(text, played_s / seconds)


def _by_words(audio: Sequence[Audio], played_s: float) -> str:
    said, left = "", played_s
    for body in audio:
        seconds = body.seconds
        if seconds > left + 1e-9:  # sums of floats: a chunk that was played is not cut for less
            return (said + _whole_words(body.words, left / seconds)).strip()
        said += body.words
        left -= seconds
    return said.strip()


def _whole_words(text: str, share: float) -> str:
    """The words that end within the first `share` of `text`."""
    if share >= 1:
        return text.strip()
    end = int(len(text) * share + 1e-9)
    if not end:
        return ""
    if end >= len(text) or text[end].isspace() or text[end - 1].isspace():
        return text[:end].strip()
    whole = max(text.rfind(space, 0, end) for space in " \n\t") + 1
    for word in apart(text[whole:].split(maxsplit=1)[0]):
        if whole + len(word) > end:
            break  # in the middle of it: it was not said
        whole += len(word)
    return text[:whole].strip()
