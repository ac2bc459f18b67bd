"""When a chunk leaves: audio at natural speed, held and resumed at the very sample.

This file owns the schedule of the agent's voice. A chunk leaves when the one before it has been
played, at most `lead_s` earlier; never twice, never after its reply has been interrupted.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

from vivace.audio import slice_pcm
from vivace.machines.fence import is_stale
from vivace.machines.machine import Announce, Item, Machine, Output
from vivace.part import Audio, Data, Held, Interrupted, Part, Reset, Resumed, TurnComplete

__all__ = ["Pacer", "PacerCounts", "PacingRules", "share_words"]

# A chunk that is late by less is a hiccup of the machine, and the schedule stands: so there is no
# drift. Later than that, the listener has heard a gap, and the schedule starts anew.
_HICCUP_S = 0.1


class PacingRules(msgspec.Struct, frozen=True):
    """How audio leaves.

    chunk_s: seconds of a chunk. The agent falls silent within one chunk when it is held.
    lead_s: how much earlier than natural a chunk may leave, for a listener with a jitter buffer.
    queue_s: audio that may wait here before the stream is left alone.
    """

    chunk_s: float = 0.02
    lead_s: float = 0.0
    queue_s: float = 30.0


class PacerCounts(msgspec.Struct):
    """What pacers have done, summed over runs. `refused`: chunks of void replies."""

    chunks_played: int = 0
    interruptions: int = 0
    buffer_underruns: int = 0
    refused: int = 0
    holds: int = 0


class Pacer(Machine):
    """Lets audio out at natural speed; everything else keeps its place among its role's audio.

    Each chunk's `at` is the moment it is to be played, in seconds since `zero` on the clock. Words
    are shared out over the chunks. `TurnComplete` leaves when its reply's last chunk has been
    played. `Interrupted`, `Reset`, `Held` and `Resumed` act at once, announced or in the stream.
    """

    def __init__(
        self,
        rules: PacingRules | None = None,
        *,
        zero: float = 0.0,
        counts: PacerCounts | None = None,
    ) -> None:
        self._rules = rules or PacingRules()
        self._zero = zero
        self.counts: PacerCounts = counts or PacerCounts()
        self._queue: deque[Part] = deque()
        self._queued: dict[str, int] = {}  # parts in the queue, by role
        self._queued_s = 0.0
        # -inf, not 0: the first chunk must leave at once whatever the clock says.
        self._free_at = -math.inf
        self._playing = 0  # the reply whose audio left last and is not complete
        self._dry = False  # the queue ran out while that reply was playing
        self._void = 0
        self._held = 0  # replies up to this one are held

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part(body=Interrupted() | Reset() | Held() | Resumed() as signal):
                # Told to all, so that what has left already is caught wherever it waits.
                return [*self._control(signal, now), Announce(signal), *self.tick(now)]
            case Interrupted() | Reset() | Held() | Resumed():
                return [*self._control(item, now), *self.tick(now)]
            case Part() if is_stale(item, self._void):
                self.counts.refused += 1
                return []
            case Part(body=Audio()):
                return self._take(item, now)
            case Part(body=TurnComplete()):  # waits for the last chunk, though none be queued
                self._put(item)
                return self.tick(now)
            case Part() if not self._queued.get(item.role):
                return [item]  # the user's signals do not wait for what the agent still has to say
            case Part():
                self._put(item)
                return self.tick(now)
            case _:
                return []

    def tick(self, now: float) -> list[Output]:
        out: list[Output] = []
        while self._queue and self._due() <= now:
            part = self._queue.popleft()
            self._queued[part.role] -= 1
            if isinstance(part.body, Audio):
                out.append(self._release(part, part.body, now))
            else:
                if isinstance(part.body, TurnComplete) and part.body.turn == self._playing:
                    self._playing = 0
                out.append(part)
        self._dry = not self._queue
        return out

    def deadline(self) -> float | None:
        due = self._due() if self._queue else math.inf
        return None if due == math.inf else due

    def full(self) -> bool:
        return self._queued_s > self._rules.queue_s

    def done(self) -> bool:
        return not self._queue

    # -- inside -------------------------------------------------------------------------------

    def _due(self) -> float:
        """When the head of the queue may leave: inf while it is held, -inf for at once."""
        head = self._queue[0].body
        if isinstance(head, Audio):
            silent = self._held > 0 and self._queue[0].turn <= self._held
            return math.inf if silent else self._free_at - self._rules.lead_s
        if isinstance(head, TurnComplete):
            return math.inf if 0 < self._playing <= self._held else self._free_at
        return -math.inf

    def _take(self, part: Part, now: float) -> list[Output]:
        assert isinstance(part.body, Audio)
        audio = part.body
        was_dry = bool(audio.pcm) and self._dry and now > self._free_at
        if was_dry and self._held < part.turn == self._playing:
            self.counts.buffer_underruns += 1
        chunks = list(slice_pcm(audio.pcm, audio.format, self._rules.chunk_s)) or [b""]
        for pcm, words in zip(chunks, share_words(audio.words, len(chunks)), strict=True):
            self._put(part.derive(body=Audio(pcm, audio.format, words)))
        self._queued_s += audio.seconds
        if was_dry:
            self._free_at = -math.inf
        return [*self._status("queued", part.turn, now, audio.seconds), *self.tick(now)]

    def _put(self, part: Part) -> None:
        self._queue.append(part)
        self._queued[part.role] = self._queued.get(part.role, 0) + 1

    def _release(self, part: Part, audio: Audio, now: float) -> Part:
        if now - self._free_at > _HICCUP_S:
            self._free_at = now
        starts_at = self._free_at
        self._free_at = starts_at + audio.seconds
        self._queued_s = max(0.0, self._queued_s - audio.seconds) if self._queue else 0.0
        self._playing = part.turn
        self.counts.chunks_played += 1
        return part.derive(at=round(starts_at - self._zero, 6))

    def _control(self, signal: Interrupted | Reset | Held | Resumed, now: float) -> list[Output]:
        turn = signal.turn
        if isinstance(signal, Interrupted | Reset):
            return self._flush(turn, now)
        if isinstance(signal, Held):
            self.counts.holds += turn > self._held
            self._held = max(self._held, turn)
        elif 0 < self._held <= turn:
            self._held = 0
            self._free_at = max(self._free_at, now)
        return []

    def _flush(self, turn: int, now: float) -> list[Output]:
        self._held = 0 if self._held <= turn else self._held
        self._void = max(self._void, turn)
        cut = [part for part in self._queue if is_stale(part, self._void)]
        kept = [part for part in self._queue if not is_stale(part, self._void)]
        self._queue.clear()
        self._queued.clear()
        for part in kept:
            self._put(part)
        cut_s = sum(part.seconds for part in cut)
        self._queued_s = max(0.0, self._queued_s - cut_s) if self._queue else 0.0
        if not cut and not 0 < self._playing <= turn:
            return []
        self.counts.interruptions += 1
        self._playing = 0
        self._free_at = -math.inf  # whoever speaks next does not wait for what was cut
        return self._status("cut", turn, now, cut_s)

    def _status(self, event: str, turn: int, now: float, seconds: float) -> list[Output]:
        news = {"event": event, "turn": turn, "seconds": round(seconds, 6)}
        return [Part(Data(news), role="model", substream="status", at=round(now - self._zero, 6))]


def share_words(words: str, count: int) -> list[str]:
    """Share `words` out over `count` equal chunks: each word to the chunk that holds its middle.

    The chunks joined give `words` back. Letters stand in for time, as nothing better is known.
    """
    shares = [""] * count
    if not words or not count:
        return shares
    start = 0
    while start < len(words):
        end = words.find(" ", start + 1)
        end = len(words) if end < 0 else end
        # A word takes the spaces before it along, and those at the very end.
        if not words[end:].strip():
            end = len(words)
        middle = (start + end) / 2 / len(words)
        shares[min(count - 1, int(middle * count))] += words[start:end]
        start = end
    return shares
