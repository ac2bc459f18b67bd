"""What the model is to know, and nobody waits for an answer to, keeps its place in the prompt."""

from collections.abc import AsyncIterator

import pytest

from tests.live.bench import Bench, answering, ended, final, interim, line, started, turn_ended
from vivace import LiveModelProcessor, processor
from vivace.part import Ask, Part, TurnComplete, TurnEnded
from vivace.testing.script import play


def known(text: str, role: str = "user", context: object = True) -> Part:
    return Part(text, role=role, metadata={"context": context})


TALK = (
    known("My name is Ann."),
    known("Hello Ann.", "model"),
    known("I live in Ulm."),
    known("Nice.", "model"),
)
TOLD = [line(part) for part in TALK]


def test_it_is_in_the_prompt_in_order() -> None:
    """Before the question that it is told for, which is asked once."""
    bench = Bench()
    assert bench.feed(1.0, *TALK) == []
    bench.feed(1.0, final("Who am I?"), turn_ended(1.0))
    assert [bench.prompt()] == [[*TOLD, "user: Who am I?"]]


def test_nothing_is_answered_for_it() -> None:
    """Not after five seconds either, nor at the end of the input."""
    bench = Bench()
    bench.feed(1.0, known("The user is on page 3."))
    bench.until(60.0)
    bench.finish(60.0)
    assert (bench.replies, bench.news, bench.machine.done()) == ([], [], True)


def test_the_program_may_have_it_answered() -> None:
    """An `Ask` after it does."""
    bench = Bench()
    bench.feed(1.0, known("The user is on page 3."), Part(Ask()))
    assert bench.prompt() == ["user: The user is on page 3."]


def test_it_interrupts_nothing() -> None:
    """It follows what was heard of the reply that it came beside."""
    bench = answering()
    bench.feed(2.5, known("The user is on page 3."))
    assert (bench.signals, bench.cancelled) == ([], [])
    bench.hear(3.0, " noon.")
    bench.over(3.5)
    bench.until(60.0)
    bench.feed(60.0, final("Go on"), turn_ended(60.0))
    assert bench.prompt()[1:] == [
        "model: It is noon.",
        "user: The user is on page 3.",
        "user: Go on",
    ]
    assert len(bench.replies) == 2


def test_it_is_no_line_that_is_typed_while_the_user_speaks() -> None:
    """The key that is let go after it ends what is being said."""
    bench = Bench()
    bench.feed(2.0, started(1.0), known("The user is on page 3."), final("What is this?", 1.9))
    bench.feed(2.0, turn_ended(2.0))
    assert bench.prompt() == ["user: The user is on page 3.", "user: What is this?"]


def test_it_keeps_its_order_while_an_answer_is_guessed() -> None:
    """The guess did not know of it, and is wrong."""
    bench = Bench(speculate=True)
    bench.feed(1.0, started(0.0), ended(1.0), interim("Who am I?", 1.0))
    bench.feed(1.1, *TALK)
    bench.feed(1.5, final("Who am I?", 1.0), turn_ended(1.0))
    assert [bench.prompt()] == [[*TOLD, "user: Who am I?"]]
    assert [news["right"] for news in bench.told("speculated")] == [False]


def test_another_context() -> None:
    """Only what says `True` is meant: the word is a common one."""
    bench = Bench()
    bench.feed(1.0, known("Lights on", context="kitchen"), turn_ended(1.0))
    assert bench.prompt() == ["user: Lights on"]


# -- unmarked ---------------------------------------------------------------------------------


def test_a_text_of_the_models_follows_the_lines_before_it() -> None:
    """They are in the prompt as they came, and answered with the question that comes last."""
    bench = Bench()
    bench.feed(1.0, final("My name is Ann."), Part("Hello Ann.", role="model"))
    bench.feed(2.0, final("I live in Ulm."), Part("Nice.", role="model"))
    assert bench.replies == []
    bench.feed(3.0, final("Who am I?"), turn_ended(3.0))
    assert [bench.prompt()] == [[*TOLD, "user: Who am I?"]]
    bench.over(4.0)
    bench.until(60.0)
    assert len(bench.replies) == 1


def test_lines_without_an_end_are_answered_though_a_text_of_the_models_follows() -> None:
    """After five seconds, as always."""
    bench = Bench()
    bench.feed(1.0, final("My name is Ann."), Part("Hello Ann.", role="model"))
    bench.until(5.9)
    assert bench.replies == []
    bench.until(6.0)
    assert [bench.prompt()] == [TOLD[:2]]


def test_a_line_is_not_hidden_from_a_reply_that_may_come_back() -> None:
    """What was typed is answered, though a text of the model's came after it."""
    bench = answering()
    bench.feed(3.0, started(3.0))
    bench.feed(4.5, final("mm-hm"), Part("Noted.", role="model"))
    assert bench.cancelled == [1]
    bench.feed(5.0, ended(5.0), turn_ended(5.0))
    assert bench.told("brought_back") == []
    assert "user: mm-hm" in bench.prompt()


@pytest.mark.virtual(seeds=5)
async def test_a_conversation_goes_on_from_an_earlier_one() -> None:
    """At the same instant, whatever comes of it first: the model knows what was said before."""
    prompts: list[list[str]] = []

    @processor
    async def model(prompt: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompts.append([line(part) async for part in prompt])
        yield Part("Ann, of Ulm.", role="model")

    script = [(0.0, part) for part in (*TALK, Part("Who am I?"), Part(TurnEnded(0.0)))]
    seen = await play(LiveModelProcessor(model), [*script, (60.0, known("Bye."))])
    assert prompts == [[*TOLD, "user: Who am I?"]]
    assert [it.body for _, it in seen if isinstance(it.body, TurnComplete)] == [TurnComplete(1)]
    assert not [part for _, part in seen if part in TALK]
