"""Parts as a conversation: what every turn model makes of its prompt.

This file owns the rules of order: system text first, then user and model by turns, beginning and
ending with the user. How a turn is written down for one model's interface is that model's affair.
"""

from __future__ import annotations

import io
import wave
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from vivace.audio import AudioFormat, to_pcm16
from vivace.errors import PartError
from vivace.machines.json_text import json_text, writable
from vivace.part import Audio, Call, Data, Event, Image, Part, Response, Signal

__all__ = ["Conversation", "Turn", "conversation", "result_text", "skipped_note", "spoken", "wav"]

# An em dash is how print shows speech that somebody else cut off; an ellipsis says that the
# speaker trailed off by himself, which would tell the model the opposite of what happened.
_CUT = "—"

# Many chat templates refuse a conversation that does not begin and end with the user.
_OPENING = "Hello."
_GO_ON = "Please go on."

_FLIP_SIGN = bytes(value ^ 0x80 for value in range(256))


class Turn(msgspec.Struct, frozen=True):
    """What one side said before the other did. role: "user" or "model".

    parts: neighbouring texts are one part; calls stand in model turns, responses in user turns.
    """

    role: str
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """All that is text in it."""
        return _join([part.text for part in self.parts if part.text])

    @property
    def calls(self) -> list[Call]:
        """The tools that the model asked for."""
        return [part.body for part in self.parts if isinstance(part.body, Call)]

    @property
    def results(self) -> list[Response]:
        """What tools answered."""
        return [part.body for part in self.parts if isinstance(part.body, Response)]


class Conversation(msgspec.Struct, frozen=True):
    """A prompt in order.

    system: all system text, one paragraph a part; may be empty.
    turns: user and model by turns; the first and the last are the user's. Never empty.
    skipped: the parts that this model cannot read; whoever asked for them must say so.
    """

    system: str
    turns: tuple[Turn, ...]
    skipped: tuple[Part, ...] = ()

    def results_after(self, index: int) -> dict[str, Response]:
        """By id, the results that come right after a turn: they can stand beside its calls.

        One that comes later belongs where it came: the model has said something in between, not
        knowing it, and it may be what there is to answer now.
        """
        after = self.turns[index + 1 : index + 2]
        return {result.id: result for turn in after for result in turn.results}

    def calls_before(self, index: int) -> set[str]:
        """The ids of the calls in the turn before this one."""
        before = self.turns[max(0, index - 1) : index]
        return {call.id for turn in before for call in turn.calls}


def conversation(parts: Iterable[Part], *, reads: Collection[type] = ()) -> Conversation:
    """Put the parts of a prompt in order.

    reads: what the model takes besides text, of Audio, Image, Call and Response. Sound that it
        does not take, and its own sound always, becomes the words that it carries.

    Signals and side lanes are no part of a conversation and are left out. Where a model part says
    `metadata["interrupted"]`, a dash marks the cut. If the model spoke last it is asked to go on.

    Raises PartError if the prompt is empty, or if of what the user said last nothing can be read.
    """
    system: list[str] = []
    said: list[Part] = []
    skipped: list[Part] = []
    for part in parts:
        body = part.body
        if part.substream or isinstance(body, Signal):
            continue
        if part.role == "system" and isinstance(body, str):
            system.append(body.strip())
            continue
        found = _readable(part, reads)
        if found is None:
            skipped.append(part)
        elif found.body != "":
            said.append(found)
    _check(said, skipped, system)
    return Conversation(
        "\n\n".join(text for text in system if text), tuple(_turns(said)), tuple(skipped)
    )


def skipped_note(name: str, skipped: Sequence[Part]) -> Part:
    """A `status` part that says what the model called `name` did not read."""
    return Part(f"{name} does not read {_kinds(skipped)}", role="model", substream="status")


def result_text(result: Response) -> str:
    """What a tool answered, as text."""
    if isinstance(result.result, str) and not result.error:
        return result.result
    result = writable(result)
    return f"error: {result.error}" if result.error else json_text(result.result)


