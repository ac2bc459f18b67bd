"""`Cached`: what was computed once is not computed again."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vivace.errors import StageError
from vivace.flow.clock import now
from vivace.flow.hooks import observe
from vivace.flow.part_processor import PartProcessor, part_processor
from vivace.flow.processor import Processor, processor
from vivace.flow.records import Measured, Record
from vivace.part import Data, Interrupted, Part, Response, TurnComplete
from vivace.processors.cache import Cached, CacheStatistics
from vivace.testing import run_virtual

pytest.importorskip("cachetools")

pytestmark = pytest.mark.virtual


class Answers(Processor):
    """A turn processor that takes a second a word, and counts how often it was asked."""

    def __init__(self, *words: str, error: bool = False) -> None:
        self.words = words
        self.error = error
        self.asked = 0
        self.closed = 0

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompt = " ".join([part.text async for part in stream])
        self.asked += 1
        try:
            for word in self.words:
                await asyncio.sleep(1.0)
                yield Part(f"{prompt}: {word}", role="model")
            if self.error:
                raise LookupError("no more words")
        finally:
            self.closed += 1


async def timed(agent: Processor, source: Any = "hi") -> list[tuple[float, str]]:
    begun = now()
    return [(now() - begun, part.text) async for part in agent(source)]


# -- streams --------------------------------------------------------------------------------------


async def test_an_answer_is_given_again() -> None:
    """The second time it comes at once, and nobody is asked."""
    model = Answers("one", "two")
    agent = Cached(model)
    assert await timed(agent) == [(1.0, "hi: one"), (2.0, "hi: two")]
    assert await timed(agent) == [(0.0, "hi: one"), (0.0, "hi: two")]
    assert model.asked == 1
    assert (agent.hits, agent.misses, agent.evictions) == (1, 1, 0)
    assert agent.name == "answers"


async def test_with_its_timing() -> None:
    """As slowly as it came."""
    agent = Cached(Answers("one", "two"), timing=True)
    await timed(agent)
    assert await timed(agent) == [(1.0, "hi: one"), (2.0, "hi: two")]
    assert agent.hits == 1


async def test_it_is_kept_for_its_time() -> None:
    """Until just before `ttl_s`, and no longer."""
    model = Answers("one")
    agent = Cached(model, ttl_s=10.0)
    await timed(agent)
    await asyncio.sleep(9.5)
    await timed(agent)
    assert model.asked == 1
    await asyncio.sleep(0.5)
    await timed(agent)
    assert model.asked == 2


async def test_other_requests_are_others() -> None:
    """Another text, role, substream, number of parts or metadata: each is asked by itself."""
    model = Answers("one")
    agent = Cached(model)
    requests: list[Any] = [
        "hi", "ho", Part("hi", role="system"), Part("hi", substream="other"), ["hi", "hi"],
        Part("hi", metadata={"lang": "en"}), Part(Data({"a": 1, "b": 2})), [],
    ]  # fmt: skip
    for request in requests:
        await timed(agent, request)
    assert model.asked == len(requests)
    await timed(agent, Part(Data({"b": 2, "a": 1})))
    await timed(agent, Part("hi", turn=7, at=3.5))
    assert model.asked == len(requests)


async def test_equal_requests_share_one_computation() -> None:
    """Ten at once: one is computed, all have it as it comes."""
    model = Answers("one", "two")
    agent = Cached(model)
    found = await asyncio.gather(*(timed(agent) for _ in range(10)))
    assert found == [[(1.0, "hi: one"), (2.0, "hi: two")]] * 10
    assert model.asked == 1
    assert agent.statistics() == CacheStatistics(misses=1, shared=9)


async def test_who_joins_late_gets_all() -> None:
    """What there was comes at once, then the rest."""
    agent = Cached(Answers("one", "two"))
    first = asyncio.ensure_future(timed(agent))
    await asyncio.sleep(1.5)
    assert await timed(agent) == [(0.0, "hi: one"), (0.5, "hi: two")]
    await first


async def test_who_asked_first_may_leave() -> None:
    """The computation goes on for those who stay, and its answer is kept."""
    model = Answers("one", "two")
    agent = Cached(model)
    first, second = (asyncio.ensure_future(timed(agent)) for _ in range(2))
    await asyncio.sleep(1.5)
    first.cancel()
    await asyncio.wait([first])
    assert await second == [(1.0, "hi: one"), (2.0, "hi: two")]
    assert (await timed(agent))[0] == (0.0, "hi: one")
    assert (model.asked, model.closed) == (1, 1)


async def test_an_interrupted_answer_is_not_kept() -> None:
    """When nobody wants it any more it is stopped at once, and asked anew."""
    model = Answers("one", "two")
    agent = Cached(model)
    async with agent.run("hi") as parts:
        await anext(parts)
    assert model.closed == 1
    assert await timed(agent) == [(1.0, "hi: one"), (2.0, "hi: two")]
    assert model.asked == 2


@pytest.mark.parametrize("end", [Interrupted(1), TurnComplete(1, "failed")])
async def test_an_answer_that_says_it_was_cut_is_not_kept(end: Any) -> None:
    """It came to its end, but tells that it is no whole one."""
    asked = 0

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        nonlocal asked
        asked += 1
        async for part in stream:
            yield part
        yield Part(end, role="model")

    agent = Cached(model)
    await timed(agent)
    await timed(agent)
    assert (asked, agent.hits) == (2, 0)


async def test_a_tool_that_has_failed_is_asked_again() -> None:
    """Its response says so, and is an error like any other."""
    errors = ["no network", ""]

    @part_processor
    async def tool(part: Part) -> Part:
        return Part.response("look", "it rains", id="1", error=errors.pop(0))

    agent = Cached(tool)
    seen = [part.body for _ in range(3) async for part in agent("x")]
    assert [it.error for it in seen if isinstance(it, Response)] == ["no network", "", ""]
    assert (agent.misses, agent.hits) == (2, 1)


async def test_a_whole_answer_with_its_end_is_kept() -> None:
    """`TurnComplete` that says done is part of it."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        yield Part(TurnComplete(1), role="model")

    agent = Cached(model)
    for _ in range(2):
        assert [part.body async for part in agent("x")] == [TurnComplete(1)]
    assert agent.hits == 1


