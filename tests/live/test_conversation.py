"""The machine of a live conversation, driven by hand: what others shipped as bugs must not happen.

`Duo` puts a pacer behind the conversation, and both on one clock.
"""

import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from vivace.audio import AudioFormat
from vivace.live.reply import AudioTriggerMode, FirstToken, GiveReply
from vivace.machines.floor import FloorRules
from vivace.machines.interrupt import Interrupt, Overlap
from vivace.machines.machine import Announce, Cancel, Job, JobDone, JobFailed, Output
from vivace.machines.pacing import Pacer
from vivace.part import (
    Audio,
    Data,
    Held,
    InputEnded,
    Interrupted,
    Part,
    Played,
    Playing,
    Reset,
    Resumed,
    SpeechEnded,
    TurnComplete,
    TurnEnded,
)

# -- a plain conversation ---------------------------------------------------------------------


def test_question_and_answer() -> None:
    """A finished turn asks once, with the text; the answer heard is in the next prompt."""
    bench = Bench()
    out = bench.feed(1.0, *said("What time is it?", 1.0))
    assert [part for part in out if isinstance(part, Part) and not part.substream] == said(
        "What time is it?", 1.0
    )
    assert bench.prompt() == ["user: What time is it?"]
    assert bench.replies[0].turn == 1
    bench.hear(2.0, "It is")
    bench.hear(2.5, " noon.")
    bench.over(3.0)
    assert bench.machine.done()
    bench.feed(5.0, *said("Thank you", 5.0))
    assert bench.prompt() == ["user: What time is it?", "model: It is noon.", "user: Thank you"]
    assert bench.replies[1].turn == 2
    assert bench.signals == []
    assert bench.most == 1


def test_the_floor_is_told() -> None:
    """Each change of the floor comes on `status` with the number of the newest reply."""
    bench = Bench(zero=0.5)
    bench.feed(1.0, *said("Hi there", 1.0))
    bench.hear(2.0, "Hello.")
    bench.over(3.0)
    assert [(news["floor"], news["turn"]) for news in bench.told("floor")] == [
        ("user", 0),
        ("pause", 0),
        ("thinking", 1),
        ("agent", 1),
        ("idle", 1),
    ]
    [asked] = [p for p in bench.log if isinstance(p, Part) and _event(p) == "asked"]
    assert (asked.at, asked.role, asked.substream) == (0.5, "model", "status")
    assert asked.body == Data(
        {
            "event": "asked",
            "turn": 1,
            "prompt": [{"role": "user", "text": "Hi there"}],
            "tokens": 2,
            "reused": 0,
        }
    )


def _event(part: Part) -> object:
    return part.body.value.get("event") if isinstance(part.body, Data) else None


def test_all_that_was_said_in_a_turn_is_asked() -> None:
    """Typed and spoken texts of one turn are answered together, in order."""
    bench = Bench()
    bench.feed(1.0, final("One."), final("Two."), turn_ended(1.0))
    assert bench.prompt() == ["user: One.", "user: Two."]


def test_interim_texts_are_shown_and_not_asked() -> None:
    """They pass, and the prompt has only the final one."""
    bench = Bench()
    shown = [interim("What", 0.5), interim("What time", 0.75)]
    out = bench.feed(
        1.0, started(0.0), *shown, ended(1.0), final("What time?", 1.0), turn_ended(1.0)
    )
    assert [part for part in out if isinstance(part, Part) and part in shown] == shown
    assert bench.prompt() == ["user: What time?"]


def test_what_is_no_speech_joins_the_prompt() -> None:
    """System parts come first; images, data and the model's earlier texts stand in their order."""
    bench = Bench()
    image = Part.image(b"x", at=0.0)
    assert (
        bench.feed(0.0, Part("Earlier", role="model"), image, Part("Be kind", role="system")) == []
    )
    bench.feed(1.0, final("Look!"), turn_ended(1.0))
    assert [part.mimetype for part in bench.replies[0].prompt] == [
        "text/plain",
        "text/plain",
        "image/jpeg",
        "text/plain",
    ]
    assert bench.prompt()[0] == "system: Be kind"
    [asked] = bench.told("asked")
    told = asked["prompt"]
    assert isinstance(told, list)
    assert told[2] == {"role": "user", "text": "(image/jpeg)"}


def test_other_signals_pass() -> None:
    """A signal that means nothing to the floor goes on in its place."""
    for signal in (InputEnded(), Held(3)):
        bench = answering()
        assert bench.feed(3.0, Part(signal)) == [Part(signal)]
        assert bench.outstanding == [1]


@pytest.mark.parametrize(
    "item", [object(), JobDone(Job()), JobFailed(Job(), OSError()), TurnEnded(1.0)]
)
def test_what_it_does_not_know_is_ignored(item: object) -> None:
    """Announcements of other stages and the jobs of others come to nothing."""
    assert answering().feed(3.0, item) == []


# -- 3, 4: stale news of old replies ----------------------------------------------------------


def test_a_late_end_of_an_old_reply_does_not_end_the_new_one() -> None:
    """Played, Playing and failures count only for the reply under way."""
    bench = answering()
    bench.feed(3.0, *said("No, stop that", 3.0))
    assert bench.outstanding == [2]
    old = bench.replies[0]
    late = [
        Played(1),
        Playing(1),
        JobFailed(old.job, OSError("x")),
        JobDone(old.job),
        FirstToken(1),
        Played(7),
    ]
    assert bench.feed(3.5, *late) == []
    assert bench.floor() == "thinking"
    bench.hear(4.0, "Fine.")
    assert bench.feed(4.5, *late) == []
    assert bench.floor() == "agent"
    bench.over(5.0)
    assert bench.feed(5.5, *late, Played(2)) == []
    assert bench.floor() == "idle"


# -- 1, 6, 7: interruption, and what was heard ------------------------------------------------


