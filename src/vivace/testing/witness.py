"""What happens in a conversation, step by step, as whoever stands beside it sees it.

Nothing is asked of the insides of a stage: a witness sees what the user gives, what leaves each
stage, what is announced, what the model is asked, and what the speaker takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, get_args

import msgspec

from vivace.flow.records import Announced, PartPassed, Record, RunStarted, Said, StageStarted
from vivace.part import Data, Part, Signal

__all__ = [
    "Called",
    "Ended",
    "Event",
    "Gave",
    "Got",
    "Invariant",
    "News",
    "Passed",
    "Played",
    "Stages",
    "Told",
    "Witness",
]


class Gave(msgspec.Struct, frozen=True):
    """The microphone gives a part."""

    part: Part


class Stages(msgspec.Struct, frozen=True):
    """The stages have been opened: their paths, the source first."""

    paths: tuple[str, ...]

    @property
    def conversation(self) -> int | None:
        """The place of the `LiveModelProcessor` among them; None if there is none."""
        live = [i for i, path in enumerate(self.paths) if path.endswith("live_model_processor")]
        return live[-1] if live else None


class Passed(msgspec.Struct, frozen=True):
    """A part leaves a stage of the agent; `stage` is its place, 0 for the source."""

    stage: int
    part: Part


class Told(msgspec.Struct, frozen=True):
    """A signal is announced."""

    signal: Signal


class News(msgspec.Struct, frozen=True):
    """A part on `status` tells something."""

    facts: dict[str, Any]


class Called(msgspec.Struct, frozen=True):
    """The model is called, for the `number`th time counted from 0."""

    number: int
    prompt: tuple[Part, ...]


class Ended(msgspec.Struct, frozen=True):
    """A call of the model's has ended, however."""

    number: int


class Got(msgspec.Struct, frozen=True):
    """The speaker gets a part."""

    part: Part


class Played(msgspec.Struct, frozen=True):
    """So many seconds of reply `turn` were played when it was interrupted."""

    turn: int
    seconds: float


Event: TypeAlias = Gave | Stages | Passed | Told | News | Called | Ended | Got | Played


class Invariant(Protocol):
    """What must hold at every moment of a conversation. One object serves one conversation.

    sees: the kinds of events that it is shown.
    """

    name: str
    sees: tuple[type[Event], ...]

    def see(self, event: Event, at: float) -> str | None:
        """Take in what happens; say what is wrong, if anything is."""
        ...

    def end(self, at: float) -> str | None:
        """The conversation is over."""
        ...


class Witness:
    """Shows each event to the invariants that it may concern, and notes the first that is broken.

    now: the clock. keep: also keep all events, with their times, in `events`.
    """

    def __init__(
        self, invariants: Sequence[Invariant], now: Callable[[], float], *, keep: bool
    ) -> None:
        self.events: list[tuple[float, Event]] = []
        self.broken: tuple[str, str, float] | None = None  # the invariant, what it says, and when
        self._invariants = invariants
        self._seers = {
            kind: [it for it in invariants if kind in it.sees] for kind in get_args(Event)
        }
        self._now = now
        self._zero = now()
        self._keep = keep
        self._run: int | None = None
        self._paths: list[str] = []

    def see(self, event: Event) -> None:
        """Something happens now."""
        at = round(self._now() - self._zero, 6)
        if self._keep:
            self.events.append((at, event))
        for invariant in self._seers[type(event)]:
            if (complaint := invariant.see(event, at)) is not None:
                self._note(invariant, complaint, at)

    def end(self) -> None:
        """The conversation is over."""
        at = round(self._now() - self._zero, 6)
        for invariant in self._invariants:
            self._note(invariant, invariant.end(at), at)

    def hook(self, record: Record) -> None:
        """For `vivace.observe`: tells what the agent does inside."""
        match record:
            case RunStarted(parent=None, run=run) if self._run is None:
                self._run = run
            case StageStarted(stage=stage) if stage.run == self._run:
                self._paths.append(stage.path)
            case PartPassed(stage=stage, part=part, aside=aside) if stage.run == self._run:
                if self._paths:
                    self.see(Stages(tuple(self._paths)))
                    self._paths = []
                if not aside:
                    self.see(Passed(stage.index, part))
            case Said(part=Part(substream="status", body=Data(value=dict() as facts))):
                self.see(News(facts))
            case Announced(signal=signal):
                self.see(Told(signal))
            case _:
                pass

    def _note(self, invariant: Invariant, complaint: str | None, at: float) -> None:
        if complaint is not None and self.broken is None:
            self.broken = (invariant.name, complaint, at)
