"""What `LiveProcessor` promises, with the real SDK, over TLS, before a server of bad manners."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from vivace import Audio, Interrupted, LiveProcessor, Part, Response, TurnComplete, tool
from vivace.errors import ModelError, ModelUnreachable
from vivace.machines.connection import ConnectionRules
from vivace.part import Call, Data
from vivace.server.gemini_frames import call, cancellation, content, go_away, heard, merged, said
from vivace.server.gemini_wire import (
    AudioHeard,
    AudioStreamEnded,
    Content,
    TextHeard,
    ToolAnswers,
    Turn,
)
from vivace.testing.gemini_live import FakeConnection, FakeGeminiLive
from vivace.testing.gemini_script import (
    Burst,
    Close,
    Delay,
    Drop,
    Expect,
    Handle,
    Script,
    Send,
    SetUp,
)

pytestmark = pytest.mark.real

MODEL = "gemini-3.8-live"
COMPLETE = [Send(content(generationComplete=True)), Send(content(turnComplete=True))]
Source = Callable[[], AsyncIterator[Part]]


def sound(mark: int, seconds: float = 0.1) -> bytes:
    """The model's: each chunk with a level of its own, to tell which was heard."""
    return array("h", [mark]).tobytes() * round(24_000 * seconds)


async def once(*parts: Part) -> AsyncIterator[Part]:
    for part in parts:
        yield part


async def microphone(seconds: float, *parts: Part) -> AsyncIterator[Part]:
    """20 ms of silence every 20 ms, each with a number, from 1 on; `parts` come first."""
    for part in parts:
        yield part
    for index in range(round(seconds / 0.02)):
        await asyncio.sleep(0.02)
        samples = array("h", [index + 1]) + array("h", bytes(638))
        yield Part.audio(samples.tobytes(), at=round(index * 0.02, 6))


def talk(
    scripts: Sequence[Script], source: AsyncIterator[Part], model: str = MODEL, **options: Any
) -> tuple[list[Part], list[FakeConnection], LiveProcessor]:
    """All that came out of a conversation, and what the server saw of it."""

    async def main() -> tuple[list[Part], list[FakeConnection], LiveProcessor]:
        server = FakeGeminiLive(*scripts)
        async with asyncio.timeout(30), server.serve():
            live = LiveProcessor("key", model, http_options=server.http_options, **options)
            seen = [part async for part in live(source)]
        return seen, server.connections, live

    return asyncio.run(main())


