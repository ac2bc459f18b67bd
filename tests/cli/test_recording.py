"""What is booked of a conversation, and the picture and report that are made of it."""

import json
from array import array
from pathlib import Path
from typing import Any

import pytest

from vivace.audio import AudioFormat
from vivace.cli.caller import Spoken
from vivace.cli.output import Facts, write
from vivace.cli.picture import rows
from vivace.cli.recording import Recording, Span, after
from vivace.cli.staff import lines, waiting
from vivace.flow.observe import LagReport
from vivace.part import (
    Audio,
    Body,
    Data,
    Held,
    Interrupted,
    Part,
    Played,
    Playing,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
)
from vivace.processors.rate_limit import AudioRateLimiter

FMT = AudioFormat(24_000)
LONG = "That is a long answer, and nobody will hear the end of it."


def signal(body: Body, at: float) -> Part:
    return Part(body, role="model", at=at)


def status(event: str, at: float, **news: Any) -> Part:
    return Part(Data({"event": event, **news}), role="model", substream="status", at=at)


def sound(turn: int, at: float, seconds: float, words: str = "") -> Part:
    pcm = array("h", [8000]).tobytes() * FMT.frames(seconds)
    return Part(Audio(pcm, FMT, words), role="model", turn=turn, at=at)


def token(turn: int, text: str) -> Part:
    return Part(text, role="model", substream="ui", turn=turn)


def a_conversation() -> Recording:
    """Two turns: a cough over the first answer, and the second one is interrupted."""
    recording = Recording()
    recording.hear_user(b"\1\4" * 16_000 * 12)
    parts = [
        status("floor", 0.6, floor="user", turn=0),
        Part(SpeechStarted(0.5), at=0.5),
        Part("Hello", metadata={"interim": True}, at=1.2),
        Part(SpeechEnded(1.5), at=1.5),
        status("asked", 1.8, turn=1, prompt=[{"role": "user", "text": "Hello there."}]),
        status("floor", 1.8, floor="thinking", turn=1),
        Part("Hello there.", at=1.5),
        *(token(1, text) for text in ("Nice ", "to ", "meet ", "you.")),
        status("queued", 2.0, turn=1, seconds=2.0),
        signal(Playing(1), 2.0),
        status(
            "latency", 2.0, turn=1, ended_at=1.5, ms={"transcript": 250.0, "first_audio": 500.0}
        ),
        status("floor", 2.0, floor="agent", turn=1),
        sound(1, 2.0, 0.5, "Nice "),
        sound(1, 2.5, 0.5, "to "),
        Part(SpeechStarted(2.9), at=2.9),
        signal(Held(1), 3.0),
        status("floor", 3.0, floor="overlap", turn=1),
        Part(SpeechEnded(3.2), at=3.2),
        status("dismissed", 3.5, text="Hm."),
        signal(Resumed(1), 3.5),
        status("floor", 3.5, floor="agent", turn=1),
        Part("Hm.", at=3.2),
        sound(1, 3.5, 0.5, "meet "),
        sound(1, 4.0, 0.5, "you."),
        signal(TurnComplete(1), 4.5),
        signal(Played(1), 4.5),
        status("floor", 4.5, floor="idle", turn=1),
        Part(SpeechStarted(5.5), at=5.5),
        status("floor", 5.5, floor="user", turn=1),
        Part(SpeechEnded(6.5), at=6.5),
        Part("Tell me more.", at=6.5),
        status("asked", 7.0, turn=2, prompt=[]),
        token(2, LONG),
        status("queued", 7.4, turn=2, seconds=4.0),
        signal(Playing(2), 7.4),
        status("latency", 7.4, turn=2, ended_at=6.5, ms={"decision": 700.0, "first_audio": 900.0}),
        status("floor", 7.4, floor="agent", turn=2),
        sound(2, 7.4, 1.0, "That is a long "),
        Part(SpeechStarted(8.3), at=8.3),
        signal(Held(2), 8.4),
        signal(Interrupted(2, "That is a long"), 9.4),
        status("cut", 9.4, turn=2, seconds=3.0),
        signal(TurnComplete(2, "interrupted"), 9.4),
        signal(Played(2, "interrupted"), 9.4),
        status("floor", 9.4, floor="user", turn=2),
    ]
    for part in parts:
        recording.feed(part, 99.0)
    recording.end(12.0)
    return recording


