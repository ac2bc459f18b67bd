"""Who may speak, where the model is on a server: the user first, then it, then the program."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.live.live_bench import (
    COMPLETE,
    Hold,
    Talk,
    hold,
    microphone,
    processor,
    sound,
    typed,
)
from vivace import (
    Ask,
    AudioRateLimiter,
    Event,
    Held,
    Interrupt,
    Interrupted,
    Part,
    Playing,
    Reset,
    Resumed,
    Say,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
    tool,
)
from vivace.flow.clock import now
from vivace.server.gemini_frames import call, content, heard, merged, said
from vivace.server.gemini_wire import TextHeard, ToolAnswers
from vivace.testing.fakes import Caller
from vivace.testing.gemini_script import (
    Delay,
    Drop,
    Expect,
    Handle,
    Script,
    Send,
    SetUp,
    Step,
)

__all__ = ["hold"]

ASKED = Expect(TextHeard)
TEN_WORDS = "one two three four five six seven eight nine ten"


def reply(seconds: float, text: str, mark: int = 1) -> list[Step]:
    return [Send(merged([said(sound(mark, seconds)), heard(model=text)])), *COMPLETE]


def speaks(begin: float, end: float, turn_after: float = 0.3) -> list[tuple[float, Any]]:
    """The signals of a detector, about a sound, and of one that tells when a turn is over."""
    return [
        (begin, SpeechStarted(begin)),
        (end, SpeechEnded(end, turn_follows=True)),
        (end + turn_after, TurnEnded(end)),
    ]


def when(talk: Talk, kind: type[Any]) -> list[float]:
    return [at for at, it in talk.seen if isinstance(it.body, kind)]


def heard_s(talk: Talk, turn: int = 1) -> float:
    return round(sum(it.seconds for it in talk.parts if it.turn == turn), 6)


async def over_a_reply(
    hold: Hold,
    *lines: tuple[float, Any],
    then: Script | None = None,
    until: float = 30.0,
    **how: Any,
) -> Talk:
    """Somebody makes a sound over a reply of five seconds, of which the server has sent all."""
    script: Script = [ASKED, *reply(5.0, TEN_WORDS), *(then or [])]
    source: AsyncIterator[Part] = typed((0.0, "hello"), *lines, until=until)
    talk: Talk = await hold([script], source, processor(**how) + AudioRateLimiter())
    assert talk.error is None
    return talk


# -- a sound over a reply -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends_at", "resumes_at"), [(1.6, 3.1), (3.0, 4.5), (4.8, 5.0), (8.0, 5.0)]
)
async def test_a_noise_costs_no_sample(hold: Hold, ends_at: float, resumes_at: float) -> None:
    """The server hears nothing in it: the reply goes on where it was, after four seconds at most.

    However long the noise is. And nobody waits for an answer to it.
    """
    talk = await over_a_reply(hold, *speaks(1.0, ends_at))
    assert when(talk, Held) == [1.0]
    assert when(talk, Resumed) == [resumes_at]
    assert talk.bodies(Interrupted) == []
    assert heard_s(talk) == 5.0
    assert [at for at, _, _ in talk.sounds if 1.0 < at < resumes_at] == []
    assert talk.news("no_answer") == []


async def test_a_noise_does_not_end_the_pause_of_the_program(hold: Hold) -> None:
    """The reply goes on when the program says so, and not into a sound of the user's."""
    lines: list[tuple[float, Any]] = [(0.5, Part(Held(1))), *speaks(1.0, 1.3)]
    talk = await over_a_reply(hold, *lines, (8.0, Part(Resumed(1))))
    assert [it for it in when(talk, Resumed) if it < 8.0] == []
    assert [at for at, _, _ in talk.sounds if 1.0 < at < 8.0] == []
    assert heard_s(talk) == 5.0
    talk = await over_a_reply(hold, *lines[:2], (1.2, Part(Resumed(1))), *lines[2:])
    assert when(talk, Resumed) == [2.8]
    assert heard_s(talk) == 5.0


async def test_noises_without_end_leave_the_reply_a_chance(hold: Hold) -> None:
    """Each holds it for a while, and it is heard to its end."""
    noises = [line for start in range(1, 60, 7) for line in speaks(start, start + 6.0, 0.1)]
    talk = await over_a_reply(hold, *noises, until=70.0)
    assert talk.bodies(Interrupted) == []
    assert heard_s(talk) == 5.0


