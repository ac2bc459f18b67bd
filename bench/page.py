"""The results as a page of docs/, and as tables in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.table import Table

__all__ = ["page", "show"]

_HEAD = """# Benchmarks

`make bench` measures all of this anew, rewrites this page and its picture, and takes some minutes.
Peers are installed from the registry into environments of their own.

{machine}

![What a part costs](benchmarks.png)
"""


def page(tables: list[Table], machine: str, method: str) -> str:
    """The whole page, in Markdown."""
    blocks = [_HEAD.format(machine=machine)]
    blocks += [f"## {table.title}\n\n{_markdown(table)}" for table in tables]
    blocks.append(f"## How it is measured\n\n{method}\n")
    return "\n".join(blocks)


def _markdown(table: Table) -> str:
    lines = ["| " + " | ".join(table.head) + " |", "|---" * len(table.head) + "|"]
    for row in table.rows:
        lines.append("| " + " | ".join(_emphasized(cell) for cell in row) + " |")
    return "\n".join([*lines, ""])


def _emphasized(cell: str) -> str:
    return f"**{cell}**" if cell.startswith("falls short") else cell


def show(console: Console, tables: list[Table]) -> None:
    """The same tables, for people at a terminal."""
    for table in tables:
        drawn = RichTable(title=table.title, title_justify="left", title_style="bold", box=None)
        for index, name in enumerate(table.head):
            drawn.add_column(name, justify="left", no_wrap=index == 1)
        for row in table.rows:
            drawn.add_row(*(_coloured(cell) for cell in row))
        console.print(drawn)
        console.print()


def _coloured(cell: str) -> Text:
    style = "green" if cell.startswith("met") else "red" if cell.startswith("falls") else ""
    return Text(cell, style=style)
