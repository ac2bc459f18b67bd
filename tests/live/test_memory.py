"""The prompt of a live conversation: bounded, summarised beside it, and nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from vivace import Data, LiveModelProcessor, Part, Processor, TurnComplete, TurnEnded, processor
from vivace.flow.clock import now
from vivace.machines.policy import LastTurns
from vivace.models import Scripted
from vivace.testing.script import play

pytestmark = pytest.mark.virtual(seeds=5)

TURNS = 40
ANSWER = "that is a fine thing to know about, and I shall keep it in mind for you"


def script(turns: int = TURNS) -> list[tuple[float, Part]]:
    """One typed turn a second."""
    lines = [Part(f"number {n} is the thing that I want to tell you next") for n in range(turns)]
    ends = [Part(TurnEnded(float(n)), at=float(n)) for n in range(turns)]
    return [(float(n), it) for n in range(turns) for it in (lines[n], ends[n])]


def prompts(seen: list[tuple[float, Part]]) -> list[list[str]]:
    told = [part.body.value for _, part in seen if isinstance(part.body, Data)]
    return [[line["text"] for line in it["prompt"]] for it in told if it["event"] == "asked"]


def answered(seen: list[tuple[float, Part]]) -> int:
    return sum(isinstance(part.body, TurnComplete) for _, part in seen)


def summarizer(log: list[float], takes_s: float = 0.5) -> Processor:
    @processor
    async def writes(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        log.append(now())
        await asyncio.sleep(takes_s)
        yield Part("They spoke of numbers.", role="model")

    return writes


async def test_a_summary_is_written_beside_the_conversation() -> None:
    """The prompt stays within its tokens, and what left is told in it."""
    log: list[float] = []
    agent = LiveModelProcessor(
        Scripted([ANSWER] * TURNS), max_tokens=400, summarizer=summarizer(log)
    )
    seen = await play(agent, script())
    assert answered(seen) == TURNS
    assert log
    assert all(sum(len(text) for text in prompt) <= 4 * 400 for prompt in prompts(seen))
    assert any("They spoke of numbers." in text for text in prompts(seen)[-1])
    assert prompts(seen)[-1][-1].startswith(f"number {TURNS - 1} ")


@pytest.mark.parametrize("takes_s", [1e9, -1.0])
async def test_a_summariser_that_hangs_or_fails_holds_nobody_up(takes_s: float) -> None:
    """Then first sentences are kept; and the end of the conversation does not wait for it."""
    log: list[float] = []
    slow = summarizer(log, takes_s) if takes_s > 0 else broken(log)
    agent = LiveModelProcessor(Scripted([ANSWER] * TURNS), max_tokens=400, summarizer=slow)
    seen = await play(agent, script())
    assert answered(seen) == TURNS
    assert log
    assert seen[-1][0] == TURNS - 1.0
    assert all(sum(len(text) for text in prompt) <= 4 * 400 for prompt in prompts(seen))


def broken(log: list[float]) -> Processor:
    @processor
    async def breaks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        log.append(now())
        async for _ in stream:
            raise OSError("the line is dead")
        yield Part("")

    return breaks


async def test_a_policy_lets_parts_leave_sooner() -> None:
    """More than three turns of the user are made two: what is left of the others is told first."""
    agent = LiveModelProcessor(Scripted([ANSWER] * 6), policy=LastTurns(3, 2))
    seen = await play(agent, script(6))
    kept = [sum(text.startswith("number ") for text in prompt) for prompt in prompts(seen)]
    assert kept == [1, 2, 3, 2, 3, 2]
