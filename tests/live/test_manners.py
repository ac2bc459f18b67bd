"""How a conversation is held: policies of interruption, protected replies, wishes, initiative."""

from typing import Any

import msgspec
import pytest

from tests.live.bench import (
    END_OF_SPEECH,
    Bench,
    answering,
    ended,
    final,
    interim,
    said,
    sound,
    started,
    turn_ended,
)
from vivace.errors import StageError
from vivace.live.agenda import Initiative
from vivace.live.reply import MakeReply, PromptEnded
from vivace.machines.interrupt import Interrupt
from vivace.machines.machine import Announce, Cancel, Tell
from vivace.machines.pressure import Shedding
from vivace.machines.window import Window
from vivace.part import (
    Ask,
    Held,
    Interrupted,
    Part,
    Reset,
    Resumed,
    Say,
    SpeechEnded,
    TurnEnded,
)
from vivace.part import Event as Seen

# -- what a sound over a reply must be like ---------------------------------------------------


def test_at_once() -> None:
    """The reply is cancelled with the first sound of speech over it."""
    bench = answering("It is", interrupt=Interrupt.at_once)
    bench.feed(3.0, started(3.0))
    assert bench.announced == [(3.0, Held(1)), (3.0, Interrupted(1, "It is"))]
    assert bench.floor() == "user"


def test_after_a_while() -> None:
    """The reply is held from the first sound on, and cancelled when it has lasted long enough."""
    bench = answering("It is", interrupt=Interrupt.after(speech_s=0.5))
    bench.feed(3.0, started(3.0))
    bench.until(9.0)
    assert bench.announced == [(3.0, Held(1)), (3.5, Interrupted(1, "It is"))]


def test_what_is_no_interruption_is_answered_later() -> None:
    """One word where two are asked for: the reply goes on, and the word is answered after it."""
    bench = answering("It is", interrupt=Interrupt.after(words=2))
    bench.feed(3.0, *said("really", 3.0))
    assert bench.signals == [Held(1), Resumed(1)]
    bench.hear(3.5, " noon.")
    bench.over(4.0)
    assert bench.prompt() == ["user: What time is it?", "model: It is noon.", "user: really"]
    assert bench.outstanding == [2]


def test_a_text_that_comes_after_the_reply_went_on() -> None:
    """Words told late, of a sound that was dismissed, are judged like others."""
    bench = answering("It is", interrupt=Interrupt.after(words=2))
    bench.feed(3.0, started(3.0))
    bench.feed(3.25, ended(3.25))
    bench.until(5.0)
    assert bench.signals == [Held(1), Resumed(1)]
    bench.feed(5.0, interim("stop", 3.25))
    assert bench.signals == [Held(1), Resumed(1)]
    bench.feed(5.0, interim("stop that", 3.25))
    assert bench.signals[-1] == Interrupted(1, "It is")


def test_a_long_mm_hm_is_held_no_longer_than_a_hold_may_be() -> None:
    """It does not interrupt by its length; four seconds of it do, since nobody waits longer."""
    bench = answering("It is")
    bench.feed(3.0, started(3.0))
    bench.feed(3.75, interim("yeah right", 3.75))
    bench.until(9.0)
    assert bench.announced == [(3.0, Held(1)), (7.0, Interrupted(1, "It is"))]


def test_the_user_may_choose_the_languages() -> None:
    """What is "mm-hm" in one language is an interruption where another is spoken."""
    for languages, signals in ((("de",), [Held(1), Resumed(1)]), (("en",), [Held(1)])):
        bench = answering(interrupt=Interrupt.unless_backchannel(languages))
        bench.feed(3.0, *said("genau", 3.0))
        assert bench.signals[: len(signals)] == signals
        assert (Interrupted(1, "It is") in bench.signals) == (languages == ("en",))


# -- protected replies ------------------------------------------------------------------------


