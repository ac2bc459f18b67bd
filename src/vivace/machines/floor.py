"""Who may speak: the floor.

This file owns every rule about turns; nothing else changes the floor. It knows nothing of audio,
text, tasks or models. The rules are one table; `docs/floor.md` draws it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from vivace.errors import NotAllowed, StageError

__all__ = ["RULES", "Act", "Event", "Floor", "FloorRules", "State"]


class State(StrEnum):
    """Who has the floor."""

    IDLE = "idle"  # nobody speaks, nothing is owed
    USER = "user"  # the user is making sound
    PAUSE = "pause"  # the user is silent, and the turn has not ended
    THINKING = "thinking"  # a reply has been asked for, and none of it was heard yet
    AGENT = "agent"  # the reply is being heard
    OVERLAP = "overlap"  # the user makes a sound over a reply, which is held
    VERDICT = "verdict"  # that sound has ended: was it an interruption?


class Event(StrEnum):
    """What can happen to the floor."""

    SPEECH_STARTED = "speech_started"
    SPEECH_ENDED = "speech_ended"
    BARGE_IN = "barge_in"  # what the user does over the reply is an interruption
    TURN_ENDED = "turn_ended"  # the user has finished, and there is something to answer
    TURN_EMPTY = "turn_empty"  # the user has finished, and nothing was said
    ASKED = "asked"  # the program wants a reply
    AUDIBLE = "audible"  # the first of the reply is heard
    REPLY_OVER = "reply_over"  # the last of the reply has been heard, or it failed
    LONG = "long"  # time: a reply is held no longer than that
    QUIET = "quiet"  # time: nothing has come of the silence
    RESET = "reset"


class Act(StrEnum):
    """What is to be done."""

    ASK = "ask"  # start a reply: it has a new number
    HOLD = "hold"  # the reply falls silent
    RESUME = "resume"  # the reply goes on where it was held
    CANCEL = "cancel"  # the reply is over; nothing of it may be heard any more


class FloorRules(msgspec.Struct, frozen=True):
    """How long the floor waits.

    quiet_s: so long after a sound over a reply may a text say that it was an interruption; then
        the reply goes on.
    hold_s: however sounds and silences alternate, a reply is held no longer. If the user makes a
        sound by then, that is an interruption.
    patience_s: a pause in the user's turn that no detector has ended ends it.

    Raises StageError for seconds below 0.
    """

    quiet_s: float = 1.5
    hold_s: float = 4.0
    patience_s: float = 5.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not (seconds := getattr(self, name)) >= 0:
                raise StageError(
                    f"{name}={seconds:g}: the floor cannot wait so long; use 0 or more"
                )


_S, _E, _A = State, Event, Act
# "Back": to AGENT or THINKING, whichever the sound came over.
_BACK = None

RULES: dict[tuple[State, Event], tuple[State | None, tuple[Act, ...]]] = {
    (_S.IDLE, _E.SPEECH_STARTED): (_S.USER, ()),
    (_S.IDLE, _E.SPEECH_ENDED): (_S.IDLE, ()),
    (_S.IDLE, _E.BARGE_IN): (_S.IDLE, ()),
    (_S.IDLE, _E.TURN_ENDED): (_S.THINKING, (_A.ASK,)),
    (_S.IDLE, _E.TURN_EMPTY): (_S.IDLE, ()),
    (_S.IDLE, _E.ASKED): (_S.THINKING, (_A.ASK,)),
    # The user speaks. What was finished before joins the prompt, and is answered with the rest.
    (_S.USER, _E.SPEECH_STARTED): (_S.USER, ()),
    (_S.USER, _E.SPEECH_ENDED): (_S.PAUSE, ()),
    (_S.USER, _E.BARGE_IN): (_S.USER, ()),
    (_S.USER, _E.TURN_ENDED): (_S.USER, ()),
    (_S.USER, _E.TURN_EMPTY): (_S.USER, ()),
    (_S.USER, _E.ASKED): (_S.USER, ()),
    (_S.PAUSE, _E.SPEECH_STARTED): (_S.USER, ()),
    (_S.PAUSE, _E.SPEECH_ENDED): (_S.PAUSE, ()),
    (_S.PAUSE, _E.BARGE_IN): (_S.PAUSE, ()),
    (_S.PAUSE, _E.TURN_ENDED): (_S.THINKING, (_A.ASK,)),
    (_S.PAUSE, _E.TURN_EMPTY): (_S.IDLE, ()),
    (_S.PAUSE, _E.ASKED): (_S.THINKING, (_A.ASK,)),
    (_S.PAUSE, _E.QUIET): (_S.IDLE, ()),
    # A reply is on its way or being heard. A sound holds it; only what is an interruption ends it.
    (_S.THINKING, _E.SPEECH_STARTED): (_S.OVERLAP, (_A.HOLD,)),
    (_S.THINKING, _E.SPEECH_ENDED): (_S.THINKING, ()),
    (_S.THINKING, _E.BARGE_IN): (_S.THINKING, ()),
    (_S.THINKING, _E.TURN_ENDED): (_S.THINKING, (_A.CANCEL, _A.ASK)),
    (_S.THINKING, _E.TURN_EMPTY): (_S.THINKING, ()),
    (_S.THINKING, _E.ASKED): (_S.THINKING, ()),
    (_S.THINKING, _E.AUDIBLE): (_S.AGENT, ()),
    (_S.THINKING, _E.REPLY_OVER): (_S.IDLE, ()),
    (_S.AGENT, _E.SPEECH_STARTED): (_S.OVERLAP, (_A.HOLD,)),
    (_S.AGENT, _E.SPEECH_ENDED): (_S.AGENT, ()),
    (_S.AGENT, _E.BARGE_IN): (_S.PAUSE, (_A.CANCEL,)),  # the text of a sound came after the verdict
    (_S.AGENT, _E.TURN_ENDED): (_S.THINKING, (_A.CANCEL, _A.ASK)),
    (_S.AGENT, _E.TURN_EMPTY): (_S.AGENT, ()),
    (_S.AGENT, _E.ASKED): (_S.AGENT, ()),
    (_S.AGENT, _E.AUDIBLE): (_S.AGENT, ()),
    (_S.AGENT, _E.REPLY_OVER): (_S.IDLE, ()),
    (_S.OVERLAP, _E.SPEECH_STARTED): (_S.OVERLAP, ()),
    (_S.OVERLAP, _E.SPEECH_ENDED): (_S.VERDICT, ()),
    (_S.OVERLAP, _E.BARGE_IN): (_S.USER, (_A.CANCEL,)),
    (_S.OVERLAP, _E.LONG): (_S.USER, (_A.CANCEL,)),
    (_S.OVERLAP, _E.TURN_ENDED): (_S.USER, (_A.CANCEL,)),
    (_S.OVERLAP, _E.TURN_EMPTY): (_S.OVERLAP, ()),
    (_S.OVERLAP, _E.ASKED): (_S.OVERLAP, ()),
    (_S.OVERLAP, _E.AUDIBLE): (_S.OVERLAP, ()),
    (_S.OVERLAP, _E.REPLY_OVER): (_S.USER, (_A.RESUME,)),
    (_S.VERDICT, _E.SPEECH_STARTED): (_S.OVERLAP, ()),
    (_S.VERDICT, _E.SPEECH_ENDED): (_S.VERDICT, ()),
    (_S.VERDICT, _E.BARGE_IN): (_S.PAUSE, (_A.CANCEL,)),
    (_S.VERDICT, _E.TURN_ENDED): (_S.THINKING, (_A.CANCEL, _A.ASK)),
    (_S.VERDICT, _E.TURN_EMPTY): (_BACK, (_A.RESUME,)),
    (_S.VERDICT, _E.QUIET): (_BACK, (_A.RESUME,)),
    (_S.VERDICT, _E.ASKED): (_S.VERDICT, ()),
    (_S.VERDICT, _E.AUDIBLE): (_S.VERDICT, ()),
    (_S.VERDICT, _E.REPLY_OVER): (_S.PAUSE, (_A.RESUME,)),
    (_S.IDLE, _E.RESET): (_S.IDLE, ()),
    (_S.USER, _E.RESET): (_S.IDLE, ()),
    (_S.PAUSE, _E.RESET): (_S.IDLE, ()),
    (_S.THINKING, _E.RESET): (_S.IDLE, (_A.CANCEL,)),
    (_S.AGENT, _E.RESET): (_S.IDLE, (_A.CANCEL,)),
    (_S.OVERLAP, _E.RESET): (_S.IDLE, (_A.CANCEL,)),
    (_S.VERDICT, _E.RESET): (_S.IDLE, (_A.CANCEL,)),
}


class Floor:
    """Walks the table. `turn` is the number of the newest reply; 0 before the first.

    Events about a reply count only for the one under way: what comes late of an older one is
    ignored, since it says nothing about who has the floor.
    """

    def __init__(self, rules: FloorRules | None = None) -> None:
        self._rules = rules or FloorRules()
        self.state: State = State.IDLE
        self.turn: int = 0
        self._audible = False
        self._since = 0.0  # when the present state was entered
        self._held_at = 0.0

    def feed(self, event: Event, now: float, turn: int | None = None) -> tuple[Act, ...]:
        """Let `event` happen; return what is to be done.

        turn: the reply that AUDIBLE and REPLY_OVER are about.
        Raises NotAllowed for an event that has no row, naming those that have one.
        """
        if turn is not None and (turn != self.turn or not self.replying):
            return ()
        row = RULES.get((self.state, event))
        if row is None:
            allowed = ", ".join(e for s, e in RULES if s == self.state)
            raise NotAllowed(
                f"{event} is not allowed while the floor is {self.state}; "
                f"expected one of: {allowed}"
            )
        if event == Event.AUDIBLE:
            self._audible = True
        state, acts = row
        self._enter(state or (State.AGENT if self._audible else State.THINKING), now)
        if Act.HOLD in acts:
            self._held_at = now
        if Act.ASK in acts:
            self.turn += 1
            self._audible = False
        return acts

    def skip(self, turn: int) -> None:
        """Replies up to `turn` are void, though there were none yet: the next has a higher number.

        Only while there is no reply.
        """
        self.turn = max(self.turn, turn)

    @property
    def since(self) -> float:
        """When the present state was entered."""
        return self._since

    @property
    def replying(self) -> bool:
        """True while a reply is on its way, being heard or held."""
        return self.state in (State.THINKING, State.AGENT, State.OVERLAP, State.VERDICT)

    def due(self, now: float) -> Event | None:
        """The event that time has brought about, if any; feed it."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return None
        return Event.LONG if self.state == State.OVERLAP else Event.QUIET

    def deadline(self) -> float | None:
        """When time will bring about an event; None if it won't."""
        match self.state:
            case State.OVERLAP:
                return self._held_at + self._rules.hold_s
            case State.VERDICT:
                return min(self._since + self._rules.quiet_s, self._held_at + self._rules.hold_s)
            case State.PAUSE:
                return self._since + self._rules.patience_s
            case _:
                return None

    def _enter(self, state: State, now: float) -> None:
        if state != self.state:
            self.state = state
            self._since = now
