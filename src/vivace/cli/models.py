"""`vivace models`: which weights there are, fetching them, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from rich.table import Table

from vivace.cli import weights
from vivace.cli.terminal import stdout
from vivace.models import store

__all__ = ["list_models", "print_path", "pull_models"]


def list_models() -> None:
    """Print the table."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("name", "role"):
        table.add_column(column, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for column in ("licence", "here"):
        table.add_column(column, no_wrap=True)
    table.add_column("from")
    for model in store.MODELS:
        here = "[green]yes[/]" if weights.is_there(model.name) else "[dim]no[/]"
        size = f"{model.size / 1e6:.1f} MB"
        table.add_row(model.name, model.role, size, model.licence, here, f"[dim]{model.source}[/]")
    table.add_row(*_voice())
    stdout().print(table)


def pull_models(names: Sequence[str]) -> None:
    """Fetch the models of these names, all if there are none."""
    weights.pull(names or [model.name for model in store.MODELS])


def print_path(name: str) -> None:
    """Print where the model lies. Raises ModelMissing if it is not there."""
    print(store.path(name))


def _voice() -> tuple[str, ...]:
    # The synthesiser's weights come inside its package: there is nothing to pull.
    try:
        here = f"[green]yes[/] [dim]({version('hibari-tts')})[/]"
    except PackageNotFoundError:
        here = "[dim]no[/]"
    return ("hibari", "text to speech", "", "Apache-2.0", here, "[dim]the package hibari-tts[/]")
