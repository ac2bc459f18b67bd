from asyncio import AbstractEventLoop, Task
from collections.abc import AsyncIterator, Callable
from contextvars import Context
from typing import Any

class hop(AsyncIterator[Any]):  # noqa: N801 - stands in for the function of that name
    def __init__(
        self, stream: AsyncIterator[Any], aside: Callable[[Any], Any], path: str
    ) -> None: ...
    async def __anext__(self) -> Any: ...
    async def aclose(self) -> None: ...
    def join(
        self,
        functions: tuple[Callable[[Any], Any], ...],
        paths: tuple[str, ...],
        more: Callable[[Any, int], AsyncIterator[Any]],
        /,
    ) -> bool: ...

class Gate:
    quiet: bool
    at_once: int
    def __init__(
        self,
        parts: AsyncIterator[Any],
        came: Callable[[Any, BaseException | None], object],
        waits: Callable[[Any, Any], object],
        task: Task[Any],
        context: Context,
        loop: AbstractEventLoop,
        at_most: int,
    ) -> None: ...

class Taker(AsyncIterator[Any]):
    _gate: Gate | None
    async def __anext__(self) -> Any: ...

def setup(
    part: type,
    of: Callable[[Any], Any],
    is_side_lane: Callable[[str], bool],
    note_path: Callable[[BaseException, str], None],
    is_signal: dict[type, bool],
    /,
) -> None: ...
