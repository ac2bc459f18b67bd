"""What counts as a barge-in where no floor decides."""

import struct

from vivace.audio import AudioFormat
from vivace.machines.barge_in import BargeIn
from vivace.part import Audio

LOUD = Audio(struct.pack("<2h", 9000, -9000) * 800, AudioFormat(16_000))  # 0.1 s
QUIET = Audio(bytes(32_000), AudioFormat(16_000))


def test_a_signal_cuts_and_its_end_does_not() -> None:
    """Speech that begins interrupts."""
    barge = BargeIn()
    assert barge.told(True, 1.0)
    assert not barge.told(False, 2.0)


def test_loud_sound_cuts() -> None:
    """Once, when it begins; sound that merely arrives does not."""
    barge = BargeIn()
    assert not barge.hear(QUIET, 0.0)
    assert barge.hear(LOUD, 1.0)
    assert not barge.hear(LOUD, 1.1)
    assert not barge.hear(QUIET, 2.0)
    assert barge.hear(LOUD, 3.0)


def test_who_knows_better_is_believed() -> None:
    """A level is not asked where a detector tells, now or from the beginning."""
    told = BargeIn()
    told.told(False, 0.0)
    assert not told.hear(LOUD, 1.0)
    assert not BargeIn(decided={"speech"}).hear(LOUD, 0.0)


def test_the_floor_decides_alone() -> None:
    """Nothing cuts, also if the floor is only known later."""
    decided: set[str] = set()
    barge = BargeIn(decided=decided)
    decided.add("floor")
    assert not barge.told(True, 0.0)
    assert not barge.hear(LOUD, 1.0)
    assert barge.is_likely(0.5)  # the user speaks all the same


def test_not_asked_to() -> None:
    """Speech then makes an interruption likely, and is none."""
    barge = BargeIn(interruptible=False)
    assert not barge.told(True, 0.0)
    assert not BargeIn(interruptible=False).hear(LOUD, 1.0)
    assert barge.is_likely(9.0)


def test_when_an_interruption_is_likely() -> None:
    """While the user speaks, and a second after any sound or hold."""
    barge = BargeIn()
    assert not barge.is_likely(0.0)
    barge.told(True, 1.0)
    barge.told(False, 5.0)
    assert barge.is_likely(5.9)
    assert not barge.is_likely(6.0)
    barge.sounded(7.0)
    assert barge.is_likely(7.5)


def test_deaf_until_the_user_has_stopped_and_not_for_long() -> None:
    """What has no number is refused after a cut, for five seconds at most."""
    barge = BargeIn()
    assert not barge.is_deaf(0.0)
    barge.cut(1.0)
    assert barge.is_deaf(5.9)
    assert not barge.is_deaf(6.0)
    barge.cut(7.0)
    barge.told(False, 7.5)
    assert not barge.is_deaf(7.5)
