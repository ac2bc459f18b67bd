"""What is transcribed, when, and which texts count.

Audio here says what it is: at 100 Hz, a sample of speech holds its own number, silence holds 0. The
transcriber of these tests answers with the numbers that it was given, so a text tells exactly which
audio it covers, and once.
"""

import math
import struct
import tracemalloc
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.errors import AudioError
from vivace.machines.listening import ListeningMachine, ListeningRules, TranscribeAudio
from vivace.machines.machine import Item, Job, JobDone, JobFailed, Output
from vivace.machines.pressure import Shedding
from vivace.part import Audio, Data, Held, Part, Reset, SpeechEnded, SpeechStarted, TurnEnded

RATE = 100
FORMAT = AudioFormat(RATE)
quick = settings(max_examples=60, deadline=None)
Speech = Sequence[tuple[int, int]]  # samples of speech, from and to


def samples(start: int, end: int, speech: Speech = ()) -> bytes:
    spoken = [n if any(a <= n < b for a, b in speech) else 0 for n in range(start, end)]
    return struct.pack(f"<{end - start}h", *spoken)


def audio(start: int, end: int, speech: Speech = ()) -> Part:
    return Part(Audio(samples(start, end, speech), FORMAT), at=start / RATE)


def said(pcm: bytes) -> str:
    """What a perfect transcriber hears: the number of each sample of speech."""
    return " ".join(str(n) for (n,) in struct.iter_unpack("<h", pcm) if n)


def words(*spans: tuple[int, int]) -> str:
    return " ".join(str(n) for a, b in spans for n in range(a, b))


def started(sample: int) -> Part:
    return Part(SpeechStarted(sample / RATE), at=sample / RATE)


def ended(sample: int) -> Part:
    return Part(SpeechEnded(sample / RATE), at=sample / RATE)


def turn_ended(sample: int) -> TurnEnded:
    return TurnEnded(sample / RATE)


def heard(text: str, sample: int) -> Part:
    return Part(text, at=sample / RATE, metadata={"interim": True})


def talk(
    speech: Speech, end: int, chunk: int = 10, start_after: int = 6, end_after: int = 20
) -> Iterator[Part]:
    """Audio of this speech, with signals as late as a detector would put them."""
    told = [(a + start_after, started(a)) for a, _ in speech]
    told += [(b + end_after, ended(b)) for _, b in speech]
    told.sort(key=lambda entry: entry[0])
    for start in range(0, end, chunk):
        stop = min(end, start + chunk)
        yield audio(start, stop, speech)
        while told and told[0][0] <= stop:
            yield told.pop(0)[1]


class Bench:
    """Feeds a machine; keeps the job under way and what came out."""

    def __init__(
        self, rules: ListeningRules | None = None, shedding: Shedding | None = None
    ) -> None:
        self.machine = ListeningMachine(FORMAT, rules, shedding)
        self.job: TranscribeAudio | None = None
        self.jobs: list[TranscribeAudio] = []
        self.texts: list[Part] = []
        self.passed: list[Part] = []

    def feed(self, *items: Item) -> list[Part]:
        """Feed the items; return the texts that came of them."""
        before = len(self.texts)
        for item in items:
            self.take(self.machine.feed(item, 0.0))
        return self.texts[before:]

    def take(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, TranscribeAudio):
                assert self.job is None, "one job at a time"
                self.job = output
                self.jobs.append(output)
            else:
                assert isinstance(output, Part)
                interim = output.metadata.get("interim")
                (self.texts if interim else self.passed).append(output)

    def answer(self, text: str | None = None) -> list[Part]:
        """Answer the job under way, perfectly unless told otherwise."""
        job, self.job = self.job, None
        assert job is not None
        return self.feed(JobDone(job, said(job.pcm) if text is None else text))

    def fail(self) -> list[Part]:
        """The job under way raises."""
        job, self.job = self.job, None
        assert job is not None
        return self.feed(JobFailed(job, ValueError("no ears")))

    def converse(self, items: Iterator[Part]) -> None:
        """Feed all, answering each job at once."""
        for item in items:
            self.feed(item)
            while self.job:
                self.answer()


# -- what passes ------------------------------------------------------------------------------


def test_everything_passes_in_order() -> None:
    """Audio, texts, images and signals go on; only the end of speech is changed, by a promise."""
    bench = Bench()
    model = Part(Audio(bytes(640), AudioFormat(24_000)), role="model")
    items = [Part("hello"), audio(0, 10), model, Part.image(b"x"), started(2), audio(10, 20)]
    bench.feed(*items, ended(15))
    assert bench.passed == [
        *items,
        Part(SpeechEnded(0.15, transcript_follows=True), at=0.15),
    ]


def test_the_agents_voice_is_not_transcribed() -> None:
    """Only the user's audio is heard."""
    bench = Bench()
    bench.feed(audio(0, 30), started(10), audio(1000, 1030).derive(role="model"), ended(25))
    assert bench.job is not None
    assert bench.job.pcm == samples(0, 30)


