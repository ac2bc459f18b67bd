"""What is said: keywords, patterns and the phrase that wakes."""

import re
from typing import Any

import pytest

from vivace.errors import StageError
from vivace.part import Event, Part, TurnEnded
from vivace.processors.detect_events import EventProcessor
from vivace.processors.detect_words import KeywordDetector, WakePhraseDetector
from vivace.processors.detector import Detector
from vivace.testing.script import play

pytestmark = pytest.mark.virtual


def interim(text: str) -> Part:
    return Part(text, metadata={"interim": True})


async def seen(detector: Detector, *parts: Part) -> list[list[Event]]:
    """The events that follow each part."""
    script = [(float(at), part) for at, part in enumerate(parts)]
    out = await play(EventProcessor([detector], debounce_time=0.0), script)
    return [[it.body for at, it in out if at == n and isinstance(it.body, Event)]
            for n in range(len(parts))]  # fmt: skip


async def types(detector: Detector, *parts: Part) -> list[list[str]]:
    return [[event.type for event in events] for events in await seen(detector, *parts)]


# -- keywords ---------------------------------------------------------------------------------


async def test_words_and_phrases() -> None:
    """Whole words in any case; the words of a phrase whatever stands between them."""
    detector = KeywordDetector(["stop", "go forward"])
    texts = ["Stop!", "nonstop", "Go, forward: ten", "go forwards", "stop it. STOP", "ÉTOP"]
    assert await types(detector, *map(Part, texts)) == [
        ["stop"], [], ["go forward"], [], ["stop"], [],
    ]  # fmt: skip


async def test_by_type() -> None:
    """Several words may be one type; a compiled pattern is taken as it is."""
    detector = KeywordDetector({"halt": ["stop", "wait"], "number": re.compile(r"\d+ m")})
    [[halt], [number], [], [again]] = await seen(
        detector, Part("wait"), Part("go 10 m"), Part("10 M"), Part("stop")
    )
    assert halt == Event("halt", "keywords", data={"match": "wait"})
    assert number == Event("number", "keywords", data={"match": "10 m"})
    assert again.type == "halt"


async def test_what_a_turn_says_again_is_seen_once() -> None:
    """Transcripts of a turn each say all of it; the next turn begins anew."""
    detector = KeywordDetector(["stop"])
    parts = [
        interim("stop"),
        interim("shop"),  # it thinks better of it
        interim("stop and stop"),
        Part("stop and stop"),
        Part(TurnEnded(1.0)),
        interim("stop"),
        Part(TurnEnded(2.0)),  # and nothing was final
        interim("stop"),
    ]
    assert await types(detector, *parts) == [
        ["stop"], [], ["stop"], [], [], ["stop"], [], ["stop"],
    ]  # fmt: skip


async def test_only_text_is_looked_at() -> None:
    """Unless a predicate says which."""
    said = KeywordDetector(["stop"], on=lambda part: part.role == "model", name="agent")
    [first, second] = await seen(said, Part("stop"), Part("stop", role="model"))
    assert (first, [event.detector for event in second]) == ([], ["agent"])


@pytest.mark.parametrize("keywords", [[], {}, "stop", ["..."], [""], {"a": 7}, {"a": [7]}])
def test_keywords_that_are_none(keywords: Any) -> None:
    """They are refused."""
    with pytest.raises((StageError, TypeError)):
        KeywordDetector(keywords)


# -- the wake phrase --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("Hey, Computer! What time is it?", "Hey, Computer"),
        ("so hey computer", "hey computer"),
        ("a hey computer", "hey computer"),
        ("hay computer", "hay computer"),
        ("Hey com puter, go", "Hey com puter"),
        ("heycomputer", "heycomputer"),
    ],
)
async def test_it_is_heard(text: str, heard: str) -> None:
    """In any case, with punctuation, misheard, in one word more or less."""
    [[event]] = await seen(WakePhraseDetector("hey computer"), Part(text))
    assert (event.type, event.data["heard"]) == ("wake", heard)
    assert 0.8 <= event.confidence <= 1


@pytest.mark.parametrize(
    "text", ["", "hey", "computer", "they commute", "the computer is here", "hey there compute"]
)
async def test_it_is_not_heard(text: str) -> None:
    """What is not like it is not it."""
    assert await seen(WakePhraseDetector("hey computer"), Part(text)) == [[]]


async def test_what_it_tells() -> None:
    """Which phrase, how sure it is, and what was said after it."""
    detector = WakePhraseDetector(["okay house", "hey computer"], triggers_turn="over")
    [[event]] = await seen(detector, Part("Well. Okay house – lights on, please."))
    assert event == Event(
        "wake",
        "wake_phrase",
        1.0,
        triggers_turn="over",
        data={"phrase": "okay house", "heard": "Okay house", "rest": "lights on, please."},
    )
    [[close]] = await seen(detector, Part("hay computer"))
    assert close.confidence == 0.909


async def test_it_wakes_once_a_turn_for_each_time_it_is_said() -> None:
    """As transcripts grow."""
    detector = WakePhraseDetector("hey computer")
    parts = [interim("hey"), interim("hey computer"), interim("hey computer hey computer")]
    assert await types(detector, *parts, Part("hey computer")) == [[], ["wake"], ["wake"], []]


@pytest.mark.parametrize(
    ("phrases", "similarity"), [("", 0.8), ([], 0.8), (["hey", "!"], 0.8), ("hey", 0), ("hey", 1.1)]
)
def test_phrases_that_are_none(phrases: Any, similarity: float) -> None:
    """They are refused, and so is a likeness that all or nothing has."""
    with pytest.raises(StageError, match=r"no phrase|similarity="):
        WakePhraseDetector(phrases, similarity=similarity)
