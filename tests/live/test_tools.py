"""Tools in a live conversation: what they bring, when it is told, and what an interruption does."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import count, repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.errors import StageError
from vivace.flow.clock import now
from vivace.flow.processor import Processor, processor
from vivace.flow.scope import AbandonedTask
from vivace.live.conversation import Conversation
from vivace.live.live_model import LiveModelProcessor
from vivace.live.reply import OwnResponse
from vivace.machines.interrupt import Interrupt
from vivace.machines.joining import words_of
from vivace.machines.playout import Ledger
from vivace.machines.tools import ToolCalls
from vivace.machines.window import Window
from vivace.part import (
    Audio,
    Call,
    Data,
    Interrupted,
    Part,
    Reset,
    Response,
    Say,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.processors.tool import Toolbox, tool
from vivace.processors.tools import Tools
from vivace.testing.script import play

pytestmark = pytest.mark.virtual(seeds=5)

Seen = list[tuple[float, Part]]


def call(name: str, id: str, **args: Any) -> Call:
    return Call(id, name, args)


def sound(seconds: float, words: str) -> Audio:
    return Audio(bytes(2 * round(seconds * 16_000)), words=words)


class Model(Processor):
    """Yields the next of its answers each time it is asked; keeps the prompts.

    An answer is a list of bodies, and of seconds to wait between them.
    """

    def __init__(self, *answers: Sequence[Any]) -> None:
        self.answers = answers
        self.prompts: list[list[Part]] = []
        self.asked_at: list[float] = []

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompt = [part async for part in stream]
        self.prompts.append(prompt)
        self.asked_at.append(round(now(), 6))
        for value in self.answers[len(self.prompts) - 1]:
            if isinstance(value, float):
                await asyncio.sleep(value)
            elif isinstance(value, Exception):
                raise value
            else:
                yield Part.of(value, role="model")

    def prompt(self, index: int) -> list[str]:
        """A prompt, a word or two for each part."""
        return [told(part) for part in self.prompts[index]]


def told(part: Part) -> str:
    match part.body:
        case str(text):
            return f"{part.role}: {text}" + ("—" if part.metadata.get("interrupted") else "")
        case Call(id=id, name=name):
            return f"call {name} {id}"
        case Response(id=id, error=error):
            return f"error of {id}" if error else f"result of {id}"
        case body:
            return type(body).__name__


@tool
async def look(seconds: float = 2.0) -> str:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return "sunny"


when_idle = tool(name="order", scheduling="when_idle")(look)
silent = tool(name="note", scheduling="silent")(look)
interrupting = tool(name="alarm", scheduling="interrupt")(look)
stoppable = tool(name="search", cancellable=True)(look)
TOOLS = Toolbox([look, when_idle, silent, interrupting, stoppable])


def turn(at: float, text: str) -> list[tuple[float, Part]]:
    """A typed turn."""
    return [(at, Part(text)), (at, Part(TurnEnded(at)))]


def spoken(start: float, end: float, text: str) -> list[tuple[float, Part]]:
    """A spoken one, long enough to interrupt."""
    return [
        (start, Part(SpeechStarted(start))),
        (end, Part(text, at=start)),
        (end, Part(SpeechEnded(end))),
        (end, Part(TurnEnded(end))),
    ]


def responses(seen: Seen) -> list[tuple[float, str, str]]:
    """What answered calls, when, and with what."""
    found = [(at, part.function_response) for at, part in seen]
    return [(at, it.id, it.error or it.result) for at, it in found if it is not None]


def heard(seen: Seen) -> list[tuple[float, int, str]]:
    """What the model said, when and in which reply."""
    return [
        (at, part.turn, words_of(part))
        for at, part in seen
        if part.role == "model" and isinstance(part.body, str | Audio) and not part.substream
    ]


def endings(seen: Seen) -> list[tuple[float, int, str]]:
    found = [(at, part.body) for at, part in seen]
    return [(at, it.turn, it.reason) for at, it in found if isinstance(it, TurnComplete)]


def news(seen: Seen, event: str) -> list[dict[str, Any]]:
    told = [part.body.value for _, part in seen if isinstance(part.body, Data)]
    return [it for it in told if it["event"] == event]


# -- blocking ------------------------------------------------------------------------------------


async def test_a_reply_waits_for_its_tool_and_goes_on() -> None:
    """One reply, one number, one end; the model is asked again with call and result."""
    model = Model(["Let me see.", call("look", "a")], ["It is sunny."], ["Bye."])
    script = [*turn(0.0, "weather?"), *turn(5.0, "thanks")]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert heard(seen) == [
        (0.0, 1, "Let me see."),
        (2.0, 1, " It is sunny."),
        (5.0, 2, "Bye."),
    ]
    assert responses(seen) == [(2.0, "a", "sunny")]
    assert endings(seen) == [(2.0, 1, "done"), (5.0, 2, "done")]
    first = ["user: weather?", "model: Let me see.", "call look a", "result of a"]
    assert model.prompt(1) == first
    assert model.prompt(2) == [
        "user: weather?",
        "call look a",
        "result of a",
        "model: Let me see. It is sunny.",
        "user: thanks",
    ]
    assert [it["turn"] for it in news(seen, "asked")] == [1, 2]
    assert news(seen, "goes_on") == [{"event": "goes_on", "turn": 1}]


async def test_calls_of_one_step_run_side_by_side() -> None:
    """The reply goes on once, when the slowest has answered; and may call again."""
    model = Model(
        [call("look", "a", seconds=3), call("look", "b", seconds=1)],
        ["Still ", call("look", "c", seconds=1)],
        ["sunny."],
    )
    seen = await play(LiveModelProcessor(model, tools=TOOLS), turn(0.0, "weather?"))
    assert responses(seen) == [(1.0, "b", "sunny"), (3.0, "a", "sunny"), (4.0, "c", "sunny")]
    assert model.asked_at == [0.0, 3.0, 4.0]
    assert model.prompt(2) == [
        "user: weather?",
        "call look a",
        "call look b",
        "result of b",
        "result of a",
        "model: Still ",
        "call look c",
        "result of c",
    ]
    assert heard(seen) == [(3.0, 1, "Still "), (4.0, 1, "sunny.")]


async def test_waiting_for_a_tool_is_not_silence_of_the_model() -> None:
    """A tool has a limit of its own; the model's begins anew when it is asked again."""
    model = Model([call("look", "a", seconds=8)], [3.0, "Sunny."])
    live = LiveModelProcessor(model, tools=TOOLS, answer_within_s=5.0)
    seen = await play(live, turn(0.0, "weather?"))
    assert endings(seen) == [(11.0, 1, "done")]


