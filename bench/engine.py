"""The engine: what a chain of stages costs, how it grows, what a run costs, what importing costs.

This file owns the questions, the goals and the tables of the area; workers/ has the programs that
do the work.
"""

from __future__ import annotations

from bench.contenders import BARE, GENAI, PIPECAT, VIVACE
from bench.harness import ROOT, Absent, Ask, Case, Contender, Results
from bench.stats import Goal, slope, spread
from bench.table import Table, compared, duration, limited, megabytes, number

__all__ = ["CASES", "METHOD", "PARTS", "STAGES", "line", "tables"]

PARTS = (100, 1_000, 10_000, 100_000, 1_000_000)
STAGES = (1, 5, 10, 50)
DEFAULTS = "Pipecat as it comes"
PART_PROCESSORS = "genai-processors, part processors"
FUNCTIONS = "Vivace, part functions"


def _chain(who: Contender, stages: int, parts: int, **given: object) -> Ask:
    return Ask(who, "chain", {"stages": stages, "parts": parts, **given})


def _beside_bare(kind: str, bare: str, **given: object) -> dict[str, Ask]:
    """The bare generators and Vivace: 100,000 parts through ten stages of a kind."""
    return {
        "bare generators": _chain(BARE, 10, 100_000, kind=bare, **given),
        "Vivace": _chain(VIVACE, 10, 100_000, kind=kind, **given),
    }


def _functions(theirs: int, **given: object) -> dict[str, Ask]:
    return {
        **_beside_bare("function", "stream", **given),
        "genai-processors": _chain(GENAI, 10, theirs, kind="function", **given),
    }


def _of_runs(job: str, stages: int) -> Case:
    times = {BARE: 200, VIVACE: 200, GENAI: 100, PIPECAT: 10}
    asks = {who.name: Ask(who, job, {"stages": stages, "times": times[who]}) for who in times}
    return Case(f"{job}, {stages} stages", asks)


_MAIN = [
    Case(
        "stream",
        {
            **_beside_bare("stream", "stream"),
            "genai-processors": _chain(GENAI, 10, 100_000),
            "Pipecat": _chain(PIPECAT, 10, 2_000),
            DEFAULTS: _chain(PIPECAT, 10, 1_000, plain=False),
        },
    ),
    Case("functions", _functions(1_000)),
    Case("functions, no gc", _functions(1_000, gc=False), repeats=1),
    Case("async functions", _beside_bare("async_function", "async_function"), repeats=2),
    Case("deriving", _beside_bare("derive", "derive"), repeats=2),
    Case("hop", {"Vivace": Ask(VIVACE, "hop", {"parts": 100_000, "capacity": 100})}),
    _of_runs("first", 10),
    _of_runs("whole", 10),
    _of_runs("whole", 1),
]


def _of_parts(parts: int) -> Case:
    asks = {
        "bare generators": _chain(BARE, 10, parts),
        "Vivace": _chain(VIVACE, 10, parts),
        FUNCTIONS: _chain(VIVACE, 10, parts, kind="function"),
    }
    if parts <= 100_000:
        asks["genai-processors"] = _chain(GENAI, 10, parts)
    if parts <= 10_000:
        asks["Pipecat"] = _chain(PIPECAT, 10, parts)
    if parts <= 1_000:
        asks[PART_PROCESSORS] = _chain(GENAI, 10, parts, kind="function")
    return Case(f"{parts} parts", asks, repeats=1, rounds=3 if parts < 1_000_000 else 1)


def _of_stages(stages: int) -> Case:
    asks = {
        "bare generators": _chain(BARE, stages, 20_000),
        "Vivace": _chain(VIVACE, stages, 20_000),
        FUNCTIONS: _chain(VIVACE, stages, 20_000, kind="function"),
        "genai-processors": _chain(GENAI, stages, 2_000),
        PART_PROCESSORS: _chain(GENAI, stages, 200, kind="function"),
        "Pipecat": _chain(PIPECAT, stages, 500),
    }
    return Case(f"{stages} stages", asks, repeats=1, rounds=3)


# Once: it takes a third of a minute and most of a gigabyte.
_MANY = Case("functions, many", _functions(10_000), repeats=1, rounds=1)
_AHEAD = Case(
    "ahead",
    {who.name: Ask(who, "ahead", {"stages": 10}) for who in (VIVACE, BARE, GENAI, PIPECAT)},
    repeats=1,
    rounds=1,
)
_MEMORY = Case(
    "memory",
    {
        who.name: Ask(who, "memory", {"stages": 10, "parts": parts})
        for who, parts in (
            (VIVACE, 1_000_000),
            (BARE, 1_000_000),
            (GENAI, 100_000),
            (PIPECAT, 10_000),
        )
    },
    repeats=1,
    rounds=1,
    fresh="process",
)
_IMPORTS = {
    "nothing": Ask(VIVACE, "pass"),
    "`import asyncio`": Ask(VIVACE, "import asyncio"),
    "`import vivace`": Ask(VIVACE, "import vivace"),
    "Vivace, what a chain needs": Ask(
        VIVACE, "from vivace import Part, Processor, chain, part_processor, processor"
    ),
    "genai-processors, what a chain needs": Ask(
        GENAI, "from genai_processors import content_api, processor"
    ),
    "Pipecat, what a pipeline needs": Ask(
        PIPECAT,
        "from pipecat.frames.frames import EndFrame, TextFrame\n"
        "from pipecat.pipeline.pipeline import Pipeline\n"
        "from pipecat.pipeline.worker import PipelineWorker\n"
        "from pipecat.processors.frame_processor import FrameProcessor\n"
        "from pipecat.workers.runner import WorkerRunner",
    ),
}
METHOD = (ROOT / "bench" / "engine.md").read_text()
CASES = [
    *_MAIN,
    *(_of_parts(parts) for parts in PARTS),
    _MANY,
    *(_of_stages(stages) for stages in STAGES),
    _AHEAD,
    _MEMORY,
    Case("imports", _IMPORTS, repeats=2, fresh="import"),
]


