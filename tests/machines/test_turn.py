"""The end of a turn: model, text and silence, with exact deadlines."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.machines.machine import Announce, Item, Job, JobDone, JobFailed, Output
from vivace.machines.turn import JudgeTurn, TurnMachine, TurnRules, is_unfinished
from vivace.part import Data, Held, Part, Reset, SpeechEnded, SpeechStarted, TurnEnded

quick = settings(max_examples=80, deadline=None)


def audio(at: float | None, seconds: float = 0.25) -> Part:
    return Part.audio(bytes(round(seconds * 32_000)), at=at)


def started(at: float) -> Part:
    return Part(SpeechStarted(at), at=at)


def ended(at: float, follows: bool = True) -> Part:
    return Part(SpeechEnded(at, transcript_follows=follows), at=at)


def text(words: str, at: float) -> Part:
    return Part(words, at=at, metadata={"interim": True})


def over(at: float, words: str = "") -> list[Output]:
    """What comes at the end of a turn."""
    final: list[Output] = [Part(words, at=at)] if words else []
    return [*final, Part(TurnEnded(at), at=at), Announce(TurnEnded(at))]


def passed(part: Part) -> Part:
    """The part as it goes on: whoever hears of an end of speech may expect one of the turn."""
    if not isinstance(part.body, SpeechEnded):
        return part
    return part.derive(body=msgspec.structs.replace(part.body, turn_follows=True))


class Bench:
    """Feeds a machine and keeps its last job."""

    def __init__(self, rules: TurnRules | None = None) -> None:
        self.machine = TurnMachine(rules=rules)
        self.jobs: list[JudgeTurn] = []

    def feed(self, now: float, *items: Item) -> list[Output]:
        """What came of the items, beside themselves and the jobs."""
        out: list[Output] = []
        for item in items:
            outputs = self.machine.feed(item, now)
            if isinstance(item, Part):
                assert outputs.pop(0) == passed(item)
            self.jobs += [output for output in outputs if isinstance(output, JudgeTurn)]
            out += [output for output in outputs if not isinstance(output, JudgeTurn)]
        return out

    def judge(self, now: float, probability: float, job: int = -1) -> list[Output]:
        return self.feed(now, JobDone(self.jobs[job], probability))


def paused(now: float = 10.25, follows: bool = True, rules: TurnRules | None = None) -> Bench:
    """Somebody spoke until media time 2.0, heard of with 0.25 s of silence at `now`."""
    bench = Bench(rules)
    assert bench.feed(now, started(1.0), audio(2.0), ended(2.0, follows)) == []
    return bench


# -- the rule ---------------------------------------------------------------------------------


def test_model_and_text_agree() -> None:
    """A sure model and a finished text end the turn at once: text, signal, announcement."""
    bench = paused()
    assert bench.feed(10.5, text("What time is it?", 2.0)) == []
    assert bench.judge(10.75, 0.5) == over(2.0, "What time is it?")
    assert bench.machine.deadline() is None


def test_either_may_come_first() -> None:
    """The order of text and verdict does not matter."""
    bench = paused()
    assert bench.judge(10.5, 0.9) == []
    assert bench.feed(10.75, text("What time is it?", 2.0)) == over(2.0, "What time is it?")


def test_an_unsure_model_waits_for_the_longest_silence() -> None:
    """Silence counts from the last sound, not from when it was told: 1.5 s after 10.0."""
    bench = paused()
    bench.feed(10.5, text("What time is it", 2.0))
    assert bench.judge(10.5, 0.49) == []
    assert bench.machine.deadline() == 11.5
    assert bench.machine.tick(11.25) == []
    assert bench.machine.tick(11.5) == over(2.0, "What time is it")
    assert bench.machine.tick(12.0) == []


def test_an_unfinished_text_waits_for_the_longest_silence() -> None:
    """However sure the model is, "and" is no end."""
    bench = paused()
    bench.feed(10.5, text("I like tea and", 2.0))
    assert bench.judge(10.5, 1.0) == []
    assert bench.machine.deadline() == 11.5
    assert bench.machine.tick(11.5) == over(2.0, "I like tea and")


def test_silence_told_late_counts_from_when_it_began() -> None:
    """The pause began when the last sound was heard, however late the detector is."""
    bench = Bench()
    bench.feed(20.0, started(1.0), audio(2.0, 1.0), ended(2.0))
    assert bench.machine.deadline() == 20.0 - 1.0 + 1.5 + 8.0


def test_a_signal_ahead_of_its_audio_counts_from_now() -> None:
    """If the audio of the end has not come yet, silence begins now, not in the future."""
    bench = Bench()
    bench.feed(20.0, audio(0.0), ended(2.0, follows=False))
    assert bench.machine.deadline() == 21.5


def test_audio_without_times() -> None:
    """Without `at`, audio follows on what came before."""
    bench = Bench()
    bench.feed(5.0, audio(None, 1.0), audio(None, 1.0), ended(1.5, follows=False))
    assert bench.machine.deadline() == 6.0


def test_rules_of_ones_own() -> None:
    """Each number of the rules counts."""
    bench = paused(rules=TurnRules(sure=0.8, longest_s=0.5, text_s=1.0, window_s=0.125))
    assert len(bench.jobs[0].pcm) == 4000
    assert bench.machine.deadline() == 11.5
    assert bench.judge(10.25, 0.79) == []
    assert bench.feed(10.25, text("Yes.", 2.0)) == []
    assert bench.machine.deadline() == 10.5


# -- the text ---------------------------------------------------------------------------------


def test_a_promised_text_is_waited_for() -> None:
    """A sure model and the longest silence wait for the words; without them they would be lost."""
    bench = paused()
    assert bench.judge(10.5, 1.0) == []
    assert bench.machine.deadline() == 19.5
    assert bench.machine.tick(11.5) == []
    assert bench.machine.tick(19.0) == []
    assert bench.feed(19.25, text("Hello.", 2.0)) == over(2.0, "Hello.")


def test_a_late_text_ends_the_turn_at_once() -> None:
    """When the longest silence has passed already, the text's coming is the end, sure or not."""
    bench = paused()
    bench.judge(10.5, 0.0)
    assert bench.feed(11.5, text("and then", 2.0)) == over(2.0, "and then")


