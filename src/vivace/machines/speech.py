"""Is somebody speaking: from a detector's probabilities to "started" and "ended".

This file owns the thresholds, and the places of the two signals among the audio. What a probability
comes from (a model, a file, a test) is none of its business.
"""

from __future__ import annotations

from collections import deque

import msgspec

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.machines.machine import Item, Job, JobDone, JobFailed, Machine, Output
from vivace.part import Audio, Data, Part, SpeechEnded, SpeechStarted

__all__ = ["JudgeSpeech", "SpeechMachine", "SpeechRules"]

_FULL_S = 1.0  # audio that may wait for the detector before the microphone must wait


class SpeechRules(msgspec.Struct, frozen=True):
    """When speech has begun and ended.

    on: probability at or above which a frame is speech; off: below which it is silence again. In
        between nothing changes (hysteresis; 0.5 and 0.35 are Silero's own defaults).
    start_s: so much speech without a break makes a start. end_s: so much silence makes an end.
    """

    on: float = 0.5
    off: float = 0.35
    start_s: float = 0.064
    end_s: float = 0.2


class JudgeSpeech(Job, frozen=True, eq=False):
    """How likely is speech in these samples? Answer with a probability."""

    pcm: bytes


class SpeechMachine(Machine):
    """Passes audio on as it is judged, with `SpeechStarted` and `SpeechEnded` at their places.

    frame: samples that the detector judges at once. All audio must have the format `fmt`.
    Parts that are no audio pass in order. Raises AudioError for another format.
    """

    def __init__(
        self, frame: int = 512, fmt: AudioFormat | None = None, rules: SpeechRules | None = None
    ) -> None:
        self._format = fmt or AudioFormat()
        self._rules = rules or SpeechRules()
        self._frame_bytes = frame * self._format.frame_bytes
        self._frame_s = frame / self._format.rate
        self._unjudged = bytearray()
        self._judging = False
        self._waiting: deque[tuple[Part, float]] = deque()  # with the media time where each begins
        self._zero: float | None = None  # media time of the first sample
        self._received_bytes = 0
        self._judged_s = 0.0  # seconds of audio judged, from _zero
        self._speaking = False
        self._speech_s = 0.0  # unbroken speech while silent, unbroken silence while speaking
        self._silence_s = 0.0
        self._failed = False

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part(body=Audio()):
                return self._take(item)
            case Part():
                if not self._waiting:
                    return [item]
                self._waiting.append((item, self._received_s()))
                return []
            case JobDone(job=JudgeSpeech(), result=probability):
                return self._judge(float(probability))  # type: ignore[arg-type]
            case JobFailed(job=JudgeSpeech(), error=error):
                return self._cannot_judge(error)
            case _:
                return []

    def finish(self, now: float) -> list[Output]:
        """Pass what waits; whoever was speaking has stopped."""
        out: list[Output] = [part for part, _ in self._waiting]
        self._waiting.clear()
        self._unjudged.clear()
        if self._speaking:
            self._speaking = False
            out.append(self._signal(SpeechEnded(self._at(self._judged_s - self._silence_s))))
        return out

    def full(self) -> bool:
        return len(self._unjudged) > self._format.size(_FULL_S)

    def done(self) -> bool:
        return not self._judging

    # -- inside -------------------------------------------------------------------------------

    def _take(self, part: Part) -> list[Output]:
        assert isinstance(part.body, Audio)
        if part.body.format != self._format:
            raise AudioError(
                f"{part.mimetype} came where {self._format.mimetype} is needed; resample it first"
            )
        if self._zero is None:
            self._zero = part.at or 0.0
        self._waiting.append((part, self._received_s()))
        self._received_bytes += len(part.body.pcm)
        self._unjudged += part.body.pcm
        return self._next_frame()

    def _next_frame(self) -> list[Output]:
        if self._judging or len(self._unjudged) < self._frame_bytes:
            return []
        frame = bytes(self._unjudged[: self._frame_bytes])
        del self._unjudged[: self._frame_bytes]
        self._judging = True
        return [JudgeSpeech(frame)]

    def _judge(self, probability: float) -> list[Output]:
        self._judging = False
        signal = self._silent(probability) if self._speaking else self._loud(probability)
        self._judged_s += self._frame_s
        out: list[Output] = [] if signal is None else [self._signal(signal)]
        while self._waiting and self._waiting[0][1] < self._judged_s:
            out.append(self._waiting.popleft()[0])
        return out + self._next_frame()

    def _loud(self, probability: float) -> SpeechStarted | None:
        if probability < self._rules.on:
            self._speech_s = 0.0
            return None
        self._speech_s += self._frame_s
        if self._speech_s < self._rules.start_s - 1e-9:
            return None
        self._speaking, self._silence_s = True, 0.0
        return SpeechStarted(self._at(self._judged_s + self._frame_s - self._speech_s))

    def _silent(self, probability: float) -> SpeechEnded | None:
        if probability >= self._rules.off:
            self._silence_s = 0.0
            return None
        self._silence_s += self._frame_s
        if self._silence_s < self._rules.end_s - 1e-9:
            return None
        self._speaking, self._speech_s = False, 0.0
        return SpeechEnded(self._at(self._judged_s + self._frame_s - self._silence_s))

    def _cannot_judge(self, error: Exception) -> list[Output]:
        """A frame that could not be judged counts as silence; the first one is reported."""
        out = self._judge(0.0)
        if not self._failed:
            self._failed = True
            news = {"event": "failed", "what": "speech detection", "error": str(error)}
            out.insert(0, Part(Data(news), substream="status"))
        return out

    def _signal(self, signal: SpeechStarted | SpeechEnded) -> Part:
        return Part(signal, at=signal.at)

    def _received_s(self) -> float:
        return self._format.seconds(self._received_bytes)

    def _at(self, seconds: float) -> float:
        return round((self._zero or 0.0) + seconds, 6)