@pytest.mark.parametrize(
    "item", [Held(1), object(), JobDone(Job(), "x"), JobFailed(Job(), OSError())]
)
def test_what_it_does_not_know_is_ignored(item: object) -> None:
    """Announcements and jobs of others come to nothing."""
    assert ListeningMachine().feed(item, 0.0) == []


def test_another_format_is_an_error() -> None:
    """The user's audio must have the one format; the error says what to do."""
    with pytest.raises(AudioError) as caught:
        ListeningMachine().feed(Part.audio(bytes(4), 8_000), 0.0)
    assert str(caught.value) == (
        "audio/pcm;rate=8000 came where audio/pcm;rate=16000 is needed; resample it first"
    )


# -- the end of speech ------------------------------------------------------------------------


def test_speech_is_transcribed_with_what_came_before_it() -> None:
    """The job holds 0.3 s before the start and all since; its text has the `at` of the end."""
    bench = Bench()
    bench.feed(*talk([(100, 150)], 170))
    assert bench.job is not None
    assert bench.job.pcm == samples(70, 170, [(100, 150)])
    assert (bench.job.at, bench.job.final, bench.job.settles) == (1.5, True, False)
    assert bench.answer() == [heard(words((100, 150)), 150)]


def test_audio_without_times_is_timed_by_its_length() -> None:
    """Without `at`, audio follows on what came before."""
    bench = Bench()
    for part in talk([(100, 150)], 170):
        bench.feed(part.derive(at=None))
    assert bench.job is not None
    assert bench.job.pcm == samples(70, 170, [(100, 150)])


def test_a_start_told_half_a_second_late_loses_nothing() -> None:
    """Before a start is told, 0.3 + 0.5 s are kept for it."""
    bench = Bench()
    bench.feed(*talk([(100, 190)], 210, start_after=50))
    assert bench.answer() == [heard(words((100, 190)), 190)]


@pytest.mark.parametrize("chunk", [100, 200])
def test_long_parts_lose_nothing(chunk: int) -> None:
    """Audio that comes in parts of a second or two is transcribed from its beginning."""
    bench = Bench(ListeningRules(interim_s=0))
    bench.feed(*talk([(110, 190)], 400, chunk=chunk))
    assert bench.answer() == [heard(words((110, 190)), 190)]


def test_silence_is_told_too() -> None:
    """An end of speech without words has its text: the empty one."""
    bench = Bench()
    bench.feed(*talk([(100, 150)], 170))
    assert bench.answer("  ") == [heard("", 150)]


def test_an_end_without_a_start_has_its_text() -> None:
    """A text is owed for each end of speech, whatever came before it."""
    bench = Bench()
    assert bench.feed(ended(0)) == []
    assert bench.answer() == [heard("", 0)]


