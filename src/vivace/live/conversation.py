"""One live conversation: what all that happens means for the floor, the prompt and the reply.

This file joins the machines: the floor decides, the window remembers, the ledger tells what was
heard. Like them it is pure: replies are jobs, and whoever runs it does them.
"""

from __future__ import annotations

import math

from vivace.errors import PartError
from vivace.live.backchannel import has_words
from vivace.live.earshot import Earshot
from vivace.live.latency import Latency
from vivace.live.reply import (
    AudioTriggerMode,
    FirstToken,
    StartReply,
    as_told,
    complete,
    status,
)
from vivace.live.tool_use import ToolUse
from vivace.machines.floor import Act, Event, Floor, FloorRules, State
from vivace.machines.machine import Announce, Cancel, Item, JobFailed, Machine, Output
from vivace.machines.playout import Ledger
from vivace.machines.tools import Ask, Enter, GoOn, ToolCalls, ToolOutput
from vivace.machines.window import Window
from vivace.part import (
    Audio,
    Held,
    Interrupted,
    Part,
    Played,
    Playing,
    Reset,
    Resumed,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnEnded,
    TurnReason,
)

__all__ = ["AudioTriggerMode", "Conversation", "FirstToken", "StartReply", "has_words"]


_ANSWERED_S = 0.5  # "yes" so shortly before the end of a reply was an answer to it
_DRIFT = 1e-3  # seconds a second: far more than two clocks of quartz ever do