def tables(results: Results) -> list[Table]:
    """All that was measured of the engine."""
    return [
        _costs(results),
        _runs(results),
        _growth(results, "parts"),
        _growth(results, "stages"),
        _holding(results),
        _importing(results),
    ]


_HEAD = ("what", "Vivace", "beside it", "ratio (quartiles)", "goal", "")


def _costs(results: Results) -> Table:
    table = Table("What one part costs in a chain of ten stages", _HEAD)

    def beside(
        what: str, case: str, other: str, goal: Goal | None = None, *, faster: bool = True
    ) -> None:
        table.rows.append((what, *compared(results, case, other, goal, faster=faster)))

    parts = f"{results.given('stream', 'Vivace')['parts']:,} parts"
    bare = "bare generators"
    beside(f"stream processors, {parts}", "stream", bare, Goal(1.5), faster=False)
    beside("", "stream", "genai-processors", Goal(10, at_least=True))
    beside("", "stream", "Pipecat", Goal(30, at_least=True))
    beside("", "stream", DEFAULTS)
    beside(f"part functions, {parts}", "functions", bare, Goal(1), faster=False)
    beside("", "functions", "genai-processors", Goal(1000, at_least=True))
    beside("", "functions, many", "genai-processors", Goal(1000, at_least=True))
    beside("the same, garbage collector off", "functions, no gc", bare, faster=False)
    beside("", "functions, no gc", "genai-processors")
    beside("async part functions", "async functions", bare, faster=False)
    beside("part functions that derive a part", "deriving", bare, faster=False)
    hop = limited(results, "hop", Goal(1e-6), duration)
    table.rows.append(("a `buffer` between two stages adds", *hop))
    return table


def _runs(results: Results) -> Table:
    table = Table("What a run costs", _HEAD)
    for case, what in (
        ("first, 10 stages", "to the first part out of ten stages"),
        ("whole, 10 stages", "a run of one part through ten stages, start to end"),
        ("whole, 1 stages", "the same through one stage"),
    ):
        table.rows.append((what, *limited(results, case, Goal(100e-6), duration)))
        table.rows.append(("", *compared(results, case, "bare generators", None, faster=False)))
        for other in ("genai-processors", "Pipecat"):
            table.rows.append(("", *compared(results, case, other, None, faster=True)))
    return table


_LABELS = (
    "bare generators",
    "Vivace",
    FUNCTIONS,
    "genai-processors",
    PART_PROCESSORS,
    "Pipecat",
)


def line(results: Results, label: str, axis: str) -> list[tuple[int, float]]:
    """The points (parts or stages, seconds per part) of one contender, where it was measured."""
    points = []
    for count in PARTS if axis == "parts" else STAGES:
        at = (f"{count} {axis}", label)
        if axis == "parts" and (count, label) == (10_000, PART_PROCESSORS):
            at = (_MANY.name, "genai-processors")
        try:
            cost = results.spread(*at).middle
        except (Absent, KeyError):
            continue
        points.append((int(results.given(*at)[axis]), cost))
    return points


def _growth(results: Results, axis: str) -> Table:
    lines = {label: dict(line(results, label, axis)) for label in _LABELS}
    counts = sorted({count for points in lines.values() for count in points})
    heads = tuple(f"{count:,}" for count in counts)
    if axis == "parts":
        table = Table("The cost of one part through ten stages, by how many parts", ("", *heads))
    else:
        head = ("parts", *heads, "each further stage")
        table = Table("The cost of one part, by how many stages", ("", *head))
    for label, points in lines.items():
        cells = [duration(points[count]) if count in points else "" for count in counts]
        if axis == "stages":
            ends = sorted(points.items())
            cells.append(duration(slope(ends[0], ends[-1])) if len(ends) > 1 else "")
            cells.insert(0, f"{results.given(f'{STAGES[0]} stages', label)['parts']:,}")
        table.rows.append((label, *cells))
    return table


def _holding(results: Results) -> Table:
    head = ("ten stages", "parts", "raise the peak of memory by", "of 1,000 parts, taken ahead")
    table = Table("What a long stream holds", head)
    for who in (VIVACE, BARE, GENAI, PIPECAT):
        try:
            rise = megabytes(results.spread("memory", who.name).middle)
            ahead = f"{results.spread('ahead', who.name).middle:,.0f}"
        except Absent as absent:
            rise = ahead = str(absent)
        table.rows.append(
            (who.name, f"{results.given('memory', who.name)['parts']:,}", rise, ahead)
        )
    return table


def _importing(results: Results) -> Table:
    head = ("", "time", "beside `import asyncio`", "≤ 2 ×", "memory above bare Python", "≤ 15 MB")
    table = Table("What importing costs", head)
    for label in [label for label in _IMPORTS if label != "nothing"]:
        try:
            took = results.spread("imports", label)
            times = results.ratio("imports", label, "`import asyncio`")
            sizes = results.values("imports", label, "bytes")
        except Absent as absent:
            table.rows.append((label, str(absent), "", "", "", ""))
            continue
        bare = results.values("imports", "nothing", "bytes")
        memory = spread(size - least for size, least in zip(sizes, bare, strict=True))
        ours = "ivace" in label
        table.rows.append(
            (
                label,
                duration(took.middle),
                f"{number(times.middle)} ×",
                Goal(2).verdict(times) if ours else "",
                megabytes(memory.middle),
                Goal(15e6).verdict(memory) if ours else "",
            )
        )
    return table
