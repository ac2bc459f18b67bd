"""The command line: one file for each verb."""

from __future__ import annotations

import sys

__all__ = ["main"]

_STOPPED = 130  # what shells say of a program that Ctrl-C has ended


def main() -> None:
    """The program `vivace`. Ends with exit code 0, 2 for a mistake, or 130 after Ctrl-C."""
    try:
        from vivace.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _STOPPED
    if code == _STOPPED:
        print("\nvivace: stopped", file=sys.stderr)
    sys.exit(code)
