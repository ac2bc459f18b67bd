import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from vivace.errors import PartError, StageError
from vivace.flow.clock import now
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor, chain, processor
from vivace.part import Audio, Data, Part, Played, TurnComplete

pytestmark = pytest.mark.virtual


async def texts(agent: Processor, source: Any) -> list[str]:
    return [part.text async for part in agent(source)]


@processor
async def upper(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part.derive(body=part.text.upper())


class AddMark(Processor):
    def __init__(self, mark: str = "!") -> None:
        self._mark = mark

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part.derive(body=part.text + self._mark)


# -- three ways to write one


async def test_an_async_generator_is_a_processor() -> None:
    """`@processor` makes one of an async generator function, named after it."""
    assert upper.name == "upper"
    assert await texts(upper, ["a", "b"]) == ["A", "B"]


async def test_a_class_with_call_is_a_processor() -> None:
    """A subclass is named after its class, and may be given state of its own."""
    assert AddMark().name == "add_mark"
    assert await texts(AddMark("?"), "a") == ["a?"]


async def test_calling_and_running_are_the_same() -> None:
    """`agent(source)` and `agent.run(source)` give the same stream, the latter for a block."""
    async with upper.run(["a"]) as parts:
        assert [part.text async for part in parts] == ["A"]


async def test_each_run_begins_anew() -> None:
    """State in the generator belongs to the run."""

    @processor
    async def count(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        number = 0
        async for part in stream:
            number += 1
            yield part.derive(body=f"{part.text}{number}")

    assert await texts(count, ["a", "b"]) == await texts(count, ["a", "b"]) == ["a1", "b2"]


def test_what_is_no_generator_function_is_refused() -> None:
    """A coroutine, a plain function, or nothing callable: each refusal says what to write."""

    async def coroutine(stream: AsyncIterator[Part]) -> None: ...

    for wrong in (coroutine, len, "text"):
        with pytest.raises(StageError, match="is no async generator function; it takes the stream"):
            processor(wrong)  # type: ignore[arg-type]


async def test_a_processor_without_call_says_so() -> None:
    """The base class alone cannot run, and says what is missing."""

    class Nothing(Processor): ...

    with pytest.raises(StageError, match="Nothing has no `call`; write it as an async generator"):
        await texts(Nothing(), "a")


@pytest.mark.parametrize("kind", ["coroutine", "nothing"])
async def test_a_call_without_yield_says_so(kind: str) -> None:
    """`async def call` without `yield`, or one that gives nothing, is told what it must be."""

    class Forgot(Processor):
        def call(self, stream: AsyncIterator[Part]) -> Any:
            async def nothing() -> None: ...

            return nothing() if kind == "coroutine" else None

    with pytest.raises(StageError, match=r"`call` of Forgot .* async generator: .* with `yield`"):
        await texts(Forgot() + upper, "a")


# -- functions of one part


def sync_part(part: Part) -> Part:
    return part.derive(body=part.text * 2)


def sync_text(part: Part) -> str:
    return part.text * 2


def sync_none(part: Part) -> None: ...


def sync_list(part: Part) -> list[Part | str]:
    return [part, "and"]


def sync_generator(part: Part) -> Iterator[str]:
    yield part.text
    yield "and"


async def async_part(part: Part) -> Part:
    await asyncio.sleep(0.25)
    return part.derive(body=part.text * 2)


async def async_none(part: Part) -> None: ...


async def async_generator(part: Part) -> AsyncIterator[Any]:
    yield part.text
    await asyncio.sleep(0.25)
    yield Part("and")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (sync_part, ["aa", "bb"]),
        (sync_text, ["aa", "bb"]),
        (sync_none, []),
        (sync_list, ["a", "and", "b", "and"]),
        (sync_generator, ["a", "and", "b", "and"]),
        (async_part, ["aa", "bb"]),
        (async_none, []),
        (async_generator, ["a", "and", "b", "and"]),
    ],
)
async def test_a_function_of_one_part(function: Any, expected: list[str]) -> None:
    """Sync or async, returning or yielding, any number of parts: they come in order."""
    stage = part_processor(function)
    assert stage.name == function.__name__
    assert await texts(stage, ["a", "b"]) == expected


async def test_parts_are_taken_one_at_a_time_if_so_asked() -> None:
    """With a concurrency of 1 an async function is not called again before it has returned."""
    one_by_one = part_processor(concurrency=1)(async_part)
    assert await texts(one_by_one, list("abcd")) == ["aa", "bb", "cc", "dd"]
    assert now() == 1.0


async def test_an_async_function_works_on_several_parts_at_once() -> None:
    """Four calls of 0.25 s each are out together, and what they give comes in order."""
    assert await texts(part_processor(async_part), list("abcd")) == ["aa", "bb", "cc", "dd"]
    assert now() == 0.25


async def test_any_callable_will_do() -> None:
    """A callable object without a name is called `function`."""

    class Double:
        def __call__(self, part: Part) -> str:
            return part.text * 2

    stage = part_processor(Double())
    assert stage.name == "function"
    assert await texts(stage, "a") == ["aa"]


