"""Log-mel features, against sums written out longhand and what must hold of any such features.

No weights are needed: that the models understand the features is seen in `tests/real`.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from vivace.models import mel


def tone(hertz: float, seconds: float = 1.0) -> mel.Floats:
    turns = 2 * np.pi * hertz * np.arange(int(seconds * mel.RATE)) / mel.RATE
    return (0.5 * np.sin(turns)).astype(np.float32)


def noise(seconds: float) -> mel.Floats:
    wave = np.random.default_rng(1).normal(0, 0.1, int(seconds * mel.RATE))
    return wave.astype(np.float32)


def longhand_bands(wave: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    """The 80 band energies of one column, from the definitions: a Fourier sum, triangles in mel."""
    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)]
    piece = wave[column * 160 - 200 : column * 160 + 200] * window
    rotation = np.exp(-2j * np.pi * np.outer(np.arange(201), np.arange(400)) / 400)
    power = np.abs(rotation @ piece) ** 2
    mels = [m * (15 + 27 * math.log(8) / math.log(6.4)) / 81 for m in range(82)]
    edges = [m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27) for m in mels]
    bands = np.zeros(80)
    for band, (low, top, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for k in range(201):
            height = min((k * 40 - low) / (top - low), (high - k * 40) / (high - top))
            bands[band] += max(0, height) * 2 / (high - low) * power[k]
    return bands


def test_columns_are_what_the_definition_says() -> None:
    """A column in the middle equals the sums written out, but for rounding."""
    wave = noise(0.5)
    found = mel.log_mel(wave, 48)
    expected = np.log10(longhand_bands(wave.astype(np.float64), 20))
    # The floor hangs on the loudest of all columns; here none is as low as that.
    np.testing.assert_allclose(found[:, 20], (expected + 4) / 4, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.0, 9.99, 10.0, 12.0])
def test_any_length_fits_the_window(seconds: float) -> None:
    """Short waves are filled up, long ones cut: the shape is always the one asked for."""
    found = mel.log_mel(noise(seconds), 1000)
    assert found.shape == (80, 1000)
    assert found.dtype == np.float32


def test_filling_up_equals_silence_at_the_end() -> None:
    """Columns that are left out of the computing are those that silence gives."""
    wave = noise(0.7)
    filled = np.concatenate([wave, np.zeros(mel.RATE, np.float32)])
    np.testing.assert_array_equal(mel.log_mel(wave, 160), mel.log_mel(filled, 160))


def test_nothing_at_all_gives_the_floor() -> None:
    """Silence and an empty wave give -1.5 everywhere: (log10(1e-10) + 4) / 4."""
    silence = np.zeros(1600, np.float32)
    for wave in (silence, silence[:0]):
        np.testing.assert_allclose(mel.log_mel(wave, 16), -1.5, rtol=1e-6)


def test_the_floor_is_eight_decades_down() -> None:
    """Between the loudest and the floor lie 8 decades, which are 2 after scaling."""
    found = mel.log_mel(tone(440), 200)
    assert found.max() - found.min() == pytest.approx(2)


@pytest.mark.parametrize(("low", "high"), [(200, 400), (400, 1000), (1000, 3000), (3000, 7000)])
def test_higher_tones_are_in_higher_bands(low: float, high: float) -> None:
    """The loudest band rises with the frequency."""
    loudest = [int(mel.log_mel(tone(hertz), 96)[:, 48].argmax()) for hertz in (low, high)]
    assert loudest[0] < loudest[1]


def test_standardize_gives_mean_0_and_variance_1() -> None:
    """Whatever the level and offset were; and silence stays silence."""
    standard = mel.standardize(noise(1) * np.float32(0.5) + np.float32(0.2))
    assert standard.mean() == pytest.approx(0, abs=1e-5)
    assert standard.var() == pytest.approx(1, rel=1e-3)
    assert not mel.standardize(np.zeros(100, np.float32)).any()


def test_samples_are_between_minus_1_and_1() -> None:
    """16-bit little-endian: the lowest is -1, the highest just below 1."""
    assert mel.samples(b"\x00\x80\xff\x7f\x00\x00").tolist() == [-1, 32_767 / 32_768, 0]
