import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from vivace.errors import FlowError, PartError, StageError
from vivace.flow.clock import now
from vivace.flow.part_processor import (
    PASSTHROUGH_ALWAYS,
    PASSTHROUGH_FALLBACK,
    PartProcessor,
    parallel,
    part_processor,
)
from vivace.flow.processor import Processor, chain, processor
from vivace.flow.run import Run, current_run
from vivace.part import Audio, Data, InputEnded, Part, Played, Signal, TurnComplete

pytestmark = pytest.mark.virtual


async def texts(agent: Processor, source: Any) -> list[str]:
    return [part.text async for part in agent(source)]


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


async def error_of(agent: Processor, source: Any) -> tuple[Exception, list[str]]:
    """The error that a run ends with, and the texts that came before it."""
    seen: list[str] = []
    try:
        async for part in agent(source):
            seen.append(part.text)
    except Exception as error:
        return error, seen
    raise AssertionError("no error")


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


def adds(mark: str, wanted: str = "", **options: Any) -> PartProcessor:
    """A function that adds `mark` to parts whose text is in `wanted`; to all, if it is empty."""
    match = (lambda part: part.text in wanted) if wanted else None

    @part_processor(match=match, **options)
    def add(part: Part) -> Part:
        return part.derive(body=part.text + mark)

    return add


def adds_later(mark: str, seconds: float, wanted: str = "", **options: Any) -> PartProcessor:
    """The same, after a while."""
    match = (lambda part: part.text in wanted) if wanted else None

    @part_processor(match=match, **options)
    async def add_later(part: Part) -> Part:
        await asyncio.sleep(seconds)
        return part.derive(body=part.text + mark)

    return add_later


@part_processor
def nothing(part: Part) -> None: ...


@part_processor
def twice(part: Part) -> list[Part]:
    return [part, part]


COMPLETE = Part(TurnComplete(0), role="model")


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


async def test_signals_pass_by_functions_in_c_and_in_python(twin: Any) -> None:
    """Neighbours see what they are for, and it keeps its place among what they do not see."""
    seen: list[str] = []

    def note(part: Part) -> Part:
        seen.append(part.text)
        return part.derive(body=part.text + "!")

    one = twin.part_processor.part_processor(note)
    parts = [part async for part in (one + one)(["a", Part(TurnComplete(1)), "b"])]
    assert [part.body for part in parts] == ["a!!", TurnComplete(1), "b!!"]
    assert seen == ["a", "a!", "b", "b!"]


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


async def test_functions_of_odd_kinds_are_known_by_what_they_are() -> None:
    """An object with an async `__call__` works on several parts at once, like an async function."""

    class Slow:
        async def __call__(self, part: Part) -> Part:
            await asyncio.sleep(0.25)
            return part

    assert part_processor(Slow()).waits
    assert await texts(part_processor(Slow()), "a") == ["a"]
    assert await texts(part_processor(Slow()), list("abcd")) == list("abcd")
    assert now() == 0.5
    assert not part_processor(lambda part: asyncio.sleep(0.25, part)).waits


async def test_a_plain_function_may_give_something_to_wait_for() -> None:
    """What it gives is awaited, one part at a time."""
    later = part_processor(lambda part: asyncio.sleep(0.25, part.text * 2))
    assert await texts(later, ["a", "b"]) == ["aa", "bb"]
    assert now() == 0.5


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_of_nothing_is_refused(concurrency: int) -> None:
    """At least one part must be worked on at a time."""
    with pytest.raises(StageError, match=f"concurrency of {concurrency} lets nothing run; use 1"):
        part_processor(concurrency=concurrency)(sync_part)


async def test_a_part_processor_of_ones_own() -> None:
    """The base class asks for what is missing; with that, a subclass is one like all others."""

    class Vowels(PartProcessor):
        def matches(self, part: Part) -> bool:
            return part.text in "aeiou"

        def take(self, part: Part) -> Any:
            return part.text.upper()

    assert Vowels().name == "vowels"
    assert await texts(Vowels() + adds("!"), ["a", "b"]) == ["A!", "b!"]
    with pytest.raises(NotImplementedError):
        PartProcessor().matches(Part("a"))
    with pytest.raises(NotImplementedError):
        PartProcessor().take(Part("a"))


# -- which parts it wants


