"""`Detector`: one thing to look for in a stream, and when to believe that it is there.

This file owns how a detector is run: on the loop, in a thread, or as a processor of its own. When
it is run, and what comes of it, is decided in `machines/detection.py`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import aclosing
from itertools import islice
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from vivace.errors import FlowError, PartError, StageError
from vivace.flow.jobs import Shell
from vivace.flow.observe import beside
from vivace.flow.part_processor import PartProcessor
from vivace.flow.processor import Processor
from vivace.flow.worker import in_thread
from vivace.machines.confirm import ConfirmRules, Transition
from vivace.machines.detection_rules import Turn
from vivace.machines.sighting import MOST
from vivace.part import Audio, Event, Image, Part, Signal, is_side_lane

__all__ = [
    "Detector", "DetectorOptions", "InThreads", "Look", "On", "answered", "awaitable", "look_with",
]  # fmt: skip

Look: TypeAlias = Callable[[Part], Any]
"""What a detector sees in a part: see `sightings_of` for all that it may return."""

On: TypeAlias = Literal["any", "text", "audio", "image"] | Callable[[Part], object]

_GRACE_S = 0.5  # for a thread that is at work when the run ends; a detection is mostly shorter
_FENCED = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_MOST_CHARS = 10_000  # of a model's answer: an event is a line


class DetectorOptions(TypedDict, total=False):
    """What every detector takes by name; see `Detector`."""

    name: str
    on: On
    rules: ConfirmRules | None
    triggers_turn: bool | Turn
    time_limit_s: float


class Detector:
    """Something that looks at parts, one at a time, and tells what it sees.

    detect: a function of a part, async or not, or a processor. A plain function is called in a
        thread of its own; a processor is run anew over each part. What it returns or yields is what
        it sees: nothing for None, False or an empty text; something of its own name for True, or a
        confidence from 0 to 1; a type of event as text; a `Sighting` or a dict with `type`,
        `confidence`, `text` and `data`; a part with one of these; or several of them. The texts of
        a model are joined, and read as JSON if they begin like it. A processor that passes on what
        it was given has seen nothing.
    name: for its events and for what is told of it; that of the function unless given.
    on: which parts it looks at: "text", "audio", "image", "any" of these or data, or a predicate.
        Signals and events only reach a predicate.
    rules: when it is believed. triggers_turn: what its events ask of `LiveModelProcessor`: True or
        "after" the reply under way, "over" it.
    time_limit_s: a detection that takes longer has failed.

    Subclasses override `session`. Raises StageError for what cannot detect anything, and rules of
    transitions with outputs that no part can be made of.
    """

    at_once = False
    """True if looking needs neither to wait nor long: it is then done as the part passes."""

    def __init__(
        self,
        detect: Processor | Look | None = None,
        *,
        name: str = "",
        on: On = "any",
        rules: ConfirmRules | None = None,
        triggers_turn: bool | Turn = False,
        time_limit_s: float = 10.0,
    ) -> None:
        if detect is not None and not callable(detect):
            raise StageError(
                f"{detect!r} detects nothing; give a function of a part, or a processor"
            )
        if isinstance(on, str) and on not in _KINDS:
            raise StageError(f"on={on!r} is not known; use one of {list(_KINDS)} or a predicate")
        turns: dict[object, Turn] = {
            False: "",
            True: "after",
            "": "",
            "after": "after",
            "over": "over",
        }
        if triggers_turn not in turns:
            raise StageError(f"triggers_turn={triggers_turn!r}: use True, 'after' or 'over'")
        if not time_limit_s > 0:
            raise StageError(f"time_limit_s={time_limit_s}: no detector is as fast; use above 0")
        self._detect = detect
        self._on = on
        self.name: str = name or _name_of(self if detect is None else detect)
        self.rules: ConfirmRules = rules or ConfirmRules()
        _check_outputs(self.rules)
        self.triggers_turn: Turn = turns[triggers_turn]
        self.time_limit_s = time_limit_s

    def session(self) -> Processor | Look:
        """What looks at the parts of one run: state is made here."""
        if self._detect is None:
            raise StageError(
                f"{type(self).__name__} has neither `detect` nor a `session` of its own"
            )
        return self._detect

    def wants(self, part: Part) -> bool:
        """True if it looks at this part."""
        if callable(self._on):
            return bool(self._on(part))
        if isinstance(part.body, Signal | Event) or is_side_lane(part.substream):
            return False
        if not isinstance(part.body, _KINDS[self._on]):
            return False
        return not isinstance(self._detect, PartProcessor) or self._detect.matches(part)


_KINDS: dict[str, Any] = {"any": object, "text": str, "audio": Audio, "image": Image}


def _check_outputs(rules: ConfirmRules) -> None:
    for change, row in (rules.transitions or {}).items():
        output = row.output if isinstance(row, Transition) else row
        for it in output if isinstance(output, list | tuple) else [output]:
            try:
                _ = it is None or Part.of(it)
            except PartError as error:
                raise StageError(f"the output of the transition {change}: {error}") from error


def _name_of(detect: object) -> str:
    if isinstance(detect, Detector):
        return detect.name if hasattr(detect, "name") else type(detect).__name__
    if isinstance(detect, Processor):
        return detect.name
    name = getattr(detect, "__name__", type(detect).__name__)
    return "detector" if name == "<lambda>" else name


# -- looking ----------------------------------------------------------------------------------


class InThreads:
    """A plain function as one that can be awaited: called in a thread, one at a time.

    Raises FlowError while a thread of it that was given up is still at work.
    """

    def __init__(self, look: Look, name: str) -> None:
        self._look = look
        self._name = f"detector {name}"
        self._at_work = False

    async def __call__(self, part: Part) -> Any:
        """What it sees in `part`."""
        if self._at_work:
            raise FlowError(f"the thread of {self._name} is still at work on an earlier part")
        self._at_work = True
        try:
            return await in_thread(lambda: self._call(part), self._name, grace_s=_GRACE_S)
        except FlowError:  # none was begun
            self._at_work = False
            raise

    def _call(self, part: Part) -> Any:
        try:
            result = self._look(part)
            # What is made as it is asked for is made here, and not on the loop.
            return list(islice(result, MOST + 1)) if isinstance(result, Iterator) else result
        finally:
            self._at_work = False


def awaitable(look: Processor | Look, name: str) -> Processor | Look:
    """`look`, to be done beside the stream: a plain function will not block the loop."""
    if isinstance(look, Processor) or _is_async(look):
        return look
    return InThreads(look, name)


async def look_with(look: Processor | Look, part: Part, shell: Shell) -> Any:
    """What `look` sees in `part`: what it returned, or a list of what it yielded."""
    if isinstance(look, Processor):
        return await _through(look, part, shell)
    return await _gathered(look(part))


def answered(text: str) -> Any:
    """What a model has answered: the value if it is JSON, also in a fence; else the text.

    Raises PartError for what begins like JSON and is none, and for more than 10,000 characters.
    """
    if len(text) > _MOST_CHARS:
        raise PartError(f"an answer of more than {_MOST_CHARS} characters; ask for an event alone")
    fenced = _FENCED.search(text)
    text = (fenced[1] if fenced else text).strip()
    if text[:1] not in ("{", "["):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise PartError(f"the answer {text[:100]!r} is no JSON ({error})") from error


async def _through(processor: Processor, part: Part, shell: Shell) -> list[Any]:
    seen: list[Any] = []
    text = ""
    with beside():
        async with processor.run(part) as parts:
            async for made in parts:
                if is_side_lane(made.substream):
                    await shell.emit(made)
                elif made.text and made.role == "model":
                    text += made.text
                elif made is not part and not isinstance(made.body, Signal):
                    seen.append(made)
                if len(seen) > MOST or len(text) > _MOST_CHARS:
                    break
    answer = answered(text)
    return [*seen, *(answer if isinstance(answer, list) else [answer])]


async def _gathered(result: Any) -> Any:
    while inspect.isawaitable(result):
        result = await result
    if inspect.isasyncgen(result):
        async with aclosing(result):
            return await _first(result)
    return await _first(result) if isinstance(result, AsyncIterable) else result


async def _first(values: AsyncIterable[Any]) -> list[Any]:
    seen: list[Any] = []
    async for value in values:
        seen.append(value)
        if len(seen) > MOST:
            break
    return seen


def _is_async(look: object) -> bool:
    call = getattr(look, "__call__", None)  # noqa: B004 - an object's own, for what it is
    return any(
        inspect.iscoroutinefunction(it) or inspect.isasyncgenfunction(it) for it in (look, call)
    )