def test_words_interrupt_at_once() -> None:
    """In the call that brings the words: all are told, the job is cancelled, the turn complete."""
    bench = answering("It is ten")
    bench.feed(3.0, started(3.0))
    assert bench.signals == [Held(1)]
    out = bench.feed(3.25, interim("wait", 3.25))
    job = bench.replies[0].job
    assert out[:5] == [
        interim("wait", 3.25),
        Announce(Interrupted(1, "It is ten")),
        Cancel(job),
        Cancel(job.made),
        Part(TurnComplete(1, "interrupted"), role="model", turn=1),
    ]
    assert bench.outstanding == []
    assert bench.floor() == "user"


def test_the_prompt_is_what_was_heard() -> None:
    """An interrupted reply enters the prompt cut to the ledger, marked, before the new words."""
    bench = answering("It is ten")
    bench.hear(2.5, " past")
    bench.feed(3.0, *said("Which zone?", 3.0))
    assert bench.prompt() == [
        "user: What time is it?",
        "model: It is ten past—",
        "user: Which zone?",
    ]


def test_cut_at_zero() -> None:
    """Interrupted before the first sound: no empty reply, and both messages are kept."""
    bench = answering("")
    bench.feed(3.0, *said("In Paris, I mean.", 3.0))
    assert bench.prompt() == ["user: What time is it?", "user: In Paris, I mean."]
    assert Interrupted(1, "") in bench.signals
    assert bench.endings() == [(1, "interrupted")]


def test_sound_without_words_is_not_an_empty_reply() -> None:
    """A reply of which only silence was heard leaves nothing in the prompt."""
    bench = answering("")
    bench.hear(2.0, "")
    bench.feed(3.0, *said("Hello? Anybody?", 3.0))
    assert bench.prompt() == ["user: What time is it?", "user: Hello? Anybody?"]


# -- 8, 9: sounds that are no interruption ----------------------------------------------------


def test_a_false_start_resumes() -> None:
    """A sound that comes to nothing holds the reply, and it goes on after 1.5 s by itself."""
    bench = answering()
    bench.feed(3.0, started(3.0))
    bench.feed(3.25, ended(3.25))
    bench.until(4.5)
    assert bench.signals == [Held(1)]
    bench.until(5.0)
    assert bench.announced == [(3.0, Held(1)), (4.75, Resumed(1))]
    assert bench.floor() == "agent"
    assert bench.outstanding == [1]


@pytest.mark.parametrize("text", ["Mm-hm.", "Yeah, right.", "Uh-huh", "Okay!", "Hmm…", ""])
def test_a_backchannel_is_dismissed(text: str) -> None:
    """The reply goes on as soon as it is known; the prompt never has it."""
    bench = answering()
    turn = said(text, 3.0)
    bench.feed(3.0, *(turn if text else (part for part in turn if part != final(text, 3.0))))
    assert bench.signals == [Held(1), Resumed(1)]
    assert bench.told("dismissed") == ([{"event": "dismissed", "text": text}] if text else [])
    bench.over(4.0)
    bench.feed(5.0, *said("Thank you", 5.0))
    assert bench.prompt() == ["user: What time is it?", "model: It is", "user: Thank you"]


def test_a_backchannel_before_the_reply_is_heard() -> None:
    """A hum while the agent thinks does not ask again."""
    bench = answering("")
    bench.feed(1.5, *said("Hm.", 1.5))
    assert bench.signals == [Held(1), Resumed(1)]
    assert len(bench.replies) == 1
    assert bench.floor() == "thinking"


def test_a_backchannel_told_after_the_reply_resumed() -> None:
    """Its text comes late, and is dismissed all the same."""
    bench = answering()
    bench.feed(3.0, started(3.0), ended(3.0))
    bench.feed(6.0, interim("mm", 3.0), final("mm", 3.0), turn_ended(3.0))
    assert bench.signals == [Held(1), Resumed(1)]
    assert bench.told("dismissed") == [{"event": "dismissed", "text": "mm"}]


def test_words_told_after_the_reply_resumed() -> None:
    """The transcriber was late; it was an interruption, and is answered."""
    bench = answering()
    bench.feed(3.0, started(3.0), ended(3.5))
    bench.feed(6.0, interim("stop", 3.5))
    assert bench.signals == [Held(1), Resumed(1), Interrupted(1, "It is")]
    bench.feed(6.25, final("stop", 3.5), turn_ended(3.5))
    assert bench.prompt() == ["user: What time is it?", "model: It is—", "user: stop"]


@pytest.mark.parametrize("text_at", [5.0, 8.25])  # before the next sound, and during it
def test_the_late_text_of_a_sound_says_nothing_of_the_next(text_at: float) -> None:
    """A cough is dismissed, whatever was understood of what was dismissed before."""
    bench = answering(interrupt=Interrupt.after(speech_s=0.5, words=2))
    bench.feed(3.0, started(3.0))
    bench.feed(3.4, ended(3.4), turn_ended(3.4))
    script = [(text_at, interim("uh what now", 3.4)), (8.0, started(8.0)), (8.8, ended(8.8))]
    for at, part in sorted(script, key=lambda it: it[0]):
        bench.feed(at, part)
    bench.until(20.0)
    assert bench.signals == [Held(1), Resumed(1), Held(1), Resumed(1)]


def test_a_long_sound_after_a_late_backchannel_interrupts() -> None:
    """The "mm-hm" was of the sound before."""
    bench = answering()
    bench.feed(3.0, started(3.0), ended(3.25))
    bench.feed(5.0, interim("mm-hm", 3.25))
    bench.feed(8.0, started(8.0))
    bench.until(9.0)
    assert bench.announced[2:] == [(8.0, Held(1)), (9.0, Interrupted(1, "It is"))]


