"""Parts of the package `genai-processors` from ours, and ours from theirs, with nothing lost.

This file owns what travels in the metadata because the other side has no field for it: on their
parts under keys that begin with `NOTE` (turn, media time, the words of audio, which signal it is),
on ours under `KEEP` (a role that was not set, another spelling of a mimetype, fields that only
their models use). Each is taken out again on the way back.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import msgspec

from vivace.errors import PartError
from vivace.part import (
    Audio,
    Body,
    Data,
    Held,
    InputEnded,
    Interrupted,
    Part,
    Played,
    PlayedTo,
    Playing,
    Reset,
    Resumed,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)
from vivace.processors.genai_bodies import (
    Form,
    form_of,
    genai,
    is_plain,
    mimetype_of,
    read_body,
    read_signal,
)

__all__ = ["KEEP", "NOTE", "from_genai_part", "to_genai_part"]

NOTE = "vivace/"  # as `vivace/turn`: plain values, since theirs compares parts by hashing them
KEEP = "genai_processors"

_AnySignal: TypeAlias = (
    SpeechStarted | SpeechEnded | TurnEnded | TurnComplete | InputEnded
    | Interrupted | Reset | Held | Resumed | Playing | Played
    | PlayedTo
)  # fmt: skip


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What their part cannot say; each field is an entry of its metadata.

    signal: as JSON, once it is an entry.
    body, mimetype: which body it is, where what can be seen would be taken for another; it holds
        for as long as the part is of this mimetype.
    metadata: entries of our part that had to give way.
    """

    turn: int = 0
    at: float | None = None
    role: str | None = None
    words: str = ""
    body: str = ""
    mimetype: str = ""
    value: Any = None
    signal: _AnySignal | None = None
    metadata: dict[str, Any] = {}


_FIELDS = _Note.__struct_fields__
_NOTES = frozenset(NOTE + field for field in _FIELDS)


