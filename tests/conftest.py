"""What holds for all tests."""

import gc


def pytest_collection_finish() -> None:
    """Let the garbage collector forget what was loaded so far: no test can leave that behind.

    Many tests collect, to see that nothing is left; without this, each time costs as much as the
    whole test suite is large.
    """
    gc.collect()
    gc.freeze()
