"""The wire of Gemini Live, as a server reads it: client frames in, records or a refusal out.

This file owns what a frame may look like. Clients mix spellings (`client_content`, `turnComplete`)
and alphabets of base64; both are taken. What the service does not know, it refuses, and so is it
here: with the code and in the words that the service uses.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, Union

import msgspec

from vivace.errors import VivaceError
from vivace.models.live_facts import LiveFacts

__all__ = [
    "ActivityEnded", "ActivityStarted", "AudioHeard", "AudioStreamEnded", "ClientMessage",
    "Content", "ImageSeen", "Order", "Refused", "Setup", "TextHeard", "ToolAnswer", "ToolAnswers",
    "Turn", "camel", "parse",
]  # fmt: skip

INVALID, POLICY, INTERNAL = 1007, 1008, 1011


class Refused(VivaceError):
    """The service closes the connection with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Setup(msgspec.Struct, frozen=True):
    """What the session is to be. config: the whole message, keys in camelCase.

    resumption: updates of the handle are wanted; handle: of the session to resume. tools: by name.
    history: turns come first that are no input. automatic: the server detects speech.
    """

    model: str
    config: dict[str, Any]
    system: str = ""
    tools: dict[str, dict[str, Any]] = {}
    resumption: bool = False
    handle: str = ""
    history: bool = False
    automatic: bool = True


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
        raise _invalid("Invalid JSON payload received. Unexpected token.") from error
    if not isinstance(data, dict):
        raise _invalid("Invalid JSON payload received. An object was expected.")
    found = _fields(data, _ENVELOPES, "")
    if len(found) != 1:
        raise _invalid(f"a message holds one of {', '.join(_ENVELOPES)}; this one has {len(found)}")
    name, body = next(iter(found.items()))
    if not isinstance(body, dict):
        raise _invalid(f"Invalid value at '{name}': an object was expected")
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
            pairs = ((camel(key), item) for key, item in value.items())
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
            raise _invalid(
                f"Invalid JSON payload received. Unknown name {key!r}{where and f' at {where!r}'}: "
                "Cannot find field."
            )
    return found


def _invalid(reason: str) -> Refused:
    return Refused(INVALID, reason)


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise _invalid(f"Invalid value at '{where}' (TYPE_BYTES), {value!r}")
    try:
        text = value.replace("-", "+").replace("_", "/")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise _invalid(
            f"Invalid value at '{where}' (TYPE_BYTES), Base64 decoding failed"
        ) from error


# -- the envelopes ---------------------------------------------------------------------------------

_SETUP = {
    "model", "generationConfig", "systemInstruction", "tools", "sessionResumption",
    "contextWindowCompression", "inputAudioTranscription", "outputAudioTranscription",
    "realtimeInputConfig", "proactivity", "historyConfig", "avatarConfig", "safetySettings",
    "labels",
}  # fmt: skip


def _setup(body: dict[str, Any]) -> Setup:
    config = _camelled(_fields(body, _SETUP, "setup"))
    model = config.get("model")
    if not isinstance(model, str) or not model:
        raise _invalid("setup.model is required")
    resumption = config.get("sessionResumption")
    detection = config.get("realtimeInputConfig", {}).get("automaticActivityDetection", {})
    return Setup(
        model.removeprefix("models/"),
        config,
        _text(config.get("systemInstruction") or {}),
        dict(_tools(config.get("tools") or [])),
        resumption is not None,
        (resumption or {}).get("handle") or "",
        bool(config.get("historyConfig", {}).get("initialHistoryInClientContent")),
        not detection.get("disabled", False),
    )


