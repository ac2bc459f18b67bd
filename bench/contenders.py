"""Who takes part. The environments of the peers are made by the Makefile."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.harness import ROOT, Contender

__all__ = ["BARE", "GENAI", "PIPECAT", "VIVACE"]

VIVACE = Contender("Vivace", "bench.workers.ours", Path(sys.executable), peer=False)
BARE = Contender("bare generators", "bench.workers.bare", Path(sys.executable), peer=False)
GENAI = Contender(
    "genai-processors", "bench.workers.genai", ROOT / ".venv-bench-genai" / "bin" / "python"
)
PIPECAT = Contender(
    "Pipecat", "bench.workers.pipecat", ROOT / ".venv-bench-pipecat" / "bin" / "python"
)
