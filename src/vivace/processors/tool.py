"""Tools: functions that a model may call.

This file owns what a tool is: what the model is told of it, how it is run, and what it answers.
When it is run, and when its answer is told, is decided in `machines/tools.py`.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, Union, overload

import msgspec

from vivace.errors import StageError, ToolError
from vivace.flow.outside import outside_of_runs
from vivace.flow.worker import in_thread
from vivace.machines.tools import Scheduling, Timed, ToolRules
from vivace.part import Call
from vivace.processors.tool_schema import Arguments, read_docstring

__all__ = ["FunctionTool", "Tool", "ToolSource", "Toolbox", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

When: TypeAlias = Literal["blocking", "when_idle", "silent", "interrupt"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what all models take


class Tool:
    """Something that a model may call.

    name: of letters, digits, "_" and "-". description: for the model. parameters: JSON schema of an
    object. do: gets the arguments, and returns what msgspec can encode (or that as `Timed`), or
    raises; without it, the program answers the calls. rules: see `tool`.

    Raises StageError for a name that models refuse.
    """

    def __init__(
        self,
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        do: Callable[[Mapping[str, Any]], Awaitable[Any]] | None = None,
        rules: ToolRules | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise StageError(
                f"{name!r} is no name for a tool; use up to 64 letters, digits, '_' and '-'"
            )
        self.name = name
        self.description = description
        self.parameters: dict[str, Any] = dict(parameters)
        self._do = do
        self.rules: ToolRules | None = None if do is None else rules or ToolRules()

    @property
    def declaration(self) -> dict[str, Any]:
        """What a model is told: `{"name": …, "description": …, "parameters": JSON schema}`."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }

    async def run(self, args: Mapping[str, Any]) -> Any:
        """The result, as JSON can hold it. Raises ToolError, whose text is for the model."""
        if self._do is None:
            raise ToolError(f"{self.name} is answered by the program, and cannot be run")
        try:
            result = await self._do(args)
            if isinstance(result, Timed):
                return Timed(_as_json(result.result), result.scheduling)
            return _as_json(result)
        except ToolError:
            raise
        except (Exception, SystemExit) as error:
            raise ToolError(f"{type(error).__name__}: {error}") from error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class FunctionTool(Tool, Generic[P, R]):
    """A function as a tool; called, it is still the function."""

    def __init__(
        self, function: Callable[P, R], name: str | None, description: str | None, rules: ToolRules
    ) -> None:
        if isinstance(function, FunctionTool):  # the same with other options
            function = function._function
        functools.update_wrapper(self, function)
        name = name or _name_of(function)
        self._function: Callable[P, R] = function
        self._in_thread = not _is_async(function)
        if self._in_thread and rules.cancellable:
            raise StageError(
                f"{name} runs in a thread, which cannot be stopped; make it `async def`, or leave "
                "cancellable out"
            )
        told, docs = read_docstring(function)
        self._arguments = Arguments(function, name, docs)
        told = told if description is None else description
        super().__init__(name, told, self._arguments.schema, self._run, rules)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self._function(*args, **kwargs)

    async def _run(self, args: Mapping[str, Any]) -> Any:
        bound = self._arguments.bind(args)
        if self._in_thread:
            result = await in_thread(lambda: bound(self._function), f"tool {self.name}")
        else:
            result = bound(self._function)
        return await result if inspect.isawaitable(result) else result


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    scheduling: When = "blocking",
    timeout_s: float = 30.0,
    cancellable: bool = False,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    scheduling: When = "blocking",
    timeout_s: float = 30.0,
    cancellable: bool = False,
) -> Any:
    """Make a tool of a function. Its parameters and docstring are what the model is told.

    The parameters need types that JSON can hold: str, int, float, bool, None, list, dict, Literal,
    enums, dataclasses, msgspec structs, and unions of them. What the docstring says of a parameter
    goes into its schema. The model's arguments are checked; what does not fit, and what the
    function raises, is told to the model as the error of its call.

    A plain function runs in a thread of its own; an `async def` on the loop.

    name, description: what the model is told instead of the function's own.
    scheduling: "blocking": the reply waits for the result and goes on with it. "when_idle": the
        model is told once nobody speaks. "silent": it knows when it is asked next. "interrupt": it
        is told at once, in place of what it says.
    timeout_s: seconds after which a call has failed.
    cancellable: stop it when its reply is interrupted. Without that a call that has begun runs to
        its end, and the conversation hears of it.

    Raises StageError for a function that a model cannot call, saying what to change.
    """
    if function is not None:
        return FunctionTool(function, None, None, ToolRules())
    if scheduling not in list(Scheduling):
        raise StageError(f"scheduling={scheduling!r}: expected one of: {', '.join(Scheduling)}")
    rules = ToolRules(Scheduling(scheduling), timeout_s, cancellable)
    return lambda function: FunctionTool(function, name, description, rules)


AnyTool: TypeAlias = Union[Tool, Callable[..., Any], Mapping[str, Any]]  # noqa: UP007
ToolSource: TypeAlias = Union["Toolbox", Iterable[AnyTool]]


class Toolbox:
    """The tools of one agent, by name.

    tools: tools, plain functions, and declarations `{"name": …, "description": …, "parameters": …}`
    of tools whose calls the program answers.

    Raises StageError if two have one name.
    """

    def __init__(self, tools: ToolSource = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for each in tools:
            made = _tool_of(each)
            if made.name in self._tools:
                raise StageError(f"two tools are named {made.name}; give one another name=")
            self._tools[made.name] = made

    @property
    def declarations(self) -> list[dict[str, Any]]:
        """For a model's `tools=`."""
        return [tool.declaration for tool in self]

    @property
    def rules(self) -> dict[str, ToolRules | None]:
        """How calls are treated, by name; None where the program answers."""
        return {tool.name: tool.rules for tool in self}

    async def run(self, call: Call) -> Any:
        """The result of a call. Raises ToolError, whose text is for the model."""
        if call.name not in self._tools:
            raise ToolError(f"there is no tool named {call.name!r}; there are: {list(self._tools)}")
        with outside_of_runs():  # its numbers of replies are none of the agent's that called it
            return await self._tools[call.name].run(call.args)

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)


def _tool_of(given: AnyTool) -> Tool:
    match given:
        case Tool():
            return given
        case Mapping() if isinstance(name := given.get("name"), str):
            no_parameters = {"type": "object", "properties": {}}
            return Tool(name, given.get("description", ""), given.get("parameters", no_parameters))
        case _ if callable(given):
            return FunctionTool(given, None, None, ToolRules())
        case _:
            raise StageError(
                f"{given!r} is no tool; give a function, what @tool made of one, or a declaration "
                "with a name"
            )


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "")
    if not _NAME.fullmatch(name):
        raise StageError(f"{function!r} has no name of its own; give one: @tool(name=...)")
    return str(name)


def _is_async(function: Callable[..., Any]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - it may be an object with an async one
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise StageError(f"{function!r} yields; a tool returns one result")
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _as_json(result: Any) -> Any:
    try:
        return msgspec.to_builtins(result, str_keys=True, enc_hook=_encode)
    except (TypeError, NotImplementedError, msgspec.MsgspecError) as error:
        raise ToolError(f"the result cannot be written as JSON: {error}") from error


def _encode(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # pydantic's
    if dump is None:
        raise TypeError(f"it holds a {type(value).__name__}")
    return dump(mode="json")
