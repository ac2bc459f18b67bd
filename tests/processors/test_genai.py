"""`genai-processors` is not there unless somebody wants it; the rest is in tests/interop."""

import sys
from collections.abc import Callable, Iterator

import pytest

from vivace.errors import ModelMissing, StageError
from vivace.flow.part_processor import part_processor
from vivace.part import Part
from vivace.processors.genai import _ours_class, from_genai_processor, to_genai_processor
from vivace.processors.genai_bodies import genai
from vivace.processors.genai_parts import from_genai_part, to_genai_part


@pytest.fixture
def without_the_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine on which nobody has installed it."""
    for name in [name for name in sys.modules if name.startswith("genai_processors.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "genai_processors", None)
    for cached in (genai, _ours_class):
        cached.cache_clear()
    yield
    genai.cache_clear()


@pytest.mark.usefixtures("without_the_package")
def test_without_the_package_the_error_says_how_to_get_it() -> None:
    """Whatever is tried first names the command, and no name is missing before that."""
    ours = part_processor(lambda part: part)
    tries: list[Callable[[], object]] = [
        lambda: from_genai_processor(ours),
        lambda: to_genai_processor(ours),
        lambda: to_genai_part(Part("a")),
        lambda: from_genai_part("a"),
    ]
    for attempt in tries:
        with pytest.raises(ModelMissing, match="pip install genai-processors"):
            attempt()


def test_what_is_no_processor_of_ours_is_refused() -> None:
    """The mistake is told at once, with what would do."""
    with pytest.raises(StageError, match="@part_processor"):
        to_genai_processor(print)  # type: ignore[arg-type]


def test_what_is_no_processor_of_theirs_is_refused() -> None:
    """A function, or a processor of ours, is not taken for one of theirs."""
    pytest.importorskip("genai_processors", reason="needs genai-processors; run: make interop")
    for wrong in (print, part_processor(lambda part: part), None):
        with pytest.raises(StageError, match="part_processor_function"):
            from_genai_processor(wrong)
