"""The tracebacks of errors that no consumer has been told of yet.

A traceback knows its frames, and a frame that had to end knows who called it: the consumer, in
whose own time stages run, and who knows its stream. A run that kept tracebacks would so keep the
stream, for as long as any of its tasks lives, though the consumer has long dropped it. They are
kept by the outermost stream instead, which no run knows.
"""

from __future__ import annotations

from types import TracebackType

__all__ = ["Untold"]


class Untold:
    """Takes errors and their tracebacks apart, and puts them together again."""

    def __init__(self) -> None:
        self._kept: dict[object, list[tuple[BaseException, TracebackType]]] = {}

    def part(self, run: object, error: BaseException) -> None:
        """Keep the tracebacks of `error`, and of all that it carries, for `run`."""
        for it in _carried_by(error):
            if it.__traceback__ is not None:
                self._kept.setdefault(run, []).append((it, it.__traceback__))
                it.__traceback__ = None

    def join(self, run: object) -> None:
        """Give the errors of `run` their tracebacks back."""
        for error, traceback in self._kept.pop(run, ()):
            if error.__traceback__ is None:  # else it has been raised again meanwhile
                error.__traceback__ = traceback


def _carried_by(error: BaseException) -> list[BaseException]:
    """`error`, what it comes from, and the members of groups."""
    found = [error]
    for it in found:
        carried = [it.__cause__, it.__context__]
        if isinstance(it, BaseExceptionGroup):
            carried += it.exceptions
        found += [
            new for new in carried if new is not None and all(new is not old for old in found)
        ]
    return found
