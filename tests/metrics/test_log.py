"""A line for each turn, each failure and each change of the pressure."""

import logging
import subprocess
import sys
from typing import Any

import pytest
import structlog

from tests.metrics.talks import LONG, hold
from vivace.flow.hooks import observe
from vivace.flow.records import Measured, PartPassed, RunFinished, RunStarted, Said, StageId
from vivace.metrics.log import TurnLog
from vivace.part import Data, Part
from vivace.testing.fakes import Caller

pytestmark = pytest.mark.virtual

FAILED = Part(Data({"event": "failed", "what": "reply", "error": "no"}), substream="status")


async def test_turns_are_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Facts in the message and beside it; what was said is in neither."""
    caplog.set_level(logging.INFO, logger="vivace")
    with observe(TurnLog(logging.getLogger("vivace"))):
        await hold(Caller([(0.5, 1.5, "hello"), (3.0, 4.4, "stop that now")], 8.0), LONG, "fine")
    first, second = caplog.records
    assert "turn conversation=agent" in first.getMessage()
    assert "outcome=interrupted interruption=true transcript_s=0.236" in first.getMessage()
    facts: dict[str, Any] = first.__dict__["vivace"]
    assert (facts["turn"], facts["first_audio_heard_s"], facts["hold_s"]) == (1, 0.24, 1.0)
    assert (first.levelname, second.levelname) == ("INFO", "INFO")
    assert "hello" not in caplog.text


def test_an_adapter_keeps_its_facts_and_ours(caplog: pytest.LogCaptureFixture) -> None:
    """What it adds to messages and records is there, however many there are."""

    class Call(logging.LoggerAdapter[Any]):
        def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
            return f"call 7: {msg}", kwargs

    inner = logging.LoggerAdapter(logging.getLogger("vivace"), {"line": 3})
    TurnLog(Call(inner, None))(Said(1, 1.0, FAILED))
    (record,) = caplog.records
    assert record.getMessage() == "call 7: failed what=reply error=no"
    assert record.__dict__["vivace"] == {"event": "failed", "what": "reply", "error": "no"}
    assert record.__dict__["line"] == 3


def test_structlog_gets_facts_by_name() -> None:
    """Where it is installed it is what is used."""
    with structlog.testing.capture_logs() as lines:
        hook = TurnLog()
        hook(RunStarted(1, None, "agent", 0.0))
        hook(Said(1, 1.0, FAILED))
        hook(PartPassed(StageId(1, None, "a", 0), 1.0, FAILED, 0.0, True))
        hook(Measured(1, 2.0, "pressure", "pressure", 2.0))
        hook(Measured(1, 3.0, "pressure", "pressure", 0.0))
        hook(RunFinished(1, 4.0, "failed", LookupError("gone")))
    assert lines == [
        {"event": "failed", "log_level": "warning", "what": "reply", "error": "no"},
        {"event": "failed", "log_level": "warning", "what": "reply", "error": "no"},
        {"event": "pressure", "log_level": "warning", "level": 2},
        {"event": "pressure", "log_level": "info", "level": 0},
        {"event": "run failed", "log_level": "error", "run": 1, "error": "LookupError: gone"},
    ]


def test_errors_of_a_turn_are_in_its_line() -> None:
    """What a reply failed with stands in the line of its turn."""
    with structlog.testing.capture_logs() as lines:
        hook = TurnLog()
        hook(RunStarted(1, None, "agent", 0.0))
        hook(Said(1, 1.0, Part(Data({"event": "asked", "turn": 1}), substream="status")))
        facts = {"event": "failed", "what": "reply", "turn": 1, "error": "no"}
        hook(Said(1, 1.0, Part(Data(facts), substream="status")))
        hook(RunFinished(1, 4.0, "closed"))
    assert [(line["event"], line.get("error")) for line in lines] == [
        ("failed", "no"),
        ("turn", "no"),
    ]


def test_without_structlog_it_is_the_standard_library() -> None:
    """Nothing needs to be installed."""
    code = (
        "import sys; sys.modules['structlog'] = None\n"
        "from vivace.metrics.log import TurnLog\nprint(TurnLog()._logger)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Logger vivace" in done.stdout
