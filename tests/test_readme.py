"""What the README and the pages of `docs` say is true: their programs run, their drawings fit."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from vivace.testing import run_virtual

ROOT = Path(__file__).parent.parent


def test_first_program_is_the_first_example() -> None:
    """The program printed in the README is `examples/first_agent.py`, line for line."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    example = (ROOT / "examples" / "first_agent.py").read_text()
    assert blocks[0].strip() == example.split('"""', 2)[2].strip()


def test_make_targets_exist() -> None:
    """Each `make` command that the README names is a target."""
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`?make ([a-z]+)", readme))
    assert {"demo", "test", "check"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def blocks() -> list[tuple[str, str]]:
    """Every Python program in the README and the docs, but the README's first one."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        programs = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
        for number, program in enumerate(programs):
            if (page.name, number) != ("README.md", 0):
                found.append((f"{page.name}-{number}", program))
    return found


@pytest.mark.parametrize(("name", "program"), blocks(), ids=lambda value: value[:24])
def test_programs_on_the_pages_run(
    name: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program printed on a page runs as it stands, and so do the tests that it shows."""
    monkeypatch.chdir(tmp_path)  # some write files
    if "genai_processors" in program:
        pytest.importorskip("genai_processors", reason="needs genai-processors; run: make interop")
    shown: dict[str, Any] = {"__name__": name}
    exec(compile(program, name, "exec"), shown)
    for key in [key for key in shown if key.startswith("test_")]:
        run_virtual(shown[key])
    assert len(shown) > 2, "a program defines or imports something"


def test_links_lead_somewhere() -> None:
    """Each relative link of a page leads to a file."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^):#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_floor_is_drawn_from_the_table() -> None:
    """The drawing in docs/floor.md is what the table says."""
    drawn = runpy.run_path(str(ROOT / "tools" / "draw_floor.py"))["drawn"]
    page = (ROOT / "docs" / "floor.md").read_text()
    assert drawn(page) == page, "run: python tools/draw_floor.py"


def test_connection_is_drawn_from_the_table() -> None:
    """The drawing in docs/gemini_live.md is what the table says."""
    drawn = runpy.run_path(str(ROOT / "tools" / "draw_connection.py"))["drawn"]
    page = (ROOT / "docs" / "gemini_live.md").read_text()
    assert drawn(page) == page, "run: python tools/draw_connection.py"
