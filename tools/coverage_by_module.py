"""Ask for coverage module by module: a sum hides the one file that nobody tests.

Machines and flow: all branches. Elsewhere: 95 %. The command line's screens and the adapters of
models are run by the real tests. What needs a package that is not ours to install is asked for by
`--interop`, and nothing else then. Exits with 1 and names what falls short.
"""

import io
import sys
from pathlib import Path

import coverage

SRC = Path("src/vivace")
STRICT = ("machines", "flow")
INTEROP = {SRC / "processors" / f"{name}.py" for name in ("genai", "genai_bodies", "genai_parts")}


def main() -> int:
    """Print each module that falls short, and how many do."""
    data = coverage.Coverage()
    data.load()
    short = []
    apart = "--interop" in sys.argv
    paths = [path for path in sorted(SRC.rglob("*.py")) if (path in INTEROP) == apart]
    modules = [path for path in paths if path.read_text().strip()]
    for path in modules:
        wanted = 100.0 if path.relative_to(SRC).parts[0] in STRICT else 95.0
        try:
            found = data.report(include=[str(path.resolve())], file=io.StringIO())
        except coverage.exceptions.NoDataError:
            found = 0.0
        if found < wanted:
            missing = data.analysis2(str(path.resolve()))[4] or "-"
            short.append(f"{path}: {found:.1f} % of {wanted:.0f} %; lines not run: {missing}")
    print("\n".join(short) or f"coverage: all {len(modules)} modules have what is asked of them")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
