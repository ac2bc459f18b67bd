"""`ModelDetector`: a language model, or one that sees, as a detector."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, Literal, Unpack

import msgspec

from vivace.errors import PartError, StageError
from vivace.flow.processor import Processor
from vivace.machines.sighting import NOTHING, sightings_of
from vivace.part import Event, Part, is_side_lane
from vivace.processors.detector import Detector, DetectorOptions, answered

__all__ = ["ModelDetector"]


class ModelDetector(Detector):
    """Asks a model of each part what is to be seen in it.

    turn_processor: reads a prompt and yields text. ask: what it is told to look for.
    types: the events that there may be; "nothing" is added. Without them it names what it sees.
    schema: in their place, any type that msgspec knows: what the model answers with. read: what of
        an answer of that type is seen: whatever a detector may return.

    The model gets `ask` and the schema of its answer as text of the system's, and the part. What
    it says is read as JSON of that type; what is not has failed. A model that can be held to a
    schema by its server should be: `json_schema` is it.
    """

    def __init__(
        self,
        turn_processor: Processor,
        ask: str,
        *,
        types: Sequence[str] = (),
        schema: Any = None,
        read: Callable[[Any], Any] | None = None,
        **options: Unpack[DetectorOptions],
    ) -> None:
        options.setdefault("name", "model")
        super().__init__(**options)
        if types and schema is not None:
            raise StageError("types and a schema; give one of them")
        self._model = turn_processor
        self._schema = _answer_of(types) if schema is None else schema
        self._read = read
        self._ask = ask
        self.json_schema: dict[str, Any] = _json_schema(self._schema)

    def session(self) -> Processor:
        schema = msgspec.json.encode(self.json_schema).decode()
        order = f"{self._ask}\nAnswer with JSON of this schema, and nothing else:\n{schema}"
        return _Asking(self._model, order, self._told, self.name)

    def _told(self, text: str) -> Any:
        try:
            answer = msgspec.convert(answered(text), self._schema)
        except msgspec.ValidationError as error:
            raise PartError(f"the answer {text[:100]!r} does not fit: {error}") from error
        if self._read is not None:
            return self._read(answer)
        # A dict, or what has its fields: a struct, a dataclass.
        return answer if isinstance(answer, str | dict) else msgspec.to_builtins(answer)


class _Asking(Processor):
    def __init__(self, model: Processor, order: str, told: Callable[[str], Any], name: str) -> None:
        self._model = model
        self._order = order
        self._told = told
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        asked = [part async for part in stream]
        text = ""
        async with self._model.run([Part(self._order, role="system"), *asked]) as reply:
            async for part in reply:
                if is_side_lane(part.substream):
                    yield part
                else:
                    text += part.text
        for seen in sightings_of(self._told(text), self._name):
            yield Part(Event(seen.type, "", seen.confidence, text=seen.text, data=seen.data))


def _answer_of(types: Sequence[str]) -> type[msgspec.Struct]:
    kind: Any = Literal[(*types, NOTHING)] if types else str
    told = f'what is seen, in one or two words; "{NOTHING}" if there is nothing'
    named: Any = Annotated[kind, msgspec.Meta(description=told)]
    sure: Any = Annotated[float, msgspec.Meta(ge=0, le=1, description="how sure that is")]
    return msgspec.defstruct("Seen", [("type", named), ("confidence", sure, 1.0)])


def _json_schema(schema: Any) -> dict[str, Any]:
    try:
        (top,), components = msgspec.json.schema_components([schema], ref_template="#/$defs/{name}")
    except TypeError as error:
        why = str(error).splitlines()[-1].strip()
        raise StageError(
            f"a model cannot be told the schema {schema!r}: {why}; use types of JSON, Literal, "
            "enums, dataclasses or msgspec structs"
        ) from error
    # Models want the object itself at the top, and not a reference to it.
    if "$ref" in top:
        top = components.pop(top["$ref"].rpartition("/")[2])
    return {**top, "$defs": components} if components else dict(top)
