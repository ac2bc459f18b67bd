"""Functions as tools: what a model is told, what is run, what it answers."""

import enum
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
import pytest

from vivace.errors import StageError, ToolError
from vivace.machines.tools import Scheduling, ToolRules
from vivace.part import Call
from vivace.processors.tool import FunctionTool, Tool, Toolbox, tool


class Place(msgspec.Struct):
    """Where on earth."""

    city: str
    zip: int | None = None


@dataclass
class Hour:
    temperature: float
    rain: bool = False


class Unit(enum.StrEnum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


@tool
def weather(place: Place, days: int = 1, unit: Literal["C", "F"] = "C") -> list[Hour]:
    """How the weather will be.

    It is a guess.

    place: where; a city
        is enough.
    days: how far ahead.
    """
    return [Hour(days * 10.0, unit == "F")] * days


def schema(function: Callable[..., Any]) -> dict[str, Any]:
    return tool(function).parameters


# -- what the model is told ----------------------------------------------------------------------


def test_a_function_is_declared() -> None:
    """By its name, its docstring, and its parameters as JSON schema of an object."""
    assert weather.declaration == {
        "name": "weather",
        "description": "How the weather will be.\n\nIt is a guess.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"description": "where; a city is enough.", "$ref": "#/$defs/Place"},
                "days": {"type": "integer", "description": "how far ahead.", "default": 1},
                "unit": {"enum": ["C", "F"], "default": "C"},
            },
            "required": ["place"],
            "additionalProperties": False,
            "$defs": {
                "Place": {
                    "title": "Place",
                    "description": "Where on earth.",
                    "type": "object",
                    "properties": {
                        "city": {"type": "string"},
                        "zip": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
                    },
                    "required": ["city"],
                }
            },
        },
    }


def test_a_decorated_function_is_still_the_function() -> None:
    """Called, it does what it did; the decorator's options take effect."""
    assert weather(Place("Ulm"), 2) == [Hour(20.0), Hour(20.0)]

    @tool(name="shout", description="Louder.", scheduling="silent", timeout_s=3, cancellable=True)
    async def f(text: str) -> str:
        return text.upper()

    assert isinstance(f, FunctionTool)
    assert (f.name, f.description) == ("shout", "Louder.")
    assert f.rules == ToolRules(Scheduling.SILENT, 3, True)
    assert repr(f) == "<FunctionTool shout>"
    assert weather.__doc__ is not None
    again = tool(name="forecast")(weather)
    assert again.declaration == weather.declaration | {"name": "forecast"}


def test_no_parameters() -> None:
    """An object without any."""

    def now() -> str:
        return "12:00"

    assert schema(now) == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert tool(now).description == ""


def test_all_kinds_of_parameters() -> None:
    """Enums, lists, dicts, unions, dataclasses, defaults that are no plain values, and anything."""

    def f(  # type: ignore[no-untyped-def]
        unit: Unit,
        anything,
        hours: list[Hour] = [Hour(1.0)],  # noqa: B006, B008
        limits: Annotated[dict[str, int], msgspec.Meta(description="by name")] = {},  # noqa: B006
        when: date | None = None,
        note: Annotated[str, msgspec.Meta(max_length=9)] = "",
    ) -> None: ...

    found = schema(f)
    assert found["required"] == ["unit", "anything"]
    properties = found["properties"]
    assert properties["anything"] == {}
    assert properties["hours"]["default"] == [{"temperature": 1.0, "rain": False}]
    assert properties["limits"] == {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "description": "by name",
        "default": {},
    }
    assert properties["note"]["maxLength"] == 9
    assert found["$defs"].keys() == {"Unit", "Hour"}


def google(town: str, day: str = "today") -> None:
    """Look it up.

    Args:
        town (str): the name,
            as people say it
        day: when

    Returns:
        Nothing: at all.
    """


def sphinx(town: str, day: str = "today") -> None:
    """Look it up.

    :param town: the name
    :param str day: when
    :returns: nothing
    """


def together(town: str, day: str = "today") -> None:
    """Look it up. Note: town and day.

    town, day: both
    other: is no parameter
    """


