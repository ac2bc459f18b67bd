"""What the user has said is answered, whenever it comes and whatever it comes over."""

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
from vivace.live.agenda import Initiative
from vivace.live.reply import AudioTriggerMode
from vivace.machines.interrupt import Interrupt
from vivace.part import (
    Ask,
    Data,
    Event,
    Interrupted,
    Part,
    Reset,
    Say,
    SpeechEnded,
    SpeechStarted,
)

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


@pytest.mark.parametrize(
    "text",
    [
        final("What time is it?", 1.0),
        final("What time is it?", 1.05),
        Part("What time is it?", metadata={"is_final": True}),
    ],
)
def test_a_transcript_of_what_a_model_has_heard_is_passed_on(text: Part) -> None:
    """Subtitles come when the model was asked with the sound already: it is asked once."""
    for at in (1.5, 3.0, 6.0):  # while it thinks, while it is heard, and after that
        bench = Bench(END_OF_SPEECH)
        bench.feed(0.0, started(0.0))
        bench.feed(1.0, sound(1.0, 1, 0.0), Part(SpeechEnded(1.0)))
        out = bench.feed(at, text) if at < 2 else []
        bench.hear(2.0, "Noon.")
        out = out or bench.feed(at, text) if at < 5 else []
        bench.over(5.0)
        out = out or bench.feed(at, text)
        assert text in out
        bench.until(60.0)
        assert [reply.turn for reply in bench.replies] == [1]


@pytest.mark.parametrize(
    "text",
    [
        Part("No!", metadata={"is_final": True}),
        Part("No!", substream="input_transcription", metadata={"is_final": True}),
        Part("No!", at=3.3),
    ],
)
def test_a_transcript_of_what_a_model_heard_as_a_cough_is_new(text: Part) -> None:
    """Half a second over the reply came to nothing; its words come late, and count."""
    bench = answering("It is", trigger=END_OF_SPEECH)
    bench.feed(3.0, started(3.0))
    bench.feed(3.3, sound(0.3, 3, 3.0), Part(SpeechEnded(3.3), at=3.3))
    bench.feed(3.8, text)
    bench.until(9.0)
    assert bench.endings() == [(1, "interrupted")]
    assert bench.prompt()[-1] == "user: No!"


def test_the_transcript_of_the_turn_may_come_after_a_cough() -> None:
    """It has no time, and says nothing new; the next one does."""
    bench = Bench(END_OF_SPEECH)
    bench.feed(2.0, started(1.0), sound(1.0, 3, 1.0), Part(SpeechEnded(2.0), at=2.0))
    bench.hear(2.5, "It is")
    bench.feed(3.3, started(3.0), sound(0.3, 3, 3.0), Part(SpeechEnded(3.3), at=3.3))
    bench.until(5.5)
    bench.feed(5.5, Part("What time is it?", metadata={"is_final": True}))
    bench.until(9.0)
    assert bench.endings() == []
    bench.feed(9.0, Part("No!", metadata={"is_final": True}))
    bench.until(12.0)
    assert bench.endings() == [(1, "interrupted")]


@pytest.mark.parametrize("late", [True, False])
def test_mm_hm_without_a_detector_of_turns_is_no_turn(late: bool) -> None:
    """Its text comes while the reply goes on, or is being heard without a sound of it told."""
    bench = Bench()
    bench.feed(1.0, started(0.0), Part(SpeechEnded(1.0)), final("What time is it?", 1.0))
    bench.hear(2.0, "It is")
    if late:
        bench.feed(3.0, started(3.0), Part(SpeechEnded(3.3)))
        bench.until(6.0)
    bench.feed(6.0, final("mm-hm", 3.3))
    assert bench.told("dismissed") == [{"event": "dismissed", "text": "mm-hm"}]
    bench.over(8.0)
    bench.until(60.0)
    assert [reply.turn for reply in bench.replies] == [1]


def test_a_turn_in_two_pieces_without_a_detector_of_turns() -> None:
    """The second comes while the model thinks about the first: it is asked with both."""
    bench = Bench()
    bench.feed(1.0, started(0.0), Part(SpeechEnded(1.0)), final("Turn on", 1.0))
    bench.feed(1.2, final("the light.", 1.1))
    assert bench.prompt() == ["user: Turn on", "user: the light."]
    assert bench.outstanding == [2]


