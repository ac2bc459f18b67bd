import asyncio
import functools
from typing import Any

import pytest

from vivace.errors import PartError, StageError
from vivace.flow.clock import now
from vivace.flow.processor import Processor
from vivace.part import Data, Image, Interrupted, Part, SpeechStarted, TurnEnded
from vivace.processors.filter import filter_parts, map_parts

pytestmark = pytest.mark.virtual

SIGNALS = [Part(SpeechStarted(0.5), at=0.5), Part(TurnEnded(1.0), at=1.0)]


async def texts(agent: Processor, source: Any) -> list[str]:
    return [part.text async for part in agent(source)]


def is_loud(part: Part) -> bool:
    return part.text.isupper()


async def is_loud_later(part: Part) -> bool:
    await asyncio.sleep(0.25)
    return part.text.isupper()


class IsLoud:
    async def __call__(self, part: Part) -> bool:
        return await is_loud_later(part)


@pytest.mark.parametrize(
    ("predicate", "takes_s"),
    [
        (is_loud, 0.0),
        (lambda part: part.text.isupper(), 0.0),
        (is_loud_later, 0.25),
        (functools.partial(is_loud_later), 0.25),
        (IsLoud(), 0.25),
    ],
    ids=["sync", "lambda", "async", "partial", "object"],
)
async def test_only_what_the_predicate_wants_passes(predicate: Any, takes_s: float) -> None:
    """Whatever way the predicate is written: what it says yes to passes, unchanged, in order."""
    assert await texts(filter_parts(predicate), ["A", "b", "C", "d"]) == ["A", "C"]
    assert now() == takes_s


@pytest.mark.parametrize("wanted", [0, "", None, [], False])
async def test_the_predicate_may_say_no_in_any_way(wanted: object) -> None:
    """Truth is Python's: nothing, zero and what is empty say no."""
    assert await texts(filter_parts(lambda _: wanted), ["a"]) == []


async def test_signals_pass_whatever_the_functions_want() -> None:
    """Neither a predicate that says no to all nor a function sees a signal."""
    nothing = filter_parts(lambda _: False)
    broken = map_parts(lambda part: 1 / 0)
    assert [part async for part in (nothing + broken)(SIGNALS)] == SIGNALS


async def test_what_passes_is_the_same_part() -> None:
    """A filter makes no parts."""
    part = Part("a", role="model", turn=3, at=1.5, metadata={"interim": True})
    seen = [it async for it in filter_parts(lambda _: True)([part, part])]
    assert all(it is part for it in seen if it.text)


def shout(part: Part) -> str:
    return part.text.upper()


async def shout_later(part: Part) -> str:
    await asyncio.sleep(0.25)
    return part.text.upper()


@pytest.mark.parametrize(("function", "takes_s"), [(shout, 0.0), (shout_later, 0.25)])
async def test_what_the_function_gives_takes_the_place_of_the_part(
    function: Any, takes_s: float
) -> None:
    """A new body keeps who says it, in which reply and when: it can still be interrupted."""
    source = [Part("a", role="system", turn=3, at=1.5, metadata={"n": 1}), Part("b")]
    assert [part async for part in map_parts(function)(source)] == [
        part.derive(body=part.text.upper()) for part in source
    ]
    assert now() == takes_s


async def test_a_part_takes_the_place_as_it_is() -> None:
    """A part that the function returns is not changed."""
    other = Part("other", role="system")
    assert [part async for part in map_parts(lambda _: other)(Part("a", turn=3))] == [other]


async def test_one_part_becomes_one_part() -> None:
    """A list is the body of one part, and not many parts; so are a dict and a picture."""
    bodies = iter([["a", "b"], {"n": 1}, Image(b"jpeg")])
    seen = [part.body async for part in map_parts(lambda _: next(bodies))(["x"] * 3)]
    assert seen == [Data(["a", "b"]), Data({"n": 1}), Image(b"jpeg")]


async def test_a_function_that_gives_nothing_is_told_so() -> None:
    """None is no part: dropping is what filter_parts is for."""
    with pytest.raises(PartError, match="NoneType cannot be made into a part"):
        await texts(map_parts(lambda _: None), "a")


@pytest.mark.parametrize("make", [filter_parts, map_parts])
def test_what_is_no_function_is_refused(make: Any) -> None:
    """Something that cannot be called is told at once, with what to give."""
    with pytest.raises(
        StageError, match=rf"{make.__name__}\('text'\): give a function of one part"
    ):
        make("text")


@pytest.mark.parametrize("make", [filter_parts, map_parts])
async def test_an_error_comes_with_the_name_of_the_stage(make: Any) -> None:
    """What the function raises arrives as itself; the note says which stage it was in."""

    def fails(part: Part) -> object:
        raise ValueError(part.text)

    agent = filter_parts(lambda _: True) + make(fails)
    with pytest.raises(ValueError, match="broken") as caught:
        await texts(agent, "broken")
    assert caught.value.__notes__ == [f"in agent[1].{make.__name__}"]


async def test_an_interruption_is_a_signal_too() -> None:
    """What overtakes passes these stages like any signal that comes in the stream."""
    signal = Part(Interrupted(1))
    assert [part async for part in filter_parts(lambda _: False)(signal)] == [signal]
