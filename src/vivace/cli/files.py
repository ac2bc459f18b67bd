"""Files that the command line writes: whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vivace.errors import AudioError

__all__ = ["check_file", "check_folder", "whole"]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a place to write to, which becomes `path` at the end of the block if all went well.

    A folder that had to be made for it is gone again if it did not. Raises AudioError if the file
    cannot be written.
    """
    is_new, place = not path.parent.exists(), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
        os.close(handle)
        place = Path(name)
        yield place
        place.chmod(0o666 & ~_umask())
        place.replace(path)
        is_new = False
    except OSError as error:
        raise AudioError(
            f"{path} cannot be written ({error.strerror or error}); choose another place"
        ) from error
    except AudioError as error:
        raise AudioError(str(error).replace(str(place), str(path))) from error
    finally:
        with suppress(OSError):
            if place is not None:
                place.unlink(missing_ok=True)
            if is_new:
                path.parent.rmdir()


def check_folder(folder: Path) -> None:
    """Raise AudioError if files could not be written there, now rather than after minutes."""
    if folder.exists() and not folder.is_dir():
        raise AudioError(f"{folder} is a file; name a folder for the results")
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise AudioError(f"{nearest} is a file, so there can be no folder {folder}; name another")
    try:
        # Tried, not asked for: rights alone do not tell of read-only disks, nor of root's limits.
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise AudioError(
            f"{folder} cannot be written ({nearest}: {error.strerror}); choose another place"
        ) from error


def check_file(path: Path) -> None:
    """Raise AudioError if this file could not be written."""
    if path.is_dir():
        raise AudioError(f"{path} is a folder; name a file in it")
    check_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
