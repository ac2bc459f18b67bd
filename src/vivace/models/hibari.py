"""Hibari: text becomes speech.

This file owns the running of the hibari synthesiser, with the one voice inside its package, and the
guess where in the sound each word is. Cutting a reply into sentences is done elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

from vivace.audio import AudioFormat
from vivace.errors import ModelError
from vivace.flow.worker import Worker
from vivace.models import store
from vivace.part import Audio

__all__ = ["Hibari"]

_FORMAT = AudioFormat(24_000)
_BLOCK = 240  # 10 ms

# 40 dB below the loudest 10 ms is silence: the synthesiser's own noise lies lower, the softest
# consonants lie higher.
_SILENT = 1e-4

_WORD = re.compile(r"\s*\S+\s*")
_SOUND = re.compile(r"[^\W\d_]")

# Frames of silence that are left before and after the sound.
_BEFORE = _FORMAT.frames(0.03)
_AFTER_CLAUSE = _FORMAT.frames(0.08)
_AFTER_SENTENCE = _FORMAT.frames(0.25)
_SENTENCE = re.compile(r"[.!?…][\"'”’)]*\s*$")

# A comma or a full stop inside a sentence is a pause about as long as three sounds.
_PAUSE = re.compile(r"[,;:.!?…—]$")
_PAUSE_SOUNDS = 3

_Job: TypeAlias = tuple[str, float]


class Hibari:
    """The synthesiser, one for the whole process: `load` it, then `await hibari(text)`.

    rate: hertz that it speaks at.
    """

    rate: ClassVar[int] = _FORMAT.rate

    def __init__(self, worker: Worker[_Job, list[Audio]], speed: float) -> None:
        self._worker = worker
        self._speed = speed

    @classmethod
    def load(cls, speed: float = 1.0) -> Hibari:
        """The instance for this speed, loaded at the first call; all speeds share one model.

        speed: 0.5 is half as quick as usual, 2 twice.

        Raises ModelMissing if the package is not installed, ModelError if the speed is out of range
        or the package is broken.
        """
        if not 0.5 <= speed <= 2:
            raise ModelError(f"a speed of {speed} cannot be spoken; give 0.5 to 2 (1 is usual)")
        worker = store.shared("hibari", lambda: Worker(_Voice().speak, name="hibari"))
        return store.shared((cls, speed), lambda: cls(worker, speed))

    async def __call__(self, text: str) -> list[Audio]:
        """The sound of a sentence or clause, 24 kHz mono, one piece for each word.

        Joining `words` of the pieces gives `text`, joining `pcm` gives the sound; where a word
        begins in it is estimated. Text that cannot be spoken ("…", an emoji) gives []. The same
        text always gives the same sound.
        """
        return await self._worker((text, self._speed))


class _Voice:
    """The package's model and its dictionary."""

    def __init__(self) -> None:
        hibari = store.package("hibari")
        try:
            self._tts = hibari.Hibari(threads=1)
            # The dictionary is read at first use and takes 0.3 s: better now than in a reply. The
            # second word is in no dictionary, and so has the net for unknown words loaded too.
            self._tts("Hello, vivacely.", seed=0)
        except Exception as error:
            raise ModelError(
                f"hibari does not run ({error}); run: pip install --force-reinstall hibari-tts"
            ) from error

    def speak(self, jobs: Sequence[_Job]) -> list[list[Audio]]:
        return [self._speak(text, speed) for text, speed in jobs]

    def _speak(self, text: str, speed: float) -> list[Audio]:
        import numpy as np

        sounds = self._tts.phonemize(text)
        if not any(map(_SOUND.search, sounds)):
            return []
        random = np.random.default_rng(0)
        waves = [self._tts.from_ids(self._tts.ids(sound), speed, random) for sound in sounds]
        samples = (np.clip(np.concatenate(waves), -1, 1) * 32_767).astype("<i2")
        first, last = _loud(samples)
        # The model leads in with a quarter of a second of silence, which the user would wait for,
        # and ends with more. A breath is left, so that sentences do not run into each other.
        after = _AFTER_SENTENCE if _SENTENCE.search(text) else _AFTER_CLAUSE
        samples = samples[max(0, first - _BEFORE) : last + after]
        words, weights = self._weigh(text, " ".join(sounds).split())
        borders = _borders(samples, weights)
        return [
            Audio(samples[start:end].tobytes(), _FORMAT, word)
            for word, start, end in zip(words, borders, borders[1:], strict=False)
        ]

    def _weigh(self, text: str, sounds: list[str]) -> tuple[list[str], list[int]]:
        """The words of `text` and how many sounds each has; a dash goes with its neighbour."""
        words = _WORD.findall(text)
        # Numbers and signs are spoken as several words: then each word is looked up by itself.
        if len(sounds) != len(words):
            sounds = [" ".join(self._tts.phonemize(word)) for word in words]
        merged: list[str] = []
        weights: list[int] = []
        for word, sound in zip(words, sounds, strict=True):
            count = len(_SOUND.findall(sound))
            if merged and not (count and weights[-1]):
                merged[-1] += word
                weights[-1] += count
            else:
                merged.append(word)
                weights.append(count)
            if _PAUSE.search(sound) and weights[-1]:
                weights[-1] += _PAUSE_SOUNDS
        return merged, weights


def _borders(samples: Any, weights: Sequence[int]) -> list[int]:
    """Where words begin, in frames, with the end of the last: shares of what is not silent."""
    first, last = _loud(samples)
    total = sum(weights)
    borders = [0]
    done = 0
    for weight in weights[:-1]:
        done += weight
        borders.append(first + (last - first) * done // total)
    return [*borders, len(samples)]


def _loud(samples: Any) -> tuple[int, int]:
    """From where to where in `samples` there is sound, in frames, to 10 ms."""
    import numpy as np

    blocks = samples[: len(samples) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).astype(np.float64)
    energy = np.square(blocks).mean(axis=1)
    loud = np.flatnonzero(energy >= energy.max() * _SILENT)
    return int(loud[0]) * _BLOCK, (int(loud[-1]) + 1) * _BLOCK
