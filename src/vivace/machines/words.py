"""What a word is, and which words of a text fall into which stretch of its sound.

This file owns the guess that is made where nobody knows when a word is said: letters stand in for
time, and a word belongs where its middle is.

Words have spaces between them. In scripts that are written without, each character counts as one:
Chinese characters, kana, and Thai. Korean has spaces.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

__all__ = ["apart", "count_words", "middles", "same_words", "share_out", "words_until"]

_CHINESE = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\U0001b000-\U0001b16f"
_HALF_WIDTH_KANA = "\uff66-\uff6f\uff71-\uff9d"
_THAI = "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"
_ALONE = f"[{_CHINESE}{_KANA}{_HALF_WIDTH_KANA}{_THAI}]"
# Quotes go with the character after them; signs above and below, long vowels and points with the
# one before. Python may know less of Unicode than is in use: what is listed is never a sign.
# Only at the edges of words: a sign within one, or before a number, tells it from others.
_POINTS = ".,;:!?…\"'“”„‘’«»¿¡。、，！？"
_BEFORE = f"(?:(?!{_ALONE})\\W)*"
_AFTER = f"(?:[\u30fc\uff70\uff9e\uff9f]|(?!{_ALONE})[^\\w\\s])*"
_PIECE = re.compile(f"{_BEFORE}(?:{_ALONE}{_AFTER}(?:\\s+\\Z)?|(?:(?!{_ALONE}).)+)", re.DOTALL)
_HAS_SOME = re.compile(_ALONE)


def apart(word: str) -> list[str]:
    """What stands between two spaces, cut into words: at each character of a script without spaces.

    Joined, they give it back.
    """
    if word.isascii() or not _HAS_SOME.search(word):
        return [word]
    return _PIECE.findall(word)


def count_words(text: str) -> int:
    """How many words `text` has."""
    return sum(len(apart(word)) for word in text.split())


def same_words(text: str, other: str) -> bool:
    """True if these are the same words: capitals and points are put in late."""
    words, others = (_without_points(it) for it in (text, other))
    return words == others if words or others else text.strip() == other.strip()


def _without_points(text: str) -> list[str]:
    return [word for it in text.casefold().split() if (word := it.strip(_POINTS))]


def middles(words: str) -> Iterator[tuple[float, str]]:
    """Each word with the spaces before it, and where its middle is, as a share of the whole.

    Joined, the words give the text back. The last one takes the spaces at the very end along.
    """
    start = 0
    while start < len(words):
        end = words.find(" ", start + 1)
        end = len(words) if end < 0 or not words[end:].strip() else end
        for word in apart(words[start:end]):
            yield (start + len(word) / 2) / len(words), word
            start += len(word)


def words_until(words: str, share: float) -> str:
    """The words whose middle is in the first `share` of the sound; 1 or more is all of it."""
    if share >= 1:
        return words
    return "".join(word for middle, word in middles(words) if middle <= share)


def share_out(words: str, seconds: Sequence[float]) -> list[str]:
    """The words of each of some stretches of sound, which last so long: those with their middle."""
    ends = list(accumulate(seconds))
    shares = [""] * len(ends)
    for middle, word in middles(words) if ends else ():
        shares[bisect_left(ends, middle * ends[-1])] += word
    return shares
