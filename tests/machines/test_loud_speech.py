"""When loud sound is speech, on 20 ms at a time."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.machines.loud_speech import LoudnessRules, LoudSpeech
from vivace.part import Audio

FMT = AudioFormat(8_000)


def sound(db: float, ms: int, fmt: AudioFormat = FMT) -> Audio:
    """A square wave of that loudness."""
    level = round(32_768 * 10 ** (db / 20))
    frames = fmt.rate * ms // 1000
    return Audio(struct.pack("<2h", level, -level) * (frames // 2), fmt)


def test_a_loud_sound_starts_and_quiet_ends_it() -> None:
    """60 ms of one and 0.5 s of the other, by the sound's own length."""
    speech = LoudSpeech()
    assert speech.hear(sound(-20, 40)) == []
    assert speech.hear(sound(-20, 20)) == ["started"]
    assert speech.speaking
    assert speech.hear(sound(-60, 480)) == []
    assert speech.hear(sound(-60, 20)) == ["ended"]
    assert not speech.speaking


def test_in_between_nothing_changes() -> None:
    """What is too soft to start is too loud to end."""
    speech = LoudSpeech()
    assert speech.hear(sound(-40, 1000)) == []
    assert speech.hear(sound(-20, 100)) == ["started"]
    assert speech.hear(sound(-40, 1000)) == []


def test_breaks_begin_anew() -> None:
    """A click is no speech, and a pause between words no end."""
    speech = LoudSpeech()
    for _ in range(10):
        assert speech.hear(sound(-20, 40)) == speech.hear(sound(-60, 20)) == []
    speech.hear(sound(-20, 60))
    for _ in range(10):
        assert speech.hear(sound(-60, 480)) == speech.hear(sound(-20, 20)) == []


def test_one_long_part_may_hold_both() -> None:
    """However the sound is cut, it says the same."""
    long = Audio(sound(-20, 100).pcm + sound(-60, 600).pcm + sound(-20, 100).pcm, FMT)
    assert LoudSpeech().hear(long) == ["started", "ended", "started"]


@pytest.mark.parametrize("frames", [1, 128, 480, 1000])
def test_however_short_its_parts(frames: int) -> None:
    """A voice has quiet moments between its pulses; browsers send 128 frames at a time."""
    fmt, speech, news = AudioFormat(48_000), LoudSpeech(), []
    pulse = struct.pack("<480h", *([20_000, -20_000] * 60 + [0] * 360))  # a hundred a second
    pcm = pulse * 50 + bytes(2 * 30_000)
    for start in range(0, len(pcm), 2 * frames):
        heard = speech.hear(Audio(pcm[start : start + 2 * frames], fmt))
        news += [(start // 2 + frames, what) for what in heard]
    assert [what for _, what in news] == ["started", "ended"]
    assert news[0][0] < 0.08 * 48_000 + frames


@pytest.mark.parametrize(
    "fmt", [AudioFormat(8_000, 1, 1, "mulaw"), AudioFormat(8_000, 1, 1, "alaw")]
)
def test_telephone_sound_is_judged_too(fmt: AudioFormat) -> None:
    """A loud byte of G.711 is loud, and its silence silent."""
    speech = LoudSpeech()
    assert speech.hear(Audio(fmt.silence(1.0), fmt)) == []
    assert speech.hear(Audio(b"\x90\x10" * 400, fmt)) == ["started"]


def test_a_detector_of_ones_own_judges() -> None:
    """It gets 20 ms at a time, and its word counts, under the same times."""
    asked: list[int] = []

    def listen(audio: Audio) -> bool:
        asked.append(len(audio.pcm))
        return True

    speech = LoudSpeech(LoudnessRules(start_s=0.04), listen)
    assert speech.hear(Audio(FMT.silence(0.04), FMT)) == ["started"]
    assert asked == [320, 320]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([-60.0, -40.0, -20.0]), st.integers(0, 400)), max_size=12)
)
def test_starts_and_ends_alternate(pieces: list[tuple[float, int]]) -> None:
    """Whatever is heard, a start comes first, and no two come without an end between them."""
    speech = LoudSpeech()
    news = [it for db, ms in pieces for it in speech.hear(sound(db, ms))]
    assert news == [("started", "ended")[index % 2] for index in range(len(news))]
    assert speech.speaking == (len(news) % 2 == 1)
