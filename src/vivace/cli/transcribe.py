"""`vivace transcribe`: audio files to text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from vivace.cli import weights
from vivace.cli.interrupt import interruptible
from vivace.processors.audio_file import read_audio

__all__ = ["transcribe"]


def transcribe(files: Sequence[str]) -> None:
    """Print what is said in each file: one line, after its name if there are several."""
    recordings = [read_audio(file) for file in files]
    weights.ensure(["whisper-tiny.en"])
    with interruptible():
        from vivace.models.whisper import Whisper

        whisper = Whisper.load()

    async def print_all() -> None:
        for file, pcm in zip(files, recordings, strict=True):
            text = await whisper(pcm)
            print(f"{file}: {text}" if len(files) > 1 else text, flush=True)

    asyncio.run(print_all())
