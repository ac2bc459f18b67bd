"""Files that the command line writes: whole, or not at all."""

from __future__ import annotations

import os
import stat
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
    is_new, place = False, None
    try:
        is_new = _is_folder(path.parent) is None
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
    nearest = folder
    try:
        if _is_folder(folder) is False:
            raise AudioError(f"{folder} is a file; name a folder for the results")
        places = (folder, *folder.absolute().parents)
        nearest = next(place for place in places if _is_folder(place) is not None)
        if not _is_folder(nearest):
            raise AudioError(
                f"{nearest} is a file, so there can be no folder {folder}; name another"
            )
        # Tried, not asked for: rights alone do not tell of read-only disks, nor of root's limits.
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise AudioError(
            f"{folder} cannot be written ({nearest}: {error.strerror}); choose another place"
        ) from error


def check_file(path: Path) -> None:
    """Raise AudioError if this file could not be written."""
    try:
        if _is_folder(path):
            raise AudioError(f"{path} is a folder; name a file in it")
    except OSError as error:
        raise AudioError(
            f"{path} cannot be written ({error.strerror}); choose another place"
        ) from error
    check_folder(path.parent)


def _is_folder(path: Path) -> bool | None:
    """None if there is nothing of that name. Raises OSError if it cannot be known."""
    # Not `is_dir` and `exists`: depending on Python's version, these hide what is wrong.
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
