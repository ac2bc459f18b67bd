"""The models that listen and speak, with their real weights, on people's and on their own speech.

Numbers that depend on the machine are printed, not asserted (`pytest -s -m real` shows them).
"""

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from vivace.errors import AudioError, ModelError, ModelMissing
from vivace.models.hibari import Hibari
from vivace.models.silero import Silero, SileroSession
from vivace.models.smart_turn import SmartTurn
from vivace.models.whisper import Whisper

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("ears")]

Recording = Callable[[str], bytes]
T = TypeVar("T")
RATE = 16_000
SECOND = bytes(2 * RATE)
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SPELLED = {"mr": "mister", **{str(digit): word for digit, word in enumerate(NUMBERS)}}


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def words(text: str) -> list[str]:
    """In lower case, without punctuation, with small numbers spelled out and titles too."""
    plain = re.findall(r"[a-z]+|\d+", text.lower().replace("'", ""))
    return [SPELLED.get(word, word) for word in plain]


def errors(reference: list[str], found: list[str]) -> int:
    """Words to insert, delete or replace: the Levenshtein distance."""
    row = list(range(len(found) + 1))
    for i, expected in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, word in enumerate(found, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != expected))
    return row[-1]


def pcm(wave: Any) -> bytes:
    return bytes(memoryview(np.clip(np.asarray(wave) * 32_767, -32_768, 32_767).astype("<i2")))


def noise(seconds: float, level: float) -> bytes:
    return pcm(np.random.default_rng(2).normal(0, level, int(seconds * RATE)))


def to_16k(pieces: list[Any]) -> bytes:
    """Speech of 24 kHz as 16 kHz."""
    import soxr

    wave = np.frombuffer(b"".join(piece.pcm for piece in pieces), "<i2")
    return bytes(memoryview(soxr.resample(wave, 24_000, RATE)))


# -- Whisper ----------------------------------------------------------------------------------


def test_word_error_rate(recording: Recording, transcripts: dict[str, str]) -> None:
    """Of people reading and commanding, fewer than one word in five is wrong."""
    whisper = Whisper.load()

    async def listen() -> list[str]:
        return [await whisper(recording(name)) for name in transcripts]

    wrong = total = 0
    for (name, said), heard in zip(transcripts.items(), run(listen()), strict=True):
        missed = errors(words(said), words(heard))
        wrong, total = wrong + missed, total + len(words(said))
        print(f"{name}: {missed} of {len(words(said))} wrong: {heard!r}")
    print(f"word error rate: {wrong / total:.1%} of {total} words")
    assert wrong < 0.2 * total


@pytest.mark.parametrize("name", ["goforward", "something"])
def test_clear_commands_are_understood(
    recording: Recording, transcripts: dict[str, str], name: str
) -> None:
    """Every word is right, but for spelling and digits."""
    heard = run(Whisper.load()(recording(name)))
    assert words(heard) == words(transcripts[name])


def test_longer_than_a_window(recording: Recording, transcripts: dict[str, str]) -> None:
    """Forty seconds are cut at pauses, and no sentence is lost at a cut."""
    said = "something librivox_0870 librivox_0890 goforward".split() * 2
    sound = bytes(RATE).join(recording(name) for name in said)
    assert len(sound) > 30 * 2 * RATE
    heard = words(run(Whisper.load()(sound)))
    expected = [word for name in said for word in words(transcripts[name])]
    assert errors(expected, heard) < 0.15 * len(expected)


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.5, 3.0, 12.0])
@pytest.mark.parametrize("level", [0.0, 0.001, 0.01, 0.1])
def test_silence_and_noise_say_nothing(seconds: float, level: float) -> None:
    """No "you", no "Okay", whatever the length and loudness."""
    assert run(Whisper.load()(noise(seconds, level))) == ""


@pytest.mark.parametrize("hertz", [50, 440, 1000])
def test_hum_and_beeps_say_nothing(hertz: int) -> None:
    """Steady tones, which send a decoder round in circles, are no words either."""
    times = np.arange(3 * RATE) / RATE
    assert run(Whisper.load()(pcm(0.1 * np.sin(2 * np.pi * hertz * times)))) == ""