async def test_a_tool_that_fails_is_told_to_the_model_and_to_whoever_watches() -> None:
    """Errors, unknown tools and time limits are answers; the reply goes on with them."""

    @tool
    async def broken() -> None:
        raise OSError("no wire")

    quick = tool(name="quick", timeout_s=1.0)(look)
    model = Model([call("broken", "a"), call("fly", "b"), call("quick", "c")], ["Sorry."])
    live = LiveModelProcessor(model, tools=[broken, quick])
    seen = await play(live, turn(0.0, "go"))
    assert dict(it[1:] for it in responses(seen)) == {
        "a": "OSError: no wire",
        "b": "there is no tool named 'fly'; there are: broken, quick",
        "c": "no result within 1 s",
    }
    assert heard(seen) == [(1.0, 1, "Sorry.")]
    assert {it["tool"] for it in news(seen, "failed")} == {"broken", "fly", "quick"}


async def test_functions_run_in_threads() -> None:
    """A plain function does not block the conversation."""
    model = Model([call("where", "a")], ["There."])

    def where() -> str:
        return threading.current_thread().name

    seen = await play(LiveModelProcessor(model, tools=[where]), turn(0.0, "go"))
    assert responses(seen) == [(0.0, "a", "tool where")]


async def test_a_model_that_fails_while_a_tool_runs() -> None:
    """The reply has failed; the tool runs on, and its result is asked about."""
    model = Model([call("look", "a"), OSError("gone")], ["It is sunny."])
    seen = await play(LiveModelProcessor(model, tools=TOOLS), turn(0.0, "weather?"))
    assert endings(seen) == [(0.0, 1, "failed"), (2.0, 2, "done")]
    assert responses(seen) == [(2.0, "a", "sunny")]


# -- the user speaks while a tool runs -------------------------------------------------------------


async def test_a_started_call_survives_a_barge_in() -> None:
    """The pizza is ordered once, and its result is heard of once, when the agent is free."""
    model = Model(
        ["One moment.", call("look", "a", seconds=5)],
        ["Sure. ", 2.0, "Go on."],
        ["By the way: sunny."],
    )
    script = [*turn(0.0, "weather?"), *spoken(1.0, 4.0, "and tell me a story")]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert endings(seen) == [(2.0, 1, "interrupted"), (6.0, 2, "done"), (6.0, 3, "done")]
    assert responses(seen) == [(6.0, "a", "sunny")]
    asked = ["user: weather?", "model: One moment.—"]
    assert model.prompt(1) == [
        *asked,
        'user: (Still running, without a result yet: look({"seconds":5}).)',
        "user: and tell me a story",
    ]
    assert model.prompt(2) == [
        *asked,
        "user: and tell me a story",
        "model: Sure. Go on.",
        "call look a",
        "result of a",
    ]


async def test_a_result_that_comes_while_the_user_speaks_is_in_the_next_prompt() -> None:
    """The reply to the user knows it; nobody is asked once more."""
    model = Model([call("look", "a", seconds=3)], ["It is sunny, and here it is."])
    script = [*turn(0.0, "weather?"), *spoken(1.0, 4.0, "and tell me a story")]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert responses(seen) == [(4.0, "a", "sunny")]
    assert endings(seen) == [(2.0, 1, "interrupted"), (4.0, 2, "done")]
    assert model.prompt(1)[-2:] == ["result of a", "user: and tell me a story"]


async def test_a_cancellable_call_is_stopped_by_a_barge_in() -> None:
    """Its function is cancelled, and it answers with an error, at once."""
    stopped = []

    @tool(cancellable=True)
    async def search() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(now())

    model = Model([call("search", "a")], ["Fine."])
    script = [*turn(0.0, "find it"), *spoken(1.0, 4.0, "never mind that")]
    seen = await play(LiveModelProcessor(model, tools=[search]), script)
    assert stopped == [2.0]
    assert responses(seen) == [(2.0, "a", "it was cancelled, since the reply was interrupted")]
    assert model.prompt(1) == [
        "user: find it",
        "call search a",
        "error of a",
        "user: never mind that",
    ]


async def test_a_cough_while_a_tool_runs_changes_nothing() -> None:
    """The sound is dismissed, and the reply goes on when the result is there."""
    model = Model([call("look", "a", seconds=5)], ["Sunny."])
    script = [
        *turn(0.0, "weather?"),
        (1.0, Part(SpeechStarted(1.0))),
        (1.3, Part(SpeechEnded(1.3))),
        (1.5, Part(TurnEnded(1.3))),
    ]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert heard(seen) == [(5.0, 1, "Sunny.")]
    assert endings(seen) == [(5.0, 1, "done")]


