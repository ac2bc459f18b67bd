"""What stays in the prompt: bounds, order, whole turns."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.errors import PartError
from vivace.machines.window import Window
from vivace.part import Call, Part, Response

quick = settings(max_examples=80, deadline=None)


def user(text: str) -> Part:
    return Part(text)


def model(text: str) -> Part:
    return Part(text, role="model")


def texts(window: Window) -> str:
    return " ".join(part.text for part in window.parts())


def filled(parts: int, window: Window | None = None, now: float = 0.0) -> Window:
    """User and model in turn: u0 m0 u1 m1 …"""
    window = window or Window(8, 100.0)
    for number in range(parts):
        make, name = (model, "m") if number % 2 else (user, "u")
        window.add(make(f"{name}{number // 2}"), now)
    return window


# -- the number of parts ----------------------------------------------------------------------


def test_what_fits_stays() -> None:
    """Up to the bound nothing leaves."""
    window = filled(8)
    assert texts(window) == "u0 m0 u1 m1 u2 m2 u3 m3"
    assert (len(window), window.dropped) == (8, 0)


def test_at_the_bound_turns_leave_down_to_three_quarters() -> None:
    """The ninth part of eight makes whole turns leave until at most six parts are left."""
    window = filled(9)
    assert texts(window) == "u2 m2 u3 m3 u4"
    assert (len(window), window.dropped) == (5, 4)


def test_turns_of_many_parts_leave_whole() -> None:
    """A turn begins where the user speaks after somebody else, however many parts it has."""
    window = Window(8, 100.0)
    for part in (user("u0"), user("u0b"), model("m0"), model("m0b"), model("m0c"), user("u1")):
        window.add(part, 0.0)
    window.add(model("m1"), 0.0)
    window.add(model("m1b"), 0.0)
    assert len(window) == 8
    window.add(model("m1c"), 0.0)
    assert texts(window) == "u1 m1 m1b m1c"
    assert window.dropped == 5


def test_the_newest_turn_stays_whole() -> None:
    """All older turns leave before anything of the newest does."""
    window = Window(6, 100.0)
    for part in (user("u0"), model("m0"), user("u1"), *(model(f"m{n}") for n in range(4))):
        window.add(part, 0.0)
    assert texts(window) == "u1 m0 m1 m2 m3"


def test_a_turn_longer_than_the_bound_loses_its_beginning() -> None:
    """The bound holds also for a single turn."""
    window = Window(4, 100.0)
    window.add(user("u"), 0.0)
    for number in range(5):
        window.add(model(f"m{number}"), 0.0)
    assert texts(window) == "m1 m2 m3 m4"
    assert window.dropped == 2
    window.add(user("next"), 0.0)
    assert texts(window) == "next"


def test_too_small_a_window() -> None:
    """Fewer than four parts hold no conversation."""
    with pytest.raises(PartError) as caught:
        Window(3)
    assert str(caught.value) == "a prompt of 3 parts holds no conversation; use 4 or more"
    assert len(Window(4)) == 0


# -- age --------------------------------------------------------------------------------------


def test_old_turns_leave_whole() -> None:
    """Once a part is older than 100 s, turns leave until the oldest is 75 s old at most."""
    window = Window(1000, 100.0)
    for number, now in enumerate((0.0, 10.0, 24.0, 25.0, 26.0, 90.0)):
        window.add(user(f"u{number}"), now)
        window.add(model(f"m{number}"), now)
    window.add(user("u6"), 100.0)
    assert window.dropped == 0  # 100 s is not older than 100 s
    window.add(model("m6"), 101.0)
    assert texts(window) == "u4 m4 u5 m5 u6 m6"
    assert window.dropped == 8


def test_a_turn_leaves_with_its_first_part() -> None:
    """A turn that began too long ago leaves with all of it."""
    window = Window(1000, 100.0)
    window.add(user("u0"), 0.0)
    window.add(model("m0"), 99.0)
    window.add(user("u1"), 100.5)
    assert texts(window) == "u1"


def test_a_single_turn_loses_what_is_too_old() -> None:
    """If all are of one turn, parts leave by age one by one, down to three quarters of it."""
    window = Window(1000, 100.0)
    for number in range(12):
        window.add(user(f"u{number}"), number * 10.0)
    assert texts(window) == "u4 u5 u6 u7 u8 u9 u10 u11"
    assert window.dropped == 4


def test_the_age_is_kept_by_one_side_that_speaks_alone() -> None:
    """Of 500 parts of one side over 4990 s no more than 600 s stay."""
    for make in (user, model):
        window = Window(1000, 600.0)
        for number in range(500):
            window.add(make(str(number)), number * 10.0)
        assert int(texts(window).split()[0]) >= 499 - 60


def test_the_newest_part_does_not_age() -> None:
    """However old all is, a late pin does not leave the prompt without its newest part."""
    window = Window(1000, 100.0)
    window.add(user("u0"), 0.0)
    window.add(model("m0"), 0.0)
    window.add(Part("pin"), 2000.0, pinned=True)
    assert texts(window) == "pin m0"


def test_what_is_left_of_a_turn_leaves_with_the_next_turn() -> None:
    """An answer without its question stays only until the user asks the next one."""
    window = Window(1000, 100.0)
    window.add(user("u0"), 0.0)
    window.add(model("m0"), 90.0)
    window.add(model("m1"), 110.0)
    assert texts(window) == "m0 m1"
    window.add(user("u1"), 111.0)
    assert texts(window) == "u1"


def test_a_greeting_is_no_rest_of_a_turn() -> None:
    """If the model speaks first, its words stay when the user begins."""
    window = Window(1000, 100.0)
    window.add(model("hello"), 0.0)
    window.add(user("u0"), 1.0)
    assert texts(window) == "hello u0"


def test_adding_looks_at_nothing_that_stays() -> None:
    """However much there is, adding a part does not walk through the parts that are there."""

    class Counted(deque[Any]):
        walks = 0

        def __iter__(self) -> Iterator[Any]:
            Counted.walks += 1
            return super().__iter__()

    window = Window(100, 50.0)
    window._tail = Counted()
    for number in range(1000):
        window.add(user(str(number)), number * 1.0)
    assert Counted.walks == 0
    assert len(window) <= 51


# -- pins -------------------------------------------------------------------------------------


def test_pinned_parts_come_first_and_stay() -> None:
    """The system's and pinned parts stand before the rest, in the order they came."""
    window = Window(8, 100.0)
    window.add(user("u0"), 0.0)
    window.add(Part("system", role="system"), 0.0)
    window.add(user("pin"), 0.0, pinned=True)
    filled(40, window, now=50.0)
    assert [part.text for part in window.parts()][:2] == ["system", "pin"]
    assert texts(window).endswith("m19")
    assert len(window) <= 8


