"""What the tests with another package share."""

import gc
import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def frozen() -> Iterator[None]:
    """Leave what was imported out of each collection: it takes a third of a second otherwise."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may make asyncio complain: no "Task was destroyed", no exception never retrieved."""
    yield
    gc.collect()
    complaints = [it.getMessage() for it in caplog.records if it.levelno >= logging.WARNING]
    assert complaints == []
