"""What people say to show that they are listening, as against what wants the floor."""

from __future__ import annotations

import re

__all__ = ["has_words"]

# Also what transcribers make of a cough or a hum ("you", "thank you").
_NO_WORDS = frozenset(
    "ah aha alright cool hm hmm mhm mhmm mm mmm nice oh okay ok really right sure thank thanks uh "
    "uhhuh um wow yeah yep yes you".split()
)


def has_words(text: str) -> bool:
    """True if `text` says more than "mm-hm": something that wants the floor."""
    words = re.findall(r"[^\W_]+", text.lower())
    return any(word not in _NO_WORDS and not re.fullmatch(r"[uhm]+", word) for word in words)
