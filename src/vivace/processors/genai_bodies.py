"""What stands for what: the bodies of our parts as parts of `google-genai`, and back.

This file owns the table of forms. It knows nothing of roles, turns or metadata, but for the few
entries by which the other side tells its signals.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from vivace.audio import AudioFormat
from vivace.errors import ModelMissing, PartError
from vivace.part import (
    Audio,
    Body,
    Call,
    Data,
    Event,
    Image,
    Interrupted,
    Part,
    Response,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)

__all__ = ["RAW", "Form", "form_of", "genai", "is_plain", "mimetype_of", "read_body", "read_signal"]

_EVENT = "application/x-vivace-event"
RAW = "application/x-genai-part"  # a `Data` that is a part of google-genai, as its JSON

_NO_FLAGS: Mapping[str, bool] = {}
_TURN_COMPLETE = {"turn_complete": True}
_STARTED = "application/json; type=StartOfSpeech"
_ENDED = "application/json; type=EndOfSpeech"
# Text, mimetype and flags, for the signals that the other side has too.
_SIGNALS: dict[type[Signal], tuple[str, str, Mapping[str, bool]]] = {
    SpeechStarted: ("{}", _STARTED, _NO_FLAGS),
    SpeechEnded: ("{}", _ENDED, _NO_FLAGS),
    TurnEnded: ("", "text/plain", _TURN_COMPLETE),
    TurnComplete: ("", "text/plain", _TURN_COMPLETE),
    Interrupted: ("", "text/plain", {"interrupted": True}),
}


class Form(NamedTuple):
    """How a body looks over there: a part of google-genai, and entries of the metadata.

    mimetype: None for the one that follows from the part.
    """

    part: Any
    mimetype: str | None
    flags: Mapping[str, bool] = _NO_FLAGS


@functools.cache
def genai() -> Any:
    """The modules of `genai-processors` that are needed. Raises ModelMissing without them."""
    try:
        return SimpleNamespace(
            content=importlib.import_module("genai_processors.content_api"),
            context=importlib.import_module("genai_processors.context"),
            processor=importlib.import_module("genai_processors.processor"),
            types=importlib.import_module("google.genai.types"),
        )
    except ImportError as error:
        raise ModelMissing(
            f"the package genai-processors cannot be imported ({error}); "
            "run: pip install genai-processors"
        ) from error


# -- ours to theirs ---------------------------------------------------------------------------


def form_of(body: Body) -> Form:
    """What stands for `body`. Raises PartError for what JSON cannot hold, or without a mimetype."""
    types = genai().types
    match body:
        case str():
            return Form(types.Part(text=body), "text/plain")
        case Audio():
            return _blob(body.pcm, body.format.mimetype)
        case Image():
            return _blob(body.data, body.mimetype)
        case Data():
            return _form_of_data(body)
        case Event():
            return Form(types.Part(text=_event_text(body)), _EVENT)
        case Call(id, name, args):
            call = types.FunctionCall(id=id or None, name=name or None, args=dict(args))
            return Form(types.Part(function_call=call), None)
        case Response(id, name, result, error):
            fields = {"error": error} if error else {}
            if result is not None or not error:
                fields["result"] = result
            answer = types.FunctionResponse(id=id or None, name=name or None, response=fields)
            return Form(types.Part(function_response=answer), None)
        case _:
            other = ("", f"application/x-vivace-{body.__struct_config__.tag}", _NO_FLAGS)
            text, mimetype, flags = _SIGNALS.get(type(body), other)
            return Form(types.Part(text=text), mimetype, flags)


def _form_of_data(body: Data) -> Form:
    if body.data or (body.value is None and not _is_json(body.mimetype)):
        return _blob(body.data, body.mimetype)
    try:
        text = json.dumps(body.value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PartError(
            f"a Data part holds what JSON cannot ({error}), so that it cannot become a "
            "ProcessorPart; put text, numbers, lists and dicts into it, or bytes into `data`"
        ) from error
    if body.mimetype == RAW and (part := _parsed(text)) is not None and _raw(part) == body.value:
        return Form(part, None)
    return Form(genai().types.Part(text=text), _given(body.mimetype))


def _event_text(event: Event) -> str:
    try:
        return msgspec.json.encode(event).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PartError(
            f"an Event holds what JSON cannot ({error}), so that it cannot become a "
            "ProcessorPart; put text, numbers, lists and dicts into its `data`"
        ) from error


def _parsed(text: str) -> Any:
    try:
        return genai().types.Part.model_validate_json(text)
    except ValueError:
        return None


def _blob(data: bytes, mimetype: str) -> Form:
    types = genai().types
    blob = types.Blob(data=data, mime_type=_given(mimetype))
    return Form(types.Part(inline_data=blob), mimetype)


def _given(mimetype: str) -> str:
    if not mimetype:
        raise PartError(
            "a body without a mimetype cannot go into a ProcessorPart, which tells by it what the "
            "body is; give one, as 'application/octet-stream'"
        )
    return mimetype


def mimetype_of(form: Form) -> str:
    """What a ProcessorPart of this form says that it is."""
    mimetype: str = genai().content.ProcessorPart(form.part, mimetype=form.mimetype).mimetype
    return mimetype


# -- theirs to ours ---------------------------------------------------------------------------


def read_signal(theirs: Any, at: float, turn: int) -> Signal | None:
    """The signal that a part is over there, happening at media time `at` or ending `turn`."""
    text = theirs.part.text
    if text == "{}" and theirs.mimetype == _STARTED:
        return SpeechStarted(at)
    if text == "{}" and theirs.mimetype == _ENDED:
        return SpeechEnded(at)
    if text == "" and theirs.metadata.get("turn_complete") is True:
        return TurnComplete(turn) if theirs.role == "model" else TurnEnded(at)
    return None


def read_body(theirs: Any, kind: str = "") -> Body:
    """The body that a part is best seen as.

    kind: "text", "image", "data" or "call" if it is known to be just that.

    Raises AudioError for PCM that ends inside a frame.
    """
    part, mimetype = theirs.part, theirs.mimetype
    if part.function_call is not None:
        # Their live model gives the id of a call beside it.
        beside = None if kind == "call" else theirs.metadata.get("id")
        return _read_call(part.function_call, beside if isinstance(beside, str) else "")
    if part.function_response is not None:
        return _read_response(part.function_response)
    if part.inline_data is not None:
        return _read_bytes(part.inline_data.data or b"", mimetype, kind)
    fields = _raw(part)
    return _read_text(part.text or "", mimetype, kind) if fields is None else Data(fields, RAW)


def is_plain(theirs: Any, body: Body) -> bool:
    """True if `form_of(body)` is surely this part; asked first, since making one takes long."""
    part, mimetype = theirs.part, theirs.mimetype
    fields: set[str] = part.model_fields_set
    if isinstance(body, str):
        return mimetype == "text/plain" and fields == {"text"}
    if not isinstance(body, Audio | Image) or fields != {"inline_data"}:
        return False
    fields = part.inline_data.model_fields_set
    named: bool = Part(body).mimetype == mimetype == part.inline_data.mime_type
    return named and fields == {"data", "mime_type"}


def _raw(part: Any) -> dict[str, Any] | None:
    """The fields of a part that is none of our bodies; None if it is one."""
    if part.function_call or part.function_response or part.inline_data:
        return None
    if part.text is not None and not part.thought:  # what a model thinks is not what it says
        return None
    return part.model_dump(mode="json", exclude_none=True) or None


def _read_bytes(data: bytes, mimetype: str, kind: str) -> Body:
    if kind == "image" or (mimetype.startswith("image/") and not kind):
        return Image(data, mimetype)
    if AudioFormat.knows(mimetype) and not kind:
        return Audio(data, AudioFormat.parse(mimetype))
    return Data(None, mimetype, data)


def _read_text(text: str, mimetype: str, kind: str) -> Body:
    if kind == "text":
        return text
    if kind == "data" or _is_json(mimetype):
        try:
            return Data(json.loads(text), mimetype)
        except (ValueError, RecursionError):
            return Data(None, mimetype, text.encode())  # half a value, as models stream them
    if mimetype.lower().startswith("text/"):
        return text
    if mimetype == _EVENT and kind != "data":
        with contextlib.suppress(msgspec.MsgspecError):  # then it is none of ours
            return msgspec.json.decode(text, type=Event)
    return Data(None, mimetype, text.encode())


def _read_call(call: Any, beside: str) -> Call:
    return Call(call.id or beside, call.name or "", dict(call.args or {}))


def _read_response(response: Any) -> Response:
    id, name, fields = response.id or "", response.name or "", response.response
    if response.parts or fields is None:
        rest = response.model_dump(mode="json", exclude_none=True, exclude={"id", "name"})
        return Response(id, name, rest or None)
    match fields:
        case {"error": str(error), **rest} if error and set(rest) <= {"result"}:
            return Response(id, name, rest.get("result"), error)
        case {"error": error} if error and len(fields) == 1:
            return Response(id, name, None, json.dumps(error, default=str))
        case {"result": result} | {"output": result} if len(fields) == 1:
            return Response(id, name, result)
        case _:
            return Response(id, name, dict(fields))


def _is_json(mimetype: str) -> bool:
    return mimetype.lower().startswith("application/json")
