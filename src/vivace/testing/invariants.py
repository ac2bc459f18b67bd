"""What must hold in every conversation, at every moment of it.

Each is a small object that sees all that happens and says what is wrong. Those of the reply are
here; `accounts.py` has those that count.
"""

from __future__ import annotations

from collections import defaultdict

from vivace.part import (
    Audio,
    Call,
    Data,
    Held,
    Image,
    Interrupted,
    Part,
    PlayedTo,
    Reset,
    Response,
    Resumed,
    Signal,
    TurnComplete,
    is_side_lane,
)
from vivace.part import Played as PlayedOut
from vivace.testing.witness import (
    Called,
    Ended,
    Event,
    Gave,
    Got,
    News,
    Passed,
    Played,
    Stages,
    Told,
)

__all__ = [
    "HeardIsPlayed",
    "HoldsEnd",
    "NothingStale",
    "OneEndEach",
    "OneReply",
    "PairsWhole",
    "SampleExact",
]

_CHUNK_S = 0.02
# A pacer keeps its schedule after a hiccup that was no longer, so what follows leaves earlier than
# a speaker that had nothing to play can play it.
_AHEAD_S = 0.25  # a chunk, at its longest, and the lead with which it leaves
_HICCUP_S = 0.1
_OFF_S = 0.12  # of sound that was heard may be told wrong


class _Watch:
    """The base of all: sees nothing wrong."""

    name = ""
    sees: tuple[type[Event], ...] = ()

    def see(self, event: Event, at: float) -> str | None:
        return None

    def end(self, at: float) -> str | None:
        return None


def voided(signal: Signal) -> int:
    """The number up to which replies are void by this signal; 0 for none."""
    return signal.turn if isinstance(signal, Interrupted | Reset) else 0


class NothingStale(_Watch):
    """No audio, text or news of completion of a reply leaves once it is void."""

    name = "nothing stale"
    sees: tuple[type[Event], ...] = (Told, Got)

    def __init__(self) -> None:
        self._void = 0

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case Told(signal=signal):
                self._void = max(self._void, voided(signal))
            case Got(part=part) if 0 < part.turn <= self._void and not is_side_lane(part.substream):
                body = part.body
                late = isinstance(body, TurnComplete) and body.reason in ("done", "failed")
                if late or isinstance(body, str | Audio | Image | Data):
                    what = type(body).__name__
                    return (
                        f"{what} of reply {part.turn} came after replies up to {self._void}"
                        " were void"
                    )
        return None


class SampleExact(_Watch):
    """What is handed out of a reply is what was made of it, sample by sample, without gap or
    repeat; all of it, if the reply is complete."""

    name = "sample-exact"
    sees: tuple[type[Event], ...] = (Stages, Passed, Got)

    def __init__(self) -> None:
        self._made: defaultdict[int, bytearray] = defaultdict(bytearray)
        self._out: defaultdict[int, int] = defaultdict(int)
        self._stage: int | None = None

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case Stages() as stages:
                self._stage = stages.conversation
            case Passed(stage=stage, part=Part(body=Audio() as audio, turn=turn)):
                if stage == self._stage:
                    self._made[turn] += audio.pcm
            case Got(part=Part(body=Audio() as audio, role="model", turn=turn)):
                return self._got(turn, audio.pcm)
            case Got(part=Part(body=TurnComplete(turn=turn, reason=reason))):
                made, out = len(self._made[turn]), self._out[turn]
                if reason in ("done", "failed") and out < made:
                    return f"of reply {turn}, {out} of {made} bytes were played, and it is {reason}"
        return None

    def _got(self, turn: int, pcm: bytes) -> str | None:
        if self._stage is None:
            return None
        begin = self._out[turn]
        self._out[turn] += len(pcm)
        if self._made[turn][begin : begin + len(pcm)] == pcm:
            return None
        other = [number for number, made in self._made.items() if pcm in made]
        whose = f"a piece of reply {other[0]}" if other else "nothing that was made"
        return f"at byte {begin} of reply {turn} comes {whose}"


