"""One pytest test on virtual time, under one seed or many.

This file owns how the marker `virtual` is read and how a failing seed is reported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from vivace.testing.run import run_virtual

__all__ = ["run_case"]

AsyncTest = Callable[..., Coroutine[Any, Any, object]]


@dataclass(frozen=True, slots=True)
class _Options:
    """What the marker may say."""

    seed: int | None = None
    seeds: int | None = None
    allow_unclosed: bool = False

    def seeds_to_run(self, forced: int | None) -> Sequence[int | None]:
        if forced is not None:
            return [forced]
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"seeds={self.seeds} would run the test not once; give 1 or more")
        return [self.seed] if self.seeds is None else range(self.seeds)


def run_case(item: pytest.Function, test: AsyncTest, forced_seed: int | None) -> None:
    """Run `test`, the coroutine function of `item`, under each of its seeds.

    forced_seed: takes the place of the marker's `seed` and `seeds`.

    Raises what the test raises, once a section of the report names the seed.
    """
    __tracebackhide__ = True
    marker = item.get_closest_marker("virtual")
    options = _Options(*marker.args, **marker.kwargs) if marker else _Options()
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        call = functools.partial(test, *args, **kwargs)
        for seed in options.seeds_to_run(forced_seed):
            _run(item, call, seed, options.allow_unclosed)

    handle = getattr(item.obj, "hypothesis", None)
    if handle is None:
        run(**arguments)
        return
    # hypothesis calls the inner test itself, once for each example: each gets a fresh loop.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handle, "inner_test", run)
        item.obj(**arguments)


def _run(item: pytest.Function, call: AsyncTest, seed: int | None, allow_unclosed: bool) -> None:
    __tracebackhide__ = True
    try:
        run_virtual(call, seed=seed, allow_unclosed=allow_unclosed)
    except pytest.skip.Exception:
        raise
    except BaseException:
        if seed is not None:
            text = f"seed {seed}; to run it again: pytest '{item.nodeid}' --vivace-seed {seed}"
            item.add_report_section("call", "vivace", text)
        raise
