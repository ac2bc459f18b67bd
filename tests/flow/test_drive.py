import asyncio
import contextlib
import gc
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Literal

import pytest

from vivace.audio import AudioFormat
from vivace.errors import FlowError, StageError
from vivace.flow.clock import now, sleep_until
from vivace.flow.drive import drive
from vivace.flow.jobs import Do, Shell
from vivace.flow.processor import Processor, processor
from vivace.flow.run import Run, current_run
from vivace.flow.scope import AbandonedTask
from vivace.machines.machine import (
    Announce,
    Cancel,
    Item,
    Job,
    JobDone,
    JobFailed,
    Machine,
    Output,
    Tell,
)
from vivace.part import (
    Audio,
    Data,
    Held,
    Interrupted,
    Part,
    Resumed,
    Signal,
    TurnComplete,
)

pytestmark = pytest.mark.virtual


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may make asyncio complain."""
    yield
    gc.collect()
    complaints = [it.getMessage() for it in caplog.records if it.levelno >= logging.WARNING]
    assert complaints == []


# -- machines that do as they are told


class Work(Job, frozen=True, eq=False):
    name: str
    seconds: float = 0.0


class Told(Machine):
    """Answers each item as `rules` say; logs all that it is given, with the time."""

    def __init__(self, **rules: Callable[[Any, float], list[Output]]) -> None:
        self.log: list[tuple[float, object]] = []
        self.rules = rules
        self.due: float | None = None
        self.is_full = self.is_supplied = False
        self.is_done = True

    def feed(self, item: Item, now: float) -> list[Output]:
        self.log.append((now, item.text if isinstance(item, Part) else item))
        rule = self.rules.get("part" if isinstance(item, Part) else "other")
        return rule(item, now) if rule else super().feed(item, now)

    def tick(self, now: float) -> list[Output]:
        self.log.append((now, "tick"))
        self.due = None
        rule = self.rules.get("tick")
        return rule(None, now) if rule else []

    def finish(self, now: float) -> list[Output]:
        self.log.append((now, "finish"))
        rule = self.rules.get("finish")
        return rule(None, now) if rule else []

    def deadline(self) -> float | None:
        return self.due

    def full(self) -> bool:
        return self.is_full

    def supplied(self) -> bool:
        return self.is_supplied

    def done(self) -> bool:
        return self.is_done and self.due is None


class Driven(Processor):
    def __init__(self, machine: Machine, do: Do | None = None, **options: Any) -> None:
        self._machine, self._do, self._options = machine, do, options

    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, self._machine, self._do, **self._options)


async def work(job: Job, shell: Shell) -> str:
    assert isinstance(job, Work)
    await asyncio.sleep(job.seconds)
    return f"{job.name} done"


async def script(*lines: tuple[float, Any]) -> AsyncIterator[Any]:
    start = now()
    for at, value in lines:
        await sleep_until(start + at)
        yield value


async def watch(agent: Processor, source: Any) -> list[tuple[float, object]]:
    """What comes out, with its time; texts as such, other bodies as they are."""
    async with agent.run(source) as parts:
        return [(now(), part.body) async for part in parts]


def say(text: str, turn: int = 1, **fields: Any) -> Part:
    return Part(text, role="model", turn=turn, **fields)


def sound(seconds: float) -> Part:
    return Part(Audio(AudioFormat().silence(seconds)))


# -- order


@pytest.mark.virtual(seeds=50)
async def test_parts_pass_in_order() -> None:
    """A machine that does nothing changes nothing."""
    texts = [str(n) for n in range(100)]
    assert [part.text async for part in Driven(Machine())(texts)] == texts


@pytest.mark.virtual(seeds=20)
async def test_outputs_come_in_the_order_the_machine_said() -> None:
    """Several outputs to one item come out in their order, and before those to the next."""

    def three(part: Part, _: float) -> list[Output]:
        return [part.derive(body=f"{part.text}{n}") for n in range(3)]

    seen = [part.text async for part in Driven(Told(part=three), capacity=2)(list("abcd"))]
    assert seen == [f"{letter}{n}" for letter in "abcd" for n in range(3)]


async def test_the_machine_sees_the_end_once() -> None:
    """After the last part the machine is told the end, and what it then says still comes out."""
    machine = Told(finish=lambda _, now: [Part("bye")])
    assert await watch(Driven(machine), script((0.0, "a"), (1.0, "b"))) == [
        (0.0, "a"),
        (1.0, "b"),
        (1.0, "bye"),
    ]
    assert machine.log == [(0.0, "a"), (1.0, "b"), (1.0, "finish")]


# -- announcements


async def test_an_announcement_reaches_the_other_machines_and_the_caller() -> None:
    """Machines before and behind are told at once, not the one who said it; then the caller."""
    first, last = Told(other=lambda *_: []), Told(other=lambda *_: [])
    middle = Told(part=lambda part, _: [Announce(Held(1)), part])
    seen = await watch(Driven(first) + Driven(middle) + Driven(last), ["a"])
    assert seen == [(0.0, Held(1)), (0.0, "a")]
    assert (0.0, Held(1)) in first.log
    assert last.log[0] == (0.0, Held(1))
    assert not any(item == Held(1) for _, item in middle.log)


@pytest.mark.virtual(seeds=20)
async def test_an_answer_to_an_announcement_comes_after_what_was_said_before_it() -> None:
    """A machine that is told something while its outputs are done answers after them."""
    log: list[str] = []

    def asks(part: Part, _: float) -> list[Output]:
        return [Part("1"), Announce(Held(1)), Part("2")]

    def hears(signal: Signal, _: float) -> list[Output]:
        log.append(type(signal).__name__)
        return [Part("answer")]

    def answers(signal: Signal, _: float) -> list[Output]:
        return [Announce(Resumed(1))]

    asker = Told(part=asks, other=hears)
    seen = [part.body async for part in (Driven(Told(other=answers)) + Driven(asker))(["a"])]
    assert log == ["Resumed"]
    assert [body for body in seen if isinstance(body, str)] == ["1", "2", "answer"]
    assert [body for body in seen if not isinstance(body, str)] == [Held(1), Resumed(1)]


async def test_a_machine_that_has_ended_is_told_no_more() -> None:
    """When a stage is over, announcements pass it by."""
    machine = Told()

    @processor
    async def later(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part
        await asyncio.sleep(1.0)
        current_run().bus.announce(Held(1))

    assert await watch(Driven(machine) + later, ["a"]) == [(0.0, "a"), (1.0, Held(1))]
    assert machine.log == [(0.0, "a"), (0.0, "finish")]


# -- time


@pytest.mark.virtual(seeds=20)
async def test_the_machine_is_woken_at_its_very_deadline() -> None:
    """A tick comes at the time that was asked for, and once."""
    machine = Told(tick=lambda _, now: [Part(f"{now}")])

    def wake_me(part: Part, now: float) -> list[Output]:
        machine.due = now + 0.3
        return []

    machine.rules["part"] = wake_me
    assert await watch(Driven(machine), script((0.0, "a"), (1.1, "b"))) == [
        (0.3, "0.3"),
        (1.4, "1.4"),
    ]
    assert [item for _, item in machine.log] == ["a", "tick", "b", "finish", "tick"]


async def test_a_deadline_may_move() -> None:
    """Each item may bring the next tick nearer, put it off, or call it off."""
    machine = Told()

    def move(part: Part, now: float) -> list[Output]:
        machine.due = {"off": None, "near": now + 0.5, "far": now + 10.0}[part.text]
        return []

    machine.rules["part"] = move
    lines = script((0.0, "far"), (1.0, "near"), (1.25, "far"), (2.0, "off"), (20.0, "near"))
    await watch(Driven(machine), lines)
    assert [at for at, item in machine.log if item == "tick"] == [20.5]


async def test_a_deadline_in_the_past_is_due_at_once() -> None:
    """A machine that wants to be woken earlier than now is woken now."""
    machine = Told()

    def move(part: Part, now: float) -> list[Output]:
        machine.due = now - 5.0
        return []

    machine.rules["part"] = move
    await watch(Driven(machine), script((1.0, "a")))
    assert machine.log[0] == (1.0, "a")
    assert sorted(machine.log[1:]) == [(1.0, "finish"), (1.0, "tick")]  # whichever comes first


class Metronome(Machine):
    """A part every 0.1 s, from the first item on, `count` of them."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.due: float | None = None
        self.ticks: list[float] = []

    def feed(self, item: Item, now: float) -> list[Output]:
        self.due = now
        return []

    def tick(self, now: float) -> list[Output]:
        if self.due is None or now < self.due:
            return []
        self.ticks.append(now)
        self.left -= 1
        self.due = round(self.due + 0.1, 9) if self.left else None
        return [Part(str(len(self.ticks)))]

    def deadline(self) -> float | None:
        return self.due