def test_half_a_backchannel_is_none_yet() -> None:
    """ "I" may become "I see", and is waited with; if it becomes anything else, that interrupts."""
    for text, verdict in (("I see", Resumed(1)), ("I", Interrupted(1, "It is"))):
        bench = answering()
        bench.feed(3.0, started(3.0))
        bench.feed(3.25, interim("I", 3.25))
        assert bench.signals == [Held(1)]
        bench.feed(3.5, ended(3.5), final(text, 3.5), turn_ended(3.5))
        assert bench.signals == [Held(1), verdict]


def test_a_reply_comes_back_though_half_a_backchannel_was_told() -> None:
    """It was cut by a long sound, of which nothing was understood but "I see"."""
    bench = answering()
    bench.feed(3.0, started(3.0))
    bench.until(4.0)
    bench.feed(4.25, interim("I", 4.25))
    bench.feed(4.5, ended(4.5), final("I see", 4.5), turn_ended(4.5))
    assert [news["turn"] for news in bench.told("brought_back")] == [2]


def test_a_policy_that_raises_is_told_of_and_stood_in_for() -> None:
    """Once, when it first does; the conversation goes on as if there were none."""

    def raises(overlap: Overlap) -> bool:
        raise KeyError(overlap.text)

    bench = answering(interrupt=Interrupt.when(raises))
    bench.feed(3.0, *said("mm-hm", 3.0))
    [failed] = bench.told("failed")
    assert failed["what"] == "interrupt"
    assert str(failed["error"]).startswith("the policy raised KeyError: ''; where it does, words")
    bench.feed(4.0, started(4.0))
    bench.until(5.0)
    assert bench.announced[2:] == [(4.0, Held(1)), (5.0, Interrupted(1, "It is"))]
    bench.feed(5.5, ended(5.5), final("stop", 5.5), turn_ended(5.5))
    bench.hear(6.0, "Yes?")
    bench.feed(7.0, final("but why"), turn_ended(7.0))
    assert bench.prompt()[-2:] == ["model: Yes?—", "user: but why"]
    assert len(bench.told("failed")) == 1


def test_what_tells_of_nothing_may_raise_too() -> None:
    """Once, and the conversation goes on: "mm-hm" over the reply is forgotten all the same."""

    def raises(overlap: Overlap) -> bool:
        raise KeyError(overlap.text)

    bench = answering(interrupt=Interrupt(lambda overlap: overlap.words > 2, forgets=raises))
    bench.feed(3.0, *said("mm-hm", 3.0))
    [failed] = bench.told("failed")
    assert failed["what"] == "interrupt"
    assert str(failed["error"]).startswith("the policy's forgets raised KeyError: 'What time is")
    assert [news["text"] for news in bench.told("dismissed")] == ["mm-hm"]
    bench.feed(5.0, *said("now stop that", 5.0))
    assert bench.announced[-1][1] == Interrupted(1, "It is")
    assert len(bench.told("failed")) == 1


def test_a_long_sound_interrupts() -> None:
    """A second of sound over the reply ends it, words or not."""
    bench = answering()
    bench.feed(3.0, started(3.0))
    bench.until(9.0)
    assert bench.announced == [(3.0, Held(1)), (4.0, Interrupted(1, "It is"))]
    assert bench.floor() == "user"


@pytest.mark.parametrize("detected", [True, False])
def test_a_cancelled_reply_whose_user_says_nothing_is_asked_again(detected: bool) -> None:
    """Nobody waits for ever: at the end of the empty turn, or after five seconds without one."""
    bench = answering(false_interruption="ask_again")
    bench.feed(3.0, started(3.0))
    bench.feed(5.0, ended(5.0))
    if detected:
        bench.feed(5.5, turn_ended(5.0))
    bench.until(10.0)
    assert bench.prompt() == ["user: What time is it?", "model: It is—"]
    [asked] = [p.at for p in bench.log if isinstance(p, Part) and _event(p) == "asked"][1:]
    assert asked == (5.5 if detected else 10.0)
    assert bench.outstanding == [2]
    bench.over(11.0)
    bench.until(60.0)
    assert len(bench.replies) == 2


def test_a_reply_cancelled_by_words_that_come_to_nothing_is_asked_again() -> None:
    """An interim text said so, the final one does not: the user is answered all the same."""
    bench = answering()
    bench.feed(3.0, started(3.0), interim("stop", 3.0), ended(3.5), turn_ended(3.5))
    assert bench.outstanding == [2]
    assert bench.prompt() == ["user: What time is it?", "model: It is—"]


def test_a_reply_that_ends_while_held() -> None:
    """The user's sound over its last moment is a turn of its own, answered if it has words."""
    bench = answering()
    bench.feed(3.0, started(3.0))
    bench.over(3.25)
    assert bench.floor() == "user"
    bench.feed(4.0, ended(4.0), final("And in Rome?", 4.0), turn_ended(4.0))
    assert bench.prompt() == ["user: What time is it?", "model: It is", "user: And in Rome?"]
    assert Interrupted not in map(type, bench.signals)


# -- 10, 11: no interruption without a reply, nor by older sounds -----------------------------


def test_speech_in_silence_interrupts_nothing() -> None:
    """While no reply is audible or pending, speech announces nothing."""
    bench = Bench()
    for at in range(1, 10):
        bench.feed(float(at), started(float(at)), interim("well", at), ended(at + 0.5))
    bench.feed(10.0, final("well", 9.5), turn_ended(9.5))
    bench.over(11.0)
    bench.feed(12.0, started(12.0), interim("more", 12.25), ended(12.5))
    assert bench.signals == []


def test_a_text_of_before_does_not_interrupt() -> None:
    """Only a sound after the reply was asked for may interrupt it, not a late text of before."""
    bench = answering()
    bench.feed(2.5, interim("What time is it?", 1.0))
    assert bench.signals == []
    assert bench.outstanding == [1]


# -- 12: tools --------------------------------------------------------------------------------


