"""The agent's side of a conversation: what the floor wants done about replies, done.

This file owns what asking, cancelling and failing mean for the memory, the reply and whoever
watches. What the user's side brings about is the conversation's affair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

import msgspec

from vivace.errors import PartError, StageError, not_known
from vivace.live.agenda import Initiative
from vivace.live.memory import Memory
from vivace.live.news import News
from vivace.live.replies import Replies
from vivace.live.reply import AudioTriggerMode, GiveReply, as_told
from vivace.live.tool_use import ToolUse
from vivace.machines.floor import Act, Event, Floor, FloorRules, State
from vivace.machines.interrupt import Interrupt, OverlapWatch
from vivace.machines.machine import Announce, Output
from vivace.machines.measure import size_of
from vivace.machines.playout import Ledger
from vivace.machines.pressure import Shedding
from vivace.machines.tools import Ask as Wanted
from vivace.machines.tools import Enter, GoOn, ToolCalls, ToolOutput
from vivace.machines.window import Window
from vivace.part import Ask, Data, Held, Image, Interrupted, Part, Resumed, Say
from vivace.part import Event as Seen

__all__ = ["Answering", "FalseInterruption", "Manners"]

_FRAME_S = 1.0
_ANSWERED_S = 0.5  # "yes" so shortly before the end of a reply was an answer to it
_SAID_S = 1.0  # a sound as long is something that was said, also where there are no words of it

FalseInterruption: TypeAlias = Literal["resume", "ask_again"]


class Manners(msgspec.Struct, frozen=True):
    """How a conversation is held; see `LiveModelProcessor` for each.

    Raises StageError for what cannot be.
    """

    trigger: AudioTriggerMode = AudioTriggerMode.FINAL_TRANSCRIPTION
    rules: FloorRules = FloorRules()
    interrupt: Interrupt = Interrupt.unless_backchannel()
    false_interruption: FalseInterruption = "resume"
    initiative: Initiative = Initiative()
    speculate: bool = False
    answer_within_s: float = 30.0

    def __post_init__(self) -> None:
        ways, modes = get_args(FalseInterruption), list(AudioTriggerMode)
        if self.false_interruption not in ways:
            raise not_known("false_interruption", self.false_interruption, ways)
        if self.trigger not in modes:
            raise not_known("trigger_model_mode", self.trigger, modes)
        if not isinstance(self.interrupt, Interrupt):
            raise StageError(
                f"interrupt={self.interrupt!r} is no policy; use Interrupt.at_once, .after(...), "
                ".unless_backchannel(), .when(...) or .never"
            )
        if not self.answer_within_s > 0:
            raise StageError(
                f"answer_within_s={self.answer_within_s:g}: no model is as fast; use more than 0"
            )


class Answering:
    """Holds the floor, the memory and the replies together.

    owed: the user waits for an answer that nobody is giving. seen: an event wants the model to
    speak of it. wish: of the program's, to be carried out when the floor next asks. ended_at: media
    time of the newest end of speech. paused: replies up to this one are held by the program.
    """

    def __init__(
        self,
        window: Window,
        ledger: Ledger,
        manners: Manners,
        zero: float,
        tools: ToolCalls | None = None,
        shedding: Shedding | None = None,
    ) -> None:
        self.manners: Manners = manners
        self.floor: Floor = Floor(manners.rules)
        hears = manners.trigger == AudioTriggerMode.END_OF_SPEECH
        self.memory: Memory = Memory(window, ledger, hears=hears)
        self.shedding: Shedding = shedding or Shedding()
        self.replies: Replies = Replies(self.memory, self.shedding)
        self._frame_at = -math.inf  # when the newest picture was taken in
        self.overlap: OverlapWatch = OverlapWatch(manners.interrupt)
        self.news: News = News(zero)
        self.tool_use: ToolUse = ToolUse(tools, self.replies, self.memory)
        self.tools: ToolCalls = self.tool_use.calls
        self.owed: bool = False
        self.seen: bool = False
        self._cuts_in = False  # and over whatever is being said
        self.wish: Say | Ask | None = None
        self.ended_at: float = -math.inf
        self.asked_to: float = -math.inf  # `ended_at` when the newest reply was asked for
        self._asked_at = -math.inf
        self._ledger = ledger
        self._cut = 0  # the reply that was interrupted last, until something is asked again
        self._for_words = False  # the newest interruption was one of words
        self.paused: int = 0
        self._aside = False  # sound over the reply is answered after it
        self._dismissed: list[Part] = []
        self._dismissed_at = -math.inf

    def judged(self, takes: bool, now: float, *, for_words: bool = False) -> list[Output]:
        """What the user does over the reply takes the floor, or does not."""
        if not takes or not self.floor.replying:
            return []
        self._for_words = for_words
        return self.happened(Event.BARGE_IN, now)

    def happened(self, event: Event, now: float, turn: int | None = None) -> list[Output]:
        out: list[Output] = []
        for act in self.floor.feed(event, now, turn):
            match act:
                case Act.HOLD:
                    out.append(Announce(Held(self.floor.turn)))
                case Act.RESUME:
                    # Over a reply that ends the sound goes on, as a turn of its own.
                    if event != Event.REPLY_OVER and not self._aside:
                        self.memory.forget_sound()
                    self.overlap.clear()
                    if self.paused < self.floor.turn:
                        out.append(Announce(Resumed(self.floor.turn)))
                case Act.CANCEL:
                    real = event in (Event.TURN_ENDED, Event.RESET) or self._for_words
                    out += self._cancel(now, may_come_back=not real)
                    if event in (Event.TURN_ENDED, Event.RESET):
                        self._cut = 0  # whoever did so knew why
                case Act.ASK:
                    out += self._ask(now)
        return out

    def _ask(self, now: float) -> list[Output]:
        wish, self.wish = self.wish, None
        turn = self.floor.turn
        self.owed = self._for_words = self._aside = False
        self._asked_at, self.asked_to = now, self.ended_at
        self.overlap.clear()
        self.news.latency.asked()
        out = self._verdict(now)
        if isinstance(wish, Say):
            self.tools.given(turn)
            out.append(self.news.tell("saying", now, turn=turn, text=wish.text))
            out += self.replies.say(wish.text, turn, protected=wish.protected)
        elif self.replies.may_come_back and not self.memory.turn():
            self.tools.given(turn)
            out.append(self.news.tell("brought_back", now, turn=turn))
            out += self.replies.bring_back(turn, self._ledger.heard, self.tool_use.running())
        else:
            self.seen = self._cuts_in = False
            out += self.tooling(self.tool_use.asking(turn), now)
            before = self.replies.prompt
            asked = self.replies.ask(turn, now, self.tool_use.running())
            size = size_of(self.replies.prompt, before)
            told = [{"role": part.role, "text": as_told(part)} for part in self.replies.prompt]
            out += [self.news.tell("asked", now, turn=turn, prompt=told, **size), *asked]
        assert self.replies.out is not None
        self.tool_use.asked(self.replies.out.made, self.replies.prompt)
        return out

    def saw(self, event: Seen, now: float) -> list[Output]:
        """An event has entered the prompt, or will after the reply: is the model to speak of it?"""
        if event.triggers_turn:
            self.seen = True
            self._cuts_in |= event.triggers_turn == "over"
        return self.cut_in(now)

    def cut_in(self, now: float) -> list[Output]:
        """Interrupt the reply for an event that asked for it; never the user, nor a notice."""
        speaks = self.floor.state in (State.THINKING, State.AGENT)
        if not (self._cuts_in and speaks) or self.protected():
            return []
        self._cuts_in = False
        return self.happened(Event.TURN_ENDED, now)

    def owe_nothing(self) -> None:
        """Nobody waits for an answer any more, and of no event is to be spoken."""
        self.owed = self.seen = self._cuts_in = self._aside = False

    def _verdict(self, now: float) -> list[Output]:
        """Whether there was anything to the newest interruption, now that something is asked."""
        cut, self._cut = self._cut, 0
        if not cut or self.memory.turn():
            return []
        return [self.news.tell("false_interruption", now, turn=cut)]

    def tooling(self, outputs: Iterable[ToolOutput], now: float) -> list[Output]:
        """What tools bring about. A response enters the prompt, and is told, here alone."""
        out: list[Output] = []
        for output in outputs:
            match output:
                case Enter(part=part):
                    told = [part, *self._failed_tool(part, now), *self.remember(part, now)]
                    self.tool_use.entered(part)
                    out += told
                case GoOn(turn=turn):
                    self._asked_at = now
                    step = self.replies.go_on(self.tool_use.next_step(), turn)
                    out += [self.news.tell("goes_on", now, turn=turn), *step]
                case Wanted(interrupt=interrupt):
                    self.owed = True
                    if interrupt and not self.protected():  # else it is told when that is over
                        out += self.happened(Event.TURN_ENDED, now)
                case _:
                    out.append(output)
        return out

    def latency(self, turn: int, now: float) -> list[Output]:
        """Reply `turn` is on its way to the listener: how long that took, if it is the newest."""
        if turn != self.floor.turn:
            return []
        heard_at = max(now, self.memory.begins_at(turn) or now)
        return [*self.news.latency_of(turn, now, heard_at)]

    def take_in(self, part: Part, now: float) -> list[Output]:
        """What else came of the user's or the program's: it enters the prompt, now or later."""
        if self._skips(part, now):
            return []
        shown = part.role == "user" and not (isinstance(part.body, Seen) or part.text)
        if (self.replies.guessing and shown) or (self.floor.replying and part.role != "system"):
            lost = self.memory.add_later(part)
            return [self.news.failed("prompt", lost, now)] if lost else []
        if part.role == "model" and part.text:
            self.owed |= self.memory.take_lines(now)  # it was said after them
        return self.remember(part, now)

    def _skips(self, part: Part, now: float) -> bool:
        """True for a video frame that is left out under pressure: one a second has to do."""
        if part.role != "user" or not isinstance(part.body, Image):
            return False
        if now - self._frame_at < _FRAME_S and self.shedding.sheds("frames"):
            return True
        self._frame_at = now
        return False

    def let_in(self, now: float) -> list[Output]:
        """What came while an answer was guessed enters the prompt, if none is any more."""
        if not self.memory.stashed or self.replies.guessing or self.floor.replying:
            return []
        self.memory.let_in(now)
        return self.replies.grow()

    def remember(self, part: Part, now: float) -> list[Output]:
        """`part` enters the prompt now."""
        try:
            self.memory.add(part, now)
        except PartError as error:  # too much is pinned: the conversation goes on without it
            return [self.news.failed("prompt", str(error), now)]
        return self.replies.grow()

    def _failed_tool(self, part: Part, now: float) -> list[Output]:
        response = part.function_response
        if response is None or not response.error:
            return []
        facts = {"tool": response.name, "id": response.id}
        return [self.news.failed("tool", response.error, now, **facts)]

    def _cancel(self, now: float, *, may_come_back: bool = False) -> list[Output]:
        """Void the reply; what was heard of it, and no more, has been said."""
        reply = self.replies.out
        assert reply is not None, "only a reply that is out can be cancelled"
        turn = self._cut = reply.turn  # the floor may count the next one already
        self.owed = True
        heard = self.memory.add_reply(turn, now, interrupted=True)
        may_come_back &= self.manners.false_interruption == "resume"
        cancelled = self.replies.cancel(may_come_back=may_come_back)
        announced = Announce(Interrupted(turn, heard))
        ahead = [] if self.floor.state == State.THINKING else self.replies.read_ahead()
        stopped = self.tools.interrupted(turn, now, may_come_back=may_come_back)
        tools = self.tooling(stopped, now)
        return [announced, *cancelled, self.news.complete(turn, "interrupted"), *tools, *ahead]

    def failed(self, job: GiveReply, reason: str) -> list[Output]:
        """The model died: what it had said is still heard, then its turn is over."""
        out = self.replies.out
        if out is None or out.given is not job:
            return []
        self.tools.over(job.turn)
        news = {"event": "failed", "what": "reply", "turn": job.turn, "error": reason}
        status = Part(Data(news), role="model", substream="status")
        return [status, self.news.complete(job.turn, "failed")]

    def with_heard(self, signal: Interrupted) -> Interrupted:
        """The program's signal, with what was heard of the newest reply."""
        if signal.heard or signal.turn < self.floor.turn:
            return signal
        return Interrupted(signal.turn, self._ledger.heard(self.floor.turn).text)

    def voided(self, turn: int, now: float) -> list[Output]:
        """Somebody else has interrupted: the reply is over, and nothing is owed."""
        reply = self.replies.out
        if turn < self.floor.turn:
            return []
        out: list[Output] = []
        if self.replies.may_come_back:  # it was interrupted already, and now for good
            out, self.owed = self.replies.drop_back(), False
        self.tools.give_up_lost()
        if reply is not None:
            self.memory.add_reply(reply.turn, now, interrupted=True)
            out += [*self.replies.cancel(), self.news.complete(reply.turn, "interrupted")]
            out += self.tooling(self.tools.interrupted(reply.turn, now), now)
            over = self.happened(Event.REPLY_OVER, now, reply.turn)
            out += [it for it in over if it != Announce(Resumed(reply.turn))]  # it does not go on
        self.floor.skip(turn)
        return out

    def no_answer(self, now: float) -> list[Output]:
        turn = self.floor.turn
        self.tools.over(turn)
        self.memory.add_reply(turn, now, interrupted=True)  # and what has come since it was asked
        reason = f"no answer within {self.manners.answer_within_s:g} s"
        return [
            Announce(Interrupted(turn)),
            *self.replies.cancel(),
            self.news.failed("reply", reason, now, turn=turn),
            self.news.complete(turn, "timeout"),
            *self.happened(Event.REPLY_OVER, now, turn),
        ]

    def forgets(self) -> bool:
        """True if what the user has said so far means nothing over a reply."""
        return self.overlap.forgets(self.memory.text)

    def takes_the_floor(self) -> bool:
        """A finished turn over a reply: what was typed always counts, what was said may not."""
        if self.protected():
            return False
        if self.memory.typed:
            return True
        if self.replies.says and all((it.at or 0.0) <= self.asked_to for it in self.memory.said):
            return False  # it is no answer to what was said before, which is answered after it
        return not self.forgets() and self.overlap.judge_past(self.memory.text)

    def set_aside(self, now: float, *, speaking: bool) -> list[Output]:
        """The turn changes nothing now: forget "mm-hm", and answer anything else later."""
        memory, text = self.memory, self.memory.text
        long = self.protected() or self.overlap.newest().speech_s >= _SAID_S
        if not text and memory.spoken and memory.sound and long:
            self._aside = True
        if memory.typed or (text and not self.forgets()) or self._aside:
            self.owed = True
            return []
        if speaking:  # again: that sound is of another turn
            said, memory.said = memory.said, []
        else:
            said = memory.forget_turn()
        if not text:
            return []
        self._dismissed, self._dismissed_at = said, now
        return [self.news.tell("dismissed", now, text=text)]

    def answers_to(self, now: float) -> list[Output]:
        """What was set aside just before the reply was over: "yes" is an answer to its end."""
        said = self._dismissed if now - self._dismissed_at <= _ANSWERED_S else []
        self._dismissed, self._dismissed_at = [], -math.inf
        self.memory.said[:0] = said
        text = " ".join(part.text for part in said)
        return [self.news.tell("counted", now, text=text)] if said else []

    def hold(self, turn: int) -> None:
        """The program holds replies up to `turn`."""
        self.paused = max(turn, self.paused)

    def go_on(self, turn: int, now: float) -> bool:
        """The program lets them go on; False if not yet, since the user is heard over one."""
        if turn >= self.paused:
            self.paused, self._asked_at = 0, max(now, self._asked_at)
        return self.floor.state not in (State.OVERLAP, State.VERDICT)

    def cancelled_for_nothing(self) -> bool:
        """True if a reply may come back, and the user has said no more than "mm-hm"."""
        nothing = not self.memory.typed and not self.memory.sound and self.forgets()
        return self.replies.may_come_back and nothing

    def protected(self) -> bool:
        reply = self.replies.out
        return reply is not None and (reply.protected or self.overlap.policy.protects)

    def overlap_due(self) -> float:
        due = self.overlap.deadline() if self.floor.state == State.OVERLAP else None
        return math.inf if due is None else due

    def answer_due(self) -> float:
        nobody = self.replies.out is None or self.tools.waits()  # which has limits of its own
        if self.floor.state != State.THINKING or nobody or self.paused >= self.floor.turn:
            return math.inf
        return self._asked_at + self.manners.answer_within_s
