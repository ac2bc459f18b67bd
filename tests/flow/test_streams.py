from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from vivace.errors import PartError
from vivace.flow.streams import Source, open_source
from vivace.part import Audio, Data, Part, TurnEnded

pytestmark = pytest.mark.virtual


async def parts(source: Source) -> list[Part]:
    values, closable = open_source(source)
    try:
        return [Part.of(value) async for value in values]
    finally:
        await close(closable)


async def close(closable: list[Any]) -> None:
    for each in reversed(closable):
        await each.aclose()


class Socket(AsyncIterator[Any]):
    """An async iterator that can be closed, and says so."""

    def __init__(self, *values: Any) -> None:
        self._values = list(values)
        self.closed = 0

    async def __anext__(self) -> Any:
        if not self._values:
            raise StopAsyncIteration
        return self._values.pop(0)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        (None, []),
        ("hello", ["hello"]),
        ("", [""]),
        (Part("a"), ["a"]),
        (["a", Part("b")], ["a", "b"]),
        # It can be read once, so there is one run of it.
        pytest.param((text for text in "ab"), ["a", "b"], marks=pytest.mark.virtual(seed=0)),
        ([], []),
    ],
)
async def test_whatever_a_caller_has_is_a_stream(source: Source, texts: list[str]) -> None:
    """Nothing, a part, text, and iterables of them come as parts, in order."""
    assert [part.text for part in await parts(source)] == texts


async def test_a_dict_is_one_value() -> None:
    """A dict is data, not an iterable of its keys."""
    assert [part.body for part in await parts({"a": 1})] == [Data({"a": 1})]


async def test_a_body_is_one_value() -> None:
    """Audio or a signal may be given as it is."""
    for body in (Audio(b"12"), TurnEnded(1.0)):
        assert [part.body for part in await parts(body)] == [body]


async def test_an_array_is_one_value() -> None:
    """Samples become one part, not one for each of them."""
    [part] = await parts(np.zeros(160, "int16"))
    assert part.seconds == 0.01


@pytest.mark.parametrize("wrong", [42, True, object()])
async def test_a_single_value_that_is_no_part_is_refused(wrong: Any) -> None:
    """The message says what may be given."""
    with pytest.raises(PartError, match="cannot be made into a part; give text, bytes"):
        await parts(wrong)


async def test_bytes_alone_are_refused_with_a_reason() -> None:
    """Bytes do not say what they are; the message says what to add."""
    with pytest.raises(PartError, match="pass mimetype"):
        await parts(b"12")


async def test_what_can_be_closed_is_told() -> None:
    """An async source that can be closed is to be closed, once; the values come as they are."""
    socket = Socket("a", b := Part("b"))
    values, closable = open_source(socket)
    assert [value async for value in values] == ["a", b]
    assert closable == [socket]


async def test_a_source_that_cannot_be_closed_is_left_alone() -> None:
    """An async iterator without `aclose` is fine."""

    class Plain(AsyncIterator[str]):
        def __init__(self) -> None:
            self.left = ["b", "a"]

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    assert [part.text for part in await parts(Plain())] == ["a", "b"]
    assert open_source(Plain())[1] == []


async def test_what_an_iterable_made_for_us_is_closed() -> None:
    """An iterable whose `__aiter__` is an async generator has that generator closed."""
    log: list[str] = []

    class Microphone:
        async def __aiter__(self) -> AsyncIterator[str]:
            try:
                yield "a"
                yield "b"
            finally:
                log.append("closed")

    values, closable = open_source(Microphone())
    assert await anext(values) == "a"
    await close(closable)
    assert log == ["closed"]


async def test_a_source_with_a_close_of_its_own_is_closed_as_well() -> None:
    """An iterable that makes a generator for us and can be closed itself: both are, in order."""
    log: list[str] = []

    class Socket:
        async def __aiter__(self) -> AsyncIterator[str]:
            try:
                yield "a"
                yield "b"
            finally:
                log.append("generator")

        async def aclose(self) -> None:
            log.append("socket")

    values, closable = open_source(Socket())
    await anext(values)
    await close(closable)
    assert log == ["generator", "socket"]


@pytest.mark.parametrize("read", [0, 1])
async def test_a_plain_generator_is_closed(read: int) -> None:
    """A generator that somebody else began and still holds is closed, read or not."""
    log: list[str] = []

    def letters() -> Iterator[str]:
        try:
            yield from "abc"
        finally:
            log.append("closed")

    source = letters()
    next(source)
    values, closable = open_source(source)
    for _ in range(read):
        assert await anext(values) == "b"
    await close(closable)
    assert log == ["closed"]
    await close(open_source(["a list"])[1])
