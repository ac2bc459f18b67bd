"""An MCP server with good and bad tools, written with the package's own server side.

Run as a process: `python mcp_server.py` for standard input and output, `python mcp_server.py PORT`
for HTTP. With `deaf` as its argument it never answers, with `rubbish` it answers that, and with
`listless` it never lists its tools.
"""

import asyncio
import os
import sys
import time
from typing import Annotated

from mcp.server.mcpserver import Image, MCPServer
from mcp.types import CallToolResult, TextContent
from mcp.types import Tool as MCPTool
from pydantic import Field

server = MCPServer("test", log_level="CRITICAL")


@server.tool()
def add(a: int, b: Annotated[int, Field(description="the other one")] = 2) -> int:
    """Adds two numbers."""
    return a + b


@server.tool(structured_output=False)
def say(text: str) -> str:
    """Says it."""
    return f"you said {text}"


@server.tool(name="dotted.name")
def dotted() -> dict[str, str]:
    """Has a name that models refuse."""
    return {"pid": str(os.getpid())}


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("no")


@server.tool(structured_output=False)
def fail_with_data(why: str, code: int) -> CallToolResult:
    """Fails, and tells more than that: a code, unless it is 0."""
    result = CallToolResult(content=[TextContent(type="text", text=why)], is_error=True)
    if not why:
        result.content.clear()
    if code:
        result.structured_content = {"code": code}
    return result


@server.tool()
async def hang() -> str:
    """Never answers."""
    await asyncio.sleep(3600)
    return "late"


@server.tool()
async def block() -> str:
    """Blocks the whole server."""
    time.sleep(3600)  # noqa: ASYNC251 - that is its fault
    return "unblocked"


@server.tool()
def die() -> str:
    """Ends the process."""
    os._exit(3)


@server.tool()
def picture() -> Image:
    """Draws."""
    return Image(data=b"png", format="png")


class Listless(MCPServer):
    async def list_tools(self) -> list[MCPTool]:
        await asyncio.sleep(3600)
        return []


if __name__ == "__main__":
    if sys.argv[1:] == ["deaf"]:
        time.sleep(3600)
    elif sys.argv[1:] == ["listless"]:
        Listless("test", log_level="CRITICAL").run()
    elif sys.argv[1:] == ["rubbish"]:
        for line in sys.stdin:
            print("rubbish", line[:1], flush=True)
    elif sys.argv[1:]:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run()
