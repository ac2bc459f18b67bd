"""The short way between two driven stages: nobody can tell, but by the task in which it happens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.flow.test_drive import Driven, Told, say, script, sound, watch
from vivace.flow.bus import Bus
from vivace.flow.clock import now
from vivace.flow.hooks import observe
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import processor
from vivace.flow.records import StageFinished
from vivace.flow.run import current_run
from vivace.machines.machine import Announce, Output
from vivace.part import Audio, Held, Interrupted, Part, Signal

pytestmark = pytest.mark.virtual


def whose() -> str:
    """The name of the task that runs."""
    task = asyncio.current_task()
    return task.get_name() if task else "timer"


class Noting(Told):
    """Passes parts on, and notes in whose time it was given each."""

    def __init__(self, **rules: Callable[[Any, float], list[Output]]) -> None:
        super().__init__(**rules)
        self.times: list[str] = []

    def feed(self, item: Any, now: float) -> list[Output]:
        if isinstance(item, Part):
            self.times.append(whose())
        return super().feed(item, now)


class First(Told):
    """So that its task has a name of its own."""


class Second(Noting):
    """Likewise."""


async def test_a_part_goes_through_all_of_them_at_once() -> None:
    """The second and the third have it in the time of the first, who had to wait for it."""
    second, third = Second(), Second()
    agent = Driven(First()) + Driven(second) + Driven(third)
    seen = await watch(agent, script((0.1, "a"), (0.2, "b"), (0.3, "c")))
    assert seen == [(0.1, "a"), (0.2, "b"), (0.3, "c")]
    assert second.times == third.times == ["feed First"] * 3


async def test_a_tick_hands_over_as_well() -> None:
    """Whatever makes it send a part."""
    first, second = First(part=lambda _, __: []), Second()
    first.due, first.rules["tick"] = 0.15, lambda _, __: [Part("tick")]
    seen = await watch(Driven(first) + Driven(second), script((0.1, "a"), (0.2, "b")))
    assert seen == [(0.15, "tick")]
    assert second.times == ["timer"]


@pytest.mark.virtual(seeds=50)
async def test_what_stands_between_them_sees_each_part() -> None:
    """A function of one part or a generator between two stages has the parts first."""

    @part_processor
    def louder(part: Part) -> Part:
        return part.derive(body=part.text.upper())

    @processor
    async def twice(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
            yield part

    lines = script((0.1, "a"), (0.2, "b"))
    seen = await watch(Driven(First()) + louder + Driven(Second()) + twice, lines)
    assert [text for _, text in seen] == ["A", "A", "B", "B"]
    second = Second()
    seen = await watch(Driven(First()) + twice + louder + Driven(second), script((0.1, "a")))
    assert [text for _, text in seen] == ["A", "A"]
    assert set(second.times) == {"feed Second"}


@pytest.mark.virtual(seeds=50)
async def test_a_full_stage_is_given_nothing() -> None:
    """What was handed over may fill it: then all waits before it, where it can be purged."""
    second = Second()

    def fill(part: Part, _: float) -> list[Output]:
        second.is_full = part.turn in (1, 4)
        return [part]

    second.rules["part"] = fill
    lines = [(0.1 * n, say(str(n), turn=n)) for n in range(1, 6)]
    seen: list[tuple[float, str]] = []
    async with (Driven(First()) + Driven(second)).run(script(*lines, (3.0, "end"))) as parts:
        async for part in parts:
            seen += [(round(now(), 6), part.text)] if part.text else []
            if part.text == "1":
                asyncio.get_running_loop().call_at(1.0, _void, parts, second, 3)
            elif part.text == "4":
                asyncio.get_running_loop().call_at(2.0, _void, parts, second, 0)
    assert seen == [(0.1, "1"), (1.0, "4"), (2.0, "5"), (3.0, "end")]


def _void(parts: Any, machine: Told, turn: int) -> None:
    machine.is_full = False
    bus: Bus = parts._run.bus
    bus.announce(Interrupted(turn) if turn else Held(0))


async def test_who_reads_slowly_stops_the_source() -> None:
    """As many parts wait as may, in each stage, and no more."""
    taken = 0

    async def source() -> AsyncIterator[str]:
        nonlocal taken
        for n in range(100):
            taken = n
            await asyncio.sleep(0.01)
            yield str(n)

    agent = Driven(First(), capacity=4) + Driven(Second(), capacity=4)
    async with agent.run(source()) as parts:
        seen = [(await anext(parts)).text]
        await asyncio.sleep(1.0)
        waiting = taken
        seen += [part.text async for part in parts]
    assert seen == [str(n) for n in range(100)]
    assert waiting == 8  # four in each; the first is being heard


async def test_an_announcement_reaches_all_before_what_is_sent_because_of_it() -> None:
    """It overtakes whatever is sent, as it does where parts wait."""
    first, second = First(), Second()
    first.rules["other"] = lambda item, _: [Part("because")] if isinstance(item, Held) else []
    third = Told(part=lambda part, _: [Announce(Held(1)), part] if part.text == "go" else [part])
    agent = Driven(first) + Driven(second) + Driven(third)
    await watch(agent, script((0.1, "go"), (0.2, "on")))
    assert second.log == [
        (0.1, "go"), (0.1, Held(1)), (0.1, "because"), (0.2, "on"), (0.2, "finish"),
    ]  # fmt: skip


async def test_an_announcement_comes_back_after_what_was_being_done() -> None:
    """The first stage hears of it once it has sent all that it had to send."""
    first, second = First(), Second()
    first.rules["part"] = lambda part, _: [part, Part("more")]
    first.rules["other"] = lambda item, _: [Part("heard")] if isinstance(item, Signal) else []
    second.rules["part"] = lambda part, _: [part, Announce(Held(1))] if part.text == "a" else [part]
    seen = await watch(Driven(first) + Driven(second), script((0.1, "a"), (0.2, "b")))
    texts = [body for _, body in seen if isinstance(body, str)]
    assert texts == ["a", "more", "heard", "b", "more"]


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_an_error_is_of_the_stage_that_raised_it(at: int) -> None:
    """Also if it was raised in the time of another one."""

    def fail(part: Part, _: float) -> list[Output]:
        assert part.text == "a", "it fails at the second"
        return [part]

    machines = [First(), Second(), Noting()]
    machines[at].rules["part"] = fail
    agent = Driven(machines[0]) + Driven(machines[1]) + Driven(machines[2])
    with pytest.raises(AssertionError, match="it fails") as caught:
        await watch(agent, script((0.1, "a"), (0.2, "b"), (0.3, "c")))
    assert caught.value.__notes__[0] == f"in agent[{at}].driven"


async def test_leaving_in_the_middle_ends_all_of_them() -> None:
    """Nothing is handed to a stage that is being closed."""
    second = Second()
    agent = Driven(First()) + Driven(second) + Driven(Noting())
    async with agent.run(script((0.1, "a"), (0.2, "b"))) as parts:
        async for part in parts:
            assert part.text == "a"
            break
    await asyncio.sleep(1.0)
    assert second.log == [(0.1, "a")]


@pytest.mark.virtual(seeds=50)
async def test_who_watches_sees_what_passes() -> None:
    """Parts, bytes and times are those that they are where parts wait for a task."""
    second = Second()

    def fill(part: Part, at: float) -> list[Output]:
        second.is_full = 0.25 < at < 0.35
        second.due = 0.5 if second.is_full else None
        return [part]

    def empty(_: None, __: float) -> list[Output]:
        second.is_full = False
        return []

    second.rules |= {"part": fill, "tick": empty}
    counts: dict[str, Any] = {}

    def hook(record: object) -> None:
        if isinstance(record, StageFinished):
            counts[record.stage.path] = record.counts

    with observe(hook):
        lines = [(0.1 * n, sound(0.01)) for n in range(1, 5)]
        seen = await watch(Driven(First()) + Driven(second), script(*lines))
    assert [at for at, body in seen if isinstance(body, Audio)] == [0.1, 0.2, 0.3, 0.5]
    first, last = counts["agent[0].driven"], counts["agent[1].driven"]
    assert (first.parts_out, first.bytes_out) == (4, 4 * 320)
    assert (last.parts_in, last.parts_out) == (4, 4)
    # It waits until 0.4 s for the fourth part, which then waits for it until 0.5 s.
    assert round(last.waited_for_input_s, 6) == 0.4
    assert round(first.waited_for_room_s, 6) == 0.1


async def test_a_wire_is_kept_by_nobody_after_the_run() -> None:
    """One run's stages never hand anything to those of another."""
    second = Second()
    agent = Driven(First()) + Driven(second)

    @processor
    async def run_of(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        assert current_run().wires.of(stream) is None
        async for part in stream:
            yield part

    for _ in range(3):
        seen = await watch(run_of + agent, script((0.1, "a")))
        assert [text for _, text in seen] == ["a"]
    assert second.times == ["feed First"] * 3
