"""`vivace say`: text to a WAV file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from vivace.cli.files import check_file, whole
from vivace.cli.interrupt import interruptible
from vivace.errors import AudioError, PartError
from vivace.part import Audio, Part
from vivace.processors.audio_file import write_wav
from vivace.processors.speak import Speak

__all__ = ["say"]


def say(text: str, out: Path) -> None:
    """Speak `text` ("-": standard input) into the file `out`."""
    if out.suffix.lower() not in ("", ".wav"):
        raise AudioError(f"{out} would be a WAV file all the same; name it {out.stem}.wav")
    check_file(out)
    if text == "-":
        text = _stdin()
    if not text.strip():
        raise PartError("there is nothing to say; give a text, or '-' and pipe one in")
    with interruptible():
        from vivace.models.hibari import Hibari

        voice = Hibari.load()
    pieces = asyncio.run(_speak(voice, text))
    if not pieces:
        raise PartError(f"{text.strip()[:40]!r} has nothing in it that can be spoken; use words")
    with whole(out) as place:
        write_wav(place, [b"".join(audio.pcm for audio in pieces)], voice.rate)


async def _speak(voice: Callable[[str], Awaitable[Sequence[Audio]]], text: str) -> list[Audio]:
    said = Speak(voice)(Part(text, role="model"))
    return [part.body async for part in said if isinstance(part.body, Audio)]


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise PartError(f"standard input is no text ({error}); pipe UTF-8 in") from error
