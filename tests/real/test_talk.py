"""`vivace talk` as a program, with real ears and a real voice; only the answers are canned."""

import asyncio
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vivace.models.whisper import Whisper
from vivace.processors.audio_file import read_audio

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("ears")]

SPEECH = Path(__file__).parents[2] / "examples" / "speech"
ANSWERS = (
    "Good morning, my friend. The weather is very nice today, is it not?",
    "I would like to tell you a long story about a small house in a big garden.",
)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", text.lower().replace("10", "ten"))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conversation: a question, a cough over its answer, another question that is spoken over."""
    place = tmp_path_factory.mktemp("talk")
    (place / "answers.txt").write_text("\n".join([*ANSWERS, ANSWERS[0]]))
    steps = ["something.wav", "cough.wav@1.5", "goforward.wav", "librivox_0880.wav@2"]
    done = subprocess.run(
        [
            sys.executable, "-m", "vivace.cli", "talk", *(str(SPEECH / step) for step in steps),
            "--model", f"script:{place / 'answers.txt'}", "--out", str(place / "out"),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    print(done.stdout)
    return place / "out"


def turns(out: Path) -> list[dict[str, object]]:
    report = json.loads((out / "report.json").read_text())
    print(report["run"], *(turn["latency_ms"] for turn in report["turns"]), sep="\n")
    found: list[dict[str, object]] = report["turns"]
    return found


def unheld(sound: Any, rate: int, held: Any) -> Any:
    """The sound without the silence of a hold, which may fall into the middle of a word."""
    for span in held:
        place = int(span["start_s"] * rate) - rate // 10
        end = int(span["end_s"] * rate) + rate // 10
        silences = itertools.groupby(range(place, end), key=lambda at: sound[at] == 0)
        gap = max((list(run) for silent, run in silences if silent), key=len)
        sound = [*sound[: gap[0]], *sound[gap[-1] + 1 :]]
    return sound


def test_each_turn_is_answered_and_the_report_tells_how(out: Path) -> None:
    """The cough holds the first answer, speech cuts the second, and the prompt says so."""
    first, second, third = turns(out)
    assert (first["outcome"], second["outcome"], third["outcome"]) == (
        "done",
        "interrupted",
        "done",
    )
    assert (first["user"], first["heard"]) == ("Go somewhere and do something.", ANSWERS[0])
    assert len(list(first["held"])) == 1  # type: ignore[call-overload]
    heard = str(second["heard"])
    assert ANSWERS[1].startswith(heard)
    assert len(words(heard)) < len(words(ANSWERS[1]))
    assert third["prompt"][-2] == {"role": "model", "text": heard}  # type: ignore[index]
    assert third["heard"] == ANSWERS[0]


def test_the_sound_file_says_what_was_said(out: Path) -> None:
    """Left what the people said, right the script, cut where it was interrupted."""
    import soundfile

    sound, rate = soundfile.read(out / "conversation.wav", always_2d=True)
    whisper = Whisper.load()
    left, right = out / "left.wav", out / "right.wav"
    first, second, third = turns(out)
    soundfile.write(left, sound[:, 0], rate)
    soundfile.write(right, unheld(sound[:, 1], rate, first["held"]), rate)
    said, answered = (asyncio.run(whisper(read_audio(path))) for path in (left, right))
    print(said, answered, sep="\n")
    # The cough may be heard as a hum.
    spoken = [word for word in words(said) if word not in ("uh", "um", "hm", "hmm")]
    assert spoken[:9] == words("Go somewhere and do something. Go forward ten meters.")
    expected = [*words(str(first["heard"])), *words(str(second["heard"])), *words(ANSWERS[0])]
    # The last word before the cut may be half a word.
    assert words(answered)[: len(words(ANSWERS[0]))] == words(str(first["heard"]))
    assert words(answered)[-len(words(str(third["heard"]))) :] == words(str(third["heard"]))
    assert abs(len(words(answered)) - len(expected)) <= 1


def test_the_picture_is_there(out: Path) -> None:
    """A PNG of a size that one can read."""
    picture = (out / "timeline.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20]) > 2000
