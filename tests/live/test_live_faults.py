"""A live session before a server that fails, in every way that it can: listed ones, and random."""

import asyncio
import random
import time
from array import array
from typing import Any

import pytest

from tests.live.live_bench import (
    COMPLETE,
    Hold,
    Talk,
    check,
    frames_heard,
    frames_unread,
    hold,
    microphone,
    processor,
    sound,
    texts_unread,
    typed,
)
from vivace import Image, Interrupted, LiveProcessor, Part, Response, TurnComplete, tool
from vivace.errors import ModelError, ModelUnreachable
from vivace.live.session import Session
from vivace.machines.connection import ConnectionRules
from vivace.server.gemini_frames import call, cancellation, content, go_away, heard, merged, said
from vivace.server.gemini_wire import ImageSeen, TextHeard, ToolAnswers
from vivace.testing.gemini_script import (
    Burst,
    Close,
    Delay,
    Drop,
    Duplicate,
    Expect,
    Garbage,
    Handle,
    ReadOn,
    Script,
    Send,
    SetUp,
    Slow,
    Step,
    StopReading,
)

__all__ = ["hold"]

AGAIN: Script = [Expect(TextHeard, lambda it: it.text == "again"), Send(said(sound(9))), *COMPLETE]
ASKED = Expect(TextHeard, lambda it: it.text == "hello")


@tool(timeout_s=1.0)
async def look() -> str:
    """Look."""
    return "sunny"


@tool
async def slow() -> str:
    """Take long."""
    await asyncio.sleep(2.0)
    return "at last"


@tool(cancellable=True)
async def endless() -> str:
    """Take for ever."""
    await asyncio.Event().wait()
    return "never"


TOOLS = [look, slow, endless]
LAMP = {"name": "lamp", "description": "Light."}  # which the program answers
PHASES: dict[str, list[Step]] = {
    "before set-up": [],
    "idle": [SetUp(), Handle("h1"), ASKED, Send(said(sound(1))), *COMPLETE, Delay(0.5)],
    "mid-turn": [SetUp(), Handle("h1"), ASKED, Send(said(sound(1))), Delay(0.5)],
    "mid-tool": [SetUp(), Handle("h1"), ASKED, Send(call("slow", id="f1")), Delay(0.5)],
}
FATAL = {("before set-up", 1008), *((phase, 1007) for phase in PHASES)}


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1007, 1008, 1011])
@pytest.mark.parametrize("phase", PHASES)
async def test_every_close_code_in_every_phase(hold: Hold, phase: str, code: int) -> None:
    """What is the moment's fault is mended unheard; what is ours is told at once."""
    end = Drop() if code == 1006 else Close(code, "as it goes")
    first: Script = [*PHASES[phase], end, SetUp()]
    talk = await hold([first, AGAIN], typed((0.0, "hello"), (4.0, "again"), until=5.0), tools=TOOLS)
    check(talk)
    if (phase, code) in FATAL:
        assert isinstance(talk.error, ModelError)
        assert str(code) in str(talk.error)
        assert "something in realtime_config" in str(talk.error)
        assert len(talk.server.connections) == 1
        return
    assert talk.error is None
    assert talk.seconds == 5.0
    assert talk.sounds[-1][1:] == (len({it.turn for it in talk.parts if it.turn}), 9)
    if phase in ("mid-turn", "mid-tool"):
        assert talk.bodies(TurnComplete)[0] == TurnComplete(1, "failed")
    if phase == "mid-tool":
        told = '(slow answered: "at last")'  # its call is gone with its connection
        assert told in talk.server.connections[1].texts


