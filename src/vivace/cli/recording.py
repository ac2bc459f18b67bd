"""What happened in a conversation, on one timeline: the sound of both sides, and every turn.

This file owns the bookkeeping. It is fed the user's chunks and the agent's parts, and decides
nothing: the view, the picture and the report only read it. All times are seconds since the start.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vivace.audio import AudioFormat
from vivace.part import (
    Audio,
    Data,
    Held,
    Interrupted,
    Part,
    Played,
    Playing,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
)

__all__ = ["AGENT_RATE", "USER_RATE", "Failure", "Recording", "Span", "Turn", "Utterance"]

USER_RATE = 16_000
AGENT_RATE = 24_000


class Span(msgspec.Struct):
    """From when to when; `end` is None while it lasts. `label`: what it is, if there are kinds."""

    start: float
    end: float | None = None
    label: str = ""


class Utterance(msgspec.Struct):
    """The user's final text of one turn. dismissed: said over a reply, and no interruption."""

    text: str
    at: float
    dismissed: bool = False


class Failure(msgspec.Struct):
    """Something that did not work: `what`, why, and of which reply (0: of none)."""

    what: str
    error: str
    turn: int
    at: float


class Turn(msgspec.Struct):
    """One reply, from the question to its last sound.

    prompt: what the model was given. pieces: its text as it came. words: with the time at which
    each was heard. queued: when how many seconds of sound had been made. ended_at: when the user
    had finished. latency_ms: from there to each step. cut_to: what was heard of it, if it was cut.
    """

    number: int
    asked_at: float
    prompt: list[dict[str, str]] = []
    pieces: list[str] = []
    words: list[tuple[float, str]] = []
    heard: list[Span] = []
    held: list[Span] = []
    queued: list[tuple[float, float]] = []
    ended_at: float | None = None
    latency_ms: dict[str, float] = {}
    audible_at: float | None = None
    interrupted_at: float | None = None
    cut_s: float = 0.0
    complete: str = ""
    over_at: float | None = None
    cut_to: str | None = None

    @property
    def text(self) -> str:
        """All that the model said."""
        return "".join(self.pieces).strip()

    @property
    def heard_text(self) -> str:
        """What of it was heard."""
        if self.cut_to:
            return self.cut_to
        if self.words:
            return "".join(word for _, word in self.words).strip()
        # Its sound carries no words, as that of models on a server.
        whole = self.cut_to is None and self.over_at is not None
        return self.text if whole and self.heard else ""

    @property
    def unheard_text(self) -> str:
        """What of it is still to come, or never will."""
        return after(self.text, self.heard_text)

    @property
    def is_held(self) -> bool:
        """True while it is silent because the user makes a sound."""
        return bool(self.held) and self.held[-1].end is None


