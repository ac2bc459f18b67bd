"""What a client of the Gemini Live front says, as parts for the agent."""

from __future__ import annotations

from vivace.audio import AudioFormat
from vivace.part import Audio, Image, Part, SpeechEnded, SpeechStarted, TurnEnded
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
)

__all__ = ["Reader"]

_SILENCE_S = 1.5  # after the sound, so that a detector hears that the user has finished


class Reader:
    """Makes parts of a client's messages."""

    def __init__(self) -> None:
        self._at = 0.0  # media time of the user's sound

    def parts(self, message: ClientMessage) -> list[Part]:
        """What a message means for the agent."""
        match message:
            case AudioHeard(pcm=pcm, rate=rate):
                return [self._sound(pcm, AudioFormat(rate))]
            case AudioStreamEnded():
                fmt = AudioFormat()
                return [self._sound(fmt.silence(0.1), fmt) for _ in range(round(_SILENCE_S / 0.1))]
            case ImageSeen(data=data, mimetype=mimetype):
                return [Part(Image(data, mimetype))]
            case TextHeard(text=text):
                return [Part(text), Part(TurnEnded(self._at))]
            case Content(turns=turns, complete=complete):
                told = [Part(turn.text, role=turn.role) for turn in turns if turn.text]
                return [*told, Part(TurnEnded(self._at))] if complete else told
            case ActivityStarted():
                return [Part(SpeechStarted(self._at))]
            case ActivityEnded():
                ended = SpeechEnded(self._at, turn_follows=True)
                return [Part(ended), Part(TurnEnded(self._at))]
            case ToolAnswers(answers=answers):
                return [_response(it) for it in answers]
            case _:
                return []

    def _sound(self, pcm: bytes, fmt: AudioFormat) -> Part:
        at, self._at = self._at, self._at + fmt.seconds(len(pcm))
        return Part(Audio(pcm, fmt), at=round(at, 6))


def _response(answer: ToolAnswer) -> Part:
    result, error = result_of(answer)
    return Part.response(answer.name, result, id=answer.id, error=error)
