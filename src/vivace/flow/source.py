"""Sources as processors: what makes parts of its own, beside those that come in."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, ParamSpec, overload

from vivace.errors import StageError
from vivace.flow.merged import Ends, Merged, check_ends
from vivace.flow.processor import Processor
from vivace.flow.run import Run
from vivace.part import Part

__all__ = ["source"]

P = ParamSpec("P")


@overload
def source(function: Callable[P, AsyncIterator[Any]], /) -> Callable[P, Processor]: ...


@overload
def source(
    *, ends: Ends = "all"
) -> Callable[[Callable[P, AsyncIterator[Any]]], Callable[P, Processor]]: ...


def source(
    function: Callable[P, AsyncIterator[Any]] | None = None, /, *, ends: Ends = "all"
) -> Any:
    """Make a processor of an async generator function that takes no stream, such as a microphone.

    The decorated function, called with its arguments, gives the processor. In each run the
    generator begins anew; its values become parts and are merged with the parts that come in, first
    come, first served: see `merge`. The generator is closed when the stage ends.

    ends: "all": the stage ends when both the input and the generator have ended. "first": when one
        of them has.

    Raises StageError if it is no async generator function, and for another `ends`.
    """
    check_ends(ends)
    if function is None:
        return functools.partial(_decorate, ends=ends)
    return _decorate(function, ends=ends)


def _decorate(function: Callable[P, AsyncIterator[Any]], *, ends: Ends) -> Callable[P, Processor]:
    if not inspect.isasyncgenfunction(function):
        raise StageError(
            f"{getattr(function, '__name__', function)!r} is no async generator function; a source "
            "takes no stream and yields parts: `async def f(): yield ...`"
        )
    signature = inspect.signature(function)

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Processor:
        signature.bind(*args, **kwargs)  # wrong arguments are told here, and not in the run
        return _Source(functools.partial(function, *args, **kwargs), function.__name__, ends)

    return make


class _Source(Processor):
    def __init__(self, begin: Callable[[], AsyncIterator[Any]], name: str, ends: Ends) -> None:
        self._begin = begin
        self._name = name
        self._ends = ends

    @property
    def name(self) -> str:
        return self._name

    def open(self, run: Run, stream: AsyncIterator[Part], path: str) -> AsyncIterator[Part]:
        merged = Merged(run, self._ends)
        merged.add(stream, f"the input of {path}")
        merged.add_source(self._begin(), path)
        return run.boundary(merged.parts(), path)
