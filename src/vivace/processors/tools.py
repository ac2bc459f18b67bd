"""`Tools`: a turn model that runs its own tools, within one reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec

from vivace.flow.drive import drive
from vivace.flow.jobs import Shell
from vivace.flow.processor import Processor
from vivace.machines.joining import ends_open, spaced, words_of
from vivace.machines.machine import Cancel, Item, Job, JobDone, JobFailed, Machine, Output
from vivace.machines.tools import (
    Ask,
    Enter,
    GoOn,
    RunTool,
    Scheduling,
    ToolCalls,
    ToolOutput,
    ToolRules,
)
from vivace.part import Audio, Call, Part, Signal
from vivace.processors.tool import Toolbox, ToolSource

__all__ = ["Tools"]


class Tools(Processor):
    """A turn model and its tools: gets a prompt, yields a reply for which tools were called.

    model: any turn processor that yields calls, and was told of `tools`.
    tools: see `Toolbox`. max_rounds: how often in one reply the model may be asked again.

    When the model has stopped, and all its calls have answered, it is asked again with its prompt,
    what it said, the calls and their responses; until it answers without a call. All of that is
    yielded, calls and responses in their place. Here every tool is waited for, whatever its
    scheduling: there is no later. A call that the program answers ends the reply.

    In a live conversation, give the tools to `LiveModelProcessor` instead: a call that has begun
    then survives an interruption.
    """

    def __init__(self, model: Processor, tools: ToolSource, *, max_rounds: int = 16) -> None:
        self._model = model
        self._tools = Toolbox(tools)
        self._max_rounds = max_rounds

    @property
    def names(self) -> set[str]:
        """What its tools are called."""
        return {tool.name for tool in self._tools}

    @property
    def runs(self) -> set[str]:
        """What those are called that it runs itself: of others the program answers the calls."""
        return {tool.name for tool in self._tools if tool.rules is not None}

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        rules = {name: _blocking(rules) for name, rules in self._tools.rules.items()}
        return drive(stream, _Rounds(ToolCalls(rules, max_rounds=self._max_rounds)), self._do)

    async def _do(self, job: Job, shell: Shell) -> object:
        if isinstance(job, RunTool):
            return await self._tools.run(job.call)
        assert isinstance(job, _AskModel)
        space = job.space
        async with aclosing(self._model(job.prompt)) as reply:
            async for part in reply:
                part = spaced(part) if space else part
                space = space and not words_of(part)
                if not isinstance(part.body, Call):
                    await shell.emit(part)
                shell.post(_Said(part))
        return None


class _AskModel(Job, frozen=True, eq=False):
    prompt: tuple[Part, ...]
    space: bool = False  # one is needed before what is said next


class _Said(msgspec.Struct, frozen=True):
    part: Part


class _Rounds(Machine):
    """Collects the prompt, and asks the model until it calls no tool any more."""

    def __init__(self, calls: ToolCalls) -> None:
        self._calls = calls
        self._prompt: list[Part] = []
        self._ours_only = True  # the program answers none of the calls
        self._open = False  # something was said, and no space came after it

    def feed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part():
                self._prompt.append(item)
                return []
            case _Said(part=Part(body=Call(name=name)) as part):
                self._ours_only &= self._calls.runs(name)
                return self._done(self._calls.call(part, now))
            case _Said(part=part):
                self._prompt += _as_prompted(part)
                self._open = ends_open(words_of(part), self._open)
                return []
            case JobDone(job=_AskModel()):
                return self._done(self._calls.step_over(0, now))
            case JobFailed(job=_AskModel(), error=error):
                raise error
            case _:
                return self._done(self._calls.feed(item, now))

    def tick(self, now: float) -> list[Output]:
        return self._done(self._calls.tick(now))

    def deadline(self) -> float | None:
        return self._calls.deadline()

    def finish(self, now: float) -> list[Output]:
        self._calls.asking(0)
        self._calls.floor("agent", now)
        return [_AskModel(tuple(self._prompt))]

    def done(self) -> bool:
        return self._calls.done()

    def _done(self, outputs: list[ToolOutput]) -> list[Output]:
        done: list[Output] = []
        for output in outputs:
            match output:
                case Enter(part=part):
                    self._prompt.append(part)
                    done.append(part)
                case GoOn():
                    again = _AskModel(tuple(self._prompt), self._open)
                    done += [again] if self._ours_only else []
                case Job() | Cancel():
                    done.append(output)
                case Ask():
                    pass  # every tool is waited for
        return done


def _as_prompted(part: Part) -> list[Part]:
    """A part of a reply as a prompt holds it: the words of audio, and nothing of side lanes."""
    if part.substream or isinstance(part.body, Signal):
        return []
    if isinstance(part.body, Audio):
        return [part.derive(body=part.body.words)] if part.body.words else []
    return [part]


def _blocking(rules: ToolRules | None) -> ToolRules | None:
    return rules and msgspec.structs.replace(rules, scheduling=Scheduling.BLOCKING)
