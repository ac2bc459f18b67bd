import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from vivace.flow import hop

BUILT: Any = hop.hop


def test_what_could_be_compiled_is_in_use() -> None:
    """Where there is a compiler, hops are the ones in C: else all would be slow and nobody know."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not (shutil.which("cc") and headers.exists()):
        pytest.skip("no compiler, or no headers, so hops are in Python")
    if os.environ.get("VIVACE_PURE_PYTHON"):
        pytest.skip("asked to do without")
    assert BUILT.__module__ == "vivace.flow._speedups"
