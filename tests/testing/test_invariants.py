"""Each invariant by hand: what it lets pass, and what it says when it is broken."""

from collections.abc import Sequence

import pytest

from vivace.part import (
    Data,
    Held,
    Interrupted,
    Part,
    PlayedTo,
    Reset,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)
from vivace.part import Played as PlayedOut
from vivace.testing.accounts import (
    AnsweredInTime,
    AskedForSomething,
    Bounds,
    CountersAddUp,
    FailsAsTold,
    TalksOverNobody,
    WordsOnce,
)
from vivace.testing.ears import Sound, Sounds
from vivace.testing.invariants import (
    HeardIsPlayed,
    HoldsEnd,
    NothingStale,
    OneEndEach,
    OneReply,
    PairsWhole,
    SampleExact,
)
from vivace.testing.witness import (
    Called,
    Ended,
    Event,
    Gave,
    Got,
    Invariant,
    News,
    Passed,
    Played,
    Stages,
    Told,
    Witness,
)

STAGES = Stages(("source", "agent[0].detect_speech", "agent[1].live_model_processor", "agent[2].x"))


def sound(seconds: float = 0.02, turn: int = 1, fill: bytes = b"\x01", words: str = "") -> Part:
    return Part.audio(fill * round(seconds * 32_000), role="model", turn=turn, words=words)


def heard(seconds: float = 0.02) -> Part:
    return Part.audio(b"\x01" * round(seconds * 32_000))


def asked(turn: int) -> News:
    return News({"event": "asked", "turn": turn, "prompt": []})


def queued(turn: int, seconds: float) -> News:
    return News({"event": "queued", "turn": turn, "seconds": seconds})


def cut(turn: int, seconds: float) -> News:
    return News({"event": "cut", "turn": turn, "seconds": seconds})


def seen(invariant: Invariant, events: Sequence[Event | tuple[float, Event]]) -> str:
    """The first complaint, or ""; events without a time come at 0."""
    at = 0.0
    for event in events:
        at, event = event if isinstance(event, tuple) else (at, event)
        assert isinstance(event, invariant.sees)
        if complaint := invariant.see(event, at):
            return complaint
    return invariant.end(at) or ""


def words(*said: str) -> WordsOnce:
    sounds = Sounds()
    for word in said:
        mark = word.endswith("?")  # need not be answered
        made = Sound(word.rstrip("?"), 5, to_agent=not mark, heard=5)
        sounds.add(made)
    return WordsOnce(sounds, ["typed one", "typed two"])


def prompt(*texts: str) -> Called:
    """Texts of the user's; those that begin with "typed" have no time."""
    return Called(0, tuple(Part(text, at=None if "typed" in text else 1.0) for text in texts))


CALL, ANSWER = Part.call("t", id="1"), Part.response("t", id="1")

TWO_WORDS = [Got(sound(0.5, words="one ")), Got(sound(0.5, words="two"))]


def said(text: str) -> Part:
    return Part(text, role="model", turn=1)


def after_report(seconds: float) -> list[Event | tuple[float, Event]]:
    """Told to be heard to its end, after a report, where 0.3 s were played."""
    told = Told(PlayedTo(1, seconds)), Told(Interrupted(1, "one two")), Played(1, 0.3)
    return [*TWO_WORDS, *told]


