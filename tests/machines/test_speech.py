"""From probabilities to speech: thresholds, exact media times, and nothing lost or reordered.

Audio here is encoded: sample n has the value n, so that what passes can be compared byte by byte. A
frame has 512 samples, 0.032 s.
"""

import struct
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.machines.machine import Item, Job, JobDone, JobFailed, Machine, Output
from vivace.machines.speech import JudgeSpeech, SpeechMachine, SpeechRules
from vivace.part import Audio, Data, Held, Part, SpeechEnded, SpeechStarted

FRAME = 512
FRAME_S = 0.032
quick = settings(max_examples=60, deadline=None)
Judge = Callable[[int], float]


def pcm(start: int, count: int) -> bytes:
    return struct.pack(f"<{count}h", *((n % 30_000) for n in range(start, start + count)))


def cut(samples: int, sizes: Sequence[int], at: float = 0.0) -> list[Part]:
    """Encoded audio of `samples` in parts of these sizes, which are repeated."""
    parts, start, turn = [], 0, 0
    while start < samples:
        size = min(sizes[turn % len(sizes)], samples - start)
        parts.append(Part.audio(pcm(start, size), at=at + start / 16_000))
        start, turn = start + size, turn + 1
    return parts


class Bench:
    """Feeds a machine and answers its jobs with `probabilities`, frame by frame; 0 after them."""

    def __init__(self, probabilities: Sequence[float] = (), machine: Machine | None = None) -> None:
        self.machine = machine or SpeechMachine(rules=SpeechRules(end_s=0.2))
        self.probabilities = list(probabilities)
        self.frames: list[bytes] = []
        self.out: list[Part] = []
        self.jobs: list[JudgeSpeech] = []

    def feed(self, *items: Item) -> list[Part]:
        """Feed the items, answering each job at once; return what came out."""
        before = len(self.out)
        for item in items:
            self.take(self.machine.feed(item, 0.0))
            while self.jobs:
                self.answer()
        return self.out[before:]

    def take(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, JudgeSpeech):
                self.jobs.append(output)
            else:
                assert isinstance(output, Part)
                self.out.append(output)
        assert len(self.jobs) <= 1, "a detector with a memory must get one frame after the other"

    def answer(self) -> None:
        """Answer the job that waits."""
        job = self.jobs.pop()
        index = len(self.frames)
        self.frames.append(job.pcm)
        probability = self.probabilities[index] if index < len(self.probabilities) else 0.0
        self.take(self.machine.feed(JobDone(job, probability), 0.0))

    def finish(self) -> list[Part]:
        """End the stream and answer what is still being judged."""
        before = len(self.out)
        self.take(self.machine.finish(0.0))
        while self.jobs:
            self.answer()
        assert self.machine.done()
        return self.out[before:]


def signals(parts: Sequence[Part]) -> list[SpeechStarted | SpeechEnded]:
    return [p.body for p in parts if isinstance(p.body, SpeechStarted | SpeechEnded)]


def sound(parts: Sequence[Part]) -> bytes:
    return b"".join(p.body.pcm for p in parts if isinstance(p.body, Audio))


def hear(
    probabilities: Sequence[float], rules: SpeechRules | None = None
) -> list[tuple[str, float]]:
    """The signals of these frames, before the end of the stream."""
    bench = Bench(probabilities, SpeechMachine(rules=rules or SpeechRules(end_s=0.2)))
    found = signals(bench.feed(*cut(FRAME * len(probabilities), [FRAME])))
    return [(type(signal).__name__, signal.at) for signal in found]


# -- thresholds -------------------------------------------------------------------------------


def test_started_and_ended_at_exact_media_times() -> None:
    """Speech from frame 3 to frame 9 starts at 0.096 s and ends at 0.32 s."""
    assert hear([0.0] * 3 + [0.9] * 7 + [0.0] * 10) == [
        ("SpeechStarted", 0.096),
        ("SpeechEnded", 0.32),
    ]


def test_a_click_is_no_speech() -> None:
    """One frame is shorter than `start_s` and starts nothing; a break starts the count anew."""
    assert hear([0.0, 0.9, 0.0, 0.9, 0.4, 0.9, 0.0]) == []


def test_two_frames_are_speech() -> None:
    """64 ms without a break are exactly enough."""
    assert hear([0.9, 0.9]) == [("SpeechStarted", 0.0)]


