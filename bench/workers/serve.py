"""A worker: asked with a line of JSON, it answers with one.

Only the standard library, and nothing of Vivace: this also runs in the environments of the peers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version
from typing import Any

__all__ = ["Job", "serve"]

Job = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


def serve(jobs: Mapping[str, Job], package: str) -> None:
    """Say which version of `package` this is; then do the jobs that come in, until none does.

    Answers go to the file descriptor given on the command line: what a library prints is none.
    Before each job the garbage of the one before is collected. What was imported is frozen: how
    much a library loads shall not make its garbage collections longer than those of another.
    """
    answers = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    print(json.dumps({"version": version(package)}), file=answers)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        gc.collect()
        if not asked.pop("gc", True):
            gc.disable()
        try:
            answer = asyncio.run(jobs[asked.pop("do")](**asked))
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        gc.enable()
        print(json.dumps(answer), file=answers)
