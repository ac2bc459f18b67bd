"""What can happen to the connection of a live session, and what is done: one table.

`Connection` walks it; `docs/gemini_live.md` draws it.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["RULES", "Act", "Event", "State"]


class State(StrEnum):
    """How the session stands."""

    CONNECTING = "connecting"  # for the first time: nothing was said yet
    READY = "ready"
    DRAINING = "draining"  # the server is about to close: a quiet moment is waited for
    RECONNECTING = "reconnecting"  # there is no connection, and the next one is waited for
    RESUMING = "resuming"  # connecting with a handle: the server knows what was said
    RESEEDING = "reseeding"  # connecting without one: it is told what was said
    CLOSED = "closed"


class Event(StrEnum):
    """What can happen to it."""

    OPENED = "opened"  # the server has sent `setupComplete`
    GO_AWAY = "go_away"  # the server says that it will close
    QUIET = "quiet"  # nobody speaks and nothing is owed
    DUE = "due"  # what was waited for has come: the next attempt, or the end of the time left
    MOVE = "move"  # the session wants another connection
    LOST = "lost"  # the connection has ended, or was never made
    REFUSED = "refused"  # the server did not take the set-up
    FAILED = "failed"  # it would not take it the next time either
    GIVEN_UP = "given_up"  # it was lost too often
    STOP = "stop"  # the session is over


class Act(StrEnum):
    """What is to be done."""

    DIAL = "dial"  # open a connection
    HANG_UP = "hang_up"  # close the one that there is
    WAIT = "wait"  # until the next attempt
    FORGET = "forget"  # the handle is no good
    FAIL = "fail"  # tell why the session is over


_S, _E, _A = State, Event, Act
# "Anew": RESUMING with a handle, RESEEDING without; CONNECTING if nothing was ever connected.
_ANEW = None

RULES: dict[tuple[State, Event], tuple[State | None, tuple[Act, ...]]] = {
    (_S.CONNECTING, _E.OPENED): (_S.READY, ()),
    (_S.CONNECTING, _E.LOST): (_S.RECONNECTING, (_A.WAIT,)),
    (_S.CONNECTING, _E.REFUSED): (_S.CLOSED, (_A.FAIL,)),
    (_S.CONNECTING, _E.FAILED): (_S.CLOSED, (_A.FAIL,)),
    (_S.CONNECTING, _E.GIVEN_UP): (_S.CLOSED, (_A.FAIL,)),
    (_S.CONNECTING, _E.QUIET): (_S.CONNECTING, ()),
    (_S.CONNECTING, _E.MOVE): (_S.CONNECTING, ()),
    (_S.CONNECTING, _E.STOP): (_S.CLOSED, (_A.HANG_UP,)),
    (_S.READY, _E.GO_AWAY): (_S.DRAINING, ()),
    (_S.READY, _E.QUIET): (_S.READY, ()),
    (_S.READY, _E.MOVE): (_ANEW, (_A.HANG_UP, _A.DIAL)),
    (_S.READY, _E.LOST): (_S.RECONNECTING, (_A.WAIT,)),
    (_S.READY, _E.FAILED): (_S.CLOSED, (_A.FAIL,)),
    (_S.READY, _E.GIVEN_UP): (_S.CLOSED, (_A.FAIL,)),
    (_S.READY, _E.STOP): (_S.CLOSED, (_A.HANG_UP,)),
    # The old connection is closed before the new one is opened: the server allows one a session.
    (_S.DRAINING, _E.GO_AWAY): (_S.DRAINING, ()),
    (_S.DRAINING, _E.QUIET): (_ANEW, (_A.HANG_UP, _A.DIAL)),
    (_S.DRAINING, _E.DUE): (_ANEW, (_A.HANG_UP, _A.DIAL)),
    (_S.DRAINING, _E.MOVE): (_ANEW, (_A.HANG_UP, _A.DIAL)),
    (_S.DRAINING, _E.LOST): (_S.RECONNECTING, (_A.WAIT,)),
    (_S.DRAINING, _E.FAILED): (_S.CLOSED, (_A.FAIL,)),
    (_S.DRAINING, _E.GIVEN_UP): (_S.CLOSED, (_A.FAIL,)),
    (_S.DRAINING, _E.STOP): (_S.CLOSED, (_A.HANG_UP,)),
    (_S.RECONNECTING, _E.DUE): (_ANEW, (_A.DIAL,)),
    (_S.RECONNECTING, _E.QUIET): (_S.RECONNECTING, ()),
    (_S.RECONNECTING, _E.MOVE): (_S.RECONNECTING, ()),
    (_S.RECONNECTING, _E.STOP): (_S.CLOSED, ()),
    (_S.RESUMING, _E.OPENED): (_S.READY, ()),
    (_S.RESUMING, _E.LOST): (_S.RECONNECTING, (_A.WAIT,)),
    # It does not know the handle, or not any more: a new session is told what was said.
    (_S.RESUMING, _E.REFUSED): (_S.RESEEDING, (_A.FORGET, _A.DIAL)),
    (_S.RESUMING, _E.FAILED): (_S.CLOSED, (_A.FAIL,)),
    (_S.RESUMING, _E.GIVEN_UP): (_S.CLOSED, (_A.FAIL,)),
    (_S.RESUMING, _E.QUIET): (_S.RESUMING, ()),
    (_S.RESUMING, _E.MOVE): (_S.RESUMING, ()),
    (_S.RESUMING, _E.STOP): (_S.CLOSED, (_A.HANG_UP,)),
    (_S.RESEEDING, _E.OPENED): (_S.READY, ()),
    (_S.RESEEDING, _E.LOST): (_S.RECONNECTING, (_A.WAIT,)),
    (_S.RESEEDING, _E.REFUSED): (_S.CLOSED, (_A.FAIL,)),
    (_S.RESEEDING, _E.FAILED): (_S.CLOSED, (_A.FAIL,)),
    (_S.RESEEDING, _E.GIVEN_UP): (_S.CLOSED, (_A.FAIL,)),
    (_S.RESEEDING, _E.QUIET): (_S.RESEEDING, ()),
    (_S.RESEEDING, _E.MOVE): (_S.RESEEDING, ()),
    (_S.RESEEDING, _E.STOP): (_S.CLOSED, (_A.HANG_UP,)),
}
