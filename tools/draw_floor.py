"""Draw the floor's table, for docs/floor.md. `python tools/draw_floor.py` rewrites the page."""

from pathlib import Path

from vivace.machines.floor import RULES, Event, State

PAGE = Path("docs/floor.md")
BEGIN, END = "<!-- drawn from the table: begin -->\n", "<!-- drawn from the table: end -->\n"


def diagram() -> str:
    """The transitions that change the state, as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> idle"]
    for (state, event), (after, acts) in RULES.items():
        if after == state or event == Event.RESET:
            continue
        label = event.value + ("" if not acts else " / " + ", ".join(acts))
        for target in [after] if after else [State.AGENT, State.THINKING]:
            lines.append(f"    {state.value} --> {target.value}: {label}")
    return "\n".join([*lines, "```", ""])


def table() -> str:
    """Every row: states down, events across, `-` where an event is not allowed."""
    events = list(Event)
    lines = ["| | " + " | ".join(events) + " |", "|---" * (len(events) + 1) + "|"]
    for state in State:
        cells = []
        for event in events:
            if (state, event) not in RULES:
                cells.append("-")
                continue
            after, acts = RULES[state, event]
            cells.append((after or "back") + "".join(f" **{act}**" for act in acts))
        lines.append(f"| **{state}** | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def drawn(page: str) -> str:
    """`page` with the drawing between its marks made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{diagram()}\n{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
