"""What each live model can do, in one table.

As known in November 2026. A model that is not in it is asked for with what all of them take.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = ["MODELS", "LiveFacts", "facts_of"]

ContentWhen: TypeAlias = Literal["always", "seed"]


class LiveFacts(msgspec.Struct, frozen=True):
    """content: whether turns may be given at any time, or only as the history of a new session.
    tools: whether the model waits for its tools, unless a declaration says otherwise; models that
    always wait take no such declaration. thinking_level: it may be set. compression: the context
    can be compressed, so that a session has no end. connection_s: how long a connection lasts.
    deprecated: what to use instead.
    """

    content: ContentWhen = "seed"
    tools: Literal["blocking", "non_blocking"] = "blocking"
    thinking_level: bool = False
    compression: bool = True
    connection_s: float = 600.0
    deprecated: str = ""


_NATIVE_25 = LiveFacts(content="always", deprecated="gemini-3.8-live")
MODELS: dict[str, LiveFacts] = {
    "gemini-3.8-live": LiveFacts(content="always", tools="non_blocking"),
    "gemini-3.1-flash-live-preview": LiveFacts(thinking_level=True),
    "gemini-2.5-flash-native-audio-preview-09-2025": _NATIVE_25,
    "gemini-2.5-flash-native-audio-preview-12-2025": _NATIVE_25,
    "gemini-live-2.5-flash-native-audio": _NATIVE_25,
}
_UNKNOWN = LiveFacts()


def facts_of(model: str) -> tuple[LiveFacts, str]:
    """What `model` can do, and what is to be said about it; "" if nothing is.

    model: with or without `models/` before it.
    """
    name = model.removeprefix("models/")
    facts = MODELS.get(name)
    if facts is None:
        known = ", ".join(MODELS)
        return _UNKNOWN, (
            f"{name!r} is not known here, and is asked for with settings that all live models "
            f"take; known are: {known}"
        )
    if facts.deprecated:
        return facts, f"{name!r} is deprecated; use {facts.deprecated!r}"
    return facts, ""
