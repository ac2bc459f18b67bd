"""One run on virtual time, from a fresh loop to a closed one.

This file owns what happens at the end of a run: what still stands is stopped, and named.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from vivace.errors import VivaceError
from vivace.testing.stuck import describe
from vivace.testing.virtual import CLEANUP_S, NotVirtual, VirtualLoop, end_tasks

__all__ = ["Leaked", "run_virtual"]

T = TypeVar("T")


class Leaked(VivaceError, RuntimeError):
    """A run ended while tasks still ran, or left an async generator unclosed."""


def run_virtual(
    main: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]],
    *,
    seed: int | None = None,
    allow_unclosed: bool = False,
) -> T:
    """Run `main`, a coroutine or a function that returns one, on a VirtualLoop of its own.

    seed: see VirtualLoop.
    allow_unclosed: accept async generators that were left half-way without `aclose()`.

    Like asyncio.run, it cancels what still runs at the end, lets it clean up (60 s of virtual
    time), closes async generators, and ends the threads.

    Returns what `main` returned and raises what it raised. Raises Deadlock or NotVirtual as the
    loop does, and Leaked if `main` returned while tasks still ran or generators stood half-way.
    """
    __tracebackhide__ = True
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("run_virtual() cannot be called from a running event loop")
    loop = VirtualLoop(seed)
    try:
        result = loop.run_until_complete(main() if callable(main) else main)
    except BaseException:
        with contextlib.suppress(NotVirtual):  # the first error says more
            _end(loop)
        raise
    complaints = _end(loop, allow_unclosed=allow_unclosed)
    if complaints:
        raise Leaked("\n".join(complaints))
    return result


def _end(loop: VirtualLoop, *, allow_unclosed: bool = False) -> list[str]:
    """Stop all that runs on `loop`, close it, and say what should not have been there."""
    complaints: list[str] = []
    try:
        # Not those in which asyncio closes a dropped generator: they run no coroutine.
        leaked = [it for it in asyncio.all_tasks(loop) if inspect.iscoroutine(it.get_coro())]
        if leaked:
            complaints.append(f"still running at the end; await or cancel:{describe(leaked)}")
        stubborn = loop.run_until_complete(end_tasks(leaked))
        if stubborn:
            complaints.append(f"cancelled, but did not end:{describe(stubborn)}")
        if not allow_unclosed:
            complaints += [
                f"async generator {name} was never closed; "
                "leave it by `async with contextlib.aclosing(...)`"
                for name in loop.unclosed_generators()
            ]
        loop.run_until_complete(_close_generators(loop))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    return complaints


async def _close_generators(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLEANUP_S):
            await loop.shutdown_asyncgens()
