import asyncio
import gc
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from vivace import AudioRateLimiter, DetectSpeech, DetectTurn, LiveModelProcessor, Speak, Transcribe
from vivace.errors import FlowError
from vivace.flow.clock import now
from vivace.flow.hooks import observe
from vivace.flow.processor import Processor, processor
from vivace.flow.records import PartPassed, RunFinished, RunStarted, StageId, StageStarted
from vivace.flow.run import current_run
from vivace.metrics.trace import Trace, trace
from vivace.models import Scripted
from vivace.part import Held, Image, Interrupted, Part, Played, Reset, Resumed, TurnComplete
from vivace.testing.fakes import (
    Caller,
    FakeDetector,
    FakeTranscriber,
    FakeTurnDetector,
    FakeVoice,
)
from vivace.testing.script import timeline

pytestmark = pytest.mark.virtual

AT, ASKED, KIND, SECONDS, TEXT, ROLE, TURN, LANE = range(8)
S = 1_000_000  # microseconds


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


@processor
async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        await asyncio.sleep(0.25)
        yield part


@processor
async def broken(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        if part.text == "bad":
            raise ValueError("broken")
        yield part


@processor
async def answers(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        async for each in (slow + copy)(part):
            yield each


async def run(agent: Processor, source: Any) -> list[str]:
    return [part.text async for part in agent(source)]


def data_of(page: str) -> Any:
    """What a page draws."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def lanes(kept: Trace) -> dict[str, Any]:
    """The lanes of a page, by what stands beside them, further in for the inner ones."""
    found: dict[str, Any] = {}
    for section in data_of(kept.html())["sections"]:
        for lane in section["lanes"]:
            run = "run " * (lane["sort"] == "run")
            name = "  " * lane["depth"] + run + lane["label"]
            assert name not in found
            found[name] = lane
    return found


# -- what is on the page


async def test_lanes_are_in_the_order_of_the_pipeline() -> None:
    """The run, its source, its stages; then the runs within it, further in."""
    kept = Trace()
    with observe(kept):
        await run(copy + answers + slow, ["a", "b"])
    assert list(lanes(kept)) == [
        "run agent",
        "source",
        "copy",
        "answers",
        "slow",
        "  run agent",
        "  source",
        "  slow",
        "  copy",
    ]
    assert lanes(kept)["  run agent"]["runs"] == 2
    assert lanes(kept)["answers"]["path"] == "agent[1].answers"


async def test_parts_are_where_they_were() -> None:
    """Each part is in the lane of the stage it left, with when, what, whose, and how long."""
    kept = Trace()
    script = [
        (0.5, Part.audio(b"\0" * 3200, words="one ", role="model", turn=3)),
        (1.5, Part("hello")),
        (2.0, Part(Image(b"123"))),
        (2.25, Part("aside", substream="debug")),
    ]
    with observe(kept):
        await run(slow + copy, timeline(script))
    audio, text, image = (
        data_of(kept.html())["kinds"].index(it) for it in ("audio", "text", "image")
    )
    assert lanes(kept)["slow"]["marks"] == [
        [0.75 * S, 0, audio, 0.1 * S, "one ", "model", 3, ""],
        [1.75 * S, 0.75 * S, text, 0, "hello", "user", 0, ""],
        [2.25 * S, 1.75 * S, image, 0, "image/jpeg, 3 bytes", "user", 0, ""],
    ]
    assert lanes(kept)["source"]["marks"][3][LANE] == "debug"
    assert data_of(kept.html())["length"] == 2.25 * S


async def test_waiting_is_drawn() -> None:
    """For input while the stage before it works, and for room while the next one does."""
    kept = Trace()
    with observe(kept):
        await run(slow + copy, timeline([(0.5, "a"), (1.0, "b"), (2.0, "c")]))
    drawn = lanes(kept)
    assert drawn["slow"]["input"] == [[0, 0.5 * S], [0.75 * S, 1 * S], [1.25 * S, 2 * S]]
    assert drawn["slow"]["room"] == []
    assert drawn["source"]["input"] == []
    assert drawn["source"]["room"] == [
        [0.5 * S, 0.75 * S],
        [1 * S, 1.25 * S],
        [2 * S, 2.25 * S],
    ]


async def test_waiting_in_vain_is_drawn() -> None:
    """What a stage waited for when it was closed counts too, and so does what it had out."""

    @processor
    async def leaves(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield await anext(stream)
        try:
            async with asyncio.timeout(1.0):
                await anext(stream)
        except TimeoutError:
            yield Part("bye")

    @processor
    async def takes_one(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        yield await anext(stream)
        await asyncio.sleep(1.0)

    kept = Trace()
    with observe(kept):
        await run(copy + leaves, timeline([(0.5, "a"), (9.0, "b")]))
    assert lanes(kept)["leaves"]["input"] == [[0, 1.5 * S]]
    kept = Trace()
    with observe(kept):
        await run(copy + takes_one, timeline([(0.5, "a"), (9.0, "b")]))
    assert lanes(kept)["copy"]["room"] == [[0.5 * S, 1.5 * S]]


async def test_errors_are_marked() -> None:
    """Where one arose and where it passed; the run says it, too."""
    kept = Trace()
    with observe(kept), pytest.raises(ValueError, match="broken"):
        await run(copy + broken + copy, timeline([(0.5, "a"), (1.0, "bad")]))
    stages = data_of(kept.html())["sections"][0]["lanes"]
    assert stages[3]["errors"] == [[1 * S, "ValueError: broken", "agent[1].broken"]]
    assert stages[4]["errors"] == [[1 * S, "ValueError: broken", "agent[1].broken"]]
    assert stages[2]["errors"] == []
    assert stages[0]["live"] == [[0, 1 * S, "failed", "ValueError: broken"]]
    assert stages[3]["live"] == [[0, 1 * S, "failed", "ValueError: broken"]]


async def test_turns_and_interruptions_are_shown() -> None:
    """A reply is from its first part until it was played or interrupted, however late others
    come; what was announced is shown at its time."""
    kept = Trace()

    @processor
    async def announces(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            if part.text == "tell":
                current_run().bus.announce(part.metadata["signal"])
            yield part

    def tell(signal: object) -> Part:
        return Part("tell", metadata={"signal": signal})

    script = [
        (0.5, Part("x", turn=1)),
        (1.0, tell(Held(1))),
        (1.25, tell(Resumed(1))),
        (2.0, tell(Interrupted(1, heard="so far"))),
        (2.5, Part("late", turn=1)),
        (3.0, Part("y", turn=2)),
        (4.0, tell(Played(2))),
        (5.0, Part("z", turn=3)),
        (5.5, Part(TurnComplete(3, "failed"), turn=3)),
        (6.0, tell(Reset())),
    ]
    with observe(kept):
        await run(announces, timeline(script))
    section = data_of(kept.html())["sections"][0]
    assert section["turns"] == [
        [1, 0.5 * S, 2 * S, "interrupted"],
        [2, 3 * S, 4 * S, "done"],
        [3, 5 * S, 5.5 * S, "failed"],
    ]
    told = {what: (at, text) for at, what, text, _ in section["told"]}
    assert told["held"][0] == 1 * S
    assert told["resumed"][0] == 1.25 * S
    assert told["interrupted"] == (2 * S, "interrupted, turn 1, heard “so far”")
    assert told["reset"][0] == 6 * S


async def test_a_whole_conversation() -> None:
    """Of an agent that is interrupted: lanes for all stages, what they said aside, each reply as a
    run within, the interruption at its very time."""
    caller = Caller([(0.5, 1.5, "hello there"), (3.0, 4.4, "stop that now")], 6.0)
    agent = (
        DetectSpeech(FakeDetector())
        + Transcribe(FakeTranscriber(caller.texts))
        + DetectTurn(FakeTurnDetector())
        + LiveModelProcessor(Scripted(["one two three four five six", "fine"]) + Speak(FakeVoice()))
        + AudioRateLimiter()
    )
    kept = Trace()
    with observe(kept):
        await run(agent, caller)
    drawn = lanes(kept)
    assert list(drawn) == [
        "run agent",
        "source",
        "detect_speech",
        "transcribe",
        "detect_turn",
        "live_model_processor",
        "audio_rate_limiter",
        "aside",
        "  run agent",
        "  source",
        "  scripted",
        "  speak",
    ]
    section = data_of(kept.html())["sections"][0]
    assert [(n, how) for n, _, _, how in section["turns"]] == [(1, "interrupted"), (2, "done")]
    cut = [(at, text) for at, what, text, _ in section["told"] if what == "interrupted"]
    assert cut == [(4.04 * S, "interrupted, turn 1, heard “one two three four”")]
    assert len(drawn["source"]["marks"]) == 300
    assert any(mark[TEXT].startswith("floor: user") for mark in drawn["aside"]["marks"])
    said = [mark[TEXT] for mark in drawn["audio_rate_limiter"]["marks"] if mark[TURN] == 1]
    assert "".join(said).startswith("one two three four five")


# -- the page itself


async def test_the_page_needs_nothing_else_and_is_safe() -> None:
    """No part's text gets out of the data; nothing is loaded from elsewhere."""
    evil = "</script><script>alert(1)</script><!-- & \u2028 ü \ud800"
    kept = Trace()
    with observe(kept):
        await run(copy, [Part(evil, role=evil, substream=evil)])
    page = kept.html(evil)
    assert page.encode()  # the half pair of surrogates has become something
    assert page.count("<script") == page.count("</script>") == 2
    assert "alert(1)</script>" not in page
    assert not re.search(r"(src|href)\s*=|https?:|url\(|@import", page)
    assert "default-src 'none'" in page
    data = data_of(page)
    assert data["title"] == evil
    mark = data["sections"][0]["lanes"][1]["marks"][0]
    assert (mark[TEXT], mark[ROLE], mark[LANE]) == (evil, evil, evil)


def test_the_page_makes_no_html_of_text() -> None:
    """The script of the page puts text in as text."""
    page = Trace().html()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", page)


def test_a_page_of_nothing() -> None:
    """Without a run there is a page all the same."""
    data = data_of(Trace().html())
    assert data["sections"] == []
    assert (data["length"], data["title"]) == (0, "Trace")


async def test_a_run_under_way_can_be_looked_at() -> None:
    """The page of a run that goes on shows it as far as it came."""
    kept = Trace()
    with observe(kept):
        async with (copy + slow).run(timeline([(0.5, "a"), (9.0, "b")])) as parts:
            await anext(parts)
            await asyncio.sleep(1.0)
            drawn = lanes(kept)
    assert drawn["run agent"]["live"] == [[0, 0.75 * S, "running", ""]]
    assert drawn["slow"]["live"] == [[0, 0.75 * S, "running", ""]]
    assert drawn["slow"]["counts"]["parts_out"] == 0  # known when it has ended


# -- `with trace(...)`


async def test_a_block_writes_its_page(tmp_path: Path) -> None:
    """The file is written when the block ends, and named by it."""
    path = tmp_path / "conversation.html"
    with trace(path) as kept:
        await run(copy, ["a"])
        assert not path.exists()
    data = data_of(path.read_text("utf-8"))
    assert data["title"] == "conversation"
    assert data == data_of(kept.html("conversation"))
    kept.write(path, title="Another")
    assert data_of(path.read_text("utf-8"))["title"] == "Another"


async def test_a_block_that_fails_writes_its_page(tmp_path: Path) -> None:
    """An error in the block is raised as itself, and is on the page."""
    path = tmp_path / "run.html"
    with pytest.raises(ValueError, match="broken"), trace(str(path)):
        await run(broken, "bad")
    assert "ValueError: broken" in path.read_text("utf-8")


async def test_a_folder_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    """Before anything runs, not after an hour of it."""
    with (
        pytest.raises(FlowError, match="the folder is not there"),
        trace(tmp_path / "no" / "a.html"),
    ):
        raise AssertionError
    with pytest.raises(FlowError, match="keep 1 or more"), trace(tmp_path / "a.html", keep=0):
        raise AssertionError


async def test_only_what_begins_in_the_block_is_on_the_page(tmp_path: Path) -> None:
    """Runs before and after it are not."""
    await run(copy, "before")
    with trace(tmp_path / "run.html") as kept:
        await run(copy, "inside")
    await run(copy, "after")
    assert [mark[TEXT] for mark in lanes(kept)["copy"]["marks"]] == ["inside"]


# -- bounds


async def test_only_the_newest_parts_are_kept() -> None:
    """Of a thousand parts the newest ten are shown, and the page says how many are not."""
    kept = Trace(keep=10)
    with observe(kept):
        await run(copy, timeline([(n * 0.5, str(n)) for n in range(500)]))
    assert kept.dropped == 990
    data = data_of(kept.html())
    assert data["dropped"] == 990
    marks = lanes(kept)["copy"]["marks"]
    assert [mark[TEXT] for mark in marks] == ["495", "496", "497", "498", "499"]
    assert data["first"] == 495 * 0.5 * S  # where the page begins to show


async def test_only_the_newest_runs_are_kept() -> None:
    """A conversation of many replies keeps those that are newest, and itself."""
    kept = Trace()
    with observe(kept):
        await run(copy + answers, [str(n) for n in range(1200)])
    data = data_of(kept.html())
    assert data["droppedRuns"] == 201
    drawn = lanes(kept)
    assert drawn["run agent"]["runs"] == 1
    assert drawn["  run agent"]["runs"] == 999
    assert drawn["  copy"]["marks"][-1][TEXT] == "1199"


async def test_runs_that_never_end_are_let_go_too() -> None:
    """When none has ended the oldest is dropped, and what is still told of it does no harm."""
    kept = Trace()
    for number in range(1, 1003):
        kept(RunStarted(number, None, "copy", float(number)))
    stage = StageId(1, None, "source", 0)
    kept(StageStarted(stage, 2000.0))
    kept(PartPassed(stage, 2000.0, Part("late", turn=1), 2000.0, aside=False))
    kept(RunFinished(1, 2000.0, "exhausted"))
    data = data_of(kept.html())
    assert data["droppedRuns"] == 2
    assert sum(len(section["lanes"]) for section in data["sections"]) == 400
    assert data["hiddenRuns"] == 600


async def test_only_so_many_turns_are_kept() -> None:
    """The turns of an endless conversation are bounded."""
    kept = Trace()
    with observe(kept):
        await run(copy, [Part("x", turn=n) for n in range(1, 1101)])
    turns = data_of(kept.html())["sections"][0]["turns"]
    assert [turn[0] for turn in turns] == list(range(101, 1101))


async def test_audio_is_not_kept() -> None:
    """A trace holds no part, so no sound, image or document."""
    kept = Trace()
    with observe(kept):
        await run(copy, (Part.audio(b"\0" * 320_000) for _ in range(50)))
    gc.collect()
    held = [it for it in gc.get_objects() if isinstance(it, Part) and it.seconds == 10.0]
    assert held == []


async def test_runs_side_by_side_have_lanes_of_their_own() -> None:
    """Runs that overlap are drawn below each other, those that follow on one line."""
    kept = Trace()
    with observe(kept):
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(run(slow, ["a", "b"]))
        await run(slow, "a")
    sections = data_of(kept.html())["sections"]
    assert [len(section["lanes"][0]["live"]) for section in sections] == [2, 1]
    assert now() == 0.75
