"""The wire of Gemini Live, as a server reads it: client frames in, records or a refusal out.

This file owns what a frame may look like. Clients mix spellings (`client_content`, `turnComplete`)
and alphabets of base64; both are taken. What the service does not know, it refuses, and so is it
here: with the code and in the words that the service uses.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar, Union

import msgspec

from vivace.errors import VivaceError

__all__ = [
    "ActivityEnded", "ActivityStarted", "AudioHeard", "AudioStreamEnded", "ClientMessage",
    "Content", "ImageSeen", "Refused", "Setup", "TextHeard", "ToolAnswer", "ToolAnswers", "Turn",
    "camel", "invalid", "parse",
]  # fmt: skip

INVALID, POLICY, INTERNAL = 1007, 1008, 1011
_RATES = 8_000, 192_000  # Hz: of fewer, a message is hours of sound


class Refused(VivaceError):
    """The service closes the connection with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Setup(msgspec.Struct, frozen=True):
    """What the session is to be. config: the whole message, keys in camelCase.

    resumption: updates of the handle are wanted; handle: of the session to resume. tools: by name.
    history: turns come first that are no input. automatic: the server detects speech. as_text: the
    model writes, and does not speak.
    """

    model: str
    config: dict[str, Any]
    system: str = ""
    tools: dict[str, dict[str, Any]] = {}
    resumption: bool = False
    handle: str = ""
    history: bool = False
    automatic: bool = True
    as_text: bool = False
    thinking_level: bool = False


class Turn(msgspec.Struct, frozen=True):
    """role: "user" or "model". text: of all its parts."""

    role: str
    text: str


class Content(msgspec.Struct, frozen=True):
    """Turns. complete: the model is to answer."""

    turns: tuple[Turn, ...]
    complete: bool


class AudioHeard(msgspec.Struct, frozen=True):
    """16-bit PCM, mono."""

    pcm: bytes
    rate: int = 16_000


class ImageSeen(msgspec.Struct, frozen=True):
    """A picture."""

    data: bytes
    mimetype: str


class TextHeard(msgspec.Struct, frozen=True):
    """Text, as realtime input."""

    text: str


class ActivityStarted(msgspec.Struct, frozen=True):
    """The user has begun."""


class ActivityEnded(msgspec.Struct, frozen=True):
    """The user has finished."""


class AudioStreamEnded(msgspec.Struct, frozen=True):
    """No sound comes for now."""


class ToolAnswer(msgspec.Struct, frozen=True):
    """What one tool answered."""

    id: str
    name: str
    response: dict[str, Any]
    scheduling: str = ""


class ToolAnswers(msgspec.Struct, frozen=True):
    """What tools answered."""

    answers: tuple[ToolAnswer, ...]


ClientMessage: TypeAlias = Union[  # noqa: UP007
    Setup, Content, AudioHeard, ImageSeen, TextHeard, ActivityStarted, ActivityEnded,
    AudioStreamEnded, ToolAnswers,
]  # fmt: skip


def parse(frame: str | bytes) -> ClientMessage:
    """Read one frame of a client. Raises Refused as the service would refuse it."""
    try:
        data = json.loads(frame, parse_constant=_constant)
    except ValueError as error:
        raise invalid("Invalid JSON payload received. Unexpected token.") from error
    if not isinstance(data, dict):
        raise invalid("Invalid JSON payload received. An object was expected.")
    found = _fields(data, _ENVELOPES, "")
    if len(found) != 1:
        raise invalid(f"a message holds one of {', '.join(_ENVELOPES)}; this one has {len(found)}")
    name, body = next(iter(found.items()))
    if not isinstance(body, dict):
        raise invalid(f"Invalid value at '{name}': an object was expected")
    return _ENVELOPES[name](body)


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# -- spelling --------------------------------------------------------------------------------------