BROKEN: list[tuple[Invariant, list[Event | tuple[float, Event]], str]] = [
    (NothingStale(), [Told(Interrupted(1)), Got(sound())], "Audio of reply 1 came after"),
    (NothingStale(), [Told(Reset(2)), Got(sound(turn=2))], "up to 2"),
    (
        NothingStale(),
        [Told(Interrupted(1)), Got(Part(TurnComplete(1), turn=1))],
        "TurnComplete of reply 1",
    ),
    (SampleExact(), [STAGES, Passed(2, sound()), Got(sound(fill=b"\x02"))], "nothing that was"),
    (HeardIsPlayed(), [Got(sound(words="one")), Told(Interrupted(1, "one two"))], "'one two'"),
    (HeardIsPlayed(), [Got(sound(0.5)), Played(1, 0.3)], "0.500 s were handed out, and 0.300 s"),
    (HeardIsPlayed(0.1), [Got(sound(0.5)), Played(1, 0.6)], "0.600 s played"),
    (
        HeardIsPlayed(chunk_s=1.0),
        [*TWO_WORDS, Told(Interrupted(1, "one two")), Played(1, 0.3)],
        "0.300 s were played, so '' at least and 'one ' at most",
    ),
    (
        HeardIsPlayed(chunk_s=1.0),
        [*TWO_WORDS, Told(Interrupted(1)), Played(1, 0.7)],
        "so 'one ' at least and 'one two' at most",
    ),
    (
        HeardIsPlayed(0.3, chunk_s=0.5),
        after_report(0.1),
        "0.300 s were played, so '' at least and 'one ' at most",
    ),
    (
        HeardIsPlayed(),
        [asked(1), Got(sound(words="one")), Called(1, (Part("two", role="model", turn=1),))],
        "has reply 1 as 'two'",
    ),
    (
        HeardIsPlayed(),
        [asked(1), Got(sound(words="one")), Told(PlayedOut(1)), asked(2), Called(1, ())],
        "lacks reply 1",
    ),
    (
        HeardIsPlayed(),
        [Got(sound(words="one")), Told(PlayedOut(1)), Called(1, (said("one"), said("one")))],
        "twice",
    ),
    (PairsWhole(), [Called(0, (CALL, CALL))], "call 1 is in the prompt twice"),
    (PairsWhole(), [Called(0, (CALL, ANSWER, ANSWER))], "response to 1 is in the prompt twice"),
    (PairsWhole(), [Called(0, (ANSWER, CALL))], "without its call"),
    (PairsWhole(), [Passed(0, ANSWER), Called(0, (CALL,))], "is not in the prompt"),
    (OneReply(), [asked(1), asked(2)], "2 was asked for while reply 1"),
    (OneReply(), [asked(1), Told(PlayedOut(1)), asked(3)], "3 was asked for where 2"),
    (OneReply(), [Called(0, ()), Called(1, ())], "a 2. time during its 1."),
    (HoldsEnd(), [Told(Held(1)), Told(Held(1))], "was held while it was held"),
    (HoldsEnd(), [Told(Resumed(1))], "had not been held"),
    (HoldsEnd(), [Told(Held(1)), Got(sound()), Got(sound())], "0.04 s of reply 1 came"),
    (HoldsEnd(), [Told(Held(1)), (4.2, Gave(heard()))], "still held after 4.20 s"),
    (HoldsEnd(), [Told(Held(1))], "held at the end"),
    (OneEndEach(), [Got(Part(TurnComplete(1)))], "was not asked for"),
    (OneEndEach(), [asked(1), *[Got(Part(TurnComplete(1)))] * 2], "complete twice"),
    (OneEndEach(), [asked(1)], "reply 1 has no end"),
    (Bounds(), [STAGES, Passed(0, heard(4.0))], "4.00 s wait in stage 1"),
    (Bounds(), [STAGES, Passed(2, sound(46.0))], "46.00 s of reply 1 wait"),
    (CountersAddUp(), [STAGES, Passed(0, heard()), Passed(1, heard(0.04))], "more of the user's"),
    (CountersAddUp(), [queued(1, 0.5), Got(sound(0.6))], "0.600 s left it"),
    (CountersAddUp(), [queued(1, 0.5), cut(1, 0.3)], "0.200 s would have to wait"),
    (CountersAddUp(), [queued(1, 0.5), Got(sound(0.4))], "0.100 s would have to wait"),
    (words("a", "b"), [prompt("a a")], "'a' is in the prompt once more"),
    (words("a", "b"), [prompt("b")], "'a' is not in the prompt"),
    (words("a"), [prompt("a", "typed two")], "typed was"),
    (FailsAsTold(("told",)), [News({"event": "failed", "what": "x", "error": "no"})], "x failed"),
    (AskedForSomething(), [prompt("a"), prompt("a")], "nothing new was said"),
]


@pytest.mark.parametrize(("invariant", "events", "complaint"), BROKEN)
def test_says_what_is_wrong(
    invariant: Invariant, events: list[Event | tuple[float, Event]], complaint: str
) -> None:
    """The first event that breaks it is told in a sentence."""
    assert complaint in seen(invariant, events)


RIGHT: list[tuple[Invariant, list[Event | tuple[float, Event]]]] = [
    (NothingStale(), [Told(Interrupted(1)), Got(sound(turn=2)), Got(CALL.derive(turn=1))]),
    (NothingStale(), [Told(Interrupted(1)), Got(Part(TurnComplete(1, "interrupted"), turn=1))]),
    (NothingStale(), [Told(Interrupted(1)), Got(Part(Data(1), substream="status", turn=1))]),
    (SampleExact(), [STAGES, Passed(2, sound(0.04)), Got(sound()), Got(sound())]),
    (SampleExact(), [Stages(("source", "mine")), Got(sound())]),
    (HeardIsPlayed(0.1), [Got(sound(0.5)), Played(1, 0.3), Told(Interrupted(1))]),
    (HeardIsPlayed(), [Got(sound(words="one ")), Called(1, (said("one "), ANSWER, said("two")))]),
    (HeardIsPlayed(0.3, chunk_s=0.5), after_report(0.0)),
    (HeardIsPlayed(0.3, chunk_s=0.5), after_report(1.0)),
    (PairsWhole(), [Called(0, (CALL,)), Passed(0, ANSWER), Called(1, (CALL, ANSWER))]),
    (OneReply(), [asked(1), Told(Interrupted(1)), asked(2), Told(Reset(2)), asked(3)]),
    (OneReply(frozenset([0])), [Called(0, ()), Called(1, ()), Ended(1), Called(2, ())]),
    (HoldsEnd(), [Told(Held(1)), Got(sound()), Told(Resumed(1)), Got(sound(1.0))]),
    (HoldsEnd(), [Told(Held(1)), Got(sound(1.0, turn=2)), Told(Interrupted(1))]),
    (HoldsEnd(), [Told(Held(1)), Told(PlayedOut(1)), Told(Resumed(1))]),
    (OneEndEach(left=True), [asked(1)]),
    (CountersAddUp(), [queued(1, 0.5), Got(sound(0.2)), Told(Interrupted(1)), cut(1, 0.28)]),
    (CountersAddUp(left=True), [queued(1, 0.5)]),
    (words("a", "mm?", "b"), [prompt("a", "typed one", "b")]),
    (words("a", "mm?", "b"), [prompt("a mm b")]),
    (FailsAsTold(("told",)), [News({"event": "failed", "what": "x", "error": "told so"})]),
    (AskedForSomething(), [prompt("a"), Told(Interrupted(1)), prompt("a"), prompt("a", "b")]),
]


