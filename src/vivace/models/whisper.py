"""Whisper: what was said?

This file owns the running of Whisper tiny.en on CTranslate2: how long a window the encoder gets,
how long the text may get, what of it is no speech at all, and the cutting of long recordings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from vivace.audio import AudioFormat, check_whole
from vivace.errors import ModelError, ModelMissing
from vivace.flow.worker import Worker
from vivace.models import store

__all__ = ["Whisper"]

_FORMAT = AudioFormat(16_000)

# Models for English only know no language and no task: these two are their whole prompt.
_PROMPT = ["<|startoftranscript|>", "<|notimestamps|>"]

# The encoder takes 30 s; given 10 s it needs a quarter of the time and finds the same words. Still
# shorter windows make it repeat itself, and so does speech that fills the window to the brim.
_SHORT_COLUMNS, _LONG_COLUMNS = 1000, 3000
_SHORT_UP_TO_S = 9.5
_PIECE_S = 28.0
_TOO_SHORT_S = 0.1

# Speech is 3 to 4 tokens a second, hurried speech 6. A text that runs to its limit goes round in
# circles; one that is far too short has stopped at a pause, as Whisper does without timestamps.
_MOST_TOKENS_A_SECOND = 8
_MOST_TOKENS_BESIDES = 12
_FEWEST_TOKENS_A_SECOND = 1
_SPLIT_FROM_S = 4.0

# From the paper's section 4.5: neither the probability of "no speech" nor the mean
# log-probability of the tokens is enough by itself.
_NO_SPEECH = 0.6
_UNSURE = -1.0
_GUESSING = -2.0  # a mean chance of 1 in 7 for each token: not heard, but made up
_INAUDIBLE = 16  # of 32768, or -66 dBFS: below the noise of any microphone

_NOISE = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|[♪♫]+")
_SPOKEN = re.compile(r"\w")


class _Heard(NamedTuple):
    text: str
    is_speech: bool
    is_whole: bool  # it ended by itself, not at the limit
    is_sparse: bool  # too few words for the time


class Whisper:
    """The model, one for the whole process: `load` it, then `await whisper(pcm)`.

    rate: hertz that it listens at.
    """

    rate: ClassVar[int] = _FORMAT.rate

    def __init__(self, model: Any) -> None:
        self._model = model
        self._worker: Worker[bytes, str] = Worker(self._work, name="whisper")

    @classmethod
    def load(cls, path: str | Path | None = None, *, threads: int = 1) -> Whisper:
        """The instance for this folder (the model store's by default), loaded at the first call.

        path: a folder with `model.bin`, `config.json` and `vocabulary.txt` of an English model.
        threads: that one transcription may use; only the first call's counts. On two cores, 2 were
            hardly quicker than 1.

        Raises ModelMissing if the folder or ctranslate2 is not there, ModelError if it is no model.
        """
        folder = Path(path) if path else store.path("whisper-tiny.en")
        return store.shared((cls, folder), lambda: cls(_open(folder, threads)))

    async def __call__(self, pcm: bytes) -> str:
        """The text, with punctuation; "" if nothing was said.

        pcm: 16-bit mono at 16 kHz, of any length. Raises AudioError for half a frame.
        """
        check_whole(pcm, _FORMAT)
        return await self._worker(pcm)

    def _work(self, recordings: Sequence[bytes]) -> list[str]:
        return [self._transcribe(pcm) for pcm in recordings]

    def _transcribe(self, pcm: bytes) -> str:
        from vivace.models import mel

        wave = mel.samples(pcm)
        texts = [self._hear(piece) for piece in _pieces(wave)]
        return " ".join(text for text in texts if text)

    def _hear(self, wave: Any) -> str:
        """The text of up to 30 s. What goes wrong as a whole is heard again in two halves."""
        seconds = len(wave) / _FORMAT.rate
        if seconds < _TOO_SHORT_S or abs(wave).max() * 32_768 < _INAUDIBLE:
            return ""
        heard = None
        if seconds <= _SHORT_UP_TO_S:
            heard = self._decode(wave, _SHORT_COLUMNS)
        # A short window sometimes sends it round in circles, where the long one does not.
        if heard is None or not heard.is_whole:
            heard = self._decode(wave, _LONG_COLUMNS)
        if not heard.is_speech:
            return ""
        if heard.is_whole and not heard.is_sparse:
            return _clean(heard.text)
        if seconds < _SPLIT_FROM_S:
            return _clean(heard.text) if heard.is_whole else ""
        half = len(wave) // 2
        cut = half // 2 + _quietest(wave[half // 2 : half // 2 + half])
        return " ".join(filter(None, [self._hear(wave[:cut]), self._hear(wave[cut:])]))

    def _decode(self, wave: Any, columns: int) -> _Heard:
        import ctranslate2

        from vivace.models import mel

        seconds = len(wave) / _FORMAT.rate
        limit = _MOST_TOKENS_BESIDES + int(seconds * _MOST_TOKENS_A_SECOND)
        features = ctranslate2.StorageView.from_array(mel.log_mel(wave, columns)[None])
        (result,) = self._model.generate(
            features,
            [_PROMPT],
            beam_size=1,
            max_length=2 * limit,  # CTranslate2 keeps half of it for a prompt
            return_scores=True,
            return_no_speech_prob=True,
        )
        count = len(result.sequences_ids[0])
        sure = result.scores[0]
        is_speech = sure >= (_UNSURE if result.no_speech_prob > _NO_SPEECH else _GUESSING)
        is_sparse = count < seconds * _FEWEST_TOKENS_A_SECOND
        return _Heard(_text(result.sequences[0]), is_speech, count < limit, is_sparse)


def _open(folder: Path, threads: int) -> Any:
    store.package("numpy")
    ctranslate2 = store.package("ctranslate2")
    if not (folder / "model.bin").is_file():
        raise ModelMissing(f"there is no model.bin in {folder}; correct the path, or leave it out")
    try:
        model = ctranslate2.models.Whisper(
            str(folder), device="cpu", compute_type="int8", intra_threads=threads, inter_threads=1
        )
    except Exception as error:  # its errors share no class of their own
        raise ModelError(
            f"{folder} cannot be loaded as a CTranslate2 model ({str(error).splitlines()[0]}); "
            "name another folder, or delete this one and pull it again"
        ) from error
    if model.is_multilingual:
        raise ModelError(f"{folder} holds a multilingual Whisper; give one for English (.en)")
    return model


def _pieces(wave: Any) -> list[Any]:
    """Cut what is longer than 30 s at the quietest place of the last third of each 28 s."""
    pieces = []
    most = int(_PIECE_S * _FORMAT.rate)
    while len(wave) > _LONG_COLUMNS * _FORMAT.rate // 100:
        cut = most * 2 // 3 + _quietest(wave[most * 2 // 3 : most])
        pieces.append(wave[:cut])
        wave = wave[cut:]
    return [*pieces, wave]


def _quietest(wave: Any) -> int:
    """The middle of the 0.2 s with the least energy, in frames from the start."""
    import numpy as np

    width = _FORMAT.frames(0.2)
    total = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    return int(np.argmin(total[width:] - total[:-width])) + width // 2


@cache
def _bytes_of() -> dict[str, int]:
    """GPT-2's spelling of bytes as characters, backwards.

    Printable bytes of Latin-1 stand for themselves; the others, in order, are the characters from
    256 on (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, and code).
    """
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in plain]
    spelled = {chr(256 + index): byte for index, byte in enumerate(others)}
    return spelled | {chr(byte): byte for byte in plain}


def _text(tokens: Sequence[str]) -> str:
    spelled = "".join(token for token in tokens if not token.startswith("<|"))
    return bytes(_bytes_of()[char] for char in spelled).decode(errors="replace")


def _clean(text: str) -> str:
    """Without "(coughing)", "[BLANK_AUDIO]", "*sighs*" and notes; "" if no word is left."""
    words = " ".join(_NOISE.sub(" ", text).split())
    return words if _SPOKEN.search(words) else ""
