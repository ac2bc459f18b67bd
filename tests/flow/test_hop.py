import asyncio
import contextlib
import contextvars
import dataclasses
import gc
import importlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from vivace.errors import PartError
from vivace.flow.clock import now
from vivace.flow.hop import note, note_path, said
from vivace.part import Audio, Data, Part

pytestmark = pytest.mark.virtual(allow_unclosed=True)  # of hops alone; runs close what they open


@pytest.fixture
def speedups(twins: tuple[Any, Any]) -> Any:
    """What was compiled, in use."""
    return importlib.import_module("vivace.flow._speedups")


class Sent:
    """Takes what is sent aside; has no room while `full`."""

    def __init__(self, full: bool = False) -> None:
        self.texts: list[str] = []
        self.full = full

    def __call__(self, part: Part) -> Coroutine[Any, Any, None] | None:
        if not self.full:
            self.texts.append(part.text)
            return None
        return self._later(part)

    async def _later(self, part: Part) -> None:
        await asyncio.sleep(0.25)
        self.texts.append(part.text)


async def stream_of(*values: Any) -> AsyncIterator[Any]:
    for value in values:
        if isinstance(value, BaseException):
            raise value
        if value is ValueError:
            raise ValueError("broken")
        yield value


class Plain(AsyncIterator[Any]):
    """An async iterator that is no generator: what it gives is given as it is."""

    def __init__(self, *steps: Any) -> None:
        self._steps = list(steps)

    def __anext__(self) -> Any:
        step = self._steps.pop(0)
        return step() if callable(step) else step


async def gives(value: Any) -> Any:
    return value


async def ends() -> Any:
    raise StopAsyncIteration


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


# -- what passes


async def test_parts_pass_as_they_are(twin: Any) -> None:
    """Each part of the stream comes out itself, in order; then the stream has ended."""
    parts = [Part("a"), Part("b", substream="captions"), Part("c", turn=3)]
    hop = twin.hop.hop(stream_of(*parts), Sent(), "path")
    assert aiter(hop) is hop
    passed = [part async for part in hop]
    assert all(one is other for one, other in zip(passed, parts, strict=True))
    with pytest.raises(StopAsyncIteration):
        await anext(hop)


async def test_values_become_parts(twin: Any) -> None:
    """Text, a dict or a body in the stream is a part behind the hop; so is a part's subclass."""

    class Marked(Part, frozen=True):
        mark: int = 0

    marked = Marked("c", mark=3, turn=2)
    passed = [part async for part in twin.hop.hop(stream_of("a", {"b": 1}, marked), Sent(), "")]
    assert [part.body for part in passed] == ["a", Data({"b": 1}), "c"]
    assert passed[2] is marked


async def test_a_value_that_is_no_part_is_an_error_of_its_stage(twin: Any) -> None:
    """What cannot be made into a part is told with the path of the stage that gave it."""
    with pytest.raises(PartError, match=r"builtins\.int cannot") as caught:
        await anext(twin.hop.hop(stream_of(3), Sent(), "agent[1].counts"))
    assert notes(caught.value) == ["in agent[1].counts"]


async def test_side_lanes_go_aside(twin: Any) -> None:
    """Parts of side lanes are sent aside, in their order, while the next part is made."""
    sent = Sent()
    values = [Part("1", substream="status"), "a", Part("2", substream="ui/x"), Part("3"), "b"]
    hop = twin.hop.hop(stream_of(*values), sent, "")
    assert [part.text async for part in hop] == ["a", "3", "b"]
    assert sent.texts == ["1", "2"]


async def test_a_full_side_lane_holds_the_stage_back(twin: Any) -> None:
    """If there is no room aside, the hop waits for it before it asks for more."""
    sent = Sent(full=True)
    lane = Part("1", substream="debug")
    hop = twin.hop.hop(stream_of(lane, lane, "a", lane), sent, "")
    assert (await anext(hop)).text == "a"
    assert (now(), sent.texts) == (0.5, ["1", "1"])
    with pytest.raises(StopAsyncIteration):
        await anext(hop)
    assert now() == 0.75


@pytest.mark.parametrize("nothing", ["", None])
async def test_no_substream_is_no_side_lane(twin: Any, nothing: Any) -> None:
    """A part without a substream stays in the conversation, however that is written."""
    part = Part("a", substream=nothing)
    assert await anext(twin.hop.hop(stream_of(part), Sent(), "")) is part


