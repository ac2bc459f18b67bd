"""Weights for the tests that need them. They are pulled once, to the user's cache."""

import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from vivace.models import store

SPEECH = Path(__file__).parents[2] / "examples" / "speech"


@pytest.fixture(scope="session")
def ears() -> None:
    """The weights of all models that listen, in the cache."""
    store.pull(["silero", "smart-turn", "whisper-tiny.en"])


@pytest.fixture(scope="session")
def recording() -> Callable[[str], bytes]:
    """Reads a recording of `examples/speech` as 16 kHz mono 16-bit PCM."""

    def read(name: str) -> bytes:
        with wave.open(str(SPEECH / f"{name}.wav")) as file:
            assert file.getparams()[:3] == (1, 2, 16_000)
            return bytes(file.readframes(file.getnframes()))

    return read


@pytest.fixture(scope="session")
def transcripts() -> dict[str, str]:
    """What is said in each recording."""
    return {file.stem: file.read_text().strip() for file in sorted(SPEECH.glob("*.txt"))}
