import random

import msgspec
import pytest

from vivace.machines.backchannel import Backchannels
from vivace.testing import dialogue as dialogues
from vivace.testing.dialogue import (
    Backchannel,
    Cough,
    Dialogue,
    Listen,
    Manner,
    Reply,
    Say,
    Speaker,
    TalkOver,
    Timing,
    ToolUse,
)
from vivace.testing.generate import _Words, random_dialogue

SMALL = Dialogue(
    (Say("hello there", rate=2.0), TalkOver("stop"), Backchannel(), Cough(), Listen()),
    (Reply("one two", calls=(ToolUse(takes_s=0.5),)), Reply(end="hang")),
    Speaker(speed=0.5),
)


def test_prints_as_what_makes_it() -> None:
    """What is as it comes is left out, and the rest can be pasted into a program."""
    assert repr(SMALL) == (
        "Dialogue(user=(Say(text='hello there', rate=2.0), TalkOver(text='stop'), Backchannel(), "
        "Cough(), Listen()), replies=(Reply(text='one two', calls=(ToolUse(takes_s=0.5),)), "
        "Reply(end='hang')), speaker=Speaker(speed=0.5))"
    )


@pytest.mark.parametrize("seed", range(50))
def test_is_read_again_as_it_was(seed: int) -> None:
    """Random dialogues come back from print and from JSON."""
    dialogue = random_dialogue(seed)
    assert eval(repr(dialogue), vars(dialogues)) == dialogue
    assert Dialogue.loads(dialogue.dumps()) == dialogue


def test_what_is_no_dialogue_is_refused() -> None:
    """An unknown step is told with its place."""
    with pytest.raises(msgspec.ValidationError, match=r"user\[0\]"):
        Dialogue.loads('{"user": [{"type": "dances"}]}')


def test_under_another_seed() -> None:
    """All but the seed stays."""
    assert SMALL.under(7) == msgspec.structs.replace(SMALL, seed=7)
    assert SMALL.timing == Timing()


def test_same_seed_is_the_same_conversation() -> None:
    """What is drawn follows from the seed, and no word is used twice."""
    assert random_dialogue(3, 30.0) == random_dialogue(3, 30.0) != random_dialogue(4, 30.0)
    texts = [step.text for step in random_dialogue(3).user if isinstance(step, Say)]
    words = [word for text in texts for word in text.split() if word != "…"]
    assert len(words) == len(set(words)) > 5


def test_agents_have_manners_of_all_kinds() -> None:
    """Every other one is as it comes; of the others each has its own."""
    manners = [random_dialogue(seed, 5.0).manner for seed in range(200)]
    assert 70 < manners.count(Manner()) < 130
    for field in msgspec.structs.fields(Manner):
        assert len({getattr(manner, field.name) for manner in manners}) > 1


def test_a_word_by_chance_is_no_mm_hm() -> None:
    """What a user says has to be answered: "fine" and "sure" would not be."""
    words = set(_Words(random.Random(0)).some(20_000, 20_000))
    assert len(words) == 20_000
    assert not [word for word in words if Backchannels().covers(word)]