class Conversation(Machine):
    """The machine of a `LiveModelProcessor`.

    window: the prompt. ledger: what was heard. zero: the clock's reading at the start of the run.
    answer_within_s: a reply of which nothing was heard after so long has failed.
    tools: the calls; those of which it knows nothing are the program's to answer.
    """

    def __init__(
        self,
        window: Window,
        ledger: Ledger,
        *,
        trigger: AudioTriggerMode = AudioTriggerMode.FINAL_TRANSCRIPTION,
        rules: FloorRules | None = None,
        answer_within_s: float = 30.0,
        zero: float = 0.0,
        tools: ToolCalls | None = None,
    ) -> None:
        self._tool_use = ToolUse(tools)
        self.tools: ToolCalls = self._tool_use.calls
        self._window = window
        self._ledger = ledger
        self._trigger = trigger
        self._answer_within_s = answer_within_s
        self._zero = zero
        self._floor = Floor(rules)
        self._said: list[Part] = []
        self._dismissed: list[Part] = []
        self._dismissed_at = -math.inf
        self._sound = Earshot()
        self._spoken = False  # there is speech in the sound, not only what was heard before
        self._owed = False  # the user waits for an answer that nobody is giving
        self._reply: StartReply | None = None
        self._asked_at = -math.inf
        self._heard_at = 0.0  # media time up to which the user's audio has come
        self._behind = math.inf  # the clock minus media time
        self._ended_at = -math.inf  # media time of the newest end of speech
        self._asked_to = -math.inf  # and of the one before the newest reply was asked for
        self._latency = Latency()

    # -- the four entrances -------------------------------------------------------------------

    def feed(self, item: Item, now: float) -> list[Output]:
        state = self._floor.state
        match item:
            case Part(body=Signal()):
                out = self._signal(item, now)
            case Part(role="user", body=str()):
                out = self._text(item, now)
            case Part(role="user", body=Audio() as audio):
                out = self._audio(audio, item.at, now)
            case _ if (tooled := self._tool_use.feed(item, now)) is not None:
                out = self._tooling(tooled, now)
            case Part():
                out = self._remember(item, now)
            case Signal():
                out = self._announced(item, now)
            case FirstToken(turn=turn) if turn == self._floor.turn:
                self._latency.mark_reply("first_token", now)
                out = []
            case JobFailed(job=StartReply(turn=turn), error=error):
                out = self._failed(turn, str(error) or type(error).__name__)
            case _:
                out = []
        return out + self._floor_news(state, now)

    def tick(self, now: float) -> list[Output]:
        state = self._floor.state
        out = self._tooling(self.tools.tick(now), now)
        event = self._floor.due(now)
        if event == Event.QUIET and state == State.PAUSE:
            out += self._turn_ended(now)
        elif event is not None:
            out += self._happened(event, now)
        elif now >= self._answer_due():
            out += self._no_answer(now)
        return out + self._floor_news(state, now)

    def deadline(self) -> float | None:
        dues = (self._floor.deadline(), self.tools.deadline(), self._answer_due())
        due = min(due for due in dues if due is not None)
        return None if due == math.inf else due

    def finish(self, now: float) -> list[Output]:
        """The user's side is over: what was said is answered, and nothing else."""
        state = self._floor.state
        out: list[Output] = []
        if state in (State.USER, State.OVERLAP):
            out = self._happened(Event.SPEECH_ENDED, now)
        if self._said or self._owed or self._floor.state in (State.PAUSE, State.VERDICT):
            out += self._turn_ended(now)
        return out + self._floor_news(state, now)

    def done(self) -> bool:
        return self._floor.state == State.IDLE and self.tools.done()

    # -- what comes in ------------------------------------------------------------------------

    def _signal(self, part: Part, now: float) -> list[Output]:
        match part.body:
            case SpeechStarted(at=at):
                if not self._listening():
                    self._sound.began(self._heard_at - at)
                self._spoken = True
                return [part, *self._happened(Event.SPEECH_STARTED, now)]
            case SpeechEnded(at=at):
                self._ended_at = at
                self._latency.speech_ended(min(now, at + self._behind))
                return [part, *self._happened(Event.SPEECH_ENDED, now)]
            case TurnEnded():
                self._latency.mark("decision", now)
                return [part, *self._turn_ended(now)]
            case Reset() as signal:
                return [Announce(signal), *self._reset(now)]
            case Interrupted(turn=turn) as signal:
                return [Announce(signal), *self._voided(turn, now)]
            case _:
                return [part]

    def _text(self, part: Part, now: float) -> list[Output]:
        if part.metadata.get("interim"):
            self._latency.mark("transcript", now)
        elif part.text.strip():
            self._said.append(part)
            if part.at is None and self._floor.state == State.IDLE:  # typed: a turn of its own
                self._floor.feed(Event.SPEECH_STARTED, now)
                self._floor.feed(Event.SPEECH_ENDED, now)
        # A text of what was said before the reply was asked for comes late, and says nothing new.
        new = part.at is None or part.at > self._asked_to
        if self._floor.replying and new and has_words(part.text):
            return [part, *self._happened(Event.WORDS, now)]
        return [part]

    def _audio(self, audio: Audio, at: float | None, now: float) -> list[Output]:
        self._heard_at = self._heard_at + audio.seconds if at is None else at + audio.seconds
        # Audio comes late by what the stages before needed, and by varying amounts: the least of
        # them tells best when it was spoken. Clocks drift apart, so the least is let go slowly.
        self._behind = min(self._behind + _DRIFT * audio.seconds, now - self._heard_at)
        if self._trigger == AudioTriggerMode.END_OF_SPEECH:
            self._sound.hear(audio, listening=self._listening())
        return []

    def _listening(self) -> bool:
        return self._floor.state in (State.USER, State.PAUSE, State.OVERLAP, State.VERDICT)

    def _announced(self, signal: Signal, now: float) -> list[Output]:
        match signal:
            case Playing(turn=turn):
                told = self._latency.told(now, self._zero) if turn == self._floor.turn else None
                out = [self._status("latency", now, turn=turn, **told)] if told else []
                return self._happened(Event.AUDIBLE, now, turn) + out
            case Played(turn=turn, reason=reason):
                return self._played(turn, reason, now)
            case Reset():
                return self._reset(now)
            case Interrupted(turn=turn):
                return self._voided(turn, now)
            case _:
                return []

    def _turn_ended(self, now: float) -> list[Output]:
        """The user has finished: is there something to answer?"""
        out = self._dismiss(now) if self._floor.replying else []
        heard = self._floor.state in (State.USER, State.PAUSE) and bool(self._sound)
        new = bool(self._said) or (self._spoken and heard)
        self._owed |= new
        answer = new if self._floor.replying else self._owed
        out += self._happened(Event.TURN_ENDED if answer else Event.TURN_EMPTY, now)
        self._remember_said(now)
        if not answer:
            self._latency.forget_turn()
        return out

    def _dismiss(self, now: float) -> list[Output]:
        """Over a reply, "mm-hm" is no turn. What was typed always is."""
        text = " ".join(part.text for part in self._said)
        if has_words(text) or any(part.at is None for part in self._said):
            return []
        self._sound.clear()
        self._spoken = False
        if not text:
            return []
        self._dismissed, self._said = self._said, []
        self._dismissed_at = now
        return [self._status("dismissed", now, text=text)]

    def _played(self, turn: int, reason: TurnReason, now: float) -> list[Output]:
        if turn != self._floor.turn or not self._floor.replying:
            return []
        self._remember_reply(turn, now, interrupted=False)
        self._reply = None
        if reason == "done" and now - self._dismissed_at <= _ANSWERED_S:
            self._said, self._dismissed = self._dismissed + self._said, []
            self._dismissed_at = -math.inf
            self._owed |= bool(self._said)
        out = self._happened(Event.REPLY_OVER, now, turn)
        return out + self._ask_if_owed(now)

    def _ask_if_owed(self, now: float) -> list[Output]:
        if self._floor.state == State.IDLE and (self._owed or self._said):
            return self._happened(Event.ASKED, now)
        return []

    def _reset(self, now: float) -> list[Output]:
        self._said.clear()
        self._sound.clear()
        self._spoken = False
        out = self._happened(Event.RESET, now)
        out += self._tooling(self.tools.reset(now), now)
        self._owed = False
        return out

    # -- what is to be done -------------------------------------------------------------------

    def _happened(self, event: Event, now: float, turn: int | None = None) -> list[Output]:
        out: list[Output] = []
        for act in self._floor.feed(event, now, turn):
            match act:
                case Act.HOLD:
                    out.append(Announce(Held(self._floor.turn)))
                case Act.RESUME:
                    self._sound.clear()
                    self._spoken = False
                    out.append(Announce(Resumed(self._floor.turn)))
                case Act.CANCEL:
                    out += self._cancel(now)
                case Act.ASK:
                    out += self._ask(now)
        return out

    def _ask(self, now: float) -> list[Output]:
        self._remember_said(now)
        self._owed = False
        self._asked_at, self._asked_to = now, self._ended_at
        self._latency.asked()
        out = self._tooling(self.tools.asking(self._floor.turn), now)
        prompt = tuple(self._window.parts())
        self._reply = self._tool_use.asked(StartReply(self._floor.turn, prompt))
        told = self._status("asked", now, turn=self._floor.turn, prompt=as_told(prompt))
        return [*out, told, self._reply]

    def _tooling(self, outputs: list[ToolOutput], now: float) -> list[Output]:
        """What tools bring about. A response enters the prompt, and is told, here alone."""
        out: list[Output] = []
        for output in outputs:
            match output:
                case Enter(part=part):
                    out += [part, *self._tool_use.entered(part), *self._remember(part, now)]
                case GoOn(turn=turn):
                    self._asked_at, self._reply = now, self._tool_use.next_step(turn)
                    out += [self._status("goes_on", now, turn=turn), self._reply]
                case Ask(interrupt=interrupt):
                    self._owed = True
                    asked = self._happened(Event.TURN_ENDED, now) if interrupt else []
                    out += asked or self._ask_if_owed(now)
                case _:
                    out.append(output)
        return out

    def _cancel(self, now: float) -> list[Output]:
        """Void the reply; what was heard of it, and no more, has been said."""
        reply, self._reply = self._reply, None
        assert reply is not None, "only a reply can be cancelled"
        self._owed = True
        heard = self._remember_reply(reply.turn, now, interrupted=True)
        return [
            Announce(Interrupted(reply.turn, heard)),
            Cancel(reply),
            complete(reply.turn, "interrupted"),
            *self._tooling(self.tools.interrupted(reply.turn, now), now),
        ]

    def _failed(self, turn: int, reason: str) -> list[Output]:
        """The model died: what it had said is still heard, then its turn is over."""
        if self._reply is None or self._reply.turn != turn:
            return []
        self.tools.over(turn)
        told = status("failed", None, what="reply", turn=turn, error=reason)
        return [told, complete(turn, "failed")]

    def _voided(self, turn: int, now: float) -> list[Output]:
        """Somebody else has interrupted: the reply is over, and nothing is owed."""
        reply = self._reply
        if reply is None or turn < reply.turn:
            return []
        self._reply = None
        self._remember_reply(reply.turn, now, interrupted=True)
        over = self._happened(Event.REPLY_OVER, now, reply.turn)
        tools = self._tooling(self.tools.interrupted(reply.turn, now), now)
        return [Cancel(reply), complete(reply.turn, "interrupted"), *tools, *over]

    def _no_answer(self, now: float) -> list[Output]:
        reply, self._reply = self._reply, None
        assert reply is not None
        self.tools.over(reply.turn)
        reason = f"no answer within {self._answer_within_s:g} s"
        return [
            Announce(Interrupted(reply.turn)),
            Cancel(reply),
            self._status("failed", now, what="reply", turn=reply.turn, error=reason),
            complete(reply.turn, "timeout"),
            *self._happened(Event.REPLY_OVER, now, reply.turn),
        ]

    def _answer_due(self) -> float:
        if self._floor.state != State.THINKING or self._reply is None or self.tools.waits():
            return math.inf
        return self._asked_at + self._answer_within_s

    # -- what is remembered -------------------------------------------------------------------

    def _remember(self, part: Part, now: float) -> list[Output]:
        try:
            self._window.add(part, now)
        except PartError as error:  # too much is pinned: the conversation goes on without it
            return [self._status("failed", now, what="prompt", error=str(error))]
        return []

    def _remember_said(self, now: float) -> None:
        for part in self._said:
            self._window.add(part, now)
        self._said.clear()
        sound = self._sound.take() if self._spoken else None
        if sound is not None:
            self._window.add(sound, now)
        self._spoken = False

    def _remember_reply(self, turn: int, now: float, *, interrupted: bool) -> str:
        heard = self._ledger.heard(turn).text
        if heard:
            metadata = {"interrupted": True} if interrupted else {}
            self._window.add(Part(heard, role="model", turn=turn, metadata=metadata), now)
        return heard

    # -- what is told -------------------------------------------------------------------------

    def _status(self, event: str, now: float, **facts: object) -> Part:
        return status(event, round(now - self._zero, 6), **facts)

    def _floor_news(self, before: State, now: float) -> list[Output]:
        out: list[Output] = []
        while (state := self._floor.state) != before:
            before = state
            out.append(self._status("floor", now, floor=state.value, turn=self._floor.turn))
            out += self._tooling(self._tool_use.floor(state, now), now)
        return out