def test_never() -> None:
    """The reply is not even held; what is said over it is answered when it is over."""
    bench = answering("It is", interrupt=Interrupt.never)
    bench.feed(3.0, *said("stop that at once", 3.0))
    assert (bench.signals, bench.outstanding) == ([], [1])
    bench.hear(3.5, " noon.")
    bench.over(4.0)
    assert bench.prompt() == [
        "user: What time is it?",
        "model: It is noon.",
        "user: stop that at once",
    ]
    assert bench.outstanding == [2]


def test_who_speaks_at_the_end_of_a_protected_reply_has_the_floor() -> None:
    """The agent does not answer into what the user is still saying."""
    bench = answering("It is", interrupt=Interrupt.never)
    bench.feed(3.0, started(3.0))
    bench.over(3.5)
    assert (bench.floor(), bench.outstanding) == ("user", [])
    bench.feed(4.0, ended(4.0), final("And in Rome?", 4.0), turn_ended(4.0))
    assert bench.prompt()[-1] == "user: And in Rome?"


@pytest.mark.parametrize("text", ["And in Rome?", ""])
def test_the_input_ends_while_somebody_speaks_over_a_protected_reply(text: str) -> None:
    """Nothing will tell that they have stopped: what was said is answered, and then all is done."""
    bench = answering("It is", interrupt=Interrupt.never)
    bench.feed(3.0, started(3.0), *([final(text, 3.2)] if text else []))
    bench.finish(3.5)
    bench.over(4.0)
    if text:
        assert bench.prompt()[-1] == f"user: {text}"
        bench.over(5.0)
    assert (bench.floor(), bench.machine.done()) == ("idle", True)


def test_the_input_ends_while_the_program_holds_the_reply() -> None:
    """It passes on what the program says of holds; what it leaves held would be so for ever."""
    cases: list[tuple[list[Held | Resumed], list[Part]]] = [
        ([], []),
        ([Held(1), Held(0), Resumed(0)], [Part(Resumed(1))]),
        ([Held(1), Resumed(1)], []),
    ]
    for told, left in cases:
        bench = answering("It is")
        for signal in told:
            assert bench.feed(3.0, Part(signal)) == [Part(signal)]
        assert bench.finish(4.0)[: len(left)] == left
        assert bench.signals == []


def test_mm_hm_over_a_protected_reply() -> None:
    """It is told to be dismissed, and never answered."""
    bench = answering("It is", interrupt=Interrupt.unless_backchannel())
    bench.feed(2.5, Part(Say("By law we record this.", protected=True)))
    bench.over(3.0)
    assert bench.outstanding == [2]
    bench.hear(3.25, "By law")
    bench.feed(3.5, *said("mm-hm", 3.5))
    assert bench.signals == []
    assert bench.told("dismissed") == [{"event": "dismissed", "text": "mm-hm"}]
    bench.until(60.0)
    bench.over(60.0)
    assert bench.floor() == "idle"
    assert len(bench.replies) == 2


def test_a_program_may_interrupt_what_is_protected() -> None:
    """It is protected from the user, not from the program."""
    bench = answering("It is", interrupt=Interrupt.never)
    bench.feed(3.0, Part(Interrupted(1)))
    assert bench.endings() == [(1, "interrupted")]
    assert bench.floor() == "idle"


# -- a reply that was cancelled for nothing ---------------------------------------------------


def cancelled_for_nothing(**manners: Any) -> Bench:
    """A long noise over the reply, at whose end nothing was said."""
    bench = answering("It is", **manners)
    bench.feed(3.0, started(3.0))
    bench.feed(5.0, ended(5.0))
    return bench


