"""The pytest plugin: async tests on virtual time.

This file owns what pytest sees: a marker, an ini option, a command line option. pytest imports it
in every project that has vivace installed, so it imports nothing of vivace until a test needs it.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

# Marks by which a test asks for another plugin's loop.
_FOREIGN = ("asyncio", "anyio", "trio")
_MARKER = (
    "virtual(seed=..., seeds=None, allow_unclosed=False): run this async test on virtual time; "
    "`seed` shuffles what is ready at the same instant, or pins asyncio's own order with None, "
    "`seeds=N` runs the test under seeds 0 to N-1, `allow_unclosed` accepts async generators that "
    "are left half-way; of several markers the nearest counts, option by option"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--vivace-seed`, `--vivace-seeds` and the ini option `vivace_virtual`."""
    group = parser.getgroup("vivace")
    group.addoption(
        "--vivace-seed",
        type=int,
        default=None,
        metavar="N",
        help="run every virtual test once, with this seed",
    )
    group.addoption(
        "--vivace-seeds",
        type=int,
        default=None,
        metavar="N",
        help="run every virtual test under seeds 0 to N-1 at least, but those that pin their seed",
    )
    parser.addini(
        "vivace_virtual", "run every async test on virtual time", type="bool", default=False
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)
    seeds = config.getoption("--vivace-seeds")
    if seeds is not None and seeds < 1:
        raise pytest.UsageError(f"--vivace-seeds={seeds} would run no test; give 1 or more")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say under which seeds the tests run, if the command line does."""
    seed, seeds = config.getoption("--vivace-seed"), config.getoption("--vivace-seeds")
    if seed is not None:
        return f"vivace: virtual tests run under seed {seed}"
    return f"vivace: virtual tests run under {seeds} seeds at least" if seeds else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a virtual test once under each of its seeds; leave all others to pytest."""
    if not isinstance(item, pytest.Function) or _virtual_test(item) is None:
        return None
    from vivace.testing import cases

    option = item.config.getoption
    seeds = cases.seeds_of(item, option("--vivace-seed"), option("--vivace-seeds") or 0)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    cases.run_under_each(item, seeds, nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that asks for virtual time; leave all others to pytest."""
    __tracebackhide__ = True
    test = _virtual_test(pyfuncitem)
    if test is None:
        return None
    from vivace.testing import cases

    cases.run_case(pyfuncitem, test, pyfuncitem.config.getoption("--vivace-seeds") or 0)
    return True


def _virtual_test(item: pytest.Function) -> Any:
    """The coroutine function that `item` tests, if it asks for virtual time; else None."""
    if not _is_asked(item):
        return None
    handle = getattr(item.obj, "hypothesis", None)  # which keeps the test itself inside
    return _async_function(item, item.obj if handle is None else handle.inner_test)


def _is_asked(item: pytest.Function) -> bool:
    if item.get_closest_marker("virtual") is not None:
        return True
    foreign = any(item.get_closest_marker(name) for name in _FOREIGN)
    return bool(item.config.getini("vivace_virtual")) and not foreign


def _async_function(item: pytest.Function, test: Any) -> Any:
    """The coroutine function that `item` tests, or None."""
    if item.get_closest_marker("asyncio") is not None:
        # In its auto mode, pytest-asyncio marks all async tests and makes plain functions of them.
        test = inspect.unwrap(test, stop=inspect.iscoroutinefunction)
    return test if inspect.iscoroutinefunction(test) else None
