"""`report.json`: the conversation in numbers and words."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from vivace.cli.recording import Recording, Span, Turn
from vivace.models import store

if TYPE_CHECKING:
    from vivace.cli.output import Facts

__all__ = ["report"]

_PACKAGES = ("vivace", "onnxruntime", "ctranslate2", "xllamacpp", "hibari-tts", "numpy", "soxr")
_EARS = ("silero", "smart-turn", "whisper-tiny.en")


def report(recording: Recording, facts: Facts) -> dict[str, Any]:
    """Everything as plain values. Times are seconds since the start, latencies milliseconds."""
    turns = sorted(recording.turns.values(), key=lambda turn: turn.number)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": {
            "duration_s": _round(recording.duration),
            "turns": len(turns),
            "loop_lag_ms": {
                "p99": _round(facts.lag.p99_s * 1000),
                "median": _round(facts.lag.median_s * 1000),
                "worst": _round(facts.lag.worst_s * 1000),
                "samples": facts.lag.samples,
            },
            "pacer": {
                "chunks_played": facts.pacer.chunks_played,
                "interruptions": facts.pacer.interruptions,
                "buffer_underruns": facts.pacer.buffer_underruns,
            },
        },
        "models": _models(facts.model, live=facts.live),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "turns": [_turn(recording, turn) for turn in turns],
        "user": {
            "files": [
                {"name": s.name, "start_s": _round(s.start), "end_s": _round(s.end)}
                for s in facts.spoken
            ],
            "speech": _spans(recording.speech),
            "dismissed": [u.text for u in recording.utterances if u.dismissed],
        },
        "floor": [{"state": s.label, **_span(s)} for s in recording.floor],
        "failures": [
            {"what": f.what, "error": f.error, "turn": f.turn, "at_s": _round(f.at)}
            for f in recording.failures
        ],
    }


def _turn(recording: Recording, turn: Turn) -> dict[str, Any]:
    heard_s = sum((span.end or span.start) - span.start for span in turn.heard)
    return {
        "turn": turn.number,
        "user": " ".join(utterance.text for utterance in recording.said(turn)),
        "prompt": turn.prompt,
        "agent": turn.text,
        "heard": turn.heard_text,
        "outcome": turn.complete or "unfinished",
        "asked_at_s": _round(turn.asked_at),
        "audible_at_s": _round(turn.audible_at),
        "over_at_s": _round(turn.over_at),
        "interrupted_at_s": _round(turn.interrupted_at),
        "held": _spans(turn.held),
        "heard_s": _round(heard_s),
        "cut_s": _round(turn.cut_s),
        "end_of_speech_at_s": _round(turn.ended_at),
        "latency_ms": turn.latency_ms,
    }


def _models(spec: str, *, live: bool) -> list[dict[str, Any]]:
    """What was loaded: the store's rows by their hashes, the others by what they are called."""
    if live:
        return [_row(store.find("silero")), {"name": spec, "role": "live model"}]
    names = [*_EARS, *([spec] if spec == "smollm2" else [])]
    rows = [_row(store.find(name)) for name in names]
    if spec != "smollm2":
        rows.append({"name": spec, "role": "language model"})
    voice = {"name": "hibari", "role": "text to speech", "source": "the package hibari-tts"}
    return [*rows, {**voice, "version": _version("hibari-tts")}]


def _row(model: store.Model) -> dict[str, Any]:
    own = os.environ.get(store.variable(model.name))
    if own:
        return {"name": model.name, "role": model.role, "path": own}
    return {
        "name": model.name,
        "role": model.role,
        "source": model.source,
        "licence": model.licence,
        "carrier": f"{model.carrier.name} {model.carrier.version}",
        "sha256": {file.name: file.sha256 for file in model.files},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _spans(spans: list[Span]) -> list[dict[str, float | None]]:
    return [_span(span) for span in spans]


def _span(span: Span) -> dict[str, float | None]:
    return {"start_s": _round(span.start), "end_s": _round(span.end)}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
