"""One pytest test on virtual time, under one seed or many.

This file owns how the marker `virtual` is read and how a failing seed is reported.
"""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, TypeAlias

import pytest
from _pytest.runner import runtestprotocol  # where plugins that run a test again get it

from vivace.testing.run import run_virtual

__all__ = ["SEED", "run_case", "run_under_each", "seeds_of"]

AsyncTest: TypeAlias = Callable[..., Coroutine[Any, Any, object]]
Seeds: TypeAlias = Sequence[int | None]
_EXAMPLES = 10  # of which the first is hypothesis' simplest, and some are small
SEED = pytest.StashKey[int | None]()


@dataclass(frozen=True, slots=True)
class _Options:
    """What the marker may say."""

    seed: int | EllipsisType | None = ...  # not said; None says: asyncio's own order
    seeds: int | None = None
    allow_unclosed: bool = False

    def __post_init__(self) -> None:
        if self.seed is not ... and self.seeds is not None:
            raise ValueError(
                f"seed={self.seed} and seeds={self.seeds}: give `seed` to pin one order, or "
                "`seeds` to try many"
            )
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"seeds={self.seeds} would run the test not once; give 1 or more")

    def seeds_to_run(self, forced: int | None, at_least: int) -> Seeds:
        if forced is not None:
            return [forced]
        if self.seed is not ...:
            return [self.seed]
        return range(many) if (many := max(self.seeds or 0, at_least)) else [None]


def seeds_of(item: pytest.Function, forced: int | None, at_least: int) -> Seeds:
    """The seeds under which `item` is to run; None for asyncio's own order.

    forced: takes the place of the marker's `seed` and `seeds`.
    at_least: takes the place of a smaller `seeds`; a test that pins its `seed` keeps it.
    """
    try:
        return _read_markers(item).seeds_to_run(forced, at_least)
    except (TypeError, ValueError):
        return [None]  # the test itself raises it again, and so fails


def run_under_each(item: pytest.Function, seeds: Seeds, nextitem: pytest.Item | None) -> None:
    """Run the whole of `item`, with its fixtures, once under each seed, until one fails.

    It is reported as one test, which took as long as all runs together.
    """
    took: dict[str, float] = {"setup": 0.0, "call": 0.0, "teardown": 0.0}
    for index, seed in enumerate(seeds):
        item.stash[SEED] = seed
        last = index == len(seeds) - 1
        # What comes next tells pytest which fixtures to keep: those of the parent, and wider ones.
        following: Any = nextitem if last else item.parent
        reports = runtestprotocol(item, log=False, nextitem=following)
        for report in reports:
            took[report.when] += report.duration
        if not all(report.passed for report in reports):
            if not last:
                # There is no public way to tell pytest that after all this was the last run.
                item.session._setupstate.teardown_exact(nextitem)
            break
    for report in reports:
        report.duration = took[report.when]
        item.ihook.pytest_runtest_logreport(report=report)


def run_case(item: pytest.Function, test: AsyncTest, at_least: int) -> None:
    """Run `test`, the coroutine function of `item`, under the seed that the item is at.

    at_least: what `seeds_of` was given.

    Raises what the test raises, once a section of the report names the seed.
    """
    __tracebackhide__ = True
    options = _read_markers(item)
    seed = item.stash.get(SEED, None)
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        call = functools.partial(test, *args, **kwargs)
        run_virtual(call, seed=seed, allow_unclosed=options.allow_unclosed)

    try:
        if hasattr(item.obj, "hypothesis"):
            _run_examples(item, run, arguments, len(options.seeds_to_run(None, at_least)))
        else:
            run(**arguments)
    except pytest.skip.Exception:
        raise
    except BaseException:
        if seed is not None:
            text = f"seed {seed}; to run it again: {_command(item, seed, at_least)}"
            item.add_report_section("call", "vivace", text)
        raise


def _read_markers(item: pytest.Function) -> _Options:
    """What the markers say together: of each option, the one nearest to the test counts."""
    said: dict[str, Any] = {}
    for marker in item.iter_markers("virtual"):
        options = dict(zip(("seed", "seeds", "allow_unclosed"), marker.args, strict=False))
        options |= marker.kwargs
        if "seed" in said or "seeds" in said:  # one question: how many orders to try
            options.pop("seed", None)
            options.pop("seeds", None)
        said = options | said
    return _Options(**said)


def _run_examples(
    item: pytest.Function, run: Callable[..., None], arguments: dict[str, Any], seeds: int
) -> None:
    """Let hypothesis call `run` once for each example; its own names are used for the rest.

    All examples of one search run under one seed, so that what it finds and shrinks stays the same.
    The seeds share the examples that the test asks for: there is no more work than without them,
    unless that left less than _EXAMPLES to each.
    """
    __tracebackhide__ = True
    function = getattr(item.obj, "__func__", item.obj)
    settings = function._hypothesis_internal_use_settings
    share = min(settings.max_examples, max(_EXAMPLES, settings.max_examples // seeds))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item.obj.hypothesis, "inner_test", run)
        patch.setattr(
            function,
            "_hypothesis_internal_use_settings",
            type(settings)(settings, max_examples=share),
        )
        item.obj(**arguments)


def _command(item: pytest.Function, seed: int, at_least: int) -> str:
    """What to type, in the directory where pytest was started, to see the failure again."""
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    # Not the node id: with --dist=loadgroup, xdist adds to that.
    names = [it.name for it in item.listchain() if isinstance(it, pytest.Class | pytest.Function)]
    test = "::".join([path, *names])
    words = ["pytest", test, f"--vivace-seed={seed}"]
    if hasattr(item.obj, "hypothesis"):
        words += _to_search_again(item, at_least)
    return shlex.join(words)


def _to_search_again(item: pytest.Function, at_least: int) -> list[str]:
    """The options by which hypothesis finds its example again."""
    words = [f"--vivace-seeds={at_least}"] if at_least else []  # it tells the share of a seed
    seed = item.config.getoption("--hypothesis-seed", None)
    if seed is None and item.obj._hypothesis_internal_use_settings.database is None:
        seed = item.obj._hypothesis_internal_use_generated_seed
    # With a database it keeps the example there, and tries it first.
    return words if seed is None else [*words, f"--hypothesis-seed={seed}"]