def test_a_text_that_never_comes() -> None:
    """After `text_s` more the turn ends without it, or with what an interim had said."""
    bench = paused()
    assert bench.machine.tick(19.5) == over(2.0)
    bench = Bench()
    bench.feed(10.0, started(1.0), audio(1.75), text("Tell me", 1.75), ended(2.0))
    assert bench.machine.tick(19.5) == over(2.0, "Tell me")


def test_a_noise_ends_at_once_without_a_text() -> None:
    """The promised text is empty: nothing was said, and there is nothing to wait for."""
    bench = paused()
    assert bench.feed(10.5, text("", 2.0)) == over(2.0)


def test_a_noise_after_an_interim_is_not_the_interim() -> None:
    """The promised text replaces the interim ones, also if it is empty."""
    bench = Bench()
    bench.feed(10.0, started(1.0), audio(1.75), text("Thank you.", 1.75), ended(2.0))
    assert bench.feed(10.5, text("", 2.0)) == over(2.0)


def test_without_a_transcriber_the_model_decides() -> None:
    """No text is promised, so none is waited for, and none is made up."""
    bench = paused(follows=False)
    assert bench.machine.deadline() == 11.5
    assert bench.judge(10.5, 0.5) == over(2.0)
    bench = paused(follows=False)
    assert bench.judge(10.5, 0.4) == []
    assert bench.machine.tick(11.5) == over(2.0)


def test_interim_texts_end_nothing() -> None:
    """A text for another moment than the end of speech is not the promised one."""
    bench = paused()
    bench.judge(10.5, 1.0)
    assert bench.feed(10.5, text("Hello.", 1.75)) == []
    assert bench.machine.deadline() == 19.5


def test_typed_texts_pass() -> None:
    """A text that is not marked as interim is no transcript."""
    bench = paused()
    bench.judge(10.5, 1.0)
    assert bench.feed(10.5, Part("Typed.", at=2.0)) == []
    assert bench.feed(10.5, text("Model", 2.0).derive(role="model")) == []
    assert bench.machine.deadline() == 19.5


# -- speech that goes on ----------------------------------------------------------------------


def test_resumed_speech_cancels_the_decision() -> None:
    """Who speaks again has not finished: deadline, verdict and text of the pause end nothing."""
    bench = paused()
    assert bench.feed(10.5, started(2.25)) == []
    assert bench.machine.deadline() is None
    assert bench.judge(10.5, 1.0) == []
    assert bench.feed(10.5, text("Hello.", 2.0)) == []
    assert bench.machine.tick(100.0) == []


