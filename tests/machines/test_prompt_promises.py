"""The thirteen promises of the rolling prompt, each for all sequences of what may happen.

Parts of all kinds come, tools are called, replies are interrupted, clocks jump, prompts are read
while they grow, and summaries come late, wrong, too long or never: see prompts.py.
"""

import os
import sys
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machines.prompts import ANSWERS, Step, Talk, limits, said, talks
from vivace.machines.heard import heard_of
from vivace.machines.machine import JobDone
from vivace.machines.measure import count_bytes, count_tokens
from vivace.machines.retention import Rank
from vivace.machines.summary import Summary
from vivace.machines.window import Window
from vivace.part import Audio, Call, Image, Part, Response

slow = settings(max_examples=int(os.environ.get("PROMPT_EXAMPLES", "25")), deadline=None)


def pairs(parts: list[Part]) -> None:
    """Each call has its response, each response its call; blocks of calls come before responses."""
    waiting: list[str] = []
    for part in parts:
        if isinstance(part.body, Call):
            waiting.append(part.body.id)
        elif isinstance(part.body, Response):
            assert part.body.id in waiting
            waiting.remove(part.body.id)
        else:
            assert not waiting, "nothing stands between a call and its response"
    assert not waiting


@slow
@given(limits, talks)
def test_1_pairs_stay_whole(given: dict[str, Any], steps: list[Step]) -> None:
    """In every prompt, also one that was read while it grew, each call has its response."""
    talk = Talk(given)
    for step in steps:
        talk.step(*step)
        pairs(talk.window.parts())
        assert talk.window.statistics().orphans == 0
    handed = talk.handed_out()
    pairs(handed or [])


@slow
@given(limits, talks)
def test_2_cuts_fall_at_the_start_of_a_user_turn(given: dict[str, Any], steps: list[Step]) -> None:
    """Once something has left, what follows pins and summary is the user's, if anything is."""
    talk = Talk(given)
    for step in steps:
        talk.step(*step)
        left = set(talk.window.statistics().evicted) - {"unanswered", "superseded", "interrupted"}
        units = talk.units
        if left and any(unit.asks and unit.rank != Rank.PINNED for unit in units):
            assert units[0].asks or units[0].rank == Rank.PINNED


@slow
@given(limits, talks)
def test_3_system_and_pinned_parts_never_move_never_double(
    given: dict[str, Any], steps: list[Step]
) -> None:
    """They are there once, in their order, the system's first; a summary is never the system's."""
    talk = Talk(given)
    for step in steps:
        talk.step(*step)
        parts = talk.window.parts()
        assert [part for part in parts if part.role == "system"] == talk.system
        assert parts[: len(talk.system)] == talk.system
        pinned = [part for part in parts if any(part is other for other in talk.pinned)]
        assert pinned == talk.pinned
        for part in parts:
            if "summary" in part.metadata:
                head, *lines, last = part.text.split("\n")
                assert part.role == "user"
                assert head.startswith("[Earlier")
                assert last == ""
                assert all(line.startswith("> ") for line in lines)


@slow
@given(limits, talks)
def test_4_bounded_always(given: dict[str, Any], steps: list[Step]) -> None:
    """Parts, bytes and tokens are within the limits, in the prompt and in what a reader got."""
    talk = Talk(given)
    for step in steps:
        talk.step(*step)
        talk.check_sums()
        for parts in (talk.window.parts(), talk.read):
            assert len(parts) <= given["max_parts"]
            assert sum(map(count_tokens, parts)) <= given["max_tokens"]
            assert sum(map(count_bytes, parts)) <= given["max_bytes"]


def steps_of_an_add(history: int) -> int:
    """How many functions are entered to add a part to so much history."""
    window = Window(max_parts=10**9, max_tokens=10**9, max_bytes=10**12)
    for number in range(history):
        window.add(Part("hi", role=("user", "model")[number % 2]), 0.0)
    entered = 0

    def count(frame: object, event: str, arg: object) -> None:
        nonlocal entered
        entered += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        window.add(Part("hi"), 0.0)
    finally:
        sys.setprofile(before)
    return entered


def test_5_adding_is_the_same_work_whatever_there_is() -> None:
    """As many functions are entered with a history of 10 as with one of 20,000."""
    assert steps_of_an_add(10) == steps_of_an_add(20_000)