@pytest.mark.parametrize("make", [adds, lambda *args, **kw: adds_later(args[0], 0.25, *args[1:])])
async def test_what_it_does_not_want_passes(make: Callable[..., PartProcessor]) -> None:
    """Parts that `match` says no to pass in their place, as they are; so do signals."""
    other = Part("b")
    source = [Part("a"), other, COMPLETE, Part("a")]
    parts = [part async for part in make("!", "a")(source)]
    assert [part.text for part in parts] == ["a!", "b", "", "a!"]
    assert parts[1] is other
    assert parts[2] is COMPLETE


async def test_a_match_may_give_anything_that_is_true_or_false() -> None:
    """None, a number or a match of a pattern will do."""
    some = part_processor(match=lambda part: part.metadata.get("count"))(lambda _: None)
    source = [Part("a"), Part("b", metadata={"count": 2}), Part("c", metadata={"count": 0})]
    assert await texts(some, source) == ["a", "c"]


@pytest.mark.parametrize("make", [adds, lambda *args, **kw: adds_later(args[0], 0.0, **kw)])
async def test_a_match_that_fails_is_an_error_of_the_stage(
    make: Callable[..., PartProcessor],
) -> None:
    """Its path is noted, in a loop as elsewhere."""

    def fails(part: Part) -> bool:
        raise LookupError("no such thing")

    stage = make("!")
    stage._match = fails  # type: ignore[attr-defined]
    error, seen = await error_of(adds("?") + stage + adds("?"), ["a"])
    assert (str(error), seen) == ("no such thing", [])
    assert notes(error) == [f"in agent[1].{stage.name}"]


# -- errors as parts


def on_b(part: Part) -> Part:
    if part.text == "b":
        raise ValueError("broken")
    return part


async def on_b_later(part: Part) -> Part:
    await asyncio.sleep(0.25)
    return on_b(part)


def on_b_half_way(part: Part) -> Iterator[Part]:
    yield part
    on_b(part)


async def on_b_half_way_later(part: Part) -> AsyncIterator[Part]:
    yield part
    await asyncio.sleep(0.25)
    on_b(part)


@pytest.mark.parametrize("function", [on_b, on_b_later, on_b_half_way, on_b_half_way_later])
async def test_an_error_may_be_told_as_a_part(function: Any) -> None:
    """It goes to `status`, what came before it is kept, and the next part is taken."""
    stage = part_processor(yield_exceptions_as_parts=True)(function)
    source = [Part("a"), Part("b", turn=1, at=0.5), Part("c")]
    parts = [part async for part in (stage + adds("!"))(source) if not part.function_call]
    parts = [part for part in parts if not isinstance(part.body, Signal)]
    [told] = [part for part in parts if part.substream]
    kept = ["a!", "b!", "c!"] if "half_way" in function.__name__ else ["a!", "c!"]
    assert [part.text for part in parts if not part.substream] == kept
    assert told.text == f"{function.__name__} failed on text/plain: ValueError: broken"
    assert (told.substream, told.role, told.turn, told.at) == ("status", "model", 1, 0.5)
    assert told.metadata == {
        "exception_type": "ValueError",
        "original_exception": "broken",
        "stage": function.__name__,
    }


