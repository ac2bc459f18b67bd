"""The small pieces of the command line."""

import signal
import sys
from pathlib import Path

import pytest

from vivace import cli
from vivace.cli import app, report
from vivace.cli.files import whole
from vivace.cli.interrupt import interruptible
from vivace.cli.lines import read_lines
from vivace.errors import AudioError
from vivace.models import store

SPEECH = "examples/speech/something.wav"


def test_ctrl_c_waits_for_the_end_of_the_step() -> None:
    """Within the block nothing is cut in two; at its end, or at a checkpoint, it takes effect."""
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible() as check:
        check()
        signal.raise_signal(signal.SIGINT)
        done.append("the step")
        check()
        done.append("more")
    assert done == ["the step"]
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("and an error")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failure leaves neither the file nor the folder made for it, and names the real place."""
    out = tmp_path / "new" / "a.txt"
    with whole(out) as place:
        place.write_text("all of it")
        assert not out.exists()
    assert out.read_text() == "all of it"
    other = tmp_path / "other" / "a.txt"
    with pytest.raises(AudioError) as caught, whole(other) as place:
        raise AudioError(f"{place} is full")
    assert str(caught.value) == f"{other} is full"
    with pytest.raises(AudioError, match="cannot be written"), whole(other):
        raise OSError(28, "No space left on device")
    assert not other.parent.exists()


@pytest.mark.parametrize("suffix", ["@x", "@-1", "@inf", "@nan"])
def test_an_at_without_a_time_belongs_to_the_name(suffix: str) -> None:
    """Only a number of seconds after the @ is a time; else the file of that name is missing."""
    with pytest.raises(AudioError, match="does not exist"):
        read_lines([SPEECH, SPEECH + suffix])


def test_the_report_names_what_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of the user's own is named by its path, ours by carrier and hashes."""
    model = store.MODELS[0]
    assert set(report._row(model)["sha256"]) == {file.name for file in model.files}
    monkeypatch.setenv(store.variable(model.name), "/mine.onnx")
    assert report._row(model) == {"name": model.name, "role": model.role, "path": "/mine.onnx"}
    assert report._version("no-such-package") is None


def test_ctrl_c_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whenever it comes: one word, and the exit code that shells know."""

    def stop(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "run", stop)
    monkeypatch.setattr(sys, "argv", ["vivace"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130
    assert capsys.readouterr().err == "\nvivace: stopped\n"
