"""What is reported: frozen records, and the four sections that they make.

Everything is in seconds. What was not measured is None, never 0. Spreads and shares are those of
the window, counts are of all there ever was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vivace.machines.sketch import Spread

__all__ = [
    "FIRSTS",
    "CacheReport",
    "Performance",
    "Quality",
    "RealTime",
    "Report",
    "StageReport",
    "as_sections",
]


class StageReport(msgspec.Struct, frozen=True):
    """What went through the stages of one path, in all runs.

    opened: how often. work_s: how long it was open and waited neither for input nor for room; 0 for
        a source, of which nobody knows, and for a driven stage that waited all the time.
    errors: exceptions that arose in it.
    """

    path: str
    opened: int
    parts_in: int
    parts_out: int
    parts_aside: int
    waited_for_input_s: float
    waited_for_room_s: float
    work_s: float
    errors: int = 0

    @property
    def work_a_part_s(self) -> float:
        """How long it worked for each part that came in."""
        return self.work_s / self.parts_in if self.parts_in else 0.0


class CacheReport(msgspec.Struct, frozen=True):
    """What `Cached` stages did.

    shared: requests that joined a computation under way. hit_rate: the share of requests, of the
    newest in the window, that needed no computation of their own; None if there were none.
    """

    hits: int
    misses: int
    shared: int
    evictions: int
    hit_rate: float | None


class Performance(msgspec.Struct, frozen=True):
    """How fast.

    processing_s, latency_s: as recorded. current_throughput_pps: parts a second in the last minute.
    total_parts_processed: recorded, and handed out by runs. loop_lag_s: how late callbacks ran.
    prompt_tokens: of each prompt; prompt_reused: the share of them that the model had read before.
    tools_s: by tool.
    """

    processing_s: Spread | None
    latency_s: Spread | None
    current_throughput_pps: float | None
    total_parts_processed: int
    loop_lag_s: Spread | None
    prompt_tokens: Spread | None
    prompt_reused: float | None
    tools_s: Mapping[str, Spread]
    cache: CacheReport | None
    stages: tuple[StageReport, ...]


class Quality(msgspec.Struct, frozen=True):
    """How well.

    avg_quality_score: of the scores recorded. stream_continuity: the share of chunks that left
        without a gap before them; where no sound was paced, of parts without error or interruption.
    error_rate: errors a part where parts are recorded, else a turn. errors: by where they arose.
    dropped: parts, by who dropped them; dropping: who did within the last minute. shed: what was
        left out under pressure, by kind of work.
    turns: by how they ended.
    """

    avg_quality_score: float | None
    stream_continuity: float | None
    error_rate: float | None
    errors: Mapping[str, int]
    dropped: Mapping[str, int]
    dropping: tuple[str, ...]
    shed: Mapping[str, int]
    turns: Mapping[str, int]


class RealTime(msgspec.Struct, frozen=True):
    """How live.

    The five firsts, each from the end of the user's speech: end_of_turn_s until the turn was known
        to be over; transcript_s until the first text; first_token_s; first_audio_sent_s until sound
        was handed out, first_audio_heard_s until it was heard.
    stop_s: from a sound over a reply until the reply was silent. hold_s: how long it then was.
    interruptions: by kind. interruption_rate: true ones, a turn; as recorded if parts are.
    false_interruption_rate: false ones, of all that cut a reply; None if nothing did.
    speculations: answers that were begun before the turn had surely ended: `right` ones were given
        out, `dropped` ones nobody has heard of.
    playout_late_s: how late chunks left. buffer_underruns: gaps since sound came too late.
    pressure: the level, 0 to 3; None where nobody measures it.
    is_real_time_capable: whether all of `judged` hold, by the p95 of each; None if none is known.
    """

    end_of_turn_s: Spread | None
    transcript_s: Spread | None
    first_token_s: Spread | None
    first_audio_sent_s: Spread | None
    first_audio_heard_s: Spread | None
    stop_s: Spread | None
    hold_s: Spread | None
    interruptions: Mapping[str, int]
    interruption_rate: float | None
    false_interruption_rate: float | None
    speculations: Mapping[str, int]
    playout_late_s: Spread | None
    buffer_underruns: int
    stalls: int
    pressure: int | None
    is_real_time_capable: bool | None
    judged: Mapping[str, bool]


class Report(msgspec.Struct, frozen=True):
    """All of it. recommendations: what to do, and about which stage."""

    performance: Performance
    quality: Quality
    real_time: RealTime
    recommendations: tuple[str, ...] = ()


FIRSTS = (
    "transcript_s",
    "end_of_turn_s",
    "first_token_s",
    "first_audio_sent_s",
    "first_audio_heard_s",
)
"""In the order in which they happen."""


def as_sections(report: Report) -> dict[str, Any]:
    """The same as plain dicts and lists: what JSON can hold."""
    sections: dict[str, Any] = msgspec.to_builtins(report)
    sections["recommendations"] = list(report.recommendations)
    sections["quality"]["dropping"] = list(report.quality.dropping)
    return sections
