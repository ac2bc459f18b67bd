import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.machines.fence import Fence, is_stale
from vivace.part import (
    Audio,
    Body,
    Call,
    Data,
    Held,
    Image,
    InputEnded,
    Interrupted,
    Part,
    Played,
    PlayedTo,
    Playing,
    Reset,
    Response,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)

MEDIA: list[Body] = ["text", Audio(b"\0\0", AudioFormat()), Image(b"jpeg"), Data({"a": 1})]
TRAFFIC: list[Body] = [
    Call("1", "order", {"what": "pizza"}),
    Response("1", "order", "done"),
    SpeechStarted(1.0),
    SpeechEnded(1.0),
    TurnEnded(1.0),
    InputEnded(),
    Interrupted(1),
    Reset(1),
    Held(1),
    Resumed(1),
    Playing(1),
    Played(1),
    PlayedTo(1, 0.5),
    TurnComplete(1, "interrupted"),
    TurnComplete(1, "timeout"),
]
NEWS: list[Body] = [TurnComplete(1, "done"), TurnComplete(1, "failed")]


@pytest.mark.parametrize("body", [*MEDIA, *NEWS])
def test_media_of_a_void_reply_is_stale(body: Body) -> None:
    """Media and good news of a reply are stale from its own number on, and not before."""
    part = Part(body, role="model", turn=3)
    assert [is_stale(part, void) for void in range(6)] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("body", TRAFFIC)
def test_tools_and_signals_are_never_stale(body: Body) -> None:
    """A tool that has ordered the pizza has ordered it; signals keep telling what happened."""
    assert not is_stale(Part(body, role="model", turn=1), 5)


@pytest.mark.parametrize("body", [*MEDIA, *NEWS])
def test_what_belongs_to_no_reply_is_never_stale(body: Body) -> None:
    """Turn 0 is the user's: no interruption voids it."""
    assert not is_stale(Part(body), 5)


@pytest.mark.parametrize(
    ("substream", "stale"),
    [
        ("", True),
        ("debug", False),
        ("status", False),
        ("ui", False),
        ("ui/text", False),
        ("debugging", True),
        ("captions", True),
    ],
)
def test_side_lanes_are_never_stale(substream: str, stale: bool) -> None:
    """What is said aside about a reply stays true after it was interrupted."""
    assert is_stale(Part("x", turn=1, substream=substream), 1) is stale


def test_a_fence_starts_at_the_ground() -> None:
    """At first nothing is void."""
    fence = Fence()
    assert fence.turn == 0
    assert not fence.stale(Part("x", turn=1))
    assert not fence.raise_to(0)


@given(st.lists(st.integers(-3, 20)))
def test_a_fence_only_rises(turns: list[int]) -> None:
    """It stands at the highest turn so far, and tells each time whether it rose."""
    fence, highest = Fence(), 0
    for turn in turns:
        assert fence.raise_to(turn) is (turn > highest)
        highest = max(highest, turn)
        assert fence.turn == highest
        for number in range(1, 22):
            assert fence.stale(Part("x", turn=number)) is (number <= highest)
