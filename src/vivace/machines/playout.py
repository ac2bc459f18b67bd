"""What was heard: the ledger of replies.

This file owns the answer to "what did the user hear of reply n?". Prompt, transcript, recording and
metrics all read it; nothing else decides what was said. It books what was handed to the consumer,
which a pacer makes the same as what was played.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from vivace.part import Audio, Part

__all__ = ["Ledger", "Reply"]


class Reply(msgspec.Struct, frozen=True):
    """What was heard of one reply: its words, and how many seconds of sound."""

    turn: int
    text: str = ""
    seconds: float = 0.0


class _Account:
    __slots__ = ("pieces", "seconds")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.seconds = 0.0


class Ledger:
    """Books each reply's parts as they are handed out.

    keep: how many of the newest replies are remembered; older ones read as unheard.
    """

    def __init__(self, keep: int = 64) -> None:
        self._keep = keep
        self._accounts: OrderedDict[int, _Account] = OrderedDict()

    def book(self, part: Part) -> bool:
        """Book a part that was handed out; True if it is its reply's first sound or text.

        Only the model's audio and text count as heard.
        """
        if part.turn < 1 or part.role != "model" or not isinstance(part.body, str | Audio):
            return False
        words = part.body if isinstance(part.body, str) else part.body.words
        if not words and not part.seconds:
            return False
        account = self._accounts.get(part.turn)
        first = account is None
        if account is None:
            account = self._accounts[part.turn] = _Account()
            if len(self._accounts) > self._keep:
                self._accounts.popitem(last=False)
        if words:
            account.pieces.append(words)
        account.seconds += part.seconds
        return first

    def heard(self, turn: int) -> Reply:
        """What was heard of reply `turn`; an empty record if nothing was."""
        account = self._accounts.get(turn)
        if account is None:
            return Reply(turn)
        return Reply(turn, "".join(account.pieces).strip(), account.seconds)
