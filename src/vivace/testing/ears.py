"""What a user's sounds are made of, and the three models that hear them.

Each word and each noise is a tone with a level of its own, so that whoever hears a sample knows
what it belongs to. A word is understood if more than half of it is heard. Nothing is modelled: how
long each answer takes, and how sure it is, are drawn from the ranges of a `Timing`.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec

from vivace.audio import AudioFormat
from vivace.testing.dialogue import Range, Timing

__all__ = ["FORMAT", "SLOT_S", "Ears", "Sound", "Sounds", "chance"]

FORMAT = AudioFormat()
SLOT_S = 0.02  # sounds begin and end at multiples of this
_STEP = FORMAT.frames(SLOT_S) // 2  # two samples of each slot are looked at


class Sound(msgspec.Struct):
    """A word or a noise. word: "" for a noise, or what nobody could make words of.

    slots: how long it is. loud: how sure a detector is that it is speech. to_agent: it has to be
    answered: it is no "mm-hm", and not said to somebody else.
    """

    word: str
    slots: int
    loud: float = 1.0
    to_agent: bool = True
    heard: int = 0  # slots that have left the microphone


class Sounds:
    """All sounds that a user has made, by level."""

    def __init__(self) -> None:
        self.made: list[Sound] = []
        self._pcm: dict[int, bytes] = {0: FORMAT.silence(SLOT_S)}

    def add(self, sound: Sound) -> int:
        """Make a sound; its level is what it is known by. Raises OverflowError at the 32,767th."""
        self.made.append(sound)
        level = len(self.made)
        self._pcm[level] = array("h", [level]).tobytes() * FORMAT.frames(SLOT_S)
        return level

    def pcm(self, level: int) -> bytes:
        """One slot of it; 0 is silence."""
        return self._pcm[level]

    def heard_in(self, pcm: bytes) -> Counter[int]:
        """How many slots of each sound are in `pcm`, in halves; a border may take one of them."""
        return Counter(level for level in array("h", pcm)[_STEP // 2 :: _STEP] if level)


def chance(seed: int, what: str) -> random.Random:
    """Numbers of its own for each of those that draw, so that one more of one changes no other."""
    return random.Random(f"{seed} {what}")


class Ears:
    """A speech detector, a transcriber and a turn detector for what a user says."""

    def __init__(self, sounds: Sounds, timing: Timing, seed: int) -> None:
        self._sounds = sounds
        self._timing = timing
        self._detecting = chance(seed, "detector")
        self._transcribing = chance(seed, "transcriber")
        self._judging = chance(seed, "turn detector")
        self.rate: int = FORMAT.rate
        self.frame: int = timing.frame

    def session(self) -> Callable[[bytes], Awaitable[float]]:
        """A speech detector: sees the loudest of what is in the frame."""

        async def judge(pcm: bytes) -> float:
            await _takes(self._timing.detect_s, self._detecting)
            if not any(pcm):
                return 0.0
            made = self._sounds.made
            return max(made[level - 1].loud for level in set(array("h", pcm)) if level)

        return judge

    async def transcribe(self, pcm: bytes) -> str:
        """The words in it, in the order in which they were said."""
        await _takes(self._timing.transcribe_s, self._transcribing)
        made, heard = self._sounds.made, self._sounds.heard_in(pcm)
        whole = [made[level - 1] for level in sorted(heard) if heard[level] > made[level - 1].slots]
        return " ".join(sound.word for sound in whole if sound.word)

    async def judge_turn(self, pcm: bytes) -> float:
        """How likely it is that the user has finished: by chance."""
        await _takes(self._timing.judge_s, self._judging)
        return self._judging.uniform(*self._timing.sure)


async def _takes(span: Range, draw: random.Random) -> None:
    seconds = draw.uniform(*span)
    if seconds > 0:
        await asyncio.sleep(seconds)
