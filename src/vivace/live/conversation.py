"""One live conversation: what all that happens means for the floor, the prompt and the reply.

This file joins the machines: the floor decides, the memory remembers, the ledger tells what was
heard. Like them it is pure: replies are jobs, and whoever runs it does them.
"""

from __future__ import annotations

import math

from vivace.live.agenda import Agenda
from vivace.live.answering import Answering, Manners
from vivace.live.reply import AudioTriggerMode, FirstToken, GiveReply
from vivace.live.user_side import UserSide
from vivace.machines.floor import Event, State
from vivace.machines.machine import FLOOR, Announce, Item, JobDone, JobFailed, Machine, Output
from vivace.machines.playout import Ledger
from vivace.machines.pressure import Shedding
from vivace.machines.tools import ToolCalls
from vivace.machines.transcripts import is_context, is_interim, is_spoken
from vivace.machines.window import Summarize, Window
from vivace.part import (
    Ask,
    Audio,
    Held,
    Interrupted,
    Part,
    Played,
    PlayedTo,
    Playing,
    Reset,
    Resumed,
    Say,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnEnded,
    TurnReason,
)
from vivace.part import Event as Seen

__all__ = ["Conversation"]


class Conversation(Machine):
    """The machine of a `LiveModelProcessor`.

    window: the prompt. ledger: what was heard. zero: the clock's reading at the start of the run.
    tools: the calls; those of which it knows nothing are the program's to answer.
    """

    decides = FLOOR

    def __init__(
        self,
        window: Window,
        ledger: Ledger,
        manners: Manners | None = None,
        *,
        zero: float = 0.0,
        tools: ToolCalls | None = None,
        shedding: Shedding | None = None,
    ) -> None:
        self._agent = agent = Answering(window, ledger, manners or Manners(), zero, tools, shedding)
        self.tools: ToolCalls = agent.tools
        self._manners = agent.manners
        self._floor, self._overlap = agent.floor, agent.overlap
        self._memory, self._replies, self._news = agent.memory, agent.replies, agent.news
        self._agenda = Agenda(self._manners.initiative)
        self._user = UserSide()
        self._idle_since = zero
        self._finishing = False

    # -- the four entrances -------------------------------------------------------------------

    def feed(self, item: Item, now: float) -> list[Output]:
        state = self._floor.state
        match item:
            case Part(body=Signal()):
                out = self._signal(item, now)
            case Part(role="user", body=str()) if not is_context(item):
                out = self._text(item, now)
            case Part(role="user", body=Audio() as audio):
                out = self._audio(audio, item.at, now)
            case _ if (tooled := self._agent.tool_use.feed(item, now)) is not None:
                out = self._agent.tooling(tooled, now)
            case Part(body=Seen() as event):
                out = [item, *self._agent.take_in(item, now), *self._agent.saw(event, now)]
            case Part():
                out = self._agent.take_in(item, now)
            case Signal():
                out = self._announced(item, now)
            case JobDone(job=Summarize()) | JobFailed(job=Summarize()):
                out = self._memory.summarised(item, now)
            case FirstToken(turn=turn):
                if turn == self._floor.turn:
                    self._news.latency.mark_reply("first_token", now)
                out = []
            case JobFailed(job=GiveReply() as job, error=error):
                out = self._agent.failed(job, str(error) or type(error).__name__)
            case _:
                out = []
        return self._settled(state, out, now)

    def tick(self, now: float) -> list[Output]:
        state = self._floor.state
        if now >= self._user.words_end:
            self._user.words_end = math.inf
        out = self._agent.tooling(self.tools.tick(now), now)
        event = self._floor.due(now)
        if self._agent.overlap_due() <= now:
            out += self._agent.judged(self._overlap.tick(now), now)
        elif event == Event.QUIET and state == State.PAUSE:
            out += self._turn_ended(now)
        elif event is not None:
            out += self._agent.happened(event, now)
        elif now >= self._agent.answer_due():
            out += self._agent.no_answer(now)
        elif now >= self._idle_due():
            out += self._break_silence(now)
        return self._settled(state, out, now)

    def deadline(self) -> float | None:
        timed = (self._floor.deadline(), self.tools.deadline())
        due = min(
            *(math.inf if due is None else due for due in timed),
            self._agent.overlap_due(),
            self._agent.answer_due(),
            self._idle_due(),
            self._user.words_end,
            -math.inf if self._wanted() else math.inf,
        )
        return None if due == math.inf else due

    def finish(self, now: float) -> list[Output]:
        """The user's side is over: what was said is answered, and nothing else."""
        state = self._floor.state
        self._finishing = True
        self._user.over()
        paused, self._agent.paused = self._agent.paused, 0
        out: list[Output] = [Part(Resumed(paused))] if paused else []
        if state in (State.USER, State.OVERLAP):
            out += self._agent.happened(Event.SPEECH_ENDED, now)
        paused = self._floor.state in (State.PAUSE, State.VERDICT)
        if self._memory.said or self._memory.spoken or self._agent.owed or paused:
            out += self._turn_ended(now)
        return self._settled(state, out, now)

    def done(self) -> bool:
        return self._floor.state == State.IDLE and not self._wanted() and self.tools.done()

    def _settled(self, before: State, out: list[Output], now: float) -> list[Output]:
        """`out`, and what becomes possible now that it is as it is."""
        out += [self._news.failed("interrupt", why, now) for why in self._overlap.failures()]
        while True:
            out += self._agent.let_in(now)
            if self._floor.state == State.IDLE:
                out += self._idle(before, now)
            for right in self._replies.verdicts():
                turn = self._floor.turn
                out.append(self._news.tell("speculated", now, right=right, turn=turn))
            state = self._floor.state
            if state == before:
                return [*out, *self._memory.work(now, finishing=self._finishing)]
            before = state
            out.append(self._news.tell("floor", now, floor=state.value, turn=self._floor.turn))
            out += self._agent.tooling(self._agent.tool_use.floor(state, now), now)
            out += self._agent.cut_in(now)

    def _idle(self, before: State, now: float) -> list[Output]:
        """Nobody speaks: whoever waits for a reply gets it."""
        if before != State.IDLE:
            self._idle_since = now
            self._agent.owed |= bool(self._memory.said)  # said while others were heard
            # Where a detector ends turns, it tells if that was all.
            due = not (self._user.nobody_ends_it or self._agent.owed)
            if self._memory.spoken and (self._user.speaking or due):  # over what was protected
                out = self._agent.happened(Event.SPEECH_STARTED, now)
                ended = [] if self._user.speaking else self._agent.happened(Event.SPEECH_ENDED, now)
                return out + ended
        if self._wanted():
            asks = self._agent.owed or self._agent.seen
            self._agent.wish = None if asks else self._agenda.next()
            return self._agent.happened(Event.ASKED, now)
        if self._finishing:
            return [*self._replies.stop_reading(), *self._replies.drop_back()]
        return []

    def _wanted(self) -> bool:
        """True if somebody waits for a reply that may begin now."""
        wanted = self._agent.owed or self._agent.seen or self._agenda
        silent = self._floor.state == State.IDLE and self._user.words_end == math.inf
        return silent and bool(wanted)

    # -- what comes in ------------------------------------------------------------------------

    def _signal(self, part: Part, now: float) -> list[Output]:
        beside = self._user.lines.take(part)
        match part.body:
            case SpeechStarted(at=at, probability=probability):
                return [part, *self._speech_started(at, probability, now)]
            case SpeechEnded(at=at) as ended:
                self._agent.ended_at = at
                self._news.latency.speech_ended(min(now, self._user.heard.when(at)))
                return [part, *self._speech_ended(ended, now)]
            case TurnEnded(at=at):
                out = [part, *([] if beside else self._let_go(at, now))]
                self._user.turn_ended(at)
                return out + self._turn_ended(now)
            case Say() | Ask() as wish:
                refused = self._agenda.add(wish)
                return [self._news.failed("wish", refused, now)] if refused else []
            case Reset() as signal:
                return [Announce(signal), *self._reset(signal.turn, now)]
            case Interrupted(turn=turn) as signal:
                told = self._agent.with_heard(signal)
                return [Announce(told), *self._agent.voided(turn, now)]
            case PlayedTo() as report:  # here, since there may be no pacer
                return [Announce(report)]
            case Held(turn=turn):
                self._agent.hold(turn)
                return [part]
            case Resumed(turn=turn):
                return [part] if self._agent.go_on(turn, now) else []
            case _:
                return [part]

    def _speech_started(self, at: float, sure: float, now: float) -> list[Output]:
        if not self._listening():
            self._memory.sound.began(self._user.heard.heard_at - at)
        self._user.began(at)
        self._memory.spoken = True
        self._agenda.user_was_heard()
        if self._agent.protected():
            return []
        out = self._replies.stop_reading() if self._replies.guessing else []
        replying = self._floor.replying
        out += self._agent.happened(Event.SPEECH_STARTED, now)
        if replying:
            if self._floor.state == State.OVERLAP:
                out.append(self._news.held(self._floor.turn, now, self._user.heard.when(at)))
            return out + self._agent.judged(self._overlap.began(now, sure), now)
        return out + self._replies.read_ahead()

    def _let_go(self, at: float, now: float) -> list[Output]:
        """A key was, and what is being said is over, though nobody has told its end."""
        if (ended := self._user.let_go(at)) is None:
            return []
        self._agent.ended_at = ended.at
        return self._speech_ended(ended, now)

    def _speech_ended(self, ended: SpeechEnded, now: float) -> list[Output]:
        self._user.ended(ended)
        if self._agent.protected():
            return self._ended_by_itself(now)
        over_it = self._floor.state == State.OVERLAP
        out = self._agent.happened(Event.SPEECH_ENDED, now)
        if over_it:
            out += self._agent.judged(self._overlap.ended(now, ended.at), now)
        # What was said is answered together with a line that was typed meanwhile.
        if ended.transcript_follows and (ended.turn_follows or not self._memory.hears):
            return out
        return out + (self._guess(None) if ended.turn_follows else self._ended_by_itself(now))

    def _ended_by_itself(self, now: float) -> list[Output]:
        """Nobody detects ends of turns: the turn ends with what the model is triggered by."""
        silent = self._floor.state == State.PAUSE or self._floor.replying
        if self._user.speaking or not silent or not self._user.nobody_ends_it:
            return []
        if self._manners.trigger == AudioTriggerMode.END_OF_SPEECH or self._memory.said:
            return self._turn_ended(now)
        return []

    def _text(self, part: Part, now: float) -> list[Output]:
        out: list[Output] = [part]
        # A text of what was said before the reply was asked for comes late, and says nothing new.
        new = part.at is None or part.at > self._agent.asked_to
        until = now + self._manners.rules.patience_s if self._floor.state == State.IDLE else 0.0
        words = self._user.understood(part, until)
        if interim := is_interim(part):
            self._news.latency.mark("transcript", now)
            self._idle_since = now if words and new else self._idle_since
        elif self._memory.hears and self._was_heard(part):
            return out
        elif part.text.strip():
            self._memory.said.append(part)
            self._user.lines.take(part)
            self._agenda.user_was_heard()
            if self._floor.state == State.IDLE:  # a turn of its own
                self._floor.feed(Event.SPEECH_STARTED, now)
                self._floor.feed(Event.SPEECH_ENDED, now)
            if self._floor.state == State.PAUSE and not self._memory.spoken:
                # What was spoken is over: its end was told before, or nobody tells ends of speech.
                self._user.nobody_ends_it = is_spoken(part)
        says = not self._overlap.forgets(part.text, interim=interim)
        if new and self._floor.replying and not self._agent.protected():
            takes = self._overlap.understood(part.text, now, part.at, interim=interim)
            out += self._agent.judged(takes, now, for_words=True)
        elif self._replies.may_come_back and new and says:
            # It was cancelled for something.
            out += [*self._replies.drop_back(), *self._replies.read_ahead()]
        if not interim:  # a line waits for its own end
            return out + self._ended_by_itself(now) if is_spoken(part) else out
        return out + self._guess(part) if part.at == self._agent.ended_at else out

    def _was_heard(self, part: Part) -> bool:
        asked = self._floor.turn, self._agent.asked_to, self._replies.prompt[-2:]
        over_it = self._overlap.cleared_to > self._agent.asked_to
        return self._user.was_heard(part, asked, self._memory.spoken, over_it)

    def _guess(self, text: Part | None) -> list[Output]:
        may = self._manners.speculate and not self._replies.guessing
        if not may or self._floor.state != State.PAUSE:
            return []
        text = None if text is None else text.derive(metadata={})
        return self._replies.guess(text, self._agent.tool_use.running())

    def _audio(self, audio: Audio, at: float | None, now: float) -> list[Output]:
        self._user.heard.hear(audio.seconds, at, now)
        self._memory.hear(audio, listening=self._listening())
        return []

    def _listening(self) -> bool:
        states = (State.USER, State.PAUSE, State.OVERLAP, State.VERDICT)
        return self._floor.state in states or self._user.speaking or self._memory.spoken

    def _announced(self, signal: Signal, now: float) -> list[Output]:
        match signal:
            case Playing(turn=turn):
                out = self._agent.happened(Event.AUDIBLE, now, turn)
                return [*out, *self._agent.latency(turn, now)]
            case Played(turn=turn, reason=reason):
                return self._played(turn, reason, now)
            case Reset(turn=turn):
                return self._reset(turn, now)
            case Interrupted(turn=turn):
                return self._agent.voided(turn, now)
            case _:
                return []

    # -- the end of a turn --------------------------------------------------------------------

    def _turn_ended(self, now: float) -> list[Output]:
        """The user has finished: is there something to answer?"""
        self._news.latency.mark("decision", now)
        memory = self._memory
        if self._floor.replying and not self._agent.takes_the_floor():
            out = self._agent.set_aside(now, speaking=self._user.speaking)
            if not self._agent.protected():
                out += self._agent.happened(Event.TURN_EMPTY, now)
            return out
        if self._agent.cancelled_for_nothing():
            memory.forget_turn()
        heard = self._floor.state in (State.USER, State.PAUSE) and bool(memory.sound)
        new = bool(memory.said) or (memory.spoken and heard)
        self._agent.owed |= new
        answer = new if self._floor.replying else self._agent.owed or self._agent.seen
        out = self._agent.happened(Event.TURN_ENDED if answer else Event.TURN_EMPTY, now)
        if not answer:
            out += self._replies.stop_reading() if self._replies.guessing else []
            memory.forget_turn()
            self._news.latency.forget_turn()
        elif self._floor.state == State.USER:  # more is coming, and answered together with this
            memory.take_turn(now)
            memory.spoken = self._user.speaking  # and they go on
        return out

    def _played(self, turn: int, reason: TurnReason, now: float) -> list[Output]:
        if turn != self._floor.turn or not self._floor.replying:
            return []
        self._memory.add_reply(turn, now, interrupted=False)
        self._replies.over()
        answers = self._agent.answers_to(now) if reason == "done" else []
        return [*answers, *self._agent.happened(Event.REPLY_OVER, now, turn)]

    def _reset(self, turn: int, now: float) -> list[Output]:
        self._memory.forget_turn()
        self._agenda.clear()
        out = self._agent.happened(Event.RESET, now)
        self._floor.skip(turn)
        out += self._agent.tooling(self._agent.tool_use.reset(now), now)
        out += [*self._replies.stop_reading(), *self._replies.drop_back()]
        self._agent.owe_nothing()
        if self._user.reset():  # they speak still: what comes of it from now on is their turn
            self._memory.spoken = True
            out += self._agent.happened(Event.SPEECH_STARTED, now)
        return out

    def _break_silence(self, now: float) -> list[Output]:
        self._agenda.idle()
        if self._agenda.idle_prompt:
            self._memory.add(Part(self._agenda.idle_prompt, metadata={"idle": True}), now)
        return self._agent.happened(Event.ASKED, now)

    # -- when ---------------------------------------------------------------------------------

    def _idle_due(self) -> float:
        if self._user.speaks or self._agenda or self._finishing or self._floor.state != State.IDLE:
            return math.inf
        return self._agenda.idle_due(self._idle_since)
