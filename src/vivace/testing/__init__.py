"""Tests of live agents: virtual time, and a pytest plugin that runs async tests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivace.testing.failures import Deadlock, Leaked, Livelock, NotVirtual, Unhandled
    from vivace.testing.run import run_virtual
    from vivace.testing.virtual import VirtualLoop

__all__ = [
    "Deadlock",
    "Leaked",
    "Livelock",
    "NotVirtual",
    "Unhandled",
    "VirtualLoop",
    "run_virtual",
]


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> object:
        # Only when asked: pytest imports this package in every project that has vivace installed.
        if name in __all__:
            from vivace.testing import failures, run, virtual

            home = next(module for module in (failures, virtual, run) if name in module.__all__)
            return getattr(home, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