@pytest.mark.parametrize("policy", [None, Interrupt.when(lambda it: not it.interim)])
async def test_words_that_are_final_only_when_they_are_answered(
    hold: Hold, policy: Interrupt | None
) -> None:
    """They cut the reply that they were said over, and not the answer to them."""
    then: Script = [Delay(1.5), Send(heard(user="Go.")), Delay(0.4), *reply(2.0, "going now", 2)]
    how: dict[str, Any] = {"interrupt": policy} if policy else {}
    talk = await over_a_reply(hold, then=then, **how)
    ((cut, heard_of_it),) = [(it.turn, it.heard) for it in talk.bodies(Interrupted)]
    assert cut == 1
    assert heard_of_it
    assert heard_s(talk, 2) == 2.0
    assert TurnComplete(2) in talk.bodies(TurnComplete)


@pytest.mark.parametrize("words_at", [1.6, 3.1, 4.0])
async def test_words_cut_when_they_are_understood(hold: Hold, words_at: float) -> None:
    """During the sound, before the turn has ended, and after: an answer is owed in any case."""
    then: Script = [
        Delay(words_at),
        Send(heard(user="stop that")),
        Delay(5.0 - words_at),
        *reply(0.5, "yes", 2),
    ]
    talk = await over_a_reply(hold, *speaks(1.0, 3.0), then=then)
    assert when(talk, Interrupted) == [words_at]
    assert max(at for at, turn, _ in talk.sounds if turn == 1) < 1.0
    assert [it.turn for it in talk.bodies(Playing)] == [1, 2]
    floors = [(at, it["floor"]) for at, it in talk.news("floor") if at >= words_at]
    assert "thinking" in [floor for _, floor in floors]
    # Nobody answers: it is told, as of any turn.
    talk = await over_a_reply(hold, *speaks(1.0, 3.0), then=then[:2])
    assert [at for at, _ in talk.news("no_answer")] == [max(words_at, 3.3) + 15.0]


async def test_words_of_a_sound_that_was_held_for_long_enough(hold: Hold) -> None:
    """The reply had gone on, and the server goes on giving it: they cut it still."""
    script: Script = [
        ASKED, Send(merged([said(sound(1, 9.0)), heard(model=TEN_WORDS)])),
        Delay(6.5), Send(heard(user="stop that")), Delay(0.5), *COMPLETE,
    ]  # fmt: skip
    talk = await hold(
        [script],
        typed((0.0, "hello"), *speaks(1.0, 7.0), until=9.0),
        processor() + AudioRateLimiter(),
    )
    assert when(talk, Resumed) == [5.0]
    assert when(talk, Interrupted) == [6.5]


async def test_the_server_cuts_at_once(hold: Hold) -> None:
    """What it says of an interruption counts, words or none."""
    script: Script = [
        ASKED, Send(merged([said(sound(1, 5.0)), heard(model=TEN_WORDS)])), Delay(1.2),
        Send(content(interrupted=True)), Send(content(turnComplete=True)),
        Delay(3.0), *reply(0.5, "yes", 2),
    ]  # fmt: skip
    talk = await hold(
        [script],
        typed((0.0, "hello"), *speaks(1.0, 3.0), until=6.0),
        processor() + AudioRateLimiter(),
    )
    assert when(talk, Interrupted) == [1.2]
    assert when(talk, Playing) == [0.0, 4.2]


@pytest.mark.parametrize(("ends_at", "answered_at"), [(2.0, 2.5), (2.0, 4.5), (9.0, 5.5)])
async def test_an_answer_of_the_server_is_a_verdict(
    hold: Hold, ends_at: float, answered_at: float
) -> None:
    """It answers what was said over a reply that it has given: that is over, though no words come.

    Also where it has gone on meanwhile.
    """
    then: Script = [Delay(answered_at), *reply(0.5, "yes", 2)]
    talk = await over_a_reply(hold, *speaks(1.0, ends_at), then=then, until=12.0)
    assert when(talk, Interrupted) == [answered_at]
    assert talk.bodies(Interrupted)[0].turn == 1
    assert when(talk, Playing) == [0.0, answered_at]
    assert set(talk.bodies(TurnComplete)) == {TurnComplete(1, "interrupted"), TurnComplete(2)}