@pytest.mark.virtual(seeds=20)
async def test_ticks_do_not_drift() -> None:
    """A thousand ticks of 0.1 s are each at their exact time."""
    machine = Metronome(1000)
    seen = await watch(Driven(machine), ["go"])
    assert machine.ticks == [at for at, _ in seen] == [round(n * 0.1, 9) for n in range(1000)]


@pytest.mark.virtual(seeds=20)
async def test_time_stands_still_while_the_output_has_no_room() -> None:
    """With two parts in the outbox, the machine is not woken until one is taken."""
    machine = Metronome(10)
    async with Driven(machine, capacity=2).run(["go"]) as parts:
        assert (await anext(parts)).text == "1"
        await asyncio.sleep(5.0)
        assert machine.ticks == [0.0, 0.1, 0.2]  # one taken, and two in the outbox
        assert (await anext(parts)).text == "2"
        assert machine.ticks[3:] == []
        await asyncio.sleep(1.0)
        assert machine.ticks[3:] == [5.0]


# -- backpressure


@pytest.mark.parametrize(("capacity", "read"), [(1, 2), (2, 3), (16, 17)])
@pytest.mark.virtual(seeds=20)
async def test_the_stream_is_read_while_there_is_room(capacity: int, read: int) -> None:
    """One part taken, and as many as the outbox may hold; with one more taken, one more is read."""
    machine = Told()
    async with Driven(machine, capacity=capacity).run([str(n) for n in range(100)]) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
        assert len(machine.log) == read
        await anext(parts)
        await asyncio.sleep(1.0)
        assert len(machine.log) == read + 1


