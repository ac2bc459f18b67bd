import pytest

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.live.earshot import Earshot
from vivace.part import Audio

WIDE = AudioFormat(48_000, 2)


def heard_s(ears: Earshot) -> float:
    part = ears.peek()
    return 0.0 if part is None else part.seconds


def test_keeps_a_moment_before_the_turn_and_the_turn() -> None:
    """0.8 s while nobody speaks; what began 0.2 s ago, and the 0.3 s before that, then; and on."""
    ears = Earshot()
    for _ in range(20):
        ears.hear(Audio(bytes(3200)), listening=False)
    assert heard_s(ears) == 0.8
    ears.began(0.2)
    for _ in range(5):
        ears.hear(Audio(bytes(3200)), listening=True)
    assert heard_s(ears) == 1.0
    ears.clear()
    assert not ears
    assert ears.peek() is None


def test_another_format_between_turns_begins_anew() -> None:
    """What was kept of the moment before is let go."""
    ears = Earshot()
    ears.hear(Audio(bytes(3200)), listening=False)
    ears.hear(Audio(bytes(1920), WIDE), listening=False)
    part = ears.peek()
    assert part is not None
    assert part.body == Audio(bytes(1920), WIDE)


def test_another_format_within_a_turn_is_refused() -> None:
    """Both are named, and what was heard stays."""
    ears = Earshot()
    ears.hear(Audio(bytes(3200)), listening=True)
    with pytest.raises(AudioError, match=r"rate=48000.* in the middle .*rate=16000.*resample"):
        ears.hear(Audio(bytes(1920), WIDE), listening=True)
    part = ears.peek()
    assert part is not None
    assert part.body == Audio(bytes(3200))
