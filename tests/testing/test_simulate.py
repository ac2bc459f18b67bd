"""The simulator sees what is wrong: each thing that must hold is broken by a stage made for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from vivace import (
    Audio,
    AudioRateLimiter,
    Call,
    DetectSpeech,
    DetectTurn,
    Held,
    Interrupted,
    LiveModelProcessor,
    Part,
    PlayedTo,
    Processor,
    Response,
    Resumed,
    Speak,
    Transcribe,
    TurnComplete,
    TurnEnded,
    processor,
)
from vivace.machines.fence import Fence
from vivace.machines.playout import Ledger
from vivace.machines.playout import Reply as HeardReply
from vivace.testing.dialogue import (
    Cough,
    Dialogue,
    Listen,
    Manner,
    Reply,
    Say,
    Speaker,
    Stop,
    TalkOver,
    Timing,
    ToolUse,
    Wait,
    Wish,
)
from vivace.testing.generate import random_dialogue
from vivace.testing.simulate import (
    Agent,
    Broken,
    Cast,
    check,
    shortest_failure,
    simulate,
    standard_agent,
)
from vivace.testing.witness import Called, Gave

Stage = Callable[[AsyncIterator[Part]], AsyncIterator[Part]]
LONG = "one two three four five six seven eight nine ten"
PLAIN = Dialogue((Say("hello there"), Listen()), (Reply(LONG),))
INTERRUPTED = Dialogue((Say("hello there"), TalkOver("stop that now"), Listen()), (Reply(LONG),))


async def passes(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


def with_stages(before: Stage = passes, after: Stage = passes) -> Agent:
    """The standard agent with one more stage before the conversation, and one at the end."""

    def agent(cast: Cast) -> Processor:
        return (
            DetectSpeech(cast.ears)
            + Transcribe(cast.ears.transcribe)
            + DetectTurn(cast.ears.judge_turn)
            + processor(before)
            + LiveModelProcessor(cast.model + Speak(cast.voice), answer_within_s=6.0)
            + AudioRateLimiter()
            + processor(after)
        )

    return agent


def broken(dialogue: Dialogue, agent: Agent = standard_agent) -> tuple[str, str]:
    with pytest.raises(Broken) as caught:
        simulate(dialogue, agent)
    assert caught.value.dialogue == dialogue
    assert repr(dialogue) in str(caught.value)
    return caught.value.invariant, caught.value.what


# -- stages that are wrong on purpose ---------------------------------------------------------


async def repeats(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Plays the tenth chunk twice."""
    chunks = 0
    async for part in stream:
        yield part
        chunks += isinstance(part.body, Audio)
        if chunks == 10 and isinstance(part.body, Audio):
            yield part


