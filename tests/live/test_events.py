"""Events that ask for a turn: the model speaks of what was seen, after or over what is said."""

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.live.bench import Bench, answering, ended, said, started
from vivace.flow.clock import now
from vivace.live.live_model import LiveModelProcessor
from vivace.machines.interrupt import Interrupt
from vivace.models import Scripted
from vivace.part import Event, Interrupted, Part, Reset, Say, TurnComplete, TurnEnded
from vivace.processors.detect_events import EventProcessor
from vivace.processors.detect_words import KeywordDetector
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.processors.speak import Speak
from vivace.testing.fakes import FakeVoice
from vivace.testing.script import timeline

pytestmark = pytest.mark.virtual

QUESTION = "user: What time is it?"


def seen(text: str, triggers: Literal["", "after", "over"] = "after", at: float = 0.0) -> Part:
    return Part(Event("cat", "eye", text=text, triggers_turn=triggers), at=at)


def test_what_is_seen_is_spoken_of() -> None:
    """When nobody speaks, the model is asked at once; the event goes on to the consumer."""
    bench = Bench()
    event = seen("A cat.")
    out = bench.feed(1.0, event)
    assert out[0] is event
    assert bench.prompt() == ["user: A cat."]
    assert bench.floor() == "thinking"
    bench.over(2.0)
    bench.until(99.0)
    assert len(bench.replies) == 1


def test_what_triggers_nothing_is_known_later() -> None:
    """It enters the prompt, and is there when the model is asked for another reason."""
    bench = Bench()
    bench.feed(0.5, seen("A cat.", ""))
    assert bench.replies == []
    bench.feed(1.0, *said("What time is it?", 1.0))
    assert bench.prompt() == ["user: A cat.", QUESTION]


def test_after_the_reply() -> None:
    """The reply under way is heard to its end; one reply then speaks of all that was seen."""
    bench = answering("It is")
    bench.feed(3.0, seen("A cat."), seen("A dog."))
    assert bench.signals == []
    bench.over(4.0)
    assert bench.prompt() == [QUESTION, "model: It is", "user: A cat.", "user: A dog."]
    bench.over(5.0)
    assert len(bench.replies) == 2


def test_over_the_reply() -> None:
    """The reply is cut at once, as heard, and another one speaks of what was seen."""
    bench = answering("It is")
    bench.feed(3.0, seen("A cat.", "over"))
    assert bench.announced == [(3.0, Interrupted(1, "It is"))]
    assert bench.prompt() == [QUESTION, "model: It is—", "user: A cat."]
    assert (bench.replies[-1].turn, bench.cancelled) == (2, [1])


def test_over_a_reply_that_is_not_heard_yet() -> None:
    """The question is answered together with what was seen."""
    bench = answering("")
    bench.feed(1.5, seen("A cat.", "over"))
    assert bench.prompt() == [QUESTION, "user: A cat."]
    assert bench.signals == [Interrupted(1)]


@pytest.mark.parametrize("triggers", ["after", "over"])
def test_never_over_the_user(triggers: Any) -> None:
    """While the user speaks, it waits; the turn's answer speaks of it, too."""
    bench = Bench()
    bench.feed(1.0, started(1.0))
    bench.feed(1.5, seen("A cat.", triggers))
    assert bench.replies == []
    bench.feed(2.0, *said("What time is it?", 2.0)[1:])
    assert bench.prompt() == ["user: A cat.", QUESTION]
    bench.over(3.0)
    bench.until(99.0)
    assert len(bench.replies) == 1


def test_a_turn_that_came_to_nothing_is_followed_by_what_was_seen() -> None:
    """A cough is not answered; what was seen meanwhile is."""
    bench = Bench()
    bench.feed(1.0, started(1.0), seen("A cat."), ended(1.5))
    bench.feed(2.0, *said("", 1.5)[4:])
    assert bench.prompt() == ["user: A cat."]


def test_a_sound_over_the_reply_is_judged_first() -> None:
    """While it is open who speaks, nothing cuts in; once the reply goes on, "over" does."""
    bench = answering("It is")
    bench.feed(3.0, started(3.0))
    bench.feed(3.1, seen("A cat.", "over"))
    assert len(bench.replies) == 1
    bench.feed(3.2, ended(3.2))
    bench.until(4.8)  # the sound was nothing: the reply goes on, and is cut
    assert bench.prompt() == [QUESTION, "model: It is—", "user: A cat."]
    assert bench.announced[-1] == (4.7, Interrupted(1, "It is"))


def test_a_notice_is_not_cut() -> None:
    """What is protected is said to its end."""
    bench = Bench()
    bench.feed(1.0, Part(Say("This call is recorded.", protected=True)))
    bench.feed(1.5, seen("A cat.", "over"))
    assert bench.signals == []
    bench.over(3.0)
    assert bench.prompt() == ["user: A cat."]
    bench = answering("It is", interrupt=Interrupt.never)
    bench.feed(3.0, seen("A cat.", "over"))
    assert bench.signals == []


