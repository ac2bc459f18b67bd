"""The verbs that need models and no conversation: what is said is what is heard."""

import io
import sys
from pathlib import Path

import pytest

from vivace.cli.app import run
from vivace.models import store
from vivace.processors.audio_file import read_audio

pytestmark = pytest.mark.real

TEXT = "The weather is lovely today, and the children are playing in the garden."


def plain(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def test_what_is_said_is_what_is_transcribed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`say` writes a WAV of 24 kHz that `transcribe` reads back, word for word."""
    out = tmp_path / "hello.wav"
    assert run(["say", TEXT, "-o", str(out)]) == 0
    assert 3 < len(read_audio(out)) / 32_000 < 8
    capsys.readouterr()
    assert run(["transcribe", str(out)]) == 0
    assert plain(capsys.readouterr().out) == plain(TEXT)


def test_several_files_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """With more than one file, each line begins with its file's name."""
    files = [f"examples/speech/{name}.wav" for name in ("something", "goforward")]
    assert run(["transcribe", *files]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert plain(first.removeprefix(f"{files[0]}: ")) == "go somewhere and do something".split()
    heard = plain(second.removeprefix(f"{files[1]}: "))
    assert [{"10": "ten"}.get(word, word) for word in heard] == "go forward ten meters".split()


def test_a_text_may_be_piped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`say -` speaks what stands on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Good morning.\n")))
    assert run(["say", "-", "-o", str(tmp_path / "a.wav")]) == 0
    assert len(read_audio(tmp_path / "a.wav")) > 10_000


@pytest.mark.parametrize(
    ("text", "piped", "why"),
    [
        ("  ", b"", "there is nothing to say"),
        ("-", b"\xff\xfe", "standard input is no text"),
        ("...", b"", "has nothing in it that can be spoken"),
    ],
)
def test_what_cannot_be_said(
    text: str,
    piped: bytes,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing to say is a mistake that is told in one sentence, and leaves no file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
    assert run(["say", text, "-o", str(tmp_path / "a.wav")]) == 2
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_list_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Each model is listed with its licence; `path` prints where one lies."""
    assert run(["models", "list"]) == 0
    listed = capsys.readouterr().out
    for model in store.MODELS:
        assert model.name in listed
        assert model.licence in listed
    assert run(["models", "path", "silero"]) == 0
    assert Path(capsys.readouterr().out.strip()).exists()
    assert run(["models", "pull"]) == 0
