"""What the user has said is answered, whenever it comes and whatever it comes over."""

import pytest

from tests.live.bench import (
    END_OF_SPEECH,
    Bench,
    answering,
    ended,
    final,
    said,
    sound,
    started,
    turn_ended,
)
from vivace.machines.interrupt import Interrupt
from vivace.part import Ask, Data, Event, Interrupted, Part, Reset, Say, SpeechEnded

# -- texts that come late, or alone -----------------------------------------------------------


def test_a_text_that_comes_after_its_turn_has_ended() -> None:
    """The detector has heard no words to wait for; they are answered as soon as they are known."""
    bench = Bench()
    bench.feed(1.0, started(0.0), Part(SpeechEnded(1.0, turn_follows=True)), turn_ended(1.0))
    assert bench.replies == []
    bench.feed(1.5, final("What time is it?", 1.0))
    assert bench.prompt() == ["user: What time is it?"]


def test_a_text_that_nobody_had_the_patience_for() -> None:
    """The transcriber takes longer than any pause may last."""
    bench = Bench()
    bench.feed(1.0, started(0.0), Part(SpeechEnded(1.0)))
    bench.feed(7.0, final("What time is it?", 1.0))
    assert bench.prompt() == ["user: What time is it?"]


@pytest.mark.parametrize(
    "part",
    [
        Part("Hello", at=1.0),
        Part("Hello", metadata={"is_final": True}),
        Part("Hello", substream="input_transcription", metadata={"is_final": True}),
    ],
)
def test_transcripts_without_any_signals(part: Part) -> None:
    """Where nobody tells when the user speaks, a final transcription is a turn."""
    bench = Bench()
    bench.feed(1.0, part)
    assert bench.prompt() == ["user: Hello"]


def test_a_transcript_without_a_time_is_not_typed() -> None:
    """A spoken "mm-hm" over a reply is none that takes the floor."""
    bench = answering("It is")
    mm_hm = Part("mm-hm", metadata={"is_final": True})
    bench.feed(3.0, started(2.5), ended(2.9), mm_hm, turn_ended(2.9))
    assert (bench.outstanding, bench.cancelled) == ([1], [])


# -- a key that is let go ---------------------------------------------------------------------


def test_a_key_let_go_ends_what_is_being_said() -> None:
    """The detector tells the end of speech a moment later, which then says nothing new."""
    bench = Bench()
    bench.feed(2.0, started(1.0), final("What time is it?", 1.9), turn_ended(2.0))
    assert bench.prompt() == ["user: What time is it?"]
    bench.hear(2.1, "Noon.")
    bench.feed(2.2, ended(2.0), turn_ended(2.0))
    bench.over(3.0)
    bench.until(60.0)
    assert (bench.floor(), len(bench.replies)) == ("idle", 1)


def test_a_turn_that_ended_before_the_user_went_on_ends_nothing_else() -> None:
    """A detector tells the end of the turn before, late; what is being said since goes on."""
    bench = Bench()
    bench.feed(2.5, started(1.0), ended(2.0), started(2.4), final("What time", 2.0))
    bench.feed(2.6, turn_ended(2.0))
    assert (bench.floor(), bench.replies) == ("user", [])
    bench.feed(3.5, ended(3.0), final("is it?", 3.0), turn_ended(3.0))
    assert bench.prompt() == ["user: What time", "user: is it?"]


# -- over what nothing interrupts -------------------------------------------------------------


def hears(**manners: object) -> Bench:
    """A model that hears has been asked with a second of sound, and begins to answer at 2.0."""
    bench = Bench(END_OF_SPEECH, **manners)  # type: ignore[arg-type]
    bench.feed(0.0, started(0.0))
    bench.feed(1.0, sound(1.0, 1, 0.0), Part(SpeechEnded(1.0, turn_follows=True)), turn_ended(1.0))
    bench.hear(2.0, "By law")
    return bench


