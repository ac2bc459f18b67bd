"""Draw the connection's table, for docs/gemini_live.md. Running it rewrites the page."""

from pathlib import Path

from vivace.machines.connection_table import RULES, State

PAGE = Path("docs/gemini_live.md")
BEGIN, END = "<!-- drawn from the table: begin -->\n", "<!-- drawn from the table: end -->\n"


def diagram() -> str:
    """The transitions that change the state, as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> connecting"]
    for (state, event), (after, acts) in RULES.items():
        if after == state:
            continue
        label = event.value + ("" if not acts else " / " + ", ".join(acts))
        for target in [after] if after else [State.RESUMING, State.RESEEDING]:
            lines.append(f"    {state.value} --> {target.value}: {label}")
    return "\n".join([*lines, "```", ""])


def drawn(page: str) -> str:
    """`page` with the drawing between its marks made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{diagram()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
