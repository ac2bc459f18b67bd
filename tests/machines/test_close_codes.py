"""How the end of a connection is read, and what is said of it."""

import pytest

from vivace.machines.close_codes import Verdict, explain, verdict

LOST, REFUSED, FAILED = Verdict.LOST, Verdict.REFUSED, Verdict.FAILED


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        (1000, LOST, LOST),
        (1001, LOST, LOST),
        (1006, LOST, LOST),
        (1007, REFUSED, FAILED),
        (1008, REFUSED, LOST),
        (1009, LOST, LOST),
        (1011, LOST, LOST),
        (1015, FAILED, FAILED),
        (400, FAILED, FAILED),
        (401, FAILED, FAILED),
        (403, FAILED, FAILED),
        (404, FAILED, FAILED),
        (429, LOST, LOST),
        (503, LOST, LOST),
    ],
)
def test_every_code(code: int, before: Verdict, after: Verdict) -> None:
    """Each code is read as it is meant, before and after the set-up."""
    assert verdict(code, "", set_up=False) == before
    assert verdict(code, "", set_up=True) == after


@pytest.mark.parametrize(
    "reason", ["Operation is not implemented, or supported, or enabled.", "Permission denied"]
)
def test_a_policy_that_names_our_mistake(reason: str) -> None:
    """1008 in the middle is a drop, unless it says that what was asked for is wrong."""
    assert verdict(1008, reason, set_up=True) == FAILED
    assert verdict(1008, "the operation was aborted", set_up=True) == LOST


@pytest.mark.parametrize(
    ("code", "reason", "advice"),
    [
        (403, "", "check the API key"),
        (1007, "API key not valid. Please pass a valid API key.", "check the API key"),
        (400, "API_KEY_INVALID", "check the API key"),
        (404, "", "check the model's name: 'm' is unknown"),
        (1008, "models/m is not found for API version v1", "check the model's name: 'm'"),
        (1007, "Request contains an invalid argument.", "realtime_config, or sent later, is not"),
        (400, "bad", "realtime_config"),
        (429, "", "the quota is used up"),
        (1011, "deadline", "try again later"),
        (1015, "self-signed", "certificate is not trusted"),
    ],
)
def test_it_is_said_what_to_change(code: int, reason: str, advice: str) -> None:
    """The text names the model, the code, what the server said, and what to do."""
    told = explain("m", code, reason)
    assert f"the live session with m ended with {code}" in told
    assert advice in told
    assert reason in told