def camel(key: str) -> str:
    """A name in camelCase, however it is spelled."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), key)


# Below these stand the caller's own names, which are nobody's to respell.
_OPAQUE = {"functionDeclarations", "responseSchema", "responseJsonSchema", "response", "labels"}


def _camelled(value: Any) -> Any:
    match value:
        case dict():
            pairs = ((camel(key), item) for key, item in value.items() if item is not None)
            return {key: it if key in _OPAQUE else _camelled(it) for key, it in pairs}
        case list():
            return [_camelled(item) for item in value]
        case _:
            return value


def _fields(data: Mapping[str, Any], known: object, where: str) -> dict[str, Any]:
    """`data` in camelCase. Raises Refused for a name that is not known."""
    found = {camel(key): value for key, value in data.items()}
    for key in found:
        if key not in known:  # type: ignore[operator]
            raise invalid(
                f"Invalid JSON payload received. Unknown name {key!r}{where and f' at {where!r}'}: "
                "Cannot find field."
            )
    return found


def invalid(reason: str) -> Refused:
    """To be raised for what makes no sense, in the words of the service."""
    return Refused(INVALID, reason)


Found = TypeVar("Found")
_HALF = re.compile("[\ud800-\udfff]")  # of a character: nobody can write it down


def _get(data: Mapping[str, Any], where: str, kind: type[Found]) -> Found:
    """A field of this kind, by its path; the empty one if it is not there, or null.

    Raises Refused if it is of another kind.
    """
    value = data.get(where.rpartition(".")[2])
    return kind() if value is None else _checked(value, where, kind)


def _checked(value: Any, where: str, kind: type[Found]) -> Found:
    if not isinstance(value, kind):
        raise invalid(f"Invalid value at '{where}': {_KINDS[kind]} was expected")
    if isinstance(value, str) and _HALF.search(value):
        raise invalid(f"Invalid value at '{where}': it is not valid UTF-8")
    return value


def _objects(data: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    return [_checked(it, where, dict) for it in _get(data, where, list)]


_KINDS: dict[type, str] = {
    dict: "an object", list: "a list", str: "a text", bool: "true or false",
}  # fmt: skip


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise invalid(f"Invalid value at '{where}' (TYPE_BYTES), {value!r}")
    try:
        text = value.replace("-", "+").replace("_", "/")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise invalid(f"Invalid value at '{where}' (TYPE_BYTES), Base64 decoding failed") from error


# -- the envelopes ---------------------------------------------------------------------------------

_SETUP = {
    "model", "generationConfig", "systemInstruction", "tools", "sessionResumption",
    "contextWindowCompression", "inputAudioTranscription", "outputAudioTranscription",
    "realtimeInputConfig", "proactivity", "historyConfig", "avatarConfig", "safetySettings",
    "labels",
}  # fmt: skip


def _setup(body: dict[str, Any]) -> Setup:
    config: dict[str, Any] = _camelled(_fields(body, _SETUP, "setup"))
    model = _get(config, "setup.model", str)
    if not model:
        raise invalid("setup.model is required")
    generation = _get(config, "setup.generationConfig", dict)
    resumption = _get(config, "setup.sessionResumption", dict)
    realtime = _get(config, "setup.realtimeInputConfig", dict)
    detection = _get(realtime, "setup.realtimeInputConfig.automaticActivityDetection", dict)
    history = _get(config, "setup.historyConfig", dict)
    return Setup(
        model.removeprefix("models/"),
        config,
        _text(_get(config, "setup.systemInstruction", dict), "setup.systemInstruction"),
        dict(_tools(config)),
        "sessionResumption" in config,
        _get(resumption, "setup.sessionResumption.handle", str),
        bool(history.get("initialHistoryInClientContent")),
        not detection.get("disabled", False),
        "TEXT" in _get(generation, "setup.generationConfig.responseModalities", list),
        "thinkingLevel" in _get(generation, "setup.generationConfig.thinkingConfig", dict),
    )


def _tools(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for tool in _objects(config, "setup.tools"):
        for each in _objects(tool, "setup.tools.functionDeclarations"):
            name = _get(each, "setup.tools.functionDeclarations.name", str)
            if not name:
                raise invalid("setup.tools.function_declarations.name is required")
            yield name, each


def _text(content: Mapping[str, Any], where: str) -> str:
    parts = _objects(content, f"{where}.parts")
    return "".join(_get(part, f"{where}.parts.text", str) for part in parts)


def _content(body: dict[str, Any]) -> Content:
    fields = _fields(body, {"turns", "turnComplete"}, "client_content")
    turns = _objects(fields, "client_content.turns")
    for turn in turns:
        _fields(turn, {"role", "parts"}, "client_content.turns")
        if _role(turn) not in ("user", "model"):
            raise invalid(f"Please use a valid role: user, model; not {turn['role']!r}")
    return Content(
        tuple(Turn(_role(turn), _text(turn, "client_content.turns")) for turn in turns),
        bool(fields.get("turnComplete")),
    )


def _role(turn: Mapping[str, Any]) -> str:
    return _get(turn, "client_content.turns.role", str) or "user"


def _realtime(body: dict[str, Any]) -> ClientMessage:
    fields = _fields(body, {*_REALTIME, "mediaChunks"}, "realtime_input")
    if "mediaChunks" in fields:
        raise invalid("realtime_input.media_chunks is deprecated. Use audio, video, or text.")
    if len(fields) != 1:
        raise invalid(f"realtime_input holds one field; this one has {sorted(fields)}")
    name, value = next(iter(fields.items()))
    return _REALTIME[name](value)


def _blob(value: Any, where: str) -> dict[str, Any]:
    return _fields(_checked(value, where, dict), {"data", "mimeType"}, where)


def _audio(value: Any) -> AudioHeard:
    blob = _blob(value, "realtime_input.audio")
    mimetype = str(blob.get("mimeType", "audio/pcm"))
    found = re.fullmatch(r"audio/pcm(;rate=([0-9]{1,6}))?", mimetype.replace(" ", ""))
    rate = int(found[2] or 16_000) if found is not None else 0
    if not _RATES[0] <= rate <= _RATES[1]:
        raise invalid(
            f"Unsupported audio: {mimetype!r}; use audio/pcm;rate=16000, or a rate from "
            f"{_RATES[0]} to {_RATES[1]}"
        )
    pcm = _bytes(blob.get("data"), "realtime_input.audio.data")
    if len(pcm) % 2:
        raise invalid(f"{len(pcm)} bytes are no whole number of 16-bit samples")
    return AudioHeard(pcm, rate)


def _video(value: Any) -> ImageSeen:
    blob = _blob(value, "realtime_input.video")
    mimetype = str(blob.get("mimeType", ""))
    if not mimetype.startswith("image/"):
        raise invalid(f"Unsupported video: {mimetype!r}; use image/jpeg")
    return ImageSeen(_bytes(blob.get("data"), "realtime_input.video.data"), mimetype)


def _string(value: Any) -> TextHeard:
    return TextHeard(_checked(value, "realtime_input.text", str))


_REALTIME: dict[str, Callable[[Any], ClientMessage]] = {
    "audio": _audio,
    "video": _video,
    "text": _string,
    "activityStart": lambda _: ActivityStarted(),
    "activityEnd": lambda _: ActivityEnded(),
    "audioStreamEnd": lambda _: AudioStreamEnded(),
}


def _tool_response(body: dict[str, Any]) -> ToolAnswers:
    fields = _fields(body, {"functionResponses"}, "tool_response")
    known = {"id", "name", "response", "scheduling", "willContinue", "parts"}
    where = "tool_response.functionResponses"
    answers = []
    for each in _objects(fields, where):
        answer = _fields(each, known, where)
        answers.append(
            ToolAnswer(
                _get(answer, f"{where}.id", str),
                _get(answer, f"{where}.name", str),
                _get(answer, f"{where}.response", dict),
                _get(answer, f"{where}.scheduling", str),
            )
        )
    if not answers:
        raise invalid("tool_response holds no function_responses")
    return ToolAnswers(tuple(answers))


_ENVELOPES: dict[str, Callable[[dict[str, Any]], ClientMessage]] = {
    "setup": _setup,
    "clientContent": _content,
    "realtimeInput": _realtime,
    "toolResponse": _tool_response,
}
