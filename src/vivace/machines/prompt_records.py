"""How a prompt stands, and what has changed in it: frozen records.

This file owns the counting: nothing leaves, is made smaller or is refused without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

__all__ = ["Change", "ChangeKind", "PromptStatistics", "Tally"]

_RECENT = 64  # changes that are remembered one by one

ChangeKind = Literal["evicted", "demoted", "summarised", "refused", "cut"]


class Change(msgspec.Struct, frozen=True):
    """Something was done to a prompt.

    at: when, on the clock of the loop. reason: why. parts: how many it was done to.
    tokens_before, tokens_after: what they cost in the prompt; nothing after they have left.
    """

    at: float
    kind: ChangeKind
    reason: str
    parts: int
    tokens_before: int
    tokens_after: int


class PromptStatistics(msgspec.Struct, frozen=True):
    """How a prompt stands, and all that was ever done to it.

    parts, bytes, tokens: in the prompt now; pins: parts that have outlived their turns or never
        had one (the system's among them); pinned: parts that will never leave, wherever they stand;
        turns: of the user, word for word.
    stashed: parts that wait for `apply_stash`. open_calls: calls that wait for their response.
    added: parts that were ever given. compactions: how often the prompt began anew.
    evicted, demoted, refused, repaired: parts, by reason: that have left, have become smaller,
        were not taken, were taken as they should have been. unpinned: parts that were marked as
        important when there was no room for pins, and stay only as long as there is other room.
    summaries: by who made them, "extract" or "model"; failed_summaries: by reason.
    prompt_tokens: of all prompts handed out; reused_tokens: how many of these stood at the same
        place, byte for byte, in the prompt before.
    orphans: calls without their response and responses without their call in the prompt: 0.
    changes: the newest, oldest first.
    """

    parts: int
    bytes: int
    tokens: int
    pins: int
    pinned: int
    turns: int
    stashed: int
    open_calls: int
    added: int
    compactions: int
    evicted: Mapping[str, int]
    demoted: Mapping[str, int]
    refused: Mapping[str, int]
    repaired: Mapping[str, int]
    unpinned: int
    summaries: Mapping[str, int]
    failed_summaries: Mapping[str, int]
    prompts: int
    prompt_tokens: int
    reused_tokens: int
    orphans: int
    changes: tuple[Change, ...]

    @property
    def reused_share(self) -> float:
        """The share of all prompts' tokens that stood in the prompt before, at the same place."""
        return self.reused_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


class Tally(msgspec.Struct):
    """The sums, as they grow. A snapshot keeps them.

    seq: the number of the newest unit. extra: how many numbers were not of parts that were added.
    """

    seq: int = 0
    extra: int = 0
    unpinned: int = 0
    compactions: int = 0
    evicted: dict[str, int] = {}
    demoted: dict[str, int] = {}
    refused: dict[str, int] = {}
    repaired: dict[str, int] = {}
    summaries: dict[str, int] = {}
    failed_summaries: dict[str, int] = {}
    prompts: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    changes: list[Change] = []

    def note(self, change: Change) -> None:
        """Count a change and remember it for a while."""
        counts = {
            "evicted": self.evicted,
            "demoted": self.demoted,
            "refused": self.refused,
            "cut": self.demoted,
        }.get(change.kind)
        if counts is not None:
            counts[change.reason] = counts.get(change.reason, 0) + change.parts
        self.changes.append(change)
        del self.changes[:-_RECENT]

    def repair(self, what: str) -> None:
        """A part was not as it should be, and was taken as it should have been."""
        self.repaired[what] = self.repaired.get(what, 0) + 1

    def fail(self, reason: str) -> None:
        """A summary has not come, or not whole."""
        self.failed_summaries[reason] = self.failed_summaries.get(reason, 0) + 1

    def copy(self) -> Tally:
        """The same, to go on counting with."""
        return msgspec.convert(msgspec.to_builtins(self), Tally)

    def frozen(self) -> dict[str, Any]:
        """What statistics tell of it."""
        told = msgspec.structs.asdict(self)
        told["added"] = told.pop("seq") - told.pop("extra")
        copies = {key: dict(it) for key, it in told.items() if isinstance(it, dict)}
        return told | copies | {"changes": tuple(self.changes)}
