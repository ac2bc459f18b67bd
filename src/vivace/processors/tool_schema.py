"""What a model is told of a function: its parameters as JSON schema, its docstring as description.

This file owns how a signature becomes a type that `msgspec` knows, which makes the schema and
checks the arguments: the two cannot say different things.
"""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec

from vivace.errors import StageError, ToolError

__all__ = ["Arguments", "read_docstring"]

_PLAIN = (str, bytes, int, float, bool, tuple, frozenset, type(None))
# Google's style (`town: its name`, `town (str): its name`), Sphinx' (`:param town: its name`), and
# ours, where no heading stands above.
_PARAMETER = re.compile(r"(\s*)(?::param\s+(?:\S+\s+)?)?(\w+(?:,\s*\w+)*)(?:\s*\([^)]*\))?:\s*(.*)")
_HEADING = re.compile(r"\s*(?:args|arguments|parameters|params):\s*", re.IGNORECASE)


class Arguments:
    """The parameters of a function, as JSON tells them.

    schema: JSON schema of an object with them. Raises StageError, naming the parameter, if a model
    cannot give one of them.
    """

    def __init__(self, function: Callable[..., Any], name: str, docs: Mapping[str, str]) -> None:
        self._by_position: list[str] = []
        self._name = name
        fields = []
        defaults = {}
        for parameter in _parameters(function, name):
            if parameter.kind == parameter.POSITIONAL_ONLY:
                self._by_position.append(parameter.name)
            fields.append(_field(parameter, docs.get(parameter.name, "")))
            if parameter.default is not parameter.empty:
                defaults[parameter.name] = parameter.default
        self._type = _struct(name, fields)
        self.schema: dict[str, Any] = _schema(self._type, name, defaults)

    def bind(self, args: Mapping[str, Any]) -> functools.partial[Any]:
        """The call with these arguments, as `bound(function)`.

        Raises ToolError, for the model to read, if they do not fit.
        """
        try:
            given = msgspec.convert(_with_whole_numbers(args), self._type)
        except msgspec.ValidationError as error:
            text = f"the arguments of {self._name} do not fit: {error}"
            raise ToolError(text) from error
        values = {field: getattr(given, field) for field in given.__struct_fields__}
        positional = [values.pop(field) for field in self._by_position]
        return functools.partial(_call, args=positional, kwargs=values)


def read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What a function does; and what it says of each parameter."""
    names = inspect.signature(function).parameters.keys()
    description: list[str] = []
    docs: dict[str, list[str]] = {}
    under: list[str] = []  # the parameters that the lines are about
    depth = 0
    for line in (inspect.getdoc(function) or "").splitlines():
        found = _PARAMETER.fullmatch(line)
        if found and _are(found[2], names):
            depth, under = len(found[1]), re.split(r",\s*", found[2])
            docs |= {name: [found[3]] for name in under}
        elif under and line.strip() and len(line) - len(line.lstrip()) > depth:
            for name in under:
                docs[name].append(line.strip())
        else:
            under = []
            if not _HEADING.fullmatch(line):
                description.append(line)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(description)).strip()
    return text, {name: " ".join(lines).strip() for name, lines in docs.items()}


def _with_whole_numbers(value: Any) -> Any:
    """3.0 as 3: to JSON schema it is one, and some models write it so. Where a float is wanted,
    msgspec takes both."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {key: _with_whole_numbers(it) for key, it in value.items()}
        case list():
            return [_with_whole_numbers(it) for it in value]
        case _:
            return value


def _are(listed: str, names: Collection[str]) -> bool:
    return all(name in names for name in re.split(r",\s*", listed))


def _call(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise StageError(
            f"the annotations of {name} cannot be read ({error}); define the types that they name "
            "at the top of the module"
        ) from error
    parameters = list(signature.parameters.values())
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise StageError(f"{name} takes {parameter}, which a model cannot be told; name it")
    if parameters and parameters[0].name in ("self", "cls"):
        raise StageError(f"{name} is a method; make a tool of a bound one: tool(it.{name})")
    return parameters


def _field(parameter: inspect.Parameter, doc: str) -> tuple[str, Any, Any]:
    kind = Any if parameter.annotation is parameter.empty else parameter.annotation
    if doc and not _has_description(kind):
        kind = Annotated[kind, msgspec.Meta(description=doc)]
    default = parameter.default
    if default is parameter.empty:
        default = msgspec.NODEFAULT
    elif not isinstance(default, _PLAIN):
        default = msgspec.field(default_factory=functools.partial(copy.deepcopy, default))
    return (parameter.name, kind, default)


def _has_description(kind: Any) -> bool:
    if get_origin(kind) is not Annotated:
        return False
    return any(isinstance(it, msgspec.Meta) and it.description for it in get_args(kind)[1:])


def _struct(name: str, fields: list[tuple[str, Any, Any]]) -> type[msgspec.Struct]:
    given = [
        (field, kind) if default is msgspec.NODEFAULT else (field, kind, default)
        for field, kind, default in fields
    ]
    return msgspec.defstruct(name, given, kw_only=True, forbid_unknown_fields=True)


def _schema(kind: type[msgspec.Struct], name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    try:
        (top,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    except TypeError as error:
        why = str(error).splitlines()[-1].strip()
        raise StageError(
            f"a model cannot be told the parameters of {name}: {why}; annotate them with types of "
            "JSON, Literal, enums, dataclasses or msgspec structs"
        ) from error
    # Models want the object itself at the top, and not a reference to it.
    schema: dict[str, Any] = components.pop(top["$ref"].rpartition("/")[2])
    del schema["title"]
    for field, default in defaults.items():
        if "default" not in schema["properties"][field]:
            schema["properties"][field]["default"] = msgspec.to_builtins(default, str_keys=True)
    if components:
        schema["$defs"] = components
    return schema