def heard_levels(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """Of each chunk of the model's sound, its turn and its level."""
    return [(it.turn, array("h", it.body.pcm)[0]) for it in parts if isinstance(it.body, Audio)]


def news(parts: Sequence[Part], event: str) -> list[dict[str, Any]]:
    values = [it.body.value for it in parts if isinstance(it.body, Data)]
    return [value for value in values if value["event"] == event]


def states(parts: Sequence[Part]) -> list[str]:
    return [it["state"] for it in news(parts, "connection")]


def test_a_session_outlives_its_connections() -> None:
    """1: resumption and compression are asked for; after goAway the session moves, unheard."""
    first: Script = [
        Handle("h1"),
        Expect(AudioHeard),
        Send(said(sound(1))),
        Send(go_away(10.0)),
        Delay(0.2),
        Send(said(sound(2))),
        Handle("h2"),
        *COMPLETE,
    ]
    second: Script = [Expect(AudioStreamEnded), Send(said(sound(3))), *COMPLETE]
    parts, (one, two), live = talk([first, second], microphone(1.0))
    assert one.setup is not None
    assert one.setup.resumption
    assert one.setup.config["contextWindowCompression"] == {"slidingWindow": {}}
    assert two.setup is not None
    assert two.setup.handle == "h2"
    # The old one is closed first, in good order, and no history is sent again.
    assert one.ended == (1000, "client")
    assert one.ended_at is not None
    assert one.ended_at <= two.opened_at
    assert two.of(Content) == []
    assert heard_levels(parts) == [(1, 1), (1, 2), (2, 3)]
    assert states(parts) == ["ready", "draining", "resuming", "ready", "closed"]
    # All in order; of what was in flight when the handle came, some twice.
    samples = array("h", b"".join(it.pcm for it in two.known if isinstance(it, AudioHeard)))
    frames = list(samples[::320])
    back = [at for at in range(1, 50) if frames[at] <= frames[at - 1]]
    cut = back[0] if back else 50
    again = frames[cut - 1] + 1 - frames[cut] if back else 0
    assert again <= 6
    assert frames[:cut] + frames[cut + again :] == list(range(1, 51))
    (metrics,) = live.stream_metrics.values()
    assert (metrics.reconnects, metrics.input_dropped_s) == (1, 0.0)


def test_drops_are_followed_by_a_new_connection() -> None:
    """2: cut, closed with 1011, handle refused: the conversation goes on, told what was said."""
    first: Script = [
        Expect(TextHeard),
        Send(merged([said(sound(1)), heard(model="Hello you.")])),
        *COMPLETE,
        Handle("h1"),
        Delay(0.1),
        Drop(),
    ]
    parts, connections, live = talk(
        [first, [SetUp(), Delay(0.05), Close(1011, "deadline")], [Close(1008, "x"), SetUp()], []],
        microphone(0.6, Part("hello")),
    )
    assert [it.setup.handle for it in connections if it.setup] == ["h1"[:0], "h1", "h1", ""]
    assert connections[3].of(Content) == [
        Content((Turn("user", "hello"), Turn("model", "Hello you.")), complete=False)
    ]
    assert states(parts)[-2:] == ["ready", "closed"]
    assert "reseeding" in states(parts)
    assert heard_levels(parts) == [(1, 1)]
    (metrics,) = live.stream_metrics.values()
    assert metrics.reconnects == 2


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"model": "gemini-3.1-flash-live-preview"}, ModelError, "something in realtime_config"),
        ({"key": "wrong"}, ModelError, "check the API key"),
    ],
)
def test_mistakes_are_told_at_once(
    options: dict[str, Any], error: type[Exception], told: str
) -> None:
    """2: a wrong key, and what the model does not take, are errors, and nothing is tried twice."""

    async def main() -> FakeGeminiLive:
        server = FakeGeminiLive([SetUp(), Expect(TextHeard), Close(1007, "invalid argument")])
        async with server.serve():
            key, model = options.get("key", "key"), options.get("model", MODEL)
            live = LiveProcessor(key, model, http_options=server.http_options)
            with pytest.raises(error, match=told):
                async for _ in live(microphone(0.5, Part("hello"))):
                    pass
        return server

    server = asyncio.run(main())
    assert len(server.connections) == 1


def test_nothing_of_an_interrupted_reply_is_heard() -> None:
    """3: sound within the message that interrupts, and what comes late, is dropped."""
    script: Script = [
        Expect(TextHeard),
        Send(said(sound(1))),
        Delay(0.1),
        Send(merged([said(sound(2)), content(interrupted=True)])),
        Burst([said(sound(3)), heard(model="late"), said(sound(4))]),
        Send(content(turnComplete=True)),
        Send(said(sound(5))),
        *COMPLETE,
    ]
    parts, _, live = talk([script], microphone(0.4, Part("hello")))
    assert heard_levels(parts) == [(1, 1), (2, 5)]
    assert not any(part.text == "late" for part in parts)
    ends = [it.body for it in parts if isinstance(it.body, TurnComplete)]
    assert ends == [TurnComplete(1, "interrupted"), TurnComplete(2, "done")]
    assert [it.body.turn for it in parts if isinstance(it.body, Interrupted)] == [1]
    (metrics,) = live.stream_metrics.values()
    assert (metrics.turns, metrics.interruptions) == (2, 1)