def test_the_answer_of_a_tool_enters_the_prompt_once() -> None:
    """Also if its reply was interrupted meanwhile."""
    bench = answering()
    bench.feed(3.0, *said("Wait a moment", 3.0))
    bench.feed(3.5, Part.response("order", {"pizza": 1}, id="7", turn=1))
    bench.feed(4.0, *said("And a drink", 4.0))
    bench.over(5.0)
    bench.feed(6.0, *said("Thanks a lot", 6.0))
    for reply in bench.replies[2:]:
        assert len([part for part in reply.prompt if part.function_response]) == 1


# -- 14: a model that does not stop -----------------------------------------------------------


def test_the_floor_moves_on_from_a_stuck_model() -> None:
    """The next reply begins with the cancel, without waiting for an answer to it."""
    bench = answering("")
    out = bench.feed(3.0, final("Sorry, in Paris"), turn_ended(3.0))
    kinds = [type(output) for output in out]
    assert kinds.index(Cancel) < kinds.index(GiveReply)
    assert bench.cancelled == [1]
    assert bench.outstanding == [2]


# -- 15: speaking again -----------------------------------------------------------------------


def test_a_text_that_comes_while_the_user_speaks_again_waits() -> None:
    """It joins the prompt, and is asked with what follows."""
    bench = Bench()
    bench.feed(1.0, started(0.0), ended(1.0))
    bench.feed(1.5, started(1.5), final("Tell me", 1.0), turn_ended(1.0))
    assert bench.replies == []
    bench.feed(3.0, ended(3.0), final("the time", 3.0), turn_ended(3.0))
    assert bench.prompt() == ["user: Tell me", "user: the time"]


def test_words_before_a_cough_are_answered() -> None:
    """The sound that made the text wait had no words: the text is asked when it is over."""
    for detected in (True, False):
        bench = Bench()
        bench.feed(1.0, started(0.0), ended(1.0))
        bench.feed(1.5, started(1.5), final("Tell me", 1.0), turn_ended(1.0))
        bench.feed(2.0, ended(2.0))
        bench.feed(7.0, *([turn_ended(2.0)] if detected else []))
        assert bench.prompt() == ["user: Tell me"]


def test_a_noise_in_silence_asks_nothing() -> None:
    """Nothing was said, so nobody waits for an answer."""
    bench = Bench()
    bench.feed(1.0, started(0.5), ended(1.0), turn_ended(1.0))
    bench.feed(2.0, started(1.5), ended(2.0))
    bench.until(60.0)
    bench.feed(60.0, turn_ended(2.0))
    assert bench.replies == []
    assert bench.floor() == "idle"


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_a_blank_text_is_nothing_said(text: str) -> None:
    """An empty message asks nothing."""
    bench = Bench()
    bench.feed(1.0, final(text), turn_ended(1.0))
    assert bench.replies == []


def test_a_turn_that_no_detector_ends() -> None:
    """Five seconds of silence end it; with nothing said there is nothing to ask."""
    bench = Bench()
    bench.feed(1.0, started(0.0), final("Hello there", 1.0), ended(1.0))
    assert bench.machine.deadline() == 6.0
    bench.until(6.0)
    assert bench.prompt() == ["user: Hello there"]


def test_deadlines_at_zero() -> None:
    """A clock that begins at 0, and rules without patience, are no special case."""
    bench = Bench(rules=FloorRules(patience_s=0.0))
    for part in (started(0.0), final("Hi there"), ended(0.0)):
        bench.take(bench.machine.feed(part, 0.0))
    assert bench.machine.deadline() == 0.0
    bench.until(0.0)
    assert bench.prompt() == ["user: Hi there"]


# -- 16: the end of the input -----------------------------------------------------------------


def test_no_extra_call_at_the_end() -> None:
    """When the input ends and nothing new was said, no reply is asked for."""
    for bench in (Bench(), answering()):
        asked = len(bench.replies)
        bench.finish(3.0)
        assert len(bench.replies) == asked
        assert bench.machine.done() == (asked == 0)
        if asked:
            bench.over(4.0)
        assert bench.machine.done()
    assert bench.finish(5.0) == []
    assert len(bench.replies) == 1


def test_the_end_answers_what_was_said() -> None:
    """Words without an end of turn are answered when the input ends, in every state."""
    for before in ([], [started(0.5)], [started(0.5), ended(1.0)]):
        bench = Bench()
        bench.feed(1.0, *before, final("Hello there"))
        bench.finish(1.5)
        assert bench.prompt() == ["user: Hello there"]
        bench.hear(2.0, "Hi.")
        assert not bench.machine.done()
        bench.over(3.0)
        assert bench.machine.done()


@pytest.mark.parametrize("speaking", [True, False])
def test_the_end_resumes_what_is_held(speaking: bool) -> None:
    """A reply that a sound was holding is heard to its end."""
    bench = answering()
    bench.feed(3.0, started(3.0), *([] if speaking else [ended(3.0)]))
    bench.finish(3.5)
    assert bench.signals == [Held(1), Resumed(1)]
    bench.over(4.0)
    assert bench.machine.done()


def test_the_end_in_a_pause_without_words() -> None:
    """Nothing is asked, and it is over."""
    bench = Bench()
    bench.feed(1.0, started(0.5), ended(1.0))
    bench.finish(1.5)
    assert bench.machine.done()
    assert bench.replies == []


# -- 18: storms -------------------------------------------------------------------------------


def test_forty_starts_of_speech_in_a_second() -> None:
    """At most one reply is outstanding, it is held once, and goes on after the storm."""
    bench = answering()
    for step in range(40):
        bench.feed(3.0 + step / 40, started(3.0 + step / 40), ended(3.0 + step / 40))
    bench.until(10.0)
    assert bench.most == 1
    assert bench.signals == [Held(1), Resumed(1)]


def test_forty_turns_in_a_second() -> None:
    """Each new turn cancels the reply before it: one is outstanding, each ends once."""
    bench = answering()
    for step in range(40):
        bench.feed(3.0 + step / 64, *said(f"No, number {step}", 3.0 + step / 64))
    assert bench.most == 1
    assert bench.outstanding == [41]
    assert bench.cancelled == list(range(1, 41))
    assert bench.endings() == [(turn, "interrupted") for turn in range(1, 41)]
    assert len(bench.prompt()) == 42


