from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from vivace.errors import PartError
from vivace.flow.inlet import Inlet
from vivace.flow.streams import Source
from vivace.part import Audio, Data, Part, TurnEnded

pytestmark = pytest.mark.virtual


class Socket(AsyncIterator[Any]):
    """An async iterator that can be closed, and says so."""

    def __init__(self, log: list[str], *values: Any) -> None:
        self._log = log
        self._values = list(values)

    async def __anext__(self) -> Any:
        if not self._values:
            raise StopAsyncIteration
        return self._values.pop(0)

    async def aclose(self) -> None:
        self._log.append("closed")


async def bodies(source: Source) -> list[Any]:
    inlet = Inlet(source)
    seen = [part.body async for part in inlet]
    await inlet.aclose()
    return seen


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, []),
        ("hello", ["hello"]),
        (Part("a"), ["a"]),
        ({"a": 1}, [Data({"a": 1})]),
        (Audio(b"12"), [Audio(b"12")]),
        (TurnEnded(1.0), [TurnEnded(1.0)]),
        (["a", Part("b"), {"c": 1}], ["a", "b", Data({"c": 1})]),
        # It can be read once, so there is one run of it.
        pytest.param((text for text in "ab"), ["a", "b"], marks=pytest.mark.virtual(seed=0)),
        ([], []),
    ],
)
async def test_whatever_a_caller_has_is_read(source: Source, expected: list[Any]) -> None:
    """Nothing, one value, and iterables of values come as parts, in order."""
    assert await bodies(source) == expected


async def test_an_async_iterable_is_read() -> None:
    """An async iterable gives its values as parts; a part stays the object that it is."""
    part = Part("b")
    inlet = Inlet(Socket([], "a", part))
    assert (await anext(inlet)).text == "a"
    assert await anext(inlet) is part
    with pytest.raises(StopAsyncIteration):
        await anext(inlet)
    await inlet.aclose()


@pytest.mark.parametrize("make", [lambda: 42, lambda: [object()], lambda: Socket([], 42)])
async def test_a_value_that_is_no_part_is_refused(make: Callable[[], Any]) -> None:
    """One value, one of a list, one of a stream: the message says what may be given."""
    inlet = Inlet(make())
    with pytest.raises(PartError, match="cannot be made into a part; give text, bytes"):
        await anext(inlet)
    await inlet.aclose()


@pytest.mark.parametrize("read", [0, 1, 3])
async def test_a_source_is_closed_once_however_much_was_read(read: int) -> None:
    """Unread, half read or exhausted, and closed twice: the source was closed once."""
    log: list[str] = []
    inlet = Inlet(Socket(log, "a", "b"))
    for _ in range(read):
        await anext(inlet, None)
    assert log == []
    await inlet.aclose()
    await inlet.aclose()
    assert log == ["closed"]


@pytest.mark.parametrize("read", [0, 1])
async def test_a_plain_generator_is_closed(read: int) -> None:
    """A generator that is left runs its `finally`; one that never began cannot begin any more."""
    log: list[str] = []

    def letters() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            log.append("closed")

    source = letters()
    inlet = Inlet(source)
    for _ in range(read):
        await anext(inlet)
    await inlet.aclose()
    assert log == ["closed"] * read
    assert list(source) == []


@pytest.mark.parametrize("untidy", [False, True])
async def test_what_an_iterable_made_is_closed_as_well(untidy: bool) -> None:
    """The iterator is closed and then the source that made it; the first error carries the next."""
    log: list[str] = []

    class Microphone:
        async def __aiter__(self) -> AsyncIterator[str]:
            try:
                yield "a"
                yield "b"
            finally:
                log.append("iterator")
                if untidy:
                    raise OSError("unplugged")

        async def aclose(self) -> None:
            log.append("microphone")
            if untidy:
                raise ValueError("no such device")

    inlet = Inlet(Microphone())
    await anext(inlet)
    if untidy:
        with pytest.raises(OSError, match="unplugged") as caught:
            await inlet.aclose()
        assert caught.value.__notes__ == ["also failed: ValueError: no such device"]
    else:
        await inlet.aclose()
    assert log == ["iterator", "microphone"]


async def test_it_tells_whether_it_can_be_closed() -> None:
    """While a generator is being read it cannot be closed, and a run asks before it tries."""
    seen: list[bool] = []

    async def source() -> AsyncIterator[str]:
        seen.append(inlet.ag_running)
        yield "a"

    inlet = Inlet(source())
    assert not inlet.ag_running
    await anext(inlet)
    assert not inlet.ag_running
    await inlet.aclose()
    assert seen == [True]