@pytest.mark.parametrize(
    ("function", "description", "town", "day"),
    [
        (
            google,
            "Look it up.\n\nReturns:\n    Nothing: at all.",
            "the name, as people say it",
            "when",
        ),
        (sphinx, "Look it up.\n\n:returns: nothing", "the name", "when"),
        (
            together,
            "Look it up. Note: town and day.\n\nother: is no parameter",
            "both",
            "both",
        ),
    ],
)
def test_docstrings(function: Callable[..., Any], description: str, town: str, day: str) -> None:
    """What they say of a parameter goes to the parameter, the rest is the description."""
    made = tool(function)
    assert made.description == description
    found = made.parameters["properties"]
    assert found["town"]["description"] == town
    assert found["day"] == {"type": "string", "description": day, "default": "today"}


def test_an_own_description_wins() -> None:
    """What the annotation says of a parameter counts more than the docstring."""

    def f(town: Annotated[str, msgspec.Meta(description="here")]) -> None:
        """town: there"""

    assert schema(f)["properties"]["town"]["description"] == "here"


# -- what cannot be one --------------------------------------------------------------------------


def with_a_clock(clock: threading.Thread) -> None: ...
def with_a_list(*names: str) -> None: ...
def with_a_riddle(it: "Riddle") -> None: ...  # type: ignore[name-defined]  # noqa: F821


async def with_a_stream() -> AsyncIterator[str]:
    yield ""


def with_an_iterator() -> Iterator[str]:
    yield ""


class Room:
    def light(self, on: bool) -> str:
        """Switch it.

        on: or off
        """
        return f"light {on}"


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (with_a_clock, "the parameters of with_a_clock: .*Thread"),
        (with_a_list, r"with_a_list takes \*names: str"),
        (with_a_riddle, "the annotations of with_a_riddle cannot be read"),
        (with_a_stream, "yields; a tool returns one result"),
        (with_an_iterator, "yields; a tool returns one result"),
        (Room.light, r"light is a method; make a tool of a bound one: tool\(it.light\)"),
        (lambda: 1, "has no name of its own"),
        (functools.partial(weather), "has no name of its own"),
    ],
)
def test_functions_that_are_no_tools(function: Callable[..., Any], why: str) -> None:
    """They are refused when they are declared, with what to do."""
    with pytest.raises(StageError, match=why):
        tool(function)


def test_a_thread_is_not_cancellable() -> None:
    """That is said when it is asked for, and not when it matters."""
    with pytest.raises(StageError, match="which cannot be stopped; make it `async def`"):
        tool(cancellable=True)(google)


def test_a_name_that_models_refuse() -> None:
    """Is refused here, by its rule."""
    with pytest.raises(StageError, match="'my tool' is no name"):
        tool(name="my tool")(google)


# -- what is run ---------------------------------------------------------------------------------


async def test_it_runs_and_answers_json() -> None:
    """Arguments become what the function wants; what it returns, what JSON can hold."""
    result = await weather.run({"place": {"city": "Ulm"}, "days": 2.0, "unit": "F"})
    assert result == [{"temperature": 20.0, "rain": True}] * 2


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({}, "the arguments of weather do not fit: Object missing required field `place`"),
        ({"place": {"city": 3}}, r"Expected `str`, got `int` - at `\$.place.city`"),
        ({"place": {"city": ""}, "unit": "K"}, "Invalid enum value 'K'"),
        ({"place": {"city": ""}, "days": 1.5}, r"Expected `int`, got `float` - at `\$.days`"),
        ({"place": {"city": ""}, "hour": 1}, "Object contains unknown field `hour`"),
    ],
)
async def test_arguments_that_do_not_fit(args: Mapping[str, Any], why: str) -> None:
    """The model is told which, and why."""
    with pytest.raises(ToolError, match=why):
        await weather.run(args)


async def test_defaults_are_not_shared() -> None:
    """A list that is a default is a new one in each call."""

    @tool
    def grow(names: list[str] = ["a"]) -> list[str]:  # noqa: B006
        names.append("b")
        return names

    assert await grow.run({}) == ["a", "b"]
    assert await grow.run({}) == ["a", "b"]


