"""Detectors of what is heard: how loud it is, and what the stages before have heard of speech."""

from __future__ import annotations

from typing import Unpack

import msgspec

from vivace.audio import loudness, slice_pcm
from vivace.errors import StageError
from vivace.machines.sighting import Sighting
from vivace.part import Audio, Part, SpeechEnded, SpeechStarted, TurnEnded
from vivace.processors.detector import Detector, DetectorOptions, Look

__all__ = ["SoundDetector", "SpeechSignals"]

_STEP_S = 0.02  # what is judged at once
_EXACT = 1e-9  # the last bit of a sum of steps must not cost a whole step


class SoundDetector(Detector):
    """Hears when it becomes loud (`sound`), and when it has been quiet for long (`silence`).

    loud_db, quiet_db: decibels of full scale at or above which it is loud, and below which it is
        quiet. Speech before a microphone mostly has -30 to -15, a quiet room less than -50.
    sound_s: so long must it be loud without a break: a click is shorter. silence_s: so long quiet.

    Both are of the sound itself, in seconds of media, and each is told once until the other has
    been. The event's `data` has the level, `db`.
    """

    at_once = True

    def __init__(
        self,
        *,
        loud_db: float = -35.0,
        quiet_db: float = -45.0,
        sound_s: float = 0.06,
        silence_s: float = 2.0,
        **options: Unpack[DetectorOptions],
    ) -> None:
        options.setdefault("name", "sound")
        options.setdefault("on", "audio")
        super().__init__(**options)
        if not quiet_db <= loud_db:
            raise StageError(
                f"quiet at {quiet_db} dB and loud at {loud_db}; use quiet_db ≤ loud_db"
            )
        if not (sound_s > 0 and silence_s > 0):
            raise StageError(f"sound_s={sound_s}, silence_s={silence_s}; use seconds above 0")
        self._levels = _Levels(loud_db, quiet_db, sound_s, silence_s)

    def session(self) -> Look:
        return _Ear(self._levels).hear


class _Levels(msgspec.Struct, frozen=True):
    loud_db: float
    quiet_db: float
    sound_s: float
    silence_s: float


class _Ear:
    def __init__(self, levels: _Levels) -> None:
        self._levels = levels
        self._told = ""
        self._loud_s = self._quiet_s = 0.0  # without a break, until now

    def hear(self, part: Part) -> list[Sighting]:
        audio = part.body
        assert isinstance(audio, Audio), "a sound detector looks at audio"
        heard = []
        for pcm in slice_pcm(audio.pcm, audio.format, _STEP_S):
            db = loudness(pcm, audio.format)
            now = self._step(db, audio.format.seconds(len(pcm)))
            if now and now != self._told:
                self._told = now
                # JSON has no infinity, and no microphone is below this.
                heard.append(Sighting(now, data={"db": round(max(db, -120.0), 1)}))
        return heard

    def _step(self, db: float, seconds: float) -> str:
        levels = self._levels
        self._loud_s = self._loud_s + seconds if db >= levels.loud_db else 0.0
        self._quiet_s = self._quiet_s + seconds if db < levels.quiet_db else 0.0
        if self._loud_s + _EXACT >= levels.sound_s:
            return "sound"
        return "silence" if self._quiet_s + _EXACT >= levels.silence_s else ""


class SpeechSignals(Detector):
    """Tells of speech as events: `speech_started`, `speech_ended` and `turn_ended`.

    It hears nothing itself: put `DetectSpeech` and `DetectTurn` before it, or whatever else yields
    these signals.
    """

    at_once = True

    def __init__(self, **options: Unpack[DetectorOptions]) -> None:
        options.setdefault("name", "speech")
        options.setdefault("on", _is_speech)
        super().__init__(**options)

    def session(self) -> Look:
        return _told


def _is_speech(part: Part) -> bool:
    return isinstance(part.body, SpeechStarted | SpeechEnded | TurnEnded)


def _told(part: Part) -> Sighting | None:
    match part.body:
        case SpeechStarted(probability=probability):
            return Sighting("speech_started", probability)
        case SpeechEnded():
            return Sighting("speech_ended")
        case TurnEnded():
            return Sighting("turn_ended")
        case _:
            return None  # a predicate of the user's lets other parts in
