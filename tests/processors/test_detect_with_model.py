"""A model as a detector: what it is asked, and what is made of its answer."""

import enum
from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
import pytest

from vivace.errors import StageError
from vivace.flow.processor import processor
from vivace.models import Scripted
from vivace.part import Data, Event, Part
from vivace.processors.detect_events import EventProcessor
from vivace.processors.detect_with_model import ModelDetector
from vivace.testing.script import play

pytestmark = pytest.mark.virtual

FRAME = Part.image(b"jpeg", at=1.5)


async def seen(detector: ModelDetector) -> list[Part]:
    """All that comes of one picture, but the picture."""
    script = [(0.0, FRAME)]
    return [it for _, it in await play(EventProcessor([detector]), script) if it is not FRAME]


async def test_it_is_asked_of_the_part_with_the_schema() -> None:
    """The system's text says what to look for and how to answer; then comes the part."""
    prompts: list[list[Part]] = []

    @processor
    async def model(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompts.append([part async for part in prompt])
        yield Part("thinking", substream="status")
        yield Part('{"type": "wav', role="model")
        yield Part('ing", "confidence": 0.75}', role="model")

    detector = ModelDetector(model, "Is somebody waving?", types=["waving"], triggers_turn="over")
    said, event = await seen(detector)
    assert said == Part("thinking", substream="status")
    assert event == Part(Event("waving", "model", 0.75, triggers_turn="over"), at=1.5)
    [[system, frame]] = prompts
    assert frame == FRAME
    assert system.role == "system"
    order, wanted, schema = system.text.split("\n")
    assert order == "Is somebody waving?"
    assert wanted == "Answer with JSON of this schema, and nothing else:"
    assert msgspec.json.decode(schema) == detector.json_schema
    assert detector.json_schema["properties"]["type"]["enum"] == ["nothing", "waving"]


async def test_without_types_it_names_what_it_sees() -> None:
    """Any short text is a type; "nothing" is none."""
    [event] = await seen(ModelDetector(Scripted(['```json\n{"type": "a dog"}\n```']), "What?"))
    assert event.body == Event("a dog", "model")
    assert await seen(ModelDetector(Scripted(['{"type": "nothing"}']), "What?")) == []


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Face(msgspec.Struct):
    mood: Mood
    people: int = 0


async def test_a_schema_of_ones_own() -> None:
    """An answer of another type is read by a function of one's own."""
    model = Scripted(['{"mood": "bad", "people": 2}'])
    detector = ModelDetector(
        model, "Look.", schema=Face, read=lambda face: face.people > 1 and face.mood.value
    )
    assert detector.json_schema["properties"]["people"] == {"type": "integer", "default": 0}
    assert list(detector.json_schema["$defs"]) == ["Mood"]
    [event] = await seen(detector)
    assert event.body == Event("bad", "model")


@pytest.mark.parametrize(
    ("schema", "answer", "types"),
    [
        (dict[str, Any], '{"type": "cat"}', ["cat"]),
        (Literal["yes", "no"], "yes", ["yes"]),
        (list[dict[str, Any]], '[{"type": "cat"}, {"type": "dog"}]', ["cat", "dog"]),
    ],
)
async def test_schemas_that_need_no_reading(schema: Any, answer: str, types: list[str]) -> None:
    """What is a sighting already."""
    told = await seen(ModelDetector(Scripted([answer]), "Look.", schema=schema))
    assert [part.body.type for part in told if isinstance(part.body, Event)] == types


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I see a cat.", "the answer 'I see a cat.' does not fit: Expected `object`, got `str`"),
        ('{"type": "dog"}', "does not fit: Invalid enum value 'dog' - at `$.type`"),
        ('{"type": "cat", "confidence": 2}', "does not fit"),
        ('{"type": "cat"', "is no JSON"),
    ],
)
async def test_an_answer_that_does_not_fit_has_failed(answer: str, why: str) -> None:
    """It is told, and is no event."""
    [failed] = await seen(ModelDetector(Scripted([answer]), "A cat?", types=["cat"]))
    assert isinstance(failed.body, Data)
    assert why in failed.body.value["error"]


def test_what_makes_no_sense() -> None:
    """Two schemas, or one that JSON does not know, are refused."""
    with pytest.raises(StageError, match="types and a schema; give one of them"):
        ModelDetector(Scripted(["x"]), "?", types=["a"], schema=Face)
    with pytest.raises(StageError, match="a model cannot be told the schema"):
        ModelDetector(Scripted(["x"]), "?", schema=object)