def test_the_agents_sound_is_placed_where_it_was_heard() -> None:
    """Silence where it was held, and no sample twice."""
    pcm = array("h", bytes(a_conversation().agent_pcm))
    loud = [bool(pcm[round(at * 24_000)]) for at in (1.99, 2.0, 2.99, 3.0, 3.49, 3.5, 4.49, 4.51)]
    assert loud == [False, True, True, False, False, True, True, False]
    assert len(pcm) == 24_000 * 8.4


def test_what_was_handed_out_ahead_is_heard_after_the_hold_or_never() -> None:
    """Whoever listens falls silent at once, goes on with what they had, and throws away what was
    cut: so the sound, its words and its time say what was heard."""
    recording = Recording()
    for part in (
        status("asked", 0.0, turn=1, prompt=[]),
        sound(1, 1.0, 0.5, "one "),
        sound(1, 1.5, 0.5, "two "),
        signal(Held(1), 1.25),
        signal(Held(1), 1.3),
        signal(Resumed(1), 2.25),
        sound(1, 3.0, 0.5, "three "),
        sound(1, 3.5, 0.5, "four "),
        signal(Interrupted(1, "one two three"), 3.4),
    ):
        recording.feed(part, 99.0)
    pcm, turn = array("h", bytes(recording.agent_pcm)), recording.turns[1]
    assert len(pcm) == round(24_000 * 3.4)
    loud = [bool(pcm[round(at * 24_000)]) for at in (1.24, 1.26, 2.24, 2.26, 3.39)]
    assert loud == [True, False, False, True, True]
    assert [(span.start, span.end) for span in turn.heard] == [(1.0, 1.25), (2.25, 3.4)]
    assert turn.words == [(1.0, "one "), (2.5, "two "), (3.0, "three ")]
    assert turn.heard_text == "one two three"


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        ("", []),
        ("one", ["one "]),
        ("one two", ["one ", "two "]),
        ("one two three", ["one ", "two ", "three"]),
        ("one two three four", ["one ", "two ", "three four "]),
    ],
)
def test_a_word_that_had_only_begun_was_not_heard(heard: str, words: list[str]) -> None:
    """The picture has what the report has, and nothing stands both before and after the cut."""
    recording = Recording()
    recording.feed(token(1, "one two three four five"), 0.0)
    for at, word in enumerate(("one ", "two ", "three four ")):
        recording.feed(sound(1, float(at), 1.0, word), 0.0)
    recording.feed(signal(Interrupted(1, heard), 2.4), 0.0)
    turn = recording.turns[1]
    assert [word for _, word in turn.words] == words
    assert (turn.heard_text, turn.unheard_text.split()) == (heard, turn.text[len(heard) :].split())


def test_a_reply_that_is_stopped_when_it_is_over_was_heard() -> None:
    """Whatever a late button says of it."""
    recording = Recording()
    recording.feed(sound(1, 1.0, 0.5, "word"), 99.0)
    recording.feed(signal(Played(1), 1.5), 99.0)
    recording.feed(signal(Interrupted(1), 2.1), 99.0)
    turn = recording.turns[1]
    assert (turn.words, turn.interrupted_at) == ([(1.0, "word")], None)


def test_an_old_reply_that_is_cut_late_takes_nothing_of_the_newer_one() -> None:
    """What is heard by then is of that."""
    recording = Recording()
    for number in (1, 2):
        recording.feed(status("asked", number, turn=number, prompt=[]), 99.0)
        recording.feed(sound(number, number, 0.5, "word"), 99.0)
    recording.feed(signal(Interrupted(1), 2.1), 99.0)
    assert len(recording.agent_pcm) == 48_000 * 2.5


