"""What a client of the Gemini Live front says, as parts for the agent."""

from __future__ import annotations

from vivace.audio import AudioFormat
from vivace.part import Ask, Audio, Image, Part, SpeechEnded, SpeechStarted, TurnEnded
from vivace.server.gemini_tools import result_of
from vivace.server.gemini_wire import (
    ActivityEnded,
    ActivityStarted,
    AudioHeard,
    AudioStreamEnded,
    ClientMessage,
    Content,
    ImageSeen,
    TextHeard,
    ToolAnswer,
    ToolAnswers,
    Turn,
)

__all__ = ["Reader"]

_CONTEXT = {"context": True}
_SILENCE_S = 1.5  # after the sound, so that a detector hears that the user has finished


class Reader:
    """Makes parts of a client's messages."""

    def __init__(self) -> None:
        self._at = 0.0  # media time of the user's sound
        self._told = False  # there is context that came after the newest question

    def parts(self, message: ClientMessage, *, history: bool) -> list[Part]:
        """What a message means for the agent. history: turns are, and want no answer."""
        match message:
            case AudioHeard(pcm=pcm, rate=rate):
                return [self._sound(pcm, AudioFormat(rate))]
            case AudioStreamEnded():
                fmt = AudioFormat()
                return [self._sound(fmt.silence(0.1), fmt) for _ in range(round(_SILENCE_S / 0.1))]
            case ImageSeen(data=data, mimetype=mimetype):
                return [Part(Image(data, mimetype))]
            case TextHeard(text=text):
                return self._question(text)
            case Content(turns=turns, complete=complete):
                said = [turn for turn in turns if turn.text.strip()]
                return self._turns(said, asks=complete and not history, history=history)
            case ActivityStarted():
                self._told = False
                return [Part(SpeechStarted(self._at))]
            case ActivityEnded():
                ended = SpeechEnded(self._at, turn_follows=True)
                return [Part(ended), Part(TurnEnded(self._at))]
            case ToolAnswers(answers=answers):
                return [_response(it) for it in answers]
            case _:
                return []

    def _turns(self, turns: list[Turn], *, asks: bool, history: bool) -> list[Part]:
        """All but the user's last are context; that one, too, if no answer is wanted."""
        question = turns.pop().text if asks and turns and turns[-1].role == "user" else ""
        parts = [Part(turn.text, role=turn.role, metadata=_CONTEXT) for turn in turns]
        self._told |= bool(parts) and not history
        if question:
            return [*parts, *self._question(question)]
        if not asks:
            return parts
        # The model is to answer what it was told; where that is nothing, the user has finished.
        told, self._told = self._told, False
        return [*parts, Part(Ask() if told else TurnEnded(self._at))]

    def _question(self, text: str) -> list[Part]:
        self._told = False
        return [Part(text), Part(TurnEnded(self._at))]

    def _sound(self, pcm: bytes, fmt: AudioFormat) -> Part:
        at, self._at = self._at, self._at + fmt.seconds(len(pcm))
        return Part(Audio(pcm, fmt), at=round(at, 6))


def _response(answer: ToolAnswer) -> Part:
    result, error = result_of(answer)
    return Part.response(answer.name, result, id=answer.id, error=error)
