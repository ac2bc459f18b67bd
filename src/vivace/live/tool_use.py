"""The tools of a live conversation: what is said to them, and a reply in steps.

A reply is one step until the model calls a tool that it waits for: then the model stops, the tools
answer, and the reply goes on with a step more, under the same number.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from vivace.errors import PartError
from vivace.live.memory import Memory
from vivace.live.replies import Replies
from vivace.live.reply import GiveReply, MakeReply, OwnResponse
from vivace.machines.exchanges import restored
from vivace.machines.floor import State
from vivace.machines.joining import ends_open
from vivace.machines.json_text import json_text
from vivace.machines.machine import Item, JobDone, JobFailed
from vivace.machines.tools import Enter, RunTool, ToolCalls, ToolOutput, Who
from vivace.part import Call, Part, Response

__all__ = ["ToolUse"]

_UNANSWERED = 256  # calls that a program may leave without an answer
_TOLD = 16  # of them, in each prompt: as many as run at once, if the program leaves none
_ARGS = 200  # characters: what tells one call from another, and no file
_CUT_OFF = "it was stopped together with its reply; it may have been done, or a part of it"
_SPEAKS: dict[State, Who] = {State.IDLE: "idle", State.THINKING: "agent", State.AGENT: "agent"}


class ToolUse:
    """Passes on to `calls` what is about tools, and knows the prompt of a reply's next step.

    That prompt begins with the one before it, byte for byte: what was cached is used.

    Tools that a reply runs itself answer as long as it is out, or may come back: `replies` tells.
    """

    def __init__(self, calls: ToolCalls | None, replies: Replies, memory: Memory) -> None:
        self.calls: ToolCalls = ToolCalls() if calls is None else calls
        self._replies = replies
        self._memory = memory
        self._step: MakeReply | None = None
        self._prompt: list[Part] = []
        self._called: set[str] = set()  # the ids of the calls in it
        self._unanswered: OrderedDict[str, Part] = OrderedDict()
        self._said_at = 0
        self._open = False  # something was said, and no space came after it

    def feed(self, item: Item, now: float) -> list[ToolOutput] | None:
        """Take in an item that is about tools; None if it is not."""
        match item:
            case Part(body=Call(), turn=turn) if turn:
                return self.calls.call(item, now)
            case OwnResponse(part=Part(body=Response() as response) as part):
                response = msgspec.structs.replace(response, id=self.calls.ours(response.id))
                if response.name in self.calls.own and response.id not in self._unanswered:
                    return []  # it was given up already
                return [Enter(part.derive(body=response))]
            case Part(body=Response(), turn=turn):
                # Derived from the call, it has the number of the reply, and would be void with it.
                answer = item.derive(turn=0, role="user") if turn else item
                return self.calls.answered(answer, now)
            case JobDone(job=GiveReply() as job, result=said) if job.made is self._step:
                if said:  # before and between its calls
                    text = Part(str(said), role="model", turn=job.turn)
                    self._prompt.insert(self._said_at, text)
                    self._open = ends_open(text.text)
                return self.calls.step_over(job.turn, now)
            case JobDone(job=RunTool()) | JobFailed(job=RunTool()):
                return self.calls.feed(item, now)
            case _:
                return None

    def floor(self, state: State, now: float) -> list[ToolOutput]:
        """Somebody else has the floor, or nobody."""
        over = self._replies.out is None and not self._replies.may_come_back
        return [
            *(self._cut_off() if over else ()),
            *self.calls.floor(_SPEAKS.get(state, "user"), now),
        ]

    def asking(self, turn: int) -> list[ToolOutput]:
        """The model is about to be asked for reply `turn`: no reply before it comes back."""
        return [*self._cut_off(), *self.calls.asking(turn)]

    def asked(self, made: MakeReply, prompt: Iterable[Part]) -> None:
        """A reply goes out with its first step, for which the model was given `prompt`."""
        self._open = False
        self._begin(made, prompt)

    def entered(self, part: Part) -> None:
        """A call or a response has entered the conversation. A response brings its call along."""
        if (call := part.function_call) is not None:
            self._unanswered[call.id] = part
            self._called.add(call.id)
            if len(self._unanswered) > _UNANSWERED:
                self._unanswered.popitem(last=False)
        elif (response := part.function_response) is not None:
            asked = self._unanswered.pop(response.id, None)
            if response.id not in self._called:
                self._called.add(response.id)
                self._prompt.append(asked or restored(part, response))
        self._prompt.append(part)

    def running(self) -> list[Part]:
        """What the model is told of calls that have no result yet, so that it makes them once.

        A call enters the prompt together with its response. Until then this stands for it.
        """
        if not self._unanswered:
            return []
        newest = list(self._unanswered.values())[-_TOLD:]
        told = ", ".join(_line(part.function_call) for part in newest if part.function_call)
        if older := len(self._unanswered) - len(newest):
            told += f", and {older} older calls"
        return [Part(f"(Still running, without a result yet: {told}.)", metadata={"note": True})]

    def reset(self, now: float) -> list[ToolOutput]:
        """Nobody is told anything any more. What the program was to answer, it may never do."""
        cut_off = self._cut_off()
        for id, part in list(self._unanswered.items()):
            if part.function_call and not self.calls.runs(part.function_call.name):
                del self._unanswered[id]
        return [*cut_off, *self.calls.reset(now)]

    def next_step(self) -> MakeReply:
        """The reply goes on, with all that has come since, as far as there is room for it."""
        before, new = self._prompt[: self._said_at], self._prompt[self._said_at :]
        prompt = (*before, *self._memory.cut(new, before))
        made = MakeReply(prompt, ended=True, after=self._step, space=self._open)
        self._begin(made, made.prompt)
        return made

    def _cut_off(self) -> list[ToolOutput]:
        """Answer the calls that replies were to answer themselves, and that ended with these."""
        calls = [part.function_call for part in self._unanswered.values()]
        lost = [call for call in calls if call and call.name in self.calls.own]
        return [Enter(Part(Response(call.id, call.name, error=_CUT_OFF))) for call in lost]

    def _begin(self, made: MakeReply, prompt: Iterable[Part]) -> None:
        self._prompt = list(prompt)
        self._called = {part.function_call.id for part in self._prompt if part.function_call}
        self._said_at = len(self._prompt)
        self._step = made


def _line(call: Call) -> str:
    """The call as a line, of which a prompt has room for some."""
    try:
        args = json_text(dict(call.args))
    except (PartError, TypeError, ValueError):  # of a model of the program's own
        return f"{call.name}(what JSON cannot hold)"
    cut = len(args) - _ARGS
    return f"{call.name}({f'{args[:_ARGS]}… {cut} characters more' if cut > 0 else args})"