def test_ends_that_come_while_the_transcriber_works() -> None:
    """Each end has its own text, in order, each covering the turn so far."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 150), (200, 250), (300, 350)]
    bench.feed(*talk(speech, 400))
    assert len(bench.jobs) == 1
    assert bench.answer() == [heard(words((100, 150)), 150)]
    assert bench.answer() == [heard(words((100, 150), (200, 250)), 250)]
    assert not bench.machine.done()
    assert bench.answer() == [heard(words(*speech), 350)]
    assert bench.job is None
    assert bench.machine.done()


def test_a_failing_transcriber_owes_its_text_all_the_same() -> None:
    """A failure is told on `status`, and the end of speech gets an empty text."""
    bench = Bench()
    bench.feed(*talk([(100, 150)], 170))
    assert bench.fail() == [heard("", 150)]
    assert bench.passed[-1] == Part(
        Data({"event": "failed", "what": "transcription", "error": "no ears"}), substream="status"
    )


def test_after_a_failure_the_next_text_covers_all() -> None:
    """What a failed job should have covered is covered by the next one."""
    bench = Bench(ListeningRules(interim_s=0))
    bench.feed(*talk([(100, 150), (200, 250)], 230))
    bench.fail()
    bench.feed(*list(talk([(100, 150), (200, 250)], 270))[26:])
    assert bench.answer() == [heard(words((100, 150), (200, 250)), 250)]


# -- while the user speaks --------------------------------------------------------------------


def test_interim_texts_come_every_second() -> None:
    """After each second of new speech comes a text that covers the turn so far."""
    bench = Bench()
    speech = [(100, 450)]
    bench.converse(talk(speech, 470))
    # Told at 1.1 s (the first part that ends after 1.06 s), so seconds count from there.
    assert bench.texts == [
        heard(words((100, 210)), 210),
        heard(words((100, 310)), 310),
        heard(words((100, 410)), 410),
        heard(words((100, 450)), 450),
    ]
    assert [job.final for job in bench.jobs] == [False, False, False, True]


def test_interim_texts_are_shed_under_pressure() -> None:
    """Each that would have come is counted; the final one is never left out, and all comes back."""
    shedding = Shedding(1)
    bench = Bench(shedding=shedding)
    bench.converse(talk([(100, 450)], 470))
    assert bench.texts == [heard(words((100, 450)), 450)]
    assert shedding.counts == {"interim": 3}
    shedding.level = 0
    bench.converse(talk([(100, 450)], 470))
    assert len(bench.jobs) > 2
    assert shedding.counts == {"interim": 3}


def test_no_interim_texts() -> None:
    """With `interim_s` of 0 there is only the text of the end."""
    bench = Bench(ListeningRules(interim_s=0))
    bench.converse(talk([(100, 450)], 470))
    assert bench.texts == [heard(words((100, 450)), 450)]


def test_a_slow_transcriber_is_not_asked_twice() -> None:
    """While a job is under way no interim is begun; the next one covers all that came meanwhile."""
    bench = Bench()
    items = list(talk([(100, 900)], 600))
    bench.feed(*items[:50])
    assert [job.at for job in bench.jobs] == [2.1]
    bench.answer()
    bench.feed(*items[50:])
    assert [job.at for job in bench.jobs] == [2.1, 5.0]
    assert bench.answer() == [heard(words((100, 500)), 500)]


def test_an_interim_without_words_is_not_shown() -> None:
    """Only the text of an end of speech may be empty."""
    bench = Bench()
    bench.feed(*talk([(100, 900)], 220))
    assert bench.answer("") == []


def test_an_end_waits_for_the_interim_under_way() -> None:
    """The end's job follows the interim's, and covers more."""
    bench = Bench()
    bench.feed(*talk([(100, 220)], 240))
    assert bench.answer() == [heard(words((100, 210)), 210)]
    assert bench.answer() == [heard(words((100, 220)), 220)]


def test_silence_makes_no_interim() -> None:
    """In a pause of the turn nothing is transcribed."""
    bench = Bench()
    bench.converse(talk([(100, 150)], 900))
    assert [job.final for job in bench.jobs] == [True]


# -- long turns -------------------------------------------------------------------------------


def test_a_pause_settles_a_long_text() -> None:
    """After 7 s, a pause settles the text: the next job holds only what came after it."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 800), (900, 950)]
    bench.converse(talk(speech, 970))
    assert len(bench.jobs) == 2
    assert bench.jobs[1].pcm == samples(870, 970, speech)
    assert bench.texts[-1] == heard(words(*speech), 950)


def test_a_short_turn_is_not_settled() -> None:
    """Below 7 s the whole turn is transcribed again."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 600), (700, 750)]
    bench.converse(talk(speech, 770))
    assert bench.jobs[1].pcm == samples(70, 770, speech)
    assert bench.texts[-1] == heard(words(*speech), 750)


def test_a_text_that_is_not_there_settles_nothing() -> None:
    """While the text of a long turn is still being made, its audio stays."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 800), (900, 950)]
    bench.feed(*talk(speech, 970))
    bench.answer()
    assert bench.answer() == [heard(words(*speech), 950)]


def test_the_shortest_pause_doubles_nothing() -> None:
    """A pause of 0.2 s, shorter than what belongs to the next speech, settles no word twice."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 900), (921, 980)]
    bench.converse(talk(speech, 1000))
    assert bench.texts[-1] == heard(words(*speech), 980)


def test_speech_without_a_pause_is_cut() -> None:
    """What is longer than one job may be is settled in pieces that touch and do not overlap."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 9100)]
    bench.converse(talk(speech, 9120))
    assert [job.settles for job in bench.jobs] == [True, True, True, False]
    assert bench.texts[-1] == heard(words(*speech), 9100)


def test_a_cut_with_a_slow_transcriber() -> None:
    """Pieces that wait for the transcriber are joined in order."""
    bench = Bench()
    speech = [(100, 9100)]
    bench.feed(*talk(speech, 9120))
    while bench.job:
        bench.answer()
    assert bench.texts[-1] == heard(words(*speech), 9100)


def test_a_piece_that_fails_is_lost_alone() -> None:
    """When a settled piece cannot be transcribed, the others still count."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(1, 3000)]
    bench.feed(*talk(speech, 3020))
    assert bench.fail() == []
    [text] = bench.answer()
    first = int(text.text.split()[0])
    assert 2800 <= first <= 2850
    assert text == heard(words((first, 3000)), 3000)


@pytest.mark.parametrize("chunk", [1, 10, 50])
def test_no_job_is_longer_than_the_longest(chunk: int) -> None:
    """Whatever the size of the parts, a job holds `longest_s` of audio at most."""
    bench = Bench(ListeningRules(longest_s=5.0))
    bench.converse(talk([(100, 4000), (4100, 4300)], 4400, chunk=chunk))
    assert max(FORMAT.seconds(len(job.pcm)) for job in bench.jobs) <= 5.0


# -- the end of the turn ----------------------------------------------------------------------


def test_a_new_turn_begins_with_nothing() -> None:
    """After `TurnEnded` the texts cover only what comes after it."""
    bench = Bench()
    speech = [(100, 150), (400, 450)]
    items = list(talk(speech, 470))
    bench.converse(iter(items[:19]))
    assert bench.texts == [heard(words((100, 150)), 150)]
    bench.feed(turn_ended(150))
    bench.converse(iter(items[19:]))
    assert bench.texts[1:] == [heard(words((400, 450)), 450)]
    assert bench.jobs[-1].pcm == samples(370, 470, speech)


def test_a_turn_that_ends_while_the_user_speaks_again() -> None:
    """The new turn keeps what was said since; the old words are not in it."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 150), (200, 280)]
    items = list(talk(speech, 300))
    bench.converse(iter(items[:24]))
    assert bench.texts == [heard(words((100, 150)), 150)]
    bench.feed(turn_ended(150))
    bench.converse(iter(items[24:]))
    assert bench.texts[1:] == [heard(words((200, 280)), 280)]


