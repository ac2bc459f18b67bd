"""Which words of a text fall into which stretch of its sound.

This file owns the guess that is made where nobody knows when a word is said: letters stand in for
time, and a word belongs where its middle is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

__all__ = ["middles", "share_out", "words_until"]


def middles(words: str) -> Iterator[tuple[float, str]]:
    """Each word with the spaces before it, and where its middle is, as a share of the whole.

    Joined, the words give the text back. The last one takes the spaces at the very end along.
    """
    start = 0
    while start < len(words):
        end = words.find(" ", start + 1)
        end = len(words) if end < 0 or not words[end:].strip() else end
        yield (start + end) / 2 / len(words), words[start:end]
        start = end


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
