import asyncio

import pytest

from vivace.flow.clock import clock, now, now_anywhere, sleep_until

pytestmark = pytest.mark.virtual


async def test_now_is_the_running_loops_time() -> None:
    """The clock reads what the running loop's own clock reads."""
    await asyncio.sleep(1.25)
    assert now() == asyncio.get_running_loop().time() == 1.25


def test_there_is_no_time_outside_a_loop() -> None:
    """Without a running loop there is no clock, and asking says so."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        now()


async def test_now_anywhere_is_the_loops_time_where_one_runs() -> None:
    """Inside a loop it is that loop's clock."""
    await asyncio.sleep(0.5)
    assert now_anywhere() == 0.5


def test_now_anywhere_is_some_clock_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a loop it is the clock that asyncio's own loops read."""
    monkeypatch.setattr("time.monotonic", lambda: 12.5)
    assert now_anywhere() == 12.5


async def test_sleep_until_returns_at_that_very_time() -> None:
    """Sleeping until a time ends at that time, however it is reached."""
    for at in (0.1, 0.3, 0.7, 1000.1):
        await sleep_until(at)
        assert now() == at


async def test_a_time_that_has_passed_is_not_waited_for() -> None:
    """Sleeping until the past takes no time, yet lets others run once."""
    await asyncio.sleep(1.0)
    ran: list[float] = []
    asyncio.get_running_loop().call_soon(lambda: ran.append(now()))
    await sleep_until(0.5)
    assert now() == 1.0
    assert ran == [1.0]


async def test_clock_is_what_now_reads() -> None:
    """The function that `clock` gives tells the same time as `now`, whenever it is called."""
    time = clock()
    assert time() == now() == 0.0
    await asyncio.sleep(0.25)
    assert time() == now() == 0.25