@pytest.mark.parametrize("detected", [True, False])
def test_it_comes_back(detected: bool) -> None:
    """At the end of the empty turn, or five seconds later, it goes on under a new number."""
    bench = cancelled_for_nothing()
    assert bench.announced[-1] == (4.0, Interrupted(1, "It is"))
    made = bench.replies[0].job.made
    if detected:
        bench.feed(5.5, turn_ended(5.0))
    bench.until(10.0)
    assert [(reply.turn, reply.job.made is made) for reply in bench.replies] == [
        (1, True),
        (2, True),
    ]
    assert bench.went_on == [bench.ledger.heard(1)]
    assert bench.told("brought_back") == [{"event": "brought_back", "turn": 2}]
    bench.hear(11.0, " noon.", 2)
    bench.over(12.0)
    bench.feed(20.0, *said("Thank you very much", 20.0))
    assert bench.prompt() == [
        "user: What time is it?",
        "model: It is—",
        "model:  noon.".replace("  ", " "),
        "user: Thank you very much",
    ]


def test_it_may_come_back_more_than_once() -> None:
    """Each time it goes on from what was heard under the number before."""
    bench = cancelled_for_nothing()
    bench.feed(5.5, turn_ended(5.0))
    bench.hear(6.0, " noon", 2)
    bench.feed(7.0, started(7.0))
    bench.feed(9.0, ended(9.0), turn_ended(9.0))
    assert [reply.turn for reply in bench.replies] == [1, 2, 3]
    assert bench.went_on[1:] == [bench.ledger.heard(2)]
    assert len({reply.job.made for reply in bench.replies}) == 1


def test_mm_hm_after_it_was_cancelled_is_nothing() -> None:
    """ "Yeah", said into the silence after a false interruption, lets the reply go on."""
    bench = cancelled_for_nothing()
    bench.feed(5.5, final("yeah", 5.0), turn_ended(5.0))
    assert len(bench.told("brought_back")) == 1
    assert bench.prompt(0) == ["user: What time is it?"]


def test_words_after_it_was_cancelled_are_something() -> None:
    """The old reply is dropped for good as soon as words are known, and they are answered."""
    bench = cancelled_for_nothing()
    made = bench.replies[0].job.made
    out = bench.feed(5.25, interim("and in Rome", 5.0))
    assert Cancel(made) in out
    bench.feed(5.5, final("And in Rome?", 5.0), turn_ended(5.0))
    assert bench.prompt() == ["user: What time is it?", "model: It is—", "user: And in Rome?"]


def test_a_typed_text_after_it_was_cancelled() -> None:
    """Whatever is typed counts."""
    bench = cancelled_for_nothing()
    bench.feed(5.5, final("yeah"), turn_ended(5.0))
    assert bench.prompt()[-1] == "user: yeah"


def test_a_reset_drops_it() -> None:
    """Nothing comes back after a reset, or after the end."""
    bench = cancelled_for_nothing()
    made = bench.replies[0].job.made
    assert Cancel(made) in bench.feed(5.25, Part(Reset(1)))
    bench.until(60.0)
    assert len(bench.replies) == 1


# -- the model reads ahead --------------------------------------------------------------------


def test_the_model_reads_while_the_user_speaks() -> None:
    """It is given what is known at the first sound, then the turn, and then the end of it."""
    bench = Bench()
    [made] = [it for it in bench.feed(1.0, started(1.0)) if isinstance(it, MakeReply)]
    assert made == made
    assert bench.reading[made] == []
    picture = Part.image(b"x")
    assert Tell(made, picture) in bench.feed(1.5, picture)
    out = bench.feed(2.0, ended(2.0), final("Look!", 2.0), turn_ended(2.0))
    assert [it.item for it in out if isinstance(it, Tell)] == [final("Look!", 2.0), PromptEnded()]
    assert bench.replies[0].job.made is made


def test_a_noise_lets_nobody_begin_anew() -> None:
    """What reads ahead waits for the next turn if this one came to nothing."""
    bench = Bench()
    bench.feed(1.0, started(1.0))
    bench.feed(1.5, ended(1.5), turn_ended(1.5))
    bench.feed(3.0, *said("Hello you", 3.0))
    assert len(bench.reading) == 1
    assert bench.prompt() == ["user: Hello you"]


