"""What to do about it: each rule says nothing until it must, and then who is at fault."""

from typing import Any

import msgspec
import pytest

from vivace.machines.sketch import Spread
from vivace.metrics.advice import CAPABLE, RULES, advise, judge
from vivace.metrics.collect import RealTimeMetrics
from vivace.metrics.report import CacheReport, Report, StageReport, as_sections

NOTHING = RealTimeMetrics().report()


def flat(value: float, count: int = 100) -> Spread:
    return Spread(count, value, value, value, value, value)


def report(**changes: Any) -> Report:
    """Nothing was measured but `changes`, each in the section that has it."""
    made = NOTHING
    for section in ("performance", "quality", "real_time"):
        old = getattr(made, section)
        mine = {name: value for name, value in changes.items() if hasattr(old, name)}
        new = {section: msgspec.structs.replace(old, **mine)}
        made = msgspec.structs.replace(made, **new)
    return made


def stage(path: str, parts: int, work_s: float) -> StageReport:
    return StageReport(path, 1, parts, parts, 0, 0.0, 0.0, work_s)


STEPS: dict[str, Any] = {
    "transcript_s": flat(0.2),
    "end_of_turn_s": flat(0.4),
    "first_token_s": flat(1.3),
    "first_audio_sent_s": flat(1.5),
    "first_audio_heard_s": flat(1.6),
}
SLOW = {"stages": (stage("source", 9, 99.0), stage("agent[1].slow", 10, 5.0))}
CASES: list[tuple[dict[str, Any], str]] = [
    (STEPS, "the user waits 1.60 s for an answer (p95), and most of it, 0.90 s, for the model"),
    ({**STEPS, "transcript_s": flat(1.29), "end_of_turn_s": flat(1.295)}, "1.29 s, for Transcribe"),
    ({**STEPS, "end_of_turn_s": flat(1.29)}, "1.09 s, for DetectTurn"),
    ({**STEPS, "first_audio_heard_s": flat(3.0)}, "1.50 s, for the way to the listener"),
    ({"latency_s": flat(0.3)}, "p95 latency is 0.300 s: shorten"),
    ({"latency_s": flat(0.3), **SLOW}, "0.300 s; the slowest stage is agent[1].slow"),
    ({"processing_s": flat(0.2)}, "a part takes 0.200 s to process (p95)"),
    (SLOW, "agent[1].slow works 0.500 s for each part"),
    ({"loop_lag_s": flat(0.05)}, "the event loop is 0.050 s late (p99)"),
    ({"playout_late_s": flat(0.03)}, "AudioRateLimiter lets chunks out 0.030 s late (p99, 0 gaps)"),
    ({"playout_late_s": flat(0.0), "stalls": 2, "stream_continuity": 0.9}, "(p99, 2 gaps)"),
    ({"buffer_underruns": 3, "stream_continuity": 0.9}, "makes sound slower than it plays: 3 gaps"),
    ({"error_rate": 0.1, "errors": {"a": 1, "agent[2].b": 9}}, "most of them in agent[2].b"),
    ({"error_rate": 0.1}, "10% end in an error: give"),
    ({"interruption_rate": 0.2}, "20% of the replies are interrupted"),
    (
        {"interruptions": {"false": 4, "true": 6}, "false_interruption_rate": 0.4},
        "40% of the interruptions were for nothing",
    ),
    (
        {
            "dropped": {"interruption": 99, "buffer": 5, "void reply": 9, "queue": 7},
            "dropping": ("interruption", "buffer", "void reply"),
        },
        "buffer drops parts, 5 by now",
    ),
    ({"prompt_tokens": flat(2000.0), "prompt_reused": 0.1}, "only 10% of 2000 prompt tokens"),
    ({"cache": CacheReport(1, 99, 0, 0, 0.01)}, "Cached answers 1% of its requests"),
    ({"pressure": 2}, "the pressure is at level 2 of 3"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), CASES, ids=[said[:40] for _, said in CASES])
def test_each_rule_names_who(changes: dict[str, Any], said: str) -> None:
    """One thing is wrong, and one rule says so."""
    advice = advise(report(**changes))
    assert len([text for text in advice if said in text]) == 1, advice


FINE: list[dict[str, Any]] = [
    {"first_audio_heard_s": flat(0.8)},
    {"latency_s": flat(0.2), "processing_s": flat(0.1)},
    {"stages": (stage("source", 1, 99.0), stage("quick", 10, 1.0), stage("unused", 0, 9.0))},
    {"loop_lag_s": flat(0.02), "playout_late_s": flat(0.02)},
    {"buffer_underruns": 3, "stream_continuity": 1.0},
    {"error_rate": 0.05, "interruption_rate": 0.1},
    {"interruptions": {"false": 2}, "false_interruption_rate": 1.0},
    {"interruptions": {"false": 3, "true": 12}, "false_interruption_rate": 0.2},
    {"dropped": {"interruption": 99, "void reply": 9}, "dropping": ("interruption", "void reply")},
    {"dropped": {"buffer": 99}},
    {"playout_late_s": flat(0.0), "stalls": 2, "stream_continuity": 1.0},
    {"prompt_tokens": flat(2000.0), "prompt_reused": 0.5},
    {"prompt_tokens": flat(1000.0), "prompt_reused": 0.1},
    {"prompt_tokens": flat(2000.0, count=4), "prompt_reused": 0.1},
    {"cache": CacheReport(0, 49, 0, 0, 0.0)},
    {"cache": CacheReport(10, 80, 10, 0, 0.1)},
    {"pressure": 1},
    {},
]


@pytest.mark.parametrize("changes", FINE)
def test_at_its_limit_a_rule_says_nothing(changes: dict[str, Any]) -> None:
    """Nobody is bothered with what is well, or not known well enough."""
    assert advise(report(**changes)) == ()


def test_rules_have_names_of_their_own() -> None:
    """Each rule is one row."""
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_what_was_not_measured_is_not_judged() -> None:
    """Only what is known counts, by its p95 against the limit of its row."""
    assert judge(NOTHING) == {}
    found = judge(report(playout_late_s=flat(0.02), first_audio_heard_s=flat(0.9)))
    assert found == {"first_audio_heard_s": False, "playout_late_s": True}
    assert set(CAPABLE) == {"latency_s", "first_audio_heard_s", "playout_late_s"}


def test_a_cache_tells_its_rate_in_plain_values() -> None:
    """It is one of the numbers of a cache."""
    sections = as_sections(report(cache=CacheReport(2, 4, 2, 1, 0.5)))
    assert sections["performance"]["cache"] == {
        "hits": 2, "misses": 4, "shared": 2, "evictions": 1, "hit_rate": 0.5
    }  # fmt: skip
