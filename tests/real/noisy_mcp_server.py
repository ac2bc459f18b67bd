"""An MCP server, written by hand, whose one tool prints what it is told among its answers."""

import base64
import json
import sys
from typing import Any

TOOL = {"name": "print", "description": "Prints.", "inputSchema": {"type": "object"}}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        version = params["protocolVersion"]
        about = {"name": "noisy", "version": "1"}
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": [TOOL]}
    sys.stdout.buffer.write(base64.b64decode(params["arguments"]["rubbish"]))
    return {"content": [{"type": "text", "text": "printed"}]}


for line in sys.stdin:
    message = json.loads(line)
    told: dict[str, Any] = {"jsonrpc": "2.0", "id": message.get("id")}
    if message["method"] in ("initialize", "tools/list", "tools/call"):
        told["result"] = answer(message["method"], message.get("params", {}))
    else:
        told["error"] = {"code": -32601, "message": "there is no such method"}
    if "id" in message:
        sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")
        sys.stdout.buffer.flush()
