"""A long conversation with the local model, as `make prompt` holds it."""

import pytest

from tools.long_conversation import MAX_TOKENS, QUESTIONS, hold, missing, report
from vivace.models import Llama

pytestmark = [pytest.mark.real, pytest.mark.virtual]


async def test_what_was_said_early_is_known_late() -> None:
    """Sixty turns in 600 tokens: within the limit, and each fact is there when it is asked for."""
    model = Llama.load(history_turns=1000, examples=(), max_tokens=8, sentences=1)
    talk = await hold(model)
    assert max(turn.tokens for turn in talk.turns) <= MAX_TOKENS
    assert talk.statistics is not None
    assert talk.statistics.compactions >= 1
    assert talk.statistics.orphans == 0
    assert missing(talk) == []
    assert all(turn.reply for turn in talk.turns[-len(QUESTIONS) :])
    assert "in the prompt" in report(talk)