async def test_an_error_that_cannot_be_told_is_told_all_the_same() -> None:
    """An exception whose `str` fails does not end the run either."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    @part_processor(yield_exceptions_as_parts=True)
    def fails(part: Part) -> None:
        raise Mute

    what = "(its message cannot be told: ValueError)"
    assert await texts(fails, ["a"]) == [f"fails failed on text/plain: Mute: {what}"]


async def test_what_is_no_error_is_not_told_as_a_part() -> None:
    """A cancellation from inside ends the run, whatever is told as parts."""

    @part_processor(yield_exceptions_as_parts=True)
    async def cancels(part: Part) -> None:
        raise asyncio.CancelledError

    error, _ = await error_of(cancels, ["a"])
    assert isinstance(error, FlowError)


@pytest.mark.parametrize("gives", [None, "text", Part("text"), ["text"]])
async def test_what_works_is_left_as_it_is(gives: Any) -> None:
    """Without errors, telling them as parts changes nothing."""
    stage = part_processor(yield_exceptions_as_parts=True)(lambda _: gives)
    assert await texts(stage, ["a"]) == ([] if gives is None else ["text"])


# -- chains: one loop


def opened(names: list[str]) -> Processor:
    """Notes for which stages the run has opened generators, up to itself."""

    @processor
    async def look(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        # The hop behind the source is a generator as well where there is no compiled one.
        paths = [path for path, _ in current_run().opened if path != "source"]
        names.extend(dict.fromkeys(paths))
        async for part in stream:
            yield part

    return look


async def test_neighbours_become_one_loop() -> None:
    """Between plain functions there is no generator; the loop is named after its last one."""
    names: list[str] = []
    agent = adds("1") + adds("2") + twice + upper + adds("3") + nothing + opened(names)
    assert await texts(agent, ["a"]) == []
    loops = ["agent[2].twice", "agent[3].upper", "agent[5].nothing"]
    assert names == [*loops, "agent[6].look"]


async def test_a_chain_of_functions_is_a_part_processor() -> None:
    """It goes on being one, however it is put together; with a generator in it, it is none."""
    agent = adds("1") + adds("2") + (adds("3") + adds("4"))
    assert isinstance(agent, PartProcessor)
    assert agent.name == "agent"
    assert [stage.name for stage in agent.stages] == ["add"] * 4
    assert await texts(agent, ["a"]) == ["a1234"]
    assert not isinstance(agent + upper, PartProcessor)
    assert not isinstance(upper + agent, PartProcessor)
    assert not isinstance(chain([agent]), PartProcessor)
    assert await texts(upper + agent + upper + agent, ["a"]) == ["A12341234"]
    with pytest.raises(TypeError, match="unsupported operand"):
        agent + 3  # type: ignore[operator]


RESULTS = {
    "itself": (lambda part: part, ["a."]),
    "another": (lambda part: part.derive(body="b"), ["b."]),
    "text": (lambda part: "b", ["b."]),
    "nothing": (lambda part: None, []),
    "none of it": (lambda part: [], []),
    "several": (lambda part: ["b", part], ["b.", "a."]),
    "a generator": (lambda part: (text for text in "bc"), ["b.", "c."]),
    "a signal": (lambda part: COMPLETE, [""]),
    "a body": (lambda part: TurnComplete(0), [""]),
    "a signal among others": (lambda part: [COMPLETE, "b", COMPLETE], ["", "b.", ""]),
    "a side lane": (lambda part: part.derive(substream="debug"), ["a"]),
    "a lane among others": (lambda part: [Part("b", substream="ui"), part], ["b", "a."]),
    "a substream": (lambda part: part.derive(substream="captions"), ["a."]),
}


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("kind", RESULTS)
async def test_whatever_a_function_gives_goes_on_in_the_loop(kind: str, before: int) -> None:
    """Later functions see each part of it once; signals and side lanes pass them by."""
    function, expected = RESULTS[kind]
    links = [part_processor(lambda part: part)] * before
    agent = chain([*links, part_processor(function), adds("."), part_processor(lambda part: part)])
    assert await texts(agent, ["a"]) == expected
    assert await texts(agent, ["a", COMPLETE, "a"]) == [*expected, "", *expected]


async def test_a_side_lane_from_a_loop_leaves_at_once() -> None:
    """What a function says aside does not wait for what later functions make of the rest."""

    @part_processor
    def talks(part: Part) -> Iterator[Part]:
        yield Part("begun", substream="status")
        yield part

    later = part_processor(lambda part: asyncio.sleep(1.0, part))
    seen = [(now(), part.text) async for part in (talks + later)(["a"])]
    assert seen == [(0.0, "begun"), (1.0, "a")]


FAILS: dict[str, Callable[[Part], Any]] = {
    "at once": on_b,
    "half way": on_b_half_way,
    "later": lambda part: on_b_later(part),
    "half way, later": on_b_half_way_later,
}


@pytest.mark.parametrize("kind", FAILS)
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("several", [False, True])
async def test_an_error_in_a_loop_has_the_path_of_its_function(
    kind: str, at: int, several: bool
) -> None:
    """Whichever function fails, however it was reached: one note, and it is the right one."""

    @part_processor
    def passes(part: Part) -> Any:
        return [part] if several else part

    links: list[Processor] = [passes, passes, passes]
    links[at] = part_processor(concurrency=1)(FAILS[kind])
    error, seen = await error_of(chain([upper_not, *links, upper_not]), ["a", "b"])
    assert isinstance(error, ValueError)
    assert notes(error) == [f"in agent[{at + 1}].{links[at].name}"]
    assert seen == (["a", "b"] if kind.startswith("half") else ["a"])


@processor
async def upper_not(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("wait", [False, True])
async def test_an_end_of_iteration_is_an_error(
    kind: type[Exception], concurrency: int, wait: bool
) -> None:
    """A function that leaks `StopIteration` does not look like the end of the stream."""

    def leaks(part: Part) -> Part:
        raise kind("leaked")

    async def leaks_later(part: Part) -> Part:
        await asyncio.sleep(0)
        raise kind("leaked")

    function = leaks_later if wait else leaks
    error, _ = await error_of(part_processor(concurrency=concurrency)(function), ["a"])
    assert isinstance(error, RuntimeError)
    assert f"raised {kind.__name__}" in str(error)
    assert notes(error) == [f"in {function.__name__}"]


async def test_a_loop_left_half_way_is_closed() -> None:
    """Leaving while a function in the middle is half-way through its parts closes it."""
    log: list[str] = []

    @part_processor
    def letters(part: Part) -> Iterator[str]:
        try:
            yield from "bcd"
        finally:
            log.append("closed")

    async with (adds("") + letters + twice).run(["a"]) as parts:
        for _ in range(3):
            await anext(parts)
        assert log == []
    assert log == ["closed"]


async def test_a_loop_takes_one_part_at_a_time() -> None:
    """A consumer that takes one makes one be pulled."""
    log: list[str] = []

    async def source() -> AsyncGenerator[str]:
        for text in "abc":
            log.append(text)
            yield text

    async with (adds("1") + twice + adds("2")).run(source()) as parts:
        seen = []
        for _ in range(3):
            seen.append((await anext(parts)).text)
            log.append("|")
    assert seen == ["a12", "a12", "b12"]
    assert log == ["a", "|", "|", "b", "|"]


# -- side by side


async def test_each_part_goes_to_all_branches() -> None:
    """What they make of a part comes in their order, before what comes of the next part."""
    agent = adds("1") // twice // adds("2")
    assert agent.name == "parallel"
    assert not agent.waits
    assert await texts(agent, ["a", "b"]) == ["a1", "a", "a", "a2", "b1", "b", "b", "b2"]


@pytest.mark.virtual(seeds=50)
async def test_branches_that_wait_do_so_side_by_side() -> None:
    """A part takes as long as its slowest branch, and the parts are worked on at once."""
    agent = adds_later("1", 0.5) // adds("2") // adds_later("3", 0.25)
    assert await texts(agent, ["a", "b"]) == ["a1", "a2", "a3", "b1", "b2", "b3"]
    assert now() == 0.5


@pytest.mark.parametrize("later", [False, True])
async def test_what_no_branch_wants_passes(later: bool) -> None:
    """A part that none of them wants, and a signal, passes untouched, once and in its place."""
    make = (lambda mark, wanted: adds_later(mark, 0.25, wanted)) if later else adds
    agent = make("1", "ab") // make("2", "bc")
    source = ["a", "b", COMPLETE, "c", "d", Part("e", substream="status")]
    seen = await texts(agent, source)
    assert sorted(seen) == sorted(["e", "a1", "b1", "b2", "", "c2", "d"])
    assert [text for text in seen if text != "e"] == ["a1", "b1", "b2", "", "c2", "d"]


@pytest.mark.parametrize("later", [False, True])
async def test_a_passthrough_that_is_always_there(later: bool) -> None:
    """With `PASSTHROUGH_ALWAYS` each part passes as well, where that stands among the branches."""
    one = adds_later("1", 0.25) if later else adds("1")
    other = adds_later("2", 0.25) if later else adds("2")
    agent = one // PASSTHROUGH_ALWAYS // other
    assert await texts(agent, ["a", COMPLETE]) == ["a1", "a", "a2", ""]
    assert await texts(adds("1") + PASSTHROUGH_ALWAYS + adds("2"), ["a"]) == ["a12"]
    assert PASSTHROUGH_ALWAYS.name == "passthrough_always"


@pytest.mark.parametrize("later", [False, True])
async def test_a_passthrough_as_the_last_resort(later: bool) -> None:
    """With `PASSTHROUGH_FALLBACK` a part passes if the branches made nothing of it."""

    @part_processor(match=lambda part: part.text in "ab")
    def only_a(part: Part) -> Part | None:
        return part.derive(body="A") if part.text == "a" else None

    @part_processor
    async def no_wait(part: Part) -> None: ...

    agent = only_a // PASSTHROUGH_FALLBACK // (no_wait if later else nothing)
    assert agent.waits is later
    assert await texts(agent, ["a", "b", COMPLETE, "c"]) == ["A", "b", "", "c"]
    assert await texts(PASSTHROUGH_FALLBACK + only_a, ["a", "b"]) == ["A"]
    assert PASSTHROUGH_FALLBACK.name == "passthrough_fallback"


async def test_branches_of_branches_are_branches() -> None:
    """`//` of `//` is flat, so that a fallback holds for all of them."""
    agent = (adds("1", "a") // PASSTHROUGH_FALLBACK) // (adds("2", "a") // nothing)
    assert await texts(agent, ["a", "b"]) == ["a1", "a2", "b"]
    assert await texts(parallel([adds("1"), parallel([adds("2"), adds("3")])]), "a") == [
        "a1",
        "a2",
        "a3",
    ]
    assert await texts(parallel([adds("1")]), "a") == ["a1"]


@pytest.mark.parametrize("later", [False, True])
async def test_a_chain_may_be_a_branch(later: bool) -> None:
    """Side by side with others, a chain makes of each part what it would make of it alone."""
    last = adds_later("3", 0.25) if later else adds("3")
    agent = (adds("1") + twice + last) // (adds("2", "b") + nothing)
    assert isinstance(agent, PartProcessor)
    assert agent.waits is later
    assert await texts(agent + adds("."), ["a", COMPLETE, "b"]) == [
        *["a13."] * 2,
        "",
        *["b13."] * 2,
    ]


async def test_side_by_side_within_a_loop() -> None:
    """Branches that do not wait are part of the loop of their neighbours."""
    names: list[str] = []
    agent = adds("1") + adds("2") // adds("3") + twice + opened(names)
    assert await texts(agent, ["a"]) == ["a12", "a12", "a13", "a13"]
    assert names == ["agent[2].twice", "agent[3].look"]


def test_what_takes_no_parts_one_by_one_cannot_stand_side_by_side() -> None:
    """The message says what can, and what else there is."""
    with pytest.raises(StageError, match=r"takes no parts one by one, .* split\(\) and merge\(\)"):
        parallel([adds("1"), upper])  # type: ignore[list-item]
    with pytest.raises(StageError, match="side by side are no branches; give at least one"):
        parallel([])
    with pytest.raises(TypeError, match="unsupported operand"):
        adds("1") // upper  # type: ignore[operator]
    with pytest.raises(TypeError, match="unsupported operand"):
        upper // adds("1")  # type: ignore[operator]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("kind", ["function", "chain"])
async def test_an_error_of_a_branch_has_the_path_of_all_of_them(later: bool, kind: str) -> None:
    """It comes after what came before it, and names the stage that the branches are."""
    fails: PartProcessor = part_processor(on_b_later if later else on_b)
    if kind == "chain":
        fails = adds("") + fails
    error, seen = await error_of(adds("") + adds("1") // fails + upper, ["a", "b"])
    assert isinstance(error, ValueError)
    assert notes(error) == ["in agent[1].parallel"]
    assert seen == ["A1", "A", "B1"]


async def test_the_least_concurrency_among_those_that_wait_counts() -> None:
    """Branches that wait for nothing do not limit the others."""
    busy: list[int] = [0]
    most: list[int] = [0]

    def counts(concurrency: int) -> PartProcessor:
        @part_processor(concurrency=concurrency)
        async def count(part: Part) -> None:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            await asyncio.sleep(0.25)
            busy[0] -= 1

        return count

    one_by_one = adds("", concurrency=1)
    await texts(counts(3) // counts(8) // one_by_one, ["a"] * 20)
    assert most == [6]  # three parts in two branches
    assert parallel([adds("1"), one_by_one]).concurrency == 8


async def test_a_function_belongs_to_the_run() -> None:
    """It may ask for its run, at once and after it had to wait."""
    runs: list[Run] = []

    @part_processor
    async def asks(part: Part) -> Part:
        runs.append(current_run())
        await asyncio.sleep(0.25)
        runs.append(current_run())
        return part

    @part_processor
    def asks_too(part: Part) -> Part:
        runs.append(current_run())
        return part

    await texts(asks + asks_too, ["a"])
    assert len(set(runs)) == 1


async def test_an_unread_signal_is_no_part_for_a_function() -> None:
    """A stream of signals alone calls nobody."""

    @part_processor
    def never(part: Part) -> Part:
        raise AssertionError

    signals = [Part(InputEnded()), COMPLETE]
    assert [part async for part in (never + never)(signals)] == signals
    assert [part async for part in (never // never)(signals)] == signals
