"""Who could go on without waiting takes turns with all who could."""

import asyncio
import gc
import itertools
import weakref

import pytest

from vivace.flow.turns import Turns


async def rounds_until(tasks: list[asyncio.Task[None]]) -> list[int]:
    """After how many rounds of the loop each has ended."""
    ended = [0] * len(tasks)
    for count in range(1, 100):
        await asyncio.sleep(0)
        for index, task in enumerate(tasks):
            if task.done() and not ended[index]:
                ended[index] = count
        if all(ended):
            return ended
    raise AssertionError(f"some never had their turn: {ended}")


@pytest.mark.virtual(seed=None)
async def test_one_goes_on_a_round() -> None:
    """Of ten that ask in the same round, one goes on in each that follows, in their order."""
    ended = await rounds_until([asyncio.create_task(Turns.here().mine()) for _ in range(10)])
    assert ended == sorted(ended)
    assert [after - before for before, after in itertools.pairwise(ended)][2:] == [1] * 7


async def test_each_has_its_turn_whatever_the_order() -> None:
    """Nobody is forgotten, and a second asking waits for all who asked before."""
    order: list[int] = []

    async def ask(number: int) -> None:
        for _ in range(3):
            await Turns.here().mine()
            order.append(number)

    await asyncio.gather(*(ask(number) for number in range(5)))
    assert [sorted(order[start : start + 5]) for start in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3


async def test_a_turn_given_up_is_the_next_ones() -> None:
    """Who is cancelled while waiting holds nobody up."""
    tasks = [asyncio.create_task(Turns.here().mine()) for _ in range(9)]
    await asyncio.sleep(0)
    for index in (1, 2, 8):  # the next ones, and the last
        tasks[index].cancel()
    await rounds_until(tasks)
    assert [index for index in range(9) if tasks[index].cancelled()] == [1, 2, 8]
    await Turns.here().mine()  # and it goes on after all have gone


def test_each_loop_has_turns_of_its_own() -> None:
    """They are the same within a loop, others in another, and keep no loop from being forgotten."""

    async def mine() -> tuple[Turns, weakref.ref[asyncio.AbstractEventLoop]]:
        turns = Turns.here()
        assert Turns.here() is turns
        waiting = [asyncio.create_task(turns.mine()) for _ in range(4)]
        await asyncio.sleep(0)  # the loop is closed while they wait
        assert not all(task.done() for task in waiting)
        return turns, weakref.ref(asyncio.get_running_loop())

    (first, loop), (second, _) = asyncio.run(mine()), asyncio.run(mine())
    assert first is not second
    gc.collect()
    assert loop() is None
    with pytest.raises(RuntimeError):
        Turns.here()