def test_a_text_that_comes_after_its_turn_is_empty() -> None:
    """A turn that could not wait is over without its text, which then is owed as an empty one."""
    bench = Bench()
    bench.feed(*talk([(100, 150)], 170), turn_ended(150))
    assert bench.answer() == [heard("", 150)]


def test_an_interim_that_comes_after_its_turn_is_not_shown() -> None:
    """An interim covers old words, though it was cut a moment after the end of the speech."""
    bench = Bench()
    bench.feed(*talk([(100, 205)], 230))
    assert [job.at for job in bench.jobs] == [2.1]  # in the silence that was not yet an end
    bench.feed(turn_ended(205))
    assert bench.answer() == [heard("", 205)]


def test_an_interim_that_covers_two_turns_is_not_shown() -> None:
    """A job that began in the old turn does not put its words into the new one."""
    bench = Bench()
    speech = [(100, 150), (200, 900)]
    bench.feed(*talk(speech, 180))
    bench.answer()
    bench.feed(*list(talk(speech, 320))[19:])
    assert [job.at for job in bench.jobs] == [1.5, 3.1]
    bench.feed(turn_ended(150))
    assert all("149" not in text.text.split() for text in bench.answer())


def test_a_piece_of_the_old_turn_is_not_settled_into_the_new_one() -> None:
    """A cut that was under way when the turn ended stays with the old turn."""
    bench = Bench(ListeningRules(interim_s=0, longest_s=5.0))
    speech = [(1, 495), (600, 650)]
    items = list(talk(speech, 670))
    bench.feed(*items[:53])
    assert [job.settles for job in bench.jobs] == [True]
    bench.feed(turn_ended(495))
    while bench.job:
        bench.answer()
    bench.converse(iter(items[53:]))
    assert bench.texts[-1] == heard(words((600, 650)), 650)


def busy() -> tuple[Bench, Speech]:
    """Three stretches of speech, all over while the text of the first is still being made."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 150), (200, 250), (300, 350)]
    bench.feed(*talk(speech, 400))
    assert [job.at for job in bench.jobs] == [1.5]
    return bench, speech


def test_a_turn_that_ends_while_later_speech_waits() -> None:
    """What was said after the turn is the new one's, and has its texts without the old words."""
    bench, _ = busy()
    bench.feed(turn_ended(150))
    assert bench.answer() == [heard("", 150)]
    assert bench.answer() == [heard(words((200, 250)), 250)]
    assert bench.answer() == [heard(words((200, 250), (300, 350)), 350)]
    assert bench.machine.done()


def test_a_turn_that_ends_while_later_speech_is_transcribed() -> None:
    """A text of both turns under way is made again, of the new words alone, and told once."""
    bench, _ = busy()
    bench.answer()
    bench.feed(turn_ended(150))
    assert bench.answer() == []
    assert bench.answer() == [heard(words((200, 250)), 250)]
    assert bench.answer() == [heard(words((200, 250), (300, 350)), 350)]
    assert bench.machine.done()


def test_a_turn_that_ends_after_all_that_waits() -> None:
    """Every text that is still owed is empty, and the next turn begins with nothing."""
    bench, _ = busy()
    bench.feed(turn_ended(350))
    while bench.job:
        bench.answer()
    assert bench.texts == [heard("", 150), heard("", 250), heard("", 350)]
    later = [(500, 550)]
    bench.feed(*list(talk(later, 570))[40:])
    assert bench.answer() == [heard(words((500, 550)), 550)]


def test_a_piece_that_waits_goes_with_its_turn() -> None:
    """A cut that the transcriber never came to is not made any more; the promise is kept."""
    bench = Bench(ListeningRules(interim_s=0, longest_s=5.0))
    bench.feed(*talk([(1, 1200)], 1230))
    assert [job.settles for job in bench.jobs] == [True]
    bench.feed(turn_ended(1200))
    while bench.job:
        bench.answer()
    assert [job.final for job in bench.jobs] == [False]
    assert bench.texts == [heard("", 1200)]


