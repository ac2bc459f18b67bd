"""What a machine does that overrides nothing."""

import pytest

from vivace.machines.machine import Announce, Cancel, Job, JobDone, JobFailed, Machine
from vivace.part import Held, Part, Reset


def test_parts_pass() -> None:
    """A part passes as it is."""
    part = Part("hello", turn=3)
    [passed] = Machine().feed(part, 0.0)
    assert passed is part


@pytest.mark.parametrize(
    "item", [Reset(), JobDone(Job()), JobFailed(Job(), ValueError("x")), object(), None]
)
def test_what_it_does_not_know_is_no_error(item: object) -> None:
    """All other items come to nothing."""
    assert Machine().feed(item, 0.0) == []


def test_it_wants_nothing() -> None:
    """It has no deadline, is never full, is done at once, and decides nothing."""
    machine = Machine()
    assert machine.decides == ""
    assert machine.tick(1.0) == []
    assert machine.deadline() is None
    assert machine.finish(2.0) == []
    assert machine.full() is False
    assert machine.done() is True


def test_done_waits_for_the_deadline() -> None:
    """A machine that still wants to be woken is not done."""

    class Waiting(Machine):
        def deadline(self) -> float | None:
            return 0.0

    assert Waiting().done() is False


def test_jobs_are_told_apart_by_identity() -> None:
    """Two jobs are two, also if they ask for the same; so each can be a key."""
    one, other = Job(), Job()
    assert one != other
    assert len({one: 1, other: 2}) == 2
    assert Cancel(one) == Cancel(one) != Cancel(other)


def test_an_announcement_is_a_value() -> None:
    """Two announcements of the same signal are equal."""
    assert Announce(Held(1)) == Announce(Held(1)) != Announce(Held(2))
