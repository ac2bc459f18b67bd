"""The prompt of one turn, as it grows while somebody reads it.

This file owns what a reader gets: a prompt that was begun is never changed under its reader. It
goes on from the prompt as it was, or fails.
"""

from __future__ import annotations

from collections.abc import Callable

from vivace.errors import PromptChanged
from vivace.machines.measure import Limits
from vivace.part import Part

__all__ = ["Pending"]


class Pending:
    """Read with `take`, or as a stream with `vivace.flow.reading.read`.

    changed: called each time that there is more to take, or an end; set by whoever waits.
    """

    def __init__(self, parts: list[Part], size: Limits, limits: Limits) -> None:
        self.changed: Callable[[], None] | None = None
        self._limits = limits
        self._parts = parts  # may be the window's own list, which only ever gets longer
        self._shared = True
        self._at = 0
        self._end: int | None = None
        self._failure = ""
        self.size = size  # of all of it, read or not

    @property
    def begun(self) -> bool:
        """True once a part was taken."""
        return self._at > 0

    @property
    def failed(self) -> bool:
        """True once it can be read no further."""
        return bool(self._failure)

    def take(self) -> Part | None:
        """The next part; None if none is there (yet).

        Raises PromptChanged if what was taken before is not the prompt any more.
        """
        if self._failure:
            raise PromptChanged(self._failure)
        at = self._at
        if at < len(self._parts) if self._end is None else at < self._end:
            self._at = at + 1
            return self._parts[at]
        return None

    @property
    def over(self) -> bool:
        """True once all of it was taken and no more will come."""
        return self._end is not None and self._at >= self._end

    # -- for the window -----------------------------------------------------------------------

    def grow(self, parts: tuple[Part, ...], size: int, tokens: int) -> None:
        """So much was added to the window; to its list too, if that is shared."""
        self.size = self.size.more(Limits(len(parts), size, tokens))
        short = self._limits.exceeded(self.size.parts, self.size.bytes, self.size.tokens)
        if short:
            self.fail(
                f"the prompt has outgrown its max_{short} while it was read; take pending() anew, "
                "or make room with a higher limit"
            )
            return
        if not self._shared:
            self._parts.extend(parts)
        self._tell()

    def replace(self, parts: list[Part], size: Limits) -> None:
        """The window has a new list. Who has read nothing yet gets that one, others the old one."""
        if self.begun:
            self._shared = False  # the window will not write in the old one any more
            return
        self._parts, self.size, self._shared = parts, size, True
        self._tell()

    def finalize(self) -> None:
        """No more will be added."""
        if self._end is None:
            self._end = len(self._parts)
        self._tell()

    def fail(self, why: str) -> None:
        """What was read is not the prompt any more."""
        self._failure = why
        self._tell()

    def _tell(self) -> None:
        if self.changed is not None:
            self.changed()
