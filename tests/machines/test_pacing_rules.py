"""Numbers that a pacer can work with."""

import pytest

from vivace.errors import StageError
from vivace.machines.chunking import ChunkRules
from vivace.machines.pacing_rules import PacingRules


def test_chunks_are_alike_unless_they_may_grow() -> None:
    """Without a longest one, all have the length of the shortest."""
    assert PacingRules(chunk_s=0.05).chunks() == ChunkRules(0.05, 0.05)
    assert PacingRules(longest_s=0.2).chunks() == ChunkRules(0.02, 0.2)


@pytest.mark.parametrize(
    "numbers",
    [
        {"lead_s": -0.1},
        {"queue_s": 0.0},
        {"chunk_s": 0.0},
        {"longest_s": 0.01},
        {"lead_s": float("nan")},
    ],
)
def test_a_number_out_of_range(numbers: dict[str, float]) -> None:
    """It is refused before anything runs."""
    with pytest.raises(StageError):
        PacingRules(**numbers)  # type: ignore[arg-type]