async def test_an_answer_to_something_else_is_none(hold: Hold) -> None:
    """The result of a tool, or "mm-hm": the reply is said to its end, and then what is new."""

    @tool
    def look() -> str:
        return "sunny"

    first = [ASKED, Send(call("look", id="f1")), *reply(5.0, TEN_WORDS)]
    script: Script = [*first, Expect(ToolAnswers), Delay(1.5), *reply(0.5, "sunny", 2)]
    lines = [(0.0, "hello"), *speaks(1.0, 1.4)]
    talk = await hold(
        [script], typed(*lines, until=9.0), processor(tools=[look]) + AudioRateLimiter()
    )
    assert talk.bodies(Interrupted) == []
    assert when(talk, Resumed) == [2.9]
    assert when(talk, Playing) == [0.0, 6.9]
    then: Script = [Delay(1.4), Send(heard(user="mm-hm")), Delay(0.6), *reply(0.5, "yes?", 2)]
    talk = await over_a_reply(hold, *speaks(1.0, 1.4), then=then, until=9.0)
    assert talk.bodies(Interrupted) == []
    assert heard_s(talk) == 5.0


@pytest.mark.parametrize(
    ("policy", "at"),
    [
        (Interrupt.at_once, 1.0),
        (Interrupt.after(speech_s=0.5), 1.5),
        (Interrupt.unless_backchannel(long_s=1.0), 2.0),
    ],
)
async def test_a_policy_that_asks_for_sound_alone_gets_it(
    hold: Hold, policy: Interrupt, at: float
) -> None:
    """Who wants no words waits for none."""
    talk = await over_a_reply(hold, *speaks(1.0, 3.0), interrupt=policy)
    assert when(talk, Interrupted) == [at]


async def test_where_the_server_tells_no_words_sound_is_enough(hold: Hold) -> None:
    """Its transcripts are off: nothing could tell speech from a noise, and a second of it cuts."""
    config = {"input_audio_transcription": None}
    talk = await over_a_reply(hold, *speaks(1.0, 3.0), realtime_config=config)
    assert when(talk, Interrupted) == [2.0]


# -- what the program wants said ------------------------------------------------------------------

TELL: dict[str, tuple[Any, str]] = {
    "say": (Say("Mind the gap."), 'Say this, word for word: "Mind the gap."'),
    "ask": (Ask(), "(Please answer.)"),
    "after": (Event("smoke", triggers_turn="after", text="Smoke!"), "Smoke!"),
    "over": (Event("smoke", triggers_turn="over", text="Smoke!"), "Smoke!"),
}
ANSWER = [Delay(4.5), *reply(0.5, "yes")]


def told(talk: Talk) -> list[tuple[float, str]]:
    """The texts that the server was told, and when."""
    (one,) = talk.server.connections
    heard_at = [(round(at - one.opened_at, 6), it) for at, it in one.received]
    return [(at, it.text) for at, it in heard_at if isinstance(it, TextHeard)]


@pytest.mark.parametrize(
    ("name", "at"), [("say", 5.0), ("ask", 5.0), ("after", 5.0), ("over", 4.2)]
)
@pytest.mark.parametrize("paced", [True, False])
async def test_the_program_does_not_talk_over_the_user(
    hold: Hold, name: str, at: float, paced: bool
) -> None:
    """It waits until they have finished, and their answer was heard; an alarm is told with it."""
    wish, text = TELL[name]
    script: Script = [*ANSWER, Expect(TextHeard), *reply(0.5, "so", 2)]
    if name == "over":
        script = [Expect(TextHeard), *reply(0.5, "so", 2)]
    lines = sorted([*speaks(1.0, 4.0, 0.2), (2.0, Part(wish))], key=lambda it: it[0])
    live = processor()
    talk = await hold(
        [script], microphone(8.0, *lines), live + AudioRateLimiter() if paced else live
    )
    # Nobody paces: then a reply is heard when it was handed out.
    assert told(talk) == [(at if paced or name == "over" else 4.5, text)]
    assert talk.news("no_answer") == []