def test_a_late_turn_does_not_cut_what_the_program_says() -> None:
    """It is answered after that: it was said before, and to somebody else."""
    bench = Bench()
    bench.feed(1.0, started(0.0), Part(SpeechEnded(1.0, turn_follows=True)))
    bench.feed(5.0, Part(Say("Your taxi is here.")))
    bench.until(6.5)
    bench.hear(6.5, "Your taxi")
    bench.feed(7.0, final("What time is it?", 1.0), turn_ended(1.0))
    assert (bench.signals, bench.outstanding) == ([], [1])
    bench.over(8.0)
    assert bench.prompt()[-1] == "user: What time is it?"


@pytest.mark.parametrize("key", [True, False])
def test_a_text_that_comes_after_its_turn_has_ended_over_a_reply(key: bool) -> None:
    """Nobody will end that turn once more: it is answered as soon as it is known."""
    bench = answering("It is")
    bench.feed(3.0, started(2.5))
    late = Part(SpeechEnded(2.9, turn_follows=True))
    bench.feed(3.1, *([turn_ended(2.95), late] if key else [late, turn_ended(2.9)]))
    bench.feed(3.5, final("And in Rome?", 2.9))
    assert bench.prompt()[-1] == "user: And in Rome?"
    assert bench.outstanding == [2]


def test_lines_typed_over_a_reply_wait_for_their_own_end() -> None:
    """Whoever has spoken before that without a detector of turns."""
    bench = Bench()
    bench.feed(1.0, started(0.0), Part(SpeechEnded(1.0)), final("What time is it?", 1.0))
    bench.hear(2.0, "It is")
    bench.feed(3.0, final("in Rome"))
    bench.feed(3.5, final("in Georgia"), turn_ended(3.5))
    assert bench.prompt()[-2:] == ["user: in Rome", "user: in Georgia"]
    assert [reply.turn for reply in bench.replies] == [1, 2]


# -- a key that is let go ---------------------------------------------------------------------


def test_a_line_without_an_end_waits_for_what_is_being_said() -> None:
    """Nobody detects ends of turns: the text that is promised ends it, or five seconds do."""
    for text in ("What time is it?", ""):
        bench = Bench()
        bench.feed(1.0, started(1.0))
        bench.feed(2.0, Part("in Paris"))
        bench.feed(3.0, Part(SpeechEnded(3.0, transcript_follows=True), at=3.0))
        assert bench.replies == []
        if text:
            bench.feed(3.3, final(text, 3.0))
        bench.until(3.4 if text else 8.0)
        assert bench.prompt() == ["user: in Paris", *([f"user: {text}"] if text else [])]
        bench.until(20.0)
        assert len(bench.replies) == 1


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


@pytest.mark.parametrize("hears", [True, False])
def test_a_line_typed_while_the_user_speaks_ends_nothing(hears: bool) -> None:
    """It is answered together with what is being said, of which nothing is lost."""
    bench = Bench(END_OF_SPEECH) if hears else Bench()
    bench.feed(1.0, started(1.0))
    bench.feed(3.0, sound(2.0, 1, 1.0), final("in Paris"), turn_ended(3.0))
    assert (bench.floor(), bench.replies) == ("user", [])
    bench.feed(6.0, sound(3.0, 1, 3.0), ended(6.0))
    bench.feed(6.2, *([] if hears else [final("What time is it?", 6.0)]), turn_ended(6.0))
    [reply] = bench.replies
    assert bench.prompt()[0] == "user: in Paris"
    if hears:
        assert sum(part.seconds for part in reply.prompt) == 5.0
    else:
        assert bench.prompt()[1:] == ["user: What time is it?"]


def test_an_interim_text_of_what_is_over_holds_nothing_up() -> None:
    """It comes after the end of its speech, its turn, or a reset: what is wished for is said."""
    for over in ([ended(1.3), turn_ended(1.3)], [turn_ended(1.3)], [Part(Reset(0))]):
        bench = Bench()
        bench.feed(1.0, started(1.0)) if len(over) == 2 else None
        bench.feed(1.2, interim("uh", 1.2))
        bench.feed(1.7, *over)
        bench.feed(1.8, *([interim("uh", 1.3)] if over[0].body != Reset(0) else []))
        bench.feed(2.0, Part(Say("Your taxi is here.")))
        assert len(bench.replies) == 1
    bench = Bench()
    bench.feed(1.0, Part("uh", metadata={"is_final": False}))
    bench.feed(1.5, Part("", metadata={"is_final": True}), Part(Say("Your taxi is here.")))
    assert len(bench.replies) == 1