@pytest.mark.parametrize("trigger", AudioTriggerMode)
def test_memory_is_flat(trigger: AudioTriggerMode) -> None:
    """Hours of silence, coughs and an endless reply keep nothing."""
    bench = answering(trigger=trigger)
    silence = sound(1.0, value=0)
    for warm in range(20):
        bench.machine.feed(silence, 3.0 + warm)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for step in range(600):
            now = 30.0 + 4.0 * step
            bench.machine.feed(silence, now)
            bench.machine.feed(started(now), now)
            bench.machine.feed(ended(now), now)
            bench.machine.tick(now + 2.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000


# -- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"), [(ValueError("no model"), "no model"), (OSError(), "OSError")]
)
def test_a_failed_reply_ends_its_turn(error: Exception, reason: str) -> None:
    """The failure is told with its reason; what was heard is kept; the conversation goes on."""
    bench = answering("It is")
    bench.outstanding.clear()
    bench.feed(3.0, JobFailed(bench.replies[0].job, error))
    assert bench.told("failed") == [
        {"event": "failed", "what": "reply", "turn": 1, "error": reason}
    ]
    assert bench.endings() == [(1, "failed")]
    assert bench.floor() == "idle"
    bench.feed(4.0, *said("Once more", 4.0))
    assert bench.prompt() == ["user: What time is it?", "model: It is", "user: Once more"]


def test_a_reply_that_fails_while_held() -> None:
    """The user's sound goes on, and what is said then is answered."""
    bench = answering("")
    bench.feed(1.5, started(1.5))
    bench.outstanding.clear()
    bench.feed(1.75, JobFailed(bench.replies[0].job, OSError("gone")))
    bench.feed(2.0, ended(2.0), final("Are you there?", 2.0), turn_ended(2.0))
    assert bench.prompt() == ["user: What time is it?", "user: Are you there?"]


def test_no_answer_in_time() -> None:
    """After `answer_within_s` the reply is void, and the turn ends with that reason."""
    bench = answering("", answer_within_s=4.0)
    assert bench.machine.deadline() == 5.0
    bench.until(5.0)
    assert bench.announced == [(5.0, Interrupted(1))]
    assert bench.cancelled == [1]
    assert bench.endings() == [(1, "timeout")]
    assert bench.told("failed") == [
        {"event": "failed", "what": "reply", "turn": 1, "error": "no answer within 4 s"}
    ]
    assert bench.floor() == "idle"
    assert bench.machine.deadline() is None
    bench.feed(9.0, *said("Hello again", 9.0))
    assert bench.prompt() == ["user: What time is it?", "user: Hello again"]


def test_an_answer_that_is_heard_has_no_time_limit() -> None:
    """It may take as long as it likes."""
    bench = answering("Well,", answer_within_s=4.0)
    assert bench.machine.deadline() is None


def test_a_cough_does_not_give_the_model_more_time() -> None:
    """The limit counts from the question, held or not; it strikes when the reply would go on."""
    bench = answering("", answer_within_s=4.0)
    bench.feed(4.5, started(4.5), ended(4.75))
    bench.until(20.0)
    assert bench.announced == [(4.5, Held(1)), (6.0, Resumed(1)), (6.0, Interrupted(1))]


# -- END_OF_SPEECH ----------------------------------------------------------------------------


def test_the_sound_of_what_was_said_is_asked() -> None:
    """For a model that hears, the prompt has the sound of the turn."""
    bench = Bench(END_OF_SPEECH)
    assert bench.feed(0.0, started(0.0), sound(0.5, 1), sound(0.5, 2)) != []
    bench.feed(1.0, Part(SpeechEnded(1.0)), turn_ended(1.0))
    [part] = bench.replies[0].prompt
    assert part == Part(Audio(sound(0.5, 1).bytes + sound(0.5, 2).bytes, AudioFormat()))
    assert part.role == "user"


def test_sound_is_not_asked_where_text_is() -> None:
    """With transcripts, audio only tells the time."""
    bench = Bench()
    bench.feed(0.0, started(0.0), sound(1.0))
    bench.feed(1.0, ended(1.0), turn_ended(1.0))
    assert bench.replies == []


def test_silence_under_a_reply_is_not_asked() -> None:
    """What the microphone hears while the agent speaks is not part of the user's next turn."""
    bench = Bench(END_OF_SPEECH)
    bench.feed(0.0, started(0.0), sound(1.0, 1))
    bench.feed(1.0, ended(1.0), turn_ended(1.0))
    bench.hear(2.0, "Hello.")
    bench.feed(3.0, sound(20.0, 0))
    bench.over(4.0)
    bench.feed(5.0, started(21.0), sound(2.0, 2))
    bench.feed(6.0, ended(23.0), turn_ended(23.0))
    assert bench.prompt() == ["user: 1 s", "model: Hello.", "user: 2.3 s"]


def test_the_first_sounds_of_a_turn_are_asked() -> None:
    """Detectors are late: what was heard just before the start was told belongs to the turn."""
    bench = Bench(END_OF_SPEECH)
    bench.feed(0.0, sound(0.25, 1, at=0.0))
    bench.feed(0.0, started(0.125), sound(0.5, 2, at=0.25))
    bench.feed(1.0, ended(0.75), turn_ended(0.75))
    [part] = bench.replies[0].prompt
    assert part.bytes.endswith(sound(0.125, 1).bytes + sound(0.5, 2).bytes)


