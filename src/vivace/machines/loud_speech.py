"""Is the user speaking, as told by how loud it is: for streams without a detector.

This file owns when a level, or whatever judges short stretches of sound, makes a start and an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from vivace.audio import AudioFormat, loudness, slice_pcm
from vivace.part import Audio

__all__ = ["LoudSpeech", "LoudnessRules"]

_STEP_S = 0.02  # what is judged at once: a syllable is some five of them


class LoudnessRules(msgspec.Struct, frozen=True):
    """When speech has begun and ended, in decibels of full scale and seconds.

    on_db: at or above it a stretch is loud; off_db: below it one is quiet again. Speech before a
        microphone mostly has -30 to -15, a quiet room less than -50.
    start_s: so much loud sound without a break is a start: a click is shorter.
    end_s: so much quiet is an end: a pause between words is shorter.
    """

    on_db: float = -35.0
    off_db: float = -45.0
    start_s: float = 0.06
    end_s: float = 0.5


class LoudSpeech:
    """Tells when speech begins and ends; counts the sound itself, not the clock.

    detector: is there speech in these samples, some 20 ms of them? Loudness is asked unless given.
    """

    def __init__(
        self, rules: LoudnessRules | None = None, detector: Callable[[Audio], bool] | None = None
    ) -> None:
        self._rules = rules or LoudnessRules()
        self._detector = detector
        self.speaking: bool = False
        self._run_s = 0.0  # how long it has sounded unlike what `speaking` says
        self._rest = Audio(b"")  # too short to be judged: the wave itself has quiet moments

    def hear(self, audio: Audio) -> list[Literal["started", "ended"]]:
        """Listen to the next samples; what they brought about, in order."""
        news: list[Literal["started", "ended"]] = []
        for pcm in self._steps(audio):
            if self._is_speech(pcm, audio.format) == self.speaking:
                self._run_s = 0.0
                continue
            self._run_s += audio.format.seconds(len(pcm))
            # The last bit of a sum of steps must not cost a whole step.
            if self._run_s + 1e-9 >= (self._rules.end_s if self.speaking else self._rules.start_s):
                self.speaking = not self.speaking
                self._run_s = 0.0
                news.append("started" if self.speaking else "ended")
        return news

    def _steps(self, audio: Audio) -> Iterator[bytes]:
        """What can be judged by now, in steps of 20 ms."""
        rest, fmt = self._rest, audio.format
        pcm = rest.pcm + audio.pcm if rest.format == fmt else audio.pcm
        step = max(1, int(_STEP_S * fmt.rate + 1e-9)) * fmt.frame_bytes  # as `slice_pcm` cuts
        whole = len(pcm) - len(pcm) % step
        self._rest = Audio(pcm[whole:], fmt)
        return slice_pcm(pcm[:whole], fmt, _STEP_S)

    def _is_speech(self, pcm: bytes, fmt: AudioFormat) -> bool:
        if self._detector is not None:
            return self._detector(Audio(pcm, fmt))
        return loudness(pcm, fmt) >= (self._rules.off_db if self.speaking else self._rules.on_db)
