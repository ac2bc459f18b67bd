"""`TurnLog`: a line in the log for each turn, each failure and each change of the pressure."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from vivace.flow.records import Measured, PartPassed, Record, RunFinished, Said
from vivace.metrics.marks import error_text
from vivace.metrics.turns import Turns, TurnStory
from vivace.part import Data, Part

__all__ = ["TurnLog"]

Log = Callable[..., Any]


class TurnLog:
    """A hook that logs: turns at the level of information, failures as warnings, errors that ended
    a run as errors.

    logger: one of `structlog` or of `logging`. Unless given, that of structlog where it is there,
        else `logging.getLogger("vivace")`. Structlog gets facts by name; else they are in the
        message, and as a dict in the record's `vivace`. What was said is never in a line.
    """

    skips_parts = True

    def __init__(self, logger: Any = None) -> None:
        self._logger = _default() if logger is None else logger
        self._plain = isinstance(self._logger, logging.Logger | logging.LoggerAdapter)
        self._turns = Turns(self._turn)
        self._level = 0.0

    def __call__(self, record: Record) -> None:
        match record:
            case Said(part=Part(body=Data(value={"event": "failed"} as news))):
                self._failed(news)
            case PartPassed(aside=True, part=Part(body=Data(value={"event": "failed"} as news))):
                self._failed(news)
            case Measured(by="pressure", what="pressure", value=value) if value != self._level:
                self._level = value  # each run is told
                self._log("warning" if value else "info", "pressure", {"level": round(value)})
        self._turns(record)
        if isinstance(record, RunFinished) and record.error is not None:
            self._log("error", "run failed", {"run": record.run, "error": error_text(record.error)})

    def _turn(self, story: TurnStory) -> None:
        facts: dict[str, Any] = {
            "conversation": story.conversation,
            "run": story.run,
            "turn": story.turn,
            "outcome": story.outcome,
        }
        if story.kind is not None:
            facts["interruption"] = story.kind
        facts |= dict(story.measures())
        if story.error:
            facts["error"] = story.error
        self._log("info", "turn", facts)

    def _failed(self, news: dict[str, Any]) -> None:
        facts = {name: value for name, value in news.items() if name != "event"}
        self._log("warning", "failed", facts)

    def _log(self, level: str, event: str, facts: dict[str, Any]) -> None:
        if not self._plain:
            log: Log = getattr(self._logger, level)
            log(event, **facts)
            return
        logger, message = self._logger, "%s %s"
        extra: dict[str, Any] = {"vivace": {"event": event, **facts}}
        while isinstance(logger, logging.LoggerAdapter):  # it writes its facts over those of a call
            message, its = logger.process(message, {"extra": {}})
            extra |= its.get("extra") or {}
            logger = logger.logger
        told = " ".join(f"{name}={value}" for name, value in facts.items())
        getattr(logger, level)(message, event, told, extra=extra)


def _default() -> Any:
    try:
        import structlog
    except ModuleNotFoundError:
        return logging.getLogger("vivace")
    return structlog.get_logger("vivace")