def test_a_cough_over_a_reply_is_not_asked_later() -> None:
    """What was dismissed is not in the next turn's sound, whoever dismissed it."""
    for detected in (True, False):
        bench = Bench(END_OF_SPEECH)
        bench.feed(0.0, started(0.0), sound(1.0, 1))
        bench.feed(1.0, ended(1.0), turn_ended(1.0))
        bench.hear(2.0, "Hello.")
        bench.feed(3.0, started(3.0), sound(0.5, 9), ended(3.5))
        bench.feed(6.0, *([turn_ended(3.5)] if detected else []))
        bench.over(7.0)
        bench.feed(8.0, started(8.0), sound(2.0, 2))
        bench.feed(9.0, ended(9.0), turn_ended(9.0))
        assert bench.prompt() == ["user: 1 s", "model: Hello.", "user: 2 s"]


def test_a_long_sound_over_a_reply_is_asked() -> None:
    """It was an interruption; its sound is the user's turn."""
    bench = Bench(END_OF_SPEECH)
    bench.feed(0.0, started(0.0), sound(1.0, 1))
    bench.feed(1.0, ended(1.0), turn_ended(1.0))
    bench.hear(2.0, "Hello.")
    bench.feed(3.0, started(3.0))
    bench.feed(4.0, sound(1.0, 2))
    bench.feed(5.0, sound(1.0, 3), ended(5.0), turn_ended(5.0))
    assert bench.prompt() == ["user: 1 s", "model: Hello.—", "user: 2 s"]


# -- latency ----------------------------------------------------------------------------------


def test_latency_marks() -> None:
    """Each step is told in milliseconds from the moment the user fell silent."""
    bench = Bench(zero=8.0)
    bench.feed(12.0, sound(0.5, at=1.5), started(1.0), ended(1.75), interim("Hi there", 1.75))
    bench.feed(12.25, final("Hi there", 1.75), turn_ended(1.75))
    bench.feed(12.5, FirstToken(1))
    bench.hear(13.0, "Hello")
    assert bench.told("latency") == [
        {
            "event": "latency",
            "turn": 1,
            "ended_at": 3.75,
            "heard_at": 5.0,
            "ms": {
                "transcript": 250.0,
                "decision": 500.0,
                "first_token": 750.0,
                "first_audio": 1250.0,
            },
        }
    ]


def test_each_reply_has_its_own_latency() -> None:
    """Marks of one turn are gone in the next; each is told once."""
    bench = Bench()
    for at in (1.0, 11.0):
        bench.feed(at, sound(at, at=0.0), *said("Hi there", at))
        bench.hear(at + 1.0, "Hello")
        bench.over(at + 2.0)
    assert [news["ms"] for news in bench.told("latency")] == [
        {"transcript": 0.0, "decision": 0.0, "first_audio": 1000.0}
    ] * 2


def test_a_typed_question_has_no_speech_to_count_from() -> None:
    """Also if there was a noise long before it."""
    bench = Bench()
    bench.feed(1.0, started(0.5), ended(1.0), turn_ended(1.0))
    bench.feed(600.0, final("Hi there"), turn_ended(1.0))
    bench.hear(601.0, "Hello")
    assert bench.told("latency") == []


def test_a_cough_does_not_hide_the_latency() -> None:
    """Who coughs while the agent thinks has still waited since the question."""
    bench = Bench()
    bench.feed(1.0, sound(1.0, at=0.0), *said("Hi there", 1.0))
    bench.feed(3.0, started(2.75), ended(3.0), turn_ended(3.0))
    bench.hear(4.0, "Hello")
    [latency] = bench.told("latency")
    assert latency["ended_at"] == 1.0


def test_late_news_of_an_old_reply_do_not_hide_the_latency() -> None:
    """The first sound of an older reply is not that of the new one."""
    bench = answering("")
    bench.feed(3.0, *said("I mean in Paris", 3.0))
    bench.feed(3.5, Playing(1))
    bench.hear(4.0, "Ten")
    assert [news["turn"] for news in bench.told("latency")] == [2]


# -- reset ------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("heard", [True, False])
def test_reset(announced: bool, heard: bool) -> None:
    """What is under way is forgotten: the reply is void, what was said is not asked."""
    bench = answering("It is" if heard else "")
    bench.feed(3.0, started(3.0), final("hm", 3.0))
    reset = Reset(1)
    out = bench.feed(3.5, reset if announced else Part(reset))
    assert (Announce(reset) in out) == (not announced)
    assert bench.cancelled == [1]
    assert bench.endings() == [(1, "interrupted")]
    bench.feed(4.0, ended(4.0), turn_ended(4.0))
    assert bench.machine.done()
    bench.until(60.0)
    assert len(bench.replies) == 1
    bench.feed(61.0, *said("Hello", 61.0))
    assert bench.prompt()[-1] == "user: Hello"
    assert not any("hm" in line for line in bench.prompt())


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("number", [1, 9])
def test_the_program_may_interrupt(announced: bool, number: int) -> None:
    """A stop button voids the reply: what was heard is kept and told, the floor is free, nothing is
    owed."""
    bench = answering("It is")
    stop = Interrupted(number)
    out = bench.feed(3.0, stop if announced else Part(stop))
    assert (Announce(Interrupted(number, "It is")) in out) == (not announced)
    assert bench.cancelled == [1]
    assert bench.endings() == [(1, "interrupted")]
    assert bench.machine.done()
    bench.feed(4.0, turn_ended(4.0))
    assert len(bench.replies) == 1
    bench.feed(5.0, *said("Go on.", 5.0))
    assert bench.prompt() == ["user: What time is it?", "model: It is—", "user: Go on."]


def test_an_interruption_of_an_older_reply_changes_nothing() -> None:
    """Only the reply under way can be stopped."""
    bench = answering("It is")
    bench.feed(3.0, Interrupted(0))
    assert bench.cancelled == []


def test_typed_text_is_a_turn_after_a_while() -> None:
    """Who types and ends no turn is answered when patience is over, over a reply at its end."""
    bench = Bench()
    bench.feed(1.0, final("What time is it?"))
    bench.until(5.9)
    assert bench.replies == []
    bench.until(6.1)
    assert bench.prompt() == ["user: What time is it?"]
    bench.hear(7.0, "Ten.")
    bench.feed(7.5, final("ok"))
    bench.over(8.0)
    assert bench.prompt() == ["user: What time is it?", "model: Ten.", "user: ok"]


