"""Each of the eighteen cases on virtual time, with all timings jittered by the seed.

`make simulate` holds each under 500 seeds.
"""

import pytest

from tests.live.interruptions import CASES, Case
from vivace.testing.cases import SEED
from vivace.testing.simulate import hold


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Under which seed the test runs: it jitters the timings too."""
    return request.node.stash.get(SEED, None) or 0


@pytest.mark.virtual(seeds=3)
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_holds(case: Case, seed: int) -> None:
    """What the case is named after holds, and so does all that must hold at each step."""
    case.check(await hold(case.dialogue.under(seed), case.agent))
