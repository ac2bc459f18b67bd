"""The rules of the tree: who may import whom, who may start tasks, who may read the clock."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "vivace"
FILES = sorted(SRC.rglob("*.py"))

# Imports point down: each layer may use those below it, and itself.
BELOW = {
    "errors": set[str](),
    "audio": {"errors"},
    "signals": {"errors"},
    "part": {"audio", "errors", "signals"},
    "machines": {"part", "audio", "errors"},
    "flow": {"machines", "part", "audio", "errors"},
    "processors": {"flow", "machines", "part", "audio", "errors"},
    "models": {"flow", "machines", "part", "audio", "errors"},
    "live": {"processors", "models", "flow", "machines", "part", "audio", "errors"},
    "metrics": {"flow", "machines", "part", "audio", "errors"},
    "server": {"live", "processors", "models", "flow", "machines", "part", "audio", "errors"},
    "cli": {
        "server",
        "live",
        "processors",
        "models",
        "flow",
        "machines",
        "part",
        "audio",
        "errors",
    },
}
CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "monotonic"),
    ("time", "perf_counter"),
    ("time", "sleep"),
}
DATES = {
    "metrics/spans.py": {("time", "time_ns")},  # what others read wants a date
    "processors/cache_store.py": {("time", "time")},  # a file outlives other clocks
    "flow/clock.py": {("time", "monotonic")},  # for who asks where no loop runs
}
TASKS = {("asyncio", "create_task"), ("asyncio", "ensure_future"), ("asyncio", "gather")}
QUEUES = {("asyncio", "Queue"), ("asyncio", "TaskGroup")}
IMPURE = {"asyncio", "time", "logging", "random", "threading", "socket", "os", "datetime", "numpy"}


def layer(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def uses(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_point_down(path: Path) -> None:
    """A module imports only from its own layer and the ones below it."""
    own = layer(path)
    if own in ("__init__", "testing"):
        return
    for name in imports(path):
        first, _, rest = name.partition(".")
        if first == "vivace" and rest:
            target = rest.split(".")[0]
            assert target == own or target in BELOW[own], f"{own} imports {name}"
        assert name != "vivace", f"{own} imports the package itself; import from the module"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_clock_and_tasks_have_one_home(path: Path) -> None:
    """The clock is read in `flow/clock.py`; tasks are started in `flow` and nowhere else."""
    if layer(path) == "testing":
        return
    found = set(uses(path))
    assert found & CLOCKS == DATES.get(str(path.relative_to(SRC)), set())
    assert not found & QUEUES
    if layer(path) != "flow":
        assert not found & TASKS
        assert not any(name == "create_task" for _, name in found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_machines_are_pure(path: Path) -> None:
    """Machines, and what they are made of, await nothing and import nothing that acts."""
    if layer(path) not in ("machines", "part", "audio", "errors") and path.stem != "conversation":
        return
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE
    tree = ast.parse(path.read_text())
    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_modules_and_functions_are_short(path: Path) -> None:
    """A module ends at 400 lines, a function at 60."""
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or 0) - node.lineno + 1
            assert size <= 60, f"{node.name} has {size} lines"


def test_core_needs_no_numpy() -> None:
    """`part`, `machines` and `flow` work without numpy."""
    for path in FILES:
        if layer(path) in ("part", "audio", "errors", "machines", "flow"):
            assert not any(name.split(".")[0] == "numpy" for name in imports(path)), path
