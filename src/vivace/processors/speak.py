"""`Speak`: text to speech, sentence by sentence, while the text is still being written."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.part import Audio, Part

__all__ = ["Sentences", "Speak"]

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*\s+|\n+")
_CLAUSE_END = re.compile(r"[,;:.!?…–—]+[\"'”’)\]]*\s+|\n+")
# Titles, initials and the numbers of a list: a full stop after these ends nothing.
_NO_END = re.compile(
    r"(?:^|\s)(?:mr|mrs|ms|dr|prof|st|vs|e\.g|i\.e|[a-z]|\d{1,3})\.\s*$", re.IGNORECASE
)


class Speak(Processor):
    """Says the model's text: yields audio that carries its words, in place of the text.

    voice: takes a sentence or clause, gives its audio in pieces; the words of each piece are what
        it says. Such as `vivace.models.hibari.Hibari`.

    The text itself goes to the side lane `ui` as it comes. Texts of other roles, and all that is
    no text, pass untouched.
    """

    def __init__(self, voice: Callable[[str], Awaitable[Sequence[Audio]]]) -> None:
        self._voice = voice

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        sentences, last = Sentences(), Part("", role="model")
        fence = current_run().bus.fence
        async for part in stream:
            is_text = isinstance(part.body, str) and part.role == "model"
            if not is_text or part.turn != last.turn:
                rest = sentences.rest()
                for spoken in [] if fence.stale(last) else await self._say(rest, last):
                    yield spoken
                sentences = Sentences()
            if not is_text:
                yield part
                continue
            last = part
            yield part.derive(substream="ui")
            for sentence in sentences.feed(part.text):
                for spoken in await self._say(sentence, part):
                    yield spoken
        for spoken in await self._say(sentences.rest(), last):
            yield spoken

    async def _say(self, text: str, part: Part) -> list[Part]:
        if not text.strip():
            return []
        return [part.derive(body=audio) for audio in await self._voice(text)]


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
            if _NO_END.search(piece) or not re.search(r"\w", piece):
                continue
            if self._begun or len(piece.split()) >= self._first_words:
                return match.end()
        if len(self._text) <= self._longest:
            return None
        clauses = [m.end() for m in _CLAUSE_END.finditer(self._text) if m.end() <= self._longest]
        space = self._text.rfind(" ", 1, self._longest) + 1
        return clauses[-1] if clauses else space or self._longest
