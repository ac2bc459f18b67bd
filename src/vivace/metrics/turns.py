"""What became of each turn, from the records of its conversation.

This file owns which record means what for a turn; metrics, spans and logs all read what it makes.
A turn is told once, when nothing more can change: an interrupted one when something is asked
again, since only then it is known whether there was anything to the interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from vivace.flow.records import (
    Announced,
    Measured,
    PartPassed,
    Record,
    RunFinished,
    RunStarted,
    Said,
)
from vivace.part import Data, Held, Interrupted, Part, Played, Playing, Reset, Resumed

__all__ = ["Hold", "Kind", "Outcome", "Step", "TurnStory", "Turns"]

_RUNS = 10_000  # under way at once; more than one loop serves
_STEPS = 64  # of a kind that are kept of a turn

Kind: TypeAlias = Literal["true", "false", "backchannel"]
"""What a sound over a reply was: somebody had something to say; nobody had, and yet the reply was
cut; or it was not cut, and went on."""

Outcome: TypeAlias = Literal["done", "failed", "interrupted", "timeout", "unfinished"]


class Step(msgspec.Struct, frozen=True):
    """Something that took time for a turn: a tool, or a run of the model. Times are the clock's."""

    name: str
    begun_at: float
    ended_at: float
    error: str = ""


class Hold(msgspec.Struct):
    """The reply was silent while somebody else was heard.

    after_s: seconds from the sound to silence; None if nobody knows when it began.
    """

    begun_at: float
    ended_at: float | None = None
    after_s: float | None = None


class TurnStory(msgspec.Struct):
    """One turn: what the user said, and the reply to it. Times are the clock's, in seconds.

    run, conversation: number and name of the outermost run. speech_ended_at, transcript_at,
    decided_at, first_token_at: of the user's speech; None for what was typed or asked for by the
    program. sent_at: when the reply's first part was handed out; heard_at: when it was heard.
    tokens, reused: of the prompt, estimated; None if the program spoke. kind: see `Kind`.
    """

    turn: int
    run: int
    conversation: str
    asked_at: float
    said_by: Literal["model", "program"] = "model"
    speech_ended_at: float | None = None
    transcript_at: float | None = None
    decided_at: float | None = None
    first_token_at: float | None = None
    sent_at: float | None = None
    heard_at: float | None = None
    over_at: float | None = None
    outcome: Outcome = "unfinished"
    error: str = ""
    kind: Kind | None = None
    tokens: int | None = None
    reused: int | None = None
    holds: list[Hold] = []
    tools: list[Step] = []
    models: list[Step] = []

    @property
    def begun_at(self) -> float:
        """When the user fell silent; when the model was asked if nobody spoke."""
        return self.asked_at if self.speech_ended_at is None else self.speech_ended_at

    def measures(self) -> Iterator[tuple[str, float]]:
        """Its durations and its prompt, by the names of a report; only what is known."""
        times = {
            "transcript_s": self.transcript_at,
            "end_of_turn_s": self.decided_at,
            "first_token_s": self.first_token_at,
            "first_audio_sent_s": self.sent_at,
            "first_audio_heard_s": self.heard_at,
        }
        if self.speech_ended_at is not None:
            for name, at in times.items():
                if at is not None:
                    yield name, _duration(at - self.speech_ended_at)
        for hold in self.holds:
            if hold.ended_at is not None:
                yield "hold_s", _duration(hold.ended_at - hold.begun_at)
            if hold.after_s is not None:
                yield "stop_s", _duration(hold.after_s)
        if self.tokens is not None:
            yield "prompt_tokens", float(self.tokens)


class _Talk:
    """A conversation under way."""

    __slots__ = ("cut", "models", "name", "now", "over", "run")

    def __init__(self, run: int, name: str) -> None:
        self.run = run
        self.name = name
        self.now: TurnStory | None = None
        self.cut: TurnStory | None = None  # interrupted; nobody knows yet for what
        self.models: dict[int, tuple[str, float]] = {}  # runs within it that go on

    def find(self, turn: int) -> TurnStory | None:
        return next((it for it in (self.now, self.cut) if it and it.turn == turn), None)


