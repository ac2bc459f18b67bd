"""A user on virtual time: when each sound leaves the microphone."""

import asyncio
from array import array

import pytest

from vivace import signals
from vivace.flow.clock import now
from vivace.part import Held, Interrupted, Part, PlayedTo, Resumed
from vivace.testing.dialogue import (
    Backchannel,
    Correct,
    Cough,
    Dialogue,
    HangUp,
    Listen,
    Say,
    SideTalk,
    Speaker,
    Step,
    Stop,
    TalkOver,
    Timing,
    Type,
    Wait,
    Wish,
)
from vivace.testing.ears import Ears, Sounds
from vivace.testing.speaker import JitterBuffer, SimulatedSpeaker
from vivace.testing.user import Hearing, User

pytestmark = pytest.mark.virtual


async def sounds_of(
    *steps: Step, heard: tuple[float, float] | None = None, **rest: float
) -> tuple[list[tuple[float, float, str]], User, list[tuple[float, Part]]]:
    """When each sound begins and ends, in media time; `heard`: when the agent speaks."""
    dialogue = Dialogue(steps, **{"tail_s": 0.1, **rest})  # type: ignore[arg-type]
    sounds, hearing = Sounds(), Hearing()
    user = User(dialogue, sounds, hearing, lambda part: None)
    levels: list[int] = []
    others = []
    async for part in user.parts():
        if heard and heard[0] <= now() < heard[1]:
            hearing.hear(now(), 0.02)
        if part.seconds:
            levels += array("h", part.bytes)[::320]
        else:
            others.append((round(now(), 6), part))
    found = []
    for level, sound in enumerate(sounds.made, start=1):
        if level in levels:
            begin = levels.index(level) * 0.02
            found.append(
                (round(begin, 2), round(begin + levels.count(level) * 0.02, 2), sound.word)
            )
    return found, user, others


async def test_says_words_at_a_rate_with_pauses() -> None:
    """Words follow each other; a "…" is silent."""
    found, _, _ = await sounds_of(Say("one two … three", after_s=0.5, rate=5.0, pause_s=0.4))
    assert found == [(0.5, 0.7, "one"), (0.7, 0.9, "two"), (1.3, 1.5, "three")]


async def test_steps_follow_each_other() -> None:
    """Each waits for its own time after the one before it has ended."""
    found, user, _ = await sounds_of(
        Say("one", rate=5.0), Correct("two", rate=5.0), Wait(1.0), Say("three", 0.2, rate=5.0)
    )
    assert found == [(0.5, 0.7, "one"), (1.0, 1.2, "two"), (2.4, 2.6, "three")]
    assert [type(step) for _, step in user.stepped] == [Say, Correct, Wait, Say]


async def test_waits_for_the_agent() -> None:
    """Who talks over waits until the agent was heard so long; each counts from the one before."""
    found, _, _ = await sounds_of(
        TalkOver("stop", after_s=1.0, rate=5.0),
        Backchannel(after_s=0.5, rate=5.0),
        Cough(0.3, after_s=0.5),
        SideTalk("far", 0.5, rate=5.0),
        heard=(2.0, 8.0),
    )
    assert [round(begin, 1) for begin, _, _ in found] == [3.0, 3.7, 4.4, 5.2]
    assert [word for _, _, word in found] == ["stop", "mm-hm", "", ""]


async def test_does_not_wait_for_ever() -> None:
    """After eight seconds they speak anyway; who listens gives up when told to."""
    found, _, _ = await sounds_of(TalkOver("stop", rate=5.0))
    assert found == [(8.0, 8.2, "stop")]
    found, _, _ = await sounds_of(Listen(at_most_s=3.0), Say("so", rate=5.0))
    assert found == [(3.5, 3.7, "so")]


async def test_listens_until_the_agent_is_silent() -> None:
    """A reply must have been heard first."""
    found, _, _ = await sounds_of(Listen(quiet_s=1.0), Say("so", rate=5.0), heard=(2.0, 4.0))
    assert [round(begin, 1) for begin, _, _ in found] == [5.5]


async def test_types_and_is_sent_to() -> None:
    """A message goes among the sound at its time, and so does what a tool has answered."""
    _, user, others = await sounds_of(Type("typed", after_s=0.3))
    assert [(at, part.text, part.at) for at, part in others] == [(0.32, "typed", None)]
    assert user.typed == ["typed"]


async def test_types_beside_what_is_said() -> None:
    """Later, while the next step is under way; and may end the turn with it."""
    steps = (Type("typed", 0.1, beside_s=0.6, ends_turn=True), Say("one two", 0.2, rate=2.0))
    found, user, others = await sounds_of(*steps)
    assert [begin for begin, _, _ in found] == [0.3, 0.8]
    bodies = [part.body for _, part in others]
    assert bodies == ["typed", signals.TurnEnded(0.7)]
    assert [round(at, 1) for at, _ in others] == [0.7, 0.7]
    assert user.typed == ["typed"]


async def test_the_program_wishes() -> None:
    """Among the sound goes what it wants said, or that the model is to be asked."""
    _, user, others = await sounds_of(Wish("so be it", 0.3, protected=True), Wish(after_s=0.4))
    wishes = [signals.Say("so be it", protected=True), signals.Ask()]
    assert [(at, part.body) for at, part in others] == list(zip((0.32, 0.72), wishes, strict=True))
    assert user.typed == []