class HeardIsPlayed(_Watch):
    """What the prompt and `Interrupted` say was heard is what was handed out, and that was played
    but for what waits in the speaker's own buffer; where it was cut, to 120 ms.

    buffer_s: of the speaker's, unknown to the agent until the first report. chunk_s: the longest
    that one part takes of it.
    """

    name = "heard is played"
    sees: tuple[type[Event], ...] = (Got, News, Told, Played, Called)

    def __init__(self, buffer_s: float = 0.0, *, chunk_s: float = 0.0) -> None:
        self._buffer_s = buffer_s + chunk_s
        self._off_s = _OFF_S + buffer_s
        self._ahead_s = _AHEAD_S
        self._told: dict[int, str] = {}
        self._words: defaultdict[int, list[tuple[str, float]]] = defaultdict(list)
        self._seconds: defaultdict[int, float] = defaultdict(float)
        self._over: set[int] = set()
        self._done: set[int] = set()
        self._newest = 0

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case Told(signal=PlayedTo(turn=turn, seconds=seconds)):
                if 0 < seconds < self._seconds[turn]:  # else it does not tell of the buffer
                    self._off_s, self._ahead_s = _OFF_S, _AHEAD_S + self._buffer_s
            case Got(part=Part(body=Audio() as audio, role="model", turn=turn)) if turn:
                self._words[turn].append((audio.words, audio.seconds))
                self._seconds[turn] += audio.seconds
            case Got(part=Part(body=str(text), role="model", turn=turn, substream="")) if turn:
                self._words[turn].append((text, 0.0))
            case News(facts={"event": "asked" | "saying" | "brought_back", "turn": int(turn)}):
                self._newest = turn
            case Told(signal=Interrupted(turn=turn)) if turn in self._over:
                pass  # a button is pressed when the reply is over
            case Told(signal=Interrupted(turn=turn, heard=heard)):
                self._over.add(turn)
                self._told.setdefault(turn, heard)
                if heard and not self._is_heard(turn, heard):
                    return f"reply {turn} is told to be heard as {heard!r}: {self._wrong(turn)}"
            case Told(signal=PlayedOut(turn=turn, reason=reason)):
                self._over.add(turn)
                self._done |= {turn} if reason == "done" else set()
            case Played(turn=turn, seconds=seconds):
                ahead = self._seconds[turn] - seconds
                if not -1e-6 <= ahead <= self._buffer_s + _CHUNK_S + _HICCUP_S:
                    return (
                        f"of reply {turn}, {self._seconds[turn]:.3f} s were handed out, and "
                        f"{seconds:.3f} s played"
                    )
                return self._cut(turn, seconds)
            case Called(prompt=prompt):
                return self._prompted(prompt)
        return None

    def _cut(self, turn: int, played_s: float) -> str | None:
        """Is what was told to be heard what was played, when it was cut?"""
        if turn not in self._told:
            return None
        told, least, most, at = self._told[turn], "", "", 0.0
        for words, seconds in self._words.get(turn, ()):
            most += words if at < played_s + self._off_s else ""
            at += seconds
            least += words if at < played_s - self._off_s else ""
        if most.strip().startswith(told) and told.startswith(least.strip()):
            return None
        return (
            f"of reply {turn}, {played_s:.3f} s were played, so {least!r} at least and {most!r} at "
            f"most, and it is told to be heard as {told!r}"
        )

    def _prompted(self, prompt: tuple[Part, ...]) -> str | None:
        said: dict[int, str] = {}
        for part in prompt:
            if part.role == "model" and isinstance(part.body, str):
                # A reply that goes on after its tools knows what it has said before each of them.
                if part.turn in said and part.turn in self._over:
                    return f"reply {part.turn} is in the prompt twice"
                said[part.turn] = f"{said.get(part.turn, '')} {part.body}".strip()
        for turn, text in said.items():
            goes_on = turn not in self._over and text.startswith(self._heard(turn))
            if not goes_on and not self._is_heard(turn, text):
                return f"the prompt has reply {turn} as {text!r}: {self._wrong(turn)}"
        for turn in sorted(self._over):
            if turn not in said and self._least(turn) and turn < self._newest:
                return f"the prompt lacks reply {turn}: {self._wrong(turn)}"
        return None

    def _is_heard(self, turn: int, text: str) -> bool:
        """Is it what was handed out, but perhaps for the last that was not played by then?"""
        return self._heard(turn).startswith(text) and text.startswith(self._least(turn))

    def _least(self, turn: int) -> str:
        return self._heard(turn, 0.0 if turn in self._done else self._ahead_s)

    def _heard(self, turn: int, ahead_s: float = 0.0) -> str:
        """The words that were handed out, without those of the last `ahead_s` seconds."""
        pieces = list(self._words.get(turn, ()))
        while pieces and ahead_s > 0:
            ahead_s -= pieces.pop()[1]
        return "".join(words for words, _ in pieces).strip()

    def _wrong(self, turn: int) -> str:
        return f"handed out was {self._heard(turn)!r}"


