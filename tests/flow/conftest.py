"""The core twice: with what is compiled, and in Python alone."""

import importlib
import sys
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

HOMES = ("eager", "hop", "scope", "run", "processor", "part_processor", "abreast", "drive", "hooks")


@cache
def core(kind: str) -> Any:
    """The modules of `vivace.flow`, imported anew: `compiled`, or in plain `python`."""
    with pytest.MonkeyPatch.context() as patch:
        if kind == "python":
            patch.setenv("VIVACE_PURE_PYTHON", "1")
        else:
            patch.delenv("VIVACE_PURE_PYTHON", raising=False)
        with anew("vivace.flow"):
            modules = {home: importlib.import_module(f"vivace.flow.{home}") for home in HOMES}
    if (modules["hop"].hop.__module__ == "vivace.flow.hop") != (kind == "python"):
        pytest.skip("nothing was compiled")
    return SimpleNamespace(**modules)


class anew:  # noqa: N801 - reads as a word
    """Within the block, `package` is imported as if it had never been."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._kept: dict[str, ModuleType] = {}

    def _names(self) -> list[str]:
        return [it for it in sys.modules if f"{it}.".startswith(f"{self._package}.")]

    def __enter__(self) -> None:
        importlib.import_module(self._package)
        self._kept = {name: sys.modules.pop(name) for name in self._names()}

    def __exit__(self, *_: object) -> None:
        for name in self._names():
            del sys.modules[name]
        sys.modules.update(self._kept)
        parent, _, name = self._package.rpartition(".")  # type: ignore[assignment]
        setattr(sys.modules[parent], name, self._kept[self._package])


@pytest.fixture(scope="session", params=["compiled", "python"])
def twin(request: pytest.FixtureRequest) -> Any:
    """The modules of `vivace.flow` in one way and then in the other."""
    return core(request.param)


@pytest.fixture(scope="session")
def twins() -> tuple[Any, Any]:
    """Both: compiled, and in Python."""
    return core("compiled"), core("python")
