"""The small pieces of the command line."""

import io
import signal
import sys
import warnings
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vivace import cli
from vivace.cli import app, models, report
from vivace.cli.files import check_file, check_folder, whole
from vivace.cli.interrupt import interruptible
from vivace.cli.lines import read_lines
from vivace.cli.recording import Recording, Span, Turn, Utterance
from vivace.cli.screen import Screen
from vivace.cli.terminal import quiet
from vivace.cli.view import Lines, view
from vivace.errors import AudioError
from vivace.models import store
from vivace.part import Data, Part

SPEECH = "examples/speech/something.wav"


def test_ctrl_c_waits_for_the_end_of_the_step() -> None:
    """Within the block nothing is cut in two; at its end, or at a checkpoint, it takes effect."""
    done = []

    def work() -> None:
        with interruptible() as check:
            check()
            signal.raise_signal(signal.SIGINT)
            done.append("the step")
            check()
            done.append("more")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the step"]


def test_ctrl_c_is_not_lost_behind_an_error() -> None:
    """If the step fails after Ctrl-C, it is Ctrl-C that counts."""

    def fail() -> None:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("and an error")

    with pytest.raises(KeyboardInterrupt):
        fail()


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


@pytest.mark.parametrize("missing", ["typer", "rich.console"])
def test_without_the_extras_the_command_is_named(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a plain `pip install vivace` the program says what is missing and how to get it."""
    for module in [name for name in sys.modules if name.startswith("vivace.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(sys, "argv", ["vivace"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"vivace: the command line needs {missing}, which is not installed: "
        "pip install 'vivace[local]'\n"
    )


def test_a_missing_file_of_ours_is_no_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of Vivace itself that is not there is a bug, and shown as one."""

    def broken(_: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'vivace.gone'", name="vivace.gone")

    monkeypatch.setattr(app, "run", broken)
    with pytest.raises(ModuleNotFoundError, match=r"vivace\.gone"):
        cli.main()


def test_a_folder_without_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not even be looked at is told in one sentence, whether it is read or written."""
    closed = tmp_path / "closed"
    stat = Path.stat

    def refuse(path: Path, **options: Any) -> Any:
        if path.is_relative_to(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(AudioError, match=r"\(Permission denied\); check its rights"):
        read_lines([str(closed / "a.wav@2")])
    for check in (check_file, check_folder):
        with pytest.raises(AudioError, match=r"Permission denied\); choose another place"):
            check(closed / "out")
    with pytest.raises(AudioError, match="cannot be written"), whole(closed / "a.wav"):
        pass


# -- what is seen -----------------------------------------------------------------------------


def test_a_terminal_gets_the_screen_and_anything_else_lines() -> None:
    """The view fits where it is written to."""
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    assert isinstance(view(terminal, Recording(), "smollm2"), Screen)
    assert isinstance(view(Console(file=io.StringIO()), Recording(), "smollm2"), Lines)


@pytest.mark.parametrize(
    ("news", "line"),
    [
        (
            {"event": "failed", "what": "reply", "error": "the line\nis dead"},
            "reply failed: the line is dead",
        ),
        ({"event": "no_answer", "after_s": 15.0}, "has not answered within 15 s"),
        (
            {
                "event": "connection", "state": "reconnecting", "code": 1006, "reason": "",
                "wait_s": 0.49,
            },
            "is gone (1006); called again in 0.5 s",
        ),
    ],
)  # fmt: skip
def test_a_failure_is_a_line(news: dict[str, object], line: str) -> None:
    """What failed and why is told with its time."""
    out = io.StringIO()
    Lines(Console(file=out, width=200), Recording()).feed(Part(Data(news), at=1.25), 2.0)
    assert out.getvalue() == f"   1.25 s  agent  {line}\n"


def test_an_answer_that_did_not_come_is_a_failure() -> None:
    """The report has it."""
    recording = Recording()
    recording.feed(Part(Data({"event": "no_answer", "after_s": 15.0}), substream="status"), 20.0)
    (failure,) = recording.failures
    assert (failure.what, failure.error) == ("answer", "none came within 15 s")


def test_the_screen_lets_old_turns_scroll_away() -> None:
    """Only the newest two exchanges stay in the moving part; a hold that is over has its length."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=30)
    recording = Recording()
    for number in range(1, 5):
        recording.turns[number] = Turn(number, asked_at=float(number), pieces=[f"answer {number}."])
        recording.turns[number].over_at = number + 0.5
    recording.turns[4].held.append(Span(4.0, 4.5))
    recording.interim = "and then"
    recording.utterances.append(Utterance("well", 4.8))
    screen = Screen(console, recording, "smollm2")
    screen.tick(5.0)
    frame = screen.frame(5.0).plain
    assert [f"answer {number}." in frame for number in range(1, 5)] == [False, False, True, True]
    assert "answer 1." in out.getvalue()
    assert "held 0.5 s" in frame
    assert "well" in frame
    assert "and then" in frame


def test_signs_that_a_terminal_does_not_know_are_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are replaced; and warnings of libraries are silenced unless they were asked for."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings():
        quiet()
        warnings.warn("noise", stacklevel=1)
    sys.stdout.write("● on")
    sys.stdout.flush()
    assert raw.getvalue() == b"? on"


def test_warnings_that_were_asked_for_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `python -W` warnings come through; a stream that is no file is left as it is."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "warnoptions", ["always"])
    with pytest.warns(UserWarning, match="asked for"):
        _warn_after_quiet()


def _warn_after_quiet() -> None:
    quiet()
    warnings.warn("asked for", stacklevel=1)


def test_a_voice_that_is_not_installed_is_listed_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The synthesiser comes as a package: without it the list says that it is not there."""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(models, "version", missing)
    assert models._voice()[4] == "[dim]no[/]"