def test_half_a_frame_is_refused() -> None:
    """Both models that take any length say so before they work."""
    for model in (Whisper.load(), SmartTurn.load()):
        with pytest.raises(AudioError, match="not a whole number"):
            run(model(b"abc"))


# -- Silero -----------------------------------------------------------------------------------


async def probabilities(session: SileroSession, sound: bytes) -> list[float]:
    step = 2 * Silero.frame
    whole = len(sound) // step * step
    return [await session(sound[at : at + step]) for at in range(0, whole, step)]


@pytest.mark.parametrize("name", ["cards_001", "goforward", "librivox_0870", "something"])
def test_speech_begins_and_ends(recording: Recording, name: str) -> None:
    """Nothing in the silence around it, speech for at least a third of what is between."""
    found = run(probabilities(Silero.load().session(), SECOND + recording(name) + SECOND))
    speech = [index * Silero.frame / RATE for index, p in enumerate(found) if p > 0.5]
    length = len(recording(name)) / 2 / RATE
    print(f"{name}: speech from {speech[0] - 1:.2f} to {speech[-1] - 1:.2f} of {length:.2f} s")
    assert speech[0] > 0.95
    assert speech[-1] < 1 + length + 0.2
    assert len(speech) * Silero.frame / RATE > length / 3


@pytest.mark.parametrize("level", [0.0, 0.01, 0.1])
def test_noise_is_no_speech(level: float) -> None:
    """White noise and silence stay below one half for 5 s."""
    assert max(run(probabilities(Silero.load().session(), noise(5, level)))) < 0.5


def test_speech_after_long_noise_is_found(recording: Recording) -> None:
    """Twenty seconds of noise do not make it deaf to what follows."""
    session = Silero.load().session()
    sound = recording("goforward")

    async def listen() -> tuple[list[float], list[float]]:
        await probabilities(session, noise(20, 0.02))
        return await probabilities(session, sound), await probabilities(
            Silero.load().session(), sound
        )

    after, fresh = run(listen())
    assert sum(p > 0.5 for p in after) >= 0.9 * sum(p > 0.5 for p in fresh)


def test_eight_sessions_at_once_hear_what_one_hears(recording: Recording) -> None:
    """Batching changes no probability: every session has its own state."""
    names = "cards_001 cards_002 cards_003 goforward something".split()
    names += "librivox_0870 librivox_0880 librivox_0890".split()
    sounds = [recording(name)[: 2 * RATE] for name in names]

    async def together() -> list[list[float]]:
        silero = Silero.load()
        work = [probabilities(silero.session(), sound) for sound in sounds]
        return list(await asyncio.gather(*work))

    for sound, found in zip(sounds, run(together()), strict=True):
        alone = run(probabilities(Silero.load().session(), sound))
        np.testing.assert_allclose(found, alone, atol=1e-5)


def test_overlapping_calls_keep_their_order(recording: Recording) -> None:
    """Frames given to one session all at once give what they give one by one."""
    sound = recording("goforward")[: 2 * RATE]
    step = 2 * Silero.frame
    frames = [sound[at : at + step] for at in range(0, len(sound) - step, step)]

    async def at_once() -> list[float]:
        session = Silero.load().session()
        return list(await asyncio.gather(*map(session, frames)))

    alone = run(probabilities(Silero.load().session(), b"".join(frames)))
    np.testing.assert_allclose(run(at_once()), alone, atol=1e-5)


def test_a_frame_of_a_wrong_size_is_refused() -> None:
    """The message says what a frame is."""
    with pytest.raises(AudioError, match="give 1024 bytes"):
        run(Silero.load().session()(bytes(640)))


# -- Smart Turn -------------------------------------------------------------------------------