async def test_a_substream_that_is_no_text_is_an_error(twin: Any) -> None:
    """What the name of a lane cannot be told from is the stage's error."""
    with pytest.raises(AttributeError) as caught:
        await anext(twin.hop.hop(stream_of(Part("a", substream=3)), Sent(), "stage"))  # type: ignore[arg-type]
    assert notes(caught.value) == ["in stage"]

    class Undecided:
        def __bool__(self) -> bool:
            raise LookupError("undecided")

    odd: Any = Undecided()
    with pytest.raises(LookupError, match="undecided"):
        await anext(twin.hop.hop(stream_of(Part("a", substream=odd)), Sent(), "stage"))


@pytest.mark.parametrize("gives", [3, object()])
async def test_whatever_takes_what_goes_aside_may_fail(twin: Any, gives: Any) -> None:
    """An error of whoever takes it, or an answer that nobody can wait for, is not lost."""

    def fails(part: Part) -> Any:
        raise OSError("gone")

    lane = Part("1", substream="debug")
    with pytest.raises(OSError, match="gone"):
        await anext(twin.hop.hop(stream_of(lane), fails, ""))
    with pytest.raises(TypeError, match="await"):
        await anext(twin.hop.hop(stream_of(lane), lambda _: gives, ""))


# -- errors


class Odd(BaseException): ...


class Slotted(Exception):
    __slots__ = ("code",)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int = 3


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("cannot be told")

    __repr__ = __str__


@pytest.mark.parametrize("error", [ValueError("broken"), Slotted(), Frozen(), Mute(), KeyError()])
async def test_an_error_is_told_with_its_path_once(twin: Any, error: Exception) -> None:
    """It passes any number of hops as itself; the first says where it came from."""
    hop = twin.hop.hop(stream_of("a", error), Sent(), "agent[0].inner")
    for n in range(3):
        hop = twin.hop.hop(hop, Sent(), f"outer {n}")
    assert (await anext(hop)).text == "a"
    with pytest.raises(type(error)) as caught:
        await anext(hop)
    assert caught.value is error
    assert notes(error) == ["in agent[0].inner"]
    for name in ("__notes__", "_vivace_path"):  # it serves the other twin, too
        BaseException.__delattr__(error, name)


