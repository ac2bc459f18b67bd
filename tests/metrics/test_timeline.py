from typing import Any

import pytest

from vivace.flow.records import (
    Announced,
    PartPassed,
    Record,
    RunFinished,
    RunStarted,
    StageCounts,
    StageFinished,
    StageId,
    StageStarted,
)
from vivace.metrics.timeline import arrange
from vivace.metrics.trace import Trace
from vivace.part import Part, Played, TurnComplete

S = 1_000_000  # microseconds
COUNTS = StageCounts(0, 0, 1, 1, 0, 0.25, 0.5)
STAGES = [StageId(1, None, "source", 0), StageId(1, None, "copy", 1)]


def begun(at: float = 10.0) -> list[Record]:
    return [RunStarted(1, None, "copy", at), *(StageStarted(stage, at) for stage in STAGES)]


def passed(at: float, asked_at: float, part: Part | None = None, stage: int = 0) -> Record:
    return PartPassed(STAGES[stage], at, part or Part("a"), asked_at, aside=False)


def page(*records: Record) -> Any:
    kept = Trace()
    for record in records:
        kept(record)
    return arrange(kept._runs, kept._marks)


def section(*records: Record) -> Any:
    return page(*records)["sections"][0]


def test_times_count_from_the_first_run() -> None:
    """The page begins at 0, whatever the loop's clock said, and ends with the last thing."""
    found = page(*begun(), passed(10.5, 10.0), RunFinished(1, 12.0, "closed"))
    assert (found["first"], found["length"]) == (0.5 * S, 2 * S)


def test_sound_lasts() -> None:
    """A sound that goes on after all else makes the page as long."""
    sound = Part.audio(b"\0" * 64_000)
    assert page(*begun(), passed(11.0, 10.0, sound))["length"] == 3 * S


def test_each_run_ends_when_it_does() -> None:
    """One run is over before the page is, another is still under way."""
    found = page(
        *begun(),
        RunFinished(1, 11.0, "closed"),
        RunStarted(2, None, "copy", 10.5),
        RunFinished(2, 14.0, "exhausted"),
        RunStarted(3, None, "copy", 12.0),
    )
    assert [it["lanes"][0]["live"] for it in found["sections"]] == [
        [[0, 1 * S, "closed", ""]],
        [[0.5 * S, 4 * S, "exhausted", ""]],
        [[2 * S, 4 * S, "running", ""]],
    ]


@pytest.mark.parametrize(("asked_at", "until"), [(None, 14.0), (12.0, 12.0)])
def test_room_is_waited_for_until_it_is_asked(asked_at: float | None, until: float) -> None:
    """After its last part a stage waits until it is asked in vain, or closed unasked."""
    found = section(
        *begun(), passed(11.0, 10.0), StageFinished(STAGES[0], 14.0, "closed", COUNTS, asked_at)
    )
    assert found["lanes"][1]["room"] == [[1 * S, (until - 10.0) * S]]


def test_waits_that_touch_are_one() -> None:
    """A stage that takes no time itself waits in one piece."""
    found = section(*begun(), passed(11.0, 10.0), passed(12.0, 11.0), passed(14.0, 13.0))
    assert found["lanes"][2]["input"] == [[0, 2 * S], [3 * S, 4 * S]]


def test_counts_are_of_all_runs_on_a_lane() -> None:
    """Runs that share a lane are added up."""
    again = StageId(2, None, "source", 0)
    found = section(
        RunStarted(1, None, "copy", 0.0),
        StageStarted(STAGES[0], 0.0),
        StageFinished(STAGES[0], 1.0, "exhausted", COUNTS),
        RunFinished(1, 1.0, "exhausted"),
        RunStarted(2, None, "copy", 1.0),
        StageStarted(again, 1.0),
        StageFinished(again, 2.0, "exhausted", COUNTS),
        RunFinished(2, 2.0, "exhausted"),
    )
    counts = found["lanes"][1]["counts"]
    assert (counts["parts_out"], counts["waited_for_room_s"]) == (2, 1.0)


def test_a_reply_that_was_played_is_over() -> None:
    """What still passes of it makes it no longer."""
    found = section(
        *begun(),
        passed(11.0, 10.0, Part("x", turn=1)),
        Announced(1, 12.0, Played(1)),
        passed(13.0, 12.0, Part("x", turn=1)),
    )
    assert found["turns"] == [[1, 1 * S, 2 * S, "done"]]


def test_a_reply_keeps_how_it_was_completed() -> None:
    """Parts that come behind, further up the pipeline, do not take it back."""
    found = section(
        *begun(),
        passed(11.0, 10.0, Part("x", turn=1)),
        passed(12.0, 11.0, Part(TurnComplete(1, "failed"), turn=1)),
        passed(13.0, 12.0, Part("x", turn=1), stage=1),
    )
    assert found["turns"] == [[1, 1 * S, 3 * S, "failed"]]


def test_replies_of_runs_within_are_those_of_the_conversation() -> None:
    """A part with a turn counts wherever it passes."""
    inner = StageId(2, 1, "source", 0)
    found = section(
        *begun(),
        RunStarted(2, 1, "inner", 11.0),
        StageStarted(inner, 11.0),
        PartPassed(inner, 12.0, Part("x", turn=7), 11.0, aside=False),
    )
    assert found["turns"] == [[7, 2 * S, 2 * S, ""]]
