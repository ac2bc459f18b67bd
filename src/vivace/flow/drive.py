"""The shell around a machine: feeds it, wakes it, and does what it says.

This file owns the order of things for a driven stage. The machine is fed from four sides: the
stream, announcements of other stages, the results of its jobs, and time. What it wants done is done
in the order it said so. The stream is read only while there is room for what may come of it, and
time passes for the machine only while its output has room: so a slow consumer stops a pacer, not
the other way round.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeAlias

import msgspec

from vivace.errors import FlowError, StageError
from vivace.flow.channel import Channel
from vivace.flow.clock import now
from vivace.flow.eager import noticing
from vivace.flow.hop import Meter
from vivace.flow.jobs import Do, Jobs
from vivace.flow.run import Run, current_run
from vivace.flow.turns import Turns
from vivace.flow.wire import Wire
from vivace.machines.heard_clock import HeardClock
from vivace.machines.machine import (
    Announce,
    Cancel,
    Item,
    Job,
    Machine,
    Output,
    Tell,
)
from vivace.machines.pressure import PressureChanged
from vivace.part import Audio, Part, Signal, is_side_lane

__all__ = ["Told", "drive"]

Told: TypeAlias = Callable[[Job, object], None]
"""Gets what the machine tells a job that is under way, or has just been begun; must not wait."""


def drive(
    stream: AsyncIterator[Part],
    machine: Machine,
    do: Do | None = None,
    *,
    told: Told | None = None,
    capacity: int = 16,
    media_s: float = 2.0,
    read_ahead: int | None = None,
    read_on: bool = False,
) -> AsyncIterator[Part]:
    """Run `machine` over `stream`; for use as (the last line of) a processor's `call`.

    do: does the machine's jobs, any number at once; the machine decides how many.
    told: gets what the machine tells its jobs.
    capacity: parts that may wait for whoever reads this stage before time stops for the machine.
    media_s: seconds of audio likewise. read_ahead: parts that may wait before the stream is left
        alone; `capacity` unless given.
    read_on: read the stream also while so much audio waits, for a machine whose audio is made by
        its jobs, and which must hear the user meanwhile.
    """
    run = current_run()
    run.own(stream, f"the input of {type(machine).__name__}")
    if machine.decides:
        run.bus.decided.add(machine.decides)
    outbox = Channel[Part](capacity, seconds=media_s, weigh=_seconds)
    shell = _Shell(run, machine, do, told, outbox, _Limits(read_ahead or capacity, read_on))
    driven = _drive(stream, shell)
    run.wires.add(driven, shell.wire)
    return driven


class _Limits(msgspec.Struct, frozen=True):
    read_ahead: int
    read_on: bool


async def _drive(stream: AsyncIterator[Part], shell: _Shell) -> AsyncIterator[Part]:
    outbox = shell.outbox
    shell.start(stream)
    try:
        while await outbox.more():
            await shell.wire.room()
            for part in outbox.take_waiting():
                shell.taken()
                yield part
    finally:
        shell.stop()


def _seconds(part: Part) -> float:  # not `part.seconds`: this is what each part costs
    return part.body.seconds if isinstance(part.body, Audio) else 0.0


class _Shell:
    def __init__(
        self,
        run: Run,
        machine: Machine,
        do: Do | None,
        told: Told | None,
        outbox: Channel[Part],
        limits: _Limits,
    ) -> None:
        self.bus = run.bus
        self.outbox = outbox
        self._run = run
        self._machine = machine
        self._name = type(machine).__name__
        self._told = told
        self._limits = limits
        self._outputs: deque[Output] = deque()
        self._acting = False
        self._over = False  # stopped or failed: the machine is left alone
        self._jobs = Jobs(run, self._name, do, self)
        self.wire = Wire()
        self._asks = False  # the stage before for a part
        self._timer: asyncio.TimerHandle | None = None
        self._ready = asyncio.Event()
        self._turns = Turns.here()
        self._stands_still = False  # no time passes for the machine
        self._held_up = False  # the stream is left alone until it is set
        self._input_ended = False
        self._clock = HeardClock()
        self._unsubscribe: Callable[[], None] | None = None
        self._feeder: list[asyncio.Task[object]] = []

    # -- beginning and end --------------------------------------------------------------------

    def start(self, stream: AsyncIterator[Part]) -> None:
        self.bus.register(self.outbox)
        self.bus.subscribe(self.heard)
        if self._run.pressure:
            on_change = self._run.pressure.on_change
            self._unsubscribe = on_change(lambda level: self.post(PressureChanged(level)))
        self._feeder.append(self._run.start(self._read(stream), f"feed {self._name}"))
        self._arm()  # a machine may have something to do before anything comes

    def stop(self) -> None:
        self._over = True
        self.bus.unsubscribe(self.heard)
        if self._unsubscribe:
            self._unsubscribe()
        self.outbox.close()
        self._stop_timer()
        self._jobs.stop()
        for task in self._feeder:
            task.cancel()

    def fail(self, error: Exception) -> None:
        self._over = True
        self._stop_timer()
        self.outbox.close(error)

    # -- the four sides that feed -------------------------------------------------------------

    async def _read(self, stream: AsyncIterator[Part]) -> None:
        try:
            reader = aiter(stream)
            await self._turns.mine()  # many may begin at the same time
            if (wire := self._run.wires.of(stream)) is not None:
                wire.reader = self
            while True:
                self._asks = True
                try:
                    part, waited = await noticing(anext(reader))
                except StopAsyncIteration:
                    break
                finally:
                    self._asks = False
                if self._run.pressure and part.at is not None:
                    self._weigh(part, part.at)
                self.post(part)
                if not self.may_read():
                    await self.until_it_may_read()
                if not self._run.side.has_room():
                    await self._run.side.wait_for_room()
                if not waited:
                    await self._let_others(part)
                if self._over or self._run.closing:
                    return
            self._input_ended = True
            self._act(self._machine.finish(now()))
        except asyncio.CancelledError:
            if not (self._over or self._run.closing):
                text = f"what {self._name} reads from was cancelled from inside"
                self.fail(FlowError(text))
            raise
        except Exception as error:
            self.fail(error)

    def takes(self, part: Part, meter: Meter | None) -> bool:
        """Take `part` now, from the stage before; False if it has to wait."""
        run = self._run
        if not self._asks or self._over or run.closing or not self.may_read():
            return False
        # What is announced overtakes what is sent: first all have heard of it.
        if self.bus.announcing or not run.side.has_room() or type(part) is not Part:
            return False
        if meter is not None:
            meter.crossed(part)
        if run.pressure and part.at is not None:
            self._weigh(part, part.at)
        self.post(part)
        return True

    async def until_it_may_read(self) -> None:
        """Return once there is room for what may come of a part."""
        self._held_up = True
        try:
            while not self._over and not self.may_read():
                self._ready.clear()
                await self._ready.wait()
        finally:
            self._held_up = False

    def _weigh(self, part: Part, at: float) -> None:
        """How long has the user's sound waited on its way to this stage?"""
        if part.role == "user" and isinstance(part.body, Audio) and self._run.pressure:
            waited_s = self._clock.hear(part.seconds, at, now())
            self._run.pressure.queued(waited_s, part.seconds)

    async def _let_others(self, part: Part) -> None:
        """A source that never waits is not all there is; less so if more of it is not urgent."""
        if part.role != "user" and self._machine.supplied():
            await self._turns.mine()
        else:
            await asyncio.sleep(0)

    def post(self, item: Item) -> None:
        """Feed the machine, and do what comes of it."""
        if self._over or self._run.closing:
            return
        try:
            self._act(self._machine.feed(item, now()))
        except Exception as error:
            self.fail(error)

    def heard(self, signal: Signal) -> None:
        """Another stage announced something."""
        self.post(signal)

    def _tick(self) -> None:
        self._timer = None
        if self._over or self._run.closing:
            return
        try:
            self._act(self._machine.tick(now()))
        except Exception as error:
            self.fail(error)

    def taken(self) -> None:
        """Something has left the outbox: time may pass and the stream may be read again."""
        if self._stands_still or self._held_up:
            self._wake()

    def _wake(self) -> None:
        self._arm()
        if self._held_up and self.may_read():
            self._ready.set()

    def may_read(self) -> bool:
        """True if there is room for what may come of a part."""
        return (
            not self._machine.full()
            and self.outbox.has_room_for(self._limits.read_ahead)
            and (self._limits.read_on or self.outbox.has_room_for_media())
        )

    # -- doing what it says -------------------------------------------------------------------

    def _act(self, outputs: Sequence[Output]) -> None:
        if self._acting:  # an announcement came back while acting: its turn comes after
            self._outputs.extend(outputs)
            return
        self._acting = True
        try:
            if len(outputs) == 1 and isinstance(outputs[0], Part):  # most often
                self._send(outputs[0])
            else:
                self._outputs.extend(outputs)
            while self._outputs and not self._over:
                self._act_on(self._outputs.popleft())
        finally:
            self._acting = False
        self._acted()

    def _acted(self) -> None:
        if self._input_ended and not self._jobs and self._machine.done():
            self.outbox.close()
        self._wake()

    def _act_on(self, output: Output) -> None:
        match output:
            case Part():
                self._send(output)
            case Announce():
                self.bus.announce(output.signal, self.heard)
            case Cancel():
                self._jobs.cancel(output.job)
            case Tell() if self._told is not None:
                self._told(output.job, output.item)
            case Job():
                self._jobs.begin(output)
            case _:
                raise StageError(f"{self._name} wants {output!r} done; see machines/machine.py")

    def _send(self, part: Part) -> None:
        if part.substream and is_side_lane(part.substream):
            self._run.say(part)
        elif not self.bus.fence.stale(part) and not self.outbox.closed:
            reader = self.wire.reader
            if reader is None or not (self.outbox.empty() and reader.takes(part, self.wire.meter)):
                self.outbox.send_nowait(part)

    def _arm(self) -> None:
        # Who reads on decides about the user: time passes for it also while jobs wait for room.
        passes = self._limits.read_on or self.outbox.has_room()
        self._stands_still = not passes
        due = self._machine.deadline() if passes and not self._over else None
        if self._timer is not None and self._timer.when() == due:
            return
        self._stop_timer()
        if due is not None and not self.outbox.closed:
            self._timer = asyncio.get_running_loop().call_at(due, self._tick)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- for its jobs -------------------------------------------------------------------------

    async def cleanup(self, within_s: float, kind: type[Job] = Job) -> None:
        """Wait for the jobs of this kind that were cancelled, at most `within_s` seconds."""
        await self._jobs.cleanup(within_s, kind)

    async def room(self) -> None:
        """Return once there is room for what the machine makes of what it is fed."""
        if not (self.outbox.has_room() and self.outbox.has_room_for_media()):
            await self.outbox.wait_until_low()

    async def emit(self, part: Part) -> None:
        """Send a part on, waiting for room; a part of a void reply is dropped."""
        if part.substream and is_side_lane(part.substream):
            await self._run.side.wait_for_room()
            self._run.say(part)
        elif not self.bus.fence.stale(part):
            await self.outbox.send(part)