@pytest.mark.parametrize(
    ("name", "at"), [("say", 5.0), ("ask", 5.0), ("after", 5.0), ("over", 2.0)]
)
@pytest.mark.parametrize("ends_at", [2.0, 9.0])
async def test_nor_in_the_middle_of_a_reply(
    hold: Hold, name: str, at: float, ends_at: float
) -> None:
    """Only an alarm cuts it. At the end of the input all of it is told still."""
    wish, text = TELL[name]
    script: Script = [ASKED, *reply(5.0, TEN_WORDS), Expect(TextHeard), *reply(0.5, "so", 2)]
    lines = [(0.0, "hello"), (2.0, Part(wish))]
    talk = await hold([script], typed(*lines, until=ends_at), processor() + AudioRateLimiter())
    # Nobody can interrupt it any more: it waits in the pacer, and not in the session.
    assert told(talk)[1:] == [(2.0 if ends_at == 2.0 else at, text)]
    assert when(talk, Interrupted) == ([2.0] if name == "over" else [])
    assert when(talk, Playing) == [0.0, at]


async def test_nor_before_the_answer_to_what_was_typed(hold: Hold) -> None:
    """However long that takes, within what an answer may take."""
    script: Script = [ASKED, Delay(9.0), *reply(1.0, "yes"), ASKED, *reply(0.5, "so", 2)]
    lines = [(0.0, "hello"), (1.0, Part(Say("Mind the gap.")))]
    talk = await hold([script], typed(*lines, until=12.0), processor() + AudioRateLimiter())
    assert [at for at, _ in told(talk)] == [0.0, 10.0]
    talk = await hold([[]], typed(*lines, until=20.0), processor() + AudioRateLimiter())
    assert [at for at, _ in told(talk)] == [0.0, 15.0]


@pytest.mark.parametrize("words", [True, False])
async def test_nor_before_the_answer_to_what_was_said(hold: Hold, words: bool) -> None:
    """Where words were understood there will be one; else it may have been a noise."""
    said_so: Script = [Delay(1.0), Send(heard(user="and?")), Delay(29.0)]
    lines = [*speaks(1.0, 1.5, 0.5), (3.0, Part(Ask()))]
    talk = await hold([said_so if words else []], microphone(30.0, *lines))
    assert [at for at, _ in told(talk)] == [17.0 if words else 7.0]
    config = {"input_audio_transcription": None}
    talk = await hold([[]], microphone(30.0, *lines), realtime_config=config)
    assert [at for at, _ in told(talk)] == [17.0], "nobody would tell"


@pytest.mark.parametrize(
    ("lines", "at"),
    [
        ([(1.0, SpeechStarted(1.0))], 31.0),
        ([(1.0, SpeechStarted(1.0)), (4.0, SpeechEnded(4.0, turn_follows=True))], 9.0),
        ([(1.0, SpeechStarted(1.0)), (4.0, TurnEnded(4.0))], 9.0),
        ([(1.0, SpeechStarted(1.0)), (1.5, TurnEnded(0.5))], 31.0),
        ([(1.0, SpeechStarted(1.0)), (4.0, SpeechEnded(4.0))], 9.0),
    ],
)
async def test_what_is_wanted_is_not_stuck(
    hold: Hold, lines: list[tuple[float, Any]], at: float
) -> None:
    """Whatever end a detector does not tell: the pause, the turn, or, after 30 s, the speech."""
    wish = (2.0, Part(Say("Mind the gap.")))
    lines = sorted([*lines, wish], key=lambda it: it[0])
    talk = await hold([[]], typed(*lines, until=60.0), processor() + AudioRateLimiter())
    assert [when_told for when_told, _ in told(talk)] == [at]


@pytest.mark.parametrize(("loud_s", "at"), [((1.0, 4.0), 9.5), ((1.0, 60.0), 31.06)])
async def test_without_a_detector_loudness_tells(
    hold: Hold, loud_s: tuple[float, float], at: float
) -> None:
    """What is loud may be the user; who is loud for ever is none."""
    calls = Caller([(*loud_s, "hello")], until=60.0)

    async def source() -> AsyncIterator[Part]:
        start, wished = now(), False
        async for part in calls:
            if now() >= start + 2.0 and not wished:
                wished = True
                yield Part(Say("Mind the gap."))
            yield part

    talk = await hold([[]], source(), processor() + AudioRateLimiter())
    assert [when_told for when_told, _ in told(talk)] == [at]
    # The answer comes: it goes after that.
    script: Script = [Delay(4.8), *reply(1.0, "yes"), Expect(TextHeard)]
    if at < 10.0:
        talk = await hold([script], source(), processor() + AudioRateLimiter())
        assert [when_told for when_told, _ in told(talk)] == [5.8]


