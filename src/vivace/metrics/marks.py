"""Marks: what a trace keeps of a part, in a few words instead of its bytes."""

from __future__ import annotations

import re
import traceback
from typing import Literal, TypeAlias

import msgspec

from vivace.part import Audio, Call, Data, Event, Image, Part, Response, Signal

__all__ = ["KINDS", "Kind", "Mark", "describe", "error_text", "signal_text"]

Kind: TypeAlias = Literal["audio", "text", "signal", "image", "call", "response", "data"]
KINDS: tuple[Kind, ...] = ("audio", "text", "signal", "image", "call", "response", "data")

_LONGEST = 400  # characters: what one can read in a note beside the pointer


class Mark(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened: a part that left a stage, or something that was announced.

    index: the stage in its run. text: for people to read, cut to some hundred characters. lane: the
        part's side lane, or what was announced.
    """

    run: int
    index: int
    at: float
    asked_at: float
    kind: Kind
    text: str
    seconds: float
    role: str
    turn: int
    lane: str


def describe(part: Part) -> tuple[Kind, str]:
    """What kind of part it is, and what to say of it."""
    body: object = part.body  # whatever it is: nothing checks what a program puts there
    match body:
        case str(text):
            return "text", _cut(text)
        case Audio(words=words):
            return "audio", _cut(words)
        case Image(data=data, mimetype=mimetype):
            return "image", f"{mimetype}, {len(data):,} bytes"
        case Call(name=name, args=args):
            return "call", _cut(f"{name}({', '.join(f'{k}={_value(v)}' for k, v in args.items())})")
        case Response(name=name, result=result, error=error):
            return "response", _cut(f"{name}: {f'failed, {error}' if error else _value(result)}")
        case Data(value=value, mimetype=mimetype, data=data):
            return "data", f"{mimetype}, {len(data):,} bytes" if data else _cut(_news(value))
        case Event(type=type_, detector=detector, confidence=confidence):
            return "data", _cut(f"event: {type_}, {detector}, confidence {confidence:.2f}")
        case Signal() as signal:
            return "signal", signal_text(signal)
        case other:
            return "data", f"a {type(other).__qualname__}"


def signal_text(signal: Signal) -> str:
    """As `speech ended, at 1.4`: the name in words, and each field that says something."""
    name = re.sub(r"(?<!^)(?=[A-Z])", " ", type(signal).__name__).lower()
    said = [name]
    for field, value in msgspec.structs.asdict(signal).items():
        if isinstance(value, bool):
            said += [field.replace("_", " ")] * value
        elif isinstance(value, float):
            said.append(f"{field} {value:.3f} s")
        elif isinstance(value, str):
            said += [f"heard “{value}”" if field == "heard" else value] * bool(value)
        else:
            said.append(f"{field} {value}")
    return _cut(", ".join(said))


def error_text(error: BaseException) -> str:
    """Its kind and message, also of one that cannot be made into text."""
    return _cut(traceback.format_exception_only(error)[0].strip())


def _news(value: object) -> str:
    """What stages report has an `event` and facts: as one would say it."""
    if not isinstance(value, dict) or not isinstance(event := value.get("event"), str):
        return _value(value)
    facts = [
        _value(fact) if key == event else f"{key} {_value(fact)}"
        for key, fact in value.items()
        if key != "event"
    ]
    return f"{event}: {', '.join(facts)}" if facts else event


def _value(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except Exception:  # whatever an object of the user's makes of being written down
        return f"a {type(value).__qualname__}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