def test_a_breath_is_no_end() -> None:
    """Six frames of silence are shorter than 0.2 s, seven are not."""
    assert hear([0.9] * 2 + [0.0] * 6 + [0.9] + [0.0] * 6) == [("SpeechStarted", 0.0)]
    assert hear([0.9] * 2 + [0.0] * 7) == [("SpeechStarted", 0.0), ("SpeechEnded", 0.064)]


def test_hysteresis() -> None:
    """Between the thresholds nothing changes: no start from silence, no end from speech."""
    assert hear([0.36, 0.49] * 20) == []
    assert hear([0.9, 0.9] + [0.36, 0.49] * 20) == [("SpeechStarted", 0.0)]


def test_thresholds_are_inclusive_above() -> None:
    """At `on` it is speech, at `off` it is not yet silence."""
    assert hear([0.5, 0.5]) == [("SpeechStarted", 0.0)]
    assert hear([0.5, 0.5] + [0.35] * 20) == [("SpeechStarted", 0.0)]
    assert hear([0.5, 0.5] + [0.349] * 7) == [("SpeechStarted", 0.0), ("SpeechEnded", 0.064)]


def test_between_the_thresholds_breaks_a_start_and_a_silence() -> None:
    """What is neither speech nor silence is a break of both."""
    assert hear([0.9, 0.4, 0.9, 0.4]) == []
    assert hear([0.9] * 2 + [0.0] * 6 + [0.4] + [0.0] * 6) == [("SpeechStarted", 0.0)]


def test_rules_of_ones_own() -> None:
    """With one frame for a start and one for an end, every change is told."""
    rules = SpeechRules(on=0.8, off=0.2, start_s=0.032, end_s=0.032)
    assert hear([0.7, 0.8, 0.3, 0.1, 0.9, 0.0], rules) == [
        ("SpeechStarted", 0.032),
        ("SpeechEnded", 0.096),
        ("SpeechStarted", 0.128),
        ("SpeechEnded", 0.16),
    ]


def test_another_rate_and_frame() -> None:
    """Times follow from the format: 240 samples at 24 kHz are 10 ms."""
    machine = SpeechMachine(240, AudioFormat(24_000), SpeechRules(start_s=0.03, end_s=0.05))
    bench = Bench([0.0] * 5 + [1.0] * 10 + [0.0] * 20, machine)
    parts = [Part.audio(bytes(480), 24_000, at=10 + n / 100) for n in range(40)]
    assert signals(bench.feed(*parts)) == [SpeechStarted(10.05), SpeechEnded(10.15)]


@pytest.mark.parametrize(("at", "first"), [(None, 0.0), (0.0, 0.0), (12.5, 12.5)])
def test_media_time_begins_with_the_first_part(at: float | None, first: float) -> None:
    """Times count from where the first audio says that it is, else from 0."""
    bench = Bench([0.9] * 2)
    parts = [part.derive(at=None if at is None else at) for part in cut(FRAME, [FRAME])]
    assert signals(bench.feed(*parts, *cut(FRAME, [FRAME]))) == [SpeechStarted(first, 0.9)]


def test_media_time_follows_a_gap() -> None:
    """If audio was lost before (a full hop dropped it), times follow what the parts say."""
    bench = Bench([0.0] * 10 + [0.9] * 2)
    lost = [part.derive(at=6.0 + (part.at or 0.0)) for part in cut(FRAME * 2, [FRAME])]
    assert signals(bench.feed(*cut(FRAME * 10, [FRAME]), *lost)) == [SpeechStarted(6.0, 0.9)]


