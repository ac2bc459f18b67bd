"""What was said in a session: for a new one, should this one be lost with its connection."""

from __future__ import annotations

from collections.abc import Iterable

from vivace.machines.window import Window
from vivace.part import Part

__all__ = ["SessionMemory"]

_TYPED = 256  # texts that wait for an answer; then the oldest counts as answered


class SessionMemory:
    """Texts of both sides, in a window. Replies enter it as they were heard."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._typed: list[str] = []  # not answered yet: these are sent again, not told

    def typed(self, text: str, now: float) -> None:
        """The user has typed."""
        self._typed.append(text)
        if len(self._typed) > _TYPED:
            self._window.add(Part(self._typed.pop(0)), now)

    def answered(self, now: float) -> list[str]:
        """A reply begins; what it answers, of what was typed."""
        typed, self._typed = self._typed, []
        for text in typed:
            self._window.add(Part(text), now)
        return typed

    def said(self, text: str, now: float) -> None:
        """The user has spoken."""
        self._window.add(Part(text), now)

    def heard(self, text: str | None, turn: int, now: float, *, cut: bool = False) -> None:
        """So much of a reply was heard."""
        if text:
            metadata = {"interrupted": True} if cut else {}
            self._window.add(Part(text, role="model", turn=turn, metadata=metadata), now)

    def told(self, unfinished: Iterable[str]) -> list[tuple[str, str]]:
        """What a new session is to know. unfinished: what was heard of replies that go on."""
        said = [(part.role, part.text) for part in self._window.parts() if part.text]
        return said + [("model", text) for text in unfinished if text]
