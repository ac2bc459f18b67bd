"""The README is true: its first program is the one in `examples`, and its commands exist."""

import re
from pathlib import Path

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