async def test_one_wish_at_a_time(hold: Hold) -> None:
    """Each is carried out before the next is told; of all that was seen, one reply speaks."""
    script: Script = [ASKED, *reply(1.0, "hi")]
    for number in range(2, 5):
        script = [*script, ASKED, *reply(1.0, "so", number)]
    lines = [
        (0.0, "hello"), (0.2, Part(Say("One."))), (0.3, Part(TELL["after"][0])),
        (0.4, Part(Say("Two."))),
        (0.5, Part(Event("fire", triggers_turn="after", text="Fire!"))),
    ]  # fmt: skip
    talk = await hold([script], typed(*lines, until=5.0), processor() + AudioRateLimiter())
    assert told(talk) == [
        (0.0, "hello"),
        (1.0, 'Say this, word for word: "One."'),
        (2.0, "Smoke!\nFire!"),
        (3.0, 'Say this, word for word: "Two."'),
    ]


async def test_an_alarm_overtakes_what_waits(hold: Hold) -> None:
    """It is told at once; but not over a sound, of which nobody knows yet what it is."""
    script: Script = [ASKED, *reply(5.0, TEN_WORDS), ASKED, *reply(1.0, "run", 2), ASKED]
    alarm = Part(TELL["over"][0])
    lines = [(0.0, "hello"), (0.5, Part(Ask())), *speaks(1.0, 1.4, 0.2), (1.8, alarm)]
    talk = await hold([script], typed(*lines, until=5.0), processor() + AudioRateLimiter())
    assert [at for at, _ in told(talk)] == [0.0, 2.9, 3.9]
    assert when(talk, Interrupted) == [2.9]
    # Nor over a reply that nothing may interrupt.
    live = processor(interrupt=Interrupt.never)
    talk = await hold([script], typed(*lines, until=7.0), live + AudioRateLimiter())
    assert when(talk, Interrupted) == []
    assert [at for at, _ in told(talk)][:2] == [0.0, 5.0]


async def test_more_wishes_than_anybody_wants_to_hear(hold: Hold) -> None:
    """Those beyond sixteen are refused, and told to be; of events the newest are kept."""
    script: Script = [ASKED, *reply(1.0, "hi"), ASKED]
    wishes = [(0.5, Part(Say(str(number)))) for number in range(17)]
    events = [(0.5, Part(Event(str(number), triggers_turn="after"))) for number in range(17)]
    lines = [(0.0, "hello"), *events, *wishes]
    live = processor(answer_within_s=1.0) + AudioRateLimiter()
    talk = await hold([script], typed(*lines, until=2.0), live)
    ((at, failed),) = talk.news("failed")
    assert (at, failed["what"]) == (0.5, "wish")
    assert failed["error"] == "16 wishes wait already; say less at once"
    texts = [text for _, text in told(talk)]
    seen = "\n".join(f"({number})" for number in range(1, 17))
    assert texts == ["hello", seen, *(f'Say this, word for word: "{n}"' for n in range(16))]


# -- a reset --------------------------------------------------------------------------------------

LATE: Script = [ASKED, *reply(1.0, "first"), ASKED, Delay(2.0), *reply(2.0, "second", 2)]


def said_by_the_agent(talk: Talk) -> list[tuple[float, int]]:
    """Of each reply that was heard: from when on, and its level."""
    first: dict[int, float] = {}
    for at, _, mark in talk.sounds:
        first.setdefault(mark, at)
    return [(at, mark) for mark, at in first.items()]


@pytest.mark.parametrize("signal", [Reset(), Reset(1), Reset(2)])
async def test_a_reset_drops_the_answer_that_is_owed(hold: Hold, signal: Reset) -> None:
    """Nobody hears it when it comes, nor is told that none came; what is asked next is answered."""
    script: Script = [*LATE, ASKED, Delay(0.5), *reply(0.5, "third", 3)]
    lines = [(0.0, "hello"), (3.0, "second"), (4.0, Part(signal)), (6.0, "third")]
    talk = await hold([script], typed(*lines, until=30.0), processor() + AudioRateLimiter())
    assert said_by_the_agent(talk) == [(0.0, 1), (6.5, 3)]
    assert talk.news("no_answer") == []
    floors = [(at, it["floor"]) for at, it in talk.news("floor") if 3.0 <= at < 6.0]
    assert floors == [(3.0, "thinking"), (4.0, "idle")]
    assert {it.reason for it in talk.bodies(TurnComplete)} == {"done", "interrupted"}
    assert len(talk.bodies(TurnComplete)) == 3


