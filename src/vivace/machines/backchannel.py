"""What people say to show that they are listening, as against what wants the floor."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from vivace.errors import StageError
from vivace.machines.words import apart

__all__ = ["BACKCHANNELS", "Backchannels"]

_HUMS = "ah aha ahem eh hm hmm hmmm huh mhm mhmm mm mmm oh ooh uh uhm um wow"

# After Ward and Tsukahara (2000) and Heinz (2003), and what transcribers make of a cough or a hum
# ("you", "thank you"). Phrases of several words count as a whole: "I see" is one, "see" is none.
BACKCHANNELS: dict[str, tuple[str, ...]] = {
    "en": (
        *f"{_HUMS} alright cool exactly fine good gotcha great indeed nice ok okay perfect really "
        "right sure thanks true uhhuh yea yeah yep yes yup you".split(),
        "fair enough", "go on", "got it", "i know", "i see", "makes sense", "mm hm", "mm hmm",
        "of course", "oh wow", "thank you", "uh huh",
    ),
    "de": (
        *f"{_HUMS} ach echt genau gut ja jaja jep klar krass ok okay richtig schön so "
        "stimmt super tja".split(),
        "ach so", "alles klar", "na klar", "verstehe", "ich verstehe",
    ),
    "es": (
        *f"{_HUMS} ajá bien bueno claro exacto genial ok okay perfecto sí vale ya".split(),
        "claro que sí", "de acuerdo", "por supuesto", "ya veo",
    ),
    "fr": (
        *f"{_HUMS} bien bon bref d'accord exact ok okay ouais oui parfait super voilà".split(),
        "ah bon", "bien sûr", "d'accord", "je vois", "tout à fait",
    ),
    "it": (
        *f"{_HUMS} bene certo capito esatto già ok okay perfetto sì vero".split(),
        "ho capito", "va bene",
    ),
    "pt": (
        *f"{_HUMS} bem certo claro exato ok okay pois sim tá".split(),
        "com certeza", "está bem", "estou vendo", "tá bom",
    ),
}  # fmt: skip
"""By language, as ISO 639-1 names it: words and phrases, in small letters, without marks."""


class Backchannels:
    """Tells "mm-hm" from what wants the floor.

    languages: keys of `BACKCHANNELS`. also: more words and phrases.

    Raises StageError for a language that has no list, naming those that have one.
    """

    def __init__(self, languages: Iterable[str] = ("en",), also: Iterable[str] = ()) -> None:
        phrases = [tuple(_words(phrase)) for phrase in also]
        for language in languages:
            if language not in BACKCHANNELS:
                raise StageError(
                    f"there is no list of backchannels for {language!r}; give your own with "
                    f"`also`, or use {', '.join(BACKCHANNELS)}"
                )
            phrases += [tuple(_words(phrase)) for phrase in BACKCHANNELS[language]]
        self._phrases = frozenset(phrases)
        self._begun = frozenset(it[:end] for it in phrases for end in range(1, len(it)))
        self._longest = max((len(phrase) for phrase in phrases), default=0)

    def covers(self, text: str, *, interim: bool = False) -> bool:
        """True if `text` says nothing more than such things; also if it says nothing at all.

        interim: more of it may come, so that its last words may be the first of a phrase.
        """
        words = _words(text)
        at = 0
        while at < len(words):
            if interim and tuple(words[at:]) in self._begun:
                return True
            taken = self._taken(words, at)
            if not taken:
                return False
            at += taken
        return True

    def _taken(self, words: list[str], at: int) -> int:
        """How many words from `at` on are one backchannel, the longest; 0 if none are."""
        for size in range(min(self._longest, len(words) - at), 0, -1):
            if tuple(words[at : at + size]) in self._phrases:
                return size
        return 1 if re.fullmatch(r"[uhm]+", words[at]) else 0


def _words(text: str) -> list[str]:
    # In one piece: a mark of its own beside a letter is no letter to a pattern.
    text = unicodedata.normalize("NFC", text.lower())
    found = re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.replace("’", "'"))
    return [word for between in found for word in apart(between)]
