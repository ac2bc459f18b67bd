"""What goes to a live model's server: in frames, in order, and again if it was not taken in.

This file owns three rules. Sound goes in messages of 20 to 100 ms: short ones as long as they get
away at once. Of pictures the newest goes, one a second at most. What waits while there is no
connection, and what the server cannot be known to have taken in, is kept: all but sound whole, of
sound the newest two seconds; the rest is counted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TypeAlias, Union

import msgspec

from vivace.audio import AudioFormat
from vivace.machines.pressure import Shedding
from vivace.part import Response

__all__ = [
    "ActivityEnd", "ActivityStart", "AudioEnd", "Message", "Outbound", "OutboundRules", "Result",
    "SendAudio", "SendContent", "SendImage", "SendResults", "SendText",
]  # fmt: skip

_FORMAT = AudioFormat(16_000)
_KEPT = 256  # messages that are no sound, of those that the server may not have taken in


class SendAudio(msgspec.Struct, frozen=True, gc=False):
    """Sound: 16-bit mono, 16 kHz."""

    pcm: bytes

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.pcm) / 32_000


class SendImage(msgspec.Struct, frozen=True, gc=False):
    """A JPEG."""

    data: bytes


class SendText(msgspec.Struct, frozen=True, gc=False):
    """Text, said by the user in the moment."""

    text: str


class SendContent(msgspec.Struct, frozen=True):
    """Turns, each a role and a text. complete: the model is to answer."""

    turns: tuple[tuple[str, str], ...] = ()
    complete: bool = False


class Result(msgspec.Struct, frozen=True):
    """What a tool answered. given_id: that the server gave to the call. scheduling: "" or as the
    server writes it."""

    response: Response
    given_id: str
    scheduling: str = ""

    @property
    def asks(self) -> bool:
        """False if the model says nothing of it until it is asked."""
        return self.scheduling != "SILENT"


class SendResults(msgspec.Struct, frozen=True):
    """What tools answered."""

    results: tuple[Result, ...]


class ActivityStart(msgspec.Struct, frozen=True, gc=False):
    """The user has begun: where the server does not detect it."""


class ActivityEnd(msgspec.Struct, frozen=True, gc=False):
    """The user has finished, likewise."""


class AudioEnd(msgspec.Struct, frozen=True, gc=False):
    """No sound comes for now."""


Message: TypeAlias = Union[  # noqa: UP007
    SendAudio, SendImage, SendText, SendContent, SendResults, ActivityStart, ActivityEnd, AudioEnd
]


class OutboundRules(msgspec.Struct, frozen=True):
    """least_s, most_s: of sound in a message. keep_s: of sound that waits, or is sent again.
    image_s: between two pictures. window: messages that may be on their way into the socket; sound
    that comes meanwhile is sent together. flight_s: what was sent so shortly before a handle came
    may not be covered by it. waiting: messages that are no sound and wait, before no more input
    should be read."""

    least_s: float = 0.02
    most_s: float = 0.1
    keep_s: float = 2.0
    image_s: float = 1.0
    window: int = 1
    flight_s: float = 0.1
    waiting: int = 256


class Outbound:
    """Lines up what goes out. `dropped_s` counts the sound that the server will never hear,
    `images_skipped` the pictures that a newer one took the place of. shedding: while it sheds small
    chunks, sound goes in the longest messages that may be."""

    def __init__(
        self, rules: OutboundRules | None = None, shedding: Shedding | None = None
    ) -> None:
        self._rules = rules or OutboundRules()
        self._shedding = shedding or Shedding()
        self._least = _FORMAT.size(self._rules.least_s)
        self._most = _FORMAT.size(self._rules.most_s)
        self._keep = _FORMAT.size(self._rules.keep_s)
        self._rest = b""  # of sound, too short to be sent
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0  # of sound in it
        # Sent, when, and perhaps not taken in.
        self._kept: deque[tuple[float, Message]] = deque()
        self._kept_bytes = 0
        self._unkept = 0  # bytes of sound that were sent, perhaps not taken in, and not kept
        self._unkept_at = -math.inf  # when the newest of them was sent
        self._dropped = 0
        self._in_flight = 0
        self._active = False  # an activity of the user's has begun, and not ended
        self._image: SendImage | None = None
        self._image_at = -math.inf
        self.images_skipped: int = 0

    # -- in -----------------------------------------------------------------------------------

    def hear(self, pcm: bytes) -> None:
        """Sound, 16-bit mono at 16 kHz, in chunks of any length."""
        pcm = self._rest + pcm if self._rest else pcm
        start, size = 0, len(pcm)
        while size - start >= self._least:
            end = min(start + self._most, size)
            if end - start < self._most and self._shedding.sheds("chunks"):
                break
            self._put_audio(pcm[start:end])
            start = end
        self._rest = pcm[start:]

    def flush(self) -> None:
        """No more sound comes for now: the rest goes, however short."""
        rest, self._rest = self._rest, b""
        if rest:
            self._put_audio(rest)

    def look(self, data: bytes) -> None:
        """A JPEG. It takes the place of one that still waits."""
        self.images_skipped += self._image is not None
        self._image = SendImage(data)

    def put(self, message: Message) -> None:
        """A message that is neither sound nor picture."""
        if isinstance(message, ActivityStart | ActivityEnd):
            self._active = isinstance(message, ActivityStart)
        self._waiting.append(message)

    def _put_audio(self, pcm: bytes) -> None:
        self._waiting.append(SendAudio(pcm))
        self._waiting_bytes += len(pcm)
        if self._waiting_bytes > self._keep:
            self._waiting_bytes, dropped = _shorten(self._waiting, self._waiting_bytes, self._keep)
            self._dropped += dropped

    # -- out ----------------------------------------------------------------------------------

    def next(self, now: float) -> list[Message]:
        """What is to be sent now, over the connection that there is."""
        out: list[Message] = []
        while self._waiting and self._in_flight < self._rules.window:
            message = self._waiting.popleft()
            if isinstance(message, SendAudio):
                message = self._joined(message)
                self._waiting_bytes -= len(message.pcm)
            self._leaves(message, now)
            out.append(message)
        image = self._image
        if image is not None and now >= self._image_due() and self._in_flight < self._rules.window:
            self._image, self._image_at = None, now
            self._leaves(image, now)
            out.append(image)
        return out

    def _joined(self, message: SendAudio) -> SendAudio:
        """`message` with the sound that waits behind it, as much as one message may have."""
        pieces, size = [message.pcm], len(message.pcm)
        while self._waiting and isinstance(more := self._waiting[0], SendAudio):
            size += len(more.pcm)
            if size > self._most:
                break
            pieces.append(more.pcm)
            self._waiting.popleft()
        return SendAudio(b"".join(pieces)) if len(pieces) > 1 else message

    def sent(self) -> None:
        """One message is in the socket."""
        self._in_flight -= 1

    def deadline(self) -> float | None:
        """When a picture that waits may go; None while it waits for the socket."""
        waits = self._image is None or self._in_flight >= self._rules.window
        return None if waits else self._image_due()

    def full(self) -> bool:
        """True if too much waits that may not be dropped."""
        return len(self._waiting) >= self._rules.waiting + self._keep // self._least

    def waits(self) -> bool:
        """True if something waits."""
        return bool(self._waiting) or self._image is not None

    def empty(self) -> bool:
        """True if nothing waits, and nothing is on its way into the socket."""
        return not self._waiting and not self._in_flight

    @property
    def dropped_s(self) -> float:
        """Seconds of sound that no server will ever hear."""
        return _FORMAT.seconds(self._dropped)

    def _image_due(self) -> float:
        return self._image_at + self._rules.image_s

    def _leaves(self, message: Message, now: float) -> None:
        self._in_flight += 1
        self._kept.append((now, message))
        if not isinstance(message, SendAudio):
            if len(self._kept) > _KEPT + self._keep // self._least:
                self._kept.remove(next(it for it in self._kept if not _is_audio(it[1])))
            return
        self._kept_bytes += len(message.pcm)
        while self._kept_bytes > self._keep:
            oldest = next(it for it in self._kept if _is_audio(it[1]))
            self._kept.remove(oldest)
            self._kept_bytes -= _bytes_of(oldest[1])
            self._unkept += _bytes_of(oldest[1])
            self._unkept_at = oldest[0]

    # -- what became of it --------------------------------------------------------------------

    def answered(self, now: float) -> None:
        """A reply begins: what was said before it is answered, but for sound of the last moment."""
        flown = now - self._rules.flight_s
        self._let_go(lambda at, message: not _is_audio(message) or at <= flown, flown)

    def covered(self, now: float) -> None:
        """A handle has come: the session can be resumed as it was a moment ago."""
        flown = now - self._rules.flight_s
        self._let_go(lambda at, _: at <= flown, flown)

    def _let_go(self, taken_in: Callable[[float, Message], bool], flown: float) -> None:
        """Keep no more what is taken in, and is in the socket at all. flown: what was sent then."""
        sure = len(self._kept) - self._in_flight
        self._kept = deque(
            kept for index, kept in enumerate(self._kept) if index >= sure or not taken_in(*kept)
        )
        self._kept_bytes = sum(_bytes_of(it) for _, it in self._kept)
        if self._unkept_at <= flown:
            self._unkept = 0

    def forget(self, now: float) -> None:
        """What was asked is not wanted any more: it is not sent, nor sent again."""
        self.answered(now)
        self._waiting = deque(it for it in self._waiting if not _asks(it))

    def lost(self, instead: Callable[[SendResults], Message | None] = lambda _: None) -> None:
        """The connection is gone: what was not taken in waits again, before what waits already.

        instead: what is sent in the place of results, whose calls are gone with the connection.
        """
        kept = [it for _, it in self._kept]
        images = [it for it in kept if isinstance(it, SendImage)]
        self._image = self._image or (images[-1] if images else None)
        waiting = [*(it for it in kept if not isinstance(it, SendImage)), *self._waiting]
        replaced = (instead(it) if isinstance(it, SendResults) else it for it in waiting)
        self._waiting = deque(it for it in replaced if it is not None)
        if self._continues():
            self._waiting.appendleft(ActivityStart())
        self._waiting_bytes, dropped = _shorten(
            self._waiting, self._waiting_bytes + self._kept_bytes, self._keep
        )
        self._dropped += self._unkept + dropped
        self._in_flight = self._kept_bytes = self._unkept = 0
        self._kept.clear()

    def _continues(self) -> bool:
        """True if what waits is of an activity that the old connection alone has seen begin."""
        edges = (it for it in self._waiting if isinstance(it, ActivityStart | ActivityEnd))
        first = next(edges, None)
        return self._active if first is None else isinstance(first, ActivityEnd)


def _is_audio(message: Message) -> bool:
    return isinstance(message, SendAudio)


def _asks(message: Message) -> bool:
    """True for a text that is to be answered."""
    return isinstance(message, SendText) or (isinstance(message, SendContent) and message.complete)


def _bytes_of(message: Message) -> int:
    return len(message.pcm) if isinstance(message, SendAudio) else 0


def _shorten(messages: deque[Message], size: int, keep: int) -> tuple[int, int]:
    """Take the oldest sound out until at most `keep` bytes are left; how many are, and were taken.

    It mostly stands first: what is no sound is rare.
    """
    dropped = 0
    while size > keep:
        oldest = next(it for it in messages if isinstance(it, SendAudio))
        messages.remove(oldest)
        size -= len(oldest.pcm)
        dropped += len(oldest.pcm)
    return size, dropped