def test_a_late_pin_makes_room() -> None:
    """A pin counts for the bound as any part does."""
    window = filled(8)
    window.add(user("pin"), 0.0, pinned=True)
    assert texts(window) == "pin u2 m2 u3 m3"


def test_pins_are_bounded() -> None:
    """Half the bound may be pinned; one more is refused, and nothing has changed."""
    window = Window(9, 100.0)
    for number in range(4):
        window.add(user(f"p{number}"), 0.0, pinned=True)
    with pytest.raises(PartError) as caught:
        window.add(Part("system", role="system"), 0.0)
    assert str(caught.value) == "4 parts are pinned already; raise max_parts or pin less"
    assert texts(window) == "p0 p1 p2 p3"
    assert texts(filled(9, window)) == "p0 p1 p2 p3 u2 m2 u3 m3 u4"


@pytest.mark.parametrize("max_parts", [5, 8, 11, 20])
def test_the_answer_of_a_tool_is_not_a_turn_of_the_user(max_parts: int) -> None:
    """A call and its response stay together: no prompt begins with a response."""
    window = Window(max_parts, 100.0)
    for number in range(12):
        turn = [user(f"u{number}"), Part.call("look", id=str(number))]
        turn += [Part.response("look", number, id=str(number)), model(f"m{number}")]
        for part in turn:
            window.add(part, 0.0)
            bodies = [part.body for part in window.parts()]
            calls = [body.id for body in bodies if isinstance(body, Call)]
            answers = [body.id for body in bodies if isinstance(body, Response)]
            assert answers in (calls, calls[:-1])


def test_parts_is_a_copy() -> None:
    """What is handed out does not change with the window, nor the window with it."""
    window = filled(2)
    prompt = window.parts()
    window.add(user("u1"), 0.0)
    assert len(prompt) == 2
    prompt.clear()
    assert len(window) == 3


# -- for all sequences ------------------------------------------------------------------------

adds = st.lists(
    st.tuples(
        st.sampled_from(["user", "user", "model", "model", "model", "system", "pin"]),
        st.sampled_from([0.0, 0.0, 1.0, 7.0, 60.0]),
    ),
    max_size=120,
)


def turn_starts(parts: list[Part]) -> list[int]:
    """Where turns begin: at the user's parts that follow somebody else's."""
    return [
        index
        for index, part in enumerate(parts)
        if part.role == "user" and (index == 0 or parts[index - 1].role != "user")
    ]


@quick
@given(adds, st.integers(4, 20), st.sampled_from([5.0, 50.0, 1e9]))
def test_every_sequence(added: list[tuple[str, float]], max_parts: int, duration_s: float) -> None:
    """Always: within bounds, pins first, nothing reordered, cuts only where a turn begins."""
    window = Window(max_parts, duration_s)
    pins: list[Part] = []
    rest: list[Part] = []
    times: list[float] = []
    now = 0.0
    for number, (kind, seconds) in enumerate(added):
        now += seconds
        part = Part(str(number), role="user" if kind == "pin" else kind)
        pinned = kind in ("pin", "system")
        if pinned and len(pins) >= max_parts // 2:
            with pytest.raises(PartError):
                window.add(part, now, pinned=kind == "pin")
            continue
        (pins if pinned else rest).append(part)
        if not pinned:
            times.append(now)
        window.add(part, now, pinned=kind == "pin")

        parts = window.parts()
        tail = parts[len(pins) :]
        assert len(window) == len(parts) <= max_parts
        assert parts[: len(pins)] == pins
        assert tail == rest[len(rest) - len(tail) :]
        assert window.dropped == len(rest) - len(tail)
        assert bool(tail) == bool(rest), "the newest part is in"
        cut, starts = window.dropped, turn_starts(rest)
        if any(start > cut for start in starts):  # more than one turn is there
            assert cut == 0 or tail[0].role == "user", "what follows the pins begins with the user"
        assert not tail[1:] or times[cut] >= now - duration_s, "only the newest part may be older"


@quick
@given(st.lists(st.sampled_from(["user", "model"]), max_size=200), st.integers(4, 20))
def test_the_prefix_is_stable(roles: list[str], max_parts: int) -> None:
    """Unless something leaves, a prompt begins with the one before it; and then much leaves."""
    window = Window(max_parts, 1e9)
    before: list[Part] = []
    dropped = 0
    for number, role in enumerate(roles):
        window.add(Part(str(number), role=role), 0.0)
        parts = window.parts()
        if window.dropped == dropped:
            assert parts[: len(before)] == before
        elif parts[0].role == "user":
            assert len(parts) <= max(max_parts * 3 // 4, 1) or len(turn_starts(parts)) == 1
        before, dropped = parts, window.dropped