@pytest.mark.virtual(seeds=20)
async def test_the_stream_is_read_while_there_is_room_in_seconds() -> None:
    """With 2 s of media waiting the stream is left alone, however few parts that are."""
    machine = Told()
    source = [sound(1.0) for _ in range(20)]
    async with Driven(machine, capacity=16, media_s=2.0).run(source) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
        assert len(machine.log) == 1 + 2


async def test_a_stage_before_it_that_cancels_itself_is_an_error() -> None:
    """Nobody waits for ever for a stage that was cancelled by nobody outside."""

    @processor
    async def cancels(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield Part("a")
        raise asyncio.CancelledError

    async with (cancels + Driven(Told())).run(None) as parts:
        assert (await anext(parts)).text == "a"
        with pytest.raises(FlowError, match="what Told reads from was cancelled from inside"):
            await anext(parts)


@pytest.mark.virtual(seeds=60)
async def test_nothing_more_is_read_once_the_run_is_closed() -> None:
    """A source that never waits is left alone when the consumer is cancelled."""
    pulled = 0

    async def source() -> AsyncIterator[Part]:
        nonlocal pulled
        while True:
            pulled += 1
            assert pulled < 1000
            yield Part(str(pulled))

    @processor
    async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await asyncio.sleep(0.1)
            yield part

    async def consume() -> None:
        agent = Driven(Told(), capacity=2) + slow + Driven(Told(), capacity=2)
        async with agent.run(source()) as parts:
            async for _ in parts:
                pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize(
    ("role", "supplied", "most"),
    [("model", True, 2), ("model", False, 20), ("user", True, 20)],
)
async def test_who_is_supplied_is_read_by_turns(
    role: Literal["user", "model"], supplied: bool, most: int
) -> None:
    """Where more is not urgent, one part of one stream is read before others have their turn."""
    reads, rounds = 0, [0]

    async def source() -> AsyncIterator[Part]:
        nonlocal reads
        for number in range(20):
            reads += 1
            yield Part(str(number), role=role)

    async def count() -> None:
        while True:
            rounds.append(reads)
            await asyncio.sleep(0)

    async def consume() -> None:
        machine = Told()
        machine.is_supplied = supplied
        async for _ in Driven(machine)(source()):
            pass

    counting = asyncio.create_task(count())
    await asyncio.gather(*(consume() for _ in range(10)))
    counting.cancel()
    # Twice as many if the counting is the first of one round and the last of the next.
    assert most // 2 <= max(b - a for a, b in itertools.pairwise(rounds)) <= most
    assert reads == 200


async def test_a_full_machine_is_fed_nothing_from_the_stream() -> None:
    """While the machine says it is full, nothing is read; announcements and time still come."""
    machine = Told(tick=lambda _, now: open_up())

    def close_down(part: Part, now: float) -> list[Output]:
        machine.is_full = True
        machine.due = now + 1.0
        return [part]

    def open_up() -> list[Output]:
        machine.is_full = False
        return []

    machine.rules["part"] = close_down
    assert await watch(Driven(machine), ["a", "b", "c"]) == [(0.0, "a"), (1.0, "b"), (2.0, "c")]


@pytest.mark.virtual(seeds=20)
async def test_an_interruption_that_makes_room_lets_the_stream_flow() -> None:
    """When what was waiting is purged, reading goes on without the caller taking anything."""
    machine = Told(other=lambda *_: [])
    announce: list[Callable[[], None]] = []

    @processor
    async def source(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        bus = current_run().bus
        announce.append(lambda: bus.announce(Interrupted(1)))
        for n in range(20):
            yield say(str(n))
        yield say("new", turn=2)

    async with (source + Driven(machine, capacity=4)).run(None) as parts:
        assert (await anext(parts)).text == "0"
        await asyncio.sleep(1.0)
        announce[0]()
        await asyncio.sleep(1.0)
        assert machine.log[-1] == (1.0, "finish")
        assert [part.text async for part in parts if part.text] == ["new"]


# -- jobs


def starts(*jobs: Job) -> Callable[[Part, float], list[Output]]:
    return lambda part, now: list(jobs)


def tells(item: Any, now: float) -> list[Output]:
    match item:
        case JobDone(result=result):
            return [Part(str(result))]
        case JobFailed(error=error):
            return [Part(f"failed: {error}")]
    return []


async def test_a_jobs_result_comes_back() -> None:
    """What a job returns is fed as `JobDone`, at the moment it is done."""
    job = Work("a", 0.5)
    machine = Told(part=starts(job), other=tells)
    assert await watch(Driven(machine, work), ["go"]) == [(0.5, "a done")]
    assert machine.log == [(0.0, "go"), (0.0, "finish"), (0.5, JobDone(job, "a done"))]


async def test_jobs_run_side_by_side() -> None:
    """Any number of jobs run at once; each answers when it is done."""
    machine = Told(part=starts(Work("a", 0.5), Work("b", 0.25), Work("c", 0.5)), other=tells)
    seen = await watch(Driven(machine, work), ["go"])
    assert seen[0] == (0.25, "b done")
    assert sorted(map(str, seen[1:])) == ["(0.5, 'a done')", "(0.5, 'c done')"]


async def test_what_a_job_raises_comes_back() -> None:
    """A job that fails is fed as `JobFailed`; the machine decides what that means."""

    async def fail(job: Job, shell: Shell) -> None:
        await asyncio.sleep(0.5)
        raise ValueError("broken")

    machine = Told(part=starts(Work("a")), other=tells)
    assert await watch(Driven(machine, fail), ["go"]) == [(0.5, "failed: broken")]


async def test_a_job_that_is_cancelled_from_inside_has_failed() -> None:
    """By what it awaits, and not by the machine: else that would wait for it forever."""

    async def cancelled(job: Job, shell: Shell) -> None:
        await asyncio.sleep(0.5)
        raise asyncio.CancelledError

    machine = Told(part=starts(Work("a")), other=tells)
    label = Work("a").label
    told = f"failed: {label} was cancelled from inside"
    assert await watch(Driven(machine, cancelled), ["go"]) == [(0.5, told)]


@pytest.mark.virtual(seeds=20)
async def test_a_cancelled_job_answers_nothing() -> None:
    """After `Cancel` no answer comes, also if the job was just done or fails while leaving."""

    async def stubborn(job: Job, shell: Shell) -> str:
        assert isinstance(job, Work)
        try:
            await asyncio.sleep(job.seconds)
        except asyncio.CancelledError:
            if job.name == "fails":
                raise ValueError("while leaving") from None
            if job.name == "returns":
                return "all the same"
            raise
        return "in time"

    for name in ("leaves", "fails", "returns"):
        job = Work(name, 1.0)
        calls_off = {"go": [job], "stop": [Cancel(job), Cancel(job)]}
        machine = Told(part=lambda part, _, does=calls_off: does[part.text], other=tells)  # type: ignore[misc]
        assert await watch(Driven(machine, stubborn), script((0.0, "go"), (0.5, "stop"))) == []
        assert machine.log == [(machine.log[0][0], "go"), (now(), "stop"), (now(), "finish")]


async def test_a_job_that_will_not_die_is_named_and_the_machine_goes_on() -> None:
    """The next parts are handled at once; after 2 s a warning names the job."""
    release = asyncio.Event()

    async def immortal(job: Job, shell: Shell) -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    job = Work("a")

    def react(part: Part, _: float) -> list[Output]:
        return {"go": [job], "stop": [Cancel(job)]}.get(part.text, [part])  # type: ignore[return-value]

    lines = script((0.0, "go"), (1.0, "stop"), (1.0, "on"), (4.0, "and on"), (4.0, "end"))
    agent = Driven(Told(part=react), immortal)
    seen = []

    async def listen() -> None:
        async with agent.run(lines) as parts:
            async for part in parts:
                seen.append((now(), part.text))
                if part.text == "and on":
                    release.set()

    with pytest.warns(AbandonedTask) as warned:
        await listen()
    assert seen == [(1.0, "on"), (4.0, "and on"), (4.0, "end")]
    assert len(warned) == 1
    message = str(warned[0].message)
    assert message.startswith("Work for Told was cancelled and has not stopped in 2 s; the conv")
    assert "immortal" in message


@pytest.mark.virtual(seeds=20)
async def test_a_job_may_send_parts_on_by_itself() -> None:
    """What a job emits goes out in its order, waiting for room; what is stale is dropped."""
    waited: list[float] = []

    async def emits(job: Job, shell: Shell) -> str:
        for n in range(6):
            await shell.emit(say(str(n)))
            waited.append(now())
        return "end"

    machine = Told(part=starts(Work("a")), other=tells)
    async with Driven(machine, emits, capacity=2).run(["go"]) as parts:
        assert (await anext(parts)).text == "0"
        await asyncio.sleep(1.0)
        assert len(waited) == 3  # one taken, and two in the outbox
        rest = [part.text async for part in parts if part.text]
    assert rest == ["1", "2", "3", "4", "5", "end"]
    assert waited[3:] == [1.0, 1.0, 1.0]


async def test_a_job_that_feeds_the_machine_can_wait_for_room() -> None:
    """It goes on while there is room, in parts and in seconds, and then once half has left."""
    limits: list[tuple[dict[str, Any], Part]] = [
        ({"capacity": 4}, say("x")),
        ({"media_s": 0.4}, sound(0.1)),
    ]
    for options, part in limits:
        passed: list[float] = []

        async def feeds(
            job: Job, shell: Shell, part: Part = part, passed: list[float] = passed
        ) -> None:
            for _ in range(6):
                shell.post(part)
                await shell.room()
                passed.append(now())

        machine = Told(part=lambda it, now: [Work("a")] if it.text == "go" else [it])
        start = now()
        async with Driven(machine, feeds, **options).run(["go"]) as parts:
            async for _ in parts:
                await asyncio.sleep(1.0)
        # Whether the consumer has taken one by the time that it is full is nobody's to say.
        times = [round(at - start, 6) for at in passed]
        assert times[:3] == [0.0, 0.0, 0.0]
        assert times in ([0.0, 0.0, 0.0, 1.0, 1.0, 3.0], [0.0, 0.0, 0.0, 2.0, 2.0, 4.0])


@pytest.mark.virtual(seeds=20)
async def test_an_interruption_frees_a_job_that_waits_for_room() -> None:
    """A job blocked in `emit` goes on when its reply becomes void; nothing of it comes out."""

    async def emits(job: Job, shell: Shell) -> str:
        for n in range(10):
            await shell.emit(say(str(n)))
        return "emitted all"

    def react(item: Any, _: float) -> list[Output]:
        return [Announce(Interrupted(1))] if item.text == "stop" else [Work("a")]

    machine = Told(part=react, other=tells)
    seen: list[object] = []
    lines = script((0.0, "go"), (1.0, "stop"))
    async with Driven(machine, emits, capacity=2).run(lines) as parts:
        await anext(parts)
        await asyncio.sleep(2.0)
        seen = [part.body async for part in parts]
    assert machine.log[-1][0] == 1.0
    assert [body for body in seen if isinstance(body, str)] == ["emitted all"]


async def test_a_job_may_post_to_its_machine() -> None:
    """What a job posts is fed to the machine as it is, before the job is done."""

    async def posts(job: Job, shell: Shell) -> None:
        shell.post(3)
        await asyncio.sleep(1.0)

    job = Work("a")
    machine = Told(part=starts(job), other=lambda *_: [])
    await watch(Driven(machine, posts), ["go"])
    assert (machine.log[0], machine.log[-1]) == ((0.0, "go"), (1.0, JobDone(job, None)))
    assert set(machine.log[1:-1]) == {(0.0, "finish"), (0.0, 3)}  # whichever comes first


async def test_cleanup_waits_for_cancelled_jobs_within_a_bound() -> None:
    """A job can wait until those cancelled before it are gone, at most so long."""
    ends: list[tuple[float, str]] = []

    async def tidies(job: Job, shell: Shell) -> None:
        assert isinstance(job, Work)
        await shell.cleanup(0.5)
        ends.append((now(), f"{job.name} begins"))
        try:
            await asyncio.sleep(10.0)
        finally:
            await asyncio.sleep(job.seconds)

    jobs = [Work("quick", 0.25), Work("slow", 1.0), Work("last")]

    def react(part: Part, _: float) -> list[Output]:
        n = int(part.text)
        return [Cancel(jobs[n - 1]), jobs[n]] if n else [jobs[0]]

    lines = script((0.0, "0"), (1.0, "1"), (2.0, "2"), (3.5, "end"))
    machine = Told(part=lambda part, now: [part] if part.text == "end" else react(part, now))
    async with Driven(machine, tidies).run(lines) as parts:
        assert (await anext(parts)).text == "end"
    assert ends == [(0.0, "quick begins"), (1.25, "slow begins"), (2.5, "last begins")]


async def test_cleanup_waits_for_jobs_of_one_kind() -> None:
    """Those of another kind may take as long as they want."""
    began: list[float] = []

    class Errand(Work, frozen=True, eq=False):
        """Another kind."""

    async def tidies(job: Job, shell: Shell) -> None:
        await shell.cleanup(0.5, Errand)
        began.append(now())
        try:
            await asyncio.sleep(10.0)
        finally:
            await asyncio.sleep(0.25)

    jobs = [Work("a"), Errand("b"), Work("c")]

    def react(part: Part, _: float) -> list[Output]:
        n = int(part.text)
        return [Cancel(jobs[n - 1]), jobs[n]] if n else [jobs[0]]

    lines = script((0.0, "0"), (1.0, "1"), (2.0, "2"), (3.5, "end"))
    machine = Told(part=lambda part, now: [part] if part.text == "end" else react(part, now))
    async with Driven(machine, tidies).run(lines) as parts:
        assert (await anext(parts)).text == "end"
    assert began == [0.0, 1.0, 2.25]


async def test_a_job_without_anyone_to_do_it_is_an_error() -> None:
    """A machine with jobs needs a `do`; without one the run fails and says so."""
    with pytest.raises(StageError, match="Told wants a Work done, and has no `do`"):
        await watch(Driven(Told(part=starts(Work("a")))), ["go"])


@pytest.mark.virtual(seeds=20)
async def test_a_job_belongs_to_the_run_whoever_caused_it() -> None:
    """A job begun because of what the caller took, or by a timer, is within the run too."""
    runs: dict[str, Run | str] = {}

    async def asks(job: Job, shell: Shell) -> None:
        assert isinstance(job, Work)
        try:
            runs[job.name] = current_run()
        except Exception as error:
            runs[job.name] = str(error)

    def answer(signal: Signal, now: float) -> list[Output]:
        return [Work("by the caller")] if type(signal).__name__ == "Playing" else []

    machine = Told(
        part=lambda part, _: [Work("by the stream"), part],
        other=answer,
        tick=lambda *_: [Work("by time")],
    )

    async def late() -> AsyncIterator[Part]:
        yield say("a")
        await asyncio.sleep(1.0)
        machine.due = now() + 1.0
        yield say("b")
        await asyncio.sleep(5.0)

    await watch(Driven(machine, asks), late())
    assert set(runs) == {"by the stream", "by the caller", "by time"}
    assert len(set(map(id, runs.values()))) == 1


# -- the end


async def test_it_ends_only_when_all_is_done() -> None:
    """After the input: jobs, deadlines, and the machine's own word are waited for."""
    machine = Told(part=starts(Work("a", 1.0)), other=tells, tick=lambda *_: [Part("ticked")])
    machine.due = 2.5
    machine.is_done = False

    async def waits(job: Job, shell: Shell) -> object:
        return await work(job, shell)

    def finally_done(_: Any, now: float) -> list[Output]:
        machine.is_done = True
        return [Part("ticked")]

    machine.rules["tick"] = finally_done
    assert await watch(Driven(machine, waits), ["go"]) == [(1.0, "a done"), (2.5, "ticked")]
    assert now() == 2.5


async def test_a_job_begun_at_the_end_is_waited_for() -> None:
    """`finish` may start a job, and its result still comes out."""
    machine = Told(finish=starts(Work("last", 1.0)), other=tells)
    assert await watch(Driven(machine, work), None) == [(1.0, "last done")]


@pytest.mark.parametrize("where", ["part", "tick", "finish", "other"])
@pytest.mark.virtual(seeds=20)
async def test_a_machine_that_raises_ends_the_run(where: str) -> None:
    """Wherever it raises: what it said before comes out, then the error, with its stage's path."""

    def fail(item: Any, now: float) -> list[Output]:
        raise ValueError("broken")

    machine = Told(**{where: fail})
    if where == "tick":
        machine.due = 1.0
    announcer = Told(part=lambda part, _: [part, Announce(Held(1))])
    agent = Driven(machine) + Driven(announcer) if where == "other" else Driven(machine)
    seen = []
    error = None
    try:
        async for part in agent(script((0.0, "a"), (2.0, "b"))):
            seen += [part.text] if part.text else []
    except ValueError as raised:
        error = raised
    assert error is not None
    assert error.__notes__ == ["in agent[0].driven" if where == "other" else "in driven"]
    assert seen[:1] == ([] if where == "part" else ["a"])


async def test_an_output_of_no_known_kind_is_an_error() -> None:
    """A machine that returns a bare signal, say, is told so; nothing is dropped silently."""
    machine = Told(part=lambda *_: [Held(1)])
    with pytest.raises((AssertionError, StageError, TypeError), match="Held"):
        await watch(Driven(machine), ["a"])


async def test_a_machine_that_raised_is_left_alone() -> None:
    """After its error a machine is fed nothing more, even if the source never pauses."""
    fed: list[str] = []

    def fail(part: Part, now: float) -> list[Output]:
        fed.append(part.text)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await watch(Driven(Told(part=fail)), [str(n) for n in range(1000)])
    assert fed == ["0"]


async def test_an_error_of_the_source_comes_through() -> None:
    """What was read before the error still comes out; then the error."""

    async def unplugged() -> AsyncIterator[Part]:
        yield Part("a")
        raise OSError("unplugged")

    seen = []
    error = None
    try:
        async for part in Driven(Told())(unplugged()):
            seen.append(part.text)
    except OSError as raised:
        error = raised
    assert seen == ["a"]
    assert error is not None
    assert error.__notes__ == ["in source"]


@pytest.mark.virtual(seeds=20)
async def test_leaving_while_a_job_runs_stops_it() -> None:
    """When the caller leaves, jobs are cancelled, timers stopped and the machine is left alone."""
    ends: list[str] = []

    async def waits(job: Job, shell: Shell) -> None:
        try:
            await asyncio.sleep(100.0)
        finally:
            ends.append("cleaned up")

    machine = Told(part=lambda part, _: [Work("a"), part], other=tells)
    machine.due = 50.0
    async with Driven(machine, waits).run(script((0.0, "a"), (100.0, "b"))) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
    assert now() == 1.0
    assert ends == ["cleaned up"]
    await asyncio.sleep(100.0)
    assert machine.log == [(0.0, "a")]


@pytest.mark.virtual(seeds=20)
async def test_a_job_that_answers_while_it_is_stopped_starts_nothing_new() -> None:
    """A machine whose run is over is fed nothing, so no job outlives the run."""
    begun: list[str] = []

    async def stubborn(job: Job, shell: Shell) -> str:
        assert isinstance(job, Work)
        begun.append(job.name)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(100.0)
        return "gave up"

    machine = Told(part=lambda part, _: [Work("first"), part], other=lambda *_: [Work("second")])
    async with Driven(machine, stubborn).run(script((0.0, "a"), (100.0, "b"))) as parts:
        await anext(parts)
        await asyncio.sleep(1.0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)
    assert not left
    assert begun == ["first"]


@pytest.mark.virtual(seeds=20)
async def test_leaving_with_a_cancelled_job_still_at_work_names_it_once() -> None:
    """A job that would not die before the caller left is named, once."""
    release = asyncio.Event()

    async def immortal(job: Job, shell: Shell) -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    job = Work("a")
    machine = Told(part=lambda part, _: {"go": [job], "stop": [Cancel(job), part]}[part.text])

    async def leave_at_once() -> None:
        async with Driven(machine, immortal).run(script((0.0, "go"), (1.0, "stop"))) as parts:
            await anext(parts)
        await asyncio.sleep(5.0)

    with pytest.warns(AbandonedTask) as warned:
        await leave_at_once()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    release.set()
    await asyncio.wait(left)
    assert len([it for it in warned if "Work for Told" in str(it.message)]) == 1


# -- what must not be heard


async def test_parts_of_a_void_reply_are_refused() -> None:
    """After an interruption the machine may say what it likes of the old reply: it is dropped."""

    def speaks(part: Part, _: float) -> list[Output]:
        return [
            say("old 1"),
            Announce(Interrupted(1)),
            say("old 2"),
            Part(TurnComplete(1), role="model", turn=1),
            Part.call("order", id="1", turn=1),
            say("aside", substream="status"),
            say("new", turn=2),
        ]

    async def emits(job: Job, shell: Shell) -> None:
        await shell.emit(say("old 3"))
        await shell.emit(say("new 2", turn=2))

    machine = Told(part=speaks, other=lambda *_: [], finish=starts(Work("a")))
    bodies = [body for _, body in await watch(Driven(machine, emits), ["go"])]
    texts = [body for body in bodies if isinstance(body, str)]
    assert texts == ["aside", "new", "new 2"]
    assert [type(it).__name__ for it in bodies if not isinstance(it, str)] == [
        "Interrupted",
        "Call",
        "Playing",
    ]


@pytest.mark.virtual(seeds=20)
async def test_an_interruption_empties_every_stage() -> None:
    """What waits between driven stages goes too, wherever the interruption was said."""
    announce: list[Callable[[], None]] = []

    @processor
    async def source(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        bus = current_run().bus
        announce.append(lambda: bus.announce(Interrupted(1)))
        for n in range(12):
            yield say(str(n))
        await asyncio.sleep(5.0)
        yield say("new", turn=2)

    quiet = [Driven(Told(other=lambda *_: []), capacity=3) for _ in range(3)]
    async with (source + quiet[0] + quiet[1] + quiet[2]).run(None) as parts:
        assert (await anext(parts)).text == "0"
        await asyncio.sleep(1.0)
        announce[0]()
        rest = [part.text async for part in parts if part.text]
    assert rest == ["new"]


@pytest.mark.virtual(seeds=20)
async def test_what_a_machine_says_aside_does_not_wait() -> None:
    """A machine's status is with the caller at once, past media that waits for a later stage."""

    @processor
    async def busy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await asyncio.sleep(5.0)
            yield part

    def tell(part: Part, _: float) -> list[Output]:
        return [part, Part(Data({"got": part.text}), substream="status")]

    seen = await watch(Driven(Told(part=tell)) + busy, script((0.0, "a"), (1.0, "b")))
    status = [at for at, body in seen if isinstance(body, Data)]
    assert status == [0.0, 1.0]


@pytest.mark.virtual(seeds=20)
async def test_a_machine_that_says_much_aside_waits_and_goes_on() -> None:
    """With 64 asides waiting the stream is left alone; when they are taken it is read again."""
    machine = Told(part=lambda part, _: [part.derive(substream="debug")])
    async with Driven(machine).run([str(n) for n in range(1000)]) as parts:
        first = (await anext(parts)).text
        await asyncio.sleep(1.0)
        assert len(machine.log) in (64, 65)
        seen = [first] + [part.text async for part in parts]
    assert seen == [str(n) for n in range(1000)]


@pytest.mark.virtual(seeds=20)
async def test_a_job_may_say_things_aside() -> None:
    """What a job emits on a side lane does not wait for its own media, and has a bound too."""
    emitted: list[int] = []

    async def emits(job: Job, shell: Shell) -> None:
        for n in range(200):
            await shell.emit(say(str(n), substream="status"))
            emitted.append(n)

    async with Driven(Told(part=starts(Work("a"))), emits).run(["go"]) as parts:
        first = (await anext(parts)).text
        await asyncio.sleep(1.0)
        assert len(emitted) in (64, 65)
        seen = [first] + [part.text async for part in parts]
    assert seen == [str(n) for n in range(200)]


@pytest.mark.virtual(seeds=20)
async def test_a_machine_that_reads_on_hears_the_user_while_its_jobs_wait() -> None:
    """With its own audio waiting for room, what comes in is heard all the same."""

    async def emits(job: Job, shell: Shell) -> None:
        for _ in range(10):
            await shell.emit(Part(Audio(AudioFormat().silence(1.0)), role="model", turn=1))

    machine = Told(
        part=lambda part, _: [Work("a")] if part.text == "go" else [Announce(Interrupted(1))],
        other=lambda *_: [],
    )
    lines = script((0.0, "go"), (5.0, "stop"))
    async with Driven(machine, emits, read_on=True).run(lines) as parts:
        await anext(parts)
        await asyncio.sleep(10.0)
        assert (5.0, "stop") in machine.log
        rest = [part.body async for part in parts]
    assert not [body for body in rest if isinstance(body, Audio)]


async def test_many_runs_of_one_stage_at_once() -> None:
    """Each run has a machine and a timer of its own."""

    class Fresh(Processor):
        def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            return drive(stream, Metronome(10))

    agent = Fresh()

    async def one(delay: float) -> Sequence[float]:
        await asyncio.sleep(delay)
        start = now()
        return [round(at - start, 6) for at, _ in await watch(agent, ["go"])]

    tasks = [asyncio.create_task(one(n / 64)) for n in range(50)]
    await asyncio.wait(tasks)
    assert all(task.result() == [round(n * 0.1, 6) for n in range(10)] for task in tasks)


async def test_time_stands_still_for_a_machine_whose_run_is_being_closed() -> None:
    """While another stage takes its time to close, the machine is not woken any more."""
    machine = Told()
    machine.due = 0.75

    @processor
    async def slow_to_close(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        try:
            async for part in stream:
                yield part
        finally:
            await asyncio.sleep(0.4)

    async with (Driven(machine) + slow_to_close).run(["a", "b", "c", "d"]) as parts:
        await anext(parts)
        await asyncio.sleep(0.5)
    assert now() == 0.9
    assert (0.75, "tick") not in machine.log


class Decider(Machine):
    """Decides who may speak."""

    decides = "floor"


async def test_what_a_machine_decides_is_known_before_any_part_flows() -> None:
    """The whole run knows it, wherever the stage stands."""
    seen: list[set[str]] = []

    @processor
    async def early(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        seen.append(set(current_run().bus.decided))
        async for part in stream:
            yield part

    for machine in (Decider(), Machine()):
        async for _ in (early + Driven(machine))([Part("a")]):
            pass
    assert seen == [{"floor"}, set()]


class Hoard(Machine):
    """Takes all there is, and gives nothing."""

    def feed(self, item: Item, now: float) -> list[Output]:
        return []


async def test_a_source_that_never_waits_lets_others_have_their_turn() -> None:
    """Whoever is ready runs before the next part is read."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while turns < 100:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(other())
        async for _ in Driven(Hoard())([Part("a")] * 20):
            pass
        seen = turns
    assert seen >= 19


async def test_a_job_is_told_what_the_machine_tells_it() -> None:
    """In order, from the moment when it was begun."""

    class Work(Job, frozen=True, eq=False):
        pass

    work, told = Work(), []

    class Tells(Machine):
        def feed(self, item: Item, now: float) -> list[Output]:
            return [work, Tell(work, "one"), Tell(work, "two")] if isinstance(item, Part) else []

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async def do(job: Job, shell: Shell) -> None:
            told.append("begun")

        def tell(job: Job, item: object) -> None:
            assert job is work
            told.append(str(item))

        async for part in drive(stream, Tells(), do, told=tell):
            yield part

    assert [part async for part in stage(["a"])] == []
    assert sorted(told) == ["begun", "one", "two"]
    assert told.index("one") < told.index("two")
