"""Parts that wait beside the prompt: what comes while the model speaks."""

from __future__ import annotations

from collections.abc import Iterable

from vivace.errors import FlowError
from vivace.machines.measure import Limits, count_bytes
from vivace.part import Part

__all__ = ["Stash"]


class Stash:
    """Holds parts, and whether they are to be pinned, in order; as much as a prompt may hold."""

    def __init__(self, limits: Limits, entries: Iterable[tuple[Part, bool]] = ()) -> None:
        self._limits = limits
        self.entries: list[tuple[Part, bool]] = list(entries)
        self._bytes = sum(count_bytes(part) for part, _ in self.entries)

    def put(self, part: Part, *, pinned: bool) -> None:
        """Put a part aside. Raises FlowError if it has no room."""
        size = self._bytes + count_bytes(part)
        short = self._limits.exceeded(len(self.entries) + 1, size, 0)
        if short:
            raise FlowError(
                f"{len(self.entries)} parts are stashed, and one more exceeds max_{short}; "
                "call apply_stash between turns"
            )
        self.entries.append((part, pinned))
        self._bytes = size

    def take(self) -> list[tuple[Part, bool]]:
        """Take all out."""
        taken, self.entries, self._bytes = self.entries, [], 0
        return taken
