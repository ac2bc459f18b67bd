"""What the adapters of remote models share: missing packages, and servers that do not answer."""

import pytest

from vivace.errors import ModelMissing, ModelUnreachable
from vivace.models.remote import no_answer, package, refused


def test_a_missing_package_names_the_command() -> None:
    """Where an SDK is not installed, the error says how to install it."""
    with pytest.raises(ModelMissing) as caught:
        package("no_such_sdk", "openai")
    assert str(caught.value) == (
        "the package no_such_sdk is not installed; run: pip install 'vivace[openai]'"
    )


def test_an_installed_package_is_imported() -> None:
    """What is there is given back as the module."""
    assert package("json", "openai").dumps([]) == "[]"


class ReadTimeout(Exception):
    """A client's own kind of timeout, known by its name."""


@pytest.mark.parametrize("cause", [TimeoutError(), ReadTimeout()])
def test_a_timeout_is_told_from_an_unreachable_server(cause: Exception) -> None:
    """Who is slow is overloaded, not away."""
    assert "did not answer in time" in str(no_answer("the model at x", cause))


@pytest.mark.parametrize(
    ("cause", "why"), [(OSError("refused"), " (refused)"), (OSError(), ""), (None, "")]
)
def test_an_unreachable_server_says_why_if_known(cause: Exception | None, why: str) -> None:
    """The address is to be checked; the reason is added if there is one."""
    assert str(no_answer("the model at x", cause)) == (
        f"the model at x cannot be reached{why}; check the address and that the server runs"
    )


def test_a_server_that_fails_is_unreachable() -> None:
    """A status of 500 and above is the server's fault, and may pass."""
    error = refused("the model at x", 503, "so  sorry\n", "KEY")
    assert isinstance(error, ModelUnreachable)
    assert str(error) == (
        "the model at x answered 503: the server failed; try again later (so sorry)"
    )
