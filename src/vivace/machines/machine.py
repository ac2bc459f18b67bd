"""What every machine is: a small synchronous object that decides, and does nothing.

A machine gets items and the time, and returns a list of what is to be done: parts to send on,
signals to announce, jobs for the shell. It never awaits, reads no clock, does no I/O, and draws no
random numbers; so each of its decisions can be tested with exact numbers.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias, Union

import msgspec

from vivace.part import Part, Signal

__all__ = [
    "FLOOR", "SPEECH", "Announce", "Cancel", "Item", "Job", "JobDone", "JobFailed", "Machine",
    "Output", "Tell",
]  # fmt: skip

FLOOR = "floor"
SPEECH = "speech"


class Announce(msgspec.Struct, frozen=True, gc=False):
    """Tell every machine of the run and its consumer at once, past all that is queued."""

    signal: Signal


class Job(msgspec.Struct, frozen=True, eq=False, weakref=True):
    """Something slow for the shell to do; it answers with `JobDone` or `JobFailed`."""

    # Told apart by identity; whoever does a job may keep what it needs for it as long as it lives.

    @property
    def label(self) -> str:
        """What its task is called."""
        return type(self).__name__


class JobDone(msgspec.Struct, frozen=True):
    """A job has ended well."""

    job: Job
    result: object = None


class JobFailed(msgspec.Struct, frozen=True):
    """A job has raised."""

    job: Job
    error: Exception


class Tell(msgspec.Struct, frozen=True):
    """Give `item` to a job that is under way, or has just been begun."""

    job: Job
    item: object


class Cancel(msgspec.Struct, frozen=True):
    """Stop a job; it answers nothing any more."""

    job: Job


Output: TypeAlias = Union[Part, Announce, Job, Tell, Cancel]  # noqa: UP007 - read at run time
Item: TypeAlias = object
"""What a machine is fed: a `Part` from the stream, a `Signal` that another stage announced, a
`JobDone` or `JobFailed`, or a value of the machine's own kind."""


class Machine:
    """The base of all machines. Times are seconds, on a clock that only goes forward.

    Subclasses override what they need; an item that a machine does not know is no error for it.

    decides: what it decides for the whole run, so that no other stage should: `FLOOR` who may
        speak, `SPEECH` whether the user speaks.
    """

    decides: ClassVar[str] = ""

    def feed(self, item: Item, now: float) -> list[Output]:
        """Take one item in; return what is to be done, in order."""
        return [item] if isinstance(item, Part) else []

    def tick(self, now: float) -> list[Output]:
        """Time has passed: do what has become due. Never wrong to call early or twice."""
        return []

    def deadline(self) -> float | None:
        """When `tick` is wanted next; None if only an item can change anything."""
        return None

    def finish(self, now: float) -> list[Output]:
        """The stream has ended: nothing more will be fed from it."""
        return []

    def full(self) -> bool:
        """True if nothing more should be read from the stream until something has left."""
        return False

    def supplied(self) -> bool:
        """True if what waits lasts for a while, so that more of it is not urgent."""
        return False

    def done(self) -> bool:
        """After `finish`: True once nothing more can come of it."""
        return self.deadline() is None
