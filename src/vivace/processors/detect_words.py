"""Detectors of what is said: keywords and patterns, and a phrase that wakes an agent.

This file owns what in a text is a match, and that it is seen once: of a turn that is still going
on, each transcript says all of it again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, Union, Unpack

from vivace.errors import StageError
from vivace.machines.sighting import Sighting
from vivace.machines.transcripts import is_interim
from vivace.part import Part, TurnEnded
from vivace.processors.detector import Detector, DetectorOptions, Look

__all__ = ["KeywordDetector", "WakePhraseDetector"]

Pattern: TypeAlias = Union[str, re.Pattern[str]]  # noqa: UP007

# "hay" is half a "hey" and more; "the" is not, though all but one of its letters are the same.
_LIKE_WORD = 0.5
_SPLIT_WORDS = 1  # a transcriber may hear one word more or less: "computer" as "com puter"
_LIKE_SPLIT = 0.9  # then the letters must be nearly right: a word next to the phrase is none of it


class _TextDetector(Detector):
    """Sees matches in texts, each once."""

    at_once = True

    def wants(self, part: Part) -> bool:
        return isinstance(part.body, TurnEnded) or super().wants(part)

    def session(self) -> Look:
        told: Counter[str] = Counter()  # matches of the turn under way

        def look(part: Part) -> list[Sighting]:
            new: list[Sighting] = []
            count: Counter[str] = Counter()
            for match in self._matches(part.text):
                count[match.type] += 1
                if count[match.type] > told[match.type]:
                    new.append(match)
            if part.text and is_interim(part):
                told.update(match.type for match in new)
            else:
                told.clear()
            return new

        return look

    def _matches(self, text: str) -> Iterator[Sighting]:
        raise NotImplementedError


class KeywordDetector(_TextDetector):
    """Sees words, phrases and patterns in texts and transcripts.

    keywords: words or phrases, each a type of event; or by type, one or several of them. They match
        as whole words, in any case, whatever stands between them. A compiled pattern matches as it
        is.

    A match is seen once, in the first transcript that has it; several of one type in one text are
    one event. Its `data` has the `match`.
    """

    def __init__(
        self,
        keywords: Iterable[str] | Mapping[str, Pattern | Iterable[Pattern]],
        **options: Unpack[DetectorOptions],
    ) -> None:
        options.setdefault("name", "keywords")
        options.setdefault("on", "text")
        super().__init__(**options)
        named = keywords if isinstance(keywords, Mapping) else {word: word for word in keywords}
        self._patterns: list[tuple[str, re.Pattern[str]]] = []
        for name, given in named.items():
            several = [given] if isinstance(given, str | re.Pattern) else given
            self._patterns += [(name, _pattern(one)) for one in several]
        if isinstance(keywords, str) or not self._patterns:
            raise StageError(f"{keywords!r} are no keywords; give a list, or a dict by type")

    def _matches(self, text: str) -> Iterator[Sighting]:
        for name, pattern in self._patterns:
            for match in pattern.finditer(text):
                yield Sighting(name, data={"match": match.group()})


class WakePhraseDetector(_TextDetector):
    """Hears a phrase that calls the agent, also if the transcriber has not heard it quite right.

    phrases: one or several; all are events of type `wake`. similarity: from 0 to 1, how many of the
        letters must be right, about half of them in each word; that is the confidence.

    The event's `data` has the `phrase`, what was `heard`, and the `rest`: what has been said after
    it so far.
    """

    def __init__(
        self,
        phrases: str | Iterable[str],
        *,
        similarity: float = 0.8,
        **options: Unpack[DetectorOptions],
    ) -> None:
        options.setdefault("name", "wake_phrase")
        options.setdefault("on", "text")
        super().__init__(**options)
        if not 0 < similarity <= 1:
            raise StageError(f"similarity={similarity}: use more than 0, and 1 at most")
        self._similarity = similarity
        given = [phrases] if isinstance(phrases, str) else list(phrases)
        self._phrases = [(phrase, _words(phrase)) for phrase in given]
        if not given or not all(words for _, words in self._phrases):
            raise StageError(f"{phrases!r} is no phrase; give one that has words in it")

    def _matches(self, text: str) -> Iterator[Sighting]:
        words = list(re.finditer(r"\w+", text))
        heard = [word.group().casefold() for word in words]
        found = [max(self._at(heard, at), default=(0.0, 0, "")) for at in range(len(words))]
        at = 0
        while at < len(words):
            sure, length, phrase = found[at]
            if not length or (at + 1 < len(words) and found[at + 1][0] > sure):
                at += 1
                continue
            first, last = words[at], words[at + length - 1]
            rest = text[last.end() :].lstrip(" ,.!?;:–—-")
            said = text[first.start() : last.end()]
            data = {"phrase": phrase, "heard": said, "rest": rest}
            yield Sighting("wake", round(sure, 3), data=data)
            at += length

    def _at(self, heard: list[str], at: int) -> Iterator[tuple[float, int, str]]:
        """How sure each phrase begins here, in how many words."""
        for phrase, words in self._phrases:
            for length in range(max(1, len(words) - _SPLIT_WORDS), len(words) + _SPLIT_WORDS + 1):
                said = heard[at : at + length]
                if len(said) == length and (sure := _likeness(said, words)) >= self._similarity:
                    yield sure, length, phrase


def _likeness(heard: list[str], words: list[str]) -> float:
    """The share of letters that are right; 0 if it is another phrase."""
    if len(heard) != len(words):
        said, meant = "".join(heard), "".join(words)
        longest = max(len(said), len(meant))
        if abs(len(said) - len(meant)) > (1 - _LIKE_SPLIT) * longest:
            return 0.0
        sure = 1 - _distance(said, meant) / longest
        return sure if sure >= _LIKE_SPLIT else 0.0
    wrong = 0
    for said, meant in zip(heard, words, strict=True):
        most = (1 - _LIKE_WORD) * max(len(said), len(meant))
        # Letters that are too many or too few are wrong, too; that is told at once.
        if abs(len(said) - len(meant)) > most or (distance := _distance(said, meant)) > most:
            return 0.0
        wrong += distance
    return 1 - wrong / max(sum(map(len, heard)), sum(map(len, words)))


def _distance(one: str, other: str) -> int:
    """Letters to be changed, added or left out (Levenshtein)."""
    if one == other:
        return 0
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for at, another in enumerate(other, 1):
            here = before if letter == another else 1 + min(before, row[at], row[at - 1])
            before, row[at] = row[at], here
    return row[-1]


def _pattern(given: Any) -> re.Pattern[str]:
    if isinstance(given, re.Pattern):
        return given
    words = _words(given) if isinstance(given, str) else []
    if not words:
        raise StageError(f"{given!r} is no keyword; give text with a word in it, or a pattern")
    between = r"[\W_]+".join(map(re.escape, words))
    return re.compile(rf"(?<!\w){between}(?!\w)", re.IGNORECASE)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in re.findall(r"\w+", text)]