# -- for all sequences ------------------------------------------------------------------------

turns = st.lists(st.tuples(st.integers(5, 1200), st.integers(35, 300)), min_size=1, max_size=8)


@quick
@given(turns, st.sampled_from([1, 3, 10, 32]), st.lists(st.integers(0, 60), min_size=1, max_size=9))
def test_each_word_of_a_turn_is_covered_once(
    spans: list[tuple[int, int]], chunk: int, delays: list[int]
) -> None:
    """However long a turn, its pauses, and the transcriber: the last text has each word once."""
    speech, place = [], 50
    for length, pause in spans:
        speech.append((place, place + length))
        place += length + pause
    bench = Bench(ListeningRules(longest_s=10.0, settle_s=4.0))
    wait = 0
    for item in talk(speech, place):
        bench.feed(item)
        wait += 1
        if bench.job and wait >= delays[len(bench.jobs) % len(delays)]:
            bench.answer()
            wait = 0
    while bench.job:
        bench.answer()
    assert bench.texts[-1].text == words(*speech)
    ends = [b / RATE for _, b in speech]
    # An interim may happen to be cut at the very moment of an end.
    assert list(dict.fromkeys(text.at for text in bench.texts if text.at in ends)) == ends


@quick
@given(
    turns, st.lists(st.integers(0, 40), min_size=1, max_size=9), st.lists(st.booleans(), min_size=3)
)
def test_each_end_has_one_final_text(
    spans: list[tuple[int, int]], delays: list[int], fails: list[bool]
) -> None:
    """For each end of speech there is exactly one final job and its text, in order."""
    speech, place = [], 50
    for length, pause in spans:
        speech.append((place, place + length))
        place += length + pause
    bench = Bench(ListeningRules(interim_s=0, longest_s=1000.0))
    wait = 0
    for item in talk(speech, place):
        bench.feed(item)
        wait += 1
        if bench.job and wait >= delays[len(bench.jobs) % len(delays)]:
            bench.fail() if fails[len(bench.jobs) % len(fails)] else bench.answer()
            wait = 0
    while bench.job:
        bench.answer()
    assert [text.at for text in bench.texts] == [b / RATE for _, b in speech]


@quick
@given(turns)
def test_turns_do_not_mix(spans: list[tuple[int, int]]) -> None:
    """When each pause ends a turn, each turn's text has its own words and no others."""
    bench = Bench(ListeningRules(longest_s=10.0, settle_s=4.0))
    speech, place = [], 50
    for length, pause in spans:
        speech.append((place, place + length))
        place += length + pause
    for item in talk(speech, place):
        bench.feed(item)
        while bench.job:
            final = bench.job.final
            text = bench.answer()
            if final:
                bench.feed(TurnEnded(text[-1].at or 0.0))
    finals = {text.at: text.text for text in bench.texts}
    assert [finals[b / RATE] for _, b in speech] == [words(span) for span in speech]