async def test_functions_run_in_threads_and_coroutines_on_the_loop() -> None:
    """Whatever kind of callable it is."""

    def sync(word: str, /) -> str:
        return f"{word} in {threading.current_thread().name}"

    async def coroutine() -> str:
        return threading.current_thread().name

    def returns_awaitable() -> Awaitable[str]:
        return coroutine()

    class Callable:
        async def __call__(self) -> str:
            return threading.current_thread().name

    main = threading.current_thread().name
    assert await tool(sync).run({"word": "hi"}) == "hi in tool sync"
    assert await tool(coroutine).run({}) == main
    assert await tool(returns_awaitable).run({}) == main
    assert await tool(name="it")(Callable()).run({}) == main
    assert await tool(Room().light).run({"on": True}) == "light True"
    assert await tool(name="p")(functools.partial(google, day="now")).run({"town": "Ulm"}) is None


class Model:
    """Like one of pydantic's."""

    def model_dump(self, mode: str) -> dict[str, str]:
        return {"mode": mode}


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (None, None),
        ({1: {2}, "day": date(2026, 1, 2)}, {"1": [2], "day": "2026-01-02"}),
        (Place("Ulm"), {"city": "Ulm", "zip": None}),
        (Unit.CELSIUS, "C"),
        (b"abc", "YWJj"),
        ([Model()], [{"mode": "json"}]),
    ],
)
async def test_results(result: object, told: object) -> None:
    """Any value that can be written down as JSON."""

    def f() -> object:
        return result

    assert await tool(f).run({}) == told


async def test_a_result_that_cannot_be_written() -> None:
    """The model is told that, and of what kind it is."""

    async def f() -> object:
        return [threading.Lock()]

    with pytest.raises(ToolError, match="cannot be written as JSON: it holds a lock"):
        await tool(f).run({})


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ToolError("there is no such town"), "there is no such town"),
        (KeyError("Ulm"), "KeyError: 'Ulm'"),
        (SystemExit(3), "SystemExit: 3"),
        (StopIteration(1), r"RuntimeError: tool sync raised StopIteration\(1\)"),
    ],
)
async def test_errors_are_for_the_model(error: BaseException, told: str) -> None:
    """What the function raises comes as a ToolError, and ends nothing else."""

    def sync() -> None:
        raise error

    with pytest.raises(ToolError, match=told):
        await tool(sync).run({})
    if not isinstance(error, StopIteration):

        async def coroutine() -> None:
            raise error

        with pytest.raises(ToolError, match=told):
            await tool(coroutine).run({})


# -- several -------------------------------------------------------------------------------------

LAMP = {
    "name": "lamp",
    "description": "Switches it.",
    "parameters": {"type": "object", "properties": {"on": {"type": "boolean"}}},
}


async def test_a_toolbox() -> None:
    """Holds tools, plain functions and declarations, and runs by name."""
    box = Toolbox([weather, google, LAMP, {"name": "bell"}])
    assert [it.name for it in box] == ["weather", "google", "lamp", "bell"]
    assert len(box) == 4
    assert box["weather"] is weather
    assert box.declarations[2] == LAMP
    assert box.declarations[3]["parameters"] == {"type": "object", "properties": {}}
    assert box.rules == {
        "weather": ToolRules(),
        "google": ToolRules(),
        "lamp": None,
        "bell": None,
    }
    assert await box.run(Call("1", "google", {"town": "Ulm"})) is None
    with pytest.raises(ToolError, match="lamp is answered by the program"):
        await box.run(Call("1", "lamp"))
    with pytest.raises(ToolError, match="there is no tool named 'fly'"):
        await box.run(Call("1", "fly"))
    assert [it.name for it in Toolbox(box)] == [it.name for it in box]


def test_a_toolbox_refuses() -> None:
    """Two of one name, and what is no tool."""
    with pytest.raises(StageError, match="two tools are named weather"):
        Toolbox([weather, weather])
    with pytest.raises(StageError, match="3 is no tool"):
        Toolbox([3])  # type: ignore[list-item]
    with pytest.raises(StageError, match="is no tool"):
        Toolbox([{"description": "nameless"}])


async def test_a_tool_made_by_hand() -> None:
    """From a schema and anything that answers."""

    async def do(args: Mapping[str, Any]) -> Any:
        return dict(args)

    made = Tool("echo", "Echoes.", {"type": "object"}, do)
    assert made.rules == ToolRules()
    assert await made.run({"a": 1}) == {"a": 1}