def test_a_prompt_that_changed_from_its_beginning() -> None:
    """A system part leads the prompt, so whoever has read on without it begins anew."""
    bench = Bench()
    bench.feed(0.5, Part("Earlier"))
    bench.until(10.0)
    bench.over(10.0)
    bench.feed(11.0, started(11.0))
    [*_, first] = bench.reading
    out = bench.feed(11.5, Part("Be kind", role="system"))
    assert Cancel(first) in out
    bench.feed(12.0, ended(12.0), final("Hello you", 12.0), turn_ended(12.0))
    assert bench.prompt() == ["system: Be kind", "user: Earlier", "user: Hello you"]


def test_a_turn_of_many_pictures() -> None:
    """A reader that would be told more than a channel holds gets a new prompt instead."""
    bench = Bench()
    bench.feed(1.0, started(1.0))
    bench.feed(1.5, *[Part.image(bytes([n])) for n in range(80)])
    bench.feed(2.0, ended(2.0), final("Look!", 2.0), turn_ended(2.0))
    assert len(bench.replies[0].prompt) == 81
    assert len(bench.reading) == 1


def test_nobody_reads_on_after_the_end() -> None:
    """When the input ends with nothing to answer, what reads ahead is stopped."""
    bench = Bench()
    bench.feed(1.0, started(1.0))
    bench.feed(1.5, ended(1.5), turn_ended(1.5))
    [made] = bench.reading
    assert Cancel(made) in bench.finish(2.0)
    assert bench.machine.done()


# -- on a guess -------------------------------------------------------------------------------


def guessing(text: str = "What time is it?", **manners: Any) -> Bench:
    """The user has probably finished: the silence is not long enough to be sure."""
    bench = Bench(speculate=True, **manners)
    bench.feed(1.0, started(0.5), ended(1.0), interim(text, 1.0))
    return bench


def test_a_right_guess() -> None:
    """The reply that was begun early goes out when the turn has ended."""
    bench = guessing()
    [made] = bench.ended
    assert bench.replies == []
    bench.feed(1.5, final("What time is it?", 1.0), turn_ended(1.0))
    assert [reply.job.made for reply in bench.replies] == [made]
    assert bench.prompt() == ["user: What time is it?"]
    assert bench.told("speculated") == [{"event": "speculated", "right": True, "turn": 1}]


def test_nobody_guesses_under_pressure() -> None:
    """From level 2 on the model is asked once the turn is sure; that is counted, and comes back."""
    shedding = Shedding(2)
    bench = guessing(shedding=shedding)
    assert bench.ended == set()
    bench.feed(1.5, final("What time is it?", 1.0), turn_ended(1.0))
    assert bench.prompt() == ["user: What time is it?"]
    assert bench.told("speculated") == []
    assert shedding.counts == {"speculation": 1}
    assert guessing(shedding=Shedding(1)).ended


def test_one_video_frame_a_second_under_pressure() -> None:
    """The others are left out of the prompt, while a reply is out too; none of the agent's is."""
    shedding = Shedding(1)
    bench = Bench(shedding=shedding)
    for at in (1.0, 1.25, 1.5, 2.0, 2.25):
        bench.feed(at, Part.image(b"frame", at=at))
        bench.feed(at, Part.image(b"drawn", role="model"))
    assert sum(part.bytes == b"frame" for part in bench.window.parts()) == 2
    assert sum(part.bytes == b"drawn" for part in bench.window.parts()) == 5
    assert shedding.counts == {"frames": 3}
    shedding.level = 0
    bench.feed(2.5, Part.image(b"frame", at=2.5))
    assert sum(part.bytes == b"frame" for part in bench.window.parts()) == 3


