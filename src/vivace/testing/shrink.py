"""The shortest script that still fails: what a person can read, and paste into a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from vivace.testing.dialogue import Dialogue, Manner, Reply, Speaker, Step, Timing

__all__ = ["shortest"]


def shortest(
    dialogue: Dialogue,
    fails: Callable[[Dialogue], bool],
    *,
    at: float | None = None,
    tries: int = 150,
) -> Dialogue:
    """The smallest dialogue found, after at most `tries` conversations, of which `fails` is true.

    at: when it failed, in seconds; what comes later is not held again and again.

    Steps, replies and words are taken out, and what is left is made as plain as it can be, until
    nothing of that fails any more. Comes back unchanged if nothing smaller fails.
    """
    search = _Search(dialogue, fails, tries)
    if at is not None:
        search.try_(_changed(dialogue, at_most_s=round(at + 1.0, 2)))
    before = None
    while before != search.best and search.left > 0:
        before = search.best
        search.each(_shorter)
        search.each(_plainer)
        search.without("user")
        search.without("replies")
        search.each(_plain_steps)
    return search.best


class _Search:
    """The best so far, and how many more may be tried."""

    def __init__(self, best: Dialogue, fails: Callable[[Dialogue], bool], left: int) -> None:
        self.best = best
        self.left = left
        self._fails = fails
        self._seen: set[str] = set()

    def try_(self, candidate: Dialogue) -> bool:
        told = repr(candidate)
        if self.left <= 0 or told in self._seen or candidate == self.best:
            return False
        self._seen.add(told)
        self.left -= 1
        if not self._fails(candidate):
            return False
        self.best = candidate
        return True

    def each(self, smaller: Callable[[Dialogue], Iterator[Dialogue]]) -> None:
        """Try each of `smaller`, and begin again with what was found, until none fails."""
        while any(self.try_(candidate) for candidate in smaller(self.best)):
            pass

    def without(self, name: str) -> None:
        """Take out pieces of a half, a quarter and so on of the items; the end goes first."""
        size = len(getattr(self.best, name))
        while size > 0:
            end = len(getattr(self.best, name))
            while end > 0:
                items = getattr(self.best, name)
                less = items[: max(0, end - size)] + items[end:]
                if less or name == "user":
                    self.try_(_changed(self.best, **{name: less}))
                end -= size
            size //= 2


def _shorter(dialogue: Dialogue) -> Iterator[Dialogue]:
    """Switched off earlier."""
    for share in (0.25, 0.5, 0.75):
        yield _changed(dialogue, at_most_s=round(dialogue.at_most_s * share, 2))


def _plainer(dialogue: Dialogue) -> Iterator[Dialogue]:
    whole = {"timing": Timing(), "speaker": Speaker(), "manner": Manner(), "tail_s": 2.0}
    for name, plain in whole.items():
        if getattr(dialogue, name) != plain:
            yield _changed(dialogue, **{name: plain})
    for name in ("speaker", "manner", "timing"):
        for plain in _plain(getattr(dialogue, name)):
            yield _changed(dialogue, **{name: plain})


def _plain_steps(dialogue: Dialogue) -> Iterator[Dialogue]:
    for name in ("user", "replies"):
        items = getattr(dialogue, name)
        for index, item in enumerate(items):
            for plain in _plain(item):
                yield _changed(dialogue, **{name: (*items[:index], plain, *items[index + 1 :])})


def _plain(item: Step | Reply | Speaker | Manner | Timing) -> Iterator[Any]:
    """The same as it comes, with one field as it comes, with fewer words."""
    if isinstance(item, Reply) and item != Reply():
        yield Reply()
    for field in msgspec.structs.fields(item):
        value = getattr(item, field.name)
        if field.name == "text":
            words = value.split()
            for count in {1, len(words) // 2, len(words) - 1} - {0, len(words)}:
                yield _changed(item, text=" ".join(words[:count]))
        elif field.default is not msgspec.NODEFAULT and value != field.default:
            yield _changed(item, **{field.name: field.default})


def _changed(item: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(item, **changes)
