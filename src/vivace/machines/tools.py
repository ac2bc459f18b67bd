"""Tool calls: which are out, and when what they bring may enter the conversation.

This file owns two promises. Every call has exactly one response, whatever becomes of its tool; and
a tool that has begun runs to its end, unless it was declared cancellable: what was ordered has been
ordered, and the conversation hears of it once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, TypeAlias, Union

import msgspec

from vivace.machines.machine import Cancel, Item, Job, JobDone, JobFailed
from vivace.machines.tool_rules import Scheduling, Timed, ToolRules
from vivace.part import Call, Part, Response

__all__ = [
    "Ask",
    "Enter",
    "GoOn",
    "RunTool",
    "Scheduling",
    "Timed",
    "ToolCalls",
    "ToolOutput",
    "ToolRules",
    "Who",
]

_IDS = 4096  # ids that are remembered: far more than calls stand in any prompt
_NOT_BEGUN = "the reply was interrupted before this was begun; it was not done"
_STOPPED = "it was cancelled, since the reply was interrupted"

Who: TypeAlias = Literal["idle", "agent", "user"]
"""Who has the floor. "user" also while it is open whether a sound of the user's interrupts."""

_ANY = ToolRules()  # of tools that there are not


class RunTool(Job, frozen=True, eq=False):
    """Do `call`, that reply `turn` has made; answer with the result or raise."""

    call: Call
    turn: int

    @property
    def label(self) -> str:
        return f"tool {self.call.name}"


class Enter(msgspec.Struct, frozen=True):
    """A call or a response enters the conversation now.

    given_id: the id that the model gave to the call; the part has one that is unique.
    scheduling: of a response: what is done about it.
    """

    part: Part
    given_id: str = ""
    scheduling: Scheduling = Scheduling.SILENT


class GoOn(msgspec.Struct, frozen=True):
    """Reply `turn` has all that it waited for: the model goes on with it."""

    turn: int


class Ask(msgspec.Struct, frozen=True):
    """The model is to be asked for a new reply. interrupt: instead of the one under way."""

    interrupt: bool = False


ToolOutput: TypeAlias = Union[Enter, GoOn, Ask, RunTool, Cancel]  # noqa: UP007


class _Out:
    """A call without an answer."""

    __slots__ = ("call", "due", "given_id", "job", "rules", "scheduling", "turn")

    def __init__(self, call: Call, given_id: str, turn: int, rules: ToolRules) -> None:
        self.call = call
        self.given_id = given_id
        self.turn = turn
        self.rules = rules
        self.scheduling = rules.scheduling
        self.job: RunTool | None = None  # None until it is begun
        self.due = math.inf


