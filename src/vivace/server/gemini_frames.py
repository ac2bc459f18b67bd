"""The frames that a Gemini Live server sends, as the service writes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "Frame", "call", "called_in", "cancellation", "content", "go_away", "heard", "merged",
    "resumption", "said", "set_up_complete", "usage",
]  # fmt: skip

Frame = dict[str, Any]


def set_up_complete(session_id: str = "") -> Frame:
    """The first frame."""
    return {"setupComplete": {"sessionId": session_id} if session_id else {}}


def content(**fields: Any) -> Frame:
    """`serverContent` with these fields, in the service's spelling: `turnComplete=True`."""
    return {"serverContent": fields}


def said(pcm: bytes = b"", text: str = "", rate: int = 24_000) -> Frame:
    """Sound of the model's, 16-bit mono, or text of its own, or both."""
    parts: list[Frame] = []
    if pcm:
        data = base64.b64encode(pcm).decode()
        parts.append({"inlineData": {"mimeType": f"audio/pcm;rate={rate}", "data": data}})
    if text:
        parts.append({"text": text})
    return content(modelTurn={"role": "model", "parts": parts})


def heard(*, user: str = "", model: str = "", finished: bool | None = None) -> Frame:
    """Pieces of the transcripts of both sides."""
    end = {} if finished is None else {"finished": finished}
    fields: Frame = {}
    if user:
        fields["inputTranscription"] = {"text": user, **end}
    if model:
        fields["outputTranscription"] = {"text": model, **end}
    return content(**fields)


def call(name: str, args: Mapping[str, Any] | None = None, id: str | None = None) -> Frame:
    """The model calls a function."""
    one: Frame = {"name": name, "args": dict(args or {})}
    return {"toolCall": {"functionCalls": [one if id is None else {"id": id, **one}]}}


def called_in(frame: Frame) -> list[str]:
    """The ids of the calls that a frame makes; "" for one without."""
    return [it.get("id", "") for it in frame.get("toolCall", {}).get("functionCalls", ())]


def cancellation(*ids: str) -> Frame:
    """The model does without these calls."""
    return {"toolCallCancellation": {"ids": list(ids)}}


def go_away(left_s: float | None = 10.0) -> Frame:
    """The connection will be closed."""
    return {"goAway": {} if left_s is None else {"timeLeft": f"{left_s:g}s"}}


def resumption(handle: str = "", *, resumable: bool = True) -> Frame:
    """The session can be resumed by `handle`, or it cannot just now."""
    if not resumable:
        return {"sessionResumptionUpdate": {"newHandle": "", "resumable": False}}
    return {"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}}


def usage(prompt: int, response: int) -> Frame:
    """Tokens so far."""
    counts = {"promptTokenCount": prompt, "responseTokenCount": response}
    return {"usageMetadata": {**counts, "totalTokenCount": prompt + response}}


def merged(frames: Sequence[Frame]) -> Frame:
    """Several `serverContent` in one frame."""
    return content(**{key: it for frame in frames for key, it in frame["serverContent"].items()})
