from vivace.testing.dialogue import Cough, Dialogue, Manner, Reply, Say, Speaker, Timing, Wait
from vivace.testing.generate import random_dialogue
from vivace.testing.overlaps import KINDS, judged, overlaps
from vivace.testing.shrink import shortest
from vivace.testing.simulate import simulate


def test_leaves_only_what_matters() -> None:
    """Of a long conversation, the two steps and the word that matter are left, all else plain."""
    long = random_dialogue(1)
    steps = (*long.user[:9], Say("a b fatal c d", rate=2.0), *long.user[9:], Cough(0.5), Wait(3.0))
    speaker, timing, manner = Speaker(speed=0.5), Timing(jitter=1.0), Manner(speculate=True)
    whole = Dialogue(steps, long.replies, speaker, timing, manner, seed=3)

    def fails(dialogue: Dialogue) -> bool:
        said = [
            i for i, it in enumerate(dialogue.user) if isinstance(it, Say) and "fatal" in it.text
        ]
        return bool(said) and any(isinstance(it, Cough) for it in dialogue.user[said[0] :])

    found = shortest(whole, fails, tries=2000)
    [say, cough] = found.user
    assert isinstance(say, Say)
    assert "fatal" in say.text
    assert cough == Cough()
    assert found.replies == (Reply(),)
    assert (found.speaker, found.timing, found.manner) == (Speaker(), Timing(), Manner())


def test_stops_when_it_has_tried_enough() -> None:
    """No more conversations are held than allowed."""
    tried = []

    def fails(dialogue: Dialogue) -> bool:
        tried.append(dialogue)
        return True

    shortest(random_dialogue(1), fails, tries=7)
    assert len(tried) == 7


def test_comes_back_if_nothing_smaller_fails() -> None:
    """What is only broken as it stands stays as it is."""
    dialogue = random_dialogue(2)
    assert shortest(dialogue, lambda _: False, at=3.0) == dialogue


def test_later_is_cut_off_first() -> None:
    """When it failed is known, so what comes later is not held again."""
    found = shortest(random_dialogue(2), lambda it: it.at_most_s >= 4.0, at=3.0, tries=1)
    assert found.at_most_s == 4.0


def test_overlaps_are_judged_by_two_definitions() -> None:
    """An agent that yields to words and ignores coughs and hums is right about both."""
    verdicts = [judged(it, simulate(it.dialogue)) for it in overlaps(2)]
    assert [it.kind for it in verdicts] == [kind for kind in KINDS for _ in range(2)]
    by_kind = {kind: [it for it in verdicts if it.kind == kind] for kind in KINDS}
    assert all(it.right and it.cut for it in by_kind["interruption"])
    assert all(it.right and not it.cut for it in by_kind["backchannel"])
    silent = [it.silent_s for it in by_kind["interruption"]]
    assert all(it is not None and it < 0.25 for it in silent)