def noise(start: float, end: float) -> list[tuple[float, Part]]:
    """A lorry passes: long enough to interrupt, and no words."""
    return [
        (start, Part(SpeechStarted(start))),
        (end, Part(SpeechEnded(end, turn_follows=True))),
        (end + 0.5, Part(TurnEnded(end))),
    ]


LATER = (40.0, Part.image(b""))  # the stream goes on


async def test_a_result_that_comes_while_a_noise_interrupts() -> None:
    """The reply comes back; what its tool has brought meanwhile is told after it."""
    model = Model(["Let me look.", call("look", "a", seconds=2.5)], ["Found it."])
    script = [*turn(0.0, "find it"), *noise(1.0, 2.6), LATER]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert [text for _, _, text in heard(seen)] == ["Let me look.", "Found it."]
    assert model.prompt(1)[-2:] == ["call look a", "result of a"]
    assert endings(seen)[-1] == (3.1, 3, "done")


@pytest.mark.parametrize("wish", [True, False])
async def test_a_result_that_waits_while_something_else_is_said(wish: bool) -> None:
    """A wish of the program's, or a reply that comes back, is no answer to a result."""
    model = Model([sound(6.0, "One moment please."), call("order", "a")], ["It is ordered."])
    other = [(2.0, Part(Say("Your taxi is here.")))] if wish else noise(0.5, 2.5)
    agent = LiveModelProcessor(model, tools=TOOLS) + AudioRateLimiter(sample_rate=16_000)
    seen = await play(agent, [*turn(0.0, "pizza"), *other, LATER])
    assert len(model.prompts) == 2
    assert "result of a" in model.prompt(1)
    assert heard(seen)[-1][2] == "It is ordered."


@pytest.mark.parametrize("busy", [0, 16])
async def test_a_call_that_a_noise_has_stopped(busy: int) -> None:
    """It was cancelled, or had no room to begin: the model is asked what now."""
    calls = [call("note", f"n{n}", seconds=30.0) for n in range(busy)]
    model = Model([*calls, call("search", "a", seconds=5.0)], ["I looked, and was disturbed."])
    script = [*turn(0.0, "find it"), *noise(1.0, 2.6), LATER]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert responses(seen)[0][:2] == (2.0, "a")
    assert "error of a" in model.prompt(1)
    assert heard(seen)[-1][2] == "I looked, and was disturbed."


async def test_a_stop_button_after_a_noise_has_stopped_a_call() -> None:
    """Nobody wants to hear of it any more."""
    model = Model([call("search", "a", seconds=5.0)])
    stop = (2.3, Part(Interrupted(1)))
    script = sorted([*turn(0.0, "find it"), *noise(1.0, 2.6), stop, LATER], key=lambda it: it[0])
    await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert len(model.prompts) == 1


async def test_a_stop_button_after_the_reply_has_come_back() -> None:
    """Nor then: it was to be told when the reply was over, and that was stopped."""
    model = Model([sound(8.0, "I tell you a story."), call("search", "a", seconds=9.0)])
    script = [*turn(0.0, "find it"), *noise(1.0, 2.6), (3.5, Part(Interrupted(2))), LATER]
    agent = LiveModelProcessor(model, tools=TOOLS) + AudioRateLimiter(sample_rate=16_000)
    seen = await play(agent, script)
    assert len(model.prompts) == 1
    assert endings(seen) == [(2.0, 1, "interrupted"), (3.5, 2, "interrupted")]


@pytest.mark.parametrize("inside", [True, False])
async def test_a_tool_may_ask_a_live_agent(inside: bool) -> None:
    """That is a conversation of its own, whose replies have numbers of their own."""
    expert = LiveModelProcessor(Model(["It is sunny."] * 5, ["It is sunny."] * 5))

    @tool
    async def ask() -> str:
        question = [Part("weather?"), Part(TurnEnded(0.0))]
        return " ".join([it.text async for it in expert(question) if it.role == "model"])

    model = Model([call("ask", "a")], ["Sunny."])
    if inside:
        agent = LiveModelProcessor(Tools(model, [ask]))
    else:
        agent = LiveModelProcessor(model, tools=[ask])
    seen = await play(agent, [*turn(0.0, "well?"), LATER])
    assert endings(seen) == [(0.0, 1, "done")]
    assert heard(seen)[-1][2] == "Sunny."


@pytest.mark.parametrize("name", ["look", "order"])
async def test_a_result_is_as_long_as_the_prompt_has_room_for(name: str) -> None:
    """It is cut, also for a reply that waits for it."""

    @tool(name=name, scheduling="blocking" if name == "look" else "when_idle")
    async def reads() -> str:
        return "word " * 100_000

    model = Model([call(name, "a")], ["That was long."])
    agent = LiveModelProcessor(model, tools=[reads], max_tokens=1000)
    await play(agent, [*turn(0.0, "read it"), LATER])
    [result] = [it for part in model.prompts[1] if (it := part.function_response)]
    assert 0 < len(str(result.result)) < 5000


class Orders(Processor):
    """Orders unless the prompt says that it has; then tells of it, and asks how long it takes."""

    def __init__(self) -> None:
        self.prompts: list[list[str]] = []

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompt = [part async for part in stream]
        self.prompts.append([told(part) for part in prompt])
        called = [it.name for part in prompt if (it := part.function_call)]
        if "order_pizza" not in called:
            yield Part(call("order_pizza", "o"), role="model")
        elif "eta" not in called:
            yield Part(sound(1.0, "It is ordered, "), role="model")
            for word in "let me see how long it takes".split():
                await asyncio.sleep(0.5)
                yield Part(sound(0.5, f"{word} "), role="model")
            yield Part(call("eta", "e"), role="model")
        else:
            yield Part(sound(1.0, "Twenty minutes."), role="model")