async def test_a_function_may_give_the_stream_of_another_processor() -> None:
    """What another processor makes of one part can be returned as it is."""

    @part_processor
    def twice(part: Part) -> AsyncIterator[Part]:
        return (upper + AddMark())([part, part])

    assert await texts(twice, ["a", "b"]) == ["A!", "A!", "B!", "B!"]


async def test_a_function_may_give_any_async_iterator() -> None:
    """An async iterator that cannot be closed is read to its end all the same."""

    class Echo(AsyncIterator[str]):
        def __init__(self, part: Part) -> None:
            self.left = [part.text] * 2

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    assert await texts(part_processor(Echo), ["a", "b"]) == ["a", "a", "b", "b"]


async def test_a_function_may_give_any_async_iterable() -> None:
    """What only makes an async iterator is read as well."""

    class Echo:
        def __init__(self, part: Part) -> None:
            self.part = part

        async def __aiter__(self) -> AsyncIterator[Part]:
            yield self.part

    assert await texts(part_processor(Echo), ["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "body"),
    [({"a": 1, "b": 2}, Data({"a": 1, "b": 2})), (Audio(b"12"), Audio(b"12")), ("ab", "ab")],
)
async def test_one_value_is_one_part(value: Any, body: Any) -> None:
    """A dict, a body or text that a function returns is one part, not one for each thing in it."""
    parts = [part async for part in part_processor(lambda _: value)("a")]
    assert [part.body for part in parts] == [body]


@pytest.mark.parametrize("wrong", [True, 42, b"12"])
async def test_one_value_that_is_no_part_is_refused(wrong: Any) -> None:
    """The message says what may be given."""
    with pytest.raises(PartError, match=r"; (give text, bytes|pass mimetype=)") as caught:
        await texts(part_processor(lambda _: wrong), "a")
    assert caught.value.__notes__ == ["in <lambda>"]


async def test_signals_pass_by_a_function() -> None:
    """A function that keeps only audio does not swallow the end of a turn."""

    @part_processor
    def only_audio(part: Part) -> Part | None:
        return part if part.seconds else None

    complete = Part(TurnComplete(1), role="model", turn=1)
    source = [Part("a"), Part.audio(b"12"), complete, Part.audio(b"34")]
    parts = [part async for part in only_audio(source)]
    assert [part for part in parts if not isinstance(part.body, Played)] == source[1:]


def test_what_cannot_be_called_is_refused() -> None:
    """Something that is no function is refused when the stage is made."""
    with pytest.raises(StageError, match="3 is no function of one part"):
        part_processor(3)  # type: ignore[call-overload]


async def test_a_result_that_is_no_part_is_refused() -> None:
    """A function that gives something else fails by name."""

    def wrong(part: Part) -> list[int]:
        return [1]

    with pytest.raises(PartError, match=r"builtins\.int cannot be made into a part") as caught:
        await texts(part_processor(wrong), "a")
    assert caught.value.__notes__ == ["in wrong"]


async def test_a_function_left_half_way_is_closed() -> None:
    """When the caller leaves, an async generator over one part has its `finally` run."""
    log: list[str] = []

    @part_processor
    async def words(part: Part) -> AsyncIterator[str]:
        try:
            for word in part.text.split():
                yield word
        finally:
            log.append("closed")

    async with words.run(["one two three four five six"]) as parts:
        assert (await anext(parts)).text == "one"
        await asyncio.sleep(1.0)
    assert log == ["closed"]


# -- chains


async def test_a_chain_goes_from_left_to_right() -> None:
    """Each stage reads what the one before it yields; chains of chains are flat."""
    agent = upper + AddMark("?") + AddMark("!")
    assert agent.name == "agent"
    assert await texts(agent, ["a", "b"]) == ["A?!", "B?!"]
    assert await texts(chain([upper + AddMark("?"), AddMark("!")]), "a") == ["A?!"]
    assert await texts(upper + (AddMark("?") + AddMark("!")), "a") == ["A?!"]


async def test_a_chain_of_one_is_that_stage() -> None:
    """A chain may have a single stage, and the same stage twice."""
    assert await texts(chain([upper]), "a") == ["A"]
    assert await texts(AddMark() + AddMark(), "a") == ["a!!"]


def test_a_chain_of_nothing_is_refused() -> None:
    """No stages, or something that is none, is an error that says what to do."""
    with pytest.raises(StageError, match="a chain of no stages; give at least one"):
        chain([])
    with pytest.raises(StageError, match=r"'upper' is no processor; write it with @processor"):
        chain([upper, "upper"])  # type: ignore[list-item]


def test_adding_what_is_no_processor_is_a_type_error() -> None:
    """`agent + 3` is what Python says about adding things that do not add."""
    with pytest.raises(TypeError, match="unsupported operand"):
        upper + 3  # type: ignore[operator]


async def test_nothing_is_buffered_between_stages() -> None:
    """A stage makes its next part only when the one behind it asks."""
    log: list[str] = []

    def tell(name: str) -> Processor:
        @processor
        async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            async for part in stream:
                log.append(f"{name}{part.text}")
                yield part

        return stage

    await texts(tell("x") + tell("y") + tell("z"), ["1", "2", "3"])
    assert log == [f"{name}{n}" for n in (1, 2, 3) for name in "xyz"]