@pytest.mark.parametrize(("invariant", "events"), RIGHT)
def test_lets_pass_what_is_right(
    invariant: Invariant, events: list[Event | tuple[float, Event]]
) -> None:
    """Nothing is said of what is allowed."""
    assert seen(invariant, events) == ""


def test_words_that_are_missing_are_known() -> None:
    """What was said whole and typed is missing until a prompt has it."""
    watch = words("a", "mm?", "b")
    assert watch.missing == "a b typed one typed two"
    assert seen(watch, [prompt("a", "typed one")]) == ""
    assert watch.missing == "b typed two"


def test_who_waits_for_an_answer_is_known() -> None:
    """Silence counts from the last sound of anybody's, and a tool may work for eight seconds."""
    sounds = Sounds()
    silence = Gave(Part.audio(bytes(640)))
    watch = AnsweredInTime(WordsOnce(sounds, []), 15.0)
    floor = News({"event": "floor", "floor": "agent", "turn": 1})
    assert seen(watch, [floor, (14.0, Got(sound())), (29.0, silence)]) == ""
    assert seen(watch, [(29.1, Got(CALL)), (37.0, silence)]) == ""
    told = seen(watch, [(60.0, Gave(ANSWER)), (75.0, silence)])
    assert told == "the model was not asked about the result of 1"
    assert seen(watch, [(75.0, Called(2, (CALL, ANSWER)))]) == ""
    told = seen(watch, [(75.1, silence)])
    assert told == "after 15 s of silence the floor is agent"
    sounds.add(Sound("a", 5, heard=5))
    assert watch.end(80.0) == "nobody has answered 'a'"


def test_who_talks_over_somebody_is_known() -> None:
    """What ends the speech is its end or a key, not a typed line nor the end of a turn before."""
    asked = News({"event": "asked", "turn": 1})
    stages = Stages(("source", "detect_turn", "live_model_processor"))
    begins, ends = Passed(1, Part(SpeechStarted(2.0))), Passed(1, Part(SpeechEnded(3.0)))
    key, late = Passed(1, Part(TurnEnded(2.5))), Passed(1, Part(TurnEnded(1.0)))
    typed, said = Passed(1, Part("so")), Passed(1, Part("so", at=2.4))
    told = "reply 1 was asked while the user spoke, since 2 s"
    for before, broken in (
        ([], False),
        ([begins], True),
        ([begins, ends], False),
        ([begins, said, key], False),
        ([begins, typed, key], True),
        ([begins, typed, Passed(1, Part.audio(bytes(8_000))), key], True),
        ([begins, typed, Passed(1, Part.audio(bytes(8_320))), key], False),  # long after the line
        ([begins, late], True),
        ([Passed(2, begins.part)], False),
    ):
        assert seen(TalksOverNobody(), [stages, *before, asked]) == (told if broken else "")


def test_a_call_without_a_response_is_known() -> None:
    """The agent owes it; what a program leaves open is the program's affair."""
    for tools, told in (("blocking", "call 1 has no response"), ("", "")):
        watch = AnsweredInTime(WordsOnce(Sounds(), []), 15.0, tools=tools)
        assert seen(watch, [Got(CALL)]) == told


def test_only_the_first_complaint_is_noted() -> None:
    """What is broken first explains what is broken after it."""
    time = 2.0
    witness = Witness([OneEndEach(), NothingStale()], lambda: time, keep=True)
    time = 3.5
    witness.see(Got(Part(TurnComplete(7))))
    witness.see(Got(Part(TurnComplete(8))))
    witness.end()
    assert witness.broken == ("one end each", "reply 7 is complete, and was not asked for", 1.5)
    assert [at for at, _ in witness.events] == [1.5, 1.5]