def test_a_turn_knows_what_was_said_and_heard() -> None:
    """Texts go to the turn that they were asked in, though status parts overtake them."""
    recording = a_conversation()
    first, second = recording.turns[1], recording.turns[2]
    assert [u.text for u in recording.said(first)] == ["Hello there."]
    assert [u.text for u in recording.said(second)] == ["Tell me more."]
    assert (first.text, first.heard_text, first.unheard_text) == ("Nice to meet you.",) * 2 + ("",)
    assert second.heard_text == "That is a long"
    assert second.unheard_text == " answer, and nobody will hear the end of it."
    assert [u.text for u in recording.utterances if u.dismissed] == ["Hm."]


def test_a_dismissed_text_may_come_before_the_news() -> None:
    """Whichever comes first, the text is marked, and only once."""
    recording = Recording()
    recording.feed(Part("Hm.", at=1.0), 1.0)
    recording.feed(status("dismissed", 1.1, text="Hm."), 1.1)
    recording.feed(Part("Hm.", at=5.0), 5.0)
    assert [u.dismissed for u in recording.utterances] == [True, False]


@pytest.mark.parametrize("late", [True, False])
def test_what_counts_after_all_was_not_dismissed(late: bool) -> None:
    """ "Yes" at the end of a reply is an answer; that is told, perhaps before the text."""
    recording = Recording()
    news = [status("dismissed", 1.1, text="Yes."), status("counted", 1.4, text="Yes.")]
    parts = [Part("Yes.", at=1.0), *news] if not late else [*news, Part("Yes.", at=1.0)]
    for part in parts:
        recording.feed(part, part.at or 0.0)
    recording.feed(status("counted", 1.5, text="What?"), 1.5)
    assert [u.dismissed for u in recording.utterances] == [False]


def test_an_utterance_begins_with_its_own_speech() -> None:
    """Not with the cough before it."""
    recording = a_conversation()
    assert [(u.text, recording.began(u)) for u in recording.utterances] == [
        ("Hello there.", 0.5),
        ("Hm.", 2.9),
        ("Tell me more.", 5.5),
    ]


def test_spans() -> None:
    """Who had the floor, when the user spoke, what was heard and what was held."""
    recording = a_conversation()
    assert recording.floor[0] == Span(0.0, 0.6, "idle")
    assert recording.floor[-1] == Span(9.4, 12.0, "user")
    assert recording.speech[-1] == Span(8.3, 12.0)
    assert recording.turns[1].heard == [Span(2.0, 3.0), Span(3.5, 4.5)]
    assert recording.turns[1].held == [Span(3.0, 3.5)]
    assert recording.turns[2].held == [Span(8.4, 9.4)]
    assert recording.duration == 12.0


