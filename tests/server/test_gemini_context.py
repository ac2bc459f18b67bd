"""Turns of a Gemini Live client that want no answer, by the SDK: they are known to the model."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import pytest
from google import genai

from tests.live.bench import line
from tests.server.front_bench import fronting
from vivace.flow.clock import now
from vivace.flow.processor import Processor
from vivace.live.live_model import LiveModelProcessor
from vivace.part import Part
from vivace.server.gemini_front import GeminiFront
from vivace.testing.gemini_memory import in_memory

pytestmark = pytest.mark.virtual(seeds=5)

TURNS = ("user: My name is Ann.", "model: Hello Ann.", "user: I live in Ulm.", "model: Nice.")
PAGE = "user: The user is on page 3."
WHO = "user: Who am I?"

Talk = Callable[..., AbstractAsyncContextManager[Any]]


class Model(Processor):
    """Answers "Yes.", in `takes_s`. asked: when it was, and with what."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.asked: list[tuple[float, list[str]]] = []
        self._takes_s = takes_s

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompt = [line(part) async for part in stream]
        self.asked.append((round(now(), 3), prompt))
        await asyncio.sleep(self._takes_s)
        yield Part("Yes.", role="model")


class Behind:
    """What `in_memory` wants, and a front has."""

    def __init__(self, front: GeminiFront) -> None:
        self.handle = front.handle
        self.unread: list[str | bytes] = []


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Talk:
    """A session of the SDK with the model, which begins at 0 s."""

    @asynccontextmanager
    async def connected(model: Model, **config: Any) -> AsyncIterator[Any]:
        async with fronting(LiveModelProcessor(model)) as front:
            monkeypatch.setattr("google.genai.live.ws_connect", in_memory(cast(Any, Behind(front))))
            client = genai.Client(api_key="k", http_options={"base_url": "https://127.0.0.1"})
            live: Any = client.aio.live
            config = {"response_modalities": ["TEXT"], **config}
            async with live.connect(model="local", config=config) as session:
                yield session

    return connected


async def tell(session: Any, *turns: str, complete: bool) -> None:
    """Send turns, written as "role: text"."""
    pairs = [turn.split(": ", 1) for turn in turns]
    said = [{"role": role, "parts": [{"text": text}]} for role, text in pairs]
    await session.send_client_content(turns=said or None, turn_complete=complete)


async def test_turns_before_a_question_keep_their_order(talk: Talk) -> None:
    """A conversation of before in one message with a question: the question alone is answered."""
    model = Model()
    async with talk(model) as session:
        await tell(session, *TURNS, WHO, complete=True)
        await asyncio.sleep(60)
    assert model.asked == [(0.0, [*TURNS, WHO])]


async def test_turns_that_seed_a_session_keep_their_order(talk: Talk) -> None:
    """They come alone, as `LiveProcessor` sends them, and the question later, in the moment."""
    model = Model()
    async with talk(model) as session:
        await tell(session, *TURNS, complete=False)
        await asyncio.sleep(10)
        await session.send_realtime_input(text="Who am I?")
        await asyncio.sleep(60)
    assert model.asked == [(10.0, [*TURNS, WHO])]


async def test_a_turn_that_is_not_complete_is_answered_with_what_completes_it(talk: Talk) -> None:
    """Nobody has asked before: not five seconds later either."""
    model = Model()
    async with talk(model) as session:
        await tell(session, PAGE, complete=False)
        await asyncio.sleep(10)
        await tell(session, WHO, complete=True)
        await asyncio.sleep(60)
    assert model.asked == [(10.0, [PAGE, WHO])]


@pytest.mark.parametrize("turns", [(PAGE,), TURNS])
async def test_turns_may_be_completed_by_nothing(talk: Talk, turns: tuple[str, ...]) -> None:
    """The model answers what it was told, whoever said the last of it, and only once."""
    model = Model()
    async with talk(model) as session:
        await tell(session, *turns, complete=False)
        await asyncio.sleep(10)
        await tell(session, complete=True)
        await asyncio.sleep(10)
        await tell(session, complete=True)
        await asyncio.sleep(60)
    assert model.asked == [(10.0, list(turns))]


async def test_turns_that_end_with_the_models_are_answered(talk: Talk) -> None:
    """Where they are complete."""
    model = Model()
    async with talk(model) as session:
        await tell(session, *TURNS, complete=True)
        await asyncio.sleep(60)
    assert model.asked == [(0.0, list(TURNS))]


@pytest.mark.parametrize("turns", [TURNS, (*TURNS, PAGE)])
async def test_history_is_not_answered(talk: Talk, turns: tuple[str, ...]) -> None:
    """Whoever said the last of it; complete turns end it, and those after it are answered."""
    model = Model()
    history = {"initial_history_in_client_content": True}
    async with talk(model, history_config=history) as session:
        await tell(session, *turns[:2], complete=False)
        await tell(session, *turns[2:], complete=True)
        await asyncio.sleep(10)
        await session.send_realtime_input(text="Who am I?")
        await asyncio.sleep(10)
        await tell(session, "user: And where?", complete=True)
        await asyncio.sleep(60)
    assert model.asked == [
        (10.0, [*turns, WHO]),
        (20.0, [*turns, WHO, "model: Yes.", "user: And where?"]),
    ]


async def test_what_is_told_over_a_reply_follows_it(talk: Talk) -> None:
    """It cuts nothing."""
    model = Model(takes_s=2.0)
    async with talk(model) as session:
        await tell(session, WHO, complete=True)
        await asyncio.sleep(1)
        await tell(session, PAGE, complete=False)
        await asyncio.sleep(10)
        await tell(session, "user: And where?", complete=True)
        await asyncio.sleep(60)
    assert model.asked == [(0.0, [WHO]), (11.0, [WHO, "model: Yes.", PAGE, "user: And where?"])]