@pytest.mark.parametrize("left_s", [10.0, 0.0, None])
async def test_go_away(hold: Hold, left_s: float | None) -> None:
    """Mid-turn, the session stays until the turn is over or the time is up."""
    first: Script = [
        Handle("h1"), ASKED, Send(said(sound(1))), Send(go_away(left_s)), Delay(3.0),
        Send(said(sound(2))), *COMPLETE,
    ]  # fmt: skip
    talk = await hold([first, AGAIN], typed((0.0, "hello"), (6.0, "again"), until=7.0))
    check(talk)
    moved = dict(reversed([(state, at) for at, state in talk.states]))["resuming"]
    assert moved == {10.0: 3.0, 0.0: 0.0, None: 3.0}[left_s]
    marks = [mark for _, _, mark in talk.sounds]
    assert marks == ([1, 9] if left_s == 0.0 else [1, 2, 9])
    assert talk.error is None


async def test_a_connection_that_ends_without_a_go_away(hold: Hold) -> None:
    """As after ten minutes: the microphone's sound of the gap is sent when there is a new one."""
    first: Script = [Handle("h1"), Delay(1.0), Drop()]
    talk = await hold([first, [Delay(0.5), SetUp()]], microphone(3.0))
    check(talk)
    assert frames_heard(talk) == set(range(1, 151))
    (gap,) = [it for _, it in talk.news("connection") if "gap_s" in it]
    assert gap["gap_s"] == 0.5
    assert gap["resumed"]
    assert gap["input_dropped_s"] == 0.0


async def test_of_a_long_gap_the_newest_two_seconds_are_sent(hold: Hold) -> None:
    """The rest is dropped and counted, to the frame."""
    first: Script = [Handle("h1"), Delay(1.0), Handle("h2"), Drop()]
    live = processor()
    talk = await hold([first, [Delay(5.0), SetUp()]], microphone(7.0), live)
    check(talk)
    assert talk.states[-2] == (6.0, "ready")
    missing = set(range(1, 351)) - frames_heard(talk)
    (metrics,) = live.stream_metrics.values()
    assert round(metrics.input_dropped_s, 6) >= round(len(missing) * 0.02, 6) >= 2.9
    assert metrics.gaps_s == (5.0,)
    assert set(range(201, 351)) <= frames_heard(talk)


async def test_a_refused_handle(hold: Hold) -> None:
    """A new session takes the place of the one that is lost, and is told what was said."""
    first: Script = [ASKED, Send(heard(model="Hi.")), *COMPLETE, Handle("h1"), Delay(1.0), Drop()]
    talk = await hold(
        [first, [Close(1008, "session not found"), SetUp()], AGAIN],
        typed((0.0, "hello"), (2.0, "again"), until=3.0),
    )
    check(talk)
    assert [it.setup.handle for it in talk.server.connections if it.setup] == ["", "h1", ""]
    seed = talk.server.connections[2].messages[0]
    assert [(it.role, it.text) for it in seed.turns] == [("user", "hello"), ("model", "Hi.")]
    assert talk.sounds[-1][1:] == (2, 9)


async def test_a_server_that_never_sets_up(hold: Hold) -> None:
    """It is tried as often as the rules say, and given up with what was missing."""
    rules = ConnectionRules(set_up_s=2.0, attempts=3)
    dead: Script = [Delay(1e6), SetUp()]
    talk = await hold([dead] * 3, typed((0.0, "hello"), until=60.0), connection=rules)
    assert isinstance(talk.error, ModelUnreachable)
    assert "no setupComplete within 2 s" in str(talk.error)
    assert 6.0 <= talk.seconds <= 6.6
    check(talk)


async def test_a_handle_that_comes_late(hold: Hold) -> None:
    """The newest one counts, also while the turn goes on; one that is not resumable is none."""
    first: Script = [
        Handle("h1"), ASKED, Send(said(sound(1))), Handle("h2"),
        Send({"sessionResumptionUpdate": {"newHandle": "", "resumable": False}}),
        *COMPLETE, Delay(1.0), Drop(),
    ]  # fmt: skip
    talk = await hold([first, AGAIN], typed((0.0, "hello"), (2.0, "again"), until=3.0))
    check(talk)
    assert talk.server.connections[1].resumed
    assert talk.server.connections[1].setup.handle == "h2"


