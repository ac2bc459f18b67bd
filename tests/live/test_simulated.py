"""What random conversations have found: each as the shortest script that shows it.

A script whose bug is not mended yet is expected to fail, strictly: whoever mends it takes the mark
away.
"""

from vivace.part import Held, Interrupted, Reset, Response, Resumed
from vivace.testing.dialogue import (
    Cough,
    Dialogue,
    Listen,
    Reply,
    Say,
    SideTalk,
    Speaker,
    TalkOver,
    ToolUse,
    Type,
    Wait,
)
from vivace.testing.invariants import HoldsEnd
from vivace.testing.simulate import simulate
from vivace.testing.witness import Called

LONG = Reply("one two three four five six seven eight nine ten", burst=100)


def test_hold_is_silence_within_a_chunk_for_a_slow_consumer() -> None:
    """What waits for a speaker that takes twice as long is held too."""
    course = simulate(
        Dialogue((Say("hello there"), Cough(), Listen()), (LONG,), Speaker(speed=0.5))
    )
    watch = HoldsEnd(silent_s=0.02)
    complaints = [watch.see(event, at) for at, event in course.events]
    assert not any(complaints)


def test_what_was_typed_while_a_reply_timed_out_is_answered() -> None:
    """After a timeout, what came meanwhile is answered at once, as after any other end."""
    dialogue = Dialogue(
        (Say("hello there"), Type("are you there", after_s=1.0), Wait(30.0)),
        (Reply("", end="hang"), Reply("yes")),
    )
    assert len(simulate(dialogue).prompts) == 2


def test_hold_is_followed_by_a_resume_or_a_cancel() -> None:
    """Also if the reply was a call alone, and over when the sound was still going on."""
    course = simulate(
        Dialogue(
            (Say("hello there"), Say("and do hurry up", after_s=0.6)),
            (Reply("", delay_s=0.6, calls=(ToolUse(),)), Reply()),
        )
    )
    [held] = course.told(Held)
    after = [it for at, it in course.told(Resumed, Interrupted, Reset) if at >= held[0]]
    assert after


def test_a_quick_tool_is_told_though_a_slow_one_still_works() -> None:
    """The model that is asked when the first result comes has it in its prompt."""
    calls = (ToolUse(takes_s=4.0), ToolUse(takes_s=0.9))
    course = simulate(
        Dialogue((Say("hello there"), Wait(10.0)), (Reply("", calls=calls), Reply("a"), Reply("b")))
    )
    prompts = [event.prompt for _, event in course.events if isinstance(event, Called)]
    told = [
        [part.body.id for part in prompt if isinstance(part.body, Response)] for prompt in prompts
    ]
    assert told == [[], ["0-1"], ["0-1", "0-0"]]


def test_a_slow_speaker_that_is_held_twice_in_a_row() -> None:
    """It hears of a hold when it has played what it is at: that was heard."""
    dialogue = Dialogue(
        (Say("papotra"), TalkOver("kidru"), SideTalk("vori", 0.78), Say("stirevu", after_s=0.22)),
        (
            Reply("vina vugo duva"),
            Reply("zadobru", calls=(ToolUse("order", takes_s=2.22), ToolUse(takes_s=1.52))),
        ),
        Speaker(speed=0.5),
        at_most_s=11.4,
        seed=1078,
    )
    assert Interrupted(3, "vina vugo duva") in [
        it for _, it in simulate(dialogue).told(Interrupted)
    ]


def test_the_same_conversations_without_these_bugs() -> None:
    """The scripts are right: a fast speaker, a reply in time and a cough pass."""
    simulate(Dialogue((Say("hello there"), Cough(), Listen()), (LONG,)))
    simulate(Dialogue((Say("hello there"), Type("and", after_s=1.0), Wait(20.0)), (LONG,)))
    course = simulate(
        Dialogue((Say("hello there"), Cough(after_s=0.3), Listen()), (Reply("one two three"),))
    )
    assert course.told(Held, Resumed)