async def test_the_answer_to_what_is_asked_after_a_reset_is_heard(hold: Hold) -> None:
    """Also if nothing came of the one before: the server may answer both at once."""
    script: Script = [*LATE[:4], ASKED, ASKED, Delay(0.5), *reply(0.5, "both", 3)]
    lines = [(0.0, "hello"), (3.0, "second"), (4.0, Part(Reset())), (4.5, "third")]
    talk = await hold([script], typed(*lines, until=9.0), processor() + AudioRateLimiter())
    assert said_by_the_agent(talk) == [(0.0, 1), (5.0, 3)]
    # Nothing comes of it at all, and later the server speaks by itself.
    script = [ASKED, Delay(20.0), *reply(0.5, "boo", 2)]
    lines = [(0.0, "hello"), (4.0, Part(Reset()))]
    talk = await hold([script], typed(*lines, until=25.0), processor() + AudioRateLimiter())
    assert said_by_the_agent(talk) == [(20.0, 2)]
    assert talk.news("no_answer") == []


@pytest.mark.parametrize("at", [2.2, 2.4, 2.6])
async def test_a_reset_after_what_was_said(hold: Hold, at: float) -> None:
    """Before the turn has ended, or after: its answer is dropped. Not if the user goes on."""
    lines: list[tuple[float, Any]] = [*speaks(1.0, 2.1, 0.4), (at, Part(Reset()))]
    again = [(it + 4.0, body) for it, body in speaks(1.0, 2.0)]
    lines = sorted(lines, key=lambda it: it[0]) + again
    script: Script = [Delay(3.5), *reply(0.5, "no"), Delay(3.0), *reply(0.5, "yes", 2)]
    talk = await hold([script], microphone(9.0, *lines), processor() + AudioRateLimiter())
    assert said_by_the_agent(talk) == [(6.5, 2)]
    goes_on: list[tuple[float, Any]] = [*speaks(1.0, 3.0)]
    goes_on.insert(1, (2.0, Part(Reset())))
    talk = await hold([script], microphone(6.0, *goes_on), processor() + AudioRateLimiter())
    assert said_by_the_agent(talk)[0] == (3.5, 1)


@pytest.mark.parametrize("drops", [True, False])
@pytest.mark.parametrize("answers_at", [3.6, 5.6])
async def test_what_is_said_after_a_reset_is_answered(
    hold: Hold, drops: bool, answers_at: float
) -> None:
    """The server drops the old answer, and may tell so, or not; and it may be quicker than we."""
    tells = [content(interrupted=True), content(turnComplete=True)] if drops else []
    script: Script = [
        ASKED, Delay(1.1), *[Send(it) for it in tells], Delay(answers_at - 1.1),
        Send(heard(user="what is new")), *reply(2.0, "new answer", 2),
    ]  # fmt: skip
    lines: list[tuple[float, Any]] = [
        (0.0, "old question"), (0.5, Part(Reset())), *speaks(1.0, 2.9, 1.1),
    ]  # fmt: skip
    talk = await hold([script], microphone(12.0, *lines), processor() + AudioRateLimiter())
    ((at, mark),) = said_by_the_agent(talk)
    assert mark == 2
    assert at == pytest.approx(answers_at, abs=0.03)
    assert talk.bodies(Interrupted) == []


async def test_a_reset_while_the_user_speaks_after_a_question(hold: Hold) -> None:
    """The old answer was owed; what they go on to say is answered before our detector is sure."""
    script: Script = [
        ASKED, Delay(3.4), Send(heard(user="what is new")), *reply(1.0, "new answer", 2),
    ]  # fmt: skip
    lines: list[tuple[float, Any]] = [
        (0.1, "old question"), (1.5, SpeechStarted(1.5)), (1.8, Part(Reset())),
        (3.3, SpeechEnded(3.0, turn_follows=True)), (3.9, TurnEnded(3.0)),
    ]  # fmt: skip
    talk = await hold([script], microphone(9.0, *lines), processor() + AudioRateLimiter())
    assert [mark for _, mark in said_by_the_agent(talk)] == [2]


