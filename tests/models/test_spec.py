from pathlib import Path

import pytest

from vivace.errors import ModelError, ModelMissing, ModelSpec
from vivace.models.scripted import Scripted
from vivace.models.spec import FORMS, told_of, turn_model


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("", "'' is no kind of model"),
        ("gpt", "'gpt' is no kind of model"),
        ("smollm2:x", "smollm2 takes nothing after it"),
        ("gguf:", "the path is missing"),
        ("openai:localhost#m", "'localhost' does not begin with http:// or https://"),
        ("openai:http://localhost", "the model's name is missing after '#'"),
        ("gemini:", "the model's name is missing"),
        ("script:", "the file is missing"),
    ],
)
def test_what_cannot_be_understood(spec: str, why: str) -> None:
    """The error says what came, why it is wrong, and lists all forms."""
    with pytest.raises(ModelSpec) as caught:
        turn_model(spec)
    assert f"the model {spec!r} cannot be understood: " in str(caught.value)
    assert why in str(caught.value)
    assert all(form in str(caught.value) for form, _ in FORMS)


def test_a_script(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hello.")
    assert isinstance(turn_model(f" script:{tmp_path}/a.txt "), Scripted)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    """llama.cpp is not even loaded for it."""
    (tmp_path / "a.gguf").write_bytes(b"PK\3\4 not a model")
    with pytest.raises(ModelError, match=r"begins with b'PK\\x03\\x04', so it is no GGUF file"):
        turn_model(f"gguf:{tmp_path}/a.gguf")
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        turn_model(f"gguf:{tmp_path}")
    with pytest.raises(ModelMissing, match="does not exist"):
        turn_model(f"gguf:{tmp_path}/none.gguf")


def test_smollm2_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the command that fetches them."""
    monkeypatch.delenv("VIVACE_MODEL_SMOLLM2", raising=False)
    monkeypatch.setenv("VIVACE_CACHE", str(tmp_path))
    with pytest.raises(ModelMissing, match="vivace models pull smollm2"):
        turn_model("smollm2")


def test_remote_models_are_made_without_asking_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OpenAI-compatible server and a Gemini model are adapters; nothing is sent yet."""
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    assert type(turn_model("openai:http://127.0.0.1:1/v1#tiny")).__name__ == "OpenAI"
    assert type(turn_model("gemini:gemini-2.5-flash")).__name__ == "Gemini"


@pytest.mark.parametrize("spec", ["openai:http://127.0.0.1:1/v1#tiny", "gemini:gemini-2.5-flash"])
def test_a_model_is_told_of_tools(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another one, that calls them; the first goes on without."""
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    model = turn_model(spec)
    told = told_of([{"name": "look", "parameters": {"type": "object"}}], model, spec)
    assert told is not model
    assert type(told) is type(model)
    assert told_of([], model, spec) is model


def test_a_model_that_can_call_nothing() -> None:
    """It says so, by the name it was chosen by, and which can."""
    match = r"'script:a\.txt' cannot call functions.* look.* or gemini:"
    with pytest.raises(ModelSpec, match=match):
        told_of([{"name": "look"}], Scripted(["yes"]), "script:a.txt")
