"""Live sessions with a server on this machine: only the standard library, as in serve.py."""

from __future__ import annotations

import asyncio
import itertools
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
_FRAME = 640  # bytes
_WARM_UP = 5  # frames of a session that loads what is loaded late
_CUT_AFTER = 100  # frames of a session whose connection then comes to its end
# Runs a session over a source of sound, and yields the sound that comes back.
Session = Callable[[dict[str, Any], AsyncIterator[bytes]], AsyncIterator[bytes]]


class _Server:
    """A server in a process of its own. options: how a client finds it, and trusts it."""

    def __init__(self, program: asyncio.subprocess.Process, options: dict[str, Any]) -> None:
        self._program = program
        self.options = options

    def tell(self, what: str) -> None:
        """ "away" or "drop": see live_server.py."""
        assert self._program.stdin is not None
        self._program.stdin.write(f"{what}\n".encode())


@asynccontextmanager
async def _served(python: str) -> AsyncIterator[_Server]:
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
            yield _Server(program, {"base_url": url, "async_client_args": {"ssl": tls}})
        finally:
            program.stdin.close()
            await program.wait()


def _frame() -> bytes:
    """20 ms of sound, which begin with the time."""
    return time.monotonic_ns().to_bytes(8, "little") + bytes(_FRAME - 8)


async def _ticks(late_s: float = 0.0) -> AsyncIterator[None]:
    """Every 20 ms, `late_s` after a moment that is the same for all."""
    now = time.monotonic()
    start, index = now + (late_s - now) % _FRAME_S, 0
    while True:
        await asyncio.sleep(max(0.0, start + index * _FRAME_S - time.monotonic()))
        yield
        index += 1


class _Answers:
    """What came back, from when all sessions have had an answer. people: how many there are."""

    def __init__(self, people: int) -> None:
        self._missing = set(range(people))
        self.there: list[float] = []
        self.back: list[float] = []
        self.since = 0
        self.cpu_s = 0.0

    def came(self, number: int, pcm: bytes) -> None:
        now = time.monotonic_ns()
        asked, heard, sent = (int.from_bytes(pcm[at : at + 8], "little") for at in (0, 8, 16))
        if self._missing:
            self._missing.discard(number)
            if not self._missing:
                self.since, self.cpu_s = now, time.process_time()
        elif asked > self.since:
            self.there.append((heard - asked) / 1e9)
            self.back.append((now - sent) / 1e9)


def live_jobs(session: Session) -> dict[str, Job]:
    """The jobs for a library."""

    async def live(python: str, streams: int, frames: int) -> dict[str, Any]:
        async def one(server: _Server, answers: _Answers, number: int, count: int) -> None:
            async def microphone() -> AsyncIterator[bytes]:
                counted = 0
                # People do not speak in step: each has a place of its own within 20 ms.
                async for _ in _ticks(_FRAME_S * number / streams):
                    yield _frame()
                    counted += answers.since > 0
                    if counted >= count:
                        break
                await asyncio.sleep(0.5)  # the last answers

            async for pcm in session(server.options, microphone()):
                answers.came(number, pcm)

        async with _served(python) as server:
            await one(server, _Answers(1), 0, _WARM_UP)
            answers = _Answers(streams)
            await asyncio.gather(*(one(server, answers, it, frames) for it in range(streams)))
            cpu_s = time.process_time() - answers.cpu_s
        there, back = sorted(answers.there), sorted(answers.back)
        if len(there) < 0.9 * streams * frames:
            raise ValueError(f"{len(there)} answers to {streams * frames} messages")
        return {
            "value": there[len(there) // 2],
            "there p99": there[len(there) * 99 // 100],
            "back": back[len(back) // 2],
            "back p99": back[len(back) * 99 // 100],
            "cpu": cpu_s / streams / (frames * _FRAME_S),
        }

    async def gap(python: str, what: str, frames: int) -> dict[str, Any]:
        """Seconds of sound that the server never got, and the longest silence; what: "away", ..."""
        asked: set[int] = set()
        heard: set[int] = set()
        at: list[float] = []

        async def microphone(server: _Server) -> AsyncIterator[bytes]:
            async for _ in _ticks():
                frame = _frame()
                asked.add(int.from_bytes(frame[:8], "little"))
                yield frame
                if len(asked) == _CUT_AFTER:
                    server.tell(what)
                if len(asked) == _CUT_AFTER + frames:
                    break
            await asyncio.sleep(0.5)  # the last answers

        ended = False
        async with _served(python) as server:
            try:
                async for pcm in session(server.options, microphone(server)):
                    heard.add(int.from_bytes(pcm[:8], "little"))
                    at.append(time.monotonic())
            except Exception:
                ended = True  # which is what is to be found out
        ended |= len(asked) < _CUT_AFTER + frames
        silent_s = max(after - before for before, after in itertools.pairwise(at))
        return {
            "value": silent_s - _FRAME_S,
            "lost": len(asked - heard) * _FRAME_S,
            "ended": float(ended),
        }

    return {"live": live, "gap": gap}