@settings(max_examples=15, deadline=None)
@given(limits.filter(lambda it: it["policy"] is None), st.integers(0, 3))
def test_5_adding_is_amortised(given: dict[str, Any], sizes: int) -> None:
    """However tight the limits are, units are looked at a bounded number of times each."""
    given = {**given, "max_parts": max(given["max_parts"], 13), "max_bytes": 10**9}
    window = Window(**{**given, "max_tokens": 4000})
    before = window.statistics().compactions
    for number in range(2000):
        window.add(Part("ab " * sizes, role=("user", "model")[number % 2]), number / 100)
    compactions = window.statistics().compactions - before
    # Each looks at what there is, at most `max_parts`; so many parts came since the one before.
    assert compactions * given["max_parts"] <= 2000 * 8


@slow
@given(limits, talks)
def test_6_the_prefix_is_stable(given: dict[str, Any], steps: list[Step]) -> None:
    """Unless it was compacted, a prompt begins with the bytes of the one before."""
    talk = Talk(given)
    encode = msgspec.json.Encoder().encode
    before, state = [b""][:0], (0, 0)
    for step in steps:
        talk.step(*step)
        now = [encode(part) for part in talk.window.parts()]
        if (talk.window.statistics().compactions, talk.changed) == state:
            assert now[: len(before)] == before
        before, state = now, (talk.window.statistics().compactions, talk.changed)


@slow
@given(st.integers(8, 60), st.integers(1, 9), st.booleans())
def test_6_compaction_is_rare_and_deep(max_parts: int, words: int, compress: bool) -> None:
    """When a limit is reached, half of the room becomes free, but for the summary."""
    window = Window(max_parts, max_tokens=100_000, compress=compress)
    for number in range(300):
        before = len(window)
        window.add(Part("word " * words, role=("user", "model")[number % 2]), 0.0)
        assert len(window) == before + 1 or len(window) <= max_parts // 2 + 1


chunk = st.tuples(st.integers(0, 5), st.sampled_from(["", "one ", "two three ", "four. ", "fi"]))


@slow
@given(st.lists(chunk, min_size=1, max_size=8), st.integers(0, 40), st.booleans())
def test_7_only_what_was_heard(chunks: list[tuple[int, str]], tenths: int, silent: bool) -> None:
    """A cut reply is the beginning of what it was, up to whole words, and marked."""
    parts = [
        Part.audio(bytes(3200 * size), words="" if silent else words, role="model", turn=3)
        for size, words in chunks
    ]
    if silent:
        parts += [Part(words, role="model", turn=3) for _, words in chunks if words]
    text = "".join(words for _, words in chunks)
    window = Window()
    for part in (Part("question"), *parts):
        window.add(part, 0.0)
    seconds = sum(size for size, _ in chunks) / 10
    if silent and not seconds:
        return
    assert window.cut_reply(3, 0.0, played_s=tenths / 10) == []
    replies = window.parts()[1:]
    heard = said(replies[0]) if replies else ""
    assert text.strip().startswith(heard)
    rest = text.strip()[len(heard) :]
    assert not heard or not rest or rest[0].isspace() or _at_a_chunk(heard, chunks)
    assert len(replies) == bool(heard)
    assert all(part.metadata["interrupted"] is True for part in replies)
    if tenths / 10 >= seconds:
        assert heard == text.strip()
    assert len(heard_of(parts, tenths / 20)) <= len(heard), "less was heard earlier"


def _at_a_chunk(heard: str, chunks: list[tuple[int, str]]) -> bool:
    """True if `heard` ends with a chunk: a word may be cut in two by whoever made the chunks."""
    return any(
        "".join(words for _, words in chunks[:end]).strip() == heard
        for end in range(len(chunks) + 1)
    )


@slow
@given(limits, talks)
def test_8_order_survives(given: dict[str, Any], steps: list[Step]) -> None:
    """What is kept stands in the order in which it came; a summary, where what it covers stood."""
    talk = Talk(given)
    for step in steps:
        talk.step(*step)
        kept = [unit.seq for unit in (*talk.pins, *talk.units)]
        assert kept == sorted(set(kept))
        summary = talk.window._tail.summary
        if summary is not None:
            at = len(talk.system) + sum(len(unit.parts) for unit in talk.pins)
            part = talk.window.parts()[at]
            span = {"first": summary.first, "last": summary.last, "parts": summary.parts}
            assert part.metadata["summary"] == span
            assert summary.first <= summary.last
            assert all(unit.seq > summary.last for unit in talk.units)
            assert sum("summary" in part.metadata for part in talk.window.parts()) == 1


