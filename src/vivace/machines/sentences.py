"""Where sentences end.

This file owns what is known of full stops that end nothing, for whoever speaks text and whoever
stops a model that has said enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["Sentences", "sentence_ends"]

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*\s+|\n+")
_CLAUSE_END = re.compile(r"[,;:.!?…–—]+[\"'”’)\]]*\s+|\n+")
# Titles, initials and the numbers of a list: a full stop after these ends nothing.
_NO_END = re.compile(
    r"(?:^|\s)(?:mr|mrs|ms|dr|sr|jr|prof|st|vs|e\.g|i\.e|[a-z]|\d{1,3})\.\s*$", re.IGNORECASE
)


def sentence_ends(text: str) -> Iterator[int]:
    """Where each sentence of `text` ends: behind the white space that follows it.

    What no white space follows has not ended yet: "3.5" may go on.
    """
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if _is_end(text[start : match.end()]):
            start = match.end()
            yield start


class Sentences:
    """Cuts growing text where it can be spoken.

    The first piece may be a clause of `first_words` words, so that speech begins early; after that
    whole sentences, which sound better. A piece longer than `longest` characters is cut at a clause
    or at the last space. Joined, the pieces and the rest give the text back.
    """

    def __init__(self, first_words: int = 4, longest: int = 300) -> None:
        self._first_words = first_words
        self._longest = longest
        self._text = ""
        self._begun = False

    def feed(self, text: str) -> list[str]:
        """Add text; return the pieces that are complete."""
        self._text += text
        pieces = []
        while (end := self._end()) is not None:
            pieces.append(self._text[:end])
            self._text = self._text[end:]
            self._begun = True
        return pieces

    def rest(self) -> str:
        """What has not been returned yet; then there is none."""
        rest, self._text = self._text, ""
        self._begun = self._begun or bool(rest.strip())
        return rest

    def _end(self) -> int | None:
        for match in (_SENTENCE_END if self._begun else _CLAUSE_END).finditer(self._text):
            if match.end() > self._longest:
                break
            piece = self._text[: match.end()]
            if not self._begun and len(piece.split()) < self._first_words:
                continue
            if _is_end(piece):
                return match.end()
        if len(self._text) <= self._longest:
            return None
        clauses = [m.end() for m in _CLAUSE_END.finditer(self._text) if m.end() <= self._longest]
        space = self._text.rfind(" ", 1, self._longest) + 1
        return clauses[-1] if clauses else space or self._longest


def _is_end(piece: str) -> bool:
    return not _NO_END.search(piece) and re.search(r"\w", piece) is not None