async def test_errors_are_everybodys_and_are_not_kept() -> None:
    """All who shared it get the error; the next one is asked again."""
    model = Answers("one", error=True)
    agent = Cached(model)
    found = await asyncio.gather(timed(agent), timed(agent), return_exceptions=True)
    assert [str(it) for it in found] == ["no more words"] * 2
    with pytest.raises(LookupError):
        await timed(agent)
    assert model.asked == 2
    assert agent.statistics() == CacheStatistics(misses=2, shared=1)


async def test_values_are_safe_from_callers() -> None:
    """Whoever writes into what it got changes nothing of what others get."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        yield Part(Data({"list": [1]}), metadata={"fresh": True})

    agent = Cached(model)
    for _ in range(3):
        (part,) = [part async for part in agent("x")]
        assert isinstance(part.body, Data)
        assert part.body.value == {"list": [1]}
        assert part.metadata == {"fresh": True}
        part.body.value["list"].append(2)
        part.metadata["fresh"] = False  # type: ignore[index]


async def test_who_shares_an_answer_has_parts_of_its_own() -> None:
    """Who writes into a part before the answer is whole changes neither what others get of it, nor
    what is kept."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        yield Part(Data({"list": [1]}), metadata={"by": ["model"]})
        await asyncio.sleep(1.0)
        yield Part("the end")

    agent = Cached(model)
    seen: list[tuple[Any, Any]] = []

    async def ask(after_s: float) -> None:
        await asyncio.sleep(after_s)
        async for part in agent("x"):
            if isinstance(part.body, Data):
                seen.append((part.body.value["list"].copy(), part.metadata["by"].copy()))
                part.body.value["list"].append(2)
                part.metadata["by"].append("caller")

    await asyncio.gather(ask(0.0), ask(0.0), ask(0.5), ask(2.0))
    assert seen == [([1], ["model"])] * 4
    assert agent.statistics() == CacheStatistics(misses=1, shared=2, hits=1)


async def test_side_lanes_are_told_once() -> None:
    """What a stage tells about its work is not told again when nothing is done."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for _ in stream:
            pass
        yield Part("working", substream="status")
        yield Part("done")

    agent = Cached(model)
    assert [text for _, text in await timed(agent)] == ["working", "done"]
    assert [text for _, text in await timed(agent)] == ["done"]


async def test_moved_to_the_new_request() -> None:
    """Parts that carry the request's turn and time get those of the new request."""

    @part_processor
    async def echo(part: Part) -> list[Part]:
        return [part.derive(body="1"), part.derive(body="2", at=(part.at or 0.0) + 0.5, turn=9)]

    agent = Cached(echo)
    found = [
        [(part.turn, part.at) async for part in agent(Part("x", turn=turn, at=at))]
        for turn, at in ((1, 1.0), (2, 7.25), (3, None))
    ]
    assert found == [[(1, 1.0), (9, 1.5)], [(2, 7.25), (9, 7.75)], [(3, None), (9, None)]]
    assert agent.misses == 1


# -- bounds ---------------------------------------------------------------------------------------


