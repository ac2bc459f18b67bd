"""Tools of a live model's server: answered by the id that came, over the connection it came by.

When a result enters the conversation is the server's to decide; so all are told as they come.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import msgspec

from vivace.live.news import News
from vivace.machines.json_text import json_text, writable
from vivace.machines.machine import Item, Output
from vivace.machines.outbound import Message, Outbound, Result, SendResults, SendText
from vivace.machines.tools import Enter, Scheduling, ToolCalls, ToolOutput, ToolRules
from vivace.part import Call, Part, Response

__all__ = ["SessionTools"]

_REMEMBERED = 4096  # calls: far more than are ever out
_CANCELLED = "the model does without it"
_NOBODY = "the program has ended its input, and answers no more"
_SCHEDULING = {
    Scheduling.WHEN_IDLE: "WHEN_IDLE",
    Scheduling.SILENT: "SILENT",
    Scheduling.INTERRUPT: "INTERRUPT",
}


class SessionTools:
    """rules: by the tools' names, as in `ToolCalls`. schedules: the model takes a scheduling.

    asks: the newest answer is told to the server, and says that it should go on.
    """

    def __init__(
        self, outbound: Outbound, rules: Mapping[str, ToolRules | None], *, schedules: bool
    ) -> None:
        silent = {
            name: it and msgspec.structs.replace(it, scheduling=Scheduling.SILENT)
            for name, it in rules.items()
        }
        self.calls: ToolCalls = ToolCalls(silent)
        self.asks: bool = False
        self._outbound = outbound
        self._scheduling = {
            name: _SCHEDULING.get(it.scheduling, "") if it and schedules else ""
            for name, it in rules.items()
        }
        self._given: OrderedDict[str, str] = OrderedDict()  # the server's ids, by ours
        self._open: dict[str, str] = {}  # names of calls without an answer, by our ids
        self._gone: set[str] = set()  # of those, whose connection is gone
        self._unwanted: set[str] = set()  # of those, that the server has cancelled

    def part(self, part: Part, now: float) -> list[ToolOutput] | None:
        """The program's answer to a call; None if the part is none."""
        return self.calls.answered(part, now) if isinstance(part.body, Response) else None

    def feed(self, item: Item, now: float) -> list[ToolOutput]:
        """A tool has ended."""
        return self.calls.feed(item, now)

    def cancel(self, given_ids: Iterable[str], now: float) -> list[ToolOutput]:
        """The server does without these calls: it gets no answer to them."""
        unwanted = set(given_ids)
        ours = {id for id in self._open if self._given.get(id) in unwanted}
        self._unwanted |= ours
        return self.calls.cancel(unwanted, now) + self._fail(ours, _CANCELLED, now)

    def give_up(self, now: float) -> list[ToolOutput]:
        """Nobody is there any more to answer the program's calls: that is the answer to them."""
        return self._fail(set(self._open), _NOBODY, now)

    def _fail(self, ids: Iterable[str], why: str, now: float) -> list[ToolOutput]:
        """Of these calls, those that the program was to answer have failed."""
        out: list[ToolOutput] = []
        for id, name in [it for it in self._open.items() if it[0] in ids]:
            if not self.calls.runs(name):
                out += self.calls.answered(Part.response(name, id=id, error=why), now)
        return out

    def lost(self) -> None:
        """The connection is gone, and the server knows nothing of the calls that came over it."""
        self._gone |= set(self._open)

    @property
    def waiting(self) -> bool:
        """True while a tool, or the program, owes an answer."""
        return bool(self._open)

    def entered(self, entered: Enter, news: News, now: float) -> list[Output]:
        """A call, or a response, is part of the conversation: the server is told what it needs."""
        match entered.part.body:
            case Call(id=id, name=name):
                self._given[id] = entered.given_id
                self._open[id] = name
                if len(self._given) > _REMEMBERED:
                    self._open.pop(self._given.popitem(last=False)[0], None)
                return []
            case Response() as response:
                self._answer(response)
                if response.error:
                    facts = {"tool": response.name, "id": response.id}
                    return [news.failed("tool", response.error, now, **facts)]
        return []

    def _answer(self, response: Response) -> None:
        id = response.id
        given = self._given.pop(id, None)
        gone, unwanted = id in self._gone, id in self._unwanted
        self._open.pop(id, None)
        for ids in (self._gone, self._unwanted):
            ids.discard(id)
        self.asks = False
        if given is None or unwanted:
            return
        scheduling = self._scheduling.get(response.name, "")
        result = Result(writable(response), given or id, scheduling)
        self.asks = gone or result.asks
        told = SendResults((result,))
        self._outbound.put(self.as_text(told) if gone else told)

    def as_text(self, results: SendResults) -> Message:
        """What is said where the calls are gone."""
        return SendText(" ".join(_said(it.response) for it in results.results))


def _said(response: Response) -> str:
    if response.error:
        return f"({response.name} failed: {response.error})"
    return f"({response.name} answered: {json_text(response.result)})"