def test_whole_sentences_end_more_than_cut_ones(
    recording: Recording, transcripts: dict[str, str]
) -> None:
    """On average over all recordings; a single one may be read with an odd ending."""
    turn = SmartTurn.load()

    async def judge(parts: float) -> list[float]:
        found = []
        for name in transcripts:
            sound = recording(name)
            found.append(await turn(sound[: int(len(sound) // 2 * parts) * 2]))
        return found

    whole, cut = run(judge(1.0)), run(judge(0.4))
    print(f"complete: {np.mean(whole):.2f} whole, {np.mean(cut):.2f} cut")
    assert np.mean(whole) > np.mean(cut) + 0.2
    assert all(0 <= p <= 1 for p in whole + cut)


def test_only_the_last_eight_seconds_count(recording: Recording) -> None:
    """What lies further back changes nothing; and nothing at all can be judged too."""
    turn, sound = SmartTurn.load(), recording("librivox_0870") + recording("something")
    assert run(turn(sound)) == run(turn(noise(4, 0.1) + sound))
    assert 0 <= run(turn(b"")) <= 1


# -- Hibari -----------------------------------------------------------------------------------

SENTENCES = [
    "The weather is lovely today.",
    "Please open the window, and close the door.",
    "I have lived in this house for many years.",
]


@pytest.mark.parametrize("text", SENTENCES)
def test_what_it_says_is_understood(text: str) -> None:
    """Whisper writes down every word that hibari speaks."""
    pieces = run(Hibari.load()(text))
    assert words(run(Whisper.load()(to_16k(pieces)))) == words(text)


@pytest.mark.parametrize(
    "text", [*SENTENCES, " two\nlines  ", "— oh no", "$9.99 at 7:30", "Yes.", "so 😀 nice … day"]
)
def test_pieces_join_to_text_and_sound(text: str) -> None:
    """Nothing of text or sound is lost or doubled, no piece is silent, and it is repeatable."""
    pieces, again = run(Hibari.load()(text)), run(Hibari.load()(text))
    assert pieces == again
    assert "".join(piece.words for piece in pieces) == text
    assert all(piece.pcm and piece.format.rate == 24_000 for piece in pieces)


def test_one_piece_for_each_word() -> None:
    """Longer words last longer, and the pieces join to what the package makes, less its silence."""
    import hibari

    text = "A crocodile sat."
    pieces = run(Hibari.load()(text))
    assert [piece.words for piece in pieces] == ["A ", "crocodile ", "sat."]
    samples = np.clip(hibari.Hibari()(text, seed=0), -1, 1) * 32_767
    joined, whole = b"".join(piece.pcm for piece in pieces), samples.astype("<i2").tobytes()
    assert joined in whole
    start = whole.index(joined) // 2
    assert start > 24_000 * 0.1, "the package leads in with silence, which nobody should wait for"
    lead_in = np.abs(np.frombuffer(whole, "<i2")[:start].astype(int)).max()
    assert lead_in < 0.02 * np.abs(samples).max()
    middles = run(Hibari.load()("one crocodile two two two"))[1:4]
    assert middles[0].seconds > middles[1].seconds


@pytest.mark.parametrize("text", ["", "  ", "...", "—", "😀", "?!"])
def test_what_cannot_be_spoken_is_nothing(text: str) -> None:
    """No sound, no piece, no error."""
    assert run(Hibari.load()(text)) == []


def test_speed_changes_the_length() -> None:
    """Twice as quick takes about half the time; out of range is refused."""
    usual, quick = (
        sum(piece.seconds for piece in run(Hibari.load(speed)(SENTENCES[1])))
        for speed in (1.0, 2.0)
    )
    assert 0.4 < quick / usual < 0.65
    with pytest.raises(ModelError, match=r"give 0\.5 to 2"):
        Hibari.load(9)


# -- loading ----------------------------------------------------------------------------------


def test_one_instance_a_process() -> None:
    """Loading again is free."""
    assert Silero.load() is Silero.load()
    assert SmartTurn.load() is SmartTurn.load()
    assert Whisper.load() is Whisper.load()
    assert Hibari.load() is Hibari.load()


def test_garbage_is_no_model(tmp_path: Path) -> None:
    """A file that is no model is named, with what to do; so is one that is not there."""
    garbage = tmp_path / "model.bin"
    for load in (Silero.load, SmartTurn.load):
        with pytest.raises(ModelMissing, match=r"there is no file .*model\.bin"):
            load(garbage)
    with pytest.raises(ModelMissing, match=r"there is no model\.bin in"):
        Whisper.load(tmp_path)
    garbage.write_bytes(b"garbage" * 1000)
    for load in (Silero.load, SmartTurn.load):
        with pytest.raises(ModelError, match=r"model\.bin cannot be loaded .* pull it again"):
            load(garbage)
    with pytest.raises(ModelError, match=r"cannot be loaded as a CTranslate2 model"):
        Whisper.load(tmp_path)
