"""The sound of the user's turn, for models that hear."""

from __future__ import annotations

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.part import Audio, Part

__all__ = ["Earshot"]

_LATE_S = 0.8  # sound before speech was told that may belong to it
_SOFT_S = 0.3  # and before speech was heard: soft first sounds are missed
_LONGEST_S = 120.0  # of sound in one turn; what came before that is let go


class Earshot:
    """Keeps the sound of the turn under way, and the last moment before one."""

    def __init__(self) -> None:
        self._pcm = bytearray()
        self._format = AudioFormat()

    def hear(self, audio: Audio, *, listening: bool) -> None:
        """Take sound in. listening: a turn is under way.

        Raises AudioError if the format changes in the middle of a turn.
        """
        if audio.format != self._format:
            if listening and self._pcm:
                raise AudioError(
                    f"{audio.format.mimetype} came in the middle of a turn in "
                    f"{self._format.mimetype}; resample it first"
                )
            self._pcm.clear()
            self._format = audio.format
        self._pcm += audio.pcm
        self._keep(_LONGEST_S if listening else _LATE_S)

    def began(self, ago_s: float) -> None:
        """The turn began so many seconds before the end of what was heard."""
        self._keep(ago_s + _SOFT_S)

    def clear(self) -> None:
        """What was heard came to nothing."""
        self._pcm.clear()

    def peek(self) -> Part | None:
        """The sound of the turn; None if there is none."""
        return Part(Audio(bytes(self._pcm), self._format)) if self._pcm else None

    def __bool__(self) -> bool:
        return bool(self._pcm)

    def _keep(self, seconds: float) -> None:
        size = self._format.size(max(0.0, seconds))
        del self._pcm[: max(0, len(self._pcm) - size)]
