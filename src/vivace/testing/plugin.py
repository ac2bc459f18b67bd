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
    "virtual(seed=None, seeds=None, allow_unclosed=False): run this async test on virtual time; "
    "`seed` shuffles what is ready at the same instant, `seeds=N` runs the test under seeds 0 to "
    "N-1, `allow_unclosed` accepts async generators that are left half-way"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--vivace-seed` and the ini option `vivace_virtual`."""
    parser.getgroup("vivace").addoption(
        "--vivace-seed",
        type=int,
        default=None,
        metavar="N",
        help="run every virtual test once, with this seed",
    )
    parser.addini(
        "vivace_virtual", "run every async test on virtual time", type="bool", default=False
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that asks for virtual time; leave all others to pytest."""
    __tracebackhide__ = True
    if not _is_asked(pyfuncitem):
        return None
    handle = getattr(pyfuncitem.obj, "hypothesis", None)  # which keeps the test itself inside
    test = _async_function(pyfuncitem, pyfuncitem.obj if handle is None else handle.inner_test)
    if test is None:
        return None
    from vivace.testing import cases

    cases.run_case(pyfuncitem, test, pyfuncitem.config.getoption("--vivace-seed"))
    return True


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
