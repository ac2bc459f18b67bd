"""Makes `cough.wav`: a cough of 0.35 s, synthesised, so that nobody had to cough for it.

A cough is a throat bursting open (a click of noise), air rushing through it (noise), and the vocal
folds closing again (a short, hoarse, falling tone), all of it shaped by the mouth's formants.
It sounds enough like a voice to make a speech detector start, and says no word.
"""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]

RATE = 16_000
SECONDS = 0.35
FORMANTS = ((840, 100, 1.0), (1380, 120, 0.8), (3120, 200, 0.45), (4080, 250, 0.3))
"""Of a wide open mouth: frequency and bandwidth in hertz, and loudness."""


def cough(seed: int = 3) -> Wave:
    """The sound, between -0.5 and 0.5. The same seed always gives the same sound."""
    random = np.random.default_rng(seed)
    t = np.arange(int(SECONDS * RATE)) / RATE
    noise = random.normal(0, 1, len(t))
    rush = bump(t, 0.02, 0.015) + 0.65 * bump(t, 0.09, 0.05)
    closing = bump(t, 0.17, 0.08)
    source = noise * (rush + 0.3 * closing) + 15 * hoarse_tone(t, random) * closing
    sound = sum(resonance(source, hz, width) * gain for hz, width, gain in FORMANTS)
    sound *= np.clip(np.minimum(t / 0.003, (SECONDS - t) / 0.04), 0, 1)
    return np.asarray(0.5 * sound / np.abs(sound).max())


def bump(t: Wave, at: float, width: float) -> Wave:
    """A bell of height 1 around `at`."""
    return np.asarray(np.exp(-(((t - at) / width) ** 2)))


def hoarse_tone(t: Wave, random: np.random.Generator) -> Wave:
    """Pulses that fall from 230 Hz by a third, and tremble."""
    hertz = 230 * (1 - t / SECONDS / 3) * (1 + 0.02 * np.repeat(random.normal(0, 1, 35), 160))
    phase = np.cumsum(hertz) / RATE
    return np.asarray(np.diff(np.floor(phase), prepend=0.0))


def resonance(x: Wave, hertz: float, width_hz: float) -> Wave:
    """`x` through a resonator of two poles."""
    size = 2 * len(x)
    delay = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    radius, angle = np.exp(-np.pi * width_hz / RATE), 2 * np.pi * hertz / RATE
    gain = (1 - radius) * np.sqrt(1 - 2 * radius * np.cos(2 * angle) + radius**2)
    response = gain / (1 - 2 * radius * np.cos(angle) * delay + radius**2 * delay**2)
    return np.asarray(np.fft.irfft(np.fft.rfft(x, size) * response, size)[: len(x)])


def main() -> None:
    """Write the file beside this script."""
    with wave.open(str(Path(__file__).with_name("cough.wav")), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((cough() * 32_767).round().astype("<i2").tobytes())


if __name__ == "__main__":
    main()
