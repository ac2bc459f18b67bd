"""What waits to be played, and how much of it leaves at once.

This file owns cutting: parts go in whole, chunks come out, of any length that is asked for. Nothing
is cut before it leaves, so a part of ten minutes costs what it holds, and no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from vivace.errors import StageError
from vivace.machines.words import middles
from vivace.part import Audio, Part

__all__ = ["ChunkRules", "Waiting", "chunk_length"]

# A chunk is at most this share of what waits and of what the reply has said: one of 200 ms leaves
# once eight seconds wait and two have been said. Then a cut costs little of what is in hand.
_OF_WAITING = 1 / 40
_OF_SAID = 1 / 10
_OF_LAG = 4  # a chunk lasts so many times as long as the loop is late: it then is a fifth of it


_JUMP_S = 1e-3  # media time that is further off than this has jumped


class ChunkRules(msgspec.Struct, frozen=True):
    """How long a chunk lasts: seconds, from `shortest_s` to `longest_s`.

    Raises StageError unless 0 < shortest_s <= longest_s.
    """

    shortest_s: float = 0.02
    longest_s: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.shortest_s <= self.longest_s:
            raise StageError(
                f"chunks of {self.shortest_s:g} to {self.longest_s:g} s; "
                "the shortest must be above 0, and not above the longest"
            )


def chunk_length(
    rules: ChunkRules, *, waiting_s: float, said_s: float, lag_s: float, contested: bool
) -> float:
    """Seconds that the next chunk is to last: the shortest, some times over.

    waiting_s: what waits. said_s: what has left since the reply began, or went on after a hold.
    lag_s: how late chunks left of late. contested: somebody may be about to interrupt.
    """
    if contested:
        return rules.shortest_s
    calm_s = min(waiting_s * _OF_WAITING, said_s * _OF_SAID)
    wanted_s = min(rules.longest_s, max(rules.shortest_s, calm_s, lag_s * _OF_LAG))
    return rules.shortest_s * int(wanted_s / rules.shortest_s + 1e-9)


class _Uncut:
    """A part of which some may have left: how much, and the words that have not."""

    __slots__ = ("audio", "cut", "part", "words")

    def __init__(self, part: Part, audio: Audio | None) -> None:
        self.part = part
        self.audio = audio
        self.cut = 0  # bytes
        size = len(audio.pcm) if audio else 0
        # Where in the bytes each word's middle is.
        self.words = deque[tuple[float, str]]() if audio and audio.words else None
        if audio and self.words is not None:
            self.words.extend((middle * size, word) for middle, word in middles(audio.words))

    def goes_on(self, other: _Uncut) -> bool:
        """True if `other` is more of the same voice, so that both fit into one chunk."""
        mine, its = self.part, other.part
        if self.audio is None or other.audio is None or self.audio.format != other.audio.format:
            return False
        if not (self.audio.pcm and other.audio.pcm) or not _goes_on(mine, its):
            return False
        same = (mine.role, mine.substream, mine.turn) == (its.role, its.substream, its.turn)
        return same and mine.metadata == its.metadata

    def take(self, size: int) -> tuple[bytes, str]:
        """At most `size` bytes of what is left, and the words that they say."""
        assert self.audio is not None
        pcm = self.audio.pcm[self.cut : self.cut + size]
        self.cut += len(pcm)
        if not self.words:
            return pcm, ""
        said = []
        while self.words and (self.words[0][0] < self.cut or self.done):
            said.append(self.words.popleft()[1])
        return pcm, "".join(said)

    @property
    def done(self) -> bool:
        return self.audio is not None and self.cut >= len(self.audio.pcm)

    @property
    def seconds(self) -> float:
        return self.audio.format.seconds(len(self.audio.pcm) - self.cut) if self.audio else 0.0


def _goes_on(part: Part, other: Part) -> bool:
    """True if the media time of `other`, where parts have one, is right after `part`."""
    if part.at is None or other.at is None:
        return part.at is other.at
    return abs(other.at - part.at - part.seconds) < _JUMP_S


class Waiting:
    """Parts in their order, the sound among them to be cut."""

    def __init__(self) -> None:
        self._parts: deque[_Uncut] = deque()
        self.seconds: float = 0.0

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def head(self) -> Part:
        """What leaves next, as it came. Only if something waits."""
        return self._parts[0].part

    @property
    def last_voice(self) -> int | None:
        """The newest reply of which sound waits."""
        turns = [it.part.turn for it in self._parts if it.audio is not None]
        return max(turns, default=None)

    def put(self, part: Part) -> None:
        """Add a part at the end."""
        self._parts.append(_Uncut(part, part.body if isinstance(part.body, Audio) else None))
        self.seconds += part.seconds

    def pop(self) -> Part:
        """Take out the head, which is no sound."""
        return self._parts.popleft().part

    def cut(self, seconds: float) -> tuple[Part, Audio, float | None]:
        """Take whole frames out of the head, at most `seconds` of it, but one frame at least.

        Where the head is shorter, what follows and is the same voice is taken as well. Returns the
        part that they come from, the sound, and the media time of its first frame, if it has one.
        """
        first = self._parts[0]
        assert first.audio is not None
        fmt = first.audio.format
        size = max(1, int(seconds * fmt.rate + 1e-9)) * fmt.frame_bytes
        at = None if first.part.at is None else first.part.at + fmt.seconds(first.cut)
        pcm, words = first.take(size)
        while self._parts[0].done:
            done = self._parts.popleft()
            if len(pcm) >= size or not self._parts or not done.goes_on(self._parts[0]):
                break
            more, said = self._parts[0].take(size - len(pcm))
            pcm, words = pcm + more, words + said
        body = Audio(pcm, fmt, words)
        self.seconds = self.seconds - body.seconds if self._parts else 0.0
        return first.part, body, at

    def drop(self, stale: Callable[[Part], bool]) -> tuple[int, float]:
        """Take out all that is stale; how many parts, and seconds of sound, that was."""
        gone = [it for it in self._parts if stale(it.part)]
        self._parts = deque(it for it in self._parts if not stale(it.part))
        self.seconds = sum(it.seconds for it in self._parts)
        return len(gone), sum(it.seconds for it in gone)