def test_a_wrong_guess() -> None:
    """The user goes on: the reply is dropped, has no number, and is in no prompt."""
    bench = guessing("What time")
    [made] = bench.ended
    assert Cancel(made) in bench.feed(1.25, started(1.25))
    bench.feed(2.0, ended(2.0), final("What time is it?", 2.0), turn_ended(2.0))
    assert [reply.turn for reply in bench.replies] == [1]
    assert bench.prompt() == ["user: What time is it?"]
    assert bench.told("speculated") == [{"event": "speculated", "right": False, "turn": 0}]


def test_a_guess_at_other_words() -> None:
    """The final text is another one than the guess was made on: it is answered as it is."""
    bench = guessing("What time")
    [made] = bench.ended
    out = bench.feed(1.5, final("What climate?", 1.0), turn_ended(1.0))
    assert Cancel(made) in out
    assert bench.prompt() == ["user: What climate?"]


def test_a_guess_and_a_picture() -> None:
    """What comes meanwhile enters the prompt after the reply, as while one is out."""
    bench = guessing()
    [made] = bench.ended
    bench.feed(1.25, Part.image(b"x"))
    bench.feed(1.5, final("What time is it?", 1.0), turn_ended(1.0))
    assert [reply.job.made for reply in bench.replies] == [made]
    assert [part.text for part in bench.window.parts()] == ["What time is it?"]
    bench.hear(2.0, "Four.")
    bench.over(2.5)
    assert [part.text for part in bench.window.parts()] == ["What time is it?", "Four.", ""]


def test_a_wrong_guess_and_a_picture() -> None:
    """It enters the prompt when the user goes on, or is answered with what was said instead."""
    bench = guessing("What time")
    bench.feed(1.25, Part.image(b"x"))
    bench.feed(1.3, started(1.25))
    assert [part.bytes for part in bench.window.parts()] == [b"x"]
    bench = guessing("What time")
    bench.feed(1.25, Part.image(b"x"))
    bench.feed(1.5, final("What climate?", 1.0), turn_ended(1.0))
    assert [part.bytes for part in bench.replies[0].prompt] == [b"x", b"What climate?"]


def test_a_guess_and_an_event() -> None:
    """The model is to know of it: the guess was made without, and is dropped."""
    bench = guessing()
    [made] = bench.ended
    assert Cancel(made) in bench.feed(1.25, Part(Seen("door"), role="user"))
    bench.feed(1.5, final("What time is it?", 1.0), turn_ended(1.0))
    assert len(bench.replies[0].prompt) == 2


def test_a_guess_and_points() -> None:
    """The final text has the same words: capitals and points are put in late."""
    bench = guessing("what time is it")
    [made] = bench.ended
    bench.feed(1.5, final("What time is it?", 1.0), turn_ended(1.0))
    assert [reply.job.made for reply in bench.replies] == [made]
    assert [part.text for part in bench.window.parts()] == ["What time is it?"]


def test_a_guess_while_a_tool_runs() -> None:
    """The model is told of it with the guess, and need not be asked a second time."""
    bench = answering("One moment.")
    bench.feed(2.5, Part.call("lamp", id="1", turn=1))
    bench.over(3.0)
    bench.machine._manners = msgspec.structs.replace(bench.machine._manners, speculate=True)
    bench.feed(4.0, started(3.5), ended(4.0), interim("And the door?", 4.0))
    bench.feed(4.5, final("And the door?", 4.0), turn_ended(4.0))
    assert bench.told("speculated") == [{"event": "speculated", "right": True, "turn": 2}]
    note = "user: (Still running, without a result yet: lamp({}).)"
    assert bench.prompt()[-2:] == [note, "user: And the door?"]
    assert [part.text for part in bench.replies[-1].prompt if part.metadata.get("note")]


