"""What to do about it: a table of rules, each of which names the stage at fault.

This file owns the limits that a report is judged by, and where each comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec

from vivace.machines.sketch import Spread
from vivace.metrics.report import FIRSTS, Report, StageReport

__all__ = ["CAPABLE", "RULES", "Rule", "advise", "judge"]

# In conversation people answer within a fifth of a second; from about 0.8 s on the other one asks
# whether they were heard.
GAP_S = 0.8
LATENCY_S = 0.1  # what the eye or ear still takes for at once
LATE_S = 0.02  # a chunk: a listener's jitter buffer holds one or two
LAG_S = 0.02  # the loop's lag is part of every chunk's lateness

CAPABLE: dict[str, tuple[Callable[[Report], Spread | None], float]] = {
    "latency_s": (lambda it: it.performance.latency_s or it.performance.processing_s, LATENCY_S),
    "first_audio_heard_s": (lambda it: it.real_time.first_audio_heard_s, GAP_S),
    "playout_late_s": (lambda it: it.real_time.playout_late_s, LATE_S),
}
"""What is judged, by the 95th percentile, and its limit in seconds."""


def judge(report: Report) -> dict[str, bool]:
    """Which of the limits hold; what was not measured is left out."""
    found = {name: (value(report), limit) for name, (value, limit) in CAPABLE.items()}
    return {name: it.p95 <= limit for name, (it, limit) in found.items() if it is not None}


class Rule(msgspec.Struct, frozen=True):
    """Something that may be wrong. advice: what to do; None if nothing is wrong."""

    name: str
    advice: Callable[[Report], str | None]


def advise(report: Report) -> tuple[str, ...]:
    """What all rules say."""
    said = (rule.advice(report) for rule in RULES)
    return tuple(text for text in said if text)


# -- the rules ------------------------------------------------------------------------------------

_STEPS = {
    "transcript_s": ("Transcribe", "transcribe more often, or with a smaller model"),
    "end_of_turn_s": ("DetectTurn", "lower its shortest silence, or how sure it must be"),
    "first_token_s": ("the model", "shorten the prompt, use a smaller model, or speculate=True"),
    "first_audio_sent_s": ("the voice", "let it speak shorter first sentences"),
    "first_audio_heard_s": ("the way to the listener", "lower lead_s, or the client's buffer"),
}


def _gap(report: Report) -> str | None:
    gap = report.real_time.first_audio_heard_s
    if gap is None or gap.p95 <= GAP_S:
        return None
    found = [(name, getattr(report.real_time, name)) for name in FIRSTS]
    known = [("", 0.0), *((name, it.p50) for name, it in found if it is not None)]
    steps = {name: after - before for (_, before), (name, after) in pairwise(known)}
    slowest = max(steps, key=lambda name: steps[name])
    who, what = _STEPS[slowest]
    return (
        f"the user waits {gap.p95:.2f} s for an answer (p95), and most of it, "
        f"{steps[slowest]:.2f} s, for {who}: {what}"
    )


def _latency(report: Report) -> str | None:
    found = report.performance.latency_s
    if found is None or found.p95 <= 2 * LATENCY_S:
        return None
    return (
        f"p95 latency is {found.p95:.3f} s{_slowest_stage(report)}: "
        "shorten the chain, or move the model closer"
    )


def _processing(report: Report) -> str | None:
    found = report.performance.processing_s
    if found is None or found.p95 <= LATENCY_S:
        return None
    return (
        f"a part takes {found.p95:.3f} s to process (p95){_slowest_stage(report)}: "
        "cache what repeats with Cached, or do it in fewer parts"
    )


def _slow_stage(report: Report) -> str | None:
    stage = _slowest(report)
    if stage is None or stage.work_a_part_s <= LATENCY_S:
        return None
    return (
        f"{stage.path} works {stage.work_a_part_s:.3f} s for each part: "
        "give it a buffer() before it, a smaller job, or Cached"
    )


def _slowest(report: Report) -> StageReport | None:
    stages = [it for it in report.performance.stages if it.path != "source" and it.parts_in]
    return max(stages, key=lambda it: it.work_a_part_s, default=None)


def _slowest_stage(report: Report) -> str:
    stage = _slowest(report)
    return f"; the slowest stage is {stage.path}" if stage and stage.work_a_part_s else ""


def _lag(report: Report) -> str | None:
    lag = report.performance.loop_lag_s
    if lag is None or lag.p99 <= LAG_S:
        return None
    return (
        f"the event loop is {lag.p99:.3f} s late (p99): something computes on it"
        f"{_slowest_stage(report)}; move it to a thread or process, or hold fewer sessions"
    )


def _is_broken(report: Report) -> bool:
    """Gaps are counted since the beginning; those that nobody hears any more need no advice."""
    return (report.quality.stream_continuity or 0) < 0.999


def _late(report: Report) -> str | None:
    late, stalls = report.real_time.playout_late_s, report.real_time.stalls
    if late is None or (late.p99 <= LATE_S and not (stalls and _is_broken(report))):
        return None
    return (
        f"AudioRateLimiter lets chunks out {late.p99:.3f} s late (p99, {stalls} gaps): "
        "whoever takes them is slow, or the loop is; raise lead_s, or run under Pressure"
    )


def _underruns(report: Report) -> str | None:
    if not report.real_time.buffer_underruns or not _is_broken(report):
        return None
    return (
        f"the voice makes sound slower than it plays: {report.real_time.buffer_underruns} gaps; "
        "use a quicker voice, or let Speak begin with longer pieces"
    )


def _errors(report: Report) -> str | None:
    rate, errors = report.quality.error_rate, report.quality.errors
    if rate is None or rate <= 0.05:
        return None
    worst = max(errors, key=lambda name: errors[name], default="")
    where = f", most of them in {worst}" if worst else ""
    return f"{rate:.0%} end in an error{where}: give it a retry() or a fallback()"


def _interruptions(report: Report) -> str | None:
    rate = report.real_time.interruption_rate
    if rate is None or rate <= 0.1:
        return None
    return f"{rate:.0%} of the replies are interrupted: let the model say less at once"


def _false(report: Report) -> str | None:
    rate = report.real_time.false_interruption_rate
    if rate is None or rate <= 0.2 or report.real_time.interruptions.get("false", 0) < 3:
        return None
    return (
        f"{rate:.0%} of the interruptions were for nothing: give LiveModelProcessor "
        "interrupt=Interrupt.after(words=2), or cancel the echo of its voice"
    )


# What was still to be said when the user interrupted: it is dropped on purpose.
_MEANT = ("interruption", "void reply")


def _drops(report: Report) -> str | None:
    quality = report.quality
    dropped = {who: quality.dropped[who] for who in quality.dropping if who not in _MEANT}
    if not dropped:
        return None
    worst = max(dropped, key=lambda who: dropped[who])
    return (
        f"{worst} drops parts, {dropped[worst]} by now: "
        "what comes after it is too slow for its input"
    )


def _prompt(report: Report) -> str | None:
    tokens, reused = report.performance.prompt_tokens, report.performance.prompt_reused
    if tokens is None or reused is None or tokens.count < 5:
        return None
    if tokens.p50 <= 1000 or reused >= 0.5:
        return None
    return (
        f"only {reused:.0%} of {tokens.p50:.0f} prompt tokens were read before: something changes "
        "the beginning of the prompt of LiveModelProcessor each time"
    )


def _cache(report: Report) -> str | None:
    cache = report.performance.cache
    if cache is None or cache.misses < 50 or cache.hit_rate is None or cache.hit_rate >= 0.1:
        return None
    return f"Cached answers {cache.hit_rate:.0%} of its requests: what it is asked does not repeat"


def _pressure(report: Report) -> str | None:
    level = report.real_time.pressure
    if level is None or level < 2:
        return None
    return f"the pressure is at level {level} of 3: hold fewer sessions on this core"


RULES = (
    Rule("gap", _gap),
    Rule("latency", _latency),
    Rule("processing", _processing),
    Rule("slow stage", _slow_stage),
    Rule("loop lag", _lag),
    Rule("late chunks", _late),
    Rule("underruns", _underruns),
    Rule("errors", _errors),
    Rule("interruptions", _interruptions),
    Rule("false interruptions", _false),
    Rule("drops", _drops),
    Rule("prompt", _prompt),
    Rule("cache", _cache),
    Rule("pressure", _pressure),
)
