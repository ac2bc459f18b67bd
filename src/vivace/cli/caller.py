"""The simulated caller: when each recording is spoken to the agent.

This file owns the caller's manners: waiting until the agent has finished, talking over it where
that was asked for, and not waiting for ever. It is pure: it gets the stream's parts and the time,
and gives the next 20 ms of sound.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import msgspec

from vivace.audio import AudioFormat
from vivace.part import Data, Interrupted, Part, Played, Playing

__all__ = ["Caller", "Line", "Manners", "Spoken"]


class Line(msgspec.Struct, frozen=True):
    """One thing to say: 16-bit mono.

    over_s: None waits for the answer's end; a number says it so many seconds after an answer has
        become audible, or after its end if that comes first.
    """

    name: str
    pcm: bytes
    over_s: float | None = None


class Spoken(msgspec.Struct, frozen=True):
    """When a line was said, in seconds."""

    name: str
    start: float
    end: float


class Manners(msgspec.Struct, frozen=True):
    """How the caller behaves, in seconds.

    lead_s: silence before the first word. gap_s: between the agent's last word and the next line.
    linger_s: silence after the agent's last word, before hanging up.
    unheard_s: an answer of which nothing is heard is not waited for any longer.
    longest_s: and no answer at all is waited for any longer than this.
    """

    lead_s: float = 0.6
    gap_s: float = 0.8
    linger_s: float = 1.0
    unheard_s: float = 20.0
    longest_s: float = 120.0


class Caller:
    """Says `lines` one after the other. Times are seconds since the start of the run.

    Feed it all that the agent puts out, and ask for a chunk at each step of the microphone.
    """

    def __init__(
        self,
        lines: Iterable[Line],
        fmt: AudioFormat | None = None,
        manners: Manners | None = None,
        *,
        chunk_s: float = 0.02,
    ) -> None:
        self._lines = deque(lines)
        self._manners = manners or Manners()
        self._chunk_s = chunk_s
        self._chunk_bytes = (fmt or AudioFormat()).size(chunk_s)
        self._saying = b""
        self._begun: tuple[str, float] | None = None  # the line being said, and since when
        self._floor = "idle"
        self._floor_at = 0.0
        self._quiet_at = 0.0  # when the caller, or an answer, was last heard to end
        self._audible_at: float | None = None  # of the answer that is being heard
        self.spoken: list[Spoken] = []

    def feed(self, part: Part, now: float) -> None:
        """Take notice of what the agent does."""
        match part.body:
            case Data(value={"event": "floor", "floor": str(floor)}):
                self._floor, self._floor_at = floor, now
            case Playing():
                self._audible_at = now
            case Played() | Interrupted():
                self._audible_at, self._quiet_at = None, now

    def chunk(self, now: float) -> bytes | None:
        """The sound that ends at `now`: speech or silence; None once the caller has hung up."""
        if self._begun is None:
            start = now - self._chunk_s
            if not self._lines and self._is_over(start, self._manners.linger_s):
                return None
            if self._lines and self._is_cued(start):
                self._begin(start)
        pcm, self._saying = self._saying[: self._chunk_bytes], self._saying[self._chunk_bytes :]
        if self._begun is not None and not self._saying:
            self._end(now)
        return pcm.ljust(self._chunk_bytes, b"\0")

    # -- inside -------------------------------------------------------------------------------

    def _begin(self, at: float) -> None:
        line = self._lines.popleft()
        self._begun, self._saying = (line.name, at), line.pcm

    def _end(self, now: float) -> None:
        assert self._begun is not None
        name, start = self._begun
        self.spoken.append(Spoken(name, round(start, 6), round(now, 6)))
        self._begun = None
        self._quiet_at = now

    def _is_cued(self, now: float) -> bool:
        if not self.spoken:
            return _reached(now, self._manners.lead_s)
        over_s = self._lines[0].over_s
        if over_s is not None and _reached(now, self._talk_over_at(over_s)):
            return True
        return self._is_over(now, self._manners.gap_s)

    def _talk_over_at(self, over_s: float) -> float:
        # While it is open whether the line before was an interruption, so is what this one is over.
        if self._audible_at is None or self._floor in ("overlap", "verdict"):
            return math.inf
        return self._audible_at + over_s

    def _is_over(self, now: float, wait_s: float) -> bool:
        """Nobody owes anything for `wait_s`, or it is no use to wait."""
        manners, said_at = self._manners, self.spoken[-1].end if self.spoken else 0.0
        if self._floor == "idle" and _reached(now, max(self._floor_at, said_at) + wait_s):
            return True
        unheard = self._audible_at is None and _reached(now, self._quiet_at + manners.unheard_s)
        return unheard or _reached(now, said_at + manners.longest_s)


def _reached(now: float, due: float) -> bool:
    # The clock goes in steps of 20 ms, which no float holds exactly.
    return now >= due - 1e-9
