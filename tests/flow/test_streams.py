from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from vivace.errors import PartError
from vivace.flow.streams import Source, SourceReader, as_stream
from vivace.part import Audio, Data, Part, TurnEnded

pytestmark = pytest.mark.virtual


async def parts(source: Source) -> list[Part]:
    return [part async for part in as_stream(source)]


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
        ((text for text in "ab"), ["a", "b"]),
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


async def test_an_async_source_is_closed_at_its_end() -> None:
    """An async iterable gives its values as parts and is then closed, once."""
    socket, part = Socket("a", b := Part("b")), b
    seen = await parts(socket)
    assert [it.text for it in seen] == ["a", "b"]
    assert seen[1] is part
    assert socket.closed == 1


async def test_an_async_source_is_closed_when_left_early() -> None:
    """Closing the stream half-way closes the source."""
    socket = Socket("a", "b")
    stream: Any = as_stream(socket)
    assert (await anext(stream)).text == "a"
    await stream.aclose()
    assert socket.closed == 1


async def test_a_value_that_is_no_part_closes_the_source_too() -> None:
    """An error in the middle closes the source and is raised."""
    socket = Socket("a", object(), "b")
    with pytest.raises(PartError, match=r"builtins\.object cannot be made into a part"):
        await parts(socket)
    assert socket.closed == 1


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

    stream: Any = as_stream(Microphone())
    assert (await anext(stream)).text == "a"
    await stream.aclose()
    assert log == ["closed"]


async def test_a_source_with_a_close_of_its_own_is_closed_as_well() -> None:
    """An iterable that makes a generator for us and can be closed itself: both are closed."""
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

    stream: Any = as_stream(Socket())
    await anext(stream)
    await stream.aclose()
    assert log == ["generator", "socket"]


@pytest.mark.parametrize("begun", [True, False])
async def test_a_reader_closes_its_source_once(begun: bool) -> None:
    """Whether it was read or not, a source is closed once, by one of the two."""
    socket = Socket("a")
    reader = SourceReader(socket)
    stream: Any = reader.read()
    if begun:
        await anext(stream)
    await stream.aclose()
    await reader.close_unread()
    await reader.close_unread()
    assert socket.closed == 1


async def test_an_unread_generator_is_closed() -> None:
    """A plain generator, begun by somebody else, is closed though nobody read it here."""
    log: list[str] = []

    def values() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            log.append("closed")

    source = values()
    next(source)
    await SourceReader(source).close_unread()
    await SourceReader(["a list"]).close_unread()
    assert log == ["closed"]


async def test_a_plain_generator_is_closed_when_left_early() -> None:
    """A generator that somebody else still holds is closed as well."""
    log: list[str] = []

    def values() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            log.append("closed")

    source = values()
    stream: Any = as_stream(source)
    await anext(stream)
    await stream.aclose()
    assert log == ["closed"]
