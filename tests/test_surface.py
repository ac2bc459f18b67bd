"""What `import vivace` offers, and what it costs."""

import subprocess
import sys

import pytest

import vivace
import vivace.models


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_name_is_there() -> None:
    """Each name in `__all__` can be had, and is where the package says it is."""
    for name in vivace.__all__:
        assert getattr(vivace, name) is not None
    assert set(vivace.__all__) <= set(dir(vivace))
    assert len(set(vivace.__all__)) == len(vivace.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Asking for a name that is not there says so, as any module does."""
    for module in (vivace, vivace.models):
        with pytest.raises(AttributeError, match="Nonsense"):
            getattr(module, "Nonsense")  # noqa: B009 - asking is the test


def test_importing_loads_nothing_heavy() -> None:
    """`import vivace`, and all of the core's names, load no optional dependency."""
    code = (
        "import sys, vivace\n"
        "for name in vivace.__all__: getattr(vivace, name)\n"
        "heavy = {'numpy', 'onnxruntime', 'ctranslate2', 'xllamacpp', 'hibari', 'soundfile', "
        "'soxr', 'matplotlib', 'rich', 'typer', 'openai', 'google.genai', 'websockets', "
        "'opentelemetry', 'prometheus_client', 'cachetools', 'structlog', "
        "'stamina', 'tenacity', 'mcp', 'genai_processors', 'cv2', 'av'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(code) == "[]"
