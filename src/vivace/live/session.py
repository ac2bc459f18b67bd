"""One session with a live model on a server: what all that happens means for it.

This file joins the machines: the connection comes and goes, what is sent is kept until it is taken
in, replies are numbered, tools run. Like them it is pure; whoever runs it does the jobs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from vivace.live.news import News
from vivace.live.server_replies import ServerReplies
from vivace.live.session_input import SessionInput
from vivace.live.session_link import SessionLink
from vivace.live.session_memory import SessionMemory
from vivace.live.session_rules import Seed, SessionRules
from vivace.live.session_tools import SessionTools
from vivace.live.stream_metrics import Stamp, StreamMetrics
from vivace.live.transcripts import UserText
from vivace.machines.connection import Connection, Dial, Ending, Move, Opened, Quiet, Stop
from vivace.machines.floor import State as Floor
from vivace.machines.machine import (
    FLOOR,
    Announce,
    Cancel,
    Item,
    JobFailed,
    Machine,
    Output,
)
from vivace.machines.outbound import Outbound
from vivace.machines.playout import Ledger
from vivace.machines.pressure import Shedding
from vivace.machines.server_message import (
    Heard,
    Rubbish,
    Sent,
    ServerMessage,
    Transmit,
    Unsent,
)
from vivace.machines.tools import Enter, RunTool, ToolOutput, ToolRules
from vivace.machines.window import Window
from vivace.part import Interrupted, Part, Played, Playing, Reset, Signal

__all__ = ["Session"]


class Session(Machine):
    """The machine of a `LiveProcessor`.

    tools: the rules of the tools, by name. window: what was said, for a new session in the place of
    one that is lost. ledger: what was heard. zero: the clock's reading at the start of the run.
    """

    decides = FLOOR

    def __init__(
        self,
        rules: SessionRules,
        tools: Mapping[str, ToolRules | None],
        window: Window,
        ledger: Ledger,
        metrics: StreamMetrics,
        seed: Seed,
        *,
        zero: float = 0.0,
        handle: str = "",
        shedding: Shedding | None = None,
    ) -> None:
        self._rules = rules
        self._memory = SessionMemory(window)
        self._metrics = metrics
        self._zero = zero
        self._outbound = Outbound(shedding=shedding)
        self._news = News(zero)
        schedules = rules.facts.tools == "non_blocking"
        self._tools = SessionTools(self._outbound, tools, schedules=schedules)
        self._input = SessionInput(self._outbound, rules)
        self._ledger = ledger
        self._replies = ServerReplies(ledger, rules.interrupt, rules.floor)
        self._link = SessionLink(
            rules.model,
            Connection(rules.connection, handle),
            self._outbound,
            self._news,
            metrics,
            seed=lambda: seed(self._memory.told(self._replies.unfinished())),
            down=self._down,
            instead=self._tools.as_text,
        )
        self._user = UserText()
        self._stamp = Stamp(metrics, marks=rules.stamp)
        self._floor = Floor.IDLE
        self._quiet = True
        self._finishing = False
        self._stop_at = math.inf

    # -- the entrances ------------------------------------------------------------------------

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part():
                out = self._part(item, now)
            case Heard(dial=dial, message=message):
                out = self._heard(dial, message, now) if self._link.is_now(dial) else []
            case Sent(transmit=transmit, message=sent):
                self._link.sent(transmit, sent)
                if not (self._outbound.waits() or self._finishing):
                    return []  # of every message that there is, and nothing has changed
                out = []
            case Opened():
                out = self._link.feed(item, now)
            case JobFailed(job=Dial() as dial, error=error):
                out = self._link.ended(dial, error, now)
            case JobFailed(job=Transmit() as transmit, error=error):
                out = self._link.stuck(transmit, error, now)
            case Rubbish(error=text):
                self._metrics.unreadable += 1
                out = [self._news.failed("message", text, now)]
            case Unsent(transmit=transmit, message=sent, error=text):
                self._link.sent(transmit, sent)
                out = [self._news.failed("send", text, now)]
            case Signal():
                out = self._announced(item, now)
            case _:
                out = self._tooling(self._tools.feed(item, now), now)
        return self._settled(out, now)

    def tick(self, now: float) -> list[Output]:
        self._link.check()
        out = self._link.tick(now)
        out += self._tooling(self._tools.calls.tick(now), now)
        out += self._final_text(self._user.tick(now), now)
        told, cuts = self._replies.tick(now)
        out += told + (self._void(now) if cuts else [])
        if stalled := self._replies.turns.tick(now, waits=self._tools.waiting):
            out += self._stalled(stalled, now)
        if now >= self._input.owed_due:
            out += self._no_answer(now)
        if now >= self._stop_at:
            waits = self._tools.waiting or not self._outbound.empty()
            self._stop_at = now + self._rules.linger_s
            out += [] if waits else self._stop(now)
        return self._settled(out, now)

    def deadline(self) -> float | None:
        if self._link.failure is not None:
            return -math.inf
        if not self._link.open:
            return None
        due = min(
            self._link.deadline(),
            self._user.deadline(),
            self._replies.deadline(),
            self._input.owed_due,
            self._stop_at,
        )
        for it in (self._tools.calls.deadline(), self._replies.turns.deadline()):
            due = due if it is None or it > due else it
        return None if due == math.inf else due

    def finish(self, now: float) -> list[Output]:
        """The input has ended: what was said is answered, and nothing else."""
        self._finishing = True
        self._input.finish(now)
        if self._input.unanswered_sound and not (self._input.owed or self._replies.turns.open):
            self._stop_at = now + self._rules.linger_s
        out = self._tooling(self._tools.give_up(now), now)
        return self._settled([*self._link.feed(Ending(), now), *out], now)

    def full(self) -> bool:
        return self._outbound.full()

    def done(self) -> bool:
        return not self._link.open and self._link.failure is None

    def _settled(self, out: list[Output], now: float) -> list[Output]:
        """`out`, and what becomes possible now that it is as it is."""
        if (quiet := self._is_quiet()) != self._quiet:
            self._quiet = quiet
            out += self._link.feed(Quiet(quiet), now)
        if self._finishing and self._link.open and self._nothing_is_left():
            out += self._stop(now)
        if not (self._replies.sounding or self._replies.turns.open):
            self._input.nobody_speaks(now)
        told, messages = self._link.send(now)
        self._input.went(messages, now)
        if messages and self._stop_at < math.inf:
            self._stop_at = now + self._rules.linger_s
        out += told
        if (floor := self._replies.state(self._input.owed)) != self._floor:
            self._floor = floor
            turn = self._replies.turns.turn
            out.append(self._news.tell("floor", now, floor=floor.value, turn=turn))
        self._metrics.duration_s = round(now - self._zero, 6)
        self._metrics.input_dropped_s = self._outbound.dropped_s
        self._metrics.images_skipped = self._outbound.images_skipped
        return [self._stamp(it) if isinstance(it, Part) else it for it in out]

    def _is_quiet(self) -> bool:
        """True if the server owes nothing, and is told nothing."""
        talks = self._replies.turns.open or self._replies.speaking or self._input.speaking
        return not (talks or self._input.owed or self._tools.waiting)

    def _nothing_is_left(self) -> bool:
        # The user is not speaking any more, whatever a detector had still to say.
        owes = self._replies.turns.open or self._input.owed or self._tools.waiting
        return not owes and self._outbound.empty() and self._stop_at == math.inf

    # -- the input ----------------------------------------------------------------------------

    def _part(self, part: Part, now: float) -> list[Output]:
        self._metrics.parts_in += 1
        self._metrics.bytes_in += len(part.bytes)
        match part.body:
            case Interrupted() | Reset() as signal:
                return [Announce(signal), *self._announced(signal, now)]
            case _ if (tooled := self._tools.part(part, now)) is not None:
                return self._tooling(tooled, now)
            case _:
                heard = self._input.take(part, now, over=self._replies.sounding > 0)
        out: list[Output] = [part] if heard.passes else []
        if heard.started is not None:
            self._stop_at = math.inf
            told, cuts = self._replies.speech_started(heard.started, now)
            out += told + (self._void(now) if cuts else [])
        if heard.ended:
            self._news.latency.speech_ended(now)
            out += self._void(now) if self._replies.speech_ended(now) else []
        if heard.typed:
            self._memory.typed(part.text, now)
        if heard.cuts and self._replies.sounding:
            out += self._void(now)
        return out

    def _announced(self, signal: Signal, now: float) -> list[Output]:
        match signal:
            case Playing(turn=turn):
                self._replies.playing(turn)
                begins_at = self._ledger.begins_at(turn) or now
                return [*self._news.latency_of(turn, now, max(now, begins_at))]
            case Played(turn=turn):
                self._memory.heard(self._replies.played(turn), turn, now)
                return []
            case Interrupted(turn=turn):
                return self._void(now, turn, announced=True)
            case Reset():
                return self._void(now)
            case _:
                return []

    # -- the server ---------------------------------------------------------------------------

    def _heard(self, dial: Dial, message: ServerMessage, now: float) -> list[Output]:
        out = self._user_said(message, now)
        if message.interrupted and message.speaks:
            out += self._begin(now)  # of the reply that is over: what comes late is of it as well
        else:
            out += self._model_said(message, now)
        out += self._called(message, now)
        if message.usage:
            out.append(self._news.tell("usage", now, **message.usage))
        if message.waiting:
            self._input.answered()
            out.append(self._news.tell("waiting_for_input", now))
        if message.interrupted:
            out += self._void(now)
        if message.turn_complete:
            (self._input.reply_over if self._replies.turns.under_way else self._input.answered)()
            if message.busy:  # it works on, and will say more
                self._input.ask(now)
            out += self._final_text(self._user.take(), now)
            out += self._replies.complete()
            if message.reason:
                out.append(self._news.tell("turn_reason", now, reason=message.reason))
        return out + self._link.told(dial, message, now)

    def _user_said(self, message: ServerMessage, now: float) -> list[Output]:
        out: list[Output] = []
        if message.activity:
            out.append(self._news.tell("voice", now, voice=message.activity))
        text = message.interim
        if message.heard:
            text = self._user.add(message.heard, self._input.heard_at, now)
        if text:
            at = self._input.heard_at
            out.append(Part(text, role="user", at=at, metadata={"interim": True}))
            out += self._void(now) if self._replies.understood(text, now) else []
        if message.finished:
            out += self._final_text(self._user.take(), now)
        return out

    def _final_text(self, text: str, now: float) -> list[Output]:
        if not text:
            return []
        self._memory.said(text, now)
        return [Part(text, role="user", at=self._user.at)]

    def _model_said(self, message: ServerMessage, now: float) -> list[Output]:
        if not message.speaks:
            return []
        out = self._begin(now)
        if self._replies.turns.discarding:
            return out
        turn = self._replies.turns.turn
        for text in (message.text, message.said):
            if text:
                out.append(Part(text, role="model", turn=turn))
        for audio in message.sound:
            self._replies.turns.sounds(audio.seconds, now)
            out.append(Part(audio, role="model", turn=turn))
            if self._metrics.first_audio_s is None:
                self._metrics.first_audio_s = round(now - self._zero, 6)
        return out

    def _begin(self, now: float) -> list[Output]:
        """Something of a reply comes: if it is the first, the reply has a number from now on."""
        if not self._replies.begin(now):
            return []
        turn = self._replies.turns.turn
        self._metrics.turns += 1
        self._input.answered()
        self._outbound.answered(now)
        self._stop_at = math.inf
        self._news.latency.asked()
        self._news.latency.mark_reply("first_token", now)
        said = [*self._memory.answered(now), self._user.text.strip()]
        told = [{"role": "user", "text": text} for text in said if text]
        asked = self._news.tell("asked", now, turn=turn, prompt=told)
        return [asked, *self._tooling(self._tools.calls.asking(turn), now)]

    def _called(self, message: ServerMessage, now: float) -> list[Output]:
        out: list[Output] = []
        if message.calls:
            out += self._begin(now)
        for call in message.calls:
            part = Part(call, role="model", turn=self._replies.turns.turn)
            out += self._tooling(self._tools.calls.call(part, now), now)
        if message.cancelled:
            out += self._tooling(self._tools.cancel(message.cancelled, now), now)
        if message.calls and self._finishing:
            out += self._tooling(self._tools.give_up(now), now)
        return out

    def _tooling(self, outputs: Iterable[ToolOutput], now: float) -> list[Output]:
        out: list[Output] = []
        for output in outputs:
            match output:
                case Enter(part=part):
                    out += [part, *self._tools.entered(output, self._news, now)]
                    if part.function_response is not None and self._tools.asks:
                        self._input.ask(now, goes_on=True)
                case RunTool() | Cancel():
                    out.append(output)
                case _:
                    pass  # when the model is told is the server's to decide
        return out

    # -- a reply is over ----------------------------------------------------------------------

    def _void(self, now: float, up_to: float = math.inf, announced: bool = False) -> list[Output]:
        """Nothing more of these replies is heard. announced: others were told already."""
        turn, heard, out = self._replies.void(now, up_to)
        if not turn:
            return []
        self._metrics.interruptions += 1
        self._memory.heard(heard, turn, now, cut=True)
        if announced:
            out = [it for it in out if not isinstance(it, Announce)]
        return out + self._tooling(self._tools.calls.interrupted(turn, now), now)

    def _stalled(self, turn: int, now: float) -> list[Output]:
        error = "nothing more came of the reply, and no end of it"
        told = self._news.failed("reply", error, now, turn=turn)
        return [told, self._news.complete(turn, "timeout")]

    def _no_answer(self, now: float) -> list[Output]:
        self._input.given_up()
        out: list[Output] = [self._news.tell("no_answer", now, after_s=self._rules.answer_within_s)]
        if self._finishing:
            return out
        if self._rules.on_silence == "nudge":
            self._input.nudge()
        elif self._rules.on_silence == "reconnect":
            out += self._link.feed(Move(), now)
        return out

    # -- the connection -----------------------------------------------------------------------

    def _down(self) -> list[Output]:
        """The connection is gone: what came over it is over, and so are its calls."""
        self._tools.lost()
        return self._replies.complete("failed")

    def _stop(self, now: float) -> list[Output]:
        self._stop_at = math.inf
        self._finishing = True
        return [*self._final_text(self._user.take(), now), *self._link.feed(Stop(), now)]
