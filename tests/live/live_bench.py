"""A conversation of the real SDK with a scripted server, without sockets, on virtual time."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from vivace import Audio, Interrupted, Part, TurnComplete
from vivace.errors import VivaceError
from vivace.flow.clock import now, sleep_until
from vivace.flow.processor import Processor
from vivace.live.live_processor import LiveProcessor
from vivace.part import Call, Data, Response
from vivace.server.gemini_frames import content
from vivace.server.gemini_wire import AudioHeard, TextHeard, parse
from vivace.testing.gemini_live import FakeGeminiLive
from vivace.testing.gemini_memory import in_memory
from vivace.testing.gemini_script import Script, Send, Step

MODEL = "gemini-3.8-live"
SEED_ONLY = "gemini-3.1-flash-live-preview"
COMPLETE: list[Step] = [Send(content(generationComplete=True)), Send(content(turnComplete=True))]
FRAME_S = 0.02


def processor(model: str = MODEL, **options: Any) -> LiveProcessor:
    return LiveProcessor("key", model, http_options={"base_url": "https://localhost"}, **options)


def sound(mark: int, seconds: float = 0.1) -> bytes:
    """The model's: with a level of its own, to tell which was heard."""
    return array("h", [mark]).tobytes() * round(24_000 * seconds)


async def typed(*lines: tuple[float, Any], until: float = 0.0) -> AsyncIterator[Part]:
    """Each value at its time; the input ends at `until`."""
    start = now()
    for at, value in lines:
        await sleep_until(start + at)
        yield Part.of(value)
    await sleep_until(start + until)


async def microphone(seconds: float, *lines: tuple[float, Any]) -> AsyncIterator[Part]:
    """20 ms of silence every 20 ms, each with a number from 1 on; `lines` come at their times."""
    start, waiting = now(), list(lines)
    for index in range(round(seconds / FRAME_S)):
        await sleep_until(start + (index + 1) * FRAME_S)
        while waiting and waiting[0][0] <= (index + 1) * FRAME_S:
            yield Part.of(waiting.pop(0)[1])
        samples = array("h", [index + 1]) + array("h", bytes(638))
        yield Part.audio(samples.tobytes(), at=round(index * FRAME_S, 6))


class Talk:
    """What came out, with its time, and what the server saw. error: what ended it, if that did."""

    def __init__(self, server: FakeGeminiLive) -> None:
        self.server = server
        self.seen: list[tuple[float, Part]] = []
        self.error: Exception | None = None
        self.seconds = 0.0

    @property
    def parts(self) -> list[Part]:
        return [part for _, part in self.seen]

    def bodies(self, kind: type[Any]) -> list[Any]:
        return [it.body for it in self.parts if isinstance(it.body, kind)]

    def news(self, event: str) -> list[tuple[float, dict[str, Any]]]:
        values = [(at, it.body.value) for at, it in self.seen if isinstance(it.body, Data)]
        return [(at, value) for at, value in values if value["event"] == event]

    @property
    def states(self) -> list[tuple[float, str]]:
        return [(at, str(value["state"])) for at, value in self.news("connection")]

    @property
    def sounds(self) -> list[tuple[float, int, int]]:
        """Of each chunk of the model's: when, its turn, its level."""
        return [
            (at, it.turn, array("h", it.body.pcm)[0])
            for at, it in self.seen
            if isinstance(it.body, Audio)
        ]


Hold = Callable[..., Any]


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Holds a conversation with a server that has these scripts."""

    async def held(
        scripts: Sequence[Script],
        source: AsyncIterator[Part],
        agent: Processor | None = None,
        **options: Any,
    ) -> Talk:
        server = FakeGeminiLive(*scripts)
        monkeypatch.setattr("google.genai.live.ws_connect", in_memory(server))
        talk, start = Talk(server), now()
        try:
            async with (agent or processor(**options)).run(source) as parts:
                async for part in parts:
                    talk.seen.append((round(now() - start, 6), part))
        except VivaceError as error:
            talk.error = error
        talk.seconds = round(now() - start, 6)
        server.check()
        return talk

    return held


def check(talk: Talk) -> None:
    """What holds for every conversation, whatever the server does."""
    over: set[int] = set()
    marks: set[int] = set()
    calls: list[str] = []
    answers: list[str] = []
    for part in talk.parts:
        match part.body:
            case Audio() as audio:
                mark = array("h", audio.pcm)[0]
                assert mark not in marks, "nothing is heard twice"
                marks.add(mark)
                assert part.turn not in over, "nothing of an ended turn is heard"
            case str() if part.role == "model":
                assert part.turn not in over, "nothing of an ended turn is read"
            case Interrupted(turn=turn):
                over |= set(range(1, turn + 1))
            case TurnComplete(turn=turn, reason=reason):
                assert turn not in over or reason == "interrupted"
                over.add(turn)
            case Call(id=id):
                calls.append(id)
            case Response(id=id):
                answers.append(id)
            case _:
                pass
    ends = [it.turn for it in talk.bodies(TurnComplete)]
    assert len(set(ends)) == len(ends), "a reply ends once"
    assert len(set(calls)) == len(calls), "a call is made once"
    if talk.error is None:
        begun = {it.turn for it in talk.parts if it.turn}
        assert set(ends) == begun, "a reply that has begun ends"
        assert sorted(answers) == sorted(calls), "a call has one answer"
    for one, two in zip(talk.server.connections, talk.server.connections[1:], strict=False):
        assert one.ended_at is not None
        assert one.ended_at <= two.opened_at, "one connection at a time"


def frames_heard(talk: Talk) -> set[int]:
    """The numbers of the microphone's frames that any connection has received."""
    return _numbers([it for each in talk.server.connections for it in each.messages])


def frames_unread(talk: Talk) -> set[int]:
    """The numbers of those that were on their way when the server closed."""
    return _numbers([parse(frame) for frame in talk.server.unread])


def texts_unread(talk: Talk) -> set[str]:
    """The texts of those."""
    messages = [parse(frame) for frame in talk.server.unread]
    return {it.text for it in messages if isinstance(it, TextHeard)}


def _numbers(messages: Sequence[object]) -> set[int]:
    pcm = b"".join(it.pcm for it in messages if isinstance(it, AudioHeard))
    return set(array("h", pcm)) - {0}


async def settle() -> None:
    """Let everything happen that happens now."""
    for _ in range(20):
        await asyncio.sleep(0)