@slow
@given(limits, talks)
def test_9_swaps_are_atomic(given: dict[str, Any], steps: list[Step]) -> None:
    """A summary takes the place of just what it is about, or of nothing."""
    talk = Talk({**given, "summarize": True})
    for kind, number in steps:
        if kind != "answer" or not talk.jobs:
            talk.step(kind, number)
            continue
        window, [job] = talk.window, talk.jobs
        before, failed = talk.units, dict(window.statistics().failed_summaries)
        old = window._tail.summary
        talk.step(kind, number)
        now = window._tail.summary
        failed_now = dict(window.statistics().failed_summaries)
        if failed_now.get("stale", 0) > failed.get("stale", 0):
            assert (talk.units, now) == (before, old)
        elif isinstance(now, Summary) and now != old:
            assert now.last == job.last
            assert [unit.seq for unit in talk.units] == [
                unit.seq for unit in before if unit.seq > job.last and _stays(unit, talk)
            ]


def _stays(unit: Any, talk: Talk) -> bool:
    return any(other.seq == unit.seq for other in talk.units) or not isinstance(
        unit.parts[0].body, Image
    )


@slow
@given(limits, talks)
def test_10_same_in_same_out(given: dict[str, Any], steps: list[Step]) -> None:
    """The same at the same times gives the same bytes."""
    talks = Talk(given), Talk(given)
    for step in steps:
        bytes_of = []
        for talk in talks:
            talk.step(*step)
            bytes_of.append(msgspec.json.encode([talk.window.parts(), talk.window.statistics()]))
        assert bytes_of[0] == bytes_of[1]


@slow
@given(limits, talks)
def test_11_media_age(given: dict[str, Any], steps: list[Step]) -> None:
    """After a compaction no old sound is left whose text is cheaper; each demotion frees tokens."""
    talk = Talk({**given, "compress": True})
    for step in steps:
        before = talk.window.statistics().compactions
        talk.step(*step)
        stats = talk.window.statistics()
        for change in stats.changes:
            if change.kind == "demoted":
                assert change.tokens_after < change.tokens_before
        if stats.compactions == before or step[0] in ("system", "apply", "interrupt", "cut"):
            continue
        for unit in talk.units:
            body = unit.parts[0].body
            if isinstance(body, Audio) and unit.added_at < talk.window._now - given["media_s"]:
                assert unit.rank == Rank.PINNED or unit.tokens <= len(body.words or "(0.1 s of so")


@slow
@given(limits, talks)
def test_12_nothing_is_silent(given: dict[str, Any], steps: list[Step]) -> None:
    """What came is in the prompt, or waits, or was counted with its reason."""
    talk = Talk(given)
    for step in steps:
        talk.step(*step)
        stats = talk.window.statistics()
        came = stats.added + stats.repaired.get("no_call", 0)
        waits = sum(
            len(group.calls) + len(group.responses) for group in talk.window._exchanges.groups
        )
        gone = sum(stats.evicted.values()) + sum(stats.refused.values())
        summary = talk.window._tail.summary is not None
        assert came == stats.parts - summary + waits + gone
        counted = Counter[str]()
        for change in stats.changes:
            counted[change.kind] += change.parts
            assert change.reason
            told = change.kind == "summarised" or change.reason == "interrupted"
            assert told or change.tokens_before >= change.tokens_after
        assert counted["evicted"] <= sum(stats.evicted.values())


@slow
@given(limits, talks, talks)
def test_13_it_can_be_saved_and_restored(
    given: dict[str, Any], before: list[Step], after: list[Step]
) -> None:
    """A restored prompt is the same, and goes on the same, as if its summary had been cancelled."""
    talk = Talk(given)
    for step in [("user", 0), *before]:  # else it has not seen a clock yet
        talk.step(*step)
    talk.window.finalize()
    talk.pending = None
    talk.now = max(talk.now, talk.window._now)
    talk.act(talk.window.finish(talk.now))
    other = talk.restored()
    assert other.window.parts() == talk.window.parts()
    for step in after:
        talk.step(*step)
        other.step(*step)
        assert other.window.parts() == talk.window.parts()
    assert other.window.statistics() == talk.window.statistics()


def test_the_answers_are_what_summarisers_may_say() -> None:
    """Among them one that pretends to be the system, one that is too long, and none."""
    assert any("system" in answer for answer in ANSWERS)
    assert "" in ANSWERS
    assert max(map(len, ANSWERS)) > 500
    assert JobDone is not None
