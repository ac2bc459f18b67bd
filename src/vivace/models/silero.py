"""Silero: is this 32 ms of sound speech?

This file owns the running of the Silero VAD network: its state and context, the batching of frames
of concurrent conversations, and when a state is started afresh. What a probability means for a
conversation is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from vivace.errors import AudioError, ModelError, ModelMissing
from vivace.flow.worker import Worker
from vivace.models import store

__all__ = ["Silero", "SileroSession", "open_onnx"]

_CONTEXT = 64
_STATE = 128

# Music, noise and long silence drift the recurrent state to where speech after them is reported
# late or too weakly; zeros cure it. But a fresh state needs some frames to find its feet, so it
# must not come often nor within an utterance: at most every 2 s, after 0.5 s of clear non-speech.
_FRESH_EVERY = 62
_CLEAR_RUN = 16
_CLEAR_BELOW = 0.1


class Silero:
    """The network, one for the whole process. `load` it, then open a `session` per conversation.

    rate: hertz that it listens at. frame: samples in one call.
    """

    rate: ClassVar[int] = 16_000
    frame: ClassVar[int] = 512

    def __init__(self, network: Any) -> None:
        self._network = network
        self._worker: Worker[_Call, float] = Worker(self._work, name="silero", max_batch=64)

    @classmethod
    def load(cls, path: str | Path | None = None) -> Silero:
        """The instance for this file (the model store's by default), loaded at the first call.

        Raises ModelMissing if the file or onnxruntime is not there, ModelError if it is no model.
        """
        file = Path(path) if path else store.path("silero")
        return store.shared((cls, file), lambda: cls(open_onnx(file)))

    def session(self) -> SileroSession:
        """A fresh ear for one stream of audio."""
        return SileroSession(self._worker)

    def _work(self, calls: Sequence[_Call]) -> list[float]:
        return [result for batch in _rounds(calls) for result in self._step(batch)]

    def _step(self, calls: Sequence[_Call]) -> list[float]:
        """One frame of each session, all in one run of the network."""
        import numpy as np

        sessions = [session for session, _ in calls]
        frames = np.frombuffer(b"".join(pcm for _, pcm in calls), "<i2")
        frames = frames.reshape(len(calls), self.frame).astype(np.float32) / 32_768
        heard = np.concatenate([np.stack([s.context for s in sessions]), frames], axis=1)
        states = np.stack([s.state for s in sessions], axis=1)
        inputs = {"input": heard, "state": states, "sr": np.array(self.rate, np.int64)}
        speech, states = self._network.run(None, inputs)
        for index, session in enumerate(sessions):
            session.learn(float(speech[index, 0]), states[:, index], heard[index, -_CONTEXT:])
        return [float(p) for p in speech[:, 0]]


class SileroSession:
    """One conversation's ear: `await session(pcm)` for frame after frame.

    Calls may overlap; they are worked on in the order in which they were made.
    """

    __slots__ = ("_clear", "_since_fresh", "_worker", "context", "state")

    def __init__(self, worker: Worker[_Call, float]) -> None:
        import numpy as np

        self._worker = worker
        self.context: Any = np.zeros(_CONTEXT, np.float32)
        self.state: Any = np.zeros((2, _STATE), np.float32)
        self._since_fresh = 0
        self._clear = 0

    async def __call__(self, pcm: bytes) -> float:
        """The probability, 0 to 1, that this frame is speech.

        pcm: 512 frames of 16-bit mono at 16 kHz, 1024 bytes. Raises AudioError for another size.
        """
        if len(pcm) != 2 * Silero.frame:
            raise AudioError(
                f"{len(pcm)} bytes is not one frame for Silero; "
                f"give {2 * Silero.frame} bytes: {Silero.frame} samples of 16 bits at 16 kHz"
            )
        return await self._worker((self, pcm))

    def learn(self, speech: float, state: Any, context: Any) -> None:
        """Take over what the network remembers after a frame. Only `Silero` calls this."""
        self.state, self.context = state, context
        self._since_fresh += 1
        self._clear = self._clear + 1 if speech < _CLEAR_BELOW else 0
        if self._since_fresh >= _FRESH_EVERY and self._clear >= _CLEAR_RUN:
            self.state = state * 0
            self._since_fresh = 0


_Call: TypeAlias = tuple[SileroSession, bytes]


def _rounds(calls: Sequence[_Call]) -> Iterator[list[_Call]]:
    """Cut `calls`, in order, so that no session is in a round twice."""
    round_: list[_Call] = []
    seen: set[int] = set()
    for call in calls:
        if id(call[0]) in seen:
            yield round_
            round_, seen = [], set()
        round_.append(call)
        seen.add(id(call[0]))
    yield round_


def open_onnx(file: Path, threads: int = 1) -> Any:
    """An ONNX session on the CPU.

    Raises ModelMissing if the file, onnxruntime or numpy is not there, ModelError if the file is
    no ONNX model.
    """
    store.package("numpy")
    ort = store.package("onnxruntime")
    if not file.is_file():
        raise ModelMissing(f"there is no file {file}; correct the path, or leave it out")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A waiting thread that spins takes the core from the language model and the synthesiser.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no class of their own
        raise ModelError(
            f"{file} cannot be loaded as an ONNX model ({str(error).splitlines()[0]}); "
            "name another file, or delete this one and pull it again"
        ) from error