def test_what_a_tool_answers_is_answered() -> None:
    """A call enters the prompt, and its response asks the model to go on."""
    bench = Bench()
    bench.feed(1.0, *said("A pizza please", 1.0))
    bench.feed(1.5, Part.call("order", {"pizza": 1}, id="7", turn=1))
    bench.over(2.0)
    bench.feed(3.0, Part.response("order", "on its way", id="7"))
    assert [type(part.body).__name__ for part in bench.replies[-1].prompt] == [
        "str",
        "Call",
        "Response",
    ]
    assert len(bench.replies) == 2


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("signal", [Interrupted(9), Reset(9)])
@pytest.mark.parametrize("replying", [True, False])
def test_numbers_of_the_future_are_void(
    signal: Interrupted | Reset, announced: bool, replying: bool
) -> None:
    """Whoever voids more than there is does not silence what comes: that has a number above."""
    bench = answering("It is") if replying else Bench()
    bench.feed(3.0, signal if announced else Part(signal))
    bench.feed(4.0, *said("Hello", 4.0))
    assert [job.turn for job in bench.replies][-1] == 10
    assert bench.prompt()[-1] == "user: Hello"


def test_background_is_no_turn() -> None:
    """With END_OF_SPEECH, what was heard without speech does not enter a typed turn's prompt."""
    bench = Bench(END_OF_SPEECH)
    bench.feed(1.0, sound(2.0, 3), final("typed"), turn_ended(1.0))
    assert bench.prompt() == ["user: typed"]


def test_reset_in_silence() -> None:
    """There is nothing to forget, and nothing is told."""
    assert Bench().feed(1.0, Reset()) == []


# -- what has words ---------------------------------------------------------------------------


# -- with a pacer -----------------------------------------------------------------------------


class Duo(Bench):
    """A conversation, a pacer behind it, and a consumer who takes all that leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.pacer = Pacer()
        self.consumed: list[tuple[float, Part]] = []

    def until(self, now: float) -> None:
        while True:
            dues = [d for d in (self.machine.deadline(), self.pacer.deadline()) if d is not None]
            if not dues or min(dues) > now:
                break
            self.now = max(self.now, min(dues))
            self.paced(self.pacer.tick(self.now))
            self.take(self.machine.tick(self.now))
        self.now = now

    def take(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Announce):
                self.paced(self.pacer.feed(output.signal, self.now))
            super().take([output])

    def deliver(self, part: Part) -> None:
        self.paced(self.pacer.feed(part, self.now))

    def paced(self, outputs: Sequence[Output]) -> None:
        for part in outputs:
            assert isinstance(part, Part)
            if not part.substream:
                self.consumed.append((round(self.now, 6), part))
                super().deliver(part)

    def speak(self, now: float, words: str, seconds: float, *, done: bool = True) -> None:
        """The model says this, all at once, as models do."""
        self.until(now)
        reply = self.replies[-1]
        pcm = bytes(round(seconds * 16_000) * 2)
        self.deliver(Part.audio(pcm, words=words, role="model", turn=reply.turn))
        if done:
            self.outstanding.remove(reply.turn)
            self.deliver(Part(TurnComplete(reply.turn), role="model", turn=reply.turn))
            self.take(self.machine.feed(JobDone(reply.job), now))

    def heard(self, turn: int) -> list[float]:
        """When chunks of a reply were handed out."""
        return [now for now, p in self.consumed if isinstance(p.body, Audio) and p.turn == turn]

    def completed(self) -> list[tuple[float, int, str]]:
        return [
            (now, part.body.turn, part.body.reason)
            for now, part in self.consumed
            if isinstance(part.body, TurnComplete)
        ]


def test_a_reply_is_over_when_it_has_been_heard() -> None:
    """Not when the model is done: the floor is the agent's until the last sample was played."""
    duo = Duo()
    duo.feed(1.0, *said("Hello there", 1.0))
    duo.speak(2.0, "one two three four", 1.0)
    duo.until(2.99)
    assert duo.floor() == "agent"
    duo.until(3.01)
    assert duo.floor() == "idle"
    assert duo.completed() == [(3.0, 1, "done")]


def test_an_interrupted_reply_ends_once() -> None:
    """The model was done, its voice was not: the reply is told to be interrupted, and no more."""
    duo = Duo()
    duo.feed(1.0, *said("Hello there", 1.0))
    duo.speak(2.0, "one two three four", 1.0)
    duo.feed(2.49, *said("stop now", 2.49))
    duo.until(2.5)
    assert duo.completed() == [(2.49, 1, "interrupted")]
    assert duo.heard(1)[-1] == 2.48
    assert len(duo.heard(1)) == 25
    assert duo.prompt() == ["user: Hello there", "model: one two—", "user: stop now"]


def test_a_held_reply_is_heard_whole() -> None:
    """After a cough each chunk has been heard once, later by the time of the hold."""
    duo = Duo()
    duo.feed(1.0, *said("Hello there", 1.0))
    duo.speak(2.0, "one two three four", 1.0)
    duo.feed(2.51, started(2.51))
    duo.feed(2.75, ended(2.75), turn_ended(2.75))
    duo.until(10.0)
    assert len(duo.heard(1)) == 50
    assert duo.ledger.heard(1).text == "one two three four"
    assert duo.completed() == [(3.24, 1, "done")]


@pytest.mark.parametrize("fails", [True, False])
def test_a_reply_that_ends_while_held_does_not_silence_the_next(fails: bool) -> None:
    """A cough holds a reply that then has no sound at all; the next reply is heard."""
    duo = Duo()
    duo.feed(1.0, *said("Hello there", 1.0))
    duo.feed(1.25, started(1.25))
    duo.until(1.5)
    if fails:
        duo.outstanding.clear()
        duo.feed(1.5, JobFailed(duo.replies[0].job, OSError("gone")))
    else:
        duo.speak(1.5, "", 0.0)
    duo.feed(2.0, ended(2.0), final("Are you there?", 2.0), turn_ended(2.0))
    assert duo.outstanding == [2]
    duo.speak(3.0, "Yes.", 0.04)
    duo.until(30.0)
    assert duo.heard(2) == [3.0, 3.02]
    assert duo.floor() == "idle"


