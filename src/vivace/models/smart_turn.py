"""Smart Turn: has the user finished, judging by the sound of it?

This file owns the running of the Smart Turn network. It hears intonation and pauses, not words, and
errs in long read-out paragraphs; give it a longest silence as a backstop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from vivace.audio import AudioFormat, check_whole
from vivace.flow.worker import Worker
from vivace.models import store
from vivace.models.silero import open_onnx

__all__ = ["SmartTurn"]

_SECONDS = 8
_FORMAT = AudioFormat(16_000)


class SmartTurn:
    """The network, one for the whole process: `load` it, then `await turn(pcm)`.

    rate: hertz that it listens at.
    """

    rate: ClassVar[int] = _FORMAT.rate

    def __init__(self, network: Any) -> None:
        self._network = network
        # 4: a run is all arithmetic, so more at once would make the first wait for the last.
        self._worker: Worker[bytes, float] = Worker(self._work, name="smart-turn", max_batch=4)

    @classmethod
    def load(cls, path: str | Path | None = None) -> SmartTurn:
        """The instance for this file (the model store's by default), loaded at the first call.

        Raises ModelMissing if the file or onnxruntime is not there, ModelError if it is no model.
        """
        file = Path(path) if path else store.path("smart-turn")
        return store.shared((cls, file), lambda: cls(open_onnx(file)))

    async def __call__(self, pcm: bytes) -> float:
        """The probability, 0 to 1, that the turn which this is the end of is complete.

        pcm: 16-bit mono at 16 kHz; the last 8 s count. Raises AudioError for half a frame.
        """
        check_whole(pcm, _FORMAT)
        return await self._worker(pcm[-_FORMAT.size(_SECONDS) :])

    def _work(self, turns: Sequence[bytes]) -> list[float]:
        import numpy as np

        features = np.stack([_features(pcm) for pcm in turns])
        (complete,) = self._network.run(None, {"input_features": features})
        return [float(p) for p in complete[:, 0]]


def _features(pcm: bytes) -> Any:
    """[80, 800]. A short turn has its silence in front: the end must be where the model looks."""
    import numpy as np

    from vivace.models import mel

    wave = np.zeros(_SECONDS * mel.RATE, np.float32)
    heard = mel.samples(pcm)
    wave[len(wave) - len(heard) :] = heard
    return mel.log_mel(mel.standardize(wave), len(wave) // mel.HOP)
