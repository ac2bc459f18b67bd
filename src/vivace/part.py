"""`Part`: the one thing that flows, and the closed set of what it can hold.

A part is a value: nobody writes into a part it received; `derive` makes a changed one.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, Self, TypeAlias, Union

import msgspec

from vivace.audio import AudioFormat, check_whole
from vivace.errors import PartError
from vivace.signals import (
    Ask,
    Held,
    InputEnded,
    Interrupted,
    Played,
    PlayedTo,
    Playing,
    Reset,
    Resumed,
    Say,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)
from vivace.signals import TurnReason as TurnReason

__all__ = [
    "Ask",
    "Audio",
    "Body",
    "Call",
    "Data",
    "Event",
    "Held",
    "Image",
    "InputEnded",
    "Interrupted",
    "Part",
    "Played",
    "PlayedTo",
    "Playing",
    "Reset",
    "Response",
    "Resumed",
    "Say",
    "Signal",
    "SpeechEnded",
    "SpeechStarted",
    "TurnComplete",
    "TurnEnded",
    "is_side_lane",
]


class _Nothing(dict[str, Any]):
    """The empty mapping that all parts without metadata share; a value, so it cannot be written."""

    def __setitem__(self, key: str, value: object) -> NoReturn:
        raise TypeError("parts are values: use part.derive(metadata={...})")

    update = setdefault = __ior__ = __setitem__  # type: ignore[assignment]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> str:
        return "_NOTHING"  # pickle by name: there is one


_NOTHING: Mapping[str, Any] = _Nothing()


class Audio(msgspec.Struct, frozen=True, gc=False, tag="audio", omit_defaults=True):
    """Raw audio, and the words that it says if whoever made it knows them.

    pcm: `frames * format.frame_bytes` bytes; may be empty.
    words: the text spoken in these very samples, with the spaces between words kept, so that
        joining the words of consecutive chunks gives the text.

    Raises AudioError if `pcm` ends inside a frame.
    """

    pcm: bytes
    format: AudioFormat = AudioFormat()
    words: str = ""

    def __post_init__(self) -> None:
        check_whole(self.pcm, self.format)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        fmt = self.format  # its own `seconds`, spelled out: this is asked of every chunk, often
        return len(self.pcm) / (fmt.rate * fmt.channels * fmt.width)


class Image(msgspec.Struct, frozen=True, gc=False, tag="image"):
    """A picture as an encoded file, such as JPEG or PNG."""

    data: bytes
    mimetype: str = "image/jpeg"


class Data(msgspec.Struct, frozen=True, tag="data", omit_defaults=True):
    """Anything else: a value that JSON can hold, or `data`, bytes of some other type."""

    value: Any = None
    mimetype: str = "application/json"
    data: bytes = b""


class Call(msgspec.Struct, frozen=True, tag="call", omit_defaults=True):
    """A model asks for a tool."""

    id: str
    name: str
    args: Mapping[str, Any] = _NOTHING


class Response(msgspec.Struct, frozen=True, tag="response", omit_defaults=True):
    """What the tool answered to the call with the same id. `error` is set if it failed."""

    id: str
    name: str
    result: Any = None
    error: str = ""


class Event(msgspec.Struct, frozen=True, tag="event", omit_defaults=True):
    """Something was seen or heard, at the media time `at` of the part that holds this.

    type: what, as "motion". detector: who says so. confidence: how sure it is, 0 to 1.
    latency_s: from when it could be seen until the detector had seen it.
    triggers_turn: "after": the model is asked once nobody speaks; "over": at once, in place of the
        reply under way; "": neither.
    text: what a model is told of it. previous: the state before, if it is a change of states.
    edge: of what was seen several times in a row: "leading" the first time, "trailing" the last.
    data: whatever else the detector tells of it, as JSON can hold it.
    """

    type: str = msgspec.field(name="kind")  # as JSON: there `type` tells which body it is
    detector: str = ""
    confidence: float = 1.0
    latency_s: float = 0.0
    triggers_turn: Literal["", "after", "over"] = ""
    text: str = ""
    previous: str = ""
    edge: Literal["leading", "trailing"] = "leading"
    data: Any = None

    @property
    def told(self) -> str:
        """What a model is told of it."""
        return self.text or f"({self.type.replace('_', ' ')})"


Body: TypeAlias = Union[  # noqa: UP007 - msgspec reads the union at run time
    str, Audio, Image, Data, Call, Response, Event,
    SpeechStarted, SpeechEnded, TurnEnded, TurnComplete, InputEnded,
    Interrupted, Reset, Held, Resumed, Playing, Played, PlayedTo, Say, Ask,
]  # fmt: skip


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of a stream: what it holds, who says it, and where it belongs.

    body: text as a plain `str`, or one of `Audio`, `Image`, `Data`, `Call`, `Response`, `Event`,
        `Signal`.
    role: "user", "model" or "system".
    substream: "" is the conversation; `debug`, `status` and `ui` are side lanes.
    turn: the number of the reply that it belongs to; 0 belongs to none.
    at: media time in seconds from the start of its stream; always set on live audio and video.
    metadata: small facts for whoever wants them; never written to.
    """

    body: Body
    role: str = "user"
    substream: str = ""
    turn: int = 0
    at: float | None = None
    metadata: Mapping[str, Any] = _NOTHING

    # -- making -------------------------------------------------------------------------------

    @classmethod
    def audio(
        cls, pcm: bytes, rate: int = 16_000, *, channels: int = 1, words: str = "", **fields: Any
    ) -> Part:
        """16-bit PCM. Raises AudioError if it ends inside a frame."""
        return cls(Audio(pcm, AudioFormat(rate, channels), words), **fields)

    @classmethod
    def image(cls, data: bytes, mimetype: str = "image/jpeg", **fields: Any) -> Part:
        """An encoded picture."""
        return cls(Image(data, mimetype), **fields)

    @classmethod
    def call(cls, name: str, args: Mapping[str, Any] = _NOTHING, *, id: str, **fields: Any) -> Part:
        """A model's wish to use a tool; its role is "model" unless said otherwise."""
        fields.setdefault("role", "model")
        return cls(Call(id, name, args), **fields)

    @classmethod
    def response(
        cls, name: str, result: Any = None, *, id: str, error: str = "", **fields: Any
    ) -> Part:
        """What the tool answered to the call with this `id`."""
        return cls(Response(id, name, result, error), **fields)

    @classmethod
    def of(cls, value: Any, mimetype: str = "", **fields: Any) -> Part:
        """Make a part of text, bytes, a dict or list, a PIL image, a numpy array, or a body.

        mimetype: needed for bytes; for a numpy array of int16 samples, `audio/pcm;rate=…`.
        A part comes back as it is, or with `fields` changed.

        Raises PartError if the value cannot be told from its type, saying what would do.
        """
        if isinstance(value, Part):
            return value.derive(**fields) if fields else value
        return cls(_body_of(value, mimetype), **fields)

    def derive(self, **changes: Any) -> Part:
        """The same part with some fields changed."""
        return msgspec.structs.replace(self, **changes)

    # -- reading ------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The text, or "" if it holds something else."""
        return self.body if isinstance(self.body, str) else ""

    @property
    def bytes(self) -> builtins.bytes:
        """The bytes of audio, an image, binary data or (as UTF-8) text; b"" of all others."""
        match self.body:
            case str():
                return self.body.encode()
            case Audio():
                return self.body.pcm
            case Image():
                return self.body.data
            case Data():
                return self.body.data
            case _:
                return b""

    @property
    def mimetype(self) -> str:
        """Such as `text/plain`, `audio/pcm;rate=16000`, `image/jpeg`, `application/json`."""
        match self.body:
            case str():
                return "text/plain"
            case Audio():
                return self.body.format.mimetype
            case Image() | Data():
                return self.body.mimetype
            case _:
                return f"application/x-vivace-{self.body.__struct_config__.tag}"

    @property
    def function_call(self) -> Call | None:
        """The tool call, if it is one."""
        return self.body if isinstance(self.body, Call) else None

    @property
    def function_response(self) -> Response | None:
        """The tool's answer, if it is one."""
        return self.body if isinstance(self.body, Response) else None

    @property
    def seconds(self) -> float:
        """How long it lasts: 0 unless it is audio."""
        return self.body.seconds if isinstance(self.body, Audio) else 0.0


