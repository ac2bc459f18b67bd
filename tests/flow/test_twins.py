"""What is compiled does what the Python beside it does, event for event."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vivace.part import Interrupted, Part, TurnComplete
from vivace.testing import VirtualLoop

Log = list[tuple[float, str]]
CONTEXT: ContextVar[str] = ContextVar("context", default="nobody")


class World:
    """One run of a program: what it is made of, and what was seen."""

    def __init__(self, flow: Any) -> None:
        self.flow = flow
        self.log: Log = []
        self.main: Any = None
        self.consumers = WeakSet[Any]()  # else they kept their streams alive

    def see(self, what: str) -> None:
        self.log.append((asyncio.get_running_loop().time(), what))

    def told(self, record: Any) -> None:
        """What a hook sees, but for numbers of runs."""
        stage = getattr(record, "stage", None)
        what = [type(record).__name__, stage.path if stage else "", getattr(record, "ended", "")]
        if isinstance(part := getattr(record, "part", None), Part):
            what += [part.text, part.substream, getattr(record, "asked_at", "")]
        if not callable(counts := getattr(record, "counts", "")):
            what.append(counts)
        self.see(" ".join(map(str, what)))

    def see_inside(self, what: str) -> None:
        """The same, from within a stage."""
        mine = asyncio.current_task() not in {*self.consumers, self.main}
        self.see(f"{what} {CONTEXT.get()}" + ("" if mine else " IN THE NAME OF THE CONSUMER"))
        CONTEXT.set(what)


# -- stages


def generator(world: World, name: str, does: tuple[str, int, float]) -> Any:
    """A stage that does one odd thing at its `at`-th part."""
    what, at, seconds = does

    @world.flow.processor.processor  # type: ignore[untyped-decorator]
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        count = 0
        try:
            async for part in stream:
                world.see_inside(f"{name} {part.text}")
                count += 1
                if count == at:
                    async for extra in odd(world, what, seconds, part):
                        yield extra
                    if what == "ends":
                        return
                yield part
        finally:
            world.see_inside(f"{name} closes")
            if what == "fails to close":
                raise KeyError(name)
            if what == "closes slowly":
                await asyncio.sleep(seconds)
                world.see_inside(f"{name} closed")

    return stage


async def odd(world: World, what: str, seconds: float, part: Part) -> AsyncIterator[Part]:
    task = asyncio.current_task()
    assert task is not None
    if what == "waits":
        await asyncio.sleep(seconds)
    elif what == "fails":
        raise ValueError(part.text)
    elif what == "fails late":
        await asyncio.sleep(seconds)
        raise ValueError(part.text)
    elif what == "talks":
        for n in range(3):
            yield Part(str(n), substream="status")
    elif what == "talks a lot":
        for n in range(70):
            yield Part(str(n), substream="debug/more")
    elif what == "values":
        yield "text"  # type: ignore[misc]
        yield 3  # type: ignore[misc]
    elif what == "has a turn":
        yield part.derive(turn=1, role="model", body="spoken")
        yield Part(TurnComplete(1), role="model", turn=1)
    elif what == "interrupts":
        world.flow.run.current_run().bus.announce(Interrupted(1))
    elif what == "cancels itself":
        task.cancel()
    elif what == "is limited":
        with_limit = asyncio.timeout(seconds)
        async with with_limit:
            yield part.derive(body="limited")
            await asyncio.sleep(0.3)
    elif what == "cancels the consumer":
        for consumer in sorted(world.consumers, key=hash):
            consumer.cancel()
    elif what == "exits":
        raise GeneratorExit
    elif what == "odd":
        raise Odd
    elif what == "leaves a task":
        world.flow.run.current_run().start(later(world, seconds), "later")


class Odd(BaseException): ...


async def later(world: World, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        world.see_inside("later")
    raise OSError("later")


ODD = (
    "ends",
    "fails to close",
    "closes slowly",
    "waits",
    "fails",
    "fails late",
    "talks",
    "talks a lot",
    "values",
    "has a turn",
    "interrupts",
    "cancels itself",
    "is limited",
    "cancels the consumer",
    "exits",
    "odd",
    "leaves a task",
)
generators = st.tuples(st.sampled_from(ODD), st.integers(1, 4), st.sampled_from((0.0, 0.1, 0.3)))


def function(world: World, name: str, does: tuple[str, int, float]) -> Any:
    """A part function, sync or async, that does one odd thing with each `at`-th part."""
    what, at, seconds = does

    def sync(part: Part) -> Any:
        world.see_inside(f"{name} {part.text}")
        if not part.text.isdigit() or int(part.text) % at:
            return part
        if what == "fails":
            raise ValueError(part.text)
        if what in ERRORS:
            raise ERRORS[what](part.text)
        made = {
            "drops": None,
            "doubles": [part, part],
            "derives": part.derive(role="model"),
            "talks": Part(part.text, substream="status"),
            "signals": Part(TurnComplete(0)),
            "names": part.derive(substream="other"),
            "text": "7",
            "rubbish": 3,
        }
        return made.get(what, part)

    async def waits(part: Part) -> Any:
        made = sync(part)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            world.see_inside(f"{name} cancelled")
            raise
        return made

    async def yields(part: Part) -> AsyncIterator[Part]:
        made = sync(part)
        yield part
        await asyncio.sleep(seconds)
        if made is part:
            yield part

    def gives(part: Part) -> Iterator[Part]:
        yield part
        yield from sync(part) or ()

    make = world.flow.part_processor.part_processor
    if what in ("waits", "one by one"):
        return make(concurrency=1 if what == "one by one" else 3)(waits)
    if what == "told":
        return make(yield_exceptions_as_parts=True)(gives)
    return make({"yields": yields}.get(what, sync))


ERRORS = {"stops": StopIteration, "ends": StopAsyncIteration, "exits": GeneratorExit, "odd": Odd}
FUNCTIONS = (
    *("passes", "drops", "doubles", "fails", "waits", "one by one", "yields", "told"),
    *("derives", "talks", "signals", "names", "text", "rubbish", *ERRORS),
)
functions = st.tuples(
    st.sampled_from(FUNCTIONS), st.integers(1, 4), st.sampled_from((0.0, 0.1, 0.3))
)


def nested(world: World, name: str, inner: list[Any]) -> Any:
    @world.flow.processor.processor  # type: ignore[untyped-decorator]
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async with chain_of(world, inner, f"{name}.").run(stream) as parts:
            async for part in parts:
                world.see_inside(f"{name} {part.text}")
                yield part

    return stage


stages = st.recursive(
    generators.map(lambda does: ("generator", does))
    | functions.map(lambda does: ("function", does)),
    lambda inner: st.lists(inner, min_size=1, max_size=2).map(lambda them: ("nested", them)),
    max_leaves=3,
)


def chain_of(world: World, specs: list[Any], prefix: str = "") -> Any:
    kinds: dict[str, Callable[[World, str, Any], Any]] = {
        "generator": generator,
        "function": function,
        "nested": nested,
    }
    made = [kinds[kind](world, f"{prefix}{at}", does) for at, (kind, does) in enumerate(specs)]
    return world.flow.processor.chain(made)


# -- consumers


async def source(world: World, count: int, every_s: float) -> AsyncIterator[Part]:
    try:
        for n in range(count):
            if every_s and n % 2:
                await asyncio.sleep(every_s)
            world.see_inside(f"pull {n}")
            yield Part(str(n))
    finally:
        world.see_inside("source closes")


async def take(world: World, parts: Any) -> None:
    part = await anext(parts)
    world.see(f"took {part.text or type(part.body).__name__} {part.substream}")


async def act(world: World, parts: Any, action: tuple[str, float]) -> None:
    """One step of a consumer."""
    what, seconds = action
    if what == "takes":
        await take(world, parts)
    elif what == "rests":
        await asyncio.sleep(seconds)
    elif what == "takes in another task":
        task = asyncio.create_task(take(world, parts))
        world.consumers.add(task)
        await task
    elif what == "takes within a limit":
        async with asyncio.timeout(seconds):
            await take(world, parts)
    elif what == "takes twice at once":
        tasks = {asyncio.create_task(take(world, parts)) for _ in range(2)}
        world.consumers.update(tasks)
        await asyncio.wait(tasks)
        for task in sorted(tasks, key=hash):
            world.see(f"{task.cancelled()} {task.cancelled() or str_of(task.exception())}")
    elif what == "sets the context":
        CONTEXT.set("the consumer")
    elif what == "breaks":
        raise Left
    elif what == "fails":
        raise LookupError("the consumer's own")


class Left(Exception): ...


actions = st.tuples(
    st.sampled_from(
        ["takes"] * 4
        + [
            "rests",
            "takes in another task",
            "takes within a limit",
            "takes twice at once",
            "sets the context",
            "breaks",
            "fails",
        ]
    ),
    st.sampled_from((0.0, 0.1, 0.2)),
)


def str_of(error: BaseException | None) -> str:
    """What an error says, with all that it carries."""
    if error is None:
        return "-"
    text = f"{type(error).__name__}({error}) {getattr(error, '__notes__', [])}"
    if isinstance(error, BaseExceptionGroup):
        text += " of " + " and ".join(map(str_of, error.exceptions))
    if isinstance(error.__context__, ValueError | KeyError | OSError | BaseExceptionGroup):
        text += f" after {str_of(error.__context__)}"
    return text


async def program(
    world: World,
    chain: list[Any],
    script: list[Any],
    way: str,
    sizes: tuple[int, float],
    watched: bool,
) -> None:
    world.main = asyncio.current_task()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _, context: world.see(
            f"REPORTED {context['message']}: {str_of(context.get('exception'))}"
        )
    )

    stack = ExitStack()

    async def consume() -> None:
        CONTEXT.set("the consumer")
        world.consumers.add(asyncio.current_task())
        if watched:
            stack.enter_context(world.flow.hooks.observe(world.told))
        parts = chain_of(world, chain)(source(world, *sizes))
        try:
            if way == "block":
                async with parts:
                    for action in script:
                        await act(world, parts, action)
            else:
                for action in script:
                    await act(world, parts, action)
                if way == "closes":
                    await parts.aclose()
                elif way == "exhausts":
                    async for part in parts:
                        world.see(f"took {part.text} {part.substream}")
        finally:
            world.see(f"the consumer's context is {CONTEXT.get()}")

    consumer = asyncio.create_task(consume())
    await asyncio.wait([consumer])
    error = asyncio.CancelledError() if consumer.cancelled() else consumer.exception()
    world.see(f"ended with {str_of(error)}")
    del consumer, error
    await asyncio.sleep(1.0)  # until the loop has forgotten them
    gc.collect()  # the frames of an error may hold the stream
    await asyncio.sleep(5.0)
    left = sorted(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()})
    world.see(f"left {left}")


def play(flow: Any, *args: Any) -> Log:
    world = World(flow)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(program(world, *args))
    return world.log


@settings(
    max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(
    st.lists(stages, min_size=1, max_size=4),
    st.lists(actions, max_size=8),
    st.sampled_from(("block", "closes", "exhausts", "drops")),
    st.tuples(st.sampled_from((0, 1, 5, 300)), st.sampled_from((0.0, 0.1))),
    st.booleans(),
)
def test_both_do_the_same(
    twins: tuple[Any, Any],
    chain: list[Any],
    script: list[Any],
    way: str,
    sizes: tuple[int, float],
    watched: bool,
) -> None:
    """Any chain, under any consumer: the same events, in the same round of the loop."""
    compiled, python = twins
    seen = play(python, chain, script, way, sizes, watched)
    assert play(compiled, chain, script, way, sizes, watched) == seen
    what = [text for _, text in seen]
    assert what[-1] == "left []"
    assert not any("IN THE NAME OF" in text for text in what)
    assert what.count("source closes 0 closes") <= 1
