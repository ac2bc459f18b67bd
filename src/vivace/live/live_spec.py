"""A live model from one line of text, as on the command line."""

from __future__ import annotations

from vivace.errors import ModelSpec
from vivace.live.live_processor import LiveProcessor

__all__ = ["LIVE_FORMS", "live_model"]

LIVE_FORMS = (("gemini:MODEL", "a Gemini Live model; the key comes from GEMINI_API_KEY"),)
"""What may be written, and what it means."""


def live_model(spec: str) -> LiveProcessor:
    """The live model that `spec` names.

    Raises ModelSpec if it cannot be understood, ModelMissing and ModelUnreachable as the model
    does.
    """
    kind, _, name = spec.strip().partition(":")
    if kind != "gemini" or not name:
        forms = ", ".join(form for form, _ in LIVE_FORMS)
        raise ModelSpec(f"the live model {spec!r} cannot be understood; expected one of: {forms}")
    return LiveProcessor(None, name)