def test_an_hour_does_not_drift() -> None:
    """After an hour of frames the times are still exact to the microsecond."""
    machine = SpeechMachine()
    found: list[Output] = []
    block = 50
    frame = Part.audio(bytes(FRAME * 2))
    for index in range(3600 * 16_000 // FRAME):
        [job] = machine.feed(frame, 0.0)
        probability = 1.0 if index % (2 * block) >= block else 0.0
        found += machine.feed(JobDone(job, probability), 0.0)  # type: ignore[arg-type]
    times = [s.at for s in signals([p for p in found if isinstance(p, Part)])]
    assert len(times) == 2249
    assert times == [round((n + 1) * block * FRAME / 16_000, 6) for n in range(2249)]


# -- order ------------------------------------------------------------------------------------


def test_audio_waits_for_its_verdict() -> None:
    """A part leaves when the frame that it begins in is judged, not before."""
    machine = SpeechMachine()
    first, second = cut(FRAME * 2, [FRAME])
    [job] = machine.feed(first, 0.0)
    assert isinstance(job, JudgeSpeech)
    assert machine.feed(second, 0.0) == []
    assert not machine.done()
    passed, job = machine.feed(JobDone(job, 0.0), 0.0)
    assert passed is first
    assert machine.feed(JobDone(job, 0.0), 0.0) == [second]  # type: ignore[arg-type]
    assert machine.done()


def test_each_part_leaves_with_its_own_frame() -> None:
    """However long the stream, after n frames are judged exactly n parts of a frame have left."""
    machine = SpeechMachine()
    parts = cut(FRAME * 2000, [FRAME])
    [job] = machine.feed(parts[0], 0.0)
    for part in parts[1:]:
        machine.feed(part, 0.0)
    early = []
    for number in range(1, 2001):
        out = machine.feed(JobDone(job, 0.0), 0.0)  # type: ignore[arg-type]
        left = [output for output in out if isinstance(output, Part)]
        job = out[-1]
        if left != [parts[number - 1]]:
            early.append((number, len(left)))
            break
    assert early == []


def test_signals_stand_before_the_audio_that_told() -> None:
    """Started comes before the part whose frame made it sure; ended likewise."""
    bench = Bench([0.9, 0.9] + [0.0] * 8)
    out = bench.feed(*cut(FRAME * 10, [FRAME]))
    kinds = [type(part.body).__name__ for part in out]
    assert kinds == ["Audio", "SpeechStarted", *["Audio"] * 7, "SpeechEnded", *["Audio"] * 2]
    assert [part.at for part in out if not isinstance(part.body, Audio)] == [0.0, 0.064]


def test_other_parts_keep_their_place() -> None:
    """Text and images among the audio come out among the same audio."""
    bench = Bench()
    audio = cut(FRAME * 4, [FRAME])
    text, image = Part("hello"), Part.image(b"x")
    out = bench.feed(text, audio[0], image, audio[1], Part(Held(1)), audio[2], audio[3])
    out += bench.finish()
    assert out == [text, audio[0], image, audio[1], Part(Held(1)), audio[2], audio[3]]


def test_other_parts_pass_at_once_without_audio() -> None:
    """Where no audio waits there is nothing to wait for."""
    machine = SpeechMachine()
    assert machine.feed(Part("hello"), 0.0) == [Part("hello")]


def test_a_text_after_the_last_audio_is_not_stuck() -> None:
    """A microphone that is muted in the middle of a frame does not keep what is typed after it."""
    bench = Bench()
    bench.feed(*cut(FRAME + 100, [FRAME + 100]))
    out = bench.feed(*[part.derive(at=None) for part in cut(100, [100])], Part("typed"))
    assert Part("typed") in out or bench.machine.deadline() is not None


def muted() -> SpeechMachine:
    """A machine whose audio stopped in the middle of a frame, all of it judged."""
    machine = SpeechMachine()
    [job] = machine.feed(Part.audio(pcm(0, FRAME)), 0.0)
    machine.feed(Part.audio(pcm(FRAME, 100)), 0.0)
    machine.feed(JobDone(job, 0.0), 0.0)  # type: ignore[arg-type]
    return machine


def test_a_typed_text_waits_a_tenth_of_a_second_at_most() -> None:
    """After it all that waits leaves, in order, and nothing is due any more."""
    machine = muted()
    assert machine.deadline() is None
    assert machine.feed(Part("typed"), 5.0) == []
    assert machine.deadline() == 5.1
    assert machine.tick(5.09) == []
    assert machine.tick(5.1) == [Part.audio(pcm(FRAME, 100)), Part("typed")]
    assert machine.deadline() is None
    assert machine.tick(6.0) == []
    assert machine.done()


def test_the_second_text_does_not_make_the_first_wait_longer() -> None:
    """Time counts from the first that waits."""
    machine = muted()
    machine.feed(Part("one"), 5.0)
    machine.feed(Part("two"), 5.0625)
    assert machine.deadline() == 5.1


def test_a_text_that_has_left_with_its_frame_is_due_no_more() -> None:
    """Where audio goes on, texts leave with it, and audio waits for its own verdict."""
    machine = muted()
    machine.feed(Part("typed"), 5.0)
    [job] = machine.feed(Part.audio(pcm(612, FRAME)), 5.03125)
    out = machine.feed(JobDone(job, 0.0), 5.03125)  # type: ignore[arg-type]
    assert Part("typed") in out
    machine.feed(Part.audio(pcm(1124, 50)), 5.0625)
    assert machine.deadline() is None


def test_a_text_does_not_drive_audio_past_a_slow_detector() -> None:
    """While a frame is being judged, its signal comes before the audio that follows."""
    machine = SpeechMachine()
    [job] = machine.feed(Part.audio(pcm(0, FRAME)), 0.0)
    later = [Part.audio(pcm(FRAME * n, FRAME)) for n in (1, 2, 3)]
    for part in (*later, Part("typed")):
        machine.feed(part, 0.0)
    assert machine.tick(0.1) == []
    bench = Bench([0.9, 0.9], machine)
    bench.jobs.append(job)  # type: ignore[arg-type]
    while bench.jobs:
        bench.answer()
    bench.finish()
    kinds = [type(part.body).__name__ for part in bench.out]
    assert kinds == ["Audio", "SpeechStarted", "Audio", "Audio", "Audio", "str", "SpeechEnded"]


@pytest.mark.parametrize("item", [Held(1), object(), JobDone(Job(), 1.0)])
def test_what_it_does_not_know_is_ignored(item: object) -> None:
    """Announcements and the jobs of others come to nothing."""
    assert SpeechMachine().feed(item, 0.0) == []


# -- for all sequences ------------------------------------------------------------------------

sizes = st.lists(st.integers(0, 1500), min_size=1, max_size=8).filter(lambda s: sum(s) > 0)
judged = st.lists(st.sampled_from([0.0, 0.2, 0.36, 0.5, 0.9, 1.0]), min_size=1, max_size=60)


@quick
@given(sizes, judged)
def test_chunk_sizes_change_nothing(chunks: list[int], probabilities: list[float]) -> None:
    """Cut anyhow, the same audio makes the same frames and signals and leaves byte for byte."""
    samples = FRAME * len(probabilities)
    whole, pieces = Bench(probabilities), Bench(probabilities)
    expected = whole.feed(*cut(samples, [FRAME])) + whole.finish()
    out = pieces.feed(*cut(samples, chunks)) + pieces.finish()
    assert pieces.frames == whole.frames
    assert signals(out) == signals(expected)
    assert sound(out) == pcm(0, samples)


@quick
@given(sizes, judged, st.lists(st.integers(0, 40), max_size=10))
def test_nothing_is_lost_or_reordered(
    chunks: list[int], probabilities: list[float], places: list[int]
) -> None:
    """All that goes in comes out once, in the same order, with signals in between."""
    parts = cut(FRAME * len(probabilities), chunks)
    for number, place in enumerate(sorted(places)):
        parts.insert(min(place, len(parts)), Part(f"text {number}"))
    bench = Bench(probabilities)
    out = bench.feed(*parts) + bench.finish()
    assert [part for part in out if not isinstance(part.body, SpeechStarted | SpeechEnded)] == parts


@quick
@given(judged, st.integers(0, 3))
def test_signals_alternate(probabilities: list[float], late: int) -> None:
    """Started, ended, started, ended: in media order, and ended is always the last.

    late: how many frames behind the detector is when the stream ends.
    """
    bench = Bench(probabilities)
    parts = cut(FRAME * len(probabilities), [FRAME])
    prompt = parts[: max(0, len(parts) - late)]
    bench.feed(*prompt)
    for part in parts[len(prompt) :]:
        bench.take(bench.machine.feed(part, 0.0))
    bench.finish()
    found = signals(bench.out)
    assert [type(signal) for signal in found[::2]] == [SpeechStarted] * len(found[::2])
    assert [type(signal) for signal in found[1::2]] == [SpeechEnded] * len(found[1::2])
    assert len(found) % 2 == 0
    times = [signal.at for signal in found]
    assert times == sorted(times)


# -- the end of the stream --------------------------------------------------------------------


def test_finish_passes_what_waits() -> None:
    """A tail that fills no frame leaves at the end, in order."""
    bench = Bench()
    first, tail = cut(FRAME + 10, [FRAME, 10])
    assert bench.feed(first, tail) == [first]
    assert bench.finish() == [tail]
    assert bench.finish() == []


def test_finish_ends_speech() -> None:
    """Whoever was speaking has stopped where the judged audio stopped."""
    bench = Bench([0.0] + [0.9] * 4)
    bench.feed(*cut(FRAME * 5, [FRAME]))
    assert bench.finish() == [Part(SpeechEnded(0.16), at=0.16)]


def test_finish_ends_speech_where_the_silence_began() -> None:
    """A silence too short to end speech by itself is still no speech."""
    bench = Bench([0.9] * 4 + [0.0] * 3)
    bench.feed(*cut(FRAME * 7, [FRAME]))
    assert bench.finish() == [Part(SpeechEnded(0.128), at=0.128)]


def test_finish_in_silence_tells_nothing() -> None:
    """Nobody spoke, so nobody has stopped."""
    bench = Bench()
    bench.feed(*cut(FRAME * 3, [FRAME]))
    assert bench.finish() == []


def test_nothing_starts_after_the_end() -> None:
    """A verdict that comes after the end of the stream does not start speech for ever."""
    machine = SpeechMachine()
    parts = cut(FRAME * 3, [FRAME])
    [job] = machine.feed(parts[0], 0.0)
    for _ in range(2):
        machine.feed(parts[1], 0.0)
        out = machine.feed(JobDone(job, 0.9), 0.0)  # type: ignore[arg-type]
        job = out[-1]
    out = machine.finish(0.0)
    out += machine.feed(JobDone(job, 0.9), 0.0)  # type: ignore[arg-type]
    found = signals([output for output in out if isinstance(output, Part)])
    assert [type(signal) for signal in found] == [SpeechEnded]


def test_a_recording_faster_than_the_detector_is_judged_to_its_end() -> None:
    """Half a second of speech that comes all at once, with the end of the stream, is noticed."""
    bench = Bench([0.9] * 16)
    for part in cut(FRAME * 16, [FRAME]):
        bench.take(bench.machine.feed(part, 0.0))
    bench.finish()
    assert signals(bench.out) == [SpeechStarted(0.0, 0.9), SpeechEnded(0.512)]


# -- trouble ----------------------------------------------------------------------------------


def test_a_failing_detector_is_reported_once() -> None:
    """The first failure is told on `status`; audio goes on, and counts as silence."""
    machine = SpeechMachine()
    parts = cut(FRAME * 2, [FRAME])
    [job] = machine.feed(parts[0], 0.0)
    machine.feed(parts[1], 0.0)
    news, passed, job = machine.feed(JobFailed(job, ValueError("no model")), 0.0)  # type: ignore[arg-type]
    assert news == Part(
        Data({"event": "failed", "what": "speech detection", "error": "no model"}),
        substream="status",
    )
    assert passed is parts[0]
    assert machine.feed(JobFailed(job, ValueError("again")), 0.0) == [parts[1]]  # type: ignore[arg-type]


def test_a_detector_that_fails_ends_speech() -> None:
    """Frames that cannot be judged are silence, so speech does not last for ever."""
    machine = SpeechMachine()
    out: list[Output] = []
    for index, part in enumerate(cut(FRAME * 9, [FRAME])):
        [job] = machine.feed(part, 0.0)
        assert isinstance(job, JudgeSpeech)
        answer = JobDone(job, 0.9) if index < 2 else JobFailed(job, OSError())
        out += machine.feed(answer, 0.0)
    found = signals([output for output in out if isinstance(output, Part)])
    assert found == [SpeechStarted(0.0, 0.9), SpeechEnded(0.064)]


@pytest.mark.parametrize("fmt", [AudioFormat(8_000), AudioFormat(16_000, 2), AudioFormat(width=1)])
def test_another_format_is_an_error(fmt: AudioFormat) -> None:
    """Audio of another format is refused, and the error says what to do."""
    with pytest.raises(AudioError) as caught:
        SpeechMachine().feed(Part(Audio(bytes(8), fmt)), 0.0)
    assert str(caught.value) == (
        f"{fmt.mimetype} came where audio/pcm;rate=16000 is needed; resample it first"
    )


def test_full_while_the_detector_is_late() -> None:
    """A second of audio may wait for the detector; then the microphone must wait."""
    machine = SpeechMachine()
    [job] = machine.feed(Part.audio(bytes(FRAME * 2)), 0.0)
    machine.feed(Part.audio(bytes(32_000)), 0.0)
    assert not machine.full()
    machine.feed(Part.audio(bytes(2)), 0.0)
    assert machine.full()
    machine.feed(JobDone(job, 0.0), 0.0)  # type: ignore[arg-type]
    assert not machine.full()


def test_audio_of_no_length() -> None:
    """An empty part passes and judges nothing."""
    bench = Bench()
    empty = Part.audio(b"", at=0.0)
    assert bench.feed(empty, *cut(FRAME, [FRAME])) == [empty, *cut(FRAME, [FRAME])]
    assert len(bench.frames) == 1


def test_the_agents_voice_is_not_judged() -> None:
    """Only the user's audio is; the model's passes in its place."""
    voice = Part.audio(bytes(2 * FRAME), role="model")
    machine = SpeechMachine()
    assert machine.feed(voice, 0.0) == [voice]
