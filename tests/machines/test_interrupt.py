"""Policies of interruption: each with exact times, and what holds for all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.errors import StageError
from vivace.machines.interrupt import Interrupt, Overlap, OverlapWatch

DEFAULT = Interrupt.unless_backchannel()


def test_at_once() -> None:
    """Any sound that is speech interrupts when it begins."""
    assert OverlapWatch(Interrupt.at_once).began(1.0)


def test_never() -> None:
    """Nothing does, and sounds do not even hold the reply."""
    watch = OverlapWatch(Interrupt.never)
    assert Interrupt.never.protects
    assert not watch.began(1.0)
    assert watch.deadline() is None
    assert not watch.understood("stop it at once please", 2.0)
    assert not watch.ended(9.0)


def test_after_seconds() -> None:
    """The sound must last so long; the watch wants to be woken then, and once."""
    watch = OverlapWatch(Interrupt.after(speech_s=0.5))
    assert not watch.began(1.0)
    assert watch.deadline() == 1.5
    assert not watch.tick(1.25)
    assert watch.tick(1.5)
    assert watch.deadline() is None
    assert not watch.tick(1.75)


def test_after_words() -> None:
    """So many words must be understood, in a sound however short."""
    watch = OverlapWatch(Interrupt.after(words=2))
    assert not watch.began(1.0)
    assert not watch.understood("stop", 1.25)
    assert watch.understood("stop that", 1.25)


@pytest.mark.parametrize("text", ["等一下", "ちょっと", "เดี๋ยว", "等 一", "잠깐 만요"])
def test_after_words_of_a_script_without_spaces(text: str) -> None:
    """Each character is one; Korean has spaces."""
    watch = OverlapWatch(Interrupt.after(words=2))
    assert not watch.began(1.0)
    assert not watch.understood(text[:1], 1.25)
    assert watch.understood(text, 1.25)


def test_after_seconds_and_words() -> None:
    """If both are given, both are needed."""
    watch = OverlapWatch(Interrupt.after(speech_s=0.5, words=2))
    assert not watch.began(1.0)
    assert not watch.understood("stop that", 1.25)
    assert watch.tick(1.5)
    watch.clear()
    assert not watch.began(1.0)
    assert not watch.tick(1.5)
    assert not watch.understood("stop", 1.625)
    assert watch.understood("stop that", 1.75)


def test_after_what() -> None:
    """A policy that asks for nothing is a mistake, and the error says what to give."""
    with pytest.raises(StageError, match="give speech_s=, words=, or both"):
        Interrupt.after()


def test_words_that_are_no_backchannel() -> None:
    """By default words interrupt, unless they only say that somebody listens."""
    watch = OverlapWatch(DEFAULT)
    assert not watch.began(1.0)
    assert not watch.understood("mm-hm", 1.25)
    assert watch.understood("mm-hm but", 1.5)


@pytest.mark.parametrize(
    ("text", "takes"),
    [("I", True), ("I see", False), ("yeah, got", True), ("got it", False), ("stop", True)],
)
def test_half_a_backchannel_is_waited_with(text: str, takes: bool) -> None:
    """While more may come it interrupts nothing; if no more came, it does, unlike a whole one."""
    told = OverlapWatch(DEFAULT)  # by another text
    settled = OverlapWatch(DEFAULT)  # by nothing more
    for watch in (told, settled):
        assert not watch.began(1.0)
        assert watch.understood(text, 1.25, interim=True) == (text == "stop")
        assert watch.forgets(text, interim=True) != (text == "stop")
        assert watch.forgets(text) != takes
    assert told.understood(text, 1.5) == takes
    assert settled.settled(1.5) == takes
    assert not settled.settled(1.75)


def test_a_late_text_that_may_still_change() -> None:
    """Half a backchannel is waited with here, too."""
    watch = OverlapWatch(DEFAULT)
    watch.ended(1.4, 0.4)
    watch.clear()
    assert not watch.understood("I", 3.0, 0.4, interim=True)
    assert not watch.settled(3.25)
    assert watch.understood("I", 3.5, 0.4)


def test_a_long_sound_without_words() -> None:
    """A second of sound in which nothing was understood interrupts."""
    watch = OverlapWatch(DEFAULT)
    assert not watch.began(1.0)
    assert watch.deadline() == 2.0
    assert watch.tick(2.0)


def test_a_long_backchannel_is_none() -> None:
    """Whoever says "yeah, right, of course" for two seconds is still listening."""
    watch = OverlapWatch(DEFAULT)
    assert not watch.began(1.0)
    assert not watch.understood("yeah right", 1.75)
    assert not watch.tick(2.0)
    assert not watch.ended(3.0)


def test_pauses_do_not_count_as_sound() -> None:
    """Two coughs of half a second are one second of sound, whatever lies between them."""
    watch = OverlapWatch(DEFAULT)
    assert not watch.began(1.0)
    assert not watch.ended(1.5)
    assert watch.deadline() is None
    assert not watch.began(2.5)
    assert watch.deadline() == 3.0
    assert not watch.tick(2.75)
    assert watch.tick(3.0)


def test_an_end_without_a_beginning() -> None:
    """The end of a sound that began before the reply says nothing."""
    assert not OverlapWatch(DEFAULT).ended(1.0)


def test_languages_and_words_of_ones_own() -> None:
    """The lists are the caller's to choose and to add to."""
    policy = Interrupt.unless_backchannel(["de"], also=["passt"])
    assert not policy.judge(Overlap(text="genau, passt"))
    assert policy.judge(Overlap(text="yeah"))
    assert policy.forgets(Overlap(text="genau"))
    assert not policy.forgets(Overlap(text="yeah"))