def test_a_line_typed_between_interim_texts_does_not_end_them() -> None:
    """It waits with the wish, until the final text."""
    bench = Bench(initiative=Initiative(idle_s=2.0))
    bench.feed(1.0, Part("I want", metadata={"is_final": False}))
    bench.until(5.5)
    assert bench.replies == []
    bench.feed(5.6, Part("size 42"), Part(Say("Rain.")))
    bench.feed(5.9, Part("I want the red one", metadata={"is_final": True}))
    assert bench.prompt() == ["user: size 42", "user: I want the red one"]


def test_a_key_of_another_clock_hides_no_words() -> None:
    """Its time is taken for no later than the sound has come."""
    bench = Bench()
    bench.feed(2.0, sound(2.0, 1, 0.0), started(1.0), final("What time is it?", 1.9))
    bench.feed(2.0, turn_ended(1.7e9))
    assert len(bench.replies) == 1
    bench.hear(2.5, "Noon.")
    bench.feed(4.0, started(3.0), interim("no, wait", 4.0))
    assert bench.cancelled == [1]


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


@pytest.mark.parametrize("stopped", [True, False])
def test_a_protected_reply_that_ends_before_the_turn_over_it(stopped: bool) -> None:
    """A detector has still to tell whether the user has finished: nobody speaks until then."""
    bench = hears(interrupt=Interrupt.never)
    bench.feed(3.0, started(3.0))
    bench.feed(5.0, sound(2.0, 2, 3.0), Part(SpeechEnded(5.0, turn_follows=True)))
    if stopped:
        bench.feed(5.2, Part(Interrupted(1)))
    else:
        bench.over(5.2)
    bench.feed(5.3, Part(Say("Your taxi is here.")))
    assert (bench.floor(), bench.outstanding) == ("pause", [])
    bench.feed(6.0, turn_ended(5.0))
    assert bench.replies[-1].prompt[-1].seconds >= 2.0
    assert len(bench.replies) == 2


@pytest.mark.parametrize("stopped", [True, False])
def test_the_input_ends_while_a_protected_reply_is_heard(stopped: bool) -> None:
    """What a model that hears was told over it is answered, and then all is done."""
    bench = hears(interrupt=Interrupt.never)
    bench.feed(3.0, started(3.0))
    bench.feed(5.0, sound(2.0, 2, 3.0))
    if stopped:
        bench.feed(5.2, Part(SpeechEnded(5.0, turn_follows=True)))
    bench.finish(5.3)
    bench.over(6.0)
    assert bench.replies[-1].prompt[-1].seconds >= 2.0
    bench.over(7.0)
    assert bench.machine.done()
    assert len(bench.replies) == 2


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [(Interrupt.after(speech_s=2.0), 1.5), (Interrupt.after(words=2), 1.2)],
)
def test_what_was_short_over_a_reply_is_heard_after_it(policy: Interrupt, seconds: float) -> None:
    """A model that hears is asked with it, though it was no interruption; a cough is forgotten."""
    bench = answering("It is", trigger=END_OF_SPEECH, interrupt=policy)
    for length in (0.3, seconds, 0.2):
        at = bench.now + 1.0
        bench.feed(at, started(at))
        bench.feed(at + length, sound(length, 3, at))
        bench.feed(at + length, Part(SpeechEnded(at + length), at=at + length))
        bench.until(at + length + 1.6)
    assert bench.endings() == []
    bench.over(20.0)
    assert len(bench.replies) == 2
    assert bench.prompt()[-2] == "model: It is"
    assert float(bench.prompt()[-1].split()[1]) >= seconds


@pytest.mark.parametrize(("probability", "cut"), [(0.5, False), (0.95, True)])
def test_side_talk_is_known_at_the_end_of_its_turn(probability: float, cut: bool) -> None:
    """A policy sees how sure the detector was, also with the final text and after the verdict."""
    policy = Interrupt.unless_backchannel(unless=lambda overlap: overlap.probability < 0.7)
    bench = answering("It is", interrupt=policy)
    bench.feed(3.0, Part(SpeechStarted(3.0, probability), at=3.0))
    bench.feed(3.8, ended(3.8), interim("put it over", 3.8))
    bench.feed(4.2, final("Put it over there.", 3.8), turn_ended(3.8))
    bench.until(6.0)
    assert (bench.endings() == [(1, "interrupted")]) == cut


def test_late_words_and_the_length_of_their_sound() -> None:
    """Both are asked for, and the words come when the sound has come to nothing."""
    bench = answering("It is", interrupt=Interrupt.after(speech_s=0.5, words=2))
    bench.feed(3.0, started(3.0))
    bench.feed(3.8, ended(3.8))
    bench.feed(5.5, final("put it there", 3.8), turn_ended(3.8))
    assert bench.endings() == [(1, "interrupted")]


