"""Which detectors there are, and how they work together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from vivace.errors import StageError, not_known
from vivace.machines.confirm import ConfirmRules, Edge, Inhibit, check_debounce
from vivace.part import Part

__all__ = ["DetectionRules", "Report", "Turn", "Watch"]

Report: TypeAlias = Literal["all", "best"]
Turn: TypeAlias = Literal["", "after", "over"]


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """A detector, as the machine sees it.

    wants: which parts it looks at. look: what it sees in a part, if it can say so at once, without
        waiting or long work; None if that is a job, which may take `within_s` seconds.
    rules: when it is believed. triggers_turn: as in `Event`.
    """

    name: str
    wants: Callable[[Part], object]
    look: Callable[[Part], object] | None = None
    within_s: float = 10.0
    rules: ConfirmRules = ConfirmRules()
    triggers_turn: Turn = ""


class DetectionRules(msgspec.Struct, frozen=True, kw_only=True):
    """How detectors work together.

    debounce_s, edge: as for `Debounce`. inhibit: which events keep others from being told.
    max_running: jobs at once. max_age_s: of media time; a part that is older is not looked at.
    report: "all" tells what each detector sees; "best", once all that look at a part have seen it,
        only what is seen most surely.
    failures: so many in a row switch a detector off, for `retry_after_s` seconds.

    Raises StageError for numbers that let nothing happen.
    """

    debounce_s: float = 0.1
    edge: Edge = "leading"
    max_running: int = 5
    max_age_s: float = 5.0
    report: Report = "all"
    failures: int = 3
    retry_after_s: float = 30.0
    inhibit: tuple[Inhibit, ...] = ()

    def __post_init__(self) -> None:
        check_debounce(self.debounce_s, self.edge)
        for name in ("max_running", "failures"):
            if getattr(self, name) < 1:
                raise StageError(f"{name}={getattr(self, name)} lets nothing run; use 1 or more")
        for name in ("max_age_s", "retry_after_s"):
            if not getattr(self, name) >= 0:
                raise StageError(f"{name}={getattr(self, name)}; use seconds, 0 or more")
        if self.report not in ("all", "best"):
            raise not_known("report", self.report, ("all", "best"))