def test_what_waits_falls_as_it_is_heard_and_stands_while_it_is_held() -> None:
    """The curve below the agent: up when sound was made, down while it plays, to 0 at a cut."""
    points = waiting(list(a_conversation().turns.values()))
    assert [(at, round(seconds, 6)) for at, seconds in points] == [
        (0.0, 0.0), (2.0, 0.0), (2.0, 0.0), (2.0, 2.0), (3.0, 1.0), (3.5, 1.0), (4.5, 0.0),
        (7.4, 0.0), (7.4, 0.0), (7.4, 4.0), (8.4, 3.0), (9.4, 3.0), (9.4, 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("beginning", "rest"),
    [
        ("", "One two, three."),
        ("One", " two, three."),
        ("One two,", " three."),
        ("One two", " three."),  # the comma goes with its word
        ("One  two, three.", ""),
        ("One *two*", ", three."[1:]),
    ],
)
def test_what_comes_after(beginning: str, rest: str) -> None:
    """The rest of a text, found although spaces and symbols differ."""
    assert after("One two, three.", beginning) == rest


def test_rows_break_where_nobody_speaks() -> None:
    """A row is at most 28 s, and ends just before the user speaks again."""
    recording = Recording()
    recording.hear_user(bytes(32_000 * 60))
    recording.floor = [Span(0, 20, "agent"), Span(20, 24, "idle"), Span(24, 60, "agent")]
    assert rows(recording) == [(0.0, 23.6), (23.6, 51.6), (51.6, 60.0)]


def test_lines_of_text_fit() -> None:
    """Words are set in as many lines as they need; what is too much ends in an ellipsis."""
    assert lines("one two three", 10, 8, most=3) == ["one two three"]
    assert lines("one two three", 0.1, 8, most=3) == ["one", "two", "three"]
    assert lines("one two three four", 0.1, 8, most=2) == ["one", "two …"]


@pytest.fixture
def facts() -> Facts:
    lag = LagReport(100, 0.001, 0.004, 0.012)
    return Facts("script:a.txt", lag, AudioRateLimiter(), (Spoken("a", 0.6, 1.6),))


def test_three_files(tmp_path: Path, facts: Facts) -> None:
    """A picture worth the name, both voices on one timeline, and the numbers."""
    import soundfile

    write(tmp_path / "out", a_conversation(), facts, lambda: None)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "conversation.wav", "report.json", "timeline.png",
    ]  # fmt: skip
    picture = (tmp_path / "out" / "timeline.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])
    assert width >= 1400
    assert height >= 700
    assert len(picture) > 40_000
    info = soundfile.info(tmp_path / "out" / "conversation.wav")
    assert (info.samplerate, info.channels, info.subtype) == (24_000, 2, "PCM_16")
    assert info.duration == 12.0


def test_the_report(tmp_path: Path, facts: Facts) -> None:
    """Per turn what was said, asked, answered, heard and held; for the run its numbers."""
    write(tmp_path, a_conversation(), facts, lambda: None)
    report = json.loads((tmp_path / "report.json").read_text())
    first, second = report["turns"]
    assert first["user"] == "Hello there."
    assert first["prompt"] == [{"role": "user", "text": "Hello there."}]
    assert first["held"] == [{"start_s": 3.0, "end_s": 3.5}]
    assert (first["outcome"], second["outcome"]) == ("done", "interrupted")
    assert (second["agent"], second["heard"]) == (LONG, "That is a long")
    assert (second["interrupted_at_s"], second["cut_s"]) == (9.4, 3.0)
    assert second["latency_ms"] == {"decision": 700.0, "first_audio": 900.0}
    assert report["run"]["loop_lag_ms"]["p99"] == 4.0
    assert report["user"]["dismissed"] == ["Hm."]
    assert [row["name"] for row in report["models"]][-2:] == ["script:a.txt", "hibari"]


def test_a_long_conversation_takes_several_rows(tmp_path: Path, facts: Facts) -> None:
    """Also with holds too short for their label, and turns that lie in one row alone."""
    recording = Recording()
    recording.hear_user(b"\1\4" * 16_000 * 80)
    for number, start in enumerate((1.5, 30.25, 62.5), 1):
        parts = [
            status("floor", start, floor="thinking", turn=number),
            status("asked", start, turn=number, prompt=[]),
            token(number, LONG),
            status("queued", start + 0.5, turn=number, seconds=4.0),
            signal(Playing(number), start + 0.5),
            status(
                "latency", start + 0.5, turn=number, ended_at=start - 0.5, ms={"decision": 400.0}
            ),
            sound(number, start + 0.5, 1.0, "That is a long "),
            *(signal(it(number), start + 1.5 + at) for it, at in ((Held, 0.0), (Resumed, 0.12))),
            sound(number, start + 1.62, 1.0, "answer"),
            signal(Held(number), start + 2.62),
            signal(Interrupted(number, "That is a long answer"), start + 3.0),
            status("cut", start + 3.0, turn=number, seconds=2.0),
            signal(TurnComplete(number, "interrupted"), start + 3.0),
        ]
        for part in parts:
            recording.feed(part, 99.0)
    recording.end(80.0)
    assert len(rows(recording)) > 1
    write(tmp_path, recording, facts, lambda: None)
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_conversation_can_be_written(tmp_path: Path, facts: Facts) -> None:
    """Nobody said anything: still a picture, a report and a sound file."""
    write(tmp_path, Recording(), facts, lambda: None)
    assert len(list(tmp_path.iterdir())) == 3


def test_nothing_is_half_written(tmp_path: Path, facts: Facts) -> None:
    """Stopped between two files, none is there, nor the folder that was made for them."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", a_conversation(), facts, stop)
    assert list(tmp_path.iterdir()) == []
