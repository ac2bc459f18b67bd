import math
import struct
import sys
from array import array
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vivace.audio import AudioFormat, Encoding, loudness
from vivace.errors import AudioError, ModelMissing
from vivace.flow.processor import processor
from vivace.part import Audio, Part, Playing, TurnComplete
from vivace.processors.resample import Resample, resampled

pytestmark = pytest.mark.virtual


def tone(rate: int, seconds: float, channels: int = 1, hz: float = 440.0) -> bytes:
    frames = np.arange(round(rate * seconds)) / rate
    wave = np.round(10_000 * np.sin(2 * np.pi * hz * frames)).astype("<i2")
    return np.repeat(wave[:, None], channels, axis=1).tobytes()


def cut(pcm: bytes, sizes: Sequence[int], frame_bytes: int) -> list[bytes]:
    """`pcm` in pieces of so many frames, again and again until there is no more."""
    pieces, start, index = [], 0, 0
    while start < len(pcm):
        end = start + sizes[index % len(sizes)] * frame_bytes
        pieces.append(pcm[start:end])
        start, index = end, index + 1
    return pieces


async def run(parts: Sequence[Part], rate: int = 16_000) -> list[Part]:
    """What comes out; `Playing` comes of being heard, not of being resampled."""
    out = [part async for part in Resample(rate)(list(parts))]
    return [part for part in out if not isinstance(part.body, Playing)]


def sound(parts: Sequence[Part]) -> bytes:
    return b"".join(part.bytes for part in parts if isinstance(part.body, Audio))


def samples(pcm: bytes) -> Any:
    return np.frombuffer(pcm, "<i2").astype(float)


# -- what passes


async def test_what_is_so_already_passes_as_it_is() -> None:
    """Mono of the wanted rate, and all that is no audio, is the very same part."""
    parts = [Part.audio(tone(16_000, 0.1), at=0.0), Part("text"), Part(TurnComplete(1))]
    out = await run(parts)
    assert [a is b for a, b in zip(out, parts, strict=True)] == [True, True, True]


async def test_everything_keeps_its_place() -> None:
    """Texts and signals stay between the chunks where they stood."""
    chunk = Part.audio(tone(48_000, 0.1), 48_000)
    out = await run([chunk, Part("a"), chunk, Part("b")])
    assert [part.text or "sound" for part in out] == ["sound", "a", "sound", "b", "sound"]


# -- the sound