_SIDE_LANES = ("debug", "status", "ui")


def is_side_lane(substream: str) -> bool:
    """True for `debug`, `status`, `ui` and what is below them (`debug/…`, never `debugging`)."""
    return substream.partition("/")[0] in _SIDE_LANES


def _body_of(value: Any, mimetype: str) -> Body:
    if isinstance(value, str | Audio | Image | Data | Call | Response | Event | Signal):
        return value  # type: ignore[return-value]  # the concrete signals are the union's members
    if isinstance(value, bytes | bytearray | memoryview):
        return _body_of_bytes(bytes(value), mimetype)
    if isinstance(value, dict | list):
        return Data(value, mimetype or "application/json")
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if kind == "numpy.ndarray":
        return _body_of_array(value, mimetype)
    if kind.startswith("PIL."):
        return _body_of_picture(value, mimetype)
    raise PartError(
        f"a {kind} cannot be made into a part; give text, bytes with a mimetype, a dict, a list, "
        "a numpy array of int16 samples, a PIL image, or a body such as Audio"
    )


def _body_of_bytes(value: bytes, mimetype: str) -> Body:
    if not mimetype:
        raise PartError("bytes do not say what they are; pass mimetype=, as 'audio/pcm;rate=16000'")
    if mimetype.startswith("text/"):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise PartError(f"bytes that are no UTF-8 ({error}); decode them first") from error
    if mimetype.startswith("image/"):
        return Image(value, mimetype)
    if AudioFormat.knows(mimetype):
        return Audio(value, AudioFormat.parse(mimetype))
    return Data(None, mimetype, value)


def _body_of_array(value: Any, mimetype: str) -> Body:
    if str(value.dtype) != "int16" or value.ndim not in (1, 2):
        raise PartError(
            f"an array of {value.dtype} with shape {value.shape} is not PCM; "
            "give int16 of shape [frames] or [frames, channels]"
        )
    fmt = AudioFormat.parse(mimetype or "audio/pcm")
    channels = value.shape[1] if value.ndim == 2 else 1
    return Audio(value.astype("<i2").tobytes(), AudioFormat(fmt.rate, channels))


def _body_of_picture(value: Any, mimetype: str) -> Body:
    import io  # only programs with pictures pay for it

    kind = (mimetype or "image/jpeg").removeprefix("image/").upper()
    buffer = io.BytesIO()
    value.convert("RGB" if kind == "JPEG" else value.mode).save(buffer, kind)
    return Image(buffer.getvalue(), f"image/{kind.lower()}")
