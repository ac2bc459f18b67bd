"""Log-mel features as Whisper takes them, in numpy; Smart Turn was trained on the same ones.

This file owns the way from 16 kHz samples to features: 25 ms windows every 10 ms, 80 mel bands.
The numbers are from "Robust Speech Recognition via Large-Scale Weak Supervision" (Radford et al.,
2022) and the code published with it; the mel scale is that of Slaney's Auditory Toolbox (1998).
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["BANDS", "HOP", "RATE", "log_mel", "samples", "standardize"]

Floats: TypeAlias = NDArray[np.float32]

RATE = 16_000
HOP = 160
BANDS = 80
_WINDOW = 400
_BLOCK = 40
_FLOOR = 1e-10


def samples(pcm: bytes) -> Floats:
    """16-bit little-endian mono as [frames] in -1 to 1."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32_768)


def standardize(wave: Floats) -> Floats:
    """The same with mean 0 and variance 1; silence stays silence."""
    spread = np.sqrt(wave.var() + np.float32(1e-7))  # as in training: no division by 0
    standard: Floats = (wave - wave.mean()) / spread
    return standard


def log_mel(wave: Floats, columns: int) -> Floats:
    """Features [80, columns] of the first `columns` × 10 ms, about -1 to 1.

    wave: [frames] at 16 kHz, -1 to 1. Shorter ones are filled with silence at the end.
    columns: a multiple of 8.
    """
    # From here on all windows hold silence only; they are not worth computing.
    used = min(columns, -(-(len(wave) + _WINDOW // 2) // HOP))
    fitted = np.zeros(columns * HOP, np.float32)
    fitted[: len(wave)] = wave[: len(fitted)]
    mirrored = np.pad(fitted, _WINDOW // 2, mode="reflect")
    # One window more fits in, centred on the very end; Whisper leaves it out.
    windows = sliding_window_view(mirrored, _WINDOW)[::HOP][:columns]
    bands = np.full((columns, BANDS), _FLOOR, np.float32)
    for start in range(0, used, _BLOCK):
        bands[start : start + _BLOCK] = _bands(windows[start : start + _BLOCK])
    bands = np.log10(np.maximum(bands, np.float32(_FLOOR)))
    # 8 decades below the loudest is the floor; 4 and 4 bring speech to about -1 to 1.
    return np.ascontiguousarray((np.maximum(bands, bands.max() - 8) + 4).T / 4, np.float32)


def _bands(windows: Floats) -> Floats:
    """[40, 80], the energy in each mel band, of windows [40, 400].

    Forty at a time stay in the processor's cache: three times quicker than all at once. Within
    them, products of eight: larger ones wake BLAS's threads, which cost far more than they bring.
    """
    spectrum = np.fft.rfft(windows * _hann(), axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    blocks = power.astype(np.float32).reshape(-1, 8, power.shape[1])
    bands: Floats = (blocks @ _filters()).reshape(len(windows), BANDS)
    return bands


@cache
def _hann() -> NDArray[np.float64]:
    """A periodic Hann window: one that repeats without a seam, hence the division by N.

    In 64 bits, since numpy's FFT is three times quicker with them than with 32.
    """
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)


@cache
def _filters() -> Floats:
    """[201, 80]: triangles evenly spaced in mel from 0 Hz to 8 kHz, each of area 1 in hertz."""
    edges = _hertz(np.linspace(0, _mel(RATE / 2), BANDS + 2))[:, None]
    low, top, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.linspace(0, RATE / 2, _WINDOW // 2 + 1)[None, :]
    rising, falling = (bins - low) / (top - low), (high - bins) / (high - top)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.ascontiguousarray((triangles * 2 / (high - low)).T, np.float32)


# Slaney: up to 1 kHz linear with 200/3 Hz a mel, above it 27 mels for each factor of 6.4.
_LINEAR_HZ = 200 / 3
_BEND_HZ = 1000.0
_BEND_MEL = _BEND_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27


def _mel(hertz: float) -> float:
    """Of a frequency of 1 kHz or more."""
    return float(_BEND_MEL + np.log(hertz / _BEND_HZ) / _LOG_STEP)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    curved = _BEND_HZ * np.exp(_LOG_STEP * (mels - _BEND_MEL))
    return np.where(mels < _BEND_MEL, mels * _LINEAR_HZ, curved)
