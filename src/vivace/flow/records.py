"""What is told of a run while it goes on: one record for each thing that happens.

All times are those of the loop's clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from vivace.part import Part, Signal

__all__ = [
    "Announced",
    "Ended",
    "Measured",
    "PartPassed",
    "Record",
    "RunFinished",
    "RunStarted",
    "Said",
    "StageCounts",
    "StageFailed",
    "StageFinished",
    "StageId",
    "StageStarted",
]

Ended: TypeAlias = Literal["exhausted", "closed", "failed", "abandoned"]
"""How something ended: it had no more to give; whoever read it had enough; it raised; or it would
not stop when it was told to, and was left behind."""


class StageId(msgspec.Struct, frozen=True):
    """Which stage of which run.

    run: the run's number; watched runs are counted from 1 in each process. parent: the number of
        the run that it was begun in; None if there is none, or nobody watches that one.
    path: as in errors, `agent[2].transcribe`; `source` for what the run reads.
    index: its place in the run, in the order of opening; the source is 0.
    """

    run: int
    parent: int | None
    path: str
    index: int


class StageCounts(msgspec.Struct, frozen=True):
    """What went through a stage, from when it was opened until it ended.

    Its input is what the stage before it yields; a source has none. Bytes are those of audio,
    images, binary data and text. `parts_aside` went to side lanes; they are in nothing else.

    waited_for_input_s: while it had asked the stage before it for a part and none had come.
    waited_for_room_s: while it had handed something out and nobody asked it for more.
    """

    parts_in: int
    bytes_in: int
    parts_out: int
    bytes_out: int
    parts_aside: int
    waited_for_input_s: float
    waited_for_room_s: float


class RunStarted(msgspec.Struct, frozen=True):
    """A run begins: its first part was asked for.

    Told in the run's own context: context variables that a hook sets now, all its stages see.
    beside: it is no part of what its parent answers, such as a detector's that looks on.
    """

    run: int
    parent: int | None
    name: str
    at: float
    beside: bool = False


class StageStarted(msgspec.Struct, frozen=True):
    """A stage was opened. The source comes first, then the others in the order of the pipeline.

    counts: tells what has gone through it by now, also after it has ended.
    """

    stage: StageId
    at: float
    counts: Callable[[], StageCounts] | None = None


class PartPassed(msgspec.Struct, frozen=True):
    """`part` left a stage, which had been asked for it at `asked_at`.

    aside: it is on a side lane, so it went past the stages behind this one.
    """

    stage: StageId
    at: float
    part: Part
    asked_at: float
    aside: bool


class Said(msgspec.Struct, frozen=True):
    """A driven stage of `run` sent `part` on a side lane, straight to the consumer. Which stage it
    was is not known, so its counts do not have it."""

    run: int
    at: float
    part: Part


class Measured(msgspec.Struct, frozen=True, gc=False):
    """A stage of `run` has measured something.

    what: a name such as `late_s`; docs/observing.md lists them. by: the stage, by what it does.
    value: in the unit that the name ends in; a count if it ends in none.
    """

    run: int
    at: float
    by: str
    what: str
    value: float


class Announced(msgspec.Struct, frozen=True):
    """A stage told the whole conversation something, such as that it was interrupted.

    run: the outermost run of the conversation that is watched.
    """

    run: int
    at: float
    signal: Signal


class StageFinished(msgspec.Struct, frozen=True):
    """A stage ended without an error. `asked_at`: when it was asked for the part that never came;
    None if it was not being asked."""

    stage: StageId
    at: float
    ended: Ended
    counts: StageCounts
    asked_at: float | None = None


class StageFailed(msgspec.Struct, frozen=True):
    """A stage raised. `origin` is the path of the stage of this run that `error` came from."""

    stage: StageId
    at: float
    error: BaseException
    origin: str
    counts: StageCounts
    asked_at: float | None = None


class RunFinished(msgspec.Struct, frozen=True):
    """A run is closed, as far as it would be. `error` is what it failed with."""

    run: int
    at: float
    ended: Ended
    error: BaseException | None = None


Record: TypeAlias = (
    RunStarted
    | StageStarted
    | PartPassed
    | Said
    | Measured
    | Announced
    | StageFinished
    | StageFailed
    | RunFinished
)