def test_yes_counts_after_all_and_that_is_told() -> None:
    """Dismissed shortly before the end of the reply, it was an answer to it."""
    bench = answering("Shall I?")
    bench.feed(2.2, *said("yes", 2.2))
    assert bench.told("dismissed") == [{"event": "dismissed", "text": "yes"}]
    bench.over(2.5)
    assert bench.told("counted") == [{"event": "counted", "text": "yes"}]


def test_what_is_said_when_the_end_of_a_cough_is_told_is_kept() -> None:
    """A model that hears is given all of it."""
    bench = hears()
    bench.feed(3.2, started(3.0), sound(0.2, 3, 3.0), Part(SpeechEnded(3.2, turn_follows=True)))
    bench.feed(4.0, started(3.9))
    bench.feed(4.2, sound(0.5, 2, 3.7), turn_ended(3.2))
    bench.feed(7.0, sound(2.8, 2, 4.2), Part(SpeechEnded(7.0, turn_follows=True)), turn_ended(7.0))
    assert bench.replies[-1].prompt[-1].seconds >= 3.0


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


@pytest.mark.parametrize("stopped", [True, False])
def test_a_protected_reply_that_ends_otherwise_while_the_user_speaks(stopped: bool) -> None:
    """Stopped by the program, or out of time: nobody talks over them, and they are answered."""
    bench = Bench(interrupt=Interrupt.never, answer_within_s=4.0)
    bench.feed(1.0, *said("What time is it?", 1.0))
    if stopped:
        bench.hear(2.0, "It is")
    bench.feed(4.5, started(4.5))
    bench.feed(5.5, *([Part(Interrupted(1))] if stopped else []), Part(Ask()))
    assert (bench.floor(), len(bench.replies)) == ("user", 1)
    bench.feed(6.0, ended(6.0), final("And in Rome?", 6.0), turn_ended(6.0))
    assert bench.prompt()[-1] == "user: And in Rome?"


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


def test_stopped_when_the_reply_is_over() -> None:
    """A button is late: what was heard is told all the same, and again if it is pressed again."""
    bench = answering("It is noon.")
    bench.over(3.0)
    for at in (3.5, 4.0):
        bench.feed(at, Part(Interrupted(1)))
        assert bench.signals[-1] == Interrupted(1, "It is noon.")


def test_no_silence_is_broken_while_the_user_speaks() -> None:
    """Not after a reset either, that has freed the floor."""
    bench = Bench(initiative=Initiative(idle_s=3.0))
    bench.feed(1.0, started(1.0), Part(Reset(0)))
    bench.until(20.0)
    assert bench.replies == []
    bench.feed(20.0, ended(20.0))
    bench.until(30.0)
    assert len(bench.replies) == 1


def test_a_guess_at_a_turn_that_comes_to_nothing() -> None:
    """It is dropped with it, and told to have been wrong."""
    bench = Bench(speculate=True)
    bench.feed(1.0, started(0.5), interim("uh", 1.0), ended(1.0), interim("uh", 1.0))
    assert len(bench.reading) == 1
    bench.feed(1.5, turn_ended(1.0))
    assert bench.told("speculated") == [{"event": "speculated", "right": False, "turn": 0}]
    assert not bench.reading


def test_a_wish_after_a_reset_waits_until_the_user_has_stopped() -> None:
    """A reset frees the floor, not the air."""
    bench = Bench()
    bench.feed(1.0, started(1.0), Part(Reset(0)), Part(Say("Your taxi is here.")))
    assert bench.replies == []
    bench.feed(2.0, ended(2.0), turn_ended(2.0))
    assert bench.outstanding == [1]


def test_a_reset_in_the_middle_of_a_sentence() -> None:
    """The user goes on: nothing speaks over them, and the rest is a turn of its own."""
    for trigger in AudioTriggerMode:
        bench = Bench(trigger)
        bench.feed(1.0, started(1.0), sound(1.0, 3, 1.0))
        bench.feed(2.0, Part(Reset(0)))
        bench.feed(2.5, Part(Event("doorbell", triggers_turn="after"), role="user"))
        bench.feed(2.6, Part("and my line"), turn_ended(2.6))
        assert bench.replies == []
        bench.feed(3.0, sound(1.0, 3, 2.0), ended(3.0), final("the rest of it", 3.0))
        bench.feed(3.2, turn_ended(3.0))
        said = ["user: the rest of it", "user: 1 s"][: 1 + (trigger == END_OF_SPEECH)]
        assert bench.prompt()[1:] == ["user: and my line", *said]


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