async def test_a_reply_in_steps_that_comes_back_knows_its_steps() -> None:
    """What it has ordered is in the prompt of its next step: it is ordered once."""
    ordered: list[float] = []

    @tool
    async def order_pizza() -> str:
        ordered.append(now())
        await asyncio.sleep(1)
        return "ordered"

    @tool
    async def eta() -> str:
        await asyncio.sleep(1)
        return "20 minutes"

    model = Orders()
    agent = LiveModelProcessor(model, tools=[order_pizza, eta])
    script = [*turn(0.0, "pizza please"), *noise(2.0, 3.6), LATER]
    seen = await play(agent + AudioRateLimiter(sample_rate=16_000), script)
    assert len(ordered) == 1
    assert model.prompts[-1] == [
        "user: pizza please",
        "call order_pizza o",
        "result of o",
        "model: It is ordered,—",
        "model: let me see how long it takes ",
        "call eta e",
        "result of e",
    ]
    assert "".join(text for _, _, text in heard(seen)).endswith("Twenty minutes.")


async def test_a_tool_that_interrupts_leaves_a_protected_reply_alone() -> None:
    """It is told once the notice has been heard."""

    @processor
    async def voice(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part.derive(body=sound(5.0, part.text))

    model = Model(["Ok.", call("alarm", "a")], ["There is a fire."])
    notice = (0.5, Part(Say("By law this call is recorded.", protected=True)))
    agent = LiveModelProcessor(model, tools=TOOLS, voice=voice)
    seen = await play(
        agent + AudioRateLimiter(sample_rate=16_000), [*turn(0.0, "watch"), notice, LATER]
    )
    assert {reason for _, _, reason in endings(seen)} == {"done"}
    assert heard(seen)[-1][2] == "There is a fire."


async def test_a_tool_that_will_not_stop_does_not_delay_the_next_reply() -> None:
    """It is named and left behind; the conversation goes on at once."""

    @tool(cancellable=True)
    async def stubborn() -> None:
        while now() < 9.0:
            try:
                await asyncio.sleep(9.0 - now())
            except asyncio.CancelledError:
                continue

    model = Model([call("stubborn", "a")], ["Fine."])
    script = [*turn(0.0, "go"), *spoken(1.0, 2.1, "no, stop it now"), (9.5, Part.image(b""))]
    with pytest.warns(AbandonedTask, match="tool stubborn for Conversation"):
        seen = await play(LiveModelProcessor(model, tools=[stubborn]), script)
    assert model.asked_at == [0.0, 2.1]
    assert heard(seen) == [(2.1, 2, "Fine.")]


async def test_an_interruption_by_the_program() -> None:
    """The reply is over; the call runs on, and its result is told when nobody speaks."""
    model = Model([call("look", "a", seconds=5)], ["It is sunny."])
    script = [*turn(0.0, "weather?"), (1.0, Part(Interrupted(1)))]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert endings(seen) == [(1.0, 1, "interrupted"), (5.0, 2, "done")]
    assert responses(seen) == [(5.0, "a", "sunny")]


async def test_a_reset() -> None:
    """What a call brings after it enters the prompt, and nobody speaks of it unasked."""
    model = Model([call("look", "a", seconds=5)], ["As I know: sunny."])
    script = [*turn(0.0, "weather?"), (1.0, Part(Reset())), *turn(8.0, "well?")]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert responses(seen) == [(5.0, "a", "sunny")]
    assert model.asked_at == [0.0, 8.0]
    assert model.prompt(1) == ["user: weather?", "call look a", "result of a", "user: well?"]


# -- tools that nobody waits for -----------------------------------------------------------------


async def test_when_idle_is_told_after_the_reply() -> None:
    """The reply goes on while the tool runs; then the model is asked about the result."""
    model = Model(
        ["I order it. ", call("order", "a", seconds=1), 3.0, "Anything else?"], ["It has come."]
    )
    seen = await play(LiveModelProcessor(model, tools=TOOLS), turn(0.0, "pizza!"))
    assert heard(seen) == [
        (0.0, 1, "I order it. "),
        (3.0, 1, "Anything else?"),
        (3.0, 2, "It has come."),
    ]
    assert responses(seen) == [(3.0, "a", "sunny")]
    assert model.prompt(1) == [
        "user: pizza!",
        "model: I order it. Anything else?",
        "call order a",
        "result of a",
    ]


async def test_when_idle_waits_for_what_is_being_heard() -> None:
    """The reply is over when its last sound was heard, and not when it was made."""
    reply = [sound(4.0, "A long answer."), call("order", "a", seconds=1)]
    model = Model(reply, [sound(1.0, "It has come.")])
    agent = LiveModelProcessor(model, tools=TOOLS) + AudioRateLimiter()
    seen = await play(agent, turn(0.0, "pizza!"))
    assert [at for at, _, _ in responses(seen)] == [4.0]
    assert model.asked_at == [0.0, 4.0]


async def test_silent_is_known_when_the_model_is_asked_next() -> None:
    """Nobody asks because of it; also at the end of the input it runs to its end."""
    model = Model([call("note", "a"), "Noted."], ["Yes."])
    script = [*turn(0.0, "remember"), *turn(5.0, "done?")]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert responses(seen) == [(2.0, "a", "sunny")]
    assert model.asked_at == [0.0, 5.0]
    model = Model([call("note", "a"), "Noted."])
    seen = await play(LiveModelProcessor(model, tools=TOOLS), turn(0.0, "remember"))
    assert responses(seen) == [(2.0, "a", "sunny")]
    assert len(model.prompts) == 1


async def test_interrupt_breaks_into_the_reply() -> None:
    """The reply is cut to what was heard, and the model asked with the result."""
    lecture = [sound(0.1, "on "), *[sound(0.1, "and on ")] * 99]
    model = Model([call("alarm", "a"), *lecture], [sound(1.0, "Fire!")])
    agent = LiveModelProcessor(model, tools=TOOLS) + AudioRateLimiter()
    seen = await play(agent, turn(0.0, "tell me all"))
    assert responses(seen) == [(2.0, "a", "sunny")]
    assert endings(seen) == [(2.0, 1, "interrupted"), (3.0, 2, "done")]
    assert not [it for it in heard(seen) if it[0] >= 2.0 and it[1] == 1]
    prompt = model.prompt(1)
    assert prompt[:2] == ["user: tell me all", "call alarm a"]
    assert prompt[2] == "result of a"
    assert prompt[3].startswith("model: on and on ")
    assert prompt[3].endswith("—")


async def test_interrupt_does_not_break_into_what_the_user_says() -> None:
    """It is in the prompt when the user has finished."""
    model = Model([call("alarm", "a", seconds=3), "Yes?"], ["Fire!"])
    script = [*turn(0.0, "hi"), *spoken(1.0, 5.0, "well, let me think")]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    assert responses(seen) == [(5.0, "a", "sunny")]
    assert model.asked_at == [0.0, 5.0]


# -- calls that the program answers --------------------------------------------------------------


def new(part: Part) -> Part:
    """An answer to the call in `part`, made anew."""
    assert part.function_call
    return Part.response("lamp", "on", id=part.function_call.id)


def derived(part: Part) -> Part:
    """One that is derived from it."""
    assert part.function_call
    return part.derive(body=Response(part.function_call.id, "lamp", "on"))


def answering(
    live: LiveModelProcessor,
    said: Sequence[tuple[float, Part]],
    answer_s: float,
    times: int = 1,
    answer: Callable[[Part], Part] = new,
) -> Callable[[], Any]:
    """A program that answers calls of `lamp` after a while, `times` times."""

    async def main() -> Seen:
        calls: asyncio.Queue[Part] = asyncio.Queue()

        async def source() -> AsyncIterator[Part]:
            for at, part in said:
                await asyncio.sleep(at - now())
                yield part
            called = await calls.get()
            await asyncio.sleep(answer_s)
            for _ in range(times):
                yield answer(called)

        seen: Seen = []
        async with live.run(source()) as parts:
            async for part in parts:
                seen.append((now(), part))
                if part.function_call and part.function_call.name == "lamp":
                    calls.put_nowait(part)
        return seen

    return main


@pytest.mark.parametrize("tools", [[], [look, {"name": "lamp"}]])
async def test_the_program_answers_a_call(tools: Sequence[Any]) -> None:
    """With or without tools of the agent's own; twice is once, and the model is asked about it."""
    model = Model([call("lamp", "a"), "I do."], ["It is on."])
    live = LiveModelProcessor(model, tools=tools)
    seen = await answering(live, turn(0.0, "light!"), 3.0, times=2)()
    assert responses(seen) == [(3.0, "a", "on")]
    assert heard(seen) == [(0.0, 1, "I do."), (3.0, 2, "It is on.")]
    assert model.prompt(1) == ["user: light!", "model: I do.", "call lamp a", "result of a"]


@pytest.mark.parametrize("answer_s", [0.0, 0.5, 3.0])
async def test_the_program_derives_its_answer_from_the_call(answer_s: float) -> None:
    """It is one like any other, though it has the number of the reply; also while that is given."""
    model = Model([call("lamp", "a"), 1.0, "I do."], ["It is on."])
    program = answering(LiveModelProcessor(model), turn(0.0, "light!"), answer_s, answer=derived)
    seen = await program()
    at = max(1.0, answer_s)
    assert heard(seen) == [(1.0, 1, "I do."), (at, 2, "It is on.")]
    assert model.prompt(1) == ["user: light!", "model: I do.", "call lamp a", "result of a"]
    assert [(it.turn, it.role) for _, it in seen if it.function_response] == [(0, "user")]


def running(model: Model) -> str:
    """What the model was told last of calls without a result."""
    return "".join(part.text for part in model.prompts[-1] if part.metadata.get("note"))


async def test_calls_that_nobody_answers_do_not_grow_the_prompt() -> None:
    """The newest are told, and of their arguments the beginning."""
    lamps = [call("lamp", f"lamp{n}", n=n) for n in range(20)]
    letter = call("write", "letter", text="x" * 1000)
    model = Model([*lamps, letter, "I do."], ["Hello."])
    await play(LiveModelProcessor(model), [*turn(0.0, "light!"), *turn(5.0, "hello")])
    told = ", ".join(f'lamp({{"n":{n}}})' for n in range(5, 20))
    cut = f'write({{"text":"{"x" * 191}… 811 characters more)'
    assert running(model) == (
        f"(Still running, without a result yet: {told}, {cut}, and 5 older calls.)"
    )


@pytest.mark.parametrize("args", [{"what": object()}, {"a": {1: {2, object}}}, [1, 2], None])
async def test_arguments_that_json_cannot_hold(args: Any) -> None:
    """A model of the program's own may make them: the conversation goes on."""
    model = Model([Call("a", "lamp", args), "I do."], ["Hello."])
    seen = await play(LiveModelProcessor(model), [*turn(0.0, "light!"), *turn(5.0, "hello")])
    assert heard(seen) == [(0.0, 1, "I do."), (5.0, 2, "Hello.")]
    assert running(model) == "(Still running, without a result yet: lamp(what JSON cannot hold).)"


async def test_after_a_reset_the_program_owes_no_answers() -> None:
    """What runs here will come to an end, and is still told."""
    model = Model([call("lamp", "a"), call("look", "b", seconds=9)], ["Hello."])
    live = LiveModelProcessor(model, tools=[look, {"name": "lamp"}])
    await play(live, [*turn(0.0, "light!"), (1.0, Part(Reset())), *turn(5.0, "hello")])
    assert running(model) == '(Still running, without a result yet: look({"seconds":9}).)'


async def test_an_answer_to_no_call_that_comes_within_a_reply() -> None:
    """The reply goes on with it: to the model it stands beside a call, as it does later on."""
    model = Model([call("look", "a", seconds=2)], ["Sunny."], ["Bye."])
    script = [*turn(0.0, "weather?"), (1.0, Part.response("door", "open", id="z"))]
    await play(LiveModelProcessor(model, tools=TOOLS), [*script, *turn(5.0, "bye")])
    whole = ["user: weather?", "call look a", "result of a", "call door z", "result of z"]
    assert model.prompt(1) == whole
    assert model.prompt(2)[:5] == whole


# -- results that are too large ------------------------------------------------------------------


@tool
async def read(chars: int = 3_000_000) -> str:
    """A long text."""
    return "x" * chars


def sizes(prompt: Sequence[Part]) -> list[int]:
    """How long its results are."""
    return [len(str(it.function_response.result)) for it in prompt if it.function_response]


ROOM = 4 * (32_000 - 1024)  # characters: the prompt's, beside what a summary is to have


@pytest.mark.parametrize(
    "others", [[], [call("read", "b")], [call("read", str(n)) for n in range(5)]]
)
async def test_results_of_one_step_share_the_room(others: list[Call]) -> None:
    """The model goes on with what the prompt has room for, and is told the same later on."""
    model = Model([call("read", "a"), *others], ["Long."], ["Bye."])
    script = [*turn(0.0, "read!"), *turn(5.0, "bye")]
    seen = await play(LiveModelProcessor(model, tools=[read]), script)
    told = sizes(model.prompts[1])
    assert len(told) == len(others) + 1
    assert 0.99 * ROOM < sum(told) < ROOM
    assert max(told) - min(told) < 20
    assert sizes(model.prompts[2]) == told
    assert [len(result) for _, _, result in responses(seen)] == [3_000_000] * len(told)


async def test_a_result_beside_a_call_that_runs_on_has_no_more_room() -> None:
    """That one has not entered yet, and the first is not kept before it does."""
    model = Model([call("read", "a"), call("order", "b", seconds=3)], ["Long."], ["Done."])
    await play(LiveModelProcessor(model, tools=[read, when_idle]), turn(0.0, "read!"))
    assert model.prompt(1) == ["user: read!", "call read a", "call order b", "result of a"]
    [size] = sizes(model.prompts[1])
    assert 0.99 * ROOM < size < ROOM


async def test_each_step_has_half_of_the_room_at_least() -> None:
    """However much there is before it, a result of such a size is told as it is."""
    chars = [100_000, 60_000, 100_000]
    model = Model(*([call("read", f"{n}", chars=it)] for n, it in enumerate(chars)), ["Long."])
    await play(LiveModelProcessor(model, tools=[read]), turn(0.0, "read!"))
    *whole, cut = sizes(model.prompts[-1])
    assert whole == chars[:2]
    assert 0.98 * ROOM / 2 < cut < ROOM / 2
    for before, after in zip(model.prompts, model.prompts[1:], strict=False):
        assert after[: len(before)] == before


@pytest.mark.parametrize("max_tokens", [400, 40])
async def test_a_prompt_without_room_for_any_result(max_tokens: int) -> None:
    """Each call has its response all the same, though that may say no more than so."""
    calls = [call("read", str(n)) for n in range(40)]
    model = Model(calls, ["Long."])
    await play(LiveModelProcessor(model, tools=[read], max_tokens=max_tokens), turn(0.0, "read!"))
    told = [it for part in model.prompts[1] if (it := part.function_response)]
    assert sorted(int(it.id) for it in told) == list(range(40))
    assert all(len(it.error or str(it.result)) < 30 for it in told)


# -- ids -----------------------------------------------------------------------------------------


async def test_ids_that_repeat_are_told_apart() -> None:
    """A server that counts from 0 in every reply: each call has its own result."""
    model = Model(
        [call("look", "0", seconds=1)],
        ["Sunny."],
        [call("look", "0", seconds=2), call("look", "")],
        ["Still."],
    )
    script = [*turn(0.0, "weather?"), *turn(5.0, "and now?")]
    seen = await play(LiveModelProcessor(model, tools=TOOLS), script)
    called = [part.function_call.id for _, part in seen if part.function_call]
    assert called == ["0", "0-1", "call-2"]
    assert sorted(id for _, id, _ in responses(seen)) == sorted(called)
    assert model.prompt(3)[:3] == ["user: weather?", "call look 0", "result of 0"]


async def test_a_reply_that_runs_its_own_tools() -> None:
    """`Tools` as the turn processor: calls and responses are remembered, and asked about once."""
    model = Model([call("look", "0")], ["Sunny."], [call("look", "0")], ["Still."], ["Bye."])
    script = [*turn(0.0, "weather?"), *turn(5.0, "and now?"), *turn(9.0, "bye")]
    seen = await play(LiveModelProcessor(Tools(model, [look])), script)
    assert [(it[1], it[2]) for it in heard(seen)] == [(1, "Sunny."), (2, "Still."), (3, "Bye.")]
    assert model.prompt(4) == [
        "user: weather?",
        "call look 0",
        "result of 0",
        "model: Sunny.",
        "user: and now?",
        "call look 0-1",
        "result of 0-1",
        "model: Still.",
        "user: bye",
    ]


CUT_OFF = "it was stopped together with its reply; it may have been done, or a part of it"


@pytest.mark.parametrize(
    ("happens", "at"),
    [
        (turn(1.0, "stop it"), 1.0),
        (spoken(1.0, 2.5, "no, stop it"), 2.5),  # after a second of sound, once there are words
        ([(1.0, Part(Interrupted(1)))], 1.0),
        ([(1.0, Part(Reset()))], 1.0),
        ([(1.0, Part(Interrupted(1))), (1.0, Part(Say("Wait.")))], 1.0),
    ],
)
async def test_a_call_that_is_stopped_with_its_reply(
    happens: list[tuple[float, Part]], at: float
) -> None:
    """The model is told that it was, once, and nothing runs for ever."""
    model = Model([call("look", "a", seconds=4)], ["Fine."], ["Bye."], ["Bye."])
    script = [*turn(0.0, "weather?"), *happens, *turn(8.0, "and now?"), *turn(20.0, "bye")]
    seen = await play(LiveModelProcessor(Tools(model, [look])), script)
    assert responses(seen) == [(at, "a", CUT_OFF)]
    assert [news["error"] for news in news(seen, "failed")] == [CUT_OFF]
    for prompt in map(model.prompt, range(1, len(model.prompts))):
        assert prompt[:3] == ["user: weather?", "call look a", "error of a"]
        assert "Still running" not in "".join(prompt)


async def test_a_call_whose_reply_comes_back() -> None:
    """It runs on meanwhile, and its result is told; nobody says that it was stopped."""
    model = Model(
        [sound(3.0, "let me see"), call("look", "a", seconds=4)], [sound(1.0, "Sunny.")], ["Bye."]
    )
    cough = [(1.0, Part(SpeechStarted(1.0))), (2.5, Part(SpeechEnded(2.5)))]
    script = [*turn(0.0, "weather?"), *cough, (2.5, Part(TurnEnded(2.5))), *turn(20.0, "bye")]
    seen = await play(LiveModelProcessor(Tools(model, [look])) + AudioRateLimiter(), script)
    assert [news["turn"] for news in news(seen, "brought_back")] == [2]
    assert responses(seen) == [(4.0, "a", "sunny")]
    assert model.prompt(2)[-1] == "user: bye"
    assert "result of a" in model.prompt(2)
    assert "Still running" not in "".join(model.prompt(2))


async def test_a_call_of_a_reply_that_fails() -> None:
    """What the model raises stops its tools, too."""
    model = Model([call("look", "a", seconds=4), 1.0, ValueError("boom")], ["Bye."])
    script = [*turn(0.0, "weather?"), *turn(8.0, "bye")]
    seen = await play(LiveModelProcessor(Tools(model, [look])), script)
    assert responses(seen) == [(1.0, "a", CUT_OFF)]
    assert model.prompt(1) == ["user: weather?", "call look a", "error of a", "user: bye"]


async def test_a_call_that_the_program_answers_is_not_stopped_with_its_reply() -> None:
    """`Tools` only knows of it."""
    model = Model([call("lamp", "a"), 9.0], ["Fine."], ["On."])
    agent = LiveModelProcessor(Tools(model, [look, {"name": "lamp"}]))
    answer = (5.0, Part.response("lamp", "on", id="a"))
    seen = await play(agent, [*turn(0.0, "light!"), *turn(1.0, "hurry"), answer])
    assert responses(seen) == [(5.0, "a", "on")]
    told = [part.text for part in model.prompts[1] if part.metadata.get("note")]
    assert told == ["(Still running, without a result yet: lamp({}).)"]


async def test_tools_of_the_reply_beside_those_of_the_conversation() -> None:
    """The conversation refuses no call that it need not make."""
    model = Model([call("look", "a", seconds=1)], ["Sunny."], ["Bye."])
    agent = LiveModelProcessor(Tools(model, [look]), tools=[silent])
    seen = await play(agent, [*turn(0.0, "weather?"), *turn(8.0, "bye")])
    assert responses(seen) == [(1.0, "a", "sunny")]
    assert heard(seen) == [(1.0, 1, "Sunny."), (8.0, 2, "Bye.")]
    whole = ["user: weather?", "call look a", "result of a"]
    assert model.prompt(1) == whole
    assert model.prompt(2) == [*whole, "model: Sunny.", "user: bye"]


def test_what_a_stopped_reply_answers_after_all() -> None:
    """It was on its way when the reply was given up: there is one answer to each call."""
    tools = Conversation(Window(), Ledger(), tools=ToolCalls(own={"look"}))
    out = tools.feed(Part.call("look", {}, id="a", turn=1), 0.0)
    assert [told(it) for it in out if isinstance(it, Part)] == ["call look a"]
    out = tools.feed(Reset(), 1.0)
    assert "error of a" in [told(it) for it in out if isinstance(it, Part)]
    late = OwnResponse(Part.response("look", "sunny", id="a", turn=1))
    assert tools.feed(late, 1.0) == []


# -- whatever happens ----------------------------------------------------------------------------


class Wild(Processor):
    """Calls, waits and speaks as its script says; from the start again when it is at its end.

    numbers: its calls have ids of their own, in place of always the same.
    """

    def __init__(self, script: Sequence[tuple[str, float]], *, numbers: bool = False) -> None:
        self.script = script
        self.ids = map(str, count()) if numbers else repeat("x")
        self.prompts: list[list[Part]] = []

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        self.prompts.append([part async for part in stream])
        # Not for ever: a model that calls because of each result never comes to an end.
        if len(self.prompts) > len(self.script):
            yield Part("Enough.", role="model")
            return
        for name, seconds in self.script[len(self.prompts) - 1 :][:2]:
            if name == "say":
                await asyncio.sleep(seconds)
                yield Part("word ", role="model")
            else:
                yield Part.call(name, {"seconds": seconds}, id=next(self.ids))


WILD = st.tuples(
    st.sampled_from(["say", *TOOLS.rules, "unknown"]), st.sampled_from([0.0, 0.5, 1.0, 4.0])
)
USER = st.tuples(
    st.sampled_from(["turn", "cough", "barge in", "interrupt", "reset"]),
    st.sampled_from([0.25, 1.0, 3.0]),
)


def user(events: Sequence[tuple[str, float]]) -> list[tuple[float, Part]]:
    script, at = turn(0.0, "hello there"), 0.0
    for kind, later in events:
        at += later
        match kind:
            case "turn":
                script += turn(at, "and then")
            case "cough":
                script += [(at, Part(SpeechStarted(at))), (at + 0.2, Part(SpeechEnded(at + 0.2)))]
                at += 0.2
            case "barge in":
                script += spoken(at, at + 2.0, "no, listen to me")
                at += 2.0
            case "interrupt":
                script.append((at, Part(Interrupted(len(script)))))
            case "reset":
                script.append((at, Part(Reset())))
    return script


def check_pairs(prompt: Sequence[Part]) -> None:
    """No response without its call before it, none twice."""
    called: set[str] = set()
    answered: Counter[str] = Counter()
    for part in prompt:
        if part.function_call:
            called.add(part.function_call.id)
        if part.function_response:
            assert part.function_response.id in called
            answered[part.function_response.id] += 1
    assert all(count == 1 for count in answered.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(WILD, min_size=1, max_size=8), st.lists(USER, max_size=5))
async def test_each_result_enters_once_whatever_happens(
    model: Sequence[tuple[str, float]], events: Sequence[tuple[str, float]]
) -> None:
    """Every call in the stream has one response; in every prompt, pairs are whole."""
    wild = Wild(model)
    live = LiveModelProcessor(wild, tools=TOOLS, interrupt=Interrupt.unless_backchannel(long_s=0.7))
    seen = await play(live, user(events))
    called = [part.function_call.id for _, part in seen if part.function_call]
    assert len(set(called)) == len(called)
    assert sorted(id for _, id, _ in responses(seen)) == sorted(called)
    for prompt in wild.prompts:
        check_pairs(prompt)
    ended = [number for _, number, _ in endings(seen)]
    assert len(set(ended)) == len(ended)
    started = [it["turn"] for it in news(seen, "asked")]
    assert sorted(ended) == started


@settings(max_examples=40, deadline=None)
@given(st.lists(WILD, min_size=1, max_size=8), st.lists(USER, max_size=5))
async def test_a_reply_that_runs_its_own_tools_whatever_happens(
    model: Sequence[tuple[str, float]], events: Sequence[tuple[str, float]]
) -> None:
    """Every call in the stream has one response, and none is told to run when nothing does."""
    wild = Wild(model, numbers=True)
    policy = Interrupt.unless_backchannel(long_s=0.7)
    seen = await play(LiveModelProcessor(Tools(wild, TOOLS), interrupt=policy), user(events))
    called = [part.function_call.id for _, part in seen if part.function_call]
    assert sorted(id for _, id, _ in responses(seen)) == sorted(called)
    for prompt in wild.prompts:
        check_pairs(prompt)
        assert "Still running" not in "".join(part.text for part in prompt)


def test_what_would_be_asked_twice_is_told_when_the_agent_is_built() -> None:
    """A live agent in another, and a tool in both places."""
    live = LiveModelProcessor(Model())
    for inner in (live, Model() + live):
        with pytest.raises(StageError, match="turns of its own"):
            LiveModelProcessor(inner)
    with pytest.raises(StageError, match="look: given to Tools and"):
        LiveModelProcessor(Tools(Model(), [look, silent]), tools=[look])
    LiveModelProcessor(Tools(Model(), [silent]), tools=[look])


def test_answers_on_a_guess_run_no_tools_of_their_own() -> None:
    """Nobody may ever hear such an answer, and what it has ordered is ordered."""
    for inner in (Tools(Model(), [look]), Tools(Model(), [look]) + Model()):
        with pytest.raises(StageError, match=r"speculate=True around Tools.* nobody gets to hear"):
            LiveModelProcessor(inner, speculate=True)
        LiveModelProcessor(inner)
    LiveModelProcessor(Model(), tools=[look], speculate=True)


def test_tools_are_checked_when_the_agent_is_built() -> None:
    """Not when the model calls them."""
    with pytest.raises(
        StageError, match="scheduling='later': expected one of: blocking, when_idle"
    ):
        tool(scheduling="later")  # type: ignore[call-overload]
    declared: Mapping[str, Any] = TOOLS.declarations[0]
    assert LiveModelProcessor(Model(), tools=[declared]).name == "live_model_processor"