class ToolCalls:
    """The calls of one conversation.

    rules: by the tools' names. None stands for a tool whose calls the program answers, and if there
        are no rules at all, every tool is one. own: names of tools that replies run themselves.
    max_running: calls that run at once; more wait. max_out: calls that run, wait, or whose results
        wait; one more fails. max_rounds: how often in a row the model is asked because of results.
    """

    def __init__(
        self,
        rules: Mapping[str, ToolRules | None] | None = None,
        *,
        max_running: int = 16,
        max_out: int = 64,
        max_rounds: int = 16,
        own: Collection[str] = (),
    ) -> None:
        self._rules = dict(rules or {})
        self.own: frozenset[str] = frozenset(own)
        self._max_running = max_running
        self._max_out = max_out
        self._max_rounds = max_rounds
        self._out: dict[str, _Out] = {}  # by our id, in the order they came
        self._results: deque[Enter] = deque()  # that may not enter yet
        self._external: dict[str, str] = {}  # calls that the program is to answer
        self._ids: dict[str, str] = {}
        self._ours: dict[str, str] = {}  # our ids by those that the model gave
        self._renamed = 0
        self._who: Who = "idle"
        self._turn = 0  # the reply under way, or the last one
        self._void = -1  # replies up to this one are over
        self._step: list[tuple[str, Call]] = []  # the calls since the model was asked, as given
        self._waits = False  # one of them is blocking
        self._step_over = False
        self._rounds = 0
        self._asked = False  # because of results, and not by the user
        self._lost = False  # a call was stopped, and the model is to be asked what now

    # -- what the model does ------------------------------------------------------------------

    def call(self, part: Part, now: float) -> list[ToolOutput]:
        """The model makes a call, as part of reply `part.turn`.

        The same call once more (id, name and arguments) before the model was asked again is none.
        An empty id, or one that was used before, is replaced.
        """
        call = part.body
        assert isinstance(call, Call)
        if call.id and (call.id, call) in self._step:
            return []
        if len(self._step) < self._max_out:
            self._step.append((call.id, call))
        given_id, call = call.id, msgspec.structs.replace(call, id=self._unique(call.id))
        _remember(self._ours, given_id, call.id)
        entered: list[ToolOutput] = [Enter(part.derive(body=call), given_id)]
        if not self.runs(call.name):
            _remember(self._external, call.id)
            return entered
        out = _Out(call, given_id, part.turn, self._rules.get(call.name) or _ANY)
        refusal = self._refusal(out)
        if out.turn <= self._void:
            out.scheduling = Scheduling.SILENT
        elif out.scheduling == Scheduling.BLOCKING:
            self._waits = True
        elif self._rounds >= self._max_rounds:
            out.scheduling = Scheduling.SILENT  # else this would be one round more
        self._out[call.id] = out
        if refusal:
            return entered + self._fail([out], refusal, now)
        return entered + self._begin(now)

    def step_over(self, turn: int, now: float) -> list[ToolOutput]:
        """The model has said all that it had to say for now in reply `turn`."""
        self._step_over = turn == self._turn
        return self._settle(now)

    def runs(self, name: str) -> bool:
        """True unless the program answers the calls of this tool, or a reply does."""
        known = bool(self._rules) and name not in self.own
        return known and self._rules.get(name, _ANY) is not None

    def ours(self, given_id: str) -> str:
        """The id of the newest call to which the model gave this one."""
        return self._ours.get(given_id, given_id)

    def waits(self) -> bool:
        """True while the reply under way waits for tools, and the model for nothing."""
        return self._step_over and self.goes_on(self._turn)

    def goes_on(self, turn: int) -> bool:
        """True if reply `turn` is not over when the model stops: it waits for tools."""
        if not turn == self._turn > self._void:
            return False
        return self._waits and self._rounds <= self._max_rounds

    # -- what tools do ------------------------------------------------------------------------

    def feed(self, item: Item, now: float) -> list[ToolOutput]:
        """A job has ended. What comes after its answer was given is ignored."""
        match item:
            case JobDone(job=RunTool(call=call) as job, result=result):
                response = Response(call.id, call.name, result)
            case JobFailed(job=RunTool(call=call) as job, error=error):
                text = str(error) or type(error).__name__
                response = Response(call.id, call.name, error=text)
            case _:
                return []
        out = self._out.get(call.id)
        if out is None or out.job is not job:
            return []
        if isinstance(timed := response.result, Timed):
            response = msgspec.structs.replace(response, result=timed.result)
            if out.scheduling == Scheduling.WHEN_IDLE:
                out.scheduling = timed.scheduling
        return self._answer(out, response) + self._begin(now) + self._settle(now)

    def answered(self, part: Part, now: float) -> list[ToolOutput]:
        """The program answers a call. A second answer, or one to a call of ours, is ignored.

        One without an id answers no call, and gets an id of its own.
        """
        response = part.body
        assert isinstance(response, Response)
        if not response.id:
            response = msgspec.structs.replace(response, id=self._unique(""))
            part = part.derive(body=response)
        elif response.id in self._ids and response.id not in self._external:
            return []
        self._external.pop(response.id, None)
        _remember(self._ids, response.id)
        full = len(self._results) >= self._max_out
        entered = self._enter_all() if full else []
        self._results.append(Enter(part, response.id, Scheduling.WHEN_IDLE))
        return entered + self._settle(now)

    def tick(self, now: float) -> list[ToolOutput]:
        """Calls that have taken too long fail."""
        answers: list[ToolOutput] = []
        for out in [out for out in self._out.values() if out.due <= now]:
            answers += self._stop(out, f"no result within {out.rules.timeout_s:g} s")
        return answers + self._begin(now) + self._settle(now) if answers else []

    def deadline(self) -> float | None:
        """When `tick` is wanted next."""
        due = min((out.due for out in self._out.values()), default=math.inf)
        return None if due == math.inf else due

    # -- what the conversation does -----------------------------------------------------------

    def floor(self, who: Who, now: float) -> list[ToolOutput]:
        """Somebody else has the floor, or nobody."""
        self._who = who
        return self._settle(now)

    def asking(self, turn: int) -> list[ToolOutput]:
        """The model is about to be asked for reply `turn`: all results enter before that."""
        self.given(turn)
        self._rounds = self._rounds + 1 if self._asked else 0
        self._asked = self._lost = False
        return self._enter_all()

    def given(self, turn: int) -> None:
        """Reply `turn` is about to go out, and the model is not asked for it: results go on waiting
        for the next one."""
        self.over(turn - 1)
        self._turn = turn
        self._new_step()

    def over(self, turn: int) -> None:
        """Replies up to `turn` do not go on. What they waited for comes when it may."""
        self._void = max(self._void, turn)
        for out in self._out.values():
            if out.turn <= turn and out.scheduling == Scheduling.BLOCKING:
                out.scheduling = Scheduling.WHEN_IDLE

    def interrupted(
        self, turn: int, now: float, *, may_come_back: bool = False
    ) -> list[ToolOutput]:
        """Replies up to `turn` are void: what they have not begun, or may be stopped, fails.

        may_come_back: perhaps for nothing. Then the model is asked about that once it may speak, as
        about other results: whoever waits for them would wait for ever.
        """
        self.over(turn)
        void = [out for out in self._out.values() if out.turn <= turn]
        stopped = [out for out in void if out.job is None or out.rules.cancellable]
        lost = any(out.scheduling != Scheduling.SILENT for out in stopped)
        self._lost |= may_come_back and lost
        return self._give_up(stopped, now)

    def cancel(self, ids: Iterable[str], now: float) -> list[ToolOutput]:
        """The model does without the calls to which it gave these ids."""
        unwanted = set(ids)
        return self._give_up([out for out in self._out.values() if out.given_id in unwanted], now)

    def reset(self, now: float) -> list[ToolOutput]:
        """Nobody is told anything any more: all that comes enters silently."""
        self.give_up_lost()
        entered = self._enter_all()
        answers = self.interrupted(self._turn, now)
        for out in self._out.values():
            out.scheduling = Scheduling.SILENT
        return entered + answers

    def give_up_lost(self) -> None:
        """Nobody waits any more for what an interruption has stopped."""
        self._lost = False

    def done(self) -> bool:
        """True once every call has its answer, and every answer is in the conversation."""
        return not self._out and not self._results

    # -- inside -------------------------------------------------------------------------------

    def _unique(self, given: str) -> str:
        id = given
        while not id or id in self._ids:
            self._renamed += 1
            id = f"{given or 'call'}-{self._renamed}"
        _remember(self._ids, id)
        return id

    def _refusal(self, out: _Out) -> str:
        """Why the call is not made; "" if it is."""
        if out.turn <= self._void:
            return _NOT_BEGUN
        if out.call.name not in self._rules:
            names = ", ".join(self._rules)
            return f"there is no tool named {out.call.name!r}; there are: {names}"
        if self._rounds >= self._max_rounds:
            return f"{self._max_rounds} rounds of calls in a row are enough; answer without"
        if len(self._out) + len(self._results) >= self._max_out:
            return f"{self._max_out} calls are out already; wait for their results"
        return ""

    def _begin(self, now: float) -> list[ToolOutput]:
        """Begin calls that wait, while there is room."""
        jobs: list[ToolOutput] = []
        running = sum(out.job is not None for out in self._out.values())
        for out in self._out.values():
            if out.job is None and running < self._max_running:
                out.job = RunTool(out.call, out.turn)
                out.due = now + out.rules.timeout_s
                jobs.append(out.job)
                running += 1
        return jobs

    def _stop(self, out: _Out, why: str) -> list[ToolOutput]:
        cancel: list[ToolOutput] = [Cancel(out.job)] if out.job is not None else []
        return cancel + self._answer(out, Response(out.call.id, out.call.name, error=why))

    def _give_up(self, unwanted: list[_Out], now: float) -> list[ToolOutput]:
        stopped = [out for out in unwanted if out.job is not None and out.rules.cancellable]
        waiting = [out for out in unwanted if out.job is None]
        return self._fail(waiting, _NOT_BEGUN, now) + self._fail(stopped, _STOPPED, now)

    def _fail(self, outs: list[_Out], why: str, now: float) -> list[ToolOutput]:
        answers: list[ToolOutput] = []
        for out in outs:
            if out.turn <= self._void:
                out.scheduling = Scheduling.SILENT  # nobody waits to hear that it was not done
            answers += self._stop(out, why)
        return answers + self._begin(now) + self._settle(now) if outs else []

    def _answer(self, out: _Out, response: Response) -> list[ToolOutput]:
        del self._out[out.call.id]
        entered = Enter(Part(response), out.given_id, out.scheduling)
        if out.scheduling in (Scheduling.SILENT, Scheduling.BLOCKING):
            return [entered]
        self._results.append(entered)
        return []

    def _settle(self, now: float) -> list[ToolOutput]:
        """Let in what may enter now."""
        if self.waits() and not self._blocked():
            self._rounds += 1
            self._new_step()
            return [*self._enter_all(), GoOn(self._turn)]
        if not (self._results or self._lost) or self._who == "user":
            return []
        interrupt = any(it.scheduling == Scheduling.INTERRUPT for it in self._results)
        if self._who == "agent" and not interrupt:
            return []
        self._asked, self._lost = True, False
        return [*self._enter_all(), Ask(interrupt=self._who == "agent")]

    def _blocked(self) -> bool:
        return any(out.scheduling == Scheduling.BLOCKING for out in self._out.values())

    def _new_step(self) -> None:
        self._step.clear()
        self._waits = self._step_over = False

    def _enter_all(self) -> list[ToolOutput]:
        results, self._results = self._results, deque()
        return list(results)


def _remember(ids: dict[str, str], id: str, ours: str = "") -> None:
    ids[id] = ours
    if len(ids) > _IDS:
        del ids[next(iter(ids))]