class _Keep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What our part cannot say. part: theirs, without what is in the body."""

    part: dict[str, Any] | None = None
    mimetype: str | None = None
    role: str | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, Any] = {}


# -- theirs to ours ---------------------------------------------------------------------------


def from_genai_part(theirs: Any, at: float = 0.0) -> Part:
    """Our part for a `ProcessorPart`; `to_genai_part` makes an equal one of it again.

    at: media time in seconds, for a signal that does not say when it happened.

    Raises PartError if it is none, AudioError if it is PCM that ends inside a frame.
    """
    if not isinstance(theirs, genai().content.ProcessorPart):
        raise PartError(f"{theirs!r} is no ProcessorPart; make one of it: ProcessorPart(value)")
    metadata = dict(theirs.metadata)
    note = _take_note(metadata)
    body = _body_of(theirs, note, at)
    if isinstance(body, Signal):
        for flag in form_of(body).flags:
            del metadata[flag]
    metadata.update(note.metadata)
    keep = _keep_of(theirs, body, note)
    if keep:
        if KEEP in metadata:
            keep["metadata"] = {KEEP: metadata[KEEP]}
        metadata[KEEP] = keep
    role = theirs.role or ("user" if note.role is None else note.role)
    part = Part(body, role, theirs.substream_name or "", note.turn, note.at)
    return part.derive(metadata=metadata) if metadata else part


def _take_note(metadata: dict[str, Any]) -> _Note:
    """What we noted, taken out of the metadata."""
    found = {field: metadata[NOTE + field] for field in _FIELDS if NOTE + field in metadata}
    if not found:
        return _Note()
    fields = dict(found)
    try:
        if "signal" in fields:
            fields["signal"] = msgspec.json.decode(fields["signal"])
        note = msgspec.convert(fields, _Note)
    except (msgspec.MsgspecError, TypeError):
        return _Note()  # somebody else's
    for field in found:
        del metadata[NOTE + field]
    return note


def _take_keep(metadata: dict[str, Any]) -> _Keep | None:
    """What we kept, taken out of the metadata; None if there is nothing of ours."""
    try:
        keep = msgspec.convert(metadata.get(KEEP), _Keep)
    except msgspec.ValidationError:
        return None
    del metadata[KEEP]
    return keep


def _body_of(theirs: Any, note: _Note, at: float = 0.0) -> Body:
    if note.signal is not None and _is_still(note.signal, theirs):
        return note.signal
    kind = note.body if note.mimetype == theirs.mimetype else ""
    if not kind and note.signal is None:
        signal = read_signal(theirs, at, note.turn)
        if signal is not None:
            return signal  # type: ignore[return-value]  # the concrete signals are members of Body
    body = read_body(theirs, kind)
    if isinstance(body, Audio) and note.words:
        return Audio(body.pcm, body.format, note.words)
    if isinstance(body, Data) and note.value is not None:
        return Data(note.value, body.mimetype, body.data)
    return body


def _is_still(signal: _AnySignal, theirs: Any) -> bool:
    """False once a stage of theirs has made something else of what was this signal."""
    form = form_of(signal)
    flagged = all(theirs.metadata.get(flag) is True for flag in form.flags)
    return flagged and (theirs.part.text, theirs.mimetype) == (form.part.text, form.mimetype)


def _keep_of(theirs: Any, body: Body, note: _Note) -> dict[str, Any]:
    """What would be lost if only the body went back."""
    keep: dict[str, Any] = {}
    if not is_plain(theirs, body):
        form = form_of(body)
        if form.part != theirs.part:
            keep["part"] = _without_content(theirs.part, body)
        if mimetype_of(form) != theirs.mimetype:
            keep["mimetype"] = theirs.mimetype
    if not theirs.role and note.role is None:
        keep["role"] = theirs.role
    return keep


def _without_content(part: Any, body: Body) -> dict[str, Any]:
    exclude = {"inline_data": {"data"}} if _bytes_of(body) else None
    fields: dict[str, Any] = part.model_dump(mode="json", exclude_none=True, exclude=exclude)
    if "text" in fields and (isinstance(body, str) or (isinstance(body, Data) and body.data)):
        fields["text"] = ""
    return fields


# -- ours to theirs ---------------------------------------------------------------------------


def to_genai_part(ours: Part) -> Any:
    """A `ProcessorPart` for our part; `from_genai_part` makes an equal one of it again.

    Raises PartError if it holds what JSON cannot, or bytes without a mimetype.
    """
    metadata = dict(ours.metadata)
    keep = _take_keep(metadata)
    theirs = None if keep is None else _as_it_was(ours, metadata, keep)
    if theirs is None:
        theirs = _build(ours, dict(ours.metadata), form_of(ours.body), ours.role)
    return theirs


def _as_it_was(ours: Part, metadata: dict[str, Any], keep: _Keep) -> Any:
    """The part that it was over there, or None if it has become another since."""
    form = form_of(ours.body)
    if keep.part is not None:
        form = form._replace(part=_with_content(keep.part, ours.body))
    if keep.mimetype is not None:
        form = form._replace(mimetype=keep.mimetype)
    role = ours.role if keep.role is msgspec.UNSET else keep.role
    if form.part is None:
        return None
    theirs = _build(ours, metadata | keep.metadata, form, role)
    return theirs if from_genai_part(theirs) == ours else None


def _with_content(fields: dict[str, Any], body: Body) -> Any:
    """The part of `fields` with `body` in it; None if that makes no part."""
    if "text" in fields and isinstance(body, str):
        fields = fields | {"text": body}
    elif "text" in fields and isinstance(body, Data) and body.data:
        fields = fields | {"text": body.data.decode(errors="replace")}
    try:
        part = genai().types.Part.model_validate_json(json.dumps(fields))
    except ValueError:
        return None
    if part.inline_data is not None and _bytes_of(body):
        part.inline_data.data = _bytes_of(body)
    return part


def _bytes_of(body: Body) -> bytes:
    return b"" if isinstance(body, str) else Part(body).bytes


def _build(ours: Part, metadata: dict[str, Any], form: Form, role: str | None) -> Any:
    note: dict[str, Any] = {}
    if ours.turn:
        note["turn"] = ours.turn
    if ours.at is not None:
        note["at"] = ours.at
    if not ours.role:
        note["role"] = ours.role
    if isinstance(ours.body, Audio) and ours.body.words:
        note["words"] = ours.body.words
    given_way = {key: metadata.pop(key) for key in _NOTES.union(form.flags) & metadata.keys()}
    if given_way:
        note["metadata"] = given_way
    theirs = genai().content.ProcessorPart(
        form.part,
        role=role,
        substream_name=ours.substream,
        mimetype=form.mimetype,
        metadata={**metadata, **form.flags},
    )
    if not _is_seen(theirs, note, ours.body):
        note.update(_hint(ours.body, theirs.mimetype))
    theirs.metadata.update({NOTE + field: value for field, value in note.items()})
    return theirs


def _is_seen(theirs: Any, note: dict[str, Any], body: Body) -> bool:
    """True if the other part tells the body without being told which it is."""
    try:
        return _body_of(theirs, _Note(**note)) == body
    except PartError:
        return False


def _hint(body: Body, mimetype: str) -> dict[str, Any]:
    if isinstance(body, Signal):
        return {"signal": msgspec.json.encode(body).decode()}
    kind = "text" if isinstance(body, str) else body.__struct_config__.tag
    hint: dict[str, Any] = {"body": kind, "mimetype": mimetype}
    return hint | {"value": body.value} if isinstance(body, Data) and body.data else hint
