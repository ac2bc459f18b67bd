"""Scripted: a turn model that says what it was given to say. For tests, demos and load."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from vivace.errors import ModelError, ModelMissing
from vivace.flow.processor import Processor
from vivace.models.messages import conversation
from vivace.part import Audio, Image, Part, Response

__all__ = ["Scripted"]


class Scripted(Processor):
    """Answers in order, and from the start again after the last one.

    answers: at least one; each is spoken word by word, and joining the words gives it back.
    delay_s: seconds before the first word. token_s: seconds between words.

    Which answer it is follows from the prompt alone: as many replies as stand in it were given
    already. So one object serves any number of conversations; but a reply that has left the
    prompt, or of which nothing was heard, does not count.

    Raises ModelError if there is no answer.
    """

    def __init__(
        self, answers: Sequence[str], *, delay_s: float = 0.0, token_s: float = 0.0
    ) -> None:
        if isinstance(answers, str) or not answers:
            raise ModelError(f"a script needs a list of at least one answer, not {answers!r}")
        self._answers = tuple(answers)
        self._delay_s = delay_s
        self._token_s = token_s

    @classmethod
    def load(cls, path: str | Path, *, delay_s: float = 0.0, token_s: float = 0.0) -> Scripted:
        """Read a UTF-8 text file: one answer a line, but for blank ones and `# comments`.

        Raises ModelMissing if there is no such file, ModelError if it holds no answer.
        """
        try:
            text = Path(path).read_text("utf-8")
        except FileNotFoundError:
            raise ModelMissing(f"the script {path} does not exist; give a text file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"the script {path} cannot be read: {error}") from error
        lines = [line.strip() for line in text.splitlines()]
        answers = [line for line in lines if line and not line.startswith("#")]
        if not answers:
            raise ModelError(f"the script {path} holds no answer; write one a line")
        return cls(answers, delay_s=delay_s, token_s=token_s)

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        """Read the prompt, then speak the answer that comes next."""
        talk = conversation([part async for part in stream], reads=(Audio, Image, Response))
        given = sum(turn.role == "model" for turn in talk.turns)
        words = re.findall(r"\s*\S+\s*$|\s*\S+", self._answers[given % len(self._answers)])
        for index, word in enumerate(words):
            await asyncio.sleep(self._token_s if index else self._delay_s)
            yield Part(word, role="model")
