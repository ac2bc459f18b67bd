"""Every example runs as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# These load models, and speak at natural speed.
REAL = {"first_agent.py", "comment_video.py"}


def run(example: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(example)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(path, id=path.name, marks=[pytest.mark.real] if path.name in REAL else [])
        for path in EXAMPLES
    ],
)
def test_example_runs(example: Path) -> None:
    """It ends by itself, without an error, and has something to say."""
    assert run(example).strip()
