"""Ask for the types of all public names: what a user's type checker sees must not be a guess.

Runs basedpyright over what `py.typed` promises, and names each place that leaves it guessing.
Exits with 1 if fewer than WANTED per cent of the names are fully typed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

# Not 100: `Run` and `Scope` in flow/ leave attributes to guess, and so all that has a run.
WANTED = 93.0


def main() -> int:
    """Print the places where a type is missing, and how many names are fully typed."""
    folder = Path(sys.executable).parent
    # It looks for the package where the first `python` of the path would.
    env = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    command = ["basedpyright", "--verifytypes", "vivace", "--ignoreexternal", "--outputjson"]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    try:
        found = json.loads(run.stdout)["typeCompleteness"]
    except ValueError:
        print(run.stdout, run.stderr)
        return 1
    score = 100.0 * found["completenessScore"]
    missing = {
        f"{problem['file']}:{problem['range']['start']['line'] + 1}: {problem['message']}"
        for symbol in found["symbols"]
        for problem in symbol["diagnostics"]
        if "range" in problem and "partially" not in problem["message"]
    }
    if score < WANTED:
        print("\n".join(sorted(missing)))
    names = sum(found["exportedSymbolCounts"].values())
    print(f"types: {score:.1f} % of {names} public names are fully typed; {WANTED:g} % are asked")
    return 1 if score < WANTED else 0


if __name__ == "__main__":
    sys.exit(main())