def test_a_guess_at_a_sound() -> None:
    """A model that hears is given the sound so far; more silence does not make it another one."""
    bench = Bench(END_OF_SPEECH, speculate=True)
    bench.feed(1.0, started(0.5), sound(0.5, 3, 0.5))
    bench.feed(1.0, Part(SpeechEnded(1.0, turn_follows=True), at=1.0))
    [made] = bench.ended
    bench.feed(1.5, sound(0.5, 0, 1.0), turn_ended(1.0))
    assert [reply.job.made for reply in bench.replies] == [made]


def test_nothing_is_guessed_unasked() -> None:
    """Without `speculate` no prompt ends before its turn, nor of an empty one with it."""
    for bench in (Bench(), Bench(speculate=True)):
        text = "" if bench.machine._manners.speculate else "What time is it?"
        bench.feed(1.0, started(0.5), ended(1.0), interim(text, 1.0))
        assert not bench.ended


# -- turns of the program's -------------------------------------------------------------------


def test_say_this() -> None:
    """What the program says is a reply of its own, and the prompt knows what was heard of it."""
    bench = Bench()
    bench.feed(1.0, Part(Say("Welcome to the bank.")))
    [reply] = bench.replies
    assert (reply.turn, reply.job.made.said) == (1, True)
    assert reply.prompt == [Part("Welcome to the bank.", role="model")]
    bench.hear(1.5, "Welcome to")
    bench.feed(2.0, *said("I lost my card", 2.0))
    assert bench.endings() == [(1, "interrupted")]
    assert bench.prompt() == ["model: Welcome to—", "user: I lost my card"]


def test_ask_again() -> None:
    """The model is asked though nothing is new."""
    bench = answering("It is")
    bench.over(3.0)
    bench.feed(4.0, Part(Ask()))
    assert bench.prompt() == ["user: What time is it?", "model: It is"]
    assert bench.outstanding == [2]


def test_wishes_wait_until_nobody_speaks() -> None:
    """In order, one at a time; and whoever waits for an answer comes first."""
    bench = Bench()
    bench.feed(1.0, started(1.0))
    bench.feed(1.5, Part(Say("one")), Part(Say("two")))
    bench.feed(2.0, ended(2.0), final("Hello you", 2.0), turn_ended(2.0))
    assert bench.prompt() == ["user: Hello you"]
    for turn in (2, 3):
        bench.over(2.0 + turn)
        assert bench.outstanding == [turn]
    assert [news["text"] for news in bench.told("saying")] == ["one", "two"]


def test_a_sound_before_it_does_not_cancel_what_was_just_asked_for() -> None:
    """The text of an earlier noise comes late, and is no interruption of what began since."""
    bench = Bench()
    bench.feed(1.0, started(1.0))
    bench.feed(1.5, ended(1.5), turn_ended(1.5))
    bench.feed(2.0, Part(Say("Your taxi is here.")))
    bench.feed(2.25, interim("hello there", 1.5))
    assert (bench.signals, bench.outstanding) == ([], [1])


def test_more_wishes_than_anybody_wants_to_hear() -> None:
    """Sixteen may wait; one more is told to have failed."""
    bench = answering("It is")
    bench.feed(3.0, *[Part(Say(f"{n}")) for n in range(17)])
    assert bench.told("failed") == [
        {"event": "failed", "what": "wish", "error": "16 wishes wait already; say less at once"}
    ]


def test_a_reset_forgets_wishes() -> None:
    """Nothing is said any more that was wished for before."""
    bench = answering("It is")
    bench.feed(3.0, Part(Say("one")), Part(Reset(1)))
    bench.until(60.0)
    assert bench.outstanding == []