def test_the_next_pause_is_decided_anew() -> None:
    """Verdict and text of an earlier pause do not count for a later one."""
    bench = paused()
    bench.feed(10.5, started(2.25), audio(2.25, 1.0), ended(3.0))
    assert bench.judge(11.0, 1.0, job=0) == []
    assert bench.feed(11.0, text("Hello.", 2.0)) == []
    assert bench.judge(11.0, 1.0) == []
    assert bench.feed(11.25, text("Hello. You.", 3.0)) == over(3.0, "Hello. You.")


def test_a_turn_ends_once() -> None:
    """After its end, late verdicts, texts and ticks come to nothing."""
    bench = paused()
    bench.feed(10.5, text("Hello.", 2.0))
    assert bench.judge(10.5, 1.0) == over(2.0, "Hello.")
    assert bench.judge(10.5, 1.0) == []
    assert bench.feed(10.75, text("Hello.", 2.0)) == []
    assert bench.machine.tick(100.0) == []
    assert bench.machine.finish(101.0) == []


def test_two_turns() -> None:
    """The second turn has its own text, and its audio only."""
    bench = paused()
    bench.feed(10.5, text("Hello.", 2.0))
    bench.judge(10.5, 1.0)
    bench.feed(14.0, started(4.0), audio(4.0, 1.0), ended(5.0))
    assert len(bench.jobs[1].pcm) == 32_000
    bench.feed(14.25, text("And you?", 5.0))
    assert bench.judge(14.25, 1.0) == over(5.0, "And you?")


# -- what the model is given ------------------------------------------------------------------


def test_the_model_hears_the_last_seconds() -> None:
    """It gets the turn so far, at most its window, all of it whole samples."""
    bench = Bench()
    pcm = bytes(range(256)) * 2000
    for start in range(0, len(pcm), 1000):
        bench.feed(0.0, Part.audio(pcm[start : start + 1000], at=start / 32_000))
    bench.feed(0.0, ended(16.0))
    assert bench.jobs[0].pcm == pcm[-8 * 32_000 :]
    assert bench.jobs[0].at == 16.0


def test_the_agents_voice_is_not_heard() -> None:
    """Only the user's audio is judged, and only it tells the time."""
    bench = Bench()
    bench.feed(5.0, audio(0.0), audio(100.0).derive(role="model"), ended(0.25, follows=False))
    assert len(bench.jobs[0].pcm) == 8000
    assert bench.machine.deadline() == 6.5


def test_another_format_is_an_error() -> None:
    """The model must not be given 48 kHz as if it were 16: the error says what to do."""
    with pytest.raises(AudioError, match="resample it first"):
        TurnMachine(AudioFormat()).feed(Part.audio(bytes(4), 48_000), 0.0)


# -- trouble and the end ----------------------------------------------------------------------


def test_a_failing_detector_is_late_and_never_wrong() -> None:
    """A failure is told on `status`; silence decides then."""
    bench = paused()
    bench.feed(10.5, text("Hello.", 2.0))
    news = {"event": "failed", "what": "turn detection", "error": "no ears"}
    failed = bench.feed(10.5, JobFailed(bench.jobs[0], ValueError("no ears")))
    assert failed == [Part(Data(news), substream="status")]
    assert bench.machine.tick(11.5) == over(2.0, "Hello.")


def test_a_failure_for_an_older_pause_decides_nothing() -> None:
    """It is told, and that is all."""
    bench = paused()
    bench.feed(10.5, started(2.25))
    assert len(bench.feed(10.5, JobFailed(bench.jobs[0], OSError()))) == 1


def test_finish_in_a_pause_ends_the_turn() -> None:
    """The input is over, so nothing more is waited for."""
    bench = paused()
    bench.feed(10.5, text("I like tea and", 2.0))
    assert bench.machine.finish(10.5) == over(2.0, "I like tea and")
    assert bench.machine.done()
    assert bench.machine.finish(10.5) == []
    assert bench.judge(10.75, 1.0) == []


def test_finish_without_speech_ends_nothing() -> None:
    """No turn was under way."""
    bench = Bench()
    bench.feed(0.0, audio(0.0))
    assert bench.machine.finish(1.0) == []
    assert bench.machine.done()