def _tools(tools: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    declared = [it for tool in tools for it in tool.get("functionDeclarations", ())]
    for each in declared:
        if not isinstance(each, dict) or not each.get("name"):
            raise _invalid("setup.tools.function_declarations.name is required")
    return [(each["name"], each) for each in declared]


def _text(content: Mapping[str, Any]) -> str:
    return "".join(part.get("text") or "" for part in content.get("parts") or ())


def _content(body: dict[str, Any]) -> Content:
    fields = _fields(body, {"turns", "turnComplete"}, "client_content")
    turns = fields.get("turns") or []
    for turn in turns:
        _fields(turn, {"role", "parts"}, "client_content.turns")
        if turn.get("role", "user") not in ("user", "model"):
            raise _invalid(f"Please use a valid role: user, model; not {turn['role']!r}")
    return Content(
        tuple(Turn(turn.get("role", "user"), _text(turn)) for turn in turns),
        bool(fields.get("turnComplete")),
    )


def _realtime(body: dict[str, Any]) -> ClientMessage:
    fields = _fields(body, {*_REALTIME, "mediaChunks"}, "realtime_input")
    if "mediaChunks" in fields:
        raise _invalid("realtime_input.media_chunks is deprecated. Use audio, video, or text.")
    if len(fields) != 1:
        raise _invalid(f"realtime_input holds one field; this one has {sorted(fields)}")
    name, value = next(iter(fields.items()))
    return _REALTIME[name](value)


def _audio(value: Any) -> AudioHeard:
    blob = _fields(value, {"data", "mimeType"}, "realtime_input.audio")
    mimetype = str(blob.get("mimeType", "audio/pcm"))
    kind, _, rest = mimetype.replace(" ", "").partition(";")
    rate = re.fullmatch(r"(rate=([0-9]+))?", rest)
    if kind != "audio/pcm" or rate is None:
        raise _invalid(f"Unsupported audio: {mimetype!r}; use audio/pcm;rate=16000")
    pcm = _bytes(blob.get("data"), "realtime_input.audio.data")
    if len(pcm) % 2:
        raise _invalid(f"{len(pcm)} bytes are no whole number of 16-bit samples")
    return AudioHeard(pcm, int(rate[2] or 16_000))


def _video(value: Any) -> ImageSeen:
    blob = _fields(value, {"data", "mimeType"}, "realtime_input.video")
    mimetype = str(blob.get("mimeType", ""))
    if not mimetype.startswith("image/"):
        raise _invalid(f"Unsupported video: {mimetype!r}; use image/jpeg")
    return ImageSeen(_bytes(blob.get("data"), "realtime_input.video.data"), mimetype)


def _string(value: Any) -> TextHeard:
    if not isinstance(value, str):
        raise _invalid(f"Invalid value at 'realtime_input.text' (TYPE_STRING), {value!r}")
    return TextHeard(value)


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
    answers = []
    for each in fields.get("functionResponses") or []:
        answer = _fields(each, known, "tool_response.function_responses")
        if not isinstance(answer.get("response", {}), dict):
            raise _invalid("tool_response.function_responses.response must be an object")
        answers.append(
            ToolAnswer(
                answer.get("id") or "",
                answer.get("name") or "",
                answer.get("response") or {},
                answer.get("scheduling") or "",
            )
        )
    if not answers:
        raise _invalid("tool_response holds no function_responses")
    return ToolAnswers(tuple(answers))


_ENVELOPES: dict[str, Callable[[dict[str, Any]], ClientMessage]] = {
    "setup": _setup,
    "clientContent": _content,
    "realtimeInput": _realtime,
    "toolResponse": _tool_response,
}


# -- order -----------------------------------------------------------------------------------------


class Order:
    """What may come when, over one connection. Raises Refused for what may not.

    facts: of the model. resumed: the session goes on, and knows what was said.
    """

    def __init__(self, setup: Setup, facts: LiveFacts, *, resumed: bool) -> None:
        level = setup.config.get("generationConfig", {}).get("thinkingConfig", {})
        if "thinkingLevel" in level and not facts.thinking_level:
            raise _invalid(f"thinking_level is not supported by {setup.model}")
        if setup.history and resumed:
            raise _invalid("a resumed session takes no history")
        behaviours = [it.get("behavior") for it in setup.tools.values()]
        if "NON_BLOCKING" in behaviours and facts.tools == "blocking":
            raise _invalid(f"{setup.model} takes only blocking function calls")
        self._setup = setup
        self._content = facts.content
        self._resumed = resumed
        self._history = setup.history  # turns are still history
        self._begun = False
        self.calls: dict[str, str] = {}  # names of the calls that wait for an answer, by id

    def check(self, message: ClientMessage) -> None:
        """May this come now? It is taken for having come."""
        match message:
            case Setup():
                raise _invalid("setup may be sent once, as the first message")
            case Content():
                self._check_content(message)
            case ActivityStarted() | ActivityEnded() if self._setup.automatic:
                raise _invalid(
                    "Explicit activity control is not supported when automatic activity detection "
                    "is enabled"
                )
            case ToolAnswers(answers=answers):
                for answer in answers:
                    self._check_answer(answer)
            case _:
                self._begun = True

    def _check_content(self, content: Content) -> None:
        if self._history:
            self._history = not content.complete
            return
        past = len(content.turns) > 1 or any(turn.role == "model" for turn in content.turns)
        if past and self._resumed:
            raise _invalid("a resumed session takes no history again")
        if self._content == "seed" and (self._begun or self._resumed or content.complete):
            raise _invalid(
                f"client_content is not supported by {self._setup.model} after the session has "
                "begun; use realtime_input"
            )
        self._begun = self._begun or content.complete

    def _check_answer(self, answer: ToolAnswer) -> None:
        ids = [id for id, name in self.calls.items() if id == answer.id]
        # A call that was given no id is answered by its name.
        ids = ids or [id for id, name in self.calls.items() if not id and name == answer.name]
        if not ids:
            raise _invalid(f"no function call with the id {answer.id!r} waits for a response")
        del self.calls[ids[0]]
