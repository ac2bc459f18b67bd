"""The eighteen cases once in real time: the same scripts, on the wall clock."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import pytest

from tests.live.interruptions import (
    ASKS,
    CASES,
    NEXT,
    SENTENCES,
    STOPS,
    Case,
    interruptions,
    script,
    spoken,
)
from vivace import DetectSpeech, DetectTurn, LiveModelProcessor, Part, Processor, Speak, Transcribe
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.testing.dialogue import Listen
from vivace.testing.simulate import Broken, Cast, Course, hold

pytestmark = pytest.mark.real
Outcome: TypeAlias = Course | BaseException


def is_stubborn(case: Case) -> bool:
    """Those abandon tasks, and whose they are cannot be told: they are held alone."""
    return any(reply.end in ("deaf", "stuck") for reply in case.dialogue.replies)


def outcome_of(case: Case) -> Outcome:
    try:
        return asyncio.run(hold(case.dialogue, case.agent))
    except BaseException as error:
        return error


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """How each went. Each takes ten seconds, so those that may are held at the same time, each in a
    thread and on a loop of its own."""
    alone = [case for case in CASES if is_stubborn(case)]
    together = [case for case in CASES if not is_stubborn(case)]
    with ThreadPoolExecutor(len(together)) as threads:
        names = [case.holds for case in together]
        found = dict(zip(names, threads.map(outcome_of, together), strict=True))
    return found | {case.holds: outcome_of(case) for case in alone}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_holds_in_real_time(case: Case, outcomes: dict[str, Outcome]) -> None:
    """What the case is named after holds on the wall clock too."""
    outcome = outcomes[case.holds]
    if isinstance(outcome, BaseException):
        raise outcome
    case.check(outcome)


def test_model_in_a_real_thread_that_does_not_return() -> None:
    """The floor moves on although a thread is stuck; the next reply is heard, and all ends."""
    stuck, returns = threading.Event(), threading.Event()

    class Stuck(Processor):
        """Says what the model says, and then waits for a thread, whatever comes."""

        def __init__(self, model: Processor) -> None:
            self._model = model

        async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            async for part in self._model(stream):
                yield part
            if not stuck.is_set():
                stuck.set()
                await asyncio.to_thread(returns.wait, 20.0)

    def agent(cast: Cast) -> Processor:
        heard = DetectSpeech(cast.ears) + Transcribe(cast.ears.transcribe)
        live = LiveModelProcessor(Stuck(cast.model) + Speak(cast.voice))
        return heard + DetectTurn(cast.ears.judge_turn) + live + AudioRateLimiter()

    dialogue = script(ASKS, STOPS, Listen(), replies=(SENTENCES, NEXT))

    async def talk() -> Course:
        asyncio.get_running_loop().call_later(12.0, returns.set)
        return await hold(dialogue, agent)

    begun = time.monotonic()
    course = asyncio.run(talk())
    assert stuck.is_set()
    [(at, _)] = interruptions(course)
    assert spoken(course, 2) == NEXT.text
    assert course.words(2)[0][0] - at < 4.0
    assert time.monotonic() - begun < 30.0


def test_broken_is_told_in_real_time_too() -> None:
    """The checker runs on the wall clock as well: what does not hold is raised."""
    dialogue = script(ASKS, replies=(NEXT,), tail_s=0.5, at_most_s=2.0)

    def deaf_agent(cast: Cast) -> Processor:
        return DetectSpeech(cast.ears)

    with pytest.raises(Broken, match="nobody has answered 'what can you tell"):
        asyncio.run(hold(dialogue, deaf_agent))
