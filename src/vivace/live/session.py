"""One session with a live model on a server: what all that happens means for it.

This file joins the machines: the connection comes and goes, what is sent is kept until it is taken
in, replies are numbered, tools run. Like them it is pure; whoever runs it does the jobs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from vivace.errors import PartError
from vivace.live.news import News
from vivace.live.server_replies import ServerReplies
from vivace.live.session_input import SessionInput
from vivace.live.session_link import SessionLink
from vivace.live.session_memory import SessionMemory
from vivace.live.session_rules import Seed, SessionRules
from vivace.live.session_tools import SessionTools
from vivace.live.session_turns import SessionTurns
from vivace.live.stream_metrics import Stamp, StreamMetrics
from vivace.machines.connection import Connection, Dial, Ending, Move, Opened, Quiet, Stop
from vivace.machines.floor import State as Floor
from vivace.machines.machine import (
    FLOOR,
    Announce,
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
from vivace.machines.tools import ToolRules
from vivace.machines.window import Window
from vivace.part import Ask, Held, Image, Interrupted, Part, Reset, Resumed, Say, Signal

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
        memory = self._memory = SessionMemory(window)
        self._metrics = metrics
        self._zero = zero
        outbound = self._outbound = Outbound(shedding=shedding)
        news = self._news = News(zero)
        schedules = rules.facts.tools == "non_blocking"
        self._tools = SessionTools(outbound, tools, schedules=schedules)
        self._input = SessionInput(outbound, rules)
        self._replies = ServerReplies(ledger, rules.interrupt, rules.floor)
        self._turns = SessionTurns(
            self._replies, self._input, outbound, self._tools, memory, news, metrics, ledger,
            zero=zero,
        )  # fmt: skip
        self._link = SessionLink(
            rules.model,
            Connection(rules.connection, handle),
            outbound,
            news,
            metrics,
            seed=lambda: seed(memory.told(self._replies.unfinished())),
            down=self._down,
            instead=self._tools.as_text,
        )
        self._stamp = Stamp(metrics, marks=rules.stamp)
        self._floor = Floor.IDLE
        self._quiet = True

    # -- the entrances ------------------------------------------------------------------------

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part():
                out = self._part(item, now)
            case Heard(dial=dial, message=message):
                out = self._heard(dial, message, now)
            case Sent(transmit=transmit, message=sent):
                self._link.sent(transmit, sent)
                if not (self._outbound.waits() or self._turns.finishing):
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
                out = self._turns.announced(item, now)
            case _:
                out = self._turns.tooling(self._tools.feed(item, now), now)
        return self._settled(out, now)

    def tick(self, now: float) -> list[Output]:
        self._link.check()
        out = self._link.tick(now)
        out += self._turns.tooling(self._tools.calls.tick(now), now)
        out += self._turns.tick(now)
        if now >= self._input.owed_due:
            out += self._no_answer(now)
        if now >= self._input.linger_due:
            out += self._lingered(now)
        return self._settled(out, now)

    def deadline(self) -> float | None:
        if self._link.failure is not None:
            return -math.inf
        if not self._link.open:
            return None
        due = min(
            self._link.deadline(),
            self._turns.deadline(),
            self._input.owed_due,
            self._input.linger_due,
            self._wish_due(),
        )
        tools_due = self._tools.calls.deadline()
        due = due if tools_due is None else min(due, tools_due)
        return None if due == math.inf else due

    def finish(self, now: float) -> list[Output]:
        """The input has ended: what was said is answered, and nothing else."""
        self._turns.finishing = True
        self._input.finish(now, answering=self._replies.turns.open)
        out = self._turns.tooling(self._tools.give_up(now), now)
        return self._settled([*self._link.feed(Ending(), now), *out], now)

    def full(self) -> bool:
        return self._outbound.full()

    def done(self) -> bool:
        return not self._link.open and self._link.failure is None

    def _settled(self, out: list[Output], now: float) -> list[Output]:
        """`out`, and what becomes possible now that it is as it is."""
        failures = self._replies.overlap.failures()
        out += [self._news.failed("interrupt", why, now) for why in failures]
        if now >= self._wish_due():
            out += self._grant(now)
        if (quiet := self._is_quiet()) != self._quiet:
            self._quiet = quiet
            out += self._link.feed(Quiet(quiet), now)
        if self._turns.finishing and self._link.open and self._nothing_is_left():
            out += self._stop(now)
        told, messages = self._link.send(now)
        self._input.went(messages, now)
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
        waits = owes or self._input.wishes or self._input.lingers
        return not waits and self._outbound.empty()

    # -- what the program wants said ----------------------------------------------------------

    def _wish_due(self) -> float:
        """When the server may be told what the program wants: never over the user, nor before the
        user's answer; over the agent if it is urgent."""
        wishes = self._input.wishes
        if not wishes:
            return math.inf
        user = self._input.voice.until
        if self._cuts_in():
            return user
        # At the end of the input nobody can interrupt what is said any more: it may stand in line.
        busy = math.inf if self._replies.turns.open else -math.inf
        agent = busy if self._turns.finishing else self._replies.silent_at
        return max(user, agent, self._input.answered_at)

    def _cuts_in(self) -> bool:
        return self._input.wishes.cut_in and self._replies.may_be_cut

    def _grant(self, now: float) -> list[Output]:
        cuts = self._cuts_in()
        self._input.grant(now, cuts_in=cuts)
        return self._turns.void(now) if cuts and self._replies.sounding else []

    def _lingered(self, now: float) -> list[Output]:
        """Nothing was answered at the end of the input."""
        self._input.linger(now)
        if self._input.wishes:
            self._input.linger_due = math.inf
            return []
        waits = self._tools.waiting or not self._outbound.empty()
        return [] if waits else self._stop(now)

    # -- the input ----------------------------------------------------------------------------

    def _part(self, part: Part, now: float) -> list[Output]:
        self._metrics.parts_in += 1
        try:
            self._metrics.bytes_in += len(part.bytes)
        except UnicodeEncodeError as error:
            why = f"this text cannot be sent: {error}; leave out what is no character"
            return [self._news.failed("text", why, now)]
        match part.body:
            case Interrupted() as signal:
                announced = Announce(self._replies.with_heard(signal))
                return [announced, *self._turns.announced(signal, now)]
            case Reset() as signal:
                return [Announce(signal), *self._turns.announced(signal, now)]
            case Held() | Resumed() as signal:
                return [part] if self._replies.pause(signal) else []
            case _ if (tooled := self._tools.part(part, now)) is not None:
                return self._turns.tooling(tooled, now)
            case _:
                try:
                    heard = self._input.take(part, now, over=self._replies.sounding > 0)
                except PartError as error:
                    return [self._news.failed(_kind(part), str(error), now)]
        out: list[Output] = [part] if heard.passes else []
        if heard.started is not None:
            held = self._replies.held
            told, cuts = self._replies.speech_started(heard.started, now)
            out += told
            if self._replies.held and not held:
                out.append(self._news.held(self._replies.sounding, now, heard.at))
            out += self._turns.void(now) if cuts else []
        if heard.ended:
            self._news.latency.speech_ended(min(now, heard.at))
            out += self._turns.void(now) if self._replies.speech_ended(now) else []
        if heard.typed:
            self._memory.typed(part.text, now)
            out += self._turns.void(now) if self._replies.sounding else []
        return out

    def _no_answer(self, now: float) -> list[Output]:
        self._input.given_up()
        out: list[Output] = [self._news.tell("no_answer", now, after_s=self._rules.answer_within_s)]
        if self._turns.finishing:
            while self._input.wishes:  # it is told the rest, and that is waited for once
                self._input.grant(now, cuts_in=False)
            return out
        if self._rules.on_silence == "nudge":
            self._input.nudge()
        elif self._rules.on_silence == "reconnect":
            out += self._link.feed(Move(), now)
        return out

    # -- the connection -----------------------------------------------------------------------

    def _heard(self, dial: Dial, message: ServerMessage, now: float) -> list[Output]:
        if not self._link.is_now(dial):
            return []
        return self._turns.heard(message, now) + self._link.told(dial, message, now)

    def _down(self) -> list[Output]:
        """The connection is gone: what came over it is over, and so are its calls."""
        self._tools.lost()
        return self._replies.complete("failed")

    def _stop(self, now: float) -> list[Output]:
        self._turns.finishing = True
        self._input.linger_due = math.inf
        return [*self._turns.user_falls_silent(now), *self._link.feed(Stop(), now)]


def _kind(part: Part) -> str:
    """What a part is called where it could not be sent."""
    if isinstance(part.body, Say | Ask):
        return "wish"
    return "picture" if isinstance(part.body, Image) else "data"