@pytest.mark.parametrize(
    "kind", [Odd, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
async def test_what_is_no_failure_passes_without_a_word(
    twin: Any, kind: type[BaseException]
) -> None:
    """Cancellation and what ends programs is nobody's error: no path is noted."""
    error = kind("x")
    seen: BaseException | None = None
    try:
        await anext(twin.hop.hop(stream_of(error), Sent(), "path"))
    except BaseException as raised:
        seen = raised
    assert seen is error
    assert notes(error) == []


@pytest.mark.parametrize("when", ["at once", "in a coroutine"])
async def test_stop_iteration_is_an_error_like_in_a_generator(twin: Any, when: str) -> None:
    """It must not pass for a result: an iterator that leaks it fails with RuntimeError."""

    def at_once() -> Any:
        raise StopIteration("no result")

    async def in_a_coroutine() -> Any:
        raise StopIteration("no result")

    step = at_once if when == "at once" else in_a_coroutine
    with pytest.raises(RuntimeError, match="raised StopIteration") as caught:
        await anext(twin.hop.hop(Plain(step), Sent(), "stage"))
    assert isinstance(caught.value.__cause__, StopIteration)
    [path] = notes(caught.value) or notes(caught.value.__cause__)
    assert path == "in stage"


async def test_an_iterator_that_ends_without_a_wait(twin: Any) -> None:
    """StopAsyncIteration from `__anext__` itself is the end, too."""

    def at_once() -> Any:
        raise StopAsyncIteration

    hop = twin.hop.hop(Plain(gives("a"), at_once), Sent(), "")
    assert [part.text async for part in hop] == ["a"]
    assert [part.text async for part in twin.hop.hop(Plain(ends()), Sent(), "")] == []


@pytest.mark.parametrize("wrong", [3, "text", ["a"], None])
async def test_what_is_no_stream_is_a_type_error(twin: Any, wrong: Any) -> None:
    """Something that cannot be iterated, or gives what cannot be awaited, says so by type."""
    with pytest.raises(TypeError):
        await anext(twin.hop.hop(wrong, Sent(), "path"))
    with pytest.raises(TypeError, match=type(wrong).__name__) as caught:
        await anext(twin.hop.hop(Plain(wrong), Sent(), "path"))
    assert notes(caught.value) == ["in path"]


def test_a_note_is_added_whatever_the_error_allows() -> None:
    """Notes keep those that were there, and are kept by errors that let nobody set anything."""
    plain = ValueError()
    plain.add_note("of its own")
    note_path(plain, "first")
    note_path(plain, "second")
    note(plain, "more")
    assert notes(plain) == ["of its own", "in first", "more"]
    frozen = Frozen()
    note_path(frozen, "first")
    note(frozen, "more")
    assert notes(frozen) == ["in first", "more"]


def test_what_an_error_says_can_always_be_told() -> None:
    """An error whose `str` fails is told by what that failed with."""
    assert said(ValueError("broken")) == "broken"
    assert said(Mute()) == "(its message cannot be told: ValueError)"


# -- cancelled and closed


@pytest.mark.virtual(seeds=20, allow_unclosed=True)
@pytest.mark.parametrize("full", [False, True])
async def test_a_cancelled_reader_cancels_the_stage(twin: Any, full: bool) -> None:
    """Who waits in the stage, or for room aside, is told; nothing is noted."""
    log: list[float] = []

    async def stage() -> AsyncIterator[Part]:
        try:
            yield Part("1", substream="debug")
            await asyncio.sleep(100.0)
        finally:
            log.append(now())

    values = stage()
    hop = twin.hop.hop(values, Sent(full), "")
    task = asyncio.create_task(anext(hop))
    await asyncio.sleep(0.125)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert log == ([] if full else [0.125])
    await values.aclose()  # type: ignore[attr-defined]
    await hop.aclose()


async def test_a_stage_may_take_its_cancellation_for_a_reason_to_yield(twin: Any) -> None:
    """What it yields instead comes out, and more may be taken after it."""

    async def stage() -> AsyncIterator[str]:
        try:
            await asyncio.sleep(100.0)
        except asyncio.CancelledError:
            yield "cancelled"
        yield "went on"

    hop = twin.hop.hop(stage(), Sent(), "")
    task = asyncio.create_task(anext(hop))
    await asyncio.sleep(1.0)
    task.cancel()
    assert (await task).text == "cancelled"
    assert [part.text async for part in hop] == ["went on"]


class Bare:
    """The least that can be awaited: what it gives has neither `throw` nor `close`."""

    def __init__(self, *waits_for: Any) -> None:
        self._left = iter(waits_for)

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self._left)


async def test_a_bare_awaitable_can_be_left(twin: Any) -> None:
    """What cannot be told of a cancellation is left where it waits, and the reader is cancelled."""
    hop = twin.hop.hop(Plain(Bare(None, None, None, None)), Sent(), "")
    task = asyncio.create_task(anext(hop))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_hop_that_is_closed_has_ended(twin: Any) -> None:
    """Closing it ends it and not the stage; it may be closed before it was read, and twice."""
    values = stream_of("a", "b")
    hop = twin.hop.hop(values, Sent(), "")
    assert (await anext(hop)).text == "a"
    assert await hop.aclose() is None
    assert [part async for part in hop] == []
    assert await anext(values) == "b"
    await hop.aclose()
    unread = twin.hop.hop(values, Sent(), "")
    await unread.aclose()
    assert [part async for part in unread] == []
    await values.aclose()  # type: ignore[attr-defined]


# -- misused


async def test_a_step_is_awaited_once(twin: Any) -> None:
    """What `anext` gave cannot be awaited again: the error says so, and the hop goes on."""
    hop = twin.hop.hop(stream_of("a", "b"), Sent(), "")
    step = anext(hop)
    assert (await step).text == "a"
    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        await step
    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        step.throw(ValueError())
    step.close()
    assert (await anext(hop)).text == "b"
    await hop.aclose()


@pytest.mark.virtual(seeds=20, allow_unclosed=True)
async def test_two_at_once_are_refused(twin: Any) -> None:
    """While one waits in the stage, another that asks gets an error; the first gets its part."""

    async def slow() -> AsyncIterator[str]:
        await asyncio.sleep(1.0)
        yield "a"

    hop = twin.hop.hop(slow(), Sent(), "")
    tasks = [asyncio.create_task(anext(hop)) for _ in range(2)]
    await asyncio.wait(tasks)
    [refused] = [error for task in tasks if (error := task.exception()) is not None]
    assert isinstance(refused, RuntimeError)
    assert "already running" in str(refused)
    assert [task.result().text for task in tasks if not task.exception()] == ["a"]
    await hop.aclose()


async def test_a_stage_that_steps_the_hop_that_steps_it(twin: Any) -> None:
    """A circle is an error of that stage and no crash; nor is one that goes through itself."""
    hops: list[Any] = []

    async def reads_itself() -> AsyncIterator[str]:
        try:
            await anext(hops[0])
        except RuntimeError as error:
            yield str(error)

    hops.append(twin.hop.hop(reads_itself(), Sent(), ""))
    assert "already running" in (await anext(hops[0])).text
    assert [part async for part in hops.pop()] == []


async def test_a_step_that_steps_itself(speedups: Any) -> None:
    """Nor does it crash what is compiled if an awaitable steps the very step that steps it."""

    class Steps:
        """An awaitable that, when stepped, steps the very awaitable that steps it."""

        def __await__(self) -> Any:
            return self

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            for attempt in (lambda: step.send(None), lambda: step.throw(Odd()), step.close):
                with pytest.raises(RuntimeError, match="already running"):
                    attempt()
            raise StopIteration("a")

    step = anext(speedups.hop(Plain(Steps()), Sent(), ""))
    with pytest.raises(StopIteration) as caught:
        step.send(None)
    assert caught.value.value.text == "a"


async def test_a_step_that_was_not_begun_can_be_thrown_into(twin: Any) -> None:
    """What is thrown comes back, as an instance, as a class, or as a class and a value."""
    for thrown in [(Odd("x"),), (Odd,), (Odd, Odd("x")), (Odd, "x"), (Odd, None, None)]:
        step = anext(twin.hop.hop(stream_of("a"), Sent(), ""))
        with pytest.raises(Odd):
            step.throw(*thrown)
        with pytest.raises((RuntimeError, StopIteration, StopAsyncIteration)):
            step.send(None)
    for wrong in [(), (3,), ("text",)]:
        step = anext(twin.hop.hop(stream_of("a"), Sent(), ""))
        with pytest.raises((TypeError, SystemError)):
            step.throw(*wrong)


async def test_a_step_that_was_left_half_way_can_be_closed(speedups: Any) -> None:
    """Closing it closes what it waits in. (Python itself leaves that to the garbage collector.)"""
    log: list[str] = []

    async def waits() -> Any:
        try:
            await asyncio.sleep(1.0)
        finally:
            log.append("left")

    step = anext(speedups.hop(Plain(waits), Sent(), ""))
    step.send(None)
    step.close()
    assert log == ["left"]
    step = anext(speedups.hop(Plain(Bare(None)), Sent(), ""))
    step.send(None)
    step.close()
    anext(speedups.hop(stream_of(), Sent(), "")).close()


async def test_a_step_tells_what_it_waits_in(twin: Any) -> None:
    """Whoever looks for where a task hangs finds the stage behind the hop."""

    async def hangs() -> AsyncIterator[Part]:
        await asyncio.sleep(100.0)
        yield Part("never")

    task = asyncio.create_task(anext(twin.hop.hop(hangs(), Sent(), "")), name="reads")
    await asyncio.sleep(1.0)
    assert "hangs" in twin.scope.where(task)
    assert repr(task)
    task.cancel()
    await asyncio.wait([task])


# -- the short way


async def test_without_it_a_taker_asks_its_subclass(twin: Any) -> None:
    """`anext` is what `_anext` gives; the base class alone has nothing to give."""

    class Takes(twin.hop.Taker):  # type: ignore[misc]  # it is one class or the other
        async def _anext(self) -> Part:
            return Part("a")

    taker = Takes()
    assert aiter(taker) is taker
    assert (await anext(taker)).text == "a"
    with pytest.raises((AttributeError, NotImplementedError)):
        await anext(twin.hop.Taker())


# -- compiled


def test_what_is_compiled_checks_what_it_is_given(speedups: Any) -> None:
    """Wrong arguments are refused as Python does it, and change nothing."""

    class Slotless:
        body = substream = turn = ""

    class Half:
        __slots__ = ("body", "substream")

    args: tuple[Any, ...] = (Part.of, str, str, {}, Audio)
    with pytest.raises(ImportError, match="do not keep body in a slot"):
        speedups.setup(Slotless, *args)
    with pytest.raises(AttributeError, match="pcm"):
        speedups.setup(Part, *args[:-1], Half)
    with pytest.raises(AttributeError, match="turn"):
        speedups.setup(Half, *args)
    for wrong in [(), (Part,), (3, *args)]:
        with pytest.raises(TypeError):
            speedups.setup(*wrong)
        with pytest.raises(TypeError):
            speedups.hop(*wrong)
        with pytest.raises(TypeError):
            speedups.Gate(*wrong)
    for kind in (type(anext(speedups.hop(stream_of(), Sent(), ""))), type(anext(speedups.Taker()))):
        with pytest.raises(TypeError, match="cannot create"):
            kind()


async def test_functions_join_a_hop_once(speedups: Any) -> None:
    """A hop takes functions with as many paths, and keeps those that it has."""
    hop = speedups.hop(stream_of("a"), Sent(), "")
    with pytest.raises(ValueError, match="a path for each function"):
        hop.join((str,), (), print)
    for wrong in [(), (str, ("a",), print), ((str,), "a", print), ((str,), ("a",))]:
        with pytest.raises(TypeError):
            hop.join(*wrong)
    assert hop.join((lambda part: part.derive(role="model"),), ("a",), print)
    assert not hop.join((str,), ("b",), print)
    assert [part.role async for part in hop] == ["model"]


async def test_a_gate_needs_a_stream_and_a_context(speedups: Any) -> None:
    """A gate is refused what it could not step; a taker is refused what is no gate."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    with pytest.raises(TypeError, match=r"Context"):
        speedups.Gate(stream_of(), print, print, task, None, loop, 128)
    context = contextvars.copy_context()
    with pytest.raises(TypeError, match="'int' object is no async iterator"):
        speedups.Gate(3, print, print, task, context, loop, 128)
    gate = speedups.Gate(stream_of(), print, print, task, context, loop, 128)
    assert (gate.quiet, gate.at_once) == (True, 0)
    gate.quiet = False
    assert not gate.quiet
    del gate.quiet
    taker = speedups.Taker()
    assert taker._gate is None
    taker._gate = gate
    assert taker._gate is gate
    with pytest.raises(TypeError, match="a gate, or None"):
        taker._gate = 3
    del taker._gate
    assert taker._gate is None
    with pytest.raises(AttributeError, match="_anext"):
        await anext(taker)


async def churn(way: Callable[[], Coroutine[Any, Any, None]], times: int = 1000) -> int:
    """How many more blocks of memory are in use after the last half of `times` than before it."""
    before = 0
    for n in range(times):
        if n == times // 2:
            gc.collect()
            before = sys.getallocatedblocks()
        await way()
        await asyncio.sleep(0)
    gc.collect()
    return sys.getallocatedblocks() - before


async def test_no_path_through_a_hop_leaks(twin: Any) -> None:
    """A thousand times each way through: as much memory is in use as before."""
    hop, sent = twin.hop.hop, Sent()
    lane = Part("1", substream="debug")

    async def reads(*values: Any) -> None:
        stream = stream_of(*values)
        with contextlib.suppress(ValueError, PartError):
            async for _ in hop(stream, lambda _: asyncio.sleep(0), "path"):
                pass
        await stream.aclose()  # type: ignore[attr-defined]

    async def cancelled() -> None:
        task = asyncio.create_task(anext(hop(Plain(lambda: asyncio.sleep(1)), sent, "")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    async def misused() -> None:
        stream = stream_of("a", "b")
        it = hop(stream, sent, "")
        step = anext(it)
        await step
        for wrong in (lambda: step.send(None), lambda: step.throw(Odd())):
            with contextlib.suppress(RuntimeError):
                wrong()  # type: ignore[no-untyped-call]
        step.close()
        await it.aclose()
        await stream.aclose()  # type: ignore[attr-defined]

    async def thrown() -> None:
        with contextlib.suppress(Odd):
            anext(hop(stream_of("a"), sent, "")).throw(Odd)

    async def closed() -> None:
        it = hop(stream_of("a"), sent, "")
        await it.aclose()

    for values in [("a", "b", Part("c")), ("a", lane, ValueError), (3,), (lane, "a")]:
        assert await churn(lambda values=values: reads(*values)) < 100  # type: ignore[misc]
    for way in (cancelled, misused, thrown, closed):
        assert await churn(way) < 100


async def test_what_is_left_half_way_does_not_leak(speedups: Any) -> None:
    """Nor does a step that nobody ends: the next one, or the garbage collector, clears it."""
    hop, sent = speedups.hop, Sent()

    async def unused() -> None:
        anext(hop(stream_of(), sent, ""))

    async def left() -> None:
        anext(hop(Plain(Bare(None)), sent, "")).send(None)

    async def left_again_and_again() -> None:
        it = hop(Plain(*(Bare(None) for _ in range(5))), sent, "")
        for _ in range(5):
            anext(it).send(None)

    for way in (unused, left, left_again_and_again):
        assert await churn(way) < 100
