"""`vivace serve`: the local agent behind a protocol that others speak."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from vivace.cli import weights
from vivace.cli.interrupt import interruptible
from vivace.cli.terminal import stdout
from vivace.errors import StageError
from vivace.flow.processor import Processor
from vivace.models.spec import told_of, turn_model
from vivace.processors.rate_limit import AudioRateLimiter
from vivace.processors.tool import Toolbox
from vivace.server.certificate import server_tls, throw_away_tls
from vivace.server.gemini_front import GeminiFront
from vivace.server.gemini_socket import listen

__all__ = ["PROTOCOLS", "serve"]

PROTOCOLS = ("gemini-live",)
_CERTIFICATE = "vivace-certificate.pem"


def serve(
    protocol: str,
    spec: str,
    host: str,
    port: int,
    certificate: Path | None,
    keys: list[str],
    sessions: int,
) -> None:
    """Serve until stopped. certificate: PEM, with the key; None makes one and writes it down.

    Raises StageError for a protocol that is not known, and for a number of sessions below 1.
    """
    if protocol not in PROTOCOLS:
        raise StageError(f"the protocol {protocol!r} is not known; use {', '.join(PROTOCOLS)}")
    if certificate is not None:
        tls = server_tls(certificate)
    else:
        tls, made = throw_away_tls((host, "localhost"))
        Path(_CERTIFICATE).write_text(made)
        stdout().print(f"clients trust it by {_CERTIFICATE}", soft_wrap=True)
    with interruptible() as check:
        model = turn_model(spec)
        weights.ensure(weights.EARS)
        from vivace.cli.agent import load

        around = load(check)
    pacer = AudioRateLimiter()

    def agent(tools: Toolbox) -> Processor:
        return around(told_of(tools.declarations, model, spec), pacer, tools)

    front = GeminiFront(agent, keys, max_sessions=sessions)
    asyncio.run(_serve(front, tls, host, port))


async def _serve(front: GeminiFront, tls: ssl.SSLContext, host: str, port: int) -> None:
    async with listen(front.handle, tls, host=host, port=port) as listening:
        try:
            stdout().print(f"serving at {listening.url}; Ctrl+C stops it", soft_wrap=True)
            await asyncio.Event().wait()
        finally:
            await front.aclose()
