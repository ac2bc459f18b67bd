"""The replies of a conversation: which one is being made, which one is out, which may come back.

This file owns their numbers and their jobs. When to ask is the floor's to say, and with what is the
memory's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from vivace.live.memory import Memory
from vivace.live.reply import GiveReply, MakeReply, PromptEnded
from vivace.machines.machine import Cancel, Output, Tell
from vivace.machines.playout import Reply
from vivace.machines.pressure import Shedding
from vivace.machines.words import same_words
from vivace.part import Part

__all__ = ["Out", "Replies"]

_TOLD = 64  # parts that a model which reads ahead is told; with more, it begins anew
_TURN_PARTS = 256  # parts of a turn likewise


class Out(msgspec.Struct, frozen=True):
    """A reply that is out. protected: nothing interrupts it. said: by the program, not a model."""

    made: MakeReply
    given: GiveReply
    protected: bool = False

    @property
    def turn(self) -> int:
        """Its number."""
        return self.given.turn


class _Ahead(msgspec.Struct):
    """A reply whose model reads the prompt already, though the user has not finished.

    stands: as the memory had it. told: parts of the prompt that it has. guess: what it took for the
    whole turn of the user, if it was asked to answer on a guess. notes: what it was told before it.
    """

    made: MakeReply
    stands: int
    told: int
    guess: list[Part] | None = None
    notes: Sequence[Part] = ()


class Replies:
    """At most one reply is out, one is being read ahead for, and one may come back."""

    def __init__(self, memory: Memory, shedding: Shedding | None = None) -> None:
        self._memory = memory
        self._shedding = shedding or Shedding()
        self._ahead: _Ahead | None = None
        self.out: Out | None = None
        self.prompt: tuple[Part, ...] = ()  # of the newest reply that the model was asked for
        self._back: Out | None = None  # cancelled, perhaps for nothing
        self._verdicts: list[bool] = []  # on guesses, not told yet

    # -- before the turn has ended ------------------------------------------------------------

    def read_ahead(self) -> list[Output]:
        """The user has begun: let the model read what is known so far.

        Not while a reply may come back: there is one model at work at most.
        """
        if self._back is not None:
            return []
        if self._ahead is not None and self._ahead.guess is None and self._stands(self._ahead):
            return self.grow()
        out = self.stop_reading()
        prompt = self._memory.parts()
        made = MakeReply(prompt)
        self._ahead = _Ahead(made, self._memory.stands(), len(prompt))
        return [*out, made]

    def grow(self) -> list[Output]:
        """Something was added to the prompt: whoever reads ahead gets it."""
        ahead = self._ahead
        if ahead is None:
            return []
        if ahead.guess is not None or not self._stands(ahead):
            return self.stop_reading()
        new = self._memory.parts(ahead.told)
        ahead.told += len(new)
        return [Tell(ahead.made, part) for part in new]

    def guess(self, text: Part | None = None, notes: Sequence[Part] = ()) -> list[Output]:
        """The user has probably finished: let the model answer, and hold what it says.

        text: what was understood last, and may be the end of it. notes: as in `ask`.
        """
        turn = self._memory.turn(text if text is not None and text.text.strip() else None)
        if not turn or len(turn) > _TURN_PARTS or self._shedding.sheds("speculation"):
            return []
        out = self.read_ahead()
        if self._ahead is None:
            return []
        made = self._ahead.made
        self._ahead.guess, self._ahead.notes = turn, notes
        return [*out, *(Tell(made, part) for part in (*notes, *turn)), Tell(made, PromptEnded())]

    @property
    def says(self) -> bool:
        """True while what is out is the program's own words."""
        return self.out is not None and self.out.made.said

    @property
    def guessing(self) -> bool:
        """True while a reply is being made on a guess."""
        return self._ahead is not None and self._ahead.guess is not None

    def stop_reading(self) -> list[Output]:
        """Nobody wants the reply that is being read ahead for."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return []
        if ahead.guess is not None:
            self._verdicts.append(False)
        return [Cancel(ahead.made)]

    def verdicts(self) -> list[bool]:
        """Which guesses were right, since it was asked last."""
        verdicts, self._verdicts = self._verdicts, []
        return verdicts

    # -- a reply is wanted --------------------------------------------------------------------

    def ask(self, turn: int, now: float, notes: Sequence[Part] = ()) -> list[Output]:
        """The user's turn enters the prompt, and the model's reply to it goes out as `turn`.

        notes: what the model is told this once, before the turn.
        """
        said = self._memory.turn()
        ahead = self._ahead
        if ahead is not None and self._stands(ahead) and _guessed(ahead, said, notes):
            self._memory.take_turn(now)
            self._verdicts.append(True)
            self._ahead = None
            self.prompt = _before(self._memory.parts(), said, notes)
            return [*self.drop_back(), self._give(ahead.made, turn)]
        self._memory.let_in(now)
        out = self.grow() if ahead is not None and ahead.guess is None else self.stop_reading()
        if self._ahead is not None:
            out += [Tell(self._ahead.made, note) for note in notes]
        self._memory.take_turn(now)
        out += self.grow()
        self.prompt = _before(self._memory.parts(), said, notes)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.told - len(ahead.made.prompt) <= _TOLD:
            out.append(Tell(ahead.made, PromptEnded()))
            return [*self.drop_back(), *out, self._give(ahead.made, turn)]
        if ahead is not None:
            out.append(Cancel(ahead.made))
        made = MakeReply(self.prompt, ended=True)
        return [*self.drop_back(), *out, made, self._give(made, turn)]

    def say(self, text: str, turn: int, *, protected: bool) -> list[Output]:
        """`text` goes out as reply `turn`."""
        made = MakeReply((Part(text, role="model"),), ended=True, said=True)
        return [*self.drop_back(), made, self._give(made, turn, protected=protected)]

    def _give(self, made: MakeReply, turn: int, *, protected: bool = False) -> GiveReply:
        given = GiveReply(made, turn)
        self.out = Out(made, given, protected)
        return given

    def go_on(self, made: MakeReply, turn: int) -> list[Output]:
        """The reply that is out has a step more."""
        protected = self.out is not None and self.out.protected
        return [made, self._give(made, turn, protected=protected)]

    # -- a reply is not wanted any more -------------------------------------------------------

    def over(self) -> None:
        """The reply that was out has been heard to its end."""
        self.out = None

    def cancel(self, *, may_come_back: bool = False) -> list[Output]:
        """The reply that is out is void. may_come_back: perhaps for nothing, so it is kept."""
        reply, self.out = self.out, None
        assert reply is not None, "only a reply that is out can be cancelled"
        if may_come_back:
            self._back = reply
            return [Cancel(reply.given)]
        return [Cancel(reply.given), Cancel(reply.made)]

    @property
    def may_come_back(self) -> bool:
        """True if there is a reply that was cancelled, perhaps for nothing."""
        return self._back is not None

    def bring_back(
        self, turn: int, heard: Callable[[int], Reply], notes: Sequence[Part] = ()
    ) -> list[Output]:
        """It was for nothing: the reply goes on from what was heard, as `turn`.

        notes: what the model is told in its next step, should it wait for tools.
        """
        reply, self._back = self._back, None
        # Its steps before this one are in there, and a step more has to know of them.
        self.prompt = (*self._memory.parts(), *notes)
        assert reply is not None, "there is no reply to bring back"
        given = GiveReply(reply.made, turn)
        self.out = Out(reply.made, given, reply.protected)
        return [Tell(reply.made, heard(reply.turn)), given]

    def drop_back(self) -> list[Output]:
        """It was for something."""
        reply, self._back = self._back, None
        return [] if reply is None else [Cancel(reply.made)]

    def _stands(self, ahead: _Ahead) -> bool:
        return ahead.stands == self._memory.stands()


def _before(prompt: tuple[Part, ...], said: list[Part], notes: Sequence[Part]) -> tuple[Part, ...]:
    """`prompt` with `notes` before what was said last, if that stands at its end."""
    at = len(prompt) - len(said)
    if at < 0 or list(prompt[at:]) != said:
        at = len(prompt)
    return (*prompt[:at], *notes, *prompt[at:])


def _guessed(ahead: _Ahead, said: list[Part], notes: Sequence[Part]) -> bool:
    """True if it was told this. Sound only has more silence at its end."""
    guess = ahead.guess
    if guess is None or len(guess) != len(said) or len(ahead.notes) != len(notes):
        return False
    pairs = zip((*ahead.notes, *guess), (*notes, *said), strict=True)
    return all(same_words(mine.text, theirs.text) for mine, theirs in pairs)