def test_interim_texts_alone_tell_that_the_user_speaks() -> None:
    """Nobody detects speech: wishes and the idle prompt wait for the final text, or 5 s."""
    bench = Bench(initiative=Initiative(idle_s=5.0))
    for at in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
        bench.feed(at, Part("what is", metadata={"is_final": False}))
        bench.feed(at, Part(Say("Rain."))) if at == 3.0 else None
    assert bench.replies == []
    bench.feed(7.0, Part("What is this?", metadata={"is_final": True}))
    assert bench.prompt() == ["user: What is this?"]
    bench.over(8.0)
    assert bench.replies[-1].prompt == [Part("Rain.", role="model")]
    bench.over(9.0)
    bench.feed(10.0, Part("uh", metadata={"is_final": False}), Part(Say("Sun.")))
    bench.until(14.9)
    assert len(bench.replies) == 2
    bench.until(15.1)
    assert bench.replies[-1].prompt == [Part("Sun.", role="model")]


def test_the_input_ends_with_an_interim_text() -> None:
    """Nobody speaks any more: what was wished for is said."""
    bench = Bench()
    bench.feed(1.0, Part("what", metadata={"is_final": False}), Part(Say("Rain.")))
    bench.finish(1.5)
    assert bench.replies[-1].prompt == [Part("Rain.", role="model")]


def test_the_end_of_the_input_leaves_no_wish_open() -> None:
    """What was wished for is said, and then all is done."""
    bench = answering("It is")
    bench.feed(3.0, Part(Say("Goodbye.")))
    bench.finish(3.5)
    bench.over(4.0)
    assert bench.outstanding == [2]
    assert not bench.machine.done()
    bench.over(5.0)
    assert bench.machine.done()


# -- the program's own pause ------------------------------------------------------------------


def test_a_cough_does_not_end_the_pause_of_the_program() -> None:
    """The reply goes on when the program says so; the user's sound alone does not let it."""
    bench = answering("It is")
    bench.feed(2.5, Part(Held(1)))
    bench.feed(3.0, started(3.0))
    bench.feed(3.3, ended(3.3))
    bench.until(8.0)
    assert Resumed(1) not in bench.signals
    assert bench.floor() == "agent"
    assert Part(Resumed(1)) in bench.feed(9.0, Part(Resumed(1)))


def test_the_pause_ends_while_the_user_is_heard() -> None:
    """Nobody is talked over: it goes on when that has come to nothing."""
    bench = answering("It is")
    bench.feed(2.5, Part(Held(1)))
    bench.feed(3.0, started(3.0))
    assert bench.feed(3.2, Part(Resumed(1))) == []
    bench.feed(3.3, ended(3.3))
    bench.until(8.0)
    assert bench.signals == [Held(1), Resumed(1)]


def test_a_pause_before_the_first_sound() -> None:
    """A model has as long to answer as ever, pauses left out."""
    bench = answering("")
    bench.feed(2.0, Part(Held(1)))
    bench.until(60.0)
    assert bench.endings() == []
    bench.feed(60.0, Part(Resumed(1)))
    bench.until(89.9)
    assert bench.endings() == []
    bench.until(90.1)
    assert bench.endings() == [(1, "timeout")]


# -- what the agent begins by itself ----------------------------------------------------------


@pytest.mark.parametrize("greeting", ["Hello!", True])
def test_a_greeting(greeting: str | bool) -> None:
    """It is due before anything has come; said as it is, or by the model."""
    bench = Bench(initiative=Initiative(greeting))
    due = bench.machine.deadline()
    assert due is not None
    assert due <= 0.0
    bench.take(bench.machine.tick(0.0))
    assert bench.outstanding == [1]
    assert bench.replies[0].job.made.said == (greeting != True)  # noqa: E712
    bench.until(9.0)
    assert len(bench.replies) == 1


def test_a_long_silence_is_broken_once() -> None:
    """So long after the last that was heard, the model is asked; again only after the user."""
    bench = answering("It is", initiative=Initiative(idle_s=10.0, idle_prompt="(silence)"))
    bench.until(30.0)
    assert len(bench.replies) == 1
    bench.over(40.0)
    assert bench.machine.deadline() == 50.0
    bench.until(50.0)
    assert bench.prompt() == ["user: What time is it?", "model: It is", "user: (silence)"]
    bench.over(52.0)
    bench.until(500.0)
    assert len(bench.replies) == 2
    bench.feed(600.0, started(600.0))
    bench.feed(601.0, ended(601.0), turn_ended(601.0))
    assert bench.machine.deadline() == 611.0


