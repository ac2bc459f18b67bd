"""How detectors work together: numbers that make no sense."""

from typing import Any

import pytest

from vivace.errors import StageError
from vivace.machines.detection_rules import DetectionRules


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"max_running": 0}, "max_running=0 lets nothing run; use 1 or more"),
        ({"failures": 0}, "failures=0 lets nothing run"),
        ({"max_age_s": -1.0}, "max_age_s=-1.0; use seconds, 0 or more"),
        ({"retry_after_s": float("nan")}, "retry_after_s=nan"),
        ({"report": "some"}, "report='some' is not known; use 'all' or 'best'"),
        ({"debounce_s": -1.0}, "a debounce of -1.0 s"),
        ({"edge": "up"}, "edge='up'"),
    ],
)
def test_they_are_refused(rules: dict[str, Any], why: str) -> None:
    """Each says what would do."""
    with pytest.raises(StageError, match=why):
        DetectionRules(**rules)


def test_the_least_that_makes_sense() -> None:
    """No debounce, one at a time, nothing but the newest, tried again with the next part."""
    least: dict[str, Any] = {"debounce_s": 0.0, "max_age_s": 0.0, "retry_after_s": 0.0}
    rules = DetectionRules(max_running=1, failures=1, **least)
    assert (rules.max_running, rules.failures) == (1, 1)
    assert {name: getattr(rules, name) for name in least} == least
