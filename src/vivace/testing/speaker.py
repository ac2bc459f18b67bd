"""Whoever plays the agent: takes its parts as fast as it can, and knows what was played."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque

from vivace.flow.clock import now
from vivace.part import Held, Interrupted, Part, PlayedTo, Reset, Resumed
from vivace.testing.dialogue import Dialogue
from vivace.testing.ears import chance
from vivace.testing.user import Hearing

__all__ = ["JitterBuffer", "SimulatedSpeaker"]

_STALL_S = 0.01  # how long it may take for a part, with a jitter of 1: half a chunk of 20 ms


class JitterBuffer:
    """Sound that came, and how much of it was played.

    delay_s: what comes to an empty buffer is played so much later. speed: seconds of sound played
    in a second.
    """

    def __init__(self, delay_s: float, speed: float = 1.0) -> None:
        self.played: defaultdict[int, float] = defaultdict(float)  # seconds, by reply
        self._delay_s = delay_s
        self._speed = speed
        self._queue: deque[tuple[int, float]] = deque()
        self._at = float("-inf")  # the clock, when what is next is to be played
        self._held = 0  # replies up to this one are silent

    def push(self, turn: int, seconds: float, at: float) -> float:
        """Sound has come; return when it is to be played if nothing happens."""
        self.advance(at)
        if turn > self._held > 0:  # that one is over, and was all out when it was held
            self._go_on(at)
        if not self._queue:
            self._at = max(self._at, at + self._delay_s)
        begin = self._at + sum(waiting for _, waiting in self._queue) / self._speed
        self._queue.append((turn, seconds))
        return begin

    def advance(self, at: float) -> None:
        """Play what was to be played until `at`."""
        while self._queue and not self._held and self._at < at:
            turn, seconds = self._queue.popleft()
            now_s = min(seconds, (at - self._at) * self._speed)
            self.played[turn] += now_s
            self._at += now_s / self._speed
            if seconds - now_s > 1e-9:
                self._queue.appendleft((turn, seconds - now_s))

    def control(self, signal: Held | Resumed | Interrupted | Reset, at: float) -> None:
        """Do at once what the agent says."""
        self.advance(at)
        if isinstance(signal, Held):
            self._held = max(self._held, signal.turn)
        elif signal.turn >= self._held:
            self._go_on(at)
        if isinstance(signal, Interrupted | Reset):
            self._queue = deque(entry for entry in self._queue if entry[0] > signal.turn)

    def _go_on(self, at: float) -> None:
        if self._held:
            self._held, self._at = 0, max(self._at, at)


class SimulatedSpeaker:
    """Plays what it takes; `hearing` is told."""

    def __init__(self, dialogue: Dialogue, hearing: Hearing) -> None:
        speaker = dialogue.speaker
        self.buffer: JitterBuffer = JitterBuffer(speaker.buffer_s, speaker.speed)
        self._speed = speaker.speed
        self._hearing = hearing
        self._jitter = dialogue.timing.jitter
        self._draw = chance(dialogue.seed, "speaker")
        self._reports_s = speaker.reports_s
        self._reported_at = float("-inf")
        self._newest = 0  # the reply that came last

    async def take(self, part: Part) -> None:
        """Play a part; return when the next one can be taken."""
        at = now()
        if isinstance(part.body, Held | Resumed | Interrupted | Reset):
            self.buffer.control(part.body, at)
        if not part.seconds:
            return
        self._newest = self._hearing.turn = part.turn
        begin = self.buffer.push(part.turn, part.seconds, at)
        self._hearing.hear(begin, part.seconds / self._speed)
        busy_s = part.seconds / self._speed if self._speed < 1 else 0.0
        busy_s += _STALL_S * self._jitter * self._draw.random()
        if busy_s:
            await asyncio.sleep(busy_s)

    def report(self) -> list[Part]:
        """How far the newest reply is played, if it is time to say so."""
        at = now()
        if self._reports_s is None or not self._newest or at < self._reported_at + self._reports_s:
            return []
        self._reported_at = at
        return [Part(PlayedTo(self._newest, self.played(self._newest)))]

    def played(self, turn: int) -> float:
        """How many seconds of a reply are played by now."""
        self.buffer.advance(now())
        return self.buffer.played[turn]