def test_a_silence_without_a_prompt() -> None:
    """The model is asked with nothing new."""
    bench = Bench(initiative=Initiative(idle_s=5.0, idle_prompt=""))
    bench.until(5.0)
    assert bench.prompt() == []


def test_a_silence_of_no_time() -> None:
    """It would be broken for ever; the error says what to give."""
    with pytest.raises(StageError, match="give seconds above 0"):
        Initiative(idle_s=0.0)


# -- where nobody detects ends of turns -------------------------------------------------------


def plain_end(at: float, transcript: bool = False) -> Part:
    return Part(SpeechEnded(at, transcript_follows=transcript), at=at)


@pytest.mark.parametrize("text_first", [True, False])
def test_a_final_transcription_ends_the_turn(text_first: bool) -> None:
    """With the end of speech, in whatever order the two come."""
    bench = Bench()
    end, text = plain_end(1.0), final("What time is it?", 1.0)
    bench.feed(1.0, started(0.5), *([text, end] if text_first else [end, text]))
    assert bench.prompt() == ["user: What time is it?"]


def test_the_end_of_speech_ends_the_turn() -> None:
    """A model that hears is asked as soon as the user falls silent."""
    bench = Bench(END_OF_SPEECH)
    bench.feed(1.0, started(0.5), sound(0.5, 3, 0.5), plain_end(1.0))
    assert bench.prompt() == ["user: 0.5 s"]


@pytest.mark.parametrize(
    "part",
    [
        Part("hel", metadata={"is_final": False}),
        Part("hel", substream="input_transcription"),
        Part("hel", metadata={"interim": True}),
    ],
)
def test_transcripts_that_may_still_change(part: Part) -> None:
    """One that is not said to be final is interim."""
    bench = Bench()
    bench.feed(1.0, started(0.5), plain_end(1.0), part)
    assert bench.replies == []
    whole = Part("hello", substream="input_transcription", metadata={"is_final": True}, at=1.0)
    bench.feed(1.5, whole)
    assert bench.prompt() == ["user: hello"]


# -- what comes during a reply ----------------------------------------------------------------


def test_what_comes_during_a_reply_follows_it() -> None:
    """A picture that came while the agent spoke stands behind what was heard of it."""
    bench = answering("It is")
    bench.feed(2.5, Part.image(b"x"))
    bench.hear(3.0, " noon.")
    bench.over(3.5)
    bench.feed(5.0, *said("Look at that", 5.0))
    assert [part.mimetype for part in bench.replies[1].prompt] == [
        "text/plain",
        "text/plain",
        "image/jpeg",
        "text/plain",
    ]


def test_a_stash_has_a_bound() -> None:
    """Of many pictures the oldest are let go; calls and responses never are."""
    bench = answering("It is", window=Window(max_tokens=1_000_000))
    bench.feed(2.5, Part.call("lamp", id="1"))
    bench.feed(2.5, *[Part.image(bytes([n % 256])) for n in range(300)])
    bench.feed(2.5, Part.response("lamp", "on", id="1"))
    bench.over(3.5)
    kinds = [part.mimetype for part in bench.replies[-1].prompt]
    assert kinds.count("image/jpeg") == 255
    assert bench.machine._memory.stash_dropped == 45
    assert sum("call" in kind or "response" in kind for kind in kinds) == 2


def test_announced_ends_of_turns_are_others_affairs() -> None:
    """What stages tell each other about turns changes nothing here."""
    bench = answering("It is")
    assert bench.feed(3.0, TurnEnded(1.0)) == []
    assert Announce(Held(1)) not in bench.log