async def test_bounded_by_entries() -> None:
    """The least recently used leaves."""
    model = Answers("one")
    agent = Cached(model, max_entries=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await timed(agent, text)
    assert (model.asked, agent.evictions, agent.hits) == (4, 2, 2)


async def test_bounded_by_bytes() -> None:
    """Ten answers of a kilobyte in four kilobytes: three are left."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part.derive(body=Data(None, "application/octet-stream", bytes(1000)))

    agent = Cached(model, max_bytes=4000)
    for number in range(10):
        await timed(agent, str(number))
    assert agent.evictions == 7
    await timed(agent, "7")
    assert agent.hits == 1


async def test_what_is_too_large_is_not_kept() -> None:
    """All of it comes, and it is computed each time."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            for _ in range(100):
                yield part.derive(body=bytes(100).hex())

    agent = Cached(model, max_bytes=1000)
    for _ in range(2):
        assert len(await timed(agent)) == 100
    assert agent.statistics() == CacheStatistics(misses=2, unkept=2)


async def test_a_stream_without_end_goes_by() -> None:
    """More than a request can be is handed on as it is, and nothing of it is kept."""

    @processor
    async def count(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        number = 0
        async for _ in stream:
            number += 1
        yield Part(str(number))

    agent = Cached(count, max_bytes=1000)
    assert [text for _, text in await timed(agent, ["x" * 100] * 50)] == ["50"]
    assert agent.statistics() == CacheStatistics(passed=1)


async def test_what_cannot_be_told_apart_goes_by() -> None:
    """A request that cannot be written down is computed, and its answer not kept."""
    model = Answers("one")
    agent = Cached(model)
    for _ in range(2):
        assert len(await timed(agent, Part(Data(object())))) == 1
    assert agent.statistics() == CacheStatistics(passed=2)


async def test_what_would_come_back_as_something_else_is_not_kept() -> None:
    """A tuple is no list, and an object is nothing that can be written down."""
    for value in ((1, 2), object()):

        @processor
        async def model(stream: AsyncIterator[Part], value: object = value) -> AsyncIterator[Part]:
            async for _ in stream:
                yield Part(Data(value))

        agent = Cached(model)
        for _ in range(2):
            (part,) = [part async for part in agent("x")]
            assert part.body == Data(value)
        assert agent.statistics() == CacheStatistics(misses=2, unkept=2)


def test_bounds_keep_something() -> None:
    """Bounds of nothing, and what is no processor, are told at once."""
    for ttl_s, entries, size in ((0.0, 1, 1), (1.0, 0, 1), (1.0, 1, 0)):
        with pytest.raises(StageError, match="keeps nothing"):
            Cached(Answers("x"), ttl_s=ttl_s, max_entries=entries, max_bytes=size)
    with pytest.raises(StageError, match="give a processor"):
        Cached(len)  # type: ignore[call-overload]


async def test_clear_forgets() -> None:
    """After it everything is asked anew."""
    model = Answers("one")
    agent = Cached(model)
    await timed(agent)
    await agent.clear()
    await timed(agent)
    assert model.asked == 2


def test_another_loop_has_another_clock() -> None:
    """How old a value is on a clock that went back nobody knows: it is computed anew."""
    model = Answers("one")
    agent = Cached(model)
    for asked in (1, 2):
        run_virtual(lambda: timed(agent))
        assert model.asked == asked


# -- part processors ------------------------------------------------------------------------------


async def test_each_part_is_a_request() -> None:
    """Of a part processor each part by itself is cached, several at once, in their order."""
    seen: list[str] = []

    @part_processor
    async def slow(part: Part) -> str:
        seen.append(part.text)
        await asyncio.sleep(1.0)
        return part.text.upper()

    agent = Cached(slow)
    assert isinstance(agent, PartProcessor)
    assert isinstance(agent, Cached)
    assert [text for _, text in await timed(agent, ["a", "b", "a"])] == ["A", "B", "A"]
    assert sorted(seen) == ["a", "b"]
    assert agent.statistics() == CacheStatistics(misses=2, shared=1)
    assert agent.concurrency == slow.concurrency


async def test_it_stands_where_a_part_processor_may() -> None:
    """Beside others, and in chains of part functions; signals and what it does not want pass."""

    @part_processor(match=lambda part: part.text != "skip")
    def shout(part: Part) -> str:
        return part.text.upper()

    @part_processor
    def same(part: Part) -> Part:
        return part

    agent = Cached(shout) // same
    assert [text for _, text in await timed(agent, ["a"])] == ["A", "a"]
    chain = same + Cached(shout) + same
    parts: list[Any] = ["skip", "a", TurnComplete(1)]
    found = [part.text or part.body async for part in chain(parts)]
    assert found == ["skip", "A", TurnComplete(1)]


# -- who watches ----------------------------------------------------------------------------------


async def test_numbers_are_told_to_hooks() -> None:
    """Hits, misses and evictions, as they happen."""
    seen: list[Record] = []
    agent = Cached(Answers("one"), max_entries=1)
    with observe(seen.append):
        for text in ("a", "a", "b", "b"):
            await timed(agent, text)
    told = [(it.by, it.what) for it in seen if isinstance(it, Measured)]
    assert told == [
        ("Cached answers", what) for what in ("misses", "hits", "misses", "evictions", "hits")
    ]


# -- on disk --------------------------------------------------------------------------------------


async def test_a_file_lasts(tmp_path: Path) -> None:
    """Another cache on the same file has what this one has computed, sound and all."""
    sound = Part.audio(b"\1\0" * 100, words="hello", role="model")

    def model(asked: list[str]) -> Processor:
        @processor
        async def says(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
            asked.extend([part.text async for part in stream])
            yield sound

        return says

    path, asked = tmp_path / "cache.db", list[str]()
    for _ in range(2):
        agent = Cached(model(asked), path=path, settings="says")
        assert [part async for part in agent("x")] == [sound]
    assert asked == ["x"]
    assert (agent.hits, agent.misses) == (1, 0)
    await agent.clear()
    assert [part async for part in agent("x")] == [sound]
    assert asked == ["x", "x"]


async def test_other_settings_are_other_answers(tmp_path: Path) -> None:
    """The class and its attributes are part of the key; a later attribute changes nothing."""
    path = tmp_path / "cache.db"
    for words, again in ((("one",), 1), (("two",), 1), (("one",), 0)):
        model = Answers(*words)
        agent = Cached(model, path=path, ttl_s=1000.0)
        await timed(agent)
        assert model.asked == again


async def test_a_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In entries and in bytes; the least recently used leaves, and what is too old."""
    today = 1000.0
    monkeypatch.setattr("time.time", lambda: today)
    model = Answers("one")
    agent = Cached(model, path=tmp_path / "cache.db", max_entries=2, ttl_s=10.0)
    for text in ("a", "b", "a", "c", "a", "b"):
        await timed(agent, text)
    assert (model.asked, agent.evictions, agent.hits) == (4, 2, 2)
    today += 10.0
    await timed(agent, "b")
    assert (model.asked, agent.evictions) == (5, 2)


async def test_no_value_is_older_than_was_asked(tmp_path: Path, monkeypatch: Any) -> None:
    """A cache of ten seconds finds nothing that another one on its file keeps for a thousand."""
    today = 1000.0
    monkeypatch.setattr("time.time", lambda: today)
    model = Answers("one")
    for ttl_s, asked in ((1000.0, 1), (10.0, 2), (1000.0, 2), (10.0, 3)):
        await timed(Cached(model, path=tmp_path / "cache.db", ttl_s=ttl_s, settings=""))
        assert model.asked == asked
        today += 15.0


async def test_a_file_that_is_broken_is_no_hindrance(tmp_path: Path) -> None:
    """It is told on `status`, and computed."""
    path = tmp_path / "cache.db"
    model = Answers("one")
    agent = Cached(model, path=path)
    await timed(agent)
    with sqlite3.connect(path) as file:
        file.execute("UPDATE cached SET value = x'00'")
    file.close()
    parts = [part async for part in agent("hi")]
    assert [part.body.value["what"] for part in parts if isinstance(part.body, Data)] == [
        "cache of answers"
    ]
    assert parts[-1].text == "hi: one"
    with sqlite3.connect(path) as file:
        file.execute("DROP TABLE cached")
    file.close()
    assert (await timed(agent))[-1][1] == "hi: one"
    assert agent.statistics().failures == 3


async def test_who_writes_keeps_nobody_from_reading(tmp_path: Path) -> None:
    """While another process holds the file for writing, what is kept is found, and at once."""
    path = tmp_path / "cache.db"
    agent = Cached(Answers("one"), path=path)
    await timed(agent)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        assert await timed(agent) == [(0.0, "hi: one")]
        file.execute("ROLLBACK")
    assert agent.statistics() == CacheStatistics(hits=1, misses=1)


def test_a_file_that_cannot_be_is_told(tmp_path: Path) -> None:
    """There is no such folder, it is no file, or none of a cache."""
    (tmp_path / "text").write_text("hello " * 1000)
    with closing(sqlite3.connect(tmp_path / "another")) as file:
        file.execute("CREATE TABLE cached (name TEXT)")
    for name in ("nowhere/cache.db", ".", "text", "another"):
        with pytest.raises(OSError, match=r"no cache can be kept in .*; name a file"):
            Cached(Answers("x"), path=tmp_path / name)


def test_without_cachetools_it_is_told() -> None:
    """With the command that installs it."""
    code = (
        "import sys; sys.modules['cachetools'] = None\n"
        "from vivace.processors.cache import Cached\n"
        "from vivace.flow.part_processor import part_processor\n"
        "from vivace.errors import ExtraMissing\n"
        "try: Cached(part_processor(lambda part: part))\nexcept ExtraMissing as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'vivace[cache]'" in done.stdout