@pytest.mark.parametrize("speaking", [False, True])
def test_memory_is_bounded_by_the_longest_job(speaking: bool) -> None:
    """An hour of silence, or of speech without a pause, keeps the audio of a few jobs at most."""
    rules = ListeningRules(longest_s=5.0)
    machine = ListeningMachine(FORMAT, rules)
    second = Part(Audio(bytes(RATE * 2), FORMAT))
    tracemalloc.start()
    try:
        if speaking:
            machine.feed(started(0), 0.0)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(3600):
            for output in machine.feed(second, 0.0):
                if isinstance(output, TranscribeAudio):
                    machine.feed(JobDone(output, ""), 0.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4 * FORMAT.size(rules.longest_s) + 1000


def test_memory_is_bounded_while_the_transcriber_hangs() -> None:
    """A transcriber that never answers makes the stream wait, or audio is let go: not both grow."""
    machine = ListeningMachine()
    second = Part.audio(bytes(32_000))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for index in range(300):
            if machine.full():
                break
            machine.feed(Part(SpeechStarted(float(index))), 0.0)
            machine.feed(second, 0.0)
            machine.feed(Part(SpeechEnded(index + 1.0)), 0.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4 * AudioFormat().size(28.0)


def test_a_full_machine_becomes_free_again() -> None:
    """Once the transcriber has caught up, the stream is read again without another part of it."""
    bench = Bench(ListeningRules(longest_s=5.0))
    for item in talk([(100, 9000)], 9020):
        if bench.machine.full():
            break
        bench.feed(item)
    assert bench.machine.full()
    while bench.job:
        bench.answer()
    assert not bench.machine.full()


@pytest.mark.parametrize("item", [Part(TurnEnded(1.5)), Part(Reset()), Reset()])
def test_a_turn_ended_by_the_program_begins_anew(item: Item) -> None:
    """A key that was let go, or a reset: the next text has nothing of the turn before it."""
    bench = Bench()
    speech = [(100, 150), (400, 450)]
    items = list(talk(speech, 470))
    bench.converse(iter(items[:19]))
    bench.feed(item)
    bench.converse(iter(items[19:]))
    assert bench.texts[1:] == [heard(words((400, 450)), 450)]


# -- a key that is let go ---------------------------------------------------------------------


def let_go(sample: int) -> Part:
    return Part(TurnEnded(sample / RATE), at=sample / RATE)


def test_a_key_let_go_waits_for_the_text() -> None:
    """The turn ends with all that was said in it, as a final text."""
    bench = Bench()
    bench.feed(*talk([(100, 150)], 170), let_go(170))
    assert bench.passed[-1].text == ""
    assert let_go(170) not in bench.passed
    assert bench.answer() == [heard(words((100, 150)), 150)]
    assert bench.passed[-2:] == [Part(words((100, 150)), at=1.5), let_go(170)]


def test_a_key_let_go_after_the_text() -> None:
    """Nothing is waited for."""
    bench = Bench()
    bench.converse(talk([(100, 150)], 170))
    bench.feed(let_go(170))
    assert bench.passed[-2:] == [Part(words((100, 150)), at=1.5), let_go(170)]


def test_a_key_let_go_in_silence() -> None:
    """A line was typed: nothing was said."""
    bench = Bench()
    bench.feed(*talk([], 170), let_go(170))
    assert (bench.passed[-1], bench.jobs) == (let_go(170), [])


def test_a_line_typed_while_somebody_speaks_is_no_key() -> None:
    """Its end passes, and the text covers all that is said; after the speech it is one."""
    bench = Bench()
    speech = [(100, 250)]
    items = list(talk(speech, 270))
    at = next(n for n, item in enumerate(items) if isinstance(item.body, SpeechStarted)) + 5
    bench.converse(iter([*items[:at], Part("typed"), let_go(150), *items[at:]]))
    assert let_go(150) in bench.passed
    assert bench.texts[-1] == heard(words((100, 250)), 250)
    bench.feed(Part("typed"), let_go(270))
    assert bench.passed[-2:] == [Part(words((100, 250)), at=2.5), let_go(270)]


def test_a_line_typed_long_before_hides_no_key() -> None:
    """It had no end of its own, and the key is no end of it."""
    bench = Bench()
    speech = [(100, 150)]
    items = list(talk(speech, 160))
    bench.feed(Part("typed"), *items, let_go(155))
    bench.answer()
    assert bench.passed[-1] == let_go(155)
    assert bench.passed[-2] == Part(words((100, 150)), at=1.55)


def test_a_key_let_go_while_the_user_speaks_ends_more_than_a_line_of_before() -> None:
    """A line's own end follows it at once: this one came a second of speech later."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 300)]
    items = list(talk(speech, 310))
    at = next(n for n, item in enumerate(items) if item.at == 2.0)
    bench.feed(*items[:at], Part("in Paris"), *items[at:], let_go(305))
    bench.answer()
    assert bench.passed[-2:] == [Part(words((100, 300)), at=3.05), let_go(305)]


def test_a_key_let_go_before_the_end_of_speech_is_told() -> None:
    """The turn goes up to the key; the end of speech that is told then has an empty text."""
    bench = Bench()
    speech = [(100, 150)]
    items = list(talk(speech, 170))
    at = next(n for n, item in enumerate(items) if isinstance(item.body, SpeechEnded))
    bench.feed(*items[:at], let_go(155))
    bench.feed(*items[at:])
    assert bench.answer() == [heard(words((100, 150)), 155), heard("", 150)]
    [final] = [part for part in bench.passed if part.text]
    assert (final.text, final.at) == (words((100, 150)), 1.55)
    assert bench.passed.index(final) == bench.passed.index(let_go(155)) - 1
    assert len(bench.jobs) == 1
    bench.converse(iter([*(audio(n, n + 10, [(400, 450)]) for n in range(170, 400, 10))]))
    bench.converse(iter([started(400), audio(400, 460, [(400, 450)]), ended(450)]))
    assert bench.texts[-1] == heard(words((400, 450)), 450)


@pytest.mark.parametrize("then", ["sound", "silence", "nothing", "the end of speech", "the end"])
def test_a_key_let_go_before_the_last_sound_has_come(then: str) -> None:
    """What is on its way to here is waited for a quarter of a second: the last word is whole."""
    bench = Bench()
    speech = [(100, 150)]
    bench.feed(*[audio(n, n + 10, speech) for n in range(0, 140, 10)], started(100))
    bench.feed(let_go(152))
    assert (bench.jobs, bench.machine.deadline()) == ([], 0.25)
    whole = (100, 150)
    match then:
        case "sound":
            bench.feed(audio(140, 150, speech), audio(150, 160))
        case "silence":
            bench.feed(audio(140, 150, speech))
            bench.take(bench.machine.tick(0.25))
        case "nothing":
            whole = (100, 140)
            bench.take(bench.machine.tick(0.25))
        case "the end of speech":
            bench.feed(audio(140, 150, speech), ended(150))
        case "the end":
            whole = (100, 140)
            bench.take(bench.machine.finish(0.1))
    assert bench.machine.deadline() is None
    assert not bench.machine.done()
    bench.answer()
    assert [part.text for part in bench.passed if part.text] == [words(whole)]
    assert bench.passed[-1] == let_go(152)
    assert bench.machine.done()


@pytest.mark.parametrize("told", [True, False])
def test_a_key_let_go_before_the_start_of_speech_is_told(told: bool) -> None:
    """Sound comes late (Bluetooth): a short word is still on its way when its key is let go."""
    bench = Bench()
    speech = [(100, 120)]
    bench.feed(*[audio(n, n + 10, speech) for n in range(0, 100, 10)], let_go(121))
    assert (bench.passed[-1].at, bench.machine.deadline()) == (0.9, 0.25)
    bench.feed(audio(100, 110, speech), *([started(100)] if told else []))
    bench.feed(audio(110, 120, speech))
    assert bench.machine.deadline() == 0.25
    bench.feed(audio(120, 130, speech))
    assert bench.machine.deadline() is None
    if told:
        assert bench.answer() == [heard(words((100, 120)), 121)]
        assert bench.passed[-2:] == [Part(words((100, 120)), at=1.21), let_go(121)]
    else:
        assert bench.passed[-1] == let_go(121)


def test_a_key_let_go_in_silence_waits_no_longer_than_for_sound() -> None:
    """The microphone may be closed: after a quarter of a second the turn is over."""
    bench = Bench()
    bench.feed(audio(0, 100), let_go(121))
    assert bench.passed[-1] != let_go(121)
    bench.take(bench.machine.tick(0.25))
    assert bench.passed[-1] == let_go(121)


def test_the_end_of_a_line_waits_for_no_sound() -> None:
    """Nothing that was said belongs to it, but a key that waits keeps its time."""
    bench = Bench()
    bench.feed(audio(0, 100), Part("typed"), let_go(121))
    assert bench.passed[-1] == let_go(121)
    bench.feed(let_go(121), Part("typed"), let_go(121))
    assert bench.passed[-1] == Part("typed")
    assert bench.machine.deadline() == 0.25


@pytest.mark.parametrize("answered", [True, False])
def test_a_key_let_go_a_moment_before_the_last_word_is_out(answered: bool) -> None:
    """The rest of the word is no turn of its own, whether or not the text is there by then."""
    bench = Bench()
    speech = [(100, 200), (400, 450)]
    items = list(talk(speech, 470))
    at = next(n for n, item in enumerate(items) if (item.at or 0.0) >= 1.9)
    end = next(n for n, item in enumerate(items) if isinstance(item.body, SpeechEnded))
    bench.feed(*items[:at], let_go(190))
    if answered:
        bench.answer()
    bench.feed(*items[at : end + 2])
    if not answered:
        bench.answer()
    assert bench.job is None
    assert bench.texts == [heard(words((100, 190)), 190), heard("", 200)]
    key = let_go(190 if answered else 200)  # what is told after the end of speech is no older
    [final] = [part for part in bench.passed if part.text]
    assert bench.passed[bench.passed.index(final) + 1] == key
    bench.feed(turn_ended(190))  # who listens downstream says so too
    bench.converse(iter(items[end + 2 :]))
    assert bench.texts[2:] == [heard(words((400, 450)), 450)]
    assert bench.jobs[-1].pcm == samples(370, 470, speech)


def test_a_text_of_the_rest_of_a_word_is_not_shown() -> None:
    """An interim was cut from it before its end was told."""
    bench = Bench(ListeningRules(interim_s=0.1))
    speech = [(100, 200)]
    items = list(talk(speech, 230))
    end = next(n for n, item in enumerate(items) if isinstance(item.body, SpeechEnded))
    for item in items[:end]:
        if item.at == 1.9:
            bench.feed(let_go(190))
            while bench.job:
                bench.answer()
        bench.feed(item)
        if (item.at or 0.0) < 1.9 and bench.job:
            bench.answer()
    assert bench.job is not None  # from 1.9 s on
    bench.texts.clear()
    bench.feed(*items[end:])
    bench.answer()
    assert bench.texts == [heard("", 200)]


def test_no_text_is_made_of_the_rest_of_a_word_before_its_end_is_told() -> None:
    """A second of speech makes one, and it is counted from the key."""
    bench = Bench()
    speech = [(100, 200)]
    items = list(talk(speech, 230, end_after=30))
    at = next(n for n, item in enumerate(items) if (item.at or 0.0) >= 1.9)
    bench.converse(iter([*items[:at], let_go(190), *items[at:]]))
    assert [job.at for job in bench.jobs] == [1.9]


def test_speech_that_goes_on_after_the_key_is_another_turn() -> None:
    """It is no rest of a word: it lasts for half a second more."""
    bench = Bench(ListeningRules(interim_s=0))
    items = list(talk([(100, 250)], 280))
    at = next(n for n, item in enumerate(items) if (item.at or 0.0) >= 2.0)
    bench.converse(iter([*items[:at], let_go(200), *items[at:]]))
    assert bench.texts == [heard(words((100, 200)), 200), heard(words((200, 250)), 250)]


def test_a_short_word_after_the_key_is_another_turn() -> None:
    """It is over as soon as a rest of a word would be, and began after the key."""
    bench = Bench(ListeningRules(interim_s=0))
    speech = [(100, 150), (170, 185)]
    items = list(talk(speech, 230, end_after=10))
    at = next(n for n, item in enumerate(items) if (item.at or 0.0) >= 1.6)
    bench.converse(iter([*items[:at], let_go(165), *items[at:]]))
    assert bench.texts[1:] == [heard(words((170, 185)), 185)]


@pytest.mark.parametrize("end", [160, 230])
def test_a_key_let_go_while_one_spoke_and_told_after_it(end: int) -> None:
    """All that was said is of the turn, which ends where the speech did."""
    bench = Bench(ListeningRules(interim_s=0))
    bench.feed(*talk([(100, end)], end + 20), let_go(155))
    bench.answer()
    assert bench.texts == [heard(words((100, end)), end)]
    assert bench.passed[-2:] == [Part(words((100, end)), at=end / RATE), let_go(end)]


def test_the_end_of_speech_a_moment_after_a_key_that_waits_for_sound() -> None:
    """A detector that is ahead of the sound: its text is the turn's."""
    bench = Bench()
    speech = [(100, 160)]
    bench.feed(*[audio(n, n + 10, speech) for n in range(0, 150, 10)], started(100))
    bench.feed(let_go(155), ended(160), audio(150, 160, speech))
    bench.answer()
    assert bench.passed[-2:] == [Part(words((100, 150)), at=1.6), let_go(160)]


def test_a_second_key_in_the_rest_of_a_word() -> None:
    """Nothing is left for it: its turn is empty."""
    bench = Bench()
    speech = [(100, 200)]
    bench.feed(*[audio(n, n + 10, speech) for n in range(0, 110, 10)], started(100))
    bench.feed(*[audio(n, n + 10, speech) for n in range(110, 200, 10)], let_go(190))
    bench.answer()
    bench.feed(let_go(203), ended(200), audio(200, 210))
    assert bench.passed[-2:] == [audio(200, 210), let_go(203)]
    assert [part.text for part in bench.passed if part.text] == [words((100, 190))]
    assert bench.texts[-1] == heard("", 200)


def test_a_key_let_go_while_the_transcriber_fails() -> None:
    """The turn ends all the same, without a text."""
    bench = Bench()
    bench.feed(*talk([(100, 150)], 170), let_go(170))
    assert bench.fail() == [heard("", 150)]
    assert bench.passed[-1] == let_go(170)


@pytest.mark.parametrize("at", [0.0, 1.7e9, -5.0, math.inf, -math.inf, math.nan])
def test_a_key_of_another_clock(at: float) -> None:
    """Its turn goes up to the newest sound, and the next one begins there."""
    bench = Bench()
    speech = [(100, 150), (300, 350)]
    items = list(talk(speech, 400))
    first = [item for item in items if (item.at or 0.0) < 1.8]
    bench.converse(iter(first))
    bench.feed(Part(TurnEnded(at), at=at))
    assert bench.passed[-1] == let_go(180)
    bench.converse(iter(items[len(first) :]))
    bench.feed(Part(TurnEnded(at), at=at))
    finals = [part.text for part in bench.passed if part.text]
    assert finals == [words((100, 150)), words((300, 350))]


def test_speech_after_the_key_is_another_turn() -> None:
    """It began while the text of the turn before was due."""
    bench = Bench(ListeningRules(interim_s=0.0))
    speech = [(100, 150), (200, 250)]
    items = list(talk(speech, 300))
    at = next(n for n, item in enumerate(items) if isinstance(item.body, SpeechEnded)) + 1
    bench.feed(*items[:at], let_go(170), *items[at:])
    assert bench.answer() == [heard(words((100, 150)), 150)]
    assert [part.text for part in bench.passed if part.text] == [words((100, 150))]
    assert bench.answer() == [heard(words((200, 250)), 250)]


def test_a_reset_forgets_a_key() -> None:
    """Neither the text nor the end of the turn follows."""
    bench = Bench()
    bench.feed(*talk([(100, 150)], 170), let_go(170), Part(Reset()))
    bench.answer()
    assert let_go(170) not in bench.passed
    assert not any(part.text for part in bench.passed)


def test_a_turn_that_a_detector_ends_before_the_key_has_its_text() -> None:
    """It could not wait either: what the program has sent is passed on."""
    bench = Bench()
    bench.feed(*talk([(100, 150)], 170), let_go(170), turn_ended(150))
    assert bench.passed[-1] == let_go(170)
    assert bench.answer() == [heard("", 150)]
