"""What is counted of each live stream, and how sure a part is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from vivace.part import Event, Part, SpeechStarted

__all__ = ["QualityTier", "Stamp", "StreamMetrics", "Streams", "quality_tier"]

_GAPS = 64  # of one stream
_ENDED = 256  # streams that are remembered once they have ended

QualityTier: TypeAlias = Literal["high", "medium", "low"]
# From this confidence on.
_TIERS: tuple[tuple[float, QualityTier], ...] = ((0.8, "high"), (0.5, "medium"), (0.0, "low"))


class StreamMetrics(msgspec.Struct):
    """One stream, so far.

    Seconds: duration_s, first_audio_s (from the beginning to the agent's first sound; None until
    then), input_dropped_s (sound that the server will never hear), gaps_s (the newest 64 stretches
    without a connection). Bytes are of sound, pictures and text.
    """

    stream_id: str
    duration_s: float = 0.0
    parts_in: int = 0
    parts_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    first_audio_s: float | None = None
    turns: int = 0
    interruptions: int = 0
    reconnects: int = 0
    gaps_s: tuple[float, ...] = ()
    input_dropped_s: float = 0.0
    images_skipped: int = 0
    unreadable: int = 0
    active: bool = True

    def gap(self, seconds: float) -> None:
        """There was no connection for so long."""
        self.reconnects += 1
        self.gaps_s = (*self.gaps_s[1 - _GAPS :], round(seconds, 6))


class Streams:
    """The streams of one processor: those under way, and the newest that have ended."""

    def __init__(self) -> None:
        self._streams: OrderedDict[str, StreamMetrics] = OrderedDict()
        self._count = 0

    def begin(self) -> StreamMetrics:
        """A stream begins."""
        self._count += 1
        metrics = StreamMetrics(f"live-{self._count}")
        self._streams[metrics.stream_id] = metrics
        return metrics

    def end(self, metrics: StreamMetrics) -> None:
        """It has ended."""
        metrics.active = False
        ended = [id for id, it in self._streams.items() if not it.active]
        for id in ended[:-_ENDED]:
            del self._streams[id]

    @property
    def active(self) -> list[str]:
        """The ids of those under way."""
        return [id for id, it in self._streams.items() if it.active]

    @property
    def metrics(self) -> Mapping[str, StreamMetrics]:
        """All that are remembered, by id, as they stand."""
        return {id: msgspec.structs.replace(it) for id, it in self._streams.items()}


def quality_tier(part: Part) -> QualityTier | None:
    """How sure whoever made the part was of it; None where nobody said."""
    if isinstance(part.body, SpeechStarted):
        confidence: object = part.body.probability
    elif isinstance(part.body, Event):
        confidence = part.body.confidence
    else:
        confidence = part.metadata.get("confidence")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        return None
    return next((tier for least, tier in _TIERS if confidence >= least), "low")


class Stamp:
    """Counts the parts of a stream, and marks each with its place in it.

    marks: whether `stream_id`, `stream_part_index` and `quality_tier` enter the metadata.
    """

    def __init__(self, metrics: StreamMetrics, *, marks: bool) -> None:
        self._metrics = metrics
        self._marks = marks

    def __call__(self, part: Part) -> Part:
        """The part, marked."""
        metrics, index = self._metrics, self._metrics.parts_out
        metrics.parts_out += 1
        metrics.bytes_out += len(part.bytes)
        if not self._marks:
            return part
        facts = {"stream_id": metrics.stream_id, "stream_part_index": index}
        tier = quality_tier(part)
        told = {} if tier is None else {"quality_tier": tier}
        return part.derive(metadata={**part.metadata, **facts, **told})
