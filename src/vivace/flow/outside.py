"""Code that a stage of a run causes, and that is not of that run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context

from vivace.flow.run import CURRENT

__all__ = ["outside_of_runs", "without_run"]


def without_run(context: Context) -> Context:
    """`context`, in which no run is under way from now on: the next one is an outermost."""
    context.run(CURRENT.set, None)
    return context


@contextmanager
def outside_of_runs() -> Iterator[None]:
    """No run is under way inside: one that is begun there has signals and replies of its own.

    For functions of the user's that a stage calls, and that may hold a conversation of their own.
    """
    token = CURRENT.set(None)
    try:
        yield
    finally:
        CURRENT.reset(token)
