"""Which reply a message of a live model's server belongs to."""

from hypothesis import given
from hypothesis import strategies as st

from vivace.machines.server_turns import ServerTurns


def test_a_reply_begins_with_what_first_comes_and_ends_with_its_terminal_event() -> None:
    """Numbers are ours, and go up by one."""
    turns = ServerTurns()
    assert turns.begins(1.0)
    assert not turns.begins(1.1)
    assert turns.turn == 1
    assert turns.complete() == 1
    assert not turns.under_way
    assert turns.complete() == 0  # said twice
    assert turns.begins(2.0)
    assert turns.turn == 2


def test_the_rest_of_an_interrupted_reply_is_discarded_until_its_end() -> None:
    """Late sound of the old turn begins no new one; after its end the next sound does."""
    turns = ServerTurns()
    turns.begins(1.0)
    assert turns.void(1.5) == 1
    assert turns.discarding
    assert turns.under_way
    assert not turns.begins(1.6)
    assert turns.turn == 1
    assert turns.void(1.7) == 0
    assert turns.complete() == 0
    assert turns.begins(1.8)
    assert turns.turn == 2


def test_an_end_that_never_comes_is_waited_for_ten_seconds() -> None:
    """A lost terminal event does not silence the model for ever."""
    turns = ServerTurns()
    turns.begins(1.0)
    turns.void(2.0)
    assert turns.deadline() == 12.0
    assert turns.tick(11.9, waits=True) == 0
    assert turns.discarding
    assert turns.tick(12.0, waits=True) == 0
    assert turns.deadline() is None
    assert turns.begins(12.0)


def test_a_reply_that_stalls_is_over_thirty_seconds_after_its_sound() -> None:
    """The server waits for the sound to be played before it says that the turn is complete."""
    turns = ServerTurns()
    turns.begins(1.0)
    assert turns.deadline() == 31.0
    turns.sounds(20.0, 1.0)
    turns.sounds(5.0, 2.0)
    assert turns.deadline() == 56.0
    turns.begins(3.0)
    assert turns.deadline() == 56.0
    assert turns.tick(55.9) == 0
    assert turns.tick(56.0) == 1
    assert not turns.open


def test_a_reply_that_waits_for_tools_has_not_stalled() -> None:
    """Tools have limits of their own."""
    turns = ServerTurns()
    turns.begins(1.0)
    assert turns.tick(31.0, waits=True) == 0
    assert turns.open
    assert turns.deadline() == 61.0


@given(st.lists(st.tuples(st.sampled_from(["content", "void", "complete"]), st.floats(0, 5))))
def test_any_order(steps: list[tuple[str, float]]) -> None:
    """Each number begins once and ends once, and nothing begins while the old one is discarded."""
    turns, now = ServerTurns(), 0.0
    begun: list[int] = []
    over: list[int] = []
    for step, pause_s in steps:
        now += pause_s
        if step == "content":
            discarding = turns.discarding
            if turns.begins(now):
                assert not discarding
                begun.append(turns.turn)
        else:
            over += [turns.void(now)] if step == "void" else [turns.complete()]
    assert begun == list(range(1, turns.turn + 1))
    ended = [turn for turn in over if turn]
    assert ended == begun[: len(ended)]
    assert turns.open == (len(ended) < len(begun))


def test_numbers_that_are_void_already_are_skipped() -> None:
    """The next reply has a higher one; the reply under way keeps its own."""
    turns = ServerTurns()
    turns.begins(1.0)
    turns.skip(5)
    assert (turns.turn, turns.complete()) == (1, 1)
    turns.skip(3)
    assert turns.begins(2.0)
    assert turns.turn == 6


def test_when_what_has_come_could_have_been_played() -> None:
    """Sound comes faster than it is heard; a text is there at once."""
    turns = ServerTurns()
    turns.begins(1.0)
    assert turns.plays_to == 1.0
    turns.sounds(2.0, 1.0)
    turns.sounds(1.0, 1.5)
    assert turns.plays_to == 4.0