class Recording:
    """Feed it, then read it."""

    def __init__(self) -> None:
        self.user_pcm: bytearray = bytearray()
        self.agent_pcm: bytearray = bytearray()
        self.floor: list[Span] = [Span(0.0, None, "idle")]
        self.speech: list[Span] = []
        self.interim: str = ""
        self.utterances: list[Utterance] = []
        self.turns: dict[int, Turn] = {}
        self.failures: list[Failure] = []
        self._dismissed: list[str] = []
        self._left: tuple[bytes, list[tuple[float, str]]] = b"", []  # of a reply that is held

    # -- what comes in ------------------------------------------------------------------------

    def hear_user(self, pcm: bytes) -> None:
        """The microphone's next chunk: 16-bit mono at `USER_RATE`."""
        self.user_pcm += pcm

    def feed(self, part: Part, now: float) -> None:
        """Book one part of the agent's stream."""
        at = now if part.at is None else part.at
        match part.body:
            case Audio() as audio if part.role == "model":
                self._hear_agent(audio, part.turn, at)
            case str(text) if part.role == "model" and part.turn:
                self._turn(part.turn, at).pieces.append(text)
            case str(text) if part.role == "user":
                self._transcribed(text, at, interim=bool(part.metadata.get("interim")))
            case SpeechStarted(at=start):
                self.speech.append(Span(start))
            case SpeechEnded(at=end):
                _close(self.speech, end)
            case Data(value={"event": str(event)} as news):
                self._status(event, news, at)
            case _:
                self._signal(part, at)

    def end(self, now: float) -> None:
        """The conversation is over: nothing lasts any longer."""
        for spans in (self.floor, self.speech, *(turn.held for turn in self.turns.values())):
            _close(spans, now)

    # -- what can be read ---------------------------------------------------------------------

    @property
    def duration(self) -> float:
        """From the start to the last sound."""
        user, agent = len(self.user_pcm) / 2 / USER_RATE, len(self.agent_pcm) / 2 / AGENT_RATE
        return max(user, agent, self.floor[-1].start)

    def said(self, turn: Turn) -> list[Utterance]:
        """What the user had said since the reply before it was asked for."""
        before = max((t.asked_at for t in self.turns.values() if t.number < turn.number), default=0)
        # A status part overtakes; the text's own time is what tells them apart.
        return [u for u in self.utterances if before < u.at <= turn.asked_at and not u.dismissed]

    def began(self, utterance: Utterance) -> float:
        """When its speech began; not when an earlier noise did that came to nothing."""
        others = [
            span.end
            for span in self.floor
            if span.label in ("idle", "thinking", "agent")
            and span.end is not None
            and span.end <= utterance.at
        ]
        # The floor changes a moment after the first sound.
        since = max(others, default=0.0) - 0.3
        starts = [span.start for span in self.speech if since <= span.start < utterance.at]
        return min(starts, default=utterance.at)

    # -- inside -------------------------------------------------------------------------------

    def _turn(self, number: int, at: float) -> Turn:
        return self.turns.setdefault(number, Turn(number, at))

    def _hear_agent(self, audio: Audio, number: int, at: float) -> None:
        turn, end = self._turn(number, at), at + audio.seconds
        place = 2 * max(0, round(at * AGENT_RATE))
        self.agent_pcm += bytes(max(0, place - len(self.agent_pcm)))
        self.agent_pcm[place : place + len(audio.pcm)] = audio.pcm
        if audio.words:
            turn.words.append((at, audio.words))
        last = turn.heard[-1] if turn.heard else None
        if last and last.end is not None and at - last.end < 0.001:
            last.end = end
        else:
            turn.heard.append(Span(at, end))

    def _fall_silent(self, turn: Turn, at: float) -> None:
        """What came of it and was to be heard later waits."""
        place = 2 * round(at * AGENT_RATE)
        words = [(when - at, word) for when, word in turn.words if when >= at]
        self._left = bytes(self.agent_pcm[place:]), words
        del self.agent_pcm[place:]
        turn.words = [(when, word) for when, word in turn.words if when < at]
        turn.heard = [
            Span(span.start, min(at, span.end or at)) for span in turn.heard if span.start < at
        ]

    def _go_on(self, turn: Turn, at: float) -> None:
        (pcm, words), self._left = self._left, (b"", [])
        if pcm:
            self._hear_agent(Audio(pcm, AudioFormat(AGENT_RATE)), turn.number, at)
        turn.words += [(at + after, word) for after, word in words]

    def _transcribed(self, text: str, at: float, *, interim: bool) -> None:
        self.interim = text if interim else ""
        if not interim:
            dismissed = text in self._dismissed
            if dismissed:
                self._dismissed.remove(text)
            self.utterances.append(Utterance(text, at, dismissed))

    def _status(self, event: str, news: dict[str, Any], at: float) -> None:
        number = int(news.get("turn", 0))
        match event:
            case "floor":
                _close(self.floor, at)
                self.floor.append(Span(at, None, news["floor"]))
            case "asked":
                self._turn(number, at).prompt = list(news.get("prompt", ()))
            case "saying" | "brought_back":
                self._turn(number, at)
            case "queued":
                self._turn(number, at).queued.append((at, news["seconds"]))
            case "cut":
                self._turn(number, at).cut_s = news["seconds"]
            case "latency":
                turn = self._turn(number, at)
                turn.ended_at, turn.latency_ms = news["ended_at"], dict(news["ms"])
            case "dismissed":
                self._dismiss(news["text"])
            case "counted":  # after all: it was an answer to the end of the reply
                self._dismiss(news["text"], dismissed=False)
            case "failed":
                self.failures.append(Failure(news["what"], news["error"], number, at))
            case "no_answer":
                error = f"none came within {news['after_s']:g} s"
                self.failures.append(Failure("answer", error, number, at))

    def _dismiss(self, text: str, *, dismissed: bool = True) -> None:
        """The news overtakes the text that it is about, or comes just after it."""
        for utterance in reversed(self.utterances[-1:]):
            if utterance.text == text and utterance.dismissed != dismissed:
                utterance.dismissed = dismissed
                return
        if dismissed:
            self._dismissed.append(text)
        elif text in self._dismissed:
            self._dismissed.remove(text)

    def _signal(self, part: Part, at: float) -> None:
        match part.body:
            case Held(turn=number) if number in self.turns:
                if not self.turns[number].is_held:
                    self._fall_silent(self.turns[number], at)
                    self.turns[number].held.append(Span(at))
            case Resumed(turn=number) if number in self.turns:
                self._go_on(self.turns[number], at)
                _close(self.turns[number].held, at)
            case Interrupted(turn=number, heard=heard) if number in self.turns:
                if not any(later.heard for later in self.turns.values() if later.number > number):
                    self._fall_silent(self.turns[number], at)
                self._left = b"", []
                if self.turns[number].over_at is not None:
                    return  # a button is pressed when the reply is over
                self.turns[number].interrupted_at = at
                self.turns[number].cut_to = heard
                self.turns[number].words = _cut(self.turns[number].words, heard)
                _close(self.turns[number].held, at)
            case Playing(turn=number) if number in self.turns:
                self.turns[number].audible_at = at
            case TurnComplete(turn=number, reason=reason) if number in self.turns:
                # The floor says "interrupted" while the reply itself may still say "done".
                self.turns[number].complete = self.turns[number].complete or reason
            case Played(turn=number) if number in self.turns:
                self.turns[number].over_at = self.turns[number].over_at or at


def _close(spans: list[Span], at: float) -> None:
    if spans and spans[-1].end is None:
        spans[-1].end = max(at, spans[-1].start)


def _cut(words: list[tuple[float, str]], heard: str) -> list[tuple[float, str]]:
    """As many of `words` as were heard: the last that had begun may not have been."""
    kept: list[tuple[float, str]] = []
    left = len("".join(heard.split()))
    for at, word in words:
        if left <= 0:
            break
        signs = "".join(word.split())
        rest = after(word, signs[:left]) if len(signs) > left else ""
        kept.append((at, word[: len(word) - len(rest)]))
        left -= len(signs)
    return kept


def after(text: str, beginning: str) -> str:
    """What of `text` comes after `beginning`, which says the same but for spaces and symbols."""
    place = 0
    for sign in beginning:
        if not sign.isspace():
            found = text.find(sign, place, place + 24)
            place = place if found < 0 else found + 1
    # A closing quotation mark or full stop belongs to the word before it.
    while place < len(text) and beginning and not (text[place].isspace() or text[place].isalnum()):
        place += 1
    return text[place:]
