"""The prompt of one turn, as it grows while somebody reads it.

This file owns what a reader gets: a prompt that was begun is never changed under its reader. It
goes on from the prompt as it was, or fails.
"""

from __future__ import annotations

from collections.abc import Callable

from vivace.errors import FlowError, PromptChanged
from vivace.machines.measure import Limits
from vivace.machines.prompt_records import Tally
from vivace.machines.retention import Unit
from vivace.machines.tail import Tail
from vivace.part import Part

__all__ = ["Pending", "Prompts"]


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
        self._end = len(self._parts)
        self._tell()

    def fail(self, why: str) -> None:
        """What was read is not the prompt any more."""
        self._failure = why
        self._tell()

    def _tell(self) -> None:
        if self.changed is not None:
            self.changed()


class Prompts:
    """The prompts that are handed out, one at a time, and how much each has of the one before.

    same: with how many tokens of the last one the present prompt begins; whoever changes its
    beginning lowers it.
    """

    def __init__(self, tail: Tail, limits: Limits, tally: Tally) -> None:
        self.pending: Pending | None = None
        self.handed = 0  # tokens of the last one
        self.same = 0
        self._tail = tail
        self._limits = limits
        self._tally = tally
        self._generation = 0  # of the list that the pending prompt knows

    def check_none(self) -> None:
        """Raise FlowError if one is being read."""
        if self.pending is not None:
            raise FlowError("the pending prompt is being read already; finalize_pending() first")

    def begin(self) -> Pending:
        """Hand out the prompt as it stands, to grow."""
        self._generation = self._tail.generation
        self.pending = Pending(self._tail.log, self._tail.size, self._limits)
        return self.pending

    def changed(self, unit: Unit | None = None) -> None:
        """The prompt has changed, by `unit` at its end if that is given: tell the reader."""
        pending, tail = self.pending, self._tail
        if pending is None:
            return
        grown = pending.begun or tail.generation == self._generation
        if tail.generation != self._generation:
            self._generation = tail.generation
            pending.replace(tail.log, tail.size)
        if unit is not None and grown:
            pending.grow(unit.parts, unit.bytes, unit.tokens)
        if pending.failed:
            self.pending = None

    def void(self, why: str) -> None:
        """What a reader may have read was not so."""
        if self.pending is not None and self.pending.begun:
            self.pending.fail(why)

    def finalize(self) -> None:
        """The prompt is complete. Does nothing if there is none."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        pending.finalize()
        tokens = pending.size.tokens
        self._tally.prompts += 1
        self._tally.prompt_tokens += tokens
        self._tally.reused_tokens += min(self.handed, self.same)
        self.handed = self.same = tokens
