"""Calls and responses: whole, or not at all."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vivace.machines.exchanges import Exchanges, Settled, whole_pairs
from vivace.part import Call, Part, Response


def call(waiting: Exchanges, id: str, seq: int, now: float = 0.0, **fields: Any) -> bool:
    part = Part.call("look", id=id, **fields)
    return waiting.call(part, Call(id, "look"), seq, now, pinned=False)


def answer(waiting: Exchanges, id: str) -> Any:
    part = Part.response("look", id=id)
    return waiting.response(part, Response(id, "look"), pinned=False)


def ids(settled: Settled) -> list[str]:
    return [getattr(part.body, "id", "") for part in settled.parts]


def test_parallel_calls_wait_for_each_other() -> None:
    """Calls in a row, or of one reply, are one block: first the calls, then the responses."""
    waiting = Exchanges(10, 60.0)
    assert all(call(waiting, id, seq) for seq, id in enumerate("ab", 1))
    assert call(waiting, "c", 7)
    assert answer(waiting, "b") is None
    assert ids(answer(waiting, "c")) == ["c", "c"]
    assert ids(answer(waiting, "a")) == ["a", "b", "b", "a"]
    assert (len(waiting), list(waiting.groups)) == (0, [])
    assert call(waiting, "d", 10, turn=3)
    assert call(waiting, "e", 20, turn=3)
    assert call(waiting, "f", 21, turn=4)
    assert answer(waiting, "d") is None
    assert ids(answer(waiting, "e")) == ["d", "e", "d", "e"]


def test_what_is_answered_can_enter_alone() -> None:
    """Once the prompt is wanted, a call that takes long keeps back no other."""
    waiting = Exchanges(10, 60.0)
    assert all(call(waiting, id, seq) for seq, id in enumerate("abc", 1))
    assert waiting.split() == []
    assert answer(waiting, "c") is answer(waiting, "a") is None
    [settled] = waiting.split()
    assert (ids(settled), settled.unanswered) == (["a", "c", "c", "a"], 0)
    assert (waiting.split(), len(waiting)) == ([], 1)
    assert answer(waiting, "a") is False
    assert ids(answer(waiting, "b")) == ["b", "b"]
    assert (len(waiting), list(waiting.groups)) == (0, [])


def test_an_id_can_come_again_once_it_was_answered() -> None:
    """A call that waits keeps its id; a second answer is none."""
    waiting = Exchanges(10, 60.0)
    assert call(waiting, "a", 1)
    assert not call(waiting, "a", 2)
    assert answer(waiting, "a").restored is False
    assert answer(waiting, "a") is False
    assert call(waiting, "a", 3)
    assert answer(waiting, "a").restored is False


def test_what_was_answered_is_forgotten_in_the_end() -> None:
    """After 256 others, a second answer brings a call along, as one to an unknown call does."""
    waiting = Exchanges(10, 60.0)
    assert answer(waiting, "a").restored
    for number in range(255):
        assert answer(waiting, str(number)).restored
    assert answer(waiting, "a") is False
    assert answer(waiting, "one more").restored
    assert answer(waiting, "a").restored


def test_too_many_and_too_old_are_given_up() -> None:
    """The oldest first, with all that was called beside them."""
    waiting = Exchanges(2, 60.0)
    assert waiting.overdue(1e9) is None
    for seq, id in ((1, "a"), (2, "b"), (9, "c")):
        call(waiting, id, seq, now=float(seq))
    settled = waiting.overdue(9.0)
    assert settled == Settled((), False, 2)
    assert waiting.overdue(69.0) is None
    assert waiting.overdue(69.1) == Settled((), False, 1)
    assert answer(waiting, "c").restored


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=20))
def test_whole_pairs(steps: list[tuple[bool, str]]) -> None:
    """Of any parts, those stay that are no tool traffic or have their other half."""
    parts = [
        Part.call("look", id=id) if is_call else Part.response("look", id=id)
        for is_call, id in steps
    ]
    kept = whole_pairs([Part("a"), *parts, Part("b")])
    assert (kept[0].text, kept[-1].text) == ("a", "b")
    open_calls: list[str] = []
    for part in kept[1:-1]:
        if isinstance(part.body, Call):
            open_calls.append(part.body.id)
        elif isinstance(part.body, Response):
            open_calls.remove(part.body.id)
    assert open_calls == []
    assert whole_pairs(kept) == kept