async def test_an_interruption_with_sound_and_a_late_end(hold: Hold) -> None:
    """Sound in the message, late sound and a late end change nothing: the next turn is whole."""
    script: Script = [
        ASKED, Send(said(sound(1))), Delay(0.2),
        Send(merged([said(sound(2)), heard(model="x"), content(interrupted=True)])),
        Slow([said(sound(3)), said(sound(4))], every_s=0.5),
        Delay(1.0), Duplicate(content(turnComplete=True)),
        Send(said(sound(5))), *COMPLETE,
    ]  # fmt: skip
    talk = await hold([script], typed((0.0, "hello"), until=4.0))
    check(talk)
    assert talk.sounds == [(0.0, 1, 1), (2.2, 2, 5)]
    assert next(it for it in talk.parts if isinstance(it.body, Interrupted)).at == 0.2


async def test_an_interruption_in_the_first_message_of_a_reply(hold: Hold) -> None:
    """It has begun, and was cut before anything of it was heard; what comes late is not, either."""
    script: Script = [
        ASKED, Send(merged([said(sound(1)), content(interrupted=True)])),
        Delay(0.2), Send(said(sound(2))), Send(content(turnComplete=True)),
        Send(said(sound(3))), *COMPLETE,
    ]  # fmt: skip
    talk = await hold([script], typed((0.0, "hello"), until=1.0))
    check(talk)
    assert talk.sounds == [(0.2, 2, 3)]
    assert [it.turn for it in talk.bodies(Interrupted)] == [1]
    assert talk.bodies(TurnComplete) == [TurnComplete(1, "interrupted"), TurnComplete(2)]


async def test_an_interruption_whose_end_never_comes(hold: Hold) -> None:
    """After ten seconds the next sound begins a turn."""
    script: Script = [
        ASKED, Send(said(sound(1))), Delay(0.1), Send(content(interrupted=True)),
        Delay(9.0), Send(said(sound(2))), Delay(2.0), Send(said(sound(3))), *COMPLETE,
    ]  # fmt: skip
    talk = await hold([script], typed((0.0, "hello"), until=12.0))
    check(talk)
    assert [mark for _, _, mark in talk.sounds] == [1, 3]


async def test_duplicate_and_empty_ids_of_calls(hold: Hold) -> None:
    """The same call twice is made once; without an id it gets one of ours, and is answered."""
    frame = call("look", id="f1")
    script: Script = [
        ASKED, Duplicate(frame), Expect(ToolAnswers),
        Send(call("look")), Expect(ToolAnswers), Send(call("look", id="")), Expect(ToolAnswers),
        Send(said(sound(1))), *COMPLETE,
    ]  # fmt: skip
    talk = await hold([script], typed((0.0, "hello"), until=1.0), tools=TOOLS)
    check(talk)
    assert talk.error is None
    ids = [it.id for each in talk.server.connections[0].of(ToolAnswers) for it in each.answers]
    assert ids == ["f1", "call-1", "call-2"]


async def test_a_call_that_is_cancelled_while_it_runs(hold: Hold) -> None:
    """One that may be stopped is; one that may not ends, and the server is told of neither."""
    script: Script = [
        ASKED, Burst([call("endless", id="f1"), call("slow", id="f2")]),
        Delay(0.5), Send(cancellation("f1", "f2")), Delay(3.0), Send(said(sound(1))), *COMPLETE,
    ]  # fmt: skip
    talk = await hold([script], typed((0.0, "hello"), until=5.0), tools=TOOLS)
    check(talk)
    assert talk.server.connections[0].of(ToolAnswers) == []
    ends = {
        it.body.name: (at, it.body.error) for at, it in talk.seen if isinstance(it.body, Response)
    }
    assert ends["endless"] == (0.5, "it was cancelled, since the reply was interrupted")
    assert ends["slow"] == (2.0, "")


