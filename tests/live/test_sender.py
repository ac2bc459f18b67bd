"""What goes over one connection: in order, at once where it can, and nothing after its end."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from vivace.flow.processor import processor
from vivace.live.gemini_sender import Sender
from vivace.machines.connection import Dial
from vivace.machines.machine import Item
from vivace.machines.outbound import Message, SendText
from vivace.machines.server_message import Sent, Transmit
from vivace.part import Part

pytestmark = pytest.mark.virtual(seeds=20)

JOB = Transmit(Dial())
Play = Callable[["Wire"], Awaitable[None]]


class Wire:
    """A sender, and a connection that takes the texts it is given as they say.

    "wait" waits a second, "hang" for ever, "close" finds the connection closed, "fail" raises.
    """

    def __init__(self) -> None:
        self.sender = Sender()
        self.log: list[str] = []
        self.task: asyncio.Task[None] | None = None
        self.then: dict[str, list[str]] = {}  # what is put as soon as it is told of another

    def put(self, *texts: str) -> None:
        for text in texts:
            self.sender.put(SendText(text))

    def begin(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self.sender.run(self._send, self._tell))

    async def end(self) -> object:
        """How it has ended."""
        assert self.task is not None
        (outcome,) = await asyncio.gather(self.task, return_exceptions=True)
        return outcome

    async def _send(self, message: Message) -> Item | None:
        assert isinstance(message, SendText)
        first = message.text.split()[0]
        self.log.append(f"> {message.text}")
        try:
            match first:
                case "wait":
                    await asyncio.sleep(1.0)
                case "hang":
                    await asyncio.Event().wait()
                case "close":
                    return None
                case "fail":
                    raise LookupError(message.text)
                case _:
                    pass
        except asyncio.CancelledError:
            self.log.append(f"x {message.text}")
            raise
        return Sent(JOB, message)

    def _tell(self, item: Item) -> None:
        assert isinstance(item, Sent)
        assert isinstance(item.message, SendText)
        self.log.append(item.message.text)
        self.put(*self.then.pop(item.message.text, ()))


async def play(script: Play) -> Wire:
    """Run the script where there is a run."""
    wire = Wire()

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        await script(wire)
        if wire.task is not None and not wire.task.done():
            wire.task.cancel()
            await wire.end()
        async for part in stream:
            yield part

    assert [part.text async for part in stage(Part("done"))] == ["done"]
    return wire


async def test_what_can_go_at_once_does() -> None:
    """In the time of whoever puts it, and what was put before it ran, when it runs."""

    async def script(wire: Wire) -> None:
        wire.put("a", "b")
        assert wire.log == []
        wire.begin()
        await asyncio.sleep(0.1)
        assert wire.log == ["> a", "a", "> b", "b"]
        wire.put("c")
        assert wire.log[4:] == ["> c", "c"]

    await play(script)


async def test_what_has_to_wait_holds_up_the_rest() -> None:
    """Order is kept whatever waits, and whoever puts more while he is told."""

    async def script(wire: Wire) -> None:
        wire.then = {"wait 1": ["c", "wait 2"], "a": ["d"]}
        wire.begin()
        await asyncio.sleep(0.1)
        wire.put("a", "wait 1", "b")
        assert wire.log == ["> a", "a", "> d", "d", "> wait 1"]
        await asyncio.sleep(1.1)
        wire.put("e")
        await asyncio.sleep(1.1)

    wire = await play(script)
    told = [line for line in wire.log if line[0] != ">"]
    assert told == ["a", "d", "wait 1", "b", "c", "wait 2", "e"]


@pytest.mark.parametrize("end", ["fail", "close"])
@pytest.mark.parametrize("first", ["a", "wait"])
async def test_an_end_in_the_middle(first: str, end: str) -> None:
    """Nothing is sent after it, or told; the error is whoever's runs it."""

    async def script(wire: Wire) -> None:
        wire.put(first, end, "b")
        wire.begin()
        wire.put("c")
        outcome = await wire.end()
        assert isinstance(outcome, LookupError) if end == "fail" else outcome is None
        wire.put("d")
        await asyncio.sleep(5.0)

    wire = await play(script)
    assert wire.log == [f"> {first}", first, f"> {end}"]


async def test_one_that_is_cancelled_half_way() -> None:
    """What hangs is cancelled with it, and what waits behind it is never begun."""

    async def script(wire: Wire) -> None:
        wire.begin()
        await asyncio.sleep(0.1)
        wire.put("a", "hang", "b")
        await asyncio.sleep(1.0)
        assert wire.task is not None
        wire.task.cancel()
        wire.put("c")
        assert isinstance(await wire.end(), asyncio.CancelledError)
        wire.put("d")
        await asyncio.sleep(5.0)

    wire = await play(script)
    assert wire.log == ["> a", "a", "> hang", "x hang"]


async def test_one_that_is_cancelled_in_the_moment_of_its_end() -> None:
    """Nobody hears of the error any more, also not the loop."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, it: told.append(it))

    async def script(wire: Wire) -> None:
        wire.begin()
        await asyncio.sleep(0.1)
        wire.put("a", "fail", "b")
        assert wire.task is not None
        wire.task.cancel()
        await wire.end()

    wire = await play(script)
    del wire
    gc.collect()
    await asyncio.sleep(0.1)
    assert told == []


async def test_one_that_never_ran_keeps_nobody_alive() -> None:
    """A connection that is gone in the moment it came leaves nothing behind."""
    senders: weakref.WeakKeyDictionary[Transmit, Sender] = weakref.WeakKeyDictionary()
    job = Transmit(Dial())
    senders[job] = Sender()
    senders[job].put(SendText("a"))
    del job
    gc.collect()
    assert len(senders) == 0
