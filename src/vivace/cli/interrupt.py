"""Ctrl-C while something blocks that must not be cut in two."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

__all__ = ["Checkpoint", "interruptible"]

Checkpoint: TypeAlias = Callable[[], None]


@contextmanager
def interruptible() -> Iterator[Checkpoint]:
    """Within the block, Ctrl-C takes effect at its end, or where the function given is called.

    Native code that loads a model or draws swallows a KeyboardInterrupt that comes at the wrong
    moment; so it waits until the step is done, a second or two at most, and is never lost.
    """
    came = False

    def note(*_: object) -> None:
        nonlocal came
        came = True

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
        check()  # also in place of an error: stopping was wished for first