@pytest.mark.parametrize("detected", [True, False])
def test_sound_over_a_protected_reply_is_answered_after_it(detected: bool) -> None:
    """A model that hears is given all of it, whether or not anybody tells when turns end."""
    bench = hears(interrupt=Interrupt.never)
    bench.feed(3.0, started(3.0))
    bench.feed(6.0, sound(3.0, 2, 3.0), Part(SpeechEnded(6.0, turn_follows=detected)))
    bench.feed(6.5, sound(0.5, 0, 6.0), *([turn_ended(6.0)] if detected else []))
    assert bench.signals == []
    bench.over(8.0)
    assert bench.prompt()[:2] == ["user: 1 s", "model: By law"]
    assert bench.replies[-1].prompt[-1].seconds >= 3.0
    bench.over(9.0)
    bench.until(60.0)
    assert (bench.floor(), len(bench.replies)) == ("idle", 2)


@pytest.mark.parametrize(("text", "answered"), [("Stop that.", True), ("mm-hm", False)])
def test_words_over_a_protected_reply_without_a_detector(text: str, answered: bool) -> None:
    """They are judged when they are final, as those of a detected turn are."""
    bench = answering("It is")
    bench.over(2.5)
    bench.feed(3.0, Part(Say("By law we record this.", protected=True)))
    bench.hear(3.0, "By law")
    bench.feed(4.0, started(3.5), Part(SpeechEnded(4.0)), final(text, 4.0))
    assert bool(bench.told("dismissed")) != answered
    bench.over(6.0)
    assert (bench.prompt()[-1] == f"user: {text}") == answered


def test_a_line_typed_over_a_protected_reply_is_an_answer() -> None:
    """Nobody types "yes" to show that they listen."""
    bench = Bench()
    bench.feed(1.0, Part(Say("We record this. Do you agree?", protected=True)))
    bench.hear(1.0, "We record this.")
    bench.feed(2.0, final("yes"), turn_ended(2.0))
    assert bench.outstanding == [1]
    bench.over(4.0)
    assert bench.prompt()[-1] == "user: yes"


# -- replies that end in another way ----------------------------------------------------------


def test_what_came_before_a_timeout_is_in_the_next_prompt() -> None:
    """A picture that was sent while the model hung, and the event that wants it to speak."""
    bench = answering("", answer_within_s=4.0)
    rang = Event("doorbell", triggers_turn="after", text="the doorbell rings")
    bench.feed(2.0, Part("a picture", role="context"), Part(rang))
    bench.until(5.0)
    assert bench.endings() == [(1, "timeout")]
    assert bench.prompt()[-2:] == ["context: a picture", "user: the doorbell rings"]


def test_a_stop_button_after_a_long_noise() -> None:
    """The reply that might have come back does not: it is over, and nothing is owed."""
    bench = answering("It is")
    bench.feed(3.0, started(3.0))
    bench.until(4.5)
    assert bench.signals[-1] == Interrupted(1, "It is")
    bench.feed(4.6, Part(Interrupted(1)))
    bench.feed(5.5, ended(5.0), turn_ended(5.0))
    bench.until(60.0)
    assert (bench.floor(), len(bench.replies)) == ("idle", 1)
    assert bench.machine.done()


def test_a_wish_after_a_reset_waits_until_the_user_has_stopped() -> None:
    """A reset frees the floor, not the air."""
    bench = Bench()
    bench.feed(1.0, started(1.0), Part(Reset(0)), Part(Say("Your taxi is here.")))
    assert bench.replies == []
    bench.feed(2.0, ended(2.0))
    assert bench.outstanding == [1]


def test_a_stash_that_loses_something_says_so_once() -> None:
    """And an event of which the model is to speak is not lost before others."""
    bench = answering("It is")
    rang = Event("doorbell", triggers_turn="after", text="the doorbell rings")
    bench.feed(2.5, Part(rang), *[Part(Data({"n": n})) for n in range(300)])
    [told] = bench.told("failed")
    assert told["what"] == "prompt"
    assert "256 parts" in str(told["error"])
    bench.over(4.0)
    assert "user: the doorbell rings" in bench.prompt()


def test_said_and_asked_in_one_moment() -> None:
    """Wishes change nothing about what the user has said."""
    bench = Bench()
    bench.feed(1.0, Part(Ask()), *said("What time is it?", 1.0))
    bench.over(2.0)
    bench.until(60.0)
    assert any("user: What time is it?" in bench.prompt(n) for n in range(len(bench.replies)))