def test_unless() -> None:
    """A predicate of the caller's tells of what would interrupt that it is side talk."""
    unless = Interrupt.unless_backchannel(unless=lambda overlap: overlap.probability < 0.7)
    far, near = OverlapWatch(unless), OverlapWatch(unless)
    far.began(1.0, 0.6)
    near.began(1.0, 0.95)
    assert not far.understood("pass me the salt", 1.5)
    assert near.understood("pass me the salt", 1.5)


def test_a_predicate_of_ones_own() -> None:
    """It sees all that is known, whenever something new is."""
    seen: list[Overlap] = []

    def loud(overlap: Overlap) -> bool:
        seen.append(overlap)
        return overlap.words > 2

    watch = OverlapWatch(Interrupt.when(loud, looks_at_s=0.25))
    assert not watch.began(1.0, 0.875)
    assert not watch.tick(1.25)
    assert not watch.understood("well then", 1.5)
    assert not watch.ended(1.75)
    assert watch.understood("well then no", 2.0, interim=True)
    assert seen == [
        Overlap(0.0, 0.875, "", False),
        Overlap(0.25, 0.875, "", False),
        Overlap(0.5, 0.875, "well then", False),
        Overlap(0.75, 0.875, "well then", True),
        Overlap(0.75, 0.875, "well then no", True, interim=True),
    ]


def raises(overlap: Overlap) -> bool:
    raise ZeroDivisionError("division by zero")


TOLD = (
    "the policy raised ZeroDivisionError: division by zero; where it does, words that are no "
    "backchannel interrupt, and 1 s of sound"
)


@pytest.mark.parametrize("looks_at_s", [math.inf, 0.25, 3.0])
def test_a_policy_that_raises(looks_at_s: float) -> None:
    """The default policy decides in its place, also when to look; it is told of once."""
    watch = OverlapWatch(Interrupt.when(raises, looks_at_s=looks_at_s))
    assert watch.failures() == []
    for _ in range(2):
        assert not watch.began(1.0)
        if looks_at_s == 0.25:
            assert watch.deadline() == 1.25
            assert not watch.tick(1.25)
        assert watch.deadline() == 2.0
        assert watch.tick(2.0)
        watch.clear()
    assert not watch.began(5.0)
    assert not watch.understood("mm-hm", 5.25)
    assert watch.understood("mm-hm but", 5.5)
    assert watch.judge(Overlap(text="stop", over=True))
    assert watch.failures() == [TOLD]
    assert watch.failures() == []


def test_a_policy_that_raises_now_and_then() -> None:
    """It is asked every time, and decides where it can."""
    watch = OverlapWatch(Interrupt.when(lambda overlap: 1 / overlap.words < 0.5, looks_at_s=2.0))
    assert not watch.began(1.0)
    assert not watch.understood("well then", 1.5)
    assert watch.deadline() == 2.0
    assert not watch.tick(2.0)
    assert watch.deadline() == 3.0
    assert not watch.tick(3.0)
    assert watch.deadline() is None
    assert watch.understood("well then no", 3.5)


def test_side_talk_that_raises() -> None:
    """The languages and phrases of the policy stay as they are."""
    watch = OverlapWatch(Interrupt.unless_backchannel(["de"], also=["passt"], unless=raises))
    watch.began(1.0)
    assert not watch.understood("genau, passt", 1.25)
    assert watch.failures() == []
    assert watch.understood("genau, aber", 1.5)
    assert not watch.understood("yeah", 1.5)
    assert watch.failures() == [TOLD]


def test_what_tells_of_nothing_may_raise_too() -> None:
    """A backchannel means nothing then, and other words something; it is told of once."""
    watch = OverlapWatch(Interrupt(lambda overlap: overlap.words > 2, forgets=raises))
    assert watch.forgets("mm-hm")
    assert watch.forgets("I", interim=True)
    assert not watch.forgets("stop")
    told = (
        "the policy's forgets raised ZeroDivisionError: division by zero; where it does, words "
        "that are no backchannel are answered"
    )
    assert watch.failures() == [told]
    assert not watch.forgets("stop")
    assert watch.failures() == []
    assert watch.began(1.0) is watch.ended(1.5) is False
    assert watch.understood("well then no", 1.5)


def test_a_policy_of_which_all_raises() -> None:
    """The default policy decides in its place; each is told of once."""
    watch = OverlapWatch(Interrupt(raises, forgets=raises))
    assert not watch.judge(Overlap(text="mm-hm"))
    for _ in range(2):
        assert watch.judge(Overlap(text="stop that"))
        assert not watch.forgets("stop that")
    first, second = watch.failures()
    assert first == TOLD
    assert second.startswith("the policy's forgets raised ZeroDivisionError: division by zero; ")
    assert watch.failures() == []


