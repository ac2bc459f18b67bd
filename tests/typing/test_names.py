"""`api.py` beside this file is read by type checkers; here, that it forgets nothing."""

import ast
from pathlib import Path

import vivace

API = Path(__file__).parent / "api.py"


def used() -> set[str]:
    """The names that occur in the code of `api.py`, its imports aside."""
    tree = ast.parse(API.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_every_public_name_is_type_checked() -> None:
    """Each name of the package is used in a program that both type checkers read."""
    missing = set(vivace.__all__) - used()
    assert not missing, "show in tests/typing/api.py how they are used, and a mistake with each"


def test_each_mistake_is_one_for_both_type_checkers() -> None:
    """A line that must be an error says so to mypy and to pyright, each with the kind of error."""
    for number, line in enumerate(API.read_text().splitlines(), 1):
        mypy, pyright = line.count("# type: ignore["), line.count("# pyright: ignore[")
        assert mypy == pyright <= 1, f"line {number}"
