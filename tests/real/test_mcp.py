"""MCP servers as tools: real processes, spoken to by pipes and by HTTP."""

import asyncio
import base64
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

import vivace.processors.mcp as mcp_module
from vivace.errors import ExtraMissing, StageError, ToolError
from vivace.flow.processor import processor
from vivace.live.live_model import LiveModelProcessor
from vivace.part import Part, Response
from vivace.processors.mcp import McpServer
from vivace.processors.tool import Toolbox
from vivace.processors.tools import Tools

from .test_turn_models import free_port

pytestmark = pytest.mark.real

T = TypeVar("T")
SERVER = str(Path(__file__).parent / "mcp_server.py")


def stdio(*args: str, **options: Any) -> McpServer:
    return McpServer.stdio(sys.executable, SERVER, *args, **options)


def real(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    return asyncio.run(main())


@contextmanager
def listening() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server that answers by HTTP: its address, and its process."""
    port = free_port()
    process = subprocess.Popen([sys.executable, SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}/mcp", process
    finally:
        process.kill()
        process.wait()


async def reached(url: str) -> McpServer:
    """The server, once it listens."""
    until = time.monotonic() + 20
    while True:
        server = McpServer.http(url, headers={"X-Test": "1"})
        try:
            return await server.__aenter__()
        except ToolError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)


async def check(server: McpServer) -> None:
    """What any good server does."""
    box = Toolbox(server)
    add = box["add"]
    assert add.description == "Adds two numbers."
    assert add.parameters["properties"]["b"]["description"] == "the other one"
    assert await add.run({"a": 1}) == {"result": 3}
    assert await box["say"].run({"text": "hi"}) == "you said hi"
    assert (await box["dotted_name"].run({})).keys() == {"pid"}
    with pytest.raises(ToolError, match="fail"):
        await box["fail"].run({})
    with pytest.raises(ToolError, match="a"):
        await add.run({"a": "x"})
    with pytest.raises(ToolError, match="cannot be sent"):
        await box["say"].run({"text": "\ud800"})  # which would end the connection
    assert await box["say"].run({"text": "still"}) == "you said still"
    [picture] = await box["picture"].run({})
    assert (picture["type"], picture["mimeType"]) == ("image", "image/png")


def test_a_process() -> None:
    """It is started, lists its tools, runs them, and ends with the block."""

    async def main() -> None:
        async with stdio() as server:
            await check(server)
            say = Toolbox(server)["say"]
        with pytest.raises(ToolError, match="was left; its tools work inside its block"):
            await say.run({"text": "hi"})

    real(main)


def test_by_http() -> None:
    """The same over a socket; and when the server has gone, calls fail, and leaving does not."""

    async def main() -> None:
        with listening() as (url, process):
            server = await reached(url)
            try:
                await check(server)
                process.kill()
                process.wait()
                with pytest.raises(ToolError, match="failed: "):
                    await Toolbox(server)["say"].run({"text": "hi"})
            finally:
                await server.__aexit__()

    real(main)


def test_two_servers_and_a_prefix() -> None:
    """Their tools have names of their own; options are those of each tool."""

    async def main() -> None:
        async with stdio() as one, stdio(prefix="other_", scheduling="silent") as two:
            box = Toolbox([*one, *two])
            pids = {
                (await box[name].run({}))["pid"] for name in ("dotted_name", "other_dotted_name")
            }
            assert len(pids) == 2
            rules = box.rules["other_say"]
            assert rules is not None
            assert rules.scheduling == "silent"
            with pytest.raises(StageError, match="in use already"):
                await one.__aenter__()

    real(main)


def test_calls_run_side_by_side_from_any_task() -> None:
    """One that hangs is cancelled, and the others do not notice."""

    async def main() -> None:
        async with stdio() as server:
            box = Toolbox(server)
            hanging = asyncio.ensure_future(box["hang"].run({}))
            added = await asyncio.gather(*[box["add"].run({"a": a}) for a in range(20)])
            assert [it["result"] for it in added] == list(range(2, 22))
            assert not hanging.done()
            hanging.cancel()
            await asyncio.wait([hanging])
            assert hanging.cancelled()
            assert await box["say"].run({"text": "hi"}) == "you said hi"

    real(main)


def test_an_error_with_data() -> None:
    """The model is told what went wrong in words; the data only if there are none."""

    async def main() -> None:
        async with stdio() as server:
            fail = Toolbox(server)["fail_with_data"]
            for why, code, told in (
                ("no such town", 7, "no such town"),
                ("", 7, '{"code":7}'),
                ("", 0, "it failed, and did not say why"),
            ):
                with pytest.raises(ToolError, match=f"^{told}$"):
                    await fail.run({"why": why, "code": code})

    real(main)


def test_a_server_that_dies() -> None:
    """The call under way fails, and so do later ones; leaving the block does not."""

    async def main() -> None:
        async with stdio() as server:
            box = Toolbox(server)
            for name in ("die", "say"):
                with pytest.raises(ToolError, match="failed: Connection closed"):
                    await box[name].run({"text": "hi"} if name == "say" else {})

    real(main)


def test_rubbish_among_the_answers() -> None:
    """What is no message is passed over; a call whose answer it spoils has a limit of its own."""

    async def main() -> None:
        noisy = str(Path(SERVER).with_name("noisy_mcp_server.py"))
        async with McpServer.stdio(sys.executable, noisy) as server:
            box = Toolbox(server)

            async def say(rubbish: bytes) -> Any:
                return await box["print"].run({"rubbish": base64.b64encode(rubbish).decode()})

            for rubbish in (
                b"Loading the model ...\n",
                b"\xff\xfe\x00 is not UTF-8\n",
                b'{"jsonrpc": "2.0", "id": \n\n[]\n',
                b'{"jsonrpc": "2.0", "id": 9999, "result": {}}\n',
                b"x" * 1_000_000 + b"\n",
            ):
                assert await asyncio.wait_for(say(rubbish), 20) == "printed"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(say(b"10 % "), 0.5)  # on the line of the answer
            assert await asyncio.wait_for(say(b""), 20) == "printed"

    real(main)


@pytest.mark.parametrize(
    ("kind", "start_within_s"),
    [("deaf", 0.5), ("rubbish", 0.5), ("listless", 4.0)],  # the last has time to start
)
def test_a_server_that_does_not_start(kind: str, start_within_s: float) -> None:
    """One that never answers, answers rubbish, or never lists its tools is given up."""

    async def main() -> None:
        with pytest.raises(ToolError, match=r"did not start \(it did not answer in time"):
            await asyncio.wait_for(stdio(kind, start_within_s=start_within_s).__aenter__(), 20)

    real(main)


def test_a_program_that_is_not_there() -> None:
    """The message names it, and says what to do."""

    async def main() -> None:
        with pytest.raises(ToolError, match=r"nothing-like-it did not start .*No such file"):
            await McpServer.stdio("nothing-like-it").__aenter__()

    real(main)


def test_errors_keep_secrets() -> None:
    """The model reads them, so they name the server and none of its options."""
    assert McpServer.stdio("/usr/bin/python", "/srv/it.py", "--key=1").name == "python it.py"
    assert McpServer.stdio("serve", "--key=1").name == "serve"
    assert McpServer.http("https://me:pw@host:1/mcp?key=1").name == "https://host:1/mcp"


def test_nobody_listens() -> None:
    """A server that cannot be reached by HTTP has not started."""

    async def main() -> None:
        with pytest.raises(ToolError, match="did not start"):
            await McpServer.http(f"http://127.0.0.1:{free_port()}/mcp").__aenter__()

    real(main)


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the command."""
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'vivace\[mcp\]'"):
        mcp_module._package()


class Model:
    """Calls each of these tools in turn, and then says what they answered."""

    def __init__(self, *names: str) -> None:
        self.names = names

    async def __call__(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompt = [part async for part in stream]
        answers = [part.body for part in prompt if isinstance(part.body, Response)]
        if len(answers) < len(self.names):
            name = self.names[len(answers)]
            yield Part.call(name, {"text": "hi"} if name == "say" else {}, id=str(len(answers)))
        else:
            yield Part("; ".join(it.error or str(it.result) for it in answers), role="model")


@pytest.mark.parametrize("live", [False, True])
def test_a_conversation_goes_on_without_its_server(live: bool) -> None:
    """A call that hangs has a limit, one that kills the server fails, and the model answers."""
    model = Model("say", "hang", "say", "die", "say")

    @processor
    async def turn_model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in model(stream):
            yield part

    async def main() -> str:
        async with stdio(timeout_s=0.5) as server:
            agent = (
                LiveModelProcessor(turn_model, tools=server.tools)
                if live
                else Tools(turn_model, server.tools)
            )
            said = [part.text async for part in agent("go") if part.role == "model"]
            return "".join(said)

    answers = real(main).split("; ")
    assert [answers[0], answers[1], answers[2]] == [
        "you said hi",
        "no result within 0.5 s",
        "you said hi",
    ]
    assert all(it.endswith("failed: Connection closed") for it in answers[3:])


def test_leaving_ends_the_process() -> None:
    """Also one that is in the middle of something, and does not listen."""

    async def main() -> None:
        async with stdio() as server:
            box = Toolbox(server)
            pid = int((await box["dotted_name"].run({}))["pid"])
            blocked = asyncio.ensure_future(box["block"].run({}))
            await asyncio.sleep(0.2)
            os.kill(pid, 0)
            blocked.cancel()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    real(main)