def test_what_was_seen_comes_before_what_the_program_says() -> None:
    """Of what waits for the end of a reply, what is owed to the user and the world is first."""
    bench = answering("It is")
    bench.feed(3.0, Part(Say("By the way.")), seen("A cat."))
    bench.over(4.0)
    assert bench.prompt()[-1] == "user: A cat."
    bench.over(5.0)
    assert bench.prompt() == ["model: By the way."]


def test_a_reply_that_comes_back_is_followed_by_what_was_seen() -> None:
    """It was cancelled for nothing, goes on, and then the event has its turn."""
    bench = answering("It is", interrupt=Interrupt.at_once)
    bench.feed(3.0, started(3.0), ended(3.5), seen("A cat."))
    bench.until(9.0)
    assert bench.told("brought_back")
    assert len(bench.replies) == 2
    bench.over(9.5)
    assert len(bench.replies) == 3
    assert bench.prompt()[-1] == "user: A cat."


def test_after_a_reset_nothing_is_spoken_of() -> None:
    """What waited is forgotten; it stays in the prompt."""
    for triggers in ("after", "over"):
        bench = Bench()
        bench.feed(1.0, started(1.0), seen("A cat.", triggers))
        bench.feed(2.0, Reset())
        bench.until(99.0)
        assert bench.replies == []
        bench.feed(100.0, *said("What time is it?", 100.0))
        assert bench.prompt() == ["user: A cat.", QUESTION]
        bench.hear(101.0, "It is")
        assert bench.cancelled == []


def test_the_end_of_the_input_waits_for_it() -> None:
    """What was seen over the last reply is still spoken of."""
    bench = answering("It is")
    bench.feed(3.0, seen("A cat."))
    bench.finish(3.5)
    assert not bench.machine.done()
    bench.over(4.0)
    assert bench.prompt()[-1] == "user: A cat."
    bench.over(5.0)
    assert bench.machine.done()


# -- the whole of it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("triggers", "cuts", "starts"), [("after", [], [0.0, 2.1]), ("over", [(1.0, 1)], [0.0, 1.0])]
)
async def test_an_agent_that_watches(triggers: Any, cuts: list[Any], starts: list[float]) -> None:
    """A word in a transcript makes a live agent speak of it, after its reply or in its place."""
    eye = EventProcessor([KeywordDetector(["fire"], on=lambda part: part.substream == "heard",
                                          triggers_turn=triggers)])  # fmt: skip
    model = Scripted(["one two three four five six seven", "fire"]) + Speak(FakeVoice())
    agent = eye + LiveModelProcessor(model) + AudioRateLimiter(lead_s=0.0)
    script = [
        (0.0, Part("Count.")),
        (0.0, Part(TurnEnded(0.0))),
        (1.0, Part("fire!", substream="heard", role="system")),
    ]
    interrupted, begun, turns = [], [], set()
    async with agent.run(timeline(script)) as parts:
        async for part in parts:
            if isinstance(part.body, Interrupted):
                interrupted.append((round(now(), 6), part.body.turn))
            elif part.seconds and part.turn not in turns:
                turns.add(part.turn)
                begun.append(round(now(), 6))
    assert (interrupted, begun) == (cuts, starts)


# -- for all sequences ------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 2.0]),
        st.sampled_from(["after", "over", "", "said", "started", "ended", "hear", "over it"]),
    ),
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_each_event_is_spoken_of_and_none_twice(steps: list[tuple[float, str]]) -> None:
    """Whatever happens, what asks for a turn gets one, and one reply is out at most."""
    bench, at, last = Bench(), 0.0, ""
    for number, (wait, kind) in enumerate(steps):
        at += wait
        match kind:
            case "said":
                bench.feed(at, *said(f"word {number}", at))
            case "started":
                bench.feed(at, started(at))
            case "ended":
                bench.feed(at, ended(at))
            case "hear" if bench.outstanding:
                bench.hear(at, "la ", bench.outstanding[-1])
            case "over it" if bench.outstanding:
                bench.over(at)
            case "after" | "over" | "":
                last = f"event {number}" if kind else last
                bench.feed(at, seen(f"event {number}", kind))
    bench.finish(at)
    for _ in range(200):
        at += 1.0
        bench.until(at)
        if bench.outstanding:
            bench.over(at)
    assert bench.most <= 1
    assert bench.machine.done()
    if last:
        assert any(f"user: {last}" in bench.prompt(number) for number in range(len(bench.replies)))
    endings = [p for p in bench.parts if isinstance(p.body, TurnComplete)]
    assert len(endings) == len({p.body.turn for p in endings if isinstance(p.body, TurnComplete)})