@pytest.mark.parametrize(
    "item", [Held(1), object(), JobDone(Job(), 1.0), JobFailed(Job(), OSError())]
)
def test_what_it_does_not_know_is_ignored(item: object) -> None:
    """Announcements and jobs of others come to nothing."""
    assert TurnMachine().feed(item, 0.0) == []


# -- the text's own end -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "and",
        "I want to go to the",
        "Well, um",
        "So I said: because.",
        "Tea, ",
        "I was thinking…",
        "I was thinking...",
        "It is -",
        "It is —",
        "AND",
        "with your",
    ],
)
def test_unfinished(words: str) -> None:
    """A text that stops at a joining word, a hesitation, a comma or a dash goes on."""
    assert is_unfinished(words)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "  ",
        "Hello",
        "What time is it?",
        "Play the band",
        "Yes!",
        "42",
        "你好",
        "I said so, you see",
    ],
)
def test_finished(words: str) -> None:
    """All else may be an end."""
    assert not is_unfinished(words)


@pytest.mark.parametrize(
    "words",
    [
        "Turn the light on.",
        "Where are you from?",
        "Please come in.",
        "What is that?",
        "I think so.",
    ],
)
def test_particles_end_sentences(words: str) -> None:
    """Commands and questions end with "on", "from", "in", "that" or "so" every day."""
    assert not is_unfinished(words)


@pytest.mark.parametrize("words", ["Buenos días", "Está bien así", "Il est là"])
def test_words_of_other_languages_are_whole(words: str) -> None:
    """A letter with an accent does not cut a word, so that its tail looks like "as" or "a"."""
    assert not is_unfinished(words)


# -- for all sequences ------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["audio", "start", "end", "bare end", "text", "old text", "judge", "fail", "wait"]
        ),
        st.sampled_from([0.0, 0.25, 0.5, 2.0, 12.0]),
        st.sampled_from(["", "Hello.", "and"]),
    ),
    max_size=40,
)


@quick
@given(steps)
def test_every_sequence(taken: list[tuple[str, float, str]]) -> None:
    """Every pause ends in resumed speech or one TurnEnded, in bounded time, in order."""
    bench = Bench()
    now = media = last = 0.0
    pauses: list[float] = []  # the present one, if any
    turns: list[float] = []

    def check(out: list[Output]) -> None:
        for index, output in enumerate(out):
            if isinstance(output, Announce):
                assert isinstance(output.signal, TurnEnded)
                assert out[index - 1] == Part(output.signal, at=output.signal.at)
                assert [output.signal.at] == pauses, "only the present pause can end the turn"
                turns.append(pauses.pop())

    for kind, seconds, words in taken:
        for _ in range(2):
            due = bench.machine.deadline()
            if due is not None and due <= now + seconds:
                check(bench.machine.tick(max(now, due)))
        now += seconds
        if kind == "audio":
            check(bench.feed(now, audio(media)))
            media += 0.25
        elif kind == "start":
            media += 0.125
            check(bench.feed(now, started(media)))
            pauses.clear()
        elif kind in ("end", "bare end"):
            media += 0.125
            pauses[:] = [last := media]
            check(bench.feed(now, ended(media, kind == "end")))
        elif kind in ("text", "old text"):
            check(bench.feed(now, text(words, last if kind == "text" else last - 0.0625)))
        elif bench.jobs:
            job = bench.jobs[-1]
            check(
                bench.feed(now, JobDone(job, 0.9) if kind == "judge" else JobFailed(job, OSError()))
            )
        due = bench.machine.deadline()
        assert (due is None) == (not pauses)
        assert due is None or due <= now + 9.5
    check(bench.machine.finish(now))
    assert pauses == []
    assert bench.machine.done()
    assert turns == sorted(set(turns))


def test_a_turn_that_somebody_else_ends_is_ended() -> None:
    """With a key instead of a detector: the text so far, then `TurnEnded`, told upstream too."""
    machine = TurnMachine()
    machine.feed(started(0.0), 0.0)
    machine.feed(text("Hello", 1.0), 1.0)
    assert machine.feed(Part(TurnEnded(1.0)), 1.0) == over(1.0, "Hello")
    assert machine.deadline() is None