def test_tools_run_side_by_side_and_always_answer() -> None:
    """4: by the id that came; at once; a failure is an answer, and a cancelled call gets none."""
    begun: list[str] = []
    together = asyncio.Event()

    async def both(name: str) -> None:
        begun.append(name)
        if len(begun) == 2:
            together.set()
        await together.wait()

    @tool
    async def look(where: str) -> str:
        await both("look")
        return f"sunny in {where}"

    @tool
    async def fail() -> str:
        await both("fail")
        raise ValueError("no such thing")

    @tool(cancellable=True)
    async def wait() -> str:
        await asyncio.Event().wait()
        return "never"

    script: Script = [
        Expect(TextHeard),
        Burst(
            [call("wait", id="f3"), call("look", {"where": "Ulm"}, id="f1"), call("fail", id="f2")]
        ),
        Send(cancellation("f3")),
        Expect(ToolAnswers),
        Expect(ToolAnswers),
        Send(said(sound(1))),
        *COMPLETE,
    ]
    parts, (one,), _ = talk([script], once(Part("hello")), tools=[look, fail, wait])
    answers = {it.id: it.response for each in one.of(ToolAnswers) for it in each.answers}
    assert answers == {
        "f1": {"output": "sunny in Ulm"},
        "f2": {"error": "ValueError: no such thing"},
    }
    assert [it.body.name for it in parts if isinstance(it.body, Call)] == ["wait", "look", "fail"]
    assert {it.body.name for it in parts if isinstance(it.body, Response)} == {
        "wait",
        "look",
        "fail",
    }
    assert heard_levels(parts) == [(1, 1)]


def test_the_end_of_the_input_does_not_lose_the_answer() -> None:
    """5: what was said before is answered to the end, and the server is told that no more comes."""
    loud = array("h", [3000, -3000] * 8000).tobytes()
    script: Script = [
        Expect(AudioStreamEnded),
        Delay(0.3),
        Send(said(sound(1))),
        Delay(0.2),
        Send(said(sound(2))),
        *COMPLETE,
    ]
    parts, (one,), _ = talk([script], once(Part.audio(loud)))
    assert one.pcm == loud
    assert heard_levels(parts) == [(1, 1), (1, 2)]
    assert isinstance(one.messages[-1], AudioStreamEnded)


def test_no_session_hangs_for_ever() -> None:
    """6: an answer that does not come is told of; so is a server that never sets up."""
    parts, _, _ = talk([[]], once(Part("hello")), answer_within_s=0.3)
    assert news(parts, "no_answer")[0]["after_s"] == 0.3
    rules = ConnectionRules(set_up_s=0.2, attempts=2)
    with pytest.raises(ModelUnreachable, match=r"no setupComplete within 0\.2 s"):
        talk([[Delay(60.0), SetUp()]] * 2, once(Part("hello")), connection=rules)


def test_transcripts_have_the_right_role() -> None:
    """7: pieces come as they come; the user's become one text of the user's."""
    script: Script = [
        Expect(TextHeard),
        Send(heard(user="what is ")),
        Send(said(sound(1))),
        Send(heard(user="the time", model="It is ")),
        Send(heard(model="ten.")),
        *COMPLETE,
    ]
    parts, _, _ = talk([script], microphone(0.3, Part("hello")))
    final = [it.text for it in parts if it.role == "user" and not it.metadata.get("interim")]
    assert final == ["hello", "what is the time"]
    assert "".join(it.text for it in parts if it.role == "model") == "It is ten."
    assert {it.turn for it in parts if it.role == "model" and it.text} == {1}


def test_one_table_says_what_a_model_can_do() -> None:
    """8: where turns are taken as history only, a new session is told of the old one that way."""
    first: Script = [
        Expect(TextHeard),
        Send(heard(model="Hello you.")),
        *COMPLETE,
        Delay(0.1),
        Drop(),
    ]
    model = "gemini-3.1-flash-live-preview"
    parts, (_, two), _ = talk([first, []], microphone(0.4, Part("hello")), model=model)
    assert two.setup is not None
    assert two.setup.history
    assert two.of(Content) == [
        Content((Turn("user", "hello"), Turn("model", "Hello you.")), complete=True)
    ]
    assert states(parts)[-2:] == ["ready", "closed"]
    with pytest.warns(UserWarning, match="'gemini-9' is not known here"):
        LiveProcessor("key", "gemini-9")
