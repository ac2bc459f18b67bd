"""The simulated caller: when it speaks, over what, and when it hangs up."""

from collections.abc import Sequence

import pytest

from vivace.cli.caller import Caller, Line, Manners, Spoken
from vivace.part import Body, Data, Interrupted, Part, Played, Playing

STEP = 0.02
SIZE = 640  # bytes of 20 ms at 16 kHz

Event = tuple[float, Body]


def line(name: str, seconds: float = 1.0, over_s: float | None = None) -> Line:
    return Line(name, b"\1\0" * round(16_000 * seconds), over_s)


def floor(state: str) -> Data:
    return Data({"event": "floor", "floor": state, "turn": 1})


def call(
    lines: Sequence[Line], events: Sequence[Event] = (), manners: Manners | None = None
) -> tuple[list[Spoken], float]:
    """What was said when, and when the caller hung up. `events`: what the agent does, and when."""
    caller, waiting = Caller(lines, manners=manners), list(events)
    for index in range(1, 100_000):
        now = round(index * STEP, 6)
        while waiting and waiting[0][0] <= now:
            at, body = waiting.pop(0)
            caller.feed(Part(body), at)
        if caller.chunk(now) is None:
            return caller.spoken, round(now - STEP, 6)
    raise AssertionError("the caller never hung up")


def answer(start: float, end: float) -> list[Event]:
    """The user has been heard and is answered: audible from `start` to `end`."""
    return [
        (start - 0.5, floor("thinking")),
        (start, Playing(1)),
        (start, floor("agent")),
        (end, Played(1)),
        (end, floor("idle")),
    ]


def test_the_first_line_comes_after_a_moment() -> None:
    """0.6 s of silence come first; with no answer at all, hanging up takes a second."""
    assert call([line("a")]) == ([Spoken("a", 0.6, 1.6)], 2.6)


def test_chunks_are_whole_and_never_stop() -> None:
    """Each chunk is 20 ms, silence as well as the last bit of a line."""
    caller = Caller([Line("a", b"\1\0" * 400)])
    chunks = [caller.chunk(round(i * STEP, 6)) for i in range(1, 40)]
    assert {len(chunk or b"") for chunk in chunks} == {SIZE}
    assert b"".join(chunk or b"" for chunk in chunks).strip(b"\0") == (b"\1\0" * 400).strip(b"\0")
    assert caller.spoken == [Spoken("a", 0.6, 0.64)]


def test_the_next_line_waits_for_the_end_of_the_answer() -> None:
    """0.8 s after the floor has become idle."""
    events = [(0.7, floor("user")), *answer(2.5, 6.0)]
    spoken, end = call([line("a"), line("b")], events)
    assert spoken == [Spoken("a", 0.6, 1.6), Spoken("b", 6.8, 7.8)]
    assert end == 8.8


def test_a_pause_of_the_user_is_no_end() -> None:
    """While it is open whether the user has finished, the caller waits."""
    events = [(0.7, floor("user")), (1.8, floor("pause")), *answer(4.0, 5.0)]
    spoken, _ = call([line("a"), line("b")], events)
    assert spoken[1].start == 5.8


def test_talking_over_an_answer() -> None:
    """A line with `over_s` begins so many seconds after the answer has become audible."""
    events = [*answer(2.5, 9.0)]
    spoken, _ = call([line("a"), line("b", over_s=2.0)], events)
    assert spoken[1] == Spoken("b", 4.5, 5.5)


def test_talking_over_an_answer_that_was_too_short() -> None:
    """It is said after its end then, as any other line."""
    spoken, _ = call([line("a"), line("b", over_s=5.0)], [*answer(2.5, 3.5)])
    assert spoken[1].start == 4.3


def test_talking_over_an_answer_that_never_came() -> None:
    """If nothing is answered and nothing owed, the line is said all the same."""
    events = [(0.7, floor("user")), (1.9, floor("idle"))]
    spoken, _ = call([line("a"), line("b", over_s=2.0)], events)
    assert spoken[1].start == 2.7


def test_a_cough_and_then_an_interruption_of_the_same_answer() -> None:
    """A line that was no interruption leaves the answer's clock running."""
    events = [
        *answer(2.5, 2.5)[:3],
        (4.1, floor("overlap")),
        (4.6, floor("verdict")),
        (5.0, floor("agent")),
    ]
    lines = [line("a"), line("cough", 0.3, 1.5), line("b", over_s=4.0)]
    spoken, _ = call(lines, events, Manners(longest_s=20.0))
    assert [s.start for s in spoken] == [0.6, 4.0, 6.5]


def test_no_line_while_it_is_open_whether_the_last_was_an_interruption() -> None:
    """In OVERLAP and VERDICT the caller listens, whatever time it is."""
    events = [
        *answer(2.5, 2.5)[:3],
        (3.6, floor("overlap")),
        (4.0, floor("verdict")),
        (5.5, floor("agent")),
    ]
    lines = [line("a"), line("hm", 0.3, 1.0), line("b", over_s=1.4)]
    spoken, _ = call(lines, events, Manners(longest_s=20.0))
    assert spoken[2].start == 5.48  # the chunk that ends when the floor is the agent's again


def test_after_an_interruption_the_next_answer_counts() -> None:
    """`over_s` of the line after an interruption is counted from the new answer."""
    events = [
        *answer(2.5, 2.5)[:3],
        (4.6, floor("overlap")),
        (5.6, Interrupted(1)),
        (5.6, Played(1, "interrupted")),
        (5.6, floor("user")),
        (6.0, floor("thinking")),
        (7.0, Playing(2)),
        (7.0, floor("agent")),
    ]
    lines = [line("a"), line("stop", 1.0, 2.0), line("again", 1.0, 3.0)]
    spoken, _ = call(lines, events, Manners(longest_s=20.0))
    assert [s.start for s in spoken] == [0.6, 4.5, 10.0]


@pytest.mark.parametrize("over_s", [None, 2.0])
def test_an_answer_that_is_not_heard_is_given_up(over_s: float | None) -> None:
    """20 s after the line, the next one is said; after the last, the caller hangs up."""
    events = [(0.7, floor("user")), (2.0, floor("thinking"))]
    spoken, end = call([line("a"), line("b", over_s=over_s)], events)
    assert spoken[1] == Spoken("b", 21.6, 22.6)
    assert end == 42.6


def test_an_answer_that_never_ends_is_given_up() -> None:
    """However long it is heard, two minutes after the line is the end of it."""
    spoken, end = call([line("a"), line("b")], answer(2.5, 1e9))
    assert spoken[1] == Spoken("b", 121.6, 122.6)
    assert end == 242.6