async def test_lets_a_key_go() -> None:
    """So long after the last word, before the sound of that moment."""
    _, _, others = await sounds_of(Say("one two", 0.5, rate=5.0, key_s=0.1), tail_s=1.0)
    assert [(at, part.body) for at, part in others] == [(1.0, signals.TurnEnded(1.0))]


async def test_stops_the_agent() -> None:
    """Once it was heard so long."""
    _, _, others = await sounds_of(Stop(1.0), heard=(2.0, 8.0))
    assert [(round(at, 1), part.body) for at, part in others] == [(3.0, Interrupted(0))]


async def test_hangs_up() -> None:
    """The microphone is off in the middle of what was to come, or when it has to be."""
    found, _, _ = await sounds_of(Say("one", rate=5.0), HangUp(0.1), Say("two"))
    assert found == [(0.5, 0.7, "one")]
    assert now() == 0.82
    await sounds_of(Wait(100.0), at_most_s=2.0)
    assert round(now(), 6) == 2.82


async def test_ears_hear_what_was_said() -> None:
    """A word counts if most of it is heard; a detector is as sure as the loudest sound."""
    sounds = Sounds()
    timing = Timing(detect_s=(0.0, 0.0), transcribe_s=(0.1, 0.1), judge_s=(0.2, 0.2))
    ears = Ears(sounds, timing, 0)
    user = User(Dialogue((Say("one two", rate=5.0), SideTalk("far", 0.0, loud=0.4))), sounds,
                Hearing(), lambda part: None)  # fmt: skip
    pcm = b"".join([part.bytes async for part in user.parts()])
    assert await ears.transcribe(pcm) == "one two"
    assert await ears.transcribe(pcm[: round(0.62 * 32_000)]) == "one"
    assert await ears.transcribe(pcm[: round(0.58 * 32_000)]) == ""
    judge = ears.session()
    begin = now()
    assert await judge(bytes(1024)) == 0.0
    assert await judge(pcm[round(0.6 * 32_000) :][:1024]) == 1.0
    far = array("h", [3] * 512).tobytes()
    assert await judge(far) == 0.4
    assert now() == begin
    assert 0.6 <= await ears.judge_turn(b"") <= 1.0
    assert round(now() - begin, 6) == 0.2


def test_jitter_buffer_plays_late_and_knows_how_much() -> None:
    """What came is played after the delay; a hold stops it, a resume goes on where it was."""
    buffer = JitterBuffer(0.1)
    assert buffer.push(1, 0.5, 1.0) == 1.1
    assert buffer.push(1, 0.5, 1.2) == pytest.approx(1.6)
    buffer.control(Held(1), 1.3)
    assert buffer.played[1] == pytest.approx(0.2)
    buffer.advance(5.0)
    assert buffer.played[1] == pytest.approx(0.2)
    buffer.control(Resumed(1), 5.0)
    buffer.control(Interrupted(1), 5.5)
    buffer.advance(9.0)
    assert buffer.played[1] == pytest.approx(0.7)


def test_hold_of_a_reply_is_over_with_the_next_one() -> None:
    """What comes after it is played, though nobody has resumed it."""
    buffer = JitterBuffer(0.0, speed=0.5)
    buffer.control(Held(1), 1.0)
    buffer.push(2, 0.5, 2.0)
    buffer.advance(2.4)
    assert buffer.played == pytest.approx({2: 0.2})


async def test_speaker_reports() -> None:
    """Of the newest reply, once there is one, as often as it should; what waits is not in it."""
    speaker = SimulatedSpeaker(
        Dialogue((), speaker=Speaker(buffer_s=0.1, reports_s=0.25)), Hearing()
    )
    reports: list[tuple[float, int, float]] = []
    for _ in range(11):
        reports += [
            (round(now(), 6), part.body.turn, round(part.body.seconds, 6))
            for part in speaker.report()
            if isinstance(part.body, PlayedTo)
        ]
        await asyncio.sleep(0.1)
        if now() < 0.45:
            await speaker.take(Part.audio(bytes(6400), role="model", turn=1 + (now() > 0.35)))
    assert reports == [(0.1, 1, 0.0), (0.4, 2, 0.0), (0.7, 2, 0.0), (1.0, 2, 0.2)]


async def test_reports_come_with_the_sound() -> None:
    """Before the part of the microphone's that is given then; without a speaker there are none."""
    report = Part(PlayedTo(1, 0.5))
    dialogue, given = Dialogue((Wait(0.05),), tail_s=0.0), list[Part]()
    user = User(dialogue, Sounds(), Hearing(), given.append, lambda: [report])
    got = [part async for part in user.parts()]
    assert given == got
    assert len(got) > 4
    assert got[::2] == [report] * (len(got) // 2)
    alone = User(dialogue, Sounds(), Hearing(), given.append)
    assert report not in [part async for part in alone.parts()]


async def test_speaker_takes_its_time() -> None:
    """At half speed a chunk of 20 ms takes 40 ms; signals take none; the user hears it."""
    hearing = Hearing()
    speaker = SimulatedSpeaker(Dialogue((), speaker=Speaker(speed=0.5)), hearing)
    await speaker.take(Part.audio(bytes(640), role="model", turn=1))
    assert now() == 0.04
    await speaker.take(Part(Held(1)))
    assert now() == 0.04
    assert (hearing.since, hearing.until) == (0.0, 0.04)
    await asyncio.sleep(0.1)
    assert hearing.for_s(0.14, 0.1) == pytest.approx(0.04)
    assert hearing.for_s(1.0, 0.0) == -1.0
