"""Tests of live agents: virtual time, and a pytest plugin that runs async tests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivace.testing.run import Leaked, run_virtual
    from vivace.testing.virtual import Deadlock, NotVirtual, VirtualLoop

__all__ = ["Deadlock", "Leaked", "NotVirtual", "VirtualLoop", "run_virtual"]


def __getattr__(name: str) -> object:
    # Only when asked for: pytest imports this package in every project that has vivace installed.
    if name in __all__:
        from vivace.testing import run, virtual

        return getattr(run if hasattr(run, name) else virtual, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
