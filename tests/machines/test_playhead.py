"""The arithmetic of the schedule."""

import math

from vivace.audio import AudioFormat
from vivace.machines.playhead import Playhead

FMT = AudioFormat(1000)
SECOND = bytes(2000)


def test_the_first_plays_when_it_leaves() -> None:
    """And there is no gap before it."""
    head = Playhead()
    assert head.starved_s(5.0) == math.inf
    assert head.play(SECOND, FMT, 5.0) == (5.0, 0.0)
    assert head.at == 6.0
    assert head.starved_s(6.5) == 0.5
    assert head.starved_s(6.0) == head.starved_s(5.0) == 0.0


def test_a_hiccup_keeps_the_schedule_and_a_gap_does_not() -> None:
    """Up to a tenth of a second late, the next chunk is to be played where it was to be."""
    head = Playhead()
    head.play(SECOND, FMT, 5.0)
    assert head.play(SECOND, FMT, 6.09) == (6.0, 0.0)
    start, gap = head.play(SECOND, FMT, 7.5)
    assert (start, gap, head.at) == (7.5, 0.5, 8.5)


def test_a_restart_may_say_when() -> None:
    """Or leave it to the next chunk."""
    head = Playhead()
    head.restart(3.0)
    assert head.play(SECOND, FMT, 2.0) == (3.0, 0.0)
    head.restart()
    assert head.play(SECOND, FMT, 9.0) == (9.0, 0.0)


def test_rates_change_without_a_loss() -> None:
    """A thousand changes of rate end where they must, but for the last bit."""
    head = Playhead()
    head.restart(0.0)
    for step in range(1000):
        rate = (44_100, 8_000)[step % 2]
        head.play(bytes(2 * rate // 100), AudioFormat(rate), 0.0)
    assert abs(head.at - 10.0) < 1e-12


def test_lag_is_forgotten_slowly() -> None:
    """The worst of late, less a tenth with each chunk in time."""
    head = Playhead()
    for late_s in (0.0, 0.1, 0.0, 0.0):
        head.late(late_s)
    assert head.lag_s == 0.1 * 0.9 * 0.9
