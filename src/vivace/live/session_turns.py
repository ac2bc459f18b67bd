"""The turns of a session with a live model's server: what is said on both sides, and by whom.

This file owns what the beginning and the end of a reply, and the words of the user, mean for all
that keeps account of them: memory, tools, what is owed, and what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from vivace.live.news import News
from vivace.live.server_replies import ServerReplies
from vivace.live.session_input import SessionInput
from vivace.live.session_memory import SessionMemory
from vivace.live.session_tools import SessionTools
from vivace.live.stream_metrics import StreamMetrics
from vivace.live.transcripts import UserText
from vivace.machines.machine import Announce, Cancel, Output
from vivace.machines.outbound import Outbound
from vivace.machines.playout import Ledger
from vivace.machines.server_message import ServerMessage
from vivace.machines.tools import Enter, RunTool, ToolOutput
from vivace.part import Interrupted, Part, Played, Playing, Reset, Signal

__all__ = ["SessionTurns"]


class SessionTurns:
    """replies: as the listener has them. finishing: the input has ended, so that the program
    answers no more calls."""

    def __init__(
        self,
        replies: ServerReplies,
        input: SessionInput,
        outbound: Outbound,
        tools: SessionTools,
        memory: SessionMemory,
        news: News,
        metrics: StreamMetrics,
        ledger: Ledger,
        *,
        zero: float,
    ) -> None:
        self._replies = replies
        self._input = input
        self._outbound = outbound
        self._tools = tools
        self._memory = memory
        self._news = news
        self._metrics = metrics
        self._ledger = ledger
        self._zero = zero
        self._user = UserText()
        self.finishing: bool = False

    # -- what the server says -----------------------------------------------------------------

    def heard(self, message: ServerMessage, now: float) -> list[Output]:
        """A message has come."""
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
            out += self._take_the_floor(now)
        if message.turn_complete:
            out += self._complete(message, now)
        return out

    def _complete(self, message: ServerMessage, now: float) -> list[Output]:
        under_way = self._replies.turns.under_way
        (self._input.reply_over if under_way else self._input.nothing_came)()
        if message.busy:  # it works on, and will say more
            self._input.ask(now)
        out = [*self.user_falls_silent(now), *self._replies.complete()]
        if message.reason:
            out.append(self._news.tell("turn_reason", now, reason=message.reason))
        return out

    def _user_said(self, message: ServerMessage, now: float) -> list[Output]:
        out: list[Output] = []
        if message.activity:
            out.append(self._news.tell("voice", now, voice=message.activity))
        text = message.interim
        if message.heard:
            text = self._user.add(message.heard, self._input.clock.heard_at, now)
        if text:
            self._input.understood()
            at = self._input.clock.heard_at
            out.append(Part(text, role="user", at=at, metadata={"interim": True}))
            out += self._take_the_floor(now) if self._replies.understood(text, now) else []
        if message.finished:
            out += self.user_falls_silent(now)
        return out

    def user_falls_silent(self, now: float) -> list[Output]:
        """What was understood of the user is all of it."""
        return self._final_text(self._user.take(), now)

    def _final_text(self, text: str, now: float) -> list[Output]:
        if not text:
            return []
        self._memory.said(text, now)
        over = self._replies.sounding
        if not self._replies.settled(now):
            cut = []
        elif over < self._replies.turns.turn:  # the server answers it already
            cut = self.void(now, over)
        else:
            cut = self._take_the_floor(now)
        return [Part(text, role="user", at=self._user.at), *cut]

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
        over = self._replies.answered_over() and not self._input.besides
        if not self._replies.begin(now):
            return []
        turn = self._replies.turns.turn
        out = self.void(now, turn - 1) if over else []
        self._metrics.turns += 1
        self._input.reply_begins()
        self._outbound.answered(now)
        self._news.latency.asked()
        self._news.latency.mark_reply("first_token", now)
        said = [*self._memory.answered(now), self._user.text.strip()]
        told = [{"role": "user", "text": text} for text in said if text]
        asked = self._news.tell("asked", now, turn=turn, prompt=told)
        out += [asked, *self.tooling(self._tools.calls.asking(turn), now)]
        return out + (self.void(now) if self._input.refuses(now) else [])

    def _called(self, message: ServerMessage, now: float) -> list[Output]:
        out: list[Output] = []
        if message.calls:
            out += self._begin(now)
        for call in message.calls:
            part = Part(call, role="model", turn=self._replies.turns.turn)
            out += self.tooling(self._tools.calls.call(part, now), now)
        if message.cancelled:
            out += self.tooling(self._tools.cancel(message.cancelled, now), now)
        if message.calls and self.finishing:
            out += self.tooling(self._tools.give_up(now), now)
        return out

    def tooling(self, outputs: Iterable[ToolOutput], now: float) -> list[Output]:
        """What the tools want done."""
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

    # -- what is heard, and what is not -------------------------------------------------------

    def announced(self, signal: Signal, now: float) -> list[Output]:
        """Others tell what became of replies."""
        match signal:
            case Playing(turn=turn):
                self._replies.playing(turn)
                begins_at = self._ledger.begins_at(turn) or now
                return [*self._news.latency_of(turn, now, max(now, begins_at))]
            case Played(turn=turn):
                self._memory.heard(self._replies.played(turn), turn, now)
                return []
            case Interrupted(turn=turn):
                if turn > self._replies.turns.turn:  # not begun: it is owed, or there is none
                    self._forget(turn, now)
                return self.void(now, turn, announced=True)
            case Reset(turn=turn):
                out = self.void(now)
                self._input.wishes.clear()
                self._forget(turn, now)
                return out
            case _:
                return []

    def _take_the_floor(self, now: float) -> list[Output]:
        """The user has interrupted whatever is being heard."""
        if self._replies.overlapped:
            self._input.spoke_over(now, speaking=self._replies.speaking)
        return self.void(now)

    def _forget(self, turn: int, now: float) -> None:
        """The answer that is owed is not wanted, nor what else would have a number up to `turn`."""
        self._replies.turns.skip(turn)
        self._input.forget(now)
        self._memory.answered(now)  # as far as anybody will hear

    def void(self, now: float, up_to: float = math.inf, announced: bool = False) -> list[Output]:
        """Nothing more of these replies is heard. announced: others were told already."""
        turn, heard, out = self._replies.void(now, up_to)
        if not turn:
            return []
        self._metrics.interruptions += 1
        self._memory.heard(heard, turn, now, cut=True)
        if announced:
            out = [it for it in out if not isinstance(it, Announce)]
        return out + self.tooling(self._tools.calls.interrupted(turn, now), now)

    def tick(self, now: float) -> list[Output]:
        """Time has passed."""
        out = self._final_text(self._user.tick(now), now)
        told, cuts = self._replies.tick(now)
        out += told + (self.void(now) if cuts else [])
        if stalled := self._replies.turns.tick(now, waits=self._tools.waiting):
            error = "nothing more came of the reply, and no end of it"
            out.append(self._news.failed("reply", error, now, turn=stalled))
            out.append(self._news.complete(stalled, "timeout"))
        return out

    def deadline(self) -> float:
        """When `tick` is wanted next."""
        stalls_at = self._replies.turns.deadline()
        due = min(self._user.deadline(), self._replies.deadline())
        return due if stalls_at is None else min(due, stalls_at)
