"""The command line: one file for each verb."""

from __future__ import annotations

import sys

__all__ = ["main"]

_MISTAKE = 2
_STOPPED = 130  # what shells say of a program that Ctrl-C has ended


def main() -> None:
    """The program `vivace`. Ends with exit code 0, 2 for a mistake, or 130 after Ctrl-C."""
    try:
        from vivace.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _STOPPED
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "vivace":
            raise
        code = _MISTAKE
        print(
            f"vivace: the command line needs {error.name}, which is not installed: "
            "pip install 'vivace[local]'",
            file=sys.stderr,
        )
    if code == _STOPPED:
        print("\nvivace: stopped", file=sys.stderr)
    sys.exit(code)