async def skips(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Loses the tenth chunk."""
    chunks = 0
    async for part in stream:
        chunks += isinstance(part.body, Audio)
        if chunks != 10 or not isinstance(part.body, Audio):
            yield part


async def cuts_the_end(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Loses all after the first second of a reply."""
    seconds = 0.0
    async for part in stream:
        seconds += part.seconds
        if not part.seconds or seconds < 1.0:
            yield part


async def opens_the_next_reply_with_the_old_one(
    stream: AsyncIterator[Part],
) -> AsyncIterator[Part]:
    """Keeps a chunk of each reply, and plays it under the next one's number."""
    kept: Part | None = None
    async for part in stream:
        if isinstance(part.body, Audio):
            if kept is not None and kept.turn < part.turn:
                yield kept.derive(turn=part.turn)
                kept = None
            kept = kept or part
        yield part


async def loses_ends(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Tells nobody that a reply is complete."""
    async for part in stream:
        if not isinstance(part.body, TurnComplete):
            yield part


async def doubles_ends(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Says twice that a reply is complete."""
    async for part in stream:
        yield part
        if isinstance(part.body, TurnComplete):
            yield part


async def doubles_texts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Says each final text twice."""
    async for part in stream:
        yield part
        if part.text and not part.metadata.get("interim"):
            yield part


async def loses_a_text(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Loses the first word of each final text."""
    async for part in stream:
        if part.text and not part.metadata.get("interim"):
            yield part.derive(body=part.text.partition(" ")[2])
        else:
            yield part


async def does_not_listen(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Loses each text and each end of a turn."""
    async for part in stream:
        if not part.text and not isinstance(part.body, TurnEnded):
            yield part


async def loses_sound(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Loses a chunk of the user's."""
    chunks = 0
    async for part in stream:
        chunks += isinstance(part.body, Audio)
        if chunks != 7 or not isinstance(part.body, Audio):
            yield part


async def hoards(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Keeps five seconds of sound back."""
    kept: list[Part] = []
    async for part in stream:
        if not isinstance(part.body, Audio):
            yield part
            continue
        kept.append(part)
        if len(kept) > 250:
            yield kept.pop(0)
    for part in kept:
        yield part


async def starts_a_task(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Starts a task that outlives it."""
    left = asyncio.create_task(asyncio.sleep(30), name="left behind")
    async for part in stream:
        yield part
    assert not left.done()


async def never_ends(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """Waits for ever at the end."""
    async for part in stream:
        yield part
    await asyncio.sleep(1e6)


TOOLS = Dialogue(
    (Say("order a pizza"), Listen(at_most_s=4), Say("and a salad"), Listen()),
    (Reply("", calls=(ToolUse(takes_s=0.5),)), Reply("it is ordered"), Reply("that too")),
)


@pytest.mark.parametrize(
    ("dialogue", "agent", "invariant", "what"),
    [
        (PLAIN, with_stages(after=repeats), "sample-exact", "a piece of reply 1"),
        (PLAIN, with_stages(after=skips), "sample-exact", "a piece of reply 1"),
        (PLAIN, with_stages(after=cuts_the_end), "sample-exact", "and it is done"),
        (
            INTERRUPTED,
            with_stages(after=opens_the_next_reply_with_the_old_one),
            "sample-exact",
            "of reply 2 comes a piece of reply 1",
        ),
        (PLAIN, with_stages(after=loses_ends), "it ends", "had not ended"),
        (PLAIN, with_stages(after=doubles_ends), "one end each", "complete twice"),
        (PLAIN, with_stages(doubles_texts), "words once", "once more than it was said"),
        (PLAIN, with_stages(loses_a_text), "words once", "'hello' is not in the prompt"),
        (
            Dialogue((Say("hello there"), Wait(30.0))),
            with_stages(does_not_listen),
            "answered in time",
            "'hello there'",
        ),
        (
            Dialogue((Say("hello there"), Wait(30.0)), (Reply("one two"),)),
            with_stages(after=loses_ends),
            "answered in time",
            "the floor is agent",
        ),
        (PLAIN, with_stages(loses_sound), "counters add up", "bytes of the user's"),
        (PLAIN, with_stages(hoards), "bounds kept", "wait in stage 4"),
        (PLAIN, with_stages(starts_a_task), "all joined", "left behind"),
        (
            Dialogue((Say("hello there"),), at_most_s=5.0),
            with_stages(after=never_ends),
            "it ends",
            "had not ended",
        ),
    ],
    ids=lambda value: "" if not isinstance(value, str) else value.replace(" ", "_"),
)
def test_stage_that_is_wrong_is_found(
    dialogue: Dialogue, agent: Agent, invariant: str, what: str
) -> None:
    """A stage that breaks what must hold is reported by the name of that, and what was seen."""
    found = broken(dialogue, agent)
    assert found[0] == invariant
    assert what in found[1]


def test_right_agents_pass() -> None:
    """None of these dialogues breaks anything without the stage that is wrong."""
    for dialogue in (PLAIN, INTERRUPTED, TOOLS):
        check(dialogue)
        check(dialogue, with_stages())


def test_pacer_that_does_not_hold_is_held() -> None:
    """A pacer as one would write it in a minute plays on while the user makes a sound: the run
    itself keeps that back."""

    @processor
    async def naive(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if isinstance(part.body, Audio) and part.role == "model":
                for begin in range(0, len(part.bytes), 640):
                    yield Part.audio(part.bytes[begin : begin + 640], role="model", turn=part.turn)
                    await asyncio.sleep(0.02)
            else:
                yield part

    def agent(cast: Cast) -> Processor:
        heard = DetectSpeech(cast.ears) + Transcribe(cast.ears.transcribe)
        live = LiveModelProcessor(cast.model + Speak(cast.voice))
        return heard + DetectTurn(cast.ears.judge_turn) + live + naive

    coughs = Dialogue((Say("hello there"), Cough(), Listen()), (Reply(LONG),))
    assert len(simulate(coughs, agent).told(Held, Resumed)) == 2


def test_reports_of_the_speaker_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a speaker plays late is told to be heard as it was, if it reports; and else is not."""
    late = msgspec.structs.replace(INTERRUPTED, speaker=Speaker(buffer_s=0.6, reports_s=0.1))
    reports = simulate(late).told(PlayedTo)
    assert len(reports) > 10
    monkeypatch.setattr(Ledger, "confirm", lambda self, turn, seconds, now: None)
    name, what = broken(late)
    assert name == "heard is played"
    assert "is told to be heard as" in what


def test_who_is_behind_may_interrupt_the_end() -> None:
    """It has been handed out, and the user, who reports to be 0.6 s behind, still hears it."""
    late = Dialogue(
        (Say("hello there"), TalkOver("stop that now", after_s=2.6), Listen()),
        (Reply(LONG), Reply("fine")),
        Speaker(buffer_s=0.6, reports_s=0.1),
    )
    course = simulate(late)
    handed_out = [at for at, part in course.parts if part.turn == 1 and part.seconds]
    [(held_at, _)] = course.told(Held)
    [(_, interrupted)] = course.told(Interrupted)
    assert held_at > handed_out[-1]
    assert len(course.words(1)) == len(LONG.split())
    assert isinstance(interrupted, Interrupted)
    assert LONG.startswith(interrupted.heard)
    assert course.prompts[-1][1:] == [f"model: {interrupted.heard}", "user: stop that now"]


def test_stale_audio_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fence down, what waits for a slow speaker is heard after the interruption."""
    slow = Dialogue(INTERRUPTED.user, INTERRUPTED.replies, Speaker(speed=0.5))
    check(slow)
    monkeypatch.setattr(Fence, "stale", lambda self, part: False)
    # Held first, so that nothing waits any more when it is void: an agent that never holds.
    monkeypatch.setattr("vivace.machines.pacing.Pacer._control", _only_interrupts())
    assert broken(slow)[0] in ("nothing stale", "holds end")


def _only_interrupts() -> Callable[..., object]:
    from vivace.machines.pacing import Pacer

    control = Pacer._control

    def does(self: Pacer, signal: Any, now: float) -> object:
        return control(self, signal, now) if type(signal).__name__ == "Interrupted" else []

    return does


def test_prompt_that_says_more_than_was_heard_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that makes things up is found at the interruption."""
    heard = Ledger.heard

    def invents(self: Ledger, turn: int, now: float | None = None) -> HeardReply:
        told = heard(self, turn, now)
        return HeardReply(turn, told.text + " and more", told.seconds)

    monkeypatch.setattr(Ledger, "heard", invents)
    assert broken(INTERRUPTED)[0] == "heard is played"
    assert (
        "the prompt has reply 1"
        in broken(
            Dialogue((Say("hello there"), Listen(), Say("and then"), Listen()), (Reply("fine"),))
        )[1]
    )


def test_failure_that_nobody_scripted_is_found() -> None:
    """A voice that raises is a failure; a model that was told to is none."""

    def agent(cast: Cast) -> Processor:
        async def mute(text: str) -> list[Audio]:
            raise OSError("no voice")

        live = LiveModelProcessor(cast.model + Speak(mute))
        heard = DetectSpeech(cast.ears) + Transcribe(cast.ears.transcribe)
        return heard + DetectTurn(cast.ears.judge_turn) + live + AudioRateLimiter()

    assert broken(PLAIN, agent) == ("fails as told", "reply failed: no voice")
    check(Dialogue((Say("hello there"), Wait(4.0)), (Reply("one two", end="error"),)))


# -- what a course tells ----------------------------------------------------------------------


def test_a_deaf_model_may_finish_what_it_says() -> None:
    """A call that cannot be cancelled is waited for as long as it can last, and no longer."""
    words = "word " * 40
    deaf = Reply(words, token_s=0.5, end="deaf")  # without a full stop, so it is one sentence
    check(Dialogue((Say("hello there"), Wait(1.5)), (deaf,), speaker=Speaker(leaves_at=4.0)))


def test_course_tells_what_happened() -> None:
    """Times are exact and the same each time: they follow from the script and its seed."""
    course = simulate(INTERRUPTED)
    again = simulate(INTERRUPTED)
    assert [str(event) for event in course.events] == [str(event) for event in again.events]
    assert course.prompts[0] == ["user: hello there"]
    assert course.prompts[1][0] == "user: hello there"
    assert course.prompts[1][-1] == "user: stop that now"
    [asked, *_] = course.news("asked")
    assert asked["turn"] == 1
    assert [word for _, word in course.words()][:2] == ["one", "two"]
    assert len(course.told()) > len(course.told(TurnEnded)) > 0


def test_another_seed_is_another_course() -> None:
    """Models take other times under another seed."""
    first, second = simulate(PLAIN.under(1)), simulate(PLAIN.under(2))
    assert first.words()[0][0] != second.words()[0][0]
    assert [word for _, word in first.words()] == [word for _, word in second.words()]


def test_tools_are_answered_by_the_simulator() -> None:
    """A call of the model's is answered after its time, and the model is asked again."""
    course = simulate(TOOLS)
    assert [p.body.name for _, p in course.parts if isinstance(p.body, Call)] == ["look_up"]
    assert len(course.prompts) == 3


# -- finding and shrinking --------------------------------------------------------------------


@pytest.mark.parametrize("interrupt", ["unless_backchannel", "at_once", "after", "never"])
def test_agents_differ_in_what_interrupts_them(interrupt: Any) -> None:
    """A cough holds, cuts or does nothing, as the policy says."""
    script = Dialogue((Say("hello there"), Cough(0.3), Listen()), (Reply(LONG),))
    course = simulate(msgspec.structs.replace(script, manner=Manner(interrupt)))
    held, cut = len(course.told(Held)), len(course.told(Interrupted))
    assert (held > 0, cut > 0) == (interrupt != "never", interrupt == "at_once")


def test_agent_begins_by_itself() -> None:
    """It greets, and asks the model when the user has been silent; the user's words are theirs."""
    manner = Manner(greeting="good morning", idle_after_s=3.0)
    course = simulate(Dialogue((Wait(12.0),), (Reply("anybody"),), manner=manner))
    assert [word for _, word in course.words()] == ["good", "morning", "anybody"]
    assert course.prompts == [
        ["model: good morning", "user: (The user has said nothing for a while.)"]
    ]


@pytest.mark.parametrize("when", ["blocking", "when_idle", "silent", "interrupt"])
def test_agent_runs_its_tools(when: Any) -> None:
    """The simulator answers no call then; one reply has the result, or the next one, or none."""
    replies = (Reply("", calls=(ToolUse(takes_s=1.0),)), Reply("done"))
    manner = Manner(tools=when)
    course = simulate(Dialogue((Say("hello there"), Wait(6.0)), replies, manner=manner))
    called = [part for _, part in course.parts if isinstance(part.body, Call | Response)]
    assert [part.turn for part in called] == [1, 0]
    spoken = {turn for turn in (1, 2) if course.words(turn)}
    assert spoken == {"blocking": {1}, "silent": set()}.get(when, {2})


def test_program_wants_something_said() -> None:
    """A protected notice is not even held, and who talks over it is answered after it; asked again
    the model answers again, though nothing is new."""
    script = (Wish(LONG, protected=True), TalkOver("let me in"), Listen(), Wish(), Listen())
    course = simulate(Dialogue(script, (Reply("fine"),)))
    assert not course.told(Held, Interrupted)
    assert [word for _, word in course.words()] == [*LONG.split(), "fine", "fine"]
    assert course.prompts == [
        [f"model: {LONG}", "user: let me in"],
        [f"model: {LONG}", "user: let me in", "model: fine"],
    ]


@pytest.mark.parametrize("tools", ["", "blocking", "when_idle", "interrupt"])
@pytest.mark.parametrize("cancellable", [True, False])
def test_noise_while_a_tool_runs(tools: Any, cancellable: bool) -> None:
    """A lorry passes over "let me have a look": what the tool brings is told all the same."""
    replies = (Reply("let me look", calls=(ToolUse(takes_s=2.5),)), Reply("found it"))
    script = (Say("find it please"), Cough(2.5, after_s=0.5), Listen(), Wait(18.0))
    manner = Manner(tools=tools, cancellable=cancellable)
    for seed in range(5):
        timing = Timing(jitter=1.0)
        course = simulate(Dialogue(script, replies, timing=timing, manner=manner, seed=seed))
        assert "found" in [word for _, word in course.words()]


def test_key_ends_the_turn() -> None:
    """The model is asked with all that was said, as soon as there is the text of it."""
    script = (Say("what time is it", key_s=0.0), Wait(6.0))
    course = simulate(Dialogue(script, (Reply("noon"),)))
    assert course.prompts == [["user: what time is it"]]
    [asked] = [at for at, it in course.events if isinstance(it, Called)]
    given = [(at, it.part.body) for at, it in course.events if isinstance(it, Gave)]
    [let_go] = [at for at, body in given if isinstance(body, TurnEnded)]
    assert asked - let_go < 0.5


def test_program_stops_the_agent() -> None:
    """Nothing is owed then; what was heard is told, though the program did not say it."""
    script = (Say("tell me a story"), Stop(2.0), Wait(18.0))
    course = simulate(Dialogue(script, (Reply(LONG * 4),)))
    [(at, stop)] = course.told(Interrupted)
    heard = " ".join(word for when, word in course.words() if when <= at)
    assert isinstance(stop, Interrupted)
    assert stop.heard
    assert heard.startswith(stop.heard)
    assert len(course.prompts) == 1


def test_wrong_guess_is_no_needless_call() -> None:
    """Who stops at "and" and goes on makes the model begin anew; that is told, and allowed."""
    manner = Manner(speculate=True)
    script = (Say("one and … two", pause_s=0.9), Listen())
    course = simulate(Dialogue(script, (Reply(LONG),), manner=manner))
    assert [it["right"] for it in course.news("speculated")] == [False, True]
    assert [prompt[-1] for prompt in course.prompts] == ["user: one and", "user: one and two"]


def test_shortest_failure_is_short() -> None:
    """Of a conversation of half a minute, what makes it fail is left: one reply, hardly a word."""
    agent = with_stages(after=repeats)
    found = shortest_failure(random_dialogue(0, 30.0), agent)
    assert found is not None
    assert found.invariant == "sample-exact"
    assert len(found.dialogue.user) <= 1
    assert len(found.dialogue.replies) == 1
    assert shortest_failure(PLAIN) is None


@pytest.mark.parametrize("seed", range(20))
def test_random_conversations_hold(seed: int) -> None:
    """Half a minute of chance breaks nothing; `make simulate` holds thousands of two minutes."""
    check(random_dialogue(seed, 30.0))
