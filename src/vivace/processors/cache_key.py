"""What tells one request to a cache from another: what was asked, and of whom.

This file owns what counts as a setting of a processor. An answer that was made with other settings
must not be found; one that could not be told apart is not looked for.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from types import (
    CellType,
    CodeType,
    EllipsisType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import msgspec

from vivace.errors import StageError
from vivace.flow.processor import Processor
from vivace.part import Part

__all__ = ["Unkeyed", "key_of", "settings_of"]

_DEPTH = 32
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


class Unkeyed(Exception):
    """A part holds what cannot be written down, so nothing tells it from another."""


def key_of(parts: Iterable[Part], settings: bytes) -> bytes:
    """A digest of what the parts hold, whose they are, and what they carry.

    When they come (`at`), and in which reply (`turn`), makes no other request.
    """
    digest = hashlib.blake2b(settings, digest_size=32)
    try:
        for part in parts:
            digest.update(_ENCODER.encode((part.body, part.role, part.substream, part.metadata)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unkeyed(str(error)) from error
    return digest.digest()


def settings_of(processor: Processor, settings: object, *, lasting: bool) -> bytes:
    """A digest of the processor's class and settings.

    settings: used in place of the processor's attributes, unless None. lasting: it must be the same
    in another process: an attribute of which nobody can say what it holds is an error then.

    Raises StageError, naming the attribute.
    """
    found = _Settings(lasting)
    told = (
        found.of(processor, "")
        if settings is None
        else [_name(type(processor)), found.of(settings, "settings")]
    )
    return hashlib.blake2b(repr(told).encode("utf-8", "backslashreplace"), digest_size=32).digest()


class _Settings:
    def __init__(self, lasting: bool) -> None:
        self._lasting = lasting
        self._seen: set[int] = set()

    def of(self, value: object, path: str) -> object:
        """`value` as nested lists of plain values, which print alike if they are alike."""
        if value is None or isinstance(
            value, bool | int | float | complex | str | bytes | PurePath | EllipsisType
        ):
            return (type(value).__name__, str(value) if isinstance(value, PurePath) else value)
        if isinstance(value, type | ModuleType):
            return _name(value)
        if id(value) in self._seen or path.count(".") > _DEPTH:
            return "again"
        self._seen.add(id(value))
        try:
            return self._of(value, path)
        finally:
            self._seen.discard(id(value))

    def _of(self, value: Any, path: str) -> object:
        match value:
            case Enum():
                return [_name(type(value)), value.name]
            case Mapping():
                items = [(self.of(k, path), self.of(v, f"{path}[{k!r}]")) for k, v in value.items()]
                return ["mapping", sorted(items, key=repr)]
            case set() | frozenset():
                return ["set", sorted((self.of(it, path) for it in value), key=repr)]
            case CodeType():
                consts = [self.of(it, path) for it in value.co_consts]
                return [value.co_code.hex(), consts, value.co_names, value.co_varnames]
            case Sequence():
                return [self.of(it, f"{path}[{at}]") for at, it in enumerate(value)]
            case MethodType():
                return [self.of(value.__func__, path), self.of(value.__self__, f"{path}.self")]
            case FunctionType():
                return self._of_function(value, path)
            case functools.partial():
                return [self.of(it, f"{path}()") for it in (value.func, value.args, value.keywords)]
            case Processor():
                return [_name(type(value)), self.of(_held(value), path)]
            case msgspec.Struct():
                held = {name: getattr(value, name) for name in value.__struct_fields__}
                return [_name(type(value)), self.of(held, path)]
            case _ if is_dataclass(value):
                held = {it.name: getattr(value, it.name) for it in fields(value)}
                return [_name(type(value)), self.of(held, path)]
            case _:
                return self._opaque(value, path)

    def _of_function(self, function: FunctionType, path: str) -> object:
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        return [
            _name(function),
            self.of(function.__code__, path),
            self.of(function.__defaults__, f"{path}.defaults"),
            self.of(function.__kwdefaults__, f"{path}.defaults"),
            [(name, self._of_cell(cell, f"{path}.{name}")) for name, cell in cells.items()],
        ]

    def _of_cell(self, cell: CellType, path: str) -> object:
        try:
            value = cell.cell_contents
        except ValueError:  # a name that has no value yet
            return "empty"
        return self.of(value, path)

    def _opaque(self, value: object, path: str) -> object:
        if not self._lasting:
            return [_name(type(value)), id(value)]
        raise StageError(
            f"what {path or 'the processor'} holds, a {_name(type(value))}, cannot be told from "
            "another one in a later process; give Cached(..., settings=) what its answers depend "
            "on, such as the name of its model"
        )


def _held(value: object) -> dict[str, Any]:
    """Its attributes, also those that its classes have slots for."""
    held = dict(vars(value))
    for kind in type(value).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType) and hasattr(value, name):
                held[name] = getattr(value, name)
    return held


def _name(it: Any) -> str:
    name = getattr(it, "__qualname__", getattr(it, "__name__", ""))
    return f"{getattr(it, '__module__', '')}.{name}"
