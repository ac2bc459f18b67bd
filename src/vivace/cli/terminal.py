"""What the command line prints where, and what it keeps quiet."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings

from rich.console import Console

__all__ = ["complain", "quiet", "stderr", "stdout"]

_WIDE = 200  # columns where no terminal says how many it has: nothing need be cut


def stdout() -> Console:
    """Where results go."""
    return _console(Console(highlight=False))


def stderr() -> Console:
    """Where progress and complaints go."""
    return _console(Console(highlight=False, stderr=True))


def complain(message: str) -> None:
    """One sentence for people, on stderr."""
    print(f"vivace: {' '.join(message.split())}", file=sys.stderr, flush=True)


def quiet() -> None:
    """Keep libraries from writing between our lines, and signs from failing to be printed."""
    if not sys.warnoptions:  # whoever asks with `python -W` gets them
        warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that knows no "●" is no reason to fail
    logging.getLogger().addHandler(logging.NullHandler())
    os.environ.setdefault("ORT_LOGGING_LEVEL", "3")
    os.environ.setdefault("CT2_VERBOSE", "-3")


def _console(console: Console) -> Console:
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    return console
