"""The program: what it says to a user's mistakes. Every one is a sentence and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vivace.cli.app import run
from vivace.cli.lines import read_lines
from vivace.models import store

SPEECH = Path(__file__).parents[2] / "examples" / "speech"
GOOD = str(SPEECH / "goforward.wav")
LONG = "x" * 300 + ".wav"  # longer than any file system takes


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with bad files in it, and an empty cache."""
    import numpy
    import soundfile

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIVACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "cut.wav").write_bytes(Path(GOOD).read_bytes()[:20_000])
    (tmp_path / "blank.txt").touch()
    soundfile.write(tmp_path / "silent.wav", numpy.zeros(0), 16_000)
    return tmp_path


def complaint(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """What is said on stderr; it must be one line, and nothing else be left behind."""
    before = sorted(Path().rglob("*"))
    assert run(arguments) == 2
    said = capfd.readouterr()
    assert sorted(Path().rglob("*")) == before
    assert said.out == ""
    assert said.err.startswith("vivace: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("talk missing.wav", "missing.wav does not exist; check the name"),
        ("talk folder", "folder is a folder; name an audio file in it"),
        ("talk empty.wav", "empty.wav is empty; record it again"),
        ("talk text.wav", "text.wav is not audio that can be read"),
        ("talk cut.wav", "cut.wav is cut off: its header promises more"),
        ("talk silent.wav", "silent.wav is an audio file with no sound in it"),
        ("talk GOOD missing.wav@2", "missing.wav does not exist"),
        ("talk GOOD@2", "nothing has been answered yet"),
        ("talk GOOD --model banana", "the model 'banana' cannot be understood"),
        ("talk GOOD --model gguf:none.gguf", "none.gguf does not exist"),
        ("talk GOOD --model gguf:text.wav", "it is no GGUF file"),
        ("talk GOOD --model script:none.txt", "the script none.txt does not exist"),
        ("talk GOOD --model script:blank.txt", "holds no answer; write one a line"),
        ("talk GOOD --out text.wav", "text.wav is a file; name a folder for the results"),
        ("talk GOOD --out text.wav/deeper", "is a file, so there can be no folder"),
        ("talk GOOD --out /proc/out", "/proc/out cannot be written"),
        ("talk LONG", "cannot be read (File name too long); check its name"),
        ("talk GOOD LONG@2", "cannot be read (File name too long); check its name"),
        ("talk GOOD --out LONG", "cannot be written (LONG: File name too long)"),
        ("say hello -o LONG", "cannot be written (File name too long); choose another place"),
        ("say hello -o LONG/a.wav", "cannot be written (File name too long)"),
        ("transcribe LONG", "cannot be read (File name too long); check its name"),
        ("talk", "Missing argument 'FILE'"),
        ("talk GOOD --nonsense", "No such option: --nonsense"),
        ("nonsense", "No such command 'nonsense'"),
        ("say hello -o folder", "folder is a folder; name a file in it"),
        ("say hello -o /proc/a.wav", "cannot be written"),
        ("say hello -o a.mp3", "name it a.wav"),
        ("say hello", "Missing option '-o'"),
        ("transcribe missing.wav", "missing.wav does not exist"),
        ("transcribe GOOD text.wav", "text.wav is not audio that can be read"),
        ("models path nonsense", "no model named 'nonsense'; known are: silero"),
        ("models path silero", "not on this machine; run: vivace models pull silero"),
        ("models pull nonsense", "no model named 'nonsense'"),
    ],
)
def test_mistakes(arguments: str, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Checked before anything is fetched or loaded, told in one sentence."""
    given = [a.replace("GOOD", GOOD).replace("LONG", LONG) for a in arguments.split()]
    assert says.replace("LONG", LONG) in complaint(given, capfd)


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_to_say(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    """An empty text is told apart from a bad file."""
    assert "there is nothing to say" in complaint(["say", text, "-o", "a.wav"], capfd)


def test_a_model_of_ones_own_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The variable that names it is named."""
    monkeypatch.setenv("VIVACE_MODEL_WHISPER_TINY_EN", "none.bin")
    assert "VIVACE_MODEL_WHISPER_TINY_EN names none.bin" in complaint(["transcribe", GOOD], capfd)


def test_a_cache_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says which folder, and how to name another."""
    monkeypatch.setenv("VIVACE_CACHE", "/proc/cache")
    assert "cannot write to the model cache /proc/cache" in complaint(
        ["models", "pull", "silero"], capfd
    )


def test_models_list(capfd: pytest.CaptureFixture[str]) -> None:
    """Every model is in the table, also those that are not here."""
    assert run(["models", "list"]) == 0
    said = capfd.readouterr().out
    for name in ("silero", "smart-turn", "whisper-tiny.en", "smollm2", "hibari", "Apache-2.0"):
        assert name in said


def test_pull_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A line for each step where there is no terminal, bars where there is one."""

    def pull(names: list[str], *, progress: store.Progress) -> None:
        for name in names:
            progress(name, "download", 1_000_000, 12_000_000)
            progress(name, "download", 2_000_000, 12_000_000)
            progress(name, "check", 2_300_000, 2_300_000)
            progress(name, "ready", 2_300_000, 2_300_000)

    monkeypatch.setattr(store, "pull", pull)
    assert run(["models", "pull", "silero"]) == 0
    assert capfd.readouterr().err.splitlines() == [
        "silero: downloading (12.0 MB)", "silero: checking (2.3 MB)", "silero: ready (2.3 MB)",
    ]  # fmt: skip
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(["models", "pull", "silero"]) == 0
    assert "2.3/2.3 MB" in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["models"], ["talk", "-h"]])
def test_help(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Asked for or not, help is no mistake."""
    assert run(arguments) == 0
    assert "Usage: vivace" in capfd.readouterr().out


def test_version_is_quick_and_loads_nothing_heavy() -> None:
    """As a program of its own: exit code 0, and none of the models' packages is imported."""
    code = (
        "import sys; sys.argv[1:] = ['--version']\n"
        "from vivace.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'numpy', 'onnxruntime', 'ctranslate2', 'matplotlib', 'asyncio'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, heavy = done.stdout.splitlines()
    assert version.startswith("vivace ")
    assert heavy == "set()"


def test_a_file_may_be_called_like_a_moment(place: Path) -> None:
    """`a.wav@2` is a file if there is one, and `a.wav` at 2 s if not."""
    os.link(GOOD, "a.wav")
    [first, later] = read_lines(["a.wav", "a.wav@2.5"])
    assert (first.name, first.over_s, later.name, later.over_s) == ("a", None, "a", 2.5)
    os.link(GOOD, "a.wav@2.5")
    assert [line.over_s for line in read_lines(["a.wav", "a.wav@2.5"])] == [None, None]
