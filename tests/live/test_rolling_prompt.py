"""The rolling prompt: what is in it, what waits aside, and how it grows while it is read."""

import asyncio

import pytest

from vivace import Part, RollingPrompt
from vivace.errors import FlowError, PartError

pytestmark = pytest.mark.virtual


def texts(prompt: RollingPrompt) -> list[str]:
    return [part.text for part in prompt.parts()]


async def test_parts_stay_in_order_and_pins_in_front() -> None:
    """System and high-priority parts come first, each group in the order it was added."""
    prompt = RollingPrompt()
    prompt.add_part(Part("hello"))
    prompt.add_part(Part("be kind", role="system"))
    prompt.add_part(Part("hi", role="model"))
    prompt.add_part(Part("my name is Ann"), priority="high")
    assert texts(prompt) == ["be kind", "my name is Ann", "hello", "hi"]


async def test_old_turns_leave_whole() -> None:
    """Once a part is older than the window, turns leave until the rest is young enough."""
    prompt = RollingPrompt(duration_sec=10.0)
    for number in range(4):
        prompt.add_part(Part(f"question {number}"))
        prompt.add_part(Part(f"answer {number}", role="model"))
        await asyncio.sleep(3.0)
    await asyncio.sleep(1.5)
    prompt.add_part(Part("question 4"))
    assert texts(prompt)[0] == "question 2"
    assert texts(prompt)[-1] == "question 4"


async def test_a_stash_waits_until_it_is_applied() -> None:
    """What is stashed is not in the prompt until then, and enters in order."""
    prompt = RollingPrompt()
    prompt.stash_part(Part("one"))
    prompt.stash_part(Part("pin", role="user"), priority="high")
    prompt.stash_part(Part("two"))
    assert texts(prompt) == []
    prompt.apply_stash()
    assert texts(prompt) == ["pin", "one", "two"]
    prompt.apply_stash()
    assert texts(prompt) == ["pin", "one", "two"]


async def test_a_stash_has_a_bound() -> None:
    """More than the prompt could hold cannot be stashed."""
    prompt = RollingPrompt(max_parts=4)
    for number in range(4):
        prompt.stash_part(Part(str(number)))
    with pytest.raises(FlowError, match="apply_stash"):
        prompt.stash_part(Part("one more"))


async def test_pins_have_a_budget() -> None:
    """Half of the prompt may be pinned; one more is refused, saying what to do."""
    prompt = RollingPrompt(max_parts=4)
    prompt.add_part(Part("a"), priority="high")
    prompt.add_part(Part("b"), priority="high")
    with pytest.raises(PartError, match="pin less"):
        prompt.add_part(Part("c"), priority="high")


async def test_the_pending_prompt_grows_while_it_is_read() -> None:
    """A model gets what is there, then each part as it is added, and the end when finalized."""
    prompt, read = RollingPrompt(), []
    prompt.add_part(Part("one"))
    pending = prompt.pending()

    async def model() -> None:
        async for part in pending:
            read.append(part.text)

    async with asyncio.TaskGroup() as group:
        group.create_task(model())
        await asyncio.sleep(1.0)
        assert read == ["one"]
        prompt.add_part(Part("two"))
        await asyncio.sleep(1.0)
        assert read == ["one", "two"]
        prompt.finalize_pending()
    assert read == ["one", "two"]


async def test_one_pending_prompt_at_a_time() -> None:
    """A second one cannot be begun before the first is finalized; finalizing twice is no error."""
    prompt = RollingPrompt()
    prompt.pending()
    with pytest.raises(FlowError, match="finalize_pending"):
        prompt.pending()
    prompt.finalize_pending()
    prompt.finalize_pending()
    prompt.pending()
    prompt.finalize_pending()


async def test_a_reader_that_falls_behind_misses_the_oldest() -> None:
    """Nothing piles up beside the window: a reader gets what the prompt still holds."""
    prompt = RollingPrompt(max_parts=4)
    pending = prompt.pending()
    for number in range(10):
        prompt.add_part(Part(str(number)))
    prompt.finalize_pending()
    assert [part.text async for part in pending] == ["6", "7", "8", "9"]


async def test_a_reader_that_falls_behind_misses_no_pin() -> None:
    """What is pinned is read, however much came since."""
    prompt = RollingPrompt(max_parts=4)
    prompt.add_part(Part("be kind", role="system"))
    pending = prompt.pending()
    prompt.add_part(Part("Ann"), priority="high")
    for number in range(10):
        prompt.add_part(Part(str(number)))
    prompt.finalize_pending()
    assert [part.text async for part in pending] == ["be kind", "Ann", "8", "9"]
