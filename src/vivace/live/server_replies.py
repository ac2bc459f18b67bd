"""The replies of a live model's server, as the listener has them: numbered, held, cut, complete.

This file owns what the user's sounds and the server's interruptions mean for what is being heard.
The server decides who speaks; a sound over the agent silences it at once all the same. What the
server says of an interruption cuts the reply, and so does an answer to the sound, or a policy. If
none of them does, the reply goes on: its sound is all there, but it could not be had again.
"""

from __future__ import annotations

import math

from vivace.machines.floor import FloorRules, State
from vivace.machines.interrupt import Interrupt, OverlapWatch
from vivace.machines.machine import Announce, Output
from vivace.machines.playout import Ledger
from vivace.machines.server_turns import ServerTurns
from vivace.part import Held, Interrupted, Part, Resumed, TurnComplete, TurnReason

__all__ = ["ServerReplies"]


class ServerReplies:
    """ledger: what was heard. policy: what a sound over a reply must be like to cut it.

    sounding: the reply that is being heard, or 0. speaking: the user is, says a detector. overlap:
    what the user does over a reply.
    """

    def __init__(self, ledger: Ledger, policy: Interrupt, rules: FloorRules) -> None:
        self.turns: ServerTurns = ServerTurns()
        self.sounding: int = 0
        self.speaking: bool = False
        self.held: bool = False
        self.paused: int = 0  # replies up to this one are held by the program
        self._ledger = ledger
        self._rules = rules
        self.overlap: OverlapWatch = OverlapWatch(policy)
        self._unplayed: list[int] = []  # begun, and neither heard to the end nor void
        self._over = 0  # the reply over which the user made a sound last
        self._worded = False  # something was understood since
        self._resume_at = math.inf
        self._held_until = math.inf

    # -- what the server does -----------------------------------------------------------------

    def begin(self, now: float) -> bool:
        """Something of a reply comes. True if it is the first of a new one."""
        if not self.turns.begins(now):
            return False
        self._unplayed.append(self.turns.turn)
        return True

    def answered_over(self) -> bool:
        """True if a reply that the user's sound alone asked for cuts the one that is being heard.

        Where words were understood, the policy knows more of it, and has decided.
        """
        return self.overlapped and not (self._worded or self.turns.under_way)

    def complete(self, reason: TurnReason = "done") -> list[Output]:
        """The reply that the server was giving has ended."""
        turn = self.turns.complete()
        return [_complete(turn, reason)] if turn else []

    def void(self, now: float, up_to: float = math.inf) -> tuple[int, str, list[Output]]:
        """Nothing more of these replies is heard: the last of them, what was heard, what to do.

        0 if there is nothing of them that could be heard.
        """
        if self.turns.turn <= up_to:
            self.turns.void(now)
        void = [turn for turn in self._unplayed if turn <= up_to]
        if not void:
            return 0, "", []
        self._unplayed = self._unplayed[len(void) :]
        turn = void[-1]
        heard = self._ledger.heard(turn).text
        self.sounding = 0
        self._let_go()
        over = [_complete(number, "interrupted") for number in void]
        return turn, heard, [Announce(Interrupted(turn, heard)), *over]

    def with_heard(self, signal: Interrupted) -> Interrupted:
        """The program's signal, with what was heard of the last reply that it makes void."""
        if signal.heard:
            return signal
        void = [turn for turn in self._unplayed if turn <= signal.turn]
        turn = void[-1] if void else min(self.turns.turn, signal.turn)
        return Interrupted(signal.turn, self._ledger.heard(turn).text)

    # -- what is heard ------------------------------------------------------------------------

    def playing(self, turn: int) -> None:
        """The first of a reply is heard."""
        if turn in self._unplayed:
            self.sounding = turn

    def played(self, turn: int) -> str | None:
        """A reply was heard to its end: what it said. None if it was void."""
        if turn not in self._unplayed:
            return None
        self._unplayed.remove(turn)
        if self.sounding == turn:
            self.sounding = 0
            self._let_go()
        return self._ledger.heard(turn).text

    @property
    def silent_at(self) -> float:
        """From when on the agent says nothing; infinite if that is not known.

        What has come whole will be heard in a moment, unless somebody keeps it from the listener.
        """
        if self.turns.open or self.sounding:
            return math.inf
        return self.turns.plays_to if self._unplayed else -math.inf

    @property
    def may_be_cut(self) -> bool:
        """False while nothing interrupts the reply, or it is not known yet whether a sound does."""
        return not (self.held or (self.sounding and self.overlap.policy.protects))

    def unfinished(self) -> list[str]:
        """What was heard so far of replies that are not over."""
        return [self._ledger.heard(turn).text for turn in self._unplayed]

    # -- what the user does over it -----------------------------------------------------------

    def pause(self, signal: Held | Resumed) -> bool:
        """The program holds replies, or lets them go on: not yet, while the user is heard."""
        if isinstance(signal, Held):
            self.paused = max(signal.turn, self.paused)
            return True
        if signal.turn >= self.paused:
            self.paused = 0
        return not self.held

    @property
    def overlapped(self) -> bool:
        """True if the user has made a sound over the reply that is being heard."""
        return self.sounding > 0 and self._over == self.sounding

    def speech_started(self, probability: float, now: float) -> tuple[list[Output], bool]:
        """The user makes a sound: what to do, and whether it cuts the reply."""
        self.speaking = True
        self._resume_at = math.inf
        if not self.sounding or self.overlap.policy.protects:
            return [], False
        self._over, self._worded = self.sounding, False
        out: list[Output] = []
        if not self.held:
            self.held = True
            self._held_until = now + self._rules.hold_s
            out.append(Announce(Held(self.sounding)))
        return out, self.overlap.began(now, probability)

    def speech_ended(self, now: float) -> bool:
        """The sound has ended. True if it cuts the reply."""
        self.speaking = False
        if not self.held:
            return False
        self._resume_at = min(now + self._rules.quiet_s, self._held_until)
        return self.overlap.ended(now)

    def understood(self, text: str, now: float) -> bool:
        """What the user has said over a reply, so far. True if it cuts it.

        Transcripts come late: while the server gives the reply, and nobody has heard a sound over
        it, this is what it answers. Once it was given, the server says nothing of interruptions.
        """
        self._worded = True
        speaks_over = self.speaking and self.overlapped  # also if it was held for long enough
        over_it = self.held or speaks_over or not self.turns.open
        if not (over_it and self.sounding) or self.overlap.policy.protects:
            return False
        return self.overlap.understood(text, now, interim=True)

    def settled(self, now: float) -> bool:
        """What the user has said is final. True if it cuts the reply over which it was said."""
        return self.sounding > 0 and self.overlap.settled(now)

    def tick(self, now: float) -> tuple[list[Output], bool]:
        """Time has passed: what to do, and whether the reply is cut."""
        if self.held and self.overlap.tick(now):
            return [], True
        if self.held and now >= self._until:
            goes_on = self.sounding > self.paused
            resumed = Announce(Resumed(self.sounding))
            self._let_go()
            return [resumed] if goes_on else [], False
        return [], False

    def deadline(self) -> float:
        """When `tick` is wanted next."""
        if not self.held:
            return math.inf
        looks_at = self.overlap.deadline()
        return min(self._until, math.inf if looks_at is None else looks_at)

    @property
    def _until(self) -> float:
        """Until when it is held, if nothing else happens; also if the user goes on meanwhile."""
        return self._held_until if self.speaking else self._resume_at

    def state(self, owed: bool) -> State:
        """Who has the floor. owed: the user waits for an answer."""
        if self.held:
            return State.OVERLAP if self.speaking else State.VERDICT
        if self.sounding:
            return State.AGENT
        if self.speaking:
            return State.USER
        return State.THINKING if owed or self._unplayed else State.IDLE

    def _let_go(self) -> None:
        self.held = False
        self.overlap.clear()
        self._resume_at = self._held_until = math.inf


def _complete(turn: int, reason: TurnReason) -> Part:
    return Part(TurnComplete(turn, reason), role="model", turn=turn)
