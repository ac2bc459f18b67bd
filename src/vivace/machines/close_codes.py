"""What the end of a connection means: try again, a handle that is no good, or our own mistake.

This file owns how close codes and refusals of a live model's server are read, and what is said of
them. Codes below 1000 are HTTP statuses of a handshake that was refused; the others are WebSocket's
(RFC 6455, 7.4).
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Verdict", "explain", "verdict"]


class Verdict(StrEnum):
    """What is to be made of an end."""

    LOST = "lost"  # nobody's fault: connect again
    REFUSED = "refused"  # the server did not take what the set-up said, or the handle in it
    FAILED = "failed"  # connecting again would end the same way


_POLICY, _INVALID, _TLS = 1008, 1007, 1015
_REFUSALS = (400, 401, 403, 404, _TLS)
# What 1008 says when it is about what was asked for, and not about the moment.
_OUR_MISTAKE = (
    "not implemented", "not supported", "unsupported", "not enabled", "not found", "invalid",
    "api key", "permission", "denied", "unauthenticated",
)  # fmt: skip


def verdict(code: int, reason: str, *, set_up: bool) -> Verdict:
    """How an end is read. set_up: the server had sent `setupComplete`.

    Before that, 1007 and 1008 are about the set-up. After it, 1007 is about a message of ours,
    which would be sent again; 1008 is, too, if it says so, and else a drop like any other.
    """
    if code in _REFUSALS:
        return Verdict.FAILED
    if code == _INVALID:
        return Verdict.FAILED if set_up else Verdict.REFUSED
    if code == _POLICY:
        if not set_up:
            return Verdict.REFUSED
        ours = any(phrase in reason.lower() for phrase in _OUR_MISTAKE)
        return Verdict.FAILED if ours else Verdict.LOST
    return Verdict.LOST


_KEY = "check the API key: it is missing, wrong, or not allowed to use this model"
_MODEL = "check the model's name: {model!r} is unknown, or cannot hold live sessions"
_CONFIG = (
    "something in realtime_config, or sent later, is not supported by {model!r}; leave out what "
    "it names"
)
_LATER = "the server is unreachable or overloaded; try again later"
# The first row whose code and phrase fit says what to change.
_ADVICE: tuple[tuple[tuple[int, ...], str, str], ...] = (
    ((401, 403), "", _KEY),
    ((400, _INVALID, _POLICY), "api key", _KEY),
    ((400, _INVALID, _POLICY), "api_key", _KEY),
    ((_INVALID, _POLICY), "permission", _KEY),
    ((_INVALID, _POLICY), "unauthenticated", _KEY),
    ((404,), "", _MODEL),
    ((_INVALID, _POLICY), "is not found", _MODEL),
    ((_INVALID, _POLICY), "not found for api", _MODEL),
    ((_INVALID, _POLICY), "", _CONFIG),
    ((400,), "", _CONFIG),
    ((_TLS,), "", "the server's certificate is not trusted; give a TLS context that does"),
    ((429,), "", "the quota is used up; wait, or ask for more"),
)


def explain(model: str, code: int, reason: str) -> str:
    """One sentence for whoever can change it: what came, and what to do."""
    advice = next(
        (text for codes, phrase, text in _ADVICE if code in codes and phrase in reason.lower()),
        _LATER,
    )
    said = " ".join(reason.split())[:300]
    detail = f" ({said})" if said else ""
    return f"the live session with {model} ended with {code}{detail}: {advice.format(model=model)}"