async def test_a_frame_beyond_the_librarys_limit(hold: Hold) -> None:
    """More than a mebibyte in one frame is a long sentence, and no end of the session."""
    script: Script = [ASKED, Send(said(sound(1, 40.0))), *COMPLETE]
    talk = await hold([script], typed((0.0, "hello"), until=1.0))
    check(talk)
    assert talk.sounds == [(0.0, 1, 1)]
    assert len(talk.server.connections) == 1


async def test_a_server_that_reads_nothing(hold: Hold) -> None:
    """Sound is dropped beyond two seconds; after ten seconds of nothing another one is called."""
    live = processor()
    first: Script = [Handle("h1"), StopReading()]
    talk = await hold([first, []], microphone(16.0), live)
    check(talk)
    # The pipe takes 64 frames, and eight are on their way.
    assert [state for _, state in talk.states] == [
        "ready", "reconnecting", "resuming", "ready", "closed",
    ]  # fmt: skip
    (metrics,) = live.stream_metrics.values()
    known = talk.server.connections[1]
    heard_now = set(array("h", known.pcm)) - {0}
    assert len(set(range(1, 801)) - heard_now) * 0.02 == pytest.approx(metrics.input_dropped_s)


async def test_pictures_for_a_server_that_reads_nothing(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait like all else, and nobody looks after them without end meanwhile."""
    ticks = 0
    tick = Session.tick

    def counted(session: Session, now: float) -> Any:
        nonlocal ticks
        ticks += 1
        assert ticks < 1000
        return tick(session, now)

    monkeypatch.setattr(Session, "tick", counted)
    lines = [(0.5 * number, Image(b"\xff\xd8" + bytes([number]))) for number in range(30)]
    talk = await hold([[Handle("h1"), StopReading()], []], microphone(16.0, *lines))
    check(talk)
    assert talk.error is None
    seen = [it.data for it in talk.server.connections[1].of(ImageSeen)]
    assert seen[-1] == b"\xff\xd8" + bytes([29])


async def test_a_stuck_server_that_reads_on(hold: Hold) -> None:
    """A pause of a second in the reading loses nothing."""
    talk = await hold([[StopReading(), Delay(1.5), ReadOn()]], microphone(4.0))
    check(talk)
    assert frames_heard(talk) == set(range(1, 201))


async def test_rubbish(hold: Hold) -> None:
    """What cannot be read is told, and passed over; eight in a row end the connection."""
    rubbish = [Garbage(), Garbage(b"[1]"), Garbage(b'{"foo": 1}'), Garbage(b"\xff"), Garbage(b"")]
    script: Script = [
        Handle("h1"),
        *rubbish,
        ASKED,
        Send(said(sound(1))),
        *COMPLETE,
        *[Garbage()] * 8,
    ]
    live = processor()
    talk = await hold([script, AGAIN], typed((0.0, "hello"), (1.0, "again"), until=2.0), live)
    check(talk)
    assert [mark for _, _, mark in talk.sounds] == [1, 9]
    (metrics,) = live.stream_metrics.values()
    assert metrics.unreadable >= 11
    assert metrics.reconnects == 1
    assert (
        "JSON" in talk.news("failed")[0][1]["error"]
        or "parse" in talk.news("failed")[0][1]["error"]
    )


async def test_the_first_frame_is_no_set_up(hold: Hold) -> None:
    """It is a broken server: another connection is tried."""
    broken: Script = [Send(content(turnComplete=True)), Delay(5.0), SetUp()]
    talk = await hold([broken, AGAIN], typed((0.0, "again"), until=1.0))
    check(talk)
    assert talk.states[0] == (0.0, "reconnecting")
    assert talk.sounds[-1][1:] == (1, 9)


async def test_a_drop_while_the_answer_is_awaited_asks_again(hold: Hold) -> None:
    """What was not answered is sent once more; what was answered is not."""
    first: Script = [
        Handle("h1"), ASKED, Send(said(sound(1))), *COMPLETE,
        Expect(TextHeard, lambda it: it.text == "again"), Drop(),
    ]  # fmt: skip
    talk = await hold([first, AGAIN], typed((0.0, "hello"), (1.0, "again"), until=2.0))
    check(talk)
    assert talk.server.connections[1].texts == ["again"]
    assert talk.sounds == [(0.0, 1, 1), (1.0, 2, 9)]


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
async def test_a_clock_that_is_set(
    hold: Hold, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    """What time it is, anybody may change in the middle: nothing of a session hangs on it."""
    first: Script = [Handle("h1"), ASKED, Send(said(sound(1))), *COMPLETE, Delay(0.5), Drop()]
    scripts = [first, [Drop()], AGAIN]

    async def held() -> tuple[list[Any], float]:
        random.seed(1)
        lines = [(0.0, "hello"), (4.0, "again")]
        talk = await hold([*map(list, scripts)], microphone(5.0, *lines))
        check(talk)
        assert talk.error is None
        return [*talk.states, *talk.sounds], talk.seconds

    steady = await held()
    begun, clock = asyncio.get_running_loop().time(), time.time

    def stepped() -> float:
        """It is set anew every half second."""
        passed = asyncio.get_running_loop().time() - begun
        return clock() + step_s * (int(passed * 2) % 3)

    monkeypatch.setattr(time, "time", stepped)
    assert await held() == steady
    assert [mark for *_, mark in steady[0][-2:]] == [1, 9]


# -- every session ends ---------------------------------------------------------------------------


async def test_a_server_that_drops_every_connection_unanswered(hold: Hold) -> None:
    """Once the input has ended, it is called so often and no more, however long each one lasts."""
    never: Script = [Delay(11.0), Drop()]
    talk = await hold([never] * 20, typed((0.0, "hello"), until=1.0))
    check(talk)
    assert isinstance(talk.error, ModelUnreachable)
    assert len(talk.server.connections) == 8
    assert talk.seconds < 8 * (11.0 + 8.0)


async def test_a_server_that_reads_no_connection(hold: Hold) -> None:
    """What cannot be sent holds the end of a session up, but not for ever."""
    deaf: Script = [Handle("h1"), StopReading()]
    lines = [(0.0, f"line {number}") for number in range(100)]
    talk = await hold([deaf] * 20, typed(*lines, until=1.0))
    check(talk)
    assert "a message could not be sent within 10 s" in str(talk.error)
    assert len(talk.server.connections) == 8


async def test_a_server_that_says_go_away_at_once_every_time(hold: Hold) -> None:
    """It is called again with growing waits, like one that drops, and given up like it."""
    away: Script = [Handle("h1"), Send(go_away(0.0))]
    talk = await hold([away] * 20, microphone(60.0))
    assert "the server closes each connection as soon as it is made" in str(talk.error)
    assert len(talk.server.connections) == 8
    assert talk.seconds == 23.5


async def test_a_server_that_is_never_done(hold: Hold) -> None:
    """Who works on after the end of a turn owes an answer, for as long as anybody who does."""
    more = content(turnComplete=True, interactionStatus="IN_PROGRESS")
    talk = await hold([[ASKED, Send(said(sound(1))), Send(more)]], typed((0.0, "hello"), until=1.0))
    check(talk)
    assert talk.error is None
    assert talk.seconds == 15.0
    assert talk.news("no_answer")[0][0] == 15.0


@pytest.mark.parametrize("tools", [[LAMP], []])
async def test_a_call_that_nobody_answers_any_more(hold: Hold, tools: list[Any]) -> None:
    """When the input ends, the program can answer no more: the server is told so, and answers."""
    script: Script = [
        ASKED, Send(call("lamp", id="f1")), Expect(ToolAnswers), Send(call("lamp", id="f2")),
        Expect(ToolAnswers), Send(said(sound(1))), *COMPLETE,
    ]  # fmt: skip
    talk = await hold([script], typed((0.0, "hello"), until=1.0), tools=tools)
    check(talk)
    assert talk.seconds == 1.0
    (one,) = talk.server.connections
    told = {"error": "the program has ended its input, and answers no more"}
    answers = [(it.id, it.response) for each in one.of(ToolAnswers) for it in each.answers]
    assert answers == [("f1", told), ("f2", told)]
    assert [mark for _, _, mark in talk.sounds] == [1]


async def test_a_call_that_the_program_answers_late(hold: Hold) -> None:
    """The reply waits for it, however long: it has not stalled."""
    script: Script = [
        ASKED, Send(said(sound(1))), Send(call("lamp", id="f1")), Expect(ToolAnswers, within_s=99),
        Send(said(sound(2))), *COMPLETE,
    ]  # fmt: skip
    answer = Part.response("lamp", "on", id="f1")
    talk = await hold([script], typed((0.0, "hello"), (90.0, answer), until=95.0), tools=[LAMP])
    check(talk)
    assert talk.bodies(TurnComplete) == [TurnComplete(1)]
    assert [mark for _, _, mark in talk.sounds] == [1, 2]


@pytest.mark.parametrize(("name", "answered_at"), [("slow", 2.5), ("endless", 30.5)])
async def test_a_tool_that_runs_when_the_input_ends(
    hold: Hold, name: str, answered_at: float
) -> None:
    """It is waited for, as long as its own limit allows, though nobody is owed anything else."""
    script: Script = [
        Delay(0.5), Send(call(name, id="f1")), Send(content(turnComplete=True)),
        Expect(ToolAnswers, within_s=99), Send(said(sound(1))), *COMPLETE,
    ]  # fmt: skip
    talk = await hold([script], microphone(1.0), tools=TOOLS)
    check(talk)
    assert talk.error is None
    assert [at for at, _, _ in talk.sounds] == [answered_at]


async def test_sound_of_a_gap_at_the_end_of_the_input(hold: Hold) -> None:
    """What was said while there was no connection may be answered, too: it is waited for."""
    first: Script = [Handle("h1"), Delay(0.5), Send(said(sound(1))), *COMPLETE, Delay(0.02), Drop()]
    then: Script = [Delay(1.0), SetUp(), Delay(1.5), Send(said(sound(2))), *COMPLETE]
    talk = await hold([first, then], microphone(1.0))
    check(talk)
    assert [mark for _, _, mark in talk.sounds] == [1, 2]


async def test_a_call_to_the_program_that_is_cancelled(hold: Hold) -> None:
    """It is over at once; the server is told nothing of it, nor of what the program says late."""
    script: Script = [
        ASKED, Send(call("lamp", id="f1")), Delay(0.5), Send(cancellation("f1")), *COMPLETE,
    ]  # fmt: skip
    late = Part.response("lamp", "on", id="f1")
    talk = await hold([script], typed((0.0, "hello"), (0.8, late), until=1.0), tools=[LAMP])
    check(talk)
    assert talk.seconds == 1.0
    assert talk.server.connections[0].of(ToolAnswers) == []
    assert [(it.id, it.error) for it in talk.bodies(Response)] == [
        ("f1", "the model does without it")
    ]


@tool(scheduling="silent")
async def note() -> str:
    """Take a note."""
    await asyncio.sleep(1.0)
    return "noted"


@pytest.mark.parametrize("name", ["note", "slow"])
async def test_results_that_ask_for_nothing(hold: Hold, name: str) -> None:
    """A silent one is told, one that is not wanted is not; an answer is owed to neither."""
    unwanted = [Send(cancellation("f1"))] if name == "slow" else []
    script: Script = [
        ASKED, Send(call(name, id="f1")), *unwanted, Send(said(sound(1))), *COMPLETE
    ]  # fmt: skip
    live = processor(tools=[note, slow], on_silence="nudge")
    talk = await hold([script], typed((0.0, "hello"), until=30.0), live)
    check(talk)
    assert talk.seconds == 30.0
    assert talk.news("no_answer") == []
    assert talk.server.connections[0].texts == ["hello"]


# -- at random ------------------------------------------------------------------------------------


def random_script(dice: random.Random, marks: Any, *, last: bool) -> Script:
    """Anything that a server may do, well or ill."""
    steps: list[Step] = []
    ids = iter(range(1000))
    for _ in range(dice.randint(1, 14)):
        match dice.choice(
            "said said said heard interrupted complete complete both call twice cancel handle "
            "handle away rubbish stuck delay delay slow waiting busy".split()
        ):
            case "said":
                steps.append(Send(said(sound(next(marks)))))
            case "heard":
                steps.append(Send(heard(user=dice.choice(["", "so "]), model="well ")))
            case "interrupted":
                steps.append(Send(content(interrupted=True)))
            case "complete":
                steps.append(Duplicate(content(turnComplete=True), dice.randint(1, 2)))
            case "both":
                frames = [said(sound(next(marks))), content(interrupted=True)]
                steps.append(Send(merged(frames)))
            case "call":
                name = dice.choice(["look", "slow", "endless", "nothing", "lamp"])
                steps.append(Send(call(name, id=dice.choice([None, "", f"f{next(ids)}"]))))
            case "twice":
                steps.append(Duplicate(call("look", id=f"f{next(ids)}")))
            case "busy":
                steps.append(Send(content(turnComplete=True, interactionStatus="IN_PROGRESS")))
            case "cancel":
                steps.append(Send(cancellation("f0", "f1")))
            case "handle":
                steps.append(Handle(f"h{next(marks)}"))
            case "away":
                steps.append(Send(go_away(dice.choice([None, 0.0, 1.0, 10.0]))))
            case "rubbish":
                steps.append(Garbage())
            case "stuck":
                steps += [StopReading(), Delay(dice.choice([0.1, 3.0])), ReadOn()]
            case "delay":
                steps.append(Delay(dice.choice([0.01, 0.1, 0.5, 1.5])))
            case "slow":
                steps.append(Slow([said(sound(next(marks))) for _ in range(3)], every_s=0.3))
            case _:
                steps.append(Send(content(waitingForInput=True)))
    end = dice.choice([None, Drop(), *(Close(code) for code in (1000, 1001, 1008, 1011))])
    steps += [] if end is None or last else [end]
    if dice.random() < 0.15 and not last:
        return [Drop(), SetUp()]
    return [SetUp(), *steps]


@pytest.fixture(scope="module")
def agent() -> LiveProcessor:
    """One for all: it serves any number of conversations, and takes a while to make."""
    return processor(tools=[*TOOLS, LAMP], answer_within_s=2.0)


@pytest.mark.parametrize("seed", range(200))
async def test_random_faults(hold: Hold, agent: LiveProcessor, seed: int) -> None:
    """Nothing is heard twice or too late, no input is lost but what is counted, and it ends."""
    dice = random.Random(seed)
    random.seed(seed)  # of the waits between attempts
    marks = iter(range(1, 30_000))
    scripts = [random_script(dice, marks, last=number == 3) for number in range(4)]
    lines = [(1.0, Part("one")), (2.0, Part("two"))]
    talk: Talk = await hold(scripts, microphone(3.0, *lines), agent)
    check(talk)
    assert talk.seconds < 150.0
    *_, metrics = agent.stream_metrics.values()
    assert agent.active_streams == []
    if talk.error is None:
        # What was on the wire when it was cut may have been answered, as far as anybody can tell.
        missing = set(range(1, 151)) - frames_heard(talk) - frames_unread(talk)
        assert len(missing) * 0.02 <= metrics.input_dropped_s + 1e-6
        texts = {text for it in talk.server.connections for text in it.texts}
        assert {"one", "two"} <= texts | texts_unread(talk)
