"""Live sessions with a server on this machine: only the standard library, as in serve.py."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.workers.serve import Job

__all__ = ["live_jobs"]

_FRAME_S = 0.02
# Runs a session over a source of `pcm | None`, and yields the sound that comes back.
Session = Callable[[dict[str, Any], AsyncIterator[bytes]], AsyncIterator[bytes]]


@asynccontextmanager
async def _served(python: str) -> AsyncIterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder, "certificate.pem")
        program = await asyncio.create_subprocess_exec(
            python, "-m", "bench.workers.live_server", str(certificate),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert program.stdin is not None
        assert program.stdout is not None
        url = (await program.stdout.readline()).decode().strip()
        tls = ssl.create_default_context(cafile=str(certificate))
        try:
            yield {"base_url": url, "async_client_args": {"ssl": tls}}
        finally:
            program.stdin.close()
            await program.wait()


def live_jobs(session: Session) -> dict[str, Job]:
    """The jobs for a library."""

    async def live(python: str, streams: int, frames: int) -> dict[str, Any]:
        there: list[float] = []
        back: list[float] = []

        async def microphone(count: int, late_s: float) -> AsyncIterator[bytes]:
            now = time.monotonic()
            start = now + (late_s - now) % _FRAME_S
            for index in range(count):
                await asyncio.sleep(max(0.0, start + index * _FRAME_S - time.monotonic()))
                yield time.monotonic_ns().to_bytes(8, "little") + bytes(632)
            await asyncio.sleep(0.5)  # the last answers

        async def one(options: dict[str, Any], count: int, late_s: float = 0.0) -> None:
            async for pcm in session(options, microphone(count, late_s)):
                now = time.monotonic_ns()
                asked, heard, sent = (
                    int.from_bytes(pcm[at : at + 8], "little") for at in (0, 8, 16)
                )
                there.append((heard - asked) / 1e9)
                back.append((now - sent) / 1e9)

        async with _served(python) as options:
            await one(options, 5)  # loads what it loads late
            there.clear()
            back.clear()
            before = time.process_time()
            # People do not speak in step: each has its own place within 20 ms.
            late = (_FRAME_S * number / streams for number in range(streams))
            await asyncio.gather(*(one(options, frames, late_s) for late_s in late))
            cost = (time.process_time() - before) / streams / (frames * _FRAME_S)
        if len(there) < 0.9 * streams * frames:
            raise ValueError(f"{len(there)} answers to {streams * frames} messages")
        there.sort()
        back.sort()
        return {
            "value": there[len(there) // 2],
            "there p99": there[len(there) * 99 // 100],
            "back": back[len(back) // 2],
            "back p99": back[len(back) * 99 // 100],
            "cpu": cost,
        }

    return {"live": live}
