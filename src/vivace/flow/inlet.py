"""A source that a stage reads, and closes when it is done with it.

A run closes its own source when it ends; a stage that reads several closes each of them sooner.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from vivace.flow.closing import attach
from vivace.flow.streams import Source, open_source
from vivace.part import Part

__all__ = ["Inlet"]


class Inlet(AsyncIterator[Part]):
    """The parts of a source. `aclose` closes it, once, also if nobody has ever read it.

    Raises PartError at the first value that cannot be made into a part.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._values: AsyncIterator[Any] | None = None
        self._closable: list[Any] = []
        self._closed = False

    async def __anext__(self) -> Part:
        return Part.of(await anext(self._values or self._open()))

    @property
    def ag_running(self) -> bool:
        """True while somebody waits for a generator's next value: it cannot be closed then."""
        # By the name that generators have for it, which is where a run looks.
        return getattr(self._values, "ag_running", False)

    async def aclose(self) -> None:
        """Close the source. Raises the first error, with the others attached."""
        if self._closed:
            return
        self._closed = True
        if self._values is None:
            self._open()
        errors: list[BaseException] = []
        for it in reversed(self._closable):
            try:
                await it.aclose()
            except Exception as error:
                errors.append(error)
        if errors:
            attach(errors[0], errors[1:])
            raise errors[0]

    def _open(self) -> AsyncIterator[Any]:
        self._values, self._closable = open_source(self._source)
        return self._values
