"""What holds for all tests."""

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def nothing_old_is_collected() -> None:
    """Let the garbage collector forget what was there before: no test can leave that behind.

    Many tests collect, to see that nothing is left; without this, each time costs as much as the
    whole session has gathered so far, and under many seeds that would be most of the time.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
