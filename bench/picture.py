"""`docs/benchmarks.png`: what a part costs, and how that grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.engine import FUNCTIONS, PART_PROCESSORS, line
from bench.harness import Absent, Results
from bench.table import duration, number
from vivace.cli.ink import INK, LINE, PAPER, QUIET

__all__ = ["draw"]

_COLOURS = {
    "bare generators": "#85878c",
    "Vivace": "#2a9d7c",
    FUNCTIONS: "#2a9d7c",
    "genai-processors": "#3d72b8",
    PART_PROCESSORS: "#3d72b8",
    "Pipecat": "#c77f17",
}
_DASHED = (FUNCTIONS, PART_PROCESSORS)


def draw(results: Results, path: Path) -> None:
    """Draw it as a PNG on paper of its own, so that it reads on a dark page too."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8.6), facecolor=PAPER, dpi=150)
    figure.text(0.03, 0.955, "What one part costs", size=17, weight="bold", color=INK)
    said = "processor time for each part of a stream; less is better; all scales are logarithmic"
    figure.text(0.295, 0.957, said, size=10.5, color=QUIET)
    _costs(figure.add_axes((0.2, 0.55, 0.76, 0.34)), results)
    parts = figure.add_axes((0.065, 0.06, 0.33, 0.38))
    _growth(parts, results, "parts", "by the number of parts, through ten stages")
    stages = figure.add_axes((0.575, 0.06, 0.29, 0.38))
    _growth(stages, results, "stages", "by the number of stages")
    figure.savefig(path, format="png")


def _costs(axes: Any, results: Results) -> None:
    """One dot for each contender, in two groups."""
    _prepare(axes, "through ten stages")
    groups = (
        (
            "stream processors",
            "stream",
            ("bare generators", "Vivace", "genai-processors", "Pipecat"),
        ),
        ("part functions", "functions", ("bare generators", "Vivace", "genai-processors")),
    )
    axes.set_xscale("log")
    at, names, places = 0.0, [], []
    for title, case, labels in groups:
        axes.text(-0.21, at - 0.75, title, transform=axes.get_yaxis_transform(), size=10.5,
                  weight="bold", color=INK, va="center")  # fmt: skip
        for label in labels:
            names.append(label)
            places.append(at)
            try:
                cost = results.spread(case, label).middle
                ratio = results.ratio(case, label, "bare generators").middle
            except Absent as absent:
                axes.text(1.2e-7, at, str(absent), size=9.5, color=QUIET, va="center")
            else:
                colour = _COLOURS[label]
                axes.plot([1e-7, cost], [at, at], color=colour, linewidth=2.4, alpha=0.45)
                axes.plot([cost], [at], "o", color=colour, markersize=9)
                said = duration(cost)
                if label != "bare generators":
                    said += f"   {number(ratio)} × bare"
                parts = results.given(case, label)["parts"]
                if parts != results.given(case, "Vivace")["parts"]:
                    said += f"   ({parts:,} parts)"
                axes.text(cost * 1.25, at, said, size=10, color=INK, va="center")
            at += 1
        at += 1
    axes.grid(False, axis="y")
    axes.set_yticks(places, names)
    axes.set_ylim(at - 1.3, -1.3)
    axes.set_xlim(1e-7, 2e-1)  # room for what is written beside the last dot
    _seconds(axes.xaxis)


def _growth(axes: Any, results: Results, axis: str, title: str) -> None:
    """One line for each contender, named at its end."""
    _prepare(axes, title)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends: list[tuple[float, str]] = []
    counts: set[int] = set()
    for label, colour in _COLOURS.items():
        points = line(results, label, axis)
        if not points:
            continue
        style = "--" if label in _DASHED else "-"
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, style, color=colour, linewidth=1.9, marker="o", markersize=4)
        ends.append((ys[-1], label))
        counts |= set(xs)
    axes.set_ylim(5e-8, 1e-2)
    axes.set_xticks(sorted(counts), [f"{count:,}" for count in sorted(counts)])
    axes.set_xlim(min(counts) / 1.3, max(counts) * 1.15)
    _name(axes, ends)
    _seconds(axes.yaxis)
    axes.minorticks_off()


def _name(axes: Any, ends: list[tuple[float, str]]) -> None:
    """Write the names at the right side, as high as their lines end, apart enough to be read."""
    free = 0.0
    for cost, label in sorted(ends):
        lines = label.replace(", ", ",\n")
        half = 1.75 if "\n" in lines else 1.32  # of its height, as a factor on this scale
        height = max(cost, free * half)
        free = height * half
        axes.annotate(
            lines, (1, height), xycoords=axes.get_yaxis_transform(), xytext=(8, 0),
            textcoords="offset points", size=9, color=_COLOURS[label], va="center",
            linespacing=0.95, annotation_clip=False,
        )  # fmt: skip


def _prepare(axes: Any, title: str) -> None:
    axes.set_facecolor(PAPER)
    axes.set_title(title, loc="left", size=11.5, weight="bold", color=INK, pad=10)
    axes.tick_params(colors=INK, labelsize=9.5, length=0)
    axes.grid(True, color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _seconds(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    names = {
        1e-7: "0.1 µs",
        1e-6: "1 µs",
        1e-5: "10 µs",
        1e-4: "100 µs",
        1e-3: "1 ms",
        1e-2: "10 ms",
        1e-1: "100 ms",
    }
    axis.set_major_formatter(FuncFormatter(lambda at, _: names.get(float(f"{at:.0e}"), "")))
    axis.set_minor_locator(NullLocator())
