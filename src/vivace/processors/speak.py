"""`Speak`: text to speech, sentence by sentence, while the text is still being written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.machines.sentences import Sentences
from vivace.machines.words import share_out
from vivace.part import Audio, Part

__all__ = ["Speak"]


class Speak(Processor):
    """Says the model's text: yields audio that carries its words, in place of the text.

    voice: takes a sentence or clause, gives its audio in pieces; the words of each piece are what
        it says. If none has words, the text is shared out in proportion to their sound. Such as
        `vivace.models.hibari.Hibari`.

    The text itself goes to the side lane `ui` as it comes. Texts of other roles, and all that is
    no text, pass untouched. If the model fails, what it had written is said first.
    """

    def __init__(self, voice: Callable[[str], Awaitable[Sequence[Audio]]]) -> None:
        self._voice = voice

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        sentences, last = Sentences(), Part("", role="model")
        stream, failure = aiter(stream), None
        while True:
            try:
                part = await anext(stream)
            except StopAsyncIteration:
                break
            except Exception as error:
                failure = error  # what it had written until then is said all the same
                break
            is_text = isinstance(part.body, str) and part.role == "model"
            if not is_text or part.turn != last.turn:
                for spoken in await self._say_rest(sentences, last):
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
        for spoken in await self._say_rest(sentences, last):
            yield spoken
        if failure is not None:
            raise failure

    async def _say_rest(self, sentences: Sentences, last: Part) -> list[Part]:
        if current_run().bus.fence.stale(last):
            return []
        return await self._say(sentences.rest(), last)

    async def _say(self, text: str, part: Part) -> list[Part]:
        if not text.strip():
            return []
        return [part.derive(body=audio) for audio in _worded(await self._voice(text), text)]


def _worded(pieces: Sequence[Audio], text: str) -> Sequence[Audio]:
    """`pieces` with words: what has none is never known to be heard."""
    if any(audio.words for audio in pieces):
        return pieces
    shares = share_out(text, [audio.seconds for audio in pieces])
    return [
        msgspec.structs.replace(it, words=words) for it, words in zip(pieces, shares, strict=True)
    ]
