"""What the numbers are called outside: one row for each.

Names are Prometheus's (`vivace_turn_gap_seconds`), by its conventions: the base unit at the end,
`_total` for what only grows. OpenTelemetry's are the same with dots and without unit and `_total`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["BUCKETS", "COUNTERS", "HISTOGRAMS", "Series", "dotted"]


class Series(msgspec.Struct, frozen=True):
    """One number. source: what it is in `RealTimeMetrics`. label: tells its kinds apart."""

    source: str
    name: str
    help: str
    unit: Literal["s", "{token}", "1", "{part}"] = "s"
    label: str = ""


HISTOGRAMS = (
    Series(
        "first_audio_heard_s",
        "vivace_turn_gap_seconds",
        "From the end of the user's speech until the reply is heard.",
    ),
    Series(
        "first_audio_sent_s",
        "vivace_turn_first_audio_sent_seconds",
        "From the end of the user's speech until sound of the reply is handed out.",
    ),
    Series(
        "first_token_s",
        "vivace_turn_first_token_seconds",
        "From the end of the user's speech until the model begins to answer.",
    ),
    Series(
        "end_of_turn_s",
        "vivace_turn_end_detection_seconds",
        "From the end of the user's speech until the turn is known to be over.",
    ),
    Series(
        "transcript_s",
        "vivace_turn_transcript_seconds",
        "From the end of the user's speech until there is a text of it.",
    ),
    Series(
        "stop_s",
        "vivace_turn_stop_seconds",
        "From a sound over a reply until the reply is silent.",
    ),
    Series("hold_s", "vivace_turn_hold_seconds", "How long replies were held."),
    Series(
        "prompt_tokens", "vivace_prompt_tokens", "Estimated tokens of a prompt.", unit="{token}"
    ),
    Series(
        "playout_late_s", "vivace_playout_lateness_seconds", "How late chunks of sound have left."
    ),
    Series("loop_lag_s", "vivace_loop_lag_seconds", "How late callbacks of the event loop ran."),
    Series(
        "processing_s",
        "vivace_part_processing_seconds",
        "How long a part took, as the program has recorded.",
    ),
    Series(
        "latency_s",
        "vivace_part_latency_seconds",
        "How long a part was under way, as the program has recorded.",
    ),
)

COUNTERS = (
    Series("turn", "vivace_turns_total", "Turns, by how they ended.", "1", "outcome"),
    Series(
        "interruption",
        "vivace_interruptions_total",
        "Sounds over a reply, by what they were.",
        "1",
        "kind",
    ),
    Series(
        "speculation",
        "vivace_speculations_total",
        "Answers begun before the turn had surely ended, by what became of them.",
        "1",
        "result",
    ),
    Series("error", "vivace_errors_total", "What failed, by where.", "1", "where"),
    Series(
        "dropped",
        "vivace_parts_dropped_total",
        "Parts that were dropped, by whom.",
        "{part}",
        "reason",
    ),
    Series("shed", "vivace_work_shed_total", "What was left out under pressure.", "1", "work"),
    Series("cache", "vivace_cache_requests_total", "What caches did.", "1", "result"),
    Series("gap", "vivace_playout_gaps_total", "Gaps in the sound, by cause.", "1", "cause"),
)

BUCKETS: dict[str, tuple[float, ...]] = {
    "s": (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 5.0, 10.0),
    "{token}": (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072),
}
"""Borders of histograms: close to each other where people tell a difference."""


def dotted(name: str) -> str:
    """`vivace_turn_gap_seconds` as OpenTelemetry has it: `vivace.turn.gap`."""
    return name.removesuffix("_total").removesuffix("_seconds").replace("_", ".")