def test_a_key_waits_for_a_promised_text() -> None:
    """The words are not lost, also if the user goes on meanwhile; but nobody waits for ever."""
    for goes_on in (False, True):
        for answered in (True, False):
            machine = TurnMachine()
            machine.feed(started(0.0), 0.0)
            machine.feed(ended(1.0), 1.0)
            assert machine.feed(Part(TurnEnded(1.2)), 1.2) == []
            if goes_on:
                machine.feed(started(1.5), 1.5)
            assert machine.deadline() == 9.0
            if answered:
                said = text("What time is it?", 1.0)
                assert machine.feed(said, 2.0) == [said, *over(1.2, "What time is it?")]
            else:
                assert machine.tick(9.0) == over(1.2)


def test_a_line_typed_while_somebody_speaks_ends_no_turn() -> None:
    """What is said goes on; in a pause it waits for the text of what was said."""
    bench = Bench()
    bench.feed(0.0, started(0.0))
    assert bench.feed(1.0, Part("typed"), Part(TurnEnded(1.0))) == []
    bench.feed(2.0, ended(2.0))
    assert bench.machine.feed(Part("typed"), 2.1) == [Part("typed")]
    assert bench.machine.feed(Part(TurnEnded(2.1)), 2.1) == []
    assert bench.feed(2.2, text("Hello", 2.0)) == over(2.1, "Hello")


def test_a_line_typed_long_before_hides_no_key() -> None:
    """It had no end of its own, and the key is no end of it."""
    machine = TurnMachine()
    machine.feed(Part("typed"), 0.0)
    machine.feed(started(1.0), 1.0)
    assert machine.feed(Part(TurnEnded(2.0)), 2.0) == over(2.0)


def test_a_key_let_go_a_moment_before_the_end_of_speech() -> None:
    """It is told after that, and ends the turn there: the rest of a word is no other turn."""
    bench = Bench()
    bench.feed(0.0, started(0.0))
    bench.feed(2.1, ended(2.0), text("Hello", 2.0))
    assert bench.machine.feed(Part(TurnEnded(1.9)), 2.2) == over(2.0, "Hello")


def test_a_key_let_go_long_after_a_line_is_no_end_of_it() -> None:
    """It came a second of sound later, and a line's own end follows it at once."""
    bench = Bench()
    bench.feed(0.0, started(0.0), text("Hello", 0.5))
    bench.feed(1.0, Part("typed"), audio(1.0, 1.0))
    machine = bench.machine
    assert machine.feed(Part(TurnEnded(2.0)), 2.0) == over(2.0, "Hello")


def test_a_key_of_before_ends_nothing_since() -> None:
    """It passes; the pause that came after it is decided as ever."""
    bench = Bench()
    bench.feed(0.0, started(0.0))
    bench.feed(3.0, ended(3.0))
    assert bench.feed(3.0, Part(TurnEnded(2.0))) == []
    assert bench.feed(3.1, text("Hello", 3.0)) == []
    assert bench.judge(3.2, 1.0) == over(3.0, "Hello")


@pytest.mark.parametrize(
    "text_of_it",
    [
        Part("hello there", at=1.0),
        Part("Hello, there.", at=2),
        Part("hello there", metadata={"is_final": True}),
    ],
)
def test_a_final_text_is_given_once(text_of_it: Part) -> None:
    """Whoever else gives it did not know that this machine had decided, and may write it better."""
    bench = Bench()
    bench.feed(0.0, started(0.0))
    bench.feed(1.0, ended(1.0))
    bench.feed(1.1, text("hello there", 1.0))
    assert bench.judge(1.3, 1.0) == over(1.0, "hello there")
    assert bench.machine.feed(text_of_it, 1.3) == []
    other, typed = Part("Goodbye", at=1.0), Part("hello there")
    assert bench.machine.feed(other, 1.3) == [other]
    assert bench.machine.feed(typed, 1.3) == [typed]
    bench.feed(2.0, started(2.0))
    again = text_of_it if text_of_it.at is None else text_of_it.derive(at=2.5)
    assert bench.machine.feed(again, 2.5) == [again]  # said once more


def test_the_same_word_said_again_without_a_time() -> None:
    """The next turn has the same words so far: they are its own."""
    bench = Bench()
    bench.feed(0.0, started(0.0), text("yes", 1.0), ended(1.0))
    assert bench.judge(1.3, 1.0) == over(1.0, "yes")
    bench.feed(2.0, started(2.0), text("yes", 2.5))
    again = Part("Yes.", metadata={"is_final": True})
    assert bench.machine.feed(again, 2.6) == [again]