async def test_wishes_to_a_server_that_is_silent_end_with_the_input(hold: Hold) -> None:
    """It is told the rest at once when it has not answered one, and that is waited for once."""
    wishes = [(1.0, Part(Say(str(number)))) for number in range(8)]
    talk = await hold([[]], typed((0.0, "hello"), *wishes, until=2.0), processor())
    assert talk.seconds <= 31.0


async def test_a_reset_without_a_detector(hold: Hold) -> None:
    """What was loud may have been asked; what is loud after it is answered again."""
    calls = Caller([(1.0, 2.0, "a"), (4.0, 5.0, "b")], until=8.0)

    async def source() -> AsyncIterator[Part]:
        start, done = now(), False
        async for part in calls:
            if now() >= start + 3.0 and not done:
                done = True
                yield Part(Reset())
            yield part

    for early in (True, False):
        first: Script = [Delay(3.5), *reply(0.2, "no"), Delay(2.5)] if early else [Delay(6.0)]
        script: Script = [*first, *reply(0.5, "yes", 2)]
        talk = await hold([script], source(), processor() + AudioRateLimiter())
        assert said_by_the_agent(talk) == [(6.0, 2)]


async def test_a_reset_forgets_what_waits(hold: Hold) -> None:
    """Wishes, events, and a question that there was no connection for, or that was lost with it."""
    lines = [
        (0.0, "hello"), (1.0, Part(Say("Mind the gap."))), (1.0, Part(TELL["after"][0])),
        (2.0, Part(Reset())),
    ]  # fmt: skip
    talk = await hold(
        [[ASKED, *reply(5.0, TEN_WORDS)]],
        typed(*lines, until=9.0),
        processor() + AudioRateLimiter(),
    )
    assert [text for _, text in told(talk)] == ["hello"]
    first: Script = [Delay(1.0), Handle("h1"), Delay(0.5), Drop()]
    for asked_at, reset_at in ((1.2, 1.4), (1.2, 1.8), (1.7, 1.8)):
        lines = [(asked_at, "hello"), (reset_at, Part(Reset())), (4.0, "again")]
        talk = await hold(
            [first, [Delay(1.0), SetUp(), Expect(TextHeard), *reply(0.5, "yes")]],
            typed(*lines, until=6.0),
            processor() + AudioRateLimiter(),
        )
        assert talk.server.connections[1].texts == ["again"]
        assert said_by_the_agent(talk) == [(4.0, 1)]


async def test_what_a_dropped_answer_calls_is_not_run(hold: Hold) -> None:
    """The server is told so, and can end its turn."""
    ran: list[str] = []

    @tool
    def order() -> str:
        ran.append("pizza")
        return "ordered"

    script: Script = [
        ASKED, Delay(2.0), Send(call("order", id="f1")), Expect(ToolAnswers), *reply(0.5, "yes"),
        ASKED, *reply(0.5, "again", 2),
    ]  # fmt: skip
    lines = [(0.0, "hello"), (1.0, Part(Reset())), (4.0, "again")]
    talk = await hold(
        [script], typed(*lines, until=6.0), processor(tools=[order]) + AudioRateLimiter()
    )
    assert ran == []
    assert said_by_the_agent(talk) == [(4.0, 2)]


@pytest.mark.parametrize("signal", [Reset(5), Interrupted(5)])
async def test_a_number_that_no_reply_has_yet(hold: Hold, signal: Reset | Interrupted) -> None:
    """The answer that is owed is void, and the next has a higher one: the agent is not silenced."""
    late: Script = [*LATE, ASKED, *reply(0.5, "third", 3)]
    lines = [(0.0, "hello"), (3.0, "second"), (4.0, Part(signal)), (8.0, "third")]
    talk = await hold([late], typed(*lines, until=9.0), processor() + AudioRateLimiter())
    assert said_by_the_agent(talk) == [(0.0, 1), (8.0, 3)]
    assert talk.news("no_answer") == []
    early: Script = [ASKED, *reply(1.0, "first"), ASKED, *reply(0.5, "second", 2)]
    lines = [(0.0, "hello"), (2.0, Part(signal)), (3.0, "second")]
    talk = await hold([early], typed(*lines, until=9.0), processor() + AudioRateLimiter())
    assert said_by_the_agent(talk) == [(0.0, 1), (3.0, 2)]
    assert [it.turn for it in talk.bodies(Playing)] == [1, 6]