def spoken(parts: Iterable[Part]) -> list[Part]:
    """The parts with neighbouring audio of one format joined, also across the pictures between.

    A camera cuts speech into pieces of a second or less; a model hears whole sentences better.
    """
    done: list[Part] = []
    open_at: int | None = None
    for part in parts:
        body = part.body
        before = done[open_at].body if open_at is not None else None
        if isinstance(body, Audio) and isinstance(before, Audio) and before.format == body.format:
            assert open_at is not None
            joined = Audio(before.pcm + body.pcm, body.format, before.words + body.words)
            done[open_at] = done[open_at].derive(body=joined)
            continue
        if isinstance(body, Audio):
            open_at = len(done)
        elif not isinstance(body, Image):
            open_at = None
        done.append(part)
    return done


def wav(audio: Audio) -> bytes:
    """The same sound as a WAV file; what is no integers becomes 16 bit."""
    if audio.format.encoding != "int":
        fmt = AudioFormat(audio.format.rate, audio.format.channels)
        audio = Audio(to_pcm16(audio.pcm, audio.format), fmt)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(audio.format.channels)
        out.setsampwidth(audio.format.width)
        out.setframerate(audio.format.rate)
        # 8-bit samples are unsigned in WAV files, and in them alone.
        pcm = audio.pcm.translate(_FLIP_SIGN) if audio.format.width == 1 else audio.pcm
        out.writeframes(pcm)
    return file.getvalue()


def _readable(part: Part, reads: Collection[type]) -> Part | None:
    """The part as this model can read it; None if it cannot."""
    body = part.body
    if isinstance(body, str):
        return part
    if isinstance(body, Event):
        return part.derive(body=body.told)
    if isinstance(body, Audio) and (_role(part) == "model" or Audio not in reads):
        # The agent's own sound without words is a tone or silence: nothing was said.
        return part.derive(body=body.words) if body.words or _role(part) == "model" else None
    if isinstance(body, Data) and not body.data:
        try:
            return part.derive(body=json_text(body.value))
        except PartError:
            return None
    return part if type(body) in reads else None


def _role(part: Part) -> str:
    if isinstance(part.body, Call):
        return "model"
    return "model" if part.role == "model" and not isinstance(part.body, Response) else "user"


def _check(said: Sequence[Part], skipped: Sequence[Part], system: Sequence[str]) -> None:
    if not (said or skipped or system):
        raise PartError("the prompt is empty; give the model at least one part to answer")
    asked = [part for part in skipped if _role(part) == "user"]
    if asked and (not said or _role(said[-1]) == "model"):
        raise PartError(
            f"this model does not read {_kinds(asked)}, and the user said nothing else; "
            "put a stage before it that makes text of them, or choose a model that reads them"
        )


def _kinds(parts: Sequence[Part]) -> str:
    names = Counter(f"{part.body.__class__.__name__.lower()} ({part.mimetype})" for part in parts)
    return ", ".join(f"{count} × {name}" for name, count in names.items())


def _turns(said: Sequence[Part]) -> Iterator[Turn]:
    if not said or _role(said[0]) == "model":
        yield Turn("user", (Part(_OPENING),))
    block: list[Part] = []
    for part in said:
        if block and _role(block[-1]) != _role(part):
            yield _turn(block)
            block = []
        block.append(part)
    if block:
        yield _turn(block)
        if _role(block[-1]) == "model":
            yield Turn("user", (Part(_GO_ON),))


def _turn(block: Sequence[Part]) -> Turn:
    role = _role(block[0])
    merged: list[Part] = []
    for part, after in zip(block, [*block[1:], None], strict=True):
        text = part.text
        if text and role == "model" and _is_cut(part, after):
            text = text.rstrip() + _CUT
        last = merged[-1] if merged else None
        if not (text and last and last.text):
            merged.append(part.derive(body=text) if text else part)
        elif role == "model" and last.turn == part.turn:
            merged[-1] = part.derive(body=last.text + text)  # tokens bring their own spaces
        else:
            merged[-1] = part.derive(body=_join([last.text, text]))
    return Turn(role, tuple(merged))


def _is_cut(part: Part, after: Part | None) -> bool:
    """True for the last text of a reply that was interrupted."""
    if not part.metadata.get("interrupted"):
        return False
    return not (after and after.text and after.turn == part.turn)


def _join(texts: Sequence[str]) -> str:
    """One text of several utterances, with a space between where neither side has one."""
    joined = ""
    for text in texts:
        gap = " " if joined and not (joined[-1].isspace() or text[:1].isspace()) else ""
        joined += gap + text
    return joined