def test_what_a_predicate_gives_back_is_true_or_false() -> None:
    """Whatever it is."""
    watch = OverlapWatch(Interrupt.when(lambda overlap: overlap.text))  # type: ignore[arg-type,return-value]
    assert watch.began(1.0) is False
    assert watch.understood("well", 1.25) is True
    watch = OverlapWatch(Interrupt(raises, forgets=lambda overlap: overlap.text))  # type: ignore[arg-type,return-value]
    assert watch.forgets("well") is True
    assert watch.forgets("") is False


def test_a_new_sound_after_it_came_to_nothing() -> None:
    """What was dismissed does not count again."""
    watch = OverlapWatch(Interrupt.after(words=2))
    watch.began(1.0)
    watch.understood("well", 1.25)
    watch.clear()
    watch.began(2.0)
    assert not watch.understood("no", 2.25)
    assert watch.policy.looks_at_s == 0.0


def test_a_text_that_comes_too_late_says_nothing_of_the_next_sound() -> None:
    """Of a sound that was dismissed: it may interrupt by itself, and is then forgotten."""
    watch = OverlapWatch(Interrupt.after(speech_s=0.5, words=2))
    assert not watch.began(1.0)
    assert not watch.ended(1.4)
    watch.clear()
    assert not watch.understood("uh what now", 3.0)
    assert not watch.began(6.0)
    assert not watch.tick(6.5)
    assert not watch.ended(6.8)

    watch = OverlapWatch(DEFAULT)
    watch.clear()
    assert not watch.understood("mm-hm", 3.0)
    assert not watch.began(6.0)
    assert watch.tick(7.0)
    watch.clear()
    assert watch.understood("no, stop", 9.0)


def test_a_late_text_is_judged_with_its_sound() -> None:
    """How long that was and how sure the detector were are known, though it came to nothing."""
    seen: list[Overlap] = []

    def judge(overlap: Overlap) -> bool:
        seen.append(overlap)
        return False

    watch = OverlapWatch(Interrupt.when(judge))
    assert not watch.judge_past("hello")  # there was no sound
    watch.began(1.0, 0.5)
    watch.ended(1.75, 1.75)
    watch.judge_past("put it")
    watch.clear()
    watch.clear()
    watch.understood("put it there", 3.0, 1.75)
    assert seen[-1] == Overlap(0.75, 0.5, "put it there", over=True)
    assert seen[-2] == Overlap(0.75, 0.5, "put it", over=True)
    assert seen[0] == Overlap(text="hello", over=True)
    assert watch.newest() == Overlap(0.75, 0.5)


def test_a_text_that_comes_in_the_next_sound() -> None:
    """It is known by its media time to be of what was dismissed."""
    watch = OverlapWatch(Interrupt.after(speech_s=0.5, words=2))
    watch.began(1.0)
    watch.ended(1.4, 0.4)
    watch.clear()
    assert not watch.began(2.0)
    assert not watch.tick(2.5)
    assert not watch.understood("uh what now", 2.6, 0.4)
    assert watch.understood("stop that", 2.7, 1.7)

    watch = OverlapWatch(DEFAULT)
    watch.ended(1.4, 0.4)
    watch.clear()
    assert not watch.began(2.0)
    assert not watch.understood("mm-hm", 2.6, 0.4)
    assert watch.understood("no, stop", 2.7, 0.4)
    assert watch.tick(3.0)


def test_sounds_and_texts_before_a_verdict_add_up() -> None:
    """Whatever lies between them."""
    watch = OverlapWatch(Interrupt.after(speech_s=0.5, words=2))
    watch.began(1.0)
    assert not watch.ended(1.25, 0.25)
    assert not watch.understood("stop that", 1.5, 0.25)
    assert not watch.began(2.0)
    assert watch.deadline() == 2.25
    assert watch.tick(2.25)


@given(
    st.sampled_from(
        [
            DEFAULT,
            Interrupt.at_once,
            Interrupt.never,
            Interrupt.after(speech_s=0.3),
            Interrupt.when(raises),
        ]
    ),
    st.lists(
        st.tuples(st.sampled_from(["began", "ended", "words", "tick"]), st.floats(0.0, 2.0)),
        max_size=30,
    ),
)
def test_time_alone_is_asked_once(policy: Interrupt, events: list[tuple[str, float]]) -> None:
    """A deadline lies ahead or is due; after a tick at it, the same sound has none any more."""
    watch, now = OverlapWatch(policy), 0.0
    for event, seconds in events:
        now += seconds
        match event:
            case "began":
                watch.began(now)
            case "ended":
                watch.ended(now)
            case "words":
                watch.understood("hmm", now)
            case _:
                due = watch.deadline()
                watch.tick(now)
                assert due is None or due > now or watch.deadline() is None
    assert (watch.deadline() or 0.0) < math.inf
