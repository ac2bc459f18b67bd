"""`vivace talk --live` as a program, before a server on this machine."""

import asyncio
import json
import os
import sys
from array import array
from pathlib import Path

import pytest

from vivace.server.gemini_frames import content, heard, merged, said
from vivace.server.gemini_wire import AudioHeard
from vivace.testing.gemini_live import FakeGeminiLive
from vivace.testing.gemini_script import Delay, Expect, Script, Send

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("ears")]

SPEECH = Path(__file__).parents[2] / "examples" / "speech"


def loud(message: AudioHeard) -> bool:
    return max(array("h", message.pcm)) > 3000


def test_a_recording_is_played_to_a_live_model(tmp_path: Path) -> None:
    """The question goes out, the answer is heard, and the report tells of the turn."""
    tone = array("h", [6000, -6000] * 12_000).tobytes()
    script: Script = [
        Expect(AudioHeard, loud),
        Delay(1.5),
        Send(heard(user="go forward ten meters")),
        Send(merged([said(tone), heard(model="Very well, I am going.")])),
        Send(content(generationComplete=True)),
        Send(content(turnComplete=True)),
    ]

    async def main() -> tuple[int | None, str, FakeGeminiLive]:
        server = FakeGeminiLive(script)
        async with asyncio.timeout(60), server.serve():
            certificate = tmp_path / "certificate.pem"
            certificate.write_text(server.certificate)
            program = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vivace.cli", "talk", str(SPEECH / "goforward.wav"),
                "--live", "gemini:gemini-3.8-live", "--out", str(tmp_path / "out"),
                env={
                    **os.environ,
                    "GEMINI_API_KEY": "key",
                    "GOOGLE_GEMINI_BASE_URL": server.url,
                    "SSL_CERT_FILE": str(certificate),
                },
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, told = await program.communicate()
        return program.returncode, told.decode(), server

    code, told, server = asyncio.run(main())
    assert (code, told) == (0, "")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (turn,) = report["turns"]
    print(report["run"], turn)
    assert turn["heard_s"] == 1.0
    assert (turn["user"], turn["heard"]) == ("go forward ten meters", "Very well, I am going.")
    assert turn["outcome"] == "done"
    assert [model["name"] for model in report["models"]] == ["silero", "gemini:gemini-3.8-live"]
    assert (tmp_path / "out" / "conversation.wav").stat().st_size > 100_000
    assert server.connections[0].setup is not None
    assert server.connections[0].setup.model == "gemini-3.8-live"