@pytest.mark.parametrize("at", [1.0, None])
def test_a_final_text_that_comes_when_the_next_turn_has_begun(at: float | None) -> None:
    """It is of the turn before, which has its words, and takes none of the next one's away."""
    bench = Bench()
    bench.feed(0.0, started(0.0), text("hello there", 1.0), ended(1.0))
    assert bench.judge(1.3, 1.0) == over(1.0, "hello there")
    bench.feed(2.0, started(2.0), text("and you", 2.5))
    late = Part("Hello, there.", at=at, metadata={"is_final": True})
    assert bench.machine.feed(late, 2.6) == []
    bench.feed(3.0, ended(3.0, follows=False))
    assert bench.judge(3.3, 1.0) == over(3.0, "and you")


def test_a_better_text_that_comes_when_the_next_turn_has_begun() -> None:
    """It says more than was given, so it passes; the next turn keeps its own words."""
    bench = Bench()
    bench.feed(0.0, started(0.0), text("hello", 1.0), ended(1.0))
    bench.judge(1.3, 1.0)
    bench.feed(2.0, started(2.0), text("and you", 2.5))
    assert bench.feed(2.6, Part("Hello there.", at=1.0)) == []
    bench.feed(3.0, ended(3.0, follows=False))
    assert bench.judge(3.3, 1.0) == over(3.0, "and you")


@pytest.mark.parametrize(
    ("begins_at", "at", "passes"),
    [
        (None, 2.0, False),  # a transcriber counts some of the silence
        (None, 2.1, True),  # the detector has missed it
        (1.5, 1.5, False),
        (1.5, 1.8, True),
        (3.0, 2.1, True),
    ],
)
def test_the_same_words_again(begins_at: float | None, at: float, passes: bool) -> None:
    """Said a second later, or in speech that has begun since, they are words of their own."""
    bench = Bench()
    bench.feed(0.0, started(0.0), text("yes", 1.0), ended(1.0))
    assert bench.judge(1.3, 1.0) == over(1.0, "yes")
    if begins_at is not None:
        bench.feed(3.0, started(begins_at))
    again = Part("Yes.", at=at)
    assert bench.machine.feed(again, 3.1) == ([again] if passes else [])


@pytest.mark.parametrize("begun", [True, False])
def test_the_same_words_as_in_the_turn_before_one_without_a_text(begun: bool) -> None:
    """Its text comes late and is its own; what nobody began is the rest of the turn before."""
    bench = Bench()
    bench.feed(0.0, started(0.0), text("yes", 1.0), ended(1.0))
    bench.judge(1.3, 1.0)
    bench.feed(2.0, *([started(1.2)] if begun else []), ended(1.5, follows=False))
    assert bench.judge(2.3, 1.0) == over(1.5)
    late = Part("Yes.", at=1.5)
    assert bench.machine.feed(late, 2.5) == ([late] if begun else [])


def test_a_text_that_somebody_else_makes_final_is_not_repeated() -> None:
    """With a key, it is the transcriber that knows which text is the last."""
    machine = TurnMachine()
    machine.feed(started(0.0), 0.0)
    machine.feed(text("Hello", 1.0), 1.0)
    machine.feed(Part("Hello", at=1.0), 1.0)
    assert machine.feed(Part(TurnEnded(1.0)), 1.0) == over(1.0)


def test_the_input_ends_while_a_key_waits() -> None:
    """So does the turn."""
    machine = TurnMachine()
    machine.feed(started(0.0), 0.0)
    machine.feed(ended(1.0), 1.0)
    machine.feed(Part(TurnEnded(1.2)), 1.2)
    assert machine.finish(1.3) == over(1.2)


@pytest.mark.parametrize("item", [Reset(), Part(Reset())])
def test_a_reset_forgets_the_turn(item: Item) -> None:
    """What was said before it does not come out in the turn after it."""
    machine = TurnMachine()
    machine.feed(started(0.0), 0.0)
    machine.feed(ended(1.0), 1.2)
    machine.feed(text("Hello", 1.0), 1.3)
    assert machine.feed(item, 1.4) == ([item] if isinstance(item, Part) else [])
    assert machine.deadline() is None
