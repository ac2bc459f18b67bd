"""Threads, for which virtual time has to wait in real time: which are out, and how long it took.

This file owns what is said about threads. It reads the real clock, for nothing else.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from concurrent.futures import thread as _pools

from vivace.testing.failures import NotVirtual

__all__ = ["Threads"]


class Threads:
    """The calls of one loop that are out in threads.

    limit_s: real seconds to wait without a sign of life.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.lost: bool = False  # one was given up: joining it would never end
        self._out: dict[object, str] = {}
        self._calls: dict[str, int] = {}
        self._waited_s = 0.0
        self._heard_at = 0.0
        self._before = set(threading.enumerate())

    def __bool__(self) -> bool:
        return bool(self._out)

    # -- calls that the loop knows

    def sent(self, call: object, func: object) -> None:
        """`func` goes to a thread; `call` stands for it."""
        self.joining(call, name := _name_call(func))
        self._calls[name] = self._calls.get(name, 0) + 1

    def joining(self, call: object, name: str) -> None:
        """Wait for `call` too, which is none of the caller's."""
        self._out[call] = name
        self._heard_at = time.monotonic()

    def back(self, call: object) -> None:
        """`call` has returned, or nobody waits for it any more."""
        self._out.pop(call, None)
        self._heard_at = time.monotonic()

    def waited(self, began: float, heard: bool) -> None:
        """The loop stood still for a thread since `began`. Gives up if it heard nothing."""
        self._waited_s += time.monotonic() - began
        if not heard:
            raise self.give_up()

    def silent(self) -> bool:
        """True if none has come back for longer than the limit, whatever the loop did meanwhile."""
        return time.monotonic() - self._heard_at > self.limit_s

    def give_up(self) -> NotVirtual:
        """Wait for none of them any more. Returns the error that names them."""
        names = ", ".join(dict.fromkeys(self._out.values()))
        self._out.clear()
        self.lost = True
        return NotVirtual(
            f"no thread gave a sign of life for {self.limit_s:g} s of real time; still "
            f"out: {names}. Time stands still while a thread works, so one that itself waits for "
            "the loop's time to pass never returns"
        )

    def report(self) -> str:
        """How long the loop waited in real time, and for what; "" if no call was made."""
        if not self._calls:
            return ""
        calls = ", ".join(
            name if count == 1 else f"{name} ({count} calls)" for name, count in self._calls.items()
        )
        text = f"waited {self._waited_s:.3f} s of real time for threads: {calls}"
        if sum(self._calls.values()) == 1:
            return text
        return text + "; of those that were out at once, no seed decides which returned first"

    # -- threads that it does not

    def strangers(self) -> str:
        """Threads that work without the loop's knowledge, each with the place where it is."""
        frames = sys._current_frames()
        found = []
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is None or thread is threading.current_thread():
                continue
            pooled = getattr(thread, "_target", None) is _pools._worker
            resting = frame.f_code is _pools._worker.__code__
            if resting or (thread in self._before and not pooled):
                continue
            place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
            found.append(f"\n  {thread.name}: {place}")
        return "".join(found)


def _name_call(func: object) -> str:
    if isinstance(func, functools.partial):  # as asyncio.to_thread makes one of Context.run
        func = func.args[0] if func.args else func.func
    return str(getattr(func, "__qualname__", type(func).__qualname__))