class PairsWhole(_Watch):
    """In every prompt, a response comes after its call, each of them once; and a call that has been
    answered stands with its response."""

    name = "pairs whole"
    sees: tuple[type[Event], ...] = (Stages, Passed, Called)

    def __init__(self) -> None:
        self._answered: set[str] = set()
        self._before = 0  # the stage before the conversation: what has left it, the prompt has

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case Stages() as stages:
                self._before = max(0, (stages.conversation or 0) - 1)
            case Passed(stage=stage, part=Part(body=Response(id=it))) if stage == self._before:
                self._answered.add(it)
            case Called(prompt=prompt):
                return self._check(prompt)
        return None

    def _check(self, prompt: tuple[Part, ...]) -> str | None:
        calls: set[str] = set()
        responses: set[str] = set()
        for part in prompt:
            match part.body:
                case Call(id=it) if it in calls:
                    return f"call {it} is in the prompt twice"
                case Call(id=it):
                    calls.add(it)
                case Response(id=it) if it in responses:
                    return f"the response to {it} is in the prompt twice"
                case Response(id=it) if it not in calls:
                    return f"the response to {it} is in the prompt without its call"
                case Response(id=it):
                    responses.add(it)
        lost = (calls & self._answered) - responses
        return f"the response to {min(lost)} has come, and is not in the prompt" if lost else None


class OneReply(_Watch):
    """At most one reply is outstanding; replies are numbered; the model works on one at a time,
    but for calls that will not be cancelled. stubborn: the numbers of those."""

    name = "one reply"
    sees: tuple[type[Event], ...] = (News, Told, Called, Ended)

    def __init__(self, stubborn: frozenset[int] = frozenset()) -> None:
        self._stubborn = stubborn
        self._open: int | None = None
        self._newest = 0
        self._working: set[int] = set()

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case News(facts={"event": "asked" | "saying" | "brought_back", "turn": int(turn)}):
                before, self._open = self._open, turn
                if before is not None:
                    return f"reply {turn} was asked for while reply {before} was outstanding"
                self._newest, expected = turn, self._newest + 1
                if turn != expected:
                    return f"reply {turn} was asked for where {expected} was next"
            case Told(signal=PlayedOut(turn=turn)) if turn == self._open:
                self._open = None
            case Told(signal=signal) if self._open is not None and voided(signal) >= self._open:
                self._open = None
            case Called(number=number):
                others = self._working - self._stubborn
                self._working.add(number)
                if others:
                    return (
                        f"the model was called a {number + 1}. time during its {min(others) + 1}."
                    )
            case Ended(number=number):
                self._working.discard(number)
        return None


class HoldsEnd(_Watch):
    """A hold silences the agent within `silent_s` of sound, and is followed by a resume or a cancel
    within `within_s`."""

    name = "holds end"
    sees: tuple[type[Event], ...] = (Told, Got, Gave)

    def __init__(self, silent_s: float = 0.02, within_s: float = 4.0) -> None:
        self._silent_s = silent_s
        self._within_s = within_s
        self._held: tuple[int, float] | None = None
        self._after = 0.0

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case Told(signal=Held(turn=turn)):
                if self._held is not None:
                    return f"reply {turn} was held while it was held"
                self._held, self._after = (turn, at), 0.0
            case Told(signal=Resumed(turn=turn)):
                was, self._held = self._held, None
                if was is None or was[0] != turn:
                    return f"reply {turn} was resumed, and had not been held"
            case Told(signal=Interrupted(turn=turn) | Reset(turn=turn)):
                if self._held is not None and turn >= self._held[0]:
                    self._held = None
            case Got(part=Part(body=Audio() as audio, turn=turn, role="model")):
                return self._got(turn, audio.seconds)
        if self._held is not None and at > self._held[1] + self._within_s + 0.05:
            return f"reply {self._held[0]} is still held after {at - self._held[1]:.2f} s"
        return None

    def _got(self, turn: int, seconds: float) -> str | None:
        if self._held is None or turn > self._held[0]:
            return None
        self._after += seconds
        if self._after > self._silent_s + 1e-6:
            return f"{self._after:.2f} s of reply {turn} came while it was held"
        return None

    def end(self, at: float) -> str | None:
        return f"reply {self._held[0]} is held at the end" if self._held else None


class OneEndEach(_Watch):
    """Each reply that was asked for has exactly one `TurnComplete`. left: whoever listens may leave
    before the end, and misses the last ones."""

    name = "one end each"
    sees: tuple[type[Event], ...] = (News, Got)

    def __init__(self, *, left: bool = False) -> None:
        self._left = left
        self._asked: set[int] = set()
        self._ended: set[int] = set()

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case News(facts={"event": "asked" | "saying" | "brought_back", "turn": int(turn)}):
                self._asked.add(turn)
            case Got(part=Part(body=TurnComplete(turn=turn))):
                if turn not in self._asked:
                    return f"reply {turn} is complete, and was not asked for"
                if turn in self._ended:
                    return f"reply {turn} is complete twice"
                self._ended.add(turn)
        return None

    def end(self, at: float) -> str | None:
        missing = self._asked - self._ended
        return f"reply {min(missing)} has no end" if missing and not self._left else None
