"""Is somebody speaking: from a detector's probabilities to "started" and "ended".

This file owns the thresholds, and the places of the two signals among the audio. What a probability
comes from (a model, a file, a test) is none of its business.
"""

from __future__ import annotations

from collections import deque

import msgspec

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.machines.machine import SPEECH, Item, Job, JobDone, JobFailed, Machine, Output
from vivace.part import Audio, Data, Part, SpeechEnded, SpeechStarted

__all__ = ["JudgeSpeech", "SpeechMachine", "SpeechRules"]

_JUMP_S = 0.02  # media time that is further off than this has jumped: audio was lost
_TYPED_S = 0.1  # how long a part that is no audio waits for the frame before it to become full
_FULL_S = 1.0  # audio that may wait for the detector before the microphone must wait


class SpeechRules(msgspec.Struct, frozen=True):
    """When speech has begun and ended.

    on: probability at or above which a frame is speech; off: below which it is silence again. In
        between nothing changes (hysteresis; 0.5 and 0.35 are Silero's own defaults).
    start_s: so much speech without a break makes a start. end_s: so much silence makes an end:
        short, since an end only begins the question whether the turn is over, and all that
        answers it takes time.
    """

    on: float = 0.5
    off: float = 0.35
    start_s: float = 0.064
    end_s: float = 0.128


class JudgeSpeech(Job, frozen=True, eq=False):
    """How likely is speech in these samples? Answer with a probability."""

    pcm: bytes


class SpeechMachine(Machine):
    """Passes audio on as it is judged, with `SpeechStarted` and `SpeechEnded` at their places.

    frame: samples that the detector judges at once. All audio must have the format `fmt`.
    Parts that are no audio pass in order. Raises AudioError for another format.
    """

    decides = SPEECH

    def __init__(
        self, frame: int = 512, fmt: AudioFormat | None = None, rules: SpeechRules | None = None
    ) -> None:
        self._format = fmt or AudioFormat()
        self._rules = rules or SpeechRules()
        # Places and lengths are whole frames of audio, so that they stay exact for ever.
        self._frame = frame
        self._start = self._frames_in(self._rules.start_s)
        self._end = self._frames_in(self._rules.end_s)
        self._unjudged = bytearray()
        self._most = self._format.size(_FULL_S)  # bytes of it
        self._judging = False
        self._waiting: deque[tuple[Part, int]] = deque()  # and where in the audio each begins
        self._typed_at: float | None = None  # the clock, when a part that is no audio came to wait
        self._places: deque[tuple[int, float]] = deque([(0, 0.0)], maxlen=8)
        self._received = 0
        self._judged = 0
        self._speaking = False
        self._speech = 0  # unbroken speech while silent
        self._sum = 0.0  # of the probabilities of its frames
        self._silence = 0  # unbroken silence while speaking
        self._failed = False
        self._finishing = False

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part(body=Audio() as audio, role="user"):
                return self._take(item, audio)
            case Part():
                if not self._waiting:
                    return [item]
                self._waiting.append((item, self._received))
                self._typed_at = now if self._typed_at is None else self._typed_at
                return []
            case JobDone(job=JudgeSpeech(), result=probability):
                return self._judge(float(probability))  # type: ignore[arg-type]
            case JobFailed(job=JudgeSpeech(), error=error):
                return self._cannot_judge(error)
            case _:
                return []

    def tick(self, now: float) -> list[Output]:
        due = self.deadline()
        return self._pass_all() if due is not None and now >= due else []

    def deadline(self) -> float | None:
        """A text waits for the audio before it, but not for a frame that never becomes full."""
        if self._typed_at is None or self._judging:
            return None
        return self._typed_at + _TYPED_S

    def finish(self, now: float) -> list[Output]:
        """Judge what is there and pass what waits; whoever was speaking has stopped then."""
        self._finishing = True
        return [] if self._judging else self._finished()

    def full(self) -> bool:
        return len(self._unjudged) > self._most

    def done(self) -> bool:
        return not self._judging

    # -- inside -------------------------------------------------------------------------------

    def _take(self, part: Part, audio: Audio) -> list[Output]:
        if audio.format != self._format:
            raise AudioError(
                f"{part.mimetype} came where {self._format.mimetype} is needed; resample it first"
            )
        if part.at is not None and abs(part.at - self._at(self._received)) > _JUMP_S:
            self._places.append((self._received, part.at))
        self._waiting.append((part, self._received))
        self._received += len(audio.pcm) // self._format.frame_bytes
        self._unjudged += audio.pcm
        return self._next_frame()

    def _next_frame(self) -> list[Output]:
        size = self._frame * self._format.frame_bytes
        if self._judging or len(self._unjudged) < size:
            return []
        frame = bytes(self._unjudged[:size])
        del self._unjudged[:size]
        self._judging = True
        return [JudgeSpeech(frame)]

    def _judge(self, probability: float) -> list[Output]:
        self._judging = False
        self._judged += self._frame
        signal = self._silent(probability) if self._speaking else self._loud(probability)
        out: list[Output] = [] if signal is None else [Part(signal, at=signal.at)]
        while self._waiting and self._waiting[0][1] < self._judged:
            out.append(self._waiting.popleft()[0])
        if not self._waiting:
            self._typed_at = None
        out += self._next_frame()
        return out + self._finished() if self._finishing and not self._judging else out

    def _loud(self, probability: float) -> SpeechStarted | None:
        if probability < self._rules.on:
            self._speech, self._sum = 0, 0.0
            return None
        self._speech += self._frame
        self._sum += probability
        if self._speech < self._start:
            return None
        self._speaking, self._silence = True, 0
        mean = round(self._sum * self._frame / self._speech, 3)
        return SpeechStarted(self._at(self._judged - self._speech), mean)

    def _silent(self, probability: float) -> SpeechEnded | None:
        if probability >= self._rules.off:
            self._silence = 0
            return None
        self._silence += self._frame
        if self._silence < self._end:
            return None
        self._speaking, self._speech, self._sum = False, 0, 0.0
        return SpeechEnded(self._at(self._judged - self._silence))

    def _cannot_judge(self, error: Exception) -> list[Output]:
        """A frame that could not be judged counts as silence; the first one is reported."""
        out = self._judge(0.0)
        if not self._failed:
            self._failed = True
            news = {"event": "failed", "what": "speech detection", "error": str(error)}
            out.insert(0, Part(Data(news), substream="status"))
        return out

    def _finished(self) -> list[Output]:
        out = self._pass_all()
        if self._speaking:
            self._speaking = False
            at = self._at(self._judged - self._silence)
            out.append(Part(SpeechEnded(at), at=at))
        return out

    def _pass_all(self) -> list[Output]:
        out: list[Output] = [part for part, _ in self._waiting]
        self._waiting.clear()
        self._typed_at = None
        return out

    def _frames_in(self, seconds: float) -> int:
        return round(seconds * self._format.rate)

    def _at(self, place: int) -> float:
        """Media time of a place in the audio: by the newest part before it that told one."""
        start, at = next(
            (known for known in reversed(self._places) if known[0] <= place), self._places[0]
        )
        return round(at + (place - start) / self._format.rate, 6)