@pytest.mark.parametrize("source", [8_000, 11_025, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
async def test_a_tone_stays_that_tone(source: int, rate: int) -> None:
    """A second stays a second, to the frame, and 440 Hz stay 440 Hz."""
    if source == rate:
        return
    pieces = cut(tone(source, 1.0), [source // 50], 2)
    out = await run([Part.audio(piece, source) for piece in pieces], rate)
    assert {part.mimetype for part in out} == {AudioFormat(rate).mimetype}
    got, wanted = samples(sound(out)), samples(tone(rate, 1.0))
    assert abs(len(got) - rate) <= 1
    middle = slice(rate // 10, -rate // 10)
    assert np.abs(got[:rate][middle] - wanted[: len(got)][middle]).max() < 100


@given(
    source=st.sampled_from([8_000, 22_050, 44_100, 48_000]),
    sizes=st.lists(st.integers(50, 2_000), min_size=1, max_size=8),
    channels=st.integers(1, 2),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_any_chunking_gives_the_same_samples(
    source: int, sizes: list[int], channels: int
) -> None:
    """However the sound is cut, the samples are those of one go, to the bit."""
    pcm = tone(source, 0.1, channels)
    whole = await run([Part.audio(pcm, source, channels=channels)])
    pieces = cut(pcm, sizes, 2 * channels)
    parts = await run([Part.audio(piece, source, channels=channels) for piece in pieces])
    assert sound(parts) == sound(whole)


async def test_stereo_becomes_the_mean() -> None:
    """Left and right are averaged, at the same rate too."""
    stereo = array("h", [100, 300, -100, -200, 32767, 32767, -32768, -32768]).tobytes()
    out = await run([Part.audio(stereo * 4000, 16_000, channels=2)])
    got = array("h", sound(out))
    assert len(got) == 16_000
    assert list(got[8_000:8_004]) == [200, -150, 32767, -32768]


async def test_opposite_channels_cancel_out() -> None:
    """A tone that is upside down on the right leaves silence."""
    left = samples(tone(48_000, 0.5))
    stereo = np.stack([left, -left], axis=1).astype("<i2").tobytes()
    out = await run([Part.audio(stereo, 48_000, channels=2)])
    assert np.abs(samples(sound(out))).max() <= 1


async def test_the_loudest_sound_does_not_turn_over() -> None:
    """What overshoots full scale is clipped, never wrapped round to the other sign."""
    square = np.where(np.arange(48_000) // 240 % 2, 32767, -32768).astype("<i2").tobytes()
    got = samples(sound(await run([Part.audio(square, 48_000)])))
    halves = got.reshape(-1, 80)[1:-1, 20:60]  # the middles of the half waves
    assert ((halves > 20_000).all(axis=1) | (halves < -20_000).all(axis=1)).all()


# -- what comes with it


async def test_at_goes_on_without_a_gap() -> None:
    """Each chunk begins where the one before it ended, from where the first one began."""
    chunk = tone(44_100, 0.02)
    parts = [Part.audio(chunk, 44_100, at=5 + index * 0.02) for index in range(50)]
    out = await run(parts)
    at = 5.0
    for part in out:
        assert part.at == pytest.approx(at, abs=1e-9)
        at += part.seconds
    assert at == pytest.approx(6.0, abs=1 / 16_000)


async def test_at_follows_a_gap_in_the_sound() -> None:
    """After a pause in which nothing came, sound has the time of its own part again."""
    chunk = tone(48_000, 0.1)
    early = [Part.audio(chunk, 48_000, at=index / 10) for index in range(3)]
    late = [Part.audio(chunk, 48_000, at=10 + index / 10) for index in range(3)]
    ats = [part.at for part in await run([*early, *late])]
    assert sum(at is not None and at >= 9.9 for at in ats) >= 3


async def test_without_at_there_is_none() -> None:
    """Sound that has no place in time gets none."""
    out = await run([Part.audio(tone(48_000, 0.1), 48_000)] * 3)
    assert {part.at for part in out} == {None}


async def test_words_and_fields_stay_with_their_chunk() -> None:
    """Each chunk keeps its words, turn, role and metadata; the tail says nothing twice."""
    parts = [
        Part.audio(tone(24_000, 0.3), 24_000, words=words, role="model", turn=1, metadata={"n": n})
        for n, words in enumerate(["Hello ", "there."])
    ]
    out = await run(parts)
    texts = [part.body.words for part in out if isinstance(part.body, Audio)]
    assert texts == ["Hello ", "there.", ""]
    assert [(part.role, part.turn, part.metadata["n"]) for part in out] == [
        ("model", 1, 0),
        ("model", 1, 1),
        ("model", 1, 1),
    ]


async def test_roles_do_not_mix() -> None:
    """The user's sound and the agent's, interleaved, are resampled apart."""
    user = cut(tone(48_000, 0.5, hz=300), [960], 2)
    model = cut(tone(48_000, 0.5, hz=700), [960], 2)
    parts = []
    for mine, yours in zip(user, model, strict=True):
        parts += [Part.audio(mine, 48_000), Part.audio(yours, 48_000, role="model")]
    out = await run(parts)
    for role, pieces in (("user", user), ("model", model)):
        alone = await run([Part.audio(piece, 48_000) for piece in pieces])
        assert sound([part for part in out if part.role == role]) == sound(alone)


async def test_replies_do_not_mix() -> None:
    """No sample of an earlier reply comes out with the number of a later one."""
    loud = [Part.audio(tone(48_000, 0.1), 48_000, role="model", turn=1) for _ in range(3)]
    silence = [Part.audio(bytes(9_600), 48_000, role="model", turn=2) for _ in range(3)]
    out = await run([*loud, *silence])
    later = sound([part for part in out if part.turn == 2])
    assert len(later) > 9_000
    assert not any(later)


async def test_a_new_format_comes_after_the_rest_of_the_old() -> None:
    """When the rate changes, what the resampler still held comes first, in its place."""
    old = [Part.audio(tone(8_000, 0.1), 8_000, at=index / 10) for index in range(3)]
    new = [Part.audio(tone(48_000, 0.1), 48_000, at=0.3 + index / 10) for index in range(3)]
    out = await run([*old, *new])
    ats = [part.at for part in out if part.at is not None]
    assert ats == sorted(ats)


async def test_an_empty_chunk_is_no_problem() -> None:
    """A chunk without samples adds none, and its words are kept."""
    out = await run([Part.audio(b"", 48_000, words="hm"), Part.audio(tone(48_000, 0.1), 48_000)])
    assert isinstance(out[0].body, Audio)
    assert out[0].body.words == "hm"
    assert len(sound(out)) == 3_200


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize(("width", "encoding"), [(3, "int"), (4, "int"), (4, "float")])
async def test_samples_of_another_kind(rate: int, width: int, encoding: Encoding) -> None:
    """Wider samples and floats make the sound that the same 16-bit samples make."""
    narrow = array("h", tone(rate, 0.1))
    shift = 8 * (width - 2)
    if encoding == "float":
        wide = struct.pack(f"<{len(narrow)}f", *(sample / 32_768 for sample in narrow))
    else:
        wide = b"".join((it << shift).to_bytes(width, "little", signed=True) for it in narrow)
    same = await run([Part.audio(narrow.tobytes(), rate)])
    out = await run([Part(Audio(wide, AudioFormat(rate, 1, width, encoding)))])
    assert sound(out) == sound(same)


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
async def test_telephone_sound(encoding: Encoding) -> None:
    """8 kHz G.711 becomes twice as many samples, of the loudness that it has."""
    square, fmt = (b"\x90" * 8 + b"\x10" * 8) * 50, AudioFormat(8_000, 1, 1, encoding)
    out = await run([Part(Audio(square, fmt))])
    assert len(sound(out)) == 3_200
    assert loudness(sound(out), AudioFormat()) == pytest.approx(loudness(square, fmt), abs=1)


# -- what cannot be done


async def test_a_float_that_is_no_number_is_refused() -> None:
    """Nothing can be made of it; the error says where it is."""
    part = Part(Audio(struct.pack("<3f", 0.0, math.nan, 0.0), AudioFormat(16_000, 1, 4, "float")))
    with pytest.raises(AudioError, match=r"sample 1 .* is nan"):
        await run([part])


async def test_without_soxr_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numpy or soxr is missing, the error says how to get them."""
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ModelMissing, match=r"pip install 'vivace\[local\]'"):
        await run([Part.audio(tone(48_000, 0.1), 48_000)])


async def test_it_can_be_used_within_a_stage() -> None:
    """`resampled` is a stream like any other."""

    @processor
    async def stage(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in resampled(stream, 8_000):
            yield part

    out = [part async for part in stage([Part.audio(tone(16_000, 0.5))])]
    assert len(sound(out)) == 8_000