class Turns:
    """A hook that tells each turn, once it is over.

    tell: gets it. judged: gets what each sound over a reply was, when that is known.
    """

    skips_parts = True

    def __init__(
        self,
        tell: Callable[[TurnStory], object],
        judged: Callable[[Kind], object] = lambda _: None,
    ) -> None:
        self._tell = tell
        self._judged = judged
        self._talks: dict[int, _Talk] = {}  # by run, also those within the outermost

    def __call__(self, record: Record) -> None:
        match record:
            case Said(run=run, at=at, part=Part(body=Data(value=dict() as news)) as part):
                self._heard(run, at, part, news)
            case PartPassed(
                stage=stage, at=at, aside=True, part=Part(body=Data(value=dict() as news)) as part
            ):
                self._heard(stage.run, at, part, news)
            case Announced(run=run) if talk := self._talks.get(run):
                self._announced(talk, record)
            case Measured(run=run, what="tool_s") if talk := self._talks.get(run):
                self._used_tool(talk, record)
            case RunStarted():
                self._begin(record)
            case RunFinished():
                self._end(record)

    # -- runs ---------------------------------------------------------------------------------

    def _begin(self, record: RunStarted) -> None:
        above = self._talks.get(record.parent) if record.parent else None
        if above is None:
            if len(self._talks) >= _RUNS:  # whose ends nobody told, as when a loop was torn down
                del self._talks[next(iter(self._talks))]
            self._talks[record.run] = _Talk(record.run, record.name)
            return
        self._talks[record.run] = above
        if not record.beside:
            above.models[record.run] = (record.name, record.at)

    def _end(self, record: RunFinished) -> None:
        talk = self._talks.pop(record.run, None)
        if talk is None:
            return
        if record.run != talk.run:
            model, story = talk.models.pop(record.run, None), talk.now or talk.cut
            if model is not None and story is not None and len(story.models) < _STEPS:
                error = type(record.error).__name__ if record.error else ""
                story.models.append(Step(*model, record.at, error))
            return
        self._settle(talk)
        if talk.now is not None:
            self._over(talk, talk.now, record.at, talk.now.outcome)

    # -- what is told of a reply --------------------------------------------------------------

    def _heard(self, run: int, at: float, part: Part, news: dict[str, Any]) -> None:
        talk = self._talks.get(run)
        if talk is None:
            return
        match news:
            case {"event": "asked" | "saying" | "brought_back" as event, "turn": int(turn)}:
                self._asked(talk, turn, at, event, news)
            case {"event": "latency", "turn": int(turn)} if story := talk.find(turn):
                _take_times(story, at - (part.at or 0.0), news)
            case {"event": "held", "turn": int(turn), "after_s": float(after_s)}:
                story = talk.find(turn)
                if story is not None and story.holds:
                    story.holds[-1].after_s = after_s
            case {"event": "false_interruption"} if talk.cut is not None:
                talk.cut.kind = "false"
            case {"event": "failed", "what": "reply", "turn": int(turn), "error": str(error)}:
                story = talk.find(turn)
                if story is not None:
                    story.error = error
                    if story is talk.cut:  # nobody has interrupted it: it did not come
                        story.outcome, story.kind = "timeout", None

    def _asked(self, talk: _Talk, turn: int, at: float, event: str, news: dict[str, Any]) -> None:
        self._settle(talk)
        if talk.now is not None:
            self._over(talk, talk.now, at, talk.now.outcome)
        talk.now = TurnStory(
            turn,
            talk.run,
            talk.name,
            at,
            said_by="program" if event == "saying" else "model",
            tokens=news.get("tokens"),
            reused=news.get("reused"),
        )

    def _used_tool(self, talk: _Talk, record: Measured) -> None:
        story = talk.now
        if story is not None and len(story.tools) < _STEPS:
            story.tools.append(Step(record.by, record.at - record.value, record.at))

    # -- what is announced --------------------------------------------------------------------

    def _announced(self, talk: _Talk, record: Announced) -> None:
        match record.signal:
            case Playing(turn=turn) if (story := talk.find(turn)) and story.sent_at is None:
                story.sent_at = record.at
            case Held(turn=turn) if (story := talk.find(turn)) and len(story.holds) < _STEPS:
                story.holds.append(Hold(record.at))
            case Resumed(turn=turn) if story := talk.find(turn):
                if _end_hold(story, record.at):
                    self._judged("backchannel")
            case Interrupted(turn=turn) | Reset(turn=turn):
                self._cut(talk, turn, record.at)
            case Played(turn=turn, reason=reason) if (story := talk.now) and story.turn == turn:
                self._over(talk, story, record.at, reason)
            case _:
                pass

    def _cut(self, talk: _Talk, turn: int, at: float) -> None:
        story = talk.now
        if story is None or story.turn > turn:
            return
        _end_hold(story, at)
        self._settle(talk)
        story.outcome, story.over_at, story.kind = "interrupted", at, "true"
        talk.now, talk.cut = None, story

    # -- the end ------------------------------------------------------------------------------

    def _settle(self, talk: _Talk) -> None:
        """Nothing more can change about the turn that was cut."""
        story, talk.cut = talk.cut, None
        if story is not None:
            if story.kind is not None:
                self._judged(story.kind)
            self._tell(story)

    def _over(self, talk: _Talk, story: TurnStory, at: float, outcome: Outcome) -> None:
        _end_hold(story, at)
        story.over_at, story.outcome = at, outcome
        talk.now = None
        self._tell(story)


def _duration(seconds: float) -> float:
    """What was known before its time took none; to a nanosecond, as clocks are."""
    return round(max(0.0, seconds), 9)


def _end_hold(story: TurnStory, at: float) -> bool:
    """End the hold under way; False if there is none."""
    if not story.holds or story.holds[-1].ended_at is not None:
        return False
    story.holds[-1].ended_at = at
    return True


def _take_times(story: TurnStory, zero: float, news: dict[str, Any]) -> None:
    """Make times of the clock of what is told: seconds since `zero`, and milliseconds."""
    ended_at = news.get("ended_at")
    steps = news.get("ms")
    if not isinstance(ended_at, float) or not isinstance(steps, dict):
        return
    at = story.speech_ended_at = round(zero + ended_at, 6)
    times = {step: round(at + ms / 1000, 6) for step, ms in steps.items()}
    story.transcript_at = times.get("transcript")
    story.decided_at = times.get("decision")
    story.first_token_at = times.get("first_token")
    if story.sent_at is None:  # else it is known to the microsecond
        story.sent_at = times.get("first_audio")
    heard_at = news.get("heard_at")
    story.heard_at = round(zero + heard_at, 6) if isinstance(heard_at, float) else story.sent_at
