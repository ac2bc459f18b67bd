"""Packages that are there only if somebody has asked for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vivace.errors import ExtraMissing

__all__ = ["needs"]


@contextmanager
def needs(what: str, package: str, module: str, extra: str = "metrics") -> Iterator[None]:
    """Import inside the block. Raises ExtraMissing, with the command, if `module` is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module:
            raise
        raise ExtraMissing(
            f"{what} need the package {package}, which is not installed; "
            f"run: pip install 'vivace[{extra}]'"
        ) from error