# -- any conversation -------------------------------------------------------------------------

events = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "end", "interim", "final", "turn", "empty turn", "hum", "hear", "over",
             "fail", "old", "wait", "wait", "reset"]
        ),
        st.sampled_from([0.0, 0.125, 0.5, 1.0, 2.0, 6.0, 31.0]),
    ),
    max_size=50,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(events)
def test_any_conversation(taken: list[tuple[str, float]]) -> None:
    """One reply at most; each ends once; nobody is left without an answer; the end is the end."""
    bench = Bench()
    now = 0.0
    for number, (kind, seconds) in enumerate(taken):
        now += seconds
        under_way = bench.replies[-1].turn if bench.replies else 0
        open_turn = bool(bench.replies) and under_way not in dict(bench.endings())
        match kind:
            case "start":
                bench.feed(now, started(now))
            case "end":
                bench.feed(now, ended(now))
            case "interim":
                bench.feed(now, interim("wait a bit", now))
            case "final":
                bench.feed(now, final(f"message {number}", now))
            case "turn":
                bench.feed(now, final(f"message {number}", now), turn_ended(now))
            case "empty turn":
                bench.feed(now, turn_ended(now))
            case "hum":
                bench.feed(now, final("mm-hm", now), turn_ended(now))
            case "hear" if open_turn:
                bench.hear(now, f" w{number}")
            case "over" if open_turn:
                bench.until(now)
                if under_way not in dict(bench.endings()):
                    bench.over(now)
                    bench.parts.append(Part(TurnComplete(under_way), turn=under_way))
            case "fail" if open_turn:
                # A job that has failed is over before anyone hears of it.
                failed = bench.replies[-1]
                bench.outstanding = [t for t in bench.outstanding if t != failed.turn]
                bench.feed(now, JobFailed(failed.job, OSError("x")))
            case "old":
                bench.feed(now, Playing(under_way - 1), Played(under_way - 1))
            case "reset":
                bench.feed(now, Part(Reset(under_way)))
            case _:
                bench.until(now)
    bench.finish(now)
    for _ in range(3):
        if bench.machine.done():
            break
        bench.until(now := now + 10.0)
        if bench.outstanding:
            bench.over(now)
            turn = bench.replies[-1].turn
            bench.parts.append(Part(TurnComplete(turn), turn=turn))
    assert bench.machine.done(), "after the input, one reply at most is waited for"
    assert bench.machine.deadline() is None
    assert bench.most <= 1
    assert [reply.turn for reply in bench.replies] == list(range(1, len(bench.replies) + 1))
    assert sorted(turn for turn, _ in bench.endings()) == [reply.turn for reply in bench.replies]
    interrupted = [s.turn for s in bench.signals if isinstance(s, Interrupted)]
    assert len(set(interrupted)) == len(interrupted)
    for reply in bench.replies:
        assert reply.prompt[-1].role == "user" or reply.prompt[-1].metadata.get("interrupted")
        assert all(part.text for part in reply.prompt)
    held = 0
    for signal in bench.signals:
        match signal:
            case Held(turn=turn):
                assert held != turn, "held once"
                held = turn
            case Resumed(turn=turn):
                assert held == turn, "only what is held is resumed"
                held = 0
            case Interrupted():
                held = 0


# -- what is measured -------------------------------------------------------------------------


def test_a_hold_says_how_long_the_sound_had_lasted() -> None:
    """From the user's first sound to silence, by the clock; unknown if no sound came with times."""
    bench = Bench()
    bench.feed(1.0, sound(1.0, at=0.0), *said("Go on", 1.0))
    bench.hear(2.0, "Well")
    bench.feed(3.0, sound(2.0, at=1.0))
    bench.feed(3.25, started(3.0))
    assert bench.told("held") == [{"event": "held", "turn": 1, "after_s": 0.25}]
    bench = Bench()
    bench.feed(1.0, *said("Go on", 1.0))
    bench.hear(2.0, "Well")
    bench.feed(3.25, started(3.0))
    assert bench.told("held") == [{"event": "held", "turn": 1}]


def test_an_interruption_for_nothing_is_told() -> None:
    """Once something is asked again without anything new: the reply that was cut, and why not."""
    for false_interruption in ("resume", "ask_again"):
        bench = Bench(false_interruption=false_interruption)
        bench.feed(1.0, sound(1.0, at=0.0), *said("Go on", 1.0))
        bench.hear(2.0, "Well")
        bench.feed(3.0, started(3.0))
        bench.feed(5.0, ended(5.0), turn_ended(5.0))
        assert bench.told("false_interruption") == [{"event": "false_interruption", "turn": 1}]


def test_an_interruption_with_words_is_none_for_nothing() -> None:
    """What the user said is answered, and nobody tells of a false one."""
    bench = Bench()
    bench.feed(1.0, *said("Go on", 1.0))
    bench.hear(2.0, "Well")
    bench.feed(3.0, *said("No wait, stop", 3.0))
    assert bench.prompt()[-1] == "user: No wait, stop"
    assert bench.told("false_interruption") == []


def test_the_prompt_is_measured() -> None:
    """Its tokens, and how many of them the model has read before."""
    bench = Bench()
    for at in (1.0, 11.0):
        bench.feed(at, *said("Hi there", at))
        bench.hear(at + 1.0, "Hello")
        bench.over(at + 2.0)
    sizes = [(news["tokens"], news["reused"]) for news in bench.told("asked")]
    assert sizes == [(2, 0), (2 + 2 + 2, 2)]
